"""Policies (政策) and calendars (节假日历) over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from server import bodies, pages, preconditions, problems, replies
from server.access import Role, Who
from server.documented import refusals, sent
from server.gate import Anyone, Configured, Db, DistrictOfficer
from server.month import book, queries, schemas, service
from server.month.consequences import consequences as consequences_of
from server.month.masks import Month
from server.month.models import PolicyRow
from server.month.schemas import (
    CalendarDayOut,
    CalendarImportOut,
    CalendarMonthOut,
    CalendarOut,
    ConsequencesOut,
    GoverningOut,
    PolicyIn,
    PolicyOut,
    PublishIn,
)
from server.pages import Page
from server.problems import FieldFault, Problem

router = APIRouter(prefix="/v1", tags=["month"])
_OFFICIAL = (Role.TOWN, Role.DISTRICT, Role.INSPECTOR, Role.ADMIN)
MonthText = Annotated[
    str, Query(pattern=schemas.MONTH_PATTERN, description="月份 / month, yyyy-mm", examples=["2026-11"])
]
Year = Annotated[int, Path(ge=schemas.FIRST_YEAR, le=schemas.LAST_YEAR, description="年份 / year")]


def _shown(row: PolicyRow, who: Who) -> PolicyOut:
    shown = PolicyOut.model_validate(row)
    return (
        shown if who.has(*_OFFICIAL) else shown.model_copy(update={"created_by": None, "published_by": None})
    )


@router.post(
    "/policies",
    operation_id="policies-make",
    status_code=201,
    responses={
        200: {
            "description": "相同内容的重发 / a resend with the same content",
            "model": PolicyOut,
            **sent("ETag"),
        },
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.ID_REUSED,
            problems.INVALID_REQUEST,
            problems.POLICY_CHOICE_MISSING,
            problems.POLICY_REFUSED,
        ),
    },
)
def make_policy(given: PolicyIn, who: DistrictOfficer, db: Db, response: Response) -> PolicyOut:
    """Make a new version of a policy (制定政策); it governs nothing until it is published.

    Without the choice of basis and of counting official duty it is refused with the table of consequences.
    """
    with db.write() as session:
        row, created = service.make_policy(session, who, queries.login_of(session, who), given)
        shown = _shown(row, who)
        replies.made(response, created=created, address=f"/v1/policies/{row.id}", tag=service.etag(row))
    return shown


@router.get(
    "/policies",
    operation_id="policies-list",
    responses=refusals(problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def list_policies(
    *,
    who: Anyone,
    db: Db,
    region: Annotated[
        str, Query(pattern="^[0-9]{0,12}$", description="区划代码前缀 / prefix of region codes")
    ] = "",
    code: Annotated[
        str | None, Query(max_length=200, pattern="^[a-z0-9-]+$", description="政策代码 / policy code")
    ] = None,
    published: Annotated[bool | None, Query(description="是否已发布 / published or not")] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[PolicyOut]:
    """List policies (政策列表) by region, code and version. Published ones are open to every account."""
    after = pages.decode(cursor, str, str, int)
    with db.read() as session:
        rows = queries.policies(
            session,
            who,
            region=region,
            code=code,
            published=published,
            after=None if after is None else (after[0], after[1], after[2]),
            limit=limit + 1,
        )
        page, following = pages.cut(rows, limit, lambda row: (row.region_prefix, row.code, row.version))
        return Page(items=[_shown(row, who) for row in page], next_cursor=following)


@router.get(
    "/policies/consequences",
    operation_id="policies-consequences",
    responses=refusals(problems.INVALID_REQUEST),
)
def consequences(
    *,
    _who: Anyone,
    db: Db,
    year: Annotated[int, Query(ge=schemas.FIRST_YEAR, le=schemas.LAST_YEAR, description="年份 / year")],
    numerator: Annotated[int, Query(ge=1, le=1000, description="比例的分子 / of the ratio")] = 2,
    denominator: Annotated[int, Query(ge=1, le=1000, description="比例的分母 / of the ratio")] = 3,
) -> ConsequencesOut:
    """Show what each basis asks of every month of a year (后果表), and what counting official duty means."""
    if numerator > denominator:
        zh, en = "比例不得大于 1。", "The ratio cannot lie above 1."
        fault = FieldFault("numerator", "above-one", zh, en)
        raise Problem(problems.INVALID_REQUEST, zh=zh, en=en, errors=[fault])
    with db.read() as session:
        imported = book.load(session).imported
    table = consequences_of(year, imported=imported, numerator=numerator, denominator=denominator)
    return schemas.consequences_out(table, numerator=numerator, denominator=denominator)


@router.get(
    "/policies/governing",
    operation_id="policies-governing",
    responses=refusals(problems.INVALID_REQUEST),
)
def governing(
    *,
    who: Anyone,
    db: Db,
    region: Annotated[
        str,
        Query(
            pattern=schemas.PREFIX_PATTERN, description="区划代码 / region code", examples=["500116101200"]
        ),
    ],
    month: MonthText,
) -> GoverningOut:
    """Tell which policies govern a month in a region (适用政策): in force on the 1st, the longest prefix wins."""
    with db.read() as session:
        principal, rows = queries.policies_governing(session, region, Month.parse(month))
        shown = [_shown(row, who) for row in rows]
    return GoverningOut(region=region, month=month, principal=principal, policies=shown)


@router.get(
    "/policies/{policy_id}",
    operation_id="policies-one",
    responses={200: sent("ETag"), **refusals(problems.NOT_FOUND)},
)
def one_policy(policy_id: UUID, who: Anyone, db: Db, response: Response) -> PolicyOut:
    """Return one version of a policy (政策), with its ETag."""
    with db.read() as session:
        row = queries.access_policy(session, who, policy_id)
        response.headers["ETag"] = service.etag(row)
        return _shown(row, who)


@router.post(
    "/policies/{policy_id}/publish",
    operation_id="policies-publish",
    responses={
        200: sent("ETag"),
        **refusals(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.ALREADY_DECIDED,
            problems.SECOND_PERSON_REQUIRED,
            problems.POLICY_RETROACTIVE,
            problems.PRECONDITION_FAILED,
            problems.PRECONDITION_REQUIRED,
            problems.INVALID_REQUEST,
        ),
    },
)
def publish_policy(
    *,
    policy_id: UUID,
    given: PublishIn,
    who: DistrictOfficer,
    db: Db,
    settings: Configured,
    response: Response,
    if_match: preconditions.IfMatch = None,
) -> PolicyOut:
    """Put a policy in force (发布政策); the publisher is another person than the maker.

    It governs from the month of `valid_from` on. For a month that is over, or has begun under another version, the
    reason must be given and is recorded for ever. A published policy is never changed: make a new version.
    """
    expected = preconditions.given(if_match)
    with db.write() as session:
        row = service.publish_policy(
            session,
            who,
            queries.login_of(session, who),
            policy_id,
            if_match=expected,
            retroactive_reason=given.retroactive_reason,
            two_persons=settings.two_person_publish,
        )
        response.headers["ETag"] = service.etag(row)
        return _shown(row, who)


def calendar_out(calendar: service.YearCalendar) -> CalendarOut:
    """Write a calendar as it is shown."""
    return CalendarOut(
        year=calendar.year,
        source=calendar.source,
        provisional=calendar.provisional,
        months=[
            CalendarMonthOut(month=str(m.month), days=m.month.days, working_days=m.working_days)
            for m in calendar.months
        ],
        exceptions=[
            CalendarDayOut(day=day, kind="working" if works else "holiday", name=name)
            for day, works, name in calendar.exceptions
        ],
        imported_source=calendar.imported.source if calendar.imported else None,
        imported_at=calendar.imported.imported_at if calendar.imported else None,
    )


@router.post(
    "/calendars/{year}",
    operation_id="calendars-import",
    status_code=201,
    responses={
        200: {
            "description": "试运行，或同一文件再次导入 / a dry run, or the same file again",
            "model": CalendarImportOut,
        },
        **refusals(
            problems.FORBIDDEN, problems.CALENDAR_REFUSED, problems.INVALID_REQUEST, problems.BODY_TOO_LARGE
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def import_calendar(
    *,
    year: Year,
    who: DistrictOfficer,
    body: bodies.Table,
    db: Db,
    response: Response,
    source: Annotated[
        str,
        Query(
            max_length=200, pattern=r"^[^\x00]*$", description="出处，如国办通知文号 / where it comes from"
        ),
    ] = "",
    dry_run: Annotated[bool, Query(description="只看结果，不写入 / tell, do not write")] = False,
) -> CalendarImportOut:
    """Import a year's public holidays and shifted working days (导入节假日历，含调休).

    CSV with the columns date, kind (working | holiday) and name; only days that differ from Monday to Friday need be
    listed. Either every row is taken or none. The key is the year: the same file again answers 200.
    """
    with db.write() as session:
        outcome = service.import_calendar(
            session, who, queries.login_of(session, who), year, body, source=source.strip(), dry_run=dry_run
        )
        shown = CalendarImportOut(
            dry_run=dry_run, changed=list(outcome.changed), calendar=calendar_out(outcome.calendar)
        )
    if dry_run:
        response.status_code = 200
    else:
        replies.made(response, created=outcome.stored)
    return shown


@router.get("/calendars/{year}", operation_id="calendars-one", responses=refusals(problems.INVALID_REQUEST))
def one_calendar(year: Year, _who: Anyone, db: Db) -> CalendarOut:
    """Return a year's working days by month (节假日历), where they come from, and whether they are provisional."""
    with db.read() as session:
        return calendar_out(service.year_calendar(session, year))
