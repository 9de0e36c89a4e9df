"""What check-ins tell their maker of a review: that there is one, what was noticed, and what was decided and why."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import orm

from server.checkins.answers import ReviewDecision, ReviewedOut, ReviewSentence
from server.review import queries, showing
from server.review.models import ReviewTurn
from server.review.rules import REASONS, RejectionReason, ReviewState


def reviews_of(
    session: orm.Session, person_id: UUID, check_ins: Sequence[UUID]
) -> Mapping[UUID, ReviewedOut]:
    """Return the reviews of a person's check-ins; a rejection in the review of their month is one of theirs too."""
    items = queries.of_check_ins(session, person_id, check_ins)
    rejections = queries.rejections(session, person_id, check_ins)
    lifted = queries.lifted(session, {turn.id for turn in rejections.values()})
    found = {
        key: _told(item.id, ReviewState(item.state), signals, turn, lifted)
        for key, (item, signals, turn) in items.items()
    }
    for key, turn in rejections.items():
        if key not in found or found[key].state != ReviewState.REJECTED.value:
            found[key] = _told(turn.item_id, ReviewState.REJECTED, (), turn, lifted)
    return found


def _told(
    item_id: UUID,
    state: ReviewState,
    signals: Sequence[Mapping[str, Any]],
    turn: ReviewTurn | None,
    lifted: Collection[UUID],
) -> ReviewedOut:
    overturned = turn is not None and turn.id in lifted
    said = showing.LIFTED if overturned else showing.STATES[state]
    return ReviewedOut.model_validate(
        {
            "id": item_id,
            "state": state.value,
            "overturned": overturned,
            "zh": said.zh,
            "en": said.en,
            "signals": [
                ReviewSentence(code=each.code, zh=each.zh, en=each.en)
                for each in showing.own_signals(signals)
            ],
            "decision": None if turn is None else _decision(turn),
        }
    )


def _decision(turn: ReviewTurn) -> ReviewDecision:
    why = None if turn.reason is None else REASONS[RejectionReason(turn.reason)]
    return ReviewDecision.model_validate(
        {
            "id": turn.id,
            "at": turn.at,
            "step": turn.step,
            "reason": turn.reason,
            "reason_zh": None if why is None else why.zh,
            "reason_en": None if why is None else why.en,
            "text": turn.text,
        }
    )
