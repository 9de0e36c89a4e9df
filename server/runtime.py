"""From settings to a database that can be used: the embedded cluster, or the one that the settings name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from server import cluster, installation, migrate, safety, safety_texts
from server.settings import Settings, SettingsFault

Say = Callable[[str], None]


@contextmanager
def ready(settings: Settings, say: Say | None = None) -> Iterator[Settings]:
    """Yield the settings with both addresses of a migrated, safe database.

    Embedded: the cluster is started when it is not running, migrated, and released at the end. External: it must have
    been migrated before (`zaicun migrate`), because a service does not own its tables.
    Raises SettingsFault or ClusterError with what to do.
    """
    if settings.database_url:
        check_safe(settings, say)
        yield settings
        return
    with cluster.ensure(settings.var, say=say) as running:
        embedded = replace(settings, database_url=running.app_dsn, owner_database_url=running.owner_dsn)
        migrate.upgrade(embedded.owner_database_url, cluster.APP_ROLE, say=say)
        mark(embedded)
        check_safe(embedded, say)
        yield embedded


def mark(settings: Settings) -> None:
    """Mark a migrated database as live or as a sandbox, if it has no mark. Raises SettingsFault when it is the other."""
    with migrate.owner_engine(settings.owner_database_url).connect() as connection:
        fault = installation.fault_of(installation.mark(connection, installation.wanted(settings)), settings)
    if fault is not None:
        zh, en = safety_texts.TEXTS[fault]
        raise SettingsFault(f"[{fault}] {en}\n    {zh}")


def check_safe(settings: Settings, say: Say | None = None) -> None:
    """Refuse to go on when anything is unsafe; all of it is named at once (security.md M5). Warnings are only said."""
    with _connected(settings) as connection:
        found = safety.findings(settings, connection)
    refusals = [finding for finding in found if finding.severity is safety.Severity.REFUSE]
    if refusals:
        raise SettingsFault("\n".join(f"[{each.name}] {each.en}\n    {each.zh}" for each in refusals))
    for each in found:
        if say:
            say(f"Warning [{each.name}]: {each.en}\n    {each.zh}")


@contextmanager
def _connected(settings: Settings) -> Iterator[sa.Connection]:
    """Open a connection that is only looked at: the service's own pool would not take an unsafe one at all."""
    engine = sa.create_engine(
        sa.make_url(settings.database_url).set(drivername="postgresql+psycopg"),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 3, "application_name": "zaicun check", "options": "-c timezone=UTC"},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        raise SettingsFault(f"The database cannot be reached: {str(error.orig).strip()}") from error
