"""The quality report: each finding on a layer made to have it, figures against figures worked out apart. Edges 31, 32, 42-45."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import shapely
from boundary_files import (
    BOW_TIE,
    DATA,
    DEMO,
    METRE_LON,
    SQUARE,
    bulge,
    geojson,
    moved,
    rectangle,
    village,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from geo.boundaries import BoundaryFile, CrsChoice, Feature, Limits, UnreadableFileError, read_here
from geo.datum import Datum, coordinates_from_wgs84, coordinates_to_wgs84
from geo.findings import Finding
from geo.quality import PublishedZone, QualityReport, quality_report
from geo.quality_messages import bounded_report
from geo.repairs import area_m2

GEOD = Geod(ellps="WGS84")
DISTRICT = shapely.get_parts(shapely.from_geojson((DEMO / "district.geojson").read_text()))[0]


@pytest.fixture(scope="module")
def demo() -> BoundaryFile:
    return read_here((DEMO / "villages.geojson").read_bytes(), "villages.geojson")


def report_of(*features: object, **options: object) -> QualityReport:
    return quality_report(read_here(geojson(*features), "a"), **options)  # type: ignore[arg-type]


def codes(report: QualityReport) -> set[str]:
    return {each.code for each in report.findings}


def only(report: QualityReport, code: str) -> Finding:
    (found,) = [each for each in report.findings if each.code == code]
    return found


@pytest.mark.parametrize("name", ["villages.geojson", "exclusion_zones.geojson"])
def test_the_demo_district_is_clean(name: str) -> None:
    report = quality_report(read_here((DEMO / name).read_bytes(), name), district=DISTRICT)
    assert report.findings == ()
    assert report.publishable


@pytest.mark.parametrize("path", sorted(DATA.glob("*.[gkz]*")), ids=lambda path: path.name)
def test_the_real_files_of_some_towns_are_clean(path: object) -> None:
    report = quality_report(read_here(path.read_bytes(), path.name), district=DISTRICT)  # type: ignore[attr-defined]
    assert report.clean
    assert codes(report) <= {"district-covered", "encoding-guessed", "kind-missing"}


def test_measures_agree_with_the_published_areas(demo: BoundaryFile) -> None:
    report = quality_report(demo)
    assert sum(each.vertices for each in report.measures) == 126_157
    for each in report.measures:
        assert each.claimed_area_m2 is not None
        assert each.area_m2 == pytest.approx(
            each.claimed_area_m2, rel=1e-3, abs=600
        )  # Published by a coarser method.


@settings(max_examples=60)
@given(
    west=st.floats(-4000, 4000), south=st.floats(-4000, 4000), width=st.floats(50, 5000), height=st.floats(50, 5000),
    hole=st.booleans(),
)  # fmt: skip
def test_areas_agree_with_an_equal_area_projection(
    west: float, south: float, width: float, height: float, hole: bool
) -> None:
    shell = rectangle(west, south, west + width, south + height)
    inner = rectangle(west + width / 4, south + height / 4, west + width / 2, south + height / 2)
    shape = shapely.Polygon(shell, [inner] if hole else [])
    # Edges must be dense, for the projection knows nothing of geodesics.
    dense = shapely.segmentize(shape, 0.001)
    to = Transformer.from_crs(4326, "+proj=laea +lat_0=29.2 +lon_0=106.2 +ellps=WGS84", always_xy=True)
    flat = shapely.transform(dense, lambda points: np.column_stack(to.transform(points[:, 0], points[:, 1])))
    assert area_m2(shape) == pytest.approx(flat.area, rel=1e-5)


@pytest.mark.parametrize(
    ("width", "code"),
    [
        (0.2, "hairlines"),
        (2.0, "overlap"),
        (9.0, "overlap"),
        (25.0, "overlap-large"),
        (300.0, "overlap-large"),
    ],
)
def test_overlaps_are_measured(width: float, code: str) -> None:  # edge 31
    one, other = rectangle(0, 0, 1000, 1000), rectangle(1000 - width, 0, 2000, 1000)
    found = only(report_of(village(0, one), village(1, other)), code)
    if code != "hairlines":
        assert found.numbers["area_m2"] == pytest.approx(1000 * width, rel=0.01)
        assert found.numbers["width_m"] == pytest.approx(width, rel=0.03)
        assert [ref.index for ref in found.features] == [0, 1]
        assert found.lon == pytest.approx(106.2 + METRE_LON * (1000 - width / 2), abs=1e-4)


def test_an_enclave_needs_a_hole_around_it() -> None:  # edges 28, 31
    around, within = rectangle(0, 0, 1000, 1000), rectangle(400, 400, 600, 600)
    found = only(report_of(village(0, around), village(1, within)), "enclave-without-hole")
    assert [ref.index for ref in found.features] == [1, 0]
    assert codes(report_of(village(0, around, within[::-1]), village(1, within))) == set()
    assert codes(report_of(village(0, around, within[::-1]))) == {"hole-unfilled"}


def test_the_same_shape_twice_is_told() -> None:
    found = report_of(village(0, SQUARE), village(1, SQUARE))
    assert codes(found) == {"shape-duplicate"}


@pytest.mark.parametrize(
    ("width", "code"), [(0.2, "hairlines"), (1.0, "sliver"), (9.0, "sliver"), (20.0, "gap"), (200.0, "gap")]
)
def test_closed_gaps_between_neighbours_are_measured(width: float, code: str) -> None:  # edge 32
    # Two halves of a frame around the gap: closed on all sides, bounded by two villages.
    left = [
        *rectangle(0, 0, 1000, 1000)[:1],
        *[
            rectangle(0, 0, x, y)[2]
            for x, y in ((1000, 1e-6), (1000, 100), (500, 100), (500, 900), (1000, 900), (1000, 1000))
        ],
        rectangle(0, 0, 1000, 1000)[3],
        rectangle(0, 0, 1000, 1000)[0],
    ]
    right = rectangle(500 + width, 100, 1000, 900)
    found = only(report_of(village(0, left), village(1, right)), code)
    if code != "hairlines":
        assert found.numbers["area_m2"] == pytest.approx(800 * width, rel=0.01)
        assert found.numbers["width_m"] == pytest.approx(width, rel=0.03)
        assert {ref.index for ref in found.features} == {0, 1}


@pytest.mark.parametrize("width", [1.0, 4.0, 9.0])
def test_slivers_open_to_the_outside_are_found(width: float) -> None:  # edge 32
    one, other = rectangle(0, 0, 1000, 1000), rectangle(1000 + width, 0, 2000, 1000)
    found = only(report_of(village(0, one), village(1, other)), "sliver")
    assert found.numbers["width_m"] == pytest.approx(width, rel=0.05)
    assert found.numbers["area_m2"] == pytest.approx(1000 * width, rel=0.05)


def test_published_neighbours_are_compared_unless_the_file_replaces_them() -> None:
    published = PublishedZone(
        code="500116105299", name="邻村", geometry=shapely.Polygon(rectangle(995, 0, 2000, 1000))
    )
    mine = village(0, rectangle(0, 0, 1000, 1000))
    found = only(report_of(mine, neighbours=[published]), "overlap")
    assert [ref.index for ref in found.features] == [0, None]
    assert codes(report_of(mine, neighbours=[replace(published, code="500116105200")])) == set()
    assert codes(report_of(mine, neighbours=[replace(published, kind="urban")])) == set()


def test_an_exclusion_zone_may_lie_over_a_village() -> None:  # edge 33
    seat = village(1, rectangle(400, 400, 600, 600), code="Z1", kind="town_seat")
    assert codes(report_of(village(0, rectangle(0, 0, 1000, 1000)), seat)) == set()


def test_codes_names_and_kinds_are_checked_as_a_register() -> None:
    far = [moved(SQUARE, 0.05 * number) for number in range(4)]
    report = report_of(
        village(0, far[0]),
        village(1, far[1], code="500116105200", name=" 第0村"),
        village(2, far[2], kind="林场"),
        village(3, far[3], kind=None, name="第0村", town_code="500116106", code="500116106203"),
    )
    assert codes(report) == {"code-duplicate", "name-duplicate", "kind-unknown", "kind-missing"}
    assert [ref.index for ref in only(report, "code-duplicate").features] == [0, 1]
    # The same name in another town is no duplicate.
    assert [ref.index for ref in only(report, "name-duplicate").features] == [0, 1]


def test_claimed_areas_are_compared() -> None:
    true_km2 = area_m2(shapely.Polygon(SQUARE)) / 1e6
    assert codes(report_of(village(0, SQUARE, area_km2=true_km2 * 1.04))) == set()
    found = only(report_of(village(0, SQUARE, area_km2=true_km2 / 1.5)), "area-differs")
    assert found.numbers["difference_percent"] == pytest.approx(50, abs=0.1)
    told = report_of(village(0, SQUARE), claimed_areas_km2={"500116105200": 99.0})
    assert codes(told) == {"area-differs"}


def shifted(file: BoundaryFile, move: Callable[[np.ndarray], np.ndarray]) -> BoundaryFile:
    features = tuple(replace(each, geometry=shapely.transform(each.geometry, move)) for each in file.features)
    return replace(file, features=features)


@pytest.mark.parametrize(
    ("datum", "town", "shift_m", "azimuth_deg"),
    [
        (Datum.GCJ02, None, 482, 131),
        (Datum.GCJ02, "500116105", 482, 131),
        (Datum.BD09, "500116105", 1053, None),
    ],
)
def test_a_layer_in_another_datum_is_suspected(
    demo: BoundaryFile, datum: Datum, town: str | None, shift_m: float, azimuth_deg: float | None
) -> None:  # edge 40
    some = replace(demo, features=tuple(each for each in demo.features if town in (None, each.town_code)))
    report = quality_report(
        shifted(some, lambda points: coordinates_from_wgs84(points, datum=datum)), district=DISTRICT
    )
    found = only(report, "datum-suspected")
    assert found.numbers["datum"] == {Datum.GCJ02: "GCJ-02", Datum.BD09: "BD-09"}[datum]
    assert found.numbers["shift_m"] == pytest.approx(shift_m, rel=0.12)
    assert float(found.numbers["corrected_m"]) < 1
    if azimuth_deg is not None:
        assert found.numbers["azimuth_deg"] == pytest.approx(azimuth_deg, abs=6)
    assert "datum-suspected" not in codes(quality_report(some, district=DISTRICT))


def test_a_layer_converted_twice_is_suspected(demo: BoundaryFile) -> None:
    twice = shifted(demo, lambda points: coordinates_to_wgs84(points, datum=Datum.GCJ02))
    found = only(quality_report(twice, district=DISTRICT), "converted-twice-suspected")
    assert found.numbers["datum"] == "GCJ-02"


def test_a_datum_that_a_person_names_is_undone_while_reading() -> None:
    gcj = [coordinates_from_wgs84(np.array(ring), datum=Datum.GCJ02) for ring in [SQUARE]]
    data = geojson(village(0, [tuple(point) for point in gcj[0].tolist()]))
    file = read_here(data, "a", crs=CrsChoice(epsg=4326, datum=Datum.GCJ02))
    assert shapely.equals_exact(file.features[0].geometry, shapely.Polygon(SQUARE), tolerance=1e-9)


@pytest.mark.parametrize("zones", [-1, 1, 2])
def test_a_layer_in_the_wrong_zone_is_one_finding_that_says_which(
    demo: BoundaryFile, zones: int
) -> None:  # edge 43
    report = quality_report(
        shifted(demo, lambda points: points + np.array([3 * zones, 0])), district=DISTRICT
    )
    found = only(report, "layer-in-wrong-zone")
    assert found.numbers["shift_deg"] == -3 * zones
    assert found.numbers["distance_km"] == pytest.approx(291 * abs(zones), rel=0.01)
    assert not any("outside" in code for code in codes(report))


def test_a_layer_of_another_district_is_refused() -> None:
    report = report_of(village(0, moved(SQUARE, north=4)), district=DISTRICT)
    assert codes(report) == {"layer-outside-district"}
    assert not report.publishable


def test_features_outside_the_district_are_told_by_how_much() -> None:
    district = shapely.Polygon(rectangle(0, 0, 10_000, 10_000))
    inner = [village(number, rectangle(1000 * number, 0, 1000 * number + 1000, 1000)) for number in range(8)]
    slight = village(8, rectangle(8000, 0, 9000, 1000))
    over = village(9, rectangle(9000, 0, 10_400, 1000))
    away = village(10, rectangle(10_900, 2000, 11_900, 3000))
    low = village(11, rectangle(2000, -5, 3000, -1e-9))
    report = report_of(*inner, slight, over, away, low, district=district)
    partly = only(report, "partly-outside-district")
    assert partly.numbers["share_percent"] == pytest.approx(100 * 400 / 1400, abs=0.2)
    assert partly.numbers["distance_m"] == pytest.approx(400, rel=0.01)
    assert [ref.index for ref in partly.features] == [9]
    outside = [each.features[0].index for each in report.findings if each.code == "outside-district"]
    assert outside == [10, 11]


def test_slight_differences_along_the_outline_are_summed_up() -> None:
    district = shapely.Polygon(rectangle(0, 3, 3000, 1000))
    villages = [
        village(number, rectangle(1000 * number, 0, 1000 * number + 1000, 1000)) for number in range(3)
    ]
    found = only(report_of(*villages, district=district), "edge-differs-from-district")
    assert found.numbers["features"] == 3
    assert found.numbers["area_m2"] == pytest.approx(9000, rel=0.02)
    assert found.numbers["distance_m"] == pytest.approx(3, rel=0.02)


def test_land_at_the_edge_that_belongs_to_nobody_is_found(demo: BoundaryFile) -> None:
    border = next(
        each for each in demo.features if DISTRICT.exterior.intersection(each.geometry).length > 0.05
    )
    rest = replace(demo, features=tuple(each for each in demo.features if each is not border))
    found = only(quality_report(rest, district=DISTRICT), "district-uncovered")
    assert border.geometry is not None
    assert found.numbers["area_m2"] == pytest.approx(area_m2(border.geometry), rel=1e-3)


def test_the_report_is_the_same_in_the_subprocess(demo: BoundaryFile) -> None:
    some = replace(demo, features=demo.features[:40])
    data = geojson(village(0, SQUARE), village(1, moved(BOW_TIE, 0.005)), village(2, bulge(2)))
    for file in (some, read_here(data, "a")):
        published = [PublishedZone(code="1", name="邻", geometry=shapely.Polygon(SQUARE))]
        here = quality_report(file, district=DISTRICT, neighbours=published, claimed_areas_km2={"1": 2.0})
        assert (
            bounded_report(file, district=DISTRICT, neighbours=published, claimed_areas_km2={"1": 2.0})
            == here
        )


def test_the_subprocess_ends_what_takes_too_long(demo: BoundaryFile) -> None:
    with pytest.raises(UnreadableFileError) as refused:
        bounded_report(demo, district=DISTRICT, limits=Limits(wall_s=0.05))
    assert refused.value.fault.code == "too-slow"


def test_the_report_is_data_and_text_in_two_languages() -> None:
    report = report_of(village(0, BOW_TIE), village(1, moved(SQUARE, 0.005)), district=DISTRICT)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["counts"]["error"] == report.counts["error"] >= 1
    assert plain["findings"][0]["features"][0]["name"] == "第0村"
    chinese, english = report.text("zh"), report.text("en")
    for each in report.findings:
        assert each.zh in chinese
        assert each.en in english
    assert "不能发布" in chinese
    with pytest.raises(KeyError):
        report.text("fr")


def test_findings_of_one_kind_do_not_flood_the_report() -> None:
    many = [
        village(number % 700, rectangle(20 * number, 0, 20 * number + 30, 30), code=None)
        for number in range(300)
    ]
    report = report_of(*many)
    assert sum(each.code == "code-missing" for each in report.findings) == 200
    assert "more-findings" in codes(report)


@pytest.mark.slow
def test_2500_villages_take_less_than_a_minute(demo: BoundaryFile) -> None:
    features: list[Feature] = []
    for copy in range(9):
        for each in demo.features:
            shape = shapely.transform(
                each.geometry, lambda points, east=copy: points + np.array([1.2 * east, 0.0])
            )
            features.append(replace(each, index=len(features), geometry=shape, shape_as_read=shape))
    large = replace(demo, features=tuple(features[:2500]))
    started = time.process_time()
    report = quality_report(large)
    assert time.process_time() - started < 60
    assert {each.code for each in report.findings} == {"code-duplicate", "name-duplicate", "more-findings"}
