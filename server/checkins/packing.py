"""Columns as binary arrays, as PostgreSQL sends and receives them (array_recv and the receive function of each type).

psycopg writes a list as text, asking the type of every element: 4 us each, and a group of check-ins has fifty columns.
Here the type of a column is known, an element is its length and its bytes, and a column is one join: a tenth of that.
The parameter goes without a type of its own; the statement's cast (``%s::uuid[]``) says which array it is, and
PostgreSQL refuses one whose elements are of another type.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

Column = Iterable[Any]


class Packed(bytes):
    """A binary array, ready to be sent."""

    __slots__ = ()


class _PackedDumper(Dumper):
    format = Format.BINARY
    oid = 0  # Unknown: the server takes the type from the cast.

    def dump(self, obj: Packed) -> bytes:
        """Return the bytes as they are."""
        return obj


psycopg.adapters.register_dumper(Packed, _PackedDumper)

_HEAD = struct.Struct(">iiIii").pack
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_DAY = date(2000, 1, 1).toordinal()
_length = struct.Struct(">i").pack
_two = struct.Struct(">ih").pack
_four = struct.Struct(">ii").pack
_eight = struct.Struct(">iq").pack
_real = struct.Struct(">if").pack
_TRUE, _FALSE = _length(1) + b"\1", _length(1) + b"\0"
_SIXTEEN = _length(16)


def _text(value: str) -> bytes:
    content = value.encode()
    return _length(len(content)) + content


# A comprehension for each type: calling an encoder for each element would cost as much as the encoding.
_TYPES: dict[str, tuple[int, Callable[[Column], list[bytes]]]] = {
    # The number is the element's type in pg_type, fixed for the built-in ones.
    "boolean": (16, lambda column: [_NULL if v is None else _TRUE if v else _FALSE for v in column]),
    "bytea": (17, lambda column: [_NULL if v is None else _length(len(v)) + v for v in column]),
    "bigint": (20, lambda column: [_NULL if v is None else _eight(8, v) for v in column]),
    "smallint": (21, lambda column: [_NULL if v is None else _two(2, v) for v in column]),
    "integer": (23, lambda column: [_NULL if v is None else _four(4, v) for v in column]),
    "text": (25, lambda column: [_NULL if v is None else _text(v) for v in column]),
    "real": (700, lambda column: [_NULL if v is None else _real(4, v) for v in column]),
    "date": (
        1082,
        lambda column: [_NULL if v is None else _four(4, v.toordinal() - _EPOCH_DAY) for v in column],
    ),
    "timestamptz": (
        1184,
        lambda column: [_NULL if v is None else _eight(8, (v - _EPOCH) // _MICROSECOND) for v in column],
    ),
    "uuid": (2950, lambda column: [_NULL if v is None else _SIXTEEN + v.bytes for v in column]),
}
_CHAR = 18


def packer(kind: str) -> Callable[[Column], Packed]:
    """Return the function that packs a column of this type (a name as in a cast); None becomes NULL.

    Raises KeyError for a type that is not here. The function raises what the encoding of an element raises: struct.error for
    a number out of range, UnicodeEncodeError for a lone surrogate.
    """
    number, encode = _TYPES[kind]

    def pack(column: Column) -> Packed:
        elements = encode(column)
        return Packed(_HEAD(1, 1, number, len(elements), 1) + b"".join(elements))

    return pack


def coder(codes: Mapping[str, str]) -> Callable[[Column], Packed]:
    """Return the function that packs a column of texts as their codes, of PostgreSQL's one-byte type ``"char"``.

    The function raises KeyError for a text that has no code: what is unknown is refused, not stored as something else.
    """
    encoded = {None: _NULL} | {text: _length(1) + code.encode("ascii") for text, code in codes.items()}

    def pack(column: Column) -> Packed:
        elements = [encoded[each] for each in column]
        return Packed(_HEAD(1, 1, _CHAR, len(elements), 1) + b"".join(elements))

    return pack


uuids = packer("uuid")
dates = packer("date")
