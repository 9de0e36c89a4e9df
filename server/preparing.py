"""The database made ready for a service: `zaicun migrate`, and the program that `zaicun serve` runs before it serves.

A program of its own, because what only migrations and the checks at the start need (Alembic and the models of the whole
product) would otherwise stay in the process that serves for as long as it lives: 10 MB.
"""

import click
import sqlalchemy as sa

from server import logs, migrate, runtime
from server import settings as settings_module
from server.console import plainly, say
from server.settings import SettingsFault


@click.command("migrate")
@plainly
def migrate_command() -> None:
    """Bring the database to the present schema, as its owner."""
    settings = settings_module.load()
    if not settings.database_url:
        with runtime.ready(settings, say):
            say("The embedded database is up to date.")
        return
    if not settings.owner_database_url:
        raise SettingsFault(
            "ZAICUN_OWNER_DATABASE_URL must name the owner of the tables; the service's role cannot migrate."
        )
    role = sa.make_url(settings.database_url).username
    if not role:
        raise SettingsFault(
            "ZAICUN_DATABASE_URL must name the role of the service (postgresql://role@host/database)."
        )
    migrate.upgrade(settings.owner_database_url, role, say=say)
    runtime.mark(settings)
    say("The database is up to date.")


@click.command()
@plainly
def prepare() -> None:
    """Migrate the embedded database, or look whether the one that is named can be used, and say what is unsafe."""
    settings = settings_module.load()
    logs.configure(level=settings.log_level, shape=settings.log_format)
    with runtime.ready(settings, logs.say):
        pass


if __name__ == "__main__":
    prepare()
