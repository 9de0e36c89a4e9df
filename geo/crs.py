"""Reference systems of boundary files: which ones some values may be in. `geo.crs_decision` decides.

CGCS2000 is read as WGS-84 (EPSG:4490 to 4326 is a null transformation); its 3-degree zones are EPSG:4513-4533 with the
zone's number before the easting (zone 35: 35,500,000) and 4534-4554 without, its 6-degree zones 4491-4501 with. A zone
read as its neighbour lands 291 km away at Jiangjin (edge 43). Xi'an 80 and Beijing 54 have no public parameters (edge 44).
Coordinates are (n, 2) arrays, x east before y north, whatever axis order EPSG prescribes (pyproj `always_xy`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geo.datum import Datum

if TYPE_CHECKING:
    from pyproj import CRS

Coordinates = NDArray[np.float64]
ToWgs84 = Callable[[Coordinates], Coordinates]

WGS84, CGCS2000 = 4326, 4490
_THREE_DEGREE_PREFIXED, _THREE_DEGREE_PLAIN, _SIX_DEGREE_PREFIXED = 4513, 4534, 4491
_THREE_DEGREE_ZONES, _SIX_DEGREE_ZONES = range(25, 46), range(13, 24)
CHINA_NORTHINGS_M = (1_700_000.0, 6_100_000.0)  # Latitude 15.4 to 55 degrees.
_PLAIN_EASTINGS_M = (100_000.0, 900_000.0)
ZONE_M = 1_000_000.0
_CHINA_LON, _CHINA_LAT = (73.0, 136.0), (18.0, 54.0)  # Edge 38.
_MOST = 0.5
_NEAR_DEG = 0.05  # A file may reach some kilometres over its district's outline.


@dataclass(frozen=True, kw_only=True)
class CrsChoice:
    """What a person chose: an EPSG code, axes as they stand or swapped, and parameters for an old datum.

    `to_wgs84_parameters` are the seven of a position vector transformation (EPSG method 9606, PROJ +towgs84): dx, dy,
    dz in metres, rx, ry, rz in arc seconds, ds in parts per million; or the first three alone. `datum` says that degrees
    are in fact GCJ-02 or BD-09, as the quality report may suspect; they are then converted once, here.
    """

    epsg: int
    swapped: bool = False
    to_wgs84_parameters: tuple[float, ...] | None = None
    datum: Datum = Datum.WGS84


@dataclass(frozen=True, kw_only=True)
class CrsCandidate:
    """A system the values may be in. `fit` is the share of points inside the district; the box is in WGS-84 degrees."""

    epsg: int
    central_meridian_deg: float | None
    zone_prefix: bool
    swapped: bool
    fit: float | None
    box: tuple[float, float, float, float] | None

    def __str__(self) -> str:
        swapped = " (x/y swapped)" if self.swapped else ""
        share = "" if self.fit is None else f" {100 * self.fit:.0f}%"
        return f"EPSG:{self.epsg}{swapped}{share}"

    def to_dict(self) -> dict[str, object]:
        """Give plain data for JSON."""
        return dict(vars(self))


def looks_swapped(points: Coordinates) -> bool:
    """Tell latitude before longitude by China's pattern: most x in 18-54 and most y in 73-136."""
    x, y = points[:, 0], points[:, 1]
    fits = (x >= _CHINA_LAT[0]) & (x <= _CHINA_LAT[1]) & (y >= _CHINA_LON[0]) & (y <= _CHINA_LON[1])
    return bool(len(points)) and float(fits.mean()) > _MOST


def are_degrees(points: Coordinates) -> bool:
    """Tell whether most values can be degrees, in either order of axes."""
    return not len(points) or float((np.abs(points) <= 180).all(axis=1).mean()) > _MOST  # noqa: PLR2004  Degrees.


def propose_crs(points: Coordinates, *, district: BaseGeometry | None = None) -> tuple[CrsCandidate, ...]:
    """Propose the systems some coordinates may be in, the best first.

    With a district (WGS-84) every candidate is tested by the share of points inside its outline, widened by some
    kilometres, and those with none are left out. Empty when no CGCS2000 system can hold the values.
    """
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ()
    found = [_candidate(epsg, swapped, points, district) for epsg, swapped in possible_systems(points)]
    fitting = [candidate for candidate in found if candidate.fit is None or candidate.fit > 0]
    return tuple(sorted(fitting, key=lambda candidate: (-(candidate.fit or 0.0), candidate.epsg)))


def possible_systems(points: Coordinates) -> list[tuple[int, bool]]:
    """List (EPSG code, swapped) that the size of the values allows."""
    if are_degrees(points):
        return [(CGCS2000, looks_swapped(points))]
    result: list[tuple[int, bool]] = []
    for swapped in (False, True):
        east, north = np.median(points[:, ::-1] if swapped else points, axis=0)
        if not CHINA_NORTHINGS_M[0] <= north <= CHINA_NORTHINGS_M[1]:
            continue
        zone = int(east // ZONE_M)
        if zone in _THREE_DEGREE_ZONES:
            result.append((_THREE_DEGREE_PREFIXED + zone - _THREE_DEGREE_ZONES[0], swapped))
        elif zone in _SIX_DEGREE_ZONES:
            result.append((_SIX_DEGREE_PREFIXED + zone - _SIX_DEGREE_ZONES[0], swapped))
        elif _PLAIN_EASTINGS_M[0] <= east <= _PLAIN_EASTINGS_M[1]:
            result.extend(
                (_THREE_DEGREE_PLAIN + number, swapped) for number in range(len(_THREE_DEGREE_ZONES))
            )
    return result


def _candidate(epsg: int, swapped: bool, points: Coordinates, district: BaseGeometry | None) -> CrsCandidate:
    crs = crs_of(epsg)
    placed = with_axes(to_own_degrees(crs), swapped)(points)
    placed = placed[np.isfinite(placed).all(axis=1)]
    parameters = parameters_of(crs)
    box = (*placed.min(axis=0).tolist(), *placed.max(axis=0).tolist()) if len(placed) else None
    return CrsCandidate(
        epsg=epsg,
        central_meridian_deg=parameters.get("Longitude of natural origin"),
        zone_prefix=parameters.get("False easting", 0.0) > ZONE_M,
        swapped=swapped,
        fit=None if district is None else share_inside(placed, len(points), district),
        box=box,
    )


def share_inside(placed: Coordinates, of: int, district: BaseGeometry) -> float:
    """Give the share of `of` points that lie inside the district or within some kilometres of it."""
    # Simplified first: widening an outline of thousands of vertices takes a third of a second, thirty candidates ten.
    wide = district.simplify(_NEAR_DEG / 5).buffer(_NEAR_DEG, quad_segs=2)
    shapely.prepare(wide)
    return float(shapely.intersects_xy(wide, placed[:, 0], placed[:, 1]).sum()) / of if len(placed) else 0.0


@lru_cache(maxsize=128)
def crs_of(epsg: int) -> "CRS":
    """Give a system by its code; looking one up takes ten milliseconds. Raises pyproj's CRSError for an unknown one."""
    from pyproj import CRS  # noqa: PLC0415  See geo.projections.

    return CRS.from_epsg(epsg)


def parameters_of(crs: "CRS") -> dict[str, float]:
    """Give a projection's parameters by their EPSG names; none for a geographic system."""
    operation = crs.coordinate_operation
    return {each.name: float(each.value) for each in operation.params} if operation else {}


def to_own_degrees(crs: "CRS") -> ToWgs84:
    """Undo a projection to the degrees of its own datum; a geographic system's values are these already."""
    if not crs.is_projected:
        return lambda points: points
    # Not to EPSG:4326: what PROJ picks between two datums depends on the grids it finds.
    from pyproj import Transformer  # noqa: PLC0415  See geo.projections.

    transformer = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    return lambda points: np.column_stack(transformer.transform(points[:, 0], points[:, 1]))


def with_axes(transform: ToWgs84, swapped: bool) -> ToWgs84:
    """Give the transform for coordinates whose axes are the other way round."""
    return (lambda points: transform(points[:, ::-1])) if swapped else transform
