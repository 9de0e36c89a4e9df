"""The `zaicun` command. Each room brings its own commands; this page gathers them."""

import click

from server import serving
from server.auth import commands as auth
from server.month import commands as month


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zaicun")
def main() -> None:
    """在村: check-ins of cadres posted to villages (下村签到、请销假、在岗情况)."""


main.add_command(auth.account)
main.add_command(auth.keys)
main.add_command(month.policy)
main.add_command(month.calendar)
for command in (serving.serve, serving.migrate_command, serving.health, serving.db, serving.openapi):
    main.add_command(command)
