"""The register of regions over HTTP (区划)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy import orm

from server import bodies, pages, problems, replies
from server.access import Who
from server.documented import refusals
from server.gate import Anyone, Db, DistrictOfficer, requires
from server.given import Day
from server.pages import Page
from server.places import import_service, region_queries, region_service
from server.places.rules import RegionKind
from server.places.schemas import (
    RegionDetailOut,
    RegionImportOut,
    RegionNameOut,
    RegionOut,
    SuccessorIn,
    SuccessorOut,
)

router = APIRouter(prefix="/v1", tags=["places"])
BODY_LIMITS = {"/v1/region-imports": bodies.LARGEST_TABLE, "/v1/region-outlines": 8 * bodies.LARGEST_TABLE}
Code = Annotated[str, Path(pattern=r"^[0-9]{12}$", description="12 位区划代码 / 12-digit region code")]
RegionImporter = Annotated[Who, Depends(requires(*region_service.IMPORTERS))]


@router.get(
    "/regions",
    operation_id="places-regions",
    responses=refusals(problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def regions(
    *,
    _who: Anyone,
    db: Db,
    parent: Annotated[
        str | None, Query(pattern=r"^[0-9]{12}$", description="上级代码 / parent's code")
    ] = None,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=50,
            pattern=r"^[^\x00]*$",
            description="名称中的文字，或代码开头 / part of the name, or start of the code",
        ),
    ] = None,
    kind: Annotated[RegionKind | None, Query(description="类型 / kind of region")] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[RegionOut]:
    """List or search regions (区划查询), in the order of their codes. Open to every account."""
    after = pages.decode(cursor, str)
    with db.read() as session:
        rows = region_queries.regions(
            session,
            parent=parent,
            text=q.strip() if q else None,
            kind=kind,
            after=after[0] if after else None,
            limit=limit + 1,
        )
        shown, following = pages.cut(rows, limit, lambda row: (row.code,))
        return Page(items=[RegionOut.model_validate(row) for row in shown], next_cursor=following)


@router.get(
    "/regions/{code}",
    operation_id="places-region",
    responses=refusals(problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def region(code: Code, _who: Anyone, db: Db) -> RegionDetailOut:
    """Return a region with its earlier names (曾用名) and what it was merged into or renamed to (承继关系)."""
    with db.read() as session:
        return _detail(session, code)


def _detail(session: orm.Session, code: str) -> RegionDetailOut:
    found = region_queries.region(session, code)
    link = region_queries.successor(session, code)
    return RegionDetailOut(
        **RegionOut.model_validate(found).model_dump(),
        history=[RegionNameOut.model_validate(row) for row in region_queries.history(session, code)],
        successor=None if link is None else SuccessorOut.model_validate(link),
        predecessors=[SuccessorOut.model_validate(row) for row in region_queries.predecessors(session, code)],
    )


@router.post(
    "/regions/{code}/successor",
    operation_id="places-follow",
    status_code=201,
    responses={
        200: {
            "description": "已登记过的相同承继 / recorded before with the same content",
            "model": SuccessorOut,
        },
        **refusals(
            problems.FORBIDDEN, problems.NOT_FOUND, problems.SUCCESSION_IMPOSSIBLE, problems.INVALID_REQUEST
        ),
    },
)
def follow(code: Code, given: SuccessorIn, who: DistrictOfficer, db: Db, response: Response) -> SuccessorOut:
    """Record that another region follows this one (撤并、更名): postings here are postings there from that day.

    Months before the day keep the old name. A region has one successor at most; after a split, end the postings and
    make new ones. The key is the region itself: a resend with the same content answers 200.
    """
    with db.write() as session:
        link, made = region_service.follow(session, who, code, given.to_code, given.from_day)
        shown = SuccessorOut.model_validate(link)
    replies.made(response, created=made)
    return shown


@router.delete(
    "/regions/{code}/successor",
    operation_id="places-unfollow",
    status_code=204,
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def unfollow(code: Code, who: DistrictOfficer, db: Db) -> None:
    """Withdraw a successor that was recorded by mistake (撤销承继). The audit log keeps both deeds."""
    with db.write() as session:
        region_service.unfollow(session, who, code)


@router.post(
    "/region-imports",
    operation_id="places-import-regions",
    responses=refusals(problems.FORBIDDEN, problems.REGION_ROWS_FAULTY, problems.BODY_TOO_LARGE),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def import_regions(
    who: RegionImporter,
    body: bodies.Table,
    db: Db,
    valid_from: Annotated[
        Day | None,
        Query(
            description="新区划启用、改名生效之日，缺省今天 / first day of new regions and names; default today"
        ),
    ] = None,
    dry_run: Annotated[bool, Query(description="只看结果，不写入 / tell, do not write")] = False,
) -> RegionImportOut:
    """Import a table of regions (导入区划表): CSV with code, name and optionally kind, class, parent, validity.

    Either every row is taken or none, then with one fault a row and its line. Repeating a table changes nothing.
    """
    with db.write() as session:
        outcome = region_service.import_table(session, who, body, valid_from=valid_from, dry_run=dry_run)
    return RegionImportOut.model_validate(outcome)


@router.put(
    "/region-outlines/{code}",
    operation_id="places-outline",
    status_code=204,
    responses=refusals(
        problems.FORBIDDEN,
        problems.NOT_FOUND,
        problems.FILE_UNREADABLE,
        problems.BODY_TOO_LARGE,
        problems.BUSY,
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def outline(
    *,
    code: Annotated[str, Path(pattern=r"^[0-9]{6}0{6}$", description="区县代码 / a district's code")],
    who: RegionImporter,
    body: bodies.Spooled,
    db: Db,
    filename: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")],
) -> None:
    """Keep the outline of a district (区县轮廓), one area in a file, for checking boundary files against.

    Against it a wrong zone, a wrong datum and a layer somewhere else show. Nobody is judged by it.
    """
    with db.read() as session:
        region_queries.access_region(session, who, code, *region_service.IMPORTERS)
    from server.places import inspecting  # noqa: PLC0415  A worker learns to read files when one comes: 3 MB.

    shape = inspecting.read_outline(body.read_bytes(), filename)
    with db.write() as session:
        import_service.record_outline(session, who, code, shape, filename)
