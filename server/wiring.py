"""What upper rooms give to lower ones, installed once a process by the application and by the commands."""

from server.auth.queries import AccountsByLogin
from server.checkins import hooks as checkin_hooks
from server.checkins.rejudging import Judgements
from server.corrections import appealable
from server.corrections.rules import AppealKind
from server.places import hooks as place_hooks
from server.review.appealing import Rejections
from server.review.own import reviews_of
from server.roster import hooks as roster_hooks


def install() -> None:
    """Tell each lower room whom to ask: who judges again, stands behind a login, reviews, lifts what is appealed against."""
    judgements = Judgements()
    place_hooks.install(judgements=judgements, accounts=AccountsByLogin())
    roster_hooks.install("check-ins", judgements.postings_changed)
    checkin_hooks.install(reviews_of)
    appealable.install(AppealKind.CHECK_IN, Rejections())
