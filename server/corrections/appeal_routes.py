"""Appeals over HTTP (申诉): against a refused correction, a rejected check-in, a finding."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from server import looks, pages, preconditions, problems, replies
from server.access import Role, Who
from server.corrections import appeals, queries, showing
from server.corrections.queries import Wanted
from server.corrections.routes import DECIDING, ROLES, Asking, PersonFilter, RegionFilter, WaitingFilter
from server.corrections.rules import AppealState
from server.corrections.schemas import AppealDecisionIn, AppealDetailOut, AppealIn, AppealOut
from server.documented import refusals, sent
from server.gate import Db, requires
from server.looks import Seen, What
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
    replies.made(response, created=created, address=f"{router.prefix}/{row.id}", tag=appeals.etag(row))
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
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    key = None if after is None else (after[0], after[1])
    with db.look() as session:
        rows = queries.appeals(session, who, wanted, after=key, limit=limit + 1)
        shown, following = pages.cut(rows, limit, lambda row: (row.entered_at, row.id))
        seen = (Seen(row.person_id, row.village_code) for row in shown)
        looks.record(session, who, What.REQUEST, seen, roles=ROLES)
        return Page(items=showing.appeals_out(session, shown), next_cursor=following)


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
        seen = [Seen(row.person_id, row.village_code)]
        looks.record(session, who, What.REQUEST, seen, roles=ROLES, subject=row.id)
        answer = showing.appeal_out(session, row)
    response.headers["ETag"] = appeals.etag(row)
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
        appeals.refuse_decided(row)
        preconditions.refuse_unless_current(match, appeals.etag(row))
        appeals.decide(session, who, row, given)
        answer = showing.appeal_out(session, row)
        tag = appeals.etag(row)
    response.headers["ETag"] = tag
    return answer
