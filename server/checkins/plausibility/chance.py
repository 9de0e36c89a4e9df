"""How probable it is that honest fixes coincide: what must be improbable before a coincidence may count.

Fixes of one place scatter normally with sigma about it and come on a grid of so many decimals. Two of them fall on the
same point with the probability that their difference, normal with sigma times root two, stays within a cell: for each
axis E[max(0, 1 - |D| / step)], with the grid lying anywhere (security.md's calibration: sigma 5 m, seven decimals,
3.4e-7). A cell's own probability is at most that of one centred on the place. So k fixes of k different days on one
point, chosen among n days with r taps each, have at most the probability C(n, k) r^k p_pair p_peak^(k-2): Boole's
inequality, hence an upper bound, which favours the person. It is held by a Monte Carlo in the tests.
"""

import math
from functools import lru_cache
from typing import Final

_NORTH_M: Final = 111_320.0  # Metres in a degree; 0.5 % do not matter here.


@lru_cache(maxsize=1024)
def pair_on_axis(step: float, sigma: float) -> float:
    """Give the probability that two values of N(m, sigma) fall into the same cell of a grid that lies anywhere."""
    a = step / (sigma * math.sqrt(2.0))
    small = 1e-4  # Below it the closed form loses its digits; the expansion's next term is a^2 / 12.
    if a < small:
        return a / math.sqrt(2.0 * math.pi)
    # E[(1 - |Z| / a)+] with Z standard normal: its mass within the cell less the mean distance from the middle.
    return math.erf(a / math.sqrt(2.0)) - math.sqrt(2.0 / math.pi) * -math.expm1(-a * a / 2.0) / a


@lru_cache(maxsize=1024)
def peak_on_axis(step: float, sigma: float) -> float:
    """Give the largest probability that a cell can have for N(m, sigma): the one centred on m."""
    return math.erf(step / (2.0 * math.sqrt(2.0) * sigma))


def steps_m(decimals: int, lat: float) -> tuple[float, float]:
    """Give the size of a cell of so many decimals of a degree at this latitude, metres east and north."""
    step = _NORTH_M * 10.0**-decimals
    return step * math.cos(math.radians(lat)), step


def pair_probability(sigma_m: float, decimals: int, lat: float) -> float:
    """Give the probability that two fixes of one place are the same point."""
    east, north = steps_m(decimals, lat)
    return pair_on_axis(east, sigma_m) * pair_on_axis(north, sigma_m)


def peak_probability(sigma_m: float, decimals: int, lat: float) -> float:
    """Give the largest probability that one point can have."""
    east, north = steps_m(decimals, lat)
    return peak_on_axis(east, sigma_m) * peak_on_axis(north, sigma_m)


def log10_repeats(k: int, days: int, taps: float, pair: float, peak: float) -> float:
    """Give log10 of the bound for k different days on one point among `days` with `taps` each; 0 where it says nothing.

    `pair` and `peak` are the probabilities of one pair and of the likeliest point. More than `days` count as `days`.
    """
    k = min(k, days)
    if k < 2:  # noqa: PLR2004  One fix coincides with nothing.
        return 0.0
    ways = log10_ways(days, k) + k * math.log10(taps)
    return min(0.0, ways + math.log10(pair) + (k - 2) * math.log10(peak))


def log10_meetings(k: int, days: int, each: float) -> float:
    """Give log10 of the bound for something of probability `each` a day happening on k of so many days."""
    k = min(k, days)
    return min(0.0, log10_ways(days, k) + k * math.log10(min(1.0, each)))


@lru_cache(maxsize=4096)
def log10_ways(n: int, k: int) -> float:
    """Give log10 of the number of ways to choose k of n."""
    return math.log10(math.comb(n, k))
