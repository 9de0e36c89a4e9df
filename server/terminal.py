"""What the commands of `zaicun` share: the database they work on, and failures told as text instead of tracebacks."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from server import cluster
from server import settings as settings_module
from server.cluster import ClusterError
from server.db import Database
from server.problems import FieldFault, Problem
from server.settings import Settings, SettingsFault

_LINES = 50  # Faults of a file that are printed; the rest are counted.


@contextmanager
def opened() -> Iterator[tuple[Database, Settings]]:
    """Open the database the settings name, or the embedded cluster, for one command.

    Problems that the command meets inside the block end it with exit code 1 and their text in both languages.
    """
    try:
        settings = settings_module.load()
        running = None if settings.database_url else cluster.ensure(settings.var, say=_say)
    except (SettingsFault, ClusterError) as fault:
        raise click.ClickException(str(fault)) from None
    try:
        database = Database(
            settings.database_url or (running.app_dsn if running else ""),
            pool_size=2,
            statement_timeout_s=600.0,  # A command may read a whole province; the service may not.
        )
        try:
            yield database, settings
        finally:
            database.close()
    except Problem as problem:
        raise click.ClickException(told(problem)) from None
    finally:
        if running is not None:
            running.release()


def told(problem: Problem) -> str:
    """Return a problem as lines of text: what it is, what to do, and each fault with its line."""
    body = problem.body("zh")
    lines = [f"{body['title_zh']} / {body['title_en']} ({problem.kind.code})"]
    if problem.zh or problem.en:
        lines += [str(body["detail_zh"]), str(body["detail_en"])]
    lines += [_fault(fault) for fault in problem.errors[:_LINES]]
    if len(problem.errors) > _LINES:
        lines.append(f"… {len(problem.errors) - _LINES}")
    return "\n".join(lines)


def _fault(fault: FieldFault) -> str:
    place = fault.field if fault.line is None else f"第 {fault.line} 行 / line {fault.line}, {fault.field}"
    return f"  {place} [{fault.code}]: {fault.zh} {fault.en}"


def _say(text: str) -> None:
    click.echo(text, err=True)
