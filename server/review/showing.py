"""Reviews in words: what was noticed for the reviewer, and for the person whose check-in it is."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from geo.fix import Sentence
from server.checkins.models import DatumAlarm
from server.checkins.plausibility.shifts import Shift
from server.checkins.plausibility.signals import FAMILIES, SENTENCES, Code
from server.checkins.queries import Seen
from server.checkins.record import sentence
from server.checkins.rules import AlarmOutcome, Kind, Standing
from server.compliance import showing as compliance
from server.month.masks import Month
from server.places.rules import BEIJING
from server.review import rules
from server.review.models import ReviewItem, ReviewTurn
from server.review.queries import Known
from server.review.rules import (
    CAUSES,
    REASONS,
    RejectionReason,
    ReviewCause,
    ReviewState,
    ReviewStep,
    ReviewSubject,
)
from server.review.schemas import (
    AlarmOut,
    OwnReviewOut,
    OwnSignal,
    ReviewedCheckIn,
    ReviewedPerson,
    ReviewOut,
    SignalOut,
    TurnOut,
)

Works = Callable[[date], bool]
STATES: Final[Mapping[ReviewState, Sentence]] = {
    ReviewState.OPEN: Sentence("照常计入，复核中。", "Counted as it stands, under review."),
    ReviewState.NEEDS_MORE: Sentence(
        "照常计入，复核人请您补充说明。", "Counted as it stands; the reviewer asks you for more."
    ),
    ReviewState.ACCEPTED: Sentence("复核通过。", "Reviewed and accepted."),
    ReviewState.REJECTED: Sentence(
        "复核不予认可，不计入；您可以申诉。", "Reviewed and not accepted: it does not count. You can appeal."
    ),
}
LIFTED: Final = Sentence(
    "复核不予认可，申诉后已撤销，按原判定计。",
    "It was not accepted; an appeal lifted that: it stands as it was judged.",
)
"""Of a rejection that stays on record and has no effect any more."""
_PLAINLY: Final[Mapping[Code, Sentence]] = {
    Code.SAME_POINT: Sentence(
        "{days:.0f} 天的不同定位在完全相同的一点上。",
        "Different fixes of {days:.0f} days are exactly the same point.",
    ),
    Code.POINT_OF_SEVERAL: Sentence(
        "不同的定位与他人的在完全相同的一点上。",
        "Different fixes are exactly the same point as those of others.",
    ),
    Code.ZERO_SCATTER: Sentence(
        "{days:.0f} 天的定位几乎没有散布。", "The fixes of {days:.0f} days hardly scatter."
    ),
    Code.SAME_ALTITUDE: Sentence(
        "{days:.0f} 天的海拔完全相同。", "The altitude was exactly the same on {days:.0f} days."
    ),
    Code.CONSTANT_ACCURACY: Sentence(
        "{days:.0f} 天的标称精度完全相同。", "The stated accuracy was exactly the same on {days:.0f} days."
    ),
    Code.FEW_DECIMALS: Sentence("坐标的小数位少。", "The coordinates have few decimals."),
    Code.ODD_PROVIDER: Sentence(
        "定位来源与其内容不相符。", "What the fix says does not fit where it is said to come from."
    ),
}
"""Where the reviewer's sentence tells a probability or how fine is too fine, the person is told what happened alone
(ruling 14): both would be a lesson for whoever wants to deceive."""


_BEFORE_TAKEN: Final[Mapping[Code, Sentence]] = {
    code: Sentence(
        "与另一次签到相距太远、间隔太短；接手后可见数值。",
        "Too far from another check-in for the time between them; the figures show once the item is taken.",
    )
    for code in (Code.FAST, Code.IMPOSSIBLE)
}
_OF_PLACES: Final = frozenset({"km", "kmh"})
"""Figures that say more of where somebody was than the band does: only for whoever has taken the item (rulings 14, 15)."""


def signal_out(told: Mapping[str, Any], own_days: Mapping[UUID, date], *, mine: bool) -> SignalOut:
    """Write a signal for a reviewer, who sees what was measured of places after taking the item."""
    code = Code(told["code"])
    named = [UUID(each) for each in told["check_ins"]]
    said = SENTENCES[code] if mine else _BEFORE_TAKEN.get(code, SENTENCES[code])
    figures = {name: value for name, value in told["figures"].items() if mine or name not in _OF_PLACES}
    return SignalOut(
        code=code,
        family=FAMILIES[code],
        zh=said.zh.format(**told["figures"]),
        en=said.en.format(**told["figures"]),
        figures=figures,
        check_ins=named,
        own_days=sorted({own_days[each] for each in named if each in own_days}),
        allowed_because=told.get("allowed"),
    )


def own_signals(signals: Sequence[Mapping[str, Any]]) -> list[OwnSignal]:
    """Write signals for the person; one that a recorded reason allows is left out."""
    found = []
    for told in signals:
        code = Code(told["code"])
        said = _PLAINLY.get(code, SENTENCES[code])
        if "allowed" not in told:
            found.append(
                OwnSignal(
                    code=code, zh=said.zh.format(**told["figures"]), en=said.en.format(**told["figures"])
                )
            )
    return found


def turn_out(turn: ReviewTurn, account_id: UUID | None) -> TurnOut:
    """Write a step; who made it stays with the service, but for whether it was the reader."""
    why = None if turn.reason is None else REASONS[RejectionReason(turn.reason)]
    return TurnOut(
        id=turn.id,
        at=turn.at,
        step=ReviewStep(turn.step),
        by_me=turn.account_id == account_id,
        reason=None if turn.reason is None else RejectionReason(turn.reason),
        reason_zh=None if why is None else why.zh,
        reason_en=None if why is None else why.en,
        text=turn.text,
        check_ins=turn.check_ins,
    )


def item_out(
    known: Known,
    *,
    account_id: UUID,
    names: Mapping[str, str],
    own_days: Mapping[UUID, date],
    works: Works,
    today: date,
) -> ReviewOut:
    """Write an item for a reviewer."""
    item, mine = known.item, known.item.assigned_to == account_id
    due = rules.due_day(item.opened_at.astimezone(BEIJING).date(), works)
    said = CAUSES[ReviewCause(item.cause)]
    return ReviewOut(
        id=item.id,
        subject=ReviewSubject(item.subject),
        person=ReviewedPerson(id=known.person.id, number=known.person.number, name=known.person.name),
        village=compliance.village_ref(item.region_code, names),
        month=_month(item),
        cause=ReviewCause(item.cause),
        cause_zh=said.zh,
        cause_en=said.en,
        opened_at=item.opened_at,
        due_day=due,
        overdue=item.state in rules.UNDECIDED and today > due,
        state=ReviewState(item.state),
        assigned=item.assigned_to is not None,
        mine=mine,
        check_ins=[_check_in(seen) for seen in known.seen],
        signals=[signal_out(each, own_days, mine=mine) for each in known.signals],
        policy=known.policy,
        turns=[turn_out(turn, account_id) for turn in known.turns],
    )


def own_item_out(known: Known, *, overturned: bool) -> OwnReviewOut:
    """Write an item for the person it is about: what and why, and what was decided; not who looks at it."""
    item = known.item
    said, state = CAUSES[ReviewCause(item.cause)], LIFTED if overturned else STATES[ReviewState(item.state)]
    return OwnReviewOut(
        id=item.id,
        subject=ReviewSubject(item.subject),
        month=_month(item),
        check_in=item.checkin_id,
        day=item.day,
        cause=ReviewCause(item.cause),
        cause_zh=said.zh,
        cause_en=said.en,
        opened_at=item.opened_at,
        state=ReviewState(item.state),
        state_zh=state.zh,
        state_en=state.en,
        overturned=overturned,
        signals=own_signals(known.signals),
        turns=[turn_out(turn, None) for turn in known.turns if turn.step != ReviewStep.TAKEN],
    )


def _month(item: ReviewItem) -> str | None:
    return None if item.month is None else str(Month.of(item.month))


def _check_in(seen: Seen) -> ReviewedCheckIn:
    made, speaks = seen.checkin, seen.judgement or seen.checkin
    zh, en = sentence(speaks.reason, speaks.zone_name)
    return ReviewedCheckIn.model_validate(
        {
            "id": made.id,
            "kind": Kind(made.kind),
            "day": made.day,
            "event_at": made.event_at,
            "received_at": made.received_at,
            "verdict": speaks.verdict,
            "standing": Standing(speaks.standing),
            "reason": speaks.reason,
            "zh": zh,
            "en": en,
            "band": speaks.band,
            "outside_work": made.outside_work,
            "note": made.note,
        }
    )


_SHIFTS: Final[Mapping[Shift, Sentence]] = {
    Shift.GCJ02_ADDED: Sentence("多做了一次 GCJ-02 转换", "by the offset of GCJ-02, added once too often"),
    Shift.GCJ02_REMOVED: Sentence(
        "少做了一次 GCJ-02 转换", "by the offset of GCJ-02, taken away once too often"
    ),
    Shift.BD09_ADDED: Sentence("多做了一次 BD-09 转换", "by the offset of BD-09, added once too often"),
    Shift.BD09_REMOVED: Sentence(
        "少做了一次 BD-09 转换", "by the offset of BD-09, taken away once too often"
    ),
}


def alarm_out(row: DatumAlarm) -> AlarmOut:
    """Write an alarm in words."""
    said = _SHIFTS[Shift(row.shift)]
    return AlarmOut(
        id=row.id,
        client=row.client,
        shift=Shift(row.shift),
        zh=f"应用 {row.client} 的 {row.people} 名使用者中有 {row.moved} 人的定位一齐移动，像是{said.zh}。",
        en=f"Of {row.people} people with {row.client}, {row.moved} moved together, {said.en}.",
        people=row.people,
        moved=row.moved,
        since=row.since,
        raised_at=row.raised_at,
        closed_at=row.closed_at,
        outcome=None if row.outcome is None else AlarmOutcome(row.outcome),
    )
