"""Working days: the official notices, an imported calendar, the marked fallback, and faults row by row."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.month.holidays import CalendarSource, ImportedCalendar, month_calendar, read_calendar
from server.month.masks import Month, days_of

OFF_2026 = {  # 国办发明电〔2025〕7号: days off in weeks otherwise worked, and Saturdays and Sundays worked.
    1: ({1, 2}, {4}),
    2: ({16, 17, 18, 19, 20, 23}, {14, 28}),
    4: ({6}, set()),
    5: ({1, 4, 5}, {9}),
    6: ({19}, set()),
    9: ({25}, {20}),
    10: ({1, 2, 5, 6, 7}, {10}),
}


@pytest.mark.parametrize("number", range(1, 13))
def test_the_official_year_2026(number: int) -> None:  # edge 12
    month = Month(2026, number)
    off, worked = OFF_2026.get(number, (set(), set()))
    every = [month.first + timedelta(days=ahead) for ahead in range(month.days)]
    expected = tuple(day for day in every if day.day in worked or (day.weekday() < 5 and day.day not in off))
    calendar = month_calendar(month)
    assert days_of(month, calendar.working) == expected
    assert (calendar.source, calendar.provisional) == (CalendarSource.OFFICIAL, False)
    assert calendar.working_days == len(expected)


def test_2025_has_its_own_notice() -> None:  # edge 12
    october = month_calendar(Month(2025, 10))
    worked = {day.day for day in days_of(october.month, october.working)}
    assert {11} <= worked
    assert not worked & set(range(1, 9))


def test_an_unpublished_year_is_monday_to_friday_and_says_so() -> None:  # edge 13
    calendar = month_calendar(Month(2035, 10))
    assert {day.weekday() for day in days_of(calendar.month, calendar.working)} == {0, 1, 2, 3, 4}
    assert (calendar.source, calendar.provisional) == (CalendarSource.WEEKDAYS, True)


def test_an_imported_calendar_replaces_the_fallback_and_the_package() -> None:  # edge 13
    imported = ImportedCalendar(2035, {date(2035, 10, 1): (False, "国庆节"), date(2035, 10, 6): (True, "")})
    calendar = month_calendar(Month(2035, 10), [imported])
    worked = days_of(calendar.month, calendar.working)
    assert date(2035, 10, 1) not in worked
    assert date(2035, 10, 6) in worked  # A Saturday.
    assert date(2035, 10, 2) in worked  # Not listed: a Tuesday.
    assert (calendar.source, calendar.provisional) == (CalendarSource.IMPORTED, False)
    assert month_calendar(Month(2036, 10), [imported]).provisional
    later = ImportedCalendar(2035, {})
    assert date(2035, 10, 1) in days_of(
        calendar.month, month_calendar(Month(2035, 10), [imported, later]).working
    )


GOOD = "日期,类型,名称\r\n2027-02-05,放假,春节\r\n2027-01-30,上班,调休\r\n\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_calendar_is_read_in_the_encodings_of_spreadsheets(encoding: str) -> None:
    calendar, faults = read_calendar(GOOD.encode(encoding), 2027)
    assert faults == ()
    assert calendar == ImportedCalendar(
        2027, {date(2027, 2, 5): (False, "春节"), date(2027, 1, 30): (True, "调休")}
    )


def test_english_words_do_as_well() -> None:
    calendar, faults = read_calendar(b"Date,Kind\n2027-02-05,Holiday\n2027-01-30,working\n", 2027)
    assert (calendar is not None, faults) == (True, ())


def test_every_bad_row_is_named_and_nothing_is_imported() -> None:
    text = (
        "date,kind,name\n2027-02-30,holiday,a\n2026-12-31,holiday,b\n2027-02-05,off,c\n"
        "2027-02-06,holiday,d\n2027-02-06,working,e\n2027-02-07\n2027/2/8,holiday\n"
    )
    calendar, faults = read_calendar(text.encode(), 2027)
    assert calendar is None
    assert [(fault.row, fault.code) for fault in faults] == [
        (2, "bad-date"),
        (3, "other-year"),
        (4, "bad-kind"),
        (6, "twice"),
        (7, "bad-kind"),
        (8, "bad-date"),
    ]
    assert all(fault.zh and fault.en for fault in faults)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "no-heading"),
        (b"2027-02-05,holiday\n", "no-heading"),
        (b"date,date,kind\n", "no-heading"),
        (b"date,kind\n", "empty"),
        (b"date,kind\n,\n", "empty"),
        (b"\xff\xfe\xff\x00", "not-text"),
        (b"date,kind\n2027-01-01,\x00\n", "not-text"),
        (b'date,kind\n"2027-01-01,holiday\n', "not-csv"),
        (b"date,kind\n" + b"2027-01-01,holiday\n" * 500, "too-long"),
    ],
)
def test_a_file_that_is_no_calendar_is_refused(data: bytes, code: str) -> None:
    calendar, faults = read_calendar(data, 2027)
    assert calendar is None
    assert faults[0].code == code


@given(
    st.binary(max_size=60)
    | st.text('0127-,"\n\r放假working', max_size=60).map(lambda text: f"date,kind\n{text}".encode())
)
def test_any_bytes_are_read_or_refused_but_never_break(data: bytes) -> None:
    calendar, faults = read_calendar(data, 2027)
    assert (calendar is None) == bool(faults)
