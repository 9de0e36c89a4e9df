"""What a check-in means, apart from where it was: its instant, its commitment, and the sentence about the month.

Pure. Instants are aware; coordinates are integers of 1e-7 degree, so that what is hashed is exact (ruling 23).
"""

import hashlib
import hmac
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID


class Kind(StrEnum):
    """What a check-in says (ruling 7). For the daily tap all three show presence alike."""

    DAY = "day"
    ARRIVE = "arrive"
    LEAVE = "leave"


class NoPosition(StrEnum):
    """Why a phone could give no position (complaint 4 of field.md: "no location" must never block the day)."""

    DENIED = "denied"
    OFF = "off"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    NO_PHONE_SUPPORT = "unsupported"
    OTHER = "other"


class Standing(StrEnum):
    """What a check-in does to its day."""

    COUNTED = "counted"
    PROVISIONAL = "provisional"  # Counts unless a review decides otherwise.
    CLAIMED = "claimed"  # Kept, shown apart, waits for attestation.
    NOT_COUNTED = "not-counted"


CLOCK_TOLERANCE = timedelta(minutes=2)
"""Below this difference the phone's clock decides (edge 62), above it the server corrects it (edges 54, 56)."""


EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Before this no check-in was made; a phone that says so has lost its clock between the tap and the sending."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a check-in was made, by the server's clock."""

    event_at: datetime
    clock_off: timedelta  # The phone's clock minus the server's; includes the way through the network.
    corrected: bool
    from_the_future: bool


def timing(captured_at: datetime, sent_at: datetime, received_at: datetime) -> Timing:
    """Place the tap on the server's clock (ruling 11).

    `captured_at` and `sent_at` are readings of the same phone clock, so their difference is right even when the clock
    is wrong. A small difference to the server's clock is the network's, and the phone's reading stands: a tap at
    23:59:58 that arrives at 00:00:05 belongs to the day it was made. The result never lies after `received_at`.
    Raises OverflowError for readings that place the tap outside the calendar or before 2000.
    """
    # A reading that has no year in UTC could be stored, but never read again.
    captured_at, sent_at = captured_at.astimezone(UTC), sent_at.astimezone(UTC)
    off = sent_at - received_at
    waited = max(sent_at - captured_at, timedelta(0))
    corrected = abs(off) > CLOCK_TOLERANCE
    event = received_at - waited if corrected else captured_at
    if event < EARLIEST:
        raise OverflowError(event)
    return Timing(
        # In UTC as the database returns it, so that the first answer and a replay are the same bytes (edge 63).
        event_at=min(event, received_at).astimezone(UTC),
        clock_off=off,
        corrected=corrected,
        from_the_future=captured_at - received_at > CLOCK_TOLERANCE,
    )


DOUBLE_TAP = timedelta(minutes=2)
"""A check-in that comes sooner than this after another of its kind and day is its repetition (edge 66)."""


class Tap(NamedTuple):
    """When a check-in of one person was made, and what it says of which day."""

    event_at: datetime
    id: UUID
    kind: str
    day: date


def doubles(taps: Iterable[Tap]) -> dict[UUID, UUID]:
    """Return, for each repetition, the first of the check-ins of one person that it repeats.

    One pass over each day after sorting it: a phone in a loop makes thousands in a day.
    """
    alike: defaultdict[tuple[str, date], list[Tap]] = defaultdict(list)
    for tap in taps:
        alike[tap.kind, tap.day].append(tap)
    found: dict[UUID, UUID] = {}
    for each in alike.values():
        each.sort(key=attrgetter("event_at", "id"))
        first = 0
        for place, tap in enumerate(each):
            while each[first].event_at <= tap.event_at - DOUBLE_TAP:
                first += 1
            if first < place:
                found[tap.id] = each[first].id
    return found


@dataclass(frozen=True, slots=True)
class ExactPosition:
    """What the phone sent, as integers: degrees in 1e-7, altitude and speed in 0.01."""

    lon_e7: int
    lat_e7: int
    altitude_cm: int | None
    speed_cmps: int | None


_ABSENT = -(2**63)
_TAG = b"zaicun position 1\0"


def commitment(salt: bytes, position: ExactPosition) -> bytes:
    """Return the salted SHA-256 commitment to a position (32 bytes).

    Everything that is signed or chained later refers to this, so that forgetting the coordinates and the salt leaves
    the proof intact and nobody can find the place by trying (ruling 22).
    """
    packed = struct.pack(
        ">qqqq",
        position.lon_e7,
        position.lat_e7,
        _ABSENT if position.altitude_cm is None else position.altitude_cm,
        _ABSENT if position.speed_cmps is None else position.speed_cmps,
    )
    return hashlib.sha256(_TAG + len(salt).to_bytes(1, "big") + salt + packed).digest()


def content_hash(*parts: object) -> bytes:
    """Return SHA-256 over the parts in order, each with its length, so that no two lists of parts look the same."""
    digest = hashlib.sha256(b"zaicun content 1\0")
    for part in parts:
        text = b"\xff" if part is None else str(part).encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.digest()


def same_digest(one: bytes, other: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(one, other)


def standing(*, counts: bool, sure: bool, claimed: bool) -> Standing:
    """Return what a check-in does to its day."""
    if claimed:
        return Standing.CLAIMED
    if not counts:
        return Standing.NOT_COUNTED
    return Standing.COUNTED if sure else Standing.PROVISIONAL
