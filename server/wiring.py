"""What upper rooms give to lower ones, installed once a process by the application and by the commands."""

from server.auth.queries import AccountsByLogin
from server.checkins.rejudging import Judgements
from server.places import hooks as place_hooks
from server.roster import hooks as roster_hooks


def install() -> None:
    """Tell places and roster who judges check-ins again, and places who stands behind a login."""
    judgements = Judgements()
    place_hooks.install(judgements=judgements, accounts=AccountsByLogin())
    roster_hooks.install("check-ins", judgements.postings_changed)
