"""A layer against its district's outline: outside it, in a wrong zone, or in another datum."""

from collections.abc import Callable, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from geo import overlay
from geo.datum import Datum, coordinates_from_wgs84, coordinates_to_wgs84
from geo.findings import Finding, finding
from geo.projections import geodesic
from geo.repairs import area_m2
from geo.topology import GRAIN_M, SLIVER_M, Layer, width_m

_ZONE_DEG = 3
_MOST_ZONES_OFF = 5
_INSIDE_SHARE = 0.9
_WHOLLY_SHARE = 0.99
_REACH_M = 1_500.0
"""Outline points farther from the layer say nothing of its datum: BD-09 shifts by about 1,053 m at Jiangjin."""
_SUSPECT_FROM_M = 100.0
_BETTER_BY = 3.0
_STEP_M = 100.0
_LEAST_POINTS = 50
EDGE_M = 100.0
"""Farther outside the district than this is more than two ways to draw one line."""
_EDGE_SHARE = 0.01
_LEAST_AREA_M2 = 1.0
_Shift = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def layer_is_elsewhere(layer: Layer, district: BaseGeometry) -> list[Finding]:
    """Find that the layer as a whole lies outside the district; as a zone read as another where that explains it."""
    points = shapely.get_coordinates(shapely.point_on_surface([piece.geometry for piece in layer.pieces]))
    wide = district.simplify(0.01).buffer(0.05, quad_segs=2)
    shapely.prepare(wide)

    def share(shift_deg: float) -> float:
        return float(shapely.contains_xy(wide, points[:, 0] + shift_deg, points[:, 1]).mean())

    if share(0.0) > 1 - _INSIDE_SHARE:
        return []
    middle, goal = np.median(points, axis=0), district.centroid
    distance_km = float(geodesic().inv(middle[0], middle[1], goal.x, goal.y)[2]) / 1000
    for zones in sorted(range(-_MOST_ZONES_OFF, _MOST_ZONES_OFF + 1), key=abs):
        if zones and share(zones * _ZONE_DEG) >= _INSIDE_SHARE:
            shift = zones * _ZONE_DEG
            return [finding("layer-in-wrong-zone", distance_km=round(distance_km, 1), shift_deg=shift)]
    return [finding("layer-outside-district", distance_km=round(distance_km, 1))]


def features_outside(layer: Layer, district: BaseGeometry) -> list[Finding]:
    """Find features wholly or partly outside the district; slight differences along its outline are summed up."""
    flat = layer.metres(district)
    outline = _Line(_border(flat))
    shapely.prepare(flat)
    found: list[Finding] = []
    slight_m2 = slight_m = 0.0
    slight = 0
    for piece, shape in zip(layer.pieces, layer.flat, strict=True):
        if piece.ref.index is None or flat.covers(shape):
            continue
        rest = overlay.difference(shape, flat)
        if rest.area <= _LEAST_AREA_M2:
            continue
        share = rest.area / shape.area
        area = area_m2(layer.degrees(rest))
        if share > _WHOLLY_SHARE:
            distance = round(float(shapely.distance(shape, flat)), 1)
            found.append(finding("outside-district", piece.ref, shape=piece.geometry, distance_m=distance))
            continue
        distance_m = float(outline.distances(_points(rest)).max())
        if distance_m <= EDGE_M and share <= _EDGE_SHARE:
            slight, slight_m2, slight_m = slight + 1, slight_m2 + area, max(slight_m, distance_m)
            continue
        found.append(
            finding(
                "partly-outside-district",
                piece.ref,
                shape=layer.degrees(rest),
                share_percent=round(100 * share, 2),
                area_m2=round(area, 1),
                distance_m=round(distance_m, 1),
            )
        )
    if slight:
        found.append(
            finding(
                "edge-differs-from-district",
                features=slight,
                area_m2=round(slight_m2, 1),
                distance_m=round(slight_m, 2),
            )
        )
    return found


def covered(layer: Layer, union: BaseGeometry, district: BaseGeometry) -> list[Finding]:
    """Say how much of the district the layer covers when it is not all, and which land at the outline is left out.

    Single places are named only where the layer is plainly meant to be the whole district (nine tenths of it).
    """
    flat = layer.metres(district)
    missing = overlay.difference(flat, union)
    if missing.area <= _LEAST_AREA_M2:
        return []
    missing_m2, whole_m2 = area_m2(layer.degrees(missing)), area_m2(district)
    share = 1 - missing_m2 / whole_m2
    found = [
        finding("district-covered", percent=round(100 * share, 3), missing_km2=round(missing_m2 / 1e6, 4))
    ]
    if share < _INSIDE_SHARE:
        return found
    outline = _border(flat)
    for part in shapely.get_parts(missing):
        # What does not touch the outline is a gap between neighbours, or the hole of one, and told as such.
        if (
            part.area > _LEAST_AREA_M2
            and shapely.dwithin(part, outline, GRAIN_M)
            and width_m(part) > SLIVER_M
        ):
            shape, width = layer.degrees(part), round(width_m(part), 1)
            area = round(area_m2(shape), 1)
            found.append(finding("district-uncovered", shape=shape, area_m2=area, width_m=width))
    return found


def _hypotheses() -> Sequence[tuple[str, Datum, _Shift]]:
    """List what may have happened to the layer's coordinates, each with its undoing."""
    undone: list[tuple[str, Datum, _Shift]] = []
    for datum in (Datum.GCJ02, Datum.BD09):

        def to(points: NDArray[np.float64], datum: Datum = datum) -> NDArray[np.float64]:
            return coordinates_to_wgs84(points, datum=datum)

        def back(points: NDArray[np.float64], datum: Datum = datum) -> NDArray[np.float64]:
            return coordinates_from_wgs84(points, datum=datum)

        undone += [("datum-suspected", datum, to), ("converted-twice-suspected", datum, back)]
    return undone


def datum_suspected(layer: Layer, union: BaseGeometry, district: BaseGeometry) -> list[Finding]:
    """Find that the whole layer is shifted against the district's outline as a wrong datum would shift it.

    Points every 100 m of the outline that have a border of the layer within reach are compared with the layer's outer
    border: their median distance as it is, and after undoing GCJ-02 or BD-09. Suspected when that cuts a median of more
    than 100 m to a third. Inner borders say nothing, so a layer that reaches no outline is not judged.
    """
    outline = shapely.segmentize(_border(layer.metres(district)), _STEP_M)
    points = _points(outline)
    border = _border(union)
    near = _Line(border).distances(points)
    points = points[near <= _REACH_M]
    if len(points) < _LEAST_POINTS:
        return []
    as_read_m = float(np.median(near[near <= _REACH_M]))
    if as_read_m <= _SUSPECT_FROM_M:
        return []
    degrees = layer.degrees(border)
    best: tuple[float, str, Datum] | None = None
    for code, datum, shift in _hypotheses():
        moved = shapely.transform(shapely.transform(degrees, shift), layer.plane.points)
        median_m = float(np.median(_Line(moved).distances(points)))
        if best is None or median_m < best[0]:
            best = (median_m, code, datum)
    if best is None or best[0] * _BETTER_BY > as_read_m:
        return []
    return [_suspicion(best, as_read_m, layer)]


def _suspicion(best: tuple[float, str, Datum], as_read_m: float, layer: Layer) -> Finding:
    corrected_m, code, datum = best
    here = np.array([[layer.plane.lon, layer.plane.lat]])
    there = coordinates_from_wgs84(here, datum=datum)
    azimuth, _, shift_m = geodesic().inv(here[0, 0], here[0, 1], there[0, 0], there[0, 1])
    return finding(
        code,
        datum={Datum.GCJ02: "GCJ-02", Datum.BD09: "BD-09"}[datum],
        median_m=round(as_read_m, 1),
        corrected_m=round(corrected_m, 1),
        shift_m=round(float(shift_m), 1),
        azimuth_deg=round(float(azimuth) % 360, 1),
    )


def _border(shape: BaseGeometry) -> BaseGeometry:
    """Give the outer border: holes belong to the inside."""
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, Polygon)]
    return shapely.multilinestrings([part.exterior for part in parts])


def _points(shape: BaseGeometry) -> NDArray[np.object_]:
    return np.asarray(shapely.points(shapely.get_coordinates(shape)))


class _Line:
    """A border cut into segments once, to ask distances of many points."""

    def __init__(self, lines: BaseGeometry) -> None:
        pieces = []
        for line in shapely.get_parts(lines):
            coordinates = shapely.get_coordinates(line)
            pieces.append(np.stack([coordinates[:-1], coordinates[1:]], axis=1))
        self._tree = shapely.STRtree(np.asarray(shapely.linestrings(np.concatenate(pieces))))

    def distances(self, points: NDArray[np.object_]) -> NDArray[np.float64]:
        """Give the distance of each point from the nearest segment."""
        (asked, _), distances = self._tree.query_nearest(points, return_distance=True, all_matches=False)
        result = np.full(len(points), np.inf)
        result[asked] = distances
        return result
