"""The command `zaicun health`: light, because it is asked every few seconds."""

import urllib.error
import urllib.request
from dataclasses import replace

import click

from server import settings as settings_module
from server.console import plainly


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the service (default: the setting).")
@plainly
def health(port: int | None) -> None:
    """Ask the running service whether it is ready; exits with 1 when it is not."""
    settings = settings_module.load()
    address = f"{replace(settings, port=port or settings.port).own_url}/readyz"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310  Ours, http.
            click.echo(answer.read().decode())
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise click.ClickException(f"not ready: {error}") from error
