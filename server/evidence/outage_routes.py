"""Outages over HTTP (故障登记): recorded once for a region, listed, taken back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import orm

from server import pages, problems, replies
from server.access import Who
from server.auth.queries import account_names
from server.documented import refusals
from server.evidence import outages, queries
from server.evidence.queries import OFFICERS, Told
from server.evidence.schemas import OutageIn, OutageOut, OutageWithdrawalOut, WithdrawOutageIn
from server.gate import Db, requires
from server.pages import Page

router = APIRouter(prefix="/v1/outages", tags=["evidence"])
Officer = Annotated[Who, Depends(requires(*OFFICERS))]
RegionFilter = Annotated[
    str, Query(pattern="^[0-9]{0,12}$", description="区划代码前缀 / prefix of region codes")
]


@router.post(
    "",
    operation_id="outages-record",
    status_code=201,
    responses={
        200: {"description": "已登记过 / recorded before", "model": OutageOut},
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.OUTAGE_OVERLAPS,
            problems.OUTAGE_FOR_ONESELF,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
        ),
    },
)
def record(given: OutageIn, who: Officer, db: Db, response: Response) -> OutageOut:
    """Record an outage (登记故障) once for everybody posted in a region: the town for its town, the district for all.

    Its days count, marked, for whoever has to check in every day, unless leave, duty or a position elsewhere speaks for
    the day. Days of the region that were recorded before are named: 409 `outage-overlaps`.
    """
    with db.write() as session:
        told, created = outages.record(session, who, given)
        (answer,) = _shown(session, [told])
    replies.made(response, created=created)
    return answer


@router.get(
    "",
    operation_id="outages-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def recorded(
    who: Officer, db: Db, region: RegionFilter = "", cursor: pages.Cursor = None, limit: pages.Limit = 50
) -> Page[OutageOut]:
    """List the outages that touch one's scope (故障登记), the last recorded first, withdrawn ones as well."""
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    key = None if after is None else (after[0], after[1])
    with db.read() as session:
        rows = queries.outages(session, who, region=region, after=key, limit=limit + 1)
        shown, following = pages.cut(rows, limit, lambda row: (row[0].recorded_at, row[0].id))
        return Page(items=_shown(session, shown), next_cursor=following)


@router.post(
    "/{outage_id}/withdraw",
    operation_id="outages-withdraw",
    responses=refusals(
        problems.FORBIDDEN, problems.NOT_FOUND, problems.ALREADY_DECIDED, problems.INVALID_REQUEST
    ),
)
def withdraw(outage_id: UUID, given: WithdrawOutageIn, who: Officer, db: Db) -> OutageOut:
    """Take back an outage that was recorded in error (撤销故障登记); its days count no more. Both stay on record."""
    with db.write() as session:
        (answer,) = _shown(session, [outages.withdraw(session, who, outage_id, given.reason)])
        return answer


def _shown(session: orm.Session, rows: Sequence[Told]) -> list[OutageOut]:
    names = account_names(
        session, (by for row, gone in rows for by in (row.recorded_by, gone.by if gone else None))
    )
    return [
        OutageOut(
            id=row.id,
            region_prefix=row.region_prefix,
            first_day=row.first_day,
            last_day=row.last_day,
            began_at=row.began_at,
            ended_at=row.ended_at,
            reason=row.reason,
            recorded_at=row.recorded_at,
            recorded_by=names.get(row.recorded_by),
            withdrawn=None
            if gone is None
            else OutageWithdrawalOut(at=gone.at, by=names.get(gone.by), reason=gone.reason),
        )
        for row, gone in rows
    ]
