"""What can become of an item of the review queue, and until when it should be decided. Pure."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from geo.fix import Sentence


class Band(StrEnum):
    """What a score asks of people; none of them takes a day from anybody (M24)."""

    NONE = "none"
    SAMPLED = "sampled"  # A share of these is drawn for review.
    REVIEW = "review"


class ReviewSubject(StrEnum):
    """What an item is about."""

    CHECK_IN = "check-in"
    MONTH = "month"


class ReviewCause(StrEnum):
    """Why an item is in the queue."""

    SIGNALS = "signals"
    DRAWN = "drawn"
    UNSURE_DECIDES = "unsure-decides"
    TOO_MANY_UNSURE = "too-many-unsure"


CAUSES: Final[Mapping[ReviewCause, Sentence]] = {
    ReviewCause.SIGNALS: Sentence(
        "有几处情况需要核对，见各条说明。", "Some things are to be checked; each is explained."
    ),
    ReviewCause.DRAWN: Sentence("抽签抽中，例行核对。", "Drawn by lot for a routine check."),
    ReviewCause.UNSURE_DECIDES: Sentence(
        "本月是否达到要求取决于位置不确定的签到。",
        "Whether the month is met depends on check-ins whose place is unsure.",
    ),
    ReviewCause.TOO_MANY_UNSURE: Sentence(
        "本月位置不确定的天数超过政策的限度。",
        "More days of the month are unsure than the policy lets pass.",
    ),
}


class ReviewState(StrEnum):
    """How far a review is. Until a decision the check-in counts as its verdict says."""

    OPEN = "open"
    NEEDS_MORE = "needs-more"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


UNDECIDED: Final = (ReviewState.OPEN, ReviewState.NEEDS_MORE)


class ReviewStep(StrEnum):
    """What a reviewer did."""

    TAKEN = "taken"
    NEEDS_MORE = "needs-more"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class RejectionReason(StrEnum):
    """Why a reviewer did not accept; the text beside it says it in the reviewer's own words. Codes are for ever."""

    MOCKED_POSITION = "mocked-position"
    NOT_THERE = "not-there"
    OTHERS_PHONE = "others-phone"
    REPEATED_POSITION = "repeated-position"
    IMPOSSIBLE_JOURNEY = "impossible-journey"
    PLACE_NOT_SHOWN = "place-not-shown"
    OTHER = "other"


REASONS: Final[Mapping[RejectionReason, Sentence]] = {
    RejectionReason.MOCKED_POSITION: Sentence("位置为模拟位置。", "The position was a mock one."),
    RejectionReason.NOT_THERE: Sentence(
        "经核实当时不在村。", "It was found that the person was not in the village."
    ),
    RejectionReason.OTHERS_PHONE: Sentence("由他人手机代签。", "It was made on somebody else's phone."),
    RejectionReason.REPEATED_POSITION: Sentence("位置系重复使用。", "The position was used again."),
    RejectionReason.IMPOSSIBLE_JOURNEY: Sentence(
        "与前后签到的行程不可能同时成立。", "It and the check-ins around it cannot all be true."
    ),
    RejectionReason.PLACE_NOT_SHOWN: Sentence(
        "未能证明当时在村。", "It was not shown that the person was in the village."
    ),
    RejectionReason.OTHER: Sentence("其他原因，见说明。", "Another reason, see the text."),
}

REVIEW_WITHIN: Final = 5
"""Working days in which an item should be decided (security.md, section 4); then the district sees it as overdue."""


def overdue_before(today: date, works: Callable[[date], bool], days: int = REVIEW_WITHIN) -> date:
    """Return the day on and before which an item must have been opened to be overdue today.

    An item opened on a day is overdue when more than `days` working days have ended since: the day itself does not
    count, today is not over.
    """
    day, left = today - timedelta(days=1), days
    while True:
        if works(day):
            left -= 1
        day -= timedelta(days=1)
        if not left:
            return day


def due_day(opened: date, works: Callable[[date], bool], days: int = REVIEW_WITHIN) -> date:
    """Return the last day on which an item opened on `opened` is not overdue: the given working day after it."""
    day, left = opened, days
    while left:
        day += timedelta(days=1)
        if works(day):
            left -= 1
    return day
