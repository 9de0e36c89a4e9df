"""Builders of boundary files, byte by byte where a library would refuse or repair what a test needs broken."""

import io
import json
import math
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import shapely

DATA = Path(__file__).parent / "data"
DEMO = Path(__file__).parents[2] / "server" / "demo_data" / "jiangjin"

Ring = Sequence[tuple[float, ...]]
SQUARE: Ring = [(106.20, 29.20), (106.21, 29.20), (106.21, 29.21), (106.20, 29.21), (106.20, 29.20)]
BOW_TIE: Ring = [(106.20, 29.20), (106.21, 29.21), (106.21, 29.20), (106.20, 29.21), (106.20, 29.20)]
METRE_LAT = 1 / 110_860  # Degrees of a metre northward at 29.2 N.
METRE_LON = 1 / (111_320 * math.cos(math.radians(29.2)))
PRJ_4490 = (
    'GEOGCS["GCS_China_Geodetic_Coordinate_System_2000",DATUM["D_China_2000",SPHEROID["CGCS2000",'
    '6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)


def moved(ring: Ring, east: float = 0.0, north: float = 0.0) -> Ring:
    """Move a ring by degrees."""
    return [(point[0] + east, point[1] + north, *point[2:]) for point in ring]


def village(number: int, *rings: Ring, **properties: object) -> dict[str, Any]:
    """Make a GeoJSON feature of a village whose code ends in `number`; a square to the east of the last by default."""
    shape = [list(map(list, ring)) for ring in rings or (moved(SQUARE, east=0.01 * number),)]
    says = {
        "code": f"500116105{200 + number}",
        "name": f"第{number}村",
        "town_code": "500116105",
        "kind": "village",
    }
    return {
        "type": "Feature",
        "properties": says | properties,
        "geometry": {"type": "Polygon", "coordinates": shape},
    }


def geojson(*features: object, **members: object) -> bytes:
    """Write a FeatureCollection; NaN and Infinity come out bare, as careless programs write them."""
    return json.dumps(
        {"type": "FeatureCollection", **members, "features": features}, ensure_ascii=False
    ).encode()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Pack members into a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def shp_record(rings: Sequence[Ring], kind: int = 5) -> bytes:
    """Write the content of one polygon record (ESRI white paper, page 8); no rings: a null shape."""
    if not rings:
        return struct.pack("<i", 0)
    points = [point for ring in rings for point in ring]
    firsts = [sum(len(ring) for ring in rings[:number]) for number in range(len(rings))]
    head = struct.pack("<i4dii", kind, 0.0, 0.0, 0.0, 0.0, len(rings), len(points))
    flat = [number for point in points for number in point[:2]]
    body = struct.pack(f"<{len(firsts)}i{len(flat)}d", *firsts, *flat)
    heights = struct.pack(f"<{2 + len(points)}d", *([0.0] * (2 + len(points)))) if kind == 15 else b""
    return head + body + heights


def shp_and_shx(records: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Write a .shp and its .shx of record contents."""
    body, index = b"", b""
    for number, record in enumerate(records, start=1):
        index += struct.pack(">ii", (100 + len(body)) // 2, len(record) // 2)
        body += struct.pack(">ii", number, len(record) // 2) + record
    return _head(100 + len(body)) + body, _head(100 + len(index)) + index


def _head(size: int) -> bytes:
    return struct.pack(">i5ii", 9994, 0, 0, 0, 0, 0, size // 2) + struct.pack("<ii8d", 1000, 5, *([0.0] * 8))


def dbf(
    columns: Sequence[tuple[bytes, str, int]], rows: Sequence[Sequence[bytes]], *, language: int = 0
) -> bytes:
    """Write a dBASE III table; cells are bytes in whatever encoding, cut at the column's width."""
    row_bytes = 1 + sum(width for _, _, width in columns)
    head = struct.pack(
        "<BBBBIHH17xB2x", 3, 126, 11, 22, len(rows), 33 + 32 * len(columns), row_bytes, language
    )
    fields = b"".join(
        struct.pack("<11sc4xBB14x", name[:10], kind.encode(), width, 0) for name, kind, width in columns
    )
    body = b"".join(
        b" " + b"".join(cell[:width].ljust(width) for cell, (_, _, width) in zip(row, columns, strict=True))
        for row in rows
    )
    return head + fields + b"\r" + body + b"\x1a"


def shapefile(
    shapes: Sequence[Sequence[Ring]],
    *,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    cpg: str | None = "UTF-8",
    prj: str | None = PRJ_4490,
    kind: int = 5,
) -> bytes:
    """Write a zipped Shapefile of villages: code SQCDM, name SQCMC, town XZJDM."""
    names = names or [f"第{number}村" for number in range(len(shapes))]
    rows = [
        [f"500116105{200 + number}".encode(), name.encode(encoding), b"500116105"]
        for number, name in enumerate(names)
    ]
    shp, shx = shp_and_shx(shp_record(rings, kind) for rings in shapes)
    columns = [(b"SQCDM", "C", 12), (b"SQCMC", "C", 40), (b"XZJDM", "C", 9)]
    members = {"村界.shp": shp, "村界.shx": shx, "村界.dbf": dbf(columns, rows)}
    if cpg is not None:
        members["村界.cpg"] = cpg.encode()
    if prj is not None:
        members["村界.prj"] = prj.encode()
    return zipped(members)


def clockwise(ring: Ring) -> Ring:
    """Turn a ring the way a Shapefile wants its shells."""
    return ring[::-1] if shapely.is_ccw(shapely.linearrings([point[:2] for point in ring])) else ring


def kml(*placemarks: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> str:
    """Write a KML document of placemarks."""
    return (
        f'{head}<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{"".join(placemarks)}</Document></kml>'
    )


def placemark(name: str, ring: Ring, extra: str = "", holes: Sequence[Ring] = ()) -> str:
    """Write a Placemark with one polygon, its holes before its shell."""
    inner = "".join(f"<innerBoundaryIs>{_linear_ring(hole)}</innerBoundaryIs>" for hole in holes)
    outer = f"<outerBoundaryIs>{_linear_ring(ring)}</outerBoundaryIs>"
    return f"<Placemark><name>{name}</name>{extra}<Polygon>{inner}{outer}</Polygon></Placemark>"


def _linear_ring(ring: Ring) -> str:
    text = " ".join(",".join(str(number) for number in point) for point in ring)
    return f"<LinearRing><coordinates>{text}</coordinates></LinearRing>"


def comb(spikes: int) -> Ring:
    """Draw a valid polygon of needles side by side, a tenth of a degree long."""
    points = [(106.2, 29.2)]
    for number in range(spikes):
        east = 106.2 + number * 1e-6
        points += [(east, 29.3), (east + 5e-7, 29.21)]
    return [*points, (106.2 + spikes * 1e-6, 29.2), (106.2, 29.2)]


def star(points: int, radius_deg: float = 0.05) -> Ring:
    """Draw a polygon whose every edge crosses about every other: the dearest of all to repair."""
    turns = [math.tau * number * (points // 2) / points for number in range(points + 1)]
    return [(106.2 + radius_deg * math.cos(turn), 29.2 + radius_deg * math.sin(turn)) for turn in turns]


def rectangle(west: float, south: float, east: float, north: float) -> Ring:
    """Make a ring from metres east and north of 106.2 E 29.2 N."""
    x, y = (
        [106.2 + METRE_LON * each for each in (west, east)],
        [29.2 + METRE_LAT * each for each in (south, north)],
    )
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])]


def bulge(metres: float) -> Ring:
    """Draw a square of a kilometre with a tiny loop of its border crossing itself."""
    plain = rectangle(0, 0, 1000, 1000)
    loop = [
        rectangle(0, 0, x, y)[2]
        for x, y in ((1000, 500), (1000 + metres, 500 + metres), (1000, 500 + metres), (1000 + metres, 500))
    ]
    return [*plain[:2], *loop, *plain[2:]]
