"""Logging in, activating an account by its one-time code, and changing the password."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, ids, metrics, problems
from server.auth import codes, devices, passwords, queries, rules, sessions, throttle
from server.auth.doorkeeper import Doorkeeper
from server.auth.jws import PublicKey
from server.auth.models import Account, KnownDevice
from server.auth.passwords import Hasher
from server.auth.rules import KeyState, Protection
from server.auth.sessions import Tokens
from server.auth.throttle import Subject
from server.db import Database
from server.gate import Gate
from server.notices import service as notices
from server.notices.service import Beginner
from server.problems import Problem

_HINT = "zd1_"


@dataclass(frozen=True, slots=True)
class Desk:
    """What logging in works with; one an application."""

    database: Database
    doorkeeper: Doorkeeper
    hasher: Hasher


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where an attempt comes from: the name the client gives itself, its address, its device hint, its proven key."""

    client: str
    address: str
    hint: str | None = None
    key: PublicKey | None = None
    protection: Protection = Protection.UNKNOWN
    notice: str | None = None  # The digest of the notice that comes accepted with the request.


@dataclass(frozen=True, slots=True)
class Welcome:
    """A successful login: tokens, the hint by which this device is known next time, and what its key is good for."""

    tokens: Tokens
    device_hint: str
    key_state: KeyState | None


def login(desk: Desk, visitor: Visitor, name: str, password: str) -> Welcome:
    """Log in. Raises Problem: 401 login-refused, the same for every cause; 429 while slowed; 503 when too busy.

    The causes are told apart in the metrics alone.
    """
    try:
        welcome = _login(desk, visitor, name, password)
    except Problem as problem:
        if problem.kind is not problems.LOGIN_REFUSED:  # Those are counted by their cause, where it is known.
            metrics.logged_in("slowed" if problem.kind is problems.TOO_MANY_REQUESTS else "unavailable")
        raise
    metrics.logged_in("ok")
    return welcome


def _login(desk: Desk, visitor: Visitor, name: str, password: str) -> Welcome:
    """Do it. No transaction is open while the password is hashed, which takes tens of milliseconds."""
    folded = rules.fold_login(name)
    with desk.database.write() as session:
        account = queries.account_named(session, folded)
        device = _known_device(session, account, visitor.hint)
        subjects = _subjects(folded, visitor, device)
        throttle.count(session, *subjects)
    stored = account.password_hash if account and account.disabled_at is None else None
    try:
        right = desk.hasher.verify(stored, password)
        renewed = desk.hasher.hash(password) if right and stored and desk.hasher.outdated(stored) else stored
    except Problem:
        with desk.database.write() as session:
            throttle.withdrawn(session, *subjects)
        raise
    if account is None or not right:
        _remember_failure(desk, visitor, account, known=device is not None)
        metrics.logged_in("wrong-password" if stored else "not-active" if account else "unknown-login")
        raise _login_refused()
    with desk.database.write() as session:
        # Disabled, reset or given another password while this one was hashed: then it was the wrong one.
        present = session.get_one(Account, account.id, with_for_update=True, populate_existing=True)
        if present.password_hash != stored or present.disabled_at is not None:
            metrics.logged_in("not-active")
            raise _login_refused()
        present.password_hash = renewed
        throttle.succeeded(session, *subjects)
        welcome = _welcome(session, desk, present, visitor, device, by_code=False)
        audit.record(
            session,
            None,
            "auth:login",
            ("account", present.id),
            client=visitor.client,
            address=visitor.address,
            known_device=device is not None,
            **_key_told(visitor, welcome),
        )
        return welcome


def activate(desk: Desk, visitor: Visitor, name: str, code: str, password: str) -> Welcome:
    """Set a password by a one-time code and log in. Raises Problem: 401 code-refused, 422 password-refused, 429.

    Attempts are slowed by address alone: twelve letters cannot be guessed, and a count for the login would let a
    stranger keep its owner from activating. A refused password does not spend the code; nor does a notice (告知书) that
    was not accepted: 409 notice-not-accepted.
    """
    folded = rules.fold_login(name)
    address = Subject("address", visitor.address)
    with desk.database.write() as session:
        throttle.count(session, address)
    with desk.database.read() as session:
        account = queries.account_named(session, folded)
        row = codes.matching(session, account, code)
        words = queries.words_about(session, account) if account else []
        refused = _notice_refused(session, account, visitor.notice)
    try:
        passwords.check(password, words)
        if refused is not None:
            raise refused
        hashed = desk.hasher.hash(password)
    except Problem:
        with desk.database.write() as session:
            throttle.withdrawn(session, address)  # The code was right.
        raise
    with desk.database.write() as session:
        present = session.get_one(Account, row.account_id, with_for_update=True, populate_existing=True)
        codes.use(session, row.id)
        if present.disabled_at is not None:
            raise Problem(problems.CODE_REFUSED)
        _set_password(session, present, hashed)
        sessions.end_all(session, present.id, "activated")
        throttle.succeeded(session, address, Subject("account", folded))
        welcome = _welcome(session, desk, present, visitor, None, by_code=True)
        told = _key_told(visitor, welcome)
        if visitor.notice is not None:
            notices.accept(session, present.id, visitor.notice, visitor.client)
            told["notice"] = visitor.notice
        audit.record(session, None, "auth:activate", ("account", present.id), address=visitor.address, **told)
        return welcome


def _notice_refused(session: orm.Session, account: Account | None, digest: str | None) -> Problem | None:
    """Return the refusal of whoever may not begin without accepting a notice. Only the owner of the code gets this far."""
    if account is None:
        return None
    first, posted = account.password_changed_at is None, account.person_id is not None
    beginner = Beginner(account.id, account.region, posted=posted, first=first)
    return notices.refused(session, beginner, digest)


def change_password(gate: Gate, hasher: Hasher, old: str, new: str) -> None:
    """Change one's own password; every other session ends. Raises Problem: 401 login-refused, 422, 429, 503."""
    who = gate.who
    subject = Subject("session", str(who.session_id))
    with gate.write() as session:
        account = session.get_one(Account, who.account_id)
        throttle.count(session, subject)
        words = queries.words_about(session, account)
    stored = account.password_hash
    try:
        right = hasher.verify(stored, old)
        if right:
            passwords.check(new, words, "new_password")
            hashed = hasher.hash(new)
    except Problem:
        with gate.write() as session:
            throttle.withdrawn(session, subject)
        raise
    if not right:
        raise _login_refused()
    with gate.write() as session:
        present = session.get_one(Account, account.id, with_for_update=True, populate_existing=True)
        if present.password_hash != stored:
            raise _login_refused()
        _set_password(session, present, hashed)
        sessions.end_all(session, account.id, "password-changed", keep=who.session_id)
        throttle.succeeded(session, subject)
        audit.record(session, who, "auth:password-change", ("account", account.id))


def _login_refused() -> Problem:
    return Problem(
        problems.LOGIN_REFUSED,
        zh="登录名或密码不正确，或账号尚未激活、已停用。忘记密码请联系所在镇重新发放激活码。",
        en="The login or the password is not right, or the account is not activated or disabled. Ask the town for a "
        "new one-time code if the password is forgotten.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _subjects(folded: str, visitor: Visitor, device: KnownDevice | None) -> tuple[Subject, ...]:
    if device is not None:
        return (Subject("device", str(device.id)),)
    return Subject("address", visitor.address), Subject("account", folded)


def _remember_failure(desk: Desk, visitor: Visitor, account: Account | None, *, known: bool) -> None:
    """Write a failed attempt where the account's owner can see it; at most a few an hour get this far."""
    with desk.database.write() as session:
        if account is not None:
            subject = ("account", account.id)
            audit.record(
                session, None, "auth:login-failed", subject, address=visitor.address, known_device=known
            )


def _set_password(session: orm.Session, account: Account, hashed: str) -> None:
    account.password_hash = hashed
    account.password_changed_at = clock.now()
    account.revision += 1
    session.flush()


def _welcome(
    session: orm.Session,
    desk: Desk,
    account: Account,
    visitor: Visitor,
    device: KnownDevice | None,
    *,
    by_code: bool,
) -> Welcome:
    """Begin a session, bound to the key that the visitor proved to hold. The account's row is locked."""
    enrolment = None
    if visitor.key is not None:
        enrolment = devices.Enrolment(
            visitor.key, visitor.protection, visitor.client, visitor.address, by_code=by_code
        )
        devices.enter(session, account, enrolment)
    tokens = sessions.start(
        session,
        desk.doorkeeper,
        account,
        client=visitor.client,
        address=visitor.address,
        jkt=visitor.key.jkt if visitor.key else None,
    )
    state = None
    if enrolment is not None:
        approves = desk.doorkeeper.town_approves_devices
        state = devices.entered(session, account, enrolment, tokens.session_id, town_approves=approves)
    return Welcome(tokens, _hint(session, account, visitor, device), state)


def _key_told(visitor: Visitor, welcome: Welcome) -> dict[str, str]:
    """Return what the log of deeds says of a key; of a login without one it says nothing."""
    if visitor.key is None:
        return {}
    return {"jkt": visitor.key.jkt, "key_state": str(welcome.key_state)}


def _hint(session: orm.Session, account: Account, visitor: Visitor, device: KnownDevice | None) -> str:
    """Return the hint of this device: the one it brought, or a new one."""
    now = clock.now()
    session.execute(
        sa.delete(KnownDevice).where(
            KnownDevice.account_id == account.id, KnownDevice.used_at < now - rules.HINT_LIFE
        )
    )
    if device is not None and visitor.hint:
        session.execute(sa.update(KnownDevice).where(KnownDevice.id == device.id).values(used_at=now))
        return visitor.hint
    secret = secrets.token_bytes(32)
    made = KnownDevice(
        id=ids.new_id(), account_id=account.id, secret_hash=hashlib.sha256(secret).digest(), used_at=now
    )
    session.add(made)
    session.flush()
    return _HINT + urlsafe_b64encode(made.id.bytes + secret).decode().rstrip("=")


def _known_device(session: orm.Session, account: Account | None, hint: str | None) -> KnownDevice | None:
    """Return the device a hint stands for, when it belongs to this account and was used in the last half year."""
    if account is None or not hint or not hint.startswith(_HINT) or not hint.isascii():
        return None
    try:
        packed = urlsafe_b64decode(hint[len(_HINT) :] + "==")
        device = session.get(KnownDevice, UUID(bytes=packed[:16]))
    except ValueError:
        return None
    if device is None or device.account_id != account.id:
        return None
    fresh = device.used_at > clock.now() - rules.HINT_LIFE
    return (
        device
        if fresh and hmac.compare_digest(hashlib.sha256(packed[16:]).digest(), device.secret_hash)
        else None
    )
