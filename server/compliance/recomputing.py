"""The masks of a month computed again from the records, and compared with those that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.verdict import VerdictKind
from server.checkins import codes
from server.checkins.rules import Standing
from server.compliance.rules import KEPT
from server.month import facts
from server.month.masks import Month
from server.month.rules import Sort

_SPEAKS = ", ".join(
    f"COALESCE({codes.code_of(name, f'j.{name}')}, c.{name}) AS {name}" for name in ("verdict", "standing")
)
_IS = {value: codes.one("verdict", value) for value in VerdictKind}
_BOTH = ", ".join(f"COALESCE({'e' if name in set(Sort) else 'c'}.{name}, 0) AS {name}" for name in KEPT)
_BITS = "bit_or(CAST(3 AS bigint) << (2 * (c.day - CAST(:first AS date)))) AS bits"
_WANTED = """c.day BETWEEN :first AND :last
        AND (CAST(:people AS uuid[]) IS NULL OR c.person_id = ANY(CAST(:people AS uuid[])))"""
_COUNTED = codes.one("standing", Standing.COUNTED)
_COUNTS = f"standing IN ({_COUNTED}, {codes.one('standing', Standing.PROVISIONAL)})"
RECOMPUTED = f"""
WITH revised AS MATERIALIZED (
    SELECT c.person_id FROM checkin_judgements AS j
    JOIN checkin_rows AS c ON c.person_id = j.person_id AND c.id = j.checkin_id WHERE {_WANTED}
    UNION
    SELECT c.person_id FROM checkin_withdrawals AS w
    JOIN checkin_rows AS c ON c.person_id = w.person_id AND c.id = w.checkin_id WHERE {_WANTED}
), spoken AS (
    SELECT c.person_id, c.verdict, c.standing, {_BITS}
    FROM checkin_rows AS c
    WHERE {_WANTED} AND c.person_id NOT IN (SELECT person_id FROM revised)
    GROUP BY c.person_id, c.verdict, c.standing
    UNION ALL
    SELECT c.person_id, {_SPEAKS}, {_BITS}
    FROM checkin_rows AS c
    LEFT JOIN (
        SELECT DISTINCT ON (person_id, checkin_id) person_id, checkin_id, verdict, standing
        FROM checkin_judgements ORDER BY person_id, checkin_id, seq DESC
    ) AS j ON j.person_id = c.person_id AND j.checkin_id = c.id
    WHERE {_WANTED} AND c.person_id IN (SELECT person_id FROM revised)
        AND NOT EXISTS (
            SELECT FROM checkin_withdrawals AS w WHERE w.person_id = c.person_id AND w.checkin_id = c.id
        )
    GROUP BY 1, 2, 3
), checked AS (
    SELECT person_id,
        COALESCE(bit_or(bits) FILTER (WHERE standing = {_COUNTED} AND verdict = {_IS[VerdictKind.INSIDE]}), 0) AS sure,
        COALESCE(bit_or(bits) FILTER (WHERE {_COUNTS} AND (verdict = {_IS[VerdictKind.UNSURE]}
            OR verdict = {_IS[VerdictKind.INSIDE]} AND standing <> {_COUNTED})), 0) AS unsure,
        COALESCE(bit_or(bits) FILTER (WHERE {_COUNTS} AND verdict = {_IS[VerdictKind.NO_FENCE]}), 0) AS unfenced,
        COALESCE(bit_or(bits) FILTER (WHERE verdict IN ({_IS[VerdictKind.OUTSIDE]}, {_IS[VerdictKind.TOWN]})), 0) AS outside,
        COALESCE(bit_or(bits) FILTER (WHERE standing = {codes.one("standing", Standing.CLAIMED)}), 0) AS claimed
    FROM spoken
    GROUP BY person_id
), entered AS (
    SELECT s.person_id,
        {facts.masks_of()}
    FROM (
        SELECT f.person_id, f.sort, {facts.bits("CAST(:first AS date)", "CAST(:last AS date)")} AS bits FROM day_facts AS f
        WHERE f.first_day <= :last AND f.last_day >= :first AND {facts.STANDS}
            AND (CAST(:people AS uuid[]) IS NULL OR f.person_id = ANY(CAST(:people AS uuid[])))
    ) AS s
    GROUP BY s.person_id
), again AS (
    SELECT COALESCE(c.person_id, e.person_id) AS person_id, {_BOTH}
    FROM checked AS c FULL JOIN entered AS e ON e.person_id = c.person_id
)"""  # noqa: S608  Constants of ours.
"""The masks as the records say: the newest judgement of a check-in speaks, else its own; what was withdrawn is silent.

By codes, because a text for each row would cost more than everything else. Days are subtracted: EXTRACT gives a numeric, which would take a fifth of the whole query.
Few people have a check-in in a month that was judged again or withdrawn, and asking for each check-in whether it was would take half of it: so
these few are counted apart. By person, verdict and standing first: one sum a check-in and five a group, of which there are three a person.
"""

_NAMES = ", ".join(KEPT)
_AGAIN = ", ".join(f"{name}_again" for name in KEPT)


def recomputed_masks(
    session: orm.Session, month: Month, people: Sequence[UUID] | None = None
) -> dict[UUID, dict[str, int]]:
    """Return the masks of a month computed again from the records, by person; `people` None means everybody."""
    rows = session.execute(
        sa.text(f"{RECOMPUTED} SELECT person_id, {_NAMES} FROM again"),  # noqa: S608  Two constants.
        {"first": month.first, "last": month.last, "people": None if people is None else list(people)},
    )
    return {row[0]: dict(zip(KEPT, row[1:], strict=True)) for row in rows}


@dataclass(frozen=True, slots=True)
class Difference:
    """A person whose kept masks are not what the records say. A missing row is one of zeros."""

    person_id: UUID
    number: str | None
    name: str | None
    kept: dict[str, int]
    recomputed: dict[str, int]


_DIFFERENT = f"""{RECOMPUTED}, kept AS (
    SELECT person_id, {_NAMES} FROM person_months WHERE month = :first
        AND (CAST(:people AS uuid[]) IS NULL OR person_id = ANY(CAST(:people AS uuid[])))
), compared AS (
    SELECT COALESCE(k.person_id, a.person_id) AS person_id,
        {", ".join(f"COALESCE(k.{name}, 0) AS {name}, COALESCE(a.{name}, 0) AS {name}_again" for name in KEPT)}
    FROM kept AS k FULL JOIN again AS a ON a.person_id = k.person_id
)
SELECT c.person_id, x.number, x.name, {_NAMES}, {_AGAIN}
FROM compared AS c LEFT JOIN people AS x ON x.id = c.person_id
WHERE ({_NAMES}) <> ({_AGAIN})
ORDER BY x.number, c.person_id"""  # noqa: S608  Constants of ours.


def different_masks(
    session: orm.Session, month: Month, people: Sequence[UUID] | None = None
) -> list[Difference]:
    """Return everybody whose kept masks of a month differ from the records; compared in the database."""
    rows = session.execute(
        sa.text(_DIFFERENT),
        {"first": month.first, "last": month.last, "people": None if people is None else list(people)},
    )
    return [
        Difference(
            row[0],
            row[1],
            row[2],
            dict(zip(KEPT, row[3 : 3 + len(KEPT)], strict=True)),
            dict(zip(KEPT, row[3 + len(KEPT) :], strict=True)),
        )
        for row in rows
    ]


_MEND = f"""UPDATE person_months AS m SET {", ".join(f"{name} = g.{name}" for name in KEPT)}
FROM unnest(CAST(:people AS uuid[]), {", ".join(f"CAST(:{name} AS bigint[])" for name in KEPT)})
    AS g(person_id, {_NAMES})
WHERE m.person_id = g.person_id AND m.month = :month"""  # noqa: S608  Constants of ours.


def mend(session: orm.Session, month: Month, people: Sequence[UUID] | None = None) -> list[Difference]:
    """Keep what the records say where something else is kept; return what differed.

    Whoever differs is compared again once the rows are held, so that a check-in stored meanwhile is not lost.
    """
    suspected = [each.person_id for each in different_masks(session, month, people)]
    if not suspected:
        return []
    facts.hold(session, [(person, month.first) for person in suspected])
    found = different_masks(session, month, suspected)
    given = {name: [each.recomputed[name] for each in found] for name in KEPT}
    asked = {"people": [each.person_id for each in found], "month": month.first}
    session.execute(sa.text(_MEND), {**given, **asked})
    return found
