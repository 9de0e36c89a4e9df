"""Who is posted where on which day: what the intake, the month and the lock ask, each in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import orm

ACTIVE_POSTINGS = """
WITH RECURSIVE asked AS (
    SELECT DISTINCT person_id, day
    FROM unnest(%(people)s::uuid[], %(days)s::date[]) AS given(person_id, day)
), active AS (
    SELECT asked.day, p.person_id, p.id AS posting_id, p.village_code, p.role
    FROM asked JOIN postings AS p ON p.person_id = asked.person_id
    WHERE p.from_day <= asked.day AND (p.until_day IS NULL OR p.until_day >= asked.day)
), followed(posting_id, day, code, steps) AS (
    SELECT posting_id, day, village_code, 0 FROM active
    UNION ALL
    SELECT f.posting_id, f.day, link.to_code, f.steps + 1
    FROM followed AS f JOIN region_successors AS link ON link.from_code = f.code AND link.from_day <= f.day
    WHERE f.steps < 16
), present AS (
    SELECT DISTINCT ON (posting_id, day) posting_id, day, code FROM followed ORDER BY posting_id, day, steps DESC
), extra AS (
    SELECT active.posting_id, active.day, array_agg(DISTINCT place.zone_id) AS zone_ids
    FROM active JOIN posting_places AS place ON place.posting_id = active.posting_id
    WHERE place.from_day <= active.day AND (place.until_day IS NULL OR place.until_day >= active.day)
    GROUP BY 1, 2
)
SELECT active.person_id, active.day, active.posting_id, active.role, active.village_code AS appointed_code,
    present.code AS village_code, coalesce(extra.zone_ids, ARRAY[]::uuid[]) AS zone_ids
FROM active JOIN present USING (posting_id, day) LEFT JOIN extra USING (posting_id, day)
ORDER BY active.person_id, active.day, active.posting_id
"""
"""The postings of people on days, in psycopg's spelling.

The parameters are two arrays of one length, person ids and days; repeated pairs are asked once. Each row is one posting
in force on that day. ``village_code`` is where ``appointed_code`` has gone by that day, along the successor links
(edge 48); ``zone_ids`` are the extra places in force. A person with two postings has two rows (edges 73, 74); a day
before, between or after postings has none (edges 75, 76).
"""

POSTED_DAYS = """
WITH RECURSIVE month AS (
    SELECT %(first)s::date AS first, (%(first)s::date + interval '1 month' - interval '1 day')::date AS last
), followed(origin, code, steps) AS (
    SELECT link.from_code, link.to_code, 1 FROM region_successors AS link, month WHERE link.from_day <= month.last
    UNION ALL
    SELECT f.origin, link.to_code, f.steps + 1
    FROM followed AS f JOIN region_successors AS link ON link.from_code = f.code, month
    WHERE link.from_day <= month.last AND f.steps < 16
), present AS (
    SELECT DISTINCT ON (origin) origin, code FROM followed ORDER BY origin, steps DESC
), spans AS (
    SELECT p.person_id, p.id, p.from_day, coalesce(present.code, p.village_code) AS code,
        greatest(p.from_day, month.first) AS low, least(coalesce(p.until_day, month.last), month.last) AS high
    FROM month, postings AS p LEFT JOIN present ON present.origin = p.village_code
    WHERE p.from_day <= month.last AND (p.until_day IS NULL OR p.until_day >= month.first)
        AND (p.until_day IS NULL OR p.until_day >= p.from_day)
        AND (%(people)s::uuid[] IS NULL OR p.person_id = ANY (%(people)s::uuid[]))
), masked AS (
    SELECT *, (1::bigint << (2 * extract(day FROM high)::int)) - (1::bigint << (2 * extract(day FROM low)::int - 2)) AS mask,
        %(scope)s::text[] IS NULL OR code ^@ ANY (%(scope)s::text[]) AS in_scope
    FROM spans
), ended AS (
    SELECT DISTINCT ON (person_id) person_id, high, code
    FROM masked ORDER BY person_id, high DESC, from_day DESC, id DESC
), summed AS (
    SELECT person_id, bit_or(mask) AS posted, bit_or(mask) FILTER (WHERE in_scope) AS posted_in_scope
    FROM masked GROUP BY person_id HAVING bool_or(in_scope)
)
SELECT person_id, summed.posted, summed.posted_in_scope, ended.high AS last_day, ended.code AS last_village
FROM summed JOIN ended USING (person_id) ORDER BY person_id
"""
"""The posted days of a month, one row a person; see :func:`posted_days`."""


@dataclass(frozen=True, slots=True)
class ActivePosting:
    """One posting in force on one day."""

    person_id: UUID
    day: date
    posting_id: UUID
    role: str
    appointed_code: str
    village_code: str
    zone_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PostedMonth:
    """The posted days of one person in one month, as masks of two bits a day (server.month.masks).

    `posted` has every posted day, `posted_in_scope` those in the scope that was asked for: "other towns see their own
    days". `last_village` is the village of the last posted day, whose town owns the statement (ruling 9), by its code
    at the month's end; of two postings on that day, the one that began later.
    """

    person_id: UUID
    posted: int
    posted_in_scope: int
    last_day: date
    last_village: str


def active_postings(session: orm.Session, asked: Sequence[tuple[UUID, date]]) -> list[ActivePosting]:
    """Return the postings in force for these people on these days (ACTIVE_POSTINGS), by person and day."""
    given = {"people": [person for person, _ in asked], "days": [day for _, day in asked]}
    rows = session.connection().exec_driver_sql(ACTIVE_POSTINGS, given)
    return [
        ActivePosting(
            row.person_id,
            row.day,
            row.posting_id,
            row.role,
            row.appointed_code,
            row.village_code,
            tuple(row.zone_ids),
        )
        for row in rows
    ]


def posted_days(
    session: orm.Session,
    first: date,
    *,
    people: Sequence[UUID] | None = None,
    scope: Sequence[str] | None = None,
) -> list[PostedMonth]:
    """Return who is posted in the month that begins on `first`, in the order of person ids.

    `people` and `scope` (region prefixes) narrow the answer; None does not. A day on which a posting begins or ends is
    posted whole, so a transfer at noon gives the day to both villages and the person one day (edges 4, 73, 74).
    """
    given = {
        "first": first.replace(day=1),
        "people": None if people is None else list(people),
        "scope": None if scope is None else list(scope),
    }
    rows = session.connection().exec_driver_sql(POSTED_DAYS, given)
    return [PostedMonth(*row) for row in rows]
