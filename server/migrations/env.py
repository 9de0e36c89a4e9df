"""Alembic's environment: runs as the owner of the tables, one transaction a migration, never waiting long for a lock.

Online it is given a connection by server.migrate; offline (``--sql``) it writes the statements that would run, which
is what the linters read.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from geoalchemy2 import alembic_helpers
from sqlalchemy.dialects import postgresql

from server import clock, schema
from server.migrations import online
from server.revisions import SchemaRevision

COMMON: dict[str, Any] = {
    "target_metadata": schema.METADATA,
    "include_object": alembic_helpers.include_object,
    "process_revision_directives": alembic_helpers.writer,
    "render_item": alembic_helpers.render_item,
    "transaction_per_migration": True,
    "compare_type": True,
    "compare_server_default": True,
}


def leave_word(
    ctx: MigrationContext,
    step: MigrationInfo,  # noqa: ARG001  Alembic calls it by these names.
    heads: Collection[Any],
    run_args: Mapping[str, Any],  # noqa: ARG001  As above.
) -> None:
    """Write down what the database has had, in the transaction of the migration (server.revisions)."""
    if ctx.as_sql or ctx.connection is None or not sa.inspect(ctx.connection).has_table("schema_revisions"):
        return
    line = [script for head in heads for script in context.script.iterate_revisions(head, "base")][::-1]
    table, at = SchemaRevision.__table__, clock.now()
    ctx.connection.execute(
        sa.delete(SchemaRevision).where(table.c.revision.not_in([each.revision for each in line]))
    )
    rows = [
        {
            "revision": each.revision,
            "seq": number,
            "works_with": str(each.module.works_with),
            "applied_at": at,
        }
        for number, each in enumerate(line, 1)
    ]
    if rows:
        ctx.connection.execute(postgresql.insert(SchemaRevision).on_conflict_do_nothing(), rows)


def run_online(connection: sa.Connection) -> None:
    """Run the migrations on this connection."""
    for statement in online.SHORT:
        connection.execute(sa.text(statement))
    connection.commit()  # For the session: what a transaction sets is forgotten when it rolls back.
    context.configure(connection=connection, on_version_apply=leave_word, **COMMON)
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    """Write the statements of the migrations."""
    context.configure(dialect_name="postgresql", literal_binds=True, on_version_apply=leave_word, **COMMON)
    with context.begin_transaction():
        for statement in online.SHORT:
            context.execute(statement)
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"])
