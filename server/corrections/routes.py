"""Corrections over HTTP (补签): asked for, listed, taken back, decided."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from server import pages, preconditions, problems, replies
from server.access import Who
from server.corrections import cases, queries, service, showing
from server.corrections.queries import Wanted
from server.corrections.rules import State
from server.corrections.schemas import (
    CorrectionAskIn,
    CorrectionDecisionIn,
    CorrectionDetailOut,
    CorrectionOut,
    CorrectionWithdrawIn,
)
from server.documented import refusals, sent
from server.gate import Db, requires
from server.pages import Page
from server.preconditions import IfMatch

router = APIRouter(prefix="/v1/corrections", tags=["corrections"])
Asking = Annotated[Who, Depends(requires(*cases.ROLES))]
Officer = Annotated[Who, Depends(requires(*queries.OFFICERS))]
RegionFilter = Annotated[
    str, Query(pattern="^[0-9]{0,12}$", description="区划代码前缀 / prefix of region codes")
]
PersonFilter = Annotated[UUID | None, Query(description="人员 / the person")]
StateFilter = Annotated[State | None, Query(description="处理状态 / where they stand")]
WaitingFilter = Annotated[bool, Query(description="只列现在可由我决定的 / only what I could decide now")]
DECIDING = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.ALREADY_DECIDED,
    problems.PRECONDITION_REQUIRED,
    problems.PRECONDITION_FAILED,
    problems.INVALID_REQUEST,
)


@router.post(
    "",
    operation_id="corrections-ask",
    status_code=201,
    responses={
        200: {"description": "已提出过 / asked for before", "model": CorrectionDetailOut, **sent("ETag")},
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.NO_POLICY,
            problems.ON_LEAVE,
            problems.CORRECTION_OPEN,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
        ),
    },
)
def ask(given: CorrectionAskIn, who: Asking, db: Db, response: Response) -> CorrectionDetailOut:
    """Ask for a correction (补签) of a day, for oneself, or as the town for a person of its scope.

    Over the month's quota or after the deadline it is accepted, marked, and decided by the district. On a day with
    approved leave: 409 `on-leave`.
    """
    with db.write() as session:
        row, created = service.ask(session, who, given)
        answer = showing.correction_out(session, row)
    replies.made(response, created=created, address=f"{router.prefix}/{row.id}", tag=cases.etag(row))
    return answer


@router.get(
    "",
    operation_id="corrections-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def corrections(
    *,
    who: Asking,
    db: Db,
    region: RegionFilter = "",
    person: PersonFilter = None,
    state: StateFilter = None,
    waiting: WaitingFilter = False,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[CorrectionOut]:
    """List corrections in sight (补签申请), the oldest first: one's own, and those of one's scope."""
    wanted = Wanted(region=region, person_id=person, state=state, waiting=waiting)
    with db.look() as session:
        return cases.page(
            session, who, wanted, cursor, limit, found=queries.corrections, shown=showing.corrections_out
        )


@router.get(
    "/{correction_id}",
    operation_id="corrections-show",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def correction(correction_id: UUID, who: Asking, db: Db, response: Response) -> CorrectionDetailOut:
    """Show a correction (补签详情) with what happened to it and what says otherwise of its day."""
    with db.look() as session:
        row = queries.access_correction(session, who, correction_id)
        cases.read_by(session, who, row)
        answer = showing.correction_out(session, row)
    response.headers["ETag"] = cases.etag(row)
    return answer


@router.post(
    "/{correction_id}/decide",
    operation_id="corrections-decide",
    responses={
        200: sent("ETag"),
        **refusals(*DECIDING, problems.OWN_REQUEST, problems.HIGHER_APPROVER_REQUIRED, problems.ON_LEAVE),
    },
)
def decide(
    *,
    correction_id: UUID,
    given: CorrectionDecisionIn,
    who: Officer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> CorrectionDetailOut:
    """Approve or refuse a correction (审批补签). Needs If-Match.

    Approved against a finding or an earlier correction, it waits for a second reviewer of the district.
    """
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_correction(session, who, correction_id, lock=True)
        cases.refuse_decided(row)
        preconditions.refuse_unless_current(match, cases.etag(row))
        service.decide(session, who, row, given)
        answer = showing.correction_out(session, row)
        tag = cases.etag(row)
    response.headers["ETag"] = tag
    return answer


@router.post(
    "/{correction_id}/withdraw",
    operation_id="corrections-withdraw",
    responses={200: sent("ETag"), **refusals(*DECIDING, problems.NOT_THE_AUTHOR)},
)
def withdraw(
    *,
    correction_id: UUID,
    given: CorrectionWithdrawIn,
    who: Asking,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> CorrectionDetailOut:
    """Take back a correction that waits (撤回补签); only whoever entered it can. Needs If-Match."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_correction(session, who, correction_id, lock=True)
        cases.refuse_decided(row)
        preconditions.refuse_unless_current(match, cases.etag(row))
        service.withdraw(session, who, row, given.reason)
        answer = showing.correction_out(session, row)
        tag = cases.etag(row)
    response.headers["ETag"] = tag
    return answer
