"""Where the fuzzers begin: small good files of every kind, written anew into tests/fuzz/corpus by this script.

    python tests/fuzz/seeds.py

What a long run found last is kept beside them (README.md).
"""

import hashlib
import io
import itertools
import re
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "geo")]

import boundary_files as files  # noqa: E402  After the path.
import factories_attachments as made_files  # noqa: E402  After the path.
import fuzz_attachment  # noqa: E402  After the path.
import fuzz_boundary  # noqa: E402
import fuzz_roster  # noqa: E402
import fuzz_token  # noqa: E402
import hostile_files  # noqa: E402  As above.
import openpyxl  # noqa: E402
import parts  # noqa: E402
import shapely  # noqa: E402
from openpyxl.styles import Font  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
DATA = ROOT / "tests" / "geo" / "data"
RING = files.rectangle(106.20, 28.90, 106.22, 28.92)
HOLE = files.rectangle(106.205, 28.905, 106.21, 28.91)[::-1]
LARGEST = 8_192
HEADER = "工号,姓名,村代码,职务,任职时间,离任时间,单位,电话"


def boundary() -> Iterable[bytes]:
    """Yield inputs for fuzz_boundary.py."""
    names = fuzz_boundary.NAMES
    geojson, kml, gpkg, zipped, packed = (bytes([number]) for number in range(len(names)))
    yield geojson + files.geojson(files.village(1, RING, HOLE), files.village(2, RING))
    yield geojson + files.geojson(
        files.village(1, RING), crs={"type": "name", "properties": {"name": "EPSG:4490"}}
    )
    yield geojson + b'{"type":"MultiPolygon","coordinates":[[[[106,28],[107,28],[107,29],[106,28]]]]}'
    yield kml + files.kml(files.placemark("试村", RING, holes=[HOLE])).encode()
    yield kml + (DATA / "kml_lishi.kml").read_bytes()[: LARGEST - 1]
    shape = files.shapefile([[RING, HOLE], [RING]])
    yield zipped + shape
    yield packed + parts.joined(_shapefile(shape))
    for name in ("shp_cgcs2000_4490_utf8.zip", "shp_cgcs2000_4490_gbk_nocpg.zip"):
        yield packed + parts.joined(_shapefile((DATA / name).read_bytes()))
    yield gpkg + _geopackage()


def _geopackage() -> bytes:
    """Return the test's GeoPackage with its smallest village alone, in small pages."""
    path = Path(tempfile.mkdtemp()) / "small.gpkg"
    path.write_bytes((DATA / "gpkg_4490.gpkg").read_bytes())
    book = sqlite3.connect(path)
    (table, column) = book.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchone()
    for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        book.execute(f'DROP TRIGGER "{name}"')
    kept = f'SELECT rowid FROM "{table}" ORDER BY length("{column}") LIMIT 1'  # noqa: S608  Names of our own file.
    book.execute(f'DELETE FROM "{table}" WHERE rowid NOT IN ({kept})')  # noqa: S608  As above.
    for (name,) in book.execute(
        "SELECT name FROM sqlite_master WHERE name LIKE 'rtree_%' AND sql LIKE '%VIRTUAL%'"
    ).fetchall():
        book.execute(f'DROP TABLE "{name}"')
    blob = struct.pack("<2sBBi", b"GP", 0, 1, 4490) + shapely.to_wkb(
        shapely.MultiPolygon([shapely.Polygon(RING)])
    )
    book.execute(f'UPDATE "{table}" SET "{column}" = ?', (blob,))  # noqa: S608  As above.
    book.execute("DELETE FROM gpkg_spatial_ref_sys WHERE srs_id NOT IN (4490)")
    for name in ("gpkg_extensions", "gpkg_ogr_contents", "gpkg_tile_matrix", "gpkg_tile_matrix_set"):
        book.execute(f"DROP TABLE {name}")
    book.commit()
    book.execute("PRAGMA page_size = 512")
    book.execute("VACUUM")
    book.close()
    return path.read_bytes()


def _shapefile(archive: bytes) -> list[bytes]:
    found = {name.rpartition(".")[2].lower(): content for name, content in parts.unzipped(archive).items()}
    return [found.get(name.rpartition(".")[2], b"")[:3_000] for name in fuzz_boundary.SHAPEFILE]


def attachment() -> Iterable[bytes]:
    """Yield inputs for fuzz_attachment.py."""
    picture, document, exif = (bytes([number]) for number in range(3))
    for made in (
        made_files.jpeg(40, 30),
        made_files.png(24, 16),
        made_files.webp(40, 30),
        fuzz_attachment.PHOTO,
    ):
        yield picture + made
    yield document + made_files.pdf(2, Author="x")
    for hostile in hostile_files.corpus():
        if len(hostile.content) < LARGEST and hostile.name.startswith("active"):
            yield document + hostile.content
    told = made_files.exif(datetime(2026, 11, 19, 9, 30, tzinfo=UTC), lon=106.25, lat=-29.29, orientation=6)
    yield exif + told.tobytes().removeprefix(b"Exif\0\0")
    yield exif + b"MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x08"


def roster() -> Iterable[bytes]:
    """Yield inputs for fuzz_roster.py."""
    csv, raw, packed = (bytes([number]) for number in range(3))
    text = f'{HEADER}\r\nJJ0001,张三,500116101201,第一书记,2021-09-01,,区委办,13800138000\r\n示例2,李四,500116101201,队员,2021年9月,2023/9/1,"区,局",\r\n'
    yield csv + text.encode()
    yield csv + text.encode("gb18030")
    yield csv + text.encode("utf-16")
    yield csv + text.replace(",", "\t").encode("utf-8-sig")
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "花名册"
    sheet.append(["某区驻村干部花名册"])
    sheet.append(HEADER.split(","))
    sheet.append(["JJ0001", "张三", 500116101201, "第一书记", 44440, None, "=A1", 13800138000])
    sheet.append(["JJ0002", "李四", "500116101201", "队员", "2021-09-01", None, None, None])
    sheet["A3"].font = Font(bold=True)
    sheet["C3"].number_format = "000000000000"
    sheet["E3"].number_format = "yyyy-mm-dd"
    sheet.merge_cells("G3:G4")
    sheet.row_dimensions[4].hidden = True
    book.create_sheet("说明").append(["说明"])
    target = io.BytesIO()
    book.save(target)
    yield raw + target.getvalue()
    book.remove(book["说明"])  # The parts that are packed hold one sheet.
    single = io.BytesIO()
    book.save(single)
    whole = parts.members(single.getvalue(), fuzz_roster.WORKBOOK)
    yield packed + parts.joined(whole)
    inline = re.compile(rb't="inlineStr"><is><t>([^<]*)</t></is>')
    texts = inline.findall(whole[2])
    numbers = itertools.count()
    whole[2] = inline.sub(lambda _: b't="s"><v>%d</v>' % next(numbers), whole[2])
    strings = b"".join(b"<si><t>%s</t></si>" % text for text in texts)
    whole[3] = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%s</sst>' % strings
    yield packed + parts.joined(whole)


def token() -> Iterable[bytes]:
    """Yield inputs for fuzz_token.py."""
    yield from fuzz_token.seeds()


def main() -> None:
    """Write the seeds of every fuzzer."""
    for name, made in (
        ("attachment", attachment()),
        ("boundary", boundary()),
        ("roster", roster()),
        ("token", token()),
    ):
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for content in made:
            if len(content) <= LARGEST:
                (folder / hashlib.sha1(content, usedforsecurity=False).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    main()
