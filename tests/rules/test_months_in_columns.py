"""A whole scope in columns is everybody one by one: the two must never differ, whatever is generated."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.compliance import columns, service
from server.compliance.queries import PersonMonth
from server.compliance.rules import KEPT
from server.month.book import Book
from server.month.district import RESULTS, REVIEWS, TIERS
from server.month.masks import Month, whole_days
from server.month.policy import Basis, Mode, Policy, PolicyVersion
from server.month.rules import ResultKind, Sort

MONTHS = (Month(2026, 2), Month(2026, 10))
VILLAGES = ("011116101201", "011116101202", "011116102201", "011117101201", "991116101201")
"""The last is governed by nobody; codes may begin with a nought."""
POLICIES = (
    ("0111", Policy(basis=Basis.CALENDAR, duty_counts_in_village=True)),
    ("011116102", Policy(basis=Basis.WORKING, duty_counts_in_village=False, unsure_review_limit=0)),
    ("011116101202", Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, mode=Mode.SPOT_CHECKS_ONLY)),
    ("011117", Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, fixed_days=20, short_month_days=3)),
)


def uuid_of(name: str) -> UUID:
    return uuid5(UUID(int=0), name)


@pytest.fixture(scope="module")
def book() -> Book:
    versions = [
        PolicyVersion(
            region_prefix=prefix, valid_from=date(2020, 1, 1), valid_until=None, version=1, policy=policy
        )
        for prefix, policy in POLICIES
    ]
    ids = {(v.region_prefix, v.policy.code, v.version): uuid_of(v.region_prefix) for v in versions}
    return Book(tuple(versions), ids)


def masks(month: Month) -> st.SearchStrategy[int]:
    """Draw masks of the month: whole days as the roster and the records make them, and any halves at all."""
    days = st.integers(0, month.mask).map(whole_days)
    return st.one_of(st.just(0), st.just(month.mask), days, st.integers(0, month.mask))


@st.composite
def people(draw: st.DrawFn, month: Month) -> list[PersonMonth]:
    """Draw rows as the database tells them: what is owned is reached, and one may be in reach by one's unit alone."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        posted = draw(masks(month).filter(bool))
        owner = draw(st.sampled_from(VILLAGES))
        reached = posted & draw(masks(month))
        owned = bool(reached) and draw(st.booleans())
        found.append(
            PersonMonth(
                person_id=uuid_of(f"person {number}"),
                number=str(number),
                name="某人",
                unit_id=None,
                unit_name=None,
                owner=owner,
                place=owner if owned or not reached else draw(st.sampled_from(VILLAGES)),
                owned=owned,
                posted=posted,
                reached=reached,
                outage=draw(masks(month)),
                kept={name: draw(masks(month)) for name in KEPT},
            )
        )
    return found


@settings(max_examples=100)
@given(data=st.data(), month=st.sampled_from(MONTHS))
def test_columns_say_of_each_person_what_one_statement_says(
    book: Book, data: st.DataObject, month: Month
) -> None:
    rows = data.draw(people(month))
    year, number = month.year, month.number
    now = data.draw(
        st.sampled_from(
            [datetime(year, number, day, 15, 59, tzinfo=UTC) for day in (1, 14, 28)]
            + [datetime(year, number, 1, tzinfo=UTC), datetime(year - 1, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)]
        )
    )  # fmt: skip
    scope = service.judge_columns(book, service.columns_of(rows), month, now)
    assert len(scope.columns) == len(rows)
    for at, row in enumerate(rows):
        one = service.judged(book, row, month, now)
        assert scope.columns.person(at) == row.person_id
        if one is None:
            assert (scope.policy_of[at], scope.result(at)) == (-1, None)
            assert all(not getattr(scope.figures, name)[at] for name in scope.figures.__dataclass_fields__)
            continue
        made, ahead, figures = one.statement, one.statement.projection, scope.figures
        assert scope.policies[scope.policy_of[at]].id == one.policy_id
        assert scope.result(at) is made.result
        assert REVIEWS[figures.review[at]] is made.review
        assert TIERS[figures.tier[at]] is (ahead.tier if ahead else None)
        assert figures.away_at_most_halves[at] == (ahead.away_at_most_halves if ahead else 0)
        assert figures.unsure_days[at] == len(made.unsure_days)
        assert (bool(figures.in_halves[at]), bool(figures.no_data[at])) == (made.in_halves, made.no_data)
        for name in ("due", "counted", "need", "village", "on_post", "allowance"):
            assert getattr(figures, f"{name}_halves")[at] == getattr(made, f"{name}_halves"), name


@settings(max_examples=40)
@given(data=st.data(), month=st.sampled_from(MONTHS), wanted=st.sampled_from(RESULTS))
def test_a_filter_by_result_shows_those_whose_statement_one_may_see(
    book: Book, data: st.DataObject, month: Month, wanted: ResultKind
) -> None:
    rows = data.draw(people(month))
    now = datetime(2026, 12, 1, tzinfo=UTC)
    scope = service.judge_columns(book, service.columns_of(rows), month, now)
    expected = [
        at
        for at, row in enumerate(rows)
        if row.owned
        and (one := service.judged(book, row, month, now)) is not None
        and one.statement.result is wanted
    ]
    assert scope.with_result(wanted).tolist() == expected


@given(numbers=st.lists(st.integers(0, 2**62 - 1), max_size=5))
def test_what_postgresql_sends_is_read_as_it_was_meant(numbers: list[int]) -> None:
    sent = b"".join(number.to_bytes(8, "big") for number in numbers)
    ids = [uuid_of(str(at)) for at in range(len(numbers))]
    owned = [at % 2 == 0 for at in range(len(numbers))]
    often = [sent] * (2 + len(KEPT) - len(Sort))
    have = [
        at for at, number in enumerate(numbers) if number % 3 == 0
    ]  # The others have nothing that is rare.
    rare = b"".join(
        each.to_bytes(8, "big") for at in have for each in (at, *[numbers[at]] * len(columns.RARE))
    )
    made = columns.of_bytes(b"".join(one.bytes for one in ids), sent, sent, bytes(owned), *often, rare)
    assert [made.person(at) for at in range(len(made))] == ids
    assert made.owned.tolist() == owned
    usual = [mask for name, mask in made.kept.items() if name not in set(Sort)]
    for read in (made.owner, made.place, made.posted, made.reached, *usual):
        assert read.tolist() == numbers
    for read in (made.outage, *(made.kept[sort] for sort in Sort)):
        assert read.tolist() == [number if at in have else 0 for at, number in enumerate(numbers)]
    assert list(made.kept) == list(KEPT)


def test_a_village_is_asked_for_once_with_all_its_digits() -> None:
    asked: list[str] = []

    def find(code: str) -> str:
        asked.append(code)
        return f"policy of {code}"

    found, index = columns.by_code(np.array([11116101201, 991116101201, 11116101201]), find)
    assert asked == ["011116101201", "991116101201"]
    assert [found[at] for at in index] == [f"policy of {asked[at]}" for at in (0, 1, 0)]
