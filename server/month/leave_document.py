"""The part of a policy's document that is about leave, read and written. Pure."""

from server.month.leave_policy import LeaveRules, LeaveTier, Level
from server.month.reading import Reader

_INTEGERS = {"silent_hours": (1, 720), "confirm_days": (0, 30), "minimum_present": (0, 20)}
_MOST_DAYS, _MOST_APPROVALS, _MOST_TIERS = 366, 5, 10


def read(whole: Reader) -> LeaveRules | None:
    """Read the object ``leave``; None when it is missing or has faults, which the reader has gathered."""
    inner = whole.inner("leave")
    if inner is None:
        return None
    inner.only(frozenset({*_INTEGERS, "joins_free_days", "tiers"}))
    values: dict[str, object] = {}
    for path, (low, high) in _INTEGERS.items():
        inner.into(values, path, inner.integer(path, low, high))
    inner.into(values, "joins_free_days", inner.flag("joins_free_days"))
    inner.into(values, "tiers", _tiers(inner))
    return LeaveRules(**values)  # type: ignore[arg-type]  # Every value was checked above, field by field.


def _tiers(inner: Reader) -> tuple[LeaveTier, ...] | None:
    given = inner.document.get("tiers")
    if given is None and "tiers" not in inner.document:
        return None
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_TIERS:
        inner.fault("tiers", "not-a-list", "应为 1 至 10 级的列表。", "This must be a list of 1 to 10 tiers.")
        return None
    before = len(inner.faults)
    keyed = Reader({str(place): tier for place, tier in enumerate(given)}, f"{inner.at}tiers.", inner.faults)
    read = [_tier(keyed, str(place)) for place in range(len(given))]
    if len(inner.faults) > before:
        return None
    tiers = tuple(tier for tier in read if tier is not None)
    try:
        LeaveRules(tiers=tiers)
    except ValueError as error:
        zh = "各级天数应递增，只有最后一级不设上限，天数多的不得由低一级批准。"
        inner.fault("tiers", "no-ladder", zh, str(error))
        return None
    return tiers


def _tier(tiers: Reader, place: str) -> LeaveTier | None:
    inner = tiers.inner(place)
    if inner is None:
        return None
    inner.only(frozenset({"up_to_days", "level", "approvals"}))
    level = inner.choice("level", Level)
    open_ended = inner.document.get("up_to_days") is None
    days = None if open_ended else inner.integer("up_to_days", 1, _MOST_DAYS)
    approvals = inner.integer("approvals", 1, _MOST_APPROVALS)
    if level is None or (days is None and not open_ended):
        return None
    return LeaveTier(days, level, 1 if approvals is None else approvals)


def write(rules: LeaveRules) -> dict[str, object]:
    """Write it as a plain document; `read` gives the same back."""
    return {
        "tiers": [
            {"up_to_days": tier.up_to_days, "level": tier.level.value, "approvals": tier.approvals}
            for tier in rules.tiers
        ],
        "joins_free_days": rules.joins_free_days,
        **{field: getattr(rules, field) for field in _INTEGERS},
    }
