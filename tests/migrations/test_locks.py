"""A migration waits for nobody long, tells who is in its way, and no two run at once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from click.testing import CliRunner
from conftest import Cloned
from migrations.databases import APP, empty_database, up
from migrations.offline import FUTURE
from processes import until

from server import migrate
from server.cli import main
from server.cluster import Cluster
from server.lock_watch import MigrationFault
from server.migrations import online


@pytest.fixture
def migrated(cluster: Cluster) -> Iterator[Cloned]:
    with empty_database(cluster) as cloned:
        migrate.upgrade(cloned.owner_url, APP)
        yield cloned


@contextmanager
def reading(cloned: Cloned) -> Iterator[psycopg.Connection]:
    """Hold a transaction open that has read the table, as a report or a backup does."""
    with psycopg.connect(cloned.app_url, application_name="a long report") as reader:
        reader.execute("SELECT note FROM checkins WHERE note = '机密'")
        yield reader
        reader.rollback()


def test_who_holds_the_lock_is_told_and_nothing_of_what_they_asked(migrated: Cloned) -> None:
    with reading(migrated) as reader:
        began = time.monotonic()
        with pytest.raises(MigrationFault) as caught:
            up(migrated, "future_1")
        took = time.monotonic() - began
        pid = reader.info.backend_pid
    assert f"pid {pid} (role zaicun_app, a long report), AccessShareLock on checkin_rows" in caught.value.en
    assert f"pid {pid}" in caught.value.zh
    assert "机密" not in str(caught.value)
    assert "3 tries" in caught.value.en
    # Three waits of half a second and two pauses; a machine that is busy takes longer, but never the pauses away.
    assert 3 * online.LOCK_TIMEOUT_MS / 1000 <= took < 20
    up(migrated, "future_1")  # Once the reader has gone.


def test_a_migration_is_tried_again_until_the_reader_has_gone(migrated: Cloned) -> None:
    told: list[str] = []
    with psycopg.connect(migrated.app_url) as reader:
        reader.execute("SELECT count(*) FROM checkins")

        def go() -> None:
            until(lambda: bool(told), 60)
            reader.rollback()

        gone = threading.Thread(target=go)
        gone.start()  # It goes when it was told of, however long that takes here.
        migrate.upgrade(
            migrated.owner_url,
            APP,
            "future_1",
            also=[FUTURE],
            say=told.append,
            patience=migrate.Patience(others_s=60),
        )
        gone.join()
    assert any("it was held by pid" in line for line in told)


def test_writers_are_never_kept_longer_than_the_lock_timeout(migrated: Cloned) -> None:
    """While a migration fails to get its lock behind a reader, a writer that queues behind it gets through."""
    slowest = 0.0
    with (
        reading(migrated),
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(migrated.app_url, autocommit=True) as writer,
    ):
        migration = pool.submit(up, migrated, "future_1")
        while not migration.done():
            began = time.monotonic()
            writer.execute("SELECT count(*) FROM checkins")
            slowest = max(slowest, time.monotonic() - began)
        assert isinstance(migration.exception(), MigrationFault)
    assert 0.1 < slowest <= 1.0  # It was made to wait, and not for long (M21).


def test_eight_migrations_at_once_are_one_after_another(cluster: Cluster) -> None:
    with empty_database(cluster) as cloned, ThreadPoolExecutor(8) as pool:
        done = [pool.submit(migrate.upgrade, cloned.owner_url, APP) for _ in range(8)]
        assert [each.result() for each in done] == [None] * 8
        with migrate.owner_engine(cloned.owner_url).connect() as connection:
            assert migrate.present_revision(connection) == migrate.newest_revision()


def test_one_that_waits_for_its_turn_does_not_hold_up_an_index(migrated: Cloned) -> None:
    """Waiting inside a statement would: CREATE INDEX CONCURRENTLY waits for every older one, a deadlock."""
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(up, migrated, "future_8") for _ in range(4)]
        assert [each.result(timeout=120) for each in done] == [None] * 4


def test_a_migration_that_does_not_end_is_told_of(migrated: Cloned) -> None:
    told: list[str] = []
    with psycopg.connect(migrated.owner_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('zaicun:migrate'))")
        with pytest.raises(MigrationFault, match="Another migration"):
            migrate.upgrade(migrated.owner_url, APP, patience=migrate.Patience(others_s=0.5), say=told.append)
    assert told == ["Another migration of this database is running; waiting for it."]


def test_the_lock_of_migrations_is_let_go_whatever_happens(migrated: Cloned) -> None:
    with reading(migrated), pytest.raises(MigrationFault):
        up(migrated, "future_1")
    with pytest.raises(sa.exc.OperationalError):
        migrate.upgrade(migrated.owner_url.replace("zt_", "zt_none_"), APP)
    with psycopg.connect(migrated.owner_url, autocommit=True) as other:
        query = "SELECT pg_try_advisory_lock(hashtext('zaicun:migrate'))"
        assert other.execute(query).fetchone() == (True,)


def test_every_migration_runs_under_short_timeouts(migrated: Cloned) -> None:
    """Also after a step that was unhurried, and after one that failed."""
    with migrate.owner_engine(migrated.owner_url).connect() as connection:
        seen: list[tuple[str, str]] = []

        @sa.event.listens_for(connection, "before_cursor_execute")
        def _look(_c: object, cursor: psycopg.Cursor, statement: str, *_rest: object) -> None:
            if statement.startswith(("ALTER TABLE checkin_rows ADD", "UPDATE alembic_version")):
                with cursor.connection.cursor() as own:
                    limits = own.execute(
                        "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
                    )
                    row = limits.fetchone()
                    assert row is not None
                    seen.append((row[0], row[1]))

        config = migrate.configuration(connection, [FUTURE])
        command.upgrade(config, "future_8")
    assert set(seen) == {("500ms", "10s")}
    assert len(seen) > 8


def test_the_command_says_it_in_one_sentence(migrated: Cloned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAICUN_DATABASE_URL", migrated.app_url)
    monkeypatch.setenv("ZAICUN_OWNER_DATABASE_URL", migrated.owner_url)
    up(migrated, "future_9")
    told = CliRunner().invoke(main, ["migrate"])
    assert told.exit_code == 1
    assert "Traceback" not in told.output
    assert "future_8 took away what this version needs" in told.output
    assert "请运行新版本" in told.output
