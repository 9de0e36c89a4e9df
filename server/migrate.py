"""Bringing a database to the present schema, and giving the application role what the models say it may do."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from server import db, schema

EXTENSIONS = ("postgis", "btree_gist")


def owner_engine(url: str) -> sa.Engine:
    """Return an engine for the owner's DSN, without a pool: migrations use one connection."""
    return sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)


def configuration(connection: sa.Connection) -> Config:
    """Return Alembic's configuration for this connection; there is no ini file to keep in step."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(owner_url: str, app_role: str, revision: str = "head") -> None:
    """Migrate up to `revision` and grant. Safe to run again; two at once wait for each other."""
    engine = owner_engine(owner_url)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(hashtext('zaicun:migrate'))"))
        connection.commit()
        missing = [name for name in EXTENSIONS if not _has_extension(connection, name)]
        for name in missing:
            connection.execute(sa.text(f"CREATE EXTENSION IF NOT EXISTS {name}"))
        connection.commit()
        command.upgrade(configuration(connection), revision)
        connection.commit()
        grant(connection, app_role)
        connection.commit()


def _has_extension(connection: sa.Connection, name: str) -> bool:
    query = sa.text("SELECT 1 FROM pg_extension WHERE extname = :name")
    return connection.execute(query, {"name": name}).first() is not None


def grant(connection: sa.Connection, app_role: str) -> None:
    """Give the application role exactly what the models declare: an append-only table gets no UPDATE (M14)."""
    quoted = connection.dialect.identifier_preparer.quote(app_role)
    connection.execute(sa.text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(sa.text(f"GRANT SELECT ON alembic_version TO {quoted}"))  # To refuse an old schema.
    for table, rights in db.grants(schema.METADATA).items():
        connection.execute(sa.text(f"REVOKE ALL ON {table} FROM {quoted}"))
        connection.execute(sa.text(f"GRANT {rights} ON {table} TO {quoted}"))


def newest_revision() -> str | None:
    """Return the revision that this version of the product needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return ScriptDirectory.from_config(config).get_current_head()


def present_revision(connection: sa.Connection) -> str | None:
    """Return the revision that a database has; None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()
