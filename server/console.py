"""What every command of the service shares: one clear sentence instead of a traceback."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from server.cluster import ClusterError
from server.lock_watch import MigrationFault
from server.settings import SettingsFault

P = ParamSpec("P")
R = TypeVar("R")


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """End a command with one clear sentence instead of a traceback, for failures an operator can mend."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SettingsFault, ClusterError, MigrationFault) as fault:
            raise click.ClickException(str(fault)) from fault

    return run


def say(line: str) -> None:
    """Tell the operator what is being done."""
    click.echo(line, err=True)
