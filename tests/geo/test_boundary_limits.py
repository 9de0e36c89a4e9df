"""Hostile boundary files end as a named refusal, soon and small (security.md S8). Nothing of them runs or is fetched."""

import contextlib
import io
import json
import random
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from boundary_files import (
    DATA,
    SQUARE,
    clockwise,
    geojson,
    kml,
    moved,
    placemark,
    shapefile,
    village,
    zipped,
)

from geo.boundaries import BoundaryFile, Limits, UnreadableFileError, read, read_here

MIB = 2**20


def refusal(data: bytes, limits: Limits | None = None, **options: str) -> str:
    with pytest.raises(UnreadableFileError) as refused:
        read_here(data, "a", limits=limits, **options)  # type: ignore[arg-type]
    why = refused.value.fault
    assert why.zh
    assert why.en
    return why.code


def outcome(data: bytes) -> str:
    try:
        return "fit" if read_here(data, "a").fit else "unfit"
    except UnreadableFileError as refused:
        return refused.fault.code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file-empty"),
        (b"\x00" * 100, "format-unknown"),
        (b"hello", "format-unknown"),
        (b"<html></html>", "format-unknown"),
        (b"[1,2]", "json-not-geojson"),
        (b'{"type":"Topology"}', "json-not-geojson"),
        (b"{", "json-not-geojson"),
        (b"\x1f\x8b\x08", "archive-unsupported"),
        (b"Rar!\x1a\x07", "archive-unsupported"),
        (b"\x00\x00\x27\x0a" + b"\x00" * 200, "shapefile-not-zipped"),
        (b"PK\x03\x04" + b"\x00" * 100, "zip-broken"),
        (b"SQLite format 3\x00" + b"\x00" * 100, "database-broken"),
        (zipped({}), "layer-none"),
        (zipped({"readme.txt": b"x"}), "layer-none"),
        (zipped({"a.shp": b"x"}), "shapefile-broken"),
        (zipped({"a.geojson": b"x"}), "format-unknown"),
        (zipped({"a.geojson": geojson(village(0)), "inner.zip": b"x"}), "zip-nested"),
        (zipped({"a.geojson": zipped({"b": b""})}), "zip-nested"),
        (zipped({"a.geojson": b"\x1f\x8b\x08 and more"}), "zip-nested"),
        (zipped({"a.shp": b"x", "b.shp": b"y"}), "layer-choose"),
        (b'{"type":"FeatureCollection","features":["\xff\xff"]}', "text-undecodable-file"),
    ],
)
def test_what_is_no_boundary_file_is_refused_by_name(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_one_of_several_layers_is_chosen_by_name() -> None:
    parts = {f"{name}.geojson": geojson(village(number)) for number, name in enumerate(["甲", "乙"])}
    assert read_here(zipped(parts), "a.zip", layer="乙").features[0].code == "500116105201"
    assert refusal(zipped(parts), layer="丙") == "layer-unknown"


def test_members_with_hostile_names_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../evil.geojson", "/etc/evil.geojson", "C:\\evil.geojson", "..\\..\\evil.geojson"]
    for name in names:
        file = read_here(zipped({name: geojson(village(0))}), "a.zip")
        assert file.features[0].geometry is not None
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped({"a.geojson": geojson(village(0))}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert refusal(bytes(data)) == "zip-encrypted"


def test_a_zip_bomb_is_refused_while_it_unpacks() -> None:
    bomb = zipped({"a.geojson": b" " * (40 * MIB)})
    assert len(bomb) < MIB
    started = time.process_time()
    assert refusal(bomb) == "zip-bomb"
    assert time.process_time() - started < 1


def test_what_a_zip_claims_of_sizes_is_not_believed() -> None:
    data = bytearray(zipped({"a.geojson": b" " * (64 * MIB)}))
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 10)
    assert refusal(bytes(data)) in {"zip-bomb", "zip-broken", "format-unknown"}


def test_too_many_members_are_refused() -> None:
    assert refusal(zipped({f"{number}.txt": b"" for number in range(300)})) == "zip-too-many-members"


def test_members_that_overlap_do_not_multiply() -> None:
    inner = zipped({"a.geojson": b" " * MIB})
    stream = io.BytesIO(inner)
    with zipfile.ZipFile(stream) as archive:
        entry = archive.infolist()[0]
    head = inner[: inner.index(b"PK\x01\x02")]
    central = inner[len(head) : inner.index(b"PK\x05\x06")]
    count = 150
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, count * len(central), len(head), 0)
    assert entry.file_size == MIB
    assert refusal(head + central * count + end) in {"layer-choose", "zip-broken"}


BILLION = (
    '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)


@pytest.mark.parametrize(
    "dtd",
    [
        BILLION,
        '<!DOCTYPE k SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE k [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE k>",
    ],
)
def test_no_dtd_and_no_entity_is_ever_read(dtd: str) -> None:
    body = kml(placemark("&x;&j;", SQUARE), head=f'<?xml version="1.0"?>{dtd}')
    assert refusal(body.encode()) == "xml-forbidden"


def test_xml_nested_without_end_is_refused() -> None:
    assert refusal(b"<kml>" + b"<Folder>" * 100_000) == "xml-too-deep"


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"FeatureCollection","features":[' + b"[" * MIB,
        b'{"type":"FeatureCollection","features":[' + b'{"a":' * MIB,
        b'{"type":"FeatureCollection","features":["' + b'\\"' * MIB,
        b'{"type":"FeatureCollection","features":[' + b'{"a":"' + b"\\" * MIB,
        b'{"a' * MIB,
        b'{"type":' + b"[" * MIB,
        b'{"type":"FeatureCollection","features":[{"geometry":' + b"[" * 90_000 + b"]" * 90_000 + b"}]}",
        b'{"type":"FeatureCollection","features":[{"geometry":{"type":"Polygon","coordinates":[[[1'
        + b"0" * MIB
        + b",2]]]}}]}",
        b'{"type":"FeatureCollection","features":[' + b"{}," * 30_000 + b"]}",
        b'{"type":"FeatureCollection","features":[{"properties":{"a":"' + b"x" * 40 * MIB + b'"}}]}',
        b'{"type":"FeatureCollection","features":[{"geometry":{"type":"Polygon","coordinates":[['
        + b"[1,2]," * 300_000
        + b"[1,2]]]}}]}",
    ],
)
def test_monstrous_json_costs_little(data: bytes) -> None:
    started = time.process_time()
    assert outcome(data) in {"json-not-geojson", "too-many-features", "attributes-too-large", "unfit"}
    assert time.process_time() - started < 1


def test_limits_are_inclusive_and_name_the_feature() -> None:
    data = geojson(village(0), village(1))
    assert read_here(data, "a", limits=Limits(features=2, vertices_in_all=10, vertices_per_feature=5)).fit
    assert refusal(data, Limits(features=1)) == "too-many-features"
    assert refusal(data, Limits(vertices_in_all=9)) == "too-many-vertices-in-all"
    assert refusal(data, Limits(fields_per_feature=3)) == "attributes-too-large"
    for source in (data, shapefile([[clockwise(SQUARE)]]), kml(placemark("村", SQUARE)).encode()):
        file = read_here(source, "a", limits=Limits(vertices_per_feature=4))
        assert "too-many-vertices" in {each.code for each in file.faults if each.feature == 0}
    holes = {**village(0), "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE]] * 3}}
    file = read_here(geojson(holes), "a", limits=Limits(rings_per_feature=2))
    assert {each.code for each in file.faults} == {"too-many-rings"}


def geopackage(*statements: str) -> bytes:
    source = sqlite3.connect(":memory:", isolation_level=None)
    source.deserialize((DATA / "gpkg_4490.gpkg").read_bytes())
    # Made-up functions stand for the ones the file's own triggers would call.
    for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
        source.create_function(name, 1, lambda _: 0)
    for statement in statements:
        source.execute(statement)
    return source.serialize()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS fid, i AS geom FROM n"


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        (['ALTER TABLE "村界" RENAME TO old', f'CREATE VIEW "村界" AS {ENDLESS}'], "layer-is-a-view"),
        (
            ["DROP TABLE gpkg_geometry_columns", "CREATE VIEW gpkg_geometry_columns AS " + ENDLESS],
            "database-broken",
        ),
        (["DELETE FROM gpkg_geometry_columns"], "layer-none"),
        (["UPDATE gpkg_geometry_columns SET column_name = 'nowhere'"], "layer-none"),
        (["UPDATE gpkg_geometry_columns SET table_name = 'nowhere'"], "layer-none"),
        (["UPDATE gpkg_geometry_columns SET table_name = 'rtree_村界_geom'"], "layer-is-a-view"),
        (["DROP TABLE gpkg_geometry_columns"], "database-broken"),
    ],
)
def test_a_database_runs_nothing_of_its_own(statements: list[str], code: str) -> None:
    started = time.process_time()
    assert refusal(geopackage("PRAGMA foreign_keys=OFF", *statements)) == code
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"GP",
        b"XX" + b"\x00" * 40,
        b"GP\x00\x0f" + b"\x00" * 90,
        b"GP\x00\x01" + b"\x00" * 4 + b"\x01\x06\x00\x00\x00\xff\xff\xff\xff",
        b"GP\x00\x01" + b"\x00" * 4 + b"\x01\x07\x00\x00\x00\x01\x00\x00\x00" * 50,
        "text",
        7,
        None,
    ],
)
def test_a_broken_geometry_in_a_database_is_one_fault(blob: object) -> None:
    source = sqlite3.connect(":memory:")
    source.deserialize(geopackage(*[f'DROP TRIGGER "{name}"' for name in triggers()]))
    source.execute('UPDATE "村界" SET geom = ? WHERE fid = 3', [blob])
    source.commit()
    file = read_here(source.serialize(), "a.gpkg")
    assert len(file.features) == 63
    assert [feature.index for feature in file.features if feature.geometry is None] == [2]
    assert {each.code for each in file.faults} <= {"feature-unreadable", "geometry-empty"}


def triggers() -> list[str]:
    source = sqlite3.connect(":memory:")
    source.deserialize((DATA / "gpkg_4490.gpkg").read_bytes())
    return [
        name
        for (name,) in source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '村界'"
        )
    ]


def test_a_database_left_in_write_ahead_mode_is_read() -> None:
    data = bytearray((DATA / "gpkg_4490.gpkg").read_bytes())
    data[18:20] = b"\x02\x02"
    assert read_here(bytes(data), "a.gpkg").fit


def seeds() -> dict[str, bytes]:
    three = [moved(SQUARE, 0.02 * number) for number in range(3)]
    return {
        "geojson": geojson(*(village(number, ring) for number, ring in enumerate(three))),
        "kml": kml(*(placemark("转龙村", ring) for ring in three)).encode(),
        "shapefile": shapefile([[clockwise(ring)] for ring in three], encoding="gbk", cpg="UTF-8"),
        "zip": shapefile([[clockwise(ring)] for ring in three]),
        "geopackage": geopackage('DELETE FROM "村界" WHERE fid > 3', "VACUUM"),
    }


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    bytes_ = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(max(1, len(bytes_)))
        match rng.randrange(6):
            case 0:
                bytes_[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                bytes_[at : at + 4] = struct.pack("<i", rng.choice([0, -1, 1, 2**31 - 1, -(2**31), 65536]))
            case 2:
                bytes_[at : at + 8] = struct.pack(
                    "<d", rng.choice([float("nan"), float("inf"), 1e308, -1e300, 0.0])
                )
            case 3:
                del bytes_[at : at + rng.randint(1, 50)]
            case 4:
                start = rng.randrange(max(1, len(other)))
                bytes_[at:at] = other[start : start + rng.randint(1, 200)]
            case _:
                bytes_[at:] = bytes_[at : at + rng.randint(0, 2000)] if rng.random() < 0.3 else bytes_[at:]
    return bytes(bytes_)


def mutated_inside(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Mutate one member and zip again: a wrong checksum would keep mutations from the parsers behind the zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    members[name] = mutated(members[name], other, rng)
    return zipped(members)


def holds_together(file: BoundaryFile) -> None:
    """Check what every result promises: a missing geometry has its reason, a present one is valid, texts are texts."""
    blocked = any(each.feature is None and each.severity == "error" for each in file.faults)
    for feature in file.features:
        reasons = [
            each for each in file.faults_of(feature.index) if each.severity in ("error", "needs-human")
        ]
        if feature.geometry is None:
            assert reasons or blocked
        else:
            assert feature.geometry.is_valid
            assert not feature.geometry.is_empty
    json.dumps([each.to_dict() for each in file.faults], allow_nan=False)


@pytest.mark.parametrize("kind", ["geojson", "kml", "shapefile", "zip", "geopackage"])
def test_mutated_files_never_crash_a_parser(kind: str) -> None:
    every = seeds()
    rng = random.Random(f"zaicun {kind}")
    slowest_s = 0.0
    for _ in range(400):
        mutate = mutated_inside if kind == "shapefile" else mutated
        data = mutate(every[kind], every[rng.choice(list(every))], rng)
        started = time.process_time()
        with contextlib.suppress(UnreadableFileError):
            holds_together(read_here(data, "a"))
        slowest_s = max(slowest_s, time.process_time() - started)
    assert slowest_s < 1


@pytest.mark.parametrize("kind", ["geojson", "kml", "shapefile", "geopackage"])
def test_a_file_cut_anywhere_never_crashes_a_parser(kind: str) -> None:
    data = seeds()[kind]
    for size in range(1, len(data), max(1, len(data) // 150)):
        with contextlib.suppress(UnreadableFileError):
            holds_together(read_here(data[:size], "a"))


def within(work: Callable[[], object], seconds: float) -> UnreadableFileError:
    started = time.perf_counter()
    with pytest.raises(UnreadableFileError) as refused:
        work()
    assert time.perf_counter() - started < seconds
    return refused.value


def test_memory_is_bounded_in_the_subprocess() -> None:
    data = geojson(village(0, [(106 + number * 1e-7, 29.0) for number in range(90_000)]))
    why = within(lambda: read(data, "a", limits=Limits(memory_bytes=80 * MIB)), 5)
    assert why.fault.code in {"too-much-memory", "reader-died"}


def test_time_is_bounded_in_the_subprocess() -> None:
    slow = geojson(village(0))
    assert within(lambda: read(slow, "a", limits=Limits(wall_s=0.02)), 2).fault.code == "too-slow"


def test_refusals_cross_the_pipe_with_their_fault() -> None:
    bomb = zipped({"a.geojson": b" " * (40 * MIB)})
    assert within(lambda: read(bomb, "a"), 3).fault.code == "zip-bomb"
    large = Limits(file_bytes=10)
    assert within(lambda: read(geojson(village(0)), "a", limits=large), 0.5).fault.code == "file-too-large"


def test_reading_loads_no_gdal() -> None:
    script = "import sys, geo.boundaries; print([name for name in sys.modules if name.startswith(('pyogrio', 'osgeo'))])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
