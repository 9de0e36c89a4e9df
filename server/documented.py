"""What the OpenAPI document says that no single route does: refusals by their kinds, tokens, tags in both languages."""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI

from server import problems
from server.problems import Kind, Problem

_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_RETRY_AFTER = {
    "description": "多少秒后重试 / seconds to wait before trying again",
    "schema": {"type": "integer", "minimum": 1},
}
_ALWAYS = (problems.TOKEN_MISSING, problems.TOKEN_INVALID, problems.TOKEN_EXPIRED, problems.TOKEN_STALE)


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: the given kinds and those of every token, grouped by status."""
    by_status: dict[int, list[Kind]] = {}
    for kind in (*_ALWAYS, *kinds):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(found) for status, found in sorted(by_status.items())}


def _response(kinds: list[Kind]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.zh} / {kind.en}" for kind in kinds),
        "content": {
            problems.MEDIA_TYPE: {
                "schema": _REFERENCE,
                "examples": {k.code: {"value": Problem(k).body()} for k in kinds},
            }
        },
        **(
            {"headers": {"Retry-After": _RETRY_AFTER}} if {kind.status for kind in kinds} & {429, 503} else {}
        ),
    }


TAGS = [
    {"name": "auth", "description": "激活、登录、令牌、我的登录 / activation, login, tokens, own sessions"},
    {"name": "me", "description": "本人账号与任职 / the own account and postings"},
    {"name": "accounts", "description": "账号与授权 / accounts and grants"},
    {"name": "check-ins", "description": "签到 / check-ins"},
    {"name": "months", "description": "月度在岗情况 / months of people"},
    {"name": "month", "description": "政策与节假日历 / policies and calendars"},
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
    "properties": {
        **dict.fromkeys(_TEXTS, _TEXT),
        "status": {"type": "integer"},
        "instance": _TEXT,
        "request_id": _TEXT,
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldFault"}},
    },
}
_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def complete(app: FastAPI, *, open_to_all: Collection[str]) -> None:
    """Complete the application's document; `open_to_all` names the operations that need no token."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain(), open_to_all)
        return plain()

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way to extend the document.


def _complete(document: dict[str, Any], open_to_all: Collection[str]) -> None:
    components = document["components"]
    components["securitySchemes"] = {"bearer": _BEARER}
    # FastAPI's own schema of a 422 is never what this service answers; every refusal is a problem.
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"] |= {"Problem": _PROBLEM, "FieldFault": _FAULT}
    for operations in document["paths"].values():
        for operation in operations.values():
            if operation["operationId"] not in open_to_all:
                operation["security"] = [{"bearer": []}]
            refused = operation["responses"].get("422")
            if refused and problems.MEDIA_TYPE not in refused["content"]:
                operation["responses"]["422"] = _response([problems.INVALID_REQUEST])
