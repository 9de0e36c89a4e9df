"""The datum sentinel: a whole version of a client that moved by the offset of GCJ-02 or BD-09 (edge 40).

A vendor's update that silently changes the datum puts every village office 482 m from where it was, and makes a whole
district look absent. What moves together, by just that vector, and only with one client, is the client and not its
people: the operator is alarmed, and `outside` by that cause is to be held as unsure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo.datum import FloatArray, Position
from geo.plane import Plane
from server.checkins.plausibility.facts import DAY_S, BoolArray, Columns
from server.checkins.plausibility.shifts import Shift, undone
from server.checkins.plausibility.windows import day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelLimits:
    """When people count as moved, and when a client does."""

    before_days: int = 30
    recent_days: int = 3
    near_m: float = 60.0  # Within this of where somebody was before is the same spot.
    fixes_before: int = 3
    people: int = 3
    share: float = 0.3  # Not all stand where they stood before, and not all have updated.
    by_chance: float = 0.05  # Honest people whom a walk to another spot makes look so, a generous guess.
    chance_at_most: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftAlarm:
    """A client whose people moved together: `moved` of `people` by `shift`, at the earliest since `since_s`.

    `power` is log10 of the probability that so many look so by chance; `who` are their codes. After some days the
    shifted places are what was before, so an alarm that was raised stands until the operator closes it.
    """

    client: int
    shift: Shift
    people: int
    moved: int
    power: float
    since_s: float
    who: tuple[int, ...]


def alarms(columns: Columns, *, now_s: float, limits: SentinelLimits | None = None) -> list[ShiftAlarm]:
    """Return the clients whose people moved together within the recent days. `now_s` is an instant in seconds.

    Somebody counts as moved by a shift whose newest fix with the client is nowhere near those of the days before (from
    whatever client), and is near one of them once the shift is undone. Several spots of one person are no matter.
    """
    limits = limits or SentinelLimits()
    recent, before = _recent(columns, now_s, limits)
    former = _by_person(columns, before, limits.fixes_before)
    results = []
    for client in np.unique(columns.client[recent]):
        latest = _newest(columns, recent & (columns.client == client))
        both = sorted(former.keys() & latest.keys())
        away = [person for person in both if not _near(latest[person], former[person], limits.near_m)]
        for shift in Shift:
            who = [
                person
                for person in away
                if _near(
                    undone(shift, lon=latest[person].lon, lat=latest[person].lat),
                    former[person],
                    limits.near_m,
                )
            ]
            power = _log10_tail(len(who), len(both), limits.by_chance)
            enough = len(who) >= max(limits.people, limits.share * len(both))
            if enough and power <= math.log10(limits.chance_at_most):
                results.append(
                    ShiftAlarm(
                        client=int(client),
                        shift=shift,
                        people=len(both),
                        moved=len(who),
                        power=power,
                        since_s=now_s - limits.recent_days * DAY_S,
                        who=tuple(who),
                    )
                )
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A check-in of a client that moved, with the place where its phone stood if it moved with it.

    Where the verdict is `outside` and this place would count, the verdict is held as unsure.
    """

    row: int
    shift: Shift
    place: Position


def held(columns: Columns, found: Sequence[ShiftAlarm]) -> list[Held]:
    """Return the check-ins of the clients that moved, since they did, each to be judged again at `place`."""
    lon, lat = columns.lon, columns.lat
    return [
        Held(
            row=int(row),
            shift=alarm.shift,
            place=undone(alarm.shift, lon=float(lon[row]), lat=float(lat[row])),
        )
        for alarm in found
        for row in np.flatnonzero(
            columns.placed & (columns.client == alarm.client) & (columns.latest_s >= alarm.since_s)
        )
    ]


def _recent(columns: Columns, now_s: float, limits: SentinelLimits) -> tuple[BoolArray, BoolArray]:
    """Return the check-ins of the recent days and of the days before them."""
    age = day_of(np.array([now_s]))[0] - day_of(columns.latest_s)
    recent = columns.placed & (age >= 0) & (age < limits.recent_days)
    before = columns.placed & (age >= limits.recent_days) & (age < limits.recent_days + limits.before_days)
    return recent & (columns.client >= 0), before


def _by_person(columns: Columns, chosen: BoolArray, at_least: int) -> dict[int, FloatArray]:
    """Return the positions of each person with enough of them: (n, 2) degrees."""
    rows, lon, lat = np.flatnonzero(chosen), columns.lon, columns.lat
    rows = rows[np.argsort(columns.person[rows], kind="stable")]
    begins = np.flatnonzero(np.diff(columns.person[rows], prepend=-1) != 0)
    parts = np.split(rows, begins[1:]) if len(rows) else []
    return {
        int(columns.person[part[0]]): np.column_stack((lon[part], lat[part]))
        for part in parts
        if len(part) >= at_least
    }


def _newest(columns: Columns, chosen: BoolArray) -> dict[int, Position]:
    """Return the newest position of each person."""
    rows, lon, lat = np.flatnonzero(chosen), columns.lon, columns.lat
    rows = rows[np.argsort(columns.latest_s[rows], kind="stable")]
    return {int(columns.person[row]): Position(float(lon[row]), float(lat[row])) for row in rows}


def _near(at: Position, others: FloatArray, near_m: float) -> bool:
    """Return whether a position lies near any of the others."""
    plane = Plane(at.lon, at.lat)
    return bool(np.hypot(*plane.points(others).T).min() <= near_m)


def _log10_tail(k: int, n: int, p: float) -> float:
    """Give log10 of the probability that k or more of n people look so by chance, each with probability p."""
    if k == 0:
        return 0.0
    terms = [
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    ]
    top = max(terms)
    return min(0.0, (top + math.log(math.fsum(math.exp(term - top) for term in terms))) / math.log(10))
