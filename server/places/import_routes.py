"""Boundary imports over HTTP (边界导入): bring in, look at, accept, try, publish or reject."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from server import bodies, http, pages, preconditions, problems, replies
from server.access import Who
from server.documented import refusals, sent
from server.gate import Configured, Db, DistrictOfficer, requires
from server.pages import Page
from server.places import import_queries, import_service, publishing
from server.places.import_schemas import (
    AcceptIn,
    CircleIn,
    DecisionIn,
    DryRunOut,
    EndingIn,
    FileImportIn,
    ImportOut,
)
from server.places.inspection import Inspection
from server.places.models import BoundaryImport
from server.places.rules import ImportState
from server.preconditions import IfMatch

router = APIRouter(prefix="/v1/boundary-imports", tags=["places"])
BODY_LIMITS = {"/v1/boundary-imports": bodies.LARGEST_FILE}
Importer = Annotated[Who, Depends(requires(*import_queries.IMPORTERS))]
_REFUSED = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.ID_REUSED,
    problems.INVALID_REQUEST,
    problems.BODY_TOO_LARGE,
    problems.BUSY,
)
_NEW: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "同一编号、同一内容的重发 / a resend of the same content",
        "model": ImportOut,
        **sent("ETag"),
    },
    201: sent("ETag", "Location"),
    **refusals(*_REFUSED),
}
_DECIDING = (
    problems.FORBIDDEN,
    problems.NOT_FOUND,
    problems.PRECONDITION_REQUIRED,
    problems.PRECONDITION_FAILED,
    problems.ALREADY_DECIDED,
    problems.INVALID_REQUEST,
)
_SVG = "image/svg+xml"
_PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@router.post(
    "",
    operation_id="places-import-boundaries",
    status_code=201,
    responses={**_NEW, **refusals(*_REFUSED, problems.FILE_UNREADABLE)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def import_file(
    *,
    who: Importer,
    given: Annotated[FileImportIn, Query()],
    body: bodies.Spooled,
    db: Db,
    settings: Configured,
    response: Response,
) -> ImportOut:
    """Bring in a boundary file (导入边界文件): GeoJSON, Shapefile (zip), GeoPackage or KML, at most 64 MiB.

    The body is the file itself; its format is told by its content, not by the Content-Type. Nothing is in force yet:
    read the report, accept what needs a person, try it (dry run), and have it published. What cannot be read feature
    by feature is named in the report; only a file that cannot be read at all is refused (`file-unreadable`).
    """
    data = body.read_bytes()
    with db.read() as session:
        scope = import_service.scope_of(who, given.region, settings)
        draft = import_service.file_draft(given, scope, data, who)
        before = import_service.stored_before(session, who, draft)
        around = import_service.surroundings(session, draft)
    if before is not None:
        return _answer(before, response, made=False)
    from server.places import inspecting  # noqa: PLC0415  A worker learns to read files when one comes: 3 MB.

    inspection = inspecting.inspect_file(data, draft, around)
    return _kept(db, who, draft, inspection, response)


@router.post("/circle", operation_id="places-import-circle", status_code=201, responses=_NEW)
def import_circle(
    given: CircleIn, who: Importer, db: Db, settings: Configured, response: Response
) -> ImportOut:
    """Bring in a place known by a point and a radius (圆形点位): a geodesic polygon, published like a file (edge 50)."""
    with db.read() as session:
        scope = import_service.scope_of(who, given.region_code, settings)
        draft = import_service.circle_draft(given, scope, who)
        before = import_service.stored_before(session, who, draft)
        around = import_service.surroundings(session, draft)
    if before is not None:
        return _answer(before, response, made=False)
    from server.places import inspecting  # noqa: PLC0415  A worker learns to read files when one comes: 3 MB.

    return _kept(db, who, draft, inspecting.inspect_circle(given, around), response)


@router.post("/ending", operation_id="places-import-ending", status_code=201, responses=_NEW)
def import_ending(
    given: EndingIn, who: Importer, db: Db, settings: Configured, response: Response
) -> ImportOut:
    """Propose that zones end (终止点位) at `valid_from`, or pause until `valid_until`; published like a file."""
    with db.read() as session:
        scope = import_service.scope_of(who, given.region, settings)
        draft = import_service.ending_draft(given, scope, who)
        before = import_service.stored_before(session, who, draft)
        import_service.refuse_zones_out_of_reach(session, given, scope)
    if before is not None:
        return _answer(before, response, made=False)
    from server.places import inspecting  # noqa: PLC0415  A worker learns to read files when one comes: 3 MB.

    return _kept(db, who, draft, inspecting.nothing_to_inspect(len(given.zones)), response)


def _kept(db: Db, who: Who, draft: BoundaryImport, inspection: Inspection, response: Response) -> ImportOut:
    with db.write() as session:
        row, made = import_service.store(session, who, draft, inspection)
    shown = _answer(row, response, made=made)
    if made:
        response.headers["Location"] = f"{router.prefix}/{row.id}"
    return shown


def _answer(row: BoundaryImport, response: Response, *, made: bool = True) -> ImportOut:
    replies.made(response, created=made, tag=import_service.etag(row))
    return ImportOut.of(row)


@router.get(
    "",
    operation_id="places-boundary-imports",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def imports(
    who: Importer,
    db: Db,
    state: Annotated[ImportState | None, Query(description="状态 / state")] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[ImportOut]:
    """List the boundary imports of one's region (导入记录), the newest first."""
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    with db.read() as session:
        rows = import_queries.imports(
            session, who, state=state, after=(after[0], after[1]) if after else None, limit=limit + 1
        )
    shown, following = pages.cut(rows, limit, lambda row: (row.imported_at, row.id))
    return Page(items=[ImportOut.of(row) for row in shown], next_cursor=following)


@router.get(
    "/{import_id}",
    operation_id="places-boundary-import",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def one_import(import_id: UUID, who: Importer, db: Db, response: Response) -> ImportOut:
    """Return one boundary import with its ETag (导入详情)."""
    with db.read() as session:
        return _answer(import_queries.access_import(session, who, import_id), response)


@router.get(
    "/{import_id}/report",
    operation_id="places-boundary-report",
    responses={
        200: {
            "description": "质量报告 / quality report",
            "content": {
                "application/json": {},
                "text/plain": {"schema": {"type": "string"}},
                _SVG: {"schema": {"type": "string"}},
            },
            **sent(*_PICTURE_HEADERS),
        },
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def report(import_id: UUID, who: Importer, db: Db, request: Request) -> Response:
    """Return the quality report (质量报告): data, text (`text/plain`) or picture (`image/svg+xml`), by Accept."""
    with db.read() as session:
        import_queries.access_import(session, who, import_id)
        found = import_queries.report(session, import_id)
        accepted = import_queries.acceptances(session, import_id)
    wanted = _wanted(request.headers.get("accept", ""))
    headers = {"Vary": "Accept, Accept-Language"}
    if wanted == "svg":
        return Response(found.svg, media_type=_SVG, headers={**headers, **_PICTURE_HEADERS})
    if wanted == "text":
        language = http.language(request)
        text = found.text_en if language == "en" else found.text_zh
        return PlainTextResponse(text, headers={**headers, "Content-Language": language})
    shown = [{"index": index, "codes": sorted(codes)} for index, codes in sorted(accepted.items())]
    return JSONResponse({**found.report, "accepted": shown}, headers=headers)


def _wanted(accept: str) -> Literal["json", "text", "svg"]:
    for part in accept[:500].split(","):
        kind = part.split(";")[0].strip().lower()
        if kind == _SVG:
            return "svg"
        if kind == "text/plain":
            return "text"
        if kind == "application/json":
            break
    return "json"


@router.post(
    "/{import_id}/accept-repairs",
    operation_id="places-accept-repairs",
    responses={200: sent("ETag"), **refusals(*_DECIDING)},
)
def accept(
    *,
    import_id: UUID,
    given: AcceptIn,
    who: Importer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> ImportOut:
    """Accept, feature by feature, proposed repairs and findings that need a person (接受修复方案或提示).

    Name the codes of the report; `index` -1 stands for the whole file. Errors without a repair cannot be accepted: such
    a feature is left out, the others are published.
    """
    match = preconditions.given(if_match)
    with db.write() as session:
        row = import_service.accept(session, who, import_id, given.features, match)
    return _answer(row, response)


@router.post(
    "/{import_id}/dry-run",
    operation_id="places-dry-run",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def dry_run(import_id: UUID, who: Importer, db: Db) -> DryRunOut:
    """Tell what publishing would change (试运行): zones new, changed and ended, features refused, judgements moved.

    `effect` counts the stored check-ins, and their people, that would be judged differently; nothing is written.
    """
    with db.read() as session:
        row = import_queries.access_import(session, who, import_id)
        found = publishing.plan(session, row)
        return DryRunOut.of(
            found, publishing.overlaps(session, found.steps), publishing.effect(session, found)
        )


@router.post(
    "/{import_id}/publish",
    operation_id="places-publish",
    responses={
        200: sent("ETag", "Idempotent-Replay"),
        **refusals(*_DECIDING, problems.SECOND_PERSON_REQUIRED, problems.NOTHING_TO_PUBLISH),
    },
)
def publish(
    *,
    import_id: UUID,
    who: DistrictOfficer,
    db: Db,
    settings: Configured,
    response: Response,
    if_match: IfMatch = None,
) -> ImportOut:
    """Put the boundaries in force (发布边界): a district officer, another person than the importer where policy says so.

    What was judged before keeps the version it was judged by. Publishing twice is harmless: the same person gets the
    same answer, another one `already-decided`.
    """
    match = preconditions.given(if_match)
    with db.write() as session:
        row, done = import_service.publish(
            session, who, import_id, match, two_persons=settings.two_person_publish
        )
    return _answer(row, response, made=done)


@router.post(
    "/{import_id}/reject",
    operation_id="places-reject",
    responses={200: sent("ETag"), **refusals(*_DECIDING)},
)
def reject(
    *,
    import_id: UUID,
    given: DecisionIn,
    who: DistrictOfficer,
    db: Db,
    response: Response,
    if_match: IfMatch = None,
) -> ImportOut:
    """Put an import aside for good, with the reason (退回)."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = import_service.reject(session, who, import_id, match, given.note)
    return _answer(row, response)
