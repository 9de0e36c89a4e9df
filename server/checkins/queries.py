"""Reading check-ins: one's own, with everything that happened to them since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.sql.selectable import LateralFromClause

from server import problems
from server.checkins.models import Attempt, CheckIn, CheckInPosition, Judgement, Withdrawal
from server.problems import Problem

DOUBLE_TAP = timedelta(minutes=2)


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
    return (
        sa.select(Judgement)
        .where(Judgement.person_id == CheckIn.person_id, Judgement.checkin_id == CheckIn.id)
        .order_by(Judgement.seq.desc())
        .limit(1)
        .correlate(CheckIn)
        .lateral("newest")
    )


def _seen(
    condition: sa.ColumnElement[bool],
) -> sa.Select[CheckIn, CheckInPosition, Judgement, Withdrawal, UUID]:
    newest = orm.aliased(Judgement, newest_judgement())
    earlier = orm.aliased(CheckIn)
    # A double tap (edge 66) is found when it is read: the day counts once whatever is found here.
    duplicate = (
        sa.select(earlier.id)
        .where(
            earlier.person_id == CheckIn.person_id,
            earlier.kind == CheckIn.kind,
            earlier.day == CheckIn.day,
            sa.tuple_(earlier.event_at, earlier.id) < sa.tuple_(CheckIn.event_at, CheckIn.id),
            earlier.event_at > CheckIn.event_at - DOUBLE_TAP,
        )
        .order_by(earlier.event_at, earlier.id)
        .limit(1)
        .correlate(CheckIn)
        .scalar_subquery()
    )
    return (
        sa.select(CheckIn, CheckInPosition, newest, Withdrawal, duplicate)
        .outerjoin(
            CheckInPosition,
            sa.and_(CheckInPosition.person_id == CheckIn.person_id, CheckInPosition.checkin_id == CheckIn.id),
        )
        .outerjoin(newest, sa.true())
        .outerjoin(
            Withdrawal,
            sa.and_(Withdrawal.person_id == CheckIn.person_id, Withdrawal.checkin_id == CheckIn.id),
        )
        .where(condition)
    )


def _made(row: sa.Row[CheckIn, CheckInPosition, Judgement, Withdrawal, UUID]) -> Seen:
    return Seen(row[0], row[1], row[2], row[3], row[4])


def access_own(session: orm.Session, person_id: UUID, checkin_id: UUID) -> Seen:
    """Return one's own check-in; another person's id is as unknown as one that does not exist."""
    condition = sa.and_(CheckIn.person_id == person_id, CheckIn.id == checkin_id)
    row = session.execute(_seen(condition)).one_or_none()
    if row is None:
        raise Problem(problems.NOT_FOUND)
    return _made(row)


def own_page(session: orm.Session, person_id: UUID, before: tuple[UUID] | None, limit: int) -> Sequence[Seen]:
    """Return one's own check-ins, newest id first, one more than `limit` if there are."""
    condition: sa.ColumnElement[bool] = CheckIn.person_id == person_id
    if before is not None:
        condition = sa.and_(condition, CheckIn.id < before[0])
    rows = session.execute(_seen(condition).order_by(CheckIn.id.desc()).limit(limit + 1))
    return [_made(row) for row in rows]


def of_days(session: orm.Session, person_id: UUID, first: date, last: date) -> Sequence[Seen]:
    """Return a person's check-ins that count for the days, both inclusive, in the order they were made."""
    condition = sa.and_(CheckIn.person_id == person_id, CheckIn.day.between(first, last))
    rows = session.execute(_seen(condition).order_by(CheckIn.event_at, CheckIn.id))
    return [_made(row) for row in rows]


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
