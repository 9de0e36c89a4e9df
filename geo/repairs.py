"""Repairs of features: proposed with figures before and after, applied only when an importer accepts them one by one."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import Area, BoundaryFile, Feature
from geo.crossings import too_tangled
from geo.fault_texts import GEOMETRY_FAULTS
from geo.faults import Fault, fault
from geo.projections import geodesic

LARGEST_CHANGE_SHARE = 0.001
"""A larger change of area needs a human (edge 45)."""
LARGEST_GAP_M = 1.0
"""An open ring whose ends are farther apart may have lost a piece of border."""
_STEP_OF_FAULT = {
    "ring-not-closed": "close-ring",
    "ring-too-short": "drop-short-ring",
    "geometry-mixed": "polygons-only",
    "hole-wound-like-shell": "hole-by-containment",
}
_STEPS_FOR_HUMANS = {"polygons-only", "hole-by-containment", "drop-short-ring"}


class RepairError(ValueError):
    """An accepted repair is not the one proposed for this feature, or there is none."""


@dataclass(frozen=True, kw_only=True)
class RepairProposal:
    """What would be done to one feature. `digest` identifies exactly this geometry, for accepting it later.

    Areas are geodesic; that of a ring crossing itself is its signed sum. `change_share` is the difference over the
    larger of both.
    """

    feature: int
    steps: tuple[str, ...]
    geometry: Area
    digest: str
    vertices_before: int
    vertices_after: int
    parts_before: int
    parts_after: int
    area_before_m2: float
    area_after_m2: float
    change_share: float
    needs_human: bool


def area_m2(shape: BaseGeometry) -> float:
    """Give the geodesic area of a shape in WGS-84 degrees, in square metres, not negative."""
    total = 0.0
    for part in shapely.get_parts(shape):
        if isinstance(part, Polygon) and not part.is_empty:
            rings = [_ring_area_m2(ring.coords) for ring in part.interiors]
            total += _ring_area_m2(part.exterior.coords) - sum(rings)
    return max(0.0, total)


def _ring_area_m2(coordinates: Iterable[tuple[float, ...]]) -> float:
    points = np.asarray(coordinates)
    return abs(float(geodesic().polygon_area_perimeter(points[:, 0], points[:, 1])[0]))


def propose_repair(feature: Feature, faults: Iterable[Fault] = ()) -> RepairProposal | None:
    """Propose how to repair a feature without a usable geometry; None when it needs none or none can be made.

    The faults are the feature's own: they say which rings were left open or dropped. Nothing is applied. A shape that
    crosses itself too often (`geo.crossings`) is given up, for the cost grows with the crossings.
    """
    shape = feature.shape_as_read
    if feature.geometry is not None or shape is None:
        return None
    mine = [each for each in faults if each.feature == feature.index]
    steps = [step for code, step in _STEP_OF_FAULT.items() if any(each.code == code for each in mine)]
    repaired: BaseGeometry = shape
    if too_tangled(shape):
        return None
    if not shapely.is_valid(shape):
        steps.append("make-valid")
        repaired = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    geometry = _areas_only(repaired)
    if geometry is None or not shapely.is_valid(geometry):
        return None
    before_m2, after_m2 = area_m2(shape), area_m2(geometry)
    change = abs(after_m2 - before_m2) / max(before_m2, after_m2, math.ulp(1.0))
    gaps = [float(each.numbers["gap_m"]) for each in mine if each.code == "ring-not-closed"]
    parts_before, parts_after = len(shapely.get_parts(shape)), len(shapely.get_parts(geometry))
    human = (
        change > LARGEST_CHANGE_SHARE
        or max(gaps, default=0.0) > LARGEST_GAP_M
        or bool(_STEPS_FOR_HUMANS & set(steps))
        or parts_before != parts_after
    )
    return RepairProposal(
        feature=feature.index,
        steps=tuple(steps),
        geometry=geometry,
        digest=digest_of_shape(geometry),
        vertices_before=int(shapely.get_num_coordinates(shape)),
        vertices_after=int(shapely.get_num_coordinates(geometry)),
        parts_before=parts_before,
        parts_after=parts_after,
        area_before_m2=before_m2,
        area_after_m2=after_m2,
        change_share=change,
        needs_human=human,
    )


def digest_of_shape(shape: BaseGeometry) -> str:
    """Give the SHA-256 of a shape's well-known binary, in hexadecimal."""
    return hashlib.sha256(shapely.to_wkb(shape)).hexdigest()


def _areas_only(shape: BaseGeometry) -> Area | None:
    """Keep the polygons of whatever a repair gave."""
    found = [
        part
        for member in shapely.get_parts(shape)
        for part in shapely.get_parts(member)
        if isinstance(part, Polygon) and not part.is_empty
    ]
    if not found:
        return None
    return found[0] if len(found) == 1 else MultiPolygon(found)


def accept_repairs(
    file: BoundaryFile, proposals: Iterable[RepairProposal], accepted: Mapping[int, str]
) -> BoundaryFile:
    """Apply the accepted repairs: feature index -> digest of the proposal that was shown.

    Gives a new file; the old one stays as read. Each repaired feature keeps `shape_as_read` and the digest, its geometry
    faults become one note. Raises RepairError, and does nothing, when any digest is not that of a proposal.
    """
    known = {(each.feature, each.digest): each for each in proposals}
    for index, digest in accepted.items():
        if (index, digest) not in known:
            raise RepairError(f"feature {index}: no repair with digest {digest} was proposed")
    chosen = {index: known[index, digest] for index, digest in accepted.items()}
    features = tuple(
        replace(each, geometry=chosen[each.index].geometry, accepted_repair=chosen[each.index].digest)
        if each.index in chosen
        else each
        for each in file.features
    )
    kept = [each for each in file.faults if not (each.feature in chosen and each.code in GEOMETRY_FAULTS)]
    notes = [
        fault(
            "repair-accepted",
            feature=index,
            steps=", ".join(each.steps),
            change_percent=round(100 * each.change_share, 4),
        )
        for index, each in chosen.items()
    ]
    return replace(file, features=features, faults=(*kept, *notes))
