"""What a check-in means, apart from where it was: its instant, its commitment, and the sentence about the month.

Pure. Instants are aware; coordinates are integers of 1e-7 degree, so that what is hashed is exact (ruling 23).
"""

import hashlib
import hmac
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from geo.fix import Sentence


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


class EpochCause(StrEnum):
    """Why the chains of receipts began anew (ruling 26)."""

    FIRST = "first"
    RESTORED = "restored"  # By `zaicun restore`.
    OTHER = "other"  # An operator said so, after another way of bringing the database back.


class Cause(StrEnum):
    """Why a check-in was judged again."""

    ROSTER = "roster"
    BOUNDARY = "boundary"
    DATUM_SHIFT = "datum-shift"
    REVIEW = "review"
    APPEAL = "appeal"


class AlarmOutcome(StrEnum):
    """What an alarm turned out to be when it was closed."""

    CONFIRMED = "confirmed"  # The client was wrong: what was held stays unsure.
    DISMISSED = "dismissed"  # It was not: what was held is judged as it came.


HELD_REASON = "datum-shift"
"""The reason of a verdict that is held as unsure because the client's datum is in doubt (edge 40)."""
HELD = Sentence(
    "应用版本的坐标系可能有误，查明之前按位置不确定计（暂计）。",
    "The app's version may convert positions wrongly; until that is cleared up, the place counts as unsure.",
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
