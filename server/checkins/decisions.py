"""What a person decided about a check-in in a review or an appeal, as a later judgement of it (M24).

The check-in and all earlier judgements stay as they are; the newest one speaks, in the same transaction for the month
and its masks. A rejection names the decision and is carried on by every later judging (rejudging.py), until an appeal
lifts it.
"""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.verdict import VerdictKind
from server import clock
from server.checkins import dating, judging, recounting
from server.checkins.models import CheckIn, Judgement, Withdrawal
from server.checkins.queries import newest_judgement
from server.checkins.rules import Cause, Standing
from server.month import book as books
from server.month import facts
from server.month.book import Book
from server.month.masks import Month

_COPIED = (
    "verdict", "reason", "band", "margin_m", "p_inside", "p_zone", "posting_id", "village_code", "zone_name", "versions",
)  # fmt: skip


def reject(session: orm.Session, person_id: UUID, check_ins: Collection[UUID], decision: UUID) -> list[UUID]:
    """Take check-ins out of the count by a recorded decision; return those that counted until now."""
    return _decide(session, person_id, check_ins, Cause.REVIEW, decision)


def reinstate(session: orm.Session, person_id: UUID, check_ins: Collection[UUID]) -> list[UUID]:
    """Let check-ins count again as their verdicts say, because an appeal lifted the rejection; return those."""
    return _decide(session, person_id, check_ins, Cause.APPEAL, None)


def _decide(
    session: orm.Session, person_id: UUID, check_ins: Collection[UUID], cause: Cause, decision: UUID | None
) -> list[UUID]:
    newest = orm.aliased(Judgement, newest_judgement())
    rows: list[tuple[CheckIn, Judgement | None]] = [
        (row[0], row[1])
        for row in session.execute(
            sa.select(CheckIn, newest)
            .outerjoin(newest, sa.true())
            .where(
                CheckIn.person_id == person_id,
                CheckIn.id.in_(check_ins),
                ~sa.exists().where(
                    Withdrawal.person_id == CheckIn.person_id, Withdrawal.checkin_id == CheckIn.id
                ),
            )
            .order_by(CheckIn.id)
        )
    ]
    facts.hold(session, {(person_id, made.day.replace(day=1)) for made, _ in rows})
    book = books.load(session)
    changed = [(made, later) for made, later in rows if _differs(later, decision)]
    for made, later in changed:
        speaks: CheckIn | Judgement = made if later is None else later
        standing = Standing.NOT_COUNTED if decision else _standing(book, made, speaks)
        copied = {name: getattr(speaks, name) for name in _COPIED}
        session.add(
            Judgement(
                person_id=person_id,
                checkin_id=made.id,
                at=clock.now(),
                cause=cause,
                standing=standing,
                decision_id=decision,
                **copied,
            )
        )
    session.flush()
    recounting.recount(session, {(person_id, made.day) for made, _ in changed})
    return [made.id for made, _ in changed]


def _differs(later: Judgement | None, decision: UUID | None) -> bool:
    rejected = later is not None and later.decision_id is not None
    return rejected is (decision is None)


def _standing(book: Book, made: CheckIn, speaks: CheckIn | Judgement) -> Standing:
    """Return what a check-in does to its day when nobody rejects it: what judging it so would make of it.

    By the policy of its month, so that what arrived after the grace day stays a claim (edge 58), as does what is too old.
    """
    governing = book.governing(speaks.village_code or "", Month.of(made.day))
    policy = governing.policy if governing else judging.FALLBACK
    return judging.standing_of(VerdictKind(speaks.verdict), dating.dated_again(made, policy), policy)
