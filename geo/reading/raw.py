"""What a parser hands on: features as the file has them, before any reference system or repair."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geo.faults import Fault, fault, unreadable

Ring = NDArray[np.float64]  # Shape (n, 2): x, y as the file has them.
Attributes = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what a file may cost (security.md S8). Beyond them it is refused with a named fault.

    Bytes and counts are inclusive; `memory_bytes` and the times bind the reading subprocess.
    """

    file_bytes: int = 64 * 2**20
    unzipped_bytes: int = 192 * 2**20
    zip_ratio: int = 200
    zip_members: int = 200
    features: int = 20_000
    vertices_per_feature: int = 100_000
    vertices_in_all: int = 3_000_000
    rings_per_feature: int = 1_000
    fields_per_feature: int = 300
    attribute_bytes: int = 32 * 2**20
    faults_per_feature: int = 20
    memory_bytes: int = 256 * 2**20
    cpu_s: int = 60
    wall_s: float = 90.0


@dataclass(kw_only=True)
class RawShape:
    """Rings as read. `parts` are polygons (shell first, then holes); `flat` means one part of unsorted rings."""

    parts: list[list[Ring]]
    flat: bool = False
    others: tuple[str, ...] = ()
    has_third: bool = False


@dataclass(kw_only=True)
class RawFeature:
    """One feature: its place in the file, what it says, its shape if it could be parsed, and its faults."""

    index: int
    attributes: Attributes
    shape: RawShape | None = None
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DeclaredCrs:
    """What the file says of its reference system: an EPSG code, or WKT, or a text that says neither."""

    text: str
    epsg: int | None = None
    wkt: str | None = None


@dataclass(kw_only=True)
class RawLayer:
    """One layer of a file.

    `degrees_by_format`: the format itself prescribes WGS-84 (RFC 7946 section 4; KML). `encoding_how`: as in `Encoding`.
    """

    format: str
    name: str
    features: list[RawFeature]
    columns: list[str]
    faults: list[Fault] = field(default_factory=list)
    declared_crs: DeclaredCrs | None = None
    degrees_by_format: bool = False
    cut_columns: bool = False
    encoding: str | None = None
    encoding_how: str = "declared"
    encoding_declared: str | None = None


class Budget:
    """Counts features, vertices and text while a file is parsed, and refuses the file at the first excess."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._features = 0
        self._vertices = 0
        self._text_bytes = 0

    def feature(self) -> None:
        """Count a feature."""
        self._features += 1
        if self._features > self.limits.features:
            raise unreadable("too-many-features", limit_features=self.limits.features)

    def attributes(self, given: Attributes) -> None:
        """Count the fields and the text of a feature."""
        self._text_bytes += sum(len(value) for value in given.values() if isinstance(value, str))
        self._check_text(self._text_bytes, len(given))

    def text_before_parsing(self, text_bytes: int) -> None:
        """Refuse a feature whose text alone, coordinates apart, is more than all attributes may be."""
        self._check_text(text_bytes, 0)

    def _check_text(self, text_bytes: int, fields: int) -> None:
        if fields > self.limits.fields_per_feature or text_bytes > self.limits.attribute_bytes:
            raise unreadable(
                "attributes-too-large",
                limit_fields=self.limits.fields_per_feature,
                limit_bytes=self.limits.attribute_bytes,
            )

    def shape(self, index: int, *, vertices: int, rings: int) -> Fault | None:
        """Count a shape before it is read: a fault when it alone is too large, a refusal when all are."""
        if vertices > self.limits.vertices_per_feature:
            return fault("too-many-vertices", feature=index, limit_vertices=self.limits.vertices_per_feature)
        if rings > self.limits.rings_per_feature:
            return fault("too-many-rings", feature=index, limit_rings=self.limits.rings_per_feature)
        self._vertices += vertices
        if self._vertices > self.limits.vertices_in_all:
            raise unreadable("too-many-vertices-in-all", limit_vertices=self.limits.vertices_in_all)
        return None


class ShapeError(Exception):
    """One shape cannot be read; carries the fault of its feature. Parsers catch it feature by feature."""

    def __init__(self, why: Fault) -> None:
        super().__init__(why.code)
        self.fault = why
