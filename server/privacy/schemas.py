"""What the privacy room says over the wire."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from server.compliance.schemas import PersonMonthOut
from server.given import Day, Id, Span, Trimmed
from server.looks import What

Reason = Annotated[
    str,
    StringConstraints(min_length=2, max_length=500, pattern=r"^[^\x00]*$"),
    Field(description="理由，本人可见 / why; the person can read it"),
]


class LookOut(BaseModel):
    """One look at one's own records by somebody else: the office, not the name (rulings 14, 15)."""

    at: datetime
    what: What
    what_zh: str
    what_en: str
    role: str = Field(
        description="职务 / in which role: town_officer, district_officer, inspector, unit_viewer, operator…"
    )
    role_zh: str
    role_en: str
    office: str | None = Field(
        description="所在镇、区或派出单位 / the town, district or sending unit of the office"
    )
    subject: str | None = Field(
        description="哪个月或哪一次签到 / which month, or the id of the check-in or request"
    )
    purpose: str | None = Field(
        description="说明的用途或其任务 / the stated purpose, or what the office was given for"
    )


class HoldIn(Trimmed, Span):
    """Keep what is known of a person until a day, because a case is open."""

    id: Id
    person_id: Id
    reason: Reason
    ends_on: Annotated[Day, Field(description="保留至哪天，含当天 / until which day, inclusive")]
    first_day: Annotated[Day | None, Field(description="所涉的第一天 / the first day it is about")] = None
    last_day: Annotated[Day | None, Field(description="所涉的最后一天 / the last day it is about")] = None


class LiftIn(Trimmed):
    """Say that a hold may end before its day; the second official's word lifts it."""

    reason: Reason


class OwnHoldOut(BaseModel):
    """A legal hold (保留) on what is known of oneself."""

    id: UUID
    reason: str
    first_day: date | None
    last_day: date | None
    ends_on: date
    placed_at: datetime
    in_force: bool
    lifts: int = Field(description="已有几人同意解除，两人即解除 / how many said it may end; two lift it")


class HoldOut(OwnHoldOut):
    """The same for officers of the district."""

    person_id: UUID


class KindOut(BaseModel):
    """A sort of data."""

    zh: str
    en: str
    exported: bool


class SectionOut(BaseModel):
    """The rows of one table that are about oneself."""

    name: str
    purpose_zh: str
    purpose_en: str
    seen_by_zh: str
    seen_by_en: str
    kept_zh: str = Field(description="保存多久 / for how long")
    kept_en: str
    columns: dict[str, str | None] = Field(description="各栏的类别 / the kind of each column")
    left_out: list[str] = Field(
        description="不给出的栏，其类别说明原因 / columns that are not told; their kind says why"
    )
    rows: list[dict[str, Any]]


class OwnDataOut(BaseModel):
    """Everything that is kept of oneself. `format` changes when the meaning of a member does."""

    format: str
    made_at: datetime
    account_id: UUID
    person_id: UUID | None
    about_zh: str
    about_en: str
    kinds: dict[str, KindOut]
    sections: list[SectionOut]
    months: list[PersonMonthOut] = Field(
        description="逐月逐日 / every month with its days, as oneself sees it"
    )
