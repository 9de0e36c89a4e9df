"""What holds of regions, zones and imports, without a database. Pure.

Region codes are the 12-digit statistical codes (统计用区划代码, the Bureau of Statistics' rules of 2009): two digits
each for province, city and district, three each for town and village, the unused tail filled with zeros. Of the last
three digits 001-199 and 400-499 are residents' committees (居委会), 200-399 and 500-599 villagers' committees (村委会).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from geo.faults import Fault, Severity

BEIJING = ZoneInfo("Asia/Shanghai")
CODE = re.compile(r"[0-9]{12}", re.ASCII)
CLASS = re.compile(r"[12][0-9]{2}", re.ASCII)
_LEVELS = (2, 4, 6, 9, 12)
_FIRST_VILLAGE_CODE, _LAST_VILLAGE_CODE = 200, 399
_FIRST_VILLAGE_LIKE_CODE, _LAST_VILLAGE_LIKE_CODE = 500, 599


class RegionKind(StrEnum):
    """The kinds of region the register holds."""

    PROVINCE = "province"  # 省、直辖市
    CITY = "city"  # 地级市
    DISTRICT = "district"  # 区、县
    TOWN = "town"  # 镇、乡
    STREET = "street"  # 街道
    VILLAGE = "village"  # 村
    COMMUNITY = "community"  # 社区


class ImportState(StrEnum):
    """The life of a boundary import: open until one person publishes or rejects it."""

    OPEN = "open"
    PUBLISHED = "published"
    REJECTED = "rejected"


class Source(StrEnum):
    """Where an import's shapes come from."""

    FILE = "file"
    CIRCLE = "circle"  # A point with a radius (edge 50).
    ENDING = "ending"  # No shape: zones that are to end.


def significant(code: str) -> str:
    """Return the code without its tail of zeros, cut at a level: ``500116101000`` gives ``500116101``.

    This is the prefix under which everything inside the region lies.
    """
    for length in _LEVELS:
        if not code[length:].strip("0"):
            return code[:length]
    return code


def parent_of(code: str) -> str | None:
    """Return the 12-digit code one level up, None above a province."""
    own = significant(code)
    above = [length for length in _LEVELS if length < len(own)]
    return own[: above[-1]].ljust(12, "0") if above else None


def kind_of(code: str, name: str) -> RegionKind:
    """Return the kind that the code's digits tell; a town is a street (街道) when its name says so."""
    level = len(significant(code))
    if level == _LEVELS[-1]:
        number = int(code[9:])
        village = (
            _FIRST_VILLAGE_CODE <= number <= _LAST_VILLAGE_CODE
            or _FIRST_VILLAGE_LIKE_CODE <= number <= _LAST_VILLAGE_LIKE_CODE
        )
        return RegionKind.VILLAGE if village else RegionKind.COMMUNITY
    if level == _LEVELS[-2]:
        return RegionKind.STREET if name.endswith(("街道", "街道办事处")) else RegionKind.TOWN
    return {2: RegionKind.PROVINCE, 4: RegionKind.CITY, 6: RegionKind.DISTRICT}[level]


def midnight(day: date) -> datetime:
    """Return the instant at which the day begins in Beijing."""
    return datetime.combine(day, time.min, BEIJING)


def today(instant: datetime) -> date:
    """Return the day in Beijing at the instant."""
    return instant.astimezone(BEIJING).date()


def standing(
    findings: Sequence[Fault], accepted: Mapping[int, frozenset[str]], features: Sequence[int]
) -> dict[int, tuple[Fault, ...]]:
    """Return what still stands in the way of each feature; an empty tuple means that it may be published.

    An ``error`` can never be accepted and blocks its own feature only; ``needs-human`` blocks until somebody accepted
    that code for that feature (edge 45). A finding at the whole file stands in the way of every feature.
    """
    blocking: dict[int, list[Fault]] = {index: [] for index in features}
    for finding in findings:
        if finding.severity not in {Severity.ERROR, Severity.NEEDS_HUMAN}:
            continue
        for index in features if finding.feature is None else (finding.feature,):
            settled = finding.severity is Severity.NEEDS_HUMAN and finding.code in accepted.get(
                index, frozenset()
            )
            if index in blocking and not settled:
                blocking[index].append(finding)
    return {index: tuple(found) for index, found in blocking.items()}
