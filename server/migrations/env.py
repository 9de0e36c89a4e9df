"""Alembic's environment: runs as the owner of the tables, one transaction a migration, never waiting long for a lock."""

import sqlalchemy as sa
from alembic import context
from geoalchemy2 import alembic_helpers

from server import schema

LOCK_TIMEOUT = "4s"
"""A migration that cannot get its lock gives up and is run again, instead of queueing every request behind it."""


def run(connection: sa.Connection) -> None:
    """Run the migrations on this connection."""
    context.configure(
        connection=connection,
        target_metadata=schema.METADATA,
        include_object=alembic_helpers.include_object,
        process_revision_directives=alembic_helpers.writer,
        render_item=alembic_helpers.render_item,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()


given: sa.Connection = context.config.attributes["connection"]
run(given)
