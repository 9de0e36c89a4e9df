"""Properties that hold of every month, and what a month that runs can still become."""

from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from month_april import APRIL, CALENDAR, WORKING, april, days, first_days
from month_cases import a_case, as_calendar, as_facts, as_policy
from month_oracle import Case

from server.month.holidays import month_calendar
from server.month.masks import (
    Half,
    Month,
    day_mask,
    days_of,
    from_dates,
    from_halves,
    full_days,
    half_mask,
    has_halves,
    range_mask,
    span_mask,
    whole_days,
)
from server.month.reasons import DayReason
from server.month.rules import FACT_NAMES, Facts, ResultKind, Tier, frame, layers
from server.month.statements import Projection, Statement, day_states, statement

CASES = st.integers(0, 2**40).map(lambda seed: a_case(Random(seed)))
COUNTED = (
    "sure",
    "unsure",
    "unfenced",
    "attested",
    "finding_seen",
    "corrected_present",
    "outage",
    "presumed",
)
TIERS = {Tier.CANNOT_BE_REACHED: 0, Tier.NO_SLACK: 1, Tier.ON_TRACK: 2, Tier.REACHED: 3}


def ahead(told: Statement) -> Projection:
    assert told.projection is not None
    return told.projection


def test_today_is_open_and_tomorrow_is_ahead() -> None:
    told = day_states(Facts(posted=APRIL.mask), month_calendar(APRIL), CALENDAR, today=date(2026, 4, 15))
    assert [each.morning for each in told[13:16]] == [DayReason.NO_EVIDENCE, DayReason.OPEN, DayReason.AHEAD]


def test_away_at_most_is_what_two_thirds_leave() -> None:
    told = april(sure=first_days(9), today=date(2026, 4, 11))
    assert ahead(told) == Projection(Tier.ON_TRACK, 2 * 9, 2 * 20, 0)  # 9 + 20 - 20, day 10 is lost.
    assert told.result is ResultKind.RUNNING


def test_the_tiers_follow_each_other() -> None:  # edges 21, 22, 23
    today = date(2026, 4, 21)
    assert ahead(april(sure=first_days(20), today=today)).tier is Tier.REACHED
    assert april(sure=first_days(20), today=today).result is ResultKind.MET
    assert ahead(april(sure=first_days(11), today=today)).tier is Tier.ON_TRACK
    assert ahead(april(sure=first_days(10), today=today)) == Projection(Tier.NO_SLACK, 0, 20, 0)
    assert ahead(april(sure=first_days(9), today=today)).tier is Tier.CANNOT_BE_REACHED


def test_who_has_reached_the_need_may_be_away_for_the_rest() -> None:  # edge 23
    assert ahead(april(sure=first_days(20), today=date(2026, 4, 21))).away_at_most_halves == 20


def test_planned_leave_is_not_free_and_planned_duty_is_secured() -> None:
    leave, duty = days(*range(26, 31)), days(25)
    told = april(sure=first_days(10), leave_counting_nothing=leave, duty=duty, today=date(2026, 4, 11))
    assert ahead(told) == Projection(Tier.ON_TRACK, 2 * 5, 2 * 14, 2)  # 10 + 1 + 14 - 20.
    assert told.counted_halves == 20


def test_working_days_away_assume_no_weekend_work_yet_it_can_save_the_month() -> None:  # edge 14
    today = date(2026, 4, 20)  # A Monday with nine working and two other days to come.
    told = april(policy=WORKING, sure=days(1, 2, 3, 7), today=today)
    assert told.need_shown == "14"
    assert ahead(told) == Projection(Tier.NO_SLACK, 0, 22, 0)
    assert ahead(april(policy=WORKING, sure=days(1, 2), today=today)).tier is Tier.CANNOT_BE_REACHED


def test_a_month_not_begun_is_all_ahead_and_a_past_one_is_over() -> None:
    assert ahead(april(today=date(2026, 3, 30))).away_at_most_halves == 20
    assert april(today=date(2026, 5, 1)) == april(today=None)
    assert april(today=date(2026, 4, 30)).result is ResultKind.RUNNING


@given(CASES, st.sampled_from(COUNTED), st.integers(0, 61), st.booleans())
def test_one_more_counted_day_never_makes_a_month_worse(case: Case, fact: str, bit: int, whole: bool) -> None:
    facts, calendar, policy = as_facts(case), as_calendar(case), as_policy(case)
    more = whole_days(1 << bit) if whole else 1 << bit
    better = replace(facts, **{fact: getattr(facts, fact) | more})
    before = statement(facts, calendar, policy, today=case.today)
    after = statement(better, calendar, policy, today=case.today)
    assert after.due_halves == before.due_halves
    assert after.counted_halves >= before.counted_halves
    assert after.on_post_halves >= before.on_post_halves
    assert after.allowance_halves >= before.allowance_halves
    assert after.result in {before.result, ResultKind.MET}
    if before.projection and after.projection and before.in_halves == after.in_halves:
        assert TIERS[after.projection.tier] >= TIERS[before.projection.tier]


@given(CASES, st.randoms(use_true_random=False))
def test_away_at_most_is_the_truth(case: Case, random: Random) -> None:
    """Away exactly so much and present otherwise passes; one more day (or half, where halves are shown) fails."""
    case.today = date(case.year, case.month, random.choice(case.day_numbers()))
    case.short_month_days = 1
    facts, calendar, policy = as_facts(case), as_calendar(case), as_policy(case)
    told = statement(facts, calendar, policy, today=case.today)
    if told.projection is None or told.projection.tier is Tier.CANNOT_BE_REACHED or told.due_halves < 2:
        return
    laid = frame(calendar, policy, case.today)
    states = layers(facts.masks(), laid)
    free = states[DayReason.OPEN] | states[DayReason.AHEAD]
    usual = [1 << bit for bit in range(62) if (free & laid.basis) >> bit & 1]
    unit = 1 if told.in_halves else 2
    away = told.projection.away_at_most_halves

    def ends(away_halves: int, *, weekends: bool) -> Statement:
        """Present on the free halves but the first ``away_halves`` of the basis, by a correction for each half."""
        here = sum(usual[away_halves:]) | (free & ~laid.basis if weekends else 0)
        lived = replace(facts, corrected_present=facts.corrected_present | here)
        return statement(lived, calendar, policy, today=None)

    tight = told.projection.tier is Tier.NO_SLACK
    assert ends(away, weekends=tight).result is ResultKind.MET
    if away + unit <= len(usual):
        assert ends(away + unit, weekends=False).result is ResultKind.BELOW


@given(CASES)
def test_the_days_add_up_to_the_statement(case: Case) -> None:
    facts, calendar, policy = as_facts(case), as_calendar(case), as_policy(case)
    told = statement(facts, calendar, policy, today=None)
    each = day_states(facts, calendar, policy, today=None)
    assert sum(day.due_halves for day in each) == told.due_halves
    assert sum(day.village_halves for day in each) == told.village_halves
    assert sum(day.on_post_halves for day in each) == told.on_post_halves
    assert sum(day.allowance_halves for day in each) == told.allowance_halves
    assert tuple(day.day for day in each if day.in_conflict) == told.conflict_days
    assert [day.day.day for day in each] == list(case.day_numbers())


@given(CASES)
def test_every_half_has_exactly_one_state(case: Case) -> None:
    laid = frame(as_calendar(case), as_policy(case), case.today)
    states = layers(as_facts(case).masks(), laid)
    assert set(states) == set(DayReason)
    assert sum(mask.bit_count() for mask in states.values()) == 2 * len(case.day_numbers())
    together = 0
    for mask in states.values():
        together |= mask
    assert together == laid.whole


@given(CASES, st.randoms(use_true_random=False))
def test_the_order_in_which_records_come_does_not_matter(case: Case, random: Random) -> None:
    month = Month(case.year, case.month)
    records = [(name, half_day) for name, half_days in case.facts.items() for half_day in half_days]
    random.shuffle(records)
    masks = dict.fromkeys(FACT_NAMES, 0)
    for name, (day, half) in records + records[:10]:  # Some come twice.
        where = (date(case.year, case.month, day), Half.MORNING if half == "am" else Half.AFTERNOON)
        masks[name] |= from_halves(month, [where])
    assert Facts(**masks) == as_facts(case)


@given(
    st.dates(date(2023, 12, 1), date(2024, 4, 30)),
    st.integers(0, 100),
    st.sampled_from(Half),
    st.sampled_from(Half),
)
def test_a_span_is_its_half_days_one_by_one(
    first: date, length: int, starts: Half, ends: Half
) -> None:  # edge 83
    month = Month(2024, 2)
    last = first + timedelta(days=length)
    if length == 0 and ends < starts:
        with pytest.raises(ValueError, match="cannot end"):
            span_mask(month, first, last, starts=starts, ends=ends)
        return
    every = [(first + timedelta(days=ahead), half) for ahead in range(length + 1) for half in Half]
    inside = [where for where in every if (first, starts) <= where <= (last, ends)]
    assert span_mask(month, first, last, starts=starts, ends=ends) == from_halves(month, inside)
    assert range_mask(month, first, last) == from_dates(month, [day for day, _ in every])
    assert range_mask(month, first, None) == range_mask(month, first, date(9999, 12, 31))


@given(st.integers(0, (1 << 62) - 1))
def test_whole_days_and_full_days(mask: int) -> None:
    pairs = [(mask >> 2 * day & 1, mask >> 2 * day + 1 & 1) for day in range(31)]
    assert whole_days(mask) == sum(3 << 2 * day for day, pair in enumerate(pairs) if any(pair))
    assert full_days(mask) == sum(3 << 2 * day for day, pair in enumerate(pairs) if all(pair))
    assert has_halves(mask) == any(sum(pair) == 1 for pair in pairs)
    july = Month(2026, 7)
    assert days_of(july, mask) == tuple(date(2026, 7, day + 1) for day, pair in enumerate(pairs) if any(pair))


def test_months_know_their_neighbours_and_refuse_nonsense() -> None:
    assert Month(2026, 12).next() == Month(2027, 1)
    assert Month.of(date(2024, 2, 29)).last == date(2024, 2, 29)
    assert str(Month.parse("0099-01")) == "0099-01"
    for text in ("2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "２０２６-01", "0000-05"):
        with pytest.raises(ValueError, match="month"):
            Month.parse(text)
    for number in (0, 32):
        with pytest.raises(ValueError, match="no day"):
            day_mask(number)
    assert half_mask(3, Half.AFTERNOON) == 1 << 5
