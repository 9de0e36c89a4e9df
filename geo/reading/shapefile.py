"""Shapefile geometry (ESRI white paper, July 1998), read record by record from its own bytes.

GDAL refuses or repairs what this reader must name: it closes rings, sorts them and skips records silently.
"""

import struct

import numpy as np

from geo.faults import fault, unreadable
from geo.reading.archive import Source
from geo.reading.dbf import Table, read_dbf
from geo.reading.raw import (
    Budget,
    DeclaredCrs,
    Limits,
    RawFeature,
    RawLayer,
    RawShape,
    ShapeError,
)
from geo.reading.words import clip

_HEAD_BYTES = 100
_RECORD_HEAD_BYTES = 8
_SHAPE_HEAD_BYTES = 44  # Type, box, number of parts, number of points.
_PAIR_BYTES = 16
_MOST_PRJ_BYTES = 1 << 16
_NULL = 0
_POLYGONS = {5: False, 15: True, 25: True}  # Type -> whether it carries a third coordinate (Z or M).
_KINDS = {1: "Point", 3: "PolyLine", 8: "MultiPoint", 11: "PointZ", 13: "PolyLineZ", 18: "MultiPointZ"} | {
    21: "PointM",
    23: "PolyLineM",
    28: "MultiPointM",
    31: "MultiPatch",
}


def read_shapefile(source: Source, *, limits: Limits, encoding: str | None) -> RawLayer:
    """Read the records of a .shp with the rows of its .dbf, by number."""
    if len(source.main) < _HEAD_BYTES:
        raise unreadable("shapefile-broken", reason=f"{len(source.main)} bytes")
    layer = RawLayer(format="shapefile", name=source.name, features=[], columns=[], cut_columns=True)
    layer.declared_crs = _declared(source.sidecars.get("prj"))
    table = _table(source, layer, limits=limits, encoding=encoding)
    budget = Budget(limits)
    records = _records(source.main, source.sidecars.get("shx"), layer, limits)
    for index, record in enumerate(records):
        budget.feature()
        feature = _feature(source.main, record, index, budget)
        if table is not None and index < len(table.rows):
            feature.attributes = table.rows[index]
            feature.faults.extend(table.faults.get(index, []))
        budget.attributes(feature.attributes)
        layer.features.append(feature)
    if table is not None:
        _match_rows(layer, table)
    return layer


def _declared(prj: bytes | None) -> DeclaredCrs | None:
    if prj is None or not prj.strip(b" \t\r\n\x00"):
        return None
    wkt = prj[:_MOST_PRJ_BYTES].decode("utf-8-sig", "replace").strip(" \t\r\n\x00")
    return DeclaredCrs(text=clip(wkt, 60), wkt=wkt)


def _table(source: Source, layer: RawLayer, *, limits: Limits, encoding: str | None) -> Table | None:
    dbf = source.sidecars.get("dbf")
    table = (
        read_dbf(dbf, given=encoding, cpg=source.sidecars.get("cpg"), most_rows=limits.features)
        if dbf
        else None
    )
    if table is None:
        layer.faults.append(fault("attributes-missing"))
        return None
    layer.columns = table.columns
    layer.encoding, layer.encoding_declared = table.encoding.name, table.declared
    layer.encoding_how = table.encoding.how
    return table


def _match_rows(layer: RawLayer, table: Table) -> None:
    """Compare the counts, and leave out rows that the table marks as deleted, saying so."""
    if len(layer.features) != len(table.rows):
        layer.faults.append(fault("records-differ", shapes=len(layer.features), rows=len(table.rows)))
    kept = []
    for feature in layer.features:
        if feature.index in table.deleted:
            layer.faults.append(fault("feature-deleted", feature=feature.index))
        else:
            kept.append(feature)
    layer.features = kept


def _records(data: bytes, shx: bytes | None, layer: RawLayer, limits: Limits) -> list[tuple[int, int]]:
    """Find each record's content as (start, end): through the index when it fits the file, else one after another."""
    indexed = _indexed(data, shx, limits)
    if indexed is not None:
        return indexed
    found: list[tuple[int, int]] = []
    position = _HEAD_BYTES
    while position + _RECORD_HEAD_BYTES <= len(data) and len(found) <= limits.features:
        words = struct.unpack_from(">i", data, position + 4)[0]
        end = position + _RECORD_HEAD_BYTES + 2 * words
        if words < 2 or end > len(data):  # noqa: PLR2004  A record holds at least its type, two words.
            reason = f"record {len(found) + 1}: {words} words"
            layer.faults.append(fault("file-breaks-off", after_features=len(found), reason=reason))
            break
        found.append((position + _RECORD_HEAD_BYTES, end))
        position = end
    return found


def _indexed(data: bytes, shx: bytes | None, limits: Limits) -> list[tuple[int, int]] | None:
    """Read the .shx; None unless all its records lie in the file one after another without overlapping."""
    if shx is None or len(shx) < _HEAD_BYTES:
        return None
    count = min((len(shx) - _HEAD_BYTES) // 8, limits.features + 1)
    pairs = (
        np.frombuffer(shx, dtype=">i4", offset=_HEAD_BYTES, count=2 * count).astype(np.int64).reshape(-1, 2)
    )
    starts, lengths = 2 * pairs[:, 0] + _RECORD_HEAD_BYTES, 2 * pairs[:, 1]
    ends = starts + lengths
    if count == 0 or (lengths < 4).any() or ends[-1] > len(data) or starts[0] < _HEAD_BYTES:  # noqa: PLR2004  See above.
        return None
    if (starts[1:] < ends[:-1] + _RECORD_HEAD_BYTES).any():
        return None
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _feature(data: bytes, record: tuple[int, int], index: int, budget: Budget) -> RawFeature:
    feature = RawFeature(index=index, attributes={})
    try:
        feature.shape = _shape(data, record, index, budget)
    except ShapeError as error:
        feature.faults.append(error.fault)
    return feature


def _shape(data: bytes, record: tuple[int, int], index: int, budget: Budget) -> RawShape | None:
    start, end = record
    kind = struct.unpack_from("<i", data, start)[0]
    if kind == _NULL:
        return None
    if kind not in _POLYGONS:
        if kind in _KINDS:
            return RawShape(parts=[], others=(_KINDS[kind],))
        raise ShapeError(fault("feature-unreadable", feature=index, reason=f"shape type {kind}"))
    if end - start < _SHAPE_HEAD_BYTES:
        raise ShapeError(fault("feature-unreadable", feature=index, reason="the record is too short"))
    parts, points = struct.unpack_from("<ii", data, start + 36)
    first_point = start + _SHAPE_HEAD_BYTES + 4 * parts
    if parts < 0 or points < 0 or first_point + _PAIR_BYTES * points > end:
        reason = f"{parts} parts and {points} points do not fit the record"
        raise ShapeError(fault("feature-unreadable", feature=index, reason=reason))
    if parts == 0 or points == 0:
        return None
    over = budget.shape(index, vertices=points, rings=parts)
    if over is not None:
        raise ShapeError(over)
    firsts = np.frombuffer(data, dtype="<i4", offset=start + _SHAPE_HEAD_BYTES, count=parts).astype(np.int64)
    if firsts[0] != 0 or (np.diff(firsts) < 0).any() or firsts[-1] > points:
        raise ShapeError(fault("feature-unreadable", feature=index, reason="the parts are out of order"))
    pairs = np.frombuffer(data, dtype="<f8", offset=first_point, count=2 * points).reshape(-1, 2)
    rings = np.split(pairs.astype(np.float64), firsts[1:])
    return RawShape(parts=[rings], flat=True, has_third=_POLYGONS[kind])
