"""Importing a roster over HTTP (导入花名册)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from server import bodies, http, problems
from server.documented import refusals
from server.gate import Db, DistrictOfficer
from server.roster import importing, known, report
from server.roster.limits import LARGEST_FILE
from server.roster.schemas import RosterImportOut

router = APIRouter(prefix="/v1", tags=["roster"])
BODY_LIMITS = {"/v1/roster-imports": LARGEST_FILE}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BODY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/roster-imports",
    operation_id="roster-import",
    status_code=201,
    response_model=RosterImportOut,
    responses={
        200: {"description": "试运行 / a dry run", "model": RosterImportOut, "content": {"text/plain": {}}},
        201: {"description": "已导入 / imported", "content": {"text/plain": {}}},
        **refusals(
            problems.FORBIDDEN,
            problems.ROSTER_REFUSED,
            problems.POSTING_OVERLAP,
            problems.STAFF_NUMBER_TAKEN,
            problems.CONFLICT,
            problems.BODY_TOO_LARGE,
            problems.BUSY,
        ),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": _BODY, _XLSX: _BODY}}},
)
def import_roster(
    who: DistrictOfficer,
    body: bodies.Table,
    db: Db,
    request: Request,
    dry_run: Annotated[bool, Query(description="只看结果，不写入 / tell, do not write")] = False,
) -> Response:
    """Import a roster (导入花名册) from CSV or xlsx, recognised by its bytes, at most 8 MiB and 20,000 rows.

    People are matched by staff number, villages by code or by name within the named town. Either every row is taken or
    none; faults carry their line. The same file again changes nothing, and a correction made since is kept. The report
    comes as JSON, or as text with ``Accept: text/plain`` in the language of Accept-Language.
    """
    reading = importing.read(body)
    opened = db.read() if dry_run else db.write()
    with opened as session:
        outcome = importing.take(session, who, reading, reach=known.reach_of(who), dry_run=dry_run)
    told = report.out(outcome)
    status = 200 if dry_run else 201
    if "text/plain" in request.headers.get("accept", ""):
        language = http.language(request)
        headers = {"Content-Language": language, "Vary": "Accept, Accept-Language"}
        return PlainTextResponse(report.text(told, language), status, headers)
    return Response(told.model_dump_json(), status, {"Vary": "Accept"}, "application/json")
