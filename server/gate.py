"""The gate between HTTP and a transaction: who asks, with which role, and whether the session still stands.

The token carries the grants, so knowing who asks costs no I/O. Whether the session was ended, or the grants were
changed since, is one look-up at the head of every transaction (security.md M10: effective on the next request).
How tokens are read and sessions checked is the auth room's; the application puts it here when it is assembled, so
that the rooms below auth can be asked too.

The dependencies are coroutines although they never wait: FastAPI sends every other function to a thread, and half a
dozen trips to threads cost more than what is done there.
"""

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import orm
from starlette.concurrency import run_in_threadpool

from server import audit, problems, quotas
from server.access import Role, Who
from server.db import Database
from server.problems import Problem
from server.quotas import Quotas
from server.settings import Settings


class Doorkeeper(Protocol):
    """What the auth room supplies."""

    def read(self, token: str) -> Who:
        """Return who holds the token. Pure but for the clock. Raises Problem (401)."""

    def prove(self, request: Request, who: Who, token: str) -> None:
        """Raise Problem (401) unless the request proves that its sender holds the key of its token."""

    def unproven(self, cause: str) -> Problem:
        """Return the 401 of content that the token's key should have signed and did not, and count why."""

    def admit(self, session: orm.Session, who: Who) -> None:
        """Raise Problem (401 token-stale) unless the session stands and the grants are as in the token."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Transactions on behalf of one person."""

    database: Database
    doorkeeper: Doorkeeper
    who: Who
    heavy: bool = False  # Its transactions may take long, and only some of them run at once (db.Database).

    @contextmanager
    def read(self) -> Iterator[orm.Session]:
        """Open a read-only transaction, after checking that the session stands."""
        with self.database.read(long=self.heavy) as session:
            self.doorkeeper.admit(session, self.who)
            yield session

    @contextmanager
    def write(self) -> Iterator[orm.Session]:
        """Open a transaction that commits at the end, after checking that the session stands."""
        with self.database.write(long=self.heavy) as session:
            self.doorkeeper.admit(session, self.who)
            yield session

    @contextmanager
    def look(self) -> Iterator[orm.Session]:
        """Open a transaction that reads another person's records: one snapshot, and what server.looks writes commits."""
        with self.database.write(long=self.heavy, snapshot=True) as session:
            self.doorkeeper.admit(session, self.who)
            yield session


SIGNED_THEMSELVES = frozenset({"checkins-put", "checkins-batch"})
"""Operations whose body, not the request, is signed by the phone's key (ruling 23): a queue is sent days later."""


def bearer(request: Request) -> str:
    """Return the token of the Authorization header (RFC 6750, RFC 9449 section 7.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not token.strip():
        raise Problem(problems.TOKEN_MISSING, headers={"WWW-Authenticate": "Bearer"})
    return token.strip()


def who_of(request: Request) -> Who:
    """Return who holds the request's token."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper.read(bearer(request))


async def current_who(request: Request) -> Who:
    """Return who holds the request's token, and count the request for their quota. Raises Problem (401, 429)."""
    token = bearer(request)
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    who = doorkeeper.read(token)
    if who.jkt is None and request.headers["authorization"][:5].lower() == "dpop ":
        # A token without a key must not pass for one with it (RFC 9449 section 7.1).
        raise Problem(problems.TOKEN_INVALID, headers={"WWW-Authenticate": 'DPoP error="invalid_token"'})
    operation = request.scope["route"].operation_id
    if who.jkt is not None and operation not in SIGNED_THEMSELVES:
        await _proven(request, doorkeeper, who, token)
    kind = _quota_of(operation, request.method)
    if kind is not None:
        held: Quotas = request.app.state.quotas
        held.take(who.account_id, kind, request.scope["state"])
    return who


async def _proven(request: Request, doorkeeper: Doorkeeper, who: Who, token: str) -> None:
    """Ask for the proof before anything is counted: whoever has the token alone uses up nothing of its owner's.

    That somebody does is told to the owner (edge 72), once an hour a session: it is read, not counted.
    """
    try:
        doorkeeper.prove(request, who, token)
    except Problem as problem:
        if problem.kind is problems.PROOF_REFUSED:
            await tell_misuse(request, who)
        raise


async def tell_misuse(request: Request, who: Who) -> None:
    """Tell the owner, once an hour a session, that somebody sent their token without its key (edge 72)."""
    state = request.app.state
    if state.misuses.first(who.session_id):
        state.admission.enter(request.scope["state"])
        await run_in_threadpool(_tell_owner, state.database, who)


def _tell_owner(database: Database, who: Who) -> None:
    with database.write() as session:
        audit.record(
            session, None, "auth:proof-refused", ("account", who.account_id), session_id=str(who.session_id)
        )


class Misuses:
    """Which sessions' tokens came without their key in the last hour. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[UUID, float] = {}

    def first(self, session_id: UUID) -> bool:
        """Tell whether this is the first time in an hour, and remember it."""
        now = self._clock()
        told = self._told.pop(session_id, None)
        if told is not None and now - told < _QUIET_S:
            self._told[session_id] = told
            return False
        while len(self._told) >= _MOST_TOLD:
            del self._told[next(iter(self._told))]
        self._told[session_id] = now
        return True


_QUIET_S = 3600.0
_MOST_TOLD = 4096
_quota_of = cache(quotas.kind_of)


Anyone = Annotated[Who, Depends(current_who)]
"""Any account that is logged in."""


async def gate(request: Request, who: Anyone) -> Gate:
    """Return the way to the database for this request. Raises Problem (503 busy) when too many are inside."""
    state = request.app.state
    state.admission.enter(request.scope["state"])
    heavy = _quota_of(request.scope["route"].operation_id, request.method) == quotas.HEAVY
    return Gate(state.database, state.doorkeeper, who, heavy=heavy)


async def open_database(request: Request) -> Database:
    """Return the database for the few routes that need no token (logging in). Raises Problem as `gate` does."""
    request.app.state.admission.enter(request.scope["state"])
    database: Database = request.app.state.database
    return database


async def settings_of(request: Request) -> Settings:
    """Return the application's settings."""
    settings: Settings = request.app.state.settings
    return settings


Db = Annotated[Gate, Depends(gate)]
OpenDb = Annotated[Database, Depends(open_database)]
Configured = Annotated[Settings, Depends(settings_of)]


def requires(*roles: Role) -> Callable[[Who], Coroutine[None, None, Who]]:
    """Return a dependency that lets only these roles pass: 403, because the role never has the operation."""

    async def check(who: Anyone) -> Who:
        if not who.has(*roles):
            raise Problem(problems.FORBIDDEN)
        return who

    return check


Cadre = Annotated[Who, Depends(requires(Role.CADRE))]
DistrictOfficer = Annotated[Who, Depends(requires(Role.DISTRICT))]
