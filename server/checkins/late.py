"""Check-ins that arrived after their month's grace day: kept as claims, and a correction case for each day (edge 58).

Looked for every night rather than opened by the intake: what a case is about is stored already, so whatever happens in
between nothing is lost, and the hottest statement of all stays as it is.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import reduce
from operator import or_
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.verdict import COUNTED
from server.checkins import dating, queries
from server.checkins.models import CheckIn, Judgement, Withdrawal
from server.checkins.rules import Standing
from server.corrections.models import Correction
from server.corrections.rules import LATE_UPLOAD, WAITING, Claim, State
from server.corrections.service import open_case
from server.month import book as books
from server.month.book import Book
from server.month.masks import Month, day_mask
from server.month.models import PersonMonth
from server.places.rules import BEIJING

COUNTING = ("sure", "unsure", "unfenced", "corrected_present")
"""The masks of which one is enough for a day to count without a case."""
TEXT = "签到于宽限日之后收到，当日不自动计入。 It arrived after the grace day, so the day does not count by itself."


def open_cases(session: orm.Session, since: datetime) -> list[UUID]:
    """Open a case for each day that check-ins which arrived since then would have counted for; return the cases.

    None where the day counts anyway, where a correction of it waits or was approved, or where one was decided after the
    check-in had arrived. So doing it again opens nothing twice.
    """
    book = books.load(session)
    found: dict[tuple[UUID, date], list[UUID]] = {}
    for checkin, village in _claims(session, since):
        if _closed(book, checkin, village):
            found.setdefault((checkin.person_id, checkin.day), []).append(checkin.id)
    opened = [
        open_case(
            session,
            person_id=person_id,
            day=day,
            claim=Claim.PRESENT,
            reason=LATE_UPLOAD,
            text=TEXT,
            check_ins=tuple(check_ins),
        )
        for (person_id, day), check_ins in sorted(found.items())
        if not _counts(session, person_id, day)
    ]
    return [case for case in opened if case is not None]


def _claims(session: orm.Session, since: datetime) -> Sequence[tuple[CheckIn, str | None]]:
    """Return the claims of earlier months that no correction has answered yet, as they are judged now, and where."""
    newest = orm.aliased(Judgement, queries.newest_judgement())
    standing = sa.func.coalesce(newest.standing, CheckIn.standing)
    verdict = sa.func.coalesce(newest.verdict, CheckIn.verdict)
    arrived_on = sa.cast(sa.func.timezone(BEIJING.key, CheckIn.received_at), sa.Date)
    answered = sa.exists().where(
        Correction.person_id == CheckIn.person_id,
        Correction.day == CheckIn.day,
        sa.or_(
            Correction.state.in_((*WAITING, State.APPROVED)), Correction.decided_at >= CheckIn.received_at
        ),
    )
    withdrawn = sa.exists().where(
        Withdrawal.person_id == CheckIn.person_id, Withdrawal.checkin_id == CheckIn.id
    )
    query = (
        sa.select(CheckIn, sa.func.coalesce(newest.village_code, CheckIn.village_code))
        .outerjoin(newest, sa.true())
        .where(
            CheckIn.received_at >= since,
            CheckIn.day < sa.func.date_trunc("month", arrived_on),
            standing == Standing.CLAIMED,
            verdict.in_(COUNTED),
            ~answered,
            ~withdrawn,
        )
        .order_by(CheckIn.person_id, CheckIn.event_at)
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def _closed(book: Book, checkin: CheckIn, village: str | None) -> bool:
    governing = book.governing(village or "", Month.of(checkin.day))
    return governing is not None and dating.after_grace(
        checkin.event_at, checkin.received_at, governing.policy
    )


def _counts(session: orm.Session, person_id: UUID, day: date) -> bool:
    row = session.get(PersonMonth, (person_id, Month.of(day).first))
    counted = 0 if row is None else reduce(or_, (getattr(row, name) for name in COUNTING))
    return counted & day_mask(day.day) == day_mask(day.day)
