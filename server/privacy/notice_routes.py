"""Notices over HTTP (告知书): read by everybody, accepted by oneself."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import orm

from server import audit, problems
from server.access import Who
from server.auth.models import Account, LoginSession
from server.documented import refusals
from server.gate import Anyone, Configured, Db, OpenDb
from server.notices import service
from server.notices.schemas import DIGEST, AcceptanceOut, HandlerOut, NoticeOut, OwnNoticeOut
from server.notices.service import Text
from server.settings import Settings

router = APIRouter(prefix="/v1", tags=["privacy"])
Digest = Annotated[str, Path(pattern=DIGEST, description="告知书的 digest / the digest of a notice")]


def _open(*kinds: problems.Kind) -> dict[int | str, dict[str, object]]:
    return {status: said for status, said in refusals(*kinds).items() if status != HTTPStatus.UNAUTHORIZED}


@router.get("/notice", operation_id="notices-current", responses=_open())
def current(database: OpenDb, settings: Configured) -> NoticeOut:
    """Read the district's notice about personal information (告知书), without a token: shown before the first use.

    When it is accepted, its `digest` goes with the activation as `notice`.
    """
    with database.read() as session:
        return _shown(service.in_force(session, settings.district_code), settings)


@router.get(
    "/notices/{digest}",
    operation_id="notices-one",
    responses=_open(problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def one(digest: Digest, database: OpenDb, settings: Configured) -> NoticeOut:
    """Read a notice (告知书) by its digest, also one that is no longer in force: the exact text that somebody accepted."""
    with database.read() as session:
        return _shown(service.by_digest(session, digest), settings)


@router.get("/me/notices", operation_id="notices-own", responses=refusals())
def own(who: Anyone, db: Db) -> OwnNoticeOut:
    """Tell which notice waits for one's acceptance, and which ones one accepted (我的告知书)."""
    with db.read() as session:
        return _own(session, who)


@router.put(
    "/me/notices/{digest}",
    operation_id="notices-accept",
    responses=refusals(problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def accept(digest: Digest, who: Anyone, db: Db) -> OwnNoticeOut:
    """Accept a notice (接受告知书). Again changes nothing; one that is no longer in force is taken as what was read."""
    with db.write() as session:
        client = session.get_one(LoginSession, who.session_id).client
        if service.accept(session, who.account_id, digest, client):
            audit.record(session, who, "notice:accept", ("account", who.account_id), digest=digest)
            session.flush()
        return _own(session, who)


def _own(session: orm.Session, who: Who) -> OwnNoticeOut:
    return OwnNoticeOut(
        asked=service.asked(session, who.account_id, session.get_one(Account, who.account_id).region),
        accepted=[
            AcceptanceOut.model_validate(row, from_attributes=True)
            for row in service.accepted(session, who.account_id)
        ],
    )


def _shown(text: Text, settings: Settings) -> NoticeOut:
    owner = settings.owner
    return NoticeOut(
        version=text.version,
        digest=text.digest,
        text_zh=text.text_zh,
        text_en=text.text_en,
        published_at=text.published_at,
        until=text.until,
        handler=HandlerOut(
            name=owner.name or settings.district_name,
            legal_basis=owner.legal_basis,
            registration_no=owner.registration_no,
            data_contact=owner.data_contact,
        ),
    )
