"""Findings of the quality report: what was found, how grave it is, which features it concerns, where, and what to do."""

from dataclasses import dataclass, field
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import Feature
from geo.fault_texts import TEXTS as FAULT_TEXTS
from geo.faults import Fault, Severity
from geo.finding_texts import STEPS, TEXTS
from geo.reading.words import clip
from geo.repairs import RepairProposal


@dataclass(frozen=True, kw_only=True)
class FeatureRef:
    """Points at a feature of the file by its index, or (index None) at a zone already published by its code."""

    index: int | None
    code: str | None
    name: str | None

    def __str__(self) -> str:
        words = [word for word in (self.name, self.code) if word]
        return " ".join(words) or f"#{self.index}"


def ref_of(feature: Feature) -> FeatureRef:
    """Point at a feature of the file."""
    return FeatureRef(
        index=feature.index, code=feature.code, name=clip(feature.name, 60) if feature.name else None
    )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding. `lon`, `lat` (WGS-84) say where; `shape` is the overlap, gap or the like; numbers name their units."""

    code: str
    severity: Severity
    zh: str
    en: str
    features: tuple[FeatureRef, ...] = ()
    lon: float | None = None
    lat: float | None = None
    numbers: dict[str, float | str] = field(default_factory=dict)
    shape: BaseGeometry | None = None
    repair: RepairProposal | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain data for JSON, without geometries."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "zh": self.zh,
            "en": self.en,
            "features": [vars(each) for each in self.features],
            "lon": self.lon,
            "lat": self.lat,
            "numbers": dict(self.numbers),
            "repair": None if self.repair is None else repair_to_dict(self.repair),
        }


def finding(
    code: str,
    /,
    *features: FeatureRef,
    at: BaseGeometry | None = None,
    shape: BaseGeometry | None = None,
    repair: RepairProposal | None = None,
    **numbers: float | str,
) -> Finding:
    """Make a finding from the catalogue. `at` is a WGS-84 point or shape; its place is a point surely on it."""
    severity, zh, en = TEXTS[code]
    where = at if at is not None else shape
    point = shapely.point_on_surface(where) if where is not None and not where.is_empty else None
    return Finding(
        code=code,
        severity=Severity(severity),
        zh=zh.format(**numbers),
        en=en.format(**numbers),
        features=features,
        lon=None if point is None else round(float(shapely.get_x(point)), 7),
        lat=None if point is None else round(float(shapely.get_y(point)), 7),
        numbers=dict(numbers),
        shape=shape,
        repair=repair,
    )


def place_of(feature: Feature | None) -> tuple[float | None, float | None]:
    """Give a place on a feature, for findings about the feature as a whole: the middle of its box where it is broken."""
    shape = None if feature is None else feature.shape_as_read
    if feature is None or shape is None or shape.is_empty:
        return None, None
    point = shapely.box(*shape.bounds).centroid if feature.geometry is None else shape.point_on_surface()
    return round(float(shapely.get_x(point)), 7), round(float(shapely.get_y(point)), 7)


def of_fault(fault: Fault, features: dict[int, Feature]) -> Finding:
    """Take over a fault of reading as a finding."""
    feature = features.get(fault.feature) if fault.feature is not None else None
    place = (fault.lon, fault.lat) if fault.lon is not None else place_of(feature)
    return Finding(
        code=fault.code,
        severity=fault.severity,
        zh=fault.zh,
        en=fault.en,
        features=() if feature is None else (ref_of(feature),),
        lon=place[0],
        lat=place[1],
        numbers=dict(fault.numbers),
    )


def of_repair(proposal: RepairProposal, feature: Feature) -> Finding:
    """Tell a proposal of repair."""
    return finding(
        "repair-needs-human" if proposal.needs_human else "repair-proposed",
        ref_of(feature),
        at=proposal.geometry,
        repair=proposal,
        steps_zh="、".join(STEPS[step][0] for step in proposal.steps),
        steps_en=", ".join(STEPS[step][1] for step in proposal.steps),
        vertices_before=proposal.vertices_before,
        vertices_after=proposal.vertices_after,
        area_before_m2=round(proposal.area_before_m2, 1),
        area_after_m2=round(proposal.area_after_m2, 1),
        change_percent=round(100 * proposal.change_share, 4),
    )


def repair_to_dict(repair: RepairProposal) -> dict[str, Any]:
    """Give a proposal as plain data, without its geometry, which the digest identifies."""
    return {key: value for key, value in vars(repair).items() if key != "geometry"} | {
        "steps": list(repair.steps)
    }


KNOWN_CODES = frozenset(TEXTS) | frozenset(FAULT_TEXTS)
"""Every code a finding can have."""
