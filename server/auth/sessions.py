"""Sessions: one login on one phone, its family of refresh tokens, and how both end (ruling 24, security.md M11).

A refresh token is ``zr1_`` and base64url of session id, generation and 256 bits that the server derives from its key,
the id and the generation. Only the SHA-256 of the newest one's secret is stored. Because a token can be derived again, an
answer that was lost on its way is simply given once more: for 30 seconds, and only while nobody used it.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, ids, problems
from server.access import Who
from server.auth import proving, rules
from server.auth.doorkeeper import Doorkeeper
from server.auth.jws import PublicKey
from server.auth.keys import KeySet, Purpose
from server.auth.models import Account, LoginSession
from server.auth.rules import Family, Refresh
from server.problems import Problem

_MARK = "zr1_"
_LENGTH = 16 + 8 + 32


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a phone gets: a short access token and the refresh token for the next one."""

    session_id: UUID
    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    token_type: str  # "DPoP" when bound to a phone's key (RFC 9449), else "Bearer".


@dataclass(frozen=True, slots=True)
class _Parts:
    session_id: UUID
    generation: int
    secret: bytes


def refused() -> Problem:
    """Return the 401 of every refresh token that is not renewed."""
    return Problem(
        problems.REFRESH_REFUSED,
        zh="登录已失效，请重新登录。手机里尚未上传的签到请保留，登录后会继续上传。",
        en="The session cannot be renewed: log in again. Keep check-ins that were not sent yet, they are sent after it.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def start(
    session: orm.Session,
    doorkeeper: Doorkeeper,
    account: Account,
    *,
    client: str,
    address: str,
    jkt: str | None = None,
) -> Tokens:
    """Begin a session and return its first tokens; with `jkt`, a key of the account, they are bound to it.

    Raises Problem (403 device-key-required) without a key where the district requires one.
    """
    now = clock.now()
    key = doorkeeper.keys.current(Purpose.REFRESH)
    row = LoginSession(
        id=ids.new_id(),
        account_id=account.id,
        client=client,
        address=address,
        created_at=now,
        used_at=now,
        expires_at=now + rules.REFRESH_LIFE,
        generation=0,
        rotated_at=now,
        token_hash=b"",
        refresh_key=key.kid,
        jkt=jkt,
        revoked_at=None,
        end_reason=None,
    )
    row.token_hash = _hash(key.derive(row.id.bytes, _counted(0)))
    session.add(row)
    session.flush()
    return _tokens(session, doorkeeper, row)


def renew(
    session: orm.Session, doorkeeper: Doorkeeper, presented: str, key: PublicKey | None = None
) -> Tokens | Problem:
    """Renew a session by its refresh token and, when it is bound to one, the `key` that the request proved to hold.

    A token that comes without its session's key changes nothing: a thief of tokens can neither use nor end them.
    Returns the Problem instead of raising it, because ending a family that was used twice must be committed.
    Presented twice at once, the row's lock makes the second wait; it then counts as a repetition.
    """
    parts = _read(presented)
    if parts is None:
        return refused()
    # The account comes along, because a morning has one renewal a phone, and a round trip is most of what it costs.
    found = session.execute(
        sa.select(LoginSession, Account)
        .join(Account, Account.id == LoginSession.account_id)
        .where(LoginSession.id == parts.session_id)
        .with_for_update(of=LoginSession),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if found is None:
        return refused()
    row, account = found
    if row.jkt is not None and (key is None or key.jkt != row.jkt):
        return proving.refused("missing" if key is None else "key", doorkeeper.nonces)
    now = clock.now()
    verdict = rules.judge_refresh(
        Family(row.generation, row.rotated_at, row.used_at, row.expires_at, row.revoked_at is not None),
        parts.generation,
        genuine=_genuine(doorkeeper.keys, row, parts),
        at=now,
        proven=row.jkt is not None,
    )
    if verdict is Refresh.REUSE:
        end(session, row, "refresh-reuse")
        audit.record(session, None, "auth:refresh-reuse", ("account", row.account_id), session_id=str(row.id))
        return refused()
    if verdict is Refresh.REFUSE or account.disabled_at is not None:
        return refused()
    if verdict is Refresh.ROTATE:
        row.generation += 1
        row.rotated_at = row.used_at = now
        row.token_hash = _hash(_derived(doorkeeper.keys, row))
        session.flush()
    return _tokens(session, doorkeeper, row)


def end(session: orm.Session, row: LoginSession, reason: str) -> None:
    """End a session; its access tokens are refused from now on."""
    if row.revoked_at is None:
        row.revoked_at, row.end_reason = clock.now(), reason
        session.flush()


def end_all(session: orm.Session, account_id: UUID, reason: str, *, keep: UUID | None = None) -> int:
    """End every session of an account but `keep`, and return how many."""
    return _end(session, reason, LoginSession.account_id == account_id, LoginSession.id != keep)


def end_bound(session: orm.Session, account_id: UUID, jkt: str, reason: str) -> int:
    """End every session of an account that is bound to a key, and return how many."""
    return _end(session, reason, LoginSession.account_id == account_id, LoginSession.jkt == jkt)


def _end(session: orm.Session, reason: str, *which: sa.ColumnElement[bool]) -> int:
    statement = (
        sa.update(LoginSession)
        .where(LoginSession.revoked_at.is_(None), *which)
        .values(revoked_at=clock.now(), end_reason=reason)
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(statement).all())


def end_own(session: orm.Session, who: Who, session_id: UUID, reason: str) -> None:
    """End one of one's own sessions. Raises Problem (404); one that has ended already stays as it is."""
    row = session.scalar(
        sa.select(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.account_id == who.account_id)
        .with_for_update()
    )
    if row is None:
        raise Problem(problems.NOT_FOUND)
    if row.revoked_at is None:
        end(session, row, reason)
        audit.record(
            session, who, "auth:session-end", ("account", who.account_id), session_id=str(session_id)
        )


def _tokens(session: orm.Session, doorkeeper: Doorkeeper, row: LoginSession) -> Tokens:
    access, ends = doorkeeper.issue(session, row.account_id, row.id, row.jkt)
    secret = _derived(doorkeeper.keys, row)
    packed = row.id.bytes + _counted(row.generation) + secret
    text = _MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")
    until = min(row.expires_at, row.used_at + rules.REFRESH_IDLE)
    return Tokens(row.id, access, ends, text, until, "Bearer" if row.jkt is None else "DPoP")


def _derived(keys: KeySet, row: LoginSession) -> bytes:
    key = keys.find(Purpose.REFRESH, row.refresh_key)
    if key is None:
        raise refused()  # The server's keys were lost or replaced: nothing genuine can exist.
    return key.derive(row.id.bytes, _counted(row.generation))


def _genuine(keys: KeySet, row: LoginSession, parts: _Parts) -> bool:
    """Tell whether the server made this token. The newest is compared with what is stored, older ones made again."""
    key = keys.find(Purpose.REFRESH, row.refresh_key)
    if key is None or keys.distrusted(key):
        return False
    if parts.generation == row.generation:
        return hmac.compare_digest(_hash(parts.secret), row.token_hash)
    return hmac.compare_digest(key.derive(row.id.bytes, _counted(parts.generation)), parts.secret)


def _read(presented: str) -> _Parts | None:
    if not presented.startswith(_MARK) or not presented.isascii():
        return None
    try:
        packed = base64.b64decode(presented[len(_MARK) :] + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(packed) != _LENGTH:
        return None
    return _Parts(UUID(bytes=packed[:16]), int.from_bytes(packed[16:24]), packed[24:])


def _counted(generation: int) -> bytes:
    return generation.to_bytes(8)


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
