"""What the rejudgings room says over the wire."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from geo.verdict import VerdictKind
from server.given import Day, Id, Span, Trimmed
from server.places.schemas import RegionPrefix
from server.rejudgings.rules import DayState, Resolution
from server.roster.schemas import Reason


class RejudgingIn(Trimmed, Span):
    """Ask what would change if these days' check-ins were judged by the boundaries and postings known now."""

    id: Id
    region: RegionPrefix
    first_day: Annotated[Day, Field(description="第一天 / the first day")]
    last_day: Annotated[Day, Field(description="最后一天，含当天 / the last day, inclusive")]
    reason: Reason


class RejudgingDecisionIn(Trimmed):
    """Why it is approved or dropped."""

    reason: Reason


class RejudgingDecisionOut(BaseModel):
    """What became of a dry run."""

    decision: Resolution
    at: datetime
    by: UUID
    reason: str


class RejudgingOut(BaseModel):
    """A dry run (试算) and what became of it. Nothing changes before it is approved."""

    id: UUID
    region: str
    first_day: date
    last_day: date
    reason: str
    asked_at: datetime
    asked_by: UUID
    judged: int = Field(description="重新判定了多少次签到 / check-ins judged again")
    faded: int = Field(description="坐标已淡化、无法重判的次数 / not judged, coordinates faded")
    check_ins: int = Field(description="结论会改变的次数 / verdicts that would differ")
    people: int = Field(description="涉及人数 / people concerned")
    days: int = Field(description="按签到计、结论会改变的天数 / days whose state would differ")
    decided: RejudgingDecisionOut | None


class ChangeOut(BaseModel):
    """One check-in that would be judged differently. The person keeps both verdicts and can contest the new one."""

    person_id: UUID
    name: str
    check_in_id: UUID
    day: date
    village_code: str | None
    before: VerdictKind
    after: VerdictKind
    day_before: DayState = Field(description="当天的签到现在说明什么 / what the day's check-ins say now")
    day_after: DayState = Field(description="批准之后 / and after the approval")
