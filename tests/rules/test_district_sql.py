"""Generated people through the database: what SQL and HTTP say of their months against the day-by-day oracle."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_month import (
    EVIDENCE,
    enter,
    judge_again,
    keep_masks,
    make_calendar,
    make_check_in,
    make_fact,
    make_person,
    make_policy,
    make_village,
    post,
    withdraw,
)
from month_cases import BITS
from month_oracle import HALVES, Case, HalfDay, judge
from sqlalchemy import orm

from server import clock as clocks
from server.access import Role
from server.compliance import queries, recomputing
from server.compliance import service as compliance
from server.compliance.queries import EVERYONE, Asked, Reach
from server.compliance.rules import KEPT
from server.month import book, outages
from server.month import facts as ledger
from server.month.district import RESULTS, REVIEWS, TIERS
from server.month.facts import Fact, Span
from server.month.masks import Half, Month
from server.month.models import Provenance, SourceKind
from server.month.rules import FACT_NAMES, Sort
from server.roster import days as roster_days

NOW = "2028-03-20T04:00:00"  # A running month between one that is over and one that is ahead, in a leap year.
TODAY = date(2028, 3, 20)
MONTHS = (date(2028, 2, 1), date(2028, 3, 1), date(2028, 4, 1))
EXCEPTIONS = {date(2028, 2, 5): "working", date(2028, 2, 8): "holiday", date(2028, 4, 4): "holiday"}
PEOPLE = 80
OUTAGES = (
    ("500116501", date(2028, 2, 3), date(2028, 2, 4)),
    ("500116502201", date(2028, 2, 28), date(2028, 3, 2)),
    ("5001165", date(2028, 3, 10), date(2028, 3, 10)),
)
"""Where and when the service could not be reached: a town, a village over the end of a month, everywhere."""
MARKED = ("unsure_days", "unfenced_days", "claimed_days", "outage_days")
STATE_OF = {
    "corrected_present": "corrected-present",
    "corrected_absent": "corrected-absent",
    "finding_seen": "seen-on-site",
    "finding_absent": "found-absent",
    "duty": "on-duty",
    "leave_shrinking": "leave-not-due",
    "leave_counting_nothing": "leave-due",
    "attested": "attested",
    "outage": "outage",
}


@dataclass(frozen=True)
class Town:
    """A town with a policy of its own, as a document and as the oracle's words."""

    code: str
    document: dict[str, Any]
    case: dict[str, Any]
    presumes: bool = False

    @property
    def villages(self) -> tuple[str, str]:
        return f"{self.code}201", f"{self.code}202"


TOWNS = (
    Town("500116501", {}, {}),
    Town(
        "500116502",
        {"basis": "working", "duty_counts_in_village": False},
        {"basis": "working", "duty_counts_in_village": False},
    ),
    Town(
        "500116503",
        {"fixed_days": 20, "short_month_days": 1, "allowance_in_halves": True},
        {"fixed_days": 20, "short_month_days": 1, "allowance_in_halves": True},
    ),
    Town(
        "500116504",
        {"ratio": {"numerator": 1, "denominator": 2}, "unsure_review_limit": 0, "mode": "spot-checks-only"},
        {"ratio": Fraction(1, 2), "unsure_review_limit": 0},
        presumes=True,
    ),
)
BY_CODE = {town.code: town for town in TOWNS}


@dataclass
class Life:
    """One generated person: postings as (village, from, until), and the days of each sort of evidence by month."""

    person: UUID = field(default_factory=uuid4)
    postings: list[tuple[str, date, date | None]] = field(default_factory=list)
    evidence: dict[date, dict[str, set[int]]] = field(default_factory=dict)
    entered: list[tuple[Sort, Span]] = field(default_factory=list)

    def villages_on(self, day: date) -> list[tuple[date, str]]:
        """Where the person is posted on a day, with the day each posting began."""
        return [
            (first, village)
            for village, first, last in self.postings
            if first <= day and (last is None or day <= last)
        ]

    def days_in(self, month: date) -> list[date]:
        length = ((month + timedelta(days=31)).replace(day=1) - month).days
        return [month + timedelta(days=ahead) for ahead in range(length)]

    def owner(self, month: date) -> str | None:
        """The village of the last posted day; of two, the one that began later, then the higher code."""
        for day in reversed(self.days_in(month)):
            found = self.villages_on(day)
            if found:
                return max(found)[1]
        return None

    def without_service(self, month: date) -> set[HalfDay]:
        """The half days of outages where one was posted: shown whatever the policy, counted where people check in daily."""
        return both(
            day.day
            for day in self.days_in(month)
            for code, first, last in OUTAGES
            if first <= day <= last and any(village.startswith(code) for _, village in self.villages_on(day))
        )

    def case(self, month: date, town: Town) -> Case:
        days = self.days_in(month)
        facts: dict[str, set[HalfDay]] = {name: set() for name in FACT_NAMES}
        facts["posted"] = both(day.day for day in days if self.villages_on(day))
        for name, numbers in self.evidence.get(month, {}).items():
            facts[name] = both(iter(numbers))
        for sort, span in self.entered:
            facts[sort] |= halves_in(span, days)
        if town.presumes:
            facts["presumed"] = both(day.day for day in days)
        else:
            facts["outage"] = self.without_service(month)  # edge 132
        working = {
            day.day
            for day in days
            if EXCEPTIONS.get(day, "working" if day.weekday() < 5 else "holiday") == "working"
        }
        return Case(month.year, month.month, facts, working, TODAY, **town.case)


def halves_in(span: Span, days: list[date]) -> set[HalfDay]:
    """The half days of a span among these days, one by one."""
    return {
        (day.day, half)
        for day in days
        for at, half in enumerate(HALVES)
        if (span.first, span.starts) <= (day, at) <= (span.last, span.ends)
    }


def both(numbers: Iterator[int]) -> set[HalfDay]:
    return {(number, half) for number in numbers for half in HALVES}


def a_life(random: Random) -> Life:
    """Somebody posted one to three times, in villages of several towns, with gaps and overlaps."""
    life = Life()
    villages = random.sample([village for town in TOWNS for village in town.villages], 3)
    for village in villages[: random.choice((1, 1, 1, 2, 3))]:
        first = date(2028, 1, 15) + timedelta(days=random.choice((-300, -300, random.randrange(0, 100))))
        last = None if random.random() < 0.6 else first + timedelta(days=random.randrange(0, 400))
        life.postings.append((village, first, last))
    for month in MONTHS[:2]:
        days = [day.day for day in life.days_in(month) if day <= TODAY]
        share = random.choice((0.0, 0.3, 0.6, 0.66, 0.7, 1.0))
        life.evidence[month] = {
            "sure": {day for day in days if random.random() < share},
            **{
                name: {day for day in days if random.random() < random.choice((0, 0, 0.05, 0.2))}
                for name in ("unsure", "unfenced", "outside", "claimed")
            },
        }
    for _ in range(random.choice((0, 0, 1, 4))):
        first = date(2028, 1, 20) + timedelta(days=random.randrange(100))
        last = first + timedelta(days=random.choice((0, 0, 0, 1, 5, 40)))
        halves = (Half.MORNING, Half.AFTERNOON)
        starts = random.choice(halves)
        ends = random.choice(halves) if first < last else random.choice(halves[starts:])
        life.entered.append((random.choice(list(Sort)), Span(first, last, starts, ends)))
    return life


def enter_all(session: orm.Session, life: Life) -> None:
    """Record what was entered of a person, and some of it that was taken back again."""
    for at, (sort, span) in enumerate(life.entered):
        source = SourceKind.CORRECTION, uuid4()
        fact = Fact(
            person_id=life.person,
            sort=sort,
            span=span,
            source=source,
            provenance=Provenance.TOWN,
            reason="试",
        )
        ledger.record(session, [fact])
        if at % 2:
            ledger.withdraw(session, source, by=None, reason="误录")
            ledger.record(session, [replace(fact, source=(SourceKind.CORRECTION, uuid4()))])
        wrong = replace(fact, sort=Sort.CORRECTED_ABSENT, source=(SourceKind.CORRECTION, uuid4()))
        ledger.record(session, [wrong])
        ledger.withdraw(session, wrong.source, by=None, reason="误录")


@pytest.fixture(scope="module")
def lives(service: Service) -> list[Life]:
    random = Random("zaicun 2028")
    made = [a_life(random) for _ in range(PEOPLE)]
    with service.database.write() as session:
        make_calendar(session, 2028, EXCEPTIONS)
        for town in TOWNS:
            make_policy(session, region=town.code, **town.document)
            for village in town.villages:
                make_village(session, village)
        for number, life in enumerate(made):
            life.person = make_person(session, name=f"人{number:03d}")
            for village, first, last in life.postings:
                post(session, life.person, village, first, last)
            for month, evidence in life.evidence.items():
                for name, days in evidence.items():
                    for day in sorted(days):
                        make_check_in(session, life.person, month.replace(day=day), name)
                if any(evidence.values()):
                    keep_masks(session, life.person, month, evidence)
            enter_all(session, life)
        for code, first, last in OUTAGES:
            outages.record(
                session,
                outage_id=uuid4(),
                region_prefix=code,
                first=first,
                last=last,
                reason="光缆中断",
                by=None,
            )
        wrong = outages.record(
            session, outage_id=uuid4(), region_prefix="", first=TODAY, last=TODAY, reason="误录", by=None
        )
        outages.withdraw(session, wrong, by=None, reason="误录")
    return made


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(NOW)


def told(case: Case) -> dict[str, object]:
    """Put the oracle's answer into the words of the API."""
    said: Any = judge(case)
    ahead = said["projection"]
    need = said["need"]
    return {
        "result": said["result"],
        "due": float(said["due"]),
        "counted": float(said["counted"]),
        "need": float(need if said["in_halves"] or need.denominator == 1 else need + Fraction(1, 2)),
        "need_text": said["need_shown"],
        "percent": said["percent"],
        "no_data": said["no_data"],
        "review": said["review"],
        "tier": ahead[0] if ahead else None,
        "away_at_most": ahead[1] / 2 if ahead else None,
        "counters": {name: float(said[name]) for name in ("village", "on_post", "allowance")},
        **{name: sorted(said[name]) for name in MARKED},
        "conflict_days": sorted(said["conflicts"]),
    }


def shown(row: dict[str, Any]) -> dict[str, object]:
    """Put an answer of the API into the same form."""
    made = row["statement"]
    plain = ("due", "counted", "need", "need_text", "percent", "no_data", "review", "tier", "away_at_most")
    return {
        **{name: made[name] for name in plain},
        "result": made["result"]["code"],
        "counters": row["counters"],
        **{name: sorted(int(day[-2:]) for day in made[name]) for name in (*MARKED, "conflict_days")},
    }


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_the_month_over_http_is_what_the_oracle_says(
    service: Service, lives: list[Life], month: date
) -> None:
    posted = {str(life.person): life for life in lives if life.owner(month)}
    with service.as_(enter(service, Role.DISTRICT)) as officer:
        rows = officer.get(f"/v1/months/{month:%Y-%m}?limit=200").json()["items"]
        assert {row["person"]["id"] for row in rows} == set(posted)
        for row in rows:
            life = posted[row["person"]["id"]]
            owner = life.owner(month)
            assert owner is not None
            case = life.case(month, BY_CODE[owner[:9]])
            assert row["village"]["code"] == owner
            assert shown(row) == told(case), life
            one = officer.get(f"/v1/people/{life.person}/months/{month:%Y-%m}").json()
            assert shown(one) == shown(row)
            compare_days(one["days"], case, life.without_service(month))


def compare_days(days: list[dict[str, Any]], case: Case, outage: set[HalfDay]) -> None:
    said: Any = judge(case)
    entered = {**case.facts, "outage": outage}
    assert [int(day["day"][-2:]) for day in days] == list(case.day_numbers())
    for day in days:
        number = int(day["day"][-2:])
        states = [said["states"][number, half] for half in HALVES]
        assert day["reasons"] == list(dict.fromkeys(states))
        in_basis = case.basis == "calendar" or number in case.working_days
        owed = case.facts["posted"] - case.facts["leave_shrinking"]
        assert day["due"] == sum((number, half) in owed for half in HALVES) / 2 * in_basis
        named = {state for fact in day["facts"] for state in [fact["state"]]}
        touching = {
            name for name in STATE_OF if (number, "am") in entered[name] or (number, "pm") in entered[name]
        }
        assert named == {STATE_OF[name] for name in touching}
        decided = {fact["state"] for fact in day["facts"] if fact["decided"]}
        assert decided == named & set(states), day


def test_every_way_a_month_can_end_is_among_the_generated_ones(lives: list[Life]) -> None:
    results = {
        judge(life.case(month, BY_CODE[owner[:9]]))["result"]
        for life in lives
        for month in MONTHS
        if (owner := life.owner(month))
    }
    assert results == {"met", "below", "running", "too-short"}


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_a_whole_scope_in_arrays_is_everybody_one_by_one(
    service: Service, lives: list[Life], month: date
) -> None:
    wanted = Month.of(month)
    with service.database.read() as session:
        scope = compliance.scope_month(session, EVERYONE, wanted)
        rows = queries.person_months(session, EVERYONE, wanted, Asked())
        known = book.load(session)
    assert [row.person_id for row in rows] == [scope.columns.person(at) for at in range(len(rows))]
    assert len(scope.columns) == sum(life.owner(month) is not None for life in lives)
    assert len(scope.policies) == len(TOWNS)
    for at, row in enumerate(rows):
        one = compliance.judged(known, row, wanted, clocks.now())
        assert one is not None
        made, figures = one.statement, scope.figures
        ahead = made.projection
        assert scope.policies[scope.policy_of[at]].id == one.policy_id
        assert (
            RESULTS[figures.result[at]],
            REVIEWS[figures.review[at]],
            TIERS[figures.tier[at]],
            figures.away_at_most_halves[at],
            len(made.unsure_days),
        ) == (
            made.result,
            made.review,
            ahead.tier if ahead else None,
            ahead.away_at_most_halves if ahead else 0,
            figures.unsure_days[at],
        )
        for name in ("due", "counted", "need", "village", "on_post", "allowance"):
            assert getattr(figures, f"{name}_halves")[at] == getattr(made, f"{name}_halves"), name
        assert (bool(figures.in_halves[at]), bool(figures.no_data[at])) == (made.in_halves, made.no_data)


@pytest.mark.parametrize("again", [False, True], ids=["kept", "again"])
@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_columns_hold_what_the_rows_hold_in_their_order(
    service: Service, lives: list[Life], month: date, *, again: bool
) -> None:
    assert lives
    with service.database.read() as session:
        for reach in (
            EVERYONE,
            Reach(official=(TOWNS[1].code,)),
            Reach(inspected=("",), avoided=(TOWNS[0].code,)),
        ):
            for asked in (Asked(), Asked(region=TOWNS[0].code), Asked(text="nobody is called this")):
                given = (session, reach, Month.of(month), asked)
                rows = queries.person_months(*given, from_records=again)
                after = queries.key_of(rows[len(rows) // 2]) if rows else None
                for since in (None, after):
                    rows = queries.person_months(*given, after=since, from_records=again)
                    columns = queries.month_columns(*given, after=since, from_records=again)
                    told = compliance.columns_of(rows)
                    for name in ("people", "owner", "place", "owned", "posted", "reached", "outage"):
                        assert np.array_equal(getattr(columns, name), getattr(told, name)), name
                    for name, masks in told.kept.items():
                        assert np.array_equal(columns.kept[name], masks), name


def naive_mask(days: Iterator[int]) -> int:
    return sum(3 << (2 * (day - 1)) for day in set(days))


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_posted_days_in_sql_are_the_days_somebody_is_posted(
    service: Service, lives: list[Life], month: date
) -> None:
    town = TOWNS[1].code
    with service.database.read() as session:
        rows = queries.person_months(session, Reach(official=(town,)), Month.of(month), Asked())
        roster = {row.person_id: row for row in roster_days.posted_days(session, month, scope=[town])}
    expected = {}
    for life in lives:
        days = life.days_in(month)
        everywhere = naive_mask(day.day for day in days if life.villages_on(day))
        here = naive_mask(
            day.day for day in days if any(village.startswith(town) for _, village in life.villages_on(day))
        )
        if here:
            expected[life.person] = (everywhere, here, life.owner(month))
    assert {row.person_id: (row.posted, row.reached, row.owner) for row in rows} == expected
    assert {row.person_id: row.owned for row in rows} == {
        person: owner is not None and owner.startswith(town) for person, (_, _, owner) in expected.items()
    }
    assert {key: (row.posted, row.posted_in_scope) for key, row in roster.items()} == {
        key: value[:2] for key, value in expected.items()
    }


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_masks_computed_again_are_the_masks_kept(service: Service, lives: list[Life], month: date) -> None:
    with service.database.read() as session:
        assert recomputing.different_masks(session, Month.of(month)) == []
        again = recomputing.recomputed_masks(session, Month.of(month))
        some = recomputing.recomputed_masks(session, Month.of(month), [life.person for life in lives[:5]])
    expected = {}
    for life in lives:
        days = life.days_in(month)
        masks = {name: naive_mask(iter(found)) for name, found in life.evidence.get(month, {}).items()}
        for sort, span in life.entered:
            masks[sort] = masks.get(sort, 0) | sum(BITS[half] for half in halves_in(span, days))
        if any(masks.values()):
            expected[life.person] = dict.fromkeys(KEPT, 0) | masks
    assert again == expected
    assert some == {
        key: value for key, value in expected.items() if key in {life.person for life in lives[:5]}
    }


def test_the_newest_judgement_speaks_and_what_was_withdrawn_is_silent(service: Service) -> None:
    month = Month(2027, 5)
    with service.database.write() as session:
        person = make_person(session)
        for number, (first, later) in enumerate(
            [
                ("outside", ["unsure", "sure"]),
                ("sure", ["outside"]),
                ("unfenced", ["sure"]),
                ("claimed", ["not_posted"]),
            ],
            start=1,
        ):
            made = make_check_in(session, person, date(2027, 5, number), first)
            session.flush()
            for each in later:
                judge_again(session, person, made, each)
        gone = make_check_in(session, person, date(2027, 5, 5), "outside")
        make_check_in(session, person, date(2027, 5, 5), "claimed")
        make_check_in(session, person, date(2027, 5, 31), "unsure")
        make_check_in(session, person, date(2027, 6, 1), "sure")
        session.flush()
        withdraw(session, person, gone)
    with service.database.read() as session:
        found = recomputing.recomputed_masks(session, month, [person])[person]
        (difference,) = recomputing.different_masks(session, month, [person])
    expected = {"sure": [1, 3], "outside": [2], "claimed": [5], "unsure": [31], "unfenced": []}
    assert found == dict.fromkeys(KEPT, 0) | {name: naive_mask(iter(days)) for name, days in expected.items()}
    assert (difference.kept, difference.recomputed) == (dict.fromkeys(KEPT, 0), found)


@pytest.mark.parametrize("broken", KEPT)
def test_one_wrong_bit_is_found(service: Service, broken: str) -> None:
    month, first = Month(2027, 7), date(2027, 7, 1)
    with service.database.write() as session:
        person = make_person(session)
        if broken in EVIDENCE:
            make_check_in(session, person, date(2027, 7, 31), broken)
            keep_masks(session, person, first, {broken: [31]})
        else:
            make_fact(session, person, Sort(broken), date(2027, 7, 31))
    with service.database.read() as session:
        assert recomputing.different_masks(session, month, [person]) == []
    with service.database.write() as session:
        session.execute(
            sa.text(f"UPDATE person_months SET {broken} = {broken} # (1::bigint << 61) WHERE person_id = :p"),  # noqa: S608  A name from the list above.
            {"p": person},
        )
    with service.database.read() as session:
        assert [found.person_id for found in recomputing.different_masks(session, month, [person])] == [
            person
        ]
