"""Reference systems of boundary files: stated, told by the values, or asked for. Edge cases 38, 42, 43, 44."""

import json

import numpy as np
import pytest
import shapely
from boundary_files import DEMO, SQUARE, Ring, clockwise, geojson, moved, shapefile, village
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from geo.boundaries import BoundaryFile, CrsChoice, propose_crs, read_here
from geo.datum import cgcs2000_zone_to_wgs84

DISTRICT = shapely.get_parts(shapely.from_geojson((DEMO / "district.geojson").read_text()))[0]
GEOD = Geod(ellps="WGS84")
VILLAGES = [moved(SQUARE, east=0.02 * number) for number in range(3)]
# A seven-parameter set of the usual size, for the arithmetic alone: real ones are local and kept by the survey.
SEVEN = (-12.6, -137.2, -68.4, 0.9, -1.1, 1.4, -0.5)


def projected(ring: Ring, epsg: int | str) -> Ring:
    to = Transformer.from_crs(CRS(epsg).geodetic_crs, CRS(epsg), always_xy=True)
    return [to.transform(x, y) for x, y in ring]


def wkt(epsg: int) -> str:
    return str(CRS.from_epsg(epsg).to_wkt("WKT1_ESRI"))


def file_of(epsg: int, *, prj: str | None, **options: object) -> BoundaryFile:
    data = shapefile([[clockwise(projected(ring, epsg))] for ring in VILLAGES], prj=prj)
    return read_here(data, "村界.zip", **options)  # type: ignore[arg-type]


def codes(file: BoundaryFile) -> set[str]:
    return {each.code for each in file.faults}


def is_in_place(file: BoundaryFile) -> bool:
    shapes = [feature.geometry for feature in file.features]
    if None in shapes:
        return False
    return all(
        shapely.hausdorff_distance(shape, shapely.Polygon(ring)) < 1e-9  # A tenth of a millimetre.
        for shape, ring in zip(shapes, VILLAGES, strict=True)
    )


@pytest.mark.parametrize("epsg", [4490, 4523, 4524, 4544, 4545, 4496, 4507, 32648, 3857])
def test_a_stated_system_is_undone(epsg: int) -> None:
    file = file_of(epsg, prj=wkt(epsg))
    assert file.crs.how == "declared"
    assert is_in_place(file)
    assert codes(file) == set()


@pytest.mark.parametrize(("epsg", "prefix_decides"), [(4523, 4523), (4524, 4524), (4496, 4496)])
def test_without_a_prj_the_prefix_names_the_zone(epsg: int, prefix_decides: int) -> None:  # edge 42
    file = file_of(epsg, prj=None)
    assert (file.crs.how, file.crs.epsg) == ("prefix", prefix_decides)
    assert codes(file) == {"crs-from-zone-prefix"}
    assert is_in_place(file)


def test_without_prj_and_prefix_the_zone_is_asked_for() -> None:  # edge 42
    file = file_of(4544, prj=None)
    assert codes(file) == {"crs-must-be-asked"}
    assert [feature.geometry for feature in file.features] == [None] * 3
    assert {each.epsg for each in file.crs.candidates} == set(range(4534, 4555))


@pytest.mark.parametrize("epsg", [4544, 4545])
def test_without_prj_and_prefix_the_district_decides(epsg: int) -> None:  # edge 42
    file = file_of(epsg, prj=None, district=DISTRICT)
    assert codes(file) == {"crs-decided-by-district"}
    assert file.crs.epsg == epsg
    assert is_in_place(file)


def test_a_person_may_choose_the_zone() -> None:
    assert is_in_place(file_of(4544, prj=None, crs=CrsChoice(epsg=4544)))


def test_degrees_without_a_prj_are_read_with_a_warning() -> None:
    file = file_of(4490, prj=None)
    assert codes(file) == {"crs-assumed-degrees"}
    assert is_in_place(file)


def test_degrees_under_a_projected_prj_are_read_as_degrees_and_told() -> None:
    file = file_of(4490, prj=wkt(4523))
    assert codes(file) == {"crs-says-projected-values-are-degrees"}
    assert is_in_place(file)
    chosen = file_of(4490, prj=None, crs=CrsChoice(epsg=4523))
    assert codes(chosen) == {"crs-choice-contradicts-values"}


def test_metres_under_a_geographic_prj_are_refused_with_candidates() -> None:  # edge 42
    file = file_of(4523, prj=wkt(4490))
    assert codes(file) == {"crs-says-degrees-values-are-metres"}
    assert [each.epsg for each in file.crs.candidates] == [4523]


@pytest.mark.parametrize(("made_in", "stated"), [(4524, 4523), (4523, 4544), (4544, 4523)])
def test_a_zone_that_contradicts_the_prefix_is_refused(made_in: int, stated: int) -> None:  # edge 43
    file = file_of(made_in, prj=wkt(stated))
    assert codes(file) == {"wrong-zone"}
    assert all(feature.geometry is None for feature in file.features)


@pytest.mark.parametrize("stated", [4523, 4544])
def test_zone_36_read_as_35_is_refused_by_the_district(stated: int) -> None:  # edge 43
    ring = projected(SQUARE, 4545)
    prefix = 35e6 if stated == 4523 else 0.0
    data = shapefile([[clockwise([(x + prefix, y) for x, y in ring])]], prj=wkt(stated))
    assert codes(read_here(data, "a")) == set()  # Nothing but the district can tell.
    file = read_here(data, "a", district=DISTRICT)
    (why,) = file.faults
    assert why.code == "crs-does-not-fit"
    # From the district's centre; the shift itself is 291 km.
    assert why.numbers["distance_km"] == pytest.approx(291, abs=15)
    assert 4545 in {each.epsg for each in file.crs.candidates}


def test_a_zone_read_as_its_neighbour_lies_291_km_away() -> None:  # edge 43
    (x, y) = projected([(106.26, 29.29)], 4545)[0]
    wrong = cgcs2000_zone_to_wgs84(x, y, 4544)
    assert GEOD.inv(106.26, 29.29, wrong.lon, wrong.lat)[2] == pytest.approx(291_000, abs=500)


@pytest.mark.parametrize("epsg", [4610, 2359, 2381, 4214, 2411, 2432])
def test_old_datums_are_refused_until_parameters_are_given(epsg: int) -> None:  # edge 44
    for file in (file_of(epsg, prj=wkt(epsg)), file_of(epsg, prj=None, crs=CrsChoice(epsg=epsg))):
        assert codes(file) == {"crs-needs-parameters"}
        assert all(feature.geometry is None for feature in file.features)


@pytest.mark.parametrize("epsg", [4610, 2359, 4214, 2411])
@pytest.mark.parametrize("parameters", [SEVEN, SEVEN[:3]])
def test_given_parameters_move_an_old_datum_as_a_helmert_transformation_does(
    epsg: int, parameters: tuple[float, ...]
) -> None:  # edge 44
    file = file_of(epsg, prj=None, crs=CrsChoice(epsg=epsg, to_wgs84_parameters=parameters))
    geometry = file.features[0].geometry
    assert geometry is not None
    ellipsoid = CRS.from_epsg(epsg).ellipsoid
    assert ellipsoid is not None
    expected = helmert(SQUARE[0], ellipsoid.semi_major_metre, 1 / ellipsoid.inverse_flattening, parameters)
    near = min(GEOD.inv(*expected, *point)[2] for point in shapely.get_coordinates(geometry))
    assert near < 0.01


def helmert(
    position: tuple[float, ...], axis_m: float, flattening: float, parameters: tuple[float, ...]
) -> tuple[float, float]:
    """Move a position by EPSG method 9606, written out: geocentric, rotated and scaled, back on WGS-84."""
    lon, lat = position
    dx, dy, dz, *rest = (*parameters, *([0.0] * (7 - len(parameters))))
    rx, ry, rz = (np.radians(each / 3600) for each in rest[:3])
    e2 = flattening * (2 - flattening)
    phi, lam = np.radians(lat), np.radians(lon)
    n = axis_m / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    v = np.array([n * np.cos(phi) * np.cos(lam), n * np.cos(phi) * np.sin(lam), n * (1 - e2) * np.sin(phi)])
    turned = np.array([[1, -rz, ry], [rz, 1, -rx], [-ry, rx, 1]]) @ v * (1 + rest[3] * 1e-6)
    x, y, z = turned + np.array([dx, dy, dz])
    back = Transformer.from_crs(4978, 4326, always_xy=True).transform(x, y, z)
    return float(back[0]), float(back[1])


@pytest.mark.parametrize(
    ("epsg", "code"), [(4269, "crs-datum-unsupported"), (3395, None), (26915, "crs-datum-unsupported")]
)
def test_other_datums_are_refused_by_name(epsg: int, code: str | None) -> None:
    data = shapefile([[clockwise(projected(SQUARE, epsg))]], prj=wkt(epsg))
    assert codes(read_here(data, "a")) == ({code} if code else set())


@pytest.mark.parametrize(
    "prj", ["nonsense", "PROJCS[", "GEOGCS[" * 3000, 'VERT_CS["a",VERT_DATUM["b",2005],UNIT["m",1]]']
)
def test_a_prj_that_says_nothing_is_named(prj: str) -> None:
    assert codes(file_of(4490, prj=prj)) == {"crs-unreadable"}


@pytest.mark.parametrize("prj", [None, wkt(4490), wkt(4523), wkt(4544)])
def test_swapped_axes_are_told_for_the_whole_layer_and_read_when_a_person_says_so(
    prj: str | None,
) -> None:  # edge 38
    epsg = 4490 if prj is None else CRS(prj).to_epsg(min_confidence=20)
    rings = [[(y, x) for x, y in projected(ring, epsg or 4490)] for ring in VILLAGES]
    data = shapefile([[clockwise(ring)] for ring in rings], prj=prj)
    file = read_here(data, "a")
    assert codes(file) == {"axes-swapped"}
    assert all(feature.geometry is None for feature in file.features)
    again = read_here(data, "a", crs=CrsChoice(epsg=epsg or 4490, swapped=True))
    assert is_in_place(again)


def test_northings_before_eastings_without_a_prj_are_told() -> None:  # edge 38
    rings = [[(y, x) for x, y in projected(ring, 4523)] for ring in VILLAGES]
    file = read_here(shapefile([[clockwise(ring)] for ring in rings], prj=None), "a")
    assert codes(file) == {"axes-swapped"}
    assert [(each.epsg, each.swapped) for each in file.crs.candidates] == [(4523, True)]


def test_values_that_are_nothing_are_refused() -> None:
    file = read_here(geojson(village(0, [(x * 1e9, y * 1e9) for x, y in SQUARE])), "a")
    assert codes(file) == {"crs-values-impossible"}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("EPSG:4490", "declared"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "declared"),
        ("urn:ogc:def:crs:EPSG:6.9:4326", "declared"),
        ("urn:x", "undecided"),
        ("EPSG:999999", "undecided"),
    ],
)
def test_the_crs_member_of_old_geojson_is_heard(name: str, how: str) -> None:
    crs = {"type": "name", "properties": {"name": name}}
    file = read_here(geojson(village(0), crs=crs), "a")
    assert file.crs.how == how
    assert ("crs-unreadable" in codes(file)) == (how == "undecided")
    odd: object
    for odd in (5, [], {"properties": 3}, {"properties": {"name": []}}):
        assert codes(read_here(geojson(village(0), crs=odd), "a")) == {"crs-unreadable"}


@settings(max_examples=60)
@given(lon=st.floats(105.7, 106.6), lat=st.floats(28.6, 29.5), zone=st.sampled_from([4523, 4524, 4544, 4545]))
def test_the_system_a_point_was_made_in_is_always_proposed_first(lon: float, lat: float, zone: int) -> None:
    box = shapely.box(105.6, 28.4, 106.7, 29.6)
    (x, y) = projected([(lon, lat)], zone)[0]
    best = propose_crs(np.array([[x, y]]), district=box)[0]
    assert best.epsg == zone
    assert best.fit == 1.0
    back = cgcs2000_zone_to_wgs84(x, y, best.epsg)
    assert GEOD.inv(lon, lat, back.lon, back.lat)[2] < 1e-3


def test_candidates_are_plain_data_for_a_dialogue() -> None:
    candidates = propose_crs(np.array(projected(SQUARE, 4544)), district=DISTRICT)
    plain = json.loads(json.dumps([each.to_dict() for each in candidates]))
    assert plain[0]["central_meridian_deg"] == 105
    assert plain[0]["zone_prefix"] is False
