"""The quality report in a limited subprocess: the request, the answer, and both taken apart and put together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import BoundaryFile, from_message, to_message
from geo.faults import Severity
from geo.findings import FeatureRef, Finding
from geo.quality import Measure, PublishedZone, QualityReport, quality_report
from geo.reading.raw import Limits
from geo.repairs import RepairProposal
from geo.sandbox import Message, run


def bounded_report(
    file: BoundaryFile,
    *,
    district: BaseGeometry | None = None,
    neighbours: Sequence[PublishedZone] = (),
    claimed_areas_km2: Mapping[str, float] | None = None,
    limits: Limits | None = None,
) -> QualityReport:
    """Do `geo.quality.quality_report` in a subprocess within the limits' memory and times.

    Raises UnreadableFileError with `too-slow` or `too-much-memory` when the geometry is beyond them.
    """
    limits = limits or Limits()
    document, blobs = to_message(file)
    request = {
        "file": document,
        "district": None if district is None else _put(district, blobs),
        "neighbours": [
            {"code": zone.code, "name": zone.name, "kind": zone.kind, "geometry": _put(zone.geometry, blobs)}
            for zone in neighbours
        ],
        "claimed_areas_km2": dict(claimed_areas_km2 or {}),
    }
    answer, shapes = run(
        "report", request, blobs, memory_bytes=limits.memory_bytes, cpu_s=limits.cpu_s, wall_s=limits.wall_s
    )
    return _report_of(answer, shapes)


def answer_report(request: dict[str, Any], blobs: list[bytes]) -> Message:
    """Do the report that `bounded_report` asked for; runs in the subprocess."""
    neighbours = [
        PublishedZone(**{**each, "geometry": shapely.from_wkb(blobs[each["geometry"]])})
        for each in request["neighbours"]
    ]
    report = quality_report(
        from_message(request["file"], blobs),
        district=None if request["district"] is None else shapely.from_wkb(blobs[request["district"]]),
        neighbours=neighbours,
        claimed_areas_km2=request["claimed_areas_km2"],
    )
    shapes: list[bytes] = []
    return _document_of(report, shapes), shapes


def _put(shape: BaseGeometry, blobs: list[bytes]) -> int:
    blobs.append(shapely.to_wkb(shape))
    return len(blobs) - 1


def _document_of(report: QualityReport, blobs: list[bytes]) -> dict[str, Any]:
    findings = []
    for each in report.findings:
        plain = {
            **vars(each),
            "features": [asdict(ref) for ref in each.features],
            "shape": None if each.shape is None else _put(each.shape, blobs),
            "repair": None,
        }
        if each.repair is not None:
            plain["repair"] = {**vars(each.repair), "geometry": _put(each.repair.geometry, blobs)}
        findings.append(plain)
    return {
        **vars(report),
        "findings": findings,
        "measures": [{**vars(each), "ref": asdict(each.ref)} for each in report.measures],
    }


def _report_of(document: dict[str, Any], blobs: list[bytes]) -> QualityReport:
    measures = tuple(Measure(**{**each, "ref": FeatureRef(**each["ref"])}) for each in document["measures"])
    findings = tuple(_finding_of(each, blobs) for each in document["findings"])
    return QualityReport(**{**document, "findings": findings, "measures": measures})


def _finding_of(plain: dict[str, Any], blobs: list[bytes]) -> Finding:
    repair = plain["repair"]
    if repair is not None:
        shape = shapely.from_wkb(blobs[repair["geometry"]])
        repair = RepairProposal(**{**repair, "geometry": shape, "steps": tuple(repair["steps"])})
    return Finding(
        **{
            **plain,
            "severity": Severity(plain["severity"]),
            "features": tuple(FeatureRef(**each) for each in plain["features"]),
            "shape": None if plain["shape"] is None else shapely.from_wkb(blobs[plain["shape"]]),
            "repair": repair,
        }
    )
