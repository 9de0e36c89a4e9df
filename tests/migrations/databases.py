"""Databases at a revision of one's choosing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from alembic import command
from conftest import Cloned
from migrations.offline import FUTURE

from server import cluster as cluster_module
from server import migrate
from server.cluster import Cluster
from server.migrate import Say

APP = cluster_module.APP_ROLE
IMPATIENT = migrate.Patience(tries=3, first_pause_s=0.1, longest_pause_s=0.1, others_s=60)


@contextmanager
def empty_database(cluster: Cluster) -> Iterator[Cloned]:
    """Make a database with nothing in it but the extensions, and drop it at the end."""
    name = f"zt_{uuid4().hex[:12]}"
    cluster.create_database(name)
    try:
        yield Cloned(
            name,
            cluster.dsn(cluster_module.APP_ROLE, name),
            cluster.dsn(cluster_module.OWNER_ROLE, name),
        )
    finally:
        cluster.drop_database(name)


def up(cloned: Cloned, revision: str, *, also: Path = FUTURE, say: Say | None = None) -> None:
    """Migrate as an operator would, with the migrations that are still to come."""
    migrate.upgrade(cloned.owner_url, APP, revision, also=[also], patience=IMPATIENT, say=say)


def down(cloned: Cloned, revision: str) -> None:
    """Go back to a revision."""
    with migrate.owner_engine(cloned.owner_url).connect() as connection:
        command.downgrade(migrate.configuration(connection, [FUTURE]), revision)
        connection.commit()
