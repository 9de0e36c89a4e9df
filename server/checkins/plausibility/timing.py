"""Clocks: a phone that is fast or slow, a fix stamped after the tap, a reading outside the anchors, a late upload.

Each is common among honest phones and stays below every threshold alone; the family's cap keeps them there together.
"""

import numpy as np

from geo.datum import FloatArray
from server.checkins.plausibility.facts import BoolArray, Columns
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.signals import Code, Found

_HOUR_S = 3600
_MINUTE_S = 60
_ANCHOR_SLACK_S = 60.0
"""Anchors and readings are rounded, and a signal takes its time."""


def found(columns: Columns, limits: Limits) -> list[Found]:
    """Return what clocks and delays show."""
    off = np.nan_to_num(columns.clock_off_s)
    # Satellites stamp fixes by their own clock: with a slow phone a fix seems to come from the future by just as much
    # as the phone is slow. What is left over was not so when the check-in was sent.
    ahead = -(columns.age_s - np.minimum(off, 0.0))
    outside = np.maximum(columns.earliest_s - columns.claimed_s, columns.claimed_s - columns.latest_s)
    waited = (columns.received_s - columns.latest_s) / _HOUR_S
    return [
        _each(Code.CLOCK_SKEW, np.abs(off) > limits.skew_s, "minutes", np.abs(off) / _MINUTE_S),
        _each(Code.FUTURE_FIX, columns.placed & (ahead > limits.future_s), "minutes", ahead / _MINUTE_S),
        _each(Code.OUTSIDE_INTERVAL, outside > _ANCHOR_SLACK_S, "minutes", outside / _MINUTE_S),
        _each(Code.LATE, waited > limits.late_hours, "hours", waited),
    ]


def _each(code: Code, flagged: BoolArray, figure: str, measured: FloatArray) -> Found:
    rows = np.flatnonzero(flagged)
    none = np.zeros(len(rows), dtype=np.int64)
    return Found(code, rows, rows, none, none, {figure: measured[rows]})
