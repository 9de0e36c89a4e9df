"""The `zaicun` command. Each room brings its own commands; this page names them and loads the one that is asked for."""

import importlib

import click

COMMANDS = {
    "account": "server.auth.commands:account",
    "backup": "server.backup.commands:backup",
    "boundaries": "server.places.commands:boundaries",
    "calendar": "server.month.commands:calendar",
    "check": "server.checking:check",
    "check-ins": "server.checkins.commands:check_ins",
    "db": "server.serving:db",
    "demo": "server.demo.commands:demo",
    "health": "server.health:health",
    "keys": "server.backup.commands:keys",
    "migrate": "server.preparing:migrate_command",
    "month": "server.compliance.commands:month_group",
    "notice": "server.notices.commands:notice",
    "openapi": "server.documents:openapi",
    "phone": "server.demo.phone_commands:phone",
    "plausibility": "server.review.commands:plausibility",
    "policy": "server.month.commands:policy",
    "receipts": "server.checkins.receipt_commands:receipts_group",
    "regions": "server.places.commands:regions",
    "restore": "server.backup.commands:restore",
    "roster": "server.roster.commands:roster",
    "sandbox": "server.demo.sandbox_commands:sandbox",
    "scheduler": "server.scheduler:scheduler",
    "serve": "server.serving:serve",
    "verify-receipt": "server.checkins.receipt_commands:verify_receipt",
}
"""The whole product takes seconds to import on a small machine; a phone or a health check needs little of it."""
WIRED = frozenset({"boundaries", "regions", "roster"})


class ByName(click.Group):
    """A group that imports a command when it is used (Click's lazily loaded subcommands)."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  Click's signature.
        """Return the names in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  As above.
        """Import and return a command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None


@click.command(cls=ByName, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zaicun")
@click.pass_context
def main(context: click.Context) -> None:
    """在村: check-ins of cadres posted to villages (下村签到、请销假、在岗情况)."""
    if context.invoked_subcommand in WIRED:
        importlib.import_module("server.wiring").install()
