"""The load generator: phones that check in over keep-alive connections, from a file of prepared requests.

Run as a process of its own (``python -m bench.traffic SPEC``), so that its processor time is its own. Sockets and bytes
alone: no HTTP library, one request in flight a connection. Closed loop: each connection sends its next request when it
has its answer. Open loop: requests are due at random instants (Poisson) whatever the server does, and latency counts
from the instant a request was due, so that a server that stalls cannot slow its own measurement down.

Prints ``begin`` and ``end`` around the measured window, then one line of JSON.
"""

import asyncio
import json
import os
import random
import struct
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

DRAIN_S = 6.0
INFINITE = float("inf")
_LENGTH = struct.Struct("<I")


def write_requests(path: Path, requests: Iterable[bytes]) -> None:
    """Write requests for a generator to read, each with its length before it."""
    with path.open("wb") as out:
        for request in requests:
            out.write(_LENGTH.pack(len(request)))
            out.write(request)


def _read_requests(path: Path) -> list[bytes]:
    data = path.read_bytes()
    requests, at = [], 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        requests.append(data[at : at + length])
        at += length
    return requests


class Load:
    """The requests, who is free to send, and what was measured."""

    def __init__(self, spec: dict[str, Any], requests: list[bytes]) -> None:
        self.requests = requests
        self.next = 0
        self.rate: float | None = spec.get("rate")
        self.once: bool = spec.get("once", False)  # The closed loop ends when every request was sent.
        self.begin = self.end = INFINITE  # Set when every connection is open.
        self.latencies = array("d")
        self.statuses: Counter[str] = Counter()
        self.unasked = 0
        self.broken = 0
        self.idle: list[Phone] = []
        self.due: deque[float] = deque()
        self.phones: list[Phone] = []
        self.port: int = spec["port"]
        self.opening: set[asyncio.Future[None]] = set()

    def answered(self, phone: "Phone", status: str, due: float) -> None:
        """Count an answer and give the phone its next request, if one is due."""
        now = time.perf_counter()
        measured = due if self.rate else now
        if self.begin <= measured < self.end:
            self.latencies.append(now - due)
            self.statuses[status] += 1
        if self.rate is None:
            if now < self.end:
                self.ask(phone, now)
            else:
                self.idle.append(phone)
        elif self.due:
            self.ask(phone, self.due.popleft())
        else:
            self.idle.append(phone)

    def lost(self, phone: "Phone") -> None:
        """Open another connection; idle ones are ended by the server after some seconds, which breaks nothing."""
        self.phones.remove(phone)
        if phone.waiting:
            self.broken += 1
        else:
            self.idle.remove(phone)
        if time.perf_counter() < self.end:
            self.opening.add(opening := asyncio.ensure_future(self.open()))
            opening.add_done_callback(self.opening.discard)

    async def open(self) -> None:
        """Open a connection and let it send."""
        try:
            _, phone = await asyncio.get_running_loop().create_connection(
                lambda: Phone(self), "127.0.0.1", self.port
            )
        except OSError:
            self.broken += 1
            return
        self.phones.append(phone)
        if self.rate is None and self.end < INFINITE:
            self.ask(phone, time.perf_counter())
        else:
            self.idle.append(phone)

    def ask(self, phone: "Phone", due: float) -> None:
        """Send the next prepared request."""
        if self.next >= len(self.requests):
            self.unasked += 1
            self.idle.append(phone)
            return
        phone.ask(self.requests[self.next], due)
        self.next += 1

    async def run(self) -> None:
        """Ask until the window is over; in the open loop on time."""
        if self.rate is None:
            free, self.idle = self.idle, []
            for phone in free:
                self.ask(phone, time.perf_counter())
            while (left := self.end - time.perf_counter()) > 0:
                if self.once and self.next >= len(self.requests) and len(self.idle) == len(self.phones):
                    self.end, self.unasked = time.perf_counter(), 0
                    return
                await asyncio.sleep(min(left, 0.02 if self.once else left))
            return
        chance = random.Random(7)
        due = time.perf_counter()
        while due < self.end:
            now = time.perf_counter()
            while due <= now and due < self.end:
                if self.idle:
                    self.ask(self.idle.pop(), due)
                else:
                    self.due.append(due)
                due += chance.expovariate(self.rate)
            await asyncio.sleep(max(0.0, min(due, now + 0.05) - time.perf_counter()))


class Phone(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.waiting = False
        self.received = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = cast(
            "asyncio.WriteTransport", transport
        )  # uvloop's classes stand apart from asyncio's.

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature.
        """Have another one take the place of a connection that ended."""
        self.load.lost(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send one request."""
        self.due, self.waiting = due, True
        if self.transport is not None:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer that is complete."""
        if self.received:
            data = self.received + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data, head):
            self.received = data
            return
        self.received = b""
        self.waiting = False
        self.load.answered(self, data[9:12].decode(), self.due)


def _length(data: bytes, head: int) -> int:
    at = data.find(b"ontent-length: ", 0, head)
    if at < 0:
        at = data.find(b"ontent-Length: ", 0, head)
    return int(data[at + 15 : data.index(b"\r\n", at)]) if at >= 0 else 0


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1))]


async def _drive(spec: dict[str, Any]) -> dict[str, Any]:
    requests = _read_requests(Path(spec["requests"]))
    loop = asyncio.get_running_loop()
    load = Load(spec, requests)
    for _ in range(spec["connections"]):
        await load.open()
    load.begin = time.perf_counter() + spec["warm_s"]
    load.end = load.begin + spec["measured_s"]
    used = [0.0, 0.0]

    def mark(what: int, word: str) -> None:
        used[what] = time.process_time()
        sys.stdout.write(word + "\n")
        sys.stdout.flush()

    loop.call_later(load.begin - time.perf_counter(), mark, 0, "begin")
    await load.run()
    mark(1, "end")
    drained = time.perf_counter() + DRAIN_S
    while time.perf_counter() < drained and (  # noqa: ASYNC110  Hundreds of phones; an event each would cost more.
        load.due or any(phone.waiting for phone in load.phones)
    ):
        await asyncio.sleep(0.02)
    return _told(load, used[1] - used[0], load.end - load.begin)


def _told(load: Load, used_s: float, measured_s: float) -> dict[str, Any]:
    ordered = sorted(load.latencies)
    stored = sum(count for status, count in load.statuses.items() if status in {"200", "201"})
    return {
        "answers": dict(load.statuses),
        "stored_per_s": round(stored / measured_s, 1),
        "p50_ms": round(1000 * percentile(ordered, 0.5), 2),
        "p99_ms": round(1000 * percentile(ordered, 0.99), 2),
        "p999_ms": round(1000 * percentile(ordered, 0.999), 2),
        "longest_ms": round(1000 * (ordered[-1] if ordered else 0.0), 2),
        "unanswered": len(load.due) + sum(phone.waiting for phone in load.phones),
        "broken": load.broken,
        "unasked": load.unasked,
        "generator_s": round(used_s, 3),
    }


if __name__ == "__main__":
    outcome = uvloop.run(_drive(json.loads(sys.argv[1])))
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()
    os._exit(0)  # Hundreds of open sockets need not be closed one by one.
