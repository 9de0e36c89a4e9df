"""The product against the oracle: one differing figure in 200,000 person-months is one too many (M20)."""

import os
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import cast

import numpy as np
import proof
import pytest
from month_cases import BITS, a_case, as_calendar, as_facts, as_policy
from month_oracle import Case, HalfDay, judge

from server.month import rules, statements
from server.month.district import RESULTS, REVIEWS, TIERS, statements_of_many
from server.month.masks import FULL, whole_days
from server.month.reasons import DayReason
from server.month.rules import FACT_NAMES, Frame
from server.month.statements import Statement, day_states, statement

MONTHS = int(os.environ.get("ZAICUN_PROVE_MONTHS", "200000"))
"""Person-months of the long comparison; bin/prove asks for a million."""

right_layers, right_due, right_village, right_frame = rules.layers, rules.due, rules.in_village, rules.frame


def said(case: Case, *, quick: bool = False) -> dict[str, object]:
    """What the product says of a case, in the oracle's words; quick ones have the states as masks, not day by day."""
    facts, calendar, policy = as_facts(case), as_calendar(case), as_policy(case)
    told = statement(facts, calendar, policy, today=case.today)
    ahead = told.projection
    states = right_layers(facts.masks(), rules.frame(calendar, policy, case.today)) if quick else {}
    days = () if quick else day_states(facts, calendar, policy, today=case.today)
    return {
        **figures(told),
        "states": {str(state): mask for state, mask in states.items() if mask}
        or {
            (each.day.day, half): str(state)
            for each in days
            for half, state in (("am", each.morning), ("pm", each.afternoon))
        },
        "percent": told.percent_shown,
        "conflicts": {day.day for day in told.conflict_days},
        "unsure_days": {day.day for day in told.unsure_days},
        "unfenced_days": {day.day for day in told.unfenced_days},
        "outage_days": {day.day for day in told.outage_days},
        "claimed_days": {day.day for day in told.claimed_days},
        "need_shown": told.need_shown,
        "projection": ahead
        and (str(ahead.tier), ahead.away_at_most_halves, ahead.free_halves, ahead.planned_halves),
    }


def figures(told: Statement) -> dict[str, object]:
    return {
        "due": Fraction(told.due_halves, 2),
        "counted": Fraction(told.counted_halves, 2),
        "need": Fraction(told.need_halves, 2),
        "village": Fraction(told.village_halves, 2),
        "on_post": Fraction(told.on_post_halves, 2),
        "allowance": Fraction(told.allowance_halves, 2),
        "in_halves": told.in_halves,
        "result": str(told.result),
        "no_data": told.no_data,
        "review": told.review and str(told.review),
    }


def differences(case: Case, *, quick: bool = False) -> dict[str, tuple[object, object]]:
    """Where product and oracle part: field -> (product, oracle)."""
    product, oracle = said(case, quick=quick), judge(case)
    if quick:
        masks: dict[str, int] = {}
        for where, code in cast("dict[HalfDay, str]", oracle["states"]).items():
            masks[code] = masks.get(code, 0) | BITS[where]
        oracle["states"] = masks
    assert product.keys() == oracle.keys()
    return {field: (product[field], oracle[field]) for field in oracle if product[field] != oracle[field]}


def agree(seed: int, count: int, *, quick: bool) -> None:
    random = Random(seed)
    for number in range(count):
        case = a_case(random)
        found = differences(case, quick=quick)
        assert not found, f"case {number} of seed {seed}: {found}\n{case}"


def test_product_and_oracle_agree_on_five_thousand_months() -> None:
    agree(seed=2021_24, count=5_000, quick=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_product_and_oracle_agree_on_two_hundred_thousand_months(seed: int) -> None:
    agree(seed=seed, count=MONTHS // 8, quick=True)
    proof.added("person-months", MONTHS // 8)


def test_the_generator_reaches_what_it_promises() -> None:
    random = Random(7)
    met: dict[tuple[str, object], int] = {}
    for _ in range(4_000):
        case = a_case(random)
        answer = judge(case)
        ahead = answer["projection"]
        seen: list[tuple[str, object]] = [
            *(("state", code) for code in cast("dict[HalfDay, str]", answer["states"]).values()),
            *(("length", len(case.day_numbers())), ("basis", case.basis), ("review", answer["review"])),
            *(("result", answer["result"]), ("halves", answer["in_halves"]), ("no data", answer["no_data"])),
            *(
                ("tier", ahead[0] if isinstance(ahead, tuple) else None),
                ("conflict", bool(answer["conflicts"])),
            ),
            ("exactly on the line", answer["counted"] == case.ratio * answer["due"]),  # type: ignore[operator]  # Fractions.
        ]
        for each in seen:
            met[each] = met.get(each, 0) + 1
    wanted = [
        *(("state", str(code)) for code in DayReason),
        *(("length", days) for days in (28, 29, 30, 31)),
        *(("review", review and str(review)) for review in REVIEWS),
        *(("result", str(result)) for result in RESULTS),
        *(("tier", tier and str(tier)) for tier in TIERS),
        *(("halves", True), ("no data", True), ("conflict", True), ("exactly on the line", True)),
    ]
    assert {each: met.get(each, 0) for each in wanted if met.get(each, 0) < 15} == {}


def test_a_district_at_once_is_each_person_alone() -> None:
    random = Random(11)
    groups: dict[tuple[object, ...], list[Case]] = {}
    for _ in range(4_000):
        case = a_case(random)
        case.working_days = {day for day in case.working_days if day % 5}
        case.today = None if case.today is None else case.today.replace(day=random.choice((1, 14, 28)))
        months = (case.year, case.month, case.basis, case.duty_counts_in_village, case.today, case.fixed_days)
        groups.setdefault(months, []).append(case)
    compared = 0
    for cases in groups.values():
        one, calendar, policy = cases[0], as_calendar(cases[0]), as_policy(cases[0])
        people = [as_facts(case) for case in cases]
        masks = {
            name: np.array([getattr(facts, name) for facts in people], dtype=np.int64) for name in FACT_NAMES
        }
        many = statements_of_many(masks, calendar, policy, today=one.today)
        for at, facts in enumerate(people):
            alone = statement(facts, calendar, policy, today=one.today)
            for field in (
                *("due_halves", "counted_halves", "need_halves", "village_halves", "on_post_halves"),
                *("allowance_halves", "in_halves", "no_data"),
            ):
                assert getattr(many, field)[at] == getattr(alone, field), field
            ahead = alone.projection
            assert RESULTS[many.result[at]] == alone.result
            assert REVIEWS[many.review[at]] == alone.review
            assert TIERS[many.tier[at]] == (ahead.tier if ahead else None)
            assert many.away_at_most_halves[at] == (ahead.away_at_most_halves if ahead else 0)
            assert many.unsure_days[at] == len(alone.unsure_days)
            compared += 1
    assert compared == 4_000


def test_a_district_refuses_masks_it_cannot_trust() -> None:
    case = a_case(Random(1))
    calendar, policy = as_calendar(case), as_policy(case)
    one, two = np.array([3], dtype=np.int64), np.array([3, 3], dtype=np.int64)
    for masks, text in (
        ({"posted": one, "present": one}, "no facts called present"),
        ({"posted": one, "sure": two}, "different lengths"),
        ({"posted": np.array([-1], dtype=np.int64)}, "does not fit"),
        ({"posted": np.array([1 << 62], dtype=np.int64)}, "does not fit"),
    ):
        with pytest.raises(ValueError, match=text):
            statements_of_many(masks, calendar, policy, today=None)
    assert len(statements_of_many({}, calendar, policy, today=None).result) == 0


# The teeth: each entry plants one error that somebody has made or could make, and must be seen.

Masks = dict[str, int]


def with_facts(change: Callable[[Masks], Masks]) -> Callable[..., dict[DayReason, int]]:
    return lambda fact, laid: right_layers({**fact, **change(fact)}, laid)


def shifted(**change: Callable[[Frame], int]) -> Callable[..., Frame]:
    def wrong(*given: object) -> Frame:
        laid = right_frame(*given)  # type: ignore[arg-type]  # The arguments of frame, passed through.
        values = {name: getattr(laid, name) for name in Frame.__slots__}
        return Frame(**{**values, **{name: value(laid) for name, value in change.items()}})

    return wrong


WRONG: dict[str, dict[str, object]] = {
    "a threshold of 0.6667": {"met": lambda k, n, _: k >= 0.6667 * n},
    "more than two thirds": {"met": lambda k, n, laid: laid.denominator * k > laid.numerator * n},
    "whole percents": {"met": lambda k, n, _: not n or round(100 * k / n) >= 66},
    "the need rounded": {"need_halves": lambda n, laid: round(n * laid.numerator / laid.denominator)},
    "the need rounded down": {"need_halves": lambda n, laid: n * laid.numerator // laid.denominator},
    "the need in whole days": {"need_halves": lambda n, laid: -(-laid.numerator * n // laid.denominator // 2) * 2},
    "days of the month always due": {"due": lambda _, laid: laid.basis},
    "no cap": {"min": lambda first, *_: first},
    "all leave shrinks": {"due": lambda f, laid: right_due(f, laid) & ~f["leave_counting_nothing"]},
    "no leave shrinks": {"due": lambda f, laid: f["posted"] & laid.basis},
    "the wrong leave shrinks": {"due": lambda f, laid: f["posted"] & laid.basis & ~f["leave_counting_nothing"]},
    "a check-in on leave makes the day due": {"due": lambda f, laid: f["posted"] & laid.basis & ~(f["leave_shrinking"] & ~whole_days(f["sure"]))},
    "duty always counts": {"in_village": lambda s, p: right_village(s, p) | s[DayReason.ON_DUTY]},
    "duty never counts": {"in_village": lambda s, p: right_village(s, p) & ~s[DayReason.ON_DUTY]},
    "claims count": {"in_village": lambda s, p: right_village(s, p) | s[DayReason.CLAIMED]},
    "unsure does not count": {"in_village": lambda s, p: right_village(s, p) & ~s[DayReason.UNSURE]},
    "half a day is a day": {"in_village": lambda s, p: whole_days(right_village(s, p))},
    "a check-in beats half leave": {"rules.full_days": lambda _: FULL},
    "a check-in is lost on full leave": {"rules.full_days": lambda _: 0},
    "a check-in is half a day": {"rules.whole_days": lambda mask: mask},
    "check-ins above findings": {"layers": with_facts(lambda f: {"finding_absent": f["finding_absent"] & ~whole_days(f["sure"])})},
    "findings above corrections": {"layers": with_facts(lambda f: {"corrected_present": f["corrected_present"] & ~f["finding_absent"]})},
    "duty above check-ins": {"layers": with_facts(lambda f: {"sure": whole_days(f["sure"]) & ~whole_days(f["duty"])})},
    "leave above duty": {"layers": with_facts(lambda f: {"duty": f["duty"] & ~f["leave_counting_nothing"]})},
    "attestation above leave": {"layers": with_facts(lambda f: {"leave_shrinking": f["leave_shrinking"] & ~f["attested"]})},
    "an outage excuses whoever was elsewhere": {"layers": with_facts(lambda _: {"outside": 0})},
    "not posted days count": {"layers": with_facts(lambda f: {"posted": f["posted"] | whole_days(f["sure"])})},
    "today is over": {"frame": shifted(today=lambda _: 0)},
    "today is not yet": {"frame": shifted(elapsed=lambda laid: laid.elapsed & ~laid.today)},
    "plans count already": {"frame": shifted(elapsed=lambda laid: laid.whole)},
    "the month is never over": {"frame": shifted(over=lambda _: False)},
    "weekends are due": {"frame": shifted(basis=lambda laid: laid.whole)},
    "weekend work is lost": {"frame": shifted(elapsed=lambda laid: laid.elapsed & laid.basis)},
    "conflicts are not told": {"conflicting": lambda *_: 0},
}  # fmt: skip


@pytest.mark.parametrize("error", WRONG)
def test_the_comparison_sees_a_planted_error(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wrong in WRONG[error].items():
        room = rules if name.startswith("rules.") else statements
        monkeypatch.setattr(room, name.removeprefix("rules."), wrong, raising=name != "min")
    random = Random(2021_24)
    assert any(differences(a_case(random)) for _ in range(5_000)), f"{error} went unseen"
