"""Whose signatures a request's check-ins carry. A table is asked once a request, and only for keys that are not its token's."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from server import gate, metrics, problems
from server.access import Who
from server.auth import device_queries
from server.auth.jws import Unfit
from server.checkins import reading, unsaid
from server.checkins.judging import Incoming
from server.checkins.signing import Signed
from server.db import Database
from server.deprecations import Deprecation

PROVEN = "checkins.proven"
"""In a request's state: a key of the account signed something in it, so that what is refused is kept (ruling 13)."""


class Prover:
    """Looks at the signatures of one request."""

    def __init__(self, request: Request, who: Who) -> None:
        self._request = request
        self._who = who
        self._own: frozenset[str] | None = None
        self.deprecation: Deprecation | None = None
        """What the answer says, because something in it will not be taken any more one day."""

    async def signer(self, checkin_id: UUID, content: Mapping[str, Any]) -> Signed | None:
        """Return what the signature of a check-in shows, None for one that is not signed and need not be.

        Raises Problem (401 proof-refused) when the token is bound and nothing shows that its sender has a key of the
        account, and RequestValidationError for a bad signature under a token that is not.
        """
        request, who = self._request, self._who
        try:
            signed = reading.signer_of(checkin_id, content, who)
            if signed is not None and who.jkt not in {None, signed.key.jkt}:
                # Signed before the phone was given another key: the person's all the same.
                await self._require_own(signed.key.jkt)
        except Unfit as unfit:
            metrics.unproven(problems.PROOF_REFUSED.code)
            await gate.tell_misuse(request, who)
            raise request.app.state.doorkeeper.unproven(unfit.cause) from None
        if signed is not None:
            request.scope["state"][PROVEN] = True
        return signed

    def read(
        self, checkin_id: UUID, content: Mapping[str, Any], signed: Signed | None, body: bytes
    ) -> Incoming:
        """Return a check-in whose signature was looked at. Raises RequestValidationError."""
        state = self._request.app.state
        incoming = reading.read(checkin_id, content, signed, body, self._who, keys=state.doorkeeper.keys)
        if incoming.given.position is not None and incoming.given.position.unsaid:
            client = self._request.headers.get("zaicun-client")
            self.deprecation = unsaid.allowed(incoming, client, state.settings)
        return incoming

    async def _require_own(self, jkt: str) -> None:
        state = self._request.app.state
        if self._own is None:
            state.admission.enter(self._request.scope["state"])
            self._own = await run_in_threadpool(_keys, state.database, self._who.account_id)
        if jkt not in self._own:
            raise Unfit("key")


def _keys(database: Database, account_id: UUID) -> frozenset[str]:
    with database.read() as session:
        return device_queries.thumbprints(session, account_id)
