"""Reading check-ins: one's own, with everything that happened to them since."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import starmap
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.sql.selectable import LateralFromClause

from server import problems
from server.checkins import rules
from server.checkins.models import Attempt, CheckIn, CheckInPosition, Judgement, Withdrawal
from server.checkins.rules import Tap
from server.problems import Problem


@dataclass(frozen=True, slots=True)
class Seen:
    """A check-in as it stands now. `judgement` is the newest later one; `position` None after fading."""

    checkin: CheckIn
    position: CheckInPosition | None
    judgement: Judgement | None
    withdrawal: Withdrawal | None
    duplicate_of: UUID | None


def newest_judgement() -> LateralFromClause:
    """Return, for the check-in of the enclosing query, its newest later judgement."""
    return _newest(sa.select(Judgement)).lateral("newest")


def newly_judged(column: orm.InstrumentedAttribute[str]) -> sa.ScalarSelect[str]:
    """Return, for the check-in of the enclosing query, what its newest later judgement says; NULL without one."""
    return _newest(sa.select(column)).scalar_subquery()


def _newest(judgements: sa.Select[Any]) -> sa.Select[Any]:
    return (
        judgements.where(Judgement.person_id == CheckIn.person_id, Judgement.checkin_id == CheckIn.id)
        .order_by(Judgement.seq.desc())
        .limit(1)
        .correlate(CheckIn)
    )


_Row = sa.Row[CheckIn, CheckInPosition, Judgement, Withdrawal]


def _seen(condition: sa.ColumnElement[bool]) -> sa.Select[CheckIn, CheckInPosition, Judgement, Withdrawal]:
    newest = orm.aliased(Judgement, newest_judgement())
    return (
        sa.select(CheckIn, CheckInPosition, newest, Withdrawal)
        .outerjoin(CheckInPosition, CheckInPosition.seq == CheckIn.seq)
        .outerjoin(newest, sa.true())
        .outerjoin(
            Withdrawal,
            sa.and_(Withdrawal.person_id == CheckIn.person_id, Withdrawal.checkin_id == CheckIn.id),
        )
        .where(condition)
    )


def _made(rows: Sequence[_Row], taps: Iterable[Tap]) -> list[Seen]:
    """Return what was read. A double tap (edge 66) is found here: the day counts once whatever is found."""
    repeated = rules.doubles(taps)
    return [Seen(row[0], row[1], row[2], row[3], repeated.get(row[0].id)) for row in rows]


def _taps_around(session: orm.Session, person_id: UUID, rows: Sequence[_Row]) -> list[Tap]:
    """Return the check-ins among which the repetitions of these rows are found."""
    if not rows:
        return []
    instants = [row[0].event_at for row in rows]
    query = sa.select(CheckIn.event_at, CheckIn.id, CheckIn.kind, CheckIn.day).where(
        CheckIn.person_id == person_id,
        CheckIn.event_at.between(min(instants) - rules.DOUBLE_TAP, max(instants)),
    )
    return list(starmap(Tap, session.execute(query)))


def access_own(session: orm.Session, person_id: UUID, checkin_id: UUID) -> Seen:
    """Return one's own check-in; another person's id is as unknown as one that does not exist."""
    condition = sa.and_(CheckIn.person_id == person_id, CheckIn.id == checkin_id)
    rows = session.execute(_seen(condition)).all()
    if not rows:
        raise Problem(problems.NOT_FOUND)
    return _made(rows, _taps_around(session, person_id, rows))[0]


def own_page(session: orm.Session, person_id: UUID, before: tuple[UUID] | None, limit: int) -> Sequence[Seen]:
    """Return one's own check-ins, newest id first, one more than `limit` if there are."""
    condition: sa.ColumnElement[bool] = CheckIn.person_id == person_id
    if before is not None:
        condition = sa.and_(condition, CheckIn.id < before[0])
    rows = session.execute(_seen(condition).order_by(CheckIn.id.desc()).limit(limit + 1)).all()
    return _made(rows, _taps_around(session, person_id, rows))


def of_days(session: orm.Session, person_id: UUID, first: date, last: date) -> Sequence[Seen]:
    """Return a person's check-ins that count for the days, both inclusive, in the order they were made."""
    condition = sa.and_(CheckIn.person_id == person_id, CheckIn.day.between(first, last))
    rows = session.execute(_seen(condition).order_by(CheckIn.event_at, CheckIn.id)).all()
    made = [row[0] for row in rows]  # Whole days, so what each repeats is among them.
    return _made(rows, [Tap(each.event_at, each.id, each.kind, each.day) for each in made])


def attempts_page(
    session: orm.Session, person_id: UUID, before: tuple[int] | None, limit: int
) -> Sequence[Attempt]:
    """Return one's own refused attempts, newest first, one more than `limit` if there are."""
    query = sa.select(Attempt).where(Attempt.person_id == person_id)
    if before is not None:
        query = query.where(Attempt.id < before[0])
    return session.scalars(query.order_by(Attempt.id.desc()).limit(limit + 1)).all()


def withdrawable_until(checkin: CheckIn, minutes: int) -> datetime:
    """Return the last instant at which a check-in can be taken back."""
    return checkin.received_at + timedelta(minutes=minutes)
