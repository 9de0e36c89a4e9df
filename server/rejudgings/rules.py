"""What judging again would do, in figures that a person can compare. Pure: no I/O, no framework."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from hashlib import sha256
from uuid import UUID


class DayState(StrEnum):
    """What a day's check-ins say of it, before anybody decides and whatever else is known of the day."""

    COUNTED = "counted"  # A sure one inside the village.
    UNSURE = "unsure"  # Counts until somebody looks at it.
    NO_FENCE = "no_fence"  # Counts, because the village had no boundary.
    CLAIMED = "claimed"  # Waits for a reviewer.
    OUTSIDE = "outside"  # Only outside, or in town.
    NONE = "none"  # Nothing that says anything.


class Resolution(StrEnum):
    """What became of a proposal."""

    APPROVED = "approved"
    DROPPED = "dropped"


_BY_MASK = (
    ("sure", DayState.COUNTED),
    ("unsure", DayState.UNSURE),
    ("unfenced", DayState.NO_FENCE),
    ("claimed", DayState.CLAIMED),
    ("outside", DayState.OUTSIDE),
)


def day_state(said: dict[str, bool]) -> DayState:
    """Return what the day's masks (server.checkins.storing.MASKS) come to: the best that any check-in of it says."""
    return next((state for name, state in _BY_MASK if said[name]), DayState.NONE)


def digest(changes: Iterable[tuple[UUID, UUID, date, str, str]]) -> str:
    """Return what a set of changes is known by: (person, check-in, day, verdict before, verdict after), in any order.

    SHA-256 in hexadecimal. Two people mean the same proposal only if nothing about it differs.
    """
    lines = sorted(" ".join(map(str, change)) for change in changes)
    return sha256("\n".join(lines).encode()).hexdigest()
