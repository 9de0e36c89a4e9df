"""What a choice of basis means, month by month, for the table that comes before the choice (ruling 5).

For somebody who is in the village on every working day, neither more nor less: what each basis asks, and how many
working days one may then be away. A slack below zero means that every working day is not enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.month.holidays import ImportedCalendar, month_calendar
from server.month.masks import Month
from server.month.policy import Policy
from server.month.policy_document import CHOICES, parse
from server.month.reading import Fault, PolicyRefused


@dataclass(frozen=True, slots=True)
class MonthConsequence:
    """One month of the table; all figures in days."""

    month: Month
    days: int
    working_days: int
    provisional: bool  # The year's notice is not published: Monday to Friday (edge 13).
    calendar_need: int
    calendar_slack: int
    working_need: int
    working_slack: int


@dataclass(frozen=True, slots=True)
class Consequences:
    """The table of a year, and in words what the choice about official duty means (edges 102, 103)."""

    year: int
    months: tuple[MonthConsequence, ...]
    duty_zh: str = (
        "因公外出（会议、培训）计入驻村：当天如同在村。不计入：当天仍在应驻天数之内而不计为在村，"
        "例如 30 天的月份外出培训 10 天，其余 20 天须天天在村。无论怎样选择，因公外出都计入在岗和补助。"
    )
    duty_en: str = (
        "Official duty (meetings, training) counting in the village: such a day is like a day in the village. "
        "Not counting: the day stays due and is not counted; after ten days of training in a month of 30 days, each "
        "of the other 20 days is needed. Either way, duty counts on post and for the allowance."
    )


def consequences(
    year: int, *, imported: Iterable[ImportedCalendar] = (), numerator: int = 2, denominator: int = 3
) -> Consequences:
    """Lay out a year for both bases under a ratio; needs are rounded up to whole days."""
    calendars = tuple(imported)

    def of(month: Month) -> MonthConsequence:
        calendar = month_calendar(month, calendars)
        calendar_need = -(-numerator * month.days // denominator)
        working_need = -(-numerator * calendar.working_days // denominator)
        return MonthConsequence(
            month=month,
            days=month.days,
            working_days=calendar.working_days,
            provisional=calendar.provisional,
            calendar_need=calendar_need,
            calendar_slack=calendar.working_days - calendar_need,
            working_need=working_need,
            working_slack=calendar.working_days - working_need,
        )

    return Consequences(year, tuple(of(Month(year, number)) for number in range(1, 13)))


class PolicyNotChosen(PolicyRefused):
    """A choice without a default was not made; ``consequences`` is the table to look at before making it."""

    def __init__(self, faults: tuple[Fault, ...], table: Consequences) -> None:
        super().__init__(faults)
        self.consequences = table


def create(document: Mapping[str, object], *, year: int, imported: Iterable[ImportedCalendar] = ()) -> Policy:
    """Read a new policy. Without the two choices it is refused with the table of ``year`` (ruling 5).

    Raises PolicyNotChosen, or PolicyRefused when only other fields are at fault; either has every fault.
    """
    try:
        return parse(document)
    except PolicyRefused as refused:
        if any(fault.code == "not-chosen" and fault.path in CHOICES for fault in refused.faults):
            raise PolicyNotChosen(refused.faults, consequences(year, imported=imported)) from None
        raise
