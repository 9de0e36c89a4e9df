"""The rules of leave (请假) by themselves, against second writings of them (edges 81 to 100, 105, 106; S6)."""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.leave import rules
from server.leave.rules import (
    WAITING,
    Case,
    LeaveAction,
    LeaveState,
    Need,
    No,
    Reminder,
)
from server.month.leave_policy import LEAVE_TIERS, LeaveRules, LeaveTier, Level
from server.month.masks import Half, half_number
from server.month.policy import LEAVE_KINDS, Basis, LeaveTreatment, Policy
from server.month.policy_document import parse, to_document
from server.month.reading import PolicyRefused

RULES = LeaveRules()
MONDAY = date(2026, 11, 23)
CHOSEN = {"basis": "calendar", "duty_counts_in_village": True}


def halves(first: date, last: date, starts: int = 0, ends: int = 1) -> range:
    return range(half_number(first, Half(starts)), half_number(last, Half(ends)) + 1)


def is_weekend(day: date) -> bool:
    return day.weekday() >= 5


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


# --- how long, and who grants it
def test_three_days_are_within_three_days_and_half_a_day_more_is_not() -> None:
    assert RULES.tier(6).level is Level.TOWN  # edge 81
    assert RULES.tier(7).level is Level.DISTRICT


def test_two_leaves_add_up_with_nothing_or_only_a_weekend_between() -> None:
    thursday, monday = halves(day(3), day(4)), halves(day(7), day(8))
    other = uuid4()
    assert rules.absence(thursday, {other: monday}, is_weekend) == 8  # edge 82: 2 + 2 days, the district's
    assert rules.absence(thursday, {other: monday}, None) == 4  # By another policy: only adjacent ones.
    assert rules.absence(halves(day(0), day(1)), {other: halves(day(2), day(3))}, None) == 8
    assert rules.absence(thursday, {other: halves(day(8), day(9))}, is_weekend) == 4  # A working day between.
    assert rules.absence(halves(day(0), day(0), 0, 0), {other: halves(day(1), day(1))}, is_weekend) == 1


def flooded(asked: range, others: Iterable[range]) -> int:
    """Count the halves of leave that can be walked to from the request over leave and free days: the second writing."""
    leave = set(asked).union(*map(set, others))
    free = {
        number
        for number in range(min(leave) - 8, max(leave) + 9)
        if is_weekend(date(1970, 1, 1) + timedelta(days=number // 2))
    }
    reached, edge = set(asked), [asked.start, asked.stop - 1]
    while edge:
        number = edge.pop()
        for beside in (number - 1, number + 1):
            if beside in leave | free and beside not in reached:
                reached.add(beside)
                edge.append(beside)
    return len(reached & leave)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 7)), min_size=1, max_size=7), st.data())
def test_an_absence_is_all_leave_that_can_be_reached_without_a_working_half(
    parts: list[tuple[int, int]], data: st.DataObject
) -> None:
    spans, at = [], half_number(MONDAY, Half.MORNING)
    for length, gap in parts:
        spans.append(range(at + gap, at + gap + length))
        at += gap + length
    place = data.draw(st.integers(0, len(spans) - 1))
    others = {uuid4(): span for number, span in enumerate(spans) if number != place}
    assert rules.absence(spans[place], others, is_weekend) == flooded(spans[place], others.values())


def test_leave_after_it_began_is_the_higher_office_and_two_people() -> None:
    today = day(3)
    assert not rules.is_retroactive(today, today, oral=False, rules=RULES)
    assert rules.is_retroactive(day(2), today, oral=False, rules=RULES)
    assert not rules.is_retroactive(day(0), today, oral=True, rules=RULES)  # edge 95: within three days
    assert rules.is_retroactive(day(-1), today, oral=True, rules=RULES)
    assert rules.need(RULES, 2, retroactive=True) == Need(Level.DISTRICT, 1, two_people=True)
    assert rules.need(RULES, 2, town_concerned=True) == Need(Level.DISTRICT)  # edge 98
    assert rules.need(RULES, 2) == Need(Level.TOWN)


# --- deciding
CASES = [
    Case(state, Need(level, approvals, two_people=two), forwarded=forwarded, approvals=given)
    for state, level, approvals, two, forwarded in product(
        LeaveState, Level, (1, 2), (False, True), (False, True)
    )
    for given in range(approvals)
]


@pytest.mark.parametrize("action", LeaveAction)
def test_no_office_does_what_is_not_its_own(action: LeaveAction) -> None:
    for case, office in product(CASES, Level):
        outcome = rules.decide(case, action, office)
        if case.state not in WAITING:
            assert outcome is No.DECIDED
            continue
        town = office is Level.TOWN
        beyond = case.need.level is Level.DISTRICT or case.state is LeaveState.FORWARDED
        if action is LeaveAction.FORWARD:
            expected: Any = No.NOWHERE_HIGHER if not town else LeaveState.FORWARDED
            assert outcome is (No.HIGHER if town and case.state is LeaveState.FORWARDED else expected)
        elif town and beyond:
            assert outcome is No.HIGHER  # edge 100
        elif action is LeaveAction.REFUSE:
            assert outcome is LeaveState.REFUSED
        else:
            officials = case.approvals + 1 + (1 if case.forwarded else 0)
            enough = case.approvals + 1 >= case.need.approvals and officials >= 1 + case.need.two_people
            assert outcome is (LeaveState.GRANTED if enough else case.state)


def test_whose_turn_it_is_follows_the_forwarding() -> None:
    assert rules.level_of(Case(LeaveState.SUBMITTED, Need(Level.TOWN))) is Level.TOWN
    assert rules.level_of(Case(LeaveState.FORWARDED, Need(Level.TOWN))) is Level.DISTRICT


@pytest.mark.parametrize("name", ["concerned", "spouse", "entered", "took_part"])
def test_any_part_in_it_bars(name: str) -> None:
    nothing = dict.fromkeys(("concerned", "spouse", "entered", "took_part"), False)
    assert not rules.barred(**nothing)
    assert rules.barred(**{**nothing, name: True})  # edge 98, S6


# --- its days
def test_leave_runs_by_itself_and_is_overdue_until_it_is_reported_back_from() -> None:
    seen = [rules.standing(LeaveState.GRANTED, day(1), day(2), day(today)) for today in range(4)]
    assert seen == [LeaveState.GRANTED, LeaveState.ACTIVE, LeaveState.ACTIVE, LeaveState.OVERDUE]
    for state in set(LeaveState) - {LeaveState.GRANTED}:
        assert rules.standing(state, day(1), day(2), day(5)) is state


def test_taking_back_is_free_before_and_ends_it_today_while_it_runs() -> None:
    first, today = day(1), day(3)
    for state in (*WAITING, LeaveState.DRAFT):
        assert rules.taken_back(state, today, first) == (LeaveState.WITHDRAWN, None)
    assert rules.taken_back(LeaveState.GRANTED, day(0), first) == (LeaveState.CANCELLED, None)  # edge 90
    assert rules.taken_back(LeaveState.ACTIVE, today, first) == (LeaveState.CANCELLED, today)
    assert rules.taken_back(LeaveState.OVERDUE, today, first) is No.OVER
    assert rules.taken_back(LeaveState.EXTENDED, today, first) is No.OVER
    for state in (LeaveState.REFUSED, LeaveState.WITHDRAWN, LeaveState.CANCELLED, LeaveState.RETURNED):
        assert rules.taken_back(state, today, first) is No.DECIDED


def test_the_day_of_the_return_stays_leave_and_nothing_after_it() -> None:
    def back(state: LeaveState, returned: int, today: int) -> date | No:
        return rules.reported_back(state, day(1), day(5), returned=day(returned), today=day(today))

    assert back(LeaveState.ACTIVE, 3, 3) == day(3)  # edge 91
    assert back(LeaveState.OVERDUE, 7, 7) == day(5)  # edge 93: what came after the end was never leave
    assert back(LeaveState.OVERDUE, 4, 7) == day(4)
    assert back(LeaveState.ACTIVE, 4, 3) is No.NOT_RUNNING
    assert back(LeaveState.ACTIVE, 0, 3) is No.NOT_RUNNING
    for state in set(LeaveState) - {LeaveState.ACTIVE, LeaveState.OVERDUE}:
        assert back(state, 3, 3) is No.NOT_RUNNING


def test_the_person_is_reminded_first_then_the_approver_then_it_is_absence() -> None:
    told = [rules.reminders(day(0), day(late), seen=False) for late in range(-1, 5)]
    assert told == [
        (), (), (Reminder.PERSON,), (Reminder.PERSON, Reminder.APPROVER), tuple(Reminder), tuple(Reminder),
    ]  # fmt: skip
    assert rules.reminders(day(0), day(9), seen=True) == (
        Reminder.PERSON,
    )  # Back, and only the report is missing.


# --- balances, and who is left
def test_each_year_pays_for_its_own_days_and_only_what_was_left_comes_over() -> None:
    over_new_year = halves(date(2026, 12, 31), date(2027, 1, 4))
    assert rules.halves_by_year([over_new_year], None) == {2026: 2, 2027: 8}  # edge 84
    working = rules.halves_by_year([over_new_year], is_weekend)
    assert working == {2026: 2, 2027: 4}  # edge 86: Thursday; Friday and Monday
    (last, this) = rules.balances(5, 3, asked=working, used={2025: 10, 2026: 6, 2027: 1})
    assert (last.entitled, last.carried, last.used, last.left) == (10, 0, 6, 2)
    assert (this.carried, this.left) == (
        4,
        10 + 4 - 1 - 4,
    )  # Two of five days were left, of three that may come over.
    assert rules.balances(1, 0, asked={2026: 4}, used={})[0].left == -2


def test_a_day_is_thin_when_too_few_of_the_team_stay_for_some_half() -> None:
    me, second, third = uuid4(), uuid4(), uuid4()
    posted: dict[date, set[UUID]] = {day(0): {me, second, third}, day(1): {me, second}, day(2): {me, second}}
    asked = halves(day(0), day(2), 1, 0)
    gone = [(second, halves(day(0), day(0))), (second, halves(day(2), day(2), 1, 1))]
    assert rules.thin_days(asked, me, posted, gone, 1) == []  # edge 106: the third stays on the first day
    assert rules.thin_days(asked, me, posted, [*gone, (third, asked)], 1) == [day(0)]
    assert rules.thin_days(asked, me, posted, gone, 2) == [day(0), day(1), day(2)]
    assert rules.thin_days(asked, me, posted, gone, 0) == []


# --- as a policy says it
def test_the_usual_kinds_do_to_the_month_what_the_ruling_says() -> None:
    policy = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True)
    shrinking = {kind.code for kind in LEAVE_KINDS if kind.treatment is LeaveTreatment.SHRINKS}
    assert shrinking == {"maternity", "marriage", "bereavement", "sick-certified"}  # edge 105
    assert {kind.code for kind in LEAVE_KINDS} - shrinking == {
        "personal",
        "annual",
        "sick-uncertified",
        "other",
    }
    assert policy.leave_kind("sick-certified").certificate_days == 7  # edge 94
    assert policy.leave.tiers == LEAVE_TIERS


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=4),
    st.integers(0, 4),
    st.lists(st.integers(1, 5), min_size=5, max_size=5),
    st.booleans(),
    st.integers(1, 720),
)
def test_rules_of_leave_are_the_same_after_writing_and_reading(
    bounds: list[int],
    towns: int,
    approvals: list[int],
    joins: bool,
    hours: int,
) -> None:
    ends: list[int | None] = [*sorted(bounds), None]
    levels = [Level.TOWN if number < towns else Level.DISTRICT for number in range(len(ends))]
    tiers = tuple(LeaveTier(*each) for each in zip(ends, levels, approvals, strict=False))
    leave = LeaveRules(tiers=tiers, joins_free_days=joins, silent_hours=hours)
    policy = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, leave=leave)
    assert parse(to_document(policy)) == policy


@pytest.mark.parametrize(
    ("leave", "path", "code"),
    [
        ({"tiers": []}, "leave.tiers", "not-a-list"),
        ({"tiers": [{"up_to_days": 3, "level": "town"}]}, "leave.tiers", "no-ladder"),
        ({"tiers": [{"level": "town"}, {"level": "district"}]}, "leave.tiers", "no-ladder"),
        ({"tiers": [{"up_to_days": 3, "level": "district"}, {"level": "town"}]}, "leave.tiers", "no-ladder"),
        (
            {
                "tiers": [
                    {"up_to_days": 3, "level": "town"},
                    {"up_to_days": 3, "level": "town"},
                    {"level": "district"},
                ]
            },
            "leave.tiers",
            "no-ladder",
        ),
        (
            {"tiers": [{"up_to_days": 0, "level": "town"}, {"level": "district"}]},
            "leave.tiers.0.up_to_days",
            "out-of-range",
        ),
        ({"tiers": [{"level": "village"}]}, "leave.tiers.0.level", "unknown-choice"),
        ({"tiers": [{"level": "town", "approvals": 9}]}, "leave.tiers.0.approvals", "out-of-range"),
        ({"tiers": [3]}, "leave.tiers.0", "not-an-object"),
        ({"silent_hours": 0}, "leave.silent_hours", "out-of-range"),
        ({"silent": 3}, "leave.silent", "unknown-field"),
        ([], "leave", "not-an-object"),
    ],
)
def test_every_fault_of_the_rules_of_leave_is_named(leave: object, path: str, code: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse({**CHOSEN, "leave": leave})
    assert (path, code) in {(fault.path, fault.code) for fault in refused.value.faults}


def test_what_a_document_leaves_out_of_a_kind_is_as_usual_and_null_is_nothing() -> None:
    kinds = {
        "sick-certified": {"treatment": "shrinks"},
        "annual": {"treatment": "counts-nothing", "yearly_days": None, "carry_over_days": 2},
        "carer": {"treatment": "shrinks", "yearly_days": 10},
    }
    policy = parse({**CHOSEN, "leave_kinds": kinds})
    assert policy.leave_kind("sick-certified").certificate_days == 7
    annual, carer = policy.leave_kind("annual"), policy.leave_kind("carer")
    assert (annual.yearly_days, annual.carry_over_days, annual.working_days) == (None, 2, True)
    assert (carer.yearly_days, carer.carry_over_days, carer.working_days) == (10, 0, False)
    assert parse(to_document(policy)) == policy
