"""Person-months at random, from a seed: every length of month, every sort of fact, mostly near the line."""

from datetime import date, timedelta
from fractions import Fraction
from random import Random

from month_oracle import HALVES, Case, HalfDay

from server.month.holidays import CalendarSource, MonthCalendar
from server.month.masks import Month
from server.month.policy import Basis, Policy
from server.month.rules import FACT_NAMES, Facts

MONTHS = (
    (2023, 2),
    (2024, 2),
    (2026, 2),
    (2026, 2),
    (2025, 10),
    (2026, 1),
    (2026, 5),
    (2026, 6),
    (2026, 9),
    (2026, 12),
)
BITS = {(day, half): 1 << (2 * (day - 1) + (half == "pm")) for day in range(1, 32) for half in HALVES}
RARE = (
    *("corrected_present", "corrected_absent", "finding_seen", "finding_absent", "attested", "outage"),
    *("presumed", "claimed", "outside", "duty", "leave_shrinking", "leave_counting_nothing"),
)


def a_case(random: Random) -> Case:
    """One person-month."""
    year, month = random.choice(MONTHS)
    case = Case(year, month, {name: set() for name in FACT_NAMES}, set(), None)
    days = list(case.day_numbers())
    case.working_days = {day for day in days if date(year, month, day).weekday() < 5}
    if random.random() < 0.5:
        case.working_days ^= set(random.sample(days, 3))  # 调休: some weekdays off, some Saturdays at work.
    case.today = _today(random, case)
    case.basis = random.choice(("calendar", "working"))
    case.duty_counts_in_village = random.random() < 0.5
    if random.random() < 0.1:
        case.ratio = random.choice((Fraction(1, 2), Fraction(3, 4), Fraction(1), Fraction(7, 10)))
    if case.basis == "calendar" and random.random() < 0.1:
        case.fixed_days = random.choice((15, 20, 28))
    case.short_month_days = random.choice((10, 10, 10, 1, 5, 20))
    case.unsure_review_limit = random.choice((3, 3, 0, 5))
    case.allowance_in_halves = random.random() < 0.2
    _post(random, case, days)
    for name in random.sample(RARE, random.choice((0, 0, 1, 1, 2, 3, 5))):
        for _ in range(random.choice((1, 1, 2))):
            case.facts[name] |= _span(random, days)
    _check_in(random, case, days)
    if random.random() < 0.05:  # Attested on days with a position outside.
        case.facts["outside"] |= _span(random, days)
        case.facts["attested"] |= case.facts["outside"]
    return case


def _today(random: Random, case: Case) -> date | None:
    draw = random.random()
    first = date(case.year, case.month, 1)
    if draw < 0.55:
        return None
    return first + timedelta(days=random.randrange(-2, 35))


def _post(random: Random, case: Case, days: list[int]) -> None:
    draw = random.random()
    if draw < 0.5:
        spans = [(1, days[-1])]
    elif draw < 0.65:
        spans = [(random.choice(days), days[-1])]  # Joined in the month.
    elif draw < 0.8:
        spans = [(1, random.choice(days))]  # Left in the month.
    elif draw < 0.97:
        left, joined = random.choice(days), random.choice(days)  # A gap, or a handover on one day.
        spans = [(1, left), (joined, days[-1])]
    else:
        spans = []
    for first, last in spans:
        case.facts["posted"] |= {(day, half) for day in range(first, last + 1) for half in HALVES}


def _span(random: Random, days: list[int]) -> set[HalfDay]:
    first = random.choice(days)
    last = min(days[-1], first + random.choice((0, 0, 0, 1, 2, 4, 9, 30)))
    span = {(day, half) for day in range(first, last + 1) for half in HALVES}
    if random.random() < 0.4:
        span.discard((first, "am"))
    if random.random() < 0.4:
        span.discard((last, "pm"))
    return span


def _check_in(random: Random, case: Case, days: list[int]) -> None:
    """Mostly about as many days as two thirds ask for, now and then any number or none."""
    draw = random.random()
    if draw < 0.1:
        return
    posted = len(case.facts["posted"]) // 2
    count = (
        posted * 2 // 3 + random.choice((-2, -1, 0, 0, 1, 2)) if draw < 0.8 else random.randrange(len(days))
    )
    for day in random.sample(days, max(0, min(count, len(days)))):
        draw = random.random()
        sort = "sure" if draw < 0.85 else "unsure" if draw < 0.95 else "unfenced"
        case.facts[sort].add((day, random.choice(HALVES)))
        if draw > 0.97:
            case.facts["unsure"].add((day, random.choice(HALVES)))


def as_mask(halves: set[HalfDay]) -> int:
    """The documented layout of a mask: bit 2 * (day - 1) is the morning."""
    return sum(map(BITS.__getitem__, halves))


def as_facts(case: Case) -> Facts:
    return Facts(**{name: as_mask(halves) for name, halves in case.facts.items() if halves})


def as_calendar(case: Case) -> MonthCalendar:
    working = as_mask({(day, half) for day in case.working_days for half in HALVES})
    return MonthCalendar(Month(case.year, case.month), working, CalendarSource.IMPORTED, provisional=False)


def as_policy(case: Case) -> Policy:
    return Policy(
        basis=Basis(case.basis),
        duty_counts_in_village=case.duty_counts_in_village,
        ratio_numerator=case.ratio.numerator,
        ratio_denominator=case.ratio.denominator,
        fixed_days=case.fixed_days,
        short_month_days=case.short_month_days,
        unsure_review_limit=case.unsure_review_limit,
        allowance_in_halves=case.allowance_in_halves,
    )
