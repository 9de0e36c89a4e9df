"""What reviewers do: take an item, look at its point, ask for more, accept, reject. Each step is a record of its own.

A rejection takes check-ins out of the count by a later judgement that names the decision, in the same transaction as
the month and its masks (M24). Nothing else here changes what counts, and no score ever gets this far.
"""

from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, ids, preconditions, problems
from server.access import Who
from server.checkins import decisions
from server.checkins.models import CheckIn, CheckInPosition
from server.month.masks import Month
from server.problems import FieldFault, Problem
from server.review import queries
from server.review.models import ReviewItem, ReviewTurn
from server.review.rules import UNDECIDED, ReviewState, ReviewStep, ReviewSubject
from server.review.schemas import DecideIn

_STATES = {
    ReviewStep.NEEDS_MORE: ReviewState.NEEDS_MORE,
    ReviewStep.ACCEPTED: ReviewState.ACCEPTED,
    ReviewStep.REJECTED: ReviewState.REJECTED,
}
_DEEDS = {
    ReviewStep.NEEDS_MORE: "review:ask",
    ReviewStep.ACCEPTED: "review:accept",
    ReviewStep.REJECTED: "review:reject",
}


def etag(item: ReviewItem) -> str:
    """Return the entity tag of an item: every step changes it."""
    return preconditions.tag(item.revision, item.state)


def take(session: orm.Session, who: Who, item_id: UUID, if_match: str) -> ReviewItem:
    """Take an item on (接手), so that its point can be looked at. Taking it again changes nothing."""
    item = queries.access_item(session, who, item_id, to_change=True)
    if item.assigned_to == who.account_id:
        return item
    _refuse_decided(session, item)
    preconditions.refuse_unless_current(if_match, etag(item))
    session.add(_turn(who, item, ids.new_id(), ReviewStep.TAKEN))
    item.assigned_to = who.account_id
    item.revision += 1
    audit.record(session, who, "review:take", ("review", item.id), person=str(item.person_id))
    session.flush()
    return item


def decide(
    session: orm.Session, who: Who, item_id: UUID, given: DecideIn, if_match: str
) -> tuple[ReviewItem, bool]:
    """Decide an item; return it and whether this call did (else: a resend).

    Raises Problem: 404, 409 already-decided with the decision, 409 id-reused, 412, 422 for a month's rejection that does
    not name check-ins of it that are unsure.
    """
    item = queries.access_item(session, who, item_id, to_change=True)
    before = queries.turn(session, given.id)
    if before is not None:
        if not _same(before, who, item, given):
            raise Problem(problems.ID_REUSED)
        return item, False
    _refuse_decided(session, item)
    preconditions.refuse_unless_current(if_match, etag(item))
    turn = _turn(who, item, given.id, given.decision)
    turn.reason = given.reason
    turn.text = given.text
    if given.decision is ReviewStep.REJECTED:
        turn.check_ins = _rejected(session, item, given)
        decisions.reject(session, item.person_id, turn.check_ins, turn.id)
    session.add(turn)
    item.state = _STATES[given.decision]
    item.revision += 1
    audit.record(
        session,
        who,
        _DEEDS[given.decision],
        ("review", item.id),
        person=str(item.person_id),
        decision=str(turn.id),
        reason=given.reason,
        check_ins=len(turn.check_ins or ()),
    )
    session.flush()
    return item, True


def point(session: orm.Session, who: Who, item_id: UUID) -> tuple[ReviewItem, CheckIn, CheckInPosition]:
    """Return an item with where its check-in was made; for whoever has taken it, and to be recorded (ruling 15).

    Raises Problem: 404 also without a point (a month, no position, faded), 409 review-not-taken.
    """
    item = queries.access_item(session, who, item_id)
    if item.assigned_to != who.account_id:
        raise Problem(
            problems.REVIEW_NOT_TAKEN,
            zh="请先接手（take）该事项，再查看位置；查看会留下记录。",
            en="Take the item first; then its point can be seen, and the look is recorded.",
        )
    found = queries.position(session, item)
    if found is None:
        raise Problem(
            problems.NOT_FOUND, zh="该事项没有可查看的位置。", en="There is no point to see for this item."
        )
    return (item, *found)


def _turn(who: Who, item: ReviewItem, turn_id: UUID, step: ReviewStep) -> ReviewTurn:
    return ReviewTurn(
        id=turn_id,
        item_id=item.id,
        at=clock.now(),
        account_id=who.account_id,
        step=step,
        decides=step in {ReviewStep.ACCEPTED, ReviewStep.REJECTED},
    )


def _same(turn: ReviewTurn, who: Who, item: ReviewItem, given: DecideIn) -> bool:
    named = given.check_ins is None or turn.check_ins == sorted(set(given.check_ins))
    return named and (turn.item_id, turn.account_id, turn.step, turn.reason, turn.text) == (
        item.id,
        who.account_id,
        given.decision,
        given.reason,
        given.text,
    )


def _refuse_decided(session: orm.Session, item: ReviewItem) -> None:
    if item.state in UNDECIDED:
        return
    (known,) = queries.known(session, [item])
    decision = known.decision
    raise Problem(
        problems.ALREADY_DECIDED,
        zh="该事项已有决定。",
        en="This item has been decided.",
        decision=None
        if decision is None
        else {
            "id": str(decision.id),
            "at": decision.at.isoformat(),
            "step": decision.step,
            "reason": decision.reason,
            "text": decision.text,
        },
    )


def _rejected(session: orm.Session, item: ReviewItem, given: DecideIn) -> list[UUID]:
    """Return which check-ins a rejection takes out: the item's own, or those named of a month, which must be unsure."""
    if item.subject == ReviewSubject.CHECK_IN and item.checkin_id is not None:
        wrong = given.check_ins is not None and set(given.check_ins) != {item.checkin_id}
        chosen = {item.checkin_id}
    else:
        unsure = {s.checkin.id for s in queries.unsure_of(session, item.person_id, Month.of(item.day))}
        chosen = set(given.check_ins or ())
        wrong = not chosen or not chosen <= unsure
    if wrong:
        zh = "请列出本事项中不予认可的签到。"
        en = "Name the check-ins of this item that are not accepted."
        raise Problem(
            problems.INVALID_REQUEST,
            zh=zh,
            en=en,
            errors=[FieldFault("check_ins", "not-of-the-item", zh, en)],
        )
    return sorted(chosen)
