"""What goes over the wire about accounts and logging in."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from server.access import Role
from server.auth import rules
from server.auth.rules import KeyState, Protection
from server.given import Id, In, Instant, Word
from server.notices.schemas import Digest


def printable(text: str) -> str:
    """Return a text without control characters; others are refused."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):  # noqa: PLR2004  ASCII's control characters.
        raise PydanticCustomError("control_character", "no control characters", {"zh": "不能含控制字符"})
    return text


def _login(text: str) -> str:
    folded = rules.fold_login(text)
    if not rules.is_login(folded):
        raise PydanticCustomError(
            "login_unfit",
            "letters, digits and . _ - @ only, beginning with a letter or digit, 64 at most",
            {"zh": "登录名只能用字母、数字和 . _ - @，以字母或数字开头，最多 64 个"},
        )
    return folded


_Line = StringConstraints(strip_whitespace=True, min_length=1, max_length=100)
_VISIBLE = r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*$"
"""What `_Line` and `printable` ask for, as the document says it: no control characters, and not only spaces."""
Text = Annotated[str, _Line, AfterValidator(printable), Field(json_schema_extra={"pattern": _VISIBLE})]
NewLogin = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_login),
    Field(
        description="登录名，不分大小写；干部用工号 / not case-sensitive; the staff number of cadres",
        examples=["jj-0117"],
    ),
]
GivenLogin = Annotated[
    str, StringConstraints(min_length=1, max_length=200), Field(description="登录名 / the login")
]
# An upper bound alone: how long a password must be is a rule with a text of its own, and a wrong one is just wrong.
Password = Annotated[SecretStr, Field(max_length=1024)]
Code = Annotated[SecretStr, Field(max_length=100, description="一次性激活码 / the one-time code")]
Client = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=100),
    AfterValidator(printable),
    Field(
        description="手机或浏览器自报的名称，显示在“我的登录”里 / shown in the list of sessions",
        examples=["小米 14 · 在村 1.0"],
        json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"},
    ),
]
Hint = Annotated[
    SecretStr | None,
    Field(
        max_length=200,
        description="以前登录时得到的 device_hint：他人猜密码时，此手机仍可登录 / from an earlier login on this device",
    ),
]
KeyProtection = Annotated[
    Word[Protection],
    Field(
        description="带 DPoP 头登录时：密钥保存在哪里（自称） / with a DPoP header: where the key is kept, as claimed"
    ),
]
Region = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{0,12}$"),
    Field(
        description="区划代码前缀，空表示不限 / prefix of region codes, empty: everywhere",
        examples=["500116101"],
    ),
]
SlipRegion = Annotated[str, StringConstraints(pattern=r"^[0-9]{6,12}$"), Field(examples=["500116101"])]


class Out(BaseModel):
    """What goes out: exactly the fields named here."""

    model_config = ConfigDict(from_attributes=True)


# --- logging in
class LoginIn(In):
    """A login with a password."""

    login: GivenLogin
    password: Password
    client: Client = ""
    device_hint: Hint = None
    key_protection: KeyProtection = Protection.UNKNOWN


class ActivateIn(In):
    """A one-time code and the password to be."""

    login: GivenLogin
    code: Code
    password: Password
    client: Client = ""
    notice: Digest | None = None
    key_protection: KeyProtection = Protection.UNKNOWN


class RefreshIn(In):
    """The refresh token that was received last."""

    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class PasswordIn(In):
    """The password in use and the one to be."""

    old_password: Password
    new_password: Password


class TokensOut(Out):
    """Tokens. Keep `refresh_token` safe, replace it by each answer, and repeat a refresh whose answer did not come."""

    session_id: UUID
    token_type: Literal["Bearer", "DPoP"] = Field(
        description="DPoP：令牌与手机密钥绑定，每个请求须带证明 / bound to the phone's key, each request needs a proof"
    )
    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime


class WelcomeOut(TokensOut):
    """Tokens, and the hint by which this device is known at the next login. Keep it after logging out."""

    device_hint: str
    key_state: KeyState | None = Field(
        description="手机密钥的状态；登录时未带密钥则为 null / what the phone's key is good for; null without one"
    )


class SessionOut(Out):
    """A login on one device."""

    id: UUID
    client: str
    address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    current: bool = Field(description="是否为当前登录 / whether it is this one")


# --- accounts
class GrantOut(Out):
    """A grant (授权). `valid_until` is exclusive; null means until revoked."""

    id: UUID
    role: Role
    region: str
    unit_id: UUID | None
    valid_from: datetime
    valid_until: datetime | None
    assignment: str


class GrantHistoryOut(GrantOut):
    """A grant as it was given, and whether it was taken back."""

    granted_at: datetime
    granted_by: UUID | None
    revoked_at: datetime | None
    revoked_by: UUID | None


class AccountOut(Out):
    """An account (账号) with the grants in force or to come."""

    id: UUID
    login: str
    display_name: str
    region: str
    person_id: UUID | None
    activated: bool
    disabled_at: datetime | None
    created_at: datetime
    grants: list[GrantOut]


class AccountDetailOut(AccountOut):
    """An account with every grant it ever had."""

    grant_history: list[GrantHistoryOut]


class AccountIn(In):
    """An account to be; grants and the one-time code follow."""

    id: Id = Field(description="客户端生成，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    login: NewLogin
    display_name: Text
    region: Region
    person_id: Id | None = None


class AccountPatchIn(In):
    """What changes; what is absent stays."""

    display_name: Text | None = None
    disabled: bool | None = None


class GrantIn(In):
    """A grant to be: a region for most roles, a unit for a unit viewer, neither for an administrator."""

    id: Id
    role: Word[Role]
    region: Region = ""
    unit_id: Id | None = None
    valid_from: Instant | None = Field(default=None, description="缺省为现在 / default: now")
    valid_until: Instant | None = None
    assignment: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=rules.LONGEST_ASSIGNMENT),
        AfterValidator(printable),
        Field(description="任务，例如督查组 / such as the inspection it is for"),
    ] = ""


class CodeOut(Out):
    """A one-time code. It is shown here and never again."""

    account_id: UUID
    login: str
    display_name: str
    code: str
    expires_at: datetime


class SlipsIn(In):
    """Whose slips: those of a region, or of chosen accounts."""

    region: SlipRegion | None = None
    accounts: list[Id] = Field(default=[], max_length=2000)
    server_address: Annotated[
        str | None,
        StringConstraints(pattern=r"^https?://[A-Za-z0-9.:\[\]_/-]{1,200}$"),
        Field(
            description="印在条上的网址，缺省为本次请求的地址 / printed address; default: that of this request"
        ),
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.region is None) == (not self.accounts):
            raise PydanticCustomError(
                "one_of_two",
                "give either region or accounts",
                {"zh": "请给出 region 或 accounts 其中之一"},
            )
        return self


class SlipsOut(Out):
    """The codes that were made. Codes printed earlier for these accounts are void."""

    server_address: str
    slips: list[CodeOut]


class ForPeopleIn(In):
    """The people posted under this region."""

    region: SlipRegion


class UnfitOut(Out):
    """A person whose staff number cannot be a login."""

    field: str
    code: str
    zh: str
    en: str


class ForPeopleOut(Out):
    """The accounts that were made."""

    created: list[AccountOut]
    unfit: list[UnfitOut]


# --- oneself
class OwnPersonOut(Out):
    """The person of an account."""

    id: UUID
    number: str
    name: str
    unit_name: str | None


class MeOut(Out):
    """The own account."""

    account: AccountOut
    person: OwnPersonOut | None


class SecurityEventOut(Out):
    """Something that happened to the own account (安全记录). `by` is null for oneself and for the command line."""

    at: datetime
    deed: str
    by: str | None
    details: dict[str, Any]
