"""The `zaicun` command. Each room brings its own commands; this page gathers them."""

import click

from server import serving
from server.auth import commands as auth
from server.auth.queries import AccountsByLogin
from server.checkins import commands as checkins
from server.checkins.rejudging import Judgements
from server.compliance import commands as compliance
from server.demo import commands as demo
from server.month import commands as month
from server.places import commands as places
from server.places import hooks as place_hooks
from server.roster import commands as roster
from server.roster import hooks as roster_hooks


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zaicun")
def main() -> None:
    """在村: check-ins of cadres posted to villages (下村签到、请销假、在岗情况)."""
    judgements = Judgements()
    place_hooks.install(judgements=judgements, accounts=AccountsByLogin())
    roster_hooks.install("check-ins", judgements.postings_changed)


main.add_command(auth.account)
main.add_command(auth.keys)
main.add_command(places.regions)
main.add_command(places.boundaries)
main.add_command(month.policy)
main.add_command(month.calendar)
main.add_command(compliance.month_group)
main.add_command(roster.roster)
for command in (
    serving.serve,
    serving.migrate_command,
    serving.scheduler,
    serving.health,
    serving.db,
    serving.openapi,
):
    main.add_command(command)
main.add_command(demo.demo)
main.add_command(demo.phone)
main.add_command(checkins.check_ins)
