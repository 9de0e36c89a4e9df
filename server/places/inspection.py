"""Looking at a boundary file before anything of it is stored: what its features mean and what stands against them.

The heavy work, reading and the quality report, is done by `geo` in subprocesses with bounds of their own (ruling 30).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from server.places.matching import Known, Meant
from server.places.rules import Finding

if TYPE_CHECKING:  # Where nothing is inspected, what inspects is not loaded.
    from geo.quality import PublishedZone


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a file is checked against. Shapes are WGS-84."""

    scope: str
    regions: Mapping[str, Known]
    followed: Mapping[str, str]  # Villages that another one follows by the day the boundaries hold from.
    district: BaseGeometry | None
    neighbours: "Sequence[PublishedZone]"  # In force in the district, the file's own zones among them.


@dataclass(frozen=True, slots=True)
class Seen:
    """One feature: what it means, its shape when it is fit to be published, and the proposed repair of one that is not."""

    meant: Meant
    shape: MultiPolygon | None
    repaired: MultiPolygon | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What there is to know of an import before a person decides."""

    features: Sequence[Seen]
    findings: Sequence[Finding]
    report: Mapping[str, Any]
    text_zh: str
    text_en: str
    svg: str
