"""Every SELECT of the compliance room: whose month it is, on which days they were posted, and the masks kept.

One statement tells a page, a town, or the whole province: postings are followed along successor links (edge 48), cut
to the month and turned into masks in SQL, then joined with `person_months`. Nothing is asked person by person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import problems
from server.access import Role, Who
from server.compliance.columns import RARE, Columns, of_bytes
from server.compliance.recomputing import RECOMPUTED
from server.compliance.rules import KEPT
from server.month.masks import Month
from server.month.rules import Sort
from server.problems import Problem

OFFICIAL = (Role.TOWN, Role.DISTRICT)


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom somebody may see: people posted in regions, and the people of sending units.

    `inspected` are the regions of an inspector, whose own villages (`avoided`) are not for him to look at (edge 80).
    """

    official: tuple[str, ...] = ()
    inspected: tuple[str, ...] = ()
    avoided: tuple[str, ...] = ()
    units: tuple[UUID, ...] = ()


EVERYONE = Reach(official=("",))
"""The operator on the machine itself."""


@dataclass(frozen=True, slots=True)
class PersonMonth:
    """One person's month before it is judged; masks have two bits a day.

    `owner` is the village of the last posted day: the one statement belongs to its town (ruling 9). Of two postings on
    that day it is the one that began later, then the one with the higher code. `posted` are all days posted, `reached` those in villages that the reader reaches. `place` is the village under which the row is
    listed: the last one that the reader reaches. `outage` are the days posted on which the service could not be reached there.
    """

    person_id: UUID
    number: str
    name: str
    unit_id: UUID | None
    unit_name: str | None
    owner: str
    place: str
    owned: bool
    posted: int
    reached: int
    outage: int
    kept: dict[str, int]


_SPANS = """
WITH RECURSIVE near AS MATERIALIZED (
    SELECT q.person_id FROM postings AS q
    WHERE q.from_day <= :last AND (q.until_day IS NULL OR q.until_day >= GREATEST(q.from_day, :first))
        AND ((q.village_code ^@ ANY(CAST(:regions AS text[]))
                AND (CAST(:region AS text) IS NULL OR starts_with(q.village_code, :region)))
            OR q.village_code IN (SELECT from_code FROM region_successors))
    UNION SELECT id FROM people WHERE unit_id = ANY(CAST(:units AS uuid[]))
), chain AS (
    SELECT from_code AS origin, from_code AS code, DATE '-infinity' AS lo, 0 AS steps FROM region_successors
    UNION ALL
    SELECT c.origin, link.to_code, GREATEST(c.lo, link.from_day), c.steps + 1
    FROM chain AS c JOIN region_successors AS link ON link.from_code = c.code WHERE c.steps < 16
), segments AS (
    SELECT c.origin, c.code, c.lo, link.from_day - 1 AS hi
    FROM chain AS c LEFT JOIN region_successors AS link ON link.from_code = c.code
), spans AS (
    SELECT p.person_id, p.from_day AS since, COALESCE(s.code, p.village_code) AS code,
        GREATEST(p.from_day, :first, s.lo) AS lo, LEAST(p.until_day, :last, s.hi) AS hi
    FROM postings AS p JOIN people AS x ON x.id = p.person_id LEFT JOIN segments AS s ON s.origin = p.village_code
    WHERE p.from_day <= :last AND (p.until_day IS NULL OR p.until_day >= GREATEST(p.from_day, :first))
        AND GREATEST(p.from_day, :first, s.lo) <= LEAST(p.until_day, :last, s.hi)
        AND (CAST(:people AS uuid[]) IS NULL OR p.person_id = ANY(CAST(:people AS uuid[])))
        AND (CAST(:people AS uuid[]) IS NOT NULL OR p.person_id IN (SELECT person_id FROM near))
        AND (CAST(:unit AS uuid) IS NULL OR x.unit_id = :unit)
        AND (CAST(:text AS text) IS NULL OR strpos(x.name, :text) > 0 OR starts_with(lower(x.number), lower(:text)))
)"""
"""Which days of the month each person is posted in which village. A posting made in error has no day and no span.

`near` keeps a town's question from touching the whole province: whoever might be in reach, to be looked at closely.
`segments` say what a village that was merged is called when: itself, then each successor from its day on (edge 48).
"""

_DOWN = """, down AS MATERIALIZED (
    SELECT o.id, o.region_prefix, GREATEST(o.first_day, :first) AS lo, LEAST(o.last_day, :last) AS hi
    FROM outages AS o WHERE o.first_day <= :last AND o.last_day >= :first
        AND NOT EXISTS (SELECT FROM outage_withdrawals AS w WHERE w.outage_id = o.id)
)"""
_MET = "s.lo <= d.hi AND s.hi >= d.lo AND starts_with(s.code, d.region_prefix)"
_MET_DAYS = """(CAST(1 AS bigint) << (2 * (LEAST(s.hi, d.hi) - CAST(:first AS date) + 1)))
    - (CAST(1 AS bigint) << (2 * (GREATEST(s.lo, d.lo) - CAST(:first AS date))))"""
"""The days of a span `s` on which an outage `d` met whoever was posted there."""
_LISTED = f"""{_DOWN}, seen AS (
    SELECT s.person_id,
        (CAST(1 AS bigint) << (2 * (s.hi - CAST(:first AS date) + 1)))
            - (CAST(1 AS bigint) << (2 * (s.lo - CAST(:first AS date)))) AS mask,
        s.code ^@ ANY(CAST(:official AS text[]))
            OR (s.code ^@ ANY(CAST(:inspected AS text[])) AND s.code <> ALL(CAST(:avoided AS text[]))) AS reached,
        to_char(s.hi::timestamp, 'DD') || to_char(s.since::timestamp, 'YYYYMMDD') || s.code AS latest,
        CASE WHEN EXISTS (SELECT FROM down) THEN COALESCE((SELECT bit_or({_MET_DAYS}) FROM down AS d WHERE {_MET}), 0)
            ELSE 0 END AS outage
    FROM spans AS s
), posted AS (
    SELECT person_id, bit_or(mask) AS posted, COALESCE(bit_or(mask) FILTER (WHERE reached), 0) AS reached,
        max(latest) AS owner, max(latest) FILTER (WHERE reached) AS nearest, bit_or(outage) AS outage
    FROM seen GROUP BY person_id
), listed AS (
    SELECT o.person_id, o.posted, o.reached, o.outage, right(o.owner, 12) AS owner, o.owner = o.nearest AS owned,
        right(COALESCE(o.nearest, o.owner), 12) AS place, x.number, x.name, x.unit_id
    FROM posted AS o JOIN people AS x ON x.id = o.person_id
    WHERE o.nearest IS NOT NULL OR x.unit_id = ANY(CAST(:units AS uuid[]))
)
"""  # noqa: S608  Constants of this file.
"""In a month without an outage, nearly every one, nothing is asked of outages span by span."""
_TOLD = """
SELECT i.person_id, i.number, i.name, i.unit_id, u.name AS unit_name, i.owner, i.place, COALESCE(i.owned, false),
    i.posted, i.reached, i.outage, {kept}
FROM listed AS i LEFT JOIN units AS u ON u.id = i.unit_id
    LEFT JOIN masks AS m ON m.person_id = i.person_id
WHERE (CAST(:region AS text) IS NULL OR starts_with(i.place, :region))
    AND (CAST(:after_place AS text) IS NULL OR (i.place, i.name, i.person_id)
        > (CAST(:after_place AS text), CAST(:after_name AS text), CAST(:after_person AS uuid)))
ORDER BY i.place, i.name, i.person_id
LIMIT :limit""".format(kept=", ".join(f"COALESCE(m.{name}, 0)" for name in KEPT))
# S608 is about strings from outside; here constants of this file are joined.
_MONTHS = _SPANS + _LISTED + ", masks AS (SELECT * FROM person_months WHERE month = :first)" + _TOLD  # noqa: S608
_MONTHS_AGAIN = (
    _SPANS  # noqa: S608
    + _LISTED
    + RECOMPUTED.replace("\nWITH", ", ", 1)
    + ", masks AS (SELECT * FROM again)"
    + _TOLD
)
"""The same with the masks as the records say, not as they are kept."""
_OFTEN = ("posted", "reached", *(name for name in KEPT if name not in set(Sort)))
_MANY = r"""
SELECT string_agg(uuid_send(person_id), ''), string_agg(int8send(CAST(owner AS bigint)), ''),
    string_agg(int8send(CAST(place AS bigint)), ''), string_agg(boolsend(owned), ''),
    {often},
    string_agg(int8send(at) || {rarely}, '') FILTER (WHERE ({any}) <> 0)
FROM (
    SELECT *, row_number() OVER () - 1 AS at
    FROM ({told}) AS t (person_id, number, name, unit_id, unit_name, owner, place, owned, {masks})
) AS r"""
"""The same rows as columns: one long byte string each, in the order of the list. What few people have, an outage or
something in the ledger, is told of these alone, with their place in the list."""


def _in_columns(query: str) -> str:
    return query.removesuffix(_TOLD) + _MANY.format(
        told=_TOLD,
        masks=", ".join(("posted", "reached", "outage", *KEPT)),
        often=", ".join(f"string_agg(int8send({name}), '')" for name in _OFTEN),
        rarely=" || ".join(f"int8send({name})" for name in RARE),
        any=" | ".join(RARE),
    )


_COLUMNS, _COLUMNS_AGAIN = _in_columns(_MONTHS), _in_columns(_MONTHS_AGAIN)

Key = tuple[str, str, UUID]
"""The place of a row in the list: village, name, person. By village and name, never by how the month went (ruling 18)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the list."""

    region: str = ""
    unit: UUID | None = None
    text: str | None = None
    people: tuple[UUID, ...] | None = None  # None: whoever there is.


def person_months(
    session: orm.Session,
    reach: Reach,
    month: Month,
    asked: Asked,
    *,
    after: Key | None = None,
    limit: int | None = None,
    from_records: bool = False,
) -> list[PersonMonth]:
    """Return the months of everybody in reach who is posted in the month, by village, name and person.

    The masks are those kept, or with `from_records` those that the records say.
    """
    query = _MONTHS_AGAIN if from_records else _MONTHS
    rows = session.execute(sa.text(query), _parameters(reach, month, asked, after, limit))
    return [_made(row) for row in rows]


def month_columns(
    session: orm.Session,
    reach: Reach,
    month: Month,
    asked: Asked,
    *,
    after: Key | None = None,
    from_records: bool = False,
) -> Columns:
    """Return what :func:`person_months` does, all of it, as columns: 60,000 people in a second."""
    query = _COLUMNS_AGAIN if from_records else _COLUMNS
    row = session.execute(sa.text(query), _parameters(reach, month, asked, after, None)).one()
    return of_bytes(*(bytes(column or b"") for column in row))


def _parameters(
    reach: Reach, month: Month, asked: Asked, after: Key | None, limit: int | None
) -> dict[str, Any]:
    place, name, person = after or (None, None, None)
    return {
        "first": month.first,
        "last": month.last,
        "official": list(reach.official),
        "inspected": list(reach.inspected),
        "avoided": list(reach.avoided),
        "regions": [*reach.official, *reach.inspected],
        "units": list(reach.units),
        "region": asked.region or None,
        "unit": asked.unit,
        "text": asked.text,
        "people": None if asked.people is None else list(asked.people),
        "after_place": place,
        "after_name": name,
        "after_person": person,
        "limit": limit,
    }


def _made(row: Sequence[Any]) -> PersonMonth:
    person, number, name, unit, unit_name, owner, place, owned, posted, reached, outage, *masks = row
    return PersonMonth(
        person_id=person,
        number=number,
        name=name,
        unit_id=unit,
        unit_name=unit_name,
        owner=owner,
        place=place,
        owned=owned,
        posted=posted,
        reached=reached,
        outage=outage,
        kept=dict(zip(KEPT, masks, strict=True)),
    )


def key_of(row: PersonMonth) -> Key:
    """Return the place of a row in the list."""
    return row.place, row.name, row.person_id


def reach_of(session: orm.Session, who: Who, month: Month) -> Reach:
    """Return whom an officer, an inspector or a sending unit may see in a month."""
    inspected = who.regions(Role.INSPECTOR)
    avoided: tuple[str, ...] = ()
    if inspected and who.person_id is not None:
        avoided = own_villages(session, who.person_id, month)
    return Reach(who.regions(*OFFICIAL), inspected, avoided, who.units(Role.UNIT))


def own_villages(session: orm.Session, person_id: UUID, month: Month) -> tuple[str, ...]:
    """Return the villages in which a person is posted on some day of the month."""
    rows = session.execute(
        sa.text(_SPANS + " SELECT DISTINCT code FROM spans ORDER BY code"),  # noqa: S608  Two constants.
        {
            "first": month.first,
            "last": month.last,
            "people": [person_id],
            **dict.fromkeys(("unit", "text", "region")),
            "regions": [],
            "units": [],
        },
    )
    return tuple(rows.scalars())


@dataclass(frozen=True, slots=True)
class DaysDown:
    """An outage that met a person: the days of the month, as a mask, on which they were posted in its region."""

    outage_id: UUID
    mask: int


def outages_met(session: orm.Session, person_id: UUID, month: Month) -> list[DaysDown]:
    """Return the outages of a month that met a person, in any order."""
    select = f" SELECT d.id, bit_or({_MET_DAYS}) FROM down AS d JOIN spans AS s ON {_MET} GROUP BY d.id"  # noqa: S608  Constants.
    query = _SPANS + _DOWN + select
    given = _parameters(EVERYONE, month, Asked(people=(person_id,)), None, None)
    return [DaysDown(*row) for row in session.execute(sa.text(query), given)]


def own_month(session: orm.Session, person_id: UUID, month: Month) -> PersonMonth | None:
    """Return one's own month; None when one is not posted in it."""
    return next(iter(person_months(session, EVERYONE, month, Asked(people=(person_id,)))), None)


def access_month(session: orm.Session, who: Who, person_id: UUID, month: Month) -> PersonMonth:
    """Return a person's month that one may see; nobody posted and not in scope are the same not-found."""
    reach = reach_of(session, who, month)
    found = person_months(session, reach, month, Asked(people=(person_id,)), limit=1)
    if not found:
        raise Problem(problems.NOT_FOUND)
    return found[0]


@dataclass(frozen=True, slots=True)
class PersonName:
    """Who a person is, for a month in which nobody posted them."""

    person_id: UUID
    number: str
    name: str


def person_name(session: orm.Session, person_id: UUID) -> PersonName | None:
    """Return who a person is."""
    row = session.execute(
        sa.text("SELECT id, number, name FROM people WHERE id = :person"), {"person": person_id}
    ).one_or_none()
    return None if row is None else PersonName(*row)
