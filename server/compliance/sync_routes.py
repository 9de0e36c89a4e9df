"""What a phone keeps to work without a signal, in one request: only what changed since it asked last.

The cursor holds a digest of each part as the phone got it. So nothing has to be remembered about phones, no clock or
watermark can lose a change (frappe/hrms #603), and a phone that lost its cursor gets everything.
"""

import hashlib
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query
from pydantic import TypeAdapter
from sqlalchemy import orm

from server import clock, pages, problems
from server.auth import jws
from server.auth.models import Account
from server.checkins import receipt_queries
from server.checkins.judging import FALLBACK
from server.compliance import routes
from server.compliance.schemas import BoundaryOut, PersonMonthOut, ReceiptsNowOut, RequestsOut, SyncOut
from server.corrections import queries as correction_queries
from server.corrections import showing
from server.documented import refusals
from server.gate import Cadre, Configured, Db
from server.month import queries as month_queries
from server.month.masks import Month
from server.month.policy import legal_day
from server.month.schemas import PolicyOut
from server.notices import service as notices
from server.places import queries as place_queries
from server.places import region_queries
from server.problems import Problem
from server.roster import queries as roster_queries
from server.roster import shown
from server.roster.rules import Term
from server.roster.schemas import PostingDetailOut

router = APIRouter(prefix="/v1", tags=["me"])
SIMPLIFY_M = 100
"""No finer than the band that a check-in answers with (ruling 14)."""
TOLD_AFTERWARDS = timedelta(days=30)
"""How long a phone is told of a decision."""
_OF_THE_MOMENT = {"as_of"}
_postings = TypeAdapter(list[PostingDetailOut])
Cursor = Annotated[
    str | None,
    Query(
        max_length=512,
        description="上次得到的 cursor，首次不带 / the cursor of the last answer; none the first time",
    ),
]


@router.get(
    "/me/sync",
    operation_id="me-sync",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.BAD_CURSOR),
)
def sync(who: Cadre, db: Db, settings: Configured, cursor: Cursor = None) -> SyncOut:
    """Fetch what a phone needs to know without a signal (同步): postings, policies, villages' outlines, the month.

    With the cursor of the last answer, what is as it was is left out and named in `unchanged`.
    """
    before = pages.decode(cursor, str, str, str, str, str) or ("", "", "", "", "")
    with db.read() as session:
        person_id = who.person_id
        if person_id is None:
            raise Problem(problems.NOT_FOUND)
        today = legal_day(clock.now(), FALLBACK)
        postings = shown.posting_details(session, roster_queries.own_postings(session, person_id))
        villages = sorted(
            {p.village_code for p in postings if Term(p.village_code, p.from_day, p.until_day).covers(today)}
        )
        month = _month(session, person_id, Month.of(today), settings.district_code)
        versions = _versions(session, villages)
        policies = _policies(session, villages, Month.of(today))
        requests = _requests(session, person_id)
        answer: dict[str, Any] = {
            "postings": postings, "policies": policies, "month": month, "requests": requests
        }  # fmt: skip
        digests = {
            "postings": _digest(_postings.dump_python(postings, mode="json")),
            "policies": _digest([policy.model_dump(mode="json") for policy in policies]),
            "boundaries": _digest([[code, str(version)] for code, version in versions.items()]),
            "month": _digest(None if month is None else _lasting(month.model_dump(mode="json"))),
            "requests": _digest(requests.model_dump(mode="json")),
        }
        unchanged = [name for name, then in zip(digests, before, strict=True) if digests[name] == then]
        if "boundaries" not in unchanged:
            answer["boundaries"] = [_boundary(session, code, version) for code, version in versions.items()]
        chain = _receipts(session, person_id)
        account = session.get_one(Account, who.account_id)
        notice = notices.asked(session, account.id, account.region)
    told = {name: part for name, part in answer.items() if name not in unchanged}
    return SyncOut(
        cursor=pages.encode(*digests.values()), unchanged=unchanged, receipts=chain, notice=notice, **told
    )


def _versions(session: orm.Session, villages: list[str]) -> dict[str, UUID]:
    found = {code: place_queries.village_version(session, code, clock.now()) for code in villages}
    return {code: version for code, version in found.items() if version is not None}


def _month(session: orm.Session, person_id: UUID, month: Month, region: str) -> PersonMonthOut | None:
    try:
        return routes.month_of(session, person_id, month, region)
    except Problem as problem:
        if problem.kind is problems.NO_POLICY:
            return None  # A phone that is set up before the policy is published still gets its postings.
        raise


def _policies(session: orm.Session, villages: list[str], month: Month) -> list[PolicyOut]:
    rows = {
        row.id: row for code in villages for row in month_queries.policies_governing(session, code, month)[1]
    }
    # Who made and who published them is the officials' business.
    unsaid = {"created_by": None, "published_by": None}
    return [PolicyOut.model_validate(row).model_copy(update=unsaid) for row in rows.values()]


def _boundary(session: orm.Session, code: str, version_id: UUID) -> BoundaryOut:
    geometry = place_queries.simplified(session, version_id, SIMPLIFY_M)
    return BoundaryOut(
        code=code,
        name=region_queries.region(session, code).name,
        version_id=version_id,
        simplify_m=SIMPLIFY_M,
        geometry=None if geometry is None else orjson.loads(geometry),
    )


def _requests(session: orm.Session, person_id: UUID) -> RequestsOut:
    corrections, appeals = correction_queries.own_requests(
        session, person_id, decided_since=clock.now() - TOLD_AFTERWARDS
    )
    return RequestsOut(
        corrections=showing.corrections_out(session, corrections),
        appeals=showing.appeals_out(session, appeals),
    )


def _receipts(session: orm.Session, person_id: UUID) -> ReceiptsNowOut | None:
    epochs, head = receipt_queries.epochs(session), receipt_queries.head_of(session, person_id)
    if not epochs:
        return None
    now = epochs[-1]
    return ReceiptsNowOut(
        epoch=now.number,
        epoch_id=now.id,
        began_at=now.began_at,
        resend_from=now.resend_from,
        seq=0 if head is None else head.seq,
        hash=None if head is None else jws.encoded(head.hash),
    )


def _lasting(value: Any) -> Any:  # noqa: ANN401  Any JSON.
    """Leave out what says only when the answer was made."""
    if isinstance(value, dict):
        return {name: _lasting(part) for name, part in value.items() if name not in _OF_THE_MOMENT}
    return [_lasting(part) for part in value] if isinstance(value, list) else value


def _digest(value: object) -> str:
    """Return 16 hexadecimal digits: a change that goes unnoticed by chance is out of the question."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
