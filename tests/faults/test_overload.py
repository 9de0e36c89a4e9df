"""More is asked than can be done: everybody is answered in time, and what must go on goes on (M3, M4)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Clone, running_service
from factories_auth import make_account, token_for
from factories_checkins import make_cadre, make_world
from faults.hammering import Ask, Hammer, checking_in, hammering, reading, strangers
from faults.standing import Link, Served, Standing, linked, served, standing
from faults.test_deadlines import ANSWERED_WITHIN_S, CLIENTS, MOST_GROWTH_KIB, POLITE, PROVING

from server import ids
from server.access import Role

FOR_S = 20.0 if PROVING else 4.0
HASHES, HASH_KIB = 2, 47_104
POOL = 2


@pytest.fixture(scope="module")
def database() -> Iterator[Standing]:
    with standing() as made:
        yield made


@pytest.fixture(scope="module")
def link(database: Standing) -> Iterator[Link]:
    with linked(database.cluster) as made:
        yield made


@pytest.fixture(scope="module")
def narrow(database: Standing, link: Link, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The command with two connections, and passwords that cost what they cost in earnest."""
    var = tmp_path_factory.mktemp("var")
    more = {
        "pool_size": POOL,
        "behind_proxy": "yes",
        "argon2_memory_kib": HASH_KIB,
        "argon2_parallel": HASHES,
    }
    with served(database.cluster, link.url(), var, **more) as running:
        yield running


def crowd(running: Served, many: int, town: str) -> list[Ask]:
    world = make_world(running.service, town=town)
    cadres = [make_cadre(running.service, world) for _ in range(10)]
    asks: list[Callable[[str], Ask]] = [
        lambda token: reading("me", "/v1/me", token),
        lambda token: reading("month", "/v1/me/months/2026-11", token),
        lambda token: reading("list", "/v1/check-ins", token),
    ]
    return [
        checking_in(cadres[n % 10]) if n % 4 == 3 else asks[n % 4](cadres[n % 10].token) for n in range(many)
    ]


def assert_answered(hammer: Hammer) -> None:
    late = [one for one in hammer.seen if one.took_s > ANSWERED_WITHIN_S]
    assert not late, late[:3]
    refused = [one for one in hammer.seen if one.status not in {200, 201, 401}]
    assert {one.status for one in refused} <= {503}
    assert all(one.retry_after.isdigit() for one in refused)
    assert {one.code for one in refused} <= {"busy", "database-unavailable"}


def served_shares(hammer: Hammer) -> dict[str, float]:
    """Return which share of the requests of each route was served."""
    return {
        route: sum(one.status in {200, 201, 401} for one in hammer.seen if one.route == route)
        / sum(one.route == route for one in hammer.seen)
        for route in {one.route for one in hammer.seen}
    }


def sessions(database: Standing) -> list[str]:
    """Return the states of the sessions that requests have (not the intake's, not the pulse's)."""
    return [state for name, role, state in database.sessions() if (name, role) == ("zaicun", "zaicun_app")]


@pytest.mark.slow
def test_two_connections_and_two_hundred_clients(database: Standing, link: Link, narrow: Served) -> None:
    """The link is slow, so a request takes a third of a second and both connections are always taken."""
    asks, most, link.delay_s = crowd(narrow, CLIENTS, "500116111"), 0, 0.03
    try:
        with hammering(narrow.port, asks, polite=POLITE) as hammer:
            end = time.monotonic() + FOR_S
            while time.monotonic() < end:
                most = max(most, len(sessions(database)))
                time.sleep(0.2)
    finally:
        link.delay_s = 0.0
    assert_answered(hammer)
    shares = served_shares(hammer)
    assert (
        0 < min(shares["me"], shares["month"], shares["list"]) < 1
    )  # Some were served, and not all could be.
    assert shares["check-in"] > 0.9  # These have a connection of their own.
    assert most == POOL
    end = time.monotonic() + 5
    while set(sessions(database)) != {"idle"} and time.monotonic() < end:
        time.sleep(0.1)
    assert set(sessions(database)) == {"idle"}
    with hammering(
        narrow.port, asks[:POOL]
    ) as calm:  # As many at once as there are connections: none has leaked.
        time.sleep(0.5)
    assert {one.status for one in calm.seen} == {200}
    assert max(one.took_s for one in calm.seen) < 2


@pytest.mark.slow
def test_a_rush_of_logins_is_shed_and_everybody_else_is_served(narrow: Served) -> None:
    asks = [*crowd(narrow, 12, "500116112"), *(strangers() for _ in range(100))]
    with hammering(narrow.port, asks, polite=POLITE) as hammer:
        time.sleep(1)
        before = peak = narrow.rss_kib()
        end = time.monotonic() + FOR_S
        while time.monotonic() < end:
            peak = max(peak, narrow.rss_kib())
            time.sleep(0.2)
    assert_answered(hammer)
    logins = [one for one in hammer.seen if one.route == "login"]
    assert {one.status for one in logins} == {401, 503}  # Some are looked at, the others told to come again,
    shed = sorted(one.took_s for one in logins if one.status == 503)
    assert shed[len(shed) // 2] < 1  # and most of them at once.
    shares = served_shares(hammer)
    assert min(shares[route] for route in ("check-in", "me", "month", "list")) > 0.9, shares
    assert peak - before <= MOST_GROWTH_KIB + HASHES * HASH_KIB  # As many hashes as may be made at once.


def test_check_ins_and_others_are_served_while_reports_wait(clone: Clone, tmp_path: Path) -> None:
    """A table that only reports read is locked: they take half of the connections, and no more."""
    times = {"answer_within_s": 3.0, "statement_timeout_s": 2.5, "pool_size": 4}
    with running_service(clone(), tmp_path, **times) as service:
        world = make_world(service)
        cadres = [make_cadre(service, world) for _ in range(4)]
        with service.database.write() as session:
            officer = make_account(session, role=Role.DISTRICT)
        report = reading("report", f"/v1/boundary-imports/{ids.new_id()}/report", token_for(service, officer))
        others = [checking_in(c) for c in cadres] + [reading("me", "/v1/me", c.token) for c in cadres]
        port = int(service.url.rpartition(":")[2])
        with psycopg.connect(service.cloned.owner_url) as lock:
            lock.execute("LOCK TABLE boundary_imports IN ACCESS EXCLUSIVE MODE")
            with hammering(port, [report] * 12) as reports:
                time.sleep(0.5)
                with hammering(port, others, pause_s=0.05) as hammer:
                    time.sleep(2)
                waiting = lock.execute(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'boundary_imports'::regclass AND NOT granted"
                ).fetchone()
                lock.rollback()
    assert waiting == (2,)
    assert {one.status for one in hammer.seen} == {200, 201}
    assert max(one.took_s for one in hammer.seen) < 2
    assert {one.status for one in reports.seen} == {404, 503}
    assert {one.code for one in reports.seen} == {"not-found", "busy"}
