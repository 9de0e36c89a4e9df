"""The month of a whole district at once: the same sentences on arrays, one element a person.

The states come from the same `layers` as one person's statement; only the counting is numpy's. Tests hold both
against each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from server.month.holidays import MonthCalendar
from server.month.masks import FULL, MORNINGS, full_days, whole_days
from server.month.policy import Policy
from server.month.reasons import DayReason
from server.month.rules import (
    FACT_NAMES,
    PERSONAL_FACTS,
    Frame,
    ResultKind,
    ReviewReason,
    Tier,
    due,
    frame,
    in_village,
    layers,
)

Masks = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

RESULTS = tuple(ResultKind)
TIERS: tuple[Tier | None, ...] = (None, *Tier)
REVIEWS: tuple[ReviewReason | None, ...] = (None, *ReviewReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrictMonth:
    """The figures of `Statement`, as arrays in the order of the masks; kinds are indices into the tuples above."""

    due_halves: Numbers
    counted_halves: Numbers
    need_halves: Numbers
    village_halves: Numbers
    on_post_halves: Numbers
    allowance_halves: Numbers
    in_halves: Flags
    no_data: Flags
    unsure_days: Numbers
    result: npt.NDArray[np.int8]  # Index into RESULTS.
    review: npt.NDArray[np.int8]  # Index into REVIEWS.
    tier: npt.NDArray[np.int8]  # Index into TIERS.
    away_at_most_halves: Numbers  # 0 where the tier is None.


def statements_of_many(
    masks: Mapping[str, Masks], calendar: MonthCalendar, policy: Policy, *, today: date | None
) -> DistrictMonth:
    """Judge many persons' months; ``masks`` has arrays of one length by the names of `Facts`, absent ones are 0.

    Raises ValueError for an unknown name, arrays of different lengths, or a mask wider than 31 days.
    """
    fact = _checked(masks)
    laid = frame(calendar, policy, today)
    states = layers(fact, laid)
    village = in_village(states, policy)
    on_post = village | states[DayReason.ON_DUTY]
    allowance = on_post if policy.allowance_in_halves else whole_days(on_post)
    owed = due(fact, laid)
    free = states[DayReason.OPEN] | states[DayReason.AHEAD]
    n = _count(owed)
    need = -(-laid.numerator * n // laid.denominator)
    so_far = _count(village & laid.elapsed)
    in_halves = _has_halves(owed) | _has_halves(village) | _has_halves(free)
    unsure_days = _count(whole_days(states[DayReason.UNSURE]) & MORNINGS)
    posted = (fact["posted"] & laid.whole) != 0
    judged = posted & (n >= 2 * policy.short_month_days)
    met = judged & (so_far >= need)
    without = in_village(layers({**fact, "unsure": np.zeros_like(n)}, laid), policy)
    decided_by_unsure = met & (_count(without & laid.elapsed) < need)
    any_fact = np.bitwise_or.reduce([fact[name] & laid.whole for name in PERSONAL_FACTS])
    tier, away = _projected(village, free, need, laid, in_halves=in_halves, posted=posted)
    return DistrictMonth(
        due_halves=n,
        counted_halves=np.minimum(so_far, n),
        need_halves=need,
        village_halves=so_far,
        on_post_halves=_count(on_post & laid.elapsed),
        allowance_halves=_count(allowance & laid.elapsed),
        in_halves=in_halves,
        no_data=((fact["posted"] & laid.elapsed & ~laid.today) != 0) & (any_fact == 0),
        unsure_days=unsure_days,
        result=_pick(
            RESULTS,
            (~posted, ResultKind.NOT_POSTED),
            (~judged, ResultKind.TOO_SHORT),
            (met, ResultKind.MET),
            (posted, ResultKind.BELOW if laid.over else ResultKind.RUNNING),
        ),
        review=_pick(
            REVIEWS,
            (decided_by_unsure, ReviewReason.UNSURE_DECIDES),
            (unsure_days > policy.unsure_review_limit, ReviewReason.TOO_MANY_UNSURE),
            (posted | ~posted, None),
        ),
        tier=tier,
        away_at_most_halves=away,
    )


def _projected(
    village: Masks, free: Masks, need: Numbers, laid: Frame, *, in_halves: Flags, posted: Flags
) -> tuple[npt.NDArray[np.int8], Numbers]:
    """Sentence 16."""
    secured = _count(village)
    usual = _count(free & laid.basis)
    slack = np.maximum(0, secured + usual - need)
    slack = np.where(in_halves, slack, slack - slack % 2)
    projected = posted & (not laid.over)
    tier = _pick(
        TIERS,
        (~projected, None),
        (_count(village & laid.elapsed) >= need, Tier.REACHED),
        (secured + _count(free) < need, Tier.CANNOT_BE_REACHED),
        (slack == 0, Tier.NO_SLACK),
        (projected, Tier.ON_TRACK),
    )
    return tier, np.where(projected, np.minimum(usual, slack), 0)


def _checked(masks: Mapping[str, Masks]) -> dict[str, Masks]:
    unknown = sorted(set(masks) - set(FACT_NAMES))
    if unknown:
        raise ValueError(f"There are no facts called {', '.join(unknown)}.")
    lengths = {len(mask) for mask in masks.values()}
    if len(lengths) > 1:
        raise ValueError(f"The masks have different lengths: {sorted(lengths)}.")
    nothing = np.zeros(lengths.pop() if lengths else 0, dtype=np.int64)
    fact = {name: np.asarray(masks.get(name, nothing), dtype=np.int64) for name in FACT_NAMES}
    for name, mask in fact.items():
        if np.any((mask < 0) | (mask > FULL)):
            raise ValueError(f"A mask {name} does not fit 31 days.")
    return fact


def _count(mask: Masks) -> Numbers:
    """Count bits; numpy counts into one byte, in which later sums would overflow."""
    return np.bitwise_count(mask).astype(np.int64)


def _has_halves(mask: Masks) -> Flags:
    return np.not_equal(whole_days(mask), full_days(mask))


def _pick(kinds: tuple[object, ...], *cases: tuple[Flags, object]) -> npt.NDArray[np.int8]:
    """Give the index of the first case that applies; the last case applies to all that is left."""
    index = [np.int8(kinds.index(kind)) for _, kind in cases]
    return np.select([applies for applies, _ in cases], index, default=index[-1]).astype(np.int8)
