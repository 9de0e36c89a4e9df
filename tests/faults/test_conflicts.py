"""Transactions that the database gives up, for another's sake or for their length (M3): nothing is half done.

A group of check-ins is tried again as a whole. Any other write answers 503 and is sent again by its client, which the
id in each creation makes harmless (DECISIONS 31).
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx
import psycopg
import pytest
from conftest import Clone, Service, running_service
from factories_auth import make_account, token_for
from factories_checkins import check_in, make_cadre, make_world

from server import clock, ids
from server.access import Role
from server.checkins.writer import MOST_TRIES
from server.cluster import SUPERUSER, Cluster
from server.settings import Settings

DEADLOCK, SERIALIZATION, IDLE = "40P01", "40001", "25P03"


@pytest.fixture(scope="module")
def hurried(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with a statement timeout far below its deadline, so that it shows which of them ended a wait."""
    times = {"answer_within_s": 20.0, "statement_timeout_s": 2.5}
    with running_service(clone(), tmp_path_factory.mktemp("var"), **times) as running:
        yield running


@contextmanager
def before_insert(service: Service, table: str, body: str) -> Iterator[psycopg.Connection]:
    """Run this PL/pgSQL before every row that the service inserts into a table."""
    with psycopg.connect(service.cloned.owner_url, autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE IF NOT EXISTS tries")
        owner.execute("SELECT setval('tries', 1, false)")
        owner.execute(
            "CREATE OR REPLACE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            f"$$BEGIN {body} RETURN NEW; END$$".encode()
        )
        owner.execute(
            f"CREATE TRIGGER in_the_way BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION in_the_way()".encode()
        )
        try:
            yield owner
        finally:
            owner.execute(f"DROP TRIGGER in_the_way ON {table}".encode())


def failing(times: int, code: str) -> str:
    """Return a body that fails so many times with this SQLSTATE. A sequence counts on through every rollback."""
    return (
        f"IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF;"
    )


def tries(owner: psycopg.Connection) -> int:
    row = owner.execute("SELECT last_value FROM tries").fetchone()
    assert row is not None
    return int(row[0])


def kept(service: Service, one: UUID) -> int:
    with psycopg.connect(service.cloned.owner_url) as owner:
        row = owner.execute("SELECT count(*) FROM checkins WHERE id = %s", (one,)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def phone(hurried: Service) -> Iterator[httpx.Client]:
    cadre = make_cadre(hurried, make_world(hurried))
    with hurried.as_(cadre.token) as client:
        yield client


@pytest.fixture(scope="module")
def officer(hurried: Service) -> Iterator[httpx.Client]:
    with hurried.database.write() as session:
        account = make_account(session, role=Role.DISTRICT)
    with hurried.as_(token_for(hurried, account)) as client:
        yield client


@pytest.mark.parametrize("code", [DEADLOCK, SERIALIZATION])
def test_a_group_given_up_for_another_is_tried_again_as_a_whole(
    hurried: Service, phone: httpx.Client, code: str
) -> None:
    one = ids.new_id()
    with before_insert(hurried, "checkin_rows", failing(2, code)) as owner:
        answer = phone.put(f"/v1/check-ins/{one}", json=check_in(clock.now()))
        assert tries(owner) == 3
    assert answer.status_code == 201
    assert kept(hurried, one) == 1


def test_a_group_given_up_again_and_again_ends_in_503(hurried: Service, phone: httpx.Client) -> None:
    one, body = ids.new_id(), check_in(clock.now())
    with before_insert(hurried, "checkin_rows", failing(1000, DEADLOCK)) as owner:
        answer = phone.put(f"/v1/check-ins/{one}", json=body)
        assert tries(owner) == MOST_TRIES
    assert_later(answer, "busy")
    assert kept(hurried, one) == 0
    assert phone.put(f"/v1/check-ins/{one}", json=body).status_code == 201


def test_a_session_that_the_database_ended_is_503_and_the_next_is_served(
    hurried: Service, phone: httpx.Client, officer: httpx.Client
) -> None:
    one, body = ids.new_id(), check_in(clock.now())
    with before_insert(hurried, "checkin_rows", failing(1, IDLE)):
        assert_later(phone.put(f"/v1/check-ins/{one}", json=body), "database-unavailable")
        assert phone.put(f"/v1/check-ins/{one}", json=body).status_code == 201
    with before_insert(hurried, "units", failing(1, IDLE)):
        assert_later(unit(officer, one), "database-unavailable")
        assert unit(officer, one).status_code == 201


def assert_later(answer: httpx.Response, code: str) -> None:
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.headers["Retry-After"].isdigit()


def unit(officer: httpx.Client, one: UUID) -> httpx.Response:
    return officer.post("/v1/units", json={"id": str(one), "name": f"区某局 {one}"})


@pytest.mark.parametrize("code", [DEADLOCK, SERIALIZATION])
def test_a_write_given_up_for_another_stores_nothing_and_can_be_sent_again(
    hurried: Service, officer: httpx.Client, code: str
) -> None:
    one = ids.new_id()
    with before_insert(hurried, "units", failing(1, code)):
        assert_later(unit(officer, one), "busy")
        assert officer.get("/v1/units", params={"q": str(one)}).json()["items"] == []
        assert unit(officer, one).status_code == 201
    again = unit(officer, one)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (200, "true")


def test_a_real_deadlock_is_answered_and_the_other_transaction_goes_on(
    cluster: Cluster, hurried: Service, officer: httpx.Client
) -> None:
    """The service holds lock 1 and wants 2; another session holds 2 and wants 1. PostgreSQL gives one of them up."""
    one, body = ids.new_id(), "PERFORM pg_advisory_xact_lock(1); PERFORM pg_advisory_xact_lock(2);"
    with (
        before_insert(hurried, "units", body) as owner,
        psycopg.connect(cluster.dsn(SUPERUSER, hurried.cloned.name)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("SET deadlock_timeout = '60s'")  # So that it is never the one that is given up.
        other.execute("SELECT pg_advisory_xact_lock(2)")
        answer = pool.submit(unit, officer, one)
        end = time.monotonic() + 10
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted"
        while owner.execute(held).fetchone() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        other.execute("SELECT pg_advisory_xact_lock(1)")
        assert_later(answer.result(), "busy")
        other.rollback()
        assert unit(officer, one).status_code == 201


def test_a_statement_that_takes_too_long_is_ended_by_the_database_before_the_deadline(
    hurried: Service, officer: httpx.Client
) -> None:
    one, settings = ids.new_id(), hurried.settings
    with before_insert(hurried, "units", "PERFORM pg_sleep(60);") as owner:
        begun = time.monotonic()
        assert_later(unit(officer, one), "database-unavailable")
        took = time.monotonic() - begun
        working = owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'zaicun_app' AND state <> 'idle'"
            " AND datname = current_database()"
        ).fetchone()
    assert settings.statement_timeout_s <= took < settings.answer_within_s
    assert working == (0,)  # The database itself has stopped; nobody merely turned away from it.
    assert officer.get("/v1/units", params={"q": str(one)}).json()["items"] == []
    assert unit(officer, one).status_code == 201


def test_the_defaults_leave_the_database_time_to_say_that_it_gave_up() -> None:
    given = Settings()
    assert given.statement_timeout_s + 0.25 <= given.answer_within_s < 4
