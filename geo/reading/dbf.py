"""The attribute table of a Shapefile (dBASE III), decoded from its own bytes because what is said of it is unreliable."""

import struct
from dataclasses import dataclass, field

from geo.faults import Fault, fault
from geo.reading.raw import Attributes
from geo.reading.words import Encoding, clip, cut_to_whole, find_encoding

_HEAD_BYTES = 32
_FIELD_BYTES = 32
_MOST_FIELDS = 1024
_DELETED = ord("*")
_LANGUAGE_DRIVERS = {0x4D: "cp936", 0x7A: "cp936", 0x4F: "big5", 0x78: "big5", 0x03: "cp1252", 0x57: "cp1252"}
_TRUE, _FALSE = (b"T", b"t", b"Y", b"y"), (b"F", b"f", b"N", b"n")


@dataclass(frozen=True, kw_only=True)
class _Column:
    raw_name: bytes
    kind: str
    start: int
    width: int


@dataclass(kw_only=True)
class Table:
    """Rows as plain values in file order, the columns' names, the encoding, and faults by row."""

    columns: list[str]
    rows: list[Attributes]
    deleted: set[int]
    encoding: Encoding
    declared: str | None
    faults: dict[int, list[Fault]] = field(default_factory=dict)


def read_dbf(data: bytes, *, given: str | None, cpg: bytes | None, most_rows: int) -> Table | None:
    """Read a .dbf; None when its head makes no sense. Raises UnreadableFileError for an unknown given encoding."""
    columns, first_byte, row_bytes = _layout(data)
    if not columns:
        return None
    claimed = struct.unpack_from("<I", data, 4)[0]
    count = min(claimed, (len(data) - first_byte) // row_bytes, most_rows + 1)
    starts = [first_byte + number * row_bytes for number in range(count)]
    declared = _declared(data, cpg)
    encoding = find_encoding(_texts(data, starts, columns), given=given, declared=declared)
    names = _unique([_decode(column.raw_name, encoding.name)[0] for column in columns])
    table = Table(columns=names, rows=[], deleted=set(), encoding=encoding, declared=declared)
    for number, start in enumerate(starts):
        if data[start] == _DELETED:
            table.deleted.add(number)
        table.rows.append(_row(data, start, columns, table, number))
    return table


def _layout(data: bytes) -> tuple[list[_Column], int, int]:
    """Read the columns, where the first row begins, and the bytes of a row. No columns: no table."""
    if len(data) < _HEAD_BYTES:
        return [], 0, 0
    head_bytes, row_bytes = struct.unpack_from("<HH", data, 8)
    columns: list[_Column] = []
    start = 1  # The first byte of a row is its deletion mark.
    for position in range(_HEAD_BYTES, min(head_bytes, len(data)) - _FIELD_BYTES + 1, _FIELD_BYTES):
        if data[position] in (0x0D, 0x00) or len(columns) == _MOST_FIELDS:
            break
        name, kind, width, decimals = struct.unpack_from("<11sc4xBB", data, position)
        # A text wider than 255 bytes keeps the high byte of its width where numbers keep their decimals.
        wide = width + (decimals << 8) if kind == b"C" else width
        columns.append(
            _Column(raw_name=name.split(b"\x00")[0], kind=kind.decode("latin-1"), start=start, width=wide)
        )
        start += wide
    if not columns or row_bytes < start or head_bytes < _HEAD_BYTES or head_bytes > len(data):
        return [], 0, 0
    return columns, head_bytes, row_bytes


def _declared(data: bytes, cpg: bytes | None) -> str | None:
    """Say what the .cpg declares, else the language driver in the head (byte 29)."""
    if cpg is not None and cpg.strip():
        return clip(cpg.decode("latin-1").strip().lstrip("ï»¿"), 40)
    return _LANGUAGE_DRIVERS.get(data[29])


def _texts(data: bytes, starts: list[int], columns: list[_Column]) -> list[bytes]:
    texts = [column.raw_name for column in columns]
    for column in columns:
        if column.kind != "C":
            continue
        for start in starts:
            text = data[start + column.start : start + column.start + column.width]
            if not text.isascii():
                texts.append(cut_to_whole(text, "utf-8")[0] if _is_full(text) else text)
    return texts


def _is_full(text: bytes) -> bool:
    return text[-1:] not in (b" ", b"\x00")


def _decode(text: bytes, encoding: str) -> tuple[str, bool]:
    """Decode with replacement; the flag tells whether anything had to be replaced."""
    try:
        return text.decode(encoding), False
    except UnicodeDecodeError:
        return text.decode(encoding, "replace"), True


def _unique(names: list[str]) -> list[str]:
    """Keep columns whose names became equal by cutting apart."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


def _row(data: bytes, start: int, columns: list[_Column], table: Table, number: int) -> Attributes:
    row: Attributes = {}
    for name, column in zip(table.columns, columns, strict=True):
        text = data[start + column.start : start + column.start + column.width]
        if column.kind == "C":
            row[name] = _text(text, name, table, number)
        elif column.kind in "NF":
            row[name] = _number(text)
        elif column.kind == "L":
            row[name] = True if text in _TRUE else False if text in _FALSE else None
        elif column.kind == "D":
            row[name] = text.decode("latin-1").strip(" \x00") or None
    return row


def _text(text: bytes, name: str, table: Table, number: int) -> str | None:
    cut = False
    if _is_full(text) and not text.isascii():
        text, cut = cut_to_whole(text, table.encoding.name)
    value, replaced = _decode(text.split(b"\x00")[0].rstrip(b" "), table.encoding.name)
    for happened, code in ((replaced, "text-undecodable"), (cut, "text-cut")):
        if happened:
            table.faults.setdefault(number, []).append(fault(code, feature=number, column=clip(name, 40)))
    return value.strip() or None


def _number(text: bytes) -> int | float | str | None:
    """Read a number without losing digits: a 12-digit code may well sit in a numeric field."""
    shown = text.decode("latin-1").strip(" \x00")
    if not shown or shown.strip("*") == "":
        return None
    whole, point, rest = shown.partition(".")
    try:
        return int(whole) if not point or not rest.strip("0") else float(shown)
    except ValueError:
        return clip(shown)
