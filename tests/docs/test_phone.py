"""The reference client: nothing lost and nothing twice, through networks that lose things and with phones that die."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zaicun_phone
from conftest import ROOT, Service, SetClock
from docs.cutting_transport import CuttingTransport
from docs.phones import FIX, phone_of, stored
from factories_auth import token_for
from factories_checkins import Cadre, World, make_cadre, make_world
from zaicun_phone import Answer, Phone, uuid7
from zaicun_time import RunningClock


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World) -> Cadre:
    return make_cadre(service, world)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_loses_a_third_loses_and_doubles_nothing(
    service: Service, cadre: Cadre, pauses: list[float], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zaicun_phone, "PORTION", 2)  # Many requests to be lost.
    network = CuttingTransport(before=0.2, after=0.2, seed=seed)
    with phone_of(service, cadre, pauses, transport=network) as phone:
        made = [str(phone.tap(FIX)) for _ in range(60)]
        answers: list[Answer] = []
        while phone.waiting():
            answers += phone.flush()
    assert network.lost_before > 0
    assert network.lost_after > 0
    assert [answer.body["id"] for answer in answers] == made  # Oldest first, each once.
    assert sorted(stored(service, cadre)) == sorted(made)
    assert any(answer.replayed for answer in answers)  # A lost answer was fetched by sending again.


def test_only_sent_at_changes_between_two_sendings(
    service: Service, cadre: Cadre, pauses: list[float], clock: SetClock
) -> None:
    clock.set(datetime.now(UTC))
    network = CuttingTransport()
    with phone_of(service, cadre, pauses, transport=network, clock=clock) as phone:
        made = phone.tap(FIX)
        network.lose_next.add(f"/v1/check-ins/{made}")
        phone.pause = lambda seconds: clock.move(seconds=seconds)
        phone.flush()
    first, again = [json.loads(request.content) for request in network.sent]
    assert first.pop("sent_at") < again.pop("sent_at")
    assert first == again


def test_without_a_way_through_everything_stays(cadre: Cadre, service: Service, pauses: list[float]) -> None:
    network = CuttingTransport(before=1.0)
    with phone_of(service, cadre, pauses, transport=network) as phone:
        phone.tap(FIX)
        phone.tap(None, no_position="timeout")
        assert phone.flush(attempts=4) == []
        assert phone.waiting() == 2
    assert (
        len(network.sent) == 4
    )  # One after the other: while the first finds no way, the second is not tried.
    assert all(0.5 * 2**n <= pause <= 0.75 * 2**n for n, pause in enumerate(pauses))


def test_the_id_is_a_uuidv7_of_the_tap() -> None:
    at = datetime(2026, 11, 5, 4, 0, 0, 123_000, UTC)
    made = uuid7(at)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1793851200123
    assert uuid7(at) != uuid7(at)
    assert UUID(str(uuid7(datetime(1969, 12, 31, tzinfo=UTC)))).version == 7  # A clock that lost everything.


# --- the queue on disk


TAPPING = """
import sys
from pathlib import Path
from zaicun_phone import Phone
phone = Phone("http://127.0.0.1:9", store=Path(sys.argv[1]))
while True:
    print(phone.tap({fix!r}), flush=True)
"""
SENDING = """
import sys
from pathlib import Path
import zaicun_phone
from zaicun_phone import Phone
zaicun_phone.PORTION = 2
phone = Phone(sys.argv[2], store=Path(sys.argv[1]))
print("begun", flush=True)
phone.flush()
"""


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a phone as a process of its own, to be killed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "mobile_api_docs" / "examples")}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_was_tapped_survives_kill(tmp_path: Path) -> None:
    with running(TAPPING.format(fix=FIX), str(tmp_path)) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
    kept = [entry["id"] for entry in Phone("http://127.0.0.1:9", store=tmp_path).queue]
    # One more than was told may be there: the phone died between keeping it and saying so.
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1
    assert (tmp_path / "phone.json").stat().st_mode & 0o077 == 0  # Tokens and positions are nobody else's.


def test_killed_while_sending_loses_and_doubles_nothing(
    service: Service, cadre: Cadre, pauses: list[float], tmp_path: Path
) -> None:
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:
        made = [str(phone.tap(FIX)) for _ in range(60)]
    for _ in range(3):
        before = len(stored(service, cadre))
        with running(SENDING, str(tmp_path), service.url) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while len(stored(service, cadre)) < min(before + 5, 60) and process.poll() is None:
                pass
            process.send_signal(signal.SIGKILL)
    assert 0 < len(stored(service, cadre)) < 60  # It died on the way.
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:
        phone.flush()
        assert phone.waiting() == 0
        assert [entry["id"] for entry in phone.queue] == made
    assert sorted(stored(service, cadre)) == sorted(made)


def test_what_waits_is_never_forgotten_and_what_was_answered_is_kept_for_a_while(tmp_path: Path) -> None:
    phone = Phone("http://127.0.0.1:9", store=tmp_path)
    old, young = {"captured_at": "2026-01-05T12:00:00+08:00"}, {"captured_at": datetime.now(UTC).isoformat()}
    waiting: list[dict[str, Any]] = [{"id": f"w{n}", "content": old, "answer": None} for n in range(400)]
    phone.queue = [
        {"id": f"y{n}", "content": young, "answer": {}} for n in range(9)
    ]  # Receipts of the last 72 hours.
    phone.queue += [{"id": f"a{n}", "content": old, "answer": {}} for n in range(400)] + waiting
    phone.tap(None, no_position="off")
    kept = Phone("http://127.0.0.1:9", store=tmp_path)
    assert kept.waiting() == 401
    assert [entry["id"] for entry in kept.queue if entry["answer"] is not None] == [
        *(f"y{n}" for n in range(9)),
        *(f"a{n}" for n in range(100, 400)),
    ]


def test_a_phone_with_a_running_clock_proves_its_days_whatever_its_time_is_set_to(
    service: Service, cadre: Cadre, pauses: list[float], clock: SetClock, tmp_path: Path
) -> None:
    start = datetime(2026, 11, 16, 1, tzinfo=UTC)
    clock.set(start)
    wrong = lambda: clock() - timedelta(days=400)  # noqa: E731  The phone's own time.
    running = RunningClock(
        tmp_path / "anchor.json", lambda: ("b1", (clock() - start) // timedelta(milliseconds=1))
    )
    with phone_of(service, cadre, pauses, clock=wrong, running=running) as phone:
        phone.fetch_anchor()
        for _ in range(5):
            clock.move(days=1)
            phone.tap(FIX)
        clock.move(days=1)
        phone.access = token_for(service, cadre.account)
        answers = phone.flush()
    days = [f"2026-11-{day}" for day in range(17, 22)]
    assert [(a.body["day"], a.body["standing"]) for a in answers] == [(day, "counted") for day in days]
