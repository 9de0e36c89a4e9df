"""Acknowledged means stored: the connection to the database is cut just before and just after COMMIT (M1, M2)."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import proof
import psycopg
import pytest
import sqlalchemy as sa
from conftest import Clone, Cloned, Service, running_service
from factories_checkins import Cadre, check_in, make_cadre, make_world
from faults.broken import Hasty
from faults.cutting_proxy import CuttingProxy, cutting

from server import clock, ids
from server.cluster import APP_ROLE, PORT, Cluster

PHONES = 16
EACH = int(os.environ.get("ZAICUN_PROVE_ACKS_EACH", "25"))
SEEDS = range(int(os.environ.get("ZAICUN_PROVE_SEEDS", "1")))


@dataclass
class Tally:
    """What the phones saw."""

    acked: list[tuple[UUID, UUID]]
    tries: int = 0


def phone(service: Service, cadre: Cadre, seed: int) -> Tally:
    """Make check-ins and send each until it is acknowledged, with the same id; some are sent again afterwards."""
    drawn, tally = random.Random(seed), Tally([])
    with service.as_(cadre.token) as client:
        for number in range(EACH):
            one, at = ids.new_id(), clock.now() - timedelta(minutes=number)
            body = check_in(at, sent=clock.now())
            deadline = time.monotonic() + 60
            while True:
                assert time.monotonic() < deadline, "never acknowledged"
                tally.tries += 1
                try:
                    status = client.put(f"/v1/check-ins/{one}", json=body).status_code
                except httpx.TransportError:
                    continue
                assert status in {200, 201, 503}, status
                if status != 503:
                    tally.acked.append((cadre.person_id, one))
                    break
                time.sleep(drawn.random() / 50)
            if drawn.random() < 0.2:
                client.put(f"/v1/check-ins/{one}", json=body)
    return tally


def storm(service: Service, seed: int) -> Tally:
    world = make_world(service, town=f"5001161{seed % 90 + 10:02d}")
    cadres = [make_cadre(service, world) for _ in range(PHONES)]
    with ThreadPoolExecutor(PHONES) as pool:
        tallies = list(
            pool.map(lambda pair: phone(service, pair[1], seed * 1000 + pair[0]), enumerate(cadres))
        )
    return Tally([ack for t in tallies for ack in t.acked], sum(t.tries for t in tallies))


def stored(service: Service) -> list[tuple[UUID, UUID]]:
    with service.database.read() as session:
        return [(row[0], row[1]) for row in session.execute(sa.text("SELECT person_id, id FROM checkins"))]


def proxied(cluster: Cluster, **shares: Any) -> CuttingProxy:
    return CuttingProxy(cluster.socket / f".s.PGSQL.{PORT}", **shares)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_and_nothing_counts_twice(
    cluster: Cluster, clone: Clone, tmp_path: Path, seed: int
) -> None:
    cloned = clone()
    with cutting(proxied(cluster, before=0.1, after=0.1, seed=seed)) as proxy:
        through = Cloned(cloned.name, proxy.url(cloned.name, APP_ROLE), cloned.owner_url)
        with running_service(through, tmp_path) as service:
            tally = storm(service, seed)
            rows = stored(service)
    proof.added("acknowledged", len(tally.acked))
    proof.added("lost", len(set(tally.acked) - set(rows)))
    proof.added("twice", len(rows) - len(set(rows)))
    assert len(tally.acked) == PHONES * EACH
    assert sorted(rows) == sorted(
        tally.acked
    )  # None lost, none doubled, none that nobody was told of in the end.
    assert proxy.cuts["before"] > 0
    assert proxy.cuts["after"] > 0


def test_a_route_that_answers_before_the_commit_is_caught(
    cluster: Cluster, clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app.Intake", Hasty)
    cloned = clone()
    with cutting(proxied(cluster, before=0.1, seed=1)) as proxy:
        through = Cloned(cloned.name, proxy.url(cloned.name, APP_ROLE), cloned.owner_url)
        with running_service(through, tmp_path) as service:
            tally = storm(service, 1)
        with psycopg.connect(cloned.owner_url) as connection:
            rows = set(connection.execute("SELECT person_id, id FROM checkins").fetchall())
    lost = [ack for ack in tally.acked if ack not in rows]
    assert lost, "the suite has no teeth: an answer before the commit went unnoticed"


def test_an_error_at_commit_is_never_answered_as_stored(service: Service) -> None:
    """A deferred constraint fails inside COMMIT itself, after every statement has succeeded."""
    world = make_world(service)
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        session.execute(
            sa.text(
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'"
            )
        )
        session.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON checkin_rows DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW WHEN (NEW.note = 'doomed') EXECUTE FUNCTION no()"
            )
        )
    with service.as_(cadre.token) as client:
        good, doomed = ids.new_id(), ids.new_id()
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda pair: client.put(
                        f"/v1/check-ins/{pair[0]}", json=check_in(clock.now(), note=pair[1])
                    ),
                    [(doomed, "doomed"), (good, "fine")],
                )
            )
    assert [a.status_code for a in answers] == [500, 201]  # One bad row does not take its group with it.
    assert {row[1] for row in stored(service)} & {good, doomed} == {good}


def put_once(service: Service, cadre: Cadre) -> httpx.Response:
    with service.as_(cadre.token) as client:
        return client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now()))


def test_a_full_queue_answers_503_with_retry_after(clone: Clone, tmp_path: Path) -> None:
    with running_service(clone(), tmp_path, intake_queue=1, intake_group=1) as service:
        world = make_world(service)
        cadres = [make_cadre(service, world) for _ in range(12)]
        with psycopg.connect(service.cloned.owner_url) as blocking:
            blocking.execute("LOCK TABLE checkin_rows IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(12) as pool:
                answers = list(pool.map(lambda cadre: put_once(service, cadre), cadres))
        busy = [a for a in answers if a.status_code == 503]
        assert len(busy) == 12
        assert {a.json()["code"] for a in busy} == {"busy", "database-unavailable"}
        assert all(a.headers["Retry-After"].isdigit() for a in busy)
        with service.as_(cadres[0].token) as client:
            assert client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now())).status_code == 201


def test_the_intake_recovers_when_its_connection_is_killed(service: Service) -> None:
    world = make_world(service, town="500116103")
    cadre = make_cadre(service, world)
    with service.as_(cadre.token) as client:
        assert client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now())).status_code == 201
        with psycopg.connect(service.cloned.app_url, autocommit=True) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()"
            )
        one, statuses = ids.new_id(), []
        for _ in range(5):
            statuses.append(client.put(f"/v1/check-ins/{one}", json=check_in(clock.now())).status_code)
            if statuses[-1] != 503:
                break
    assert statuses[-1] == 201
