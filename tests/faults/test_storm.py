"""Everything that can happen, while phones check in that never give up: nothing lost, nothing twice (M1, M2, M3)."""

import contextlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import proof
import psycopg
import pytest
from factories_checkins import make_cadre, make_world
from faults import storming
from faults.broken import MISTAKES
from faults.storming import Fault, Phones, Stage, Tap, phoning, staged

from server.compliance import recomputing
from server.month.masks import Month

SEEDS = range(int(os.environ.get("ZAICUN_PROVE_STORMS", "1")))
ACKS = int(os.environ.get("ZAICUN_PROVE_STORM_ACKS", "400"))
"""Acknowledged check-ins of each storm, at least."""
PROVING = "ZAICUN_PROVE_STORMS" in os.environ
PHONES = 24
BACK_WITHIN_S = 2.0 if PROVING else 8.0
"""From a database that takes connections to the next acknowledgement; the everyday suite shares its machine."""
CALM_S = 0.6


@dataclass
class Damage:
    """What a storm has done to the record."""

    lost: set[Tap]
    twice: int
    unknown: set[Tap]
    """Rows that nobody ever made."""


def weather(stage: Stage, faults: Sequence[Fault], seed: int, acks: int) -> Phones:
    """Let phones check in through the faults, in this order; return what they were told."""
    drawn = random.Random(seed)
    world = make_world(stage.service, town=f"5001161{seed % 90 + 10:02d}")
    cadres = [make_cadre(stage.service, world) for _ in range(PHONES)]
    phones = stage.phones = Phones(stage.port, cadres, seed)
    with phoning(phones):
        for fault in faults:
            time.sleep(CALM_S + drawn.random() * 0.4)
            fault(stage, drawn)
            stage.ready()
            back(phones, fault)
        deadline = time.monotonic() + 300
        while len(phones.acked) < acks:
            assert time.monotonic() < deadline, f"only {len(phones.acked)} acknowledged"
            time.sleep(0.1)
    return phones


def back(phones: Phones, fault: Fault) -> None:
    """Wait until somebody is acknowledged again; say how long it took after readiness."""
    ready = time.monotonic()
    while phones.last_ack < ready:
        assert time.monotonic() < ready + 30, f"nobody is served after {fault.__name__}"
        time.sleep(0.02)
    proof.largest(
        f"s to the first ack after {fault.__name__.replace('_', ' ')}", round(phones.last_ack - ready, 2)
    )
    proof.largest("s to the first ack after a fault", round(phones.last_ack - ready, 2))
    assert phones.last_ack - ready <= BACK_WITHIN_S


def damage(stage: Stage, phones: Phones) -> Damage:
    rows = storming.kept_of(stage.database.cluster, [cadre.person_id for cadre in phones.cadres])
    kept = set(rows)
    return Damage(phones.acked - kept, len(rows) - len(kept), kept - phones.acked)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("var")) as built:
        yield built


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_storm_loses_or_doubles_what_was_acknowledged(
    tmp_path: Path, request: pytest.FixtureRequest, seed: int
) -> None:
    order = list(storming.EVERY_FAULT if PROVING else storming.HARDEST)
    random.Random(seed).shuffle(order)
    # Building a stage takes a third of the everyday form's time; the long form would fill the disk of a shared one.
    shared = None if PROVING else contextlib.nullcontext(request.getfixturevalue("stage"))
    with shared or staged(tmp_path) as stage:
        phones = weather(stage, order, seed, ACKS)
        done = damage(stage, phones)
        proof.added("acknowledged", len(phones.acked))
        proof.added("lost", len(done.lost))
        proof.added("twice", done.twice)
        proof.added("faults", len(order))
        assert not phones.wrong, phones.wrong[:5]
        assert not phones.unacked  # Everybody got through in the end,
        assert (done.lost, done.twice, done.unknown) == (set(), 0, set())  # and each tap is there once.
        with stage.service.database.read() as session:
            for month in {Month.of(day) for day in days_of(stage)}:
                assert recomputing.different_masks(session, month) == []  # The months are what the rows say.
        assert storming.left_open(stage.database) == []
        assert doubled_jobs(stage) == []
    proof.largest("a disk was filled", float(stage.disk is not None))


def days_of(stage: Stage) -> list[date]:
    with psycopg.connect(stage.service.cloned.owner_url) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT day FROM checkins").fetchall()]


def doubled_jobs(stage: Stage) -> Sequence[object]:
    """Return jobs that were recorded more often than their ledger says (ruling 25)."""
    with psycopg.connect(stage.service.cloned.owner_url) as connection:
        return connection.execute(
            "SELECT deed, count(*) FROM audit_log WHERE deed LIKE 'job:%' GROUP BY deed, subject_id HAVING count(*) > 1"
        ).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "fault", "harm"),
    [
        ("hasty", storming.lose_the_host, "lost"),
        ("careless", storming.kill_the_database, "lost"),
        ("forgetful", storming.end_every_session, "twice"),
    ],
)
def test_a_service_with_this_mistake_does_not_survive_a_storm(
    stage: Stage, mistake: str, fault: Fault, harm: str
) -> None:
    """Within a few rounds: whether one strikes an open group is a matter of milliseconds."""
    stage.break_by(mistake)
    first = 20 * (1 + list(MISTAKES).index(mistake))
    found = (damage(stage, weather(stage, [fault], first + n, 20)) for n in range(4))
    assert any(getattr(done, harm) for done in found), f"the suite has no teeth: {mistake} went unnoticed"
