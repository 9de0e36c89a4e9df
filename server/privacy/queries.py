"""Every SELECT of the privacy room."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import problems
from server.access import Role, Who
from server.looks import Look
from server.places import region_queries
from server.privacy.models import LegalHold, LegalHoldLift
from server.problems import Problem
from server.roster.models import Person, Unit
from server.roster.scope import people_in_reach


def looks_at(session: orm.Session, person_id: UUID, before: tuple[int] | None, limit: int) -> Sequence[Look]:
    """Return who looked at a person's records, newest first, one more than `limit` if there are."""
    query = sa.select(Look).where(Look.person_id == person_id)
    if before is not None:
        query = query.where(Look.id < before[0])
    return session.scalars(query.order_by(Look.id.desc()).limit(limit + 1)).all()


def office_names(session: orm.Session, looks: Collection[Look], day: date) -> dict[str | UUID, str]:
    """Return what the regions (by prefix) and sending units of the offices are called."""
    codes = {look.region: look.region.ljust(12, "0") for look in looks if look.region}
    names = region_queries.names_on(session, sorted(set(codes.values())), day)
    found: dict[str | UUID, str] = {prefix: names.get(code, prefix) for prefix, code in codes.items()}
    units = {look.unit_id for look in looks if look.unit_id is not None}
    if units:
        query = sa.select(Unit.id, Unit.name).where(Unit.id.in_(units))
        found.update({row[0]: row[1] for row in session.execute(query)})
    return found


_Held = sa.Row[LegalHold, int]


def _holds() -> sa.Select[LegalHold, int]:
    lifts = sa.select(sa.func.count()).where(LegalHoldLift.hold_id == LegalHold.id).correlate(LegalHold)
    return sa.select(LegalHold, lifts.scalar_subquery())


def access_hold(session: orm.Session, who: Who, hold_id: UUID) -> LegalHold:
    """Return a hold of a person in the district's reach, its row locked; missing and out of reach look the same."""
    query = sa.select(LegalHold).join(Person, Person.id == LegalHold.person_id)
    reached = people_in_reach(who.regions(Role.DISTRICT))
    found = session.scalars(
        query.where(LegalHold.id == hold_id, reached).with_for_update(of=Person)
    ).one_or_none()
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def holds_in_reach(session: orm.Session, who: Who, after: tuple[UUID] | None, limit: int) -> Sequence[_Held]:
    """Return the holds of people in the district's reach by id, one more than `limit` if there are."""
    query = _holds().join(Person, Person.id == LegalHold.person_id)
    query = query.where(people_in_reach(who.regions(Role.DISTRICT)))
    if after is not None:
        query = query.where(LegalHold.id > after[0])
    return session.execute(query.order_by(LegalHold.id).limit(limit + 1)).all()


def holds_on(session: orm.Session, person_id: UUID) -> Sequence[_Held]:
    """Return every hold on a person, the latest first."""
    query = _holds().where(LegalHold.person_id == person_id)
    return session.execute(query.order_by(LegalHold.placed_at.desc(), LegalHold.id)).all()


def lifts(session: orm.Session, hold_id: UUID) -> Sequence[LegalHoldLift]:
    """Return who said that a hold may end."""
    return session.scalars(sa.select(LegalHoldLift).where(LegalHoldLift.hold_id == hold_id)).all()
