"""Reading boundary files, format by format, against GDAL as an independent reader. Edge cases 38, 45."""

import json
import struct
from pathlib import Path

import pyogrio
import pytest
import shapely
from boundary_files import (
    BOW_TIE,
    DATA,
    DEMO,
    SQUARE,
    Ring,
    clockwise,
    dbf,
    geojson,
    kml,
    moved,
    placemark,
    shapefile,
    shp_and_shx,
    shp_record,
    village,
    zipped,
)

from geo.boundaries import BoundaryFile, read, read_here


def codes(file: BoundaryFile, index: int | None = None) -> set[str]:
    return {each.code for each in file.faults if each.feature == index}


def grave(file: BoundaryFile) -> set[str]:
    return {each.code for each in file.faults if each.severity in ("error", "needs-human")}


@pytest.mark.parametrize(
    "path",
    [
        DATA / "gpkg_4490.gpkg",
        DATA / "kml_lishi.kml",
        DATA / "shp_cgcs2000_4490_gbk_nocpg.zip",
        DATA / "shp_cgcs2000_4490_utf8.zip",
        DEMO / "villages.geojson",
        DEMO / "exclusion_zones.geojson",
    ],
    ids=lambda path: path.name,
)
def test_real_files_come_out_as_gdal_reads_them(path: Path) -> None:
    file = read_here(path.read_bytes(), path.name)
    options = {"encoding": "GBK"} if "gbk" in path.name else {}
    _, _, wkb, _ = pyogrio.raw.read(str(path), force_2d=True, **options)
    expected = shapely.from_wkb(wkb)
    assert file.fit, grave(file)
    assert len(file.features) == len(expected)
    for feature, other in zip(file.features, expected, strict=True):
        # GDAL keeps a MultiPolygon of one part where a column says so; parts and coordinates must be equal.
        ours = shapely.get_parts(shapely.normalize(feature.geometry))
        assert shapely.equals_exact(ours, shapely.get_parts(shapely.normalize(other))).all()


def test_names_and_codes_of_the_real_files_are_those_of_the_register() -> None:
    register = {each["properties"]["code"]: each["properties"] for each in demo_features()}
    for path in sorted(DATA.glob("*.[gkz]*")):
        file = read_here(path.read_bytes(), path.name)
        assert {feature.name for feature in file.features} <= {each["name"] for each in register.values()}
        for feature in file.features:
            assert feature.code is not None
            assert feature.name == register[feature.code]["name"]
            assert feature.town_code == register[feature.code]["town_code"]


def demo_features() -> list[dict[str, dict[str, str]]]:
    features: list[dict[str, dict[str, str]]] = json.loads((DEMO / "villages.geojson").read_text())[
        "features"
    ]
    return features


def test_the_subprocess_gives_what_the_parser_gives() -> None:
    data = geojson(village(0), village(1, BOW_TIE), {"type": "Feature", "geometry": None, "properties": {}})
    assert read(data, "村界.geojson") == read_here(data, "村界.geojson")


def test_one_bad_ring_is_one_fault_and_the_others_are_read() -> None:  # edge 45
    file = read_here(geojson(village(0), village(1, BOW_TIE), village(2)), "a.geojson")
    assert [feature.geometry is not None for feature in file.features] == [True, False, True]
    assert codes(file, 1) == {"ring-self-intersection"}
    (why,) = file.faults
    assert (why.lon, why.lat) == pytest.approx((106.205, 29.205), abs=1e-9)
    assert file.features[1].shape_as_read is not None


BAD_RINGS: list[tuple[Ring, str]] = [
    (SQUARE[:-1], "ring-not-closed"),
    ([*SQUARE[:2], SQUARE[0]], "ring-too-short"),
    ([], "ring-too-short"),
    ([SQUARE[0]] * 5, "ring-too-short"),
    (BOW_TIE, "ring-self-intersection"),
    ([(float("nan"), 29.2), *SQUARE[1:]], "coordinate-not-finite"),
    ([(float("inf"), 29.2), *SQUARE[1:]], "coordinate-not-finite"),
    (moved(SQUARE, east=500), "coordinate-out-of-range"),
    ([(y, x) for x, y in SQUARE], "coordinates-swapped"),  # edge 38
]


@pytest.mark.parametrize(("ring", "code"), BAD_RINGS)
@pytest.mark.parametrize("format_", ["geojson", "shapefile", "kml"])
def test_every_bad_ring_has_its_name_in_every_format(ring: Ring, code: str, format_: str) -> None:  # edge 45
    good = [SQUARE, moved(SQUARE, east=0.02), moved(SQUARE, east=0.04)]
    if format_ == "geojson":
        data = geojson(*(village(number, each) for number, each in enumerate([ring, *good])))
    elif format_ == "kml":
        data = kml(*(placemark("村", each) for each in [ring, *good])).encode()
    else:
        data = shapefile([[each] if each else [] for each in [ring, *map(clockwise, good)]])
    file = read_here(data, "a")
    expected = "geometry-empty" if format_ == "shapefile" and not ring else code
    shape_codes = codes(file, 0) - {"ring-repeats-points", "code-missing"}
    assert shape_codes == {expected}
    assert file.features[0].geometry is None
    assert all(feature.geometry is not None for feature in file.features[1:])


def test_an_open_ring_says_how_wide_it_is_open() -> None:
    file = read_here(geojson(village(0, SQUARE[:-1])), "a")
    (why,) = file.faults
    assert why.numbers["gap_m"] == pytest.approx(1108, abs=1)  # 0.01 degree of latitude.


def test_repeated_points_are_noted_and_kept() -> None:  # edge 45
    file = read_here(geojson(village(0, [SQUARE[0], SQUARE[0], *SQUARE[1:]])), "a")
    assert codes(file, 0) == {"ring-repeats-points"}
    assert file.features[0].geometry is not None
    assert shapely.get_num_coordinates(file.features[0].geometry) == 6


def test_heights_are_left_out_and_counted() -> None:
    high: Ring = [(x, y, 300.0) for x, y in SQUARE]
    for data in (
        geojson(village(0, high)),
        kml(placemark("村", high)).encode(),
        shapefile([[clockwise(high)]], kind=15),
    ):
        file = read_here(data, "a")
        assert "third-coordinate-dropped" in codes(file)
        assert shapely.equals_identical(
            shapely.normalize(file.features[0].geometry), shapely.Polygon(SQUARE).normalize()
        )


@pytest.mark.parametrize(
    ("geometry", "code"),
    [
        (None, "geometry-empty"),
        ({"type": "Polygon", "coordinates": []}, "geometry-empty"),
        ({"type": "Point", "coordinates": [106, 29]}, "geometry-not-a-polygon"),
        ({"type": "Polygon"}, "coordinates-unreadable"),
        ({"type": "Polygon", "coordinates": [[["106", "29"]]]}, "coordinates-unreadable"),
        ({"type": "Polygon", "coordinates": [[[True, 29]]]}, "coordinates-unreadable"),
        ({"type": "Polygon", "coordinates": [[[106]]]}, "coordinates-unreadable"),
        ({"type": "Polygon", "coordinates": [[{"x": 1}]]}, "coordinates-unreadable"),
        ({"type": "Polygon", "coordinates": 7}, "coordinates-unreadable"),
        ({"type": 5}, "feature-unreadable"),
        ("Polygon", "feature-unreadable"),
        ({"type": "GeometryCollection", "geometries": None}, "coordinates-unreadable"),
    ],
)
def test_what_is_no_area_is_named(geometry: object, code: str) -> None:
    bad = {**village(0), "geometry": geometry}
    file = read_here(geojson(bad, village(1)), "a")
    assert codes(file, 0) == {code}
    assert file.features[1].geometry is not None


def test_a_polygon_with_a_stray_line_waits_for_a_person() -> None:
    line = {"type": "LineString", "coordinates": [[106.2, 29.2], [106.3, 29.3]]}
    both = {"type": "GeometryCollection", "geometries": [village(0)["geometry"], line]}
    file = read_here(geojson({**village(0), "geometry": both}), "a")
    assert codes(file, 0) == {"geometry-mixed"}
    assert file.features[0].geometry is None
    assert file.features[0].shape_as_read == shapely.Polygon(SQUARE)


def test_a_feature_with_broken_syntax_does_not_take_its_neighbours_along() -> None:
    broken = b'{"type":"Feature","properties":{"code":"500116105201"},"geometry":{"coordinates":[[[1,2,,]]]}}'
    parts = [json.dumps(village(0)).encode(), broken, b"null", json.dumps(village(2)).encode()]
    data = b'{"type":"FeatureCollection","features":[' + b",".join(parts) + b"]}"
    file = read_here(data, "a")
    assert [feature.geometry is not None for feature in file.features] == [True, False, False, True]
    assert codes(file, 1) >= {"feature-unreadable"}
    assert codes(file, 2) >= {"feature-unreadable"}


def test_a_file_cut_off_keeps_what_was_whole_and_says_so() -> None:
    whole = geojson(village(0), village(1), village(2))
    file = read_here(whole[: whole.rindex(b'"coordinates"') + 40], "a")
    assert len(file.features) == 2
    assert codes(file) == {"file-breaks-off"}
    assert not file.fit


def test_a_single_feature_or_a_bare_geometry_is_a_file_too() -> None:
    for given in (village(0), village(0)["geometry"]):
        file = read_here(json.dumps(given).encode(), "a")
        assert file.features[0].geometry == shapely.Polygon(SQUARE)


def test_members_after_the_features_are_read() -> None:
    text = geojson(village(0)).decode().removesuffix("}")
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4490"}}
    file = read_here(f'{text},"crs":{json.dumps(crs)}}}'.encode(), "a")
    assert (file.crs.how, file.crs.epsg) == ("declared", 4490)


def test_holes_parts_and_islands_of_a_shapefile_are_told_by_containment() -> None:
    hole: Ring = moved([(x / 4 + 106.2 * 3 / 4, y / 4 + 29.2 * 3 / 4) for x, y in SQUARE], 0.002, 0.002)
    island = moved([(x / 16 + 106.2 * 15 / 16, y / 16 + 29.2 * 15 / 16) for x, y in SQUARE], 0.003, 0.003)
    far = moved(SQUARE, east=0.05)
    rings = [clockwise(island), clockwise(far), clockwise(hole)[::-1], clockwise(SQUARE)]
    file = read_here(shapefile([rings]), "a")
    expected = shapely.MultiPolygon(
        [shapely.Polygon(SQUARE, [hole]), shapely.Polygon(far), shapely.Polygon(island)]
    )
    assert file.features[0].geometry is not None
    assert file.features[0].geometry.normalize() == expected.normalize()
    assert file.fit


def test_a_ring_inside_another_wound_the_same_way_is_not_taken_for_a_hole_silently() -> None:  # edge 45
    inner = moved([(x / 2 + 53.1, y / 2 + 14.6) for x, y in SQUARE], 0.002, 0.002)
    file = read_here(shapefile([[clockwise(SQUARE), clockwise(inner)]]), "a")
    assert codes(file, 0) == {"hole-wound-like-shell"}
    assert file.features[0].geometry is None


def test_rings_wound_against_the_rule_are_noted_once() -> None:  # edge 45
    backwards = shapefile([[clockwise(SQUARE)[::-1]], [clockwise(moved(SQUARE, 0.02))[::-1]]])
    file = read_here(backwards, "a")
    (why,) = file.faults
    assert (why.code, why.numbers["features"]) == ("ring-winding", 2)
    assert file.fit


def test_parts_and_holes_that_do_not_fit_together_are_named() -> None:  # edge 45
    outside = moved(SQUARE, east=0.02)
    overlapping = {"type": "MultiPolygon", "coordinates": [[SQUARE], [moved(SQUARE, 0.005)]]}
    twice = {"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}
    bad = [
        village(0, SQUARE, outside),
        {**village(1), "geometry": overlapping},
        {**village(2), "geometry": twice},
    ]
    file = read_here(geojson(*bad), "a")
    assert codes(file, 0) == {"hole-outside-shell"}
    assert codes(file, 1) == {"parts-overlap"}
    assert codes(file, 2) & {"parts-overlap", "rings-duplicate"}


def test_rows_without_shapes_and_shapes_without_rows_are_told() -> None:
    shp, shx = shp_and_shx([shp_record([clockwise(SQUARE)])] * 2)
    table = dbf([(b"CUNDM", "C", 12), (b"CUNMC", "C", 20)], [[b"500116105200", b"x"]])
    file = read_here(zipped({"a.shp": shp, "a.shx": shx, "a.dbf": table}), "a.zip")
    assert "records-differ" in codes(file)
    without = read_here(zipped({"a.shp": shp}), "a.zip")
    assert {"attributes-missing", "column-not-found"} <= codes(without)


def test_a_deleted_row_is_left_out_and_said() -> None:
    shp, shx = shp_and_shx([shp_record([clockwise(SQUARE)])] * 2)
    table = bytearray(dbf([(b"CUNDM", "C", 12)], [[b"500116105200"], [b"500116105201"]]))
    table[33 + 32] = ord("*")
    file = read_here(zipped({"a.shp": shp, "a.shx": shx, "a.dbf": bytes(table)}), "a.zip")
    assert [feature.code for feature in file.features] == ["500116105201"]
    assert codes(file, 0) == {"feature-deleted"}


def test_a_record_with_nonsense_inside_is_one_fault() -> None:
    good = shp_record([clockwise(SQUARE)])
    bad = good[:36] + struct.pack("<ii", 1, 1_000_000) + good[44:]
    other = struct.pack("<i", 99) + good[4:]
    line = struct.pack("<i", 3) + good[4:]
    shp, shx = shp_and_shx([good, bad, other, line, shp_record([]), good])
    file = read_here(zipped({"a.shp": shp, "a.shx": shx}), "a.zip")
    found = [codes(file, index) for index in range(6)]
    unreadable = {"feature-unreadable"}
    assert found == [set(), unreadable, unreadable, {"geometry-not-a-polygon"}, {"geometry-empty"}, set()]


def test_a_shapefile_without_its_index_or_with_a_wrong_one_is_read_in_order() -> None:
    shp, shx = shp_and_shx([shp_record([clockwise(moved(SQUARE, 0.02 * number))]) for number in range(3)])
    for index in ({}, {"a.shx": shx[:90]}, {"a.shx": shx[:100] + b"\xff" * 24}):
        file = read_here(zipped({"a.shp": shp, **index}), "a.zip")
        assert [feature.geometry is not None for feature in file.features] == [True] * 3


def test_kml_names_data_and_schema_data_are_attributes() -> None:
    data = '<ExtendedData><Data name="CUNDM"><value>500116105200</value></Data></ExtendedData>'
    schema = (
        '<ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="CUNDM">500116105201</SimpleData>'
        '<SimpleData name="XZJMC">石蟆镇</SimpleData></SchemaData></ExtendedData>'
    )
    text = kml(placemark("转龙村", SQUARE, data), placemark("稿子村", moved(SQUARE, 0.02), schema))
    file = read_here(text.encode(), "a.kml")
    assert [(each.code, each.name) for each in file.features] == [
        ("500116105200", "转龙村"),
        ("500116105201", "稿子村"),
    ]
    assert file.features[1].town_name == "石蟆镇"
    assert file.fit


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "utf-16"])
def test_kml_in_chinese_encodings_is_read(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    data = kml(placemark("转龙村", SQUARE), head=head).encode(encoding)
    assert read_here(data, "a.kml").features[0].name == "转龙村"


def test_kml_holes_may_stand_before_the_shell_and_tuples_may_have_spaces() -> None:
    hole = moved([(x / 2 + 53.1, y / 2 + 14.6) for x, y in SQUARE], 0.002, 0.002)
    text = kml(placemark("村", SQUARE, holes=[hole])).replace("106.2,29.2", "106.2, 29.2")
    geometry = read_here(text.encode(), "a.kml").features[0].geometry
    assert geometry == shapely.Polygon(SQUARE, [hole])


def test_kml_with_unreadable_coordinates_is_one_fault() -> None:
    bad = placemark("坏", SQUARE).replace("106.21,29.2 ", "106.21 east,29.2 ")
    file = read_here(kml(bad, placemark("好", SQUARE)).encode(), "a.kml")
    assert "coordinates-unreadable" in codes(file, 0)
    assert file.features[1].geometry is not None


def test_formats_are_told_by_content_not_by_name() -> None:
    for data, kind in (
        (geojson(village(0)), "geojson"),
        (b"\xef\xbb\xbf" + geojson(village(0)), "geojson"),
        (kml(placemark("村", SQUARE)).encode(), "kml"),
        (shapefile([[clockwise(SQUARE)]]), "shapefile"),
        (zipped({"doc.kml": kml(placemark("村", SQUARE)).encode()}), "kml"),
        (zipped({"村.geojson": geojson(village(0))}), "geojson"),
        ((DATA / "gpkg_4490.gpkg").read_bytes(), "geopackage"),
    ):
        assert read_here(data, "wrong.ending").format == kind
