"""What reading a boundary file gives: features in WGS-84, named faults, and how the file was understood."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from geo.crs import CrsCandidate
from geo.faults import Fault, Severity
from geo.reading.raw import Attributes

Area = Polygon | MultiPolygon


@dataclass(frozen=True, kw_only=True)
class ColumnChoice:
    """Which column says what; None: to be recognised by its name and content."""

    code: str | None = None
    name: str | None = None
    town_code: str | None = None
    town_name: str | None = None
    kind: str | None = None
    area_km2: str | None = None


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature. Degrees of WGS-84, longitude first.

    `geometry` is valid and fit to be published, or None. `shape_as_read` is the shape as the file has it, however bad,
    for pictures and for proposals of repair: never to be judged by. `code` has 12 digits for villages and communities.
    `accepted_repair` is the digest of the proposal an importer accepted, when the geometry is not the file's own.
    """

    index: int
    code: str | None
    name: str | None
    kind: str | None
    kind_as_read: str | None
    town_code: str | None
    town_name: str | None
    claimed_area_km2: float | None
    geometry: Area | None
    shape_as_read: BaseGeometry | None
    attributes: Attributes = field(default_factory=dict)
    accepted_repair: str | None = None


@dataclass(frozen=True, kw_only=True)
class CrsReport:
    """How coordinates were read: `how` is given, declared, format, prefix, district, values or undecided."""

    how: str
    epsg: int | None
    name: str
    swapped: bool
    candidates: tuple[CrsCandidate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncodingReport:
    """How texts were decoded, what the file declares, and the first names for a person to check."""

    used: str | None
    how: str
    declared: str | None
    preview: str


@dataclass(frozen=True, kw_only=True)
class BoundaryFile:
    """One layer, feature by feature, with every fault named. Nothing in it was repaired silently."""

    format: str
    layer: str
    filename: str
    sha256: str
    features: tuple[Feature, ...]
    faults: tuple[Fault, ...]
    columns: ColumnChoice
    column_names: tuple[str, ...]
    crs: CrsReport
    encoding: EncodingReport

    def faults_of(self, index: int) -> tuple[Fault, ...]:
        """Give the faults of one feature."""
        return tuple(each for each in self.faults if each.feature == index)

    @property
    def fit(self) -> bool:
        """Whether every feature has a geometry and no fault is an error or waits for a person."""
        grave = {Severity.ERROR, Severity.NEEDS_HUMAN}
        settled = all(feature.geometry is not None for feature in self.features)
        return bool(self.features) and settled and not any(each.severity in grave for each in self.faults)


def digest_of(data: bytes) -> str:
    """Give the SHA-256 by which a file is known afterwards, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def to_message(file: BoundaryFile) -> tuple[dict[str, Any], list[bytes]]:
    """Take a file apart into plain data and WKB, to send it between processes without pickle."""
    blobs: list[bytes] = []

    def put(shape: BaseGeometry | None) -> int | None:
        if shape is None:
            return None
        blobs.append(shapely.to_wkb(shape))
        return len(blobs) - 1

    features = []
    for feature in file.features:
        plain = {each.name: getattr(feature, each.name) for each in fields(feature)}
        plain["shape_as_read"] = put(feature.shape_as_read)
        same = feature.geometry is feature.shape_as_read
        plain["geometry"] = plain["shape_as_read"] if same else put(feature.geometry)
        features.append(plain)
    document = {
        "format": file.format,
        "layer": file.layer,
        "filename": file.filename,
        "sha256": file.sha256,
        "features": features,
        "faults": [each.to_dict() for each in file.faults],
        "columns": asdict(file.columns),
        "column_names": list(file.column_names),
        "crs": {**vars(file.crs), "candidates": [each.to_dict() for each in file.crs.candidates]},
        "encoding": asdict(file.encoding),
    }
    return document, blobs


def from_message(document: Mapping[str, Any], blobs: list[bytes]) -> BoundaryFile:
    """Put together what `to_message` took apart."""

    def shapes(plain: dict[str, Any]) -> dict[str, Any]:
        read = _shape(plain["shape_as_read"], blobs)
        same = plain["geometry"] == plain["shape_as_read"]
        return {
            **plain,
            "shape_as_read": read,
            "geometry": read if same else _shape(plain["geometry"], blobs),
        }

    candidates = tuple(
        CrsCandidate(**{**each, "box": tuple(each["box"]) if each["box"] else None})
        for each in document["crs"]["candidates"]
    )
    return BoundaryFile(
        format=document["format"],
        layer=document["layer"],
        filename=document["filename"],
        sha256=document["sha256"],
        features=tuple(Feature(**shapes(each)) for each in document["features"]),
        faults=tuple(Fault.from_dict(each) for each in document["faults"]),
        columns=ColumnChoice(**document["columns"]),
        column_names=tuple(document["column_names"]),
        crs=CrsReport(**{**document["crs"], "candidates": candidates}),
        encoding=EncodingReport(**document["encoding"]),
    )


def _shape(number: int | None, blobs: list[bytes]) -> Any:  # noqa: ANN401  The caller knows which kind it is.
    return None if number is None else shapely.from_wkb(blobs[number])
