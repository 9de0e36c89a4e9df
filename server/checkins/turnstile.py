"""The way in for queues: whoever cannot be let in is told so before anything is done for him (security.md S3).

When a mast comes back, thousands of phones send their queues in the same second, and are told to come again. If that
cost as much as reading a queue, refusing alone would take the whole processor, and nothing would ever be stored: the
groups of the intake would wait for the event loop until their time is over. So a batch that finds all places taken is
refused before its body is read, its token verified and its items parsed.
"""

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from server.checkins.batches import Batches
from server.checkins.plain import again, read_whole

PATH = "/v1/check-ins/batch"
_PASSED_ON = "zaicun.let_in"


class Turnstile(BaseRoute):
    """`POST /v1/check-ins/batch`; `documented` is the router that serves whoever is let in.

    Not in the OpenAPI document itself: the documented route describes the operation, whose id it shares.
    """

    operation_id = "checkins-batch"
    path_format = PATH

    def __init__(self, documented: ASGIApp) -> None:
        self._documented = documented

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take a POST to this address, once."""
        if (
            scope["type"] == "http"
            and scope["path"] == PATH
            and scope["method"] == "POST"
            and _PASSED_ON not in scope
        ):
            return Match.FULL, {"route": self}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI). Raises Problem 503 when there is no place."""
        batches: Batches = scope["app"].state.batches
        batches.look()
        read, failure = await read_whole(receive)  # A slow sender holds no place.
        scope[_PASSED_ON] = True
        with batches.place():
            await self._documented(scope, again(read, failure, receive), send)
