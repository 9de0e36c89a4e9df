"""What a request for leave (请假) can become, who may do what with it when, and how long an absence is. Pure.

A request is drafted, submitted, perhaps forwarded, and granted or refused; granted leave runs by itself from its first
day and is over only when the person has reported back (销假), so *active* and *overdue* follow from the calendar and are
never stored. An extension is leave of its own that follows without a gap: the absence is as long as both together, and
so is what it takes to grant it (edges 82, 93).

Days are legal days (server.month.policy.legal_day); `today` is the one on which something is done.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

from server.month.leave_policy import HIGHEST, LeaveRules, Level
from server.month.masks import half_at

FreeDay = Callable[[date], bool]
"""Tells whether a day is free: a weekend, or a holiday."""


class LeaveState(StrEnum):
    """Where a request stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    FORWARDED = "forwarded"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    ACTIVE = "active"
    EXTENDED = "extended"
    RETURNED = "returned"
    OVERDUE = "overdue"
    CANCELLED = "cancelled"


STORED = tuple(state for state in LeaveState if state not in {LeaveState.ACTIVE, LeaveState.OVERDUE})
WAITING = frozenset({LeaveState.SUBMITTED, LeaveState.FORWARDED})
"""Somebody has to decide."""
ENDED = frozenset(
    {LeaveState.REFUSED, LeaveState.WITHDRAWN, LeaveState.CANCELLED, LeaveState.RETURNED, LeaveState.EXTENDED}
)
"""Nothing more is to be done."""


class LeaveAction(StrEnum):
    """What an officer does with a request that waits."""

    GRANT = "grant"
    REFUSE = "refuse"
    FORWARD = "forward"


class No(StrEnum):
    """Why something cannot be done."""

    DECIDED = "decided"
    CONCERNED = "concerned"  # One's own, one's spouse's, entered or decided before by oneself.
    HIGHER = "higher"  # Only the higher office may.
    NOWHERE_HIGHER = "nowhere-higher"  # There is no office above to forward to.
    NOT_RUNNING = (
        "not-running"  # Only running leave can be reported back from, and only for days that were reached.
    )
    OVER = "over"  # After its days leave is only corrected (edge 90).


def standing(state: LeaveState, first: date, last: date, today: date) -> LeaveState:
    """Return where a request stands today: granted leave runs from its first day, and is overdue after its last."""
    if state is not LeaveState.GRANTED or today < first:
        return state
    return LeaveState.ACTIVE if today <= last else LeaveState.OVERDUE


# --- how long, and who grants it
def joined(asked: range, others: Mapping[UUID, range], is_free: FreeDay | None) -> list[UUID]:
    """Return the requests that make one absence with `asked`, in the order in which they were found (edge 82).

    All are numbers of halves (server.month.masks.half_number). Leave is joined when no half lies between or, with
    `is_free`, only halves of free days; so one may join by way of another.
    """
    low, high, found = asked.start, asked.stop, list[UUID]()
    left = dict(sorted(others.items(), key=lambda other: other[1].start))
    growing = True
    while growing:
        growing = False
        for request, other in tuple(left.items()):
            gap = range(high, other.start) if other.start >= high else range(other.stop, low)
            if all(is_free is not None and is_free(half_at(number)[0]) for number in gap):
                low, high = min(low, other.start), max(high, other.stop)
                found.append(request)
                del left[request]
                growing = True
    return found


def absence(asked: range, others: Mapping[UUID, range], is_free: FreeDay | None) -> int:
    """Return how many halves of leave the absence has that `asked` is a part of; free days between are none of it."""
    return len(asked) + sum(len(others[request]) for request in joined(asked, others, is_free))


def is_retroactive(first: date, today: date, *, oral: bool, rules: LeaveRules) -> bool:
    """Tell whether leave is asked for after it began; a permission by word of mouth may be entered later (edge 95)."""
    return first < (today - timedelta(days=rules.confirm_days) if oral else today)


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes to grant a request: the office, and how many of it; `two_people`: whoever forwards is one of two."""

    level: Level
    approvals: int = 1
    two_people: bool = False

    def at_least(self, other: "Need") -> "Need":
        """Return what is needed where both are."""
        order = list(Level)
        return Need(
            max(self.level, other.level, key=order.index),
            max(self.approvals, other.approvals),
            self.two_people or other.two_people,
        )


def need(rules: LeaveRules, halves: int, *, retroactive: bool = False, town_concerned: bool = False) -> Need:
    """Return what it takes to grant an absence of so many halves.

    Leave after the fact needs the office above the usual one and two people (security.md S6); where the person or the
    declared spouse holds the town's office, the district decides (edge 98).
    """
    tier = rules.tier(halves)
    level = HIGHEST if retroactive or town_concerned else tier.level
    return Need(level, tier.approvals, two_people=retroactive)


# --- deciding
@dataclass(frozen=True, slots=True)
class Case:
    """A request as it lies before an officer: what it needs, and what was done. `approvals` are of its level."""

    state: LeaveState
    need: Need
    forwarded: bool = False
    approvals: int = 0


def level_of(case: Case) -> Level:
    """Return whose turn it is: a request that was forwarded is the higher office's."""
    return HIGHEST if case.state is LeaveState.FORWARDED else case.need.level


def decide(case: Case, action: LeaveAction, office: Level) -> LeaveState | No:
    """Return what an officer's action makes of a request, or why it cannot be done.

    The higher office may always decide; the town decides what lies within its tier and only forwards what does not
    (edge 100). With several approvals needed the request waits until the last of them.
    """
    if case.state not in WAITING:
        return No.DECIDED
    if action is LeaveAction.FORWARD:
        return No.NOWHERE_HIGHER if office is HIGHEST else _forwarded(case)
    if office is not HIGHEST and level_of(case) is HIGHEST:
        return No.HIGHER
    if action is LeaveAction.REFUSE:
        return LeaveState.REFUSED
    approvals = case.approvals + 1
    people = approvals + case.forwarded
    enough = approvals >= case.need.approvals and (people > 1 or not case.need.two_people)
    return LeaveState.GRANTED if enough else case.state


def _forwarded(case: Case) -> LeaveState | No:
    return No.HIGHER if case.state is LeaveState.FORWARDED else LeaveState.FORWARDED


def barred(*, concerned: bool, spouse: bool, entered: bool, took_part: bool) -> bool:
    """Tell whether somebody may not decide: it is theirs or their spouse's, they entered it, or they had their say."""
    return concerned or spouse or entered or took_part


# --- coming back, and not going
def taken_back(stood: LeaveState, today: date, first: date) -> tuple[LeaveState, date | None] | No:
    """Return what becomes of a request that is taken back, and the last day that stays leave (edge 90).

    Before a decision it is withdrawn; before its first day cancelled, and nothing stays; while it runs it ends today, so
    that presence is expected from tomorrow. `stood` is as :func:`standing` gives it.
    """
    if stood in WAITING or stood is LeaveState.DRAFT:
        return LeaveState.WITHDRAWN, None
    if stood is LeaveState.GRANTED:
        return LeaveState.CANCELLED, None
    if stood is LeaveState.ACTIVE:
        return LeaveState.CANCELLED, max(today, first)
    return No.OVER if stood is LeaveState.OVERDUE or stood is LeaveState.EXTENDED else No.DECIDED


def reported_back(stood: LeaveState, first: date, last: date, *, returned: date, today: date) -> date | No:
    """Return the last day that stays leave when somebody reports back (销假) that they returned on a day.

    The day of the return stays leave (a check-in counts above it), presence is expected from the next day (edge 91); one
    who returned late had leave until its end alone (edge 93).
    """
    if stood not in {LeaveState.ACTIVE, LeaveState.OVERDUE} or not first <= returned <= today:
        return No.NOT_RUNNING
    return min(returned, last)


class Reminder(StrEnum):
    """Who is told of leave that is over and was not reported back from."""

    PERSON = "person"
    APPROVER = "approver"
    ABSENT = "absent"


def reminders(last: date, today: date, *, seen: bool) -> tuple[Reminder, ...]:
    """Return what is due by now for overdue leave: first the person, the next day the approver, then absent (edge 93).

    `seen`: a valid check-in since the leave's end shows that the person is back; then only the report is missing.
    """
    late = (today - last).days
    if late < 1:
        return ()
    return tuple(Reminder)[: 1 if seen else late]


# --- balances, and who is left
@dataclass(frozen=True, slots=True)
class Balance:
    """One year's balance of a kind of leave, in halves; `asked` is what a request takes of it."""

    year: int
    entitled: int
    carried: int
    used: int
    asked: int

    @property
    def left(self) -> int:
        """Return what is left after the request; below zero where it asks for more than there is."""
        return self.entitled + self.carried - self.used - self.asked


def halves_by_year(spans: Iterable[range], is_free: FreeDay | None) -> dict[int, int]:
    """Return how many halves lie in each year (edge 84); with `is_free`, of working days alone (edge 86)."""
    found: dict[int, int] = {}
    for span in spans:
        for number in span:
            day = half_at(number)[0]
            if is_free is None or not is_free(day):
                found[day.year] = found.get(day.year, 0) + 1
    return found


def balances(
    yearly_days: int, carry_over_days: int, *, asked: Mapping[int, int], used: Mapping[int, int]
) -> list[Balance]:
    """Return the balance of each year that a request touches. Only what was left of the year before carries over."""
    found = []
    for year in sorted(asked):
        left_before = max(0, 2 * yearly_days - used.get(year - 1, 0))
        carried = min(2 * carry_over_days, left_before)
        found.append(Balance(year, 2 * yearly_days, carried, used.get(year, 0), asked[year]))
    return found


def thin_days(
    asked: range,
    person: UUID,
    posted: Mapping[date, Collection[UUID]],
    away: Iterable[tuple[UUID, range]],
    minimum: int,
) -> list[date]:
    """Return the days of a request on which fewer than `minimum` of a team would stay for some half (edge 106).

    `posted` says who is posted to the village by day, `away` which halves others of them are away.
    """
    gone: dict[int, set[UUID]] = {}
    for other, span in away:
        for number in range(max(span.start, asked.start), min(span.stop, asked.stop)):
            gone.setdefault(number, set()).add(other)
    found = {
        day
        for number in asked
        for day in (half_at(number)[0],)
        if len(set(posted.get(day, ())) - gone.get(number, set()) - {person}) < minimum
    }
    return sorted(found)
