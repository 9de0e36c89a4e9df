"""What holds of regions, zones and imports, without a database. Pure.

Region codes are the 12-digit statistical codes (统计用区划代码, the Bureau of Statistics' rules of 2009): two digits
each for province, city and district, three each for town and village, the unused tail filled with zeros. Of the last
three digits 001-199 and 400-499 are residents' committees (居委会), 200-399 and 500-599 villagers' committees (村委会).
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geo.faults import Severity
from geo.projections import geodesic

BEIJING = ZoneInfo("Asia/Shanghai")
CODE = re.compile(r"[0-9]{12}", re.ASCII)
_UNFIT = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
CLASS = re.compile(r"[12][0-9]{2}", re.ASCII)
WHOLE_FILE: Final = -1
"""Stands for the file as a whole where otherwise a feature's place stands."""
REPAIRS: Final = frozenset({"repair-proposed", "repair-needs-human"})
"""Findings that propose a repair; accepting one of them takes the repair."""
_KEPT_WHAT_WAS_READ: Final = frozenset({"file-breaks-off"})
_ATTEMPTS: Final = 8
_METRES_PER_DEGREE = 111_320.0  # Of latitude 45 and more; nearer the equator a degree has 0.6 % less.
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


def storable(text: str, most: int = 1_000_000) -> str:
    """Return a text from a file so that a database, XML and a reader can take it, at most so many characters long.

    NFC; control characters but for line ends and tabs, halves of surrogate pairs, and the marks that turn the writing
    direction of what follows become U+FFFD.
    """
    return _UNFIT.sub("\ufffd", unicodedata.normalize("NFC", text)[:most])


def storable_all(value: Any) -> Any:  # noqa: ANN401  Any JSON value is one.
    """Return a JSON value with every text in it made storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {key: storable_all(member) for key, member in value.items()}
    return [storable_all(member) for member in value] if isinstance(value, list | tuple) else value


def area_m2(shape: BaseGeometry) -> float:
    """Return the geodesic area on the WGS-84 ellipsoid in square metres, whatever the winding of the rings."""
    areas, _lengths = geodesic().geometry_area_perimeter(shapely.orient_polygons(shape))
    return abs(float(areas))


def simplified(shape: BaseGeometry, tolerance_m: float) -> BaseGeometry:
    """Return the shape with fewer vertices, none of its old ones farther than `tolerance_m` from the new border.

    Douglas and Peucker (1973), keeping the topology, in degrees stretched so that both axes count metres alike. WGS-84.
    """
    _west, south, _east, north = shape.bounds
    squeeze = math.cos(math.radians((south + north) / 2))
    allowed = tolerance_m / _METRES_PER_DEGREE

    def stretched(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points * (squeeze, 1.0)

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.round(points / (squeeze, 1.0), 6)

    flat = shapely.transform(shape, stretched)
    corners = shapely.points(shapely.get_coordinates(flat))
    fewer, asked = flat, allowed
    # Where a ring's own first vertex goes, GEOS may stray farther than asked for; then less is asked for.
    for _ in range(_ATTEMPTS):
        fewer = flat.simplify(asked, preserve_topology=True)
        strayed = float(shapely.distance(corners, fewer.boundary).max(initial=0.0))
        if strayed <= allowed:
            break
        asked /= 2
    else:
        fewer = flat
    return shapely.transform(fewer, back)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in an import. `features` are places in the file from 0; empty: the file as a whole.

    `mendable`: accepting the repair that is proposed for the feature settles it. `numbers` name their units.
    """

    code: str
    severity: Severity
    zh: str
    en: str
    features: tuple[int, ...] = ()
    mendable: bool = False
    lon: float | None = None
    lat: float | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data for JSON."""
        return {**asdict(self), "severity": self.severity.value, "features": list(self.features)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        own = {"severity": Severity(given["severity"]), "features": tuple(given["features"])}
        return cls(**{**given, **own})


def can_be_accepted(finding: Finding) -> bool:
    """Tell whether a person may let the finding pass: what needs a human, a proposed repair, a file that breaks off."""
    return (
        finding.severity is Severity.NEEDS_HUMAN
        or finding.code in REPAIRS
        or finding.code in _KEPT_WHAT_WAS_READ
    )


def is_mended(codes: frozenset[str]) -> bool:
    """Tell whether somebody accepted the proposed repair among what was accepted of a feature."""
    return bool(REPAIRS & codes)


def standing(
    findings: Iterable[Finding], accepted: Mapping[int, frozenset[str]], features: Sequence[int]
) -> dict[int, tuple[Finding, ...]]:
    """Return what still stands in the way of each feature; an empty tuple means that it may be published.

    An ``error`` blocks its own feature only, and only a proposed repair that somebody accepted settles it.
    ``needs-human`` blocks until somebody accepted that code for that feature (edge 45). What was found in the file as
    a whole stands in the way of every feature and is accepted under `WHOLE_FILE`.
    """
    blocking: dict[int, list[Finding]] = {index: [] for index in features}
    for finding in findings:
        if finding.severity not in {Severity.ERROR, Severity.NEEDS_HUMAN}:
            continue
        for index in finding.features or (WHOLE_FILE,):
            codes = accepted.get(index, frozenset())
            if (can_be_accepted(finding) and finding.code in codes) or (
                finding.mendable and is_mended(codes)
            ):
                continue
            for blocked in features if index == WHOLE_FILE else (index,):
                if blocked in blocking:
                    blocking[blocked].append(finding)
    return {index: tuple(found) for index, found in blocking.items()}
