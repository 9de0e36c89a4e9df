"""Accounts of others: making them, granting, disabling, resetting, slips."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from server import clock, pages, preconditions, problems, replies
from server.access import Role, Who
from server.auth import queries, service, shown, slips
from server.auth.schemas import (
    AccountDetailOut,
    AccountIn,
    AccountOut,
    AccountPatchIn,
    CodeOut,
    ForPeopleIn,
    ForPeopleOut,
    GrantIn,
    GrantOut,
    SlipsIn,
    SlipsOut,
    UnfitOut,
)
from server.documented import refusals, sent
from server.gate import Configured, Db, requires
from server.pages import Cursor, Limit, Page
from server.preconditions import IfMatch
from server.settings import Settings

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])
Granter = Annotated[Who, Depends(requires(Role.DISTRICT, Role.ADMIN))]
Caretaker = Annotated[Who, Depends(requires(Role.TOWN, Role.DISTRICT, Role.ADMIN))]
AccountId = Annotated[UUID, Path(description="账号 / the account")]
Search = Annotated[
    str | None,
    Query(min_length=1, max_length=100, description="登录名或姓名的一部分 / part of login or name"),
]


def _replayed(model: type[Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "此前已以相同内容创建 / made before with the same content", "model": model}}


@router.post(
    "",
    operation_id="accounts-create",
    status_code=201,
    responses={
        200: {**_replayed(AccountOut)[200], **sent("ETag")},
        201: sent("ETag", "Location"),
        **refusals(
            problems.FORBIDDEN,
            problems.GRANT_NOT_ALLOWED,
            problems.LOGIN_TAKEN,
            problems.PERSON_HAS_ACCOUNT,
            problems.ID_REUSED,
            problems.PERSON_UNKNOWN,
            problems.INVALID_REQUEST,
        ),
    },
)
def create(given: AccountIn, who: Granter, db: Db, response: Response) -> AccountOut:
    """Create an account (账号) in one's region. It can do nothing until it is granted a role and activated."""
    with db.write() as session:
        account, created = service.create(session, who, **given.model_dump())
        grants = queries.grants_live(session, [account.id], clock.now())[account.id]
        answer = shown.account(account, grants)
        replies.made(
            response,
            created=created,
            address=f"{router.prefix}/{account.id}",
            tag=preconditions.tag(account.revision),
        )
    return answer


@router.get("", operation_id="accounts-list", responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR))
def accounts(
    who: Caretaker, db: Db, q: Search = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[AccountOut]:
    """List the accounts one looks after, by login (账号列表): a town's cadres, a district's accounts, or all."""
    after = pages.decode(cursor, str)
    with db.read() as session:
        rows = queries.accounts(session, who, search=q, after=after, limit=limit)
        found, following = pages.cut(rows, limit, lambda row: (row.login,))
        grants = queries.grants_live(session, [row.id for row in found], clock.now())
        items = [shown.account(row, grants[row.id]) for row in found]
    return Page(items=items, next_cursor=following)


@router.post(
    "/for-people",
    operation_id="accounts-for-people",
    responses=refusals(
        problems.FORBIDDEN,
        problems.GRANT_NOT_ALLOWED,
        problems.LOGIN_TAKEN,
        problems.PERSON_HAS_ACCOUNT,
        problems.INVALID_REQUEST,
    ),
)
def for_people(given: ForPeopleIn, who: Granter, db: Db) -> ForPeopleOut:
    """Create cadre accounts for everyone posted under a region who has none (批量建账号); the login is the staff number.

    Safe to repeat: people with an account are left as they are. Then print the slips.
    """
    with db.write() as session:
        made = service.for_people(session, who, given.region)
        grants = queries.grants_live(session, [row.id for row in made.created], clock.now())
        created = [shown.account(row, grants[row.id]) for row in made.created]
    return ForPeopleOut(created=created, unfit=[UnfitOut.model_validate(fault) for fault in made.unfit])


@router.post(
    "/slips",
    operation_id="accounts-slips",
    response_model=SlipsOut,
    responses={
        200: {
            "description": "激活条，按 Accept 为 JSON 或可打印的网页 / by Accept as JSON or as a printable page",
            "content": {"text/html": {"schema": {"type": "string"}}},
            **sent("Content-Security-Policy"),
        },
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def make_slips(given: SlipsIn, who: Caretaker, db: Db, request: Request, settings: Configured) -> Any:  # noqa: ANN401  JSON or a page, by Accept.
    """Make one-time codes for accounts that were never activated (打印激活条): a town's, or chosen ones.

    With `Accept: text/html` the answer is a page to print (A4, eight slips a page). The codes appear in this answer
    only, work once and for 72 hours; codes made earlier for the same accounts are void, so a lost answer is cured by
    asking again.
    """
    with db.write() as session:
        made = service.slips(session, who, region=given.region, chosen=given.accounts)
    address = given.server_address or _own_address(request, settings)
    if _wants_page(request.headers.get("accept", "")):
        owner = settings.owner.name or settings.district_name
        headers = {"Content-Security-Policy": slips.POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(slips.page(made, address, owner), headers=headers)
    return SlipsOut(server_address=address, slips=[shown.code(one) for one in made])


def _own_address(request: Request, settings: Settings) -> str:
    """Return the address this request came to; behind a TLS proxy it arrives as http, but people type https."""
    scheme = "https" if settings.behind_proxy else request.url.scheme
    return f"{scheme}://{request.url.netloc}"


def _wants_page(accept: str) -> bool:
    return "text/html" in accept and "application/json" not in accept


@router.get(
    "/{account_id}",
    operation_id="accounts-show",
    responses={
        200: sent("ETag"),
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def account(account_id: AccountId, who: Caretaker, db: Db, response: Response) -> AccountDetailOut:
    """Return an account one looks after (账号详情), with every grant it ever had. The ETag is what PATCH wants as If-Match."""
    with db.read() as session:
        row = queries.access_account(session, who, account_id)
        grants = queries.grants_live(session, [row.id], clock.now())[row.id]
        answer = shown.account_detail(row, grants, queries.grant_history(session, row.id))
    response.headers["ETag"] = preconditions.tag(row.revision)
    return answer


@router.patch(
    "/{account_id}",
    operation_id="accounts-change",
    responses={
        200: sent("ETag"),
        **refusals(
            problems.FORBIDDEN,
            problems.OWN_ACCOUNT,
            problems.NOT_FOUND,
            problems.PRECONDITION_REQUIRED,
            problems.PRECONDITION_FAILED,
            problems.INVALID_REQUEST,
        ),
    },
)
def change(
    account_id: AccountId,
    given: AccountPatchIn,
    who: Granter,
    db: Db,
    *,
    response: Response,
    if_match: IfMatch = None,
) -> AccountOut:
    """Rename, disable or enable an account (停用、启用). Disabling ends its sessions and works at once."""
    match = preconditions.given(if_match)
    with db.write() as session:
        row = service.change(session, who, account_id, match=match, **given.model_dump())
        answer = shown.account(row, queries.grants_live(session, [row.id], clock.now())[row.id])
    response.headers["ETag"] = preconditions.tag(row.revision)
    return answer


@router.post(
    "/{account_id}/grants",
    operation_id="accounts-grant",
    status_code=201,
    responses={
        **_replayed(GrantOut),
        **refusals(
            problems.FORBIDDEN,
            problems.OWN_ACCOUNT,
            problems.GRANT_NOT_ALLOWED,
            problems.NOT_FOUND,
            problems.TOO_MANY_GRANTS,
            problems.ID_REUSED,
            problems.GRANT_UNFIT,
            problems.UNIT_UNKNOWN,
            problems.INVALID_REQUEST,
        ),
    },
)
def grant(account_id: AccountId, given: GrantIn, who: Granter, db: Db, response: Response) -> GrantOut:
    """Give an account a role in a region or for a unit (授权). Tokens made before are refused at once.

    Administrators give every role, district officers those below their own within their region; nobody grants to
    themselves. With `valid_until` and `assignment` an inspector's reach ends with the inspection.
    """
    with db.write() as session:
        row, created = service.grant(session, who, account_id, **given.model_dump())
        answer = GrantOut.model_validate(row)
    replies.made(response, created=created)
    return answer


@router.delete(
    "/{account_id}/grants/{grant_id}",
    operation_id="accounts-revoke",
    status_code=204,
    responses=refusals(
        problems.FORBIDDEN,
        problems.OWN_ACCOUNT,
        problems.GRANT_NOT_ALLOWED,
        problems.NOT_FOUND,
        problems.INVALID_REQUEST,
    ),
)
def revoke(account_id: AccountId, grant_id: UUID, who: Granter, db: Db) -> None:
    """Take a grant back (撤销授权), at once; the history keeps it. Safe to repeat."""
    with db.write() as session:
        service.revoke(session, who, account_id, grant_id)


@router.post(
    "/{account_id}/reset",
    operation_id="accounts-reset",
    responses=refusals(
        problems.FORBIDDEN,
        problems.OWN_ACCOUNT,
        problems.NOT_FOUND,
        problems.CONFLICT,
        problems.INVALID_REQUEST,
    ),
)
def reset(account_id: AccountId, who: Caretaker, db: Db) -> CodeOut:
    """Make a new one-time code (重置): the password and every session end now, and the holder sees who did it.

    Also the way to the first code of a single account. A lost answer is cured by asking again: the last code is valid.
    """
    with db.write() as session:
        made = service.reset(session, who, account_id)
    return shown.code(made)
