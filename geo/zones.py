"""Zones: villages, town seats, urban areas, duty places; and how far a position lies inside or outside of some.

A boundary is a WGS-84 polygon or several, its edges straight in longitude and latitude (RFC 7946, 3.1.1). Questions of
metres are answered in a plane about the zones (`geo.plane`). `Places` joins the zones of one posting, or the exclusion
zones of a region, once, and then answers for any number of fixes in microseconds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, MultiPolygon, Point, Polygon, STRtree
from shapely.geometry.base import BaseGeometry

from geo import overlay
from geo.plane import Plane
from geo.projections import geodesic

CIRCLE_VERTICES: Final = 96
ON_BORDER_M: Final = 0.01
"""A position nearer to a border lies on it: the last digit that travels, 1e-7 degree, moves a point by up to 8 mm."""

# Boundary files carry six decimals; two neighbours rounded apart leave slivers of up to this width between them.
_GRAIN_M: Final = 0.2
# Long edges are divided before they enter the plane, where a line straight in degrees is curved: 3 mm in 500 m at 30 N.
_LONGEST_EDGE_DEG: Final = 0.005
_WIDEST_DEG: Final = 3.0
_LARGEST_CIRCLE_M: Final = 50_000.0
# From so many vertices on, a tree of pieces of the border beats walking along all of it.
_MANY_VERTICES: Final = 1000
_PIECE: Final = 64
# Corners that are kept as integers are rounded by a hundredth of the last digit that travels, and reach 214 km.
_GRAIN_OF_CORNERS_M: Final = 0.0001
_FARTHEST_M: Final = 200_000.0
_BYTES_A_CORNER: Final = 26  # Of a polygon as GEOS keeps it, measured.
_BYTES_OF_PLACES: Final = 1500  # Of all the objects about them.
Grains: TypeAlias = NDArray[np.int32]


class ZoneKind(StrEnum):
    """What a zone is. Stored as text; the values are for ever."""

    VILLAGE = "village"
    TOWN_SEAT = "town_seat"
    URBAN = "urban"
    DUTY_PLACE = "duty_place"


ASSIGNED_KINDS: Final = frozenset({ZoneKind.VILLAGE, ZoneKind.DUTY_PLACE})
EXCLUDED_KINDS: Final = frozenset({ZoneKind.TOWN_SEAT, ZoneKind.URBAN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One version of one zone's boundary.

    `geometry` is a valid, non-empty WGS-84 Polygon or MultiPolygon, longitude first. `accuracy_m` is the stated
    accuracy of the boundary (a 68 % radius, as of a fix; 0 where it is the legal line itself). `version` identifies
    the boundary version, so that a verdict can say by what it was judged. ValueError for anything else. `proven` says
    that the polygon was found valid before, as every published one was: looking again would be most of what a village
    that was forgotten costs a check-in.
    """

    id: str
    kind: ZoneKind
    name: str
    geometry: Polygon | MultiPolygon
    version: UUID
    accuracy_m: float = 0.0
    proven: InitVar[bool] = False

    def __post_init__(self, proven: bool) -> None:
        if self.geometry.geom_type not in {"Polygon", "MultiPolygon"} or self.geometry.is_empty:
            raise ValueError(f"zone {self.id}: a polygon that is not empty is needed")
        west, south, east, north = self.geometry.bounds
        # Written so that NaN fails too.
        if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):  # noqa: PLR2004  (Degrees of the globe.)
            raise ValueError(f"zone {self.id}: coordinates must be degrees, longitude first")
        if not (proven or self.geometry.is_valid):
            raise ValueError(f"zone {self.id}: {shapely.is_valid_reason(self.geometry)}")
        if not (math.isfinite(self.accuracy_m) and self.accuracy_m >= 0):
            raise ValueError(f"zone {self.id}: the accuracy is a finite number of metres from 0")


def circle(*, lon: float, lat: float, radius_m: float) -> Polygon:
    """Give the geodesic circle about a position as a polygon of 96 vertices, counterclockwise (edge 50).

    The vertices lie a little outside the circle (0.036 %), the middles of the edges a little inside (0.018 %), so
    that the area is the circle's. WGS-84 degrees and metres. ValueError for a radius that is not within 0 to 50 km
    and for a position that is none.
    """
    if not (math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 180 and abs(lat) <= 89):  # noqa: PLR2004
        raise ValueError("the centre of a circle is a longitude and a latitude in degrees")
    if not 0 < radius_m <= _LARGEST_CIRCLE_M:
        raise ValueError(
            f"a radius of more than 0 and at most {_LARGEST_CIRCLE_M:.0f} m is needed, not {radius_m}"
        )
    step = 2.0 * math.pi / CIRCLE_VERTICES
    reach = radius_m * math.sqrt(step / math.sin(step))
    azimuths = -np.arange(CIRCLE_VERTICES) * 360.0 / CIRCLE_VERTICES
    size = np.full(CIRCLE_VERTICES, 1.0)
    lons, lats, _ = geodesic().fwd(lon * size, lat * size, azimuths, reach * size)
    return Polygon(np.column_stack((lons, lats)))


class Outline:
    """One or several polygons in the plane, ready for signed distances. Immutable, safe to share between threads."""

    __slots__ = ("_shape", "_tree", "bounds", "kept_bytes")

    def __init__(self, shape: BaseGeometry) -> None:
        self._shape: BaseGeometry | Grains = shape
        self._tree: STRtree | None = None
        self.bounds: Final[tuple[float, float, float, float]] = shape.bounds
        corners = int(shapely.get_num_coordinates(shape))
        self.kept_bytes: int = _BYTES_A_CORNER * corners
        """About how much memory it takes, for whoever keeps many."""
        if corners <= _MANY_VERTICES:
            ring = _single_ring(shape, self.bounds)
            if ring is not None:
                # Nearly every village: in a third of the memory, so that all of a large district stay at hand.
                self._shape, self.kept_bytes = ring, ring.nbytes
            return
        shapely.prepare(shape)
        self._tree = STRtree(_pieces(shape))
        # GEOS builds both indexes at their first use; used here once, they are only read afterwards.
        self.signed_distance(
            Point((self.bounds[0] + self.bounds[2]) / 2, (self.bounds[1] + self.bounds[3]) / 2)
        )

    def signed_distance(self, point: Point) -> float:
        """Metres to the border, positive inside, exactly 0 within `ON_BORDER_M` of it."""
        shape = self._shape
        if isinstance(shape, np.ndarray):
            # Built again each time, some microseconds.
            border = shapely.linearrings(shape * _GRAIN_OF_CORNERS_M)
            distance = float(shapely.distance(border, point))
            land: BaseGeometry = shapely.polygons(border)  # type: ignore[assignment]  # Of one ring, one.
        elif self._tree is None:
            # The border is made each time, a microsecond, because keeping it would double the memory.
            distance, land = float(shape.boundary.distance(point)), shape
        else:
            distance = float(self._tree.query_nearest(point, return_distance=True, all_matches=False)[1][0])
            land = shape
        if distance <= ON_BORDER_M:
            return 0.0
        return distance if land.intersects(point) else -distance


@dataclass(frozen=True, slots=True)
class Placed:
    """A zone's facts and its outline in the plane; the boundary in degrees is not kept."""

    id: str
    kind: ZoneKind
    name: str
    version: UUID
    accuracy_m: float
    outline: Outline


class Places:
    """Zones joined and prepared: the places of one posting (`assigned`), or exclusion zones (`excluded`).

    Joined, so that an inner border is never a border (ruling 1, edge 27): only the outer line of the union counts,
    with the holes that remain. Assigned places close the gaps between two of them that are narrower than the coarser
    one's stated accuracy (edge 32), for such a gap is a fault of the survey and not land; both kinds close the slivers
    of up to 0.2 m that rounding to six decimals leaves. Immutable; safe to share between threads.

    Positions are WGS-84 degrees, distances metres. A `spot` is a position in the plane of these places, made once for
    several questions.
    """

    __slots__ = (
        "_boxes",
        "_duty",
        "_plane",
        "_union",
        "accuracies_differ",
        "accuracy_m",
        "kept_bytes",
        "unfenced",
        "versions",
        "zones",
    )

    def __init__(self, zones: Sequence[Zone], *, unfenced: Sequence[str], close_gaps: bool) -> None:
        """Use `assigned` or `excluded`, which say what the zones are for."""
        accuracies = [zone.accuracy_m for zone in zones]
        self.unfenced: Final = tuple(unfenced)
        self.versions: Final = tuple(zone.version for zone in zones)
        self.accuracy_m: Final = max(accuracies, default=0.0)
        self.accuracies_differ: Final = len(set(accuracies)) > 1
        self._plane: Final = _plane_about(zones)
        shapes = [_in_plane(zone.geometry, self._plane) for zone in zones]
        if len(shapes) > 1:
            shapes = [_valid(shape) for shape in shapes]
        self._union: Final = _outline(shapes, accuracies if close_gaps else None)
        outlines = (
            [Outline(shape) for shape in shapes] if len(shapes) > 1 or not self._union else [self._union]
        )
        self.zones: Final = tuple(
            Placed(zone.id, zone.kind, zone.name, zone.version, zone.accuracy_m, outline)
            for zone, outline in zip(zones, outlines, strict=True)
        )
        self._boxes: Final = tuple(zone.outline.bounds for zone in self.zones)
        duty = [shape for zone, shape in zip(zones, shapes, strict=True) if zone.kind is ZoneKind.DUTY_PLACE]
        self._duty: Final = _outline(duty)
        kept = {id(each): each for each in (self._union, self._duty, *outlines) if each is not None}
        self.kept_bytes: Final = _BYTES_OF_PLACES + sum(each.kept_bytes for each in kept.values())

    @classmethod
    def assigned(cls, zones: Sequence[Zone], *, unfenced: Sequence[str] = ()) -> "Places":
        """Prepare the places of one posting: villages and duty places.

        `unfenced` names those that have no boundary yet (edge 49): where a fix lies outside of all the others, it
        cannot be said to be outside. ValueError for exclusion zones, and for zones more than 3 degrees apart.
        """
        _only(zones, ASSIGNED_KINDS)
        return cls(zones, unfenced=unfenced, close_gaps=True)

    @classmethod
    def excluded(cls, zones: Sequence[Zone]) -> "Places":
        """Prepare exclusion zones: town seats and urban areas, of a district and its surroundings at most.

        ValueError for other kinds, and for zones more than 3 degrees from their centre.
        """
        _only(zones, EXCLUDED_KINDS)
        return cls(zones, unfenced=(), close_gaps=False)

    def spot(self, *, lon: float, lat: float) -> Point:
        """Give the position in the plane of these places."""
        # A fifth of what Point(...) costs, and every check-in asks.
        return shapely.points(np.array(self._plane.point(lon, lat)))  # type: ignore[return-value]  # Of one pair, one.

    def signed_distance_m(self, *, lon: float, lat: float) -> float:
        """Say how far inside the union (positive) or outside (negative) a position lies; 0 on its border."""
        return self.depth_m(self.spot(lon=lon, lat=lat))

    def covers(self, *, lon: float, lat: float) -> bool:
        """Whether the union covers the position, its border included (edges 26, 29)."""
        return self.signed_distance_m(lon=lon, lat=lat) >= 0

    def may_reach(self, *, lon: float, lat: float, reach_m: float) -> bool:
        """Whether any zone's bounding box comes so near to a position: a quick no for nearly every village."""
        x, y = self._plane.point(lon, lat)
        left, right, low, high = x - reach_m, x + reach_m, y - reach_m, y + reach_m
        return any(
            west <= right and left <= east and south <= high and low <= north
            for west, south, east, north in self._boxes
        )

    def depth_m(self, spot: Point) -> float:
        """Say the same of a spot; minus infinity where there is no zone."""
        return -math.inf if self._union is None else self._union.signed_distance(spot)

    def duty_depth_m(self, spot: Point) -> float:
        """Say how deep in the duty places alone a spot lies; minus infinity where there is none (edge 33)."""
        return -math.inf if self._duty is None else self._duty.signed_distance(spot)

    def covering(self, spot: Point) -> tuple[str, ...]:
        """Name every zone that covers a spot, in their order: overlapping ones all (edge 31)."""
        return tuple(
            zone.id
            for zone in self.zones
            if _near(zone, spot, 0.0) and zone.outline.signed_distance(spot) >= 0
        )

    def deepest(self, spot: Point, depth_m: float) -> Placed | None:
        """Find the zone that a spot lies deepest in, or nearest to, its depth in the union being known."""
        within = max(0.0, -depth_m) + _GRAIN_M
        near = [zone for zone in self.zones if _near(zone, spot, within)] or self.zones
        if len(near) == 1:
            return near[0]
        return max(near, key=lambda zone: zone.outline.signed_distance(spot), default=None)


def _only(zones: Iterable[Zone], kinds: frozenset[ZoneKind]) -> None:
    for zone in zones:
        if zone.kind not in kinds:
            raise ValueError(f"zone {zone.id} is a {zone.kind}; here belong {', '.join(sorted(kinds))}")


def _near(zone: Placed, spot: Point, within_m: float) -> bool:
    west, south, east, north = zone.outline.bounds
    reach = within_m + ON_BORDER_M
    return west - reach <= spot.x <= east + reach and south - reach <= spot.y <= north + reach


def joinable(zones: Sequence[Zone]) -> tuple[list[Zone], list[Zone]]:
    """Divide zones into those that `Places` can join, beginning with the first, and those too far from them."""
    near: list[Zone] = []
    far: list[Zone] = []
    box: tuple[float, float, float, float] | None = None
    for zone in zones:
        west, south, east, north = zone.geometry.bounds
        if box is not None:
            west, south, east, north = (
                min(west, box[0]),
                min(south, box[1]),
                max(east, box[2]),
                max(north, box[3]),
            )
        if max(east - west, north - south) > 2 * _WIDEST_DEG:
            far.append(zone)
        else:
            near.append(zone)
            box = (west, south, east, north)
    return near, far


def _plane_about(zones: Sequence[Zone]) -> Plane:
    if not zones:
        return Plane(0.0, 0.0)
    wests, souths, easts, norths = zip(*(zone.geometry.bounds for zone in zones), strict=True)
    west, south, east, north = min(wests), min(souths), max(easts), max(norths)
    if max(east - west, north - south) > 2 * _WIDEST_DEG:
        raise ValueError(
            f"zones of {2 * _WIDEST_DEG:.0f} degrees and more; join those of one district at a time"
        )
    return Plane((west + east) / 2, (south + north) / 2)


def _in_plane(shape: BaseGeometry, plane: Plane) -> BaseGeometry:
    corners = shapely.get_coordinates(shape)
    # Looking costs a tenth of dividing. A step from one ring to the next counts as an edge, which does no harm.
    if np.abs(np.diff(corners, axis=0)).max() > _LONGEST_EDGE_DEG:
        shape = shapely.segmentize(shape, _LONGEST_EDGE_DEG)
        corners = shapely.get_coordinates(shape)
    flat: BaseGeometry = shapely.set_coordinates(np.array([shape]), plane.points(corners))[0]
    return flat


def _valid(shape: BaseGeometry) -> BaseGeometry:
    # A needle of a few millimetres may cross itself once its edges are bent; overlays would refuse it. What is asked of
    # one shape alone, its border's distance and whether it holds a position, needs no such care.
    return shape if shape.is_valid else shapely.make_valid(shape, method="structure", keep_collapsed=False)


def _outline(shapes: Sequence[BaseGeometry], accuracies_m: Sequence[float] | None = None) -> Outline | None:
    """Join shapes in the plane, closing gaps between any two that are narrower than the larger of their accuracies."""
    if len(shapes) <= 1:
        return Outline(shapes[0]) if shapes else None
    widths = accuracies_m or [0.0] * len(shapes)
    tree = STRtree(shapes)
    fillings: list[BaseGeometry] = []
    for one, (shape, width) in enumerate(zip(shapes, widths, strict=True)):
        reach = max(_GRAIN_M, *widths)
        others = tree.query(shape, predicate="dwithin", distance=reach).tolist()
        fillings += [
            _seam(shape, shapes[other], max(_GRAIN_M, width, widths[other]))
            for other in others
            if other > one
        ]
    return Outline(overlay.union_all([*shapes, *fillings]))


def _seam(one: BaseGeometry, other: BaseGeometry, width_m: float) -> BaseGeometry:
    """Find the strip along two shapes' common border: land of both, and what lies between them closer than `width_m`.

    A morphological closing: grown by half the width and shrunk again, only what lies in a narrow gap is added. Of the
    result, what is near to both shapes is kept, their own land included: a strip that overlaps its two sides leaves
    no crack behind, as the gaps alone would (some are a tenth of a micrometre wide). Bays of one shape alone stay.
    """
    reach = 3 * width_m
    (w1, s1, e1, n1), (w2, s2, e2, n2) = one.bounds, other.bounds
    window = (max(w1, w2) - reach, max(s1, s2) - reach, min(e1, e2) + reach, min(n1, n2) + reach)
    one, other = (overlay.intersection(shape, shapely.box(*window)) for shape in (one, other))
    closed = (
        overlay.union(one, other)
        .buffer(width_m / 2, join_style="mitre")
        .buffer(-width_m / 2, join_style="mitre")
    )
    return overlay.intersection(overlay.intersection(closed, one.buffer(width_m)), other.buffer(width_m))


def _single_ring(shape: BaseGeometry, bounds: tuple[float, float, float, float]) -> Grains | None:
    """Give the corners of one polygon without holes, in grains; None for other shapes and those that reach too far."""
    if shapely.get_num_geometries(shape) != 1 or max(map(abs, bounds)) > _FARTHEST_M:
        return None
    (part,) = shapely.get_parts(shape)
    if part.geom_type != "Polygon" or shapely.get_num_interior_rings(part):
        return None
    return np.rint(shapely.get_coordinates(part) / _GRAIN_OF_CORNERS_M).astype(np.int32)


def _pieces(shape: BaseGeometry) -> list[BaseGeometry]:
    """Cut the border into runs of 64 edges, each beginning where the one before it ended."""
    pieces: list[BaseGeometry] = []
    for ring in shapely.get_rings(shapely.get_parts(shape)):
        coordinates = shapely.get_coordinates(ring)
        pieces += [
            LineString(coordinates[start : start + _PIECE + 1])
            for start in range(0, len(coordinates) - 1, _PIECE)
        ]
    return pieces
