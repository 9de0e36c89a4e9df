"""Keys of phones: how they come into an account, become the person's own, and end (ruling 23, edges 70 to 72).

A login that proves a key gets tokens bound to it. Whether it is the person's own phone is another question: the first
one is; so is one that comes with the town's one-time code. Every further one waits for a code that a trusted phone
shows or the town reads out, or for the town itself. Waiting keeps nobody from working: it is a fact about the key.
Every deed here is told to every session of the account: in GET /v1/me/security-events and the history of devices.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, ids, problems
from server.access import Who
from server.auth import codes, device_queries, rules, sessions
from server.auth.jws import PublicKey
from server.auth.models import Account, DeviceCode, DeviceEvent, DeviceKey
from server.auth.rules import KeyCause, KeyEvent, KeyState, Protection
from server.problems import Problem


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A key that a login proved to hold, and what is said about it."""

    key: PublicKey
    protection: Protection
    client: str
    address: str
    by_code: bool


@dataclass(frozen=True, slots=True)
class MadeCode:
    """A code that was just made; the only time its letters are known."""

    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Deed:
    """How it comes to an event, and by whom."""

    cause: KeyCause
    by_account: UUID
    in_session: UUID
    reason: str = ""


# --- coming in
def enter(session: orm.Session, account: Account, given: Enrolment) -> None:
    """Put a key among the account's before its session begins; the account's row is locked.

    Raises Problem (409 device-key-revoked): a key that was given up may be in other hands by now.
    """
    row = device_queries.of_key(session, account.id, given.key.jkt)
    if row is None:
        session.add(
            DeviceKey(
                id=ids.new_id(),
                account_id=account.id,
                jkt=given.key.jkt,
                algorithm=given.key.algorithm,
                public_jwk=dict(given.key.jwk),
                protection=given.protection,
                client=given.client,
                address=given.address,
                enrolled_at=clock.now(),
            )
        )
        session.flush()
    elif device_queries.state(session, row.id) is KeyState.REVOKED:
        raise Problem(
            problems.DEVICE_KEY_REVOKED,
            zh="此手机的密钥已停用。请让应用生成新的密钥，再登录一次。",
            en="This phone's key was revoked. Let the app make a new one and log in again.",
        )


def entered(
    session: orm.Session, account: Account, given: Enrolment, session_id: UUID, *, town_approves: bool
) -> KeyState:
    """Note that a key came with a login, and return what it is good for; the same key again changes nothing.

    A one-time code of the town makes a key trusted that has been waiting, too.
    """
    row = _present(session, account.id, given.key.jkt)
    state = device_queries.state(session, row.id)
    if not device_queries.happened(session, row.id, KeyEvent.ENROLLED):
        _note(session, row, KeyEvent.ENROLLED, _Deed(KeyCause.LOGIN, account.id, session_id))
    if state is not KeyState.TRUSTED:
        cause = rules.trusted_at_login(
            by_code=given.by_code,
            first=not device_queries.ever_trusted(session, account.id),
            town_approves=town_approves,
        )
        if cause is not None:
            _note(session, row, KeyEvent.TRUSTED, _Deed(cause, account.id, session_id))
            return KeyState.TRUSTED
        _supersede(session, account.id, session_id)
    return state


def _supersede(session: orm.Session, account_id: UUID, session_id: UUID) -> None:
    """End the oldest of too many waiting keys."""
    waiting = device_queries.live(session, account_id, trusted=False)
    for row in waiting[: -rules.MOST_WAITING]:
        _revoke(session, row, _Deed(KeyCause.SUPERSEDED, account_id, session_id))


# --- codes
def make_own_code(session: orm.Session, who: Who) -> MadeCode:
    """Make a code on a trusted phone, for another one of the same person; earlier codes are void.

    Raises Problem: 403 device-key-required without a key, 403 device-waiting on a phone that waits itself.
    """
    _require_trusted(session, who)
    _lock(session, who.account_id)
    made = _make_code(session, who.account_id, who, KeyCause.OWN_CODE, rules.DEVICE_CODE_LIFE)
    audit.record(session, who, "device:code", ("account", who.account_id))
    return made


def make_town_code(session: orm.Session, who: Who, account: Account) -> MadeCode:
    """Make a code for somebody in reach whose phone is lost, broken or new; `account` is locked."""
    made = _make_code(session, account.id, who, KeyCause.TOWN_CODE, rules.TOWN_CODE_LIFE)
    audit.record(session, who, "device:code", ("account", account.id))
    return made


def _make_code(
    session: orm.Session, account_id: UUID, who: Who, cause: KeyCause, life: timedelta
) -> MadeCode:
    now = clock.now()
    _void_codes(session, account_id)
    letters = codes.drawn(rules.DEVICE_CODE_LENGTH)
    session.add(
        DeviceCode(
            id=ids.new_id(),
            account_id=account_id,
            cause=cause,
            code_hash=codes.digest(account_id, letters),
            made_at=now,
            made_by=who.account_id,
            expires_at=now + life,
            tries=0,
            used_at=None,
            used_for=None,
            replaces=False,
            void_at=None,
        )
    )
    session.flush()
    return MadeCode(rules.code_shown(letters), now + life)


def _void_codes(session: orm.Session, account_id: UUID, *which: sa.ColumnElement[bool]) -> None:
    session.execute(
        sa.update(DeviceCode)
        .where(
            DeviceCode.account_id == account_id,
            DeviceCode.used_at.is_(None),
            DeviceCode.void_at.is_(None),
            *which,
        )
        .values(void_at=clock.now())
    )


def confirm(
    session: orm.Session, who: Who, typed: str, *, replaces: bool, town_approves: bool
) -> DeviceKey | Problem:
    """Make the phone of this session one's own by a code; with `replaces` every other key of the account ends.

    Sent again it answers the same. Returns the Problem instead of raising it, because a wrong try must be committed:
    422 device-code-refused, 409 too-many-devices. Raises Problem (403 device-key-required) without a key.
    """
    row = _own_key(session, who)
    _lock(session, who.account_id)
    wanted = codes.digest(who.account_id, rules.fold_code(typed))
    state = device_queries.state(session, row.id)
    if state is KeyState.TRUSTED or device_queries.code_used_for(session, row.id) == wanted:
        return row
    code = device_queries.live_code(session, who.account_id)
    if code is None:
        return _code_refused()
    code.tries += 1
    if not hmac.compare_digest(code.code_hash, wanted):
        if code.tries >= rules.DEVICE_CODE_TRIES:
            code.void_at = clock.now()
        audit.record(session, who, "device:code-wrong", ("account", who.account_id), tries=code.tries)
        return _code_refused()
    if not replaces and _full(session, who.account_id):
        return _too_many()
    code.used_at, code.used_for, code.replaces = clock.now(), row.id, replaces
    _confirmed(session, who, row, code, town_approves=town_approves)
    return row


def _confirmed(
    session: orm.Session, who: Who, row: DeviceKey, code: DeviceCode, *, town_approves: bool
) -> None:
    cause = KeyCause(code.cause)
    enough = rules.trusted_by_code(cause, town_approves=town_approves)
    event = KeyEvent.TRUSTED if enough else KeyEvent.CONFIRMED
    if not device_queries.happened(session, row.id, event):
        _note(session, row, event, _Deed(cause, who.account_id, who.session_id))
    audit.record(
        session,
        who,
        "device:confirm",
        ("account", who.account_id),
        jkt=row.jkt,
        event=str(event),
        by=str(cause),
        keys_ended=_replace(session, row, who) if enough and code.replaces else 0,
    )


# --- the town
def approve(session: orm.Session, who: Who, account: Account, device_id: UUID, reason: str) -> DeviceKey:
    """Make a waiting phone the person's own, with or without a code before; `account` is locked. Safe to repeat.

    Raises Problem: 404, 409 already-decided for a key that has ended, 409 too-many-devices.
    """
    row = device_queries.own(session, account.id, device_id)
    state = device_queries.state(session, row.id)
    if state is KeyState.REVOKED:
        raise Problem(problems.ALREADY_DECIDED)
    if state is not KeyState.TRUSTED:
        replaces = device_queries.replaces_others(session, row.id)
        if not replaces and _full(session, account.id):
            raise _too_many()
        _note(session, row, KeyEvent.TRUSTED, _Deed(KeyCause.TOWN, who.account_id, who.session_id, reason))
        ended = _replace(session, row, who) if replaces else 0
        audit.record(session, who, "device:approve", ("account", account.id), jkt=row.jkt, keys_ended=ended)
    return row


def revoke(session: orm.Session, who: Who, account: Account, device_id: UUID, reason: str = "") -> DeviceKey:
    """End a key and every session that is bound to it, at once; `account` is locked. Safe to repeat.

    By the person from any session of theirs (a lost phone), or by whoever looks after the account. Raises Problem (404).
    """
    row = device_queries.own(session, account.id, device_id)
    if device_queries.state(session, row.id) is not KeyState.REVOKED:
        cause = KeyCause.OWNER if account.id == who.account_id else KeyCause.TOWN
        ended = _revoke(session, row, _Deed(cause, who.account_id, who.session_id, reason))
        audit.record(
            session, who, "device:revoke", ("account", account.id), jkt=row.jkt, sessions_ended=ended
        )
    return row


def revoke_own(session: orm.Session, who: Who, device_id: UUID) -> None:
    """End one of one's own keys. Raises Problem (404)."""
    revoke(session, who, _lock(session, who.account_id), device_id)


# --- what all of it stands on
def _full(session: orm.Session, account_id: UUID) -> bool:
    return len(device_queries.live(session, account_id, trusted=True)) >= rules.MOST_TRUSTED


def _replace(session: orm.Session, row: DeviceKey, who: Who) -> int:
    """End every other key of the account, and return how many."""
    others = [each for each in device_queries.live(session, row.account_id) if each.id != row.id]
    for each in others:
        _revoke(session, each, _Deed(KeyCause.REPLACED, who.account_id, who.session_id))
    return len(others)


def _revoke(session: orm.Session, row: DeviceKey, deed: _Deed) -> int:
    """End a key, its sessions, and the codes that its phone may have shown; return how many sessions."""
    _note(session, row, KeyEvent.REVOKED, deed)
    _void_codes(session, row.account_id, DeviceCode.cause == KeyCause.OWN_CODE)
    return sessions.end_bound(session, row.account_id, row.jkt, f"key-{deed.cause}")


def _note(session: orm.Session, row: DeviceKey, kind: KeyEvent, deed: _Deed) -> None:
    session.add(
        DeviceEvent(
            device_id=row.id,
            kind=kind,
            cause=deed.cause,
            at=clock.now(),
            by_account=deed.by_account,
            in_session=deed.in_session,
            reason=deed.reason,
        )
    )
    session.flush()


def _lock(session: orm.Session, account_id: UUID) -> Account:
    """Lock one's own account: what happens to its keys happens one after the other."""
    return session.get_one(Account, account_id, with_for_update=True, populate_existing=True)


def _present(session: orm.Session, account_id: UUID, jkt: str) -> DeviceKey:
    row = device_queries.of_key(session, account_id, jkt)
    if row is None:
        raise RuntimeError("the key was not entered")
    return row


def _own_key(session: orm.Session, who: Who) -> DeviceKey:
    if who.jkt is None:
        raise Problem(
            problems.DEVICE_KEY_REQUIRED,
            zh="本次登录没有手机密钥。请用生成了密钥的应用重新登录。",
            en="This login has no key. Log in again with an app that made one.",
        )
    return _present(session, who.account_id, who.jkt)


def _require_trusted(session: orm.Session, who: Who) -> None:
    if device_queries.state(session, _own_key(session, who).id) is not KeyState.TRUSTED:
        raise Problem(
            problems.DEVICE_WAITING,
            zh="此手机自身尚未确认，不能确认别的手机。请用已确认的手机，或请镇里给确认码。",
            en="This phone waits to be confirmed itself. Use one that is confirmed, or ask the town for a code.",
        )


def _code_refused() -> Problem:
    return Problem(
        problems.DEVICE_CODE_REFUSED,
        zh="确认码不正确，或已使用、已过期、已试错五次。请在已确认的手机上重新显示，或请镇里重新给。",
        en="The code is not right, or was used, has expired, or was tried wrongly five times. Let the confirmed phone show "
        "a new one, or ask the town for one.",
    )


def _too_many() -> Problem:
    return Problem(
        problems.TOO_MANY_DEVICES,
        zh=f"一个账号最多 {rules.MOST_TRUSTED} 部已确认的手机，请先停用不用的。",
        en=f"An account has {rules.MOST_TRUSTED} confirmed phones at most; end those no longer used first.",
    )
