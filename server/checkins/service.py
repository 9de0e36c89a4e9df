"""What is done to check-ins after they are stored. Nothing here changes or deletes one (M14, M24)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, db, problems
from server.access import Who
from server.checkins import judging, queries, recounting, storing
from server.checkins.models import ReceiptEpoch, Withdrawal
from server.checkins.queries import Seen
from server.checkins.rules import EpochCause
from server.month import book, facts
from server.month.masks import Month
from server.problems import Kind, Problem


def withdraw(session: orm.Session, who: Who, person_id: UUID, checkin_id: UUID, reason: str) -> Seen:
    """Take back one's own mistaken check-in (it stays, marked), and count its day anew.

    Doing it again changes nothing. Raises Problem 404 for an unknown id and 409 ``withdrawal-too-late``.
    """
    seen = queries.access_own(session, person_id, checkin_id)
    if seen.withdrawal is not None:
        return seen
    month = Month.of(seen.checkin.day)
    governing = book.load(session).governing(seen.checkin.village_code or "", month)
    minutes = (governing.policy if governing else judging.FALLBACK).withdraw_minutes
    if clock.now() > queries.withdrawable_until(seen.checkin, minutes):
        raise Problem(
            problems.WITHDRAWAL_TOO_LATE,
            zh=f"签到后 {minutes} 分钟内可以撤回；现在请提出更正。",
            en=f"A check-in can be taken back within {minutes} minutes; now please ask for a correction.",
            minutes=minutes,
        )
    # The month's row is locked first, so that a check-in stored meanwhile is either seen here or added afterwards.
    facts.hold(session, [(person_id, month.first)])
    session.add(Withdrawal(person_id=person_id, checkin_id=checkin_id, at=clock.now(), reason=reason))
    session.flush()
    recounting.recount(session, [(person_id, seen.checkin.day)])
    audit.record(session, who, "checkin:withdraw", ("checkin", checkin_id), day=seen.checkin.day.isoformat())
    session.flush()  # What is not flushed would be forgotten by the next line.
    session.expire_all()
    return queries.access_own(session, person_id, checkin_id)


def begin_epoch(session: orm.Session, district: str, resend_from: datetime) -> int:
    """Begin an epoch of the chains of receipts, after the database was brought back by other means. Returns its number.

    From the next group on receipts are made in it; phones send again what was received since `resend_from`.
    """
    number = 1 + (session.scalar(sa.select(sa.func.max(ReceiptEpoch.number))) or 0)
    session.add(
        ReceiptEpoch(
            number=number,
            id=uuid4(),
            issuer=district,
            began_at=clock.now(),
            cause=EpochCause.OTHER,
            resend_from=resend_from,
        )
    )
    return number


def record_attempts(database: db.Database, who: Who, refused: Sequence[tuple[str, Kind, bytes]]) -> None:
    """Keep refused attempts of a known person (id as given, kind, body) in a transaction of their own (ruling 13)."""
    if who.person_id is None:
        return
    with database.write() as session:
        for checkin_id, kind, body in refused:
            attempt = {
                "at": clock.now(),
                "person": who.person_id,
                "account": who.account_id,
                "checkin": checkin_id[:64].replace(
                    "\0", "\N{REPLACEMENT CHARACTER}"
                ),  # PostgreSQL keeps no NUL.
                "code": kind.code,
                "status": kind.status,
                "body": body,
            }
            session.connection().exec_driver_sql(storing.REFUSED, attempt)
