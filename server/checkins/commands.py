"""The command `zaicun check-ins`."""

from collections import Counter
from datetime import datetime

import click
import sqlalchemy as sa

from server import audit, terminal
from server import clock_steps as steps
from server.checkins import rejudging
from server.checkins.rules import Cause
from server.places.rules import BEIJING


@click.group("check-ins")
def check_ins() -> None:
    """签到: check-ins."""


@check_ins.command("clock-steps")
def clock_steps() -> None:
    """Tell when the server's clock was set, and of how many check-ins the day depends on it (security.md S4)."""
    with terminal.opened() as (database, _), database.read() as session:
        found = session.execute(sa.text(steps.STRETCHES)).all()
    if not found:
        click.echo("服务器时钟没有跳变的记录 / no jump of the server's clock is recorded")
    for before, after, *counts in found:
        was, became = (f"{each.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}" for each in (before, after))
        click.echo(f"{was} → {became}")
        for (zh, en), (received, other) in zip(_STRETCHES, (counts[:2], counts[2:]), strict=True):
            click.echo(f"  {zh}：收到 {received} 次签到，其中 {other} 次应属另一天")
            click.echo(f"  {en}: {received} check-ins, {other} of another day")


_STRETCHES = (
    ("若此前不准", "if it was wrong before"),
    ("若此后不准", "if it is wrong since"),
)


@check_ins.command("judge-again")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), required=True, help="First day, Beijing time.")
@click.option("--region", default="", help="Prefix of region codes; default all.")
@click.option(
    "--write", is_flag=True, help="Keep the new verdicts; without it only what would change is told."
)
@click.option("--reason", help="Why; recorded. Required with --write.")
def judge_again(since: datetime, region: str, *, write: bool, reason: str | None) -> None:
    """Judge stored check-ins by the boundaries and postings known now. Both verdicts are kept (edge 46)."""
    if write and not (reason or "").strip():
        raise click.UsageError("--write needs --reason: it is recorded")
    begin = since.replace(tzinfo=BEIJING)
    with terminal.opened() as (database, _), database.write() as session:
        outcome = rejudging.judge_again(
            session, rejudging.since(begin, region), cause=Cause.BOUNDARY, write=write
        )
        if write:
            audit.record(session, None, "checkin:judge-again", ("region", region), since=begin.isoformat(), reason=reason, changes=len(outcome.changes))  # fmt: skip
    ways = Counter((change.before, change.after) for change in outcome.changes)
    people = len({change.person_id for change in outcome.changes})
    click.echo(
        f"{outcome.judged} 次签到已重新判定 / judged; {len(outcome.changes)} 次结论不同，涉及 {people} 人 / differ, people; "
        f"{outcome.faded} 次坐标已淡化，无法重判 / faded"
    )
    for (before, after), number in sorted(ways.items()):
        click.echo(f"  {before} → {after}: {number}")
    click.echo("已写入 / written" if write else "未写入；加 --write 写入 / nothing written; --write keeps it")
