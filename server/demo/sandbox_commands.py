"""The command `zaicun sandbox`: a place where phone developers work against the real API, with people who do not exist.

It is the demonstration's district in a database of its own under `var`/sandbox, marked as a sandbox, in real time.
What is done in it stays from run to run until it is asked to begin anew.
"""

import json
import time
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from server import clock, cluster, migrate, runtime
from server import settings as settings_module
from server.cluster import APP_ROLE, OWNER_ROLE, Cluster
from server.console import plainly, say
from server.demo.district import District
from server.demo.ready import DATABASE, Prepared, prepare
from server.demo.stage import raised
from server.settings import Settings

SHOWN = 5
"""Cadres whose accounts are printed; all of them are in the file of accounts."""


@click.command()
@click.option("--reset", is_flag=True, help="Throw away what was done in it and begin anew.")
@click.option(
    "--people",
    type=click.IntRange(1, 900),
    default=30,
    show_default=True,
    help="How many cadres, when it is made.",
)
@click.option("--port", type=click.IntRange(1, 65_535), default=8322, show_default=True, help="Port.")
@click.option("--once", is_flag=True, help="Prepare it and print the accounts, without serving on.")
@plainly
def sandbox(*, reset: bool, people: int, port: int, once: bool) -> None:
    """Serve a sandbox (演练环境) for phone developers: invented people, marked answers, tokens valid nowhere else."""
    try:
        _serve(_settings(port), people, reset=reset, once=once)
    except KeyboardInterrupt:
        say("已结束 / stopped")
    except (OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


def _settings(port: int) -> Settings:
    """Return the settings of the environment, but for its own folder, its own database, and the mark."""
    given = settings_module.load()
    return settings_module.replaced(
        given,
        sandbox=True,
        database_url="",
        owner_database_url="",
        var=given.var / "sandbox",
        keys=None,  # Never the keys of a live service.
        port=port,
        argon2_memory_kib=19_456,  # Passwords of people who do not exist.
    )


def _serve(settings: Settings, people: int, *, reset: bool, once: bool) -> None:
    month = clock.now().astimezone(ZoneInfo("Asia/Shanghai")).date().replace(day=1)
    with cluster.ensure(settings.var, say=say) as running:
        prepared = _prepared(settings, running, District(people=people, month=month), month, reset=reset)
        given = settings_module.replaced(
            settings,
            database_url=running.dsn(APP_ROLE, DATABASE),
            owner_database_url=running.dsn(OWNER_ROLE, DATABASE),
        )
        migrate.upgrade(given.owner_database_url, APP_ROLE, say=say)
        runtime.mark(given)
        with raised(given) as stage:
            _tell(stage.url, prepared, settings.var / "ready.json")
            while not once:
                time.sleep(3600)


def _prepared(
    settings: Settings, running: Cluster, district: District, month: date, *, reset: bool
) -> Prepared:
    """Return the accounts of the sandbox that is there, or of a new one."""
    kept = settings.var / "ready.json"
    if kept.exists() and not reset:
        told = json.loads(kept.read_text())
        say("沿用已有的演练环境（--reset 可重新开始）/ the sandbox is as it was left; --reset begins anew")
        return Prepared(told["offices"], told["phones"])
    kept.unlink(missing_ok=True)
    return prepare(settings, running, district, month, say)


def _tell(url: str, prepared: Prepared, file: Path) -> None:
    say("")
    say(f"演练环境 · sandbox  {url}   {url}/docs")
    for name, (login, password) in prepared.offices.items():
        say(f"  {name:<14} {login:<18} {password}")
    for number, (_, _, password) in sorted(prepared.phones.items())[:SHOWN]:
        say(f"  {'驻村干部':<12} {number.lower():<18} {password}")
    say(f"  全部账号 / all accounts: {file}")
    login, (_, _, password) = next(iter(sorted(prepared.phones.items())))
    say(
        f"  试一试 / try: zaicun phone --server {url} --login {login.lower()} --password {password} month {_this_month()}"
    )


def _this_month() -> str:
    return clock.now().astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m")
