"""Slowing guesses: every attempt is counted before it is looked at, in a transaction of its own (security.md M12).

An attempt from a stranger counts for its login and for its address; one from a known device counts for that device
alone. So whoever guesses at somebody's login slows all strangers, and the owner still logs in from the own phone.
Counting first means that a thousand attempts at once are a thousand attempts.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import clock, problems
from server.auth import rules
from server.auth.models import Throttle
from server.problems import Problem

_FORGOTTEN = timedelta(days=2)
_UNBLOCKED = datetime(2000, 1, 1, tzinfo=UTC)
"""Long past, not "now": a clock that steps back, or another server's, must not find somebody blocked who is not."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What attempts are counted under. `kind` is one of rules.PACES."""

    kind: str
    name: str

    @property
    def mark(self) -> bytes:
        """Return the SHA-256 under which the subject is stored."""
        return hashlib.sha256(self.name.encode()).digest()


def count(session: orm.Session, *subjects: Subject) -> None:
    """Count one attempt. Raises Problem (429 with Retry-After) when a subject must still wait; then nothing is counted.

    Locks go in the order of the kinds, so that two attempts never wait for each other.
    """
    _refuse_at_once(session, subjects)
    for subject in sorted(subjects, key=lambda s: s.kind, reverse=True):
        _count(session, subject)


def _refuse_at_once(session: orm.Session, subjects: Sequence[Subject]) -> None:
    """Turn away what must wait by one look without locks: a flood of guesses costs one statement each."""
    named = sa.tuple_(Throttle.kind, Throttle.subject).in_([(s.kind, s.mark) for s in subjects])
    found = session.execute(sa.select(Throttle.kind, Throttle.blocked_until).where(named)).all()
    now = clock.now()
    left = max((rules.PACES[kind].left(until, now) for kind, until in found), default=timedelta(0))
    if left:
        raise slowed(left)


def _count(session: orm.Session, subject: Subject) -> None:
    pace = rules.PACES[subject.kind]
    row = _locked(session, subject)
    now = clock.now()  # Read with the row locked: others may have written while this attempt waited for it.
    if row is None:
        fresh = {"kind": subject.kind, "subject": subject.mark, "level": 0.0}
        session.execute(
            postgresql.insert(Throttle)
            .values(**fresh, blocked_until=now, touched_at=now)
            .on_conflict_do_nothing(index_elements=["kind", "subject"])
        )
        row = _locked(session, subject)
    if row is None:
        raise Problem(problems.BUSY, headers={"Retry-After": "1"})  # Swept away in between.
    if left := pace.left(row.blocked_until, now):
        raise slowed(left)
    level, wait_s = pace.after(row.level, (now - row.touched_at).total_seconds())
    row.level, row.blocked_until, row.touched_at = level, now + timedelta(seconds=wait_s), now
    session.flush()


def slowed(wait: timedelta) -> Problem:
    """Return the 429 that says when to try again."""
    seconds = max(1, math.ceil(wait.total_seconds()))
    return Problem(
        problems.TOO_MANY_REQUESTS,
        zh=f"尝试次数过多，请在 {seconds} 秒后再试。账号没有被锁定；用以前登录过的手机不受影响。",
        en=f"Too many attempts; try again in {seconds} seconds. The account is not locked, and a phone that logged in "
        "before is not affected.",
        headers={"Retry-After": str(seconds), "RateLimit": f'"attempts";r=0;t={seconds}'},
        retry_after_s=seconds,
    )


def _locked(session: orm.Session, subject: Subject) -> Throttle | None:
    query = sa.select(Throttle).where(Throttle.kind == subject.kind, Throttle.subject == subject.mark)
    return session.scalar(query.with_for_update(), execution_options={"populate_existing": True})


def succeeded(session: orm.Session, *subjects: Subject) -> None:
    """Take the counted attempt back, because it was right.

    The login's own count starts anew; an address's does not: whoever holds one account could otherwise guess at
    others without end.
    """
    for subject in sorted(subjects, key=lambda s: s.kind, reverse=True):
        row = _locked(session, subject)
        if row is not None:
            row.level = max(0.0, row.level - 1) if subject.kind == "address" else 0.0
            row.blocked_until = _UNBLOCKED
    _sweep(session)


def withdrawn(session: orm.Session, *subjects: Subject) -> None:
    """Take a counted attempt back that was never looked at, because the service was busy."""
    for subject in sorted(subjects, key=lambda s: s.kind, reverse=True):
        row = _locked(session, subject)
        if row is not None:
            row.level, row.blocked_until = max(0.0, row.level - 1), _UNBLOCKED


def _sweep(session: orm.Session) -> None:
    """Forget a few subjects that nobody tried for days."""
    old = (
        sa.select(Throttle.kind, Throttle.subject)
        .where(Throttle.touched_at < clock.now() - _FORGOTTEN)
        .limit(50)
        .with_for_update(skip_locked=True)
    )
    session.execute(sa.delete(Throttle).where(sa.tuple_(Throttle.kind, Throttle.subject).in_(old)))
