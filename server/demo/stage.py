"""The demonstration's server: the product itself in processes of its own, with a clock that can be moved.

The clock is the one thing that is not real, so that a past month can be played through the real API. It exists here
only: no setting of the product moves a clock.
"""

import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized

import httpx
import uvicorn

from server import clock
from server.app import create_app
from server.settings import Settings
from server.wire import Wire

START_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Stage:
    """A running server and the hands of its clock."""

    url: str
    offset: "Synchronized[float]"

    def now(self) -> datetime:
        """Return the stage's present instant."""
        return datetime.now(UTC) + timedelta(seconds=self.offset.value)

    def set(self, at: datetime) -> None:
        """Move the clock of the server and of everybody who asks this stage."""
        self.offset.value = (at - datetime.now(UTC)).total_seconds()

    def real_time(self) -> None:
        """Return to the real time."""
        self.offset.value = 0.0


def _serve(settings: Settings, offset: "Synchronized[float]", listener: socket.socket) -> None:
    clock.use(lambda: clock.system() + timedelta(seconds=offset.value))
    config = uvicorn.Config(
        create_app(settings),
        http=Wire,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _end_with_parent(server: uvicorn.Server) -> None:
    """Stop the server when the demonstration is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        server.should_exit = True


@contextlib.contextmanager
def raised(settings: Settings) -> Iterator[Stage]:
    """Run the servers until the block ends. Raises OSError when the port is taken or they do not start."""
    context = multiprocessing.get_context("spawn")
    offset = context.Value("d", 0.0)
    url = f"http://{settings.host}:{settings.port}"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(256)
        workers = [
            context.Process(target=_serve, args=(settings, offset, listener), daemon=True)
            for _ in range(settings.workers)
        ]
        for worker in workers:
            worker.start()
    try:
        _wait(url, workers)
        yield Stage(url, offset)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(15)


def _wait(url: str, workers: Sequence[multiprocessing.process.BaseProcess]) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and all(worker.is_alive() for worker in workers):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise OSError(f"the server at {url} did not start")
