"""Rows in groups, each in the order of time, and the window of each row that looks back from it.

All rules ask the same: of the rows with this key, which lie within so many days up to this one? Ties see each other,
so the order in which check-ins arrived cannot matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.datum import FloatArray
from server.checkins.plausibility.facts import DAY_S, LOCAL_S, BoolArray, Columns, IntArray

_SPAN: Final = 1 << 33
"""Seconds that fit beside the number of a group in 63 bits: 272 years, and 500 million groups."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The chosen rows in the order of (key, instant). `rows[i]` is the row at position `i`, `group` its key's number."""

    rows: IntArray
    group: IntArray
    at: IntArray  # Whole seconds; only differences mean anything.

    def starts(self) -> BoolArray:
        """Return whether each position is the first of its group."""
        return np.asarray(np.diff(self.group, prepend=-1) != 0)

    def low(self, back_s: float) -> IntArray:
        """Return, for each position, the first position of its group that is at most so much earlier."""
        key = self.group * _SPAN + self.at
        earliest = np.maximum(key - int(back_s), self.group * _SPAN)
        return np.asarray(np.searchsorted(key, earliest, side="left"))

    def high(self) -> IntArray:
        """Return, for each position, the position after the last of its group that is not later."""
        key = self.group * _SPAN + self.at
        return np.asarray(np.searchsorted(key, key, side="right"))


def grouped(keys: Sequence[IntArray], at_s: FloatArray, chosen: BoolArray) -> Groups:
    """Group the chosen rows by all keys; `at_s` must be finite there, and within 272 years of each other."""
    picked = np.flatnonzero(chosen)
    at = np.rint(at_s[picked]).astype(np.int64)
    if len(at) and int(at.max()) - int(at.min()) >= _SPAN:
        raise ValueError("instants of one batch lie within 272 years of each other")
    order = np.lexsort((at, *(key[picked] for key in reversed(keys))))
    rows, at = picked[order], at[order]
    fresh = np.zeros(len(rows), dtype=np.bool_)
    for key in keys:
        fresh |= np.diff(key[rows], prepend=key[rows[:1]]) != 0
    return Groups(rows, np.cumsum(fresh, dtype=np.int64), at - at.min() if len(at) else at)


def day_of(at_s: FloatArray) -> IntArray:
    """Return the number of the local day of each instant (finite seconds)."""
    return np.floor_divide(at_s + LOCAL_S, DAY_S).astype(np.int64)


def tallied(flags: BoolArray, low: IntArray, high: IntArray) -> IntArray:
    """Return how many of the flags are set from `low` to before `high`."""
    total = np.concatenate(([0], np.cumsum(flags, dtype=np.int64)))
    return np.asarray(total[high] - total[low])


def distinct(values: IntArray, starts: BoolArray, low: IntArray, high: IntArray) -> IntArray:
    """Return how many distinct values lie in each window; within a group the values must not fall."""
    changes = starts | (np.diff(values, prepend=-1) != 0)
    # The first of the window is distinct whether or not it changed there.
    return tallied(changes, np.minimum(low + 1, high), high) + (high > low)


def finest_so_far(columns: Columns, values: IntArray, fixed_s: FloatArray, chosen: BoolArray) -> IntArray:
    """Return for each row the largest of small values (-1 to 7) that its phone has shown up to it; its own if not chosen.

    A phone is a person's device with one client: what it has once shown, it can show.
    """
    groups = grouped([columns.person, columns.client, columns.device], fixed_s, chosen)
    step = 16
    shown = np.maximum.accumulate(groups.group * step + values[groups.rows]) - groups.group * step
    finest = values.copy()
    if len(shown):
        finest[groups.rows] = shown[groups.high() - 1]  # Ties see each other.
    return finest


def fix_days(groups: Groups, fixed_s: FloatArray, same_fix_s: float) -> IntArray:
    """Return, for each position, the local day of its fix, one and the same for all check-ins that used one cached fix.

    Fixes of a group that follow each other within `same_fix_s` are one fix, on the day on which it began.
    """
    starts = groups.starts()
    begins = starts | (np.diff(groups.at, prepend=0) > same_fix_s)
    if not len(begins):
        return groups.rows
    first = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    return day_of(fixed_s[groups.rows])[first]
