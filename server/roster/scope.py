"""Which people and postings somebody may see, as conditions of SQL.

Postings reach their readers by village: the town and the district of the village, its clerk, and an inspector during
the assignment. A posting in a region that was merged or renamed belongs to its successor's readers as well (edge 48).
Sending units see their own people, people see themselves; team-mates see nothing of each other (ruling 15).
"""

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy import orm

from server import db
from server.access import Grant, Role, Who
from server.places.models import RegionSuccessor
from server.places.rules import today
from server.roster.models import Person, Posting

Condition = sa.ColumnElement[bool]
READERS = (Role.CADRE, Role.CLERK, Role.TOWN, Role.INSPECTOR, Role.DISTRICT, Role.UNIT)
"""Who may ask for people at all. Administrators run the service and see nobody's postings."""


def in_regions(prefixes: Sequence[str]) -> Condition:
    """Return the condition that a posting lies in one of the regions, or in one that they have followed since."""
    if not prefixes:
        return sa.false()
    followed = _followed_by(prefixes)
    merged = sa.exists().where(
        followed.c.code == Posting.village_code,
        sa.or_(Posting.until_day.is_(None), Posting.until_day >= followed.c.from_day),
    )
    return sa.or_(db.within(Posting.village_code, prefixes), merged)


def _followed_by(prefixes: Sequence[str]) -> sa.CTE:
    """Return the regions whose postings are postings in `prefixes` from `from_day` on."""
    links = RegionSuccessor
    start = sa.select(links.from_code.label("code"), links.from_day).where(db.within(links.to_code, prefixes))
    chain = start.cte(recursive=True)
    further = orm.aliased(RegionSuccessor)
    return chain.union(
        sa.select(further.from_code, sa.func.greatest(further.from_day, chain.c.from_day)).where(
            further.to_code == chain.c.code
        )
    )


def postings_in_sight(who: Who) -> Condition:
    """Return the condition on Posting that `who` may see it."""
    took_place = sa.or_(Posting.until_day.is_(None), Posting.until_day >= Posting.from_day)
    conditions = [in_regions(who.regions(Role.DISTRICT))]
    below = who.regions(Role.TOWN, Role.CLERK)
    inspected = [_inspected(grant, who) for grant in who.grants if grant.role is Role.INSPECTOR]
    units = who.units(Role.UNIT)
    conditions.append(sa.and_(took_place, sa.or_(in_regions(below), *inspected, _of_units(units))))
    if who.person_id is not None:
        conditions.append(sa.and_(took_place, Posting.person_id == who.person_id))
    return sa.or_(*conditions)


def people_in_sight(who: Who) -> Condition:
    """Return the condition on Person that `who` may see the name: by a posting in sight, or by whose person it is."""
    posted = sa.exists().where(Posting.person_id == Person.id, postings_in_sight(who))
    conditions = [posted, db.within(sa.type_coerce(Person.kept_by, sa.Text), who.regions(Role.DISTRICT))]
    if units := who.units(Role.UNIT):
        conditions.append(Person.unit_id.in_(units))
    if who.person_id is not None:
        conditions.append(Person.id == who.person_id)
    return sa.or_(*conditions)


def people_in_reach(prefixes: Sequence[str]) -> Condition:
    """Return the condition on Person that a district with these prefixes may write it."""
    posted = sa.exists().where(Posting.person_id == Person.id, in_regions(prefixes))
    return sa.or_(posted, db.within(sa.type_coerce(Person.kept_by, sa.Text), prefixes))


def _of_units(units: Sequence[object]) -> Condition:
    if not units:
        return sa.false()
    return Posting.person_id.in_(sa.select(Person.id).where(Person.unit_id.in_(units)))


def _inspected(grant: Grant, who: Who) -> Condition:
    """Return the condition for one assignment: its region, postings of its time, not the inspector's own team (edge 80)."""
    conditions = [in_regions((grant.region,)) if grant.unit_id is None else sa.false()]
    if grant.valid_from is not None:
        since: date = today(grant.valid_from)
        conditions.append(sa.or_(Posting.until_day.is_(None), Posting.until_day >= since))
    if grant.valid_until is not None:
        conditions.append(Posting.from_day <= today(grant.valid_until))
    if who.person_id is not None:
        own = orm.aliased(Posting)
        team = sa.exists().where(
            own.person_id == who.person_id,
            own.village_code == Posting.village_code,
            sa.or_(own.until_day.is_(None), own.until_day >= Posting.from_day),
            sa.or_(Posting.until_day.is_(None), own.from_day <= Posting.until_day),
        )
        conditions.append(sa.not_(team))
    return sa.and_(*conditions)
