"""The command `zaicun plausibility`: the worker by hand, the policy and what another one would do, alarms, what waits."""

import time
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
import orjson

from server import terminal
from server.checkins.plausibility.policy import TrustPolicy, to_document
from server.checkins.rules import AlarmOutcome
from server.compliance.commands import MonthType
from server.month.masks import Month
from server.places.rules import BEIJING
from server.review import assessing, consequences, fleet, policies, queries, showing

_DATE = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("plausibility")
def plausibility() -> None:
    """合理性核对: what is noticed in check-ins. It asks people to look; it decides nothing."""


@plausibility.command("run")
@click.option(
    "--since", type=_DATE, help="Also what was received since this day and passed over, Beijing time."
)
def run(since: datetime | None) -> None:
    """Assess the check-ins that came since the last time, as the scheduler does."""
    began, taken, opened = time.perf_counter(), 0, 0
    with terminal.opened() as (database, _):
        done = assessing.catch_up(database, most_s=3600)
        busy = done.taken is None
        taken, opened = done.taken or 0, done.opened
        while since is not None:
            with database.write() as session:
                swept = assessing.sweep(session, since.replace(tzinfo=BEIJING))
            taken, opened = taken + (swept.taken or 0), opened + swept.opened
            if not swept.more:
                break
    if busy and since is None:
        click.echo("另一个调度进程正在处理 / another scheduler is at it")
        return
    click.echo(
        f"{taken} 次签到已核对 / assessed; 新增 {opened} 项待复核 / to be reviewed; {time.perf_counter() - began:.1f} s"
    )


@plausibility.command("policy")
def policy() -> None:
    """Print the document in force, to be changed and adopted."""
    with terminal.opened() as (database, _), database.read() as session:
        row = policies.newest(session)
    shown = row.document if row else to_document(TrustPolicy())
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())


def _document(file: Path) -> TrustPolicy:
    try:
        document = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"{file}: {error}") from None
    if not isinstance(document, dict):
        raise click.ClickException(f"{file}: 应为 JSON 对象 / a JSON object is needed")
    return policies.read(document)


@plausibility.command("adopt")
@click.argument("file", type=_FILE)
@click.option("--reason", required=True, help="Why; recorded.")
@click.option("--by", required=True, help="Who decided it; recorded.")
def adopt(file: Path, reason: str, by: str) -> None:
    """Put a document in force for what comes from now on. What was assessed keeps the version it names."""
    with terminal.opened() as (database, _), database.write() as session:
        row = policies.adopt(session, to_document(_document(file)), reason=reason, by=by)
        version = row.version
    click.echo(f"已施行 / in force: {version}")


@plausibility.command("consequences")
@click.argument("file", type=_FILE)
@click.option("--since", type=_DATE, required=True, help="What was received since this day, Beijing time.")
def show_consequences(file: Path, since: datetime) -> None:
    """Tell what a document would have asked people to look at. Nothing is written."""
    with terminal.opened() as (database, _), database.read() as session:
        found = consequences.of(session, _document(file), since.replace(tzinfo=BEIJING))
    click.echo(f"{found.assessed} 次签到 / check-ins")
    for (before, after), number in sorted(found.moves.items()):
        click.echo(f"  {before} → {after}: {number}")
    click.echo(
        f"待复核 / to be reviewed: {found.asked_before} → {found.asked_after}; "
        f"新增涉及 {len(found.people)} 人 / people with more to review"
    )


@plausibility.command("alarms")
def alarms() -> None:
    """List the clients whose positions moved as one (坐标偏移警报), newest first."""
    with terminal.opened() as (database, _), database.read() as session:
        for row in queries.alarms(session):
            told = showing.alarm_out(row)
            state = "未关闭 / open" if row.closed_at is None else f"{row.closed_at:%Y-%m-%d} {row.outcome}"
            click.echo(f"{row.id}  {row.raised_at:%Y-%m-%d}  {state}\n  {told.zh}\n  {told.en}")


@plausibility.command("close-alarm")
@click.argument("alarm", type=click.UUID)
@click.option("--outcome", type=click.Choice(list(AlarmOutcome)), required=True)
@click.option("--reason", required=True, help="What was found; recorded.")
@click.option("--by", required=True, help="Who found it; recorded.")
def close_alarm(alarm: UUID, outcome: AlarmOutcome, reason: str, by: str) -> None:
    """Close an alarm: confirmed (what was held stays unsure) or dismissed (it is judged as it came)."""
    with terminal.opened() as (database, _), database.write() as session:
        released = fleet.close(session, alarm, outcome=outcome, reason=reason, by=by)
    click.echo(f"已关闭 / closed; {released} 次签到改按原判定 / judged as they came")


@plausibility.command("undecided")
@click.argument("month", type=MonthType())
@click.option("--region", default="", help="Prefix of region codes; default all.")
def undecided(month: Month, region: str) -> None:
    """List what of a month waits for a decision: at the lock it is counted and listed."""
    with terminal.opened() as (database, _), database.read() as session:
        items = queries.undecided(session, month, region)
        for item in items:
            click.echo(f"{item.region_code}  {item.day}  {item.subject}  {item.id}  {item.state}")
    click.echo(f"{len(items)} 项待复核 / waiting")
