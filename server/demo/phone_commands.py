"""The command `zaicun phone`: a virtual phone, by the code of the reference client."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import httpx
from zaicun_phone import Phone, Refused
from zaicun_time import RunningClock

T = TypeVar("T")


@click.group()
@click.option("--server", default="http://127.0.0.1:8321", show_default=True, help="Address of the server.")
@click.option("--login", required=True, help="Login (the staff number).")
@click.option(
    "--password", envvar="ZAICUN_PHONE_PASSWORD", help="Password; needed once, then the tokens are kept."
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of this phone (default: var/phone/LOGIN).",
)
@click.pass_context
def phone(context: click.Context, server: str, login: str, password: str | None, store: Path | None) -> None:
    """Act as a virtual phone against any server; the same code as the reference client."""
    kept = store or Path("var") / "phone" / login
    kept.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = Phone(server, store=kept, running=RunningClock(kept / "anchor.json"))
    context.obj = (mine, login, password)
    if password and context.invoked_subcommand != "activate":
        _plainly(lambda: mine.login(login, password))


def _plainly(deed: Callable[[], T]) -> T:
    try:
        return deed()
    except Refused as refused:
        raise click.ClickException(
            f"{refused.problem.get('detail', refused)} ({refused.problem.get('code')})"
        ) from refused
    except httpx.TransportError as error:
        raise click.ClickException(f"the server cannot be reached: {error}") from error


def _show(found: object) -> None:
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


@phone.command()
@click.argument("code")
@click.option(
    "--new-password", prompt=True, hide_input=True, confirmation_prompt=True, help="The password to be."
)
@click.option("--accept-notice", is_flag=True, help="Accept the notice (告知书) without being shown it.")
@click.pass_obj
def activate(
    given: tuple[Phone, str, str | None], code: str, new_password: str, *, accept_notice: bool
) -> None:
    """Read the notice and accept it, use the one-time code of the slip and choose a password."""
    mine, login, _ = given
    notice = _plainly(mine.notice)
    if not accept_notice:
        click.echo(f"{notice['text_zh']}\n{notice['text_en']}")
        click.confirm("接受 / accept?", abort=True)
    _plainly(lambda: mine.activate(login, code, new_password, notice["digest"]))
    click.echo("已激活 / activated")


@phone.command("check-in")
@click.option("--lon", type=float, help="Longitude, degrees.")
@click.option("--lat", type=float, help="Latitude, degrees.")
@click.option("--datum", default="wgs84", show_default=True, help="wgs84, gcj02, bd09 or cgcs2000.")
@click.option("--accuracy", type=float, default=15.0, show_default=True, help="68 % radius, metres.")
@click.option("--age", type=float, default=0.0, show_default=True, help="Age of the fix, seconds.")
@click.option("--mocked", is_flag=True, help="The platform says that the position is mocked.")
@click.option(
    "--no-position", help="Why there is no fix: denied, off, timeout, unavailable, unsupported, other."
)
@click.option("--kind", default="day", show_default=True, help="day, arrive or leave.")
@click.option("--note", help="A note.")
@click.option("--offline", is_flag=True, help="Only queue it; `sync` sends it later.")
@click.pass_obj
def check_in(
    given: tuple[Phone, str, str | None],
    *,
    lon: float | None,
    lat: float | None,
    datum: str,
    accuracy: float,
    age: float,
    mocked: bool,
    no_position: str | None,
    kind: str,
    note: str | None,
    offline: bool,
) -> None:
    """Check in (签到)."""
    mine = given[0]
    position = None
    if lon is not None and lat is not None:
        position = {
            "lon": lon,
            "lat": lat,
            "datum": datum,
            "accuracy_m": accuracy,
            "age_s": age,
            "mocked": mocked,
        }
    elif no_position is None:
        raise click.UsageError("give --lon and --lat, or --no-position with the reason")
    mine.tap(position, kind=kind, note=note, no_position=no_position)
    if not offline:
        _send(mine)
    click.echo(f"等待发送 / waiting: {mine.waiting()}")


@phone.command()
@click.pass_obj
def sync(given: tuple[Phone, str, str | None]) -> None:
    """Send what waits."""
    _send(given[0])
    click.echo(f"等待发送 / waiting: {given[0].waiting()}")


def _send(mine: Phone) -> None:
    answers = _plainly(mine.flush)
    for answer in answers:
        _show(answer.body)
    if mine.waiting() == 0:
        # Something got through, so this phone is online: the next check-in may be made where it is not.
        with contextlib.suppress(Refused, httpx.TransportError):
            mine.fetch_anchor()


@phone.command()
@click.argument("month")
@click.pass_obj
def month(given: tuple[Phone, str, str | None], month: str) -> None:
    """Show one's own month (yyyy-mm)."""
    _show(_plainly(lambda: given[0].month(month)))
