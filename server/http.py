"""Problems instead of tracebacks: how refusals of every origin become answers in the caller's language; liveness."""

import logging
import re
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from server import logs, problems
from server.envelope import BodyRefused, ClientGone, Envelope, Prove
from server.problems import FieldFault, Kind, Problem

LOG = logging.getLogger("zaicun.http")


_RANGE = re.compile(r"\s*(zh|en)(?:-[a-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d*)?))?\s*", re.IGNORECASE)


def language(request: Request) -> str:
    """Choose zh or en by Accept-Language (RFC 9110 section 12.5.4); Chinese unless English is preferred."""
    best, chosen = 0.0, "zh"
    for part in request.headers.get("accept-language", "")[:200].split(","):
        asked = _RANGE.fullmatch(part)
        quality = float(asked[2] or 1) if asked else 0.0  # Weight 0 says: not this one.
        if asked and quality > best:
            best, chosen = quality, asked[1].lower()
    return chosen


def answer(problem: Problem, request: Request) -> Response:
    """Return the response that carries a problem."""
    chosen = language(request)
    body = problem.body(chosen, request.url.path)
    body["request_id"] = getattr(request.state, "request_id", "")
    request.state.problem = problem.kind.code  # Counted and logged by observed.py.
    headers = {**problem.headers, "Content-Language": chosen, "Vary": "Accept-Language"}
    if problem.kind.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")  # A 401 must name a challenge (RFC 9110, 15.5.2).
    return JSONResponse(body, problem.kind.status, headers, problems.MEDIA_TYPE)


def crashed(error: Exception, request: Request) -> Response:
    """Tell of an error that nobody foresaw, and return its answer.

    The error's text may hold personal data (SQL parameters do), so only its type and the places it went through are.
    """
    request_id = getattr(request.state, "request_id", "")
    LOG.error("crash", extra={"request_id": request_id, **logs.fault(error)})
    return answer(Problem(problems.INTERNAL), request)


_BY_STATUS: dict[int, Kind] = {
    404: problems.NOT_FOUND,
    405: problems.METHOD_NOT_ALLOWED,
    413: problems.BODY_TOO_LARGE,
    415: problems.UNSUPPORTED_MEDIA,
    400: problems.MALFORMED_BODY,
}

_CHINESE = {
    "missing": "缺少此项",
    "extra_forbidden": "不认识的字段",
    "json_invalid": "不是有效的 JSON",
    "int_parsing": "应为整数",
    "float_parsing": "应为数字",
    "float_type": "应为数字",
    "int_type": "应为整数",
    "int_from_float": "应为整数",
    "string_type": "应为文本",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "uuid_parsing": "应为 UUID",
    "uuid_type": "应为 UUID",
    "list_type": "应为数组",
    "dict_type": "应为对象",
    "model_attributes_type": "应为对象",
    "enum": "不在允许的取值之内",
    "literal_error": "不在允许的取值之内",
    "finite_number": "应为有限的数字",
    "string_too_long": "文本过长",
    "string_too_short": "文本过短",
    "string_pattern_mismatch": "格式不符",
    "greater_than_equal": "数值过小",
    "greater_than": "数值过小",
    "less_than_equal": "数值过大",
    "less_than": "数值过大",
    "too_long": "项目过多",
    "too_short": "项目过少",
    "datetime_from_date_parsing": "应为带时区的时刻（RFC 3339）",
    "datetime_parsing": "应为带时区的时刻（RFC 3339）",
    "timezone_aware": "时刻须带时区",
    "date_from_datetime_parsing": "应为日期（YYYY-MM-DD）",
    "date_parsing": "应为日期（YYYY-MM-DD）",
    "clock_unreadable": "手机时间不可用，请校准后重新签到",
}


def field_faults(errors: Any) -> list[FieldFault]:  # noqa: ANN401  Pydantic's and FastAPI's error lists differ in type.
    """Translate pydantic's errors; the values themselves are left out, they may be personal."""
    faults = []
    for error in errors:
        place = [str(part) for part in error["loc"] if part not in {"body", "query", "path", "header"}]
        if error["type"] == "json_invalid":
            place = []  # Pydantic gives the offset of the character, which is no field.
        code = str(error["type"]).replace("_", "-")
        own = error.get("ctx", {}).get("zh") if isinstance(error.get("ctx"), dict) else None
        faults.append(
            FieldFault(
                field=".".join(place),
                code=code,
                zh=str(own or _CHINESE.get(str(error["type"]), "不符合要求")),
                en=str(error["msg"]),
            )
        )
    return faults


def refused_as(request: Request, error: RequestValidationError | HTTPException) -> Kind:
    """Return the kind of a request that does not fit: its type, its size, its JSON, or its content."""
    if isinstance(error, HTTPException):
        kind = _BY_STATUS.get(error.status_code)
        if kind is problems.MALFORMED_BODY and not _is_json(request):
            return problems.UNSUPPORTED_MEDIA
        return kind or Kind("http-error", error.status_code, *[HTTPStatus(error.status_code).phrase] * 2)
    faults = error.errors()
    if any(each["loc"][:1] == ("body",) for each in faults) and not _is_json(request):
        return problems.UNSUPPORTED_MEDIA
    if any(each["type"] == "json_invalid" for each in faults):
        return problems.MALFORMED_BODY
    return problems.INVALID_REQUEST


def _is_json(request: Request) -> bool:
    """Tell whether a body is said to be JSON and is not packed. One that was not sent at all has no type."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return False
    sent = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        not sent
        or media == "application/json"
        or (media.startswith("application/") and media.endswith("+json"))
    )


def unsupported(accepted: str, zh: str, en: str) -> Problem:
    """Return the problem of a body whose type or packing is not taken, with what is (RFC 9110 section 15.5.16)."""
    return Problem(
        problems.UNSUPPORTED_MEDIA,
        zh=zh,
        en=en,
        headers={"Accept": accepted, "Accept-Encoding": "identity"},
    )


_NOT_JSON = (
    "application/json",
    "正文须为 JSON，不压缩，并注明 Content-Type: application/json。",
    "The body must be JSON, not compressed, and sent with Content-Type: application/json.",
)


_MOST_FAULTS = 100
"""Faults that are told; a body of unknown fields has tens of thousands."""


def invalid(request: Request, error: RequestValidationError) -> Problem:
    """Return the problem of a request that does not fit, field by field."""
    kind = refused_as(request, error)
    if kind is problems.UNSUPPORTED_MEDIA:
        return unsupported(*_NOT_JSON)
    faults = field_faults(error.errors()[:_MOST_FAULTS])
    names = "、".join(f"{f.field}：{f.zh}" if f.field else f.zh for f in faults[:5])
    english = "; ".join(f"{f.field}: {f.en}" if f.field else f.en for f in faults[:5])
    return Problem(kind, zh=names, en=english, errors=faults)


def _methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods of an address, of all the routes that share it; one without parameters hides the others."""
    sharing = [
        context
        for context in iter_route_contexts(app.routes)
        if context.path is not None and _compiled(context.path).fullmatch(path)
    ]
    exact = [context for context in sharing if context.path == path]
    found = {"OPTIONS"}.union(*(context.methods or () for context in exact or sharing))
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


@cache
def _compiled(path: str) -> re.Pattern[str]:
    pattern, _, _ = compile_path(path)
    return pattern


def _not_a_method(request: Request) -> Response:
    """Answer OPTIONS with the methods of the address, and any other with 405 and the same list."""
    allow = ", ".join(_methods(request.app, request.url.path))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    return answer(Problem(problems.METHOD_NOT_ALLOWED, headers={"Allow": allow}), request)


def install(app: FastAPI, prove: Prove) -> None:
    """Install the handlers, the envelope and the liveness routes.

    `prove` raises Problem (401) unless the request's token is good; those above this layer know how.
    """
    app.state.body_limits = {}
    app.add_middleware(
        Envelope,
        limits=app.state.body_limits,
        settings=app.state.settings,
        admission=app.state.admission,
        answer=answer,
        crashed=crashed,
        prove=prove,
    )

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return answer(problem, request)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(invalid(request, error), request)

    @app.exception_handler(BodyRefused)
    async def on_refused_body(request: Request, error: BodyRefused) -> Response:
        return answer(error.problem, request)

    @app.exception_handler(ClientGone)
    async def on_gone(_request: Request, error: ClientGone) -> Response:
        raise error  # The envelope ends it, without an answer.

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _not_a_method(request)
        kind = refused_as(request, error)
        if kind is problems.UNSUPPORTED_MEDIA:
            return answer(unsupported(*_NOT_JSON), request)
        return answer(Problem(kind, headers=error.headers), request)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> dict[str, str]:
        if request.app.state.admission.stopping:
            raise problems.later(problems.STOPPING)
        pulse = request.app.state.pulse
        pulse.require()
        until = pulse.assessed_until
        # A worker that is behind holds nobody up, so it is told and makes nothing red.
        return {"status": "ready"} | ({} if until is None else {"assessed_until": until.isoformat()})
