"""Rejected check-ins as they are appealed against: by the decision's id, answered by another body (M24)."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import problems
from server.access import Who
from server.checkins import decisions
from server.checkins.models import CheckIn, Judgement
from server.checkins.queries import newest_judgement
from server.corrections.appealable import Decided
from server.problems import Problem
from server.review.models import ReviewItem, ReviewTurn
from server.review.rules import ReviewStep


class Rejections:
    """What the review room supplies to appeals (server.corrections.appealable)."""

    def decided(self, session: orm.Session, subject_id: UUID) -> Decided | None:
        """Return a rejection by its decision's id, its item locked."""
        found = _rejection(session, subject_id)
        if found is None:
            return None
        turn, item = found
        took_part = sa.select(ReviewTurn.account_id).where(
            ReviewTurn.item_id == item.id, ReviewTurn.step != ReviewStep.TAKEN
        )
        return Decided(
            person_id=item.person_id,
            village_code=item.region_code,
            day=item.day,
            decided_at=turn.at,
            deciders=frozenset(session.scalars(took_part)),
        )

    def overturn(
        self, session: orm.Session, who: Who, subject_id: UUID, *, appeal_id: UUID, reason: str
    ) -> None:
        """Let the check-ins that this decision took out count again as their verdicts say; the rejection stays on record."""
        del who, appeal_id, reason  # The appeal itself keeps them; a judgement has no room for words.
        found = _rejection(session, subject_id)
        if found is None:
            raise Problem(problems.NOT_FOUND)
        turn, item = found
        newest = orm.aliased(Judgement, newest_judgement())
        rejected = session.scalars(
            sa.select(CheckIn.id)
            .join(newest, sa.true())
            .where(CheckIn.person_id == item.person_id, newest.decision_id == turn.id)
        ).all()
        decisions.reinstate(session, item.person_id, rejected)


def _rejection(session: orm.Session, turn_id: UUID) -> tuple[ReviewTurn, ReviewItem] | None:
    row = session.execute(
        sa.select(ReviewTurn, ReviewItem)
        .join(ReviewItem, ReviewItem.id == ReviewTurn.item_id)
        .where(ReviewTurn.id == turn_id, ReviewTurn.step == ReviewStep.REJECTED)
        .with_for_update(of=ReviewItem)
    ).first()
    return None if row is None else (row[0], row[1])
