"""When a check-in was made: the interval that encloses the tap, and what it rests on (edges 54 to 62, security.md S4).

Three clocks speak. The server's is the measure: it signed the anchor at one instant and received the check-in at another.
The phone's running clock (since its start, sleep included) cannot be set, and is comparable within one boot. The phone's
wall clock can be set by anybody and is asked last. Pure; instants are aware, in UTC; running clocks are in milliseconds.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

CLOCK_TOLERANCE: Final = timedelta(minutes=2)
"""Below this difference the phone's clock decides (edge 62), above it the server corrects it (edges 54, 56)."""
SKEW_LIMIT: Final = timedelta(minutes=5)
"""A wall clock that is further off decides no day by itself (security.md S4: 0 wrong days up to it, then review)."""
DELIVERY: Final = CLOCK_TOLERANCE
"""The longest that a sending takes, from the reading of `sent_at` to the server: phones give up after 15 s (guide, 9)."""
DRIFT_PPM: Final = 500
"""How far a running clock may err, in millionths. Crystals of phones stay within 20 to 50; 500 is the most by which a
kernel speeds up or slows down a clock that it disciplines (RFC 5905, MAXFREQ). Three days make 130 s of it."""
LATE_AFTER: Final = timedelta(minutes=10)
"""A check-in that comes later than this after its tap was not made online."""
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before this no check-in was made; a phone that says so has lost its clock between the tap and the sending."""
_MILLION: Final = 10**6
_GRAIN_MS: Final = 1
"""Readings of a running clock are cut off to whole milliseconds,"""
_GRAIN: Final = timedelta(seconds=1)
"""and some phones cut those of the wall clock off to whole seconds."""


class TimeBasis(StrEnum):
    """What the interval rests on."""

    PHONE = "phone"  # The wall clock, which agreed with ours when the check-in was sent.
    CORRECTED = "corrected"  # The wall clock was off, and received - sent puts it right (ruling 11).
    RUNNING = "running-clock"  # How long the tap waited, by the running clock.
    ANCHOR = "anchor"  # How long after the anchor the tap was, by the running clock.
    RESTARTED = "restarted"  # The phone was restarted: between the last anchor and the arrival (edge 59).
    CONTRADICTED = "contradicted"  # The clocks contradict each other.


class Doubt(StrEnum):
    """Why the time needs a look; the check-in counts provisionally."""

    DAY = "day"  # The interval touches two days.
    CLOCK = "clock"  # Late, and nothing but a wall clock that was off by more than the limit.
    CONTRADICTION = "contradiction"


class Reading(NamedTuple):
    """A reading of a phone's running clock, in milliseconds since the start that `boot` names (a digest)."""

    boot: bytes
    ms: int


@dataclass(frozen=True, slots=True)
class Anchored:
    """An anchor: the server's instant between two readings of one boot. `got_ms` is the phone's word alone."""

    at: datetime
    asked: Reading
    got_ms: int


@dataclass(frozen=True, slots=True)
class Running:
    """The readings that belong to a check-in: at the tap, at this sending (None: not given), and the last anchor before it.

    `spoiled`: an anchor was given that is not to be used (not ours, somebody else's, later than its use).
    """

    tapped: Reading
    sent: Reading | None = None
    anchor: Anchored | None = None
    spoiled: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """When a check-in was made, by the server's clock: certainly between `earliest` and `latest`, taken as `event_at`.

    `claimed_at` is what the phone's wall clock says, corrected; None when it says nothing that could be.
    """

    event_at: datetime
    clock_off: timedelta  # The phone's wall clock minus the server's; includes the way through the network.
    earliest: datetime
    latest: datetime
    basis: TimeBasis
    claimed_at: datetime | None = None
    running: Running | None = None

    @property
    def anchored(self) -> bool:
        """Tell whether an anchor of ours bounds it and nothing contradicts that."""
        used = self.running is not None and self.running.anchor is not None
        return used and self.basis is not TimeBasis.CONTRADICTED


def widened(placed: Timing, earlier: timedelta, later: timedelta) -> Timing:
    """Return a timing for a server whose own clock may be ahead by `earlier` or behind by `later` (it was set)."""
    return replace(placed, earliest=placed.earliest - earlier, latest=placed.latest + later)


def timing(
    captured_at: datetime, sent_at: datetime, received_at: datetime, running: Running | None = None
) -> Timing:
    """Place the tap on the server's clock.

    Without `running` (browsers and mini-programs have no such clock, ruling 23) by the wall clock: `captured_at` and
    `sent_at` are readings of the same one, so their difference is right even when it is wrong (ruling 11). The result
    never lies after `received_at`. Raises OverflowError where only a wall clock speaks and places the tap before 2000,
    and for readings outside the calendar.
    """
    # A reading that has no year in UTC could be stored, but never read again.
    captured_at, sent_at, received_at = (each.astimezone(UTC) for each in (captured_at, sent_at, received_at))
    waited = max(sent_at - captured_at, timedelta(0))
    span = None if running is None else _enclosed(running, received_at)
    readable = waited <= received_at - EARLIEST
    if span is None and not readable:
        raise OverflowError(captured_at)
    wall = _by_wall(captured_at, sent_at, received_at, waited if readable else timedelta(0))
    if span is None:
        return wall if running is None else replace(wall, claimed_at=wall.event_at, running=running)
    basis, earliest, latest = span
    if earliest is None or latest is None:
        if not readable:
            raise OverflowError(captured_at)
        earliest, latest = wall.earliest, wall.latest
    claimed = wall.event_at if readable else None
    return replace(
        wall,
        # The wall clock's instant where it is possible, else the nearest that is.
        event_at=latest if claimed is None else min(max(claimed, earliest), latest),
        earliest=earliest,
        latest=latest,
        basis=basis,
        claimed_at=claimed,
        running=running,
    )


def _by_wall(captured_at: datetime, sent_at: datetime, received_at: datetime, waited: timedelta) -> Timing:
    """Place the tap by the phone's wall clock, taken to be off by the same all the time.

    The network makes a phone look slow, never fast: one that is ahead of us is corrected however little it is. One
    behind us by no more than the tolerance may be right, and its reading stands: a tap at 23:59:58 that arrives at
    00:00:05 belongs to the day it was made. The interval then touches both days.
    """
    off = sent_at - received_at
    latest = received_at - waited
    agreed = abs(off) <= CLOCK_TOLERANCE
    unsharp = waited * (DRIFT_PPM / _MILLION) + _GRAIN
    return Timing(
        event_at=min(captured_at, latest) if agreed else latest,
        clock_off=off,
        earliest=latest - DELIVERY - unsharp,
        latest=min(latest + unsharp, received_at),
        basis=TimeBasis.PHONE if agreed else TimeBasis.CORRECTED,
    )


_Between = tuple[datetime, datetime]
_Span = tuple[TimeBasis, datetime | None, datetime | None]


def _enclosed(running: Running, received_at: datetime) -> _Span | None:
    """Return what the running clock and the anchor enclose; None when they say nothing.

    Without instants: the readings contradict each other, and only the wall clock is left.
    """
    tapped, sent, anchor = running.tapped, running.sent, running.anchor
    since = None if sent is None or sent.boot != tapped.boot else _before_arrival(tapped, sent, received_at)
    if anchor is None:
        if since is None:
            return None
        return (TimeBasis.RUNNING, *since) if since[0] <= since[1] else (TimeBasis.CONTRADICTED, None, None)
    if anchor.at > received_at:  # Our own clock was set back in between.
        return TimeBasis.CONTRADICTED, None, None
    same_boot = anchor.asked.boot == tapped.boot
    if same_boot:
        basis, within = TimeBasis.ANCHOR, _after_anchor(anchor, tapped)
    else:  # Only the order is known (edge 59), and how long the tap waited, if it is of this boot.
        basis, within = TimeBasis.RESTARTED, (anchor.at, received_at)
    if since is not None:
        if since[0] > min(
            within[1], since[1]
        ):  # The running clock stood still somewhere, or did not start where it is said to.
            return TimeBasis.CONTRADICTED, anchor.at, received_at
        if (
            same_boot
        ):  # From an anchor on nothing but drift counts; before the arrival, a delivery of unknown length.
            within = within[0], min(within[1], since[1])
        else:
            basis, within = TimeBasis.RUNNING, (max(within[0], since[0]), since[1])
    within = within[0], min(within[1], received_at)
    if within[0] > within[1]:
        # Certain is, whatever a phone says: not before an anchor that it had, not after the arrival.
        return TimeBasis.CONTRADICTED, anchor.at, received_at
    return basis, *within


def _after_anchor(anchor: Anchored, tapped: Reading) -> _Between:
    """Add the running time since the anchor: the server looked at its clock somewhere between asking and getting.

    The first is after the second for readings that cannot be: a tap before its anchor, an answer before its question.
    """
    if not anchor.asked.ms <= anchor.got_ms <= tapped.ms:
        return anchor.at + timedelta(microseconds=1), anchor.at
    return anchor.at + _least(tapped.ms - anchor.got_ms), anchor.at + _most(tapped.ms - anchor.asked.ms)


def _before_arrival(tapped: Reading, sent: Reading, received_at: datetime) -> _Between:
    """Take away the running time since the tap, and the delivery; in the wrong order for readings that cannot be."""
    if tapped.ms > sent.ms:
        return received_at, received_at - timedelta(microseconds=1)
    ran = sent.ms - tapped.ms
    return received_at - DELIVERY - _most(ran), received_at - _least(ran)


def _least(ran_ms: int) -> timedelta:
    """Return the shortest time in which a running clock goes on by so much."""
    return timedelta(microseconds=max(0, (ran_ms - _GRAIN_MS) * (_MILLION - DRIFT_PPM) // 1000))


def _most(ran_ms: int) -> timedelta:
    """Return the longest time in which a running clock goes on by so much."""
    return timedelta(microseconds=(ran_ms + _GRAIN_MS) * (_MILLION + DRIFT_PPM) // 1000 + 1)
