"""A proxy between the product and PostgreSQL that cuts the connection at a commit: just before it is passed on, or just
after it has happened. These two moments find what killing processes at random does not (security.md section 3).
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMMIT = b"COMMIT\0"
WRITES = b"INSERT INTO"
READY, IDLE = b"Z", b"I"


@dataclass
class _Line:
    """One connection as the proxy sees it: in a transaction or not, and which prepared statements write."""

    status: bytes = IDLE
    cut_after: bool = False
    bound: bool = False
    writing: set[bytes] = field(default_factory=set)

    def commits(self, kind: bytes, body: bytes) -> bool:
        """Tell whether this message makes PostgreSQL commit: COMMIT, or the Sync after a lone statement that writes."""
        if kind == b"P":
            name, text = body.split(b"\0", 2)[:2]
            self.writing = self.writing | {name} if WRITES in text else self.writing - {name}
        elif kind == b"B":
            self.bound = body.split(b"\0", 2)[1] in self.writing
        elif kind == b"S":
            alone, self.bound = self.bound and self.status == IDLE, False
            return alone
        return kind in {b"Q", b"P"} and body.endswith((COMMIT, b"\0" + COMMIT + b"\0\0"))


@dataclass
class CuttingProxy:
    """Listens on loopback, speaks to the cluster's socket. `before` and `after` are shares of commits that are cut."""

    upstream: Path
    before: float = 0.0
    after: float = 0.0
    seed: int = 0
    port: int = 0
    cuts: dict[str, int] = field(default_factory=lambda: {"before": 0, "after": 0})

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def url(self, database: str, role: str) -> str:
        """Return the address of a database through the proxy."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        server, question = await asyncio.open_unix_connection(str(self.upstream))
        line = _Line()
        down = asyncio.create_task(self._down(server, answer, line))
        up = asyncio.create_task(self._up(client, question, line))
        await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
        for task in (down, up):
            task.cancel()
        await asyncio.gather(down, up, return_exceptions=True)
        for writer in (answer, question):
            writer.transport.abort()

    async def _up(self, client: asyncio.StreamReader, question: asyncio.StreamWriter, line: _Line) -> None:
        size = await client.readexactly(4)
        question.write(size + await client.readexactly(int.from_bytes(size, "big") - 4))
        while True:
            head = await client.readexactly(5)
            body = await client.readexactly(int.from_bytes(head[1:], "big") - 4)
            if line.commits(head[:1], body):
                drawn = self._random.random()
                if drawn < self.before:
                    self.cuts["before"] += 1
                    return
                if drawn < self.before + self.after:
                    self.cuts["after"] += 1
                    line.cut_after = True
            question.write(head + body)
            await question.drain()

    async def _down(self, server: asyncio.StreamReader, answer: asyncio.StreamWriter, line: _Line) -> None:
        while True:
            head = await server.readexactly(5)
            body = await server.readexactly(int.from_bytes(head[1:], "big") - 4)
            if head[:1] == READY:
                line.status = body
            if line.cut_after:
                if head[:1] == READY and body == IDLE:  # The commit has happened, and nobody will hear of it.
                    return
                continue
            answer.write(head + body)
            await answer.drain()


@contextlib.contextmanager
def cutting(proxy: CuttingProxy) -> Iterator[CuttingProxy]:
    """Run a proxy in a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def carry(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, OSError):
            await proxy.serve(client, answer)

    async def run() -> None:
        server = await asyncio.start_server(carry, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            with contextlib.suppress(asyncio.CancelledError):
                await server.serve_forever()

    task = loop.create_task(run())
    thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    asyncio.set_event_loop(loop)
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    for other in asyncio.all_tasks(loop):
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            loop.run_until_complete(other)
    loop.close()
