"""Distances on the sphere against the ellipsoid's geodesics, which know nothing of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from geo.sphere import distances_m

GEOD = Geod(ellps="WGS84")
LON, LAT = st.floats(-180, 180), st.floats(-89, 89)


def one(lon: float, lat: float, to_lon: float, to_lat: float) -> float:
    return float(distances_m(*(np.array([each]) for each in (lon, lat, to_lon, to_lat)))[0])


@given(LON, LAT, LON, LAT)
def test_the_sphere_errs_by_less_than_six_in_a_thousand(
    lon: float, lat: float, to_lon: float, to_lat: float
) -> None:
    assert abs(
        one(lon, lat, to_lon, to_lat) / max(GEOD.inv(lon, lat, to_lon, to_lat)[2], 1e-3) - 1
    ) < 0.006 or (GEOD.inv(lon, lat, to_lon, to_lat)[2] < 0.01)


@given(LON, LAT, LON, LAT)
def test_there_is_as_far_as_back(lon: float, lat: float, to_lon: float, to_lat: float) -> None:
    assert abs(one(lon, lat, to_lon, to_lat) - one(to_lon, to_lat, lon, lat)) < 1e-6


def test_the_same_place_and_the_other_side_of_the_world() -> None:
    assert one(106.2, 28.9, 106.2, 28.9) == 0
    assert abs(one(0, 0, 180, 0) - np.pi * 6_371_008.8) < 1
