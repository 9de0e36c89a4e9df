"""Making an `Inspection`: reading a file, matching its features, and reporting on it.

The heavy work, reading and the quality report, is done by `geo` in subprocesses with bounds of their own (ruling 30),
one file at a time in each worker.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from geo.zones import ZoneKind, circle
from server import problems
from server.places import matching
from server.places.import_schemas import CircleIn, columns_of, parameters_of
from server.places.inspection import Inspection, Seen, Surroundings
from server.places.matching import Meant, Said
from server.places.models import BoundaryImport
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
    said = [Said(each.index, each.code, each.name, each.kind, each.town_code) for each in file.features]
    meant, findings = matching.match(said, kind=kind, scope=around.scope, regions=around.regions)
    return _reported(file, meant, findings + matching.succeeded(meant, around.followed))


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
    with _alone():
        return _reported(file, [meant], findings + matching.succeeded([meant], around.followed))


def _reported(file: BoundaryFile, meant: Sequence[Meant], own: Sequence[Finding]) -> Inspection:
    found = [*(_finding(fault) for fault in file.faults), *own]
    return Inspection(
        features=[
            Seen(one, _whole(feature.geometry), None)
            for one, feature in zip(meant, file.features, strict=True)
        ],
        findings=found,
        report={},
        text_zh=_lines(found, meant, "zh"),
        text_en=_lines(found, meant, "en"),
        svg="",
    )


def _finding(fault: Fault) -> Finding:
    return Finding(
        code=fault.code,
        severity=fault.severity,
        zh=fault.zh,
        en=fault.en,
        features=() if fault.feature is None else (fault.feature,),
        lon=fault.lon,
        lat=fault.lat,
        numbers=dict(fault.numbers),
    )


def _whole(shape: BaseGeometry | None) -> MultiPolygon | None:
    if isinstance(shape, Polygon):
        return MultiPolygon([shape])
    return shape if isinstance(shape, MultiPolygon) else None


def _lines(findings: Sequence[Finding], meant: Sequence[Meant], language: str) -> str:
    names = {one.index: one.name or one.reference for one in meant}
    lines = []
    for finding in findings:
        where = ", ".join(f"{index} {names.get(index, '')}".strip() for index in finding.features[:5])
        text = finding.en if language == "en" else finding.zh
        place = f" {where}" if where else ""
        lines.append(f"[{finding.severity}] {finding.code}{place}: {text}")
    return "\n".join(lines)


def nothing_to_inspect(zones: int) -> Inspection:
    """Return the inspection of an import that only ends zones."""
    zh, en = f"终止 {zones} 个点位。", f"{zones} zones are to end."
    return Inspection(features=[], findings=[], report={"zones": zones}, text_zh=zh, text_en=en, svg="")
