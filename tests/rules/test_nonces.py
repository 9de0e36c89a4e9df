"""Nonces and the memory of proofs that were used: across processes, when there is no room, when a worker is stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import SetClock
from processes import until

from server import problems
from server.auth import nonces
from server.auth.nonces import NAME, WINDOW_S, WINDOWS, Nonces
from server.problems import Problem

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
JKT = "k" * 43


@pytest.fixture(params=["alone", "shared"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nonces]:
    made = Nonces(tmp_path / "workers" if request.param == "shared" else None)
    yield made
    made.close()


def window(memory: Nonces) -> int:
    found = memory.window_of(memory.current())
    assert found is not None
    return found


def test_a_proof_is_new_once_whoever_else_uses_its_id(memory: Nonces) -> None:
    now = window(memory)
    assert memory.use(JKT, "one", now)
    assert not memory.use(JKT, "one", now)
    assert memory.use("x" * 43, "one", now)  # Another phone's id is another id.
    assert memory.use(JKT, "two", now)


def test_of_many_at_once_one_is_the_first(memory: Nonces) -> None:
    now = window(memory)
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            told = list(pool.map(lambda _, number=number: memory.use(JKT, f"{number}", now), range(8)))
            assert told.count(True) == 1


def test_what_is_forgotten_has_a_nonce_that_fell(memory: Nonces, clock: SetClock) -> None:
    clock.set(START)
    nonce, now = memory.current(), window(memory)
    assert memory.use(JKT, "one", now)
    for _ in range(WINDOWS - 1):
        clock.move(seconds=WINDOW_S)
        assert memory.window_of(nonce) == now
        assert not memory.use(JKT, "one", now)
    clock.move(seconds=WINDOW_S)
    assert memory.window_of(nonce) is None


def test_when_there_is_no_room_nothing_is_let_through(
    memory: Nonces, monkeypatch: pytest.MonkeyPatch, clock: SetClock
) -> None:
    monkeypatch.setattr(nonces, "_BUCKETS", 2)
    clock.set(START)
    now = window(memory)
    used: list[str] = []

    def fill() -> None:
        for number in range(100):
            assert memory.use(JKT, str(number), now)
            used.append(str(number))

    with pytest.raises(Problem) as refused:
        fill()
    assert refused.value.kind is problems.BUSY
    assert len(used) >= 16
    assert not any(memory.use(JKT, each, now) for each in used)  # Nothing was pushed out for it.
    clock.move(seconds=WINDOW_S * WINDOWS)
    assert memory.use(JKT, "later", window(memory))


def test_two_processes_share_nonces_and_memory(tmp_path: Path) -> None:
    here = Nonces(tmp_path)
    nonce = here.current()
    code = (
        "import sys; from pathlib import Path; from server.auth.nonces import Nonces\n"
        "there = Nonces(Path(sys.argv[1])); window = there.window_of(sys.argv[2])\n"
        "print(there.use('k' * 43, 'one', window), there.use('k' * 43, 'two', window))"
    )
    assert here.use(JKT, "one", window(here))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), nonce], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
    assert not here.use(JKT, "two", window(here))
    here.close()


def test_another_service_s_nonces_are_none(tmp_path: Path) -> None:
    """And so are those from before a restart: the memory that guarded them is gone."""
    one, other = Nonces(tmp_path / "a"), Nonces(tmp_path / "b")
    assert one.window_of(other.current()) is None
    assert one.window_of(one.current()) is not None
    one.close()
    other.close()


def test_the_file_is_for_its_owner_alone_and_takes_little_room(tmp_path: Path) -> None:
    memory = Nonces(tmp_path)
    told = (tmp_path / NAME).stat()
    assert told.st_mode & 0o077 == 0
    assert told.st_blocks * 512 < 100_000  # It is sparse.
    memory.close()


def test_a_worker_that_was_stopped_while_it_held_the_lock_makes_nobody_wait_long(tmp_path: Path) -> None:
    here = Nonces(tmp_path)
    code = (
        "import fcntl, os, sys, time; from pathlib import Path; from server.auth.nonces import Nonces\n"
        "there = Nonces(Path(sys.argv[1])); fcntl.lockf(there._file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    stopped = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "held\n"
        os.kill(stopped.pid, signal.SIGSTOP)
        with pytest.raises(Problem) as refused:
            here.use(JKT, "one", window(here))
        assert refused.value.kind is problems.BUSY
    finally:
        stopped.kill()
        stopped.communicate()
    until(lambda: _free(here))  # The kernel gives the lock back when its holder ends.
    here.close()


def _free(memory: Nonces) -> bool:
    try:
        return memory.use(JKT, "two", window(memory))
    except Problem:
        return False


@pytest.mark.parametrize("text", ["", "x", "=", "密", "A" * 28, "A" * 5000])
def test_no_text_makes_it_crash(memory: Nonces, text: str) -> None:
    assert memory.window_of(text) is None
