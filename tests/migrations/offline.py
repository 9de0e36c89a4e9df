"""The SQL that a migration would run, as Alembic writes it offline."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory

from server import migrate

FUTURE = Path(__file__).with_name("versions_future")


@dataclass(frozen=True)
class Written:
    """One migration: its script and the statements of going up, transaction marks included."""

    script: Script
    sql: str

    @property
    def statements(self) -> list[str]:
        """Return the statements without comments, each in one line."""
        plain = "\n".join(line for line in self.sql.splitlines() if not line.lstrip().startswith("--"))
        return [" ".join(each.split()) for each in plain.split(";\n") if each.strip()]


def scripts(also: Sequence[Path] = ()) -> list[Script]:
    """Return every migration in its order, with those of further folders."""
    directory = ScriptDirectory.from_config(migrate.configuration(also=also))
    return list(directory.walk_revisions())[::-1]


def written(also: Sequence[Path] = ()) -> Iterator[Written]:
    """Write every migration as SQL, one by one."""
    for script in scripts(also):
        config = migrate.configuration(also=also)
        config.output_buffer = buffer = io.StringIO()
        before = script.down_revision
        command.upgrade(config, f"{before}:{script.revision}" if before else script.revision, sql=True)
        yield Written(script, buffer.getvalue())
