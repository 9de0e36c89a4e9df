"""What goes over the wire about regions and zones."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from geo.zones import ZoneKind
from server.given import Day, Trimmed
from server.places.models import ZoneVersion
from server.places.rules import RegionKind

RegionCode = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{12}$"),
    Field(description="12 位统计用区划代码 / 12-digit statistical code", examples=["500116101200"]),
]
RegionPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{2,12}$"),
    Field(description="区划代码前缀 / prefix of region codes", examples=["500116101"]),
]


class Out(BaseModel):
    """What goes out: exactly the fields named here."""

    model_config = ConfigDict(from_attributes=True)


class RegionOut(Out):
    """A region as it is now (区划)."""

    code: str
    name: str
    kind: RegionKind
    urban_rural_class: str | None
    parent_code: str | None
    valid_from: date
    valid_until: date | None = Field(description="停用首日，空为有效 / first day after, null while valid")


class RegionNameOut(Out):
    """What a region was called from a day on."""

    name: str
    kind: RegionKind
    urban_rural_class: str | None
    from_day: date


class SuccessorIn(Trimmed):
    """The region that follows another one."""

    to_code: RegionCode
    from_day: Day


class SuccessorOut(Out):
    """From `from_day` on, postings in `from_code` are postings in `to_code`."""

    from_code: str
    to_code: str
    from_day: date


class RegionDetailOut(RegionOut):
    """A region with its history and what became of it."""

    history: list[RegionNameOut]
    successor: SuccessorOut | None
    predecessors: list[SuccessorOut]


class RegionImportOut(Out):
    """What importing a table of regions did, or would do."""

    dry_run: bool
    new: int
    changed: list[str] = Field(description="变更的代码 / codes that changed")
    unchanged: int


class ZoneOut(Out):
    """A zone with the version in force, without its shape (点位范围)."""

    id: UUID
    kind: ZoneKind
    region_code: str
    reference: str = Field(description="来源中的编号 / the source's own code")
    name: str
    version_id: UUID
    accuracy_m: float
    area_m2: float
    vertices: int
    valid_from: datetime
    valid_until: datetime | None


class ZoneVersionOut(Out):
    """One version of a zone, without its shape. `ended` true: from `valid_from` on there is no zone."""

    id: UUID
    seq: int
    zone_id: UUID
    name: str
    ended: bool
    accuracy_m: float
    area_m2: float
    vertices: int
    valid_from: datetime
    valid_until: datetime | None
    published_at: datetime
    published_by: UUID | None
    import_id: UUID | None
    sha256: str

    @classmethod
    def of(cls, row: ZoneVersion) -> Self:
        """Show a stored version."""
        own = {name: getattr(row, name) for name in cls.model_fields if name != "sha256"}
        return cls(**own, sha256=row.sha256.hex())


class ZoneFeatureOut(Out):
    """A GeoJSON feature (RFC 7946): WGS-84, longitude before latitude."""

    type: Literal["Feature"] = "Feature"
    id: str
    geometry: dict[str, Any] | None
    properties: dict[str, Any]
