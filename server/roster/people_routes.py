"""Units, people and oneself over HTTP (派出单位、人员)."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from server import pages, preconditions, problems, replies
from server.access import Role, Who
from server.documented import refusals, sent
from server.gate import Anyone, Db, DistrictOfficer, requires
from server.given import Day
from server.pages import Page
from server.places.rules import significant
from server.preconditions import IfMatch
from server.roster import headings, queries, service, shown
from server.roster.schemas import (
    PersonChange,
    PersonDetailOut,
    PersonIn,
    PersonOut,
    PostingDetailOut,
    UnitIn,
    UnitOut,
)
from server.roster.scope import READERS

router = APIRouter(prefix="/v1", tags=["roster"])
Reader = Annotated[Who, Depends(requires(*READERS))]
UnitReader = Annotated[Who, Depends(requires(Role.UNIT, *queries.WHOLE_UNITS))]
Text = Annotated[
    str | None,
    Query(min_length=1, max_length=50, pattern=r"^[^\x00]*$", description="名称或编号 / name or number"),
]


@router.get(
    "/units",
    operation_id="roster-units",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def units(
    who: UnitReader, db: Db, q: Text = None, cursor: pages.Cursor = None, limit: pages.Limit = 50
) -> Page[UnitOut]:
    """List or search sending units (派出单位) by name. A unit's viewer sees the own one."""
    after = pages.decode(cursor, str, UUID)
    with db.read() as session:
        rows = queries.units(
            session,
            who,
            text=headings.clean(q) if q else None,
            after=(after[0], after[1]) if after else None,
            limit=limit + 1,
        )
        cut, following = pages.cut(rows, limit, lambda row: (row.name, row.id))
        return Page(items=[UnitOut.model_validate(row) for row in cut], next_cursor=following)


@router.post(
    "/units",
    operation_id="roster-enter-unit",
    status_code=201,
    responses={
        200: {"description": "已登记过 / entered before with the same content", "model": UnitOut},
        **refusals(problems.FORBIDDEN, problems.UNIT_TAKEN, problems.ID_REUSED, problems.INVALID_REQUEST),
    },
)
def enter_unit(given: UnitIn, who: DistrictOfficer, db: Db, response: Response) -> UnitOut:
    """Enter a sending unit (登记派出单位). Number and name are each unique."""
    with db.write() as session:
        row, created = service.enter_unit(session, who, given)
        answer = UnitOut.model_validate(row)
    replies.made(response, created=created)
    return answer


@router.get(
    "/people",
    operation_id="roster-people",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def people(
    *,
    who: Reader,
    db: Db,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=50,
            pattern=r"^[^\x00]*$",
            description="姓名或工号的一部分 / part of name or number",
        ),
    ] = None,
    village: Annotated[str | None, Query(pattern=r"^[0-9]{12}$", description="村代码 / village code")] = None,
    town: Annotated[
        str | None, Query(pattern=r"^([0-9]{9}|[0-9]{12})$", description="镇代码 / town code")
    ] = None,
    unit: Annotated[UUID | None, Query(description="派出单位 / sending unit")] = None,
    posted_on: Annotated[
        Day | None, Query(description="当日在任 / posted on this day, in that village or town if given")
    ] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[PersonOut]:
    """Search people (查询人员) by name, staff number, village, town, unit and day, in the order of staff numbers.

    Towns, villages and districts see those who are or were posted there, with their postings there; inspectors those
    of their assignment; units their own people; cadres themselves. A merged village's people are found under its
    successor as well.
    """
    after = pages.decode(cursor, str)
    wanted = queries.Wanted(
        text=headings.clean(q) if q else None,
        village=village,
        town=significant(town) if town else None,
        unit_id=unit,
        posted_on=posted_on,
    )
    with db.read() as session:
        rows = queries.people(session, who, wanted, after=after[0] if after else None, limit=limit + 1)
        cut, following = pages.cut(rows, limit, lambda row: (row.number.lower(),))
        return Page(items=shown.people(session, who, cut), next_cursor=following)


@router.post(
    "/people",
    operation_id="roster-enter-person",
    status_code=201,
    responses={
        200: {
            "description": "已登记过 / entered before with the same content",
            "model": PersonDetailOut,
            **sent("ETag"),
        },
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN, problems.STAFF_NUMBER_TAKEN, problems.ID_REUSED, problems.INVALID_REQUEST
        ),
    },
)
def enter_person(given: PersonIn, who: DistrictOfficer, db: Db, response: Response) -> PersonDetailOut:
    """Enter a person (登记人员). The staff number is unique, without regard to case; the name need not be."""
    with db.write() as session:
        row, created = service.enter_person(session, who, given)
        answer = shown.person(session, who, row)
    address, tag = f"/v1/people/{answer.id}", preconditions.tag(answer.version)
    replies.made(response, created=created, address=address, tag=tag)
    return answer


@router.get(
    "/people/{person_id}",
    operation_id="roster-person",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def person(person_id: UUID, who: Reader, db: Db, response: Response) -> PersonDetailOut:
    """Return a person (人员详情) with the postings in the reader's scope and their history."""
    with db.read() as session:
        answer = shown.person(session, who, queries.access_person(session, who, person_id))
    response.headers["ETag"] = preconditions.tag(answer.version)
    return answer


@router.patch(
    "/people/{person_id}",
    operation_id="roster-change-person",
    responses={
        200: sent("ETag"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.STAFF_NUMBER_TAKEN,
            problems.PRECONDITION_REQUIRED,
            problems.PRECONDITION_FAILED,
            problems.INVALID_REQUEST,
        ),
    },
)
def change_person(
    *,
    person_id: UUID,
    given: PersonChange,
    who: DistrictOfficer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> PersonDetailOut:
    """Change a person's number, name, phone or unit (修改人员信息). Needs If-Match."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = queries.access_person(session, who, person_id, write=True)
        preconditions.refuse_unless_current(match, preconditions.tag(row.version))
        answer = shown.person(session, who, service.change_person(session, who, row, given))
    response.headers["ETag"] = preconditions.tag(answer.version)
    return answer


@router.get("/me/postings", operation_id="roster-my-postings", responses=refusals())
def my_postings(who: Anyone, db: Db) -> list[PostingDetailOut]:
    """Return one's own postings (我的任职) with their extra places and history, the latest first.

    An account without a person has none.
    """
    with (
        db.read() as session
    ):  # Opened for everybody: it is here that a session that was ended is refused (M10).
        if who.person_id is None:
            return []
        return shown.posting_details(session, queries.own_postings(session, who.person_id))
