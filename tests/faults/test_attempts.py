"""An attempt to connect that is given up leaves nothing open, also when Python's collector does not come by."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from server import bounded, deadlines
from server.checkins.intake import Intake
from server.settings import Settings


@contextmanager
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def silent() -> Iterator[tuple[socket.socket, str]]:
    """A server that takes connections and never says anything, as a frozen one does; with its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(5)
        port = listener.getsockname()[1]
        yield listener, f"postgresql://somebody@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"


def hung_up(listener: socket.socket) -> bool:
    """Tell whether whoever connected has closed the line by now."""
    line, _ = listener.accept()
    with line:
        line.settimeout(1)
        try:
            while line.recv(4096):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True


def attempted(url: str) -> None:
    bounded.Connection.connect(url, connect_timeout=deadlines.CONNECT_WITHIN_S)


def attempted_by_the_intake(url: str) -> None:
    asyncio.run(Intake(Settings(database_url=url))._connected())  # noqa: SLF001


def attempted_by_psycopg(url: str) -> None:
    psycopg.Connection.connect(url, connect_timeout=deadlines.CONNECT_WITHIN_S)


def test_an_attempt_given_up_is_closed() -> None:
    with (
        silent() as ours,
        silent() as intakes,
        silent() as plain,
        uncollected(),
        ThreadPoolExecutor(3) as pool,
    ):
        tried = [
            pool.submit(attempted, ours[1]),
            pool.submit(attempted_by_the_intake, intakes[1]),
            pool.submit(attempted_by_psycopg, plain[1]),
        ]
        errors = [one.exception() for one in tried]  # Held, as whoever reports them does.
        assert all(isinstance(error, psycopg.errors.ConnectionTimeout) for error in errors)
        assert hung_up(ours[0])
        assert hung_up(intakes[0])
        assert not hung_up(plain[0])  # When this fails, psycopg has been mended, and `bounded.let_go` can go.
