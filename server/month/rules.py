"""The two-thirds arithmetic. First the definition; the code below and the oracle in tests/rules follow it.

The notice (江津委办发〔2021〕24号, 五（二）): "确保……每月三分之二以上时间吃在村住在村干在村". "以上" includes the number itself.

 1. Every day of a month has two halves, morning and afternoon. Every half has exactly one state.
 2. Check-ins (sure, unsure, unfenced), positions outside and outages are facts of a day: a bit in either half speaks
    for the day. Every other fact speaks for the halves it names, and for no other.
 3. Leave, duty and not being posted *take* a half. A check-in *reaches* the halves of its day that are not taken; on a
    day with both halves taken it reaches both (ruling 4: on a day wholly on leave it fills the day).
 4. The state of a half is the first of these that applies (ruling 3):
    not posted; approved correction: present; approved correction: absent; decided finding: seen; decided finding:
    absent; a sure check-in that reaches it; an unsure one; an unfenced one; confirmed duty; leave that shrinks n; leave
    that counts nothing; attestation or paper, unless a position outside speaks for the day; outage, unless a position
    outside speaks for the day; presumed present (spot checks only, ruling 7); open, if the day is today; ahead, if
    it is later; attestation disputed by a position outside; claimed; outside only; no evidence.
 5. A half counts in the village (驻村) when it is corrected to present, seen, reached by a check-in of any of the three
    sorts, attested, in an outage or presumed; and when on duty, if the policy says so.
 6. A half counts on post (在岗) when it counts in the village or is on confirmed duty. The allowance (补助) has one day
    for each day with a half on post or, by a switch, half a day for each such half (ruling 6).
 7. A half is in the basis when its day is a working day; on the calendar-day basis every half is.
 8. A half is due when it is posted, in the basis, and not under approved leave that shrinks n, whatever its state.
    n is the number of halves due: it depends on roster, leave and calendar only, never on what evidence there is.
 9. k is the number of halves that count in the village up to and including today, in the basis or not, but at most n
    (ruling 8; edges 14, 92). Facts dated later than today count as planned, not in k.
10. The ratio is the policy's or, for a fixed number of days, that number over the days of the month. The need is the
    least number of halves k with k >= ratio * n. The month is met when k >= ratio * n, compared in integers.
11. The result is: not posted, if no half is posted; else too short, if n is fewer than the policy's days (edge 6);
    else met, if so; else running, if the month is not over; else below.
12. Halves are shown when, for one of the properties due, counting in the village, and free (sentence 16), some day has
    one half with it and one without. Otherwise days are shown: the need rounded up, what one may be away rounded down.
13. Unsure days are those with a half whose state is unsure. They go to review when they are more than the policy's
    limit, or when the month is judged and met, and would not be met without its unsure check-ins (ruling 2).
14. A day is in conflict when a posted half of it is corrected or found both ways; corrected to present and found
    absent (edge 109); or disputed, which includes one that would be, were it not open, ahead or presumed (edge 138).
15. There is no data when a posted half lies before today and the month has no fact of the person, posted or not
    (edge 25). Outages and presumptions are not facts of a person.
16. The projection takes approved leave and confirmed duty as they stand. *Secured* is k before its cap, and what is
    planned. A half is *free* when it is open or ahead. The *slack* is what secured and the free halves in the basis
    together have beyond the need, at least nothing, shown as sentence 12 says. One may be away for the slack, but for
    no more than the free halves in the basis. The tier is: reached, if k has the need; else cannot be reached, if
    secured and all free halves together lack it; else no slack, if the slack is nothing; else on track (edges 21-23).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from functools import reduce
from operator import or_

from server.month.holidays import MonthCalendar
from server.month.masks import FULL, Mask, Month, day_mask, full_days, whole_days
from server.month.policy import Basis, Policy
from server.month.reasons import PRESENT, DayReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One person's month: a mask for each sort of fact. Raises ValueError for a mask wider than 31 days.

    ``corrected_*``: approved corrections. ``finding_*``: findings that a second reviewer decided. ``sure``, ``unsure``,
    ``unfenced``: check-ins judged inside, unsure, no_fence and not rejected or withdrawn. ``outside``: positions judged
    outside or town. ``duty``: confirmed official duty. ``leave_*``: approved leave by its treatment. ``attested``:
    clerk's attestation or paper. ``presumed``: days under a policy of spot checks only. ``claimed``: no usable
    position, within the claim's time.
    """

    posted: int = 0
    corrected_present: int = 0
    corrected_absent: int = 0
    finding_seen: int = 0
    finding_absent: int = 0
    sure: int = 0
    unsure: int = 0
    unfenced: int = 0
    outside: int = 0
    duty: int = 0
    leave_shrinking: int = 0
    leave_counting_nothing: int = 0
    attested: int = 0
    outage: int = 0
    presumed: int = 0
    claimed: int = 0

    def __post_init__(self) -> None:
        masks = self.masks()
        if not reduce(or_, masks.values()) & ~FULL:  # A negative mask has bits beyond, too.
            return
        for name, mask in masks.items():
            if not 0 <= mask <= FULL:
                raise ValueError(f"The mask {name} does not fit 31 days: {mask:#x}.")

    def masks(self) -> dict[str, int]:
        """Give the masks by name."""
        return {name: getattr(self, name) for name in FACT_NAMES}


class Sort(StrEnum):
    """The sorts of facts that people enter and decide, by the names of their masks in `Facts`. Codes are for ever.

    They speak for the halves they name (sentence 2) and lie in the ledger `day_facts`; what check-ins say does not.
    """

    CORRECTED_PRESENT = "corrected_present"
    CORRECTED_ABSENT = "corrected_absent"
    FINDING_SEEN = "finding_seen"
    FINDING_ABSENT = "finding_absent"
    DUTY = "duty"
    LEAVE_SHRINKING = "leave_shrinking"
    LEAVE_COUNTING_NOTHING = "leave_counting_nothing"
    ATTESTED = "attested"


STATE_OF = {
    Sort.CORRECTED_PRESENT: DayReason.CORRECTED_PRESENT,
    Sort.CORRECTED_ABSENT: DayReason.CORRECTED_ABSENT,
    Sort.FINDING_SEEN: DayReason.SEEN,
    Sort.FINDING_ABSENT: DayReason.FOUND_ABSENT,
    Sort.DUTY: DayReason.ON_DUTY,
    Sort.LEAVE_SHRINKING: DayReason.LEAVE_NOT_DUE,
    Sort.LEAVE_COUNTING_NOTHING: DayReason.LEAVE_DUE,
    Sort.ATTESTED: DayReason.ATTESTED,
}
"""The state of a half day that a fact of each sort decides, where nothing goes before it (sentence 4)."""
FACT_NAMES = tuple(each.name for each in fields(Facts))
PERSONAL_FACTS = tuple(name for name in FACT_NAMES if name not in {"posted", "outage", "presumed"})


class ResultKind(StrEnum):
    """The result of a month (sentence 11)."""

    NOT_POSTED = "not-posted"
    TOO_SHORT = "too-short"
    MET = "met"
    RUNNING = "running"
    BELOW = "below"


class Tier(StrEnum):
    """Where a month that runs is heading (sentence 16)."""

    REACHED = "reached"
    ON_TRACK = "on-track"
    NO_SLACK = "no-slack"
    CANNOT_BE_REACHED = "cannot-be-reached"


class ReviewReason(StrEnum):
    """Why unsure days go to review before the lock (sentence 13)."""

    UNSURE_DECIDES = "unsure-decides"
    TOO_MANY_UNSURE = "too-many-unsure"


@dataclass(frozen=True, slots=True)
class Frame:
    """What is the same for everybody in a month: masks of the month, and the ratio as two integers."""

    month: Month
    whole: int
    basis: int
    elapsed: int  # Up to and including today.
    today: int
    later: int
    over: bool
    numerator: int
    denominator: int


def frame(calendar: MonthCalendar, policy: Policy, today: date | None) -> Frame:
    """Lay out a month under a policy; ``today`` None means that the month is over (sentences 7, 9, 10)."""
    month = calendar.month
    whole = month.mask
    if today is None or today > month.last:
        elapsed, this_day = whole, 0
    elif today < month.first:
        elapsed, this_day = 0, 0
    else:
        this_day = day_mask(today.day)
        elapsed = this_day | (this_day - 1) & whole
    ratio = (policy.ratio_numerator, policy.ratio_denominator)
    return Frame(
        month=month,
        whole=whole,
        basis=whole if policy.basis is Basis.CALENDAR else calendar.working & whole,
        elapsed=elapsed,
        today=this_day,
        later=whole & ~elapsed,
        over=not this_day and elapsed == whole,
        numerator=ratio[0] if policy.fixed_days is None else policy.fixed_days,
        denominator=ratio[1] if policy.fixed_days is None else month.days,
    )


def layers(fact: Mapping[str, Mask], laid: Frame) -> dict[DayReason, Mask]:
    """Give each state's halves (sentences 2 to 4): disjoint masks that together are the month.

    ``fact`` has a mask for each of FACT_NAMES: integers, or arrays of them.
    """
    posted = fact["posted"] & laid.whole
    taken = (fact["duty"] | fact["leave_shrinking"] | fact["leave_counting_nothing"] | ~posted) & laid.whole
    reached = ~taken | full_days(taken)
    elsewhere = whole_days(fact["outside"])
    everything = posted | laid.whole
    order = (
        (DayReason.CORRECTED_PRESENT, fact["corrected_present"]),
        (DayReason.CORRECTED_ABSENT, fact["corrected_absent"]),
        (DayReason.SEEN, fact["finding_seen"]),
        (DayReason.FOUND_ABSENT, fact["finding_absent"]),
        (DayReason.CHECKED_IN, whole_days(fact["sure"]) & reached),
        (DayReason.UNSURE, whole_days(fact["unsure"]) & reached),
        (DayReason.UNFENCED, whole_days(fact["unfenced"]) & reached),
        (DayReason.ON_DUTY, fact["duty"]),
        (DayReason.LEAVE_NOT_DUE, fact["leave_shrinking"]),
        (DayReason.LEAVE_DUE, fact["leave_counting_nothing"]),
        (DayReason.ATTESTED, fact["attested"] & ~elsewhere),
        (DayReason.OUTAGE, whole_days(fact["outage"]) & ~elsewhere),
        (DayReason.PRESUMED, fact["presumed"]),
        (DayReason.OPEN, everything & laid.today),
        (DayReason.AHEAD, everything & laid.later),
        (DayReason.DISPUTED, fact["attested"]),
        (DayReason.CLAIMED, fact["claimed"]),
        (DayReason.OUTSIDE, elsewhere),
        (DayReason.NO_EVIDENCE, everything),
    )
    rest = posted
    states = {DayReason.NOT_POSTED: everything & ~posted}
    for state, mask in order:
        states[state] = rest & mask
        rest = rest & ~mask
    return states


def in_village(states: Mapping[DayReason, Mask], policy: Policy) -> Mask:
    """Halves that count in the village (sentence 5)."""
    present = reduce(or_, (states[state] for state in PRESENT))
    return present | states[DayReason.ON_DUTY] if policy.duty_counts_in_village else present


def due(fact: Mapping[str, Mask], laid: Frame) -> Mask:
    """Halves that are due (sentence 8)."""
    return fact["posted"] & laid.basis & ~fact["leave_shrinking"]


def conflicting(fact: Mapping[str, Mask], states: Mapping[DayReason, Mask]) -> Mask:
    """Halves whose facts contradict each other (sentence 14)."""
    undecided = (
        states[DayReason.PRESUMED]
        | states[DayReason.OPEN]
        | states[DayReason.AHEAD]
        | states[DayReason.DISPUTED]
    )
    both = (fact["corrected_present"] & (fact["corrected_absent"] | fact["finding_absent"])) | (
        fact["finding_seen"] & fact["finding_absent"]
    )
    return (both & ~states[DayReason.NOT_POSTED]) | (
        undecided & fact["attested"] & whole_days(fact["outside"])
    )
