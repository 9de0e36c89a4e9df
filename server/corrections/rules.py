"""What a correction (补签) and an appeal (申诉) can become, and who may not decide them. Pure.

A correction is open until it is withdrawn, refused or approved. Approved against a finding or an earlier correction it
is not done yet: it waits for a second reviewer, who sees both (edge 109). What is over the quota or late is marked and
decided by the district (edge 108). Nobody decides what concerns them or what they entered (security.md S6).
"""

from enum import StrEnum


class Claim(StrEnum):
    """What a correction says of the day."""

    PRESENT = "present"
    ABSENT = "absent"


class Halves(StrEnum):
    """Which halves of the day it names."""

    DAY = "day"
    MORNING = "morning"
    AFTERNOON = "afternoon"


class State(StrEnum):
    """Where a correction stands."""

    OPEN = "open"
    SECOND_REVIEW = "second-review"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


WAITING = frozenset({State.OPEN, State.SECOND_REVIEW})
"""The states in which somebody has to decide."""


LATE_UPLOAD = "late-upload"
SYSTEM_REASONS = {
    LATE_UPLOAD: ("签到于宽限日之后收到", "a check-in arrived after the month's grace day"),
}
"""Why the system asks, by code: in the two languages."""


class Level(StrEnum):
    """Who decides."""

    TOWN = "town"
    DISTRICT = "district"


class AppealState(StrEnum):
    """Where an appeal stands."""

    OPEN = "open"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


class AppealKind(StrEnum):
    """What kind of decision is appealed against; the rooms of the others tell theirs (appealable.py)."""

    CORRECTION = "correction"
    CHECK_IN = "check-in"
    FINDING = "finding"


class Event(StrEnum):
    """What happened to a correction or an appeal."""

    ENTERED = "entered"
    PASSED_ON = "passed-on"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    APPEALED = "appealed"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


def level(state: State, *, over_quota: bool, late: bool) -> Level:
    """Return who decides a correction as it stands."""
    return Level.DISTRICT if over_quota or late or state is State.SECOND_REVIEW else Level.TOWN


def decided(state: State, *, approve: bool, opposed: bool) -> State:
    """Return what a decision makes of a correction that waits; `opposed`: another fact of the day says otherwise."""
    if not approve:
        return State.REFUSED
    return State.SECOND_REVIEW if opposed and state is State.OPEN else State.APPROVED


def barred(*, concerned: bool, entered: bool, earlier: bool) -> bool:
    """Tell whether somebody may not decide: it concerns them, they entered it, or they decided it before."""
    return concerned or entered or earlier
