"""Judging again over HTTP (重新判定): a dry run tells whose days would change, a second officer's approval applies it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from server import looks, pages, problems, replies
from server.access import Role
from server.documented import refusals, sent
from server.gate import Db, DistrictOfficer
from server.looks import Seen, What
from server.pages import Cursor, Limit, Page
from server.rejudgings import queries, service
from server.rejudgings.models import Rejudging, RejudgingDecision
from server.rejudgings.schemas import (
    ChangeOut,
    RejudgingDecisionIn,
    RejudgingDecisionOut,
    RejudgingIn,
    RejudgingOut,
)

router = APIRouter(prefix="/v1", tags=["rejudgings"])
_DECIDING = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.ALREADY_DECIDED,
    problems.INVALID_REQUEST,
    problems.MALFORMED_BODY,
)


@router.post(
    "/rejudgings",
    operation_id="rejudgings-ask",
    status_code=201,
    responses={
        200: {"description": "相同内容的重发 / a resend with the same content", "model": RejudgingOut},
        201: sent("Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.ID_REUSED,
            problems.TOO_MANY_CHECK_INS,
            problems.INVALID_REQUEST,
            problems.MALFORMED_BODY,
        ),
    },
)
def ask(given: RejudgingIn, who: DistrictOfficer, db: Db, response: Response) -> RejudgingOut:
    """Find out whose days would change (试算) if check-ins were judged by the boundaries and postings known now.

    Changes no verdict. After a corrected boundary, of one's own district.
    """
    with db.write() as session:
        row, created = service.ask(session, who, given)
        decided = queries.access_rejudging(session, who, row.id)[1]
        answer = _told(row, decided)
    replies.made(response, created=created, address=f"/v1/rejudgings/{row.id}")
    return answer


@router.get(
    "/rejudgings",
    operation_id="rejudgings-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def listed(
    who: DistrictOfficer,
    db: Db,
    undecided: Annotated[bool, Query(description="只列待批的 / only those that wait for a decision")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RejudgingOut]:
    """List the dry runs of one's own district (试算清单) by id."""
    after = pages.decode(cursor, UUID)
    with db.read() as session:
        rows = queries.rejudgings(session, who, after, limit, undecided=undecided)
        shown, following = pages.cut(rows, limit, lambda row: (row[0].id,))
        return Page(items=[_told(row[0], row[1]) for row in shown], next_cursor=following)


@router.get(
    "/rejudgings/{rejudging_id}",
    operation_id="rejudgings-get",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND),
)
def get(rejudging_id: UUID, who: DistrictOfficer, db: Db) -> RejudgingOut:
    """Show a dry run and what became of it (试算及其结果)."""
    with db.read() as session:
        return _told(*queries.access_rejudging(session, who, rejudging_id))


@router.get(
    "/rejudgings/{rejudging_id}/changes",
    operation_id="rejudgings-changes",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def changes(
    rejudging_id: UUID, who: DistrictOfficer, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[ChangeOut]:
    """List each check-in that would be judged differently (会改变的签到), with its person and day.

    Each person can see that you looked.
    """
    after = pages.decode(cursor, int)
    with db.look() as session:
        queries.access_rejudging(session, who, rejudging_id)
        rows = queries.changes(session, rejudging_id, after, limit)
        shown, following = pages.cut(rows, limit, lambda row: (row[0].number,))
        seen = (Seen(row[0].person_id, row[0].village_code or "") for row in shown)
        looks.record(session, who, What.CHECK_INS, seen, roles=(Role.DISTRICT,), subject=rejudging_id)
        items = [
            ChangeOut(
                person_id=row[0].person_id,
                name=row[1],
                check_in_id=row[0].checkin_id,
                day=row[0].day,
                village_code=row[0].village_code,
                before=row[0].before,
                after=row[0].after,
                day_before=row[0].day_before,
                day_after=row[0].day_after,
            )
            for row in shown
        ]
    return Page(items=items, next_cursor=following)


@router.post(
    "/rejudgings/{rejudging_id}/approve",
    operation_id="rejudgings-approve",
    responses=refusals(*_DECIDING, problems.SECOND_PERSON_REQUIRED, problems.REJUDGING_STALE),
)
def approve(rejudging_id: UUID, given: RejudgingDecisionIn, who: DistrictOfficer, db: Db) -> RejudgingOut:
    """Apply what the dry run showed (批准). Both verdicts stay; the days and months follow.

    By another officer than whoever asked, and only while what would change is still what was shown.
    """
    with db.write() as session:
        return _told(*service.approve(session, who, rejudging_id, given.reason))


@router.post(
    "/rejudgings/{rejudging_id}/drop",
    operation_id="rejudgings-drop",
    responses=refusals(*_DECIDING),
)
def drop(rejudging_id: UUID, given: RejudgingDecisionIn, who: DistrictOfficer, db: Db) -> RejudgingOut:
    """Leave everything as it was judged (不予采用)."""
    with db.write() as session:
        return _told(*service.drop(session, who, rejudging_id, given.reason))


def _told(row: Rejudging, decided: RejudgingDecision | None) -> RejudgingOut:
    return RejudgingOut(
        id=row.id,
        region=row.region,
        first_day=row.first_day,
        last_day=row.last_day,
        reason=row.reason,
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        judged=row.judged,
        faded=row.faded,
        check_ins=row.check_ins,
        people=row.people,
        days=row.days,
        decided=RejudgingDecisionOut(
            decision=decided.decision, at=decided.at, by=decided.by, reason=decided.reason
        )
        if decided
        else None,
    )
