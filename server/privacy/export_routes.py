"""One's own data over HTTP (个人信息副本)."""

import os

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from server import audit, clock, problems
from server.documented import refusals
from server.gate import Anyone, Configured, Db
from server.privacy import own_data
from server.privacy.own_data import Whose
from server.privacy.schemas import OwnDataOut

router = APIRouter(prefix="/v1", tags=["privacy"])


@router.get(
    "/me/export",
    operation_id="me-export",
    response_class=StreamingResponse,
    responses={
        200: {"model": OwnDataOut, "description": "全部本人资料 / everything about oneself"},
        **refusals(problems.TOO_MANY_REQUESTS),
    },
)
def export(who: Anyone, db: Db, settings: Configured) -> StreamingResponse:
    """Fetch everything that is kept of oneself (个人信息副本), as one JSON document with explanations in both languages.

    Check-ins with their exact points, reasons, months, postings, sessions, who looked, what was accepted. Nothing of
    anybody else is in it; officials who acted are left out, and what nobody may see (hashes of passwords and codes).
    """
    with db.look() as session:
        audit.record(session, who, "own-data:export", ("account", who.account_id))
        whose = Whose(who.account_id, who.person_id)
        file = own_data.written(session, whose, settings.district_code, clock.now())
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    headers = {"Content-Length": str(size)}
    return StreamingResponse(own_data.pieces(file), 200, headers, "application/json")
