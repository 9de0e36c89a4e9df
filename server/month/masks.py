"""Months as bit masks: two bits a day, so that a person's month is a handful of integers.

Bit ``2 * (d - 1)`` is the morning of day ``d``, bit ``2 * (d - 1) + 1`` its afternoon. A month has at most 62 such
bits, which fits a signed 64-bit integer (PostgreSQL ``bigint``, ``numpy.int64``) without touching the sign.

The functions that take a ``Mask`` work alike on one integer and on a numpy array of them.
"""

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from typing import Any, Protocol, Self, TypeVar

MORNINGS = sum(1 << (2 * day) for day in range(31))
"""The morning bit of each of 31 days."""

FULL = (1 << 62) - 1
"""Both halves of 31 days: the widest mask there is."""


class Bits(Protocol):
    """What an integer and an integer array can both do."""

    def __and__(self, other: Any, /) -> Self: ...  # noqa: ANN401  (an array takes an integer or another array)
    def __or__(self, other: Any, /) -> Self: ...  # noqa: ANN401  (as above)
    def __invert__(self) -> Self: ...
    def __lshift__(self, other: Any, /) -> Self: ...  # noqa: ANN401  (as above)
    def __rshift__(self, other: Any, /) -> Self: ...  # noqa: ANN401  (as above)


Mask = TypeVar("Mask", bound=Bits)


class Half(IntEnum):
    """A half of a day; the value is the bit's offset inside its day."""

    MORNING = 0
    AFTERNOON = 1


EPOCH = date(1970, 1, 1)


def half_number(day: date, half: Half) -> int:
    """Return the number of a half day, counted one after the other: 0 is the morning of 1970-01-01."""
    return 2 * (day - EPOCH).days + half


def half_at(number: int) -> tuple[date, Half]:
    """Return the half day of a number."""
    days, half = divmod(number, 2)
    return EPOCH + timedelta(days=days), Half(half)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month. Raises ValueError when there is no such month."""

    year: int
    number: int

    def __post_init__(self) -> None:
        if not (1 <= self.number <= 12 and 1 <= self.year <= 9999):  # noqa: PLR2004  (months of a year, years of `date`)
            raise ValueError(f"There is no month {self.year}-{self.number}.")

    @classmethod
    def of(cls, day: date) -> "Month":
        """Give the month in which a day lies."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Read ``2026-02``. Raises ValueError for anything else."""
        found = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text)
        if found is None:
            raise ValueError(f"A month is written yyyy-mm, not {text!r}.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def days(self) -> int:
        """How many days the month has: 28 to 31."""
        return calendar.monthrange(self.year, self.number)[1]

    @property
    def first(self) -> date:
        """The first day of the month."""
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """The last day of the month."""
        return date(self.year, self.number, self.days)

    @property
    def mask(self) -> int:
        """Both halves of every day of the month."""
        return (1 << (2 * self.days)) - 1

    def next(self) -> "Month":
        """Give the following month."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def __contains__(self, day: date) -> bool:
        return (day.year, day.month) == (self.year, self.number)


def day_mask(day: int) -> int:
    """Both halves of day 1 to 31 of a month."""
    if not 1 <= day <= 31:  # noqa: PLR2004  (days of a month)
        raise ValueError(f"There is no day {day} in a month.")
    return 3 << (2 * (day - 1))


def half_mask(day: int, half: Half) -> int:
    """One half of day 1 to 31 of a month."""
    return day_mask(day) & (MORNINGS << half)


def span_mask(month: Month, first: date, last: date | None, *, starts: Half, ends: Half) -> int:
    """Mask from one half day to another, both inclusive, cut to the month (edge 83).

    ``last`` None means open-ended. Raises ValueError when the end lies before the start.
    """
    if last is not None and (last, ends) < (first, starts):
        raise ValueError(
            f"A span cannot end ({last}, {ends.name}) before it starts ({first}, {starts.name})."
        )
    if first > month.last or (last is not None and last < month.first):
        return 0
    low = 0 if first < month.first else 2 * (first.day - 1) + starts
    high = 2 * month.days if last is None or last > month.last else 2 * (last.day - 1) + ends + 1
    return (1 << high) - (1 << low)


def range_mask(month: Month, first: date, last: date | None) -> int:
    """Whole days from ``first`` to ``last``, both inclusive (edge 10), cut to the month; None is open-ended."""
    return span_mask(month, first, last, starts=Half.MORNING, ends=Half.AFTERNOON)


def from_dates(month: Month, days: Iterable[date]) -> int:
    """Both halves of each given day; days of other months are left out."""
    mask = 0
    for day in days:
        if day in month:
            mask |= day_mask(day.day)
    return mask


def from_halves(month: Month, halves: Iterable[tuple[date, Half]]) -> int:
    """Each given half day; those of other months are left out."""
    mask = 0
    for day, half in halves:
        if day in month:
            mask |= 1 << (2 * (day.day - 1) + half)
    return mask


def whole_days(mask: Mask) -> Mask:
    """Both halves of every day that has at least one."""
    mornings = (mask | (mask >> 1)) & MORNINGS
    return mornings | (mornings << 1)


def full_days(mask: Mask) -> Mask:
    """Both halves of those days only that have both."""
    mornings = mask & (mask >> 1) & MORNINGS
    return mornings | (mornings << 1)


def has_halves(mask: int) -> bool:
    """Tell whether some day has one half without the other."""
    return whole_days(mask) != full_days(mask)


def days_of(month: Month, mask: int) -> tuple[date, ...]:
    """Give the days of the month that have at least one half, in order; for showing, not for counting."""
    if not mask:
        return ()
    return tuple(
        date(month.year, month.number, day) for day in range(1, month.days + 1) if mask & day_mask(day)
    )
