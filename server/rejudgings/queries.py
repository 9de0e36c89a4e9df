"""Every SELECT of the rejudgings room."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import db, problems
from server.access import Role, Who
from server.checkins.models import CheckIn
from server.problems import Problem
from server.rejudgings.models import Rejudging, RejudgingChange, RejudgingDecision
from server.roster.models import Person

Decided = sa.Row[Rejudging, RejudgingDecision | None]


def _proposals() -> sa.Select[Rejudging, RejudgingDecision | None]:
    return sa.select(Rejudging, RejudgingDecision).outerjoin(
        RejudgingDecision, RejudgingDecision.rejudging_id == Rejudging.id
    )


def _in_reach(who: Who) -> sa.ColumnElement[bool]:
    return db.within(Rejudging.region, who.regions(Role.DISTRICT))


def access_rejudging(session: orm.Session, who: Who, rejudging_id: UUID) -> Decided:
    """Return a dry run of the district and its decision; missing and out of reach look the same (404)."""
    found = session.execute(_proposals().where(Rejudging.id == rejudging_id, _in_reach(who))).one_or_none()
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def rejudgings(
    session: orm.Session, who: Who, after: tuple[UUID] | None, limit: int, *, undecided: bool
) -> Sequence[Decided]:
    """Return the dry runs of the district by id, one more than `limit` if there are."""
    query = _proposals().where(_in_reach(who))
    if undecided:
        query = query.where(RejudgingDecision.rejudging_id.is_(None))
    if after is not None:
        query = query.where(Rejudging.id > after[0])
    return session.execute(query.order_by(Rejudging.id).limit(limit + 1)).all()


def changes(
    session: orm.Session, rejudging_id: UUID, after: tuple[int] | None, limit: int
) -> Sequence[sa.Row[RejudgingChange, str]]:
    """Return what a dry run would change, with the people's names, one more than `limit` if there are."""
    query = sa.select(RejudgingChange, Person.name).join(Person, Person.id == RejudgingChange.person_id)
    query = query.where(RejudgingChange.rejudging_id == rejudging_id)
    if after is not None:
        query = query.where(RejudgingChange.number > after[0])
    return session.execute(query.order_by(RejudgingChange.number).limit(limit + 1)).all()


def concerned(region: str, first_day: date, last_day: date) -> sa.ColumnElement[bool]:
    """Return the condition for the check-ins of a region's villages on these days."""
    return sa.and_(
        CheckIn.day.between(first_day, last_day), CheckIn.village_code.startswith(region, autoescape=True)
    )


def more_than(session: orm.Session, condition: sa.ColumnElement[bool], most: int) -> bool:
    """Tell whether there are more check-ins than `most`, without counting them all."""
    some = sa.select(CheckIn.id).where(condition).limit(most + 1).subquery()
    return session.execute(sa.select(sa.func.count()).select_from(some)).scalar_one() > most
