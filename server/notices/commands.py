"""The command `zaicun notice`: what is in force, and publishing a version of the district's own."""

from datetime import datetime, timedelta
from pathlib import Path

import click

from server import clock, terminal
from server.notices import rules, service
from server.notices.service import Text
from server.places.rules import today

NOTICE_DAYS = 14
"""A phone in the mountains must have the time to hear of a new version."""
_Text = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def notice() -> None:
    """告知书: the notice about personal information."""


@notice.command("show")
@click.option("--region", default="", help="Prefix of region codes; default the district's.")
def show(region: str) -> None:
    """Print the notice in force, with its version and digest."""
    with terminal.opened() as (database, settings), database.read() as session:
        text = service.in_force(session, region or settings.district_code)
        number = service.number_accepted(session, text.digest)
    until = f"，旧版有效至 / earlier ones good until {text.until}" if text.until else ""
    accepted = f"已接受 {number} 个账号 / accepted by {number} accounts"
    click.echo(f"{text.version} {text.digest}{until}\n{accepted}\n\n{text.text_zh}\n{text.text_en}")


@notice.command("publish")
@click.option("--region", default="", help="Prefix of region codes; default the district's.")
@click.option("--version", required=True, help="What this version is called, such as 2027-01.")
@click.option("--zh", type=_Text, required=True, help="The Chinese text (UTF-8, Markdown).")
@click.option("--en", type=_Text, required=True, help="The English text (UTF-8, Markdown).")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help=f"Until when an earlier version is good, {NOTICE_DAYS} days ahead at least; without it for good.",
)
def publish(region: str, version: str, zh: Path, en: Path, until: datetime | None) -> None:
    """Publish a version. People are asked for it at their next sync; nobody's check-in is refused for it."""
    text_zh, text_en = zh.read_text("utf-8-sig").strip(), en.read_text("utf-8-sig").strip()
    if not text_zh or not text_en:
        raise click.UsageError("两种文字都不能为空 / neither text may be empty")
    earliest = today(clock.now()) + timedelta(days=NOTICE_DAYS)
    if until is not None and until.date() < earliest:
        raise click.UsageError(f"--until 最早 / at the earliest: {earliest}")
    given = Text(
        version, text_zh, text_en, rules.digest(text_zh, text_en), until=until.date() if until else None
    )
    with terminal.opened() as (database, settings), database.write() as session:
        service.publish(session, region or settings.district_code, given)
    click.echo(f"已发布 / published: {version} {given.digest}")
