"""One line of a roster file as something known: every cell understood, or a named fault with the line. Pure.

Which village a name means, and whether a staff number is known, is decided later against the database.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from server.problems import FieldFault
from server.roster import dates, headings
from server.roster.headings import EMPTY, Cell
from server.roster.rules import EndReason, PostingRole

LONGEST_NAME = 64
LONGEST_UNIT = 100
LONGEST_CELL = 200
NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")
"""A staff number becomes a login, so it keeps to what a phone's keyboard types without switching."""
PHONE = re.compile(r"\+?[0-9]{5,20}(-[0-9]{1,8})?")
_SCIENTIFIC = re.compile(r"[0-9]+(\.[0-9]+)?[eE]\+[0-9]+")
_CODE = re.compile(r"[0-9]{12}")
_POINT_ZERO = re.compile(r"([0-9]+)\.0+")

_REASONS: tuple[tuple[EndReason, tuple[str, ...]], ...] = (
    (EndReason.DECEASED, ("去世", "病故", "死亡", "殉职", "逝世", "deceased")),
    (EndReason.RECALLED, ("召回", "recalled")),
    (EndReason.RETIRED, ("退休", "retired")),
    (EndReason.TERM_OVER, ("期满", "届满", "到期", "term_over", "termover")),
    (EndReason.TRANSFERRED, ("调动", "调离", "调任", "调整", "轮换", "转任", "交流", "transferred")),
    (EndReason.OTHER, ("其他", "其它", "other")),
)


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader did that its user should know."""

    line: int | None
    code: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One understood line. A None says that the file leaves it open."""

    line: int
    number: str
    name: str
    phone: str | None
    unit: str | None
    village_code: str | None
    village: str | None
    town: str | None
    role: PostingRole
    from_day: date
    until_day: date | None
    end_reason: EndReason | None
    end_text: str | None  # The reason's own words when they were read as "other".


class _Faulty(Exception):
    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code, self.zh, self.en = code, zh, en


class _Reader:
    """Reads the cells of one line, gathering faults and notes."""

    def __init__(self, line: int, cells: Mapping[str, Cell]) -> None:
        self.line = line
        self.cells = cells
        self.faults: list[FieldFault] = []
        self.notes: list[Note] = []

    def cell(self, column: str) -> Cell:
        return self.cells.get(column, EMPTY)

    def fault(self, column: str, code: str, zh: str, en: str) -> None:
        self.faults.append(FieldFault(column, code, zh, en, self.line))

    def note(self, code: str, zh: str, en: str) -> None:
        self.notes.append(Note(self.line, code, zh, en))

    def text(self, column: str, longest: int = LONGEST_CELL, *, name: bool = False) -> str | None:
        """Return the clean text of a cell; None when it is empty or faulty."""
        cell = self.cell(column)
        if cell.kind in {"error", "formula"}:
            self.fault(column, *_CELL_FAULTS[cell.kind])
            return None
        cleaned = headings.clean_name(cell.text) if name else headings.clean(cell.text)
        if not cleaned:
            return None
        if headings.unprintable(cleaned):
            self.fault(
                column, "unprintable", "含有无法显示的字符", "contains characters that cannot be shown"
            )
            return None
        if len(cleaned) > longest:
            self.fault(column, "too-long", f"最多 {longest} 字", f"at most {longest} characters")
            return None
        return cleaned

    def required(self, column: str, longest: int = LONGEST_CELL, *, name: bool = False) -> str | None:
        before = len(self.faults)
        text = self.text(column, longest, name=name)
        if text is None and len(self.faults) == before:
            self.fault(column, "missing", "缺少此项", "missing")
        return text

    def understood(self, column: str, text: str | None, read: "Reading") -> str | None:
        """Apply a reading to a text; its fault becomes the line's."""
        if text is None:
            return None
        try:
            return read(text)
        except _Faulty as fault:
            self.fault(column, fault.code, fault.zh, fault.en)
            return None


class Reading:
    """A reading of one cell: text in, value out, or a fault."""

    def __init__(self, pattern: re.Pattern[str], code: str, zh: str, en: str) -> None:
        self.pattern, self.code, self.zh, self.en = pattern, code, zh, en

    def __call__(self, text: str) -> str:
        """Return the value as it is stored."""
        plain = headings.plain(text)
        if _SCIENTIFIC.fullmatch(plain):
            raise _Faulty(
                "scientific-notation",
                f"“{text}”是被表格改成的科学计数，末位已丢失，请把该列设为文本后重填",
                f"{text!r} is scientific notation, its last digits are lost; format the column as text",
            )
        whole = _POINT_ZERO.fullmatch(plain)
        plain = whole[1] if whole else plain
        if not self.pattern.fullmatch(plain):
            raise _Faulty(self.code, self.zh, self.en)
        return plain


_CELL_FAULTS = {
    "error": (
        "error-cell",
        "单元格是错误值（如 #N/A）",
        "the cell holds an error value such as #N/A",
    ),
    "formula": (
        "formula-without-result",
        "单元格是公式且没有保存结果，请在表格软件中打开并保存，或改为数值",
        "the cell is a formula without a stored result; open and save the file, or put the value itself",
    ),
}
_number = Reading(
    NUMBER,
    "staff-number",
    "工号只能由字母、数字、点、横线组成，最多 32 位",
    "a staff number has letters, digits, dots and dashes, 32 at most",
)
_code = Reading(_CODE, "village-code", "村代码应为12位数字", "a village code has 12 digits")


class _PhoneReading(Reading):
    def __call__(self, text: str) -> str:
        plain = headings.plain(text)
        mobile = plain.replace("-", "").removeprefix("+86")
        return super().__call__(mobile if re.fullmatch(r"1[0-9]{10}", mobile) else plain)


phone_number = _PhoneReading(PHONE, "phone", "不是电话号码", "not a telephone number")


def read_line(line: int, cells: Mapping[str, Cell]) -> tuple[Line | None, list[FieldFault], list[Note]]:
    """Read one line. The line is None when there is any fault."""
    reader = _Reader(line, cells)
    number = reader.understood("number", reader.required("number"), _number)
    name = reader.required("name", LONGEST_NAME, name=True)
    phone = reader.understood("phone", reader.text("phone"), phone_number)
    unit = reader.text("unit", LONGEST_UNIT)
    village_code = reader.understood("village_code", reader.text("village_code"), _code)
    village, town = reader.text("village", name=True), reader.text("town", name=True)
    if village_code is None and not any(f.field == "village_code" for f in reader.faults):
        _check_place(reader, village, town)
    role = _role(reader)
    from_day, until_day = _days(reader)
    end_reason, end_text = _end(reader, until_day)
    if reader.faults or number is None or name is None or role is None or from_day is None:
        return None, reader.faults, reader.notes
    understood = Line(
        line=line,
        number=number,
        name=name,
        phone=phone,
        unit=unit,
        village_code=village_code,
        village=village,
        town=town,
        role=role,
        from_day=from_day,
        until_day=until_day,
        end_reason=end_reason,
        end_text=end_text,
    )
    return understood, [], reader.notes


def _check_place(reader: _Reader, village: str | None, town: str | None) -> None:
    if village is None:
        reader.fault(
            "village_code", "missing", "缺少村代码，也没有村名", "there is neither a village code nor a name"
        )
    elif town is None:
        reader.fault(
            "town",
            "missing",
            "只写村名时须写明所在镇（同名村很多）",
            "a village given by name needs its town (many names repeat)",
        )


def _role(reader: _Reader) -> PostingRole | None:
    text = reader.required("role")
    if text is None:
        return None
    word = headings.plain(text).lower()
    if "第一书记" in word or word in {"first_secretary", "firstsecretary"}:
        return PostingRole.FIRST_SECRETARY
    if word in {"队长", "工作队长", "工作队队长", "驻村工作队队长", "驻村工作队长"}:
        reader.note(
            "leader-as-member",
            "“队长”按工作队员登记；兼任第一书记的请写“第一书记”",
            "a team leader is taken as a member; write 第一书记 for one who is first secretary as well",
        )
        return PostingRole.MEMBER
    if any(part in word for part in ("队员", "队长", "工作队", "成员")) or word == "member":
        return PostingRole.MEMBER
    reader.fault(
        "role",
        "unknown-role",
        f"不认识的职务“{text[:20]}”，请写 第一书记、队长 或 工作队员",
        f"unknown role {text[:20]!r}; write 第一书记 (first_secretary) or 工作队员 (member)",
    )
    return None


def _days(reader: _Reader) -> tuple[date | None, date | None]:
    text, until_text = reader.required("from"), reader.text("until")
    from_day = None if text is None else _day(reader, "from", text)
    until_day = None
    if until_text is not None and headings.plain(until_text).lower() not in dates.STILL_THERE:
        until_day = _day(reader, "until", until_text)
    if from_day is not None and until_day is not None and until_day < from_day:
        reader.fault(
            "until",
            "before-start",
            f"离任时间 {until_day} 早于任职时间 {from_day}",
            f"the end {until_day} lies before the start {from_day}",
        )
    return from_day, until_day


def _day(reader: _Reader, column: str, text: str) -> date | None:
    typed = reader.cell(column).kind in {"text", "day"}
    try:
        found = dates.read_day(text, is_end=column == "until", typed=typed)
    except dates.Unreadable as unreadable:
        zh, en = dates.WHY[unreadable.code]
        reader.fault(column, unreadable.code, f"“{text[:30]}”：{zh}", f"{text[:30]!r}: {en}")
        return None
    if found.note is not None:
        zh, en = dates.NOTES[found.note]
        reader.note(found.note, f"“{text}”{zh}：{found.day}", f"{text!r}, {en}: {found.day}")
    return found.day


def _end(reader: _Reader, until_day: date | None) -> tuple[EndReason | None, str | None]:
    text = reader.text("end_reason")
    if text is None or headings.plain(text) in dates.STILL_THERE:
        return None, None
    if until_day is None:
        if not any(fault.field == "until" for fault in reader.faults):
            reader.fault(
                "until", "missing", "写了离任原因却没有离任时间", "there is a reason of end but no last day"
            )
        return None, None
    word = headings.plain(text).lower()
    for reason, words in _REASONS:
        if any(part in word for part in words):
            return reason, None
    reader.note(
        "reason-as-other",
        f"离任原因“{text}”按“其他”登记，原文留在变更记录中",
        f"the reason {text!r} is taken as other; its words stay in the history",
    )
    return EndReason.OTHER, text
