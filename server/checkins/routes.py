"""Check-ins over HTTP."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import orm
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from server import clock, clock_watch, http, metrics, pages, problems
from server.access import Who
from server.auth import anchors
from server.auth.keys import KeySet
from server.checkins import batches, hooks, instants, queries, service
from server.checkins import intake as intakes
from server.checkins.instants import Anchored, Reading, Running
from server.checkins.judging import E7, Incoming
from server.checkins.queries import Seen
from server.checkins.record import answer, answer_bytes, from_row, sentence
from server.checkins.schemas import (
    AttemptOut,
    BatchIn,
    BatchOut,
    CheckInIn,
    CheckInOut,
    JudgedAgain,
    OwnCheckInOut,
    ReviewedOut,
    RunningClockIn,
    WithdrawIn,
)
from server.documented import refusals, sent
from server.envelope import ClientGone
from server.gate import Cadre, Db, who_of
from server.pages import Cursor, Limit, Page
from server.problems import Kind, Problem

BODY_LIMITS = {"/v1/check-ins/batch": 512 << 10, "/v1/check-ins/": 16_384}
"""Bytes; two hundred check-ins with notes of moderate length. The first prefix that fits holds."""


class RecordedRoute(APIRoute):
    """A route whose refused requests are kept, when the token proves who sent them: attendance is at stake."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def recorded(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException, Problem) as error:
                await _keep_attempt(request, error)
                raise

        return recorded


async def _keep_attempt(request: Request, error: RequestValidationError | HTTPException | Problem) -> None:
    if isinstance(error, ClientGone):
        return  # The line broke while it was being sent: nothing was refused, and the phone sends again.
    kind = _refused_as(request, error)
    try:
        who = who_of(request)
    except Problem:
        # Nobody is proven; what strangers send is counted, not kept.
        metrics.unproven(
            (error.kind if isinstance(error, Problem) else kind or problems.INVALID_REQUEST).code
        )
        return
    if kind is None:
        return
    body = getattr(request, "_body", b"")[: intakes.BODY_KEPT]
    given = str(request.path_params.get("checkin_id", ""))
    # It needs a thread and a connection, unlike a check-in that is taken: a faulty app on every phone must not take all.
    request.app.state.admission.enter(request.scope["state"])
    await run_in_threadpool(service.record_attempts, request.app.state.database, who, [(given, kind, body)])


def _refused_as(request: Request, error: RequestValidationError | HTTPException | Problem) -> Kind | None:
    """Return what a refusal is kept as; None for what the intake keeps itself, and for what is only "later"."""
    if isinstance(error, Problem):
        return error.kind if error.kind is problems.FORBIDDEN else None
    return http.refused_as(request, error)


router = APIRouter(prefix="/v1/check-ins", tags=["check-ins"])
recorded = APIRouter(route_class=RecordedRoute)
_REPLAY = {"Idempotent-Replay": "true"}
_RESENT: dict[int | str, dict[str, Any]] = {
    200: {"model": CheckInOut, "description": "重发：原答复 / a resend, with the original answer"},
    201: sent("Location"),
}


@recorded.put(
    "/{checkin_id}",
    operation_id="checkins-put",
    status_code=201,
    response_model=CheckInOut,
    responses=_RESENT
    | refusals(
        problems.FORBIDDEN,
        problems.ID_REUSED,
        problems.RECEIPT_REFUSED,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.MALFORMED_BODY,
        problems.BUSY,
        problems.DATABASE_UNAVAILABLE,
    ),
)
async def put(checkin_id: UUID, given: CheckInIn, request: Request, who: Cadre) -> Response:
    """Check in (下村签到). The phone makes the id (UUIDv7) and sends until an answer comes; a resend is harmless.

    A position outside the village is not an error: it is stored and answered with its verdict and reason.
    """
    incoming = incoming_of(checkin_id, given, await request.body(), who, _keys(request))
    stored = await request.app.state.intake.put(incoming)
    content = answer_bytes(stored.record, stored.receipt)
    if stored.created:
        return Response(content, 201, {"Location": str(request.url.path)}, "application/json")
    return Response(content, 200, _REPLAY, "application/json")


@recorded.post(
    "/batch",
    operation_id="checkins-batch",
    response_model=BatchOut,
    responses=refusals(
        problems.FORBIDDEN,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.MALFORMED_BODY,
        problems.BUSY,
        problems.DATABASE_UNAVAILABLE,
    ),
)
async def batch(given: BatchIn, request: Request, who: Cadre) -> Response:
    """Send a queue (补传离线队列): up to 200 check-ins, each with its own result, in whatever order they come.

    An item is what a PUT takes, with its id and without `sent_at`; its result is what the PUT would have answered. The
    answer is 200 although items were refused, or have to come again (503 in their place).
    """
    _person(who)
    sending = {
        "sent_at": given.sent_at.isoformat(),
        "sent_clock": None if given.sent_clock is None else given.sent_clock.model_dump(),
    }
    items = batches.read(
        given.items,
        sending,
        who,
        incoming=partial(incoming_of, keys=_keys(request)),
        explain=lambda error: http.invalid(request, error),
    )
    unfit = [item for item in items if isinstance(item, batches.Unfit)]
    if unfit:
        request.app.state.admission.enter(request.scope["state"])
        refused = [(item.id, item.problem.kind, item.body[: intakes.BODY_KEPT]) for item in unfit]
        await run_in_threadpool(service.record_attempts, request.app.state.database, who, refused)
    found = await request.app.state.batches.put(items)
    language = http.language(request)
    content = orjson.dumps({"items": [result.shown(language) for result in found]})
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(content, 200, headers, "application/json")


def _keys(request: Request) -> KeySet:
    keys: KeySet = request.app.state.doorkeeper.keys
    return keys


def incoming_of(
    checkin_id: UUID, given: CheckInIn, body: bytes, who: Who, keys: KeySet | None = None
) -> Incoming:
    """Return a check-in as the intake takes it; `keys` are those that know time anchors again.

    Raises RequestValidationError where no clock could say such times.
    """
    received_at = clock.now()
    try:
        running = None if given.clock is None else _running(given, given.clock, who, keys)
        timing = instants.timing(given.captured_at, given.sent_at, received_at, running)
        if clock_watch.WATCH.doubted():
            timing = instants.widened(timing, *clock_watch.WATCH.possible())
    except OverflowError as error:
        raise RequestValidationError(
            [
                {
                    "type": "clock_unreadable",
                    "loc": ("body", "captured_at"),
                    "msg": "the phone's clock cannot be right; set it and check in again",
                }
            ]
        ) from error
    return Incoming(
        person_id=_person(who),
        account_id=who.account_id,
        session_id=who.session_id,
        version=who.version,
        id=checkin_id,
        given=given,
        body=body,
        received_at=received_at,
        timing=timing,
        salt=given.salt_bytes() or intakes.new_salt(),
    )


def _running(given: CheckInIn, clock_in: RunningClockIn, who: Who, keys: KeySet | None) -> Running:
    """Return the readings of the running clock, with the anchor if it is one of ours for this person.

    Another anchor is no reason to refuse the check-in (M24): it is not used, and that is kept.
    """
    known = None
    if clock_in.anchor is not None and keys is not None:
        known = anchors.read(keys, _person(who), clock_in.anchor)
    sent = given.sent_clock
    return Running(
        tapped=Reading(anchors.boot_digest(clock_in.boot_id), clock_in.tapped_ms),
        sent=None if sent is None else Reading(anchors.boot_digest(sent.boot_id), sent.ms),
        anchor=None
        if known is None or clock_in.got_ms is None
        else Anchored(known.at, Reading(known.boot, known.asked_ms), clock_in.got_ms),
        spoiled=clock_in.anchor is not None and known is None,
    )


def _person(who: Who) -> UUID:
    if who.person_id is None:
        raise Problem(
            problems.FORBIDDEN,
            zh="此账号没有对应的驻村干部。",
            en="This account is not linked to a person.",
        )
    return who.person_id


@router.get(
    "",
    operation_id="checkins-list",
    responses=refusals(problems.BAD_CURSOR, problems.FORBIDDEN),
)
def own(who: Cadre, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[OwnCheckInOut]:
    """List one's own check-ins (我的签到), newest first, with what happened to each since."""
    person_id = _person(who)
    with db.read() as session:
        rows = queries.own_page(session, person_id, pages.decode(cursor, UUID), limit)
        shown, following = pages.cut(rows, limit, lambda seen: (seen.checkin.id,))
        return Page(items=_own(session, person_id, shown), next_cursor=following)


@router.get(
    "/attempts",
    operation_id="checkins-attempts",
    responses=refusals(problems.BAD_CURSOR, problems.FORBIDDEN),
)
def attempts(who: Cadre, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[AttemptOut]:
    """List one's own refused attempts (未被接受的签到): nothing that was sent is lost."""
    person_id = _person(who)
    with db.read() as session:
        rows = queries.attempts_page(session, person_id, pages.decode(cursor, int), limit)
    shown, following = pages.cut(rows, limit, lambda attempt: (attempt.id,))
    return Page(
        items=[_attempt(row.at, row.checkin_id, row.code, row.status) for row in shown], next_cursor=following
    )


@router.get(
    "/{checkin_id}",
    operation_id="checkins-get",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def one(checkin_id: UUID, who: Cadre, db: Db) -> OwnCheckInOut:
    """Read one of one's own check-ins (签到详情)."""
    person_id = _person(who)
    with db.read() as session:
        return _own(session, person_id, [queries.access_own(session, person_id, checkin_id)])[0]


@router.post(
    "/{checkin_id}/withdraw",
    operation_id="checkins-withdraw",
    responses=refusals(
        problems.FORBIDDEN, problems.NOT_FOUND, problems.WITHDRAWAL_TOO_LATE, problems.INVALID_REQUEST
    ),
)
def withdraw(checkin_id: UUID, given: WithdrawIn, who: Cadre, db: Db) -> OwnCheckInOut:
    """Take back one's own mistaken check-in within the minutes of the policy (撤回). It stays, marked."""
    person_id = _person(who)
    with db.write() as session:
        withdrawn = service.withdraw(session, who, person_id, checkin_id, given.reason)
        return _own(session, person_id, [withdrawn])[0]


def _own(session: orm.Session, person_id: UUID, rows: Sequence[Seen]) -> list[OwnCheckInOut]:
    reviews = hooks.reviews(session, person_id, [seen.checkin.id for seen in rows])
    return [_one(seen, reviews.get(seen.checkin.id)) for seen in rows]


def _one(seen: Seen, review: ReviewedOut | None) -> OwnCheckInOut:
    row, position, later = seen.checkin, seen.position, seen.judgement
    again = None
    if later is not None:
        zh, en = sentence(later.reason, later.zone_name)
        again = JudgedAgain(
            at=later.at,
            cause=later.cause,
            verdict=later.verdict,
            standing=later.standing,
            reason=later.reason,
            reason_zh=zh,
            reason_en=en,
        )
    return OwnCheckInOut(
        **answer(from_row(vars(row))).model_dump(),
        withdrawn_at=seen.withdrawal.at if seen.withdrawal else None,
        duplicate_of=seen.duplicate_of,
        judged_again=again,
        review=review,
        lon=position.lon_e7 / E7 if position else None,
        lat=position.lat_e7 / E7 if position else None,
        datum=row.datum,
        accuracy_m=row.accuracy_m,
    )


def _attempt(at: Any, checkin_id: str, code: str, status: int) -> AttemptOut:  # noqa: ANN401  A datetime.
    kind = problems.registry().get(code, problems.INTERNAL)
    return AttemptOut(
        at=at, checkin_id=checkin_id, code=code, status=status, title_zh=kind.zh, title_en=kind.en
    )


router.include_router(recorded)
