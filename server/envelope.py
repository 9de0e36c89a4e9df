"""What surrounds every request: its id, its limits, the headers that every answer carries.

Plain ASGI, because it stands in front of every check-in: one pass over the request's headers, byte comparisons, and
header tuples that were made at the start. Everything that refuses does so inside, so that a refusal carries the
same headers as any other answer: a browser must be able to read a 413 or a 500 as well.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import clients, deadlines, deprecations, ids, problems, sandbox
from server.admission import Admission
from server.problems import Problem
from server.settings import Settings

LARGEST_BODY = 1 << 20
"""Bytes of a JSON body. Routes that take files name their own limit through ``app.state.body_limits``."""
FREE_BODY = 16 << 10
"""Bytes that anybody may send; beyond it a body is taken from those alone whose token is good."""
LONGEST_URL = 8_000
"""Bytes of path and query: what RFC 9110 section 4.1 asks everybody to support. Nothing here needs more."""
MOST_HEADERS = 100
LARGEST_HEADERS = 32 << 10
"""Bytes of all names and values; the largest access token takes 8 KiB."""
PREFLIGHT_LASTS_S = 7_200
"""Seconds a browser may remember a preflight: Chromium's own limit."""
EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Language, Content-Range, Deprecation, DPoP-Nonce, ETag, Idempotent-Replay, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "Sandbox, Sunset, Upload-Complete, Upload-Length, Upload-Offset, WWW-Authenticate, X-Request-Id, Zaicun-Client-Minimum"
)
"""What a page of a configured origin may read besides the safelisted response headers."""
ALLOWED = "Accept, Accept-Language, Authorization, Content-Type, DPoP, If-Match, If-None-Match, Range, Upload-Complete, Upload-Offset, X-Request-Id, Zaicun-Client"
METHODS = "GET, HEAD, PUT, POST, PATCH, DELETE"
NEVER_TOO_OLD = ("/v1/check-ins/", "/v1/auth/", "/v1/time")
"""A check-in is taken from every client, however old, and so is what it needs to be sent: a token."""

Header = tuple[bytes, bytes]
Answer = Callable[[Problem, Request], Response]
Crashed = Callable[[Exception, Request], Response]
Prove = Callable[[Request], object]
_READ = frozenset(
    (
        b"x-request-id",
        b"origin",
        b"zaicun-client",
        b"access-control-request-method",
        b"content-length",
        b"content-encoding",
        b"expect",
    )
)
_UNSTORED = (b"cache-control", b"no-store")
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_VARY = (b"vary", b"Origin")
_MOST_CLIENTS = 256
_DIGITS = 4
"""A declared length of fewer is less than any limit, and need not be read as a number."""
_UNASKED: Message = {"type": "http.request", "more_body": True}
"""What stands for the content before any of it has come."""


class BodyRefused(HTTPException):
    """Raised inside the application where it would read a body that is too large, or large and nobody's.

    An HTTPException, because FastAPI turns every other error met while reading a body into a 400.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind.status)
        self.problem = problem


class ClientGone(HTTPException):
    """Raised inside the application when the client is gone before its request was whole: nobody hears an answer."""

    def __init__(self) -> None:
        super().__init__(499)  # As web servers' logs call it; it is never sent.


class Carried:
    """What answers carry besides their own headers, made once from the settings."""

    __slots__ = ("always", "origins", "sandbox")

    def __init__(self, settings: Settings) -> None:
        self.origins = {origin.encode(): _cross_origin(origin) for origin in settings.cors_origins}
        self.sandbox = settings.sandbox
        self.always: list[Header] = [_NOSNIFF]
        if self.origins:
            self.always.append(_VARY)
        if settings.sandbox:
            self.always.append((b"sandbox", b"true"))


class Envelope:
    """The middleware. `answer` writes a problem, `crashed` tells of an error that nobody foresaw and answers it.

    `prove` raises Problem (401) unless the request's token is good; the full check of its session comes later.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Mapping[str, int],
        settings: Settings,
        admission: Admission,
        answer: Answer,
        crashed: Crashed,
        prove: Prove,
    ) -> None:
        self.app = app
        self.limits = limits
        self.prove = prove
        self.answer = answer
        self.crashed = crashed
        told = Carried(settings)
        self.origins, self._always, self.sandbox = told.origins, told.always, told.sandbox
        self.admission = admission
        self.answer_within_s = settings.answer_within_s
        self.minimums = clients.minimums(settings.minimum_clients)
        self._outdated: dict[bytes, Header | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given, size = _given(scope["headers"])
        request_id = _request_id(given.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        carried = [*self._always, (b"x-request-id", request_id.encode())]
        crossing = self.origins.get(given.get(b"origin", b"")) if self.origins else None
        if crossing:
            carried += crossing
        old = self._told_to_update(given.get(b"zaicun-client")) if self.minimums else None
        if old:
            carried.append(old)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _bodiless(send)
            state["scope"] = scope  # The route is written into it; observed.py reads it there.
        if b"expect" in given:
            receive, send = _asking(receive, send)
        if b"content-encoding" in given and given[b"content-encoding"].strip().lower() != b"identity":
            receive = _refusing(HTTPException(415))  # Told by http.py; nothing is ever unpacked.
        exchange = _Exchange(send, carried, scope, state)
        if crossing and scope["method"] == "OPTIONS" and b"access-control-request-method" in given:
            await _preflight(exchange.send)
            return
        refused = self._refused(scope, size, old)
        if refused is None:
            await self._served(scope, receive, exchange, given.get(b"content-length", b""))
        else:
            await self._told(self.answer(refused, Request(scope)), scope, receive, exchange)

    async def _told(self, response: Response, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        """Send an answer of the envelope's own; the layer that marks what leaves a sandbox lies inside of this one."""
        told = sandbox.Marked(response) if self.sandbox else response
        await told(scope, receive, exchange.send)

    async def _served(self, scope: Scope, receive: Receive, exchange: "_Exchange", declared: bytes) -> None:
        free, limit = self._limit(scope["path"])
        if len(declared) >= _DIGITS and int(declared) > free:
            refused = self._unwelcome(scope, int(declared), limit)
            # Instead of asking for the body: to ask is what sends "100 Continue".
            receive, free = (receive, limit) if refused is None else (_refusing(refused), free)
        state = scope["state"]
        deadline = deadlines.begin(self.answer_within_s, state.get(deadlines.ARRIVED))
        taken = 0
        last: Message = _UNASKED

        async def bounded() -> Message:
            nonlocal free, last, taken
            message = await receive()
            body = message.get("body")
            if body is None:  # The client is gone; content always has one, empty as it may be.
                if last.get("more_body", False):
                    raise ClientGone
                return message
            last = message
            taken += len(body)
            if taken > free:
                refused = self._unwelcome(scope, taken, limit)
                if refused is not None:
                    raise refused
                free = limit
            deadline.restart(None if message.get("more_body", False) else state.get(deadlines.ARRIVED))
            return message

        try:
            await self.app(scope, bounded, exchange.send)
        except ClientGone:
            pass  # There is nobody to answer; observed.py counts it by the answer that was not begun.
        except Exception as error:  # noqa: BLE001  Whatever it is, the client gets a problem with its request id.
            answer = self.crashed(error, Request(scope))
            # Once begun, the server cuts the connection instead, and the client sees that the answer is not whole.
            if not exchange.started:
                await self._told(answer, scope, receive, exchange)
        finally:
            self.admission.leave(scope["state"])

    def _unwelcome(self, scope: Scope, size: int, limit: int) -> BodyRefused | None:
        """Return what refuses a body of more than FREE_BODY or `limit` bytes, None when it is taken."""
        if size > limit:
            return BodyRefused(body_too_large(limit))
        try:
            self.prove(Request(scope))
        except Problem as problem:
            return BodyRefused(problem)
        return None

    def _refused(self, scope: Scope, size: int, old: Header | None) -> Problem | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_URL:
            return Problem(
                problems.URL_TOO_LONG,
                zh=f"网址最多 {LONGEST_URL} 字节。",
                en=f"An address may have {LONGEST_URL} bytes at most.",
                limit_bytes=LONGEST_URL,
            )
        if size > LARGEST_HEADERS or len(scope["headers"]) > MOST_HEADERS:
            return headers_too_large()
        if old and not scope["path"].startswith(NEVER_TOO_OLD):
            return _too_old(old[1].decode())
        return None

    def _limit(self, path: str) -> tuple[int, int]:
        """Return how much anybody may send to an address, and how much whoever has a good token."""
        for prefix, size in self.limits.items():
            if path.startswith(prefix):
                return (size, size) if size < FREE_BODY else (FREE_BODY, size)
        return FREE_BODY, LARGEST_BODY

    def _told_to_update(self, header: bytes | None) -> Header | None:
        """Return the header that names the least version for an outdated client; clients are few, so they are kept."""
        if header is None:
            return None
        try:
            return self._outdated[header]
        except KeyError:
            text = header.decode("latin-1")
            needed = clients.outdated(text, self.minimums)
            name = text.partition("/")[0]
            told = None if needed is None else (b"zaicun-client-minimum", f"{name}/{needed.text}".encode())
            if len(self._outdated) >= _MOST_CLIENTS:
                self._outdated.clear()
            self._outdated[header] = told
            return told


def body_too_large(limit: int) -> Problem:
    """Return the problem of a body of more than `limit` bytes."""
    zh, en = f"正文最多 {limit} 字节。", f"The body may have {limit} bytes at most."
    return Problem(problems.BODY_TOO_LARGE, zh=zh, en=en, limit_bytes=limit)


def headers_too_large() -> Problem:
    """Return the problem of too many or too long header fields (RFC 6585 section 5)."""
    return Problem(
        problems.HEADERS_TOO_LARGE,
        zh=f"请求头最多 {MOST_HEADERS} 项，共 {LARGEST_HEADERS} 字节。",
        en=f"A request may have {MOST_HEADERS} header fields of {LARGEST_HEADERS} bytes together.",
        limit_bytes=LARGEST_HEADERS,
        limit_fields=MOST_HEADERS,
    )


def _too_old(minimum: str) -> Problem:
    return Problem(
        problems.CLIENT_TOO_OLD,
        zh=f"请更新应用（至少 {minimum}）。已按下和今后的签到仍会照常接收，不会丢失。",
        en=f"Please update the app ({minimum} or later). Check-ins are still taken from this version; none is lost.",
        minimum=minimum,
    )


def _given(headers: list[Header]) -> tuple[dict[bytes, bytes], int]:
    """Return the headers that matter here, and the size of all."""
    found: dict[bytes, bytes] = {}
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _READ:
            found.setdefault(name, value)
    return found, size


def _request_id(given: bytes | None) -> str:
    """Take the caller's X-Request-Id when it is a UUID, else make one: anything else could forge log lines."""
    if given is not None:
        try:
            return str(UUID(given.decode("ascii")))
        except (ValueError, UnicodeDecodeError):
            pass
    return ids.request_id()


class _Exchange:
    """The way out for one answer: its start gets the headers that every answer carries."""

    __slots__ = ("_carried", "_scope", "_send", "_state", "started")

    def __init__(self, send: Send, carried: list[Header], scope: Scope, state: dict[str, Any]) -> None:
        self._send = send
        self._carried = carried
        self._scope = scope
        self._state = state
        self.started = False

    def send(self, message: Message) -> Awaitable[None]:
        """Send one message. Awaited by the caller: one coroutine less than awaiting it here."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = message.setdefault("headers", [])
            headers += self._carried
            quota = self._state.get("quota")
            if quota is not None:
                headers += quota
            nonce = self._state.get("dpop-nonce")
            if nonce is not None:
                headers.append((b"dpop-nonce", nonce))
            if deprecations.REGISTRY:
                headers += deprecations.headers_of(self._scope.get("route"))
            for name, _ in headers:
                if name == b"cache-control":
                    break
            else:
                headers.append(_UNSTORED)
        return self._send(message)


def _bodiless(send: Send) -> Send:
    """Answer HEAD as GET without its content (RFC 9110 section 9.3.2)."""

    async def bodiless(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return bodiless


def _asking(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """End the connection with an answer to content that was announced (Expect: 100-continue) but not asked for.

    The client need not send it then (RFC 9110 section 10.1.1), so what comes next on the line could be taken for it.
    """
    asked = False

    def ask() -> Awaitable[Message]:
        nonlocal asked
        asked = True
        return receive()

    def closing(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start" and not asked:
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        return send(message)

    return ask, closing


def _refusing(refused: HTTPException) -> Receive:
    """Return a `receive` that refuses to."""

    async def refusing() -> Message:
        raise refused

    return refusing


def _cross_origin(origin: str) -> list[Header]:
    """Return what lets a page of this origin read an answer. Never credentials: tokens travel in a header."""
    return [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", EXPOSED.encode()),
    ]


_PREFLIGHT: list[Header] = [
    (b"access-control-allow-methods", METHODS.encode()),
    (b"access-control-allow-headers", ALLOWED.encode()),
    (b"access-control-max-age", str(PREFLIGHT_LASTS_S).encode()),
]


async def _preflight(send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
    await send({"type": "http.response.body", "body": b""})
