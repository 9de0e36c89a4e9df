"""What goes over the wire about boundary imports. The command line checks its options with the same schemas."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from geo.faults import Severity
from geo.zones import ZoneKind
from server.given import CLOCK, DAY, ZONE, Id, Shape, Trimmed, Word
from server.places import rules
from server.places.hooks import Effect
from server.places.models import BoundaryImport
from server.places.plans import Plan, Step
from server.places.rules import ImportState, Source
from server.places.schemas import Out, RegionCode, RegionPrefix

_LARGEST_RADIUS_M = 50_000


def _instant(value: object) -> object:
    """Read a day as its beginning in Beijing; anything else is left to be read as an instant with its zone."""
    try:
        return rules.midnight(date.fromisoformat(str(value)))
    except ValueError:
        return value


Instant = Annotated[
    AwareDatetime,
    Strict(strict=False),
    BeforeValidator(_instant),
    Shape(
        f"{DAY}(?:[Tt]{CLOCK}{ZONE})?",
        code="datetime_parsing",
        en="written as RFC 3339 says, 2026-11-22T08:00:00+08:00, or as a day",
    ),
    Field(
        description="日期（北京时间零点）或带时区的时刻 / a day (midnight in Beijing) or an instant with its zone"
    ),
]
Accuracy = Annotated[
    float,
    Field(
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="来源声明的边界精度（米，68 % 半径）/ stated accuracy of the source, metres, a 68 % radius",
    ),
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
_ROLES = ("code", "name", "town_code", "town_name", "kind", "area_km2")
_SEVEN, _THREE = 7, 3


def columns_of(text: str | None) -> dict[str, str]:
    """Read ``code=XZQDM,name=XZQMC``. ValueError names what is wrong."""
    chosen: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        role, separator, column = (each.strip() for each in part.partition("="))
        if not separator or not column or role not in _ROLES:
            raise ValueError(
                f"columns: write {', '.join(f'{each}=COLUMN' for each in _ROLES)}, not {part.strip()!r}"
            )
        chosen[role] = column
    return chosen


def parameters_of(text: str | None) -> tuple[float, ...] | None:
    """Read the three or seven parameters of a transformation to WGS-84, separated by commas. ValueError otherwise."""
    if text is None:
        return None
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) not in {_THREE, _SEVEN}:
        raise ValueError("to_wgs84: three or seven numbers, separated by commas")
    return numbers


class Validity(Trimmed):
    """From when and until when the boundaries hold."""

    valid_from: Instant
    valid_until: Instant | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Validity":
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("valid_until must come after valid_from")
        return self


class FileImportIn(Validity):
    """How a boundary file is to be read, and what its boundaries are to be. It comes in the query: all is text."""

    model_config = ConfigDict(strict=False)

    id: UUID = Field(description="客户端生成的编号，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    filename: Words = Field(examples=["村界.zip"])
    accuracy_m: Accuracy
    kind: ZoneKind | None = Field(
        None, description="缺省由每个要素自己说明 / default: every feature says its own"
    )
    region: RegionPrefix | None = Field(
        None, description="导入的范围，缺省为本人范围 / what the import is about; default: your own region"
    )
    crs: int | None = Field(None, ge=1024, le=32767, description="EPSG 代码 / EPSG code", examples=[4490])
    swapped: bool = Field(False, description="坐标轴互换 / the axes are swapped")
    to_wgs84: Words | None = Field(
        None, description="旧基准的三或七参数 / three or seven parameters of an old datum"
    )
    columns: Words | None = Field(None, examples=["code=XZQDM,name=XZQMC"])
    encoding: Words | None = Field(None, examples=["gb18030"])
    layer: Words | None = None
    caption: Words | None = Field(None, description="须写在图上的话 / a line that the picture must bear")
    whole: bool = Field(
        False, description="文件即该范围全部，缺者终止 / the file is all there is: zones that it lacks end"
    )

    @model_validator(mode="after")
    def _readable(self) -> "FileImportIn":
        columns_of(self.columns)
        parameters_of(self.to_wgs84)
        if (self.swapped or self.to_wgs84) and self.crs is None:
            raise ValueError("swapped and to_wgs84 need crs")
        return self


class CircleIn(Validity):
    """A place known by a point and a radius (edge 50). WGS-84."""

    id: Id
    kind: Word[ZoneKind]
    region_code: RegionCode
    name: Words
    reference: Words | None = Field(None, description="缺省为名称 / default: the name")
    lon: float = Field(ge=73, le=136, allow_inf_nan=False)
    lat: float = Field(ge=3, le=54, allow_inf_nan=False)
    radius_m: float = Field(gt=0, le=_LARGEST_RADIUS_M, allow_inf_nan=False)
    accuracy_m: Accuracy


class EndingIn(Validity):
    """Zones that are to end at `valid_from`; with `valid_until` they only pause (edge 51)."""

    id: Id
    region: RegionPrefix | None = None
    zones: list[Id] = Field(min_length=1, max_length=500)


class ImportOut(Out):
    """A boundary import (边界导入)."""

    id: UUID
    source: Source
    filename: str
    sha256: str
    size_bytes: int
    kind: ZoneKind | None
    region: str
    accuracy_m: float
    valid_from: datetime
    valid_until: datetime | None
    options: dict[str, Any]
    state: ImportState
    version: int
    imported_at: datetime
    imported_by: UUID | None
    decided_at: datetime | None
    decided_by: UUID | None
    decision_note: str | None
    outcome: dict[str, Any] | None

    @classmethod
    def of(cls, row: BoundaryImport) -> Self:
        """Show a stored import."""
        own = {name: getattr(row, name) for name in cls.model_fields if name != "sha256"}
        return cls(**own, sha256=row.sha256.hex())


class FindingOut(Out):
    """What was found at some features, or (none named) in the file as a whole."""

    code: str
    severity: Severity
    zh: str
    en: str
    features: list[int]
    mendable: bool = Field(description="接受修复方案即可解决 / settled by accepting the proposed repair")


class AcceptedIn(Trimmed):
    """Findings of one feature that a person looked at; `index` -1 stands for the whole file."""

    index: int = Field(ge=-1)
    codes: list[Words] = Field(min_length=1, max_length=50)


class AcceptIn(Trimmed):
    """What is accepted: proposed repairs, and findings that need a human."""

    features: list[AcceptedIn] = Field(min_length=1, max_length=20_000)


class DecisionIn(Trimmed):
    """Why an import is rejected."""

    note: Words


class RefusedOut(Out):
    """A feature that is left out, and why."""

    index: int
    reference: str
    name: str
    findings: list[FindingOut]


class StepOut(Out):
    """A zone that would get a new version. `overlap_share`: how much of the old area stays inside the new one."""

    zone_id: UUID | None = Field(description="新点位为空 / null for a new zone")
    kind: ZoneKind
    region_code: str
    reference: str
    name: str
    area_before_m2: float | None
    area_after_m2: float
    overlap_share: float | None
    replaces_later: int = Field(
        description="将被取代的、更晚生效的版本数 / versions valid from a later day that this one replaces"
    )

    @classmethod
    def of(cls, step: Step, overlap_share: float | None) -> Self:
        """Show one step of a plan."""
        return cls(
            zone_id=None if step.new_zone else step.change.zone_id,
            kind=step.change.kind,
            region_code=step.change.region_code,
            reference=step.reference,
            name=step.change.name,
            area_before_m2=step.before.area_m2 if step.before else None,
            area_after_m2=step.area_m2,
            overlap_share=overlap_share,
            replaces_later=step.replaces_later,
        )


class EffectOut(Out):
    """How many stored check-ins, of how many people, would be judged differently."""

    check_ins: int
    people: int


class DryRunOut(Out):
    """What publishing would do now (试运行)."""

    new: list[StepOut]
    changed: list[StepOut]
    ended: list[StepOut]
    unchanged: int
    refused: list[RefusedOut]
    effect: EffectOut | None = Field(description="无法得知时为空 / null when it cannot be told")

    @classmethod
    def of(cls, plan: Plan, overlaps: Mapping[UUID, float], effect: Effect | None) -> Self:
        """Show a plan."""

        def shown(steps: Iterable[Step]) -> list[StepOut]:
            return [StepOut.of(step, overlaps.get(step.change.version_id)) for step in steps]

        return cls(
            new=shown(plan.new),
            changed=shown(plan.changed),
            ended=shown(plan.ended),
            unchanged=plan.unchanged,
            refused=[RefusedOut.model_validate(one) for one in plan.refused],
            effect=None if effect is None else EffectOut.model_validate(effect),
        )
