"""An attempt to connect that is given up leaves nothing open, also when Python's collector does not come by."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

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


def attempted(url: str) -> BaseException:
    with pytest.raises(psycopg.OperationalError) as caught:
        bounded.Connection.connect(url, connect_timeout=deadlines.CONNECT_WITHIN_S)
    return caught.value


def attempted_by_the_intake(url: str, var: Path) -> BaseException:
    async def attempt() -> None:
        await Intake(Settings(database_url=url, var=var))._connected()  # noqa: SLF001

    with pytest.raises(psycopg.OperationalError) as caught:
        asyncio.run(attempt())
    return caught.value


def test_an_attempt_given_up_is_closed(tmp_path: Path) -> None:
    with silent() as (listener, url), uncollected():
        error = attempted(url)  # Held, as whoever reports it does.
        assert hung_up(listener)
        assert "timeout" in str(error)
        error = attempted_by_the_intake(url, tmp_path)
        assert hung_up(listener)


def test_psycopg_itself_leaves_it_open() -> None:
    """When this fails, psycopg has been mended, and `bounded.let_go` can go."""
    with silent() as (listener, url), uncollected():
        with pytest.raises(psycopg.OperationalError):
            psycopg.Connection.connect(url, connect_timeout=deadlines.CONNECT_WITHIN_S)
        assert not hung_up(listener)
