"""What goes over the wire about check-ins that were taken: the answers. What comes in is in schemas.py."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from geo.datum import SaidDatum
from geo.verdict import Band, VerdictKind
from server.auth.rules import KeyState, Protection
from server.checkins.instants import Doubt, TimeBasis
from server.checkins.rules import Cause, Kind, NoPosition, Standing


class MonthSoFar(BaseModel):
    """The month as it stood when the check-in was stored, under the policy that governs it. Numbers are days."""

    month: str = Field(examples=["2026-11"])
    counted: float = Field(description="已驻村天数 / days counted in the village")
    need: float = Field(description="本月应驻村天数 / days needed")
    due: float = Field(description="计算基数 / days due")
    away_at_most: float | None = Field(
        description="还可离村天数 / days one can still be away; null when the month is over"
    )
    tier: Literal["reached", "on-track", "no-slack", "cannot-be-reached"] | None
    text_zh: str = Field(examples=["本月已驻村 15 天，需 20 天；最多还可离村 6 天。"])
    text_en: str = Field(examples=["15 of 20 days; you can still be away at most 6 days."])


class TimeTold(BaseModel):
    """How the time of a check-in was taken. Certainly it was made between `earliest` and `latest`."""

    basis: TimeBasis = Field(
        description="依据 / what it rests on: the phone's clock, that clock corrected, the running clock, an anchor"
    )
    doubt: Doubt | None = Field(
        description="待复核的原因；null 为无 / why it needs a look; null: it needs none"
    )
    earliest: datetime
    latest: datetime
    text_zh: str
    text_en: str


class CheckInOut(BaseModel):
    """The stored check-in and its verdict. The band is all a phone learns about the distance (ruling 14)."""

    id: UUID
    kind: Kind
    received_at: datetime
    event_at: datetime = Field(
        description="打卡时刻（按服务器时钟） / when it was made, by the server's clock"
    )
    day: date = Field(description="计入的日期 / the day it counts for")
    verdict: VerdictKind
    standing: Standing
    reason: str
    reason_zh: str
    reason_en: str
    band: Band | None
    village_code: str | None
    late: bool = Field(description="是否补传 / uploaded more than ten minutes after the tap")
    clock_off_s: float = Field(
        description="手机时间减服务器时间（秒） / the phone's clock minus the server's, seconds"
    )
    outside_work: bool
    no_position: NoPosition | None
    note: str | None
    month: MonthSoFar | None
    time: TimeTold | None = Field(
        description="时间如何认定；null 为按手机时间且无疑问 / how the time was taken; null: by the phone's clock, without doubt"
    )
    restored_at: datetime | None = Field(
        description="备份恢复后凭回执找回的时刻 / when it came back by its receipt after a backup was restored"
    )
    receipt: str | None = Field(
        description="回执（JWS），请与内容和盐一起保存 / the receipt (JWS): keep it with the content and the salt; "
        "null for what was stored before there were receipts"
    )


class BatchItemOut(BaseModel):
    """What became of one check-in of a queue: what a PUT of it would have answered."""

    id: str = Field(description="所给的编号 / the id as given")
    status: int = Field(
        description="单独发送时会得到的状态码 / the status that a PUT of it would have got", examples=[201]
    )
    check_in: CheckInOut | None = Field(description="200、201 时 / with 200 and 201")
    problem: Annotated[
        dict[str, Any] | None,
        WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]}),
    ] = Field(description="其他状态时 / with any other status")


class BatchOut(BaseModel):
    """The results, in the order of the items."""

    items: list[BatchItemOut]


class JudgedAgain(BaseModel):
    """A later judgement, after the roster or a boundary was corrected."""

    at: datetime
    cause: Cause
    verdict: VerdictKind
    standing: Standing
    reason: str
    reason_zh: str
    reason_en: str


class ReviewSentence(BaseModel):
    """Something that was noticed, in words."""

    code: str
    zh: str
    en: str


class ReviewDecision(BaseModel):
    """What a reviewer last said. `id` is what an appeal names."""

    id: UUID
    at: datetime
    step: Literal["needs-more", "accepted", "rejected"]
    reason: str | None
    reason_zh: str | None
    reason_en: str | None
    text: str | None


class ReviewedOut(BaseModel):
    """How the review of an own check-in stands (复核). Until somebody decides, it counts as its verdict says."""

    id: UUID = Field(description="复核事项 / the item of the review queue")
    state: Literal["open", "needs-more", "accepted", "rejected"]
    overturned: bool = Field(description="申诉后已撤销 / a rejection that an appeal lifted")
    zh: str
    en: str
    signals: list[ReviewSentence]
    decision: ReviewDecision | None


class SignatureOut(BaseModel):
    """The phone's key that signed a check-in (ruling 23)."""

    model_config = ConfigDict(from_attributes=True)

    jkt: str = Field(description="公钥指纹（RFC 7638） / the key's thumbprint")
    device_id: UUID | None = Field(
        description="本人登记过的手机；不是则为 null / the own phone, null for a key that was never enrolled"
    )
    client: str | None
    protection: Protection | None = Field(
        description="应用自称的保护方式，未经核实 / where the app says the key is kept; not verified"
    )
    state_then: KeyState | None = Field(
        description="打卡时该密钥的状态；null 为当时尚未登记 / what the key was good for at the tap; null: not enrolled yet"
    )
    state_now: KeyState | None


class OwnCheckInOut(CheckInOut):
    """An own check-in, with what happened to it since."""

    signature: SignatureOut | None = Field(
        None, description="手机密钥的签名；未签名为 null / the phone's signature; null when it was not signed"
    )
    signed: str | None = Field(
        None,
        description="所签 JWS 原文（仅单条查看） / the JWS to the letter, where one check-in is read; anybody can verify it",
    )

    withdrawn_at: datetime | None = None
    duplicate_of: UUID | None = Field(
        None, description="两分钟内的重复签到 / the earlier one of a double tap"
    )
    judged_again: JudgedAgain | None = None
    review: ReviewedOut | None = Field(None, description="复核情况，没有时为空 / its review, if there is one")
    lon: float | None = Field(None, description="本人可见的原始坐标 / the coordinates as sent, for oneself")
    lat: float | None = None
    datum: SaidDatum | None = Field(
        None, description="所报坐标系；unknown 为未说明 / the datum as sent; unknown: it was not said"
    )
    accuracy_m: float | None = None


class AttemptOut(BaseModel):
    """A refused attempt, as its maker sees it."""

    at: datetime
    checkin_id: str
    code: str
    status: int
    title_zh: str
    title_en: str
