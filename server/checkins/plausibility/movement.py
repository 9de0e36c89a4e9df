"""Speed between check-ins of one person: the least distance over the longest time that their evidence allows.

Positions belong to the instants of their fixes, not of the taps, so a cached fix from home makes nobody fly. Both
accuracies are taken off the distance (edge 69), and the time is that between the farthest ends of the two intervals.
"""

import numpy as np

from geo.datum import FloatArray
from geo.sphere import distances_m
from server.checkins.plausibility.facts import Columns, IntArray
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.signals import Code, Found
from server.checkins.plausibility.windows import Groups, grouped

_E7 = 1e-7
_KMH = 3.6
_LEAST_S = 1.0
"""Shorter than this no two readings of a clock can be told apart."""


def found(columns: Columns, limits: Limits) -> list[Found]:
    """Return the rows that another of the same person, earlier and within the hours, would take too much speed to reach.

    Every pair within the hours is looked at, not neighbours alone: a check-in in between hides nothing.
    """
    age = np.clip(columns.age_s, 0.0, None)
    known = columns.placed & np.isfinite(age) & np.isfinite(columns.latest_s)
    fixed = np.where(known, columns.latest_s - age, 0.0)
    groups = grouped([columns.person], fixed, known)
    rows, low = groups.rows, groups.low(limits.movement_hours * 3600)
    best = np.zeros(len(rows))
    partner = np.full(len(rows), -1, dtype=np.int64)
    length, lasting = np.zeros(len(rows)), np.zeros(len(rows))
    later = _travelled(columns, groups, limits)
    back = 1
    while True:
        later = later[later - back >= low[later]]
        if not len(later):
            break
        earlier = later - back
        distance, time = _apart(columns, rows[later], rows[earlier])
        speed = np.where(distance > limits.fast_from_km * 1000, distance / time * _KMH, 0.0)
        better = speed > best[later]
        at = later[better]
        best[at], partner[at] = speed[better], earlier[better]
        length[at], lasting[at] = distance[better], time[better]
        back += 1
    tiers = (
        (Code.IMPOSSIBLE, best > limits.impossible_kmh),
        (Code.FAST, (best > limits.fast_kmh) & (best <= limits.impossible_kmh)),
    )
    results = []
    for code, flagged in tiers:
        at = np.flatnonzero(flagged)
        # Signals outlive the coordinates (ruling 22): what they keep of a distance is whole kilometres.
        km, hours = np.floor(length[at] / 1000), lasting[at] / 3600
        figures = {"km": km, "minutes": hours * 60, "kmh": km / hours}
        results.append(Found(code, rows[at], rows, partner[at], partner[at] + 1, figures))
    return results


def _travelled(columns: Columns, groups: Groups, limits: Limits) -> IntArray:
    """Return the positions of people who were ever as far from themselves as a speed asks; all others need no look.

    Most people never are, nor is a phone in a loop, whose thousands of taps would make millions of pairs.
    """
    if not len(groups.rows):
        return groups.rows
    starts = groups.starts()
    begins = np.flatnonzero(starts)
    lon, lat = columns.lon[groups.rows], columns.lat[groups.rows]
    low, high = np.minimum.reduceat, np.maximum.reduceat
    diagonal = distances_m(low(lon, begins), low(lat, begins), high(lon, begins), high(lat, begins))
    # Half of it, for on a sphere the southern side of a box can be longer than its diagonal.
    wide = diagonal > limits.fast_from_km * 1000 / 2
    return np.flatnonzero(wide[np.cumsum(starts) - 1])


def _apart(columns: Columns, one: IntArray, other: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the least distance in metres and the longest time in seconds between fixes."""
    places = (
        columns.wgs_lon_e7[one],
        columns.wgs_lat_e7[one],
        columns.wgs_lon_e7[other],
        columns.wgs_lat_e7[other],
    )
    distance = distances_m(*(np.asarray(each * _E7, dtype=np.float64) for each in places))
    for rows in (one, other):
        accuracy = columns.accuracy_m[rows]
        distance = distance - np.where(accuracy > 0, accuracy, 0.0)
    age_one, age_other = (np.clip(columns.age_s[rows], 0.0, None) for rows in (one, other))
    ahead = (columns.latest_s[one] - age_one) - (columns.earliest_s[other] - age_other)
    behind = (columns.latest_s[other] - age_other) - (columns.earliest_s[one] - age_one)
    return distance, np.maximum(np.maximum(ahead, behind), _LEAST_S)
