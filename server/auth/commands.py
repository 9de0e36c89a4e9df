"""The commands `zaicun account` and `zaicun keys`."""

import click

from server import clock, terminal
from server import settings as settings_module
from server.auth import rules, service
from server.auth.codes import Made
from server.auth.keys import KeySet, Purpose
from server.places.rules import BEIJING
from server.settings import SettingsFault


@click.group()
def account() -> None:
    """账号: accounts."""


@account.command("first-admin")
@click.option("--login", required=True, help="Login of the administrator.")
@click.option("--name", default="管理员", show_default=True, help="Name to show.")
def first_admin(login: str, name: str) -> None:
    """Make the first administrator and print the one-time code; refuses when there is one already."""
    folded = rules.fold_login(login)
    if not rules.is_login(folded):
        raise click.BadParameter(
            "letters, digits and . _ - @ only, beginning with a letter or digit, 64 at most",
            param_hint="--login",
        )
    with terminal.opened() as (database, _), database.write() as session:
        made = service.first_administrator(session, folded, name.strip()[:100] or "管理员")
    _tell(made)


@account.command("reset")
@click.option("--login", required=True, help="Login of the account.")
def reset(login: str) -> None:
    """Make a new one-time code for any account; its password and sessions end now. Audited."""
    with terminal.opened() as (database, _), database.write() as session:
        made = service.reset_by_operator(session, rules.fold_login(login))
    _tell(made)


def _tell(made: Made) -> None:
    until = made.expires_at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
    click.echo(f"登录名 / login: {made.account.login}")
    click.echo(f"激活码 / one-time code: {made.code}")
    click.echo(
        f"北京时间 {until} 前有效，只能用一次 / valid until {until} Beijing time, once: POST /v1/auth/activate"
    )


@click.group("keys")
def keys() -> None:
    """签名密钥: the server's signing keys."""


@keys.command("list")
def list_keys() -> None:
    """List the keys; secrets are never shown."""
    try:
        found = _open()
        for key in found.listed():
            mark = " current" if key is found.current(key.purpose) else ""
            click.echo(
                f"{key.purpose:<8} {key.number:>4}  {key.kid}  from {key.active_from:%Y-%m-%d %H:%M:%SZ}{mark}"
            )
    except SettingsFault as fault:
        raise click.ClickException(str(fault)) from None


@keys.command("rotate")
@click.option("--purpose", type=click.Choice([str(p) for p in Purpose]), default="access", show_default=True)
@click.option(
    "--stolen",
    is_flag=True,
    help="Refuse what earlier keys made, at once. Access: all tokens are fetched anew. Refresh: everybody logs in again.",
)
def rotate(purpose: str, *, stolen: bool) -> None:
    """Make a new key. Running servers take it up within seconds, without a restart."""
    try:
        key = _open().rotate(Purpose(purpose), distrust_earlier=stolen)
    except SettingsFault as fault:
        raise click.ClickException(str(fault)) from None
    wait = max(0.0, (key.active_from - clock.now()).total_seconds())
    click.echo(f"{key.purpose} {key.number}  {key.kid}  in use in {wait:.0f} s")


def _open() -> KeySet:
    found = KeySet(settings_module.load().keys_dir)
    found.ensure()
    return found
