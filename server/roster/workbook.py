"""Reading a workbook (xlsx) in a process of its own with bounded memory and time; started by files.py.

Bytes come on the standard input, one JSON object goes out: the rows of the sheet that carries the roster, or a fault.
A workbook is a zip of XML: its members are measured before anything is unpacked, the sheet is first walked as a
stream (rows in use, hidden rows, merged cells, formulas), and only then are values read by openpyxl.
"""

import io
import re
import resource
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from posixpath import normpath
from typing import Any
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import openpyxl
import orjson
from openpyxl.utils.cell import column_index_from_string, coordinate_from_string, range_boundaries

from server.roster import headings
from server.roster.limits import (
    CPU_S,
    HEADER_WITHIN,
    MEMORY_BYTES,
    MOST_COLUMNS,
    MOST_MEMBERS,
    MOST_ROWS,
    MOST_TAGS,
    MOST_TEXT,
    MOST_UNPACKED,
    Refused,
)

_ZEROS = re.compile(r"0{2,}")
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass
class Walk:
    """What one pass over a sheet's XML finds. Rows count from 1, columns too."""

    last_row: int = 0
    used_rows: int = 0
    hidden: list[int] = field(default_factory=list)
    computed: set[tuple[int, int]] = field(default_factory=set)
    unfinished: set[tuple[int, int]] = field(default_factory=set)  # Formulas without a stored result.
    merged: list[tuple[int, int, int, int]] = field(
        default_factory=list
    )  # First column, row, last column, row.


def _local(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def checked(data: bytes) -> zipfile.ZipFile:
    """Open the zip after measuring it; raise :class:`Refused` for a bomb, a broken or an encrypted file."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise _broken() from None
    members = archive.infolist()
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_UNPACKED:
        raise Refused(
            "workbook-too-large",
            f"工作簿解压后超过 {MOST_UNPACKED >> 20} MiB，请只保留花名册一张表",
            f"the workbook unpacks to more than {MOST_UNPACKED >> 20} MiB; keep only the roster's sheet",
        )
    if any(member.flag_bits & 1 for member in members):
        raise Refused("workbook-encrypted", "工作簿有密码，请去掉密码后再导入", "the workbook has a password")
    try:
        # Bytes are counted and not elements: it costs a hundredth of parsing, and no encoding hides a bracket.
        tags = sum(archive.read(member).count(b"<") for member in members)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, NotImplementedError):
        raise _broken() from None
    if tags > MOST_TAGS:
        raise _too_much()
    return archive


def _too_much() -> Refused:
    return Refused(
        "workbook-too-large",
        "工作簿内容过多，请只保留花名册一张表",
        "the workbook holds too much; keep only the roster's sheet",
    )


def _broken() -> Refused:
    return Refused("workbook-broken", "不是完整的 xlsx 工作簿", "not a whole xlsx workbook")


def sheets(archive: zipfile.ZipFile) -> Iterator[tuple[str, bool, str]]:
    """Yield name, whether it is visible, and member of each worksheet, in the workbook's order."""
    relations = defusedxml.ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {
        relation.get("Id"): relation.get("Target", "")
        for relation in relations
        if relation.get("Type", "").endswith("/worksheet")
    }
    for sheet in defusedxml.ElementTree.fromstring(archive.read("xl/workbook.xml")).iter():
        target = targets.get(sheet.get(_RELATION)) if _local(sheet) == "sheet" else None
        if target:
            member = target.lstrip("/") if target.startswith("/") else normpath(f"xl/{target}")
            yield sheet.get("name", ""), sheet.get("state", "visible") == "visible", member


def walk(archive: zipfile.ZipFile, member: str) -> Walk:
    """Walk a sheet's XML as a stream."""
    found = Walk()
    row = 0
    with archive.open(member) as stream:
        for _, element in defusedxml.ElementTree.iterparse(stream, events=("end",)):
            kind = _local(element)
            if kind == "row":
                row = int(element.get("r") or row + 1)
                _walk_row(found, row, element)
                element.clear()
            elif kind == "mergeCell":
                found.merged.append(_bounds(element.get("ref", "")))
                if len(found.merged) > MOST_ROWS:
                    raise _too_much()
    return found


def _bounds(reference: str) -> tuple[int, int, int, int]:
    first_column, first_row, last_column, last_row = range_boundaries(reference)
    if None in {first_column, first_row, last_column, last_row}:
        raise _broken()
    return int(first_column or 0), int(first_row or 0), int(last_column or 0), int(last_row or 0)


def _walk_row(found: Walk, row: int, element: Element) -> None:
    used = False
    column = 0
    for cell in element:
        if _local(cell) != "c":
            continue
        reference = cell.get("r")
        column = column_index_from_string(coordinate_from_string(reference)[0]) if reference else column + 1
        parts = {_local(part): part for part in cell}
        filled = "is" in parts or ("v" in parts and bool(parts["v"].text))
        if "f" in parts:
            (found.computed if filled else found.unfinished).add((row, column))
        used = used or filled or "f" in parts
    if not used:
        return
    found.used_rows += 1
    found.last_row = max(found.last_row, row)
    if element.get("hidden") in {"1", "true"}:
        found.hidden.append(row)
    if found.used_rows > MOST_ROWS or row > 2 * MOST_ROWS:
        raise Refused(
            "too-many-rows", f"最多 {MOST_ROWS} 行，请分次导入", f"at most {MOST_ROWS} rows; import in parts"
        )


def _shown(value: object, number_format: str) -> tuple[str, str]:
    """Return text and kind of a value (headings.Cell)."""
    if value is None:
        return "", "text"
    if isinstance(value, datetime | date):
        return (value.date() if isinstance(value, datetime) else value).isoformat(), "day"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text, "error" if text.startswith("#") and text.rstrip("!?").isupper() else "text"
    text = str(int(value)) if float(value).is_integer() else repr(value)
    if _ZEROS.fullmatch(number_format or "") and text.isdigit():
        # A format such as 000000 shows leading zeros that the number itself does not have.
        return text.zfill(len(number_format)), "text"
    return text, "number"


def values(book: Any, sheet: str, found: Walk) -> list[tuple[int, list[list[Any]]]]:  # noqa: ANN401  openpyxl's type is a union.
    """Return the rows in use, each cell as text, kind, computed, merged; vertical merges filled down."""
    page = book[sheet]
    page.reset_dimensions()  # The stated dimension is often wrong.
    rows: dict[int, list[list[Any]]] = {}
    cells = page.iter_rows(min_row=1, max_row=max(found.last_row, 1), max_col=MOST_COLUMNS)
    for number, row in enumerate(cells, 1):
        shown = [[*_shown(cell.value, getattr(cell, "number_format", "")), False, False] for cell in row]
        if any(cell[0] for cell in shown):
            rows[number] = shown
    for places, mark in ((found.computed, None), (found.unfinished, "formula")):
        for row_number, column in places:
            if column <= MOST_COLUMNS:
                cell = _cell(rows, row_number, column)
                cell[1], cell[2] = mark or cell[1], mark is None
    _fill_down(rows, found)
    if sum(len(cell[0]) for cells in rows.values() for cell in cells) > MOST_TEXT:
        raise _too_much()  # Here, before all of it is written out for the server to read.
    return sorted(rows.items())


def _cell(rows: dict[int, list[list[Any]]], row: int, column: int) -> list[Any]:
    cells = rows.setdefault(row, [])
    while len(cells) < column:
        cells.append(["", "text", False, False])
    return cells[column - 1]


def _fill_down(rows: dict[int, list[list[Any]]], found: Walk) -> None:
    for first_column, first_row, last_column, last_row in found.merged:
        if first_column != last_column or first_row not in rows or first_column > MOST_COLUMNS:
            continue
        text, kind, computed, _ = _cell(rows, first_row, first_column)
        for row in range(first_row + 1, min(last_row, found.last_row) + 1):
            if row in rows:
                _cell(rows, row, first_column)[:] = [text, kind, computed, True]


def read(data: bytes) -> dict[str, Any]:
    """Return the roster's sheet: its name, rows, hidden rows, rows with cells merged across, and other sheets."""
    archive = checked(data)
    try:
        listed = list(sheets(archive))
        walks = {name: walk(archive, member) for name, visible, member in listed if visible}
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        filled = [name for name, found in walks.items() if found.used_rows]
        chosen: tuple[str, list[tuple[int, list[list[Any]]]]] | None = None
        for name in filled:
            rows = values(book, name, walks[name])
            has_header = any(headings.is_header([c[0] for c in cells]) for _, cells in rows[:HEADER_WITHIN])
            if chosen is None or has_header:
                chosen = name, rows
            if has_header:
                break
    except (Refused, MemoryError):
        raise
    except Exception as error:
        # openpyxl raises whatever its parts raise on broken XML; to the user all of it means one thing.
        raise _broken() from error
    if chosen is None:
        raise Refused("empty", "表中没有内容", "the workbook is empty")
    name, rows = chosen
    across = {
        row for c1, r1, c2, r2 in walks[name].merged if c1 != c2 for row in range(r1, min(r2, r1 + 999) + 1)
    }
    others = [title for title, visible, _ in listed if title != name and (not visible or title in filled)]
    return {
        "sheet": name,
        "rows": rows,
        "hidden": walks[name].hidden,
        "across": sorted(across & {number for number, _ in rows}),
        "others": others,
    }


def main() -> None:
    """Read standard input, write the outcome to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    warnings.simplefilter("ignore")  # openpyxl warns of what it leaves out; nothing of it concerns a roster.
    try:
        outcome = read(sys.stdin.buffer.read())
    except Refused as refused:
        outcome = {"fault": [refused.code, refused.zh, refused.en]}
    except MemoryError:
        outcome = {
            "fault": ["workbook-too-large", "工作簿过大，无法读取", "the workbook is too large to be read"]
        }
    sys.stdout.buffer.write(orjson.dumps(outcome))


if __name__ == "__main__":
    main()
