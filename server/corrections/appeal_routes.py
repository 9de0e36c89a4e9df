"""Appeals over HTTP (申诉): against a refused correction, a rejected check-in, a finding."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from server import pages, preconditions, problems, replies
from server.access import Role, Who
from server.corrections import appeals, cases, queries, showing
from server.corrections.queries import Wanted
from server.corrections.routes import DECIDING, Asking, PersonFilter, RegionFilter, WaitingFilter
from server.corrections.rules import AppealState
from server.corrections.schemas import AppealDecisionIn, AppealDetailOut, AppealIn, AppealOut
from server.documented import refusals, sent
from server.gate import Db, requires
from server.pages import Page
from server.preconditions import IfMatch

router = APIRouter(prefix="/v1/appeals", tags=["corrections"])
Officer = Annotated[Who, Depends(requires(Role.DISTRICT))]
StateFilter = Annotated[AppealState | None, Query(description="处理状态 / where they stand")]


@router.post(
    "",
    operation_id="appeals-make",
    status_code=201,
    responses={
        200: {"description": "已提出过 / made before", "model": AppealDetailOut, **sent("ETag")},
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.APPEAL_MADE,
            problems.APPEAL_TOO_LATE,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
        ),
    },
)
def appeal(given: AppealIn, who: Asking, db: Db, response: Response) -> AppealDetailOut:
    """Appeal against a decision (申诉), within the policy's time. The district answers, never who decided before."""
    with db.write() as session:
        row, created = appeals.appeal(session, who, given)
        answer = showing.appeal_out(session, row)
    replies.made(response, created=created, address=f"{router.prefix}/{row.id}", tag=cases.etag(row))
    return answer


@router.get(
    "",
    operation_id="appeals-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def listed(
    *,
    who: Asking,
    db: Db,
    region: RegionFilter = "",
    person: PersonFilter = None,
    state: StateFilter = None,
    waiting: WaitingFilter = False,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[AppealOut]:
    """List appeals in sight (申诉), the oldest first: one's own, and those of one's scope."""
    wanted = Wanted(region=region, person_id=person, state=state, waiting=waiting)
    with db.look() as session:
        return cases.page(
            session, who, wanted, cursor, limit, found=queries.appeals, shown=showing.appeals_out
        )


@router.get(
    "/{appeal_id}",
    operation_id="appeals-show",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def shown(appeal_id: UUID, who: Asking, db: Db, response: Response) -> AppealDetailOut:
    """Show an appeal (申诉详情) with what happened to it."""
    with db.look() as session:
        row = queries.access_appeal(session, who, appeal_id)
        cases.read_by(session, who, row)
        answer = showing.appeal_out(session, row)
    response.headers["ETag"] = cases.etag(row)
    return answer


@router.post(
    "/{appeal_id}/decide",
    operation_id="appeals-decide",
    responses={200: sent("ETag"), **refusals(*DECIDING, problems.OWN_REQUEST)},
)
def decide(
    *,
    appeal_id: UUID,
    given: AppealDecisionIn,
    who: Officer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> AppealDetailOut:
    """Answer an appeal (答复申诉) with reasons. Needs If-Match. Upheld, it acts on what was decided."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_appeal(session, who, appeal_id, answer=True)
        cases.refuse_decided(row)
        preconditions.refuse_unless_current(match, cases.etag(row))
        appeals.decide(session, who, row, given)
        answer = showing.appeal_out(session, row)
        tag = cases.etag(row)
    response.headers["ETag"] = tag
    return answer
