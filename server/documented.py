"""What the OpenAPI document says that no single route does: refusals by their kinds, tokens, tags in both languages."""

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from fastapi import FastAPI

from server import deprecations, exemplary, problems, quotas
from server.envelope import NEVER_TOO_OLD
from server.problems import Kind, Problem

_REFERENCE = {"$ref": "#/components/schemas/Problem"}
EVERYWHERE = (
    problems.INTERNAL,
    problems.DATABASE_UNAVAILABLE,
    problems.DATABASE_UNSAFE,
    problems.BUSY,
    problems.STOPPING,
    problems.URL_TOO_LONG,
    problems.HEADERS_TOO_LARGE,
)
"""What any operation can meet, with or without a token."""
_TOKENS = (
    problems.TOKEN_MISSING,
    problems.TOKEN_INVALID,
    problems.TOKEN_EXPIRED,
    problems.TOKEN_STALE,
    problems.PROOF_REFUSED,
    problems.USE_DPOP_NONCE,
)


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: the given kinds, those of every token and of every route, by status."""
    by_status: dict[int, list[Kind]] = {}
    for kind in dict.fromkeys((*_TOKENS, *kinds, *EVERYWHERE)):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(found) for status, found in sorted(by_status.items())}


def _response(kinds: list[Kind]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.zh} / {kind.en}" for kind in kinds),
        "content": {
            problems.MEDIA_TYPE: {
                "schema": _REFERENCE,
                "examples": {kind.code: _example(kind) for kind in kinds},
            }
        },
    }


@cache
def _example(kind: Kind) -> dict[str, Any]:
    """Return what a refusal looks like. One object for all the routes that can refuse so: each is told fifty times."""
    return {"value": Problem(kind).body()}


def sent(*names: str) -> dict[str, Any]:
    """Return the part of a route's ``responses`` that says which headers an answer carries: keys of _HEADERS."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


TAGS = [
    {"name": "service", "description": "服务器时间与版本 / the server's time and versions"},
    {"name": "auth", "description": "激活、登录、令牌、我的登录 / activation, login, tokens, own sessions"},
    {"name": "me", "description": "本人账号与任职 / the own account and postings"},
    {"name": "devices", "description": "手机密钥 / keys of phones"},
    {"name": "accounts", "description": "账号与授权 / accounts and grants"},
    {"name": "check-ins", "description": "签到 / check-ins"},
    {"name": "receipts", "description": "签到回执 / receipts of check-ins"},
    {"name": "reviews", "description": "复核 / reviews of check-ins and months"},
    {"name": "rejudgings", "description": "边界更正后重新判定 / judging again after a corrected boundary"},
    {"name": "months", "description": "月度在岗情况 / months of people"},
    {
        "name": "privacy",
        "description": "告知书、谁看过我的记录、本人数据 / the notice, who looked, one's own data",
    },
    {"name": "corrections", "description": "补签与申诉 / corrections and appeals"},
    {"name": "attachments", "description": "附件：照片与文件 / attachments: photos and documents"},
    {"name": "month", "description": "政策与节假日历 / policies and calendars"},
    {"name": "evidence", "description": "故障登记 / outages"},
    {"name": "places", "description": "区划、点位、边界 / regions, zones, boundaries"},
    {"name": "roster", "description": "人员、单位、任职 / people, units, postings"},
]
OVERVIEW = (
    "驻村干部在村签到与月度在岗计算。手机开发从 guide.md 读起。\n\n"
    "Check-ins of cadres posted to villages, and the month that follows from them. Phone developers start with guide.md."
)
_TEXT = {"type": "string"}
_FAULT = {
    "type": "object",
    "description": "一个字段的错误 / what is wrong with one field",
    "required": ["field", "code", "zh", "en"],
    "properties": {"field": _TEXT, "code": _TEXT, "zh": _TEXT, "en": _TEXT, "line": {"type": "integer"}},
}
_TEXTS = ("type", "title", "detail", "code", "title_zh", "title_en", "detail_zh", "detail_en")
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457；按 code 判断，把 detail 显示给使用者 / decide by code, show detail",
    "required": [*_TEXTS, "status"],
    "additionalProperties": True,  # Extension members of a kind: RFC 9457 section 3.2.
    "properties": {
        **dict.fromkeys(_TEXTS, _TEXT),
        "status": {"type": "integer"},
        "instance": _TEXT,
        "request_id": _TEXT,
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldFault"}},
    },
}
_HEADERS = {
    "X-Request-Id": {
        "description": "本次请求的编号，反馈问题时请附上 / the request's id; quote it when reporting a fault",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "ETag": {
        "description": "内容的版本，修改时以 If-Match 送回 / the version, sent back as If-Match with a change",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[^"]*"$'},
    },
    "Idempotent-Replay": {
        "description": "这是重发，未再次写入 / a resend; nothing was written again",
        "schema": {"const": "true"},
    },
    "Location": {
        "description": "新建内容的地址 / the address of what was made",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Cache-Control": {
        "description": "能否缓存 / whether the answer may be kept",
        "required": True,
        "schema": {"type": "string"},
    },
    "Content-Security-Policy": {
        "description": "在浏览器中打开时的限制 / what the page may do in a browser",
        "schema": {"type": "string"},
    },
    "X-Content-Type-Options": {
        "description": "按所写类型处理 / the declared type holds",
        "required": True,
        "schema": {"const": "nosniff"},
    },
    "Content-Language": {
        "description": "title 与 detail 的语言 / the language of title and detail",
        "schema": {"enum": ["zh", "en"]},
    },
    "Vary": {
        "description": "答复随哪些请求头而不同 / which request headers choose the answer",
        "schema": {"type": "string"},
    },
    "Upload-Offset": {
        "description": "已收到的字节数，从此续传 / bytes that have arrived; go on from here (draft-ietf-httpbis-resumable-upload)",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Upload-Complete": {
        "description": "?1 已全部收到并存放 / ?1: all of it arrived and is stored",
        "required": True,
        "schema": {"enum": ["?0", "?1"]},
    },
    "Upload-Length": {
        "description": "登记的字节数 / bytes that were announced",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Accept-Ranges": {
        "description": "可按字节范围下载 / ranges of bytes can be asked for",
        "required": True,
        "schema": {"const": "bytes"},
    },
    "Content-Range": {
        "description": "这是哪些字节 / which bytes these are (RFC 9110 section 14.4)",
        "required": True,
        "schema": {"type": "string", "pattern": "^bytes ([0-9]+-[0-9]+|[*])/[0-9]+$"},
    },
    "Content-Disposition": {
        "description": "只作下载，文件名由服务器定 / for download alone, under the server's own name",
        "required": True,
        "schema": {"type": "string", "pattern": "^attachment; filename="},
    },
    "Allow": {
        "description": "此地址支持的方法 / the methods of this address",
        "required": True,
        "schema": {"type": "string"},
    },
    "Accept": {
        "description": "可接受的正文类型 / the types of body that are taken",
        "schema": {"type": "string"},
    },
    "Accept-Encoding": {
        "description": "可接受的正文编码：不压缩 / the body must not be compressed",
        "schema": {"const": "identity"},
    },
    "RateLimit": {
        "description": "所属限额的余量 r 与恢复所需秒数 t / what is left (r) of the quota that counts here, and the seconds "
        "(t) until it is whole (draft-ietf-httpapi-ratelimit-headers-10)",
        "schema": {"type": "string", "pattern": '^"[a-z]+";r=[0-9]+;t=[0-9]+$'},
    },
    "RateLimit-Policy": {
        "description": "限额：q 次每 w 秒 / the quota: q requests in w seconds",
        "schema": {"type": "string", "pattern": '^"[a-z]+";q=[0-9]+;w=[0-9]+$'},
    },
    "Sandbox": {
        "description": "只在演练环境出现 / only a sandbox sends it: nothing here is real",
        "schema": {"const": "true"},
    },
    "DPoP-Nonce": {
        "description": "下一次证明所用的随机数 / the nonce of the next proof (RFC 9449 section 8)",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    },
    "Zaicun-Client-Minimum": {
        "description": "应用过旧时，至少需要的版本 / to an outdated app: the version it needs at least",
        "schema": {"type": "string"},
    },
    "Deprecation": {
        "description": "自何时起不再建议使用（RFC 9745）/ deprecated since (RFC 9745)",
        "schema": {"type": "string", "pattern": "^@[0-9]+$"},
    },
    "Sunset": {
        "description": "何时停用（RFC 8594）/ when it ends (RFC 8594)",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": "说明所在（RFC 8288）/ where it is explained (RFC 8288)",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "多少秒后重试 / seconds to wait before trying again",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "RFC 6750, RFC 9449",
        "required": True,
        "schema": {"type": "string", "pattern": "^(Bearer|DPoP)"},
    },
}
_ALWAYS_SENT = (
    "X-Request-Id",
    "X-Content-Type-Options",
    "Cache-Control",
    "Vary",
    "Content-Language",
    "Sandbox",
    "Zaicun-Client-Minimum",
    "DPoP-Nonce",
)
_OF_STATUS = {
    "401": ("WWW-Authenticate",),
    "412": ("ETag",),
    "415": ("Accept", "Accept-Encoding"),
    "416": ("Content-Range",),
    "429": ("Retry-After", "RateLimit"),
    "503": ("Retry-After",),
}
_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_DPOP = {
    "type": "http",
    "scheme": "dpop",
    "description": "登录时带了手机密钥的令牌：每个请求另带 DPoP 头 / tokens bound to a phone's key: each request carries a DPoP "
    "header besides (RFC 9449; guide, section 24)",
}


def complete(app: FastAPI, *, open_to_all: Collection[str]) -> None:
    """Complete the application's document. `open_to_all` names the operations that need no token."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain(), open_to_all)
        return plain()

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way to extend the document.


def _complete(document: dict[str, Any], open_to_all: Collection[str]) -> None:
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})
    components["securitySchemes"] = {"bearer": _BEARER, "dpop": _DPOP}
    components["headers"] = _HEADERS
    # FastAPI's own schema of a 422 is never what this service answers; every refusal is a problem.
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"] |= {"Problem": _PROBLEM, "FieldFault": _FAULT}
    known: dict[str, dict[str, Any]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            known[operation["operationId"]] = operation
            quota = None
            if operation["operationId"] not in open_to_all:
                operation["security"] = [{"bearer": []}, {"dpop": []}]
                quota = quotas.kind_of(operation["operationId"], method)
            _refuse(operation, path, quota)
            _complete_parameters(operation)
    deprecations.write_into(known)
    shown = exemplary.read()
    for operation in known.values():
        exemplary.write_into(operation, shown.get(operation["operationId"], {}))
        _say_sandbox(operation, components["schemas"])
        _name_headers(operation)
    components["examples"] = _told_once(known.values())


def _told_once(operations: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the examples of problems by code; the operations refer to them, for each is told fifty times."""
    told: dict[str, Any] = {}
    for operation in operations:
        for answer in operation["responses"].values():
            examples = answer.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", {})
            for code in examples:
                told.setdefault(code, examples[code])
                examples[code] = {"$ref": f"#/components/examples/{code}"}
    return dict(sorted(told.items()))


_SANDBOX = {
    "description": "只在演练环境出现：数据均为虚构 / only a sandbox sends it: nothing here is real",
    "type": "boolean",
}


def _say_sandbox(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Describe the member that marks each JSON object of a sandbox (sandbox.py)."""
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if "properties" in schemas.get(name, {}):
                schemas[name]["properties"].setdefault("sandbox", _SANDBOX)


def _refuse(operation: dict[str, Any], path: str, quota: str | None) -> None:
    """Say what the conventions can refuse anywhere: a quota that is used up, a client that is too old, a body."""
    _refuse_bodies(operation)
    if not path.startswith(NEVER_TOO_OLD):
        _add(operation["responses"], problems.CLIENT_TOO_OLD)
    if quota is not None:
        operation["x-quota"] = quota
        _add(operation["responses"], problems.TOO_MANY_REQUESTS)


def _complete_parameters(operation: dict[str, Any]) -> None:
    """Say that If-Match is required (428 is its own refusal, so no code requires it), and that no parameter is null."""
    for parameter in operation.get("parameters", []):
        if parameter["name"].lower() == "if-match":
            parameter["required"] = True
        kinds = [kind for kind in parameter["schema"].pop("anyOf", []) if kind.get("type") != "null"]
        if len(kinds) == 1:
            parameter["schema"].update(kinds[0])
        elif kinds:
            parameter["schema"]["anyOf"] = kinds


def _refuse_bodies(operation: dict[str, Any]) -> None:
    """Say what any body can be refused for, and that what is not valid is a problem."""
    responses = operation["responses"]
    refused = responses.get("422")
    if refused and problems.MEDIA_TYPE not in refused["content"]:
        del responses["422"]
    in_json = "application/json" in operation.get("requestBody", {}).get("content", {})
    if in_json or operation.get("parameters"):  # A file may have parameters beside it.
        _add(responses, problems.INVALID_REQUEST)
    if "requestBody" in operation:
        _add(responses, problems.BODY_TOO_LARGE)
        _add(responses, problems.REQUEST_TIMEOUT)
        if in_json:
            _add(responses, problems.MALFORMED_BODY)
        _add(responses, problems.UNSUPPORTED_MEDIA)


def _add(responses: dict[str, Any], kind: Kind) -> None:
    added = _response([kind])
    known = responses.setdefault(str(kind.status), added)
    examples = known["content"][problems.MEDIA_TYPE]["examples"]
    if kind.code not in examples:
        known["description"] += f"; {added['description']}"
        examples.update(added["content"][problems.MEDIA_TYPE]["examples"])


def _name_headers(operation: dict[str, Any]) -> None:
    common = list(_ALWAYS_SENT)
    if "x-quota" in operation:
        common += ["RateLimit", "RateLimit-Policy"]
    if operation.get("deprecated"):
        common += ["Deprecation", "Sunset", "Link"]
    for status, answer in operation["responses"].items():
        names = [*common, *_OF_STATUS.get(status, ())]
        if status == "200" and "201" in operation["responses"]:
            names.append("Idempotent-Replay")
        answer.setdefault("headers", {}).update(sent(*names)["headers"])
