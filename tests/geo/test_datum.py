"""Datums: public vectors, round trips over China, the edge of the rectangle, CGCS2000 grids. Edge cases 39, 40, 43."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from geo import datum as datums
from geo.datum import Datum, Position

GEOD = Geod(ellps="WGS84")
MICROMETRE = 1e-6
CHECKPOINTS = Path(__file__).parent / "data" / "checkpoints.csv"

china_lon = st.floats(min_value=datums.GCJ02_WEST, max_value=datums.GCJ02_EAST)
china_lat = st.floats(min_value=datums.GCJ02_SOUTH, max_value=datums.GCJ02_NORTH)
shifted_datums = st.sampled_from([Datum.GCJ02, Datum.BD09])
every_datum = pytest.mark.parametrize("datum", list(Datum))


def metres(a: Position, b: Position) -> float:
    return float(GEOD.inv(a.lon, a.lat, b.lon, b.lat)[2])


@pytest.mark.parametrize(
    ("wgs84", "gcj02"),
    [
        (Position(121.5272106, 31.1774276), Position(121.531541859215, 31.17530398364597)),
        (Position(113.912316, 22.543847), Position(113.9171764808363, 22.540796131694766)),
        (Position(116.377817, 39.911954), Position(116.38404722455657, 39.91334545536069)),
        (Position(116.404, 39.915), Position(116.41024449916938, 39.91640428150164)),
    ],
)
def test_gcj02_agrees_with_the_public_vectors(wgs84: Position, gcj02: Position) -> None:
    found = datums.from_wgs84(lon=wgs84.lon, lat=wgs84.lat, datum=Datum.GCJ02)
    assert found == pytest.approx(gcj02, abs=3e-14, rel=0)  # Two units in the last place of the vector.
    back = datums.to_wgs84(lon=gcj02.lon, lat=gcj02.lat, datum=Datum.GCJ02)
    assert metres(back, wgs84) <= MICROMETRE


def test_bd09_agrees_with_the_public_vector() -> None:
    found = datums.gcj02_to_bd09(lon=116.404, lat=39.915)
    assert found == pytest.approx(Position(116.41036949371029, 39.92133699351021), abs=3e-14, rel=0)
    assert metres(datums.bd09_to_gcj02(lon=found.lon, lat=found.lat), Position(116.404, 39.915)) <= MICROMETRE


@given(lon=china_lon, lat=china_lat, datum=shifted_datums)
@example(lon=105.0, lat=35.0, datum=Datum.GCJ02)  # The square root's vertical tangent.
@example(lon=105.0 + 3e-13, lat=35.0, datum=Datum.GCJ02)
@example(lon=105.0 - 3e-13, lat=29.0, datum=Datum.BD09)
@example(lon=datums.GCJ02_WEST, lat=datums.GCJ02_SOUTH, datum=Datum.GCJ02)
@example(lon=datums.GCJ02_EAST, lat=datums.GCJ02_NORTH, datum=Datum.GCJ02)
@example(lon=datums.GCJ02_EAST, lat=datums.GCJ02_SOUTH, datum=Datum.BD09)
@example(lon=datums.GCJ02_WEST, lat=datums.GCJ02_NORTH, datum=Datum.BD09)
@settings(max_examples=400)
def test_from_wgs84_and_back_is_the_same_place_all_over_china(lon: float, lat: float, datum: Datum) -> None:
    there = datums.from_wgs84(lon=lon, lat=lat, datum=datum)
    back = datums.to_wgs84(lon=there.lon, lat=there.lat, datum=datum)
    assert metres(back, Position(lon, lat)) <= MICROMETRE


@given(
    lon=st.floats(min_value=datums.GCJ02_WEST + 0.02, max_value=datums.GCJ02_EAST - 0.02),
    lat=st.floats(min_value=datums.GCJ02_SOUTH + 0.02, max_value=datums.GCJ02_NORTH - 0.02),
    datum=shifted_datums,
)
@example(lon=105.0, lat=35.0, datum=Datum.GCJ02)
@settings(max_examples=400)
def test_to_wgs84_and_back_is_the_same_place_all_over_china(lon: float, lat: float, datum: Datum) -> None:
    there = datums.to_wgs84(lon=lon, lat=lat, datum=datum)
    back = datums.from_wgs84(lon=there.lon, lat=there.lat, datum=datum)
    assert metres(back, Position(lon, lat)) <= MICROMETRE


@given(lon=china_lon, lat=china_lat)
def test_gcj02_and_bd09_undo_each_other(lon: float, lat: float) -> None:
    bd09 = datums.gcj02_to_bd09(lon=lon, lat=lat)
    assert metres(datums.bd09_to_gcj02(lon=bd09.lon, lat=bd09.lat), Position(lon, lat)) <= MICROMETRE
    gcj02 = datums.bd09_to_gcj02(lon=lon, lat=lat)
    assert metres(datums.gcj02_to_bd09(lon=gcj02.lon, lat=gcj02.lat), Position(lon, lat)) <= MICROMETRE


def test_a_one_step_inverse_would_not_do() -> None:
    # The reason for iterating: the usual shortcut subtracts the offset taken at the shifted place.
    lon, lat = 106.25, 29.29
    there = datums.wgs84_to_gcj02(lon=lon, lat=lat)
    again = datums.wgs84_to_gcj02(lon=there.lon, lat=there.lat)
    one_step = Position(2 * there.lon - again.lon, 2 * there.lat - again.lat)
    assert metres(one_step, Position(lon, lat)) > 0.1


def test_at_jiangjin_gcj02_lies_482_m_toward_131_degrees() -> None:  # edge 40
    lon, lat = 106.25, 29.29
    gcj02 = datums.from_wgs84(lon=lon, lat=lat, datum=Datum.GCJ02)
    azimuth, _, distance = GEOD.inv(lon, lat, gcj02.lon, gcj02.lat)
    assert distance == pytest.approx(482, abs=1)
    assert azimuth == pytest.approx(131, abs=0.5)
    bd09 = datums.from_wgs84(lon=lon, lat=lat, datum=Datum.BD09)
    assert metres(bd09, Position(lon, lat)) == pytest.approx(1053, abs=25)


def test_the_checkpoints_agree_in_all_three_datums() -> None:  # edge 39
    with CHECKPOINTS.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 225
    for row in rows:
        truth = Position(float(row["lon"]), float(row["lat"]))
        for datum, prefix in ((Datum.GCJ02, "gcj"), (Datum.BD09, "bd")):
            given_as = Position(float(row[f"{prefix}_lon"]), float(row[f"{prefix}_lat"]))
            found = datums.to_wgs84(lon=given_as.lon, lat=given_as.lat, datum=datum)
            # The file has seven decimals: half of the last one is 7 mm.
            assert metres(found, truth) <= 0.0085, row["id"]


@pytest.mark.parametrize(
    "place",
    [
        Position(0.0, 0.0),
        Position(72.0039, 30.0),
        Position(137.8348, 30.0),
        Position(100.0, 0.8292),
        Position(100.0, 55.8272),
    ],
)
def test_outside_the_rectangle_nothing_is_shifted(place: Position) -> None:
    assert not datums.shifted_in_gcj02(lon=place.lon, lat=place.lat)
    assert datums.from_wgs84(lon=place.lon, lat=place.lat, datum=Datum.GCJ02) == place


@given(
    lon=st.floats(min_value=-180, max_value=180),
    lat=st.floats(min_value=-90, max_value=90),
    datum=st.sampled_from(Datum),
)
@example(lon=-170.0, lat=89.9, datum=Datum.GCJ02)
@example(lon=0.0, lat=0.0, datum=Datum.BD09)
def test_no_place_on_earth_fails(lon: float, lat: float, datum: Datum) -> None:
    there = datums.from_wgs84(lon=lon, lat=lat, datum=datum)
    back = datums.to_wgs84(lon=lon, lat=lat, datum=datum)
    assert all(map(math.isfinite, (*there, *back)))


edges = st.one_of(
    st.tuples(st.sampled_from([datums.GCJ02_WEST, datums.GCJ02_EAST]), china_lat),
    st.tuples(china_lon, st.sampled_from([datums.GCJ02_SOUTH, datums.GCJ02_NORTH])),
)
within_a_mile = st.floats(min_value=-0.015, max_value=0.015)


@given(edge=edges, east=within_a_mile, north=within_a_mile)
@settings(max_examples=300)
def test_the_inverse_answers_sensibly_at_the_edge(
    edge: tuple[float, float], east: float, north: float
) -> None:
    gcj02 = Position(edge[0] + east, edge[1] + north)
    found = datums.gcj02_to_wgs84(lon=gcj02.lon, lat=gcj02.lat)
    # Whatever is answered lies within the largest shift, and is exact wherever any position maps to the given one.
    assert metres(found, gcj02) <= 735
    there = datums.wgs84_to_gcj02(lon=found.lon, lat=found.lat)
    inside_unreachable = datums.shifted_in_gcj02(
        lon=gcj02.lon, lat=gcj02.lat
    ) and not datums.shifted_in_gcj02(lon=found.lon, lat=found.lat)
    if not inside_unreachable:
        assert metres(there, gcj02) <= MICROMETRE


def test_a_shifted_position_beyond_the_edge_comes_back_into_the_rectangle() -> None:
    lon, lat = datums.GCJ02_EAST, 31.0
    there = datums.wgs84_to_gcj02(lon=lon, lat=lat)
    assert there.lon > datums.GCJ02_EAST  # Outside it, where an unshifted position could also lie.
    assert metres(datums.gcj02_to_wgs84(lon=there.lon, lat=there.lat), Position(lon, lat)) <= MICROMETRE


@every_datum
def test_many_positions_at_once_agree_with_one_at_a_time(datum: Datum) -> None:
    rng = np.random.default_rng(20240229)
    coordinates = np.column_stack((rng.uniform(60, 150, 4000), rng.uniform(-5, 62, 4000)))
    coordinates[:5] = np.array([[105, 35], [72.004, 30], [137.8347, 30], [137.84, 30], [105 + 1e-12, 29]])
    before = coordinates.copy()
    there = datums.coordinates_from_wgs84(coordinates, datum=datum)
    back = datums.coordinates_to_wgs84(coordinates, datum=datum)
    for place, one_there, one_back in zip(coordinates, there, back, strict=True):
        lon, lat = map(float, place)
        assert datums.from_wgs84(lon=lon, lat=lat, datum=datum) == pytest.approx(
            tuple(one_there), abs=1e-12, rel=0
        )
        assert datums.to_wgs84(lon=lon, lat=lat, datum=datum) == pytest.approx(
            tuple(one_back), abs=1e-12, rel=0
        )
    assert (coordinates == before).all()


def test_a_whole_boundary_converts_and_comes_back() -> None:
    circle = shapely.Point(106.25, 29.29).buffer(0.05)
    there = shapely.transform(circle, lambda c: datums.coordinates_from_wgs84(c, datum=Datum.BD09))
    back = shapely.transform(there, lambda c: datums.coordinates_to_wgs84(c, datum=Datum.BD09))
    assert shapely.equals_exact(back, circle, tolerance=9e-12)
    assert not shapely.equals_exact(there, circle, tolerance=1e-3)


@every_datum
def test_no_positions_give_no_positions(datum: Datum) -> None:
    assert datums.coordinates_to_wgs84(np.empty((0, 2)), datum=datum).shape == (0, 2)
    assert datums.coordinates_from_wgs84(np.empty((0, 2)), datum=datum).shape == (0, 2)


def test_an_array_with_heights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        datums.coordinates_to_wgs84(np.zeros((3, 3)), datum=Datum.GCJ02)


@pytest.mark.parametrize(
    ("epsg", "meridian", "prefix"),
    [(4544, 105, 0), (4523, 105, 35), (4545, 108, 0), (4524, 108, 36), (4491, 75, 13), (4502, 75, 0)],
)
def test_cgcs2000_grids_come_back_to_degrees(epsg: int, meridian: int, prefix: int) -> None:
    # The oracle states the projection itself instead of asking for the code.
    grid = CRS.from_proj4(
        f"+proj=tmerc +lat_0=0 +lon_0={meridian} +k=1 +x_0={prefix * 1_000_000 + 500_000} +ellps=GRS80 +units=m"
    )
    lon, lat = meridian + 0.75, 29.29
    x, y = Transformer.from_crs(CRS.from_proj4("+proj=longlat +ellps=GRS80"), grid, always_xy=True).transform(
        lon, lat
    )
    assert metres(datums.cgcs2000_zone_to_wgs84(x, y, epsg), Position(lon, lat)) <= MICROMETRE
    many = datums.cgcs2000_zone_coordinates_to_wgs84(np.array([[x, y], [x, y]]), epsg=epsg)
    assert many == pytest.approx(np.array([[lon, lat]] * 2), abs=1e-11)


def test_cgcs2000_degrees_are_wgs84_degrees() -> None:
    assert datums.cgcs2000_zone_to_wgs84(106.25, 29.29, 4490) == Position(106.25, 29.29)
    assert datums.to_wgs84(lon=106.25, lat=29.29, datum=Datum.CGCS2000) == Position(106.25, 29.29)


def test_zone_36_read_as_35_lands_291_km_away() -> None:  # edge 43
    right = datums.cgcs2000_zone_to_wgs84(36_330_000.0, 3_242_000.0, 4524)
    wrong = datums.cgcs2000_zone_to_wgs84(35_330_000.0, 3_242_000.0, 4523)
    assert metres(right, wrong) == pytest.approx(291_000, abs=1000)


@pytest.mark.parametrize("epsg", [4326, 2335, 2414, 4490 - 1, 4555, 0, -1])
def test_another_grid_is_never_guessed(epsg: int) -> None:  # edge 44
    with pytest.raises(ValueError, match=f"EPSG:{epsg} is not CGCS2000"):
        datums.cgcs2000_zone_to_wgs84(500_000.0, 3_242_000.0, epsg)


@pytest.mark.parametrize(("x", "y"), [(math.nan, 1.0), (1.0, math.inf), (1e12, 3_242_000.0)])
def test_coordinates_no_grid_can_hold_are_refused(x: float, y: float) -> None:
    with pytest.raises(ValueError, match=r"finite|cannot hold"):
        datums.cgcs2000_zone_to_wgs84(x, y, 4523)
