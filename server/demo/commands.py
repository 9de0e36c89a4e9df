"""The command `zaicun demo`."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import click
from rich.console import Console

from server import clock
from server import settings as settings_module
from server.cluster import ClusterError
from server.demo.play import past_month, play
from server.settings import SettingsFault


def _month(_context: click.Context, _option: click.Parameter, text: str | None) -> date:
    if text is None:
        return past_month(clock.now().astimezone(ZoneInfo("Asia/Shanghai")).date())
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=ZoneInfo("Asia/Shanghai")).date()
    except ValueError as error:
        raise click.BadParameter("a month is written yyyy-mm") from error


@click.command()
@click.option("--once", is_flag=True, help="End after the summary instead of serving on.")
@click.option("--month", callback=_month, help="The month to play, yyyy-mm (default: the last one).")
@click.option(
    "--people", type=click.IntRange(1, 900), default=300, show_default=True, help="How many cadres."
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=8321, show_default=True, help="Port on 127.0.0.1."
)
def demo(*, once: bool, month: date, people: int, port: int) -> None:
    """Play a past month of a demonstration district through the real API."""
    console = Console()
    try:
        given = settings_module.load({})
        play(settings_module.replaced(given, port=port), month, people, console, once=once)
    except KeyboardInterrupt:
        console.print("已结束 / stopped")
    except OSError as error:
        raise click.ClickException(f"{error}. Another port: --port N") from error
    except (SettingsFault, ClusterError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
