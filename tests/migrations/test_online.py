"""Migrations while people check in: nothing fails, nothing is lost, nobody waits (security.md M21).

50,000 check-ins in the everyday suite; ``ZAICUN_PROVE_ROWS=1000000`` is the figure of M21.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import proof
import psycopg
import pytest
from conftest import Clone, Cloned, running_service
from migrations import lint
from migrations.busy import Locks, Traffic, Work, fill, watched_locks
from migrations.databases import APP
from migrations.offline import FUTURE, scripts, written

from server import migrate

ROWS = int(os.environ.get("ZAICUN_PROVE_ROWS", "50000"))
LONGEST_LOCK_S = 1.0
EXPANDING = [script.revision for script in scripts([FUTURE]) if script.revision.startswith("future_")][:7]
UNSAFE = {
    "an index that stops writing": "op.create_index('checkin_rows_all_idx', 'checkin_rows', ['day', 'posting_id', 'content_hash', 'event_at', 'reason'])",
    "a storage that rewrites the table": "op.execute('ALTER TABLE checkin_rows SET UNLOGGED')",
    "a default that rewrites the table": "op.add_column('checkin_rows', sa.Column('key', sa.Uuid(), server_default=sa.text('gen_random_uuid()')))",
}


@contextmanager
def long_reports(cloned: Cloned, told: list[str]) -> Iterator[None]:
    """Read for a second and a half at a time, as a report does, with short breaks; the first until it was in the way."""
    ended = threading.Event()

    def read() -> None:
        with psycopg.connect(cloned.app_url, application_name="a report") as reader:
            until = time.monotonic() + 60
            while not ended.is_set():
                reader.execute("SELECT id FROM checkins LIMIT 1")
                reader.execute("SELECT id FROM people LIMIT 1")
                while not told and not ended.wait(0.1) and time.monotonic() < until:
                    pass
                ended.wait(1.5)
                reader.rollback()
                ended.wait(0.7)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def report(locks: Locks, work: Work, took_s: float) -> str:
    return json.dumps(
        {
            "rows": ROWS,
            "migrations": len(EXPANDING),
            "took_s": round(took_s, 1),
            "longest_lock_s": round(locks.longest_s, 3),
            "longest_lock": locks.longest,
            "longest_wait_of_a_request_for_a_lock_s": round(locks.longest_wait_s, 3),
            "looks": locks.looks,
            "check_ins": len(work.acknowledged),
            "edits": work.edits,
            "reads": work.reads,
            "retries": work.retries,
            "failures": len(work.failures),
            "slowest_request_s": round(work.slowest_s, 3),
        }
    )


@pytest.mark.slow
def test_people_check_in_while_every_migration_runs(clone: Clone, tmp_path: Path) -> None:
    cloned = clone()
    fill(cloned, ROWS)
    told: list[str] = []
    with running_service(cloned, tmp_path) as service, Traffic(service).running() as work:
        time.sleep(1)
        before = len(work.acknowledged)
        with long_reports(cloned, told), watched_locks(cloned) as locks:
            began = time.monotonic()
            for revision in EXPANDING:
                migrate.upgrade(cloned.owner_url, APP, revision, also=[FUTURE], say=told.append)
            took = time.monotonic() - began
        during = len(work.acknowledged) - before
        time.sleep(1)  # This version goes on working on the schema afterwards.
    for name, figure in (
        ("rows", ROWS), ("longest lock s", locks.longest_s), ("slowest request s", work.slowest_s),
        ("requests", len(work.acknowledged) + work.edits + work.reads), ("failures", len(work.failures)),
    ):  # fmt: skip
        proof.largest(name, round(figure, 3))
    print("online-migrations", report(locks, work, took))  # noqa: T201  bin/prove reads the figures (pytest -s).
    assert work.failures == []
    assert min(during, work.edits, work.reads) > 0
    assert locks.longest_s <= LONGEST_LOCK_S, locks
    assert locks.longest_wait_s <= LONGEST_LOCK_S, locks
    assert any("it was held by pid" in line for line in told), "the reports were never in the way"
    with psycopg.connect(cloned.owner_url) as connection:
        stored = connection.execute(
            "SELECT count(*) FROM checkins WHERE id = ANY(%s::uuid[])", (work.acknowledged,)
        ).fetchone()
        assert stored == (len(work.acknowledged),)
        filled = connection.execute("SELECT count(*) FROM checkin_rows WHERE battery IS NULL").fetchone()
        assert filled is not None
        assert filled[0] <= len(
            work.acknowledged
        )  # Old rows are filled; new ones are the new code's to fill.


MIGRATION = '''"""Unsafe."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe"
down_revision = {after!r}
works_with = {after!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    {step}
'''


@pytest.mark.slow
@pytest.mark.parametrize("what", list(UNSAFE))
def test_an_unsafe_migration_is_caught_by_the_rules_and_by_the_clock(
    clone: Clone, tmp_path: Path, what: str
) -> None:
    """The measurement has teeth: what the rules forbid stops people measurably longer than what they allow."""
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "unsafe.py").write_text(MIGRATION.format(after=migrate.newest_revision(), step=UNSAFE[what]))
    assert lint.faults(list(written([folder]))[-1].statements)
    cloned = clone()
    fill(cloned, ROWS)
    with watched_locks(cloned) as locks:
        migrate.upgrade(cloned.owner_url, APP, "unsafe", also=[folder])
    # In proportion to the rows: at a million it is seconds.
    assert locks.longest_s > 0.5 * ROWS / 1_000_000, locks
    assert "on checkin_rows" in locks.longest
    if ROWS >= 1_000_000:
        assert locks.longest_s > LONGEST_LOCK_S
