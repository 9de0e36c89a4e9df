"""A person's month: what was due, what counted, what follows, and each day explained.

The sentences cited here stand at the head of `server.month.rules`. Counting is done on bits; only the explanation of
days walks through the days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from server.month.holidays import MonthCalendar
from server.month.masks import MORNINGS, Half, day_mask, days_of, has_halves, whole_days
from server.month.policy import Policy
from server.month.reasons import SENTENCES, DayReason
from server.month.rules import (
    PERSONAL_FACTS,
    Facts,
    Frame,
    ResultKind,
    ReviewReason,
    Tier,
    conflicting,
    due,
    frame,
    in_village,
    layers,
)


@dataclass(frozen=True, slots=True)
class Projection:
    """What a month that runs can still become (sentence 16); halves, in whole days unless halves are shown."""

    tier: Tier
    away_at_most_halves: int
    free_halves: int  # Open or ahead, in the basis or not.
    planned_halves: int  # Facts dated later than today, such as confirmed duty.


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One person, one month, one policy. Every number of halves is two for a day.

    ``counted_halves`` is k (at most n), ``village_halves`` the same before the cap; ``allowance_halves`` is two for an
    allowance day unless the policy pays by halves. ``percent_hundredths`` is for display only: 6667 is 66.67 %.
    """

    due_halves: int
    counted_halves: int
    need_halves: int
    village_halves: int
    on_post_halves: int
    allowance_halves: int
    in_halves: bool
    result: ResultKind
    no_data: bool
    percent_hundredths: int | None
    review: ReviewReason | None
    unsure_days: tuple[date, ...]
    unfenced_days: tuple[date, ...]
    outage_days: tuple[date, ...]
    claimed_days: tuple[date, ...]
    conflict_days: tuple[date, ...]
    corrected_days: tuple[date, ...]  # To present or to absent.
    attested_days: tuple[date, ...]
    halves_by_reason: dict[DayReason, int]
    projection: Projection | None  # None when the month is over or nobody was posted.
    provisional_calendar: bool

    @property
    def needs_review(self) -> bool:
        """Tell whether the unsure days go to a reviewer before the lock."""
        return self.review is not None

    @property
    def need_shown(self) -> str:
        """The need as people read it: days, rounded up, or halves such as ``19½`` (ruling 4)."""
        return shown(self.need_halves if self.in_halves else self.need_halves + self.need_halves % 2)

    @property
    def percent_shown(self) -> str | None:
        """The percentage with two decimals, such as ``66.67``; None when nothing is due."""
        if self.percent_hundredths is None:
            return None
        return f"{self.percent_hundredths // 100}.{self.percent_hundredths % 100:02d}"


def shown(halves: int) -> str:
    """Write halves as days: 38 is ``19``, 39 is ``19½``, 1 is ``½``."""
    whole, half = divmod(halves, 2)
    if not half:
        return str(whole)
    return f"{whole}½" if whole else "½"


def need_halves(due_halves: int, laid: Frame) -> int:
    """Give the least number of halves that meets the ratio (sentence 10)."""
    return -(-laid.numerator * due_halves // laid.denominator)


def met(counted_halves: int, due_halves: int, laid: Frame) -> bool:
    """Compare the fraction with the ratio, in integers: 3k >= 2n for two thirds (sentence 10, edge 5)."""
    return laid.denominator * counted_halves >= laid.numerator * due_halves


def statement(facts: Facts, calendar: MonthCalendar, policy: Policy, *, today: date | None) -> Statement:
    """Judge a person's month as of a day; ``today`` None (or any day after the month) means that it is over."""
    laid = frame(calendar, policy, today)
    fact = facts.masks()
    states = layers(fact, laid)
    village = in_village(states, policy)
    on_post = village | states[DayReason.ON_DUTY]
    owed = due(fact, laid)
    free = states[DayReason.OPEN] | states[DayReason.AHEAD]
    n = owed.bit_count()
    so_far = (village & laid.elapsed).bit_count()
    k = min(so_far, n)
    in_halves = has_halves(owed) or has_halves(village) or has_halves(free)
    result = _result(k, n, posted=bool(fact["posted"] & laid.whole), laid=laid, policy=policy)
    allowance = on_post if policy.allowance_in_halves else whole_days(on_post)
    return Statement(
        due_halves=n,
        counted_halves=k,
        need_halves=need_halves(n, laid),
        village_halves=so_far,
        on_post_halves=(on_post & laid.elapsed).bit_count(),
        allowance_halves=(allowance & laid.elapsed).bit_count(),
        in_halves=in_halves,
        result=result,
        no_data=_no_data(fact, laid),
        percent_hundredths=(20_000 * k + n) // (2 * n) if n else None,
        review=_review(fact, states, laid, policy, result),
        unsure_days=days_of(laid.month, states[DayReason.UNSURE]),
        unfenced_days=days_of(laid.month, states[DayReason.UNFENCED]),
        outage_days=days_of(laid.month, states[DayReason.OUTAGE]),
        claimed_days=days_of(laid.month, states[DayReason.CLAIMED]),
        conflict_days=days_of(laid.month, conflicting(fact, states)),
        corrected_days=days_of(
            laid.month, states[DayReason.CORRECTED_PRESENT] | states[DayReason.CORRECTED_ABSENT]
        ),
        attested_days=days_of(laid.month, states[DayReason.ATTESTED]),
        halves_by_reason={state: mask.bit_count() for state, mask in states.items() if mask},
        projection=None
        if laid.over or result is ResultKind.NOT_POSTED
        else _projection(village, free, need_halves(n, laid), laid, in_halves=in_halves),
        provisional_calendar=calendar.provisional,
    )


class SoFar(NamedTuple):
    """What a phone is told of a running month: the figures of `Statement` that it needs."""

    due_halves: int
    counted_halves: int
    need_halves: int
    in_halves: bool
    projection: Projection | None

    @property
    def need_told(self) -> int:
        """The need in halves as it is told: whole days where nothing is in halves, rounded up (ruling 4)."""
        return self.need_halves if self.in_halves else self.need_halves + self.need_halves % 2


def so_far(fact: Mapping[str, int], laid: Frame, policy: Policy) -> SoFar:
    """Give those figures of a month of a posted person at half the cost: every check-in asks for them.

    ``fact`` has a mask of at most 31 days for each of FACT_NAMES. A test holds this against `statement`.
    """
    states = layers(fact, laid)
    village = in_village(states, policy)
    owed = due(fact, laid)
    free = states[DayReason.OPEN] | states[DayReason.AHEAD]
    n = owed.bit_count()
    need = need_halves(n, laid)
    in_halves = has_halves(owed) or has_halves(village) or has_halves(free)
    counted = min((village & laid.elapsed).bit_count(), n)
    projection = None if laid.over else _projection(village, free, need, laid, in_halves=in_halves)
    return SoFar(n, counted, need, in_halves, projection)


def _result(k: int, n: int, *, posted: bool, laid: Frame, policy: Policy) -> ResultKind:
    """Sentence 11."""
    if not posted:
        return ResultKind.NOT_POSTED
    if n < 2 * policy.short_month_days:
        return ResultKind.TOO_SHORT
    if met(k, n, laid):
        return ResultKind.MET
    return ResultKind.BELOW if laid.over else ResultKind.RUNNING


def _no_data(fact: dict[str, int], laid: Frame) -> bool:
    """Sentence 15."""
    past = fact["posted"] & laid.elapsed & ~laid.today
    return bool(past) and not any(fact[name] & laid.whole for name in PERSONAL_FACTS)


def _review(
    fact: dict[str, int], states: dict[DayReason, int], laid: Frame, policy: Policy, result: ResultKind
) -> ReviewReason | None:
    """Sentence 13. What decides the month is named first, as it is the graver of the two."""
    if not states[DayReason.UNSURE]:
        return None
    if result is ResultKind.MET:
        without = layers({**fact, "unsure": 0}, laid)
        if not met(
            (in_village(without, policy) & laid.elapsed).bit_count(), due(fact, laid).bit_count(), laid
        ):
            return ReviewReason.UNSURE_DECIDES
    unsure_days = (whole_days(states[DayReason.UNSURE]) & MORNINGS).bit_count()
    return ReviewReason.TOO_MANY_UNSURE if unsure_days > policy.unsure_review_limit else None


def _projection(village: int, free: int, need: int, laid: Frame, *, in_halves: bool) -> Projection:
    """Sentence 16."""
    so_far = (village & laid.elapsed).bit_count()
    secured = village.bit_count()
    usual = (free & laid.basis).bit_count()
    slack = max(0, secured + usual - need)
    slack -= 0 if in_halves else slack % 2
    if so_far >= need:
        tier = Tier.REACHED
    elif secured + free.bit_count() < need:
        tier = Tier.CANNOT_BE_REACHED
    else:
        tier = Tier.ON_TRACK if slack else Tier.NO_SLACK
    return Projection(tier, min(usual, slack), free.bit_count(), secured - so_far)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayState:
    """One day explained: the reason of each half, and what the day gives to each counter (in halves)."""

    day: date
    morning: DayReason
    afternoon: DayReason
    in_basis: bool
    due_halves: int
    village_halves: int
    on_post_halves: int
    allowance_halves: int
    in_conflict: bool

    @property
    def reasons(self) -> tuple[DayReason, ...]:
        """One reason when both halves share it, else the morning's and the afternoon's."""
        return (self.morning,) if self.morning is self.afternoon else (self.morning, self.afternoon)

    def sentence(self) -> tuple[str, str]:
        """Say in Chinese and in English why the day is what it is."""
        if self.morning is self.afternoon:
            return SENTENCES[self.morning]
        morning, afternoon = SENTENCES[self.morning], SENTENCES[self.afternoon]
        return (
            f"上午：{morning[0]}下午：{afternoon[0]}",
            f"Morning: {morning[1]} Afternoon: {afternoon[1]}",
        )


def day_states(
    facts: Facts, calendar: MonthCalendar, policy: Policy, *, today: date | None
) -> tuple[DayState, ...]:
    """Explain every day of the month, in order; the sums of the days are the statement's figures, k before its cap."""
    laid = frame(calendar, policy, today)
    fact = facts.masks()
    states = layers(fact, laid)
    village = in_village(states, policy)
    on_post = village | states[DayReason.ON_DUTY]
    allowance = on_post if policy.allowance_in_halves else whole_days(on_post)
    owed = due(fact, laid)
    conflict = conflicting(fact, states)
    met_with = [(state, mask) for state, mask in states.items() if mask]

    def explain(number: int) -> DayState:
        bits = day_mask(number)
        return DayState(
            day=date(laid.month.year, laid.month.number, number),
            morning=_state_of(met_with, bits & MORNINGS << Half.MORNING),
            afternoon=_state_of(met_with, bits & MORNINGS << Half.AFTERNOON),
            in_basis=bool(laid.basis & bits),
            due_halves=(owed & bits).bit_count(),
            village_halves=(village & bits).bit_count(),
            on_post_halves=(on_post & bits).bit_count(),
            allowance_halves=(allowance & bits).bit_count(),
            in_conflict=bool(conflict & bits),
        )

    return tuple(explain(number) for number in range(1, laid.month.days + 1))


def _state_of(states: list[tuple[DayReason, int]], bit: int) -> DayReason:
    return next(state for state, mask in states if mask & bit)
