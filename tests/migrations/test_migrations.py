from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from conftest import Clone

from server import cluster as cluster_module
from server import db, migrate, schema
from server.cluster import Cluster


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    name = f"zt_{uuid4().hex[:12]}"
    cluster.create_database(name)
    yield cluster.dsn(cluster_module.OWNER_ROLE, name)
    cluster.drop_database(name)


def tables(connection: sa.Connection) -> set[str]:
    query = sa.text(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user"
    )
    return set(connection.execute(query).scalars()) - {"alembic_version"}


def test_every_migration_goes_up_and_down_and_up(empty: str) -> None:
    migrate.upgrade(empty, cluster_module.APP_ROLE)
    engine = migrate.owner_engine(empty)
    with engine.connect() as connection:
        assert tables(connection) == set(schema.METADATA.tables)
        command.downgrade(migrate.configuration(connection), "base")
        connection.commit()
        assert tables(connection) == set()
    migrate.upgrade(empty, cluster_module.APP_ROLE)
    migrate.upgrade(empty, cluster_module.APP_ROLE)  # Again: nothing to do.
    with engine.connect() as connection:
        assert migrate.present_revision(connection) == migrate.newest_revision()


def test_the_models_are_what_the_migrations_make(empty: str) -> None:
    migrate.upgrade(empty, cluster_module.APP_ROLE)
    with migrate.owner_engine(empty).connect() as connection:
        command.check(migrate.configuration(connection))


def test_a_migration_gives_up_on_a_lock_soon(empty: str) -> None:
    migrate.upgrade(empty, cluster_module.APP_ROLE)
    with psycopg.connect(empty) as reader, migrate.owner_engine(empty).connect() as connection:
        reader.execute("SELECT count(*) FROM checkins")
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            command.downgrade(migrate.configuration(connection), "base")


def test_the_application_role_may_do_what_the_models_say_and_no_more(clone: Clone) -> None:
    cloned = clone()
    with psycopg.connect(cloned.app_url) as connection:
        rows = connection.execute(
            "SELECT t.tablename, p.right_, has_table_privilege('public.' || quote_ident(t.tablename), p.right_) FROM pg_tables t"
            " CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p(right_) WHERE t.schemaname = 'public'"
        ).fetchall()
        owned = connection.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = current_user"
        )
        assert owned.fetchone() == (0,)
    declared = {table: set(rights.split(", ")) for table, rights in db.grants(schema.METADATA).items()}
    for table, right, held in rows:
        if table in declared:
            assert held == (right in declared[table]), (table, right)
    for table in (
        "checkins",
        "checkin_positions",
        "checkin_judgements",
        "checkin_withdrawals",
        "audit_log",
        "zone_versions",
    ):
        assert declared[table] == {"SELECT", "INSERT"}  # M14: what was recorded is never rewritten.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkins SET verdict = 'inside'",
        "DELETE FROM checkins",
        "TRUNCATE checkins",
        "UPDATE checkin_positions SET lon_e7 = 0",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET deed = 'x'",
        "UPDATE zone_versions SET accuracy_m = 0",
        "DROP TABLE checkins",
        "ALTER TABLE checkins DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id int)",
        "SET ROLE zaicun_owner",
    ],
)
def test_the_application_role_cannot_rewrite_the_record(clone_once: str, statement: str) -> None:
    with psycopg.connect(clone_once) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.fixture(scope="module")
def clone_once(clone: Clone) -> str:
    return clone().app_url
