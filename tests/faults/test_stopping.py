"""Restarts under load: of the database, of the service, of one of its workers (M3). Phones notice a short wait."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from factories_checkins import Cadre, make_cadre, make_world
from faults.hammering import Ask, Hammer, checking_in, hammering, reading
from faults.standing import Served, Standing, served, standing

ROUNDS = int(os.environ.get("ZAICUN_PROVE_ROUNDS", "1"))
PROVING = "ZAICUN_PROVE_ROUNDS" in os.environ
BACK_WITHIN_S = 2.0 if PROVING else 6.0
"""From when the database takes connections to the first acknowledgement (security.md M3)."""
PHONES = 24
NOTICED_WITHIN_S = 2.0
"""From the end of a worker to the beginning of its successor; the supervisor looks twice a second."""
SERVING_WITHIN_S = 30.0
"""Until the successor has imported the application and asks the database, on a machine where everybody imports."""


@pytest.fixture(scope="module")
def database() -> Iterator[Standing]:
    with standing() as made:
        yield made


def crowd(running: Served, town: str) -> tuple[list[Cadre], list[Ask]]:
    world = make_world(running.service, town=town)
    cadres = [make_cadre(running.service, world) for _ in range(PHONES)]
    asks = [checking_in(cadre) for cadre in cadres]
    asks += [reading("me", "/v1/me", cadre.token) for cadre in cadres[: PHONES // 3]]
    return cadres, asks


def check_kept(running: Served, hammer: Hammer) -> set[tuple[UUID, UUID]]:
    """Assert that every acknowledged check-in is stored once; return what was acknowledged."""
    acked = {one.key for one in hammer.seen if one.status in {200, 201} and one.key}
    with psycopg.connect(running.service.cloned.owner_url) as connection:
        rows = connection.execute("SELECT person_id, id FROM checkins").fetchall()
    assert len(rows) == len(set(rows))
    assert acked <= set(rows)
    return acked


@pytest.mark.slow
def test_a_database_that_restarts_under_load_is_used_again_at_once(
    database: Standing, tmp_path: Path
) -> None:
    with served(database.cluster, database.cluster.app_dsn, tmp_path) as running:
        _, asks = crowd(running, f"5001161{random.randrange(10, 99)}")
        with hammering(running.port, asks, pause_s=0.1) as hammer:
            for end_it in [database.stop, database.kill] * ROUNDS:
                time.sleep(0.7)
                end_it()
                database.start()
                ready = time.monotonic()
                end = ready + 15
                while not [o for o in list(hammer.seen) if o.begun + o.took_s > ready and o.status == 201]:
                    assert time.monotonic() < end, "not back"
                    time.sleep(0.02)
                assert time.monotonic() - ready <= BACK_WITHIN_S
        assert {one.status for one in hammer.seen} <= {200, 201, 503}
        assert [one for one in hammer.seen if one.status == 503]  # It was noticed,
        assert check_kept(running, hammer)  # and nothing acknowledged was lost.


@pytest.mark.slow
def test_a_service_that_is_told_to_stop_answers_what_is_under_way(database: Standing, tmp_path: Path) -> None:
    with served(database.cluster, database.cluster.app_dsn, tmp_path) as running:
        _, asks = crowd(running, f"5001161{random.randrange(10, 99)}")
        with (
            hammering(running.port, asks, pause_s=0.1) as hammer,
            psycopg.connect(running.service.cloned.owner_url) as lock,
        ):
            time.sleep(1)
            lock.execute("LOCK TABLE checkin_rows IN ACCESS EXCLUSIVE MODE")  # So that much is under way.
            time.sleep(0.8)
            told = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            lock.rollback()
            assert running.process.wait(30) == 0
            time.sleep(0.2)
        # What had been taken before the signal was answered. What was sent in the same moment may find an idle line closed.
        under_way = [o for o in hammer.seen if o.begun < told - 0.5 and o.begun + o.took_s > told]
        assert under_way
        assert {o.status for o in under_way} <= {200, 201, 503}
        assert check_kept(running, hammer)
        assert database.sessions() == [] or all(s[1] != "zaicun_app" for s in database.sessions())


def at_work(database: Standing, running: Served, but: set[int]) -> set[int]:
    """Wait until two workers serve that are not the pair `but`; return their processes.

    A worker serves when its pulse has a session: that is the first thing it does with the database.
    """
    end = time.monotonic() + SERVING_WITHIN_S
    while True:
        found = set(running.workers())
        pulses = [name for name, _, _ in database.sessions() if name == "zaicun pulse"]
        if len(found) == len(pulses) == 2 and found != but:
            return found
        assert time.monotonic() < end, (found, pulses, running.log.read_text()[-2000:])
        time.sleep(0.1)


def replaced(running: Served, before: set[int], killed: int) -> float:
    """Return how long it takes until a process stands in the place of the one that was just killed."""
    begun = time.monotonic()
    while (found := set(running.workers())) == before or len(found) < len(before) or killed in found:
        assert time.monotonic() - begun < SERVING_WITHIN_S, (found, running.log.read_text()[-2000:])
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("silent_one", [True, False], ids=["the silent one", "the other one"])
def test_a_worker_that_ends_is_noticed_while_one_is_silent(
    database: Standing, tmp_path: Path, silent_one: bool
) -> None:
    """Under load a worker answers late; the supervisor may not wait for that with its eyes shut."""
    with served(database.cluster, database.cluster.app_dsn, tmp_path, workers=2) as running:
        workers = at_work(database, running, but=set())
        silent, other = sorted(workers)
        os.kill(silent, signal.SIGSTOP)
        try:
            time.sleep(1.2)  # It has been asked for a sign of life, and gives none.
            killed = silent if silent_one else other
            os.kill(killed, signal.SIGKILL)
            assert replaced(running, workers, killed) <= NOTICED_WITHIN_S
        finally:
            if silent_one:
                at_work(database, running, but=workers)
            else:
                os.kill(silent, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(database: Standing, tmp_path: Path) -> None:
    with served(database.cluster, database.cluster.app_dsn, tmp_path, workers=2) as running:
        _, asks = crowd(running, f"5001161{random.randrange(10, 99)}")
        workers = at_work(database, running, but=set())
        with hammering(running.port, asks, pause_s=0.1) as hammer:
            for number in range(ROUNDS):
                time.sleep(1)
                killed = random.Random(number).choice(sorted(workers))
                os.kill(killed, signal.SIGKILL)
                assert replaced(running, workers, killed) <= NOTICED_WITHIN_S
                left = at_work(database, running, but=workers)
                assert killed not in left
                assert left & workers  # The other one has served on.
                workers = left
            healed = time.monotonic()
            time.sleep(1)
        broken = [one for one in hammer.seen if one.status == 0]
        assert broken  # Who was with the killed one has noticed,
        assert all(one.begun < healed for one in broken)  # and nobody afterwards.
        assert {one.status for one in hammer.seen} <= {0, 200, 201, 503}
        assert [one for one in hammer.during(healed, time.monotonic()) if one.status == 201]
        assert check_kept(running, hammer)
