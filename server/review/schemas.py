"""What goes over the wire about reviews. No score and no order by one: an item asks for a look, it accuses nobody."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from geo.datum import SaidDatum
from geo.verdict import Band, VerdictKind
from server.checkins.plausibility.shifts import Shift
from server.checkins.plausibility.signals import Code, Family
from server.checkins.rules import AlarmOutcome, Kind, Standing
from server.compliance.schemas import VillageRef
from server.given import Id, Trimmed, Word
from server.month.schemas import MONTH_PATTERN
from server.review.rules import RejectionReason, ReviewCause, ReviewState, ReviewStep, ReviewSubject

MonthFilter = Annotated[
    str | None,
    Query(pattern=MONTH_PATTERN, description="签到所属月份 / the month of the day", examples=["2026-11"]),
]
Text = Annotated[str, StringConstraints(min_length=2, max_length=500, pattern=r"^[^\x00]*$")]
DECISIONS = (ReviewStep.NEEDS_MORE, ReviewStep.ACCEPTED, ReviewStep.REJECTED)


class ReviewedPerson(BaseModel):
    """Whose item it is."""

    id: UUID
    number: str
    name: str


class SignalOut(BaseModel):
    """One thing that was noticed, in words, with what was measured and the check-ins that show it."""

    code: Code
    family: Family
    zh: str
    en: str
    figures: dict[str, float]
    check_ins: list[UUID] = Field(
        description="佐证的其他签到，本人或他人的 / other check-ins that show it, the person's own or others'"
    )
    own_days: list[date] = Field(
        description="其中本人签到的日期 / the days of those that are the person's own"
    )
    allowed_because: str | None = Field(
        description="已登记的缘由，不计分 / a recorded reason why it is no matter"
    )


class ReviewedCheckIn(BaseModel):
    """The check-in that an item is about, as it stands now; the band is all that is told of the distance."""

    id: UUID
    kind: Kind
    day: date
    event_at: datetime
    received_at: datetime
    verdict: VerdictKind
    standing: Standing
    reason: str
    zh: str
    en: str
    band: Band | None
    outside_work: bool
    note: str | None


class TurnOut(BaseModel):
    """One step of a review. `id` is what an appeal names."""

    id: UUID
    at: datetime
    step: ReviewStep
    by_me: bool
    reason: RejectionReason | None
    reason_zh: str | None
    reason_en: str | None
    text: str | None
    check_ins: list[UUID] | None = Field(description="因此不计的签到 / the check-ins that do not count by it")


class ReviewOut(BaseModel):
    """One item of the review queue (复核事项). Until a decision the check-in counts as its verdict says."""

    id: UUID
    subject: ReviewSubject
    person: ReviewedPerson
    village: VillageRef
    month: str | None
    cause: ReviewCause
    cause_zh: str
    cause_en: str
    opened_at: datetime
    due_day: date = Field(description="应在此日前处理 / to be decided by the end of this day")
    overdue: bool
    state: ReviewState
    assigned: bool = Field(description="是否已有人接手 / whether somebody has taken it")
    mine: bool = Field(description="是否由本人接手 / whether that is you")
    check_ins: list[ReviewedCheckIn]
    signals: list[SignalOut]
    policy: str | None = Field(description="所依据的规则版本 / the version of the rules that found it")
    turns: list[TurnOut]


class DecideIn(Trimmed):
    """What a reviewer decides. Whoever rejects says why, to the person and for an appeal."""

    id: Id
    decision: Word[ReviewStep]
    reason: Word[RejectionReason] | None = None
    text: Text | None = None
    check_ins: list[Id] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="月份事项：不予认可的签到 / of a month: the check-ins that are not accepted",
    )

    @model_validator(mode="after")
    def _whole(self) -> "DecideIn":
        if self.decision not in DECISIONS:
            raise PydanticCustomError(
                "decision",
                "decide accepted, rejected or needs-more",
                {"zh": "decision 应为 accepted、rejected 或 needs-more"},
            )
        if self.decision is ReviewStep.REJECTED and (self.reason is None or self.text is None):
            raise PydanticCustomError(
                "reason_missing",
                "a rejection needs a reason and a text",
                {"zh": "不予认可须写明 reason 与 text"},
            )
        if self.decision is ReviewStep.NEEDS_MORE and self.text is None:
            raise PydanticCustomError(
                "text_missing", "say what is missing", {"zh": "请在 text 中写明需补充什么"}
            )
        if self.decision is not ReviewStep.REJECTED and (self.reason or self.check_ins):
            raise PydanticCustomError(
                "not_rejected",
                "reason and check_ins belong to a rejection",
                {"zh": "reason 与 check_ins 只用于不予认可"},
            )
        return self


class PointOut(BaseModel):
    """Where a check-in was made. Only whoever has taken the item sees it, and that is recorded (ruling 15)."""

    check_in: UUID
    lon: float
    lat: float
    datum: SaidDatum | None
    accuracy_m: float | None
    fix_age_s: float | None
    provider: str | None
    mocked: bool | None


class OwnSignal(BaseModel):
    """What was noticed, as its maker is told: what happened, not how it is found."""

    code: Code
    zh: str
    en: str


class OwnReviewOut(BaseModel):
    """A review about oneself (对本人的复核)."""

    id: UUID
    subject: ReviewSubject
    month: str | None
    check_in: UUID | None
    day: date
    cause: ReviewCause
    cause_zh: str
    cause_en: str
    opened_at: datetime
    state: ReviewState
    state_zh: str
    state_en: str
    overturned: bool = Field(description="申诉后已撤销 / a rejection that an appeal lifted")
    signals: list[OwnSignal]
    turns: list[TurnOut]


class AlarmOut(BaseModel):
    """A client whose people's positions moved together (坐标偏移警报). It holds figures, never places or people."""

    id: UUID
    client: str
    shift: Shift
    zh: str
    en: str
    people: int
    moved: int
    since: datetime
    raised_at: datetime
    closed_at: datetime | None
    outcome: AlarmOutcome | None
