"""The month in single cases: each truth of the definition, and the edge cases by number."""

from datetime import date

import pytest
from month_april import APRIL, CALENDAR, DUTY_ELSEWHERE, WORKING, april, april_day, days, first_days, state_of

from server.month.holidays import month_calendar
from server.month.masks import Half, Month, from_dates, from_halves, range_mask, span_mask
from server.month.policy import Basis, Policy
from server.month.reasons import SENTENCES, DayReason
from server.month.rules import FACT_NAMES, Facts, ResultKind, ReviewReason
from server.month.statements import day_states, shown, statement


@pytest.mark.parametrize(
    ("month", "need"),
    [("2026-02", 19), ("2024-02", 20), ("2026-04", 20), ("2026-05", 21)],  # edges 3, 4
)
def test_two_thirds_is_19_20_20_or_21_days(month: str, need: int) -> None:
    calendar = month_calendar(Month.parse(month))
    whole = calendar.month.mask
    enough = statement(Facts(posted=whole, sure=first_days(need)), calendar, CALENDAR, today=None)
    lacking = statement(Facts(posted=whole, sure=first_days(need - 1)), calendar, CALENDAR, today=None)
    assert (enough.need_shown, enough.result, lacking.result) == (str(need), ResultKind.MET, ResultKind.BELOW)


def test_two_thirds_exactly_is_enough() -> None:  # edge 5
    told = april(sure=first_days(20))
    assert (told.counted_halves, told.due_halves, told.result) == (40, 60, ResultKind.MET)
    assert told.percent_shown == "66.67"  # edge 17: two decimals, half up


@pytest.mark.parametrize(
    ("present", "due", "percent"),
    [
        (0, 30, "0.00"),
        (30, 30, "100.00"),
        (1, 16, "6.25"),
        (3, 16, "18.75"),
        (1, 6, "16.67"),
        (13, 19, "68.42"),
    ],
)
def test_the_percentage_is_rounded_half_up(present: int, due: int, percent: str) -> None:  # edge 17
    assert april(posted=first_days(due), sure=first_days(present)).percent_shown == percent


def test_a_half_in_the_third_decimal_goes_up() -> None:  # edge 17: 1 of 32 halves is 3.125 %
    told = april(posted=first_days(16), attested=1)
    assert (told.counted_halves, told.percent_shown) == (1, "3.13")


@pytest.mark.parametrize(("due", "need"), [(1, "1"), (2, "2"), (3, "2"), (4, "3"), (5, "4"), (9, "6")])
def test_a_short_month_has_a_need_but_no_verdict(due: int, need: str) -> None:  # edges 6, 7
    told = april(posted=APRIL.mask & ~first_days(30 - due))
    assert (told.need_shown, told.result) == (need, ResultKind.TOO_SHORT)


def test_ten_days_are_enough_to_judge() -> None:  # edge 6
    assert april(posted=first_days(10)).result is ResultKind.BELOW


def test_who_is_not_posted_has_no_percentage_at_all() -> None:  # edge 8
    told = april(posted=0, sure=APRIL.mask)
    assert (told.result, told.percent_shown, told.need_halves) == (ResultKind.NOT_POSTED, None, 0)
    assert april(posted=0, today=date(2026, 4, 3)).projection is None


def test_days_before_the_posting_are_not_absences() -> None:  # edge 9
    posted = range_mask(APRIL, date(2026, 4, 12), None)
    told = april(posted=posted)
    assert (told.due_halves, told.need_shown) == (2 * 19, "13")
    assert told.halves_by_reason == {DayReason.NOT_POSTED: 22, DayReason.NO_EVIDENCE: 38}


def test_the_last_day_of_a_posting_counts() -> None:  # edges 10, 77
    told = april(posted=range_mask(APRIL, date(2025, 3, 1), date(2026, 4, 12)), sure=first_days(12))
    assert (told.due_halves, told.need_shown, told.counted_halves) == (24, "8", 24)


def test_twenty_days_and_two_thirds_are_different_rules() -> None:  # edge 11
    twenty = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, code="twenty-days", fixed_days=20)
    february, may = month_calendar(Month(2026, 2)), month_calendar(Month(2026, 5))
    nineteen = Facts(posted=february.month.mask, sure=first_days(19))
    assert statement(nineteen, february, CALENDAR, today=None).result is ResultKind.MET
    assert statement(nineteen, february, twenty, today=None).result is ResultKind.BELOW
    score = Facts(posted=may.month.mask, sure=first_days(20))
    assert statement(score, may, CALENDAR, today=None).result is ResultKind.BELOW
    assert statement(score, may, twenty, today=None).result is ResultKind.MET
    assert statement(Facts(posted=first_days(14)), february, twenty, today=None).need_shown == "10"


def test_a_shifted_saturday_is_due_and_a_shifted_friday_is_not() -> None:  # edge 12
    february = month_calendar(Month(2026, 2))
    told = day_states(Facts(posted=february.month.mask), february, WORKING, today=None)
    assert (told[14 - 1].in_basis, told[14 - 1].day.weekday()) == (True, 5)
    assert (told[20 - 1].in_basis, told[20 - 1].day.weekday()) == (False, 4)
    assert statement(Facts(posted=february.month.mask), february, WORKING, today=None).due_halves == 2 * 16


def test_a_month_without_a_published_calendar_is_provisional() -> None:  # edge 13
    assert statement(Facts(), month_calendar(Month(2035, 3)), WORKING, today=None).provisional_calendar
    assert not april().provisional_calendar


def test_weekend_work_counts_but_never_beyond_what_is_due() -> None:  # edge 14
    weekend, weekdays = days(11, 12), days(*range(13, 18), *range(20, 24), *range(27, 31))
    told = april(policy=WORKING, sure=weekend | weekdays)
    assert (told.due_halves, told.counted_halves) == (42, 30)
    everything = april(policy=WORKING, sure=APRIL.mask)
    assert (everything.village_halves, everything.counted_halves, everything.percent_shown) == (
        60,
        42,
        "100.00",
    )


def test_half_a_day_of_leave_and_half_a_day_present() -> None:  # edge 15
    afternoon = from_halves(APRIL, [(date(2026, 4, 1), Half.AFTERNOON)])
    shrunk, kept = (
        april(sure=days(1), leave_shrinking=afternoon),
        april(sure=days(1), leave_counting_nothing=afternoon),
    )
    assert (shrunk.counted_halves, shrunk.due_halves) == (1, 59)
    assert (kept.counted_halves, kept.due_halves) == (1, 60)
    assert april_day(1, sure=days(1), leave_shrinking=afternoon) == (
        DayReason.CHECKED_IN,
        DayReason.LEAVE_NOT_DUE,
    )


def test_two_half_days_of_different_leave_are_both_kept() -> None:  # edge 16
    morning = from_halves(APRIL, [(date(2026, 4, 1), Half.MORNING)])
    told = april_day(1, leave_shrinking=morning, leave_counting_nothing=morning << 1)
    assert told == (DayReason.LEAVE_NOT_DUE, DayReason.LEAVE_DUE)


def test_a_check_in_on_a_day_wholly_on_leave_makes_the_day() -> None:  # edge 92, ruling 4
    morning = from_halves(APRIL, [(date(2026, 4, 1), Half.MORNING)])
    assert april_day(1, sure=morning, leave_shrinking=days(1)) == (DayReason.CHECKED_IN,)
    two_sorts = april_day(1, sure=morning, leave_shrinking=morning, leave_counting_nothing=morning << 1)
    assert two_sorts == (DayReason.CHECKED_IN,)
    told = april(sure=days(1), leave_shrinking=first_days(10))
    assert (told.due_halves, told.counted_halves) == (40, 2)  # The leave is not silently cancelled.


def test_presence_on_leave_days_never_exceeds_what_is_due() -> None:  # edge 92, ruling 8
    told = april(sure=APRIL.mask, leave_shrinking=first_days(10))
    assert (told.village_halves, told.counted_halves) == (60, 40)


def test_half_a_need_is_shown_only_where_there_are_half_days() -> None:  # ruling 4
    leap = month_calendar(Month(2024, 2))
    whole = Facts(posted=leap.month.mask, sure=first_days(19))
    half = Facts(posted=leap.month.mask, sure=first_days(19), attested=3 << 38 & 1 << 38)
    assert statement(whole, leap, CALENDAR, today=None).need_shown == "20"
    told = statement(half, leap, CALENDAR, today=None)
    assert (told.need_shown, shown(told.counted_halves), told.result) == ("19½", "19½", ResultKind.MET)


def test_maternity_leave_never_fails_the_month() -> None:  # edge 105
    leave = range_mask(APRIL, date(2026, 3, 1), date(2026, 4, 18))
    assert april(leave_shrinking=leave, sure=days(*range(23, 31))).result is ResultKind.MET
    assert april(leave_counting_nothing=leave, sure=days(*range(19, 31))).result is ResultKind.BELOW
    assert april(leave_shrinking=APRIL.mask).result is ResultKind.TOO_SHORT


def test_leave_is_leave_on_every_date_from_first_to_last() -> None:  # edges 83, 86; ruling 5
    across = range_mask(APRIL, date(2026, 4, 24), date(2026, 5, 8))
    told = april(policy=WORKING, leave_shrinking=across)
    assert told.halves_by_reason[DayReason.LEAVE_NOT_DUE] == 14
    assert told.due_halves == 2 * 16  # 21 working days of April less five.


def test_an_early_return_ends_the_leave_from_the_next_day() -> None:  # edges 90, 91, 93
    leave = span_mask(APRIL, date(2026, 4, 1), date(2026, 4, 3), starts=Half.MORNING, ends=Half.MORNING)
    assert april_day(3, leave_counting_nothing=leave, sure=days(3)) == (
        DayReason.LEAVE_DUE,
        DayReason.CHECKED_IN,
    )
    assert april_day(4, leave_counting_nothing=leave) == (DayReason.NO_EVIDENCE,)


def test_duty_counts_in_the_village_by_policy_and_on_post_always() -> None:  # edges 102, 103
    duty, here = days(*range(1, 11)), days(*range(11, 21))
    yes, no = april(duty=duty, sure=here), april(policy=DUTY_ELSEWHERE, duty=duty, sure=here)
    assert (yes.result, yes.counted_halves) == (ResultKind.MET, 40)
    assert (no.result, no.counted_halves) == (ResultKind.BELOW, 20)
    for told in (yes, no):
        assert (told.on_post_halves, told.allowance_halves, told.due_halves) == (40, 40, 60)


def test_an_allowance_day_needs_only_a_half_unless_halves_are_paid() -> None:  # ruling 6
    halves = Policy(basis=Basis.CALENDAR, duty_counts_in_village=False, allowance_in_halves=True)
    morning = from_halves(APRIL, [(date(2026, 4, 1), Half.MORNING)])
    assert april(policy=DUTY_ELSEWHERE, duty=morning).allowance_halves == 2
    assert april(policy=halves, duty=morning).allowance_halves == 1


def test_claimed_days_stand_apart_and_do_not_count() -> None:  # edge 104
    told = april(claimed=days(3), sure=first_days(2))
    assert (told.counted_halves, told.claimed_days) == (4, (date(2026, 4, 3),))
    assert april_day(3, claimed=days(3)) == (DayReason.CLAIMED,)


def test_a_handover_or_a_second_village_makes_no_day_twice() -> None:  # edges 73, 74, 79
    both = range_mask(APRIL, date(2026, 1, 1), date(2026, 4, 15)) | range_mask(APRIL, date(2026, 4, 15), None)
    assert april(posted=both, sure=days(15)).due_halves == 60
    assert april(posted=both, sure=days(15)).counted_halves == 2


def test_a_gap_between_postings_is_not_due() -> None:  # edge 75
    posted = range_mask(APRIL, date(2026, 1, 1), date(2026, 4, 10)) | range_mask(
        APRIL, date(2026, 4, 21), None
    )
    assert april(posted=posted).due_halves == 40


def test_a_visit_before_the_posting_is_kept_but_not_counted() -> None:  # edge 76
    told = april(posted=APRIL.mask & ~first_days(5), sure=days(3))
    assert (told.counted_halves, told.no_data) == (0, False)


def test_no_record_at_all_is_told_apart_from_absence() -> None:  # edge 25
    assert (april().no_data, april().result) == (True, ResultKind.BELOW)
    assert april(outage=days(7)).no_data
    assert not april(outside=days(7)).no_data
    assert not april(claimed=days(7)).no_data
    assert not april(today=date(2026, 4, 1)).no_data
    assert april(today=date(2026, 4, 2)).no_data


def test_an_outage_excuses_whoever_was_not_known_to_be_elsewhere() -> None:  # edge 132, ruling 3
    morning = from_halves(APRIL, [(date(2026, 4, 9), Half.MORNING)])
    told = april(outage=morning)
    assert (told.counted_halves, told.outage_days) == (2, (date(2026, 4, 9),))
    assert april(outage=morning, outside=morning).counted_halves == 0
    assert april(outage=morning, leave_counting_nothing=days(9)).counted_halves == 0
    assert april(policy=DUTY_ELSEWHERE, outage=morning, duty=days(9)).counted_halves == 0


def test_one_village_check_in_makes_the_day_whatever_else_there_is() -> None:  # edge 34
    assert april_day(5, sure=days(5), outside=days(5)) == (DayReason.CHECKED_IN,)


def test_attestation_against_a_position_elsewhere_waits_for_a_decision() -> None:  # edge 138, ruling 3
    told = april(attested=days(5), outside=days(5))
    assert (told.counted_halves, told.conflict_days) == (0, (date(2026, 4, 5),))
    assert april_day(5, attested=days(5), outside=days(5)) == (DayReason.DISPUTED,)
    settled = april(attested=days(5), outside=days(5), corrected_present=days(5))
    assert (settled.counted_halves, settled.conflict_days) == (2, ())


def test_a_correction_against_a_finding_shows_the_conflict() -> None:  # edge 109
    told = april(corrected_present=days(5), finding_absent=days(5))
    assert (told.counted_halves, told.conflict_days) == (2, (date(2026, 4, 5),))


def test_facts_of_two_modes_add_up_in_one_month() -> None:  # edge 137
    told = april(sure=first_days(10), attested=days(*range(10, 21)), finding_absent=days(20))
    assert told.counted_halves == 2 * 19
    assert april_day(10, sure=first_days(10), attested=days(10)) == (DayReason.CHECKED_IN,)


def test_presumption_holds_until_a_finding_says_otherwise() -> None:  # ruling 7
    told = april(presumed=APRIL.mask, finding_absent=days(8), claimed=days(9), outside=days(10))
    assert (told.counted_halves, told.result) == (58, ResultKind.MET)


ORDER = (
    *(
        "corrected_present",
        "corrected_absent",
        "finding_seen",
        "finding_absent",
        "sure",
        "unsure",
        "unfenced",
    ),
    *(
        "duty",
        "leave_shrinking",
        "leave_counting_nothing",
        "attested",
        "outage",
        "presumed",
        "claimed",
        "outside",
    ),
)
DECIDES = (
    *(DayReason.CORRECTED_PRESENT, DayReason.CORRECTED_ABSENT, DayReason.SEEN, DayReason.FOUND_ABSENT),
    *(DayReason.CHECKED_IN, DayReason.UNSURE, DayReason.UNFENCED, DayReason.ON_DUTY, DayReason.LEAVE_NOT_DUE),
    *(DayReason.LEAVE_DUE, DayReason.ATTESTED, DayReason.OUTAGE, DayReason.PRESUMED, DayReason.CLAIMED),
    DayReason.OUTSIDE,
)


@pytest.mark.parametrize("higher", range(len(ORDER)))
def test_the_higher_fact_decides_the_day(higher: int) -> None:  # ruling 3
    for lower in range(higher, len(ORDER)):
        if ORDER[higher] in {"attested", "outage"} and ORDER[lower] == "outside":
            continue  # A position outside takes these two their force; see the tests above.
        told = state_of(5, {ORDER[higher]: days(5), ORDER[lower]: days(5)})
        assert told == (DECIDES[higher],), (ORDER[higher], ORDER[lower])


def test_every_fact_and_every_reason_is_in_the_order() -> None:
    assert set(ORDER) | {"posted"} == set(FACT_NAMES)
    assert set(SENTENCES) == set(DayReason)
    assert all(zh and en for zh, en in SENTENCES.values())


def test_a_day_explains_each_half_in_both_languages() -> None:
    morning = from_halves(APRIL, [(date(2026, 4, 1), Half.MORNING)])
    told = day_states(Facts(posted=APRIL.mask, duty=morning), month_calendar(APRIL), CALENDAR, today=None)
    assert told[0].sentence() == (
        "上午：因公外出已确认。下午：当日无在村记录。",
        "Morning: Confirmed official duty. Afternoon: No record for this day.",
    )
    assert told[1].sentence() == SENTENCES[DayReason.NO_EVIDENCE]


def test_more_than_three_unsure_days_go_to_review() -> None:  # ruling 2
    three, four = april(sure=days(*range(4, 31)), unsure=days(1, 2, 3)), april(unsure=days(1, 2, 3, 4))
    assert (three.review, three.needs_review) == (None, False)
    assert (four.review, four.needs_review) == (ReviewReason.TOO_MANY_UNSURE, True)
    assert four.unsure_days == tuple(date(2026, 4, number) for number in range(1, 5))


def test_one_unsure_day_that_decides_the_month_goes_to_review() -> None:  # ruling 2
    assert april(sure=first_days(19), unsure=days(20)).review is ReviewReason.UNSURE_DECIDES
    assert april(sure=first_days(20), unsure=days(21)).review is None
    assert april(sure=first_days(18), unsure=days(20)).review is None
    assert april(sure=first_days(19), unsure=days(20), attested=days(20)).review is None


def test_no_fence_counts_and_is_listed() -> None:  # edge 49, ruling 2
    told = april(unfenced=days(20))
    assert (told.counted_halves, told.unfenced_days) == (2, (date(2026, 4, 20),))


def test_masks_wider_than_a_month_are_refused() -> None:
    with pytest.raises(ValueError, match="sure"):
        Facts(posted=1, sure=1 << 62)
    with pytest.raises(ValueError, match="duty"):
        Facts(duty=-1)


def test_bits_beyond_the_month_change_nothing() -> None:
    wide = (1 << 62) - 1
    assert april(posted=wide, sure=wide) == april(sure=APRIL.mask)
    assert from_dates(APRIL, [date(2026, 5, 1)]) == 0


def test_shown_in_days_and_halves() -> None:
    assert [shown(halves) for halves in (0, 1, 2, 39, 40)] == ["0", "½", "1", "19½", "20"]
