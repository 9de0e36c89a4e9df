"""Check-ins for the tests of plausibility: ordinary ones, of which each test changes what it is about."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from server.checkins.plausibility import scoring
from server.checkins.plausibility.facts import Allowance, Platform, Sighting, in_columns
from server.checkins.plausibility.habits import Custom
from server.checkins.plausibility.policy import TrustPolicy
from server.checkins.plausibility.scoring import Assessment
from server.checkins.plausibility.signals import Code, Signal

MORNING = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # 09:00 in China.
LON_E7, LAT_E7 = 1_062_345_671, 289_123_459
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def person(number: int) -> UUID:
    return UUID(int=1000 + number)


def tap(
    number: int, *, who: int = 0, at: datetime | None = None, age_s: float = 2.0, **more: Any
) -> Sighting:
    """Make an ordinary check-in of day `number`: all that could repeat differs from every other number's."""
    noise = random.Random(number * 7919 + who)
    tapped = MORNING + number * DAY + noise.uniform(0, 600) * timedelta(seconds=1) if at is None else at
    usual: dict[str, Any] = {
        "id": UUID(int=(who << 64) + number + 1),
        "person": person(who),
        "earliest": tapped,
        "latest": tapped,
        "received_at": tapped + timedelta(seconds=1),
        "claimed_at": tapped,
        "clock_off_s": 0.5,
        "lon_e7": LON_E7 + 10 * noise.randrange(-2000, 2000) + 1 + who,
        "lat_e7": LAT_E7 + 10 * noise.randrange(-2000, 2000) + 2,
        "accuracy_m": round(noise.uniform(4, 9), 3),
        "age_s": age_s,
        "altitude_cm": 31_000 + 10 * noise.randrange(0, 400) + 1 + number % 9,
        "provider": "gps",
        "mocked": False,
        "client": "phone/1",
        "platform": Platform.ANDROID,
        "device": f"key-{who}",
    }
    return Sighting(**{**usual, **more})


def assessed(
    taps: Sequence[Sighting],
    *,
    policy: TrustPolicy | None = None,
    known: Mapping[str, Custom] | None = None,
    allowances: Sequence[Allowance] = (),
) -> dict[UUID, Assessment]:
    every = scoring.assess(
        in_columns(taps), known=known or {}, policy=policy or TrustPolicy(), allowances=allowances
    )
    return {each.check_in: each for each in every}


def codes(taps: Sequence[Sighting], **more: Any) -> set[Code]:
    """Return the signals of the last of the taps."""
    return {signal.code for signal in assessed(taps, **more)[taps[-1].id].signals}


def signal(taps: Sequence[Sighting], code: Code, **more: Any) -> Signal:
    """Return one signal of the last of the taps."""
    (found,) = [each for each in assessed(taps, **more)[taps[-1].id].signals if each.code is code]
    return found
