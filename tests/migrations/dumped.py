"""The whole schema of a database as PostgreSQL's own pg_dump tells it, in an order that does not depend on history."""

import re
import subprocess
from pathlib import Path

from server import postgres

LEFT_OUT = ("SET ", "SELECT pg_catalog.set_config", "--", "\\restrict", "\\unrestrict")


def schema(url: str) -> set[str]:
    """Return every statement that makes the schema, grants included; columns of a table in the order of their names.

    `alembic check` compares tables, columns and plain indexes. This compares EXCLUDE and CHECK texts, predicates of
    partial indexes, sequences, functions, triggers, owners and grants as well.
    """
    told = subprocess.run(
        [pg_dump(), "--schema-only", "--no-comments", f"--dbname={url}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    plain = "\n".join(line for line in told.splitlines() if not line.startswith(LEFT_OUT))
    return {_ordered(each) for each in re.split(r";\n", plain) if each.strip()}


def pg_dump() -> Path:
    """Return the program of the same version as the server that is used."""
    return postgres.binaries() / "pg_dump"


def _ordered(statement: str) -> str:
    lines = [line.strip().rstrip(",") for line in statement.strip().splitlines() if line.strip()]
    return (
        "\n".join([lines[0], *sorted(lines[1:])]) if lines[0].startswith("CREATE TABLE") else "\n".join(lines)
    )
