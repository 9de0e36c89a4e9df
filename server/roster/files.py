"""Roster files: bytes in, a table of cells out, or one fault that names what is wrong with the whole file.

CSV is read in UTF-8 (with or without mark), UTF-16 with its mark, or GB18030, which contains GBK. Workbooks are read
by workbook.py in a process of its own, because a few kilobytes of zip can ask for gigabytes (ruling 30).
"""

import csv
import io
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from server import problems
from server.problems import Problem
from server.roster import headings
from server.roster.entries import Note
from server.roster.headings import COLUMNS, Cell
from server.roster.limits import HEADER_WITHIN, LARGEST_FILE, MOST_COLUMNS, MOST_ROWS, WALL_S, Refused

_WAIT_S = 20.0
_LISTED = 20
_ONE_AT_A_TIME = threading.BoundedSemaphore(1)
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
ROOT = str(Path(__file__).resolve().parents[2])
ENVIRONMENT = {"PYTHONPATH": ROOT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
"""Where and how our own modules run in a process of their own: without the settings, which hold addresses and keys."""
REQUIRED = ("number", "name", "role", "from")


@dataclass(frozen=True)
class Table:
    """The lines of a roster by column. `columns` tells each column's heading as the file writes it."""

    source: str  # "xlsx", or the encoding of a CSV.
    sheet: str | None
    header_line: int
    columns: dict[str, str]
    ignored: list[str]
    lines: list[tuple[int, dict[str, Cell]]]
    notes: list[Note]
    across: frozenset[int] = field(default=frozenset())  # Lines with cells merged across columns.


def read(data: bytes) -> Table:
    """Read a roster file. Raises :class:`Refused` when the file as a whole cannot be used."""
    if len(data) > LARGEST_FILE:
        raise Refused(
            "file-too-large", f"文件超过 {LARGEST_FILE >> 20} MiB", f"more than {LARGEST_FILE >> 20} MiB"
        )
    if data.startswith(_OLE):
        raise Refused(
            "old-or-protected-workbook",
            "是旧版 .xls 或有密码的工作簿，请去掉密码并另存为 .xlsx",
            "an old .xls or a workbook with a password; save it as .xlsx without one",
        )
    return _from_workbook(data) if data.startswith(_ZIP) else _from_csv(data)


def decode(data: bytes) -> tuple[str, str]:
    """Return text and encoding of a CSV; raise :class:`Refused` when it is in none that such files have."""
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    candidates = ["utf-16"] if marked else ["utf-8-sig", "gb18030"]
    for encoding in candidates:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text, encoding.removesuffix("-sig")
    raise Refused(
        "encoding",
        "不是 UTF-8 或 GBK（GB18030）编码的文本，也不是 xlsx",
        "neither text in UTF-8 or GBK (GB18030) nor an xlsx workbook",
    )


def _from_csv(data: bytes) -> Table:
    text, encoding = decode(data)
    head = text[:65_536].splitlines()[:HEADER_WITHIN]
    delimiter = next(
        (mark for mark in ",\t;，" if any(headings.is_header(row.split(mark)) for row in head)), ","
    )
    try:
        return _table(_records(text, delimiter), source=encoding, sheet=None, notes=[])
    except csv.Error as error:
        raise Refused(
            "csv",
            f"不是有效的 CSV（引号不成对？）：{error}",
            f"not a valid CSV (an unpaired quote?): {error}",
        ) from None


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[Cell]]]:
    # Strict, because a forgotten quote would otherwise swallow the rest of the file into one cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    for record in reader:
        yield line, [Cell(value, "csv") for value in record]
        line = reader.line_num + 1


def _from_workbook(data: bytes) -> Table:
    found = _in_a_process(data)
    if "fault" in found:
        raise Refused(*found["fault"])
    notes = []
    if found["others"]:
        titles = "、".join(found["others"][:10])
        notes.append(
            Note(None, "other-sheets", f"未读取其他工作表：{titles}", f"other sheets left out: {titles}")
        )
    rows = ((line, [Cell(*cell) for cell in cells]) for line, cells in found["rows"])
    table = _table(rows, source="xlsx", sheet=found["sheet"], notes=notes, across=frozenset(found["across"]))
    used = {line for line, _ in table.lines}
    for code, zh, en, lines in (
        ("hidden-rows", "隐藏的行也已读取", "hidden rows are read as well", used & set(found["hidden"])),
        (
            "formulas",
            "公式取其保存的结果",
            "the stored results of formulas are taken",
            _having(table, "computed"),
        ),
        (
            "merged",
            "合并单元格的内容用于其中每一行",
            "merged cells count for each of their rows",
            _having(table, "merged"),
        ),
    ):
        if lines:
            listed = ", ".join(map(str, sorted(lines)[:_LISTED])) + (" ..." if len(lines) > _LISTED else "")
            notes.append(Note(None, code, f"{zh}：第 {listed} 行", f"{en}: lines {listed}"))
    return table


def _having(table: Table, mark: str) -> set[int]:
    return {line for line, cells in table.lines if any(getattr(cell, mark) for cell in cells.values())}


def _in_a_process(data: bytes) -> dict[str, Any]:
    if not _ONE_AT_A_TIME.acquire(timeout=_WAIT_S):
        raise Problem(problems.BUSY, headers={"Retry-After": "30"})
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "server.roster.workbook"],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_S,
            check=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise Refused(
            "workbook-too-heavy",
            "读取工作簿超出时间或内存限制，请只保留花名册一张表",
            "reading the workbook took more time or memory than allowed; keep only the roster's sheet",
        ) from None
    finally:
        _ONE_AT_A_TIME.release()
    outcome: dict[str, Any] = orjson.loads(done.stdout)
    return outcome


def _table(
    rows: Iterable[tuple[int, Sequence[Cell]]],
    *,
    source: str,
    sheet: str | None,
    notes: list[Note],
    across: frozenset[int] = frozenset(),
) -> Table:
    header: tuple[int, list[str]] | None = None
    places: dict[str, int] = {}
    lines: list[tuple[int, dict[str, Cell]]] = []
    before = 0
    for line, cells in rows:
        if not any(cell.text.strip() or cell.kind == "formula" for cell in cells):
            continue
        if header is None:
            before += 1
            if headings.is_header([cell.text for cell in cells]):
                header = line, [headings.clean(cell.text) for cell in cells]
                places = _places(header[1], line)
            elif before >= HEADER_WITHIN:
                break
            continue
        given = {column: cells[at] for column, at in places.items() if at < len(cells)}
        if any(cell.text.strip() or cell.kind == "formula" for cell in given.values()):
            lines.append((line, given))
        if len(lines) > MOST_ROWS:
            raise Refused(
                "too-many-rows",
                f"最多 {MOST_ROWS} 行，请分次导入",
                f"at most {MOST_ROWS} rows; import in parts",
            )
    if header is None:
        raise Refused(
            "no-header",
            "前20行中没有表头。至少要有：工号、姓名、村代码（或镇和村名）、职务、任职时间",
            "no header in the first 20 rows; needed: staff number (工号), name (姓名), village code (村代码) or town and "
            "village, role (职务), from (任职时间)",
        )
    columns = {column: header[1][at] for column, at in places.items()}
    ignored = [text for at, text in enumerate(header[1]) if text and at not in places.values()]
    return Table(source, sheet, header[0], columns, ignored, lines, notes, across)


def _places(header: Sequence[str], line: int) -> dict[str, int]:
    if len(header) > MOST_COLUMNS:
        raise Refused("too-many-columns", f"最多 {MOST_COLUMNS} 列", f"at most {MOST_COLUMNS} columns")
    places: dict[str, int] = {}
    for at, text in enumerate(header):
        column = headings.column_of(text)
        if column is None:
            continue
        if column in places:
            first = header[places[column]]
            raise Refused(
                "repeated-column",
                f"第 {line} 行表头中“{first}”和“{text}”是同一项，请只保留一列",
                f"in the header (line {line}) {first!r} and {text!r} are the same column; keep one",
            )
        places[column] = at
    missing = [column for column in REQUIRED if column not in places]
    if "village_code" not in places and not {"village", "town"} <= places.keys():
        missing.append("village_code")
    if missing:
        zh = "、".join(COLUMNS[column][0] for column in missing)
        raise Refused("missing-columns", f"表头缺少：{zh}", f"the header lacks: {', '.join(missing)}")
    return places
