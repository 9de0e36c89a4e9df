"""What goes over the wire about corrections and appeals."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from server.corrections.rules import AppealKind, AppealState, Claim, Event, Halves, Level, State
from server.given import Day, Id, In, Word
from server.month.models import Provenance, SourceKind
from server.month.reasons import DayReason
from server.month.schemas import Text

LongText = Annotated[Text, Field(min_length=1, max_length=500)]


class CorrectionAskIn(In):
    """A correction (补签): a day, what it should count as, and why."""

    id: Id = Field(description="客户端生成的编号，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    person_id: Id | None = Field(
        None, description="镇里代为提出时填写 / given by the town when it asks for somebody"
    )
    day: Day = Field(examples=["2026-11-18"])
    halves: Word[Halves] = Field(Halves.DAY, validate_default=True)
    claim: Word[Claim] = Field(description="present 在村，absent 不在村")
    reason: Annotated[Text, Field(min_length=1, max_length=60)] = Field(
        description="理由代码，见政策 correction_reasons / a code of the policy's correction_reasons",
        examples=["no-signal"],
    )
    text: LongText = Field(description="说明 / in one's own words", examples=["当日停电，手机无信号"])
    check_ins: list[Id] = Field(
        default_factory=list, max_length=20, description="有关的签到 / check-ins that it is about"
    )


class CorrectionDecisionIn(In):
    """A decision with its reason."""

    approve: bool
    reason: LongText = Field(examples=["村委会证实当日在村"])


class CorrectionWithdrawIn(In):
    """Taking back one's own request."""

    reason: LongText


class ConcernedOut(BaseModel):
    """Whom it concerns."""

    id: UUID
    number: str
    name: str


class ReasonOut(BaseModel):
    """A reason of the policy."""

    code: str
    zh: str
    en: str


class EventOut(BaseModel):
    """One thing that happened."""

    at: datetime
    event: Event
    by: str | None = Field(description="系统为空 / null for the system")
    text: str | None


class AgainstOut(BaseModel):
    """A fact of the day that says otherwise than the correction (edge 109)."""

    state: DayReason
    source_kind: SourceKind
    source_id: UUID
    text: str | None
    recorded_at: datetime


class CorrectionOut(BaseModel):
    """A correction as it stands."""

    id: UUID
    person: ConcernedOut
    village_code: str
    day: date
    halves: Halves
    claim: Claim
    reason: ReasonOut
    text: str
    check_ins: list[UUID]
    provenance: Provenance = Field(description="own 本人，town 镇里代为，system 系统")
    entered_by: str | None
    entered_at: datetime
    state: State
    level: Level = Field(description="由谁决定 / who decides")
    over_quota: bool = Field(
        description="超过每月次数，由区里决定 / over the month's quota: the district decides"
    )
    late: bool = Field(description="超过期限，由区里决定 / after the deadline: the district decides")
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    appeal_until: datetime | None = Field(description="可申诉至 / until when it can be appealed against")
    appeal_id: UUID | None
    version: int


class CorrectionDetailOut(CorrectionOut):
    """A correction with what happened to it, and what says otherwise of its day."""

    timeline: list[EventOut]
    against: list[AgainstOut]


class AppealIn(In):
    """An appeal (申诉) against a decision."""

    id: Id
    kind: Word[AppealKind] = Field(description="所申诉的决定 / what was decided")
    subject_id: Id = Field(description="该决定的编号 / the id of what was decided")
    text: LongText


class AppealDecisionIn(In):
    """The answer to an appeal."""

    uphold: bool = Field(description="true 采纳，原决定随之改变 / upheld: it acts on what was decided")
    answer: LongText


class AppealOut(BaseModel):
    """An appeal as it stands."""

    id: UUID
    kind: AppealKind
    subject_id: UUID
    person: ConcernedOut
    village_code: str
    text: str
    provenance: Provenance
    entered_by: str | None
    entered_at: datetime
    state: AppealState
    level: Literal["district"] = "district"
    decided_by: str | None
    decided_at: datetime | None
    answer: str | None
    version: int


class AppealDetailOut(AppealOut):
    """An appeal with what happened to it."""

    timeline: list[EventOut]
