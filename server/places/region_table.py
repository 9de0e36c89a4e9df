"""Reading a table of regions (区划表) from CSV: every row or a named fault with its line. Pure.

Expected columns, in Chinese or English: code (12 digits), name; optionally kind, urban-rural class, parent, valid_from,
valid_until. UTF-8 with or without a mark, otherwise GB18030, which contains GBK.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from server.places import rules
from server.places.rules import RegionKind
from server.problems import FieldFault

MOST_ROWS = 20_000
LONGEST_NAME = 100
_ALIASES: dict[str, tuple[str, ...]] = {  # The first alias that the header has is read.
    "code": ("code12", "code", "区划代码", "统计用区划代码", "村代码", "代码"),
    "name": ("name", "名称", "区划名称", "村名称"),
    "kind": ("kind", "类型", "类别"),
    "urban_rural_class": ("urban_rural_class", "class", "城乡分类代码", "城乡分类"),
    "parent": ("parent", "parent_code", "town_code", "上级代码", "上级区划代码"),
    "valid_from": ("valid_from", "启用日期"),
    "valid_until": ("valid_until", "停用日期"),
}
_KINDS = {kind.value: kind for kind in RegionKind} | {
    "省": RegionKind.PROVINCE,
    "市": RegionKind.CITY,
    "区": RegionKind.DISTRICT,
    "县": RegionKind.DISTRICT,
    "镇": RegionKind.TOWN,
    "乡": RegionKind.TOWN,
    "街道": RegionKind.STREET,
    "村": RegionKind.VILLAGE,
    "社区": RegionKind.COMMUNITY,
}


@dataclass(frozen=True, slots=True)
class RegionRow:
    """One region of a table; `parent` None: not said, `valid_from` None: the import's own."""

    line: int
    code: str
    name: str
    kind: RegionKind
    urban_rural_class: str | None
    parent: str | None
    valid_from: date | None
    valid_until: date | None


class _Faulty(Exception):
    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code, self.zh, self.en = code, zh, en


def decoded(data: bytes) -> str:
    """Return the text of a table. Raises ValueError when it is in no encoding that such tables have."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("neither UTF-8 nor GB18030")


def read(data: bytes) -> tuple[list[RegionRow], list[FieldFault]]:
    """Return the rows that can be understood and a fault for each one that cannot. Never raises for content."""
    try:
        text = decoded(data)
    except ValueError:
        return [], [_whole("encoding", "既不是 UTF-8 也不是 GB18030 编码。", "Neither UTF-8 nor GB18030.")]
    delimiter = "\t" if "\t" in text.split("\n", 1)[0] else ","
    try:
        table = list(_lines(text, delimiter))
    except csv.Error as error:
        return [], [_whole("csv", f"不是有效的 CSV：{error}。", f"Not a valid CSV: {error}.")]
    if not table:
        return [], [_whole("empty", "文件为空。", "The file is empty.")]
    columns = _columns(table[0][1])
    absent = [name for name in ("code", "name") if name not in columns]
    if absent:
        zh, en = f"表头缺少列：{'、'.join(absent)}。", f"The header lacks: {', '.join(absent)}."
        return [], [_whole("columns", zh, en)]
    if len(table) - 1 > MOST_ROWS:
        return [], [_whole("rows", f"最多 {MOST_ROWS} 行。", f"At most {MOST_ROWS} rows.")]
    return _rows(table[1:], columns)


def _whole(code: str, zh: str, en: str) -> FieldFault:
    return FieldFault("file", code, zh, en)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [unicodedata.normalize("NFC", cell).strip() for cell in cells]


def _columns(header: list[str]) -> dict[str, int]:
    places = {name.lower(): index for index, name in reversed(list(enumerate(header)))}
    found = {}
    for name, aliases in _ALIASES.items():
        place = next((places[alias] for alias in aliases if alias in places), None)
        if place is not None:
            found[name] = place
    return found


def _rows(
    table: list[tuple[int, list[str]]], columns: Mapping[str, int]
) -> tuple[list[RegionRow], list[FieldFault]]:
    rows: list[RegionRow] = []
    faults: list[FieldFault] = []
    first_lines: dict[str, int] = {}
    for line, cells in table:
        given = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
        row = _row(line, given, faults)
        if row is None:
            continue
        if row.code in first_lines:
            first = first_lines[row.code]
            zh, en = (
                f"代码 {row.code} 与第 {first} 行重复。",
                f"Code {row.code} stands in line {first} already.",
            )
            faults.append(FieldFault("code", "repeated", zh, en, line))
            continue
        first_lines[row.code] = line
        rows.append(row)
    return rows, faults


def _row(line: int, given: Mapping[str, str], faults: list[FieldFault]) -> RegionRow | None:
    before = len(faults)

    def value(name: str, read: Callable[[str], object]) -> object:
        try:
            return read(given.get(name, ""))
        except _Faulty as fault:
            faults.append(FieldFault(name, fault.code, fault.zh, fault.en, line))
            return None

    code, name = value("code", _code), value("name", _name)
    parent = value("parent", _parent)
    kind = value("kind", _kind)
    urban_rural_class = value("urban_rural_class", _class)
    since, until = value("valid_from", _day), value("valid_until", _day)
    if isinstance(since, date) and isinstance(until, date) and until <= since:
        zh, en = "停用日期应晚于启用日期。", "valid_until must come after valid_from."
        faults.append(FieldFault("valid_until", "order", zh, en, line))
    if isinstance(code, str) and isinstance(parent, str) and not _above(parent, code):
        zh, en = f"{parent} 不是 {code} 的上级。", f"{parent} does not lie above {code}."
        faults.append(FieldFault("parent", "not-above", zh, en, line))
    if len(faults) > before or not isinstance(code, str) or not isinstance(name, str):
        return None
    return RegionRow(
        line,
        code,
        name,
        kind if isinstance(kind, RegionKind) else rules.kind_of(code, name),
        urban_rural_class if isinstance(urban_rural_class, str) else None,
        parent if isinstance(parent, str) else None,
        since if isinstance(since, date) else None,
        until if isinstance(until, date) else None,
    )


def _above(parent: str, code: str) -> bool:
    own, prefix = rules.significant(code), rules.significant(parent)
    return len(prefix) < len(own) and own.startswith(prefix)


def _code(text: str) -> str:
    if rules.CODE.fullmatch(text):
        return text
    if text.isdigit() and text.isascii() and len(text) in {6, 9}:
        raise _Faulty(
            "not-12-digits",
            f"“{text}”只有 {len(text)} 位；请用 12 位统计用区划代码（9 位镇级代码有两套，会混淆）。",
            f"“{text}” has {len(text)} digits; give the 12-digit statistical code (two 9-digit systems collide).",
        )
    if "E+" in text.upper():
        raise _Faulty(
            "not-12-digits",
            f"“{text}”被表格软件改成了科学记数，末位已丢失；请把该列设为文本。",
            f"“{text}” was turned into scientific notation and lost digits; make the column text.",
        )
    raise _Faulty(
        "not-12-digits", f"“{text[:30]}”不是 12 位数字代码。", f"“{text[:30]}” is no 12-digit code."
    )


def _name(text: str) -> str:
    if not text:
        raise _Faulty("missing", "缺少名称。", "The name is missing.")
    if len(text) > LONGEST_NAME or any(unicodedata.category(char) == "Cc" for char in text):
        raise _Faulty(
            "name",
            f"名称最多 {LONGEST_NAME} 字，且不含控制字符。",
            f"At most {LONGEST_NAME} characters, none of them control characters.",
        )
    return text


def _kind(text: str) -> RegionKind | None:
    if not text:
        return None
    try:
        return _KINDS[text.lower()]
    except KeyError:
        allowed = ", ".join(RegionKind)
        raise _Faulty(
            "kind", f"不认识的类型“{text[:30]}”。", f"Unknown kind “{text[:30]}”; known: {allowed}."
        ) from None


def _class(text: str) -> str | None:
    if text and not rules.CLASS.fullmatch(text):
        raise _Faulty(
            "class",
            f"城乡分类代码应为三位数字，如 220；收到“{text[:30]}”。",
            f"A class has three digits, such as 220; got “{text[:30]}”.",
        )
    return text or None


def _parent(text: str) -> str | None:
    if not text:
        return None
    if text.isdigit() and text.isascii() and len(text) in {2, 4, 6, 9, 12}:
        return text.ljust(12, "0")
    raise _Faulty("parent", f"上级代码无效：“{text[:30]}”。", f"Not a region code: “{text[:30]}”.")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise _Faulty(
            "day", f"日期应为 YYYY-MM-DD：“{text[:30]}”。", f"Not YYYY-MM-DD: “{text[:30]}”."
        ) from None


def ancestor(code: str, known: Collection[str]) -> str | None:
    """Return the nearest known region above the code."""
    above = rules.parent_of(code)
    while above is not None and above not in known:
        above = rules.parent_of(above)
    return above
