"""What every HTTP answer has in common: problems instead of tracebacks, request ids, body limits, liveness."""

import logging
from http import HTTPStatus
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import ids, problems
from server.problems import FieldFault, Kind, Problem

LOG = logging.getLogger("zaicun.http")
LARGEST_BODY = 1 << 20
"""Bytes of a JSON body. Routes that take files name their own limit through ``app.state.body_limits``."""


class BodyTooLarge(HTTPException):
    """Raised inside the application when a body grows past its limit while it is read.

    An HTTPException, because FastAPI turns every other error met while reading a body into a 400.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(413, str(limit))


class Envelope:
    """Give each request an id, bound its body, and turn an overrun into a problem."""

    def __init__(self, app: ASGIApp, limits: dict[str, int]) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        limit = self._limit(scope["path"])
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise BodyTooLarge(limit)
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", []).append((b"x-request-id", request_id.encode()))
            await send(message)

        await self.app(scope, bounded, marked)

    def _limit(self, path: str) -> int:
        return next((size for prefix, size in self.limits.items() if path.startswith(prefix)), LARGEST_BODY)


def _request_id(scope: Scope) -> str:
    """Take the caller's X-Request-Id when it is a UUID, else make one: anything else could forge log lines."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            try:
                return str(UUID(value.decode("ascii")))
            except (ValueError, UnicodeDecodeError):
                break
    return str(ids.new_id())


def language(request: Request) -> str:
    """Choose zh or en by Accept-Language (RFC 9110 section 12.5.4); Chinese unless English is preferred."""
    best, chosen = -1.0, "zh"
    for part in request.headers.get("accept-language", "")[:200].split(","):
        tag, _, weight = part.strip().partition(";q=")
        primary = tag.strip().split("-")[0].lower()
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if primary in {"zh", "en"} and quality > best:
            best, chosen = quality, primary
    return chosen


def answer(problem: Problem, request: Request) -> Response:
    """Return the response that carries a problem."""
    body = problem.body(language(request), request.url.path)
    body["request_id"] = getattr(request.state, "request_id", "")
    return JSONResponse(body, problem.kind.status, problem.headers, problems.MEDIA_TYPE)


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
    "string_type": "应为文本",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "uuid_parsing": "应为 UUID",
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


def is_malformed(error: RequestValidationError) -> bool:
    """Tell whether the body is no JSON at all."""
    return any(each["type"] == "json_invalid" for each in error.errors())


def install(app: FastAPI) -> None:
    """Install the handlers, the envelope and the liveness routes."""
    app.state.body_limits = {}
    app.add_middleware(Envelope, limits=app.state.body_limits)

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return answer(problem, request)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        faults = field_faults(error.errors())
        kind = problems.MALFORMED_BODY if is_malformed(error) else problems.INVALID_REQUEST
        names = "、".join(f"{f.field}：{f.zh}" if f.field else f.zh for f in faults[:5])
        english = "; ".join(f"{f.field}: {f.en}" if f.field else f.en for f in faults[:5])
        return answer(Problem(kind, zh=names, en=english, errors=faults[:100]), request)

    @app.exception_handler(BodyTooLarge)
    async def on_too_large(request: Request, error: BodyTooLarge) -> Response:
        limit = error.detail
        zh, en = f"正文最多 {limit} 字节。", f"The body may have {limit} bytes at most."
        return answer(Problem(problems.BODY_TOO_LARGE, zh=zh, en=en, limit_bytes=int(limit)), request)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            phrase = HTTPStatus(error.status_code).phrase
            kind = Kind("http-error", error.status_code, phrase, phrase)
        return answer(Problem(kind, headers=error.headers), request)

    @app.exception_handler(Exception)
    async def on_crash(request: Request, error: Exception) -> Response:
        # The text may hold personal data (SQL parameters do), so only its type and place are logged.
        last = error.__traceback__
        while last and last.tb_next:
            last = last.tb_next
        place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "?"
        LOG.error(
            "crash %s at %s request %s", type(error).__name__, place, getattr(request.state, "request_id", "")
        )
        return answer(Problem(problems.INTERNAL), request)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    def readyz(request: Request) -> dict[str, str]:
        with request.app.state.database.read() as session:
            session.execute(sa.text("SELECT 1"))
        return {"status": "ready"}
