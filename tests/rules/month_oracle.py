"""The month by hand: day by day, half by half, with sets and Fractions. Slow, plain, and without a bit mask.

Written from the numbered sentences at the head of server/month/rules.py, from the rulings they cite and from the
notice. It shares no code with the product: a half day is a pair such as (17, "am"), facts are sets of such pairs.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import ceil

HalfDay = tuple[int, str]
HALVES = ("am", "pm")

COUNTS_IN_VILLAGE = {
    *("corrected-present", "seen-on-site", "checked-in", "checked-in-unsure", "checked-in-unfenced"),
    *("attested", "outage", "presumed-present"),
}


@dataclass
class Case:
    """One person's month as a story; facts by name, days as numbers of the month."""

    year: int
    month: int
    facts: dict[str, set[HalfDay]]
    working_days: set[int]
    today: date | None
    basis: str = "calendar"
    duty_counts_in_village: bool = True
    ratio: Fraction = Fraction(2, 3)
    fixed_days: int | None = None
    short_month_days: int = 10
    unsure_review_limit: int = 3
    allowance_in_halves: bool = False

    def day_numbers(self) -> range:
        first = date(self.year, self.month, 1)
        length = ((first + timedelta(days=31)).replace(day=1) - first).days
        return range(1, length + 1)

    def past_days(self) -> set[int]:
        """The days up to and including today; all of them when the month is over."""
        return {
            day
            for day in self.day_numbers()
            if self.today is None or date(self.year, self.month, day) <= self.today
        }

    def taken(self) -> set[HalfDay]:
        """Sentence 3: the halves of leave and duty, and those not posted at all."""
        every = {(day, half) for day in self.day_numbers() for half in HALVES}
        leave = self.facts["leave_shrinking"] | self.facts["leave_counting_nothing"]
        return (every - self.facts["posted"]) | self.facts["duty"] | leave

    def days_with(self, fact: str) -> set[int]:
        """Sentence 2: a fact in either half speaks for the day."""
        return {day for day, _ in self.facts[fact]}


def states_of(case: Case, without: str = "") -> dict[HalfDay, str]:
    """The state of every half day; ``without`` leaves one sort of check-in out."""
    taken = case.taken()
    check_ins = [
        (case.days_with(sort), code)
        for sort, code in (
            ("sure", "checked-in"),
            ("unsure", "checked-in-unsure"),
            ("unfenced", "checked-in-unfenced"),
        )
        if sort != without
    ]
    outside, outage = case.days_with("outside"), case.days_with("outage")
    return {
        (day, half): state(case, (day, half), taken, check_ins, outside, outage)
        for day in case.day_numbers()
        for half in HALVES
    }


def state(  # noqa: C901, PLR0911, PLR0912  (one line for each step of the precedence)
    case: Case,
    where: HalfDay,
    taken: set[HalfDay],
    check_ins: list[tuple[set[int], str]],
    outside: set[int],
    outage: set[int],
) -> str:
    """Sentence 4, line by line."""
    day = where[0]
    facts = case.facts
    if where not in facts["posted"]:
        return "not-posted"
    if where in facts["corrected_present"]:
        return "corrected-present"
    if where in facts["corrected_absent"]:
        return "corrected-absent"
    if where in facts["finding_seen"]:
        return "seen-on-site"
    if where in facts["finding_absent"]:
        return "found-absent"
    reached = where not in taken or ((day, "am") in taken and (day, "pm") in taken)
    if reached:
        for days, code in check_ins:
            if day in days:
                return code
    if where in facts["duty"]:
        return "on-duty"
    if where in facts["leave_shrinking"]:
        return "leave-not-due"
    if where in facts["leave_counting_nothing"]:
        return "leave-due"
    if where in facts["attested"] and day not in outside:
        return "attested"
    if day in outage and day not in outside:
        return "outage"
    if where in facts["presumed"]:
        return "presumed-present"
    if case.today is not None:
        this_day = date(case.year, case.month, day)
        if this_day == case.today:
            return "open-today"
        if this_day > case.today:
            return "ahead"
    if where in facts["attested"]:
        return "attestation-disputed"
    if where in facts["claimed"]:
        return "claimed"
    return "outside-only" if day in outside else "no-evidence"


def judge(case: Case) -> dict[str, object]:
    """Give everything a statement says, each figure worked out from the states of the half days."""
    days = case.day_numbers()
    last = date(case.year, case.month, days[-1])
    states = states_of(case)

    def counts(code: str) -> bool:
        return code in COUNTS_IN_VILLAGE or (code == "on-duty" and case.duty_counts_in_village)

    past_days = case.past_days()

    def in_basis(day: int) -> bool:
        return case.basis == "calendar" or day in case.working_days

    village = {where for where, code in states.items() if counts(code)}
    on_post = village | {where for where, code in states.items() if code == "on-duty"}
    due = {
        where
        for where in states
        if where in case.facts["posted"] and in_basis(where[0]) and where not in case.facts["leave_shrinking"]
    }
    free = {where for where, code in states.items() if code in {"open-today", "ahead"}}
    so_far = [where for where in village if where[0] in past_days]
    allowance_days = {day for day, half in on_post if day in past_days}
    on_post_so_far = [where for where in on_post if where[0] in past_days]

    ratio = case.ratio if case.fixed_days is None else Fraction(case.fixed_days, len(days))
    n = Fraction(len(due), 2)
    k = min(Fraction(len(so_far), 2), n)
    need = Fraction(ceil(2 * ratio * n), 2)  # The least number of halves.

    def halved(halves: set[HalfDay]) -> bool:
        return any(((day, "am") in halves) != ((day, "pm") in halves) for day in days)

    in_halves = halved(due) or halved(village) or halved(free)
    over = case.today is None or case.today > last
    if not any(code != "not-posted" for code in states.values()):
        result = "not-posted"
    elif n < case.short_month_days:
        result = "too-short"
    elif k >= ratio * n:
        result = "met"
    else:
        result = "below" if over else "running"

    answer: dict[str, object] = {
        "states": states,
        "due": n,
        "counted": k,
        "need": need,
        "village": Fraction(len(so_far), 2),
        "on_post": Fraction(len(on_post_so_far), 2),
        "allowance": Fraction(len(on_post_so_far), 2)
        if case.allowance_in_halves
        else Fraction(len(allowance_days)),
        "in_halves": in_halves,
        "result": result,
        "no_data": _no_data(case, days),
        "percent": _percent(k, n),
        "review": _review(case, states, result, ratio * n),
        "conflicts": _conflicts(case, states),
        "need_shown": _written(need, in_halves),
    }
    for name, code in (
        ("unsure_days", "checked-in-unsure"),
        ("unfenced_days", "checked-in-unfenced"),
        ("outage_days", "outage"),
        ("claimed_days", "claimed"),
    ):
        answer[name] = {day for (day, _), found in states.items() if found == code}
    answer["projection"] = None
    if not over and result != "not-posted":
        usual = [where for where in free if in_basis(where[0])]
        planned = len(village) - len(so_far)
        answer["projection"] = _projection(
            len(so_far), planned, len(usual), len(free), need * 2, in_halves=in_halves
        )
    return answer


def _projection(
    so_far: int, planned: int, usual: int, free: int, need: Fraction, *, in_halves: bool
) -> tuple[str, int, int, int]:
    """Sentence 16: lose one unit after the other until the need would be lost."""
    unit = 1 if in_halves else 2
    slack = 0
    while so_far + planned + usual - (slack + unit) >= need:
        slack += unit
    if so_far >= need:
        tier = "reached"
    elif so_far + planned + free < need:
        tier = "cannot-be-reached"
    else:
        tier = "no-slack" if slack == 0 else "on-track"
    away = min(slack, usual)
    return tier, away, free, planned


def _no_data(case: Case, days: range) -> bool:
    """Sentence 15."""
    past_posted = any(
        case.today is None or date(case.year, case.month, day) < case.today for day, _ in case.facts["posted"]
    )
    about_the_person = (name for name in case.facts if name not in {"posted", "outage", "presumed"})
    return past_posted and not any(day in days for name in about_the_person for day, _ in case.facts[name])


def _percent(k: Fraction, n: Fraction) -> str | None:
    """Edge 17: two decimals, half up, from the fraction."""
    if n == 0:
        return None
    share = 100 * k / n
    exact = Decimal(share.numerator) / Decimal(share.denominator)
    return str(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def _review(case: Case, states: dict[HalfDay, str], result: str, wanted: Fraction) -> str | None:
    """Sentence 13: the month again, with the unsure check-ins struck out."""
    unsure_days = {day for (day, _), code in states.items() if code == "checked-in-unsure"}
    if not unsure_days:
        return None
    if result == "met":
        again = states_of(case, without="unsure")
        past_days = case.past_days()
        left = [
            day
            for (day, _), code in again.items()
            if code in COUNTS_IN_VILLAGE or (code == "on-duty" and case.duty_counts_in_village)
            if day in past_days
        ]
        if Fraction(len(left), 2) < wanted:
            return "unsure-decides"
    return "too-many-unsure" if len(unsure_days) > case.unsure_review_limit else None


def _conflicts(case: Case, states: dict[HalfDay, str]) -> set[int]:
    """Sentence 14."""
    facts = case.facts
    both = facts["corrected_present"] & facts["corrected_absent"]
    both |= facts["corrected_present"] & facts["finding_absent"]
    both |= facts["finding_seen"] & facts["finding_absent"]
    waiting = {"attestation-disputed", "open-today", "ahead", "presumed-present"}
    outside = case.days_with("outside")
    disputed = {where for where in facts["attested"] if states[where] in waiting and where[0] in outside}
    return {where[0] for where in both | disputed if states[where] != "not-posted"}


def _written(days: Fraction, in_halves: bool) -> str:
    """Ruling 4: whole days rounded up, or with ½ where halves are shown."""
    whole = days.numerator // days.denominator
    if days == whole:
        return str(whole)
    if not in_halves:
        return str(whole + 1)
    return f"{whole}½" if whole else "½"
