"""Keys of phones over HTTP: one's own, and those of the accounts that one looks after."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from server import pages, problems
from server.access import Who
from server.auth import device_queries, devices, queries
from server.auth.account_routes import Caretaker
from server.auth.asked import Door
from server.auth.device_queries import Happened
from server.auth.device_schemas import (
    ConfirmIn,
    Decision,
    DeviceCodeOut,
    DeviceDecisionIn,
    DeviceEventOut,
    DeviceOut,
    OwnDeviceOut,
    WaitingDeviceOut,
)
from server.auth.rules import KeyCause, KeyEvent
from server.documented import refusals
from server.gate import Anyone, Db
from server.pages import Cursor, Limit, Page
from server.problems import Problem

router = APIRouter(prefix="/v1", tags=["devices"])
AccountId = Annotated[UUID, Path(description="账号 / the account")]
DeviceId = Annotated[UUID, Path(description="手机密钥的 id / the id of a phone's key")]

_KINDS = {
    KeyEvent.ENROLLED: ("一部手机用密码登录并登记了密钥", "a phone logged in and enrolled its key"),
    KeyEvent.CONFIRMED: (
        "手机已用确认码确认，待镇里同意",
        "a phone was confirmed by a code and waits for the town",
    ),
    KeyEvent.TRUSTED: ("手机已确认为本人使用", "a phone was confirmed as one's own"),
    KeyEvent.REVOKED: (
        "手机密钥已停用，该手机上的登录随之结束",
        "a phone's key ended, and its logins with it",
    ),
}
_CAUSES = {
    KeyCause.LOGIN: ("登录", "logging in"),
    KeyCause.FIRST: ("首部手机", "the first phone"),
    KeyCause.ACTIVATION: ("激活码", "the one-time code"),
    KeyCause.OWN_CODE: ("本人另一部手机的确认码", "a code of another own phone"),
    KeyCause.TOWN_CODE: ("镇里给的确认码", "a code that the town gave"),
    KeyCause.TOWN: ("镇里", "the town"),
    KeyCause.OWNER: ("本人", "oneself"),
    KeyCause.REPLACED: ("已由新手机取代", "replaced by a new phone"),
    KeyCause.SUPERSEDED: ("待确认的手机过多", "too many phones were waiting"),
}


# --- one's own
@router.get("/me/devices", operation_id="devices-own", responses=refusals(problems.BAD_CURSOR))
def own_devices(who: Anyone, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[OwnDeviceOut]:
    """List the keys of the own phones (我的手机), those that ended as well, newest first."""
    after = pages.decode(cursor, UUID)
    with db.read() as session:
        rows = device_queries.of_account(session, who.account_id, after=after, limit=limit)
        found, following = pages.cut(rows, limit, lambda row: (row.id,))
        told = device_queries.shown(session, found)
    items = [
        OwnDeviceOut(**DeviceOut.model_validate(each).model_dump(), current=each.jkt == who.jkt)
        for each in told
    ]
    return Page(items=items, next_cursor=following)


@router.get("/me/devices/history", operation_id="devices-history", responses=refusals(problems.BAD_CURSOR))
def history(who: Anyone, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[DeviceEventOut]:
    """List what happened to the keys of the own phones (我的手机的经过), newest first. Nothing of it is ever changed.

    Show what was not `by_this_session` as a notice: somebody logged in on another phone, or the town did something.
    """
    after = pages.decode(cursor, int)
    with db.read() as session:
        rows = device_queries.history(session, who, after=after, limit=limit)
    found, following = pages.cut(rows, limit, lambda row: (row.id,))
    return Page(items=[_event(row) for row in found], next_cursor=following)


def _event(row: Happened) -> DeviceEventOut:
    zh, en = _KINDS[row.kind]
    why_zh, why_en = _CAUSES[row.cause]
    return DeviceEventOut(
        at=row.at,
        device_id=row.device_id,
        client=row.client,
        kind=row.kind,
        cause=row.cause,
        by=row.by,
        reason=row.reason,
        by_this_session=row.by_this_session,
        text_zh=f"{zh}（{why_zh}）。",
        text_en=f"{en} ({why_en}).",
    )


@router.post(
    "/me/devices/code",
    operation_id="devices-make-code",
    responses=refusals(problems.DEVICE_KEY_REQUIRED, problems.DEVICE_WAITING),
)
def make_code(who: Anyone, db: Db) -> DeviceCodeOut:
    """Make a code on a confirmed phone, to be typed on another one of the same person within ten minutes (手机确认码).

    Earlier codes are void. Five wrong tries end a code.
    """
    with db.write() as session:
        made = devices.make_own_code(session, who)
    return DeviceCodeOut.model_validate(made)


@router.post(
    "/me/devices/confirm",
    operation_id="devices-confirm",
    responses=refusals(
        problems.DEVICE_KEY_REQUIRED,
        problems.DEVICE_CODE_REFUSED,
        problems.TOO_MANY_DEVICES,
        problems.INVALID_REQUEST,
    ),
)
def confirm(given: ConfirmIn, who: Anyone, db: Db, door: Door) -> OwnDeviceOut:
    """Confirm this phone by a code of another one, or of the town (确认本机). Safe to repeat.

    Where the town's approval is needed besides, `state` is then `confirmed`, else `trusted`.
    """
    with db.write() as session:
        row = devices.confirm(
            session,
            who,
            given.code.get_secret_value(),
            replaces=given.replaces,
            town_approves=door.town_approves_devices,
        )
        told = None if isinstance(row, Problem) else device_queries.shown(session, [row])[0]
    if isinstance(row, Problem):
        raise row
    return OwnDeviceOut(**DeviceOut.model_validate(told).model_dump(), current=True)


@router.delete(
    "/me/devices/{device_id}",
    operation_id="devices-end",
    status_code=204,
    responses=refusals(problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def end(device_id: DeviceId, who: Anyone, db: Db) -> None:
    """End the key of an own phone that was lost, sold or given away (停用). Its logins end at once. Safe to repeat."""
    with db.write() as session:
        devices.revoke_own(session, who, device_id)


# --- whoever looks after accounts
@router.get(
    "/devices/waiting",
    operation_id="devices-waiting",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR),
)
def waiting(who: Caretaker, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[WaitingDeviceOut]:
    """List the phones that wait to be confirmed, of the accounts one looks after (待确认的手机), newest first."""
    after = pages.decode(cursor, UUID)
    with db.read() as session:
        rows = device_queries.waiting(session, who, after=after, limit=limit)
        found, following = pages.cut(rows, limit, lambda row: (row[0].id,))
        told = device_queries.shown(session, [key for key, _ in found])
    items = [
        WaitingDeviceOut(
            **DeviceOut.model_validate(each).model_dump(),
            account_id=account.id,
            login=account.login,
            display_name=account.display_name,
        )
        for each, (_, account) in zip(told, found, strict=True)
    ]
    return Page(items=items, next_cursor=following)


@router.get(
    "/accounts/{account_id}/devices",
    operation_id="devices-of-account",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def of_account(
    account_id: AccountId, who: Caretaker, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[DeviceOut]:
    """List the keys of the phones of an account one looks after (某人的手机), newest first."""
    after = pages.decode(cursor, UUID)
    with db.read() as session:
        account = queries.access_account(session, who, account_id)
        rows = device_queries.of_account(session, account.id, after=after, limit=limit)
        found, following = pages.cut(rows, limit, lambda row: (row.id,))
        told = device_queries.shown(session, found)
    return Page(items=[DeviceOut.model_validate(each) for each in told], next_cursor=following)


@router.post(
    "/accounts/{account_id}/devices/code",
    operation_id="devices-make-town-code",
    responses=refusals(
        problems.FORBIDDEN,
        problems.OWN_ACCOUNT,
        problems.NOT_FOUND,
        problems.INVALID_REQUEST,
    ),
)
def make_town_code(account_id: AccountId, who: Caretaker, db: Db) -> DeviceCodeOut:
    """Make a code for somebody whose phone is new, broken or lost, to be told them in person or by voice (手机确认码).

    It works on a phone on which they logged in with their password, within 24 hours; earlier codes are void.
    """
    _refuse_oneself(who, account_id)
    with db.write() as session:
        account = queries.access_account(session, who, account_id, lock=True)
        made = devices.make_town_code(session, who, account)
    return DeviceCodeOut.model_validate(made)


@router.post(
    "/accounts/{account_id}/devices/{device_id}/decision",
    operation_id="devices-decide",
    responses=refusals(
        problems.FORBIDDEN,
        problems.OWN_ACCOUNT,
        problems.NOT_FOUND,
        problems.ALREADY_DECIDED,
        problems.TOO_MANY_DEVICES,
        problems.INVALID_REQUEST,
    ),
)
def decide(
    account_id: AccountId, device_id: DeviceId, given: DeviceDecisionIn, who: Caretaker, db: Db
) -> DeviceOut:
    """Approve a phone that waits, or end one (同意、停用). The person sees who did it and why. Safe to repeat.

    `already-decided`: what has ended is not approved any more; the person enrols a new key.
    """
    _refuse_oneself(who, account_id)
    with db.write() as session:
        account = queries.access_account(session, who, account_id, lock=True)
        deed = devices.approve if given.decision is Decision.APPROVE else devices.revoke
        row = deed(session, who, account, device_id, given.reason)
        told = device_queries.shown(session, [row])[0]
    return DeviceOut.model_validate(told)


def _refuse_oneself(who: Who, account_id: UUID) -> None:
    if account_id == who.account_id:
        raise Problem(
            problems.OWN_ACCOUNT,
            zh="自己的手机请用“我的手机”，或由他人办理。",
            en="One's own phones are under /v1/me/devices, or another officer decides.",
        )
