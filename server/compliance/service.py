"""Judging months that were read: one person with every day explained, a page, or a whole province in one pass."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import orm

from server import clock
from server.compliance import queries, rules
from server.compliance.columns import Columns, by_code
from server.compliance.queries import Asked, Key, PersonMonth, Reach
from server.compliance.rules import KEPT, Judged
from server.month import book as books
from server.month.book import Book, Governing
from server.month.district import RESULTS, REVIEWS, TIERS, DistrictMonth, statements_of_many
from server.month.masks import FULL, Month
from server.month.policy import Mode, governing, legal_day
from server.month.rules import Facts, ResultKind


def judged(book: Book, row: PersonMonth, month: Month, now: datetime) -> Judged | None:
    """Judge a row by the policy that governs its village; None where none is published.

    A row that the reader does not own is judged by the days that the reader reaches alone (ruling 9).
    """
    by = book.governing(village_of(row), month)
    return None if by is None else _judged(by, book, row, month, now)


def village_of(row: PersonMonth) -> str:
    """Return the village whose policy judges the row: the owner's, or the own one for those who see their own days."""
    return row.owner if row.owned or not row.reached else row.place


def days_judged(row: PersonMonth) -> int:
    """Return the mask of the days by which the row is judged."""
    return row.posted if row.owned or not row.reached else row.reached


def _judged(by: Governing, book: Book, row: PersonMonth, month: Month, now: datetime) -> Judged:
    facts = rules.facts_of(days_judged(row), row.kept, by.policy, outage=row.outage)
    return _of_facts(facts, by, book, month, now)


def _of_facts(facts: Facts, by: Governing, book: Book, month: Month, now: datetime) -> Judged:
    today = legal_day(now, by.policy)
    return rules.judge(facts, book.calendar(month), policy_id=by.id, version=by.version, today=today)


def judged_otherwise(book: Book, row: PersonMonth, month: Month, now: datetime) -> list[Judged]:
    """Judge a row by the further policies that govern its village, by code (ruling 9, edge 11)."""
    principal = book.governing(row.owner, month)
    found = []
    for version in governing(book.versions, row.owner, month):
        by = Governing(book.ids[version.region_prefix, version.policy.code, version.version], version)
        if principal is not None and by.id != principal.id:
            found.append(_judged(by, book, row, month, now))
    return found


def not_posted(book: Book, region: str, month: Month, now: datetime) -> Judged | None:
    """Judge the month of somebody whom nobody posted in it (edge 8), by the policy of the region they belong to."""
    by = book.governing(region, month)
    return None if by is None else _of_facts(Facts(), by, book, month, now)


@dataclass(frozen=True, slots=True)
class ScopeMonth:
    """The months of everybody in a scope. ``figures`` has one element a row; `policy_of` indexes `policies`.

    A row without a policy has -1 there, and zeros in the figures.
    """

    month: Month
    columns: Columns
    policies: list[Governing]
    policy_of: npt.NDArray[np.intp]
    figures: DistrictMonth

    def result(self, index: int) -> ResultKind | None:
        """Return the result of a row; None without a policy."""
        return None if self.policy_of[index] < 0 else RESULTS[self.figures.result[index]]

    def with_result(self, result: ResultKind) -> npt.NDArray[np.intp]:
        """Return the indices of the rows with a result, of those only whose statement the reader may see."""
        found = self.columns.owned & (self.policy_of >= 0) & (self.figures.result == RESULTS.index(result))
        return np.flatnonzero(found)


def scope_month(
    session: orm.Session,
    reach: Reach,
    month: Month,
    asked: Asked | None = None,
    *,
    after: Key | None = None,
    from_records: bool = False,
) -> ScopeMonth:
    """Judge everybody in a scope: one statement to the database, then arrays (60,000 people in a second or two).

    With `from_records` the masks are computed from the records instead of read.
    """
    columns = queries.month_columns(
        session, reach, month, asked or Asked(), after=after, from_records=from_records
    )
    return judge_columns(books.load(session), columns, month, clock.now())


def columns_of(rows: Sequence[PersonMonth]) -> Columns:
    """Return rows that were read as columns, in the same order."""
    return Columns(
        people=np.frombuffer(b"".join(row.person_id.bytes for row in rows), dtype="V16"),
        owner=np.array([int(row.owner) for row in rows], dtype=np.int64),
        place=np.array([int(row.place) for row in rows], dtype=np.int64),
        owned=np.array([row.owned for row in rows], dtype=np.bool_),
        posted=np.array([row.posted for row in rows], dtype=np.int64),
        reached=np.array([row.reached for row in rows], dtype=np.int64),
        outage=np.array([row.outage for row in rows], dtype=np.int64),
        kept={name: np.array([row.kept[name] for row in rows], dtype=np.int64) for name in KEPT},
    )


def judge_columns(book: Book, columns: Columns, month: Month, now: datetime) -> ScopeMonth:
    """Judge many months, policy by policy; a test holds it against :func:`judged`, row by row."""
    policies, policy_of = _policies(book, columns, month)
    masks = {**columns.kept, "posted": columns.days(), "outage": columns.outage}
    figures = _empty(len(columns))
    for index, by in enumerate(policies):
        chosen = np.flatnonzero(policy_of == index)
        part = {name: mask[chosen] for name, mask in masks.items()}
        if by.policy.mode is Mode.SPOT_CHECKS_ONLY:
            part["presumed"] = np.full(len(chosen), FULL, dtype=np.int64)
        if not by.policy.outages_count:
            part["outage"] = np.zeros(len(chosen), dtype=np.int64)
        made = statements_of_many(part, book.calendar(month), by.policy, today=legal_day(now, by.policy))
        for each in fields(DistrictMonth):
            getattr(figures, each.name)[chosen] = getattr(made, each.name)
    return ScopeMonth(month, columns, policies, policy_of, figures)


def _policies(book: Book, columns: Columns, month: Month) -> tuple[list[Governing], npt.NDArray[np.intp]]:
    """Return the policies that govern, and for each row the index of its own, or -1; looked up once a village."""
    found, index = by_code(columns.village(), lambda code: book.governing(code, month))
    policies = list({by.id: by for by in found if by is not None}.values())
    place = {by.id: at for at, by in enumerate(policies)}
    of_village = np.array([-1 if by is None else place[by.id] for by in found], dtype=np.intp)
    return policies, of_village[index]


_FLAGS = frozenset({"in_halves", "no_data"})
_KINDS = frozenset({"result", "review", "tier"})


def _empty(length: int) -> DistrictMonth:
    """Return figures of zeros, to be filled policy by policy."""
    kinds = {each.name: np.int8 if each.name in _KINDS else np.int64 for each in fields(DistrictMonth)}
    return DistrictMonth(
        **{name: np.zeros(length, dtype=np.bool_ if name in _FLAGS else kind) for name, kind in kinds.items()}  # type: ignore[arg-type]  # Each name has its kind of array.
    )


def page(
    session: orm.Session,
    reach: Reach,
    month: Month,
    asked: Asked,
    *,
    result: ResultKind | None,
    after: Key | None,
    limit: int,
) -> list[PersonMonth]:
    """Return up to `limit` rows of the list after a key, only those with a result if one is given.

    Results are not stored, so a filtered list judges everybody from there on, as columns; only its page is read as rows.
    """
    if result is None:
        return queries.person_months(session, reach, month, asked, after=after, limit=limit)
    scope = scope_month(session, reach, month, asked, after=after)
    chosen = scope.with_result(result)[:limit].tolist()
    people = tuple(scope.columns.person(at) for at in chosen)
    return queries.person_months(session, reach, month, replace(asked, people=people))


@dataclass(frozen=True, slots=True)
class Summary:
    """A scope's month on one page."""

    posted: int
    results: dict[ResultKind, int]
    tiers: dict[str, int]
    needing_review: int
    no_data: int
    without_policy: int


def summary(scope: ScopeMonth) -> Summary:
    """Count a scope. Everybody listed is posted on some day of the month."""
    judged_rows = scope.policy_of >= 0
    results = Counter(RESULTS[kind] for kind in scope.figures.result[judged_rows])
    tiers = Counter(TIERS[kind] for kind in scope.figures.tier[judged_rows])
    return Summary(
        posted=len(scope.columns),
        results={kind: results[kind] for kind in ResultKind if results[kind]},
        tiers={kind.value: tiers[kind] for kind in TIERS if kind is not None and tiers[kind]},
        needing_review=int(np.count_nonzero(scope.figures.review[judged_rows] != REVIEWS.index(None))),
        no_data=int(np.count_nonzero(scope.figures.no_data[judged_rows])),
        without_policy=int(np.count_nonzero(~judged_rows)),
    )
