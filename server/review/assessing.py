"""The worker that assesses check-ins after the intake has stored and answered them.

It takes them in the order of arrival, a batch a transaction: the results, the items that they open and how far it has
come are kept together or not at all. Its one row (`AssessmentMark`) is its lock, so that of several schedulers one works
and the others go by. What comes late is compared with what was there and changes that too, as a new revision beside
the old one. Nothing here can take a day from anybody (M24): it writes assessments, items, and verdicts that are held in
the person's favour.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import clock
from server.checkins import rejudging
from server.checkins.plausibility import scoring
from server.checkins.plausibility.facts import in_columns
from server.checkins.plausibility.scoring import Attention
from server.checkins.plausibility.signals import Signal
from server.db import Database
from server.places.rules import today
from server.review import gathering, inbox, policies
from server.review.gathering import Fresh
from server.review.models import Assessment, AssessmentMark
from server.review.policies import InForce
from server.review.rules import Band, ReviewCause

MOST: Final = 1_000
"""Check-ins assessed in one transaction: some 60,000 are read for them, a second's work."""
SETTLED: Final = timedelta(seconds=60)
"""A check-in is stored within seconds of its arrival; a statement that takes longer is ended (M4)."""
REACH: Final = timedelta(days=31)
"""How far back the first run begins on a database that was in use before."""
RUSH: Final = 2_000
RUSH_WITHIN: Final = timedelta(seconds=10)
"""So many check-ins in so short a time, and the worker leaves the processors to the intake: nobody waits for it."""
PATIENCE: Final = timedelta(hours=1)
"""When it is behind by more it takes one batch at a time even then."""
BANDS: Final = {
    Attention.NONE: Band.NONE,
    Attention.SAMPLE: Band.SAMPLED,
    Attention.REVIEW: Band.REVIEW,
}

Key = tuple[UUID, UUID]
"""A person and a check-in's id."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one step did. `taken` None: another process is at work."""

    taken: int | None
    changed: int = 0
    opened: int = 0

    @property
    def more(self) -> bool:
        """Tell whether there is likely to be more."""
        return self.taken == MOST


@dataclass(frozen=True, slots=True)
class Found:
    """What a check-in is assessed as, ready to be stored."""

    target: Fresh
    score: int
    band: Band
    drawn: bool
    signals: list[dict[str, Any]] | None


def step(session: orm.Session) -> Done:
    """Assess the next batch of what arrived, in this transaction."""
    mark = _locked(session)
    if mark is None:
        return Done(None)
    now = clock.now()
    new = gathering.fresh(session, mark.until, now + SETTLED, MOST)
    done = assess(session, new, mark.draw_key)
    settled = now - SETTLED
    reached = min(new[-1].received_at, settled) if done.more else settled
    mark.until = max(mark.until, reached)
    session.flush()
    return done


def catch_up(database: Database, *, most_s: float = 10.0, gives_way: bool = False) -> Done:
    """Take steps, each in a transaction of its own, until nothing is left or the time is over.

    With `gives_way` only as long as the intake has little to do (RUSH).
    """
    until = time.monotonic() + most_s
    taken = changed = opened = 0
    while True:
        with database.write() as session:
            done = Done(0) if gives_way and _waits(session, begun=taken > 0) else step(session)
        if done.taken is None:
            return Done(taken or None, changed, opened)
        taken, changed, opened = taken + done.taken, changed + done.changed, opened + done.opened
        if not done.more or time.monotonic() > until:
            return Done(taken, changed, opened)


_RUSH = """SELECT count(*) FROM (SELECT FROM checkin_rows WHERE received_at > :since LIMIT :rush) AS r"""


def _waits(session: orm.Session, *, begun: bool) -> bool:
    """Tell whether the worker leaves the processors to the intake for now."""
    now = clock.now()
    came = session.scalar(sa.text(_RUSH), {"since": now - RUSH_WITHIN, "rush": RUSH})
    until = session.scalar(sa.select(AssessmentMark.until))
    return came == RUSH and (begun or (until is not None and now - until < PATIENCE))


def sweep(session: orm.Session, since: datetime) -> Done:
    """Assess what was received since an instant and never was, whatever the mark says; for operators."""
    mark = _locked(session, wait=True)
    if mark is None:
        return Done(None)
    return assess(session, gathering.fresh(session, since, mark.until, MOST), mark.draw_key)


def _locked(session: orm.Session, *, wait: bool = False) -> AssessmentMark | None:
    """Return the worker's row, locked; None while another transaction holds it. The first time it is made."""
    began = clock.now() - REACH
    row = postgresql.insert(AssessmentMark).values(one=True, until=began, draw_key=secrets.token_bytes(32))
    session.execute(row.on_conflict_do_nothing())
    query = sa.select(AssessmentMark).with_for_update(skip_locked=not wait)
    return session.execute(query).scalar_one_or_none()


def assess(session: orm.Session, new: Sequence[Fresh], draw_key: bytes) -> Done:
    """Assess these check-ins and what they change, and keep the results."""
    if not new:
        return Done(0)
    batch = gathering.batch(session, new, today(clock.now()))
    policy = policies.in_force(session)
    found = weigh(session, batch.targets, policy, draw_key)
    first = {each.seq for each in batch.fresh}
    kept = [each for each in found if each.target.seq in first]
    again = _changed(session, [each for each in found if each.target.seq not in first])
    _store(session, kept, again, policy.id)
    opened = inbox.open_for_check_ins(session, [a for each in found if (a := asked_for(each)) is not None])
    rejudging.hold(session, [(each.person_id, each.id) for each in new])
    return Done(len(new), len(again), opened)


def asked_for(found: Found) -> inbox.Asked | None:
    """Return what somebody is asked to look at; None where nobody is."""
    if found.band is Band.REVIEW or (found.band is Band.SAMPLED and found.drawn):
        cause = ReviewCause.SIGNALS if found.band is Band.REVIEW else ReviewCause.DRAWN
        return inbox.Asked(found.target.person_id, found.target.id, cause)
    return None


def weigh(session: orm.Session, targets: Sequence[Fresh], policy: InForce, draw_key: bytes) -> list[Found]:
    """Return what the targets are assessed as by a policy, in their order. Writes nothing."""
    named = in_columns(gathering.sightings(session, targets))
    every = scoring.assess(named, known=policies.customs_known(session), policy=policy.policy)
    by_key: dict[Key, scoring.Assessment] = {
        (named.people[int(code)], each.check_in): each
        for code, each in zip(named.columns.person, every, strict=True)
    }
    percent = policy.policy.sampled_percent
    found = []
    for target in targets:
        made = by_key[target.person_id, target.id]
        drawn = made.attention is Attention.SAMPLE and scoring.drawn(
            draw_key, target.id, target.person_id, percent
        )
        signals = [_told(signal) for signal in made.signals] or None
        found.append(Found(target, made.score, BANDS[made.attention], drawn, signals))
    return found


def _told(signal: Signal) -> dict[str, Any]:
    """Write a signal as it is kept. Its sentence is made of its figures, so that a better one can be written later."""
    told: dict[str, Any] = {
        "code": signal.code.value,
        "points": signal.points,
        "figures": dict(signal.figures),
        "check_ins": [str(each) for each in signal.check_ins],
    }
    return told if signal.allowed_because is None else {**told, "allowed": signal.allowed_because}


_NEWEST = """SELECT DISTINCT ON (a.seq) a.seq, a.revision, a.score, a.band, a.signals FROM checkin_assessments AS a
WHERE a.seq = ANY(CAST(:seqs AS bigint[])) ORDER BY a.seq, a.revision DESC"""


def _changed(session: orm.Session, found: Sequence[Found]) -> list[tuple[Found, int]]:
    """Return those that are seen otherwise than before, each with the number of its revision."""
    if not found:
        return []
    rows = session.execute(sa.text(_NEWEST), {"seqs": [each.target.seq for each in found]})
    before: Mapping[int, tuple[int, int, str, Any]] = {
        row[0]: (row[1], row[2], row[3], row[4]) for row in rows
    }
    return [
        (each, before[each.target.seq][0] + 1)
        for each in found
        if before[each.target.seq][1:] != (each.score, each.band, each.signals)
    ]


def _store(
    session: orm.Session, first: Sequence[Found], again: Sequence[tuple[Found, int]], policy: int
) -> None:
    rows = [
        {
            "seq": each.target.seq,
            "revision": revision,
            "at": clock.now().astimezone(UTC),
            "policy": policy,
            "score": each.score,
            "drawn": each.drawn,
            "band": each.band.value,
            "signals": each.signals,
        }
        for each, revision in (*((each, 0) for each in first), *again)
    ]
    if rows:
        session.execute(sa.insert(Assessment), rows)
