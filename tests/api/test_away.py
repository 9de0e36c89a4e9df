"""Half days that leave and duty claim: no two of a person's overlap, and what stands in the way is named (ruling 27)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import product
from threading import Barrier
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from conftest import Clone
from factories_month import make_person
from hypothesis import given
from hypothesis import strategies as st

from server.db import Database
from server.month import away
from server.month.away import Away
from server.month.facts import Span
from server.month.masks import Half
from server.month.models import AwayKind
from server.problems import Problem

FIRST = date(2026, 11, 2)
SPANS = st.tuples(
    st.integers(-4000, 4000), st.integers(0, 60), st.sampled_from(Half), st.sampled_from(Half)
).filter(lambda given: given[1] > 0 or given[2] <= given[3])


def span(day: int, days: int = 0, starts: Half = Half.MORNING, ends: Half = Half.AFTERNOON) -> Span:
    first = FIRST + timedelta(days=day)
    return Span(first, first + timedelta(days=days), starts, ends)


@pytest.fixture(scope="module")
def database(clone: Clone) -> Iterator[Database]:
    opened = Database(clone().owner_url, pool_size=10)
    yield opened
    opened.close()


@pytest.fixture
def person(database: Database) -> UUID:
    with database.write() as session:
        return make_person(session)


def claim(database: Database, person: UUID, wanted: Span, kind: AwayKind = AwayKind.LEAVE) -> UUID:
    request = uuid4()
    with database.write() as session:
        away.claim(session, Away(request, person, kind, wanted))
    return request


@given(SPANS, SPANS)
def test_halves_are_numbered_without_gaps_and_come_back_as_the_same_span(
    one: tuple[int, int, Half, Half], other: tuple[int, int, Half, Half]
) -> None:
    first, second = span(*one), span(*other)
    assert away.span_of(away.numbers(first)) == first
    days = {
        (day, half)
        for day, half in product(range(one[0], one[0] + one[1] + 1), Half)
        if (one[0], one[2]) <= (day, half) <= (one[0] + one[1], one[3])
    }
    assert len(away.numbers(first)) == len(days)
    apart = (first.last, first.ends) < (second.first, second.starts) or (second.last, second.ends) < (
        first.first,
        first.starts,
    )
    assert set(away.numbers(first)).isdisjoint(away.numbers(second)) == apart


def test_a_day_can_be_shared_by_its_halves_alone(database: Database, person: UUID) -> None:  # edge 85
    morning = claim(database, person, span(0, 1, ends=Half.MORNING))
    afternoon = claim(database, person, span(1, 1, Half.AFTERNOON), AwayKind.DUTY)
    with pytest.raises(Problem) as refused:
        claim(database, person, span(0, 5))
    assert refused.value.kind.code == "away-overlaps"
    assert [each["id"] for each in refused.value.members["conflicts"]] == [str(morning), str(afternoon)]  # type: ignore[attr-defined]
    assert "公出 2026-11-03 至 2026-11-04" in refused.value.zh
    with database.write() as session:
        another = make_person(session)
    claim(database, another, span(0, 5))  # Another person's days are nobody's business.


def test_moved_it_gives_back_what_it_does_not_need_and_refused_it_stays(
    database: Database, person: UUID
) -> None:
    one, other = claim(database, person, span(0, 4)), claim(database, person, span(5))
    with database.write() as session:
        away.move(session, Away(one, person, AwayKind.LEAVE, span(0, 1)))
        assert away.of_requests(session, [one])[one].span == span(0, 1)
    claim(database, person, span(2, 1))
    with pytest.raises(Problem), database.write() as session:
        away.move(session, Away(one, person, AwayKind.LEAVE, span(0, 5)))
    with database.read() as session:
        assert away.of_requests(session, [one, other])[one].span == span(0, 1)


def test_what_is_released_can_be_claimed_again(database: Database, person: UUID) -> None:
    one = claim(database, person, span(0))
    with database.write() as session:
        assert away.release(session, person, one)
        assert not away.release(session, person, one)
    claim(database, person, span(0))


def test_a_refusal_in_a_transaction_loses_nothing_of_it(database: Database, person: UUID) -> None:
    held = claim(database, person, span(0))
    with database.write() as session:
        kept, lost = uuid4(), uuid4()
        away.claim(session, Away(kept, person, AwayKind.DUTY, span(3)))
        with pytest.raises(Problem):
            away.claim(session, Away(lost, person, AwayKind.DUTY, span(0)))
    with database.read() as session:
        assert set(away.of_requests(session, [held, kept, lost])) == {held, kept}


def test_of_many_at_once_that_overlap_one_stands_and_the_others_name_it(
    database: Database, person: UUID
) -> None:
    barrier = Barrier(8)

    def one(number: int) -> object:
        barrier.wait()
        try:
            return claim(database, person, span(number % 2, 2), list(AwayKind)[number % 2])
        except Problem as refused:
            return refused.members["conflicts"][0]["id"]  # type: ignore[index]

    with ThreadPoolExecutor(8) as pool:
        assert len({str(each) for each in pool.map(one, range(8))}) == 1
    with database.read() as session:
        query = sa.text("SELECT count(*) FROM away_spans WHERE person_id = :p")
        assert session.execute(query, {"p": person}).scalar_one() == 1


def test_the_database_refuses_what_no_span_is(database: Database, person: UUID) -> None:
    for halves in ("empty", "[1,)", "(,)", "[0,2201)"):
        query = sa.text("INSERT INTO away_spans VALUES (:r, :p, 'leave', CAST(:h AS int8range))")
        with pytest.raises(sa.exc.IntegrityError), database.write() as session:
            session.execute(query, {"r": uuid4(), "p": person, "h": halves})
