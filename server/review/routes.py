"""The review queue over HTTP (复核): the inbox of a scope, one item, its point, a decision; and what concerns oneself."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import orm

from server import clock, looks, pages, preconditions, problems
from server.access import Role, Who
from server.checkins.judging import E7
from server.compliance import showing as compliance
from server.compliance.schemas import RegionFilter
from server.documented import refusals, sent
from server.gate import Cadre, Db, requires
from server.looks import Seen, What
from server.month import book as books
from server.month.masks import Month, day_mask
from server.pages import Page
from server.places.rules import BEIJING, today
from server.preconditions import IfMatch
from server.problems import Problem
from server.review import queries, rules, service, showing
from server.review.models import ReviewItem
from server.review.queries import REVIEWERS, Asked
from server.review.rules import ReviewState, ReviewSubject
from server.review.schemas import AlarmOut, DecideIn, MonthFilter, OwnReviewOut, PointOut, ReviewOut
from server.review.showing import Works

router = APIRouter(prefix="/v1", tags=["reviews"])
Reviewer = Annotated[Who, Depends(requires(*REVIEWERS))]
Overseer = Annotated[Who, Depends(requires(Role.DISTRICT, Role.ADMIN))]
_CHANGING = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.ALREADY_DECIDED,
    problems.PRECONDITION_REQUIRED,
    problems.PRECONDITION_FAILED,
    problems.INVALID_REQUEST,
)


@router.get(
    "/reviews",
    operation_id="reviews-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def inbox(
    *,
    who: Reviewer,
    db: Db,
    region: RegionFilter = "",
    state: Annotated[
        ReviewState | None, Query(description="缺省为待处理的 / default: what waits for a decision")
    ] = None,
    subject: Annotated[ReviewSubject | None, Query(description="签到或月份 / check-in or month")] = None,
    month: MonthFilter = None,
    mine: Annotated[bool, Query(description="只看本人接手的 / only what you have taken")] = False,
    overdue: Annotated[
        bool,
        Query(description="只看超过五个工作日未处理的 / only what waits for more than five working days"),
    ] = False,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[ReviewOut]:
    """List what is to be reviewed in one's scope (复核收件箱), the oldest first, never by how much was noticed.

    One's own check-ins are not among it. A check-in that does not count, or was taken back, waits for nobody.
    """
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    with db.look() as session:
        works, now = _works(session), today(clock.now())
        asked = Asked(
            region=region,
            state=state,
            subject=subject,
            month=None if month is None else Month.parse(month),
            assigned_to=who.account_id if mine else None,
            opened_before=_midnight_after(rules.overdue_before(now, works)) if overdue else None,
        )
        key = None if after is None else (after[0], after[1])
        rows = queries.page(session, queries.in_scope(who), asked, key, limit + 1)
        shown, following = pages.cut(rows, limit, lambda row: (row.opened_at, row.id))
        looks.record(session, who, What.SIGNALS, map(_seen, shown), roles=REVIEWERS)
        return Page(items=_items(session, who, shown, works), next_cursor=following)


def _seen(item: ReviewItem) -> Seen:
    return Seen(item.person_id, item.region_code)


def _works(session: orm.Session) -> Works:
    book = books.load(session)
    return lambda day: bool(book.calendar(Month.of(day)).working & day_mask(day.day))


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), BEIJING)


def _items(session: orm.Session, who: Who, rows: Sequence[ReviewItem], works: Works) -> list[ReviewOut]:
    now = today(clock.now())
    shown = []
    for known in queries.known(session, rows):
        item = known.item
        names = compliance.place_names(session, [item.region_code], Month.of(item.day))
        witnesses = {UUID(each) for signal in known.signals for each in signal["check_ins"]}
        days = queries.own_days(session, item.person_id, witnesses) if witnesses else {}
        shown.append(
            showing.item_out(
                known, account_id=who.account_id, names=names, own_days=days, works=works, today=now
            )
        )
    return shown


def _answer(session: orm.Session, who: Who, item: ReviewItem, response: Response) -> ReviewOut:
    response.headers["ETag"] = service.etag(item)
    return _items(session, who, [item], _works(session))[0]


@router.get(
    "/reviews/{review_id}",
    operation_id="reviews-one",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def one(review_id: UUID, who: Reviewer, db: Db, response: Response) -> ReviewOut:
    """Return one item with its ETag (复核事项)."""
    with db.look() as session:
        item = queries.access_item(session, who, review_id)
        looks.record(session, who, What.SIGNALS, [_seen(item)], roles=REVIEWERS, subject=item.id)
        return _answer(session, who, item, response)


@router.post(
    "/reviews/{review_id}/take",
    operation_id="reviews-take",
    responses={200: sent("ETag"), **refusals(*_CHANGING)},
)
def take(review_id: UUID, who: Reviewer, db: Db, response: Response, if_match: IfMatch = None) -> ReviewOut:
    """Take an item on (接手). Whoever has taken it may see the point, and is named in the record."""
    expected = preconditions.given(if_match)
    with db.write() as session:
        item = service.take(session, who, review_id, expected)
        looks.record(session, who, What.SIGNALS, [_seen(item)], roles=REVIEWERS, subject=item.id)
        return _answer(session, who, item, response)


@router.get(
    "/reviews/{review_id}/position",
    operation_id="reviews-position",
    responses=refusals(
        problems.FORBIDDEN, problems.NOT_FOUND, problems.REVIEW_NOT_TAKEN, problems.INVALID_REQUEST
    ),
)
def position(review_id: UUID, who: Reviewer, db: Db) -> PointOut:
    """See where the check-in of an item was made (查看位置): only who has taken it, and the look is recorded."""
    with db.look() as session:
        item, made, at = service.point(session, who, review_id)
        looks.record(session, who, What.POSITION, [_seen(item)], roles=REVIEWERS, subject=made.id)
        return PointOut(
            check_in=made.id,
            lon=at.lon_e7 / E7,
            lat=at.lat_e7 / E7,
            datum=made.datum,
            accuracy_m=made.accuracy_m,
            fix_age_s=made.fix_age_s,
            provider=made.provider,
            mocked=made.mocked,
        )


@router.post(
    "/reviews/{review_id}/decide",
    operation_id="reviews-decide",
    responses={200: sent("ETag", "Idempotent-Replay"), **refusals(*_CHANGING, problems.ID_REUSED)},
)
def decide(
    *,
    review_id: UUID,
    given: DecideIn,
    who: Reviewer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> ReviewOut:
    """Decide an item (复核决定): accepted, rejected with a reason, or more is needed.

    A rejection takes the check-in out of the count at once, is shown to its maker with its reason and what was noticed,
    and can be appealed by the decision's id. Sending the same decision again is harmless.
    """
    expected = preconditions.given(if_match)
    with db.write() as session:
        item, made = service.decide(session, who, review_id, given, expected)
        if not made:
            response.headers["Idempotent-Replay"] = "true"
        looks.record(session, who, What.SIGNALS, [_seen(item)], roles=REVIEWERS, subject=item.id)
        return _answer(session, who, item, response)


@router.get(
    "/me/reviews",
    operation_id="reviews-own",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.BAD_CURSOR),
)
def own(who: Cadre, db: Db, cursor: pages.Cursor = None, limit: pages.Limit = 50) -> Page[OwnReviewOut]:
    """List what is or was reviewed of oneself (对本人的复核): what was noticed, and what was decided and why."""
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    if who.person_id is None:
        raise Problem(problems.NOT_FOUND)
    with db.read() as session:
        scope = ReviewItem.person_id == who.person_id
        key = None if after is None else (after[0], after[1])
        rows = queries.whole_page(session, scope, key, limit + 1)
        shown, following = pages.cut(rows, limit, lambda row: (row.opened_at, row.id))
        every = queries.known(session, shown)
        lifted = queries.lifted(session, [each.decision.id for each in every if each.decision is not None])
        items = [
            showing.own_item_out(each, overturned=each.decision is not None and each.decision.id in lifted)
            for each in every
        ]
    return Page(items=items, next_cursor=following)


@router.get(
    "/datum-alarms",
    operation_id="datum-alarms-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def datum_alarms(
    _who: Overseer, db: Db, cursor: pages.Cursor = None, limit: pages.Limit = 50
) -> Page[AlarmOut]:
    """List the clients whose positions moved as one (坐标偏移警报), newest first: figures, no people and no places.

    While an alarm is open, check-ins that are outside by it are held as unsure. Operators close it.
    """
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    with db.read() as session:
        key = None if after is None else (after[0], after[1])
        rows = queries.alarms(session, after=key, limit=limit + 1)
        shown, following = pages.cut(rows, limit, lambda row: (row.raised_at, row.id))
        return Page(items=[showing.alarm_out(row) for row in shown], next_cursor=following)
