"""The commands `zaicun policy` and `zaicun calendar`."""

from datetime import date
from pathlib import Path
from uuid import UUID

import click
import orjson
from pydantic import ValidationError
from sqlalchemy import orm

from server import clock, http, ids, problems, terminal
from server.access import Role, Who
from server.auth import queries as auth
from server.month import book, queries, schemas, service
from server.month.consequences import consequences as consequences_of
from server.month.holidays import CalendarSource
from server.month.models import PolicyRow
from server.month.schemas import ConsequencesOut, PolicyIn, PolicyOut
from server.problems import Problem

_YEARS = click.IntRange(schemas.FIRST_YEAR, schemas.LAST_YEAR)
_SOURCES = {
    CalendarSource.IMPORTED: "导入 / imported",
    CalendarSource.OFFICIAL: "国务院办公厅通知 / official notice",
    CalendarSource.WEEKDAYS: "周一至周五 / Monday to Friday",
}


@click.group()
def policy() -> None:
    """政策: policies of the month, their versions and what a choice means."""


@policy.command("show")
@click.argument("policy_id", type=click.UUID, required=False)
@click.option("--region", default="", help="Prefix of region codes; default all.")
def show_policies(policy_id: UUID | None, region: str) -> None:
    """List policies, or print one with its document as JSON."""
    with terminal.opened() as (database, _), database.read() as session:
        if policy_id is not None:
            found = session.get(PolicyRow, policy_id)
            if found is None:
                raise Problem(problems.NOT_FOUND)
            shown = PolicyOut.model_validate(found).model_dump(mode="json")
            click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
            return
        rows = queries.policies(
            session, None, region=region, code=None, published=None, after=None, limit=10_000
        )
        for row in rows:
            click.echo(_line(row))
        if not rows:
            click.echo("尚无政策 / no policy yet")


def _line(row: PolicyRow) -> str:
    state = (
        f"已发布 / published {row.published_at:%Y-%m-%d} ({row.published_by})"
        if row.published_at
        else f"未发布 / draft ({row.created_by})"
    )
    return f"{row.id}  {row.region_prefix:<12}  {row.code} v{row.version}  {row.valid_from}  {state}"


@policy.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--by", required=True, help="Login of the account that makes it.")
def add_policy(file: Path, by: str) -> None:
    """Store a policy from a JSON file with region_prefix, valid_from, reason, document and, optionally, an id.

    Without the choices of basis and of counting duty it is refused, and the table of consequences is printed.
    """
    given = _read(file)
    with terminal.opened() as (database, _):
        try:
            with database.write() as session:
                row, created = service.make_policy(session, *_actor(session, by), given)
        except Problem as problem:
            if problem.kind is problems.POLICY_CHOICE_MISSING:
                _print_table(ConsequencesOut.model_validate(problem.members["consequences"]))
            raise
    click.echo(_line(row) if created else f"已存在 / stored before: {_line(row)}")


def _read(file: Path) -> PolicyIn:
    try:
        content = orjson.loads(file.read_bytes())
        if isinstance(content, dict):
            content.setdefault("id", str(ids.new_id()))
        return PolicyIn.model_validate(content)
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"不是有效的 JSON / not valid JSON: {error}") from None
    except ValidationError as error:
        faults = http.field_faults(error.errors())
        raise click.ClickException(terminal.told(Problem(problems.INVALID_REQUEST, errors=faults))) from None


def _actor(session: orm.Session, login: str) -> tuple[Who, str]:
    """Return the district officer behind a login: at a terminal, too, somebody answers for the deed.

    The login comes back as the account has it, so that another spelling is not taken for another person.
    """
    who = auth.who_named(session, login)
    if who is None or not who.has(Role.DISTRICT):
        raise Problem(
            problems.FORBIDDEN,
            zh=f"没有名为 {login} 的区级账号。",
            en=f"There is no enabled account {login} with the role of district officer.",
        )
    return who, queries.login_of(session, who)


@policy.command("publish")
@click.argument("policy_id", type=click.UUID)
@click.option(
    "--by", required=True, help="Login of the account that publishes; another one than its maker's."
)
@click.option("--retroactive-reason", help="Why it governs months that have begun; recorded for ever.")
def publish_policy(policy_id: UUID, by: str, retroactive_reason: str | None) -> None:
    """Put a policy in force."""
    with terminal.opened() as (database, settings), database.write() as session:
        row = service.publish_policy(
            session,
            *_actor(session, by),
            policy_id,
            if_match=None,
            retroactive_reason=retroactive_reason,
            two_persons=settings.two_person_publish,
        )
        line = _line(row)
    click.echo(line)


@policy.command("consequences")
@click.option("--year", type=_YEARS, default=lambda: clock.now().year, show_default="this year")
def show_consequences(year: int) -> None:
    """Print what each basis asks of every month of a year."""
    with terminal.opened() as (database, _), database.read() as session:
        table = consequences_of(year, imported=book.load(session).imported)
    _print_table(schemas.consequences_out(table))


def _print_table(table: ConsequencesOut) -> None:
    click.echo(f"{table.year}: {table.numerator}/{table.denominator}")
    click.echo(
        "月份 month  天数 days  工作日 working  自然日须驻/余 calendar need/slack  工作日须驻/余 working need/slack"
    )
    for row in table.months:
        mark = "  暂定 provisional" if row.provisional else ""
        click.echo(
            f"{row.month:<11} {row.days:>9}  {row.working_days:>14}  {row.calendar_need:>22} /{row.calendar_slack:>4}"
            f"  {row.working_need:>22} /{row.working_slack:>4}{mark}"
        )
    click.echo(f"\n{table.duty_zh}\n{table.duty_en}")


@click.group("calendar")
def calendar() -> None:
    """节假日历: public holidays and shifted working days (调休)."""


@calendar.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--year", type=_YEARS, required=True)
@click.option("--by", required=True, help="Login of the account that imports it.")
@click.option("--source", default="", help="Where it comes from, such as the number of the notice.")
@click.option("--dry-run", is_flag=True, help="Tell what would change; write nothing.")
def import_calendar(*, file: Path, year: int, by: str, source: str, dry_run: bool) -> None:
    """Import a year's public holidays: CSV with date, kind (working | holiday) and name."""
    with terminal.opened() as (database, _), database.write() as session:
        outcome = service.import_calendar(
            session, *_actor(session, by), year, file.read_bytes(), source=source, dry_run=dry_run
        )
    if not outcome.changed:
        click.echo("工作日没有变化 / no working day changes")
    for day in outcome.changed:
        works = day in outcome.calendar.working()
        click.echo(f"{day} {'上班 / working' if works else '休息 / free'}")
    if dry_run:
        click.echo("试运行，未写入 / dry run, nothing written")


@calendar.command("show")
@click.option("--year", type=_YEARS, default=lambda: clock.now().year, show_default="this year")
def show_calendar(year: int) -> None:
    """Print a year's working days by month, and the days that differ from Monday to Friday."""
    with terminal.opened() as (database, _), database.read() as session:
        found = service.year_calendar(session, year)
    mark = "（暂定 / provisional）" if found.provisional else ""
    click.echo(f"{year}: {_SOURCES[found.source]}{mark}")
    for month in found.months:
        click.echo(f"{month.month}  {month.month.days} 天 / days  {month.working_days} 工作日 / working")
    for day, works, name in found.exceptions:
        click.echo(f"{_weekday(day)}  {'上班 / working' if works else '放假 / holiday'}  {name}".rstrip())


def _weekday(day: date) -> str:
    return f"{day} 周{'一二三四五六日'[day.weekday()]}"
