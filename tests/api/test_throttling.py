"""Guesses are slowed, and nobody can keep another out (ruling 16, security.md M12)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Thread

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account
from factories_login import PASSWORD, WRONG, Work, activate, log_in, new_code

from server.access import Role
from server.auth import login, throttle
from server.auth.login import Desk, Visitor
from server.auth.models import Account, KnownDevice, Throttle
from server.auth.throttle import Subject
from server.problems import Problem

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


def test_guesses_are_slowed_and_the_owner_is_told_when(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    for _ in range(5):
        assert log_in(service, cadre.login, WRONG).status_code == 401
    slowed = log_in(service, cadre.login, PASSWORD)
    assert slowed.status_code == 429
    assert slowed.headers["retry-after"] == "1"
    assert slowed.json()["retry_after_s"] == 1
    clock.move(seconds=1)
    assert log_in(service, cadre.login, WRONG).status_code == 401
    assert log_in(service, cadre.login, PASSWORD).headers["retry-after"] == "2"
    clock.move(seconds=2)
    assert log_in(service, cadre.login, PASSWORD).status_code == 200
    assert log_in(service, cadre.login, WRONG).status_code == 401


def test_an_unknown_login_is_slowed_as_a_known_one_is(service: Service) -> None:
    """Else the delay would tell which logins exist."""
    statuses = [log_in(service, "nobody-here", WRONG).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_a_hundred_attempts_at_once_are_a_hundred_attempts(
    service: Service, cadre: Account, work: Work
) -> None:
    def storm() -> list[int]:
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda _: log_in(service, cadre.login, WRONG).status_code, range(100)))

    found: list[int] = []
    cost = work.of(lambda: found.extend(storm()))
    assert cost <= 5
    assert found.count(429) >= 95 - found.count(503)


def test_an_attempt_that_waited_is_counted_on_top(service: Service) -> None:
    """Counting from what it read before it waited, a storm of attempts would count as one."""
    subject = Subject("account", "anybody")
    database = service.app.state.database
    with database.write() as session:
        throttle.count(session, subject)
    late: list[int] = []

    def one_more() -> None:
        try:
            with database.write() as session:
                throttle.count(session, subject)
        except Problem as problem:
            late.append(problem.kind.status)

    thread = Thread(target=one_more)
    with database.write() as session:
        for _ in range(3):
            throttle.count(session, subject)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it must wait for the row"
        throttle.count(session, subject)
    thread.join(10)
    assert late == [429]


def guess(service: Service, cadre: Account, clock: SetClock, guesses: int, work: Work) -> int:
    """Guess for an hour from 100 addresses; return how many guesses were looked at."""
    desk = Desk(service.app.state.database, service.app.state.doorkeeper, service.app.state.hasher)
    before = work.hasher.work
    for turn in range(guesses):
        with pytest.raises(Problem) as refused:
            login.login(desk, Visitor("", f"198.51.100.{turn % 100}"), cadre.login, WRONG)
        assert refused.value.kind.status in {401, 429}
        clock.move(seconds=3600 / guesses)
    return work.hasher.work - before


def guessed_and_still_open(
    service: Service, cadre: Account, clock: SetClock, work: Work, guesses: int
) -> None:
    hint = log_in(service, cadre.login, PASSWORD).json()["device_hint"]
    assert guess(service, cadre, clock, guesses, work) <= 100
    assert log_in(service, cadre.login, PASSWORD).status_code == 429
    known = log_in(service, cadre.login, PASSWORD, device_hint=hint)
    assert known.status_code == 200
    assert known.json()["device_hint"] == hint
    # The way out with a new phone: a code from the town, whose guesses are counted apart.
    assert activate(service, cadre.login, new_code(service, cadre)).status_code == 200


def test_many_addresses_guess_in_vain_and_lock_nobody_out(
    service: Service, cadre: Account, clock: SetClock, work: Work
) -> None:
    guessed_and_still_open(service, cadre, clock, work, 400)


@pytest.mark.slow
def test_ten_thousand_guesses_in_an_hour_from_a_hundred_addresses(
    service: Service, cadre: Account, clock: SetClock, work: Work
) -> None:
    guessed_and_still_open(service, cadre, clock, work, 10_000)


def test_one_password_tried_at_many_logins_is_slowed_by_address(
    service: Service, clock: SetClock, work: Work
) -> None:
    desk = Desk(service.app.state.database, service.app.state.doorkeeper, service.app.state.hasher)

    def spray(at: str, first: int, guesses: int) -> list[int]:
        found = []
        for turn in range(guesses):
            with pytest.raises(Problem) as refused:
                login.login(desk, Visitor("", at), f"jj-{first + turn}", WRONG)
            found.append(refused.value.kind.status)
            clock.move(seconds=0.1)
        return found

    cost = work.of(lambda: spray("198.51.100.7", 0, 45))
    assert 30 <= cost <= 33
    assert spray("198.51.100.8", 100, 1) == [401], "another address is not slowed"


def test_right_passwords_from_one_address_are_never_slowed(service: Service) -> None:
    """A town's office, or a whole carrier, may stand behind one address."""
    hashed = service.app.state.hasher.hash(PASSWORD)
    with service.database.write() as session:
        many = [make_account(session, password_hash=hashed) for _ in range(34)]
    assert {log_in(service, account.login, PASSWORD).status_code for account in many} == {200}


def test_a_known_device_is_slowed_for_itself(service: Service, cadre: Account) -> None:
    hint = log_in(service, cadre.login, PASSWORD).json()["device_hint"]
    statuses = [log_in(service, cadre.login, WRONG, device_hint=hint).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert log_in(service, cadre.login, PASSWORD).status_code == 200, "strangers are counted apart"


def test_a_hint_serves_its_own_account_alone_and_no_forged_one_serves(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    hint = log_in(service, cadre.login, PASSWORD).json()["device_hint"]
    with service.database.write() as session:
        other = make_account(session, password_hash=cadre.password_hash)
    for _ in range(5):
        assert log_in(service, other.login, WRONG).status_code == 401
        assert log_in(service, cadre.login, WRONG).status_code == 401
    forged = hint[:-6] + ("AAAAAA" if not hint.endswith("AAAAAA") else "BBBBBB")
    for bad in (forged, "zd1_", "zd1_!!!", "x", hint[:30], "zd1_密", "zd1_" + "A" * 150):
        assert log_in(service, cadre.login, PASSWORD, device_hint=bad).status_code == 429
    assert log_in(service, other.login, PASSWORD, device_hint=hint).status_code == 429
    clock.move(days=181)
    assert log_in(service, cadre.login, PASSWORD, device_hint=hint).json()["device_hint"] != hint
    with service.database.read() as session:
        rows = session.scalars(sa.select(KnownDevice).where(KnownDevice.account_id == cadre.id)).all()
    assert len(rows) == 1, "hints of half a year ago are forgotten"


def test_what_nobody_tried_for_days_is_forgotten(service: Service, cadre: Account, clock: SetClock) -> None:
    for turn in range(3):
        log_in(service, f"jj-{turn}", WRONG)
    clock.move(days=3)
    assert log_in(service, cadre.login, PASSWORD).status_code == 200
    with service.database.read() as session:
        marks = set(session.scalars(sa.select(Throttle.subject)))
    assert throttle.Subject("account", "jj-0").mark not in marks
