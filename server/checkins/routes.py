"""Check-ins over HTTP."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import orm
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from server import http, metrics, pages, problems
from server.checkins import batches, hooks, queries, reading, service, signatures
from server.checkins import intake as intakes
from server.checkins.answers import (
    AttemptOut,
    BatchOut,
    CheckInOut,
    JudgedAgain,
    OwnCheckInOut,
    ReviewedOut,
    SignatureOut,
)
from server.checkins.judging import E7
from server.checkins.proven import PROVEN, Prover
from server.checkins.queries import Seen
from server.checkins.record import answer, answer_bytes, from_row, sentence
from server.checkins.schemas import BatchIn, PutIn, WithdrawIn
from server.checkins.signatures import Signature
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
    if who.jkt is not None and not request.scope["state"].get(PROVEN):
        metrics.unproven(kind.code)  # The token alone proves nobody: it may be in other hands (edge 72).
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
_ENDING = ("Deprecation", "Sunset", "Link")
_RESENT: dict[int | str, dict[str, Any]] = {
    200: {
        "model": CheckInOut,
        "description": "重发：原答复 / a resend, with the original answer",
        **sent(*_ENDING),
    },
    201: sent("Location", *_ENDING),
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
async def put(checkin_id: UUID, given: PutIn, request: Request, who: Cadre) -> Response:
    """Check in (下村签到). The phone makes the id (UUIDv7) and sends until an answer comes; a resend is harmless.

    A position outside the village is not an error: it is stored and answered with its verdict and reason. Under a token
    that is bound to a phone's key the check-in is signed by it (401 `proof-refused` otherwise; guide, section 29). What an
    outdated app leaves out of its position is excused until the day in `Sunset` (guide, section 11).
    """
    prover = Prover(request, who)
    signed = await prover.signer(checkin_id, given)
    incoming = prover.read(checkin_id, given, signed, await request.body())
    stored = await request.app.state.intake.put(incoming)
    content = answer_bytes(stored.record, stored.receipt)
    headers = {"Location": str(request.url.path)} if stored.created else _REPLAY
    response = Response(content, 201 if stored.created else 200, headers, "application/json")
    return _announced(response, prover)


def _announced(response: Response, prover: Prover) -> Response:
    """Say in an answer that something was taken which will not be taken any more one day."""
    if prover.deprecation is not None:
        response.raw_headers += prover.deprecation.headers
    return response


@recorded.post(
    "/batch",
    operation_id="checkins-batch",
    response_model=BatchOut,
    responses={
        200: sent(*_ENDING),
        **refusals(
            problems.FORBIDDEN,
            problems.BODY_TOO_LARGE,
            problems.INVALID_REQUEST,
            problems.MALFORMED_BODY,
            problems.BUSY,
            problems.DATABASE_UNAVAILABLE,
        ),
    },
)
async def batch(given: BatchIn, request: Request, who: Cadre) -> Response:
    """Send a queue (补传离线队列): up to 200 check-ins, each with its own result, in whatever order they come.

    An item is what a PUT takes, with its id and without `sent_at`; its result is what the PUT would have answered. The
    answer is 200 although items were refused, or have to come again (503 in their place).
    """
    reading.person_of(who)
    sending = {
        "sent_at": given.sent_at.isoformat(),
        "sent_clock": None if given.sent_clock is None else given.sent_clock.model_dump(),
    }
    prover = Prover(request, who)
    items = await batches.read(
        given.items,
        sending,
        prover,
        explain=lambda error: http.invalid(request, error),
    )
    unfit = [item for item in items if isinstance(item, batches.Unfit)]
    # Whoever has the token and not its key leaves no trace on the person (edge 72).
    kept = [item for item in unfit if item.problem.kind is not problems.PROOF_REFUSED]
    if not kept and len(unfit) == len(items):
        raise unfit[0].problem  # It is about the request then, not about one item.
    if kept:
        request.app.state.admission.enter(request.scope["state"])
        refused = [(item.id, item.problem.kind, item.body[: intakes.BODY_KEPT]) for item in kept]
        await run_in_threadpool(service.record_attempts, request.app.state.database, who, refused)
    found = await request.app.state.batches.put(items)
    language = http.language(request)
    content = orjson.dumps({"items": [result.shown(language) for result in found]})
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return _announced(Response(content, 200, headers, "application/json"), prover)


@router.get(
    "",
    operation_id="checkins-list",
    responses=refusals(problems.BAD_CURSOR, problems.FORBIDDEN),
)
def own(who: Cadre, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[OwnCheckInOut]:
    """List one's own check-ins (我的签到), newest first, with what happened to each since."""
    person_id = reading.person_of(who)
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
    person_id = reading.person_of(who)
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
    person_id = reading.person_of(who)
    with db.read() as session:
        return _whole(session, person_id, queries.access_own(session, person_id, checkin_id))


@router.post(
    "/{checkin_id}/withdraw",
    operation_id="checkins-withdraw",
    responses=refusals(
        problems.FORBIDDEN, problems.NOT_FOUND, problems.WITHDRAWAL_TOO_LATE, problems.INVALID_REQUEST
    ),
)
def withdraw(checkin_id: UUID, given: WithdrawIn, who: Cadre, db: Db) -> OwnCheckInOut:
    """Take back one's own mistaken check-in within the minutes of the policy (撤回). It stays, marked."""
    person_id = reading.person_of(who)
    with db.write() as session:
        withdrawn = service.withdraw(session, who, person_id, checkin_id, given.reason)
        return _whole(session, person_id, withdrawn)


def _whole(session: orm.Session, person_id: UUID, seen: Seen) -> OwnCheckInOut:
    """Return one check-in with its signature to the letter."""
    (told,) = _own(session, person_id, [seen])
    proof = signatures.proof_of(session, seen.checkin.seq)
    return told if proof is None else told.model_copy(update={"signed": proof.compact()})


def _own(session: orm.Session, person_id: UUID, rows: Sequence[Seen]) -> list[OwnCheckInOut]:
    reviews = hooks.reviews(session, person_id, [seen.checkin.id for seen in rows])
    signed = signatures.of_check_ins(session, [seen.checkin.seq for seen in rows])
    return [_one(seen, signed.get(seen.checkin.seq), reviews.get(seen.checkin.id)) for seen in rows]


def _one(seen: Seen, signature: Signature | None, review: ReviewedOut | None) -> OwnCheckInOut:
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
        signature=None if signature is None else SignatureOut.model_validate(signature),
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
