"""What a fix says of itself: the mock flag, its accuracy, its digits, where it says it comes from, how old it is.

Whole versions of a client round coordinates or always state the same accuracy (browsers say 20 or 65 m). Such a habit
tells nothing of a person, so it is learned from the others who use the same client (`habits.py`) and given in.
"""

import numpy as np

from geo.datum import FloatArray
from server.checkins.plausibility.facts import PLATFORMS, BoolArray, Columns, IntArray, Platform, Source
from server.checkins.plausibility.habits import Habits
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.signals import Code, Found
from server.checkins.plausibility.windows import day_of, distinct, finest_so_far, grouped

_BEST_NETWORK_M = 5.0
"""No list of towers or Wi-Fi points is better than this."""
_BEST_PHONE_M = 1.0
"""No phone states a better accuracy than this; survey receivers do."""


def found(columns: Columns, habits: Habits, limits: Limits) -> list[Found]:
    """Return what single fixes and the constancy of their accuracy show."""
    accuracy = columns.accuracy_m
    fixed = columns.placed
    timed = np.isfinite(columns.fixed_s)
    # Whether the phone passes altitudes on: then a fix as good as satellites' comes with one.
    tall = finest_so_far(columns, columns.altitude_digits(), columns.fixed_s, timed) >= 0
    odd = fixed & (
        (columns.of_source(Source.NETWORK) & (accuracy > 0) & (accuracy < _BEST_NETWORK_M))
        | (
            columns.of_source(Source.SATELLITES)
            & (columns.platform == PLATFORMS.index(Platform.ANDROID))
            & np.isnan(columns.altitude_cm)
        )
        | (columns.altitude_cm == 0)
        | ((accuracy > 0) & (accuracy <= _BEST_PHONE_M))
        | (tall & np.isnan(columns.altitude_cm) & (accuracy > 0) & (accuracy < limits.listed_from_m))
    )
    coarse = fixed & (columns.decimals <= limits.few_decimals) & ~habits.few_decimals
    return [
        _each(Code.MOCKED, columns.mocked == 1, {}),
        _each(Code.ZERO_ACCURACY, fixed & (accuracy <= 0), {"accuracy_m": accuracy}),
        _each(Code.FEW_DECIMALS, coarse, {"decimals": columns.decimals.astype(float)}),
        _each(Code.ODD_PROVIDER, odd, {"accuracy_m": np.nan_to_num(accuracy)}),
        _each(Code.STALE_FIX, fixed & (columns.age_s > limits.stale_s), {"age_s": columns.age_s}),
        constant_accuracy(columns, habits.constant_accuracy, limits),
    ]


def constant_accuracy(columns: Columns, habitual: BoolArray, limits: Limits) -> Found:
    """Find one stated accuracy, to the last digit, on many days of measured fixes."""
    known = columns.placed & (columns.accuracy_m > 0) & ~columns.listed(limits.listed_from_m) & ~habitual
    value = np.where(known, columns.accuracy_m, 0.0).view(np.int64)
    groups = grouped([columns.person, value], columns.latest_s, known)
    low, high = groups.low(limits.window_days * 86_400), groups.high()
    days = distinct(day_of(columns.latest_s[groups.rows]), groups.starts(), low, high)
    at = np.flatnonzero(days >= limits.constant_accuracy_days)
    rows = groups.rows[at]
    figures = {"days": days[at].astype(float), "accuracy_m": columns.accuracy_m[rows]}
    return Found(Code.CONSTANT_ACCURACY, rows, groups.rows, low[at], high[at], figures)


def _each(code: Code, flagged: BoolArray, measured: dict[str, FloatArray]) -> Found:
    """Return a signal that each row shows alone."""
    rows: IntArray = np.flatnonzero(flagged)
    none = np.zeros(len(rows), dtype=np.int64)
    return Found(code, rows, rows, none, none, {name: each[rows] for name, each in measured.items()})
