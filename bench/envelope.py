"""Microseconds of processor that the envelope adds to a check-in: `python -m bench.envelope`.

The application inside answers at once, so that what is left over is the envelope alone: the request's id, the pass over
the headers, the limits, the deadline, the headers of every answer. Of several runs the fastest counts: the others were
disturbed.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import http
from server.admission import Admission
from server.envelope import Envelope
from server.settings import Settings

BOUND_US = 15.0
ROUNDS, REQUESTS = 7, 20_000
_PATH = "/v1/check-ins/01a1a9dd-1200-7a01-81f3-c9a7d2b4f801"
_HEADERS = [
    (b"host", b"zaicun.example.org"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"okhttp/4.12"),
    (b"authorization", b"Bearer " + b"x" * 600),
    (b"content-type", b"application/json"),
    (b"content-length", b"480"),
    (b"zaicun-client", b"zaicun-phone/1.2.0 (Android 14)"),
]
_START = [(b"location", _PATH.encode()), (b"content-length", b"2"), (b"content-type", b"application/json")]


async def _inner(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 201, "headers": list(_START)})
    await send({"type": "http.response.body", "body": b"{}"})


async def _receive() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


async def _send(_message: Message) -> None:
    return None


def _scope() -> Scope:
    given = {"type": "http", "method": "PUT", "path": _PATH, "raw_path": _PATH.encode(), "query_string": b""}
    return {**given, "headers": _HEADERS}


async def _fastest_us(app: ASGIApp) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REQUESTS):
            await app(_scope(), _receive, _send)
        found.append((time.process_time() - began) / REQUESTS * 1e6)
    return min(found)


def _around(settings: Settings) -> Envelope:
    return Envelope(
        _inner,
        limits={"/v1/check-ins/": 16_384},
        settings=settings,
        admission=Admission(settings.requests_at_once),
        answer=http.answer,
        crashed=http.crashed,
        prove=lambda _request: None,
    )


async def _measure() -> dict[str, float]:
    alone = await _fastest_us(_inner)
    ways = {
        "as it comes": Settings(),
        "origins and minimum clients": Settings(
            cors_origins=("https://phone.example.org",), minimum_clients=("zaicun-phone/1.0",)
        ),
    }
    return {name: await _fastest_us(_around(settings)) - alone for name, settings in ways.items()}


def main() -> None:
    """Measure and print; ends with 1 when the envelope costs more than its bound."""
    found = asyncio.run(_measure())
    for name, added in found.items():
        print(f"{added:6.2f} us a request, {name}")
    if max(found.values()) > BOUND_US:
        raise SystemExit(f"more than {BOUND_US} us")


if __name__ == "__main__":
    main()
