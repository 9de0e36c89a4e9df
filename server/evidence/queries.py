"""The SELECTs about outages. To fetch one is to be allowed to see it."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import db, problems
from server.access import Role, Who
from server.month.masks import Month, range_mask
from server.month.models import Outage, OutageWithdrawal
from server.problems import Problem
from server.roster import days as roster_days

OFFICERS = (Role.TOWN, Role.DISTRICT)
Told = tuple[Outage, OutageWithdrawal | None]
"""An outage, and what took it back."""
_PREFIX = sa.type_coerce(Outage.region_prefix, sa.Text)


def _covers(code: str) -> sa.ColumnElement[bool]:
    """Return the condition that an outage's region holds the region `code`."""
    return sa.literal(code).startswith(_PREFIX)


def access_outage(session: orm.Session, who: Who, outage_id: UUID) -> Told:
    """Return an outage that lies in one's scope as a whole, its row locked; missing and out of scope look the same."""
    # Rows of outages cannot be locked by whoever may not rewrite them.
    db.one_at_a_time(session, "outages")
    query = sa.select(Outage).where(Outage.id == outage_id, db.within(_PREFIX, who.regions(*OFFICERS)))
    found = session.scalar(query)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found, session.get(OutageWithdrawal, found.id)


def outages(
    session: orm.Session, who: Who, *, region: str, after: tuple[datetime, UUID] | None, limit: int
) -> list[Told]:
    """Return the outages that touch one's scope and `region`, the last recorded first."""
    regions = who.regions(*OFFICERS)
    touches = sa.or_(db.within(_PREFIX, regions), *(_covers(code) for code in regions))
    narrowed = sa.or_(_PREFIX.startswith(region, autoescape=True), _covers(region))
    query = (
        sa.select(Outage, OutageWithdrawal)
        .outerjoin(OutageWithdrawal, OutageWithdrawal.outage_id == Outage.id)
        .where(touches, narrowed)
        .order_by(Outage.recorded_at.desc(), Outage.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(sa.tuple_(Outage.recorded_at, Outage.id) < sa.tuple_(*map(sa.literal, after)))
    return [(outage, withdrawal) for outage, withdrawal in session.execute(query)]


def overlapping(session: orm.Session, region: str, first: date, last: date) -> Outage | None:
    """Return an outage that stands and already covers the region on one of the days."""
    stands = ~sa.exists().where(OutageWithdrawal.outage_id == Outage.id)
    query = sa.select(Outage).where(
        _covers(region), Outage.first_day <= last, Outage.last_day >= first, stands
    )
    return session.scalar(query.order_by(Outage.first_day, Outage.id).limit(1))


def posted_within(session: orm.Session, region: str, first: date, last: date) -> set[UUID]:
    """Return who is posted in a region on one of the days."""
    found: set[UUID] = set()
    month = Month.of(first)
    while month.first <= last:
        days = range_mask(month, first, last)
        posted = roster_days.posted_days(session, month.first, scope=[region])
        found |= {each.person_id for each in posted if each.posted_in_scope & days}
        month = month.next()
    return found
