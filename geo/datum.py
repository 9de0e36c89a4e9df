"""Datums of positions and boundaries in China, all brought to WGS-84.

The trap: maps and phones sold in China speak GCJ-02 (火星坐标), Baidu's speak BD-09, and nothing in a pair of
numbers says which. At Jiangjin a GCJ-02 position read as WGS-84 lies 482 m away toward azimuth 131 degrees, a
BD-09 position about 1,053 m: a whole village street. Somebody sitting in the village office then looks like
somebody cheating from the next village. So every position carries its `Datum` from the phone to the store, and is
converted exactly once, here.

GCJ-02 has no official publication. The arithmetic is the public reconstruction everybody uses (Krasovsky 1940
ellipsoid, a polynomial and twelve sines; "EvilTransform", 2013), BD-09 the public formula on top of it. Both go
one way only; the usual one-step inverse errs up to 1.9 m at Jiangjin, so every inverse here is iterated until it
stands still, and a round trip is good to a micrometre.

Outside the rectangle of that algorithm (lon 72.004 to 137.8347, lat 0.8293 to 55.8271, its edge inside) GCJ-02 is
WGS-84. At the edge the shift begins at once, by up to 731 m, so the map is neither one-to-one nor onto there. The inverse answers, in this order: the position inside the rectangle that shifts to the given one; the given
position itself where it lies outside; else (nothing shifts to it) the inverse of the same formula carried on beyond
the edge. All of that happens at sea, in Kazakhstan or in Borneo: no village is meant, but no input fails either.

CGCS2000 (EPSG:4490) to WGS-84 is the null transformation, as in PROJ. Strictly, CGCS2000 is frozen at epoch 2000.0
while the plates move some 3 cm a year; `CONVERSION_ERROR_M` allows for that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyproj import Transformer

FloatArray: TypeAlias = NDArray[np.float64]
Number = TypeVar("Number", float, FloatArray)


class Datum(StrEnum):
    """What a pair of longitude and latitude refers to. Stored as text; the values are for ever."""

    WGS84 = "wgs84"
    GCJ02 = "gcj02"
    BD09 = "bd09"
    CGCS2000 = "cgcs2000"


class SaidDatum(StrEnum):
    """What a check-in says its position is in, as it is stored: a datum of geo's, or that nothing was said (edge 140)."""

    WGS84 = Datum.WGS84.value
    GCJ02 = Datum.GCJ02.value
    BD09 = Datum.BD09.value
    CGCS2000 = Datum.CGCS2000.value
    UNKNOWN = "unknown"

    @property
    def known(self) -> Datum | None:
        """Return the datum; None where nothing was said."""
        return None if self is SaidDatum.UNKNOWN else Datum(self.value)


class Position(NamedTuple):
    """Longitude and latitude in degrees; longitude first, always."""

    lon: float
    lat: float


CONVERSION_ERROR_M: Final[dict[Datum, float]] = {
    Datum.WGS84: 0.0,
    Datum.GCJ02: 2.0,
    Datum.BD09: 4.0,
    Datum.CGCS2000: 1.0,
}
"""What a conversion to WGS-84 may be wrong by, metres (68 % radius), to be added to a fix's accuracy as root of squares.

The arithmetic is exact to a micrometre; the allowance is for what stands behind it. GCJ-02 and BD-09: assumed, for
the public formulas are reconstructions without an authority to check them against. CGCS2000: 25 years of plate motion.
"""

GCJ02_WEST, GCJ02_EAST = 72.004, 137.8347
GCJ02_SOUTH, GCJ02_NORTH = 0.8293, 55.8271

_AXIS_M = 6378245.0  # Krasovsky 1940, semi-major axis.
_ECCENTRICITY2 = 0.00669342162296594323
_BD_TURN = math.pi * 3000.0 / 180.0
_BD_LON, _BD_LAT = 0.0065, 0.006
# The largest shift within the rectangle is 0.0108 degree (731 m), so nothing farther out has been shifted there;
# and far from the rectangle the polynomial grows without bound, where the iteration would run away.
_SHIFT_REACH_DEG = 0.02
# What comes back from the very edge may fall a rounding error outside: a micrometre of grace.
_EDGE_DEG = 1e-11
# A step of no more than three nanometres changes nothing any more: doubles near 130 degrees are 2.8e-14 apart.
_STILL_DEG = 3e-14
# Each step gains two digits, so six suffice nearly everywhere. Only within 1e-12 degree of longitude 105, where the
# formula has a square root with a vertical tangent, a step may gain nothing; it is below the wanted micrometre there.
_MOST_STEPS = 30

_FIRST_CGCS2000_GRID, _LAST_CGCS2000_GRID = 4491, 4554
_CGCS2000_GEOGRAPHIC = 4490


@dataclass(frozen=True)
class _Functions(Generic[Number]):
    """The same formulas serve one position (math, a microsecond) and a whole boundary (numpy)."""

    sin: Callable[[Number], Number]
    cos: Callable[[Number], Number]
    sqrt: Callable[[Number], Number]
    atan2: Callable[[Number, Number], Number]


_ONE: Final[_Functions[float]] = _Functions(math.sin, math.cos, math.sqrt, math.atan2)
_MANY: Final[_Functions[FloatArray]] = _Functions(np.sin, np.cos, np.sqrt, np.arctan2)


def shifted_in_gcj02(*, lon: float, lat: float) -> bool:
    """Whether GCJ-02 shifts this WGS-84 position at all: the public algorithm's rectangle, its edge included."""
    return GCJ02_WEST <= lon <= GCJ02_EAST and GCJ02_SOUTH <= lat <= GCJ02_NORTH


def wgs84_to_gcj02(*, lon: float, lat: float) -> Position:
    """GCJ-02 of a WGS-84 position; the same position outside the rectangle. Degrees."""
    if not shifted_in_gcj02(lon=lon, lat=lat):
        return Position(lon, lat)
    dlon, dlat = _gcj02_offset(lon, lat, _ONE)
    return Position(lon + dlon, lat + dlat)


def gcj02_to_wgs84(*, lon: float, lat: float) -> Position:
    """WGS-84 of a GCJ-02 position, iterated; see the module for the edge of the rectangle. Degrees."""
    if not _near(lon, lat, _SHIFT_REACH_DEG):
        return Position(lon, lat)
    found = _undo(_gcj02_offset, lon, lat)
    if _near(found.lon, found.lat, _EDGE_DEG) or shifted_in_gcj02(lon=lon, lat=lat):
        return found
    return Position(lon, lat)


def gcj02_to_bd09(*, lon: float, lat: float) -> Position:
    """BD-09 of a GCJ-02 position, degrees. Baidu's formula knows no rectangle: it shifts everywhere."""
    dlon, dlat = _bd09_offset(lon, lat, _ONE)
    return Position(lon + dlon, lat + dlat)


def bd09_to_gcj02(*, lon: float, lat: float) -> Position:
    """GCJ-02 of a BD-09 position, iterated. Degrees."""
    return _undo(_bd09_offset, lon, lat)


def to_wgs84(*, lon: float, lat: float, datum: Datum) -> Position:
    """WGS-84 of a position given in `datum`. Degrees; finite numbers (`fix.position_fault` names what is not)."""
    match datum:
        case Datum.WGS84 | Datum.CGCS2000:
            return Position(lon, lat)
        case Datum.GCJ02:
            return gcj02_to_wgs84(lon=lon, lat=lat)
        case Datum.BD09:
            gcj = bd09_to_gcj02(lon=lon, lat=lat)
            return gcj02_to_wgs84(lon=gcj.lon, lat=gcj.lat)


def from_wgs84(*, lon: float, lat: float, datum: Datum) -> Position:
    """Give the position in `datum` of one given in WGS-84. Degrees."""
    match datum:
        case Datum.WGS84 | Datum.CGCS2000:
            return Position(lon, lat)
        case Datum.GCJ02:
            return wgs84_to_gcj02(lon=lon, lat=lat)
        case Datum.BD09:
            gcj = wgs84_to_gcj02(lon=lon, lat=lat)
            return gcj02_to_bd09(lon=gcj.lon, lat=gcj.lat)


def coordinates_to_wgs84(coordinates: FloatArray, *, datum: Datum) -> FloatArray:
    """Many positions to WGS-84: an (n, 2) array of degrees, longitude first, to a new one.

    Made for boundaries: `shapely.transform(shape, partial(coordinates_to_wgs84, datum=Datum.GCJ02))`. Agrees with
    `to_wgs84` to the last digits of a double. ValueError for another shape of array.
    """
    lon, lat = _columns(coordinates)
    if datum is Datum.BD09:
        lon, lat = _undo_many(_bd09_offset, lon, lat)
    if datum in {Datum.GCJ02, Datum.BD09}:
        near = _all_shifted(lon, lat, margin=_SHIFT_REACH_DEG)
        found_lon, found_lat = _undo_many(_gcj02_offset, lon[near], lat[near])
        shifted = _all_shifted(found_lon, found_lat, margin=_EDGE_DEG) | _all_shifted(lon[near], lat[near])
        lon[near], lat[near] = (
            np.where(shifted, found_lon, lon[near]),
            np.where(shifted, found_lat, lat[near]),
        )
    return np.column_stack((lon, lat))


def coordinates_from_wgs84(coordinates: FloatArray, *, datum: Datum) -> FloatArray:
    """Many positions from WGS-84 to `datum`: the counterpart of `coordinates_to_wgs84`."""
    lon, lat = _columns(coordinates)
    if datum in {Datum.GCJ02, Datum.BD09}:
        shifted = _all_shifted(lon, lat)
        dlon, dlat = _gcj02_offset(lon[shifted], lat[shifted], _MANY)
        lon[shifted] += dlon
        lat[shifted] += dlat
    if datum is Datum.BD09:
        dlon, dlat = _bd09_offset(lon, lat, _MANY)
        lon, lat = lon + dlon, lat + dlat
    return np.column_stack((lon, lat))


def cgcs2000_zone_to_wgs84(x: float, y: float, epsg: int) -> Position:
    """WGS-84 of CGCS2000 grid coordinates: x east and y north in metres (degrees for 4490).

    `epsg` is 4490 or a Gauss-Krueger grid: 4491-4501 six-degree zones with the zone's prefix in x, 4502-4512 without,
    4513-4533 three-degree zones with it (4523: zone 35), 4534-4554 without (4544: 105 E). EPSG lists these axes as
    north, east; here it is always east, north. ValueError for another code (Xi'an 80 and Beijing 54 need parameters
    of their own and are never guessed) and for coordinates that the grid cannot hold.
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("grid coordinates must be finite numbers")
    lon, lat = cgcs2000_zone_coordinates_to_wgs84(np.array([[x, y]], dtype=np.float64), epsg=epsg)[0]
    return Position(float(lon), float(lat))


def cgcs2000_zone_coordinates_to_wgs84(coordinates: FloatArray, *, epsg: int) -> FloatArray:
    """Many CGCS2000 grid coordinates, an (n, 2) array of east and north in metres, to degrees of WGS-84.

    The vector form of `cgcs2000_zone_to_wgs84`, with the same codes and errors.
    """
    east, north = _columns(coordinates)
    if epsg == _CGCS2000_GEOGRAPHIC:
        return np.column_stack((east, north))
    lon, lat = _ungrid(epsg).transform(east, north)
    found = np.column_stack((lon, lat))
    if not np.isfinite(found).all():
        raise ValueError(f"coordinates that EPSG:{epsg} cannot hold: another zone, or not this grid")
    return found


@lru_cache(maxsize=64)
def _ungrid(epsg: int) -> "Transformer":
    # The target is 4490, the grid's own datum: what follows to WGS-84 is the null transformation, whatever grids or
    # newer realisations a PROJ database may offer between the two names.
    if not _FIRST_CGCS2000_GRID <= epsg <= _LAST_CGCS2000_GRID:
        raise ValueError(f"EPSG:{epsg} is not CGCS2000 (4490, grids 4491 to 4554)")
    from pyproj import Transformer  # noqa: PLC0415  See geo.projections.

    return Transformer.from_crs(epsg, _CGCS2000_GEOGRAPHIC, always_xy=True)


def _gcj02_offset(lon: Number, lat: Number, f: _Functions[Number]) -> tuple[Number, Number]:
    """Degrees to add to WGS-84 for GCJ-02, in the order of operations of the public algorithm."""
    x, y, pi = lon - 105.0, lat - 35.0, math.pi
    common = (20.0 * f.sin(6.0 * x * pi) + 20.0 * f.sin(2.0 * x * pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * f.sqrt(abs(x))
    north += common
    north += (20.0 * f.sin(y * pi) + 40.0 * f.sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * f.sin(y / 12.0 * pi) + 320.0 * f.sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * f.sqrt(abs(x))
    east += common
    east += (20.0 * f.sin(x * pi) + 40.0 * f.sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * f.sin(x / 12.0 * pi) + 300.0 * f.sin(x / 30.0 * pi)) * 2.0 / 3.0
    radians = lat / 180.0 * pi
    sine = f.sin(radians)
    magic = 1.0 - _ECCENTRICITY2 * sine * sine
    root = f.sqrt(magic)
    dlat = (north * 180.0) / ((_AXIS_M * (1.0 - _ECCENTRICITY2)) / (magic * root) * pi)
    dlon = (east * 180.0) / (_AXIS_M / root * f.cos(radians) * pi)
    return dlon, dlat


def _bd09_offset(lon: Number, lat: Number, f: _Functions[Number]) -> tuple[Number, Number]:
    """Degrees to add to GCJ-02 for BD-09."""
    z = f.sqrt(lon * lon + lat * lat) + 0.00002 * f.sin(lat * _BD_TURN)
    theta = f.atan2(lat, lon) + 0.000003 * f.cos(lon * _BD_TURN)
    return z * f.cos(theta) + _BD_LON - lon, z * f.sin(theta) + _BD_LAT - lat


_Offset = Callable[[Any, Any, _Functions[Any]], tuple[Any, Any]]


def _undo(offset: _Offset, lon: float, lat: float) -> Position:
    """Find the position whose shifted place is the given one: a fixed point of `given - offset(found)`."""
    found_lon, found_lat = lon, lat
    for _ in range(_MOST_STEPS):
        dlon, dlat = offset(found_lon, found_lat, _ONE)
        next_lon, next_lat = lon - dlon, lat - dlat
        still = abs(next_lon - found_lon) <= _STILL_DEG and abs(next_lat - found_lat) <= _STILL_DEG
        found_lon, found_lat = next_lon, next_lat
        if still:
            break
    return Position(found_lon, found_lat)


def _undo_many(offset: _Offset, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    found_lon, found_lat = lon, lat
    for _ in range(_MOST_STEPS):
        dlon, dlat = offset(found_lon, found_lat, _MANY)
        next_lon, next_lat = lon - dlon, lat - dlat
        moved = np.maximum(np.abs(next_lon - found_lon), np.abs(next_lat - found_lat))
        found_lon, found_lat = next_lon, next_lat
        if not np.any(moved > _STILL_DEG):
            break
    return found_lon, found_lat


def _columns(coordinates: FloatArray) -> tuple[FloatArray, FloatArray]:
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:  # noqa: PLR2004  (Two columns is what the text says.)
        raise ValueError(f"an (n, 2) array of coordinates is needed, not {coordinates.shape}")
    return coordinates[:, 0].astype(np.float64), coordinates[:, 1].astype(np.float64)


def _near(lon: float, lat: float, margin: float) -> bool:
    in_lon = GCJ02_WEST - margin <= lon <= GCJ02_EAST + margin
    return in_lon and GCJ02_SOUTH - margin <= lat <= GCJ02_NORTH + margin


def _all_shifted(lon: FloatArray, lat: FloatArray, *, margin: float = 0.0) -> NDArray[np.bool_]:
    in_lon = (lon >= GCJ02_WEST - margin) & (lon <= GCJ02_EAST + margin)
    return in_lon & (lat >= GCJ02_SOUTH - margin) & (lat <= GCJ02_NORTH + margin)
