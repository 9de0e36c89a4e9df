"""Deciding a boundary file's reference system: what it says, what its values say, and when a person must be asked."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from shapely.geometry.base import BaseGeometry

from geo.crs import (
    CGCS2000,
    CHINA_NORTHINGS_M,
    WGS84,
    ZONE_M,
    Coordinates,
    CrsCandidate,
    CrsChoice,
    ToWgs84,
    are_degrees,
    crs_of,
    looks_swapped,
    parameters_of,
    possible_systems,
    propose_crs,
    share_inside,
    to_own_degrees,
    with_axes,
)
from geo.datum import Datum, coordinates_to_wgs84
from geo.faults import Fault, fault
from geo.projections import geodesic
from geo.reading.raw import DeclaredCrs
from geo.reading.words import clip

if TYPE_CHECKING:
    from pyproj import CRS

_FITS, _MISSES = (
    0.8,
    0.2,
)  # Shares of points inside the district that decide for one candidate against the others.
_OLD_DATUMS = ("Xi'an 80", "Beijing 54")
_READ_AS_WGS84 = ("WGS 84", "CGCS2000")


@dataclass(frozen=True, kw_only=True)
class CrsDecision:
    """How coordinates become WGS-84. `to_wgs84` is None when that is not decided; the faults then say why.

    `how` is given, declared, format, prefix, district, values or undecided.
    """

    how: str
    epsg: int | None = None
    name: str = ""
    swapped: bool = False
    to_wgs84: ToWgs84 | None = None
    faults: tuple[Fault, ...] = ()
    candidates: tuple[CrsCandidate, ...] = field(default=())


def decide_crs(
    points: Coordinates,
    *,
    declared: DeclaredCrs | None = None,
    degrees_by_format: bool = False,
    choice: CrsChoice | None = None,
    district: BaseGeometry | None = None,
) -> CrsDecision:
    """Decide how a layer's coordinates become WGS-84, by a sample of its finite points.

    A choice stands over what the file declares, that over what its format prescribes. The values are heard against all
    of them: a contradiction is a fault, and only degrees under a projected label are read nevertheless.
    """
    if choice is not None:
        stated = DeclaredCrs(text=f"EPSG:{choice.epsg}", epsg=choice.epsg)
        return _decide_stated(points, stated, choice, district, how="given")
    if declared is not None:
        return _decide_stated(points, declared, CrsChoice(epsg=0), district, how="declared")
    return _decide_unstated(points, degrees_by_format, district)


def _decide_unstated(points: Coordinates, by_format: bool, district: BaseGeometry | None) -> CrsDecision:
    candidates = propose_crs(points, district=district)
    if are_degrees(points):
        return _decide_degrees(points, by_format, candidates)
    if not possible_systems(points):
        return _undecided(_impossible(points))
    if not candidates:
        return _undecided(_asked(propose_crs(points)))
    if all(candidate.swapped for candidate in candidates):
        return _undecided(fault("axes-swapped"), candidates)
    return _decide_among(candidates)


def _decide_among(candidates: tuple[CrsCandidate, ...]) -> CrsDecision:
    """Take the best of some projected candidates where district or prefix leave no doubt; else ask."""
    best, *others = candidates
    if best.fit is not None and best.fit >= _FITS and all((other.fit or 0.0) <= _MISSES for other in others):
        why = fault("crs-decided-by-district", epsg=best.epsg, fit_percent=100 * best.fit)
        return _decided("district", best.epsg, (why,), candidates)
    if best.fit is None and not others:
        return _decided("prefix", best.epsg, (fault("crs-from-zone-prefix", epsg=best.epsg),), candidates)
    return _undecided(_asked(candidates), candidates)


def _decide_degrees(
    points: Coordinates, by_format: bool, candidates: tuple[CrsCandidate, ...]
) -> CrsDecision:
    if looks_swapped(points):
        return _undecided(fault("axes-swapped"), candidates)
    faults = () if by_format else (fault("crs-assumed-degrees"),)
    how = "format" if by_format else "values"
    return CrsDecision(how=how, epsg=WGS84, name="WGS 84", to_wgs84=lambda given: given, faults=faults)


def _undecided(why: Fault, candidates: tuple[CrsCandidate, ...] = ()) -> CrsDecision:
    return CrsDecision(how="undecided", faults=(why,), candidates=candidates)


def _decided(
    how: str, epsg: int, faults: tuple[Fault, ...], candidates: tuple[CrsCandidate, ...]
) -> CrsDecision:
    crs = crs_of(epsg)
    return CrsDecision(
        how=how, epsg=epsg, name=crs.name, to_wgs84=to_own_degrees(crs), faults=faults, candidates=candidates
    )


def _asked(candidates: tuple[CrsCandidate, ...]) -> Fault:
    return fault("crs-must-be-asked", candidates=_shown(candidates))


def _shown(candidates: tuple[CrsCandidate, ...]) -> str:
    return ", ".join(str(candidate) for candidate in candidates) or "–"


def _impossible(points: Coordinates) -> Fault:
    low, high = points.min(axis=0), points.max(axis=0)
    return fault(
        "crs-values-impossible",
        min_x=round(float(low[0]), 3),
        max_x=round(float(high[0]), 3),
        min_y=round(float(low[1]), 3),
        max_y=round(float(high[1]), 3),
    )


def _decide_stated(
    points: Coordinates, stated: DeclaredCrs, choice: CrsChoice, district: BaseGeometry | None, *, how: str
) -> CrsDecision:
    """Decide with a system that the file or a person states."""
    crs = _parsed(stated)
    if crs is None:
        candidates = propose_crs(points, district=district)
        why = fault("crs-unreadable", text=stated.text)
        return _undecided(why, candidates)
    why_not = _datum_fault(crs, choice)
    if why_not is not None:
        return CrsDecision(how="undecided", name=clip(crs.name), faults=(why_not,))
    contradiction = _contradiction(points, crs, stated, choice, district, given=how == "given")
    if contradiction is not None and contradiction.to_wgs84 is None:
        return contradiction
    projected_wrongly = contradiction is not None
    transform = _transform(crs.geodetic_crs if projected_wrongly and crs.geodetic_crs else crs, choice)
    decision = CrsDecision(
        how="values" if projected_wrongly else how,
        epsg=stated.epsg or _code_of(crs),
        name=clip(crs.name),
        swapped=choice.swapped,
        to_wgs84=with_axes(_from_datum(transform, choice), choice.swapped),
        faults=contradiction.faults if contradiction else (),
    )
    return _checked_against(decision, points, district)


@lru_cache(maxsize=32)
def _parsed(stated: DeclaredCrs) -> "CRS | None":
    """Parse a stated system: horizontal, geographic or projected, from Greenwich. Else None."""
    from pyproj import CRS  # noqa: PLC0415  See geo.projections.
    from pyproj.exceptions import ProjError  # noqa: PLC0415

    try:
        if stated.epsg is not None:
            crs = crs_of(stated.epsg)
        elif stated.wkt and re.match(r"\s*[A-Z_]{6,20}\s*\[", stated.wkt):
            crs = CRS.from_wkt(stated.wkt)
        else:
            return None
        crs = crs.source_crs if crs.is_bound and crs.source_crs else crs
        crs = crs.sub_crs_list[0] if crs.is_compound else crs
        meridian = crs.geodetic_crs.prime_meridian if crs.geodetic_crs else None
        if meridian is None or meridian.longitude != 0 or not (crs.is_geographic or crs.is_projected):
            return None
        return crs.to_2d()
    except (ProjError, ValueError, OverflowError, AttributeError, TypeError, IndexError):
        return None


def datum_of(crs: "CRS") -> str:
    """Name the datum of a system: "WGS 84", "CGCS2000", "Xi'an 80", "Beijing 54", or the name it gives itself."""
    geodetic = crs.geodetic_crs
    names = f"{geodetic.name} {geodetic.datum.name if geodetic.datum else ''}" if geodetic else crs.name
    text = names.lower().replace("_", " ").replace("'", "")
    if "xian" in text or ("1980" in text and "china" in text):
        return "Xi'an 80"
    if "beijing" in text or "pulkovo" in text or (crs.ellipsoid and "krass" in crs.ellipsoid.name.lower()):
        return "Beijing 54"
    if "cgcs2000" in text or ("china" in text and "2000" in text):
        return "CGCS2000"
    return "WGS 84" if re.search(r"wgs ?(19)?84", text) else clip(names)


@lru_cache(maxsize=32)
def _code_of(crs: "CRS") -> int | None:
    """Give the EPSG code of a system described in words, for reports; its own parameters do the work."""
    if not crs.is_projected:
        return {"CGCS2000": CGCS2000, "WGS 84": WGS84}.get(datum_of(crs))
    return crs.to_epsg(min_confidence=25)


def _datum_fault(crs: "CRS", choice: CrsChoice) -> Fault | None:
    datum = datum_of(crs)
    if datum in _READ_AS_WGS84:
        return None
    if datum not in _OLD_DATUMS:
        return fault("crs-datum-unsupported", datum=datum)
    parameters = choice.to_wgs84_parameters
    if parameters is None or len(parameters) not in (3, 7) or not np.isfinite(parameters).all():
        return fault("crs-needs-parameters", datum=datum)
    return None


def _transform(crs: "CRS", choice: CrsChoice) -> ToWgs84:
    parameters = choice.to_wgs84_parameters
    if parameters is None or datum_of(crs) in _READ_AS_WGS84:
        return to_own_degrees(crs)
    seven = list(parameters) + [0.0] * (7 - len(parameters))
    from pyproj import Transformer  # noqa: PLC0415  See geo.projections.
    from pyproj.crs import BoundCRS  # noqa: PLC0415
    from pyproj.crs.coordinate_operation import ToWGS84Transformation  # noqa: PLC0415

    bound = BoundCRS(crs, crs_of(WGS84), ToWGS84Transformation(crs.geodetic_crs, *seven))
    transformer = Transformer.from_crs(bound, WGS84, always_xy=True)
    return lambda points: np.column_stack(transformer.transform(points[:, 0], points[:, 1]))


def _from_datum(transform: ToWgs84, choice: CrsChoice) -> ToWgs84:
    """Undo the shift of GCJ-02 or BD-09 after everything else, where a person says the degrees have one."""
    if choice.datum in (Datum.WGS84, Datum.CGCS2000):
        return transform
    return lambda points: coordinates_to_wgs84(transform(points), datum=choice.datum)


def _contradiction(
    points: Coordinates,
    crs: "CRS",
    stated: DeclaredCrs,
    choice: CrsChoice,
    district: BaseGeometry | None,
    *,
    given: bool,
) -> CrsDecision | None:
    """Compare the stated system with the values; a decision with `to_wgs84` set means "read as degrees nevertheless"."""
    points = points[:, ::-1] if choice.swapped else points
    degrees = are_degrees(points)
    if degrees and looks_swapped(points):
        return _undecided(fault("axes-swapped"), propose_crs(points))
    if degrees and crs.is_projected and len(points):
        if given:
            why = fault("crs-choice-contradicts-values", epsg=choice.epsg)
            return _undecided(why, propose_crs(points))
        why = fault("crs-says-projected-values-are-degrees", declared=clip(crs.name))
        return CrsDecision(how="values", faults=(why,), to_wgs84=lambda values: values)
    if degrees:
        return None
    candidates = propose_crs(points, district=district)
    if not crs.is_projected:
        shown = _shown(candidates)
        why = fault("crs-says-degrees-values-are-metres", declared=clip(crs.name), candidates=shown)
        return _undecided(why, candidates)
    return _prefix_contradiction(points, crs, stated, candidates)


def _prefix_contradiction(
    points: Coordinates, crs: "CRS", stated: DeclaredCrs, candidates: tuple[CrsCandidate, ...]
) -> CrsDecision | None:
    """Compare the zone before the eastings with the one the system adds (edges 42, 43)."""
    operation = crs.coordinate_operation
    if operation is None or operation.method_name != "Transverse Mercator":
        return None
    expected = int(parameters_of(crs).get("False easting", 0.0) // ZONE_M)
    east, north = np.median(points, axis=0)
    swapped = int(north // ZONE_M) == expected and CHINA_NORTHINGS_M[0] <= east <= CHINA_NORTHINGS_M[1]
    if swapped and not CHINA_NORTHINGS_M[0] <= north <= CHINA_NORTHINGS_M[1]:
        return _undecided(fault("axes-swapped"), candidates)
    if int(east // ZONE_M) == expected:
        return None
    why = fault(
        "wrong-zone",
        declared=stated.text,
        expected_zone=expected,
        found_zone=int(east // ZONE_M),
        candidates=_shown(candidates),
    )
    return _undecided(why, candidates)


def _checked_against(
    decision: CrsDecision, points: Coordinates, district: BaseGeometry | None
) -> CrsDecision:
    """Refuse a projected reading that lands outside the district, and say which zone would not (edge 43)."""
    if district is None or decision.to_wgs84 is None or not len(points) or are_degrees(points):
        return decision
    placed = decision.to_wgs84(points)
    placed = placed[np.isfinite(placed).all(axis=1)]
    if not len(placed):
        return CrsDecision(how="undecided", name=decision.name, faults=(_impossible(points),))
    if share_inside(placed, len(placed), district) > 0:
        return decision
    candidates = tuple(each for each in _elsewhere(points, district) if each.epsg != decision.epsg)
    distance_km = _distance_km(placed, district)
    better = ", ".join(str(each) for each in candidates)
    why = fault(
        "crs-does-not-fit",
        epsg=decision.epsg or 0,
        distance_km=distance_km,
        hint_zh=f"相符的坐标系:{better}。" if better else "没有相符的 CGCS2000 分带。",
        hint_en=f"These would fit: {better}." if better else "No CGCS2000 zone would fit.",
    )
    return CrsDecision(
        how="undecided", epsg=decision.epsg, name=decision.name, faults=(why,), candidates=candidates
    )


def _elsewhere(points: Coordinates, district: BaseGeometry) -> tuple[CrsCandidate, ...]:
    """Try all zones for the values with their prefix taken off: a wrong prefix is as common as a wrong code."""
    plain = np.column_stack((points[:, 0] % ZONE_M, points[:, 1]))
    return tuple(sorted(propose_crs(plain, district=district), key=lambda each: -(each.fit or 0.0)))


def _distance_km(placed: Coordinates, district: BaseGeometry) -> float:
    middle, goal = np.median(placed, axis=0), district.centroid
    return float(geodesic("GRS80").inv(middle[0], middle[1], goal.x, goal.y)[2]) / 1000
