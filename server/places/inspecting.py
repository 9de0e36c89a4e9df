"""Making an `Inspection`: reading a file, matching its features, and reporting on it.

The heavy work, reading and the quality report, is done by `geo` in subprocesses with bounds of their own (ruling 30),
one file at a time in each worker.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from geo import boundaries
from geo.boundaries import (
    BoundaryFile,
    ColumnChoice,
    CrsChoice,
    CrsReport,
    EncodingReport,
    Fault,
    Feature,
    UnreadableFileError,
)
from geo.fault_texts import GEOMETRY_FAULTS
from geo.faults import Severity
from geo.finding_texts import TEXTS
from geo.picture import draw
from geo.quality import QualityReport, quality_report
from geo.quality_messages import bounded_report
from geo.zones import ZoneKind, circle
from server import problems
from server.places import matching, rules
from server.places.import_schemas import CircleIn, columns_of, parameters_of
from server.places.inspection import Inspection, Seen, Surroundings
from server.places.matching import Meant, Said
from server.places.models import BoundaryImport
from server.places.region_table import LONGEST_NAME
from server.places.rules import Finding
from server.problems import FieldFault, Problem

_WAIT_FOR_ANOTHER_S: Final = 30.0
_one_file = threading.BoundedSemaphore(1)


@contextmanager
def _alone() -> Iterator[None]:
    if not _one_file.acquire(timeout=_WAIT_FOR_ANOTHER_S):
        raise Problem(
            problems.BUSY,
            zh="正在处理另一个边界文件，请稍后再试。",
            en="Another boundary file is being read; try again shortly.",
            headers={"Retry-After": "30"},
        )
    try:
        yield
    finally:
        _one_file.release()


def inspect_file(data: bytes, draft: BoundaryImport, around: Surroundings) -> Inspection:
    """Read a boundary file and look at every feature. Raises file-unreadable when there is nothing to look at."""
    try:
        with _alone():
            file = read(data, draft, around.district)
            return _inspected(file, draft, around)
    except UnreadableFileError as error:
        raise _unreadable(error.fault) from error


def read(data: bytes, draft: BoundaryImport, district: BaseGeometry | None) -> BoundaryFile:
    """Read a file as the import's options say, in a bounded subprocess. Raises UnreadableFileError."""
    options = draft.options
    epsg = options.get("crs")
    chosen = columns_of(options.get("columns"))
    return boundaries.read(
        data,
        draft.filename,
        columns=ColumnChoice(**chosen) if chosen else None,
        crs=None
        if epsg is None
        else CrsChoice(
            epsg=epsg,
            swapped=bool(options.get("swapped")),
            to_wgs84_parameters=parameters_of(options.get("to_wgs84")),
        ),
        encoding=options.get("encoding"),
        layer=options.get("layer"),
        district=district,
    )


def read_outline(data: bytes, filename: str) -> MultiPolygon:
    """Return the outline of a district from a file with one area. Raises file-unreadable, also for several areas."""
    try:
        with _alone():
            file = boundaries.read(data, filename)
    except UnreadableFileError as error:
        raise _unreadable(error.fault) from error
    shapes = [_whole(each.geometry) for each in file.features]
    if len(shapes) == 1 and shapes[0] is not None:
        return shapes[0]
    zh, en = "区县轮廓应为恰好一个有效的面。", "The outline of a district is exactly one valid area."
    raise Problem(
        problems.FILE_UNREADABLE,
        zh=zh,
        en=en,
        errors=[FieldFault("file", each.code, each.zh, each.en) for each in file.faults[:100]],
    )


def _unreadable(fault: Fault) -> Problem:
    return Problem(
        problems.FILE_UNREADABLE,
        zh=fault.zh,
        en=fault.en,
        errors=[FieldFault("file", fault.code, fault.zh, fault.en)],
    )


def _inspected(file: BoundaryFile, draft: BoundaryImport, around: Surroundings) -> Inspection:
    kind = None if draft.kind is None else ZoneKind(draft.kind)
    if kind is not None:
        # What the importer said of features that do not say it themselves holds for the report too.
        said_so = [
            each if each.kind_as_read else replace(each, kind=kind.value, kind_as_read=kind.value)
            for each in file.features
        ]
        file = replace(file, features=tuple(said_so))
    said = [
        Said(each.index, _name(each.code), _name(each.name), each.kind, each.town_code)
        for each in file.features
    ]
    meant, findings = matching.match(said, kind=kind, scope=around.scope, regions=around.regions)
    findings += matching.succeeded(meant, around.followed)
    quality = bounded_report(file, district=around.district, neighbours=around.neighbours)
    picture = draw(file, quality, district=around.district, caption=draft.options.get("caption"))
    return _reported(file, quality, meant, findings, picture)


def inspect_circle(given: CircleIn, around: Surroundings) -> Inspection:
    """Draw the circle, and look at it like at a file with one feature."""
    meant, findings = matching.place(
        Meant(0, given.reference or given.name, given.name, given.kind, given.region_code),
        regions=around.regions,
    )
    shape = circle(lon=given.lon, lat=given.lat, radius_m=given.radius_m)
    feature = Feature(
        index=0,
        code=meant.reference,
        name=given.name,
        kind=given.kind.value,
        kind_as_read=given.kind.value,
        town_code=given.region_code[:9],
        town_name=None,
        claimed_area_km2=None,
        geometry=shape,
        shape_as_read=shape,
    )
    file = BoundaryFile(
        format="circle",
        layer="",
        filename=given.name,
        sha256="",
        features=(feature,),
        faults=(),
        columns=ColumnChoice(),
        column_names=(),
        crs=CrsReport(how="given", epsg=4326, name="WGS 84", swapped=False),
        encoding=EncodingReport(used=None, how="given", declared=None, preview=given.name),
    )
    own = findings + matching.succeeded([meant], around.followed)
    quality = quality_report(file, district=around.district, neighbours=around.neighbours)
    return _reported(file, quality, [meant], own, draw(file, quality, district=around.district))


def _name(text: str | None) -> str | None:
    return None if text is None else rules.storable(text.strip(), LONGEST_NAME) or None


def _reported(
    file: BoundaryFile, quality: QualityReport, meant: Sequence[Meant], own: Sequence[Finding], svg: str
) -> Inspection:
    repairs = {repair.feature: _whole(repair.geometry) for repair in quality.repairs}
    findings = [*_all_of(file, quality, repairs.keys()), *own]
    plain = rules.storable_all(quality.to_dict())
    return Inspection(
        features=[
            Seen(one, _whole(feature.geometry), repairs.get(feature.index))
            for one, feature in zip(meant, file.features, strict=True)
        ],
        findings=[Finding.from_dict(rules.storable_all(each.to_dict())) for each in findings],
        report={name: plain[name] for name in ("filename", "format", "crs", "encoding", "measures")},
        text_zh=rules.storable(_with(quality.text("zh"), own, meant, "zh")),
        text_en=rules.storable(_with(quality.text("en"), own, meant, "en")),
        svg=rules.storable(svg, most=len(svg)),
    )


def _all_of(file: BoundaryFile, quality: QualityReport, repairs: Collection[int]) -> list[Finding]:
    """Return every finding of reading and of the report.

    The report lists so many of a kind and counts the rest. Faults of reading are all taken from the file itself; where
    others that are grave were only counted, a person must say that the whole file may pass.
    """
    faults = [_of_fault(fault, repairs) for fault in file.faults]
    read = {fault.code for fault in file.faults}
    found = []
    for each in quality.findings:
        indexes = tuple(ref.index for ref in each.features if ref.index is not None)
        severity = each.severity
        if each.code in read:
            continue
        if each.features and not indexes:
            severity = Severity.NOTE  # It is about zones in force alone; this file cannot help it.
        uncounted = each.code == "more-findings" and _is_grave(str(each.numbers["of_code"]))
        if each.code == "more-findings" and str(each.numbers["of_code"]) in read:
            continue
        found.append(
            Finding(
                code=each.code,
                severity=Severity.NEEDS_HUMAN if uncounted else severity,
                zh=each.zh,
                en=each.en,
                features=indexes,
                mendable=each.code in rules.REPAIRS,
                lon=each.lon,
                lat=each.lat,
                numbers=each.numbers,
            )
        )
    return faults + found


def _is_grave(code: str) -> bool:
    return TEXTS[code][0] in {Severity.ERROR.value, Severity.NEEDS_HUMAN.value}


def _of_fault(fault: Fault, repairs: Collection[int]) -> Finding:
    return Finding(
        code=fault.code,
        severity=fault.severity,
        zh=fault.zh,
        en=fault.en,
        features=() if fault.feature is None else (fault.feature,),
        mendable=fault.feature in repairs and fault.code in GEOMETRY_FAULTS,
        lon=fault.lon,
        lat=fault.lat,
        numbers=dict(fault.numbers),
    )


def _whole(shape: BaseGeometry | None) -> MultiPolygon | None:
    if isinstance(shape, Polygon):
        return MultiPolygon([shape])
    return shape if isinstance(shape, MultiPolygon) else None


def _with(text: str, own: Sequence[Finding], meant: Sequence[Meant], language: str) -> str:
    """Return the report's text with what the register of regions says against the features."""
    if not own:
        return text
    english = language == "en"
    names = {one.index: f"{one.name} {one.reference}".strip() for one in meant}
    lines = ["Against the register of regions" if english else "与区划表核对"]
    for finding in own:
        where = "; ".join(names.get(index, str(index)) for index in finding.features[:5])
        lines.append(f"  [{finding.code}] {where}: {finding.en if english else finding.zh}")
    return "\n".join([text.rstrip("\n"), "", *lines])


def nothing_to_inspect(zones: int) -> Inspection:
    """Return the inspection of an import that only ends zones."""
    zh, en = f"终止 {zones} 个点位。", f"{zones} zones are to end."
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="420" height="60"><text x="20" y="36">{zh}</text></svg>'
    return Inspection(features=[], findings=[], report={"zones": zones}, text_zh=zh, text_en=en, svg=svg)
