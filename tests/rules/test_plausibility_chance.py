"""Probabilities of coincidence against drawing, and against the calibration they were ordered by."""

import math
from itertools import pairwise

import numpy as np
import pytest

from server.checkins.plausibility import chance

LAT = 28.9


@pytest.mark.parametrize(("decimals", "cadres"), [(7, 0.3), (6, 29), (5, 1547)])
def test_two_thousand_cadres_have_as_many_pairs_a_month_as_was_calibrated(
    decimals: int, cadres: float
) -> None:
    pair = chance.pair_probability(5.0, decimals, LAT)
    anybody = -math.expm1(-math.comb(30, 2) * pair) * 2000
    assert anybody == pytest.approx(cadres, rel=0.03)
    if decimals == 7:
        assert pair == pytest.approx(3.4e-7, rel=0.02)


@pytest.mark.parametrize(("sigma", "step"), [(5.0, 11.1), (5.0, 1.11), (1.0, 11.1), (3.0, 3.0), (20.0, 1.0)])
def test_a_pair_coincides_as_often_as_when_it_is_drawn(sigma: float, step: float) -> None:
    rng = np.random.default_rng(1)
    draws = 400_000
    middle = rng.uniform(0, step, draws)
    cells = np.floor((middle[:, None] + rng.normal(0, sigma, (draws, 2))) / step)
    drawn = float((cells[:, 0] == cells[:, 1]).mean())
    assert chance.pair_on_axis(step, sigma) == pytest.approx(drawn, abs=4 * math.sqrt(drawn / draws) + 1e-5)


def test_the_series_for_small_steps_joins_the_closed_form() -> None:
    at = 1e-4 * math.sqrt(2.0)
    assert chance.pair_on_axis(at * 0.999, 1.0) == pytest.approx(
        chance.pair_on_axis(at * 1.001, 1.0), rel=3e-3
    )


@pytest.mark.parametrize(("sigma", "decimals", "k"), [(5.0, 4, 9), (5.0, 5, 3), (3.0, 5, 3), (8.0, 5, 3)])
def test_the_bound_is_never_below_what_is_drawn(sigma: float, decimals: int, k: int) -> None:
    # Days of two taps each; how often do k different days share a point?
    rng = np.random.default_rng(7)
    east, north = chance.steps_m(decimals, LAT)
    days, taps, worlds = 12, 2, 4000
    begin = rng.uniform((0, 0), (east, north), (worlds, 1, 1, 2))
    cells = np.floor((begin + rng.normal(0, sigma, (worlds, days, taps, 2))) / (east, north)).astype(int)
    happened = 0
    for world in cells:
        seen: dict[tuple[int, int], set[int]] = {}
        for day in range(days):
            for point in map(tuple, world[day]):
                seen.setdefault(point, set()).add(day)
        happened += any(len(on) >= k for on in seen.values())
    pair, peak = chance.pair_probability(sigma, decimals, LAT), chance.peak_probability(sigma, decimals, LAT)
    bound = 10 ** chance.log10_repeats(k, days, taps, pair, peak)
    rate = happened / worlds
    assert bound >= rate - 3 * math.sqrt(rate / worlds)


def test_more_days_on_a_point_are_less_probable_and_one_alone_says_nothing() -> None:
    pair, peak = chance.pair_probability(3.0, 7, LAT), chance.peak_probability(3.0, 7, LAT)
    powers = [chance.log10_repeats(k, 30, 2, pair, peak) for k in range(1, 31)]
    assert powers[0] == 0
    assert all(later < earlier for earlier, later in pairwise(powers[1:]))
    assert chance.log10_repeats(40, 30, 2, pair, peak) == powers[-1]


def test_meetings_are_bounded_by_the_binomial() -> None:
    each, days = 0.01, 30
    for k in (2, 3, 5):
        exact = sum(math.comb(days, i) * each**i * (1 - each) ** (days - i) for i in range(k, days + 1))
        assert 10 ** chance.log10_meetings(k, days, each) >= exact
