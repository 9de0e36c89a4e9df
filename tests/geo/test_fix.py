"""Fixes: what cannot be a position, unknown accuracy, digits that were rounded away. Edge cases 36, 38, 39, 41, 53."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import Geod

from geo.datum import Datum
from geo.fix import (
    POSITION_FAULTS,
    Box,
    Fix,
    PositionFault,
    evident_decimals,
    evident_decimals_e7,
    position_fault,
    rounding_error_m,
)

GEOD = Geod(ellps="WGS84")
JIANGJIN = Box(west=105.5, south=28.2, east=107.0, north=29.8)


def make_fix(**kw: object) -> Fix:
    given_as = {
        "lon": 106.2576312,
        "lat": 29.3004193,
        "datum": Datum.WGS84,
        "age_s": 3.0,
        "accuracy_m": 12.0,
    } | kw
    return Fix(**given_as)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lon", "lat", "fault"),
    [
        (106.25, 29.29, None),
        (106, 29, None),
        (0.0, 0.0, PositionFault.NULL_ISLAND),
        (0.0004, -0.0009, PositionFault.NULL_ISLAND),
        (0.0, 51.5, None),
        (181.0, 29.0, PositionFault.OUT_OF_RANGE),
        (106.25, 91.0, PositionFault.OUT_OF_RANGE),
        (106.25, -90.1, PositionFault.OUT_OF_RANGE),
        (10**400, 29.0, PositionFault.OUT_OF_RANGE),
        (29.29, 106.25, PositionFault.AXES_SWAPPED),
        (18.0, 73.0, PositionFault.AXES_SWAPPED),
        (54.0, 136.0, PositionFault.AXES_SWAPPED),
        (40.0, 80.0, PositionFault.AXES_SWAPPED),  # In range, but the Barents Sea is no place of a cadre.
        (math.nan, 29.0, PositionFault.NOT_A_NUMBER),
        (106.25, math.inf, PositionFault.NOT_A_NUMBER),
        ("106.25", 29.29, PositionFault.NOT_A_NUMBER),
        (106.25, None, PositionFault.NOT_A_NUMBER),
        (True, False, PositionFault.NOT_A_NUMBER),
    ],
)
def test_what_cannot_be_a_position_is_named(
    lon: object, lat: object, fault: PositionFault | None
) -> None:  # edge 38
    assert position_fault(lon, lat) == fault


def test_a_position_far_from_the_district_is_named_where_a_box_is_given() -> None:  # edge 53
    assert position_fault(116.4, 39.9) is None
    assert position_fault(116.4, 39.9, box=JIANGJIN) is PositionFault.FAR_AWAY
    assert position_fault(JIANGJIN.west, JIANGJIN.north, box=JIANGJIN) is None
    assert position_fault(29.29, 106.25, box=JIANGJIN) is PositionFault.AXES_SWAPPED


def test_every_fault_has_a_sentence_in_both_languages() -> None:
    assert set(POSITION_FAULTS) == set(PositionFault)
    assert all(sentence.zh and sentence.en for sentence in POSITION_FAULTS.values())
    assert PositionFault("axes-swapped") is PositionFault.AXES_SWAPPED
    assert "Axes swapped?" in POSITION_FAULTS[PositionFault.AXES_SWAPPED].en


def test_a_fix_cannot_hold_what_is_no_position() -> None:
    with pytest.raises(ValueError, match="axes-swapped: Axes swapped"):
        make_fix(lon=29.29, lat=106.25)
    for age_s in (math.nan, math.inf, -0.5):
        with pytest.raises(ValueError, match="age of a fix"):
            make_fix(age_s=age_s)


@pytest.mark.parametrize("accuracy_m", [None, 0.0, -1.0, math.nan, -math.inf])
def test_an_unknown_accuracy_is_judged_as_500_m(accuracy_m: float | None) -> None:  # edge 36
    accuracy = make_fix(accuracy_m=accuracy_m).accuracy()
    assert accuracy.metres == 500
    assert not accuracy.known
    assert not accuracy.rounded


def test_a_stated_accuracy_stands_where_the_digits_allow_it() -> None:
    accuracy = make_fix(accuracy_m=12.0).accuracy()
    assert (accuracy.metres, accuracy.known, accuracy.rounded) == (12.0, True, False)


def test_three_decimals_are_74_m_at_jiangjin() -> None:  # edge 41
    fix = make_fix(lon=106.258, lat=29.3, accuracy_m=5.0)
    assert fix.decimals() == 3
    accuracy = fix.accuracy()
    assert accuracy.metres == pytest.approx(74, abs=0.5)
    assert accuracy.rounded
    assert make_fix(lon=106.258, lat=29.3, accuracy_m=90.0).accuracy().metres == 90.0


def test_the_digits_count_as_they_came_not_as_they_convert() -> None:  # edges 39, 41
    fix = make_fix(lon=106.258, lat=29.297, datum=Datum.GCJ02, accuracy_m=5.0)
    assert evident_decimals(lon=fix.position().lon, lat=fix.position().lat) == 7
    assert fix.accuracy().metres == pytest.approx(74, abs=0.5)
    assert fix.conversion_error_m() > 0
    assert make_fix().conversion_error_m() == 0


def test_coarse_digits_can_be_worse_than_unknown() -> None:
    assert make_fix(lon=106.2, lat=29.3, accuracy_m=None).accuracy().metres > 5000


@given(
    lon=st.integers(min_value=73 * 10**7, max_value=136 * 10**7),
    lat=st.integers(min_value=18 * 10**7, max_value=54 * 10**7),
    decimals=st.integers(min_value=0, max_value=7),
)
@example(lon=1062500000, lat=292900000, decimals=7)
def test_evident_decimals_are_those_of_the_printed_number(lon: int, lat: int, decimals: int) -> None:
    def printed(e7: int) -> int:
        return len(f"{e7 / 10**7:.7f}".rstrip("0").partition(".")[2])

    step = 10 ** (7 - decimals)
    lon, lat = lon // step * step, lat // step * step
    expected = max(printed(lon), printed(lat))
    assert expected <= decimals
    assert evident_decimals_e7(lon_e7=lon, lat_e7=lat) == expected
    assert evident_decimals(lon=lon / 10**7, lat=lat / 10**7) == expected


@given(
    lon=st.floats(min_value=73, max_value=136),
    lat=st.floats(min_value=18, max_value=54),
    decimals=st.integers(min_value=1, max_value=7),
)
def test_rounding_never_moves_a_position_farther_than_its_error(
    lon: float, lat: float, decimals: int
) -> None:
    moved = GEOD.inv(lon, lat, round(lon, decimals), round(lat, decimals))[2]
    error = rounding_error_m(lat=lat, decimals=decimals)
    assert (
        moved <= error * 1.002 + 1e-6
    )  # The figure is for the latitude given; a rounded one may be a little lower.
    half = 0.5 / 10**decimals
    corner = GEOD.inv(lon, lat, lon + half, lat + half)[2]
    assert error == pytest.approx(corner, rel=0.01)


def test_a_negative_number_of_decimals_is_refused() -> None:
    with pytest.raises(ValueError, match="decimals from 0"):
        rounding_error_m(lat=29.0, decimals=-1)
    assert rounding_error_m(lat=29.0, decimals=9) == rounding_error_m(lat=29.0, decimals=7)
