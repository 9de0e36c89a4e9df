"""Months over HTTP (月度在岗情况): one's own, a person's, and the list of a scope."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy import orm

from server import clock, looks, pages, problems
from server.access import Role, Who
from server.compliance import queries, service, showing
from server.compliance.queries import Asked, PersonMonth
from server.compliance.rules import Judged
from server.compliance.schemas import (
    MonthPath,
    MonthRowOut,
    PersonMonthOut,
    PersonRef,
    RegionFilter,
    TextFilter,
)
from server.documented import refusals
from server.gate import Cadre, Configured, Db, requires
from server.looks import Seen, What
from server.month import book
from server.month.masks import Month
from server.month.rules import ResultKind
from server.pages import Page
from server.problems import Problem

router = APIRouter(prefix="/v1", tags=["months"])
READERS = (Role.TOWN, Role.DISTRICT, Role.INSPECTOR, Role.UNIT)
Reader = Annotated[Who, Depends(requires(*READERS))]


@router.get(
    "/me/months/{month}",
    operation_id="months-own",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.NO_POLICY, problems.INVALID_REQUEST),
)
def own_month(month: MonthPath, who: Cadre, db: Db, settings: Configured) -> PersonMonthOut:
    """Show one's own month (本人月度在岗情况): what is needed, what counted, how long one can still be away.

    Every day carries its reason and the records that decided it. A month in which one is not posted has no result.
    """
    with db.read() as session:
        if who.person_id is None:
            raise Problem(problems.NOT_FOUND)
        return month_of(session, who.person_id, Month.parse(month), settings.district_code)


def month_of(session: orm.Session, person_id: UUID, month: Month, region: str) -> PersonMonthOut:
    """Return one's own month; where nobody posted one, the month of the region without a result.

    Raises Problem 404 ``no-policy``.
    """
    row = queries.own_month(session, person_id, month)
    if row is None:
        return _not_posted(session, person_id, month, region)
    return _person_month(session, row, month, with_notes=True)


def _not_posted(session: orm.Session, person_id: UUID, month: Month, region: str) -> PersonMonthOut:
    name = queries.person_name(session, person_id)
    judged = service.not_posted(book.load(session), region, month, clock.now())
    if name is None:
        raise Problem(problems.NOT_FOUND)
    return PersonMonthOut(
        month=str(month),
        person=PersonRef(id=person_id, number=name.number, name=name.name, unit_id=None, unit_name=None),
        village=None,
        owned=True,
        days_posted=0,
        counters=showing.counters_out(judged) if judged else None,
        statement=showing.statement_out(judged) if judged else None,
        others=[],
        days=[],
    )


def _person_month(
    session: orm.Session, row: PersonMonth, month: Month, *, with_notes: bool
) -> PersonMonthOut:
    known, now = book.load(session), clock.now()
    judged = service.judged(known, row, month, now)
    if judged is None:
        raise _no_policy(row, month)
    listed = showing.row_out(row, judged, showing.place_names(session, [row.place], month))
    others = service.judged_otherwise(known, row, month, now) if row.owned else []
    only = None if row.owned else row.reached
    return PersonMonthOut(
        month=str(month),
        person=listed.person,
        village=listed.village,
        owned=row.owned,
        days_posted=listed.days_posted,
        counters=listed.counters,
        statement=listed.statement,
        others=[showing.statement_out(other) for other in others],
        days=showing.days_out(session, row, judged, with_notes=with_notes, only=only) if only != 0 else [],
    )


def _no_policy(row: PersonMonth, month: Month) -> Problem:
    return Problem(
        problems.NO_POLICY,
        zh=f"{row.place} 在 {month} 没有已发布的政策，无法计算。",
        en=f"No policy is published for {row.place} in {month}, so the month cannot be judged.",
        region=row.place,
        month=str(month),
    )


@router.get(
    "/people/{person_id}/months/{month}",
    operation_id="months-person",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.NO_POLICY, problems.INVALID_REQUEST),
)
def person_month(person_id: UUID, month: MonthPath, who: Reader, db: Db) -> PersonMonthOut:
    """Show the month of a person in scope (个人月度在岗情况), without any position.

    The town of the last posted day sees the statement; another town sees the days posted in it; inspectors see states
    and verdicts; sending units see the counters.
    """
    wanted = Month.parse(month)
    with db.look() as session:
        row = queries.access_month(session, who, person_id, wanted)
        looks.record(session, who, What.MONTH, [_seen(row)], roles=READERS, subject=wanted)
        official = who.reaches(row.place, *queries.OFFICIAL)
        return _person_month(session, row, wanted, with_notes=official)


def _seen(row: PersonMonth) -> Seen:
    return Seen(row.person_id, row.place, row.unit_id)


@router.get(
    "/months/{month}",
    operation_id="months-list",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def months(
    *,
    month: MonthPath,
    who: Reader,
    db: Db,
    region: RegionFilter = "",
    unit: Annotated[UUID | None, Query(description="派出单位 / sending unit")] = None,
    result: Annotated[ResultKind | None, Query(description="结果 / result; not for sending units")] = None,
    q: TextFilter = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[MonthRowOut]:
    """List the months of a scope (月度在岗表), by village code and name: never ranked.

    Those below carry the reason in words. People of sending units come with counters only, and without a result to
    filter by.
    """
    wanted = Month.parse(month)
    asked = Asked(region=region, unit=unit, text=q.strip() if q else None)
    after = pages.decode(cursor, str, str, UUID)
    key = None if after is None else (after[0], after[1], after[2])
    with db.look() as session:
        reach = queries.reach_of(session, who, wanted)
        rows = service.page(session, reach, wanted, asked, result=result, after=key, limit=limit + 1)
        shown, following = pages.cut(rows, limit, queries.key_of)
        looks.record(session, who, What.MONTHS, map(_seen, shown), roles=READERS, subject=wanted)
        known, now = book.load(session), clock.now()
        names = showing.place_names(session, {row.place for row in shown}, wanted)
        judged: list[Judged | None] = [service.judged(known, row, wanted, now) for row in shown]
        items = [showing.row_out(row, each, names) for row, each in zip(shown, judged, strict=True)]
        return Page(items=items, next_cursor=following)
