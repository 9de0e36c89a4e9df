"""The policy of plausibility: points, caps, thresholds and limits, as one validated and versioned document.

The defaults are security.md's proposal, section 4. A policy can weigh a signal anew or silence it with 0 points; it
cannot make one reject anything, for there is nothing here that rejects. One signal alone must stay below the review
unless the document names it in `alone`, so that nobody is called to account for a single unusual thing by oversight.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Final, TypeVar

from server.checkins.plausibility.signals import FAMILIES, Code, Family
from server.month.reading import PolicyRefused, Reader

Key = TypeVar("Key", Code, Family)

POINTS: Final[dict[Code, int]] = {
    Code.MOCKED: 60,
    Code.SAME_POINT: 30,
    Code.POINT_OF_SEVERAL: 40,
    Code.ZERO_SCATTER: 20,
    Code.SAME_ALTITUDE: 20,
    Code.CONSTANT_ACCURACY: 15,
    Code.ZERO_ACCURACY: 10,
    Code.FEW_DECIMALS: 20,
    Code.ODD_PROVIDER: 10,
    Code.STALE_FIX: 10,
    Code.FAST: 30,
    Code.IMPOSSIBLE: 50,
    Code.SHARED_DEVICE: 40,
    Code.SHARED_FIX: 40,
    Code.NEW_DEVICE: 15,
    Code.CLOCK_SKEW: 10,
    Code.FUTURE_FIX: 25,
    Code.OUTSIDE_INTERVAL: 25,
    Code.LATE: 10,
}
CAPS: Final[dict[Family, int]] = {
    Family.DEVICE: 60,
    Family.QUALITY: 40,
    Family.MOVEMENT: 50,
    Family.IDENTITY: 50,
    Family.TIME: 25,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on each thing is noticed. The suffix is the unit; a day is a local one."""

    window_days: int = 30  # How far back repetitions are looked for.
    chance_at_most: float = (
        1e-6  # A coincidence counts only if honest fixes bring it less often, in one window.
    )
    scatter_share: float = 0.5  # Fixes are taken to scatter by this share of what their accuracy says,
    least_scatter_m: float = 1.0  # and by this at least.
    taps_a_day: int = 2  # Check-ins a day that a coincidence may be picked from.
    people_a_spot: int = 10  # People who may stand at one spot, for the same reason.
    same_fix_s: int = 120  # Fixes of one point closer than this are one cached fix.
    listed_from_m: float = (
        10.0  # Positions looked up in a list of towers or Wi-Fi points are no better than this.
    )
    same_point_days: int = 3
    shared_fix_days: int = 2
    zero_scatter_days: int = 10
    same_altitude_days: int = 5
    constant_accuracy_days: int = 5
    few_decimals: int = 4
    stale_s: int = 120
    future_s: int = 300
    skew_s: int = 300
    late_hours: int = 72
    shared_device_hours: int = 24
    new_device_hours: int = 24
    movement_hours: int = 24
    fast_kmh: float = 150.0
    fast_from_km: float = 20.0
    impossible_kmh: float = 900.0
    habit_people: int = 5  # What so many others of a client do,
    habit_share: float = 0.3  # and this share of them, is the client's habit and tells nothing of a person.


_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "window_days": (7, 92),
    "chance_at_most": (1e-15, 1e-2),
    "scatter_share": (0.05, 1.0),
    "least_scatter_m": (0.1, 50.0),
    "taps_a_day": (1, 24),
    "people_a_spot": (2, 1000),
    "same_fix_s": (1, 86_400),
    "listed_from_m": (1.0, 500.0),
    "same_point_days": (2, 92),
    "shared_fix_days": (1, 92),
    "zero_scatter_days": (3, 92),
    "same_altitude_days": (3, 92),
    "constant_accuracy_days": (2, 92),
    "few_decimals": (0, 6),
    "stale_s": (1, 86_400),
    "future_s": (60, 86_400),
    "skew_s": (60, 86_400),
    "late_hours": (1, 720),
    "shared_device_hours": (1, 720),
    "new_device_hours": (1, 720),
    "movement_hours": (1, 48),
    "fast_kmh": (60.0, 900.0),
    "fast_from_km": (1.0, 1000.0),
    "impossible_kmh": (300.0, 5000.0),
    "habit_people": (2, 1000),
    "habit_share": (0.05, 1.0),
}
_MOST_POINTS = 100
_RULES = 1
"""Part of every version; to be raised with each change of the rules themselves, which no document tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """How signals are weighed: points add up, capped by family; from `sampled_from` a share is drawn, from `reviewed_from` all.

    Make one by `parse`, which checks; the defaults are sound (held by a test).
    """

    label: str = "default"
    points: Mapping[Code, int] = field(default_factory=POINTS.copy)
    caps: Mapping[Family, int] = field(default_factory=CAPS.copy)
    alone: frozenset[Code] = frozenset({Code.MOCKED})
    sampled_from: int = 30
    reviewed_from: int = 60
    sampled_percent: int = 20
    limits: Limits = field(default_factory=Limits)

    @property
    def version(self) -> str:
        """Return the label with a digest of everything: nothing changes without another version."""
        text = json.dumps([_RULES, to_document(self)], sort_keys=True, ensure_ascii=False)
        return f"{self.label}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def to_document(policy: TrustPolicy) -> dict[str, object]:
    """Write a policy as a plain document; `parse` gives the same policy back."""
    return {
        "label": policy.label,
        "points": {code.value: policy.points[code] for code in Code},
        "caps": {family.value: policy.caps[family] for family in Family},
        "alone": sorted(code.value for code in policy.alone),
        "sampled_from": policy.sampled_from,
        "reviewed_from": policy.reviewed_from,
        "sampled_percent": policy.sampled_percent,
        "limits": asdict(policy.limits),
    }


def parse(document: Mapping[str, object]) -> TrustPolicy:
    """Read a policy; what is missing keeps its default. Raises PolicyRefused with every fault found."""
    usual = TrustPolicy()
    reader = Reader(document)
    reader.only(frozenset(each.name for each in fields(TrustPolicy)))
    values: dict[str, object] = {}
    reader.into(values, "label", reader.code("label"))
    for name, (low, high) in {
        "sampled_from": (1, _MOST_POINTS),
        "reviewed_from": (1, 3 * _MOST_POINTS),
        "sampled_percent": (0, 100),
    }.items():
        reader.into(values, name, reader.integer(name, low, high))
    policy = replace(
        usual,
        points={**usual.points, **_table(reader, "points", {code.value: code for code in Code})},
        caps={**usual.caps, **_table(reader, "caps", {family.value: family for family in Family})},
        alone=_alone(reader, usual.alone),
        limits=_limits(reader, usual.limits),
        **values,  # type: ignore[arg-type]  # Each was read by its type above.
    )
    if not reader.faults:
        _fits(policy, reader)
    if reader.faults:
        raise PolicyRefused(tuple(reader.faults))
    return policy


def _table(reader: Reader, path: str, keys: Mapping[str, Key]) -> dict[Key, int]:
    inner = reader.inner(path)
    if inner is None:
        return {}
    inner.only(frozenset(keys))
    read = {key: inner.integer(name, 0, _MOST_POINTS) for name, key in keys.items()}
    return {key: value for key, value in read.items() if value is not None}


def _alone(reader: Reader, usual: frozenset[Code]) -> frozenset[Code]:
    given = reader.document.get("alone", sorted(usual))
    if isinstance(given, list) and all(isinstance(each, str) and each in set(Code) for each in given):
        return frozenset(Code(each) for each in given)
    reader.fault("alone", "unknown-choice", "应为信号代码的列表。", "This must be a list of signal codes.")
    return usual


def _limits(reader: Reader, usual: Limits) -> Limits:
    inner = reader.inner("limits")
    if inner is None:
        return usual
    inner.only(frozenset(_BOUNDS))
    values: dict[str, object] = {}
    for name, (low, high) in _BOUNDS.items():
        whole = isinstance(low, int)
        read = inner.integer(name, int(low), int(high)) if whole else inner.number(name, low, high)
        inner.into(values, name, read)
    return replace(usual, **values)  # type: ignore[arg-type]  # Each was read by its type above.


def _fits(policy: TrustPolicy, reader: Reader) -> None:
    """Note what is wrong between fields that are right each for itself."""
    if policy.sampled_from > policy.reviewed_from:
        reader.fault(
            "sampled_from",
            "above-review",
            "抽查起点不得高于必查起点。",
            "Sampling cannot begin above the review.",
        )
    limits = policy.limits
    if limits.fast_kmh > limits.impossible_kmh:
        reader.fault(
            "limits.fast_kmh",
            "above-impossible",
            "不得高于不可能的速度。",
            "This cannot lie above the impossible.",
        )
    for name in (each for each in _BOUNDS if each.endswith("_days") and each != "window_days"):
        if getattr(limits, name) > limits.window_days:
            reader.fault(
                f"limits.{name}",
                "above-window",
                "不得多于回看的天数。",
                "This cannot exceed the window's days.",
            )
    for code, family in FAMILIES.items():
        reaches = min(policy.points[code], policy.caps[family]) >= policy.reviewed_from
        if reaches and code not in policy.alone:
            reader.fault(
                f"points.{code.value}",
                "reaches-review-alone",
                "单独一项即达必查线,须在 alone 中写明。",
                "This reaches the review alone, which `alone` must say.",
            )
