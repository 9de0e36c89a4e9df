"""The way of a check-in through HTTP without the framework's machinery: the same operation, a third of the cost.

One address is asked a thousand times as often as all the others together, and solving dependencies, wrapping requests
and matching included routers took two thirds of its time (DECISIONS.md). This route takes a request only when nothing
about it is unusual: a JSON body that fits the schema, a token that is good, its key's signature where it has one, a
cadre's role. Everything else, refusals above all, it hands with the bytes it has read to the documented route,
`routes.put`. So what is refused, how it is told and what is recorded is written once, and what is accepted passes the
same schema into the same intake.
"""

from collections.abc import Iterable
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access import Role, Who
from server.checkins import reading
from server.checkins.judging import Incoming
from server.checkins.record import answer_bytes
from server.problems import Problem

PREFIX = "/v1/check-ins/"
_LENGTH = len(PREFIX) + 36
_PASSED_ON = "zaicun.passed_on"
_JSON = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replay", b"true")
_id_of = TypeAdapter(UUID).validate_python

Header = tuple[bytes, bytes]


class PlainPut(BaseRoute):
    """`PUT /v1/check-ins/{id}`; `documented` is the router that serves what this one passes on.

    Not in the OpenAPI document itself: the documented route describes the operation, whose id it shares.
    """

    operation_id = "checkins-put"
    path_format = PREFIX + "{checkin_id}"

    def __init__(self, documented: ASGIApp) -> None:
        self._documented = documented

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take a PUT to an address of the right length, once."""
        if (
            scope["type"] == "http"
            and scope["method"] == "PUT"
            and len(scope["path"]) == _LENGTH
            and scope["path"].startswith(PREFIX)
            and _PASSED_ON not in scope
        ):
            return Match.FULL, {"route": self}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI). Raises what the intake raises: Problem 401, 409 or 503."""
        read, failure = await read_whole(receive)
        incoming = None if failure is not None else _incoming(scope, read)
        if incoming is None:
            scope[_PASSED_ON] = True
            await self._documented(scope, again(read, failure, receive), send)
            return
        stored = await scope["app"].state.intake.put(incoming)
        content = answer_bytes(stored.record, stored.receipt)
        first = (b"location", scope["path"].encode()) if stored.created else _REPLAYED
        headers = [first, (b"content-length", str(len(content)).encode()), _JSON]
        status = 201 if stored.created else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def read_whole(receive: Receive) -> tuple[list[Message], Exception | None]:
    """Read the whole body: its messages, and what broke the reading off (a body too large, a client that is gone), if anything did."""
    read: list[Message] = []
    try:
        while True:
            message = await receive()
            read.append(message)
            if not message.get("more_body", False):
                return read, None
    except Exception as failure:  # noqa: BLE001  Whatever it is, the documented route meets it where it would have.
        return read, failure


def again(read: Iterable[Message], failure: Exception | None, receive: Receive) -> Receive:
    """Return a `receive` that tells once more what was read, fails as it failed, then goes on."""
    left = iter(read)

    async def receive_again() -> Message:
        for message in left:
            return message
        if failure is not None:
            raise failure
        return await receive()

    return receive_again


def _incoming(scope: Scope, read: list[Message]) -> Incoming | None:
    """Return the check-in of a request about which nothing is unusual, else None."""
    token = _token(scope["headers"])
    if token is None:
        return None
    body = read[0].get("body", b"") if len(read) == 1 else b"".join(part.get("body", b"") for part in read)
    try:
        who: Who = scope["app"].state.doorkeeper.read(token)
        if who.person_id is None or not who.has(Role.CADRE):
            return None
        checkin_id = _id_of(scope["path"][len(PREFIX) :])
        return reading.plainly(checkin_id, body, who, scope["app"].state.doorkeeper.keys)
    except (Problem, ValidationError, RequestValidationError):
        return None


def _token(headers: Iterable[Header]) -> str | None:
    """Return the bearer token of a request that says plainly that its body is JSON; None for any other."""
    token: bytes | None = None
    is_json: bool | None = None
    for name, value in headers:
        if name == b"authorization":
            if token is not None or value[:7].lower() != b"bearer ":
                return None
            token = value[7:].strip()
        elif name == b"content-type":
            if is_json is not None:
                return None
            is_json = value == b"application/json" or value.startswith(b"application/json;")
        elif name == b"content-encoding":
            return None
    return token.decode("latin-1") if token and is_json else None
