"""What an import needs to know, each in one statement for the whole file."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import db
from server.access import Role, Who
from server.places.models import Region, RegionSuccessor, RegionVersion
from server.places.rules import RegionKind
from server.roster.entries import Line
from server.roster.locations import Locations, Town, Village
from server.roster.models import Person, Posting, RosterRow, Unit
from server.roster.plan import Known, KnownPerson, KnownPosting, Said
from server.roster.queries import state_of
from server.roster.scope import people_in_reach

_VILLAGES = (RegionKind.VILLAGE, RegionKind.COMMUNITY)
_TOWNS = (RegionKind.TOWN, RegionKind.STREET)


def _any_of(column: sa.SQLColumnExpression[Any], values: Sequence[Any], kind: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401  SQLAlchemy's types of columns.
    """Return ``column = ANY (values)``: one parameter however many values, so that the statement stays one."""
    return column == sa.any_(sa.literal(list(values), postgresql.ARRAY(kind)))


def locations(session: orm.Session, lines: Sequence[Line], reach: Sequence[str]) -> Locations:
    """Return the villages that the lines name by code, and every village of the towns that they name."""
    codes = {line.village_code for line in lines if line.village_code}
    towns: list[Town] = []
    by_name: list[Region] = []
    if any(line.village_code is None for line in lines):
        near = sa.select(Region.code, Region.name).where(
            Region.kind.in_(_TOWNS), db.within(Region.code, reach)
        )
        towns = [Town(code, name) for code, name in session.execute(near.order_by(Region.code))]
        inside = sa.select(Region).where(
            Region.kind.in_(_VILLAGES),
            _any_of(Region.parent_code, [town.code for town in towns], sa.Text),
        )
        by_name = list(session.scalars(inside.order_by(Region.code)))
    by_code = list(session.scalars(sa.select(Region).where(_any_of(Region.code, sorted(codes), sa.Text))))
    regions = {region.code: region for region in (*by_code, *by_name)}
    villages = _villages(session, [r for r in regions.values() if r.kind in _VILLAGES])
    in_town: dict[str, list[Village]] = {}
    for region in by_name:
        in_town.setdefault(region.parent_code or "", []).append(villages[region.code])
    others = frozenset(code for code in regions if code not in villages)
    return Locations(tuple(reach), villages, others, towns, in_town)


def _villages(session: orm.Session, regions: Sequence[Region]) -> dict[str, Village]:
    codes = [region.code for region in regions]
    names: dict[str, set[str]] = {region.code: {region.name} for region in regions}
    old = sa.select(RegionVersion.code, RegionVersion.name).where(_any_of(RegionVersion.code, codes, sa.Text))
    for code, name in session.execute(old):
        names[code].add(name)
    links = sa.select(RegionSuccessor.from_code, RegionSuccessor.to_code).where(
        _any_of(RegionSuccessor.from_code, codes, sa.Text)
    )
    after = dict(session.execute(links).all())
    return {
        r.code: Village(r.code, r.name, frozenset(names[r.code]), r.valid_until, after.get(r.code))
        for r in regions
    }


def known(session: orm.Session, lines: Sequence[Line], reach: Sequence[str] | None, *, lock: bool) -> Known:
    """Return the people, postings and units that the lines name. `reach` None: whoever imports may write everybody.

    With `lock` the people are locked before their postings are read, so that nobody changes them meanwhile.
    """
    numbers = sorted({line.number.lower() for line in lines})
    people = _people(session, numbers, reach, lock=lock)
    ids = [person.id for person in people.values()]
    postings: dict[UUID, list[KnownPosting]] = {}
    for row in session.scalars(sa.select(Posting).where(_any_of(Posting.person_id, ids, sa.Uuid()))):
        found = KnownPosting(row.id, row.person_id, state_of(row), row.version)
        postings.setdefault(row.person_id, []).append(found)
    said = {
        (row.person_id, row.village_code, row.from_day): Said(
            row.posting_id, row.role, row.until_day, row.end_reason, row.person_digest
        )
        for row in session.scalars(sa.select(RosterRow).where(_any_of(RosterRow.person_id, ids, sa.Uuid())))
    }
    units = dict(session.execute(sa.select(Unit.name, Unit.id)).all())
    return Known(people, _zeros_lost(session, numbers, people, reach), postings, said, units)


def _people(
    session: orm.Session, numbers: Sequence[str], reach: Sequence[str] | None, *, lock: bool
) -> dict[str, KnownPerson]:
    reached = sa.true() if reach is None else people_in_reach(reach)
    query = sa.select(Person, reached).where(_any_of(sa.func.lower(Person.number), numbers, sa.Text))
    if lock:
        # In one order, so that two who lock several people wait in turn; queries._lock_holder says why at all.
        query = query.order_by(Person.id).with_for_update(key_share=True, of=Person)
    return {
        person.number.lower(): KnownPerson(
            person.id, person.number, person.name, person.phone, person.unit_id, in_reach
        )
        for person, in_reach in session.execute(query)
    }


def _zeros_lost(
    session: orm.Session, numbers: Sequence[str], people: dict[str, KnownPerson], reach: Sequence[str] | None
) -> dict[str, str]:
    """Return, for numbers that nobody has, the one in reach that differs by leading zeros alone."""
    unseen = [number for number in numbers if number not in people and number.isdigit() and number[0] != "0"]
    if not unseen:
        return {}
    stripped = sa.func.ltrim(Person.number, "0")
    query = sa.select(stripped, Person.number).where(_any_of(stripped, unseen, sa.Text))
    if reach is not None:
        query = query.where(
            people_in_reach(reach)
        )  # Another district's staff numbers are not for this one to learn.
    return dict(session.execute(query).all())


def reach_of(who: Who) -> tuple[str, ...]:
    """Return the region prefixes in which `who` may write postings."""
    return who.regions(Role.DISTRICT)
