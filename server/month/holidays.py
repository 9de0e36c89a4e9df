"""Working days of a month, with the shifted ones of the State Council's notices (调休, edges 12 and 13).

Three sources, the first that covers the year: a calendar that the district imported; the maintained package
``chinese_calendar`` (2004 onwards, with the official notices of 2025 and 2026); Monday to Friday, marked provisional.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import chinese_calendar

from server.month.masks import Month, from_dates

MAX_ROWS = 400
"""A calendar of one year has at most 366 rows; more is some other file."""

SATURDAY = 5

_COLUMNS = {"date": "date", "日期": "date", "kind": "kind", "类型": "kind", "name": "name", "名称": "name"}
_KINDS = {
    "working": True,
    "holiday": False,
    "上班": True,
    "工作日": True,
    "放假": False,
    "休息": False,
    "节假日": False,
}


class CalendarSource(StrEnum):
    """Where the working days come from."""

    IMPORTED = "imported"
    OFFICIAL = "official"
    WEEKDAYS = "weekdays"


@dataclass(frozen=True, slots=True)
class MonthCalendar:
    """A month and its working days as a mask; ``provisional`` until a published calendar replaces it."""

    month: Month
    working: int
    source: CalendarSource
    provisional: bool

    @property
    def working_days(self) -> int:
        """How many working days the month has."""
        return self.working.bit_count() // 2


@dataclass(frozen=True, slots=True)
class ImportedCalendar:
    """One year's exceptions from Monday to Friday: day -> (is a working day, its name)."""

    year: int
    days: Mapping[date, tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with one row (1 is the heading) of an imported calendar; 0 is the file as a whole."""

    row: int
    code: str
    zh: str
    en: str


def month_calendar(month: Month, imported: Iterable[ImportedCalendar] = ()) -> MonthCalendar:
    """Give the working days of a month and say where they come from. Of two imports of a year the last one holds."""
    days = [month.first + timedelta(days=ahead) for ahead in range(month.days)]
    exceptions: Mapping[date, tuple[bool, str]] | None = None
    for calendar in imported:
        if calendar.year == month.year:
            exceptions = calendar.days
    if exceptions is not None:
        working = [day for day in days if exceptions.get(day, (day.weekday() < SATURDAY, ""))[0]]
        return MonthCalendar(month, from_dates(month, working), CalendarSource.IMPORTED, provisional=False)
    try:
        working = [day for day in days if chinese_calendar.is_workday(day)]
    except NotImplementedError:  # The package says so for years whose notice it does not know.
        working = [day for day in days if day.weekday() < SATURDAY]
        return MonthCalendar(month, from_dates(month, working), CalendarSource.WEEKDAYS, provisional=True)
    return MonthCalendar(month, from_dates(month, working), CalendarSource.OFFICIAL, provisional=False)


def read_calendar(data: bytes, year: int) -> tuple[ImportedCalendar | None, tuple[RowFault, ...]]:
    """Read a CSV with the columns date, kind (working | holiday) and name, in Chinese or English words.

    Only days that differ from Monday to Friday need be listed. UTF-8, or GB18030 as spreadsheets in China save it.
    Returns a calendar and no faults, or no calendar and every fault found: nothing is imported by halves.
    """
    text = _decoded(data)
    if text is None:
        return None, (
            _fault(
                0,
                "not-text",
                "文件不是 UTF-8 或 GB18030 编码的文本。",
                "The file is no UTF-8 or GB18030 text.",
            ),
        )
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        return None, (
            _fault(0, "not-csv", f"文件不是有效的 CSV：{error}", f"The file is no valid CSV: {error}"),
        )
    if len(rows) > MAX_ROWS:
        return None, (
            _fault(0, "too-long", f"行数超过 {MAX_ROWS}。", f"The file has more than {MAX_ROWS} rows."),
        )
    columns = [_COLUMNS.get(cell.strip().lower(), "") for cell in rows[0]] if rows else []
    if columns.count("date") != 1 or columns.count("kind") != 1:
        return None, (
            _fault(1, "no-heading", "首行应为：日期,类型,名称", "The first row must be: date,kind,name"),
        )
    days: dict[date, tuple[bool, str]] = {}
    faults: list[RowFault] = []
    for number, row in enumerate(rows[1:], start=2):
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=False) if column}
        if any(cells.values()):
            faults.extend(_read_row(number, cells, year, days))
    if not days and not faults:
        faults.append(_fault(0, "empty", "文件中没有日期。", "The file lists no day."))
    return (None, tuple(faults)) if faults else (ImportedCalendar(year, days), ())


def _read_row(
    number: int, cells: Mapping[str, str], year: int, days: dict[date, tuple[bool, str]]
) -> tuple[RowFault, ...]:
    written = cells.get("date", "")
    kind = cells.get("kind", "")
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return (
            _fault(
                number,
                "bad-date",
                f"日期应写作 2026-02-14，而不是“{written}”。",
                f"A date is written 2026-02-14, not {written!r}.",
            ),
        )
    if day.year != year:
        return (_fault(number, "other-year", f"{day} 不属于 {year} 年。", f"{day} is not in {year}."),)
    working = _KINDS.get(kind.lower())
    if working is None:
        return (
            _fault(
                number,
                "bad-kind",
                f"类型应为“上班”或“放假”，而不是“{kind}”。",
                f"The kind is working or holiday, not {kind!r}.",
            ),
        )
    if day in days:
        return (_fault(number, "twice", f"{day} 重复出现。", f"{day} is listed twice."),)
    days[day] = (working, cells.get("name", ""))
    return ()


def _decoded(data: bytes) -> str | None:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


def _fault(row: int, code: str, zh: str, en: str) -> RowFault:
    return RowFault(row, code, zh, en)
