"""The ledger of facts that people enter and decide, and what follows from it in the months.

Corrections, findings, duty, leave and attestations are rows of `day_facts`; nothing of a check-in is ever rewritten
by them. Whoever records or withdraws one does it here, so that the masks in `person_months` follow in the same
transaction; they are computed from the ledger, never changed bit by bit, so what is kept cannot drift from it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock, ids
from server.month.masks import Half, Month
from server.month.models import DayFact, DayFactWithdrawal, Provenance, SourceKind
from server.month.rules import Sort

SORTS = tuple(Sort)
PersonMonthKey = tuple[UUID, date]
"""A person and the first of a month."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one half day to another, both inclusive. Raises ValueError when the end lies before the start."""

    first: date
    last: date
    starts: Half = Half.MORNING
    ends: Half = Half.AFTERNOON

    def __post_init__(self) -> None:
        if (self.last, self.ends) < (self.first, self.starts):
            raise ValueError(f"A span cannot end ({self.last}) before it starts ({self.first}).")

    def months(self) -> list[date]:
        """Return the first of each month that the span touches."""
        found, month = [], Month.of(self.first)
        while month.first <= self.last:
            found.append(month.first)
            month = month.next()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact to be recorded. `entered_by` and `decided_by` are accounts; `reason` is a code of the source."""

    person_id: UUID
    sort: Sort
    span: Span
    source: tuple[SourceKind, UUID]
    provenance: Provenance
    reason: str = ""
    text: str | None = None
    entered_by: UUID | None = None
    decided_by: UUID | None = None


_HOLD = """INSERT INTO person_months AS m (person_id, month, sure, unsure, unfenced, outside, claimed)
SELECT g.person_id, g.month, 0, 0, 0, 0, 0
FROM unnest(CAST(:people AS uuid[]), CAST(:months AS date[])) AS g(person_id, month) ORDER BY g.person_id, g.month
ON CONFLICT (person_id, month) DO UPDATE SET sure = m.sure"""
"""Each row is made or locked in its turn. Making all first and locking the others afterwards would let this transaction
and a group of the intake (storing.KEEP) wait for each other."""


def bits(first: str, last: str) -> str:
    """Return the SQL for the bits that the span of a row `f` of the ledger sets in a month; both are SQL for its days.

    `server.month.masks.span_mask` in SQL. The month must touch the span.
    """
    low = f"CASE WHEN f.first_day < {first} THEN 0 ELSE 2 * (f.first_day - {first}) + f.starts END"
    high = (
        f"CASE WHEN f.last_day > {last} THEN 2 * ({last} - {first}) + 2"
        f" ELSE 2 * (f.last_day - {first}) + f.ends + 1 END"
    )
    return f"(CAST(1 AS bigint) << ({high})) - (CAST(1 AS bigint) << ({low}))"


STANDS = "NOT EXISTS (SELECT FROM day_fact_withdrawals AS w WHERE w.fact_id = f.id)"
"""The condition that a row `f` of the ledger still speaks."""


def masks_of(bits_by: str = "s.bits") -> str:
    """Return the SQL columns of the masks, from rows `s` with a sort and its bits."""
    return ",\n        ".join(
        f"COALESCE(bit_or({bits_by}) FILTER (WHERE s.sort = '{sort}'), 0) AS {sort}" for sort in SORTS
    )


_LAST = "CAST(k.month + interval '1 month' AS date) - 1"
_RECOUNT = f"""UPDATE person_months AS m SET {", ".join(f"{sort} = g.{sort}" for sort in SORTS)}
FROM (
    SELECT s.person_id, s.month,
        {masks_of()}
    FROM (
        SELECT k.person_id, k.month, f.sort, {bits("k.month", f"({_LAST})")} AS bits
        FROM unnest(CAST(:people AS uuid[]), CAST(:months AS date[])) AS k(person_id, month)
        LEFT JOIN day_facts AS f ON f.person_id = k.person_id AND f.first_day <= {_LAST} AND f.last_day >= k.month
            AND {STANDS}
    ) AS s GROUP BY s.person_id, s.month
) AS g WHERE m.person_id = g.person_id AND m.month = g.month"""  # noqa: S608  Constants of ours.


def hold(session: orm.Session, months: Collection[PersonMonthKey]) -> None:
    """Lock these months in the order in which the intake locks them; one that is not there is made, empty."""
    if months:
        session.execute(sa.text(_HOLD), _columns(months))


def _columns(months: Iterable[PersonMonthKey]) -> dict[str, list[UUID] | list[date]]:
    ordered = sorted(set(months))
    return {"people": [person for person, _ in ordered], "months": [month for _, month in ordered]}


def record(session: orm.Session, facts: Sequence[Fact]) -> list[UUID]:
    """Record facts and count them in their months at once; return their ids in the ledger, in the order given.

    The rows of the months are locked first, all of them in one order, so two deciders wait for each other and the
    second one counts what the first one recorded.
    """
    touched = {(fact.person_id, month) for fact in facts for month in fact.span.months()}
    hold(session, touched)
    now = clock.now()
    rows = [
        DayFact(
            id=ids.new_id(),
            person_id=fact.person_id,
            sort=fact.sort,
            first_day=fact.span.first,
            starts=fact.span.starts,
            last_day=fact.span.last,
            ends=fact.span.ends,
            source_kind=fact.source[0],
            source_id=fact.source[1],
            provenance=fact.provenance,
            reason=fact.reason,
            text=fact.text,
            entered_by=fact.entered_by,
            decided_by=fact.decided_by,
            recorded_at=now,
        )
        for fact in facts
    ]
    session.add_all(rows)
    session.flush()
    recount(session, touched)
    return [row.id for row in rows]


def withdraw(
    session: orm.Session, source: tuple[SourceKind, UUID], *, by: UUID | None, reason: str
) -> list[UUID]:
    """Let the facts that rest on a source speak no longer; return those that did until now. Doing it again does nothing.

    Leave that ends early is withdrawn and recorded again with the shorter span.
    """
    found = list(standing(session, source))
    touched = {(row.person_id, month) for row in found for month in span_of(row).months()}
    hold(session, touched)
    # Somebody may have withdrawn some of them before the months were ours.
    still = list(standing(session, source))
    now = clock.now()
    session.add_all(DayFactWithdrawal(fact_id=row.id, at=now, by=by, reason=reason) for row in still)
    session.flush()
    recount(session, touched)
    return [row.id for row in still]


def recount(session: orm.Session, months: Collection[PersonMonthKey]) -> None:
    """Compute the masks of the ledger again in months that are held."""
    if months:
        session.execute(sa.text(_RECOUNT), _columns(months))


def span_of(row: DayFact) -> Span:
    """Return from when until when a fact speaks."""
    return Span(row.first_day, row.last_day, Half(row.starts), Half(row.ends))


def _stands() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(DayFactWithdrawal.fact_id == DayFact.id)


def standing(session: orm.Session, source: tuple[SourceKind, UUID]) -> Sequence[DayFact]:
    """Return the facts that rest on a source and still speak."""
    query = sa.select(DayFact).where(
        DayFact.source_kind == source[0], DayFact.source_id == source[1], _stands()
    )
    return session.scalars(query.order_by(DayFact.recorded_at, DayFact.id)).all()


def of_days(session: orm.Session, person_id: UUID, first: date, last: date) -> Sequence[DayFact]:
    """Return a person's facts that touch the days, both inclusive, and still speak, in the order of their recording."""
    query = sa.select(DayFact).where(
        DayFact.person_id == person_id, DayFact.first_day <= last, DayFact.last_day >= first, _stands()
    )
    return session.scalars(query.order_by(DayFact.recorded_at, DayFact.id)).all()
