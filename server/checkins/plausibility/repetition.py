"""Repetition across days and people: the same point, no scatter, the same altitude, one fix for several people.

A repetition counts only where honest fixes would bring it with a probability below the policy's (chance.py). Cached
fixes are one fix, by their own instant. Positions looked up in a list (cell towers, Wi-Fi) repeat by nature, for
everybody who hears the same tower, and are left out. What is counted only grows with more check-ins, so nobody gets
rid of a signal, or gets one, by what honest people add.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from geo.datum import FloatArray
from geo.verdict import SIGMA_PER_ACCURACY
from server.checkins.plausibility import chance
from server.checkins.plausibility.facts import BoolArray, Columns, IntArray
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.signals import Code, Found
from server.checkins.plausibility.windows import (
    Groups,
    day_of,
    distinct,
    finest_so_far,
    fix_days,
    grouped,
    tallied,
)

_E7 = 1e-7
_CELLS = (6, 5)
"""Decimals of the cells in which fixes that hardly scatter are looked for: about 0.1 m and 1 m."""
_VERTICAL = 1.5
"""Satellites see the sky above only: heights scatter about so much more than positions."""


class Ground(NamedTuple):
    """What every rule here starts from: the rows that were measured, with the instants of their fixes."""

    columns: Columns
    limits: Limits
    fixed_s: FloatArray
    measured: BoolArray
    fineness: IntArray  # Decimals that the phone has shown by then.

    def sigma_m(self, row: int) -> float:
        """Return the scatter assumed of a row's fix, rather too small: that favours the person."""
        accuracy = float(self.columns.accuracy_m[row])
        stated = accuracy / SIGMA_PER_ACCURACY if accuracy > 0 else 0.0
        return max(self.limits.least_scatter_m, self.limits.scatter_share * stated)


def found(columns: Columns, limits: Limits) -> list[Found]:
    """Return all repetitions."""
    fixed = columns.fixed_s
    known = np.isfinite(fixed)
    measured = known & ~columns.listed(limits.listed_from_m)
    # A point that ends in zeros is not a coarser one, nor a round altitude, where the phone has shown more digits.
    fineness = finest_so_far(columns, columns.decimals, fixed, known)
    ground = Ground(columns, limits, fixed, measured, fineness)
    return [
        same_point(ground),
        point_of_several(ground),
        shared_fix(ground),
        zero_scatter(ground),
        same_altitude(ground),
    ]


def same_point(ground: Ground) -> Found:
    """Find a person's different fixes of several days on one point, to the last digit."""
    columns, limits = ground.columns, ground.limits
    groups = grouped(
        [columns.person, columns.datum, columns.lon_e7, columns.lat_e7], ground.fixed_s, ground.measured
    )
    low, high, days = _days(groups, ground)
    at = np.flatnonzero(days >= limits.same_point_days)

    def power(i: int) -> float:
        row = int(groups.rows[i])
        return _repeats(ground, row, int(days[i]), int(ground.fineness[row]), limits.window_days)

    at, powers = _improbable(at, power, limits)
    figures = {
        "days": days[at].astype(float),
        "decimals": ground.fineness[groups.rows[at]].astype(float),
        "power": powers,
    }
    return Found(Code.SAME_POINT, groups.rows[at], groups.rows, low[at], high[at], figures)


def point_of_several(ground: Ground) -> Found:
    """Find different fixes of several people on one point, to the last digit. A fix that two share is one fix."""
    columns, limits = ground.columns, ground.limits
    groups = grouped([columns.datum, columns.lon_e7, columns.lat_e7], ground.fixed_s, ground.measured)
    rows, starts = groups.rows, groups.starts()
    low, high = groups.low(limits.window_days * 86_400), groups.high()
    person, day = columns.person[rows], day_of(ground.fixed_s[rows])
    copied = ~starts & (np.diff(groups.at, prepend=0) <= limits.same_fix_s)
    fresh = _first_of(groups.group, person, day, ~copied)
    total = tallied(fresh, low, high)
    own = _own(groups, person, fresh, limits.window_days * 86_400)
    at = np.flatnonzero((total - own >= 1) & (own >= 1))

    def power(i: int) -> float:
        row = int(rows[i])
        many = limits.window_days * limits.people_a_spot
        return _repeats(ground, row, int(total[i]), int(ground.fineness[row]), many)

    at, powers = _improbable(at, power, limits)
    figures = {
        "own": own[at].astype(float),
        "others": (total - own)[at].astype(float),
        "power": powers,
    }
    return Found(Code.POINT_OF_SEVERAL, rows[at], rows, low[at], high[at], figures)


def shared_fix(ground: Ground) -> Found:
    """Find one fix, of one instant and one point, in check-ins of different people: one phone, signed or not."""
    columns, limits = ground.columns, ground.limits
    points = grouped([columns.datum, columns.lon_e7, columns.lat_e7], ground.fixed_s, ground.measured)
    rows = points.rows
    near = ~points.starts() & (np.diff(points.at, prepend=0) <= limits.same_fix_s)
    # A run is one fix; it is shared when its rows are not all of one person.
    run = np.cumsum(~near) - 1
    mixed = np.zeros(int(run[-1]) + 1 if len(run) else 0, dtype=np.bool_)
    mixed[run[near & (np.diff(columns.person[rows], prepend=0) != 0)]] = True
    chosen = np.zeros(len(columns), dtype=np.bool_)
    chosen[rows[mixed[run]]] = True
    groups = grouped([columns.person], ground.fixed_s, chosen)
    _, _, days = _days(groups, ground)
    at = np.flatnonzero(days >= limits.shared_fix_days)

    def power(i: int) -> float:
        row = int(groups.rows[i])
        decimals, lat = int(ground.fineness[row]), _lat(columns, row)
        pair = chance.pair_probability(ground.sigma_m(row), decimals, lat)
        return chance.log10_meetings(
            int(days[i]), limits.window_days, limits.taps_a_day * limits.people_a_spot * pair
        )

    at, powers = _improbable(at, power, limits)
    # The evidence is the run itself, with the others' check-ins in it.
    place = np.empty(len(columns), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    spot = place[groups.rows[at]]
    first, last = np.searchsorted(run, run[spot], "left"), np.searchsorted(run, run[spot], "right")
    figures = {"days": days[at].astype(float), "power": powers}
    return Found(Code.SHARED_FIX, groups.rows[at], rows, first, last, figures)


def zero_scatter(ground: Ground) -> Found:
    """Find fixes of many days within a cell far smaller than their accuracy: a jitter that somebody made too small."""
    columns, limits = ground.columns, ground.limits
    parts = []
    for decimals in _CELLS:
        size = 10 ** (7 - decimals)
        cells = [columns.lon_e7 // size, columns.lat_e7 // size]
        # What is coarser than the cell anyhow is a matter of the same point.
        fine = ground.measured & (ground.fineness >= decimals)
        groups = grouped([columns.person, columns.datum, *cells], ground.fixed_s, fine)
        low, high, days = _days(groups, ground)
        at = np.flatnonzero(days >= limits.zero_scatter_days)

        def power(i: int, groups: Groups = groups, days: IntArray = days, decimals: int = decimals) -> float:
            return _repeats(ground, int(groups.rows[i]), int(days[i]), decimals, limits.window_days)

        at, powers = _improbable(at, power, limits)
        parts.append((groups, low, high, days, at, powers, chance.steps_m(decimals, 0.0)[1]))
    return _either(columns, parts)


def _either(columns: Columns, parts: list[tuple[Groups, IntArray, IntArray, IntArray, IntArray, FloatArray, float]]) -> Found:  # fmt: skip
    """Join what was found in cells of both sizes; the finer one speaks where both do."""
    fine, coarse = parts
    more = ~np.isin(coarse[0].rows[coarse[4]], fine[0].rows[fine[4]])
    rows, low, high, days, powers, sizes = [], [], [], [], [], []
    offset = 0
    for (groups, lows, highs, counts, at, power, size), kept in zip(
        parts, (np.ones(len(fine[4]), dtype=np.bool_), more), strict=True
    ):
        chosen = at[kept]
        rows.append(groups.rows[chosen])
        low.append(lows[chosen] + offset)
        high.append(highs[chosen] + offset)
        days.append(counts[chosen].astype(float))
        powers.append(power[kept])
        sizes.append(np.full(len(chosen), size))
        offset += len(groups.rows)
    picked = np.concatenate(rows)
    figures = {
        "days": np.concatenate(days),
        "cell_m": np.concatenate(sizes),
        "accuracy_m": np.nan_to_num(columns.accuracy_m[picked]),
        "power": np.concatenate(powers),
    }
    order = np.concatenate([fine[0].rows, coarse[0].rows])
    return Found(Code.ZERO_SCATTER, picked, order, np.concatenate(low), np.concatenate(high), figures)


def same_altitude(ground: Ground) -> Found:
    """Find one altitude, to the last digit, on many days: heights scatter more than anything else a phone measures."""
    columns, limits = ground.columns, ground.limits
    tall = np.where(np.isfinite(columns.altitude_cm), columns.altitude_cm, 0.0).astype(np.int64)
    chosen = ground.measured & np.isfinite(columns.altitude_cm)
    digits = finest_so_far(columns, columns.altitude_digits(), ground.fixed_s, chosen)
    groups = grouped([columns.person, tall], ground.fixed_s, chosen)
    low, high, days = _days(groups, ground)
    at = np.flatnonzero(days >= limits.same_altitude_days)

    def power(i: int) -> float:
        row = int(groups.rows[i])
        step = 10.0 ** -int(digits[row])
        sigma = _VERTICAL * ground.sigma_m(row)
        pair, peak = chance.pair_on_axis(step, sigma), chance.peak_on_axis(step, sigma)
        return chance.log10_repeats(int(days[i]), limits.window_days, limits.taps_a_day, pair, peak)

    at, powers = _improbable(at, power, limits)
    figures = {
        "days": days[at].astype(float),
        "power": powers,
    }  # Not the altitude itself: it is part of the position, which a signal outlives.
    return Found(Code.SAME_ALTITUDE, groups.rows[at], groups.rows, low[at], high[at], figures)


def _days(groups: Groups, ground: Ground) -> tuple[IntArray, IntArray, IntArray]:
    """Return the windows and, for each, on how many different days its fixes were taken."""
    low, high = groups.low(ground.limits.window_days * 86_400), groups.high()
    days = fix_days(groups, ground.fixed_s, ground.limits.same_fix_s)
    return low, high, distinct(days, groups.starts(), low, high)


def _repeats(ground: Ground, row: int, k: int, decimals: int, days: int) -> float:
    sigma, lat = ground.sigma_m(row), _lat(ground.columns, row)
    pair, peak = chance.pair_probability(sigma, decimals, lat), chance.peak_probability(sigma, decimals, lat)
    return chance.log10_repeats(k, days, ground.limits.taps_a_day, pair, peak)


def _lat(columns: Columns, row: int) -> float:
    # A hundredth of a degree changes the size of a cell by nothing, and makes the cached figures few.
    return round(float(columns.wgs_lat_e7[row]) * _E7, 2)


def _improbable(at: IntArray, power: Callable[[int], float], limits: Limits) -> tuple[IntArray, FloatArray]:
    """Keep the positions whose coincidence is less probable than the policy asks, with log10 of its bound."""
    powers = np.array([power(int(i)) for i in at], dtype=np.float64)
    kept = powers <= np.log10(limits.chance_at_most)
    return at[kept], powers[kept]


def _first_of(group: IntArray, person: IntArray, day: IntArray, allowed: BoolArray) -> BoolArray:
    """Mark the first allowed position of each person and day in each group."""
    places = np.flatnonzero(allowed)
    order = np.lexsort((places, day[places], person[places], group[places]))
    picked = places[order]
    keys = (group[picked], person[picked], day[picked])
    fresh = np.zeros(len(picked), dtype=np.bool_)
    for key in keys:
        fresh |= np.diff(key, prepend=-1) != 0
    marks = np.zeros(len(group), dtype=np.bool_)
    marks[picked[fresh]] = True
    return marks


def _own(groups: Groups, person: IntArray, fresh: BoolArray, back_s: float) -> IntArray:
    """Return how many marked positions of the same person and group lie in each position's window."""
    order = np.lexsort((groups.at, person, groups.group))
    both = np.cumsum(
        (np.diff(groups.group[order], prepend=-1) != 0) | (np.diff(person[order], prepend=-1) != 0)
    )
    sub = Groups(order, both, groups.at[order])
    own = np.empty(len(order), dtype=np.int64)
    own[order] = tallied(fresh[order], sub.low(back_s), sub.high())
    return own
