"""Neighbours that overlap or leave gaps between them, with areas, widths and places. Plane metres inside, degrees outside."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from geo import overlay
from geo.crossings import MOST_CROSSINGS, crossings_of
from geo.findings import FeatureRef, Finding, finding
from geo.plane import Plane
from geo.repairs import area_m2

GRAIN_M = 0.5
"""Narrower overlaps and gaps come from rounded coordinates (six decimals: 0.1 m) and are only counted."""
SLIVER_M = 10.0
"""A gap narrower than this is a sliver: two drawings of one border rather than land without an owner."""
LARGE_OVERLAP_M2 = 10_000.0
LARGE_OVERLAP_SHARE = 0.01
_LEAST_AREA_M2 = 1.0
_SAME_SHARE = 0.999
_INTRICATE_PRODUCT = (
    25_000_000  # Vertices times vertices, from which on crossings are estimated before intersecting.
)
_TOUCH_M = 0.05
_LONGEST_EDGE_DEG = 0.005  # Straight in the plane instead, such an edge is off by 3 mm at 30 N.
_LEAST_OPEN_M2 = 20.0
_MOST_PARTS = 3_000
_LEAST_SLENDERNESS = 10.0  # Length over mean width.
_ROOM_FOR_CURVES = 0.1

Shapes = NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A unit to compare with its neighbours: WGS-84 geometry; only units of one class must not overlap."""

    ref: FeatureRef
    geometry: BaseGeometry
    class_: str


@dataclass(kw_only=True)
class Layer:
    """Pieces, also in a plane about their middle, where widths are metres."""

    pieces: Sequence[Piece]
    plane: Plane = field(init=False)
    flat: Shapes = field(init=False)
    _hole_boxes: dict[int, set[tuple[float, ...]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        west, south, east, north = shapely.total_bounds([piece.geometry for piece in self.pieces])
        self.plane = Plane(lon=(west + east) / 2, lat=(south + north) / 2)
        self.flat = np.array([self.metres(piece.geometry) for piece in self.pieces], dtype=object)

    def metres(self, shape: BaseGeometry) -> BaseGeometry:
        """Bring a shape to the plane. Borders are straight in degrees (RFC 7946, 3.1.1), so long edges are divided first."""
        return shapely.transform(shapely.segmentize(shape, _LONGEST_EDGE_DEG), self.plane.points)

    def boxes_of_holes(self, number: int) -> set[tuple[float, ...]]:
        """Give the boxes of a piece's holes, by which a hole left over in the union is known as this piece's own."""
        if number not in self._hole_boxes:
            self._hole_boxes[number] = {_box(hole) for hole in _holes(self.flat[number])}
        return self._hole_boxes[number]

    def degrees(self, shape: BaseGeometry) -> BaseGeometry:
        """Bring a shape of the plane back to WGS-84, by Newton's method: the plane has no inverse of its own."""
        return shapely.transform(shape, self._undone)

    def _undone(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        metre_deg = np.array([1 / (111_320 * np.cos(np.radians(self.plane.lat))), 1 / 110_950])
        found = np.array([self.plane.lon, self.plane.lat]) + points * metre_deg
        for _ in range(8):
            found = found + (points - self.plane.points(found)) * metre_deg
        return np.asarray(found)


def width_m(shape: BaseGeometry) -> float:
    """Give the greatest width of a shape in plane metres: the diameter of the largest circle inside it."""
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, Polygon) and part.area > 0]
    return max((_circle_width_m(part) for part in parts), default=0.0)


def _circle_width_m(part: Polygon) -> float:
    mean_m = 2 * part.area / part.length
    radius = shapely.maximum_inscribed_circle(part, tolerance=max(0.05, mean_m / 20))
    return 2 * float(shapely.length(radius))


def overlaps(layer: Layer) -> tuple[list[Finding], int]:
    """Find pairs that overlap; gives the findings and how many were narrower than the grain."""
    first, second = shapely.STRtree(layer.flat).query(layer.flat, predicate="intersects")
    pairs = [(int(a), int(b)) for a, b in zip(first, second, strict=True) if a < b]
    found: list[Finding] = []
    hairlines = 0
    for a, b in pairs:
        one, other = layer.pieces[a], layer.pieces[b]
        if one.class_ != other.class_ or (one.ref.index is None and other.ref.index is None):
            continue
        result, hairline = _overlap(layer, a, b)
        hairlines += hairline
        if result is not None:
            found.append(result)
    return found, hairlines


def _overlap(layer: Layer, a: int, b: int) -> tuple[Finding | None, bool]:
    """Describe what two pieces share; None when it is nothing, or narrower than the grain (then flagged)."""
    refs = (layer.pieces[a].ref, layer.pieces[b].ref)
    one, other = layer.flat[a], layer.flat[b]
    # Plain integers: numpy's 32 bits overflow here.
    if int(shapely.get_num_coordinates(one)) * int(shapely.get_num_coordinates(other)) > _INTRICATE_PRODUCT:
        crossings = crossings_of(one, other)
        if crossings > MOST_CROSSINGS:
            place = layer.pieces[a].geometry
            return finding("overlap-too-intricate", *refs, at=place, crossings=crossings), False
    shared = overlay.intersection(one, other)
    area = float(shared.area)
    if area <= _LEAST_AREA_M2:
        return None, False
    width = width_m(shared)
    if width <= GRAIN_M:
        return None, True
    smaller, larger = sorted((float(one.area), float(other.area)))
    shape = layer.degrees(shared)
    numbers: dict[str, Any] = {
        "area_m2": round(area_m2(shape), 1),
        "width_m": round(width, 2),
        "share_percent": round(100 * area / smaller, 3),
    }
    code = "overlap-large" if area > LARGE_OVERLAP_M2 or area > LARGE_OVERLAP_SHARE * smaller else "overlap"
    if area > _SAME_SHARE * larger:
        code = "shape-duplicate"
    elif area > _SAME_SHARE * smaller:
        code = "enclave-without-hole"
        refs = refs if one.area <= other.area else refs[::-1]
    return finding(code, *refs, shape=shape, **numbers), False


def union_of(layer: Layer) -> BaseGeometry:
    """Join all pieces of the plane; the quick way where they fit each other exactly."""
    if shapely.coverage_is_valid(layer.flat):
        # What is checked and what is joined need not agree about edges that nearly coincide.
        with contextlib.suppress(GEOSException):
            return shapely.coverage_union_all(layer.flat)
    return overlay.union_all(layer.flat)


def gaps(layer: Layer, union: BaseGeometry) -> tuple[list[Finding], int]:
    """Find gaps and slivers between at least two pieces, closed ones and those open to the outside."""
    holes = _holes(union)
    found: list[Finding] = []
    hairlines = 0
    if len(shapely.get_parts(union)) > _MOST_PARTS:
        open_ones = []
        found.append(finding("open-slivers-not-searched", parts=len(shapely.get_parts(union))))
    else:
        open_ones = _open_slivers(union, holes)
    tree = shapely.STRtree(layer.flat)
    for gap in [*holes, *open_ones]:
        if gap.area <= _LEAST_AREA_M2:
            continue
        result, hairline = _gap(layer, tree, gap)
        hairlines += hairline
        if result is not None:
            found.append(result)
    return found, hairlines


def _open_slivers(union: BaseGeometry, holes: list[Polygon]) -> list[Polygon]:
    """Find narrow gaps that reach the outside: widened and narrowed again, a shape swallows them."""
    half = SLIVER_M / 2
    wide = shapely.buffer(union, half, join_style="mitre", mitre_limit=5.0)
    closed = shapely.buffer(wide, -half, join_style="mitre", mitre_limit=5.0)
    rest = shapely.get_parts(overlay.difference(closed, overlay.union_all([union, *holes])))
    return [part for part in rest if isinstance(part, Polygon) and _is_long(part)]


def _gap(layer: Layer, tree: shapely.STRtree, gap: Polygon) -> tuple[Finding | None, bool]:
    """Describe one gap; None when it is no gap between neighbours, or narrower than the grain (then flagged)."""
    beside = sorted(int(number) for number in tree.query(gap, predicate="dwithin", distance=_TOUCH_M))
    refs = tuple(layer.pieces[number].ref for number in beside)
    if all(ref.index is None for ref in refs):
        return None, False
    width = width_m(gap)
    if width <= GRAIN_M:
        return None, True
    shape = layer.degrees(gap)
    area = round(area_m2(shape), 1)
    if len(refs) == 1:
        is_hole = _box(gap) in layer.boxes_of_holes(beside[0])
        return (
            (finding("hole-unfilled", *refs, shape=shape, area_m2=area), False) if is_hole else (None, False)
        )
    code = "sliver" if width <= SLIVER_M * (1 + _ROOM_FOR_CURVES) else "gap"
    return finding(code, *refs, shape=shape, area_m2=area, width_m=round(width, 2)), False


def _box(shape: BaseGeometry) -> tuple[float, ...]:
    return tuple(round(number, 3) for number in shape.bounds)


def _is_long(part: Polygon) -> bool:
    """Tell an open sliver from the corner where two neighbours part at an acute angle: it runs beside both."""
    if part.area < _LEAST_OPEN_M2:
        return False
    length_m = part.length / 2
    return length_m >= _LEAST_SLENDERNESS * part.area / length_m


def _holes(shape: BaseGeometry) -> list[Polygon]:
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, Polygon)]
    return [Polygon(ring) for part in parts for ring in part.interiors]
