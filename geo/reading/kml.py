"""KML (OGC 07-147r2), read as a stream of tags: constant memory, bounded depth, no DTD, no entities."""

import re
from typing import NoReturn
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from geo.faults import Fault, fault, unreadable
from geo.reading.raw import Attributes, Budget, Limits, RawFeature, RawLayer, RawShape, Ring, ShapeError
from geo.reading.words import clip, codec_of, known_codec

_DEEPEST = 100
_CHUNK_BYTES = 1 << 16
_MOST_VALUE_CHARACTERS = 1 << 16
_OTHERS = ("Point", "LineString", "Model", "Track", "MultiTrack")
_TEXT_TAGS = ("name", "description", "coordinates", "value", "SimpleData", "LinearRing")
_NUMBERS_OF_A_TUPLE = (2, 3)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_SPACED_COMMA = re.compile(r"\s*,\s*")


def read_kml(data: bytes, name: str, *, limits: Limits, encoding: str | None) -> RawLayer:
    """Read the Placemarks of a KML document. Raises UnreadableFileError for a DTD, entities or monstrous nesting."""
    data, used = _as_utf8(data, encoding)
    layer = RawLayer(format="kml", name=name, features=[], columns=[], encoding=used, degrees_by_format=True)
    if encoding is None and used == "gb18030":
        layer.encoding_how, layer.encoding_declared = "guessed", "utf-8"
    target = _Placemarks(layer, Budget(limits))
    parser = DefusedXMLParser(target=target, encoding=None if used == "utf-16" else "utf-8", forbid_dtd=True)
    try:
        for start in range(0, len(data), _CHUNK_BYTES):
            parser.feed(data[start : start + _CHUNK_BYTES])
        parser.close()
    except DefusedXmlException as error:
        raise unreadable("xml-forbidden") from error
    except (ParseError, ValueError, LookupError) as error:
        layer.faults.append(fault("file-breaks-off", after_features=len(layer.features), reason=clip(error)))
    layer.columns = list(dict.fromkeys(key for feature in layer.features for key in feature.attributes))
    return layer


def _as_utf8(data: bytes, given: str | None) -> tuple[bytes, str]:
    """Give UTF-8 bytes without a declaration that could contradict them: expat knows no multi-byte encodings but Unicode."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and given is None:
        return data, "utf-16"
    data = data.removeprefix(b"\xef\xbb\xbf")
    found = _DECLARED.match(data[:200])
    stated = codec_of(given) if given else known_codec(found[1].decode()) if found else None
    body = data[found.end() :] if found else data
    for name in dict.fromkeys([stated] if given else ["utf-8", stated or "gb18030", "gb18030"]):
        try:
            text = body.decode(str(name))
        except (UnicodeError, LookupError):
            continue
        return text.encode("utf-8", "replace"), str(name)
    raise unreadable("text-undecodable-file")


class _Placemarks:
    """Receives the tags of the document; keeps one Placemark at a time."""

    def __init__(self, layer: RawLayer, budget: Budget) -> None:
        self._layer = layer
        self._budget = budget
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._text_characters = 0
        self._key = ""
        self._attributes: Attributes | None = None
        self._shape = RawShape(parts=[])
        self._others: list[str] = []
        self._fault: Fault | None = None
        self._polygon: list[Ring] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take an opening tag."""
        tag = tag.rsplit("}", 1)[-1]
        self._path.append(tag)
        if len(self._path) > _DEEPEST:
            raise unreadable("xml-too-deep")
        if tag == "Placemark":
            self._begin()
        elif self._attributes is None:
            return
        elif tag == "Polygon":
            self._polygon = []
        elif tag in _OTHERS:
            self._others.append(tag)
        elif tag in ("Data", "SimpleData"):
            self._key = attributes.get("name", "")[:200]
        if tag in _TEXT_TAGS:
            self._text, self._text_characters = [], 0

    def data(self, text: str) -> None:
        """Take text between tags."""
        if self._text is not None:
            self._text_characters += len(text)
            self._text.append(text)

    def end(self, tag: str) -> None:
        """Take a closing tag."""
        tag = tag.rsplit("}", 1)[-1]
        text, self._text = "".join(self._text or ()), None
        self._path.pop()
        if self._attributes is None:
            return
        if tag == "Placemark":
            self._finish()
        elif tag in ("name", "description") and self._path[-1:] == ["Placemark"]:
            self._attributes[tag] = text.strip()[:_MOST_VALUE_CHARACTERS] or None
        elif tag in ("value", "SimpleData") and self._key:
            self._attributes[self._key] = text.strip()[:_MOST_VALUE_CHARACTERS] or None
        elif tag == "coordinates" and "Polygon" in self._path:
            self._ring(text)
        elif tag == "Polygon" and self._polygon:
            self._shape.parts.append(self._polygon)

    def close(self) -> None:
        """Take the end of the document."""

    def _begin(self) -> None:
        self._budget.feature()
        self._attributes, self._shape, self._others = {}, RawShape(parts=[]), []
        self._fault, self._polygon = None, []

    def _ring(self, text: str) -> None:
        index = len(self._layer.features)
        try:
            ring, third = parse_coordinates(text, index, self._budget)
        except ShapeError as error:
            self._fault = self._fault or error.fault
            return
        self._shape.has_third = self._shape.has_third or third
        # The order of the tags is not prescribed, so the shell may come after its holes.
        self._polygon.insert(0 if "outerBoundaryIs" in self._path else len(self._polygon), ring)

    def _finish(self) -> None:
        index = len(self._layer.features)
        attributes, self._attributes = self._attributes or {}, None
        self._budget.attributes(attributes)
        self._shape.others = tuple(dict.fromkeys(self._others))
        rings = sum(len(part) for part in self._shape.parts)
        why = self._fault or self._budget.shape(index, vertices=0, rings=rings)
        empty = not self._shape.parts and not self._shape.others
        feature = RawFeature(index=index, attributes=attributes, shape=None if why or empty else self._shape)
        if why is not None:
            feature.faults.append(why)
        self._layer.features.append(feature)


def parse_coordinates(text: str, index: int, budget: Budget) -> tuple[Ring, bool]:
    """Parse "lon,lat[,height] ..." into a ring; tolerates spaces after commas, as hand-made files have them."""
    tuples = (
        _SPACED_COMMA.sub(",", text).split()
        if ", " in text or " ," in text or ",\n" in text
        else text.split()
    )
    over = budget.shape(index, vertices=len(tuples), rings=1)
    if over is not None:
        raise ShapeError(over)
    numbers = [each.split(",") for each in tuples]
    if any(len(each) not in _NUMBERS_OF_A_TUPLE for each in numbers):
        _refuse(index, next(each for each in tuples if each.count(",") not in (1, 2)))
    try:
        ring = np.array([(float(each[0]), float(each[1])) for each in numbers], dtype=np.float64).reshape(
            -1, 2
        )
    except ValueError as error:
        _refuse(index, str(error))
    return ring, any(len(each) > 2 for each in numbers)  # noqa: PLR2004  Longitude and latitude.


def _refuse(index: int, shown: str) -> NoReturn:
    raise ShapeError(fault("coordinates-unreadable", feature=index, reason=clip(shown, 60)))
