"""What the commands of `zaicun` share: the database they work on, and failures told as text instead of tracebacks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from server import runtime
from server import settings as settings_module
from server.cluster import ClusterError
from server.db import Database
from server.problems import FieldFault, Problem
from server.settings import Settings, SettingsFault

_LINES = 50  # Faults of a file that are printed; the rest are counted.


@contextmanager
def opened() -> Iterator[tuple[Database, Settings]]:
    """Open the database the settings name, or the embedded cluster, for one command.

    Problems that the command meets inside the block end it with exit code 1 and their text in both languages. The
    checks of a service's start (durability, role) are left to `zaicun serve`: a command must work on a sick database.
    """
    with ExitStack() as stack:
        try:
            settings = settings_module.load()
            if not settings.database_url:
                settings = stack.enter_context(runtime.ready(settings, _say))
        except (SettingsFault, ClusterError) as fault:
            raise click.ClickException(str(fault)) from None
        # A command may read a whole province; the service may not.
        database = Database(settings.database_url, pool_size=2, statement_timeout_s=600.0)
        stack.callback(database.close)
        try:
            yield database, settings
        except Problem as problem:
            raise click.ClickException(told(problem)) from None


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
