"""Notices over the wire."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

DIGEST = r"^[0-9a-f]{64}$"
Digest = Annotated[
    str,
    StringConstraints(pattern=DIGEST),
    Field(description="所接受告知书的 digest / the digest of the notice that is accepted"),
]


class HandlerOut(BaseModel):
    """Who handles the information (个人信息处理者), from the settings of the service."""

    name: str
    legal_basis: str
    registration_no: str
    data_contact: str


class NoticeOut(BaseModel):
    """A notice (告知书) in both languages: Markdown, to be shown as it is."""

    version: str
    digest: str = Field(
        description="SHA-256(中文 ‖ NUL ‖ 英文) / of the Chinese text, a NUL, the English text"
    )
    text_zh: str
    text_en: str
    published_at: datetime | None = Field(description="空：随产品附带 / null: the product's own")
    until: date | None = Field(
        description="已接受旧版者最迟何日接受 / until when an earlier one is good enough; null: for good"
    )
    handler: HandlerOut


class AcceptanceOut(BaseModel):
    """One acceptance."""

    version: str
    digest: str
    at: datetime
    client: str


class NoticeAskedOut(BaseModel):
    """A notice that waits for somebody: its text is at `GET /v1/notices/{digest}`, fetched once."""

    version: str
    digest: str
    until: date | None = Field(
        description="最迟何日接受（含），空：不限 / until which day, inclusive; null: no hurry"
    )
    overdue: bool = Field(
        description="最迟日期已过；签到、登录照常 / its day has passed; check-ins and logins go on as before"
    )


class OwnNoticeOut(BaseModel):
    """What waits for oneself, and what one accepted, the latest first."""

    asked: NoticeAskedOut | None = Field(
        description="请显示并征求接受；空：无 / to be shown and accepted; null: nothing"
    )
    accepted: list[AcceptanceOut]
