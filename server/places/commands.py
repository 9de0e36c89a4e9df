"""The commands `zaicun regions` and `zaicun boundaries`."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
import orjson
from pydantic import ValidationError
from sqlalchemy import orm

from geo.faults import Severity
from geo.zones import ZoneKind
from server import http, ids, problems, terminal
from server.access import Who
from server.db import Database
from server.places import hooks, import_queries, import_service, inspecting, publishing, region_service
from server.places.import_schemas import AcceptedIn, DryRunOut, FileImportIn, StepOut
from server.places.inspection import Inspection
from server.places.models import BoundaryImport
from server.places.rules import ImportState
from server.problems import Problem
from server.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])
_KINDS = click.Choice([kind.value for kind in ZoneKind])
_SHOWN = 20
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _named(*names: str) -> Callable[[_Command], _Command]:
    """Return the option that names who answers for a deed."""
    return click.option(*names, "login", metavar="LOGIN", help="Login of the account that answers for it.")


def _who(session: orm.Session, login: str | None) -> Who | None:
    """Return the account behind a login; None, the operator on the machine, when none is named."""
    if login is None:
        return None
    accounts = hooks.accounts()
    who = None if accounts is None else accounts.who(session, login)
    if who is None:
        raise Problem(
            problems.NOT_FOUND, zh=f"没有可用的账号 {login}。", en=f"There is no enabled account {login}."
        )
    return who


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """Tell what is wrong with options in the words the API uses."""
    try:
        yield
    except ValidationError as error:
        faults = http.field_faults(error.errors())
        raise click.ClickException(terminal.told(Problem(problems.INVALID_REQUEST, errors=faults))) from None


@click.group()
def regions() -> None:
    """区划: the register of towns and villages."""


@regions.command("import")
@click.argument("file", type=_FILE)
@click.option("--valid-from", type=_DAY, help="First day of new regions and of changed names; default today.")
@click.option("--dry-run", is_flag=True, help="Tell what would change; write nothing.")
@_named("--by")
def import_regions(*, file: Path, valid_from: datetime | None, dry_run: bool, login: str | None) -> None:
    """Import a table of regions (CSV: code, name, and optionally kind, class, parent, valid_from, valid_until)."""
    since = None if valid_from is None else valid_from.date()
    with terminal.opened() as (database, _), database.write() as session:
        outcome = region_service.import_table(
            session, _who(session, login), file.read_bytes(), valid_from=since, dry_run=dry_run
        )
    click.echo(
        f"新增 {outcome.new}，变更 {len(outcome.changed)}，不变 {outcome.unchanged} / "
        f"new {outcome.new}, changed {len(outcome.changed)}, unchanged {outcome.unchanged}"
    )
    if dry_run:
        click.echo("试运行，未写入 / dry run, nothing written")


@regions.command("follow")
@click.argument("from_code")
@click.argument("to_code")
@click.option(
    "--from-day", type=_DAY, required=True, help="First day on which postings are in the new region."
)
@_named("--by")
def follow(*, from_code: str, to_code: str, from_day: datetime, login: str | None) -> None:
    """Record that postings in FROM_CODE are postings in TO_CODE from a day on (merged or renamed village)."""
    day: date = from_day.date()
    with terminal.opened() as (database, _), database.write() as session:
        region_service.follow(session, _who(session, login), from_code, to_code, day)
    click.echo(f"{from_code} → {to_code} ({day})")


@regions.command("outline")
@click.argument("code")
@click.argument("file", type=_FILE)
@_named("--by")
def outline(*, code: str, file: Path, login: str | None) -> None:
    """Keep the outline of a district (a file with one feature), for checking boundary files against."""
    with terminal.opened() as (database, _):
        shape = inspecting.read_outline(file.read_bytes(), file.name)
        with database.write() as session:
            import_service.record_outline(session, _who(session, login), code, shape, file.name)
    click.echo(f"{code}: {file.name}")


@click.group()
def boundaries() -> None:
    """边界: boundary files, their reports, trying and publishing them."""


@boundaries.command("import")
@click.argument("file", type=_FILE)
@click.option("--kind", type=_KINDS, help="What the file holds; default: every feature says its own.")
@click.option("--accuracy-m", type=float, required=True, help="The source's stated accuracy in metres.")
@click.option("--valid-from", required=True, help="A day (midnight in Beijing) or an instant with its zone.")
@click.option("--valid-until", help="The same; default: until further notice.")
@click.option("--region", help="Prefix of region codes that the file is about; default: your own.")
@click.option("--crs", type=int, help="EPSG code, where the file does not say it.")
@click.option("--swapped", is_flag=True, help="The axes are swapped (with --crs).")
@click.option("--to-wgs84", help="Three or seven parameters of an old datum (with --crs).")
@click.option("--columns", help="Such as code=XZQDM,name=XZQMC.")
@click.option("--encoding", help="Such as gb18030.")
@click.option("--layer", help="One of several layers.")
@click.option("--caption", help="A line that the picture must bear, such as 合成示意.")
@click.option("--whole", is_flag=True, help="The file is all there is: zones that it lacks end.")
@_named("--by")
def import_file(*, file: Path, login: str | None, **options: str | float | bool | None) -> None:
    """Bring in a boundary file: GeoJSON, Shapefile (zip), GeoPackage or KML. Nothing is in force yet."""
    with _checked():
        given = FileImportIn.model_validate({"id": ids.new_id(), "filename": file.name, **options})
    with terminal.opened() as (database, settings):
        if settings.two_person_publish and login is None:
            raise click.UsageError(
                "Importer and publisher must be two people: name yourself with --by LOGIN."
            )
        row, inspection = _imported(database, settings, given, file.read_bytes(), login)
    click.echo(f"{row.id}")
    click.echo(_counts(inspection))
    click.echo(f"zaicun boundaries report {row.id}", err=True)


def _imported(
    database: Database, settings: Settings, given: FileImportIn, data: bytes, login: str | None
) -> tuple[BoundaryImport, Inspection]:
    with database.read() as session:
        who = _who(session, login)
        scope = import_service.scope_of(who, given.region, settings)
        draft = import_service.file_draft(given, scope, data, who)
        around = import_service.surroundings(session, draft)
    inspection = inspecting.inspect_file(data, draft, around)
    with database.write() as session:
        row, _ = import_service.store(session, who, draft, inspection)
    return row, inspection


def _counts(inspection: Inspection) -> str:
    of = dict.fromkeys(Severity, 0)
    for finding in inspection.findings:
        of[finding.severity] += 1
    return (
        f"要素 {len(inspection.features)}，错误 {of[Severity.ERROR]}，需人工 {of[Severity.NEEDS_HUMAN]}，"
        f"警告 {of[Severity.WARNING]} / features {len(inspection.features)}, errors {of[Severity.ERROR]}, "
        f"need a human {of[Severity.NEEDS_HUMAN]}, warnings {of[Severity.WARNING]}"
    )


@boundaries.command("list")
@click.option("--state", type=click.Choice([state.value for state in ImportState]))
def list_imports(state: str | None) -> None:
    """List the imports, the newest first."""
    with terminal.opened() as (database, _), database.read() as session:
        chosen = None if state is None else ImportState(state)
        rows = import_queries.imports(session, None, state=chosen, after=None, limit=1000)
    for row in rows:
        click.echo(
            f"{row.id}  {row.imported_at:%Y-%m-%d %H:%M}Z  {row.state:<9}  {row.region:<12}  {row.filename}"
        )
    if not rows:
        click.echo("尚无导入 / no import yet")


@boundaries.command("report")
@click.argument("import_id", type=click.UUID)
@click.option("--text", "form", flag_value="text", default=True, help="As text (the default).")
@click.option("--json", "form", flag_value="json", help="As data.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture to this file."
)
@click.option("--english", is_flag=True, help="The text in English.")
def report(*, import_id: UUID, form: str, svg: Path | None, english: bool) -> None:
    """Print an import's quality report."""
    with terminal.opened() as (database, _), database.read() as session:
        import_queries.access_import(session, None, import_id)
        found = import_queries.report(session, import_id)
    if svg is not None:
        svg.write_text(found.svg, encoding="utf-8")
        click.echo(str(svg))
    elif form == "json":
        click.echo(orjson.dumps(found.report, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(found.text_en if english else found.text_zh)


@boundaries.command("accept")
@click.argument("import_id", type=click.UUID)
@click.argument("findings", nargs=-1, required=True, metavar="INDEX:CODE...")
@_named("--by", "--as")
def accept(*, import_id: UUID, findings: tuple[str, ...], login: str | None) -> None:
    """Accept findings or repairs, such as 12:ring-self-intersection; the index -1 is the whole file."""
    with _checked():
        given = [
            AcceptedIn.model_validate(
                {"index": index, "codes": [code]}, strict=False
            )  # Words of a line are text.
            for index, _, code in (finding.partition(":") for finding in findings)
        ]
    with terminal.opened() as (database, _), database.write() as session:
        import_service.accept(session, _who(session, login), import_id, given, None)
    click.echo(f"已接受 {len(given)} 项 / accepted {len(given)}")


@boundaries.command("dry-run")
@click.argument("import_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="As data.")
def dry_run(*, import_id: UUID, as_json: bool) -> None:
    """Tell what publishing would change, and how many judgements would move; write nothing."""
    with terminal.opened() as (database, _), database.read() as session:
        row = import_queries.access_import(session, None, import_id)
        found = publishing.plan(session, row)
        shown = DryRunOut.of(
            found, publishing.overlaps(session, found.steps), publishing.effect(session, found)
        )
    if as_json:
        click.echo(shown.model_dump_json(indent=2))
        return
    for title, steps in (
        ("新增 new", shown.new),
        ("变更 changed", shown.changed),
        ("终止 ended", shown.ended),
    ):
        click.echo(f"{title}: {len(steps)}")
        for step in steps[:_SHOWN]:
            click.echo(f"  {_step(step)}")
        if len(steps) > _SHOWN:
            click.echo(f"  … {len(steps) - _SHOWN}")
    click.echo(f"不变 unchanged: {shown.unchanged}")
    click.echo(f"不予发布 refused: {len(shown.refused)}")
    for one in shown.refused:
        codes = ", ".join(sorted({finding.code for finding in one.findings}))
        click.echo(f"  {one.index} {one.reference} {one.name}: {codes}")
    if shown.effect is not None:
        effect = shown.effect
        click.echo(
            f"判定会变的签到 {effect.check_ins} 次、{effect.people} 人 / "
            f"{effect.check_ins} check-ins of {effect.people} people would be judged differently"
        )


def _step(step: StepOut) -> str:
    before = "" if step.area_before_m2 is None else f"{step.area_before_m2 / 1e6:.3f} → "
    share = "" if step.overlap_share is None else f"  重叠 overlap {100 * step.overlap_share:.1f}%"
    later = f"  取代更晚版本 replaces later: {step.replaces_later}" if step.replaces_later else ""
    return f"{step.region_code} {step.name}  {before}{step.area_after_m2 / 1e6:.3f} km²{share}{later}"


@boundaries.command("publish")
@click.argument("import_id", type=click.UUID)
@_named("--as", "--by")
def publish(*, import_id: UUID, login: str | None) -> None:
    """Put an import's boundaries in force."""
    with terminal.opened() as (database, settings), database.write() as session:
        row, _ = import_service.publish(
            session, _who(session, login), import_id, None, two_persons=settings.two_person_publish
        )
        outcome = row.outcome or {}
    click.echo(
        f"新增 {outcome['new']}，变更 {outcome['changed']}，终止 {outcome['ended']}，不变 {outcome['unchanged']} / "
        f"new {outcome['new']}, changed {outcome['changed']}, ended {outcome['ended']}, unchanged {outcome['unchanged']}"
    )
    for one in outcome["refused"]:
        click.echo(
            f"未发布 refused: {one['index']} {one['reference']} {one['name']}: {', '.join(one['codes'])}"
        )


@boundaries.command("reject")
@click.argument("import_id", type=click.UUID)
@click.option("--note", required=True, help="Why.")
@_named("--as", "--by")
def reject(*, import_id: UUID, note: str, login: str | None) -> None:
    """Put an import aside for good."""
    with terminal.opened() as (database, _), database.write() as session:
        row = import_service.reject(session, _who(session, login), import_id, None, note)
    click.echo(f"{row.id}  {row.state}")
