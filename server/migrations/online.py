"""Steps for tables that people are using: none holds or waits for a lock that would stop them.

A migration runs in one transaction under short timeouts (`SHORT`): a lock that cannot be had at once is given up and
the migration is tried again, because everybody else queues behind a lock that is waited for. What takes long (building
an index, checking every row, filling a column) must not hold such a lock at all, so it runs outside of a transaction,
unhurried. Leaving the transaction commits what came before it; therefore everything in a migration that leaves it can
be run again after an interruption.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

LOCK_TIMEOUT_MS = 500
STATEMENT_TIMEOUT_MS = 10_000
LONGEST_STEP_MS = 4 * 3_600_000
SHORT = (f"SET lock_timeout = '{LOCK_TIMEOUT_MS}ms'", f"SET statement_timeout = '{STATEMENT_TIMEOUT_MS}ms'")
"""What every migration runs under. Half a second is the longest that people may wait behind a migration's lock."""
UNHURRIED = ("SET lock_timeout = 0", f"SET statement_timeout = '{LONGEST_STEP_MS}ms'")
"""For steps under SHARE UPDATE EXCLUSIVE alone: reading and writing go on beside it, and behind it in the queue."""
PAGES_A_BATCH = 256
"""2 MiB of a table: some 10,000 check-ins, a few tens of milliseconds of row locks."""


@contextmanager
def unhurried() -> Iterator[None]:
    """Commit, and run the block's statements one by one outside of a transaction, without haste."""
    with op.get_context().autocommit_block():
        _set(UNHURRIED)
        try:
            yield
        finally:
            _set(SHORT)


def _set(statements: Sequence[str]) -> None:
    for statement in statements:
        op.execute(statement)


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | sa.TextClause],
    *,
    unique: bool = False,
    using: str | None = None,
    where: str | None = None,
) -> None:
    """Build an index while the table is written. What an interrupted attempt left behind is dropped first."""
    with unhurried():
        if not op.get_context().as_sql and _is_broken(name):
            op.drop_index(name, table_name=table, postgresql_concurrently=True)
        options: dict[str, Any] = {"postgresql_concurrently": True}
        if using:
            options["postgresql_using"] = using
        if where:
            options["postgresql_where"] = sa.text(where)
        op.create_index(name, table, list(columns), unique=unique, if_not_exists=True, **options)


def _is_broken(name: str) -> bool:
    query = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(query, {"name": f'"{name}"'}).scalar())


def drop_index(name: str, table: str) -> None:
    """Drop an index while the table is read and written."""
    with unhurried():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)


def add_check(name: str, table: str, condition: str) -> None:
    """Add a CHECK for new rows at once, then look at the old ones without stopping anybody.

    Raises IntegrityError (CheckViolation) when an old row does not fit; the constraint then stands for new rows, and
    the migration can be run again when the rows were mended.
    """
    _add(table, name, f"CHECK ({condition})")


def add_foreign_key(
    name: str, table: str, columns: Sequence[str], referred: str, referred_columns: Sequence[str]
) -> None:
    """Add a foreign key for new rows at once, then look at the old ones without stopping anybody."""
    own, other = ", ".join(columns), ", ".join(referred_columns)
    _add(table, name, f"FOREIGN KEY ({own}) REFERENCES {referred} ({other})")


def _add(table: str, name: str, rule: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule} NOT VALID")
    with unhurried():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def require(table: str, column: str) -> None:
    """Make a filled column NOT NULL. A checked constraint spares PostgreSQL the scan under its strongest lock."""
    name = f"{table}_{column}_present"
    add_check(name, table, f"{column} IS NOT NULL")
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def fill(table: str, values: str, where: str) -> int:
    """Set `values` where `where` holds, a few pages at a time, each batch a transaction; return the rows changed.

    `where` must not hold for a row that was changed, so that an interrupted run can go on and the versions that an
    UPDATE appends are not met again. Rows that old code writes meanwhile are met while there are still pages to go.
    """
    batch = f"UPDATE {table} SET {values} WHERE ctid >= '({{}},0)' AND ctid < '({{}},0)' AND ({where})"  # noqa: S608  Written by the author of a migration, never by a caller.
    with unhurried():
        if op.get_context().as_sql:
            op.execute(batch.format(0, PAGES_A_BATCH))
            return 0
        bind, changed, page = op.get_bind(), 0, 0
        while page < _pages(bind, table):
            changed += bind.execute(sa.text(batch.format(page, page + PAGES_A_BATCH))).rowcount
            page += PAGES_A_BATCH
        return changed


def copy(table: str, alias: str, statements: Sequence[str]) -> None:
    """Run the statements for a few pages of a table at a time, in turn, each a transaction, under the short timeouts.

    Each has ``{some}`` where the rows of the table, called `alias`, are chosen, and inserts what is not there yet with ON
    CONFLICT DO NOTHING, so that an interrupted run can go on. Copying stops nobody: it reads, and writes elsewhere.
    """
    chosen = f"{alias}.ctid >= '({{}},0)' AND {alias}.ctid < '({{}},0)'"
    context = op.get_context()
    with context.autocommit_block():
        page = 0
        while page == 0 or (not context.as_sql and page < _pages(op.get_bind(), table)):
            for statement in statements:
                op.execute(statement.format(some=chosen.format(page, page + PAGES_A_BATCH)))
            page += PAGES_A_BATCH


def _pages(bind: sa.Connection, table: str) -> int:
    size = sa.text("SELECT pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int")
    return int(bind.execute(size, {"name": table}).scalar_one())
