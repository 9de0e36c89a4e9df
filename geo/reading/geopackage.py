"""GeoPackage (OGC 12-128r19): an SQLite file read in memory, with nothing it brings allowed to run."""

import sqlite3
import struct
from collections.abc import Iterator
from typing import Any, Self

from geo.faults import fault, unreadable
from geo.reading.raw import Budget, DeclaredCrs, Limits, RawFeature, RawLayer, RawShape, ShapeError
from geo.reading.wkb import read_wkb
from geo.reading.words import clip

_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
_HEAD_BYTES = 8
_EMPTY = 0x10
_WRITE_VERSION, _READ_VERSION = (
    18,
    19,
)  # Bytes of the file's head; 2 means a write-ahead log, which is not here.
_STEPS_BETWEEN_CHECKS = 10_000
_MOST_CHECKS = 20_000
_MOST_TEXT_BYTES = 1 << 16


def read_geopackage(data: bytes, *, layer: str | None, limits: Limits) -> RawLayer:
    """Read one feature table. Raises UnreadableFileError when there is none, several, or no working database."""
    try:
        with _Database(data, limits) as database:
            return database.read(layer)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, UnicodeError) as error:
        raise unreadable("database-broken", reason=clip(error)) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _allow_reading(action: int, *_: object) -> int:
    """Let plain reading pass and nothing else: no functions, no recursion, no pragma, no attached file."""
    return (
        sqlite3.SQLITE_OK if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) else sqlite3.SQLITE_DENY
    )


class _Database:
    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        self._checks = 0
        self._db = sqlite3.connect(":memory:")
        head = bytearray(data)
        if len(head) > _READ_VERSION:
            head[_WRITE_VERSION] = head[_READ_VERSION] = 1
        self._db.text_factory = _decoded
        self._db.deserialize(bytes(head))
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.file_bytes)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._db.execute("PRAGMA trusted_schema=OFF")
        self._db.execute("PRAGMA cell_size_check=ON")
        self._db.execute("PRAGMA mmap_size=0")
        self._db.set_progress_handler(self._out_of_time, _STEPS_BETWEEN_CHECKS)
        self._db.set_authorizer(_allow_reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _out_of_time(self) -> bool:
        self._checks += 1
        return self._checks > _MOST_CHECKS

    def _rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        yield from self._db.execute(sql, values)

    def read(self, wanted: str | None) -> RawLayer:
        name, column, srs_id = self._chosen(wanted)
        # A table's name and columns come from its own schema, quoted; SQLite has no placeholders for them.
        cursor = self._db.execute(f"SELECT * FROM {_quoted(name)}")  # noqa: S608
        names = [str(description[0]) for description in cursor.description]
        layer = RawLayer(
            format="geopackage",
            name=name,
            features=[],
            columns=[each for each in names if each != column],
            encoding="utf-8",
            declared_crs=self._declared(srs_id),
        )
        if column not in names:
            raise unreadable("layer-none")
        budget = Budget(self._limits)
        try:
            for index, row in enumerate(cursor):
                budget.feature()
                values = dict(zip(names, row, strict=True))
                layer.features.append(_feature(values, column, index, budget))
        except sqlite3.Error as error:
            layer.faults.append(
                fault("file-breaks-off", after_features=len(layer.features), reason=clip(error))
            )
        return layer

    def _chosen(self, wanted: str | None) -> tuple[str, str, int]:
        """Choose the feature table: (table, geometry column, srs_id)."""
        rows = self._rows("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns LIMIT 100")
        tables = {
            _text(table): (_text(column), srs_id if isinstance(srs_id, int) else -1)
            for table, column, srs_id in rows
        }
        if not tables:
            raise unreadable("layer-none")
        shown = clip(", ".join(tables))
        if wanted is not None and wanted not in tables:
            raise unreadable("layer-unknown", layer=clip(wanted), layers=shown)
        if wanted is None and len(tables) > 1:
            raise unreadable("layer-choose", layers=shown)
        name = wanted if wanted is not None else next(iter(tables))
        schema = list(self._rows("SELECT type, sql FROM sqlite_master WHERE name = ?", name))
        # A view or a virtual table runs whatever its author wrote.
        if not schema:
            raise unreadable("layer-none")
        if any(_text(kind) != "table" or "VIRTUAL" in _text(sql).upper()[:40] for kind, sql in schema):
            raise unreadable("layer-is-a-view", layer=clip(name))
        return name, *tables[name]

    def _declared(self, srs_id: int) -> DeclaredCrs | None:
        """Read the table's reference system; srs_id 0 and -1 mean undefined (requirement 11)."""
        if srs_id in (0, -1):
            return None
        sql = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
        for organization, number, definition in self._rows(sql, srs_id):
            if _text(organization).upper() == "EPSG" and isinstance(number, int):
                return DeclaredCrs(text=f"EPSG:{number}", epsg=number)
            wkt = _text(definition)[:_MOST_TEXT_BYTES]
            return DeclaredCrs(text=clip(wkt, 60), wkt=wkt)
        return DeclaredCrs(text=f"srs_id {srs_id}")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _text(given: object) -> str:
    return given if isinstance(given, str) else ""


def _feature(values: dict[str, Any], column: str, index: int, budget: Budget) -> RawFeature:
    feature = RawFeature(index=index, attributes={})
    blob = values.pop(column)
    feature.attributes = {name: _plain(value, name, feature) for name, value in values.items()}
    budget.attributes(feature.attributes)
    try:
        feature.shape = _shape(blob, index, budget)
    except ShapeError as error:
        feature.faults.append(error.fault)
    return feature


def _plain(value: str | float | bytes | None, name: str, feature: RawFeature) -> str | int | float | None:
    if isinstance(value, bytes):
        return None  # A picture or the like; no column of ours.
    if isinstance(value, str) and "\ufffd" in value:
        feature.faults.append(fault("text-undecodable", feature=feature.index, column=clip(name, 40)))
    return value


def _shape(blob: object, index: int, budget: Budget) -> RawShape | None:
    """Read a GeoPackage binary (clause 2.1.3): a small head, an envelope that is not trusted, WKB."""
    if blob is None:
        return None
    if not isinstance(blob, bytes) or len(blob) < _HEAD_BYTES or not blob.startswith(b"GP"):
        raise ShapeError(fault("feature-unreadable", feature=index, reason="no GeoPackage geometry"))
    flags = struct.unpack_from("B", blob, 3)[0]
    if flags & _EMPTY:
        return None
    envelope_bytes = _ENVELOPE_BYTES.get((flags >> 1) & 7)
    if envelope_bytes is None:
        raise ShapeError(fault("feature-unreadable", feature=index, reason="unknown envelope"))
    shape = read_wkb(blob[_HEAD_BYTES + envelope_bytes :], index)
    rings = [ring for part in shape.parts for ring in part]
    over = budget.shape(index, vertices=sum(map(len, rings)), rings=len(rings))
    if over is not None:
        raise ShapeError(over)
    return shape
