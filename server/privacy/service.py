"""What is done about people's data: holds are placed and lifted, notices published and accepted."""

from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, db, problems
from server.access import Who
from server.places.rules import today
from server.privacy import queries
from server.privacy.models import LegalHold, LegalHoldLift
from server.privacy.schemas import HoldIn
from server.problems import Problem
from server.roster import queries as roster_queries


def place_hold(session: orm.Session, who: Who, given: HoldIn) -> tuple[LegalHold, bool]:
    """Place a legal hold (保留) on a person in reach: nothing of the days named fades or is purged until its end.

    Returns the hold and whether this call placed it. Raises Problem: 404, 409 id-reused, 422 for an end in the past.
    """
    if given.ends_on < today(clock.now()):
        raise Problem(
            problems.INVALID_REQUEST, zh="ends_on 不能早于今天。", en="ends_on must not lie before today."
        )
    roster_queries.access_person(session, who, given.person_id, write=True)
    row = LegalHold(
        id=given.id,
        person_id=given.person_id,
        first_day=given.first_day,
        last_day=given.last_day,
        reason=given.reason,
        ends_on=given.ends_on,
        placed_at=clock.now(),
        placed_by=who.account_id,
    )
    same = ("first_day", "last_day", "reason", "ends_on")
    stored, created = db.insert_once(session, row, same=same, own=("person_id",))
    if created:
        about = {"hold": str(stored.id), "ends_on": stored.ends_on.isoformat()}
        audit.record(session, who, "hold:place", ("person", stored.person_id), **about)
    return stored, created


def lift_hold(session: orm.Session, who: Who, hold_id: UUID, reason: str) -> tuple[LegalHold, int]:
    """Say that a hold may end before its day; return it and how many officials said so. Two different ones lift it.

    Saying it again changes nothing. Raises Problem 404.
    """
    hold = queries.access_hold(session, who, hold_id)
    said = queries.lifts(session, hold_id)
    if all(each.account_id != who.account_id for each in said):
        session.add(LegalHoldLift(hold_id=hold_id, account_id=who.account_id, at=clock.now(), reason=reason))
        audit.record(
            session, who, "hold:lift", ("person", hold.person_id), hold=str(hold_id), said=len(said) + 1
        )
        return hold, len(said) + 1
    return hold, len(said)
