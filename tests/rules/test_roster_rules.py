"""The roster's arithmetic and reading, against plain counting."""

import itertools
import string
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.roster import dates, headings
from server.roster.entries import Line, read_line
from server.roster.headings import COLUMNS, Cell
from server.roster.locations import Locations, Town, Village, village_core, village_full
from server.roster.plan import Known, KnownPerson, KnownPosting, Plan, plan
from server.roster.rules import PostingRole, State, Term, days_changed, first_conflict, void_until

FIRST, LAST = date(dates.FIRST_YEAR, 1, 1), date(dates.LAST_YEAR, 12, 31)
WINDOW = [date(2025, 1, 1) + timedelta(days=n) for n in range(-2, 16)]
FULL_WIDTH = str.maketrans(string.digits, "０１２３４５６７８９")

any_day = st.dates(FIRST, LAST)
day_forms = st.sampled_from(
    [
        "{d:%Y-%m-%d}",
        "{d:%Y/%m/%d}",
        "{d.year}/{d.month}/{d.day}",
        "{d.year}.{d.month}.{d.day}",
        "{d.year}年{d.month}月{d.day}日",
        "{d.year} 年 {d.month} 月 {d.day} 号",
        "{d:%Y%m%d}",
        "{d:%Y-%m-%d} 00:00:00",
        "{d:%Y/%m/%d} 0:00",
        "  {d:%Y-%m-%d}\t",
    ]
)


# --- days as typed
@given(any_day, day_forms, st.booleans(), st.booleans())
def test_every_form_of_a_day_is_read_back(day: date, form: str, wide: bool, typed: bool) -> None:
    text = form.format(d=day)
    read = dates.read_day(text.translate(FULL_WIDTH) if wide else text, typed=typed)
    assert (read.day, read.note) == (day, None)


@given(any_day, st.sampled_from(["{d:%Y-%m}", "{d.year}.{d.month}", "{d.year}年{d.month}月", "{d:%Y%m}"]))
def test_a_month_alone_is_its_first_or_its_last_day(day: date, form: str) -> None:
    text = form.format(d=day)
    first = dates.read_day(text)
    last = dates.read_day(text, is_end=True)
    assert (first.day, first.note) == (day.replace(day=1), "month-first-day")
    assert last.note == "month-last-day"
    assert last.day.month == day.month
    assert (last.day + timedelta(days=1)).day == 1


@given(any_day)
def test_a_serial_number_is_the_day_a_spreadsheet_keeps(day: date) -> None:
    serial = (
        day - date(1900, 3, 1)
    ).days + 61  # 1 March 1900 is day 61: spreadsheets count 29 February 1900.
    assert dates.read_day(str(serial), typed=False).day == day


@given(st.text(max_size=20) | st.from_regex(r"[0-9年月日./\- :]{1,14}", fullmatch=True), st.booleans())
def test_any_text_is_a_day_or_unreadable(text: str, is_end: bool) -> None:
    try:
        outcome: date | str = dates.read_day(text, is_end=is_end).day
    except dates.Unreadable as unreadable:
        outcome = unreadable.code
    assert outcome in dates.WHY if isinstance(outcome, str) else FIRST <= outcome <= LAST


@pytest.mark.parametrize(
    "text", ["2021-9/10", "9/10/2021", "21-09-10", "2021-13-01", "2021-00-10", "2021年", "今年", "²⁰²¹", "-1"]
)
def test_what_could_be_two_days_or_none_is_not_guessed(text: str) -> None:
    with pytest.raises(dates.Unreadable):
        dates.read_day(text)


# --- postings' days
few_days = st.sampled_from(WINDOW[2:12])


@st.composite
def terms(draw: st.DrawFn) -> Term:
    first = draw(few_days)
    length = draw(st.none() | st.integers(-1, 5))
    last = None if length is None else first + timedelta(days=length)
    return Term(draw(st.sampled_from(["A", "B"])), first, last)


def posted(term: Term | None, day: date) -> str | None:
    """Say where the term posts somebody on the day, without any formula on ranges."""
    if term is None:
        return None
    here = day >= term.from_day and not (term.until_day is not None and day > term.until_day)
    return term.village_code if here else None


@given(st.none() | terms(), st.none() | terms())
def test_the_span_of_a_change_holds_exactly_up_to_the_days_that_differ(
    before: Term | None, after: Term | None
) -> None:
    differing = [day for day in WINDOW if posted(before, day) != posted(after, day)]
    span = days_changed(before, after)
    if span is None:
        assert not differing
        return
    assert span[0] == differing[0]
    assert (span[1] or WINDOW[-1]) == differing[-1]
    assert (span[1] is None) == (WINDOW[-1] in differing)


@given(st.lists(terms(), max_size=6))
def test_a_conflict_is_found_just_when_two_terms_share_a_day(given_terms: list[Term]) -> None:
    labelled = [(str(at), term) for at, term in enumerate(given_terms)]
    shared = {
        (one, other)
        for (one, left), (other, right) in itertools.combinations(labelled, 2)
        if any(posted(left, day) is not None and posted(left, day) == posted(right, day) for day in WINDOW)
    }
    found = first_conflict(labelled)
    assert (found is not None) == bool(shared)
    if found is not None:
        assert found in shared or found[::-1] in shared


def test_an_entry_in_error_has_no_day() -> None:
    day = date(2025, 3, 1)
    term = Term("A", day, void_until(day))
    assert term.is_void
    assert not any(term.covers(day + timedelta(days=n)) for n in range(-3, 4))
    assert not term.meets(Term("A", date(2025, 1, 1)))


# --- files told again
VILLAGES = {
    code: Village(code, name, frozenset({name}))
    for code, name in (("500116101200", "甲村"), ("500116101201", "乙村"))
}


@st.composite
def rosters(draw: st.DrawFn) -> list[tuple[Line, Village]]:
    count = draw(st.integers(1, 8))
    lines = []
    for at in range(count):
        staff = draw(st.sampled_from(["p1", "P2", "p3"]))
        village = draw(st.sampled_from(list(VILLAGES.values())))
        from_day = draw(few_days)
        length = draw(st.none() | st.integers(0, 4))
        lines.append(
            (
                Line(
                    line=at + 2,
                    number=staff,
                    name=f"人{staff}",
                    phone=draw(st.sampled_from([None, "13800138000"])),
                    unit=draw(st.sampled_from([None, "某局"])),
                    village_code=village.code,
                    village=None,
                    town=None,
                    role=draw(st.sampled_from(list(PostingRole))),
                    from_day=from_day,
                    until_day=None if length is None else from_day + timedelta(days=length),
                    end_reason=None,
                    end_text=None,
                ),
                village,
            )
        )
    return lines


def applied(known: Known, made: Plan) -> Known:
    """Write a plan into what is known, the way the database would."""
    people = dict(known.people)
    for person in made.people:
        people[person.number.lower()] = KnownPerson(
            person.id, person.number, person.name, person.phone, person.unit_id, in_reach=True
        )
    for number, old in known.people.items():
        people[number] = replace(old, **made.person_changes.get(old.id, {}))  # type: ignore[arg-type]
    postings = {p.id: p for held in known.postings.values() for p in held}
    for write in made.writes:
        postings[write.posting_id] = KnownPosting(
            write.posting_id, write.person_id, write.after, write.version
        )
    by_person: dict[UUID, list[KnownPosting]] = {}
    for posting in postings.values():
        by_person.setdefault(posting.person_id, []).append(posting)
    return Known(people, {}, by_person, {**known.said, **made.said}, {**known.units, **made.units})


NOTHING = Known({}, {}, {}, {}, {})


@given(rosters())
def test_a_roster_told_again_changes_nothing(lines: list[tuple[Line, Village]]) -> None:
    # edge 139
    counter = itertools.count(1)
    first = plan(lines, NOTHING, lambda: UUID(int=next(counter)))
    if first.faults:
        return
    after = applied(NOTHING, first)
    again = plan(lines, after, lambda: UUID(int=next(counter)))
    assert not again.faults
    assert (again.writes, again.people, again.person_changes, again.units) == ([], [], {}, {})
    assert {row.status for row in again.rows} <= {"unchanged", "repeated"}


@given(rosters(), st.data())
def test_a_correction_by_hand_outlives_the_same_roster(
    lines: list[tuple[Line, Village]], data: st.DataObject
) -> None:
    counter = itertools.count(1)
    first = plan(lines, NOTHING, lambda: UUID(int=next(counter)))
    if first.faults:
        return
    after = applied(NOTHING, first)
    posting = data.draw(st.sampled_from([p for held in after.postings.values() for p in held]))
    other = (
        PostingRole.MEMBER
        if posting.state.role == PostingRole.FIRST_SECRETARY
        else PostingRole.FIRST_SECRETARY
    )
    corrected = replace(posting, state=replace(posting.state, role=other), version=2)
    held = [corrected if p.id == posting.id else p for p in after.postings[posting.person_id]]
    known = replace(after, postings={**after.postings, posting.person_id: held})
    again = plan(lines, known, lambda: UUID(int=next(counter)))
    assert (again.faults, again.writes) == ([], [])
    assert "correction-kept" in {note.code for note in again.notes}


@given(rosters())
def test_what_a_plan_writes_never_overlaps(lines: list[tuple[Line, Village]]) -> None:
    counter = itertools.count(1)
    made = plan(lines, NOTHING, lambda: UUID(int=next(counter)))
    if made.faults:
        return
    for _, group in itertools.groupby(
        sorted(made.writes, key=lambda w: w.person_id.int), key=lambda w: w.person_id
    ):
        assert first_conflict((str(w.posting_id), w.after.term) for w in group) is None


# --- cells and names
@given(st.text(max_size=40))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert headings.clean(headings.clean(text)) == headings.clean(text)
    assert headings.clean_name(headings.clean_name(text)) == headings.clean_name(text)


@given(st.dictionaries(st.sampled_from(list(COLUMNS)), st.text(max_size=30).map(Cell)))
def test_any_cells_are_a_line_or_faults_with_its_number(cells: dict[str, Cell]) -> None:
    line, faults, notes = read_line(7, cells)
    assert (line is None) == bool(faults)
    assert all(fault.line == 7 and fault.zh and fault.en for fault in faults)
    assert all(note.line == 7 for note in notes)


def test_every_heading_stands_for_one_column_and_none_for_the_row_number() -> None:
    for column, names in COLUMNS.items():
        assert {headings.column_of(name) for name in names} == {column}
    assert headings.column_of("序号") is None
    assert headings.column_of(" * 姓 名（必填）") == "name"
    assert headings.column_of("村（社区）") == "village"
    assert headings.column_of("Staff Number") == "number"


@pytest.mark.parametrize(
    ("written", "full", "core"),
    [
        ("四方村村民委员会", "四方村", "四方"),
        ("四方村委会", "四方村", "四方"),
        ("四方", "四方", "四方"),
        ("南门社区居民委员会", "南门社区", "南门"),
        ("南门居委会", "南门社区", "南门"),
        ("村", "村", "村"),
    ],
)
def test_names_of_villages_are_compared_without_their_committees(written: str, full: str, core: str) -> None:
    assert (village_full(written), village_core(written)) == (full, core)


def test_a_village_that_ended_is_not_posted_to_and_its_successor_is_named() -> None:
    # edge 48
    gone = Village("500116101202", "旧村", frozenset({"旧村"}), date(2024, 1, 1), "500116101200")
    locations = Locations(
        ("500116",),
        {gone.code: gone},
        frozenset(),
        [Town("500116101000", "白沙镇")],
        {"500116101000": [gone]},
    )
    cells = {
        "number": Cell("N1"),
        "name": Cell("某人"),
        "village_code": Cell(gone.code),
        "role": Cell("队员"),
        "from": Cell("2024-01-01"),
    }
    line, _, _ = read_line(2, cells)
    assert line is not None
    fault = locations.village_of(line)
    assert getattr(fault, "code", None) == "village-ended"
    assert "500116101200" in getattr(fault, "zh", "")
    assert locations.village_of(replace(line, from_day=date(2023, 12, 31))) == gone
    by_name = replace(line, village_code=None, village="旧村", town="白沙")
    assert getattr(locations.village_of(by_name), "code", None) == "unknown-village"


def test_states_are_told_as_plain_json() -> None:
    state = State("500116101200", PostingRole.MEMBER, date(2025, 1, 1))
    assert state.body() == {
        "village_code": "500116101200",
        "role": "member",
        "from_day": "2025-01-01",
        "until_day": None,
        "end_reason": None,
    }
