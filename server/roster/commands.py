"""`zaicun roster`: taking in a roster file, and the empty one to fill in."""

import os
import subprocess
import sys
from pathlib import Path

import click

from server import terminal
from server.roster import importing, report
from server.roster.files import ENVIRONMENT, ROOT
from server.roster.limits import LARGEST_FILE

_ROSTER_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def roster() -> None:
    """Units, people and postings (派出单位、人员、选派)."""


@roster.command("import")
@click.argument("file", type=_ROSTER_FILE)
@click.option("--dry-run", is_flag=True, help="Tell what would happen, write nothing (试运行).")
@click.option("--region", help="Prefix of the villages' codes; default: the district of the settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--lang", type=click.Choice(["zh", "en"]), default="zh", show_default=True)
def import_file(*, file: Path, dry_run: bool, region: str | None, as_json: bool, lang: str) -> None:
    """Import a roster from CSV or xlsx (导入花名册): every row, or none and the faults with their lines.

    The same file again changes nothing. Exits with 1 when there are faults.
    """
    if file.stat().st_size > LARGEST_FILE:
        raise click.ClickException(f"{file}: 超过 / more than {LARGEST_FILE >> 20} MiB")
    with terminal.opened() as (database, settings):
        reading = importing.read(file.read_bytes())
        reach = (region or settings.district_code,)
        with database.read() if dry_run else database.write() as session:
            outcome = importing.take(session, None, reading, reach=reach, dry_run=dry_run)
        told = report.out(outcome)
    click.echo(told.model_dump_json(indent=2) if as_json else report.text(told, lang), nl=as_json)
    if told.faults:
        sys.exit(1)


@roster.command("template")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The xlsx file to write."
)
def template(out: Path) -> None:
    """Write the empty roster to fill in (花名册模板) with choices, an example and an explanation."""
    made = subprocess.run(
        [sys.executable, "-B", "-m", "server.roster.template"],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        part.write_bytes(made.stdout)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise click.ClickException(f"{out}: {error.strerror}") from None
    click.echo(f"已写入 / written: {out}")
