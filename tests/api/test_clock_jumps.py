"""Clocks that jump by an hour, a day, a year (security.md S4): the server's, and the phones'.

A machine here has a true time and a clock that is off by what the test says. Phones have wall clocks of their own.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from conftest import Clone, Service, SetClock, running_service
from docs.phones import FIX, phone_of
from factories_auth import make_account, token_for
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, renewed
from factories_login import PASSWORD, WRONG, log_in
from processes import scrape, total, until
from zaicun_phone import Refused

from server import cli, clock_watch, ids, scheduler
from server.access import Role
from server.auth.models import Throttle
from server.clock_watch import ClockWatch, Step
from server.db import Database

NOON = datetime(2026, 11, 16, 4, tzinfo=UTC)  # In Beijing, on a Monday.
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
JUMPS = [sign * size for size in (HOUR, DAY, YEAR) for sign in (1, -1)]
WRITTEN = [f"{jump / HOUR:+.0f}h" for jump in JUMPS]


class Machine:
    """The server's machine. What it shows and what runs on in it follow from two numbers, changed together."""

    def __init__(self, hands: SetClock) -> None:
        self._hands, self._lock = hands, RLock()
        self.true, self.off = NOON, timedelta(0)
        self._shown()
        machine = self

        class Held(ClockWatch):
            def look(self) -> Step | None:
                with machine._lock:
                    return super().look()

        self.watch = Held(hands, lambda: self.true - NOON)

    def _shown(self) -> None:
        self._hands.set(self.true + self.off)

    def later(self, by: timedelta) -> None:
        """Let true time pass."""
        with self._lock:
            self.true += by
            self._shown()

    def jump(self, by: timedelta, *, noticed: bool = True) -> None:
        """Set the clock, as an operator or a time server does; `noticed` at once, else by the pulse."""
        with self._lock:
            self.off += by
            self._shown()
        if noticed:
            self.watch.look()


@pytest.fixture
def machine(clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(clock)
    monkeypatch.setattr(clock_watch, "WATCH", made.watch)
    return made


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World, machine: Machine) -> Cadre:
    del machine  # The clock is set before anything is made by it.
    return make_cadre(service, world, from_day=date(2024, 1, 1))


def send(service: Service, cadre: Cadre, machine: Machine, skew: timedelta = timedelta(0), *, waited: timedelta = timedelta(0)) -> dict[str, Any]:  # fmt: skip
    """Send a check-in made `waited` ago by a phone whose clock is off by `skew`; return what it is told."""
    tapped = machine.true + skew - waited
    body = check_in(tapped, sent=machine.true + skew)
    with service.as_(renewed(service, cadre).token) as client:
        answer = client.put(f"/v1/check-ins/{ids.new_id()}", json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def beijing(at: datetime) -> str:
    return (at + timedelta(hours=8)).date().isoformat()


@pytest.mark.parametrize("jump", JUMPS, ids=WRITTEN)
def test_no_day_is_wrong_without_a_mark_while_the_servers_clock_is(
    service: Service, cadre: Cadre, machine: Machine, jump: timedelta
) -> None:
    marked, right = 0, 0
    machine.jump(jump)
    for hours in range(0, 24, 6):
        machine.later(timedelta(hours=6 if hours else 0, minutes=50))
        for skew in (timedelta(0), timedelta(minutes=5), timedelta(minutes=-5)):
            told = send(service, cadre, machine, skew)
            marked += told["standing"] == "provisional"
            right += told["day"] == beijing(machine.true)
            assert told["day"] == beijing(machine.true) or (told["standing"], told["time"]["doubt"]) == ("provisional", "day")  # fmt: skip
    assert right if abs(jump) == HOUR else marked == 12
    machine.jump(-jump)  # And is right again, without a restart.
    told = send(service, cadre, machine)
    assert (told["day"], told["standing"], told["time"]) == (beijing(machine.true), "counted", None)


@pytest.mark.parametrize("skew", [*JUMPS, *(timedelta(minutes=m) for m in (-5, 2, 5))], ids=str)
def test_no_day_is_wrong_without_a_mark_whatever_a_phones_clock_says(
    service: Service, cadre: Cadre, machine: Machine, skew: timedelta
) -> None:
    machine.later(timedelta(hours=11, minutes=50))  # Ten minutes before midnight.
    for _ in range(4):
        for waited in (timedelta(0), timedelta(minutes=5), timedelta(hours=60)):
            told = send(service, cadre, machine, skew, waited=waited)
            if told["standing"] != "provisional":
                assert told["day"] == beijing(machine.true - waited), (machine.true, waited)
            elif abs(skew) <= timedelta(minutes=5):  # Then only what lies about midnight needs a look.
                local = machine.true - waited + timedelta(hours=8)
                assert abs(local - local.replace(hour=12, minute=0)) > timedelta(hours=11, minutes=50)
        machine.later(timedelta(minutes=4, seconds=17))


@pytest.fixture
def alone(clone: Clone, tmp_path: Path, machine: Machine) -> Iterator[Service]:
    """A service on a database in which nothing happened yet."""
    del machine
    with running_service(clone(), tmp_path) as running:
        yield running


def test_a_jump_is_told_counted_and_recorded(alone: Service, machine: Machine) -> None:
    cadre = make_cadre(alone, make_world(alone))
    machine.later(timedelta(hours=11, minutes=30))
    send(alone, cadre, machine)  # 23:30, true.
    machine.later(timedelta(minutes=1))
    before = total(scrape(alone.url), "zaicun_clock_jumps_total")
    machine.jump(HOUR, noticed=False)
    recorded = sa.text("SELECT after_at - before_at FROM clock_steps")

    def steps() -> list[timedelta]:
        with alone.database.read() as session:
            return list(session.scalars(recorded))

    until(lambda: steps() == [HOUR])
    assert total(scrape(alone.url), "zaicun_clock_jumps_total") == before + 1
    send(alone, cadre, machine)  # 23:31, by the clock 00:31 of the next day.
    env = {"ZAICUN_DATABASE_URL": alone.cloned.app_url}
    told = CliRunner().invoke(cli.main, ["check-ins", "clock-steps"], env=env)
    assert told.exit_code == 0, told.output
    assert "if it was wrong before: 1 check-ins, 1 of another day" in told.output
    assert "if it is wrong since: 1 check-ins, 1 of another day" in told.output


@pytest.mark.parametrize("jump", JUMPS, ids=WRITTEN)
def test_a_phone_gets_its_queue_through_in_the_end_and_each_check_in_once(
    service: Service, cadre: Cadre, machine: Machine, jump: timedelta, tmp_path: Path
) -> None:
    pauses: list[float] = []
    with phone_of(service, cadre, pauses, store=tmp_path, clock=lambda: machine.true) as phone:
        made = [str(phone.tap(FIX))]
        phone.flush()
        for by in (jump, -jump):
            machine.jump(by)
            made.append(str(phone.tap(FIX)))
            with contextlib.suppress(Refused):  # Logged out, for as long as the clock is wrong.
                phone.flush(attempts=2)
            machine.later(timedelta(minutes=20))
        phone.access = token_for(service, cadre.account)  # Logged in again, if that was necessary.
        phone.flush()
        assert phone.waiting() == 0
    with service.as_(token_for(service, cadre.account)) as client:
        items = client.get("/v1/check-ins").json()["items"]
    assert sorted(item["id"] for item in items) == sorted(made)
    assert all(item["day"] == "2026-11-16" or item["standing"] == "provisional" for item in items)


def test_quotas_do_not_ask_the_clock(
    machine: Machine, service: Service, world: World, tmp_path: Path
) -> None:
    with running_service(service.cloned, tmp_path, quota_read=3) as strict:
        cadre = make_cadre(strict, world)
        for jump in (timedelta(0), YEAR, -2 * YEAR):
            machine.jump(jump)
            with strict.as_(renewed(strict, cadre).token) as client:
                statuses = [client.get("/v1/check-ins").status_code for _ in range(4)]
            assert statuses == ([200] * 3 + [429] if jump == timedelta(0) else [429] * 4)


def test_who_was_slowed_by_a_clock_that_was_ahead_is_not_shut_out(service: Service, machine: Machine) -> None:
    with service.database.write() as session:
        session.execute(sa.delete(Throttle))
        hashed = service.app.state.hasher.hash(PASSWORD)
        login = make_account(session, role=Role.CADRE, password_hash=hashed).login
    machine.jump(YEAR)
    answers = [log_in(service, login, WRONG).status_code for _ in range(7)]
    assert answers[-1] == 429
    machine.jump(-YEAR)
    assert log_in(service, login, PASSWORD).status_code == 200


@pytest.fixture
def database(service: Service) -> Iterator[Database]:
    made = Database(service.cloned.app_url, pool_size=1)
    yield made
    made.close()


def test_no_job_is_done_by_a_clock_that_was_set(database: Database, machine: Machine) -> None:
    job = scheduler.JOBS[0]
    assert scheduler.run(database, job, NOON)
    machine.jump(DAY)
    assert not scheduler.run(database, job, NOON + DAY)  # It would be taken for done when that day comes.
    machine.jump(-DAY)
    machine.later(DAY)
    assert scheduler.run(database, job, NOON + DAY)
