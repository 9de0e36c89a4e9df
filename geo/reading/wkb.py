"""Well-known binary (OGC 06-103r4 and the EWKB dialect), read with bounds on depth and counts."""

import struct

import numpy as np

from geo.faults import fault
from geo.reading.raw import RawShape, Ring, ShapeError

_POLYGON, _MULTIPOLYGON, _COLLECTION = 3, 6, 7
_NAMES = {1: "Point", 2: "LineString", 4: "MultiPoint", 5: "MultiLineString"} | {
    8: "CircularString",
    9: "CompoundCurve",
    10: "CurvePolygon",
    11: "MultiCurve",
    12: "MultiSurface",
    15: "PolyhedralSurface",
    16: "TIN",
    17: "Triangle",
}
_EWKB_Z, _EWKB_M, _EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
_DEEPEST = 8
_THOUSAND = 1000


class _Reader:
    """Walks one geometry; every count is checked against the bytes that are left before anything is made."""

    def __init__(self, data: bytes, index: int) -> None:
        self._data = data
        self._at = 0
        self._index = index
        self.shape = RawShape(parts=[])
        self.others: list[str] = []

    def broken(self, reason: str) -> ShapeError:
        return ShapeError(fault("feature-unreadable", feature=self._index, reason=f"WKB: {reason}"))

    def _take(self, form: str) -> int:
        size = struct.calcsize(form)
        if self._at + size > len(self._data):
            raise self.broken("it breaks off")
        value = struct.unpack_from(form, self._data, self._at)[0]
        self._at += size
        return int(value)

    def geometry(self, depth: int = 0) -> None:
        """Read the geometry at the present place, adding its polygons to the shape."""
        if depth > _DEEPEST:
            raise self.broken("nested too deep")
        order = self._take("B")
        if order not in (0, 1):
            raise self.broken(f"byte order {order}")
        end = "<" if order else ">"
        code = self._take(end + "I")
        extra = bool(code & _EWKB_Z) + bool(code & _EWKB_M)
        if code & _EWKB_SRID:
            self._take(end + "I")
        code &= 0x1FFFFFFF
        extra += (0, 1, 1, 2)[code // _THOUSAND] if code < 4 * _THOUSAND else 0
        kind = code % _THOUSAND if code < 4 * _THOUSAND else code
        self._of_kind(kind, end, 2 + extra, depth)

    def _of_kind(self, kind: int, end: str, width: int, depth: int) -> None:
        if kind == _POLYGON:
            rings = [self._ring(end, width) for _ in range(self._count(end, 4))]
            if rings:
                self.shape.parts.append(rings)
        elif kind in (_MULTIPOLYGON, _COLLECTION):
            for _ in range(self._count(end, 5)):
                self.geometry(depth + 1)
                if self.others:
                    return  # The lengths of kinds that are not read are not known either.
        elif kind in _NAMES:
            self.others.append(_NAMES[kind])
        else:
            raise self.broken(f"geometry type {kind}")

    def _count(self, end: str, least_bytes: int) -> int:
        count = self._take(end + "I")
        if count * least_bytes > len(self._data) - self._at:
            raise self.broken(f"{count} parts do not fit")
        return count

    def _ring(self, end: str, width: int) -> Ring:
        count = self._count(end, 8 * width)
        numbers = np.frombuffer(self._data, dtype=f"{end}f8", offset=self._at, count=count * width)
        self._at += 8 * count * width
        self.shape.has_third = self.shape.has_third or (width > 2 and count > 0)  # noqa: PLR2004  x and y.
        return numbers.reshape(-1, width)[:, :2].astype(np.float64)


def read_wkb(data: bytes, index: int) -> RawShape:
    """Read the polygons of a geometry. Raises ShapeError with a fault of feature `index`."""
    reader = _Reader(data, index)
    reader.geometry()
    reader.shape.others = tuple(reader.others)
    return reader.shape
