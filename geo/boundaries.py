"""Reading boundary files: GeoJSON, Shapefile (zipped), GeoPackage and KML, into features and named faults.

    file = read(data, "村界.zip", district=outline)
    file.features, file.faults

One bad ring is one fault of one feature: it never refuses the file, and nothing is repaired silently. What the file
costs is bounded by `Limits`; the work is done in a subprocess (`geo.sandbox`), so a hostile file ends that and no more.
"""

from dataclasses import asdict
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import (
    BoundaryFile,
    ColumnChoice,
    CrsReport,
    EncodingReport,
    Feature,
    from_message,
    to_message,
)
from geo.crs import CrsCandidate, CrsChoice, propose_crs
from geo.datum import Datum
from geo.faults import Fault, Severity, UnreadableFileError, fault
from geo.reading.parse import read_here
from geo.reading.raw import Limits
from geo.sandbox import Message, run

__all__ = [
    "BoundaryFile",
    "ColumnChoice",
    "CrsCandidate",
    "CrsChoice",
    "CrsReport",
    "EncodingReport",
    "Fault",
    "Feature",
    "Limits",
    "Severity",
    "UnreadableFileError",
    "fault",
    "propose_crs",
    "read",
    "read_here",
]


def read(
    data: bytes,
    filename: str,
    *,
    columns: ColumnChoice | None = None,
    crs: CrsChoice | None = None,
    encoding: str | None = None,
    layer: str | None = None,
    district: BaseGeometry | None = None,
    limits: Limits | None = None,
) -> BoundaryFile:
    """Read a boundary file in a limited subprocess.

    `columns`, `crs`, `encoding` and `layer` are what a person chose where the file leaves it open; `district` is the
    district's outline in WGS-84, against which an unstated or wrong zone shows (edges 42, 43). Raises
    UnreadableFileError, with the fault, when the file as a whole cannot be read: unknown format, beyond the limits,
    hostile. Everything else is a fault in the result.
    """
    limits = limits or Limits()
    if len(data) > limits.file_bytes:
        raise UnreadableFileError(fault("file-too-large", bytes=len(data), limit_bytes=limits.file_bytes))
    request = {
        "filename": filename,
        "columns": None if columns is None else asdict(columns),
        "crs": None if crs is None else asdict(crs),
        "encoding": encoding,
        "layer": layer,
        "limits": asdict(limits),
    }
    blobs = [data] if district is None else [data, shapely.to_wkb(district)]
    document, shapes = run(
        "read", request, blobs, memory_bytes=limits.memory_bytes, cpu_s=limits.cpu_s, wall_s=limits.wall_s
    )
    return from_message(document, shapes)


def answer_read(request: dict[str, Any], blobs: list[bytes]) -> Message:
    """Do the reading that `read` asked for; runs in the subprocess."""
    choice = request["crs"]
    if choice is not None:
        parameters = choice["to_wgs84_parameters"]
        seven = None if parameters is None else tuple(parameters)
        choice = {**choice, "to_wgs84_parameters": seven, "datum": Datum(choice["datum"])}
    file = read_here(
        blobs[0],
        request["filename"],
        columns=None if request["columns"] is None else ColumnChoice(**request["columns"]),
        crs=None if choice is None else CrsChoice(**choice),
        encoding=request["encoding"],
        layer=request["layer"],
        district=shapely.from_wkb(blobs[1]) if len(blobs) > 1 else None,
        limits=Limits(**request["limits"]),
    )
    return to_message(file)
