"""Zones in metres: the plane, circles, signed distances, unions, gaps. Edge cases 26-32, 45, 49, 50."""

import gc
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import plain_geometry
import pytest
import shapely
from ground import GEOD, LAT, LON, Rings, at, box, make_zone, ragged
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from geo.plane import Plane
from geo.zones import CIRCLE_VERTICES, Places, ZoneKind, circle


def depth(places: Places, east_m: float, north_m: float) -> float:
    lon, lat = at(east_m, north_m)
    return places.signed_distance_m(lon=lon, lat=lat)


# The plane


@pytest.mark.parametrize(("reach_km", "allowed"), [(15, 1e-5), (50, 1e-4), (300, 3e-3)])
@given(data=st.data(), lat=st.floats(min_value=18, max_value=54))
@settings(max_examples=150)
def test_the_plane_errs_no_more_than_it_says(
    reach_km: float, allowed: float, data: st.DataObject, lat: float
) -> None:
    plane = Plane(100.0, lat)
    ends = []
    for _ in range(2):
        azimuth = data.draw(st.floats(min_value=0, max_value=360))
        far = data.draw(st.floats(min_value=0, max_value=reach_km * 1000))
        lon2, lat2, _ = GEOD.fwd(100.0, lat, azimuth, far)
        ends.append((float(lon2), float(lat2)))
    geodesic = GEOD.inv(*ends[0], *ends[1])[2]
    flat = math.dist(plane.point(*ends[0]), plane.point(*ends[1]))
    assert flat == pytest.approx(geodesic, rel=allowed, abs=1e-4)


@given(lon=st.floats(min_value=-180, max_value=180), lat=st.floats(min_value=-90, max_value=90))
def test_far_places_are_far_in_the_plane(lon: float, lat: float) -> None:
    far = GEOD.inv(LON, LAT, lon, lat)[2]
    if far > 300_000:
        assert math.hypot(*Plane(LON, LAT).point(lon, lat)) > 250_000


def test_one_point_and_many_points_agree() -> None:
    plane = Plane(LON, LAT)
    rng = np.random.default_rng(7)
    coordinates = np.column_stack((rng.uniform(104, 108, 500), rng.uniform(27, 31, 500)))
    singly = np.array([plane.point(lon, lat) for lon, lat in coordinates.tolist()])
    assert np.abs(plane.points(coordinates) - singly).max() < 1e-6


# Circles


@given(
    lon=st.floats(min_value=73, max_value=136),
    lat=st.floats(min_value=18, max_value=54),
    radius_m=st.floats(min_value=1, max_value=50_000),
)
@example(lon=LON, lat=LAT, radius_m=500.0)
def test_a_circle_has_the_area_and_radius_of_a_circle(
    lon: float, lat: float, radius_m: float
) -> None:  # edge 50
    polygon = circle(lon=lon, lat=lat, radius_m=radius_m)
    corners = list(polygon.exterior.coords)
    assert len(corners) == CIRCLE_VERTICES + 1
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    area, _ = GEOD.geometry_area_perimeter(polygon)
    # On a sphere a circle of this radius has a little less area than in the plane.
    on_the_globe = 4 * math.pi * (6371e3 * math.sin(radius_m / 2 / 6371e3)) ** 2
    assert area == pytest.approx(
        on_the_globe, rel=1e-4, abs=0.05
    )  # The oracle sees no less than 0.05 square metres.
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(corners)]
    for there in (*corners, *middles):
        assert GEOD.inv(lon, lat, there[0], there[1])[2] == pytest.approx(radius_m, rel=1e-3)


@pytest.mark.parametrize("radius_m", [0.0, -5.0, math.nan, math.inf, 50_001.0])
def test_a_circle_without_a_sensible_radius_is_refused(radius_m: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        circle(lon=LON, lat=LAT, radius_m=radius_m)
    with pytest.raises(ValueError, match="centre"):
        circle(lon=math.nan, lat=LAT, radius_m=500.0)


# Zones


def test_what_is_no_boundary_is_refused() -> None:  # edge 45
    with pytest.raises(ValueError, match="not empty"):
        make_zone(Polygon())
    with pytest.raises(ValueError, match="not empty"):
        make_zone(shapely.LineString([(106, 29), (107, 30)]))
    with pytest.raises(ValueError, match="Self-intersection"):
        make_zone(Polygon([(106, 29), (106.1, 29.1), (106.1, 29), (106, 29.1)]))
    with pytest.raises(ValueError, match="degrees, longitude first"):
        make_zone(Polygon([(29, 106), (29.1, 106), (29, 106.1)]))
    with pytest.raises(ValueError, match="degrees, longitude first"):
        make_zone(Polygon([(36_300_000, 3_240_000), (36_300_100, 3_240_000), (36_300_000, 3_240_100)]))
    for accuracy_m in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="accuracy"):
            make_zone(box(0, 0, 100, 100), accuracy_m=accuracy_m)


def test_zones_know_what_they_are_for() -> None:
    village, seat = make_zone(box(0, 0, 100, 100)), make_zone(box(0, 0, 50, 50), kind=ZoneKind.TOWN_SEAT)
    with pytest.raises(ValueError, match="is a town_seat"):
        Places.assigned([village, seat])
    with pytest.raises(ValueError, match="is a village"):
        Places.excluded([village])
    with pytest.raises(ValueError, match="one district at a time"):
        Places.assigned([village, make_zone(shapely.box(116.0, 39.0, 116.1, 39.1))])


def test_no_zones_cover_nothing() -> None:  # edge 49
    places = Places.assigned([], unfenced=["500116101201"])
    assert places.signed_distance_m(lon=LON, lat=LAT) == -math.inf
    assert not places.covers(lon=LON, lat=LAT)
    assert places.unfenced == ("500116101201",)


# Signed distances


@given(first=ragged(), second=st.none() | ragged(east=7500.0, north=1500.0), data=st.data())
@settings(max_examples=80)
def test_signed_distance_agrees_with_a_walk_along_every_edge(
    first: Rings,
    second: Rings | None,
    data: st.DataObject,
) -> None:  # edges 28, 30
    parts = [first] if second is None else [first, second]
    places = Places.assigned([make_zone(MultiPolygon([(part[0], part[1:]) for part in parts]))])
    lon, lat = at(
        data.draw(st.floats(min_value=-4000, max_value=9000)),
        data.draw(st.floats(min_value=-4000, max_value=4000)),
    )
    oracle = plain_geometry.signed_distance_m(parts, lon, lat)
    found = places.signed_distance_m(lon=lon, lat=lat)
    assert found == pytest.approx(oracle, abs=0.03, rel=1e-5)
    if abs(oracle) > 0.04:
        assert (found > 0) == (oracle > 0)


def test_a_border_of_thousands_of_vertices_measures_like_a_short_one() -> None:
    rng = np.random.default_rng(3)
    turns = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    reach = 2000 + 300 * np.sin(7 * turns) + rng.normal(0, 2, turns.size)
    ring = [at(r * math.cos(a), r * math.sin(a)) for a, r in zip(turns.tolist(), reach.tolist(), strict=True)]
    hole = [at(300 * math.cos(a), 300 * math.sin(a)) for a in turns[::150].tolist()]
    shape = Polygon(ring, [hole])
    places = Places.assigned([make_zone(shape)])
    for east, north in rng.uniform(-3000, 3000, (25, 2)).tolist():
        lon, lat = at(east, north)
        oracle = plain_geometry.signed_distance_m([[ring, hole]], lon, lat)
        assert places.signed_distance_m(lon=lon, lat=lat) == pytest.approx(oracle, abs=0.02, rel=1e-5)


def test_a_border_and_its_vertices_are_inside() -> None:  # edge 26
    triangle = Polygon([(106.2, 29.2), (106.3, 29.2003), (106.25, 29.28)])
    places = Places.assigned([make_zone(triangle)])
    for lon, lat in triangle.exterior.coords:
        assert places.signed_distance_m(lon=lon, lat=lat) == 0
        assert places.covers(lon=lon, lat=lat)
    for share in np.linspace(0, 1, 41).tolist():
        # A point of a long slanting edge, rounded to the digits that travel.
        lon, lat = round(106.2 + share * 0.1, 7), round(29.2 + share * 0.0003, 7)
        assert places.signed_distance_m(lon=lon, lat=lat) == 0


def test_a_hole_is_outside_and_its_edge_inside() -> None:  # edges 28, 29
    hole = box(400, 400, 600, 600)
    places = Places.assigned([make_zone(box(0, 0, 1000, 1000).difference(hole))])
    assert depth(places, 500, 500) == pytest.approx(-100, abs=0.1)
    assert depth(places, 300, 500) == pytest.approx(100, abs=0.1)
    for lon, lat in hole.exterior.coords:
        assert places.covers(lon=lon, lat=lat)


def test_an_enclave_is_inside_when_the_posting_has_it_too() -> None:  # edge 28
    host = make_zone(box(0, 0, 1000, 1000).difference(box(400, 400, 600, 600)), id="host")
    enclave = make_zone(box(400, 400, 600, 600), id="enclave")
    places = Places.assigned([host, enclave])
    assert depth(places, 500, 500) == pytest.approx(500, abs=0.2)
    assert depth(places, 400, 500) == pytest.approx(400, abs=0.2)
    assert places.covering(places.spot(lon=at(500, 500)[0], lat=at(500, 500)[1])) == ("enclave",)


def test_any_piece_of_a_village_is_the_village() -> None:  # edge 30
    pieces = [box(x, 0, x + 300, 300) for x in (0, 2000, 5000)]
    places = Places.assigned([make_zone(MultiPolygon(pieces))])
    assert [depth(places, x + 150, 150) for x in (0, 2000, 5000)] == pytest.approx([150] * 3, abs=0.1)
    assert depth(places, 1150, 150) == pytest.approx(-850, abs=0.2)


def test_the_border_between_two_assigned_villages_is_no_border() -> None:  # edge 27
    west, east = make_zone(box(-1000, -500, 0, 500), id="west"), make_zone(box(0, -500, 1000, 500), id="east")
    both = Places.assigned([west, east])
    assert depth(both, 0, 0) == pytest.approx(500, abs=0.2)
    lon, lat = at(0, 0)
    assert set(both.covering(both.spot(lon=lon, lat=lat))) == {"west", "east"}
    assert depth(Places.assigned([west]), 0, 0) == 0
    assert depth(Places.assigned([east]), 0, 0) == 0


def test_overlapping_villages_are_both_named() -> None:  # edge 31
    one, two = make_zone(box(0, 0, 600, 600), id="one"), make_zone(box(400, 0, 1000, 600), id="two")
    places = Places.assigned([one, two])
    assert depth(places, 500, 300) == pytest.approx(300, abs=0.2)
    lon, lat = at(500, 300)
    assert places.covering(places.spot(lon=lon, lat=lat)) == ("one", "two")
    lon, lat = at(900, 300)
    spot = places.spot(lon=lon, lat=lat)
    deepest = places.deepest(spot, places.depth_m(spot))
    assert deepest is not None
    assert deepest.id == "two"


@pytest.mark.parametrize(
    ("gap_m", "accuracies", "closed"), [(8, (10, 10), True), (8, (0, 10), True), (12, (10, 5), False)]
)
def test_a_gap_narrower_than_the_stated_accuracy_is_closed(
    gap_m: float, accuracies: tuple[float, float], closed: bool
) -> None:  # edge 32
    west = make_zone(box(-1000, -500, 0, 500), id="west", accuracy_m=accuracies[0])
    east = make_zone(box(gap_m, -500, 1000, 500), id="east", accuracy_m=accuracies[1])
    places = Places.assigned([west, east])
    expected = 500 if closed else -gap_m / 2
    assert depth(places, gap_m / 2, 0) == pytest.approx(expected, abs=0.3)
    # What lies around the two is as it was.
    assert depth(places, -500, 520) == pytest.approx(-20, abs=0.1)


def test_a_narrow_bay_of_one_village_stays_outside() -> None:
    # The bay is 20 m from the neighbour, and narrow enough to be closed were it between the two.
    square, notch = box(0, 0, 1000, 1000), box(600, 600, 1000, 1000)
    bay = make_zone(square.difference(notch).difference(box(576, 300, 580, 1001)), id="bay", accuracy_m=10.0)
    beside = make_zone(notch, id="beside", accuracy_m=10.0)
    for pair in ([bay, beside], [beside, bay]):
        places = Places.assigned(pair)
        assert depth(places, 578, 700) == pytest.approx(-2, abs=0.1)
        assert depth(places, 600, 700) == pytest.approx(20, abs=0.2)


def test_slivers_of_rounding_are_no_border() -> None:  # edge 32
    # The neighbour has a corner more on the common border, and six decimals put it a few centimetres off the line.
    (w, s), (e, n) = at(0, -500), at(1000, 500)
    west = make_zone(box(-1000, -500, 0, 500), id="west")
    east = make_zone(Polygon([(w, s), (e, s), (e, n), (w, n), (w + 1e-6, (s + n) / 2)]), id="east")
    assert shapely.distance(west.geometry, shapely.Point(w + 5e-7, (s + n) / 2)) > 0
    places = Places.assigned([west, east])
    assert places.signed_distance_m(lon=w + 5e-7, lat=(s + n) / 2) == pytest.approx(500, abs=0.3)


@given(
    whole=ragged(),
    wobble=st.lists(st.floats(min_value=-200, max_value=200), min_size=9, max_size=9),
    data=st.data(),
)
@settings(max_examples=80)
def test_a_village_cut_in_two_and_rounded_is_whole_when_joined(
    whole: Rings, wobble: list[float], data: st.DataObject
) -> None:  # edges 27, 32
    village = Polygon(whole[0], whole[1:])
    cut = Polygon(
        [at(x, 1000.0 * k - 4000) for k, x in enumerate(wobble)] + [at(-5000, 4000), at(-5000, -4000)]
    )
    halves = [
        shapely.transform(half, lambda coordinates: np.round(coordinates, 6))
        for half in (village.intersection(cut), village.difference(cut))
    ]
    assume(
        all(
            half.is_valid and not half.is_empty and half.geom_type in {"Polygon", "MultiPolygon"}
            for half in halves
        )
    )
    places = Places.assigned([make_zone(half, id=str(k)) for k, half in enumerate(halves)])
    alone = Places.assigned([make_zone(village)])
    lon, lat = at(
        data.draw(st.floats(min_value=-3000, max_value=3000)),
        data.draw(st.floats(min_value=-3000, max_value=3000)),
    )
    # Six decimals move a corner by up to 7 cm, and corners of sharp angles farther out when a gap is closed there.
    assert places.signed_distance_m(lon=lon, lat=lat) == pytest.approx(
        alone.signed_distance_m(lon=lon, lat=lat), abs=0.5
    )


def test_exclusion_zones_close_no_gaps_of_land() -> None:
    seats = [
        make_zone(box(-1000, -500, 0, 500), id="a", kind=ZoneKind.TOWN_SEAT, accuracy_m=30.0),
        make_zone(box(20, -500, 1000, 500), id="b", kind=ZoneKind.URBAN, accuracy_m=30.0),
    ]
    assert depth(Places.excluded(seats), 10, 0) == pytest.approx(-10, abs=0.1)


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="Linux tells the memory of a process there."
)
def test_a_prepared_village_takes_no_more_than_40_kb() -> None:
    turns = np.linspace(0, 2 * np.pi, 564, endpoint=False).tolist()
    village = make_zone(Polygon([at(2000 * math.cos(a), 2000 * math.sin(a)) for a in turns]))

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096

    before = resident()
    kept = [Places.assigned([village]) for _ in range(2000)]
    assert (resident() - before) / len(kept) < 40_000
