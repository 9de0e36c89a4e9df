"""From settings to a database that can be used: the embedded cluster, or the one that the settings name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from server import cluster, migrate
from server.db import Database
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
        check_safe(settings)
        check_migrated(settings)
        yield settings
        return
    with cluster.ensure(settings.var, say=say) as running:
        embedded = replace(settings, database_url=running.app_dsn, owner_database_url=running.owner_dsn)
        migrate.upgrade(embedded.owner_database_url, cluster.APP_ROLE)
        check_safe(embedded)
        yield embedded


def check_migrated(settings: Settings) -> None:
    """Refuse a database whose schema is not the present one."""
    with _connected(settings) as connection:
        have = migrate.present_revision(connection)
    want = migrate.newest_revision()
    if have != want:
        raise SettingsFault(
            f"The database's schema is {have or 'missing'}, this version needs {want}. Run `zaicun migrate` as the owner."
        )


UNSAFE = {
    "fsync": ("on", "an acknowledged check-in could be lost when the machine fails"),
    "full_page_writes": ("on", "a torn page could damage the database"),
    "synchronous_commit": ("on, local, remote_write, remote_apply", "an acknowledged check-in could be lost"),
}


def check_safe(settings: Settings) -> None:
    """Refuse a database that may lose what was acknowledged, or a role that may do too much (security.md M5)."""
    with _connected(settings) as connection:
        for name, (allowed, harm) in UNSAFE.items():
            value = connection.execute(sa.text("SELECT current_setting(:name)"), {"name": name}).scalar_one()
            if value not in allowed.split(", "):
                raise SettingsFault(f"The database runs with {name}={value}: {harm}. It must be {allowed}.")
        role = connection.execute(
            sa.text(
                "SELECT current_user, rolsuper OR rolbypassrls, (SELECT count(*) FROM pg_class c JOIN pg_namespace n"
                " ON n.oid = c.relnamespace WHERE c.relowner = r.oid AND n.nspname = 'public' AND c.relkind = 'r')"
                " FROM pg_roles r WHERE rolname = current_user"
            )
        ).one()
    if role[1]:
        raise SettingsFault(
            f"The role {role[0]} is a superuser or bypasses row security; give the service a role without."
        )
    if role[2]:
        raise SettingsFault(
            f"The role {role[0]} owns tables; the service must use another role than the owner (migrate)."
        )


@contextmanager
def _connected(settings: Settings) -> Iterator[sa.Connection]:
    database = Database(settings.database_url, pool_size=1)
    try:
        with database.engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        raise SettingsFault(f"The database cannot be reached: {str(error.orig).strip()}") from error
    finally:
        database.close()
