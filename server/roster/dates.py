"""Days as people type them in rosters. Pure.

Read are 2021-09-10, 2021/9/10, 2021.9.10, 2021年9月10日 (also 号), 20210910, a time of 00:00 behind any of them, the
serial numbers that spreadsheets keep days in, and a month alone (2021-09, 2021.9, 2021年9月, 202109): it means its
first day for a start and its last day for an end. Full-width digits are read as digits.
"""

import re
import unicodedata
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

FIRST_YEAR, LAST_YEAR = 1990, 2100
STILL_THERE = frozenset(
    {"至今", "现在", "目前", "在任", "在岗", "现任", "无", "-", "--", "—", "——", "/", "present", "now"}
)
"""What people write for an end that has not come."""

_DAY_FORMS = (
    re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})"),
    re.compile(r"(\d{4})(年)(\d{1,2})月(\d{1,2})[日号]?"),
    re.compile(r"(\d{4})()(\d{2})(\d{2})"),
)
_MONTH_FORMS = (
    re.compile(r"(\d{4})([-/.])(\d{1,2})"),
    re.compile(r"(\d{4})(年)(\d{1,2})月?份?"),
    re.compile(r"(\d{4})()(\d{2})"),
)
_MIDNIGHT = re.compile(r"[ T]0{1,2}:00(:00(\.0+)?)?$")
_SERIAL = re.compile(r"(\d{5})(\.0+)?")
_SERIAL_ZERO = date(1899, 12, 30)  # Day 0 of the 1900 date system for every day after February 1900.


@dataclass(frozen=True, slots=True)
class Read:
    """A day that was read. `note` is None, ``month-first-day``, ``month-last-day`` or ``serial-number``."""

    day: date
    note: str | None = None


class Unreadable(ValueError):
    """A text that is no day. `code` is ``not-a-day``, ``no-such-day``, ``year-out-of-range`` or ``january-or-october``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_day(text: str, *, is_end: bool = False, typed: bool = True) -> Read:
    """Read a day; raise :class:`Unreadable` when the text is none, or could be two.

    `typed` says that the text stands as it was typed. In a number cell, or in a CSV that a spreadsheet wrote,
    2021.10 has lost its zero, so that 2021.1 may be January or October.
    """
    plain = unicodedata.normalize("NFKC", text).strip().replace("。", ".")
    plain = _MIDNIGHT.sub("", plain)
    plain = re.sub(r"\s+", "", plain)
    for form in _DAY_FORMS:
        if found := form.fullmatch(plain):
            return Read(_day(int(found[1]), int(found[3]), int(found[4])))
    for form in _MONTH_FORMS:
        if found := form.fullmatch(plain):
            if not typed and found[2] == "." and found[3] == "1":
                raise Unreadable("january-or-october")
            return _month(int(found[1]), int(found[3]), is_end=is_end)
    if found := _SERIAL.fullmatch(plain):
        day = _SERIAL_ZERO + timedelta(days=int(found[1]))
        return Read(_day(day.year, day.month, day.day), "serial-number")
    raise Unreadable("not-a-day")


def _day(year: int, month: int, day: int) -> date:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise Unreadable("year-out-of-range")
    try:
        return date(year, month, day)
    except ValueError:
        raise Unreadable("no-such-day") from None


def _month(year: int, month: int, *, is_end: bool) -> Read:
    first = _day(year, month, 1)
    if not is_end:
        return Read(first, "month-first-day")
    return Read(first.replace(day=monthrange(year, month)[1]), "month-last-day")


WHY = {
    "not-a-day": (
        "不是日期，请写成 2021-09-10、2021/9/10、2021.9.10、2021年9月10日 或 2021年9月",
        "not a day; write 2021-09-10, 2021/9/10, 2021.9.10, 2021年9月10日 or, for a month, 2021-09",
    ),
    "no-such-day": ("没有这一天", "there is no such day"),
    "year-out-of-range": (
        f"年份应在 {FIRST_YEAR} 至 {LAST_YEAR} 之间",
        f"the year must lie between {FIRST_YEAR} and {LAST_YEAR}",
    ),
    "january-or-october": (
        "可能是1月，也可能是被表格去掉末尾0的10月，请写成 2021-01 或 2021-10",
        "may be January, or October whose zero the spreadsheet dropped; write 2021-01 or 2021-10",
    ),
}
"""What each code of :class:`Unreadable` and each note means, in Chinese and English."""

NOTES = {
    "month-first-day": ("只写了月份，按当月1日计", "only a month is given: taken as its first day"),
    "month-last-day": ("只写了月份，按当月最后一天计", "only a month is given: taken as its last day"),
    "serial-number": ("按电子表格的日期序号读取", "read as a spreadsheet's serial number of a day"),
}
