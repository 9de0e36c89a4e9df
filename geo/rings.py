"""From rings as read to areas: which ring is a hole, and every fault of every ring, named and placed."""

import re
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from geo.boundary_file import Area
from geo.crossings import too_tangled
from geo.faults import Fault, fault
from geo.projections import geodesic

Coordinates = NDArray[np.float64]
_LEAST_VERTICES = 3
_TRIED_VERTICES = 3
_GLANCE = 32
_REASON = re.compile(r"^(?P<why>[^\[]*)(?:\[(?P<x>\S+) (?P<y>\S+)\])?$")
_RING_CODES = {
    "Ring Self-intersection": "ring-self-intersection",
    "Self-intersection": "ring-self-intersection",
    "Interior is disconnected": "ring-self-intersection",
}
_PART_CODES = {
    "Hole lies outside shell": "hole-outside-shell",
    "Holes are nested": "holes-nested",
    "Interior is disconnected": "interior-disconnected",
    "Self-intersection": "rings-cross",
    "Ring Self-intersection": "rings-cross",
    "Duplicate Rings": "rings-duplicate",
}
_AREA_CODES = {
    "Nested shells": "parts-overlap",
    "Self-intersection": "parts-overlap",
    "Duplicate Rings": "rings-duplicate",
}


@dataclass(kw_only=True)
class Assembled:
    """An area as read, closed where it had to be to be held at all; its faults; whether a ring was wound backwards."""

    shape: Area | None
    faults: list[Fault] = field(default_factory=list)
    wound_against_format: bool = False


def assemble(parts: list[list[Coordinates]], *, flat: bool, index: int, shells_clockwise: bool) -> Assembled:
    """Make an area of rings in WGS-84 degrees, (n, 2) each; `flat` rings are sorted into shells and holes first.

    Repairs nothing: an open ring is closed only to be held, and its fault says so.
    """
    result = Assembled(shape=None)
    closed = [
        [ring for ring in (_checked(each, index, result) for each in part) if ring is not None]
        for part in parts
    ]
    if flat:
        closed = _sorted(closed[0] if closed else [], index, result, shells_clockwise)
    else:
        shells = [part[0] for part in closed if part]
        result.wound_against_format = any(_is_clockwise(shell) != shells_clockwise for shell in shells)
    polygons = [Polygon(part[0], part[1:]) for part in closed if part]
    if polygons:
        result.shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
        if too_tangled(result.shape):
            lon, lat = (float(number) for number in shapely.get_coordinates(result.shape)[0])
            result.faults.append(fault("ring-self-intersection", feature=index, lon=lon, lat=lat))
        else:
            result.faults.extend(validity_faults(result.shape, index))
    return result


def _checked(ring: Coordinates, index: int, result: Assembled) -> Coordinates | None:
    """Name what is wrong with a ring alone; None when it is too short to be one."""
    if not len(ring):
        result.faults.append(fault("ring-too-short", feature=index, vertices=0))
        return None
    lon, lat = float(ring[0, 0]), float(ring[0, 1])
    distinct = _distinct(ring)
    if distinct < _LEAST_VERTICES:
        result.faults.append(fault("ring-too-short", feature=index, lon=lon, lat=lat, vertices=distinct))
        return None
    if (ring[0] != ring[-1]).any():
        gap_m = abs(geodesic().inv(ring[0, 0], ring[0, 1], ring[-1, 0], ring[-1, 1])[2])
        result.faults.append(fault("ring-not-closed", feature=index, lon=lon, lat=lat, gap_m=round(gap_m, 3)))
        ring = np.vstack([ring, ring[:1]])
    same = (ring[1:] == ring[:-1]).all(axis=1)
    if same.any():
        where = ring[1:][same][0]
        result.faults.append(
            fault(
                "ring-repeats-points",
                feature=index,
                lon=float(where[0]),
                lat=float(where[1]),
                vertices=int(same.sum()),
            )
        )
    return ring


def _distinct(ring: Coordinates) -> int:
    """Count distinct vertices; of a long ring only the first ones, unless they are all alike."""
    some = len(set(map(tuple, ring[:_GLANCE].tolist())))
    return some if some >= _LEAST_VERTICES else len(set(map(tuple, ring.tolist())))


def _is_clockwise(ring: Coordinates) -> bool:
    return not shapely.is_ccw(shapely.linearrings(ring))


def _sorted(
    rings: list[Coordinates], index: int, result: Assembled, shells_clockwise: bool
) -> list[list[Coordinates]]:
    """Sort rings into polygons by containment; winding must agree between a hole and its shell (edge 45)."""
    if not rings:
        return []
    if len(rings) == 1:
        result.wound_against_format = _is_clockwise(rings[0]) != shells_clockwise
        return [rings]
    containers = _containers(rings)
    areas = np.array([Polygon(ring).area for ring in rings])
    polygons: dict[int, list[Coordinates]] = {
        number: [ring] for number, ring in enumerate(rings) if len(containers[number]) % 2 == 0
    }
    for number, ring in enumerate(rings):
        if number in polygons:
            result.wound_against_format |= _is_clockwise(ring) != shells_clockwise
            continue
        shell = min((each for each in containers[number] if each in polygons), key=lambda each: areas[each])
        polygons[shell].append(ring)
        if _is_clockwise(ring) == _is_clockwise(rings[shell]):
            lon, lat = float(ring[0, 0]), float(ring[0, 1])
            result.faults.append(fault("hole-wound-like-shell", feature=index, lon=lon, lat=lat))
    return list(polygons.values())


def _containers(rings: list[Coordinates]) -> list[list[int]]:
    """List for each ring the rings around it, by a few of its vertices: rings of one shape do not cross, or are faulty."""
    areas = [Polygon(ring) for ring in rings]
    sizes = shapely.area(areas)
    boxes = shapely.bounds(areas)
    tried = np.stack([ring[np.linspace(0, len(ring) - 2, _TRIED_VERTICES).astype(int)] for ring in rings])
    found: list[list[int]] = [[] for _ in rings]
    for outer, area in enumerate(areas):
        within = (boxes[:, :2] >= boxes[outer, :2]).all(axis=1) & (boxes[:, 2:] <= boxes[outer, 2:]).all(
            axis=1
        )
        inner = np.flatnonzero(within & (sizes < sizes[outer]))
        if not len(inner):
            continue
        shapely.prepare(area)
        hits = shapely.intersects_xy(area, tried[inner, :, 0], tried[inner, :, 1]).sum(axis=1)
        for number in inner[hits > _TRIED_VERTICES // 2]:
            found[int(number)].append(outer)
    return found


def validity_faults(shape: Area, index: int) -> list[Fault]:
    """Name why an area is not valid (OGC 06-103r4, 6.1.11): ring by ring, else part by part, else as a whole."""
    if shapely.is_valid(shape):
        return []
    parts = list(shape.geoms) if isinstance(shape, MultiPolygon) else [shape]
    faults: list[Fault] = []
    for part in parts:
        if shapely.is_valid(part):
            continue
        rings = [Polygon(ring) for ring in (part.exterior, *part.interiors)]
        broken = [ring for ring in rings if not shapely.is_valid(ring)]
        faults.extend(_named(ring, _RING_CODES, index) for ring in broken)
        if not broken:
            faults.append(_named(part, _PART_CODES, index))
    return faults or [_named(shape, _AREA_CODES, index)]


def _named(shape: Area, codes: dict[str, str], index: int) -> Fault:
    found = _REASON.match(str(shapely.is_valid_reason(shape)))
    why = found["why"].strip() if found else ""
    code = codes.get(why)
    named = fault(code, feature=index) if code else fault("geometry-invalid", feature=index, reason=why)
    if found is None or found["x"] is None:
        return named
    return named.at(lon=float(found["x"]), lat=float(found["y"]))
