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
        check_migrated(settings)
        check_safe(settings, say)
        yield settings
        return
    with cluster.ensure(settings.var, say=say) as running:
        embedded = replace(settings, database_url=running.app_dsn, owner_database_url=running.owner_dsn)
        migrate.upgrade(embedded.owner_database_url, cluster.APP_ROLE)
        check_safe(embedded, say)
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


def check_safe(settings: Settings, say: Say | None = None) -> None:
    """Refuse a database that may lose what was acknowledged, or a role that may do too much (security.md M5).

    Everything that is wrong is named at once. Checksums that are off are a warning only (ruling 28).
    """
    with _connected(settings) as connection:
        values = {
            name: connection.execute(sa.text("SELECT current_setting(:name)"), {"name": name}).scalar_one()
            for name in (*UNSAFE, "data_checksums")
        }
        role = connection.execute(_ROLE).one()
    faults = [
        f"The database runs with {name}={values[name]}: {harm}. It must be {allowed}."
        for name, (allowed, harm) in UNSAFE.items()
        if values[name] not in allowed.split(", ")
    ]
    if role.mighty:
        faults.append(
            f"The role {role.name} is a superuser or bypasses row security; give the service a role without."
        )
    if role.tables:
        faults.append(
            f"The role {role.name} owns tables; the service must use another role than the owner (migrate)."
        )
    if faults:
        raise SettingsFault("\n".join(faults))
    if values["data_checksums"] != "on" and say:
        say(
            "Warning: the database runs without data checksums; a silent fault of a disk would stay unnoticed."
        )


_ROLE = sa.text("""SELECT current_user AS name, rolsuper OR rolbypassrls AS mighty,
    (SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relowner = r.oid AND n.nspname = 'public' AND c.relkind = 'r') AS tables
FROM pg_roles AS r WHERE rolname = current_user""")


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
