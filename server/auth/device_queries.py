"""Every SELECT about keys of phones."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock, problems
from server.access import Who
from server.auth import queries, rules
from server.auth.models import Account, DeviceCode, DeviceEvent, DeviceKey, LoginSession
from server.auth.rules import KeyCause, KeyEvent, KeyState, Protection
from server.problems import Problem


def _has(kind: KeyEvent) -> sa.ColumnElement[bool]:
    return sa.exists().where(DeviceEvent.device_id == DeviceKey.id, DeviceEvent.kind == kind)


_LIVE = ~_has(KeyEvent.REVOKED)
_TRUSTED = sa.and_(_LIVE, _has(KeyEvent.TRUSTED))
_WAITING = sa.and_(_LIVE, ~_has(KeyEvent.TRUSTED))


def of_key(session: orm.Session, account_id: UUID, jkt: str) -> DeviceKey | None:
    """Return an account's key by its thumbprint."""
    return session.scalar(
        sa.select(DeviceKey).where(DeviceKey.account_id == account_id, DeviceKey.jkt == jkt)
    )


def own(session: orm.Session, account_id: UUID, device_id: UUID) -> DeviceKey:
    """Return one of an account's keys. Missing and another account's are the same Problem (404)."""
    row = session.get(DeviceKey, device_id)
    if row is None or row.account_id != account_id:
        raise Problem(problems.NOT_FOUND)
    return row


def happened(session: orm.Session, device_id: UUID, kind: KeyEvent) -> bool:
    """Tell whether an event is among those of a key."""
    condition = sa.exists().where(DeviceEvent.device_id == device_id, DeviceEvent.kind == kind)
    return bool(session.scalar(sa.select(condition)))


def state(session: orm.Session, device_id: UUID) -> KeyState:
    """Return what a key is good for now."""
    kinds = session.scalars(sa.select(DeviceEvent.kind).where(DeviceEvent.device_id == device_id))
    return rules.key_state(KeyEvent(kind) for kind in kinds)


def standing(session: orm.Session, account_id: UUID, jkt: str) -> KeyState | None:
    """Return what the key of a session is good for, None when the account has no such key."""
    row = of_key(session, account_id, jkt)
    return None if row is None else state(session, row.id)


def thumbprints(session: orm.Session, account_id: UUID) -> frozenset[str]:
    """Return the keys that an account has, or had."""
    return frozenset(session.scalars(sa.select(DeviceKey.jkt).where(DeviceKey.account_id == account_id)))


def accounts_of(session: orm.Session, jkt: str) -> Sequence[UUID]:
    """Return the accounts that enrolled a key, those that gave it up as well: one phone, several people (edge 70)."""
    return session.scalars(
        sa.select(DeviceKey.account_id).where(DeviceKey.jkt == jkt).order_by(DeviceKey.id)
    ).all()


def ever_trusted(session: orm.Session, account_id: UUID) -> bool:
    """Tell whether an account has, or ever had, a trusted key."""
    condition = sa.exists().where(DeviceKey.account_id == account_id, _has(KeyEvent.TRUSTED))
    return bool(session.scalar(sa.select(condition)))


def live(session: orm.Session, account_id: UUID, *, trusted: bool | None = None) -> Sequence[DeviceKey]:
    """Return an account's keys that have not ended, oldest first: all, the trusted ones, or those that wait."""
    which = _LIVE if trusted is None else _TRUSTED if trusted else _WAITING
    query = sa.select(DeviceKey).where(DeviceKey.account_id == account_id, which)
    return session.scalars(query.order_by(DeviceKey.id)).all()


def live_code(session: orm.Session, account_id: UUID) -> DeviceCode | None:
    """Return the account's code that can still be used, locked: of many tries at once each is counted."""
    return session.scalar(
        sa.select(DeviceCode)
        .where(
            DeviceCode.account_id == account_id,
            DeviceCode.used_at.is_(None),
            DeviceCode.void_at.is_(None),
            DeviceCode.expires_at > clock.now(),
        )
        .with_for_update()
    )


def code_used_for(session: orm.Session, device_id: UUID) -> bytes | None:
    """Return the hash of the code that was used for a key last."""
    query = sa.select(DeviceCode.code_hash).where(DeviceCode.used_for == device_id)
    return session.scalar(query.order_by(DeviceCode.used_at.desc()).limit(1))


def replaces_others(session: orm.Session, device_id: UUID) -> bool:
    """Tell whether the person said, with the code for this key, that it takes the place of every other one."""
    condition = sa.exists().where(DeviceCode.used_for == device_id, DeviceCode.replaces)
    return bool(session.scalar(sa.select(condition)))


# --- shown
@dataclass(frozen=True, slots=True)
class Shown:
    """A key as people see it. `used_at` is when a session with it was last used, `shared` that others have it too."""

    id: UUID
    client: str
    algorithm: str
    protection: Protection
    jkt: str
    state: KeyState
    enrolled_at: datetime
    trusted_at: datetime | None
    trusted_by: KeyCause | None
    revoked_at: datetime | None
    revoked_by: KeyCause | None
    used_at: datetime | None
    shared: bool


def shown(session: orm.Session, rows: Iterable[DeviceKey]) -> list[Shown]:
    """Return keys with what happened to them, in the order given: three statements for all."""
    keys = list(rows)
    events: defaultdict[UUID, dict[KeyEvent, DeviceEvent]] = defaultdict(dict)
    for event in session.scalars(
        sa.select(DeviceEvent).where(DeviceEvent.device_id.in_([key.id for key in keys]))
    ):
        events[event.device_id][KeyEvent(event.kind)] = event
    used = _last_used(session, keys)
    shared = _shared(session, {key.jkt for key in keys})
    return [_shown(key, events[key.id], used.get((key.account_id, key.jkt)), shared) for key in keys]


def _shown(
    key: DeviceKey,
    events: Mapping[KeyEvent, DeviceEvent],
    used_at: datetime | None,
    shared: Collection[str],
) -> Shown:
    trusted, revoked = events.get(KeyEvent.TRUSTED), events.get(KeyEvent.REVOKED)
    return Shown(
        id=key.id,
        client=key.client,
        algorithm=key.algorithm,
        protection=Protection(key.protection),
        jkt=key.jkt,
        state=rules.key_state(events),
        enrolled_at=key.enrolled_at,
        trusted_at=trusted.at if trusted else None,
        trusted_by=KeyCause(trusted.cause) if trusted else None,
        revoked_at=revoked.at if revoked else None,
        revoked_by=KeyCause(revoked.cause) if revoked else None,
        used_at=used_at,
        shared=key.jkt in shared,
    )


def _last_used(session: orm.Session, keys: Collection[DeviceKey]) -> dict[tuple[UUID, str], datetime]:
    rows = session.execute(
        sa.select(LoginSession.account_id, LoginSession.jkt, sa.func.max(LoginSession.used_at))
        .where(
            LoginSession.account_id.in_({key.account_id for key in keys}),
            LoginSession.jkt.in_({key.jkt for key in keys}),
        )
        .group_by(LoginSession.account_id, LoginSession.jkt)
    )
    return {(row[0], cast("str", row[1])): row[2] for row in rows}


def _shared(session: orm.Session, jkts: Collection[str]) -> set[str]:
    rows = session.scalars(
        sa.select(DeviceKey.jkt)
        .where(DeviceKey.jkt.in_(jkts))
        .group_by(DeviceKey.jkt)
        .having(sa.func.count() > 1)
    )
    return set(rows)


def of_account(
    session: orm.Session, account_id: UUID, *, after: tuple[UUID] | None, limit: int
) -> Sequence[DeviceKey]:
    """Return ``limit + 1`` keys of an account, those that ended as well, newest first."""
    query = sa.select(DeviceKey).where(DeviceKey.account_id == account_id)
    if after:
        query = query.where(DeviceKey.id < after[0])
    return session.scalars(query.order_by(DeviceKey.id.desc()).limit(limit + 1)).all()


def waiting(
    session: orm.Session, asking: Who, *, after: tuple[UUID] | None, limit: int
) -> Sequence[tuple[DeviceKey, Account]]:
    """Return ``limit + 1`` keys that wait, of accounts that `asking` looks after, newest first."""
    query = (
        sa.select(DeviceKey, Account)
        .join(Account, Account.id == DeviceKey.account_id)
        .where(_WAITING, queries.in_reach(asking, clock.now()), Account.id != asking.account_id)
    )
    if after:
        query = query.where(DeviceKey.id < after[0])
    rows = session.execute(query.order_by(DeviceKey.id.desc()).limit(limit + 1))
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of one's own keys. `by` is the name of who did it, None for oneself."""

    id: int
    at: datetime
    device_id: UUID
    client: str
    kind: KeyEvent
    cause: KeyCause
    by: str | None
    reason: str
    by_this_session: bool


def history(session: orm.Session, who: Who, *, after: tuple[int] | None, limit: int) -> list[Happened]:
    """Return ``limit + 1`` events of one's own keys, newest first."""
    query = (
        sa.select(DeviceEvent, DeviceKey.client, Account.display_name)
        .join(DeviceKey, DeviceKey.id == DeviceEvent.device_id)
        .outerjoin(Account, sa.and_(Account.id == DeviceEvent.by_account, Account.id != DeviceKey.account_id))
        .where(DeviceKey.account_id == who.account_id)
    )
    if after:
        query = query.where(DeviceEvent.id < after[0])
    rows = session.execute(query.order_by(DeviceEvent.id.desc()).limit(limit + 1))
    return [
        Happened(
            id=event.id,
            at=event.at,
            device_id=event.device_id,
            client=client,
            kind=KeyEvent(event.kind),
            cause=KeyCause(event.cause),
            by=name,
            reason=event.reason,
            by_this_session=event.in_session == who.session_id,
        )
        for event, client, name in rows
    ]
