"""Logging in and out, activation, refreshing, one's own sessions and account."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from server import clock, pages, problems
from server.auth import login, queries, sessions, shown
from server.auth.asked import Address, AtDesk, Door, Hashing, OfferedKey
from server.auth.login import Visitor
from server.auth.schemas import (
    ActivateIn,
    LoginIn,
    MeOut,
    OwnPersonOut,
    PasswordIn,
    RefreshIn,
    SecurityEventOut,
    SessionOut,
    TokensOut,
    WelcomeOut,
)
from server.documented import refusals
from server.gate import Anyone, Db, OpenDb
from server.pages import Cursor, Limit, Page
from server.problems import Problem

BODY_LIMIT = 16_384
"""Bytes of a body below /v1/auth/. It is read from strangers, and whoever reads a megabyte of it serves nobody else."""
KEYS_AT_LOGIN = (
    problems.PROOF_REFUSED,
    problems.USE_DPOP_NONCE,
    problems.DEVICE_KEY_REQUIRED,
    problems.DEVICE_KEY_REVOKED,
)
"""What a login that brings a key, or ought to, can be told about it."""
router = APIRouter(prefix="/v1")
SessionId = Annotated[
    UUID, Path(description="GET /v1/auth/sessions 中的 id / an id of GET /v1/auth/sessions")
]


@router.post(
    "/auth/login",
    operation_id="auth-login",
    tags=["auth"],
    responses=shown.open_refusals(
        problems.LOGIN_REFUSED,
        *KEYS_AT_LOGIN,
        problems.TOO_MANY_REQUESTS,
        problems.BUSY,
        problems.INVALID_REQUEST,
    ),
)
def log_in(given: LoginIn, desk: AtDesk, address: Address, key: OfferedKey) -> WelcomeOut:
    """Log in with login and password (登录): an access token of ten minutes, a refresh token, a device hint.

    Wrong logins and wrong passwords look the same. Too many attempts answer 429 with Retry-After; send the
    `device_hint` of an earlier login, and other people's attempts do not slow this device.

    With a DPoP header (RFC 9449, without `ath`) the tokens are bound to the phone's key, and `key_state` says whether
    this is known to be the person's phone: the first one is, further ones wait for a code (我的手机).
    """
    hint = given.device_hint.get_secret_value() if given.device_hint else None
    visitor = Visitor(given.client, address, hint, key, given.key_protection)
    return shown.welcome(login.login(desk, visitor, given.login, given.password.get_secret_value()))


@router.post(
    "/auth/activate",
    operation_id="auth-activate",
    tags=["auth"],
    responses=shown.open_refusals(
        problems.CODE_REFUSED,
        problems.PASSWORD_REFUSED,
        problems.NOTICE_NOT_ACCEPTED,
        *KEYS_AT_LOGIN,
        problems.TOO_MANY_REQUESTS,
        problems.BUSY,
        problems.INVALID_REQUEST,
    ),
)
def activate(given: ActivateIn, desk: AtDesk, address: Address, key: OfferedKey) -> WelcomeOut:
    """Set the password by a one-time code and log in (激活). The code works once, for 72 hours.

    In the code, case, blanks and dashes do not matter. The password needs 8 characters, may have 128, of any kind;
    common ones and those made of the own name, login or village are refused, which does not spend the code. A key that
    comes with it (a DPoP header, as when logging in) is that of the person's phone: the code comes from the town.

    Posted people begin with the notice (告知书) of `GET /v1/notice`: its digest, as `notice`, says that they accepted it.
    Without it 409 `notice-not-accepted` names the one in force, and the code is not spent.
    """
    code, password = given.code.get_secret_value(), given.password.get_secret_value()
    visitor = Visitor(given.client, address, None, key, given.key_protection, given.notice)
    return shown.welcome(login.activate(desk, visitor, given.login, code, password))


@router.post(
    "/auth/refresh",
    operation_id="auth-refresh",
    tags=["auth"],
    responses=shown.open_refusals(
        problems.REFRESH_REFUSED,
        problems.PROOF_REFUSED,
        problems.USE_DPOP_NONCE,
        problems.DEVICE_KEY_REQUIRED,
        problems.INVALID_REQUEST,
    ),
)
def refresh(given: RefreshIn, database: OpenDb, door: Door, key: OfferedKey) -> TokensOut:
    """Exchange the refresh token for the next one and a new access token (刷新令牌).

    When the answer does not arrive, send the same refresh token again within 30 seconds: the answer names the same
    successor. An older token ends the session, because then two hold it. A session ends after 30 days without
    refreshing and after 90 days in any case. A session that is bound to a key needs its proof (a DPoP header without
    `ath`); its last refresh token but one is then good until the last one was used, however late.
    """
    with database.write() as session:
        renewed = sessions.renew(session, door, given.refresh_token.get_secret_value(), key)
    if isinstance(renewed, Problem):
        raise renewed
    return TokensOut.model_validate(renewed)


@router.post(
    "/auth/logout",
    operation_id="auth-logout",
    tags=["auth"],
    status_code=204,
    responses=refusals(),
)
def log_out(who: Anyone, db: Db) -> None:
    """End this session (退出登录). Its access and refresh tokens are refused from now on."""
    with db.write() as session:
        sessions.end_own(session, who, who.session_id, "logout")


@router.post(
    "/auth/password",
    operation_id="auth-change-password",
    tags=["auth"],
    status_code=204,
    responses=refusals(
        problems.LOGIN_REFUSED,
        problems.PASSWORD_REFUSED,
        problems.TOO_MANY_REQUESTS,
        problems.BUSY,
        problems.INVALID_REQUEST,
    ),
)
def change_password(given: PasswordIn, db: Db, hashing: Hashing) -> None:
    """Change the own password (修改密码). Every other session of the account ends; this one stays."""
    old, new = given.old_password.get_secret_value(), given.new_password.get_secret_value()
    login.change_password(db, hashing, old, new)


@router.get(
    "/auth/sessions", operation_id="auth-sessions", tags=["auth"], responses=refusals(problems.BAD_CURSOR)
)
def own_sessions(who: Anyone, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[SessionOut]:
    """List where the own account is logged in (我的登录), newest first."""
    after = pages.decode(cursor, UUID)
    with db.read() as session:
        rows = queries.sessions_open(session, who.account_id, after=after, limit=limit)
    found, following = pages.cut(rows, limit, lambda row: (row.id,))
    items = [
        SessionOut(
            id=row.id,
            client=row.client,
            address=row.address,
            created_at=row.created_at,
            used_at=row.used_at,
            expires_at=row.expires_at,
            current=row.id == who.session_id,
        )
        for row in found
    ]
    return Page(items=items, next_cursor=following)


@router.delete(
    "/auth/sessions/{session_id}",
    operation_id="auth-end-session",
    tags=["auth"],
    status_code=204,
    responses=refusals(problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def end_session(session_id: SessionId, who: Anyone, db: Db) -> None:
    """End one of the own sessions, for example that of a lost phone (下线). Safe to repeat."""
    with db.write() as session:
        sessions.end_own(session, who, session_id, "ended-by-owner")


@router.get("/me", operation_id="auth-me", tags=["me"], responses=refusals())
def me(who: Anyone, db: Db) -> MeOut:
    """Return the own account, person and grants (我的账号)."""
    with db.read() as session:
        account = queries.own_account(session, who)
        grants = queries.grants_live(session, [account.id], clock.now())[account.id]
        person = queries.person(session, account.person_id)
    return MeOut(
        account=shown.account(account, grants), person=OwnPersonOut.model_validate(person) if person else None
    )


@router.get(
    "/me/security-events",
    operation_id="auth-security-events",
    tags=["me"],
    responses=refusals(problems.BAD_CURSOR),
)
def security_events(who: Anyone, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[SecurityEventOut]:
    """List what happened to the own account (安全记录), newest first: logins, failures, resets and by whom, grants."""
    after = pages.decode(cursor, int)
    with db.read() as session:
        rows = queries.security_events(session, who.account_id, after=after, limit=limit)
    found, following = pages.cut(rows, limit, lambda row: (row.id,))
    return Page(items=[SecurityEventOut.model_validate(row) for row in found], next_cursor=following)
