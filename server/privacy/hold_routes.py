"""Legal holds (保留) over HTTP: the district keeps what a case is about; the person can see it."""

from uuid import UUID

from fastapi import APIRouter, Response

from server import clock, pages, problems, replies
from server.documented import refusals, sent
from server.gate import Anyone, Db, DistrictOfficer
from server.pages import Cursor, Limit, Page
from server.places.rules import today
from server.privacy import queries, service
from server.privacy.models import LegalHold
from server.privacy.schemas import HoldIn, HoldOut, LiftIn, OwnHoldOut

router = APIRouter(prefix="/v1", tags=["privacy"])
ENOUGH = 2
"""How many officials lift a hold before its day."""


@router.post(
    "/legal-holds",
    operation_id="privacy-place-hold",
    status_code=201,
    responses={
        200: {"description": "相同内容的重发 / a resend with the same content", "model": HoldOut},
        201: sent("Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
            problems.MALFORMED_BODY,
        ),
    },
)
def place(given: HoldIn, who: DistrictOfficer, db: Db, response: Response) -> HoldOut:
    """Keep what is known of a person's days until a day (保留): coordinates do not fade, nothing is purged.

    For a dispute, an appeal or an inquiry. The person sees it with its reason.
    """
    with db.write() as session:
        row, created = service.place_hold(session, who, given)
        answer = _hold(row, len(queries.lifts(session, row.id)))
    replies.made(response, created=created, address=f"/v1/legal-holds/{row.id}")
    return answer


@router.get(
    "/legal-holds",
    operation_id="privacy-holds",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def holds(who: DistrictOfficer, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[HoldOut]:
    """List the holds on people of the district (保留清单), those that ended as well."""
    with db.read() as session:
        rows = queries.holds_in_reach(session, who, pages.decode(cursor, UUID), limit)
    shown, following = pages.cut(rows, limit, lambda row: (row[0].id,))
    return Page(items=[_hold(row[0], row[1]) for row in shown], next_cursor=following)


@router.post(
    "/legal-holds/{hold_id}/lift",
    operation_id="privacy-lift-hold",
    responses=refusals(
        problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST, problems.MALFORMED_BODY
    ),
)
def lift(hold_id: UUID, given: LiftIn, who: DistrictOfficer, db: Db) -> HoldOut:
    """Say that a hold may end before its day (解除保留). It ends when a second official says so too."""
    with db.write() as session:
        row, number = service.lift_hold(session, who, hold_id, given.reason)
        return _hold(row, number)


@router.get("/me/legal-holds", operation_id="me-legal-holds", responses=refusals())
def own(who: Anyone, db: Db) -> list[OwnHoldOut]:
    """List the holds on one's own data (对我资料的保留), the latest first, with their reasons."""
    with db.read() as session:
        rows = queries.holds_on(session, who.person_id) if who.person_id else []
    return [OwnHoldOut(**_hold(row[0], row[1]).model_dump(exclude={"person_id"})) for row in rows]


def _hold(row: LegalHold, lifts: int) -> HoldOut:
    return HoldOut(
        id=row.id,
        person_id=row.person_id,
        reason=row.reason,
        first_day=row.first_day,
        last_day=row.last_day,
        ends_on=row.ends_on,
        placed_at=row.placed_at,
        in_force=row.ends_on >= today(clock.now()) and lifts < ENOUGH,
        lifts=lifts,
    )
