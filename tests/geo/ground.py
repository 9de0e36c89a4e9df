"""The ground that tests of geometry stand on: a spot in Jiangjin, metres about it, and the things put there."""

import math
from uuid import UUID, uuid5

import shapely
from hypothesis import strategies as st
from pyproj import Geod
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from geo.datum import Datum
from geo.fix import Fix
from geo.zones import Zone, ZoneKind

GEOD = Geod(ellps="WGS84")
# Seven decimals: a rounder number would make every fix at the middle a rounded one (edge 41).
LON, LAT = 106.2512347, 29.2912343
NAMESPACE = UUID("6f1d0a7e-0b43-4f0e-9a53-1d8f7d9d5f10")
Rings = list[list[tuple[float, float]]]


def make_zone(geometry: BaseGeometry, id: str = "village", **kw: object) -> Zone:  # noqa: A002  (The field's name.)
    facts = {"kind": ZoneKind.VILLAGE, "name": f"{id}'s name", "version": uuid5(NAMESPACE, id)} | kw
    return Zone(id=id, geometry=geometry, **facts)  # type: ignore[arg-type]


def at(east_m: float, north_m: float) -> tuple[float, float]:
    """The position so many metres from the middle of these tests, in the digits that travel."""
    lon, lat, _ = GEOD.fwd(LON, LAT, 90.0 if east_m >= 0 else -90.0, abs(east_m))
    lon, lat, _ = GEOD.fwd(lon, lat, 0.0 if north_m >= 0 else 180.0, abs(north_m))
    return round(float(lon), 7), round(float(lat), 7)


def box(west: float, south: float, east: float, north: float) -> Polygon:
    """A rectangle given in metres from the middle, in degrees."""
    (w, s), (e, n) = at(west, south), at(east, north)
    return shapely.box(w, s, e, n)


def make_fix(east_m: float = 500.0, north_m: float = 500.0, **kw: object) -> Fix:
    lon, lat = at(east_m, north_m)
    facts = {"lon": lon, "lat": lat, "datum": Datum.WGS84, "age_s": 2.0, "accuracy_m": 10.0} | kw
    return Fix(**facts)  # type: ignore[arg-type]


@st.composite
def ragged(draw: st.DrawFn, east: float = 0.0, north: float = 0.0, largest: float = 3000.0) -> Rings:
    """A ragged village about a place, with a hole of the same shape or without: rings of positions, not closed."""
    corners = draw(st.integers(min_value=3, max_value=40))
    reach = draw(st.lists(st.floats(min_value=150, max_value=largest), min_size=corners, max_size=corners))
    turns = [2 * math.pi * k / corners for k in range(corners)]
    ring = [at(east + r * math.cos(a), north + r * math.sin(a)) for a, r in zip(turns, reach, strict=True)]
    if not draw(st.booleans()):
        return [ring]
    shrink = draw(st.floats(min_value=0.1, max_value=0.4))
    lon, lat = at(east, north)
    return [ring, [(lon + shrink * (x - lon), lat + shrink * (y - lat)) for x, y in ring]]
