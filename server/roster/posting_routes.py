"""Postings and their extra places over HTTP (选派、离任、更正)."""

from uuid import UUID

from fastapi import APIRouter, Response

from server import preconditions, problems, replies
from server.documented import refusals, sent
from server.gate import Db, DistrictOfficer
from server.preconditions import IfMatch
from server.problems import Problem
from server.roster import queries, service, shown
from server.roster.models import Posting
from server.roster.people_routes import Reader
from server.roster.schemas import CorrectionIn, EndIn, PlaceEndIn, PlaceIn, PostingDetailOut, PostingIn

router = APIRouter(prefix="/v1/postings", tags=["roster"])
_WRITING = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.POSTING_OVERLAP,
    problems.PRECONDITION_REQUIRED,
    problems.PRECONDITION_FAILED,
    problems.INVALID_REQUEST,
)


@router.post(
    "",
    operation_id="roster-post",
    status_code=201,
    responses={
        200: {
            "description": "已登记过 / made before with the same content",
            "model": PostingDetailOut,
            **sent("ETag"),
        },
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.POSTING_OVERLAP,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
        ),
    },
)
def post(given: PostingIn, who: DistrictOfficer, db: Db, response: Response) -> PostingDetailOut:
    """Post a person to a village (选派). Both days are inclusive; villages may differ at the same time.

    Two postings of one person in the same village may not share a day: `posting-overlap` names the one in the way.
    """
    with db.write() as session:
        row, created = service.begin_posting(session, who, given)
        answer = shown.posting_details(session, [row])[0]
    address, tag = f"{router.prefix}/{answer.id}", preconditions.tag(answer.version)
    replies.made(response, created=created, address=address, tag=tag)
    return answer


@router.get(
    "/{posting_id}",
    operation_id="roster-posting",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def posting(posting_id: UUID, who: Reader, db: Db, response: Response) -> PostingDetailOut:
    """Return a posting (任职详情) with its extra places and its history."""
    with db.read() as session:
        answer = shown.posting_details(session, [queries.access_posting(session, who, posting_id)])[0]
    response.headers["ETag"] = preconditions.tag(answer.version)
    return answer


@router.post(
    "/{posting_id}/end",
    operation_id="roster-end-posting",
    responses={200: sent("ETag"), **refusals(*_WRITING, problems.ALREADY_DECIDED)},
)
def end(
    *,
    posting_id: UUID,
    given: EndIn,
    who: DistrictOfficer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> PostingDetailOut:
    """End a posting (离任) on a day, inclusive, with the reason. Needs If-Match; an ended one is `already-decided`."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_posting(session, who, posting_id, write=True)
        _refuse_ended(row)
        preconditions.refuse_unless_current(match, preconditions.tag(row.version))
        service.end_posting(session, who, row, given)
        answer = shown.posting_details(session, [row])[0]
    response.headers["ETag"] = preconditions.tag(answer.version)
    return answer


def _refuse_ended(row: Posting) -> None:
    if row.end_reason is None:
        return
    raise Problem(
        problems.ALREADY_DECIDED,
        zh=f"该任职已于 {row.until_day} 结束；日期或原因有误请更正。",
        en=f"The posting ended on {row.until_day}; correct it if the day or the reason is wrong.",
        decision={"until_day": str(row.until_day), "end_reason": row.end_reason, "version": row.version},
    )


@router.patch(
    "/{posting_id}",
    operation_id="roster-correct-posting",
    responses={200: sent("ETag"), **refusals(*_WRITING)},
)
def correct(
    *,
    posting_id: UUID,
    given: CorrectionIn,
    who: DistrictOfficer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> PostingDetailOut:
    """Correct a posting (更正任职): days, role, village or end, with the reason. Needs If-Match.

    The state before is kept. Check-ins of the days that change are judged again.
    """
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_posting(session, who, posting_id, write=True)
        preconditions.refuse_unless_current(match, preconditions.tag(row.version))
        service.correct_posting(session, who, row, given)
        answer = shown.posting_details(session, [row])[0]
    response.headers["ETag"] = preconditions.tag(answer.version)
    return answer


@router.post(
    "/{posting_id}/places",
    operation_id="roster-add-place",
    status_code=201,
    responses={
        200: {"description": "已登记过 / given before with the same content", "model": PostingDetailOut},
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.POSTING_PLACE_OVERLAP,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
        ),
    },
)
def add_place(
    posting_id: UUID, given: PlaceIn, who: DistrictOfficer, db: Db, response: Response
) -> PostingDetailOut:
    """Give a posting an extra place (另加驻点): a zone in which a stay counts as well, for a time."""
    with db.write() as session:
        row = queries.access_posting(session, who, posting_id, write=True)
        _, created = service.add_place(session, who, row, given)
        answer = shown.posting_details(session, [row])[0]
    replies.made(response, created=created)
    return answer


@router.post(
    "/{posting_id}/places/{place_id}/end",
    operation_id="roster-end-place",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def end_place(
    posting_id: UUID, place_id: UUID, given: PlaceEndIn, who: DistrictOfficer, db: Db
) -> PostingDetailOut:
    """End an extra place (取消驻点) on a day, inclusive. The day before its first takes it back altogether."""
    with db.write() as session:
        row = queries.access_posting(session, who, posting_id, write=True)
        place = queries.place(session, posting_id, place_id)
        service.end_place(session, who, row, place, given.until_day)
        return shown.posting_details(session, [row])[0]
