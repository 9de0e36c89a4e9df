"""What a posting is, and the arithmetic of its days. Pure.

A posting (选派) sends one person to one village in one role, from one day to another, both inclusive. One person may
hold several at once in different villages (edge 74), never two in the same village at the same time.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class PostingRole(StrEnum):
    """What the person is in the village. A first secretary who also leads the team holds one posting (edge 79)."""

    FIRST_SECRETARY = "first_secretary"  # 第一书记  # pragma: allowlist secret
    MEMBER = "member"  # 工作队员


class EndReason(StrEnum):
    """Why a posting ended (edge 77)."""

    TERM_OVER = "term_over"  # 任期届满
    RECALLED = "recalled"  # 召回
    RETIRED = "retired"  # 退休
    TRANSFERRED = "transferred"  # 调动、轮换
    DECEASED = "deceased"  # 去世
    OTHER = "other"  # 其他
    ENTERED_IN_ERROR = "entered_in_error"  # 误录: the posting never was, and has no day.


@dataclass(frozen=True, slots=True)
class Term:
    """The part of a posting that decides where somebody is posted on which day. `until_day` is inclusive."""

    village_code: str
    from_day: date
    until_day: date | None = None

    @property
    def is_void(self) -> bool:
        """Tell whether the term has no day at all: an entry made in error."""
        return self.until_day is not None and self.until_day < self.from_day

    def covers(self, day: date) -> bool:
        """Tell whether the day is a posted day."""
        return self.from_day <= day and (self.until_day is None or day <= self.until_day)

    def meets(self, other: "Term") -> bool:
        """Tell whether two terms share a day in the same village: what the database refuses."""
        return (
            self.village_code == other.village_code
            and not (self.is_void or other.is_void)
            and (other.until_day is None or self.from_day <= other.until_day)
            and (self.until_day is None or other.from_day <= self.until_day)
        )


@dataclass(frozen=True, slots=True)
class State:
    """A posting as it stands at one version: what the history keeps before and after a change."""

    village_code: str
    role: PostingRole
    from_day: date
    until_day: date | None = None
    end_reason: EndReason | None = None

    @property
    def term(self) -> Term:
        """Return the part that decides about days."""
        return Term(self.village_code, self.from_day, self.until_day)

    def body(self) -> dict[str, str | None]:
        """Return the state as JSON: days as ISO 8601 dates."""
        return {
            "village_code": self.village_code,
            "role": self.role,
            "from_day": self.from_day.isoformat(),
            "until_day": self.until_day.isoformat() if self.until_day else None,
            "end_reason": self.end_reason,
        }


def void_until(from_day: date) -> date:
    """Return the last day of a posting that never was: the day before its first, an empty range."""
    return from_day - timedelta(days=1)


Span = tuple[date, date | None]
"""First and last day, both inclusive; None means without end."""


def days_changed(before: Term | None, after: Term | None) -> Span | None:
    """Return the shortest span that holds every day whose posted village differs between two states of a posting.

    None when no day differs. Check-ins of these days may need judging again (ruling 10).
    """
    old = None if before is None or before.is_void else before
    new = None if after is None or after.is_void else after
    if old is None or new is None:
        only = old or new
        return None if only is None else (only.from_day, only.until_day)
    if old.village_code != new.village_code:
        return _hull(old, new)
    if old.from_day == new.from_day and old.until_day == new.until_day:
        return None
    if old.from_day == new.from_day:
        ends = [end for end in (old.until_day, new.until_day) if end is not None]
        last = None if len(ends) == 1 else max(ends)
        return min(ends) + timedelta(days=1), last
    if old.until_day == new.until_day:
        starts = sorted((old.from_day, new.from_day))
        return starts[0], starts[1] - timedelta(days=1)
    return _hull(old, new)


def _hull(old: Term, new: Term) -> Span:
    ends = (old.until_day, new.until_day)
    last = None if ends[0] is None or ends[1] is None else max(ends[0], ends[1])
    return min(old.from_day, new.from_day), last


def first_conflict(terms: Iterable[tuple[str, Term]]) -> tuple[str, str] | None:
    """Return the labels of the first two terms that share a day in one village, in the order of their first days."""
    by_village: dict[str, list[tuple[str, Term]]] = {}
    for label, term in terms:
        if not term.is_void:
            by_village.setdefault(term.village_code, []).append((label, term))
    for held in by_village.values():
        held.sort(key=lambda pair: pair[1].from_day)
        for (left, one), (right, other) in itertools.pairwise(held):
            if one.meets(other):
                return left, right
    return None
