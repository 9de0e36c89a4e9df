"""Whose phone it was: one key for several people, and a key that was enrolled a moment before.

Two people on one phone may have every reason (edge 70): a broken phone, a team-mate's without credit. A recorded
reason is an `Allowance`; without one the reviewer asks.
"""

import numpy as np

from server.checkins.plausibility.facts import Columns
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.signals import Code, Found
from server.checkins.plausibility.windows import Groups, grouped

_HOUR_S = 3600


def found(columns: Columns, limits: Limits) -> list[Found]:
    """Return shared and new devices."""
    return [shared_device(columns, limits), new_device(columns, limits)]


def shared_device(columns: Columns, limits: Limits) -> Found:
    """Find check-ins whose key signed for somebody else within the hours before."""
    groups = grouped([columns.device], columns.latest_s, columns.device >= 0)
    rows, person = groups.rows, columns.person[groups.rows]
    back = limits.shared_device_hours * _HOUR_S
    low, high = groups.low(back), groups.high()
    order = np.lexsort((groups.at, person, groups.group))
    apart = (np.diff(groups.group[order], prepend=-1) != 0) | (np.diff(person[order], prepend=-1) != 0)
    own = Groups(order, np.cumsum(apart, dtype=np.int64), groups.at[order])
    mine = np.empty(len(rows), dtype=np.int64)
    mine[order] = own.high() - own.low(back)
    others = (high - low) - mine
    at = np.flatnonzero(others > 0)
    figures = {
        "others": others[at].astype(float),
        "hours": np.full(len(at), float(limits.shared_device_hours)),
    }
    return Found(Code.SHARED_DEVICE, rows[at], rows, low[at], high[at], figures)


def new_device(columns: Columns, limits: Limits) -> Found:
    """Find check-ins soon after another key was enrolled in place of the old one."""
    hours = (columns.latest_s - columns.device_since_s) / _HOUR_S
    rows = np.flatnonzero((hours >= 0) & (hours < limits.new_device_hours))
    none = np.zeros(len(rows), dtype=np.int64)
    return Found(Code.NEW_DEVICE, rows, rows, none, none, {"hours": hours[rows]})
