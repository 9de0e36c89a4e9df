"""April 2026: thirty days, 21 of them working days; what the tests of single cases need of it."""

from datetime import date

from server.month.holidays import month_calendar
from server.month.masks import Month, day_mask
from server.month.policy import Basis, Policy
from server.month.reasons import DayReason
from server.month.rules import Facts
from server.month.statements import Statement, day_states, statement

CALENDAR = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True)
DUTY_ELSEWHERE = Policy(basis=Basis.CALENDAR, duty_counts_in_village=False)
WORKING = Policy(basis=Basis.WORKING, duty_counts_in_village=True)
APRIL = Month(2026, 4)


def first_days(count: int) -> int:
    return (1 << (2 * count)) - 1


def days(*numbers: int) -> int:
    return sum(day_mask(number) for number in numbers)


def april(
    *, policy: Policy = CALENDAR, today: date | None = None, posted: int = APRIL.mask, **facts: int
) -> Statement:
    return statement(Facts(posted=posted, **facts), month_calendar(APRIL), policy, today=today)


def state_of(number: int, facts: dict[str, int], policy: Policy = CALENDAR) -> tuple[DayReason, ...]:
    told = day_states(Facts(posted=APRIL.mask, **facts), month_calendar(APRIL), policy, today=None)
    return told[number - 1].reasons


def april_day(number: int, **facts: int) -> tuple[DayReason, ...]:
    return state_of(number, facts)
