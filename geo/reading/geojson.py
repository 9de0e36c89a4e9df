"""GeoJSON (RFC 7946), split into features before any of it is parsed, so that one broken feature stays one fault."""

import json
import re
from typing import Any

import numpy as np

from geo.faults import fault, unreadable
from geo.reading.raw import (
    Attributes,
    Budget,
    DeclaredCrs,
    Limits,
    RawFeature,
    RawLayer,
    RawShape,
    Ring,
    ShapeError,
)
from geo.reading.words import clip

# A string always matches, closed or not, and possessively: so no text makes the scan take quadratic time.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_BRACES = re.compile(_STRING + rb"|[{}]", re.DOTALL)
_BRACKETS = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]*")
_SPACE = re.compile(rb"[\s,]*")
_MEMBER = re.compile(rb"[\s,]*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_AREAS = ("Polygon", "MultiPolygon")
_DEEPEST = 500  # The parser gives up at about a thousand; honest files need ten.
_DEEPEST_COLLECTION = 8
_PAIR = 2
_LONGEST_PAIR_BYTES = 128  # Two or three numbers in full, indented by a careful program.


def read_geojson(data: bytes, name: str, *, limits: Limits, encoding: str | None) -> RawLayer:
    """Read a FeatureCollection, a Feature or a bare geometry. Raises UnreadableFileError when it is neither."""
    data, used = _as_utf8(data, encoding)
    layer = RawLayer(
        format="geojson", name=name, features=[], columns=[], encoding=used, degrees_by_format=True
    )
    if encoding is None and used == "gb18030":
        layer.encoding_how, layer.encoding_declared = "guessed", "utf-8"
    start = _SPACE.match(data).end()  # type: ignore[union-attr]
    if data[start : start + 1] != b"{":
        raise unreadable("json-not-geojson")
    budget = Budget(limits)
    members = _read_members(data, start, layer, budget)
    kind = _loaded(data, members.get("type"))
    if "features" in members:
        pass
    elif kind == "Feature":
        layer.features.append(_feature(data[start:], 0, budget))
    elif isinstance(kind, str) and kind in (*_AREAS, "GeometryCollection"):
        layer.features.append(
            _feature(b'{"properties":{},"geometry":' + data[start:].rstrip() + b"}", 0, budget)
        )
    else:
        raise unreadable("json-not-geojson")
    layer.declared_crs = _declared(_loaded(data, members.get("crs")))
    layer.columns = list(dict.fromkeys(key for feature in layer.features for key in feature.attributes))
    return layer


def _as_utf8(data: bytes, given: str | None) -> tuple[bytes, str]:
    """Give the text as UTF-8 bytes and the encoding it had; RFC 8259 allows only UTF-8, real files also bring others."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    marked = [name for mark, name in marks if data.startswith(mark)]
    for name in [given] if given else [*marked, "utf-8", "gb18030"]:
        try:
            text = data.decode(name)
        except (UnicodeError, LookupError):
            continue
        return (data if name == "utf-8" else text.encode("utf-8", "replace")), name
    raise unreadable("text-undecodable-file")


def _end_of(data: bytes, start: int) -> int:
    """Find where the value at `start` ends; beyond the data when it never does."""
    first = data[start : start + 1]
    if first not in (b"{", b"["):
        pattern = re.compile(_STRING, re.DOTALL) if first == b'"' else _SCALAR
        found = pattern.match(data, start)
        return found.end() if found else start
    depth = 0
    # In an object only braces need counting: much faster, as coordinates are all brackets.
    for token in (_BRACES if first == b"{" else _BRACKETS).finditer(data, start):
        letter = data[token.start()]
        if letter in b"{[":
            depth += 1
            if depth > _DEEPEST:
                break
        elif letter in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(data) + 1


def _read_members(data: bytes, start: int, layer: RawLayer, budget: Budget) -> dict[str, tuple[int, int]]:
    """Walk the members of the object at `start`: reads the features on the way, gives the spans of all values."""
    spans: dict[str, tuple[int, int]] = {}
    position = start + 1
    while found := _MEMBER.match(data, position):
        begin = found.end()
        key = found[1].decode("utf-8", "replace").strip('"')
        is_features = key == "features" and key not in spans and data[begin : begin + 1] == b"["
        end = _read_features(data, begin, layer, budget) if is_features else _end_of(data, begin)
        spans.setdefault(key, (begin, end))
        if end > len(data) or end == begin:
            break
        position = end
    return spans


def _loaded(data: bytes, span: tuple[int, int] | None) -> Any:  # noqa: ANN401  JSON is anything.
    """Parse a small member; None when it is missing or broken."""
    if span is None or span[1] - span[0] > 1 << 16:
        return None
    try:
        return json.loads(data[span[0] : span[1]])
    except (ValueError, RecursionError):
        return None


def _read_features(data: bytes, start: int, layer: RawLayer, budget: Budget) -> int:
    """Read the list of features that opens at `start`; gives where it ends, beyond the data if it never does."""
    position = start + 1
    while True:
        position = _SPACE.match(data, position).end()  # type: ignore[union-attr]
        if data[position : position + 1] == b"]":
            return position + 1
        end = _end_of(data, position)
        if end in (position, len(data) + 1):
            break
        layer.features.append(_feature(data[position:end], len(layer.features), budget))
        position = end
    why = "the list of features never ends"
    layer.faults.append(fault("file-breaks-off", after_features=len(layer.features), reason=why))
    return len(data) + 1


def _feature(text: bytes, index: int, budget: Budget) -> RawFeature:
    """Read one feature from its own text. Whatever is wrong with it becomes its fault."""
    budget.feature()
    # Every vertex costs a bracket, so a monster is known before the parser builds its lists.
    brackets = text.count(b"[")
    budget.text_before_parsing(len(text) - _LONGEST_PAIR_BYTES * brackets)
    if brackets > 2 * budget.limits.vertices_per_feature:
        why = fault("too-many-vertices", feature=index, limit_vertices=budget.limits.vertices_per_feature)
        return RawFeature(index=index, attributes={}, faults=[why])
    try:
        given = json.loads(text)
    except RecursionError:
        return _unreadable_feature(index, "nested too deep")
    except ValueError as error:
        return _unreadable_feature(index, clip(error))
    if not isinstance(given, dict):
        return _unreadable_feature(index, "not an object")
    feature = RawFeature(index=index, attributes=_attributes(given))
    budget.attributes(feature.attributes)
    try:
        feature.shape = _shape(given.get("geometry"), index, budget)
    except ShapeError as error:
        feature.faults.append(error.fault)
    return feature


def _unreadable_feature(index: int, reason: str) -> RawFeature:
    return RawFeature(
        index=index, attributes={}, faults=[fault("feature-unreadable", feature=index, reason=reason)]
    )


def _attributes(given: dict[str, Any]) -> Attributes:
    properties = given.get("properties")
    values = dict(properties) if isinstance(properties, dict) else {}
    if "id" in given and "id" not in values:
        values["id"] = given["id"]
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(clip(value))
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return None


def _shape(given: object, index: int, budget: Budget) -> RawShape | None:
    """Read a geometry; None for none. Raises ShapeError with the fault of the feature."""
    if given is None:
        return None
    shape = RawShape(parts=[])
    others: list[str] = []
    _collect(given, shape, others, depth=0, index=index)
    shape.others = tuple(dict.fromkeys(others))
    rings = [ring for part in shape.parts for ring in part]
    over = budget.shape(index, vertices=sum(map(len, rings)), rings=len(rings))
    if over is not None:
        raise ShapeError(over)
    return shape


def _collect(given: object, shape: RawShape, others: list[str], *, depth: int, index: int) -> None:
    if not isinstance(given, dict) or depth > _DEEPEST_COLLECTION:
        raise ShapeError(fault("feature-unreadable", feature=index, reason="the geometry is not an object"))
    kind = given.get("type")
    if kind == "GeometryCollection":
        for member in _sequence(given.get("geometries"), index):
            _collect(member, shape, others, depth=depth + 1, index=index)
    elif kind in _AREAS:
        coordinates = _sequence(given.get("coordinates"), index)
        for part in [coordinates] if kind == "Polygon" else coordinates:
            rings = [_ring(ring, shape, index) for ring in _sequence(part, index)]
            if rings:
                shape.parts.append(rings)
    elif isinstance(kind, str):
        others.append(clip(kind, 40))
    else:
        raise ShapeError(fault("feature-unreadable", feature=index, reason="the geometry has no type"))


def _sequence(given: object, index: int) -> list[Any]:
    if not isinstance(given, list):
        raise ShapeError(fault("coordinates-unreadable", feature=index, reason="a list is expected"))
    return given


def _ring(given: object, shape: RawShape, index: int) -> Ring:
    positions = _sequence(given, index)
    if not positions:
        return np.empty((0, 2))
    if any(not isinstance(position, list) or len(position) < _PAIR for position in positions):
        raise _no_position(index)
    pairs = [(position[0], position[1]) for position in positions]
    # The parser makes plain types only; booleans are integers to Python, and numpy would read texts.
    if not {type(number) for pair in pairs for number in pair} <= {int, float}:
        raise _no_position(index)
    shape.has_third = shape.has_third or any(len(position) > _PAIR for position in positions)
    try:
        return np.array(pairs, dtype=np.float64)
    except OverflowError as error:
        raise _no_position(index) from error


def _no_position(index: int) -> ShapeError:
    return ShapeError(fault("coordinates-unreadable", feature=index, reason="a position is two numbers"))


def _declared(crs: object) -> DeclaredCrs | None:
    """Read the `crs` member of the older GeoJSON (2008), which real files still carry."""
    if crs is None:
        return None
    properties = crs.get("properties") if isinstance(crs, dict) else None
    named = properties.get("name") if isinstance(properties, dict) else None
    text = named if isinstance(named, str) else json.dumps(crs)
    if re.search(r"CRS84|CRS:84", text, re.IGNORECASE):
        return DeclaredCrs(text=clip(text), epsg=4326)
    found = re.search(r"EPSG:(?:[\d.]*:)?(\d{4,6})\s*$", text, re.IGNORECASE)
    return DeclaredCrs(text=clip(text), epsg=int(found[1]) if found else None)
