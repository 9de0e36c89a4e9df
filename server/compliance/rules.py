"""What a statement says beyond its figures: what was missing and why, in words; how long it stays provisional. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from server.month.holidays import MonthCalendar
from server.month.masks import FULL
from server.month.policy import Mode, Policy, PolicyVersion
from server.month.reasons import DayReason
from server.month.rules import Facts, ResultKind, Sort, Tier, due, frame, in_village, layers
from server.month.statements import Statement, shown, statement

KEPT = ("sure", "unsure", "unfenced", "outside", "claimed", *Sort)
"""The masks that are kept for each person and month, by the names of `Facts`: of check-ins, then of the ledger."""

WAITING = frozenset({DayReason.OPEN, DayReason.AHEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A statement with everything it follows from. `as_of` is the legal day on which it was made."""

    facts: Facts
    statement: Statement
    policy_id: UUID
    version: PolicyVersion
    calendar: MonthCalendar
    as_of: date

    @property
    def policy(self) -> Policy:
        """Return the policy it was judged by."""
        return self.version.policy


def facts_of(posted: int, kept: Mapping[str, int], policy: Policy, *, outage: int = 0) -> Facts:
    """Return the facts of a month from the days posted, the masks kept and the days without service where one was posted.

    Spot checks alone presume presence; an outage excuses nobody who does not check in every day (edge 132).
    """
    presumed = FULL if policy.mode is Mode.SPOT_CHECKS_ONLY else 0
    excused = outage if policy.outages_count else 0
    return Facts(posted=posted, presumed=presumed, outage=excused, **{name: kept[name] for name in KEPT})


def judge(
    facts: Facts, calendar: MonthCalendar, *, policy_id: UUID, version: PolicyVersion, today: date
) -> Judged:
    """Judge a month as of a day by a version of a policy."""
    return Judged(
        facts=facts,
        statement=statement(facts, calendar, version.policy, today=today),
        policy_id=policy_id,
        version=version,
        calendar=calendar,
        as_of=today,
    )


def missing(judged: Judged) -> dict[DayReason, int]:
    """Return the halves that were due and do not count, by reason, the most frequent first.

    Days that are still open or ahead are left out: nobody missed them.
    """
    laid = frame(judged.calendar, judged.policy, judged.as_of)
    fact = judged.facts.masks()
    states = layers(fact, laid)
    lost = due(fact, laid) & ~in_village(states, judged.policy)
    halves = {state: (mask & lost).bit_count() for state, mask in states.items() if state not in WAITING}
    order = list(DayReason)
    return dict(
        sorted(
            ((state, count) for state, count in halves.items() if count),
            key=lambda pair: (-pair[1], order.index(pair[0])),
        )
    )


_NOUNS = {
    DayReason.NO_EVIDENCE: ("无在村记录", "without record"),
    DayReason.OUTSIDE: ("仅有村外定位", "outside the village only"),
    DayReason.CLAIMED: ("已申报待证实", "claimed and waiting for proof"),
    DayReason.DISPUTED: ("证明与定位不一致", "with a disputed attestation"),
    DayReason.LEAVE_DUE: ("请假（仍计入应驻天数）", "on leave that stays due"),
    DayReason.ON_DUTY: ("因公外出（按政策不计在村）", "on duty that does not count in the village"),
    DayReason.CORRECTED_ABSENT: ("更正为不在村", "corrected to absent"),
    DayReason.FOUND_ABSENT: ("抽查认定不在村", "found absent by a spot check"),
}


def noun(reason: DayReason) -> tuple[str, str]:
    """Return how days of a reason are called in a list, in Chinese and English."""
    return _NOUNS.get(reason, (reason.value, reason.value))


def days(halves: int) -> str:
    """Write halves as English days: ``1 day``, ``4 days``, ``½ day``."""
    return f"{shown(halves)} day" if halves in {1, 2} else f"{shown(halves)} days"


def shortfall(judged: Judged) -> tuple[str, str]:
    """Say why a month is below: what counted, what was needed, and what the days due were instead."""
    made = judged.statement
    lost = missing(judged)
    zh = "、".join(f"{noun(reason)[0]} {shown(halves)} 天" for reason, halves in lost.items())
    en = ", ".join(f"{days(halves)} {noun(reason)[1]}" for reason, halves in lost.items())
    counted = shown(made.counted_halves)
    return (
        f"计 {counted} 天，需 {made.need_shown} 天" + (f"：{zh}。" if zh else "。"),
        f"counted {counted} of {made.need_shown} needed" + (f": {en}." if en else "."),
    )


def result_sentence(judged: Judged) -> tuple[str, str]:
    """Say in both languages how the month stands."""
    made, policy = judged.statement, judged.policy
    counted, need = shown(made.counted_halves), made.need_shown
    if made.result is ResultKind.NOT_POSTED:
        return "本月未派驻，无结果。", "Not posted this month; there is no result."
    if made.result is ResultKind.TOO_SHORT:
        due_zh, due_en, short = shown(made.due_halves), days(made.due_halves), policy.short_month_days
        zh = f"应驻 {due_zh} 天，不足 {short} 天，只记录，不评定（计 {counted} 天，按比例需 {need} 天）。"
        en = f"{due_en} due, fewer than {short}: reported, not judged (counted {counted}, the share is {need})."
        return zh, en
    if made.result is ResultKind.BELOW:
        zh, en = shortfall(judged)
        return f"未达到要求：{zh}", f"Below: {en}"
    if made.result is ResultKind.MET:
        return f"已达到要求：计 {counted} 天，需 {need} 天。", f"Met: counted {counted} of {need} needed."
    zh, en = f"已驻村 {counted} 天，需 {need} 天", f"{counted} of {need} days"
    following = _ahead(made)
    return f"{zh}{following[0]}。", f"{en}{following[1]}."


def _ahead(made: Statement) -> tuple[str, str]:
    projection = made.projection
    if projection is None:
        return "", ""
    if projection.tier is Tier.CANNOT_BE_REACHED:
        return "；本月已无法达到", "; can no longer be reached this month"
    if projection.tier is Tier.NO_SLACK:
        return "；此后须每天在村", "; every day from now on is needed"
    away = projection.away_at_most_halves
    return f"；最多还可离村 {shown(away)} 天", f"; can still be away at most {days(away)}"
