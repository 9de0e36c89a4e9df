"""The gate between HTTP and a transaction: who asks, with which role, and whether the session still stands.

The token carries the grants, so knowing who asks costs no I/O. Whether the session was ended, or the grants were
changed since, is one look-up at the head of every transaction (security.md M10: effective on the next request).
How tokens are read and sessions checked is the auth room's; the application puts it here when it is assembled, so
that the rooms below auth can be asked too.

The dependencies are coroutines although they never wait: FastAPI sends every other function to a thread, and half a
dozen trips to threads cost more than what is done there.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Protocol

from fastapi import Depends, Request
from sqlalchemy import orm

from server import problems, quotas
from server.access import Role, Who
from server.db import Database
from server.problems import Problem
from server.quotas import Quotas
from server.settings import Settings


class Doorkeeper(Protocol):
    """What the auth room supplies."""

    def read(self, token: str) -> Who:
        """Return who holds the token. Pure but for the clock. Raises Problem (401)."""

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


def bearer(request: Request) -> str:
    """Return the token of the Authorization header (RFC 6750)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(problems.TOKEN_MISSING, headers={"WWW-Authenticate": "Bearer"})
    return token.strip()


def who_of(request: Request) -> Who:
    """Return who holds the request's token."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper.read(bearer(request))


async def current_who(request: Request) -> Who:
    """Return who holds the request's token, and count the request for their quota. Raises Problem (401, 429)."""
    who = who_of(request)
    kind = _quota_of(request.scope["route"].operation_id, request.method)
    if kind is not None:
        held: Quotas = request.app.state.quotas
        held.take(who.account_id, kind, request.scope["state"])
    return who


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
