"""Many clients at once, light enough that they are not what is measured: plain sockets on one event loop in a thread."""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from factories_checkins import Cadre, check_in

from server import clock, ids


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as its client saw it. Status 0: the connection broke. `key` is a check-in's id."""

    route: str
    begun: float
    took_s: float
    status: int
    retry_after: str
    code: str
    key: tuple[UUID, UUID] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client asks for again and again. `make` returns path, body and key of the next request."""

    route: str
    method: str
    make: Callable[[], tuple[str, dict[str, Any] | None, tuple[UUID, UUID] | None]]
    token: str = ""
    address: Callable[[], str] | None = None
    """Where the request says it comes from, for a service behind a proxy."""


class Connection:
    """One kept connection of a client."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(
        self, method: str, path: str, token: str, body: Any, more: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request and return status, headers and body. Raises OSError or EOFError when the line breaks."""
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(content)}\r\n"
        head += "Content-Type: application/json\r\n" if content else ""
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        self.writer.write((head + more).encode() + b"\r\n" + content)
        line = await self.reader.readline()
        if not line:
            raise EOFError
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := await self.reader.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
        self.writer = None


@dataclass
class Hammer:
    """What the clients saw."""

    port: int
    asks: Sequence[Ask]
    pause_s: float = 0.2
    polite: float = 0.0
    """The share of clients that wait as Retry-After tells them, as the reference client does; the others do not care."""
    seen: list[Seen] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def during(self, begun: float, ended: float) -> list[Seen]:
        """Return what was asked in a span of time."""
        return [one for one in self.seen if begun <= one.begun < ended]

    async def _client(self, ask: Ask, seed: int) -> None:
        drawn, line = random.Random(seed), Connection(self.port)
        await asyncio.sleep(drawn.random() * 0.2)
        while not self.stopping.is_set():
            path, body, key = ask.make()
            more = f"X-Forwarded-For: {ask.address()}\r\n" if ask.address else ""
            begun = time.monotonic()
            try:
                status, headers, content = await asyncio.wait_for(
                    line.ask(ask.method, path, ask.token, body, more), 30
                )
            except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
                line.close()
                status, headers, content = 0, {}, b""
            took = time.monotonic() - begun
            code = json.loads(content).get("code", "") if status >= 400 else ""
            self.seen.append(Seen(ask.route, begun, took, status, headers.get("retry-after", ""), code, key))
            if status == 503 and seed % 100 < 100 * self.polite:
                line.close()  # As a phone does that will be away longer than the server keeps a silent connection.
                await asyncio.sleep(float(headers["retry-after"]) * (1 + drawn.random() / 2))
            elif status in {0, 503}:
                await asyncio.sleep(drawn.random() * 2 * self.pause_s)
        line.close()

    async def run(self) -> None:
        await asyncio.gather(*(self._client(ask, number) for number, ask in enumerate(self.asks)))


@contextmanager
def hammering(port: int, asks: Sequence[Ask], pause_s: float = 0.2, polite: float = 0.0) -> Iterator[Hammer]:
    """Let all ask until the block ends; each then finishes its request."""
    hammer = Hammer(port, asks, pause_s, polite)
    thread = threading.Thread(target=lambda: asyncio.run(hammer.run()), daemon=True)
    thread.start()
    try:
        yield hammer
    finally:
        hammer.stopping.set()
        thread.join(40)
    assert not thread.is_alive(), "a client never got an answer"


@dataclass
class Probe:
    """What a process that asks one address every so often saw: (when, took, status)."""

    seen: list[tuple[float, float, int]] = field(default_factory=list)

    def first(self, status: int, since: float) -> float:
        """Return how many seconds after `since` the first such status was asked for; infinity when it never came."""
        return min(
            (at - since for at, _, got in self.seen if at >= since and got == status), default=float("inf")
        )

    def p99_s(self, begun: float, ended: float) -> float:
        """Return the 99th percentile of the answers' time in a span."""
        took = sorted(took for at, took, _ in self.seen if begun <= at < ended)
        return took[int(0.99 * (len(took) - 1))]


@contextmanager
def probing(port: int, path: str, every_s: float) -> Iterator[Probe]:
    """Ask an address until the block ends; the probe is filled then."""
    probe = Probe()
    words = [sys.executable, str(Path(__file__).with_name("probe.py")), str(port), path, str(every_s)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield probe
    finally:
        process.terminate()
        told, _ = process.communicate(timeout=15)
        for line in told.splitlines():
            parts = line.split()
            if len(parts) == 3:
                probe.seen.append((float(parts[0]), float(parts[1]), int(parts[2])))


def checking_in(cadre: Cadre) -> Ask:
    """Return a phone that checks in, each time anew."""

    def make() -> tuple[str, dict[str, Any], tuple[UUID, UUID]]:
        one = ids.new_id()
        return f"/v1/check-ins/{one}", check_in(clock.now()), (cadre.person_id, one)

    return Ask("check-in", "PUT", make, cadre.token)


def reading(route: str, path: str, token: str) -> Ask:
    """Return a client that reads an address."""
    return Ask(route, "GET", lambda: (path, None, None), token)


def logging_in(login: str) -> Ask:
    """Return somebody who logs in with a wrong password."""
    body = {"login": login, "password": "not the right one"}  # pragma: allowlist secret
    return Ask("login", "POST", lambda: ("/v1/auth/login", body, None))


def strangers() -> Ask:
    """Return people who log in from everywhere, each once: none is slowed, all passwords are wrong."""

    def make() -> tuple[str, dict[str, Any], None]:
        return "/v1/auth/login", {"login": f"n-{ids.new_id().hex[-12:]}", "password": "not it"}, None

    def address() -> str:
        return ".".join(str(random.randrange(1, 255)) for _ in range(4))

    return Ask("login", "POST", make, address=address)
