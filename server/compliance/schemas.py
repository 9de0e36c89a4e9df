"""What goes over the wire about months. Numbers of days are floats in steps of a half."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, Field

from server.checkins.answers import TimeTold
from server.checkins.rules import Kind, Standing
from server.corrections.schemas import AppealOut, CorrectionOut
from server.month.holidays import CalendarSource
from server.month.models import Provenance, SourceKind
from server.month.policy import Basis
from server.month.reasons import DayReason
from server.month.rules import ResultKind, ReviewReason, Tier
from server.month.schemas import MONTH_PATTERN, PolicyOut
from server.notices.schemas import NoticeAskedOut
from server.roster.schemas import PostingDetailOut

MonthPath = Annotated[
    str, Path(pattern=MONTH_PATTERN, description="月份 / month, yyyy-mm", examples=["2026-11"])
]
RegionFilter = Annotated[
    str, Query(pattern="^[0-9]{0,12}$", description="区划代码前缀 / prefix of region codes")
]
TextFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=50,
        pattern=r"^[^\x00]*$",
        description="姓名中的文字，或工号开头 / part of the name, or start of the staff number",
    ),
]


class PolicyRef(BaseModel):
    """The version of the policy by which a statement was made."""

    id: UUID
    code: str
    version: int
    valid_from: date
    name_zh: str
    name_en: str
    clause: str = Field(description="依据 / the clause it rests on")
    basis: Basis
    duty_counts_in_village: bool


class CalendarRef(BaseModel):
    """Where the working days of a statement come from."""

    source: CalendarSource
    working_days: int
    provisional: bool = Field(
        description="放假安排未公布，暂按周一至周五 / the year's notice is missing: Monday to Friday (edge 13)"
    )


class ResultOut(BaseModel):
    """How a month stands, in a code and in words."""

    code: ResultKind
    zh: str
    en: str


class MissingOut(BaseModel):
    """Days that were due and do not count, by reason."""

    reason: DayReason
    days: float
    zh: str
    en: str


class CountersOut(BaseModel):
    """The three counters (ruling 6), up to and including today."""

    village: float = Field(description="驻村天数 / days in the village")
    on_post: float = Field(description="在岗天数 / days on post")
    allowance: float = Field(description="补助天数 / allowance days")


class StatementOut(BaseModel):
    """One person's month under one policy (月度在岗情况)."""

    policy: PolicyRef
    calendar: CalendarRef
    as_of: date
    result: ResultOut
    due: float = Field(description="计算基数 / days due, n")
    counted: float = Field(description="已计天数 / days counted, k")
    need: float = Field(description="须驻村天数 / days needed")
    need_text: str = Field(description="须驻村天数（显示） / the need as it is shown", examples=["20", "19½"])
    percent: str | None = Field(
        description="仅供显示，不用于判断 / for display only, never compared", examples=["66.67"]
    )
    away_at_most: float | None = Field(
        description="还可离村天数，月份结束后为空 / null when the month is over"
    )
    tier: Tier | None
    needs_review: bool
    review: ReviewReason | None
    no_data: bool = Field(
        description="全月无任何记录，不等于缺勤 / no record at all: not the same as absent (edge 25)"
    )
    provisional: bool = Field(description="补传仍可改变结果 / late uploads may still change it (edge 24)")
    provisional_until: date
    unsure_days: list[date]
    unfenced_days: list[date]
    claimed_days: list[date]
    outage_days: list[date]
    conflict_days: list[date]
    corrected_days: list[date] = Field(description="经更正的日期 / days that an approved correction decided")
    attested_days: list[date] = Field(
        description="凭村级证明或纸质记录的日期 / days that rest on an attestation or on paper"
    )
    missing: list[MissingOut]


class PersonRef(BaseModel):
    """Whose month it is."""

    id: UUID
    number: str
    name: str
    unit_id: UUID | None
    unit_name: str | None


class VillageRef(BaseModel):
    """The village of the last posted day, by the name it had in the month (edge 48)."""

    code: str
    name: str
    town_name: str


class MonthRowOut(BaseModel):
    """One row of the list. Sending units see the counters; towns that do not own the statement their own days only."""

    person: PersonRef
    village: VillageRef
    owned: bool = Field(
        description="结果归本范围 / the statement belongs here; otherwise the counters are of the own days only (ruling 9)"
    )
    days_posted: float
    counters: CountersOut | None = Field(
        description="没有已发布的政策时为空 / null where no policy is published"
    )
    statement: StatementOut | None


class RecordOut(BaseModel):
    """A record that decided a day or touches it. It never carries a position (ruling 15)."""

    kind: Literal["check-in"] = "check-in"
    id: UUID
    check_in_kind: Kind
    event_at: datetime
    received_at: datetime
    verdict: str
    standing: Standing
    reason: str
    zh: str
    en: str
    village_code: str | None
    outside_work: bool
    note: str | None
    judged_again: bool = Field(description="曾重新认定 / judged again later; the newest judgement is shown")
    withdrawn: bool
    duplicate_of: UUID | None
    decided: bool = Field(description="是否决定当日状态 / whether the day's state rests on it")
    time: TimeTold | None = Field(
        description="时间如何认定；null 为按手机时间且无疑问 / how the time was taken; null: by the phone's clock, without doubt"
    )


class FactOut(BaseModel):
    """A fact that somebody entered and that touches the day: a correction, a finding, duty, leave, an attestation, an outage.

    Records are never rewritten by it; it stands above them, with who entered it, who decided, and why.
    """

    state: DayReason = Field(description="它所说的状态 / the state that it speaks for")
    zh: str
    en: str
    halves: Literal["day", "morning", "afternoon"]
    source_kind: SourceKind | Literal["outage"]
    source_id: UUID
    provenance: Provenance = Field(description="录入途径 / by which way it was entered")
    reason: str = Field(description="理由代码 / the code of its reason")
    text: str | None
    entered_by: str | None = Field(description="录入人；系统为空 / who entered it; null for the system")
    decided_by: str | None = Field(description="批准人 / who decided it")
    recorded_at: datetime
    decided: bool = Field(description="是否决定当日状态 / whether the day's state rests on it")


class DayOut(BaseModel):
    """One day: why it is what it is, what it gives to each counter, and its records."""

    day: date
    reasons: list[DayReason] = Field(
        description="全天一个；上下午不同时两个 / one, or the morning's and the afternoon's"
    )
    zh: str
    en: str
    in_basis: bool
    due: float
    village: float
    on_post: float
    allowance: float
    in_conflict: bool
    records: list[RecordOut]
    facts: list[FactOut] = Field(
        description="人工录入的事实，逐条注明 / facts that people entered, each marked as such"
    )


class PersonMonthOut(BaseModel):
    """A person's month with every day explained. `others` are the results under further policies (edge 11)."""

    month: str
    person: PersonRef
    village: VillageRef | None = Field(description="未派驻时为空 / null when not posted in the month")
    owned: bool
    days_posted: float
    counters: CountersOut | None
    statement: StatementOut | None
    others: list[StatementOut]
    days: list[DayOut]


class BoundaryOut(BaseModel):
    """A village's outline (村界简图), for a map on the phone; no verdict is made by it."""

    code: str
    name: str
    version_id: UUID
    simplify_m: int = Field(description="简化容差（米）/ tolerance of the simplification, metres")
    geometry: dict[str, Any] | None = Field(description="GeoJSON（RFC 7946），WGS-84")


class ReceiptsNowOut(BaseModel):
    """Where the chain of one's receipts stands.

    When `epoch_id` is another one than before, a backup was restored: send again, each with its receipt, the check-ins
    that were received since `resend_from`.
    """

    epoch: int = Field(examples=[1])
    epoch_id: UUID
    began_at: datetime
    resend_from: datetime | None = Field(description="所恢复备份的时刻 / when the restored backup was made")
    seq: int = Field(
        description="本人最近回执的顺序号，0 为没有 / the number of one's newest receipt; 0: none"
    )
    hash: str | None = Field(
        description="该回执的 SHA-256（base64url） / SHA-256 of that receipt as it is written"
    )


class RequestsOut(BaseModel):
    """One's own corrections and appeals, the oldest first."""

    corrections: list[CorrectionOut]
    appeals: list[AppealOut]


class SyncOut(BaseModel):
    """What a phone needs to know without a signal. A part that is null and named in `unchanged` is as it was."""

    cursor: str
    unchanged: list[Literal["postings", "policies", "boundaries", "month", "requests"]]
    postings: list[PostingDetailOut] | None = Field(None, description="本人任职 / one's own postings")
    policies: list[PolicyOut] | None = Field(
        None, description="今天所驻各村本月适用的政策 / policies of this month in the villages of today"
    )
    boundaries: list[BoundaryOut] | None = Field(None, description="今天所驻各村 / the villages of today")
    month: PersonMonthOut | None = Field(
        None, description="本月；没有已发布的政策时为空 / this month; null also where no policy is published"
    )
    requests: RequestsOut | None = Field(
        None,
        description="待决定的和近 30 天有结果的补签与申诉 / what waits, and what was decided in the last 30 days",
    )
    notice: NoticeAskedOut | None = Field(
        description="请显示并征求接受的告知书；签到照常 / the notice to be shown and accepted; check-ins go on as before"
    )
    receipts: ReceiptsNowOut | None = Field(
        description="回执链；尚无人签到时为空 / the chain of receipts, always told; null before anybody checked in"
    )
