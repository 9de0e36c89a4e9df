"""Logging in, activation, passwords and throttling, over real HTTP (security.md M12)."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from conftest import Clone, Service, SetClock, running_service
from factories_auth import TOWN, make_account, token_for, tokens_for
from factories_login import PASSWORD, WRONG, Work, activate, log_in, new_code
from factories_places import make_region
from factories_roster import make_person, make_posting
from processes import until

from server import ids
from server.access import Role
from server.audit import AuditEntry
from server.auth import passwords
from server.auth.models import Account, OneTimeCode, Throttle
from server.auth.passwords import Hasher
from server.settings import Settings

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _undisturbed(service: Service, clock: SetClock) -> None:
    """Every test begins without delays left by the one before: all share one address."""
    clock.set(START)
    with service.database.write() as session:
        session.execute(sa.delete(Throttle))


@pytest.fixture
def cadre(service: Service) -> Account:
    hashed = service.app.state.hasher.hash(PASSWORD)
    with service.database.write() as session:
        return make_account(session, role=Role.CADRE, password_hash=hashed)


@pytest.fixture
def work(service: Service) -> Work:
    service.app.state.hasher.verify(None, "warm")  # The hash that nobody has is made once.
    return Work(service.app.state.hasher)


# --- logging in
def test_the_right_password_opens(service: Service, cadre: Account) -> None:
    answer = log_in(service, cadre.login, PASSWORD, client="小米 14")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    with service.as_(body["access_token"]) as client:
        me = client.get("/v1/me").json()
        assert me["account"]["id"] == str(cadre.id)
        assert [grant["role"] for grant in me["account"]["grants"]] == ["cadre"]
        assert client.get("/v1/auth/sessions").json()["items"][0]["client"] == "小米 14"
    assert datetime.fromisoformat(body["access_expires_at"]) == START + timedelta(minutes=10)


def test_a_login_does_not_depend_on_case_or_width(service: Service, cadre: Account) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in cadre.login.upper())
    assert log_in(service, f"  {wide} ", PASSWORD).status_code == 200


def test_a_password_of_other_composition_is_the_same_password(service: Service) -> None:
    hashed = service.app.state.hasher.hash("caf\u00e9 caf\u00e9")
    with service.database.write() as session:
        account = make_account(session, password_hash=hashed)
    assert log_in(service, account.login, "cafe\u0301 cafe\u0301").status_code == 200


def _answered(answers: dict[str, httpx.Response], name: str, ask: Callable[[], httpx.Response]) -> None:
    answers[name] = ask()


def test_every_refusal_looks_and_costs_the_same(service: Service, cadre: Account, work: Work) -> None:
    """Wrong password, unknown login, not activated, disabled: one answer, one hash each (M12)."""
    hashed = service.app.state.hasher.hash(PASSWORD)
    with service.database.write() as session:
        fresh = make_account(session)
        disabled = make_account(session, password_hash=hashed)
        disabled.disabled_at = START
    attempts = {
        "wrong": (cadre.login, WRONG),
        "unknown": ("nobody", PASSWORD),
        "not a login at all": ("张三 '; --", PASSWORD),
        "not activated": (fresh.login, PASSWORD),
        "disabled": (disabled.login, PASSWORD),
        "empty": (cadre.login, ""),
    }
    answers: dict[str, httpx.Response] = {}
    for name, (who, password) in attempts.items():
        cost = work.of(partial(_answered, answers, name, partial(log_in, service, who, password)))
        assert (name, cost) == (name, 1)
    bodies = []
    for answer in answers.values():
        assert answer.status_code == 401
        body = answer.json()
        body.pop("request_id")
        bodies.append(body)
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["code"] == "login-refused"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"login": "a"},
        {"login": "", "password": "x"},
        {"login": "a", "password": 5},
        {"login": "a", "password": "x", "admin": True},
        {"login": "a" * 201, "password": "x"},
        {"login": "a", "password": "x" * 1025},
        {"login": "a", "password": "x", "client": "c" * 101},
        {"login": "a", "password": "x", "client": "a\nb"},
        {"login": ["a"], "password": "x"},
        {"login": "a\u0000b", "password": "x"},
        [],
    ],
)
def test_odd_input_is_refused_with_its_field_and_without_its_content(service: Service, body: object) -> None:
    answer = service.client.post("/v1/auth/login", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid-request"
    assert "x" * 20 not in answer.text


def test_an_old_hash_is_renewed_by_logging_in(service: Service) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with service.database.write() as session:
        account = make_account(session, password_hash=weak)
    assert log_in(service, account.login, PASSWORD).status_code == 200
    with service.database.read() as session:
        stored = session.get_one(Account, account.id).password_hash
    assert stored is not None
    assert stored != weak
    assert f"m={service.settings.argon2_memory_kib},t=1,p=1" in stored
    assert stored.startswith("$argon2id$")
    assert log_in(service, account.login, PASSWORD).status_code == 200


def test_when_all_turns_are_taken_the_answer_is_busy_and_the_attempt_is_not_counted(
    service: Service, cadre: Account
) -> None:
    hasher: Hasher = service.app.state.hasher
    hasher._wait_s = 0.05  # noqa: SLF001
    try:
        with hasher._turn(), hasher._turn():  # noqa: SLF001
            answers = [log_in(service, cadre.login, WRONG) for _ in range(8)]
    finally:
        hasher._wait_s = 2.0  # noqa: SLF001
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} <= {"2", "3", "4"}
    assert log_in(service, cadre.login, PASSWORD).status_code == 200


def test_beyond_those_who_may_be_inside_the_answer_is_busy_at_once(service: Service, cadre: Account) -> None:
    hasher: Hasher = service.app.state.hasher
    with contextlib.ExitStack() as stack:
        for _ in range(service.settings.argon2_parallel + passwords.MOST_WAITING):
            stack.enter_context(hasher.place())
        work = hasher.work
        refused = log_in(service, cadre.login, PASSWORD)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert refused.headers["retry-after"] in {"2", "3", "4"}
        assert hasher.work == work
    for password in (WRONG, PASSWORD):  # However a request ends, it gives its place back.
        for _ in range(2):
            log_in(service, cadre.login, password)
    until(lambda: hasher._inside == 0)  # noqa: SLF001


def test_never_more_hashes_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def slow(_hasher: PasswordHasher, _stored: str, _password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(PasswordHasher, "verify", slow)
    hasher = Hasher(Settings(argon2_parallel=3, argon2_memory_kib=19_456))
    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(lambda _: hasher.verify("stored", PASSWORD), range(24)))
    assert most == 3


# --- activation
def test_a_code_works_once_and_however_it_is_typed(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session)
    code = new_code(service, account)
    first = activate(service, account.login, code.lower().replace("-", " "))
    assert first.status_code == 200
    with service.as_(first.json()["access_token"]) as client:
        assert client.get("/v1/me").json()["account"]["activated"]
    assert activate(service, account.login, code).json()["code"] == "code-refused"
    assert log_in(service, account.login, PASSWORD).status_code == 200


def test_a_code_ends_after_72_hours(service: Service, clock: SetClock) -> None:
    with service.database.write() as session:
        early, late = make_account(session), make_account(session)
    codes_made = new_code(service, early), new_code(service, late)
    clock.move(hours=72, seconds=-1)
    assert activate(service, early.login, codes_made[0]).status_code == 200
    clock.move(seconds=1)
    assert activate(service, late.login, codes_made[1]).status_code == 401


def test_a_newer_code_replaces_the_older(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session)
    old, new = new_code(service, account), new_code(service, account)
    assert activate(service, account.login, old).status_code == 401
    assert activate(service, account.login, new).status_code == 200


def test_a_code_of_somebody_else_is_refused_as_an_unknown_login_is(service: Service) -> None:
    with service.database.write() as session:
        mine, theirs = make_account(session), make_account(session)
    code = new_code(service, mine)
    answers = [activate(service, name, code).json() for name in (theirs.login, "nobody")]
    assert [a["code"] for a in answers] == ["code-refused"] * 2
    assert answers[0]["detail"] == answers[1]["detail"]


def test_a_disabled_account_is_not_activated(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session)
        account.disabled_at = START
    assert activate(service, account.login, new_code(service, account)).status_code == 401


def test_a_refused_password_does_not_spend_the_code(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session)
    code = new_code(service, account)
    refused = activate(service, account.login, code, "password")
    assert (refused.status_code, refused.json()["code"]) == (422, "password-refused")
    assert refused.json()["errors"][0]["field"] == "password"
    assert activate(service, account.login, code).status_code == 200


def test_two_activations_at_once_spend_a_code_once(service: Service) -> None:
    for _ in range(5):
        with service.database.write() as session:
            account = make_account(session)
        code = new_code(service, account)
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda p, a=account, c=code: activate(service, a.login, c, p).status_code,
                    [PASSWORD, WRONG],
                )
            )
        assert sorted(answers) == [200, 401]


def test_a_code_is_stored_hashed(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session)
    code = new_code(service, account)
    with service.database.read() as session:
        row = session.scalars(sa.select(OneTimeCode).where(OneTimeCode.account_id == account.id)).one()
    assert len(row.code_hash) == 32
    assert code.encode() not in row.code_hash
    assert row.expires_at - row.made_at <= timedelta(hours=72)


# --- passwords
def test_what_others_know_of_a_person_is_no_password(service: Service) -> None:
    with service.database.write() as session:
        if session.scalar(sa.text("SELECT count(*) FROM regions WHERE code = '500116101000'")) == 0:
            make_region(session, "500116000000", "江津区")
            make_region(session, f"{TOWN}000", "石门镇")
            make_region(session, f"{TOWN}201", "长岭村")
        person = make_person(session, "欧阳长河", number="GH-77120")
        make_posting(session, person, f"{TOWN}201")
        account = make_account(session, person=person, login="gh-77120")
    code = new_code(service, account)
    for guess in (
        "GH-77120GH-77120",
        "欧阳长河1234",
        "长岭村长岭村12",
        "石门石门石门石门",
        "江津区石门镇长岭",
        "zaicun@2026",
    ):
        refused = activate(service, account.login, code, guess)
        assert (guess, refused.status_code) == (guess, 422)
        assert refused.json()["errors"][0]["code"] == "password-guessable"
    assert activate(service, account.login, code, "长岭村口有一只大黄狗").status_code == 200


@pytest.mark.parametrize(("length", "status"), [(7, 422), (8, 200), (64, 200), (128, 200), (129, 422)])
def test_how_long_a_password_may_be(service: Service, length: int, status: int) -> None:
    with service.database.write() as session:
        account = make_account(session)
    password = ("桥" + "黄桷树下的石板路" * 20)[:length]
    assert activate(service, account.login, new_code(service, account), password).status_code == status
    if status == 200:
        assert log_in(service, account.login, password).status_code == 200
        assert log_in(service, account.login, password[:-1]).status_code == 401


def test_changing_the_password_ends_the_other_sessions(service: Service, cadre: Account) -> None:
    here, elsewhere = tokens_for(service, cadre), tokens_for(service, cadre)
    with service.as_(here.access_token) as client:
        bad = client.post("/v1/auth/password", json={"old_password": WRONG, "new_password": WRONG})
        assert bad.json()["code"] == "login-refused"
        weak = client.post("/v1/auth/password", json={"old_password": PASSWORD, "new_password": "password"})
        assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "new_password")
        good = client.post("/v1/auth/password", json={"old_password": PASSWORD, "new_password": WRONG})
        assert good.status_code == 204
        assert client.get("/v1/me").status_code == 200
    with service.as_(elsewhere.access_token) as client:
        assert client.get("/v1/me").json()["code"] == "token-stale"
    assert log_in(service, cadre.login, PASSWORD).status_code == 401
    assert log_in(service, cadre.login, WRONG).status_code == 200


def test_a_stolen_phone_cannot_guess_the_password_for_long(service: Service, cadre: Account) -> None:
    with service.as_(token_for(service, cadre)) as client:
        body = {"old_password": WRONG, "new_password": WRONG}
        statuses = [client.post("/v1/auth/password", json=body).status_code for _ in range(8)]
    assert statuses == [401] * 5 + [429] * 3


# --- the record
def test_the_owner_sees_logins_and_failures(service: Service, cadre: Account) -> None:
    log_in(service, cadre.login, WRONG)
    token = log_in(service, cadre.login, PASSWORD, client="华为").json()["access_token"]
    with service.as_(token) as client:
        events = client.get("/v1/me/security-events").json()["items"]
        page = client.get("/v1/me/security-events", params={"limit": 1}).json()
        rest = client.get("/v1/me/security-events", params={"cursor": page["next_cursor"]}).json()
    assert [event["deed"] for event in events] == ["auth:login", "auth:login-failed"]
    assert events[0]["details"]["client"] == "华为"
    assert page["items"] + rest["items"] == events


def test_no_password_code_or_token_is_written_anywhere(
    service: Service, cadre: Account, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ["canary-old-Xq7", "canary-new-Xq8", WRONG, PASSWORD]
    log_in(service, cadre.login, secrets[0])
    service.client.post("/v1/auth/login", json={"login": 5, "password": secrets[0], "x": secrets[1]})
    given = log_in(service, cadre.login, PASSWORD).json()
    secrets += [given["access_token"], given["refresh_token"], given["device_hint"]]
    with service.as_(given["access_token"]) as client:
        body = {"old_password": secrets[0], "new_password": secrets[1]}
        assert secrets[0] not in client.post("/v1/auth/password", json=body).text
    service.client.post("/v1/auth/refresh", json={"refresh_token": given["refresh_token"] + "x"})
    code = new_code(service, cadre)
    secrets += [code, code.replace("-", "")]
    activate(service, cadre.login, code, secrets[1])
    printed = capfd.readouterr()
    with service.database.read() as session:
        entries = session.scalars(sa.select(AuditEntry)).all()
        audited = " ".join(f"{entry.subject_id} {entry.details}" for entry in entries)
    told = caplog.text + printed.out + printed.err + audited
    assert [secret for secret in secrets if secret in told] == []


def test_behind_a_proxy_the_last_hop_is_the_address(clone: Clone, tmp_path: Path) -> None:
    with running_service(clone(), tmp_path, behind_proxy=True) as service:
        hashed = service.app.state.hasher.hash(PASSWORD)
        with service.database.write() as session:
            account = make_account(session, password_hash=hashed)
        forwarded = {"X-Forwarded-For": "203.0.113.1, 198.51.100.77"}
        body = {"login": account.login, "password": PASSWORD}
        answer = service.client.post("/v1/auth/login", json=body, headers=forwarded)
        with service.as_(answer.json()["access_token"]) as client:
            assert client.get("/v1/auth/sessions").json()["items"][0]["address"] == "198.51.100.77"


def test_a_made_id_is_not_needed_to_log_in(service: Service, cadre: Account) -> None:
    """Logging in is no creation that a resend must not repeat: each answer is a session of its own."""
    first, second = (log_in(service, cadre.login, PASSWORD).json()["session_id"] for _ in range(2))
    assert first != second
    assert ids.new_id().version == 7
