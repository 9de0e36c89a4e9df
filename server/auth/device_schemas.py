"""What goes over the wire about keys of phones."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from server.auth.rules import KeyCause, KeyEvent, KeyState, Protection
from server.auth.schemas import Out, printable
from server.given import In, Word


class DeviceOut(Out):
    """A phone's key (手机密钥)."""

    id: UUID
    client: str = Field(description="登录时自报的名称 / the name that the app gave itself")
    algorithm: str
    protection: Protection = Field(
        description="应用自称的保护方式，未经核实 / where the app says the key is kept; not verified"
    )
    jkt: str = Field(description="公钥指纹（RFC 7638） / the key's thumbprint")
    state: KeyState = Field(
        description="waiting 待确认；confirmed 待镇里同意；trusted 已确认；revoked 已停用 / what the key is good for"
    )
    enrolled_at: datetime
    trusted_at: datetime | None
    trusted_by: KeyCause | None
    revoked_at: datetime | None
    revoked_by: KeyCause | None
    used_at: datetime | None = Field(
        description="最近使用（每次刷新令牌时记一次） / last used, as of the last refresh"
    )
    shared: bool = Field(
        description="另有账号使用同一密钥：几人共用一部手机 / another account has the same key: people share a phone"
    )


class OwnDeviceOut(DeviceOut):
    """One of the own phones."""

    current: bool = Field(description="是否为本机 / whether it is this one")


class WaitingDeviceOut(DeviceOut):
    """A phone that waits, and whose it is."""

    account_id: UUID
    login: str
    display_name: str


class DeviceEventOut(Out):
    """Something that happened to an own phone's key. `by` is null for oneself."""

    at: datetime
    device_id: UUID
    client: str
    kind: KeyEvent
    cause: KeyCause
    by: str | None
    reason: str
    by_this_session: bool = Field(
        description="是否由本次登录所为；不是的请提示本人 / done by this login; show the others as a notice"
    )
    text_zh: str
    text_en: str


class DeviceCodeOut(Out):
    """A code for another phone. It is shown here and never again."""

    code: str
    expires_at: datetime


class ConfirmIn(In):
    """The code that a confirmed phone shows, or that the town gave."""

    code: Annotated[SecretStr, Field(max_length=100)]
    replaces: bool = Field(
        False,
        description="本机取代其他所有手机，它们的密钥随之停用 / this phone takes the place of every other one: they end",
    )


class Decision(StrEnum):
    """What the town decides about somebody's phone."""

    APPROVE = "approve"
    REVOKE = "revoke"


Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(printable)
]


class DeviceDecisionIn(In):
    """A decision about a phone, with its reason, which the person sees."""

    decision: Word[Decision]
    reason: Reason
