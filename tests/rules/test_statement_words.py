"""What a statement says in words: the days that were missed, by reason, add up to what is missing."""

from collections.abc import Iterable
from datetime import date
from random import Random
from uuid import UUID

import pytest
from month_cases import a_case, as_calendar, as_facts, as_policy
from month_oracle import COUNTS_IN_VILLAGE, states_of

from server.compliance import rules
from server.compliance.rules import Judged
from server.month.holidays import month_calendar
from server.month.masks import Half, Month, half_mask, range_mask
from server.month.policy import Basis, Mode, Policy, PolicyVersion, provisional_until
from server.month.reasons import DayReason
from server.month.rules import Facts

APRIL = Month(2026, 4)
CALENDAR_DAYS = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True)


def version(policy: Policy) -> PolicyVersion:
    return PolicyVersion(
        region_prefix="500116", valid_from=date(2020, 1, 1), valid_until=None, version=1, policy=policy
    )


def judged(facts: Facts, policy: Policy = CALENDAR_DAYS, today: date = date(2026, 6, 1)) -> Judged:
    return rules.judge(
        facts, month_calendar(APRIL), policy_id=UUID(int=1), version=version(policy), today=today
    )


def days(first: int, last: int) -> int:
    return range_mask(APRIL, date(2026, 4, first), date(2026, 4, last))


def test_the_reasons_of_a_thousand_months_are_the_halves_due_that_do_not_count() -> None:
    random = Random("words")
    for _ in range(1000):
        case = a_case(random)
        month = Month(case.year, case.month)
        today = case.today or month.next().first
        told = rules.judge(
            as_facts(case),
            as_calendar(case),
            policy_id=UUID(int=1),
            version=version(as_policy(case)),
            today=today,
        )
        expected: dict[str, int] = {}
        for (day, half), state in states_of(case).items():
            owed = (day, half) in case.facts["posted"] and (day, half) not in case.facts["leave_shrinking"]
            owed = owed and (case.basis == "calendar" or day in case.working_days)
            counts = state in COUNTS_IN_VILLAGE or (state == "on-duty" and case.duty_counts_in_village)
            if owed and not counts and state not in {"open-today", "ahead"}:
                expected[state] = expected.get(state, 0) + 1
        assert {str(reason): halves for reason, halves in rules.missing(told).items()} == expected
        assert list(expected.values()) == [] or max(expected.values()) == next(
            iter(rules.missing(told).values())
        )


def test_every_reason_that_can_be_missed_has_words_in_both_languages() -> None:
    random = Random("nouns")
    met_with: set[DayReason] = set()
    for _ in range(3000):
        case = a_case(random)
        today = case.today or Month(case.year, case.month).next().first
        told = rules.judge(
            as_facts(case),
            as_calendar(case),
            policy_id=UUID(int=1),
            version=version(as_policy(case)),
            today=today,
        )
        met_with |= set(rules.missing(told))
    assert met_with >= {DayReason.NO_EVIDENCE, DayReason.OUTSIDE, DayReason.LEAVE_DUE, DayReason.ON_DUTY}
    for reason in met_with:
        zh, en = rules.noun(reason)
        assert zh != reason.value != en


def test_the_sentence_of_the_issue() -> None:
    facts = Facts(
        posted=days(1, 30), sure=days(1, 14), outside=days(15, 18), leave_counting_nothing=days(19, 21)
    )
    zh, en = rules.shortfall(judged(facts))
    assert en == (
        "counted 14 of 20 needed: 9 days without record, 4 days outside the village only, "
        "3 days on leave that stays due."
    )
    assert zh == "计 14 天，需 20 天：无在村记录 9 天、仅有村外定位 4 天、请假（仍计入应驻天数） 3 天。"


def test_half_days_are_written_as_halves() -> None:  # edge 15
    leave = half_mask(20, Half.MORNING) | half_mask(21, Half.AFTERNOON)
    facts = Facts(posted=days(1, 30), sure=days(1, 10), leave_counting_nothing=leave)
    zh, en = rules.shortfall(judged(facts))
    assert "19 days without record" in en
    assert "1 day on leave" in en
    assert "1 天" in zh
    one = Facts(posted=days(1, 30), sure=days(1, 10), leave_counting_nothing=half_mask(20, Half.AFTERNOON))
    assert "½ day on leave" in rules.shortfall(judged(one))[1]


@pytest.mark.parametrize(
    ("sure", "today", "start"),
    [
        (range(1, 21), date(2026, 6, 1), "Met: counted 20 of 20 needed."),
        (range(1, 20), date(2026, 6, 1), "Below: counted 19 of 20 needed: 11 days without record."),
        (range(1, 20), date(2026, 4, 20), "19 of 20 days; can still be away at most 10 days."),
        (range(1, 9), date(2026, 4, 20), "8 of 20 days; can no longer be reached this month."),
        (range(1, 10), date(2026, 4, 20), "9 of 20 days; every day from now on is needed."),
    ],
)
def test_every_result_is_a_sentence(sure: Iterable[int], today: date, start: str) -> None:
    mask = sum(3 << (2 * (day - 1)) for day in sure)
    zh, en = rules.result_sentence(judged(Facts(posted=days(1, 30), sure=mask), today=today))
    assert en == start
    assert zh.endswith("。")


def test_the_results_without_a_judgement_are_sentences_too() -> None:
    nobody, short = judged(Facts()), judged(Facts(posted=days(30, 30)))
    assert rules.result_sentence(nobody)[1] == "Not posted this month; there is no result."
    assert rules.result_sentence(short)[1] == (
        "1 day due, fewer than 10: reported, not judged (counted 0, the share is 1)."
    )


def test_spot_checks_alone_presume_presence() -> None:
    kept = dict.fromkeys(rules.KEPT, 0)
    presuming = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, mode=Mode.SPOT_CHECKS_ONLY)
    told = judged(rules.facts_of(days(1, 30), kept, presuming), presuming)
    tapped = judged(rules.facts_of(days(1, 30), kept, CALENDAR_DAYS))
    assert (told.statement.counted_halves, tapped.statement.counted_halves) == (60, 0)


@pytest.mark.parametrize(
    ("month", "until"), [(Month(2026, 4), "2026-05-05"), (Month(2026, 12), "2027-01-05")]
)
def test_the_grace_day_lies_in_the_following_month(month: Month, until: str) -> None:  # edge 24
    assert provisional_until(month, CALENDAR_DAYS).isoformat() == until
