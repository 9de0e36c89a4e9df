"""Every migration goes up, down and up again with rows in the tables, and ends where the models are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from conftest import Cloned
from migrations import dumped
from migrations.databases import APP, IMPATIENT, down, empty_database, up
from migrations.offline import FUTURE, scripts
from psycopg import sql

from server import migrate
from server import schema as schema_module
from server.cluster import Cluster

ROWS = Path(__file__).with_name("rows_0001.sql")
"""A small district as version 0.1.0 left it: rows in every table of revision 0001."""
LINE = [script.revision for script in scripts()]
GONE = {"checkins": {"duplicate_of"}}
"""Columns that no release ever filled, taken away since: the first of double taps is found when it is asked for."""


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Cloned]:
    with empty_database(cluster) as cloned:
        yield cloned


def tables(url: str) -> dict[str, list[str]]:
    """Return the columns of every table of ours, in the order of their names."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT t.tablename, array_agg(a.attname::text ORDER BY a.attname) FROM pg_tables t"
            " JOIN pg_attribute a ON a.attrelid = format('public.%I', t.tablename)::regclass AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE t.schemaname = 'public' AND t.tableowner = current_user GROUP BY 1"
        ).fetchall()
    return {
        name: [column for column in columns if column not in GONE.get(name, ())]
        for name, columns in rows
        if name not in {"alembic_version", "schema_revisions"}
    }


def content(url: str, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
    """Return every row of the given columns, as text, in an order of their own."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(
                sql.SQL("SELECT t::text FROM (SELECT {} FROM {}) AS t ORDER BY 1").format(
                    sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table)
                )
            ).fetchall()
            for table, names in columns.items()
        }


def filled_as_released(cloned: Cloned) -> None:
    """Make the database of the first release, with its rows."""
    up(cloned, LINE[0])
    with psycopg.connect(cloned.owner_url) as connection:
        # As bytes, because the rows hold % signs that are no placeholders.
        connection.execute(ROWS.read_bytes())


def test_the_first_release_had_rows_in_every_table(empty: Cloned) -> None:
    filled_as_released(empty)
    assert [t for t, rows in content(empty.owner_url, tables(empty.owner_url)).items() if not rows] == []


@pytest.mark.parametrize("released", LINE)
def test_an_upgrade_from_every_release_keeps_every_row(empty: Cloned, released: str) -> None:
    filled_as_released(empty)
    up(empty, released)
    columns = tables(empty.owner_url)
    before = content(empty.owner_url, columns)
    migrate.upgrade(empty.owner_url, APP)
    assert content(empty.owner_url, columns) == before
    with migrate.owner_engine(empty.owner_url).connect() as connection:
        assert migrate.present_revision(connection) == LINE[-1]


@pytest.mark.slow
def test_every_migration_goes_up_and_down_and_up_with_rows(empty: Cloned) -> None:
    filled_as_released(empty)
    columns = tables(empty.owner_url)
    before = content(empty.owner_url, columns)
    for script in scripts([FUTURE])[1:]:
        old = built(empty)
        up(empty, script.revision)
        new = built(empty)
        down(empty, str(script.down_revision))
        assert built(empty) == old, script.revision
        up(empty, script.revision)
        assert built(empty) == new, script.revision
        assert content(empty.owner_url, columns) == before, script.revision


def built(cloned: Cloned) -> set[str]:
    """Return the schema without its grants, which are given when it is whole and not by its migrations."""
    return {each for each in dumped.schema(cloned.owner_url) if not each.startswith("GRANT")}


def test_everything_goes_down_to_nothing_and_up_again(empty: Cloned) -> None:
    up(empty, "head")
    down(empty, "base")
    assert tables(empty.owner_url) == {}
    migrate.upgrade(empty.owner_url, APP)
    migrate.upgrade(empty.owner_url, APP)  # Again: nothing to do.
    assert set(tables(empty.owner_url)) == set(schema_module.METADATA.tables) - {"schema_revisions"}


def test_alembic_finds_nothing_to_add_to_the_migrations(empty: Cloned) -> None:
    migrate.upgrade(empty.owner_url, APP)
    with migrate.owner_engine(empty.owner_url).connect() as connection:
        command.check(migrate.configuration(connection))


def by_the_models(cloned: Cloned) -> None:
    """Make the schema from the models, without the migrations."""
    with migrate.owner_engine(cloned.owner_url).connect() as connection:
        schema_module.METADATA.create_all(connection)
        connection.commit()
        command.stamp(migrate.configuration(connection), "head")
        connection.commit()
        migrate.grant(connection, APP)
        connection.commit()


@pytest.fixture
def modelled(cluster: Cluster) -> Iterator[Cloned]:
    with empty_database(cluster) as cloned:
        by_the_models(cloned)
        yield cloned


def test_migrations_and_models_make_the_same_schema_to_the_letter(empty: Cloned, modelled: Cloned) -> None:
    migrate.upgrade(empty.owner_url, APP)
    assert dumped.schema(empty.owner_url) ^ dumped.schema(modelled.owner_url) == set()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE postings DROP CONSTRAINT postings_no_overlap_excl",
        "ALTER TABLE checkin_rows DROP CONSTRAINT checkin_rows_kind_check, ADD CONSTRAINT checkin_rows_kind_check CHECK (kind IN ('d'))",
        "DROP INDEX sessions_account_id_idx; CREATE INDEX sessions_account_id_idx ON sessions (account_id, id)",
        "GRANT DELETE ON checkin_rows TO zaicun_app",
        "GRANT UPDATE (note) ON checkin_rows TO zaicun_app",
        "GRANT INSERT ON checkins TO zaicun_app",
        (
            "CREATE OR REPLACE VIEW checkin_positions AS SELECT person_id, id AS checkin_id, NULL::bytea AS salt, 0 AS lon_e7,"
            " 0 AS lat_e7, 0 AS wgs_lon_e7, 0 AS wgs_lat_e7, 0 AS altitude_cm, 0 AS speed_cmps, 0::smallint AS decimals"
            " FROM checkin_rows"
        ),
        "GRANT SELECT ON people TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO zaicun_app",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE RULE r AS ON DELETE TO audit_log DO INSTEAD NOTHING",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE checkin_rows ALTER COLUMN note SET DEFAULT ''",
        "ALTER TABLE checkin_rows ENABLE ROW LEVEL SECURITY",
    ],
)
def test_a_schema_that_strays_is_seen(modelled: Cloned, change: str) -> None:
    before = dumped.schema(modelled.owner_url)
    with psycopg.connect(modelled.owner_url) as connection:
        connection.execute(change)
    assert dumped.schema(modelled.owner_url) != before


def test_the_database_remembers_its_migrations(empty: Cloned) -> None:
    up(empty, "future_3")
    query = "SELECT revision FROM schema_revisions ORDER BY seq"
    with psycopg.connect(empty.app_url) as connection:  # The application may read it.
        assert [row[0] for row in connection.execute(query)] == [*LINE, "future_1", "future_2", "future_3"]
    down(empty, "future_1")
    with psycopg.connect(empty.app_url) as connection:
        assert [row[0] for row in connection.execute(query)] == [*LINE, "future_1"]


def test_an_old_row_that_breaks_a_new_rule_stops_the_migration_and_mending_it_goes_on(empty: Cloned) -> None:
    filled_as_released(empty)
    up(empty, "future_3")
    with psycopg.connect(empty.owner_url) as connection:
        connection.execute("UPDATE checkin_rows SET battery = 120")
    with pytest.raises(sa.exc.IntegrityError, match="checkin_rows_battery_check"):
        up(empty, "future_4")
    with psycopg.connect(empty.owner_url) as connection:
        connection.execute("UPDATE checkin_rows SET battery = 99")
    up(empty, "future_4")
    assert any(
        "checkin_rows_battery_check" in each and "NOT VALID" not in each
        for each in dumped.schema(empty.owner_url)
    )


def test_what_an_interrupted_index_left_behind_is_built_anew(empty: Cloned) -> None:
    filled_as_released(empty)
    up(empty, "future_2")
    with psycopg.connect(empty.owner_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute(
                "CREATE INDEX CONCURRENTLY checkin_rows_posting_id_day_idx ON checkin_rows ((1 / (utc_offset_min - utc_offset_min)))"
            )
        query = (
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'checkin_rows_posting_id_day_idx'::regclass"
        )
        assert connection.execute(query).fetchone() == (False,)
        up(empty, "future_3")
        assert connection.execute(query).fetchone() == (True,)


def test_impatience_is_for_tests_alone() -> None:
    assert migrate.PATIENT.tries > IMPATIENT.tries
    pauses = [migrate.PATIENT.pause_s(tried) for tried in range(1, migrate.PATIENT.tries + 1)]
    assert pauses == sorted(pauses)
    # More than a minute for a reader that takes its time, less than ten for an operator that waits.
    assert 60 < sum(pauses) < 600
