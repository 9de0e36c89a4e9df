"""What comes over the wire with a check-in. What is answered is in answers.py."""

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from geo.datum import Datum
from geo.fix import POSITION_FAULTS, position_fault
from server.checkins.rules import Kind, NoPosition
from server.given import DAY, Id, In, Word, instant


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError(
            "nul_character", "a text must not contain the NUL character", {"zh": "文本不能含空字符"}
        )
    return text


def _salt(text: str) -> str:
    try:
        size = len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        size = 0
    if not 16 <= size <= 32:  # noqa: PLR2004  Bytes; ruling 22 leaves the length to us.
        raise PydanticCustomError(
            "salt",
            "a salt is 16 to 32 random bytes in base64url",
            {"zh": "salt 应为 16 至 32 个随机字节的 base64url"},
        )
    return text


Number = Annotated[float, Field(allow_inf_nan=False)]
"""A JSON number. "106.2" and true are none: what is nearly a position must not become one (edge 38)."""
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80), AfterValidator(_no_nul)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_no_nul)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_no_nul)
]


PhoneInstant = Annotated[
    AwareDatetime,
    Strict(strict=False),
    instant(
        f"{DAY}[Tt ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{{2}}:?[0-9]{{2}})?"
    ),
]
"""An instant as RFC 3339 writes it, and as phones do that nearly do. Java leaves seconds out when they are zero, so the
fault would not show before some cadre's check-in is refused."""


class _Open(In):
    """A newer phone's queue must not be stuck (ruling 11): what is unknown is passed over; the document says so too."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})


class PositionIn(_Open):
    """A fix as the phone has it. Coordinates go in the body only, never in an address."""

    lon: Number = Field(description="经度（度） / longitude, degrees", examples=[106.1834562])
    lat: Number = Field(description="纬度（度） / latitude, degrees", examples=[28.9123405])
    datum: Word[Datum] | None = Field(
        None,
        description="坐标系；必填，仅限期之内的旧应用可缺 / reference system of lon and lat; only outdated apps may leave it "
        "out, and for a time (guide, section 11)",
    )
    accuracy_m: Number | None = Field(
        None,
        description="68 % 精度半径（米） / radius of 68 % confidence, metres; null when unknown",
        examples=[18.0],
    )
    age_s: Annotated[Number, Field(ge=-1e9, le=1e9)] | None = Field(
        None,
        description="定位距打卡的秒数；必填，例外同 datum / age of the fix when it was used, seconds; as `datum`",
    )
    altitude_m: Annotated[Number, Field(ge=-20_000, le=100_000)] | None = None
    speed_mps: Annotated[Number, Field(ge=-1_000, le=100_000)] | None = None
    provider: Short | None = Field(None, examples=["gps"])
    mocked: bool | None = Field(None, description="系统是否标记为模拟位置 / the platform's mock flag")

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Return which fields are missing that v1 asks for (edge 140)."""
        if self.datum is not None and self.age_s is not None:
            return ()
        return tuple(name for name in ("datum", "age_s") if getattr(self, name) is None)

    @model_validator(mode="after")
    def _possible(self) -> "PositionIn":
        fault = position_fault(self.lon, self.lat)
        if fault is not None:
            said = POSITION_FAULTS[fault]
            raise PydanticCustomError(fault.value.replace("-", "_"), "{en}", {"zh": said.zh, "en": said.en})
        return self


SentAt = Annotated[
    PhoneInstant,
    Field(description="本次发送时手机的时间 / the phone's clock at this sending (RFC 3339)"),
]


BootId = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_no_nul)]
LONGEST_RUN_MS = 10 * 366 * 86_400_000
"""Ten years: no phone runs longer without a restart."""
RunningMs = Annotated[int, Field(ge=0, le=LONGEST_RUN_MS)]


class RunningClockIn(_Open):
    """A native app's running clock at the tap, and its last anchor before it (guide: Time anchors)."""

    boot_id: BootId = Field(description="本次开机的标识 / names the boot that the running clock counts from")
    tapped_ms: RunningMs = Field(
        description="打卡时的开机计时（毫秒，休眠也走） / the running clock at the tap, milliseconds, sleep included"
    )
    anchor: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="打卡前最近一次的对时凭证 / the last anchor that came before the tap"
    )
    got_ms: RunningMs | None = Field(
        None, description="收到该凭证时的开机计时 / the running clock when that anchor came"
    )

    @model_validator(mode="after")
    def _both(self) -> "RunningClockIn":
        if (self.anchor is None) != (self.got_ms is None):
            raise PydanticCustomError(
                "anchor_incomplete",
                "anchor and got_ms belong together",
                {"zh": "anchor 与 got_ms 须同时给出"},
            )
        return self


class SentClockIn(_Open):
    """A native app's running clock at this sending; read anew each time, like `sent_at`."""

    boot_id: BootId
    ms: RunningMs


SentClock = Annotated[
    SentClockIn | None,
    Field(description="本次发送时的开机计时（原生应用） / the running clock at this sending (native apps)"),
]


Receipt = Annotated[
    Annotated[str, Field(max_length=4096)] | None,
    Field(
        description="服务器恢复备份后重发时附上的原回执 / the receipt it got, when it is sent again after a restore"
    ),
]


class TapIn(_Open):
    """What a phone keeps of a tap (签到) until it is sent: it never changes from one sending to the next."""

    kind: Word[Kind] = Field(Kind.DAY, description="day 当日在村；arrive 到村；leave 离村")
    captured_at: PhoneInstant = Field(
        description="打卡时手机的时间 / the phone's clock at the tap (RFC 3339)"
    )
    utc_offset_min: int = Field(
        ge=-960, le=960, description="手机时区与 UTC 之差（分钟） / minutes east of UTC", examples=[480]
    )
    position: PositionIn | None = Field(description="定位；没有时为 null / the fix, or null")
    no_position: Word[NoPosition] | None = Field(None, description="没有定位的原因 / why there is no fix")
    outside_work: bool = Field(False, description="外勤 / work outside the village")
    note: Note | None = None
    client: Short | None = Field(None, examples=["zaicun-phone/1.0 (Android 14)"])
    salt: Annotated[str, Field(max_length=48), AfterValidator(_salt)] | None = Field(
        None, description="手机保存的随机盐（16–32 字节，base64url） / random salt kept by the phone"
    )
    clock: RunningClockIn | None = Field(
        None, description="原生应用的开机计时与对时凭证 / a native app's running clock and time anchor"
    )
    receipt: Receipt = None

    @model_validator(mode="after")
    def _reason_without_position(self) -> "TapIn":
        if self.position is None and self.no_position is None:
            raise PydanticCustomError(
                "no_position_required",
                "without a position the reason must be given in no_position",
                {"zh": "没有定位时，须在 no_position 中说明原因"},
            )
        return self

    def salt_bytes(self) -> bytes | None:
        """Return the phone's salt as bytes."""
        return (
            None if self.salt is None else base64.urlsafe_b64decode(self.salt + "=" * (-len(self.salt) % 4))
        )


class CheckInIn(TapIn):
    """One check-in (签到). `captured_at` and `sent_at` are read from the same clock of the phone, right or wrong."""

    sent_at: SentAt
    sent_clock: SentClock = None


class QueuedIn(TapIn):
    """One check-in of a queue (队列中的签到), under the id that it would have alone."""

    id: Id = Field(
        description="签到编号，由手机生成（UUIDv7）/ the check-in's id, made by the phone (UUIDv7)"
    )


MOST_QUEUED = 200


class OpeningIn(_Open):
    """What the commitment in a signed check-in is opened with; integers, so that nothing is rounded on the way."""

    lon_e7: int = Field(
        description="经度（10⁻⁷ 度） / longitude, 1e-7 degree", ge=-1_800_000_000, le=1_800_000_000
    )
    lat_e7: int = Field(
        description="纬度（10⁻⁷ 度） / latitude, 1e-7 degree", ge=-900_000_000, le=900_000_000
    )
    altitude_cm: int | None = None
    speed_cmps: int | None = None
    salt: str = Field(description="16–32 字节，base64url / 16 to 32 bytes in base64url")


_SIGNED = Field(
    description="手机密钥所签的 JWS（RFC 7515），`typ` 为 `zaicun-check-in+jws`；内容见指南第 29 节 / the JWS that the phone's key "
    "made; what it holds: guide, section 29"
)


class SignedIn(_Open):
    """One check-in that the phone's key signed at the tap (签名的签到). Under a bound token no other is taken."""

    signed: str = _SIGNED
    position: OpeningIn | None = None
    receipt: Receipt = None
    sent_at: SentAt
    sent_clock: SentClock = None


class QueuedSignedIn(_Open):
    """One signed check-in of a queue (队列中的签名签到)."""

    id: Id
    signed: str = _SIGNED
    position: OpeningIn | None = None
    receipt: Receipt = None


class _Unread:
    """A JSON object that the document describes by these models, and that is read later."""

    def __init__(self, *models: type[BaseModel], unfit: bool = False) -> None:
        """`unfit`: one that does not fit is taken as well, and told so in its place."""
        self._models = models
        self._unfit = unfit

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return what the document says."""
        known: list[JsonSchemaValue] = [handler(model.__pydantic_core_schema__) for model in self._models]
        if self._unfit:
            known.append(
                {
                    "type": "object",
                    "description": "不合要求的一条，逐条答复 / one that does not fit is told so in its place",
                }
            )
        return {"anyOf": known}


def _unread(given: Any, _read: object) -> dict[str, Any]:  # noqa: ANN401  JSON.
    if not isinstance(given, dict):
        raise PydanticCustomError("dict_type", "a JSON object")
    return given


if TYPE_CHECKING:
    PutIn = dict[str, Any]
else:
    # The document names both models; which one it is, and whose key signed it, is read later.
    PutIn = Annotated[CheckInIn | SignedIn, WrapValidator(_unread)]


class BatchIn(_Open):
    """A phone's queue (离线队列). Each item is read by itself, so that one that does not fit holds up no other."""

    sent_at: SentAt
    sent_clock: SentClock = None
    items: Annotated[
        list[Annotated[dict[str, Any], _Unread(QueuedIn, QueuedSignedIn, unfit=True)]],
        Field(min_length=1, max_length=MOST_QUEUED),
    ]


class WithdrawIn(In):
    """Taking back one's own mistaken check-in."""

    reason: Reason
