"""Every failure a client can meet, as RFC 9457 problems in Chinese and English.

The registry is this page: a code is kebab-case, stable for ever, and never used for something else. Raise
``Problem(KIND, zh=..., en=...)`` where the failure is understood; the texts given there say what to do about this
one, the registry's titles say what kind it is. Imports nothing of ours.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure: its code, its HTTP status (RFC 9110) and its titles."""

    code: str
    status: int
    zh: str
    en: str

    @property
    def type(self) -> str:
        """Return the URI that identifies the kind: a full path, which the server itself explains (RFC 9457, 3.1.1)."""
        return f"/problems/{self.code}"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with one field. `field` is a path such as ``position.lon``; `line` counts from 1 in files."""

    field: str
    code: str
    zh: str
    en: str
    line: int | None = None

    def body(self) -> dict[str, Any]:
        """Return the member of ``errors`` that a client reads."""
        shown: dict[str, Any] = {"field": self.field, "code": self.code, "zh": self.zh, "en": self.en}
        return shown if self.line is None else {**shown, "line": self.line}


class Problem(Exception):
    """A failure on its way to the client. `members` are extension members (RFC 9457 section 3.2)."""

    def __init__(
        self,
        kind: Kind,
        *,
        zh: str = "",
        en: str = "",
        errors: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(f"{kind.code}: {en or kind.en}")
        self.kind = kind
        self.zh = zh
        self.en = en
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = members

    def body(self, language: str = "zh", instance: str = "") -> dict[str, Any]:
        """Return the problem document; `language` (zh or en) chooses ``title`` and ``detail``."""
        english = language == "en"
        return {
            "type": self.kind.type,
            "title": self.kind.en if english else self.kind.zh,
            "status": self.kind.status,
            "detail": (self.en if english else self.zh) or (self.kind.en if english else self.kind.zh),
            "code": self.kind.code,
            "title_zh": self.kind.zh,
            "title_en": self.kind.en,
            "detail_zh": self.zh or self.kind.zh,
            "detail_en": self.en or self.kind.en,
            **({"instance": instance} if instance else {}),
            **({"errors": [fault.body() for fault in self.errors]} if self.errors else {}),
            **self.members,
        }


def later(kind: Kind, *, least_s: int = 1, zh: str = "", en: str = "") -> Problem:
    """Return a 503 with a Retry-After of `least_s` to `least_s` + 2 seconds, drawn anew for each.

    Clients add a share of their own (guide, "Sending again"); those that do not still come back spread out.
    """
    return Problem(kind, headers={"Retry-After": str(least_s + secrets.randbelow(3))}, zh=zh, en=en)


def registry() -> dict[str, Kind]:
    """Return every kind by its code, in the order of this page."""
    return {kind.code: kind for kind in globals().values() if isinstance(kind, Kind)}


# --- what any request can meet
INVALID_REQUEST = Kind("invalid-request", 422, "请求内容不符合要求", "The request is not valid")
MALFORMED_BODY = Kind("malformed-body", 400, "请求正文无法解析", "The request body cannot be parsed")
BODY_TOO_LARGE = Kind("body-too-large", 413, "请求正文过大", "The request body is too large")
UNSUPPORTED_MEDIA = Kind("unsupported-media-type", 415, "不支持的内容类型", "The media type is not supported")
NOT_FOUND = Kind("not-found", 404, "未找到", "Not found")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "不支持此方法", "The method is not allowed")
FORBIDDEN = Kind("forbidden", 403, "您的角色没有此项权限", "Your role does not have this operation")
BAD_CURSOR = Kind("bad-cursor", 400, "分页标记无效", "The page cursor is not valid")
ID_REUSED = Kind("id-reused", 409, "同一编号已用于不同内容", "This id was already used for other content")
PRECONDITION_REQUIRED = Kind("precondition-required", 428, "缺少 If-Match", "If-Match is required")
PRECONDITION_FAILED = Kind(
    "precondition-failed", 412, "内容已被他人修改", "The content was changed meanwhile"
)
ALREADY_DECIDED = Kind("already-decided", 409, "已有决定", "This has already been decided")
CONFLICT = Kind("conflict", 409, "与已有记录冲突", "This conflicts with an existing record")
INTERNAL = Kind("internal-error", 500, "服务器内部错误", "Internal server error")
BUSY = Kind("busy", 503, "服务繁忙，请稍后重试", "The service is busy, try again shortly")
DATABASE_UNAVAILABLE = Kind("database-unavailable", 503, "数据库暂时不可用", "The database is not available")
DATABASE_UNSAFE = Kind(
    "database-unsafe", 503, "数据库设置不安全，暂停服务", "The database is not safe to store in at present"
)
STOPPING = Kind("stopping", 503, "服务正在重启，请稍后重试", "The service is restarting, try again shortly")
TOO_MANY_REQUESTS = Kind("too-many-requests", 429, "操作过于频繁", "Too many requests")

URL_TOO_LONG = Kind("url-too-long", 414, "网址过长", "The address is too long")
HEADERS_TOO_LARGE = Kind(
    "headers-too-large", 431, "请求头过多或过长", "The header fields are too many or too long"
)
REQUEST_TIMEOUT = Kind("request-timeout", 408, "请求未能及时发完", "The request was not sent in time")
MALFORMED_REQUEST = Kind("malformed-request", 400, "不是有效的 HTTP 请求", "This is not a valid HTTP request")
CLIENT_TOO_OLD = Kind(
    "client-too-old", 400, "应用版本过旧，请更新", "This version of the app is too old, please update it"
)
"""Not 426, which is for changing the protocol of a connection (RFC 9110 section 15.5.22)."""

# --- signing in and accounts
TOKEN_MISSING = Kind("token-missing", 401, "缺少访问令牌", "An access token is required")
TOKEN_INVALID = Kind("token-invalid", 401, "访问令牌无效", "The access token is not valid")
TOKEN_EXPIRED = Kind("token-expired", 401, "访问令牌已过期", "The access token has expired")
TOKEN_STALE = Kind("token-stale", 401, "授权已变更，请刷新令牌", "Authorization changed, refresh the token")
"""The session was ended or the grants changed after the token was made."""
PROOF_REFUSED = Kind(
    "proof-refused",
    401,
    "缺少手机密钥的证明，或证明与本次请求不符",
    "The proof of the phone's key is missing, or is not of this request",
)
"""The token is bound to a key (RFC 9449) and the request does not show that its sender holds it."""
USE_DPOP_NONCE = Kind(
    "use-dpop-nonce",
    401,
    "请用答复中的 DPoP-Nonce 重新证明",
    "Make the proof again with the DPoP-Nonce of this answer",
)
DEVICE_KEY_REQUIRED = Kind(
    "device-key-required", 403, "须用有密钥的手机", "This needs a phone that has a key"
)
DEVICE_KEY_REVOKED = Kind(
    "device-key-revoked", 409, "此手机密钥已停用，请生成新的", "This key was revoked, make a new one"
)
DEVICE_WAITING = Kind("device-waiting", 403, "此手机尚未确认", "This phone is not confirmed yet")
DEVICE_CODE_REFUSED = Kind(
    "device-code-refused",
    422,
    "手机确认码不正确、已使用或已过期",
    "The phone's code is not right, was used or has expired",
)
TOO_MANY_DEVICES = Kind("too-many-devices", 409, "已确认的手机过多", "Too many phones are confirmed")
LOGIN_REFUSED = Kind("login-refused", 401, "账号或密码不正确", "The login or the password is not right")
CODE_REFUSED = Kind(
    "code-refused",
    401,
    "激活码无效、已使用或已过期",
    "The one-time code is not valid, was used or has expired",
)
REFRESH_REFUSED = Kind(
    "refresh-refused", 401, "登录已失效，请重新登录", "The session cannot be renewed, log in again"
)
PASSWORD_REFUSED = Kind("password-refused", 422, "密码不符合要求", "The password is not acceptable")
NOTICE_NOT_ACCEPTED = Kind(
    "notice-not-accepted", 409, "请先阅读并接受告知书", "The notice must be accepted first"
)
LOGIN_TAKEN = Kind("login-taken", 409, "登录名已被使用", "The login is taken")
PERSON_HAS_ACCOUNT = Kind("person-has-account", 409, "此人已有账号", "The person already has an account")
PERSON_UNKNOWN = Kind("person-unknown", 422, "没有此人", "There is no such person")
UNIT_UNKNOWN = Kind("unit-unknown", 422, "没有此单位", "There is no such unit")
GRANT_NOT_ALLOWED = Kind("grant-not-allowed", 403, "您不能授予此项权限", "You may not give this grant")
GRANT_UNFIT = Kind("grant-unfit", 422, "授权范围与角色不符", "The scope does not fit the role")
TOO_MANY_GRANTS = Kind("too-many-grants", 409, "授权过多", "The account has too many grants")
OWN_ACCOUNT = Kind(
    "own-account", 403, "不能对自己的账号进行此操作", "This cannot be done to one's own account"
)

# --- regions, zones and boundary files
FILE_UNREADABLE = Kind("file-unreadable", 422, "文件无法读取", "The file cannot be read")
REGION_ROWS_FAULTY = Kind(
    "region-rows-faulty",
    422,
    "区划表有错误，未导入任何一行",
    "The region table has faults; no row was imported",
)
SUCCESSION_IMPOSSIBLE = Kind(
    "succession-impossible", 409, "无法登记该承继关系", "This successor cannot be recorded"
)
REJUDGING_STALE = Kind(
    "rejudging-stale",
    409,
    "试算之后情况已变，请重新试算",
    "What would change is no longer what the dry run showed",
)
TOO_MANY_CHECK_INS = Kind(
    "too-many-check-ins",
    422,
    "涉及的签到太多，请分几次提出",
    "Too many check-ins are concerned, ask for fewer at a time",
)
SECOND_PERSON_REQUIRED = Kind(
    "second-person-required", 409, "须由另一人发布", "Another person must publish this"
)
NOTHING_TO_PUBLISH = Kind("nothing-to-publish", 409, "没有可发布的内容", "There is nothing to publish")

# --- the roster
UNIT_TAKEN = Kind("unit-taken", 409, "派出单位的编号或名称已存在", "The unit's number or name is taken")
STAFF_NUMBER_TAKEN = Kind("staff-number-taken", 409, "工号已存在", "The staff number is taken")
POSTING_OVERLAP = Kind(
    "posting-overlap",
    409,
    "同一人在同一村的任职时间重叠",
    "Two postings of one person in the same village overlap",
)
POSTING_PLACE_OVERLAP = Kind(
    "posting-place-overlap", 409, "该地点在此期间已登记", "The place is already given for these days"
)
ROSTER_REFUSED = Kind(
    "roster-refused", 422, "花名册有错误，未导入任何一行", "The roster has faults; no row was imported"
)

# --- policies, calendars and months
POLICY_CHOICE_MISSING = Kind(
    "policy-choice-missing",
    422,
    "政策须选择计算基数与公出计法",
    "A policy must choose its basis and whether duty counts in the village",
)
POLICY_REFUSED = Kind("policy-refused", 422, "政策内容有误", "The policy has faults")
POLICY_RETROACTIVE = Kind(
    "policy-retroactive",
    409,
    "政策不得追溯适用，除非写明理由",
    "A policy does not reach back without a recorded reason",
)
CALENDAR_REFUSED = Kind(
    "calendar-refused", 422, "日历有错误，未导入任何一行", "The calendar has faults; no row was imported"
)
OUTAGE_OVERLAPS = Kind(
    "outage-overlaps",
    409,
    "该地区这几天已登记故障",
    "An outage of this region is already recorded for these days",
)
OUTAGE_FOR_ONESELF = Kind(
    "outage-for-oneself",
    403,
    "此故障只惠及登记人本人，须由他人登记",
    "The outage would credit nobody but yourself: somebody else must record it",
)
AWAY_OVERLAPS = Kind(
    "away-overlaps",
    409,
    "与已有的请假或公出时间重叠",
    "This overlaps with leave or duty that stands already",
)
ON_LEAVE = Kind(
    "on-leave",
    409,
    "当日在请假，请先销假或撤销请假",
    "The day is on leave: report back or cancel the leave first",
)
CORRECTION_OPEN = Kind(
    "correction-open", 409, "当日已有补签申请待办", "A correction of this day is waiting to be decided"
)
OWN_REQUEST = Kind(
    "own-request",
    403,
    "本人的、本人录入的或本人已经手的事项，须由他人决定",
    "Somebody else must decide what concerns you, what you entered or what you decided before",
)
HIGHER_APPROVER_REQUIRED = Kind(
    "higher-approver-required", 403, "此事项须由区里决定", "The district must decide this"
)
NOT_THE_AUTHOR = Kind("not-the-author", 403, "只有录入人可以撤回", "Only whoever entered it can withdraw it")
APPEAL_MADE = Kind("appeal-made", 409, "对此决定已提出过申诉", "An appeal against this decision was made")
APPEAL_TOO_LATE = Kind("appeal-too-late", 409, "申诉期限已过", "The time for an appeal is over")
ATTACHMENT_QUOTA = Kind("attachment-quota", 409, "附件空间不足", "There is no room left for attachments")
ATTACHMENT_REFUSED = Kind("attachment-refused", 422, "不收此文件", "The file is not taken")
ATTACHMENT_UNKNOWN = Kind(
    "attachment-unknown",
    422,
    "没有这些可用的附件",
    "These are not attachments of yours that are ready",
)
ATTACHMENT_LINKED = Kind(
    "attachment-linked", 409, "附件已附于记录", "The attachment is attached to something"
)
ATTACHMENT_NOT_READY = Kind(
    "attachment-not-ready", 409, "附件尚未传完或已淡化", "The attachment has no content"
)
UPLOAD_OFFSET = Kind("upload-offset", 409, "续传位置不符", "The upload stands at another offset")
UPLOAD_OVER = Kind("upload-over", 409, "附件已淡化", "The upload is over")
UPLOAD_DAMAGED = Kind(
    "upload-damaged",
    409,
    "收到的内容与所写的 SHA-256 不符，请从头重传",
    "The content differs from its SHA-256; begin anew",
)
RANGE_NOT_SATISFIABLE = Kind("range-not-satisfiable", 416, "没有所请求的字节", "There are no such bytes")
STORAGE_UNAVAILABLE = Kind(
    "storage-unavailable", 503, "附件存储暂时不可用", "Attachments cannot be stored or read at present"
)
NO_POLICY = Kind("no-policy", 409, "该月没有已发布的政策", "No published policy governs this month")

# --- check-ins
WITHDRAWAL_TOO_LATE = Kind(
    "withdrawal-too-late", 409, "已超过可撤回的时间", "It is too late to withdraw this check-in"
)
"""A check-in can be taken back within the minutes that the policy gives; later a correction is the way."""
REVIEW_NOT_TAKEN = Kind("review-not-taken", 409, "尚未接手该事项", "You have not taken this item")
RECEIPT_REFUSED = Kind(
    "receipt-refused",
    422,
    "所附回执不能用来找回这次签到",
    "The receipt does not bring this check-in back",
)
"""The receipt that came with a resent check-in is not ours, is another's, or does not fit the content. `cause` says which;
send the check-in once more without the receipt: it is then taken as an ordinary late one."""
