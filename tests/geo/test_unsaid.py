"""Fixes that do not say their datum or their age: never sure, and never lost where the village may be (edge 140)."""

from dataclasses import replace

import pytest
from ground import GEOD, LAT, LON, at, box, make_fix, make_zone
from hypothesis import given
from hypothesis import strategies as st

from geo.datum import Datum, from_wgs84
from geo.fix import MOST_SHIFT_M, Fix
from geo.verdict import Reason, VerdictKind, judge
from geo.zones import Places, ZoneKind

VILLAGE = Places.assigned([make_zone(box(-1000, -1000, 1000, 1000))])
SEAT = Places.excluded([make_zone(box(600, 600, 1000, 1000), "seat", kind=ZoneKind.TOWN_SEAT)])
PHONES = [Datum.WGS84, Datum.GCJ02, Datum.BD09]  # CGCS2000 is WGS-84 to within a metre.
METRES = st.floats(min_value=-4000, max_value=4000)


def as_sent(
    east_m: float, north_m: float, datum: Datum, *, accuracy_m: float | None = 10.0, age_s: float = 2.0
) -> Fix:
    """The fix of a phone that stands there and speaks this datum."""
    lon, lat = at(east_m, north_m)
    spoken = from_wgs84(lon=lon, lat=lat, datum=datum)
    known = make_fix(accuracy_m=accuracy_m, age_s=age_s, datum=datum)
    return replace(known, lon=round(spoken.lon, 7), lat=round(spoken.lat, 7))


@given(METRES, METRES, st.sampled_from(PHONES), st.sampled_from([3.0, 10.0, 60.0, 400.0, None]))
def test_without_its_datum_a_fix_is_never_inside_and_never_worse_than_with_it(
    east: float, north: float, datum: Datum, accuracy: float | None
) -> None:  # edge 140
    told = judge(known := as_sent(east, north, datum, accuracy_m=accuracy), VILLAGE, SEAT)
    unsaid = judge(replace(known, datum=None), VILLAGE, SEAT)
    assert unsaid.kind is not VerdictKind.INSIDE
    assert not told.counts or (unsaid.kind, unsaid.reason) == (VerdictKind.UNSURE, Reason.DATUM_UNKNOWN)
    if unsaid.kind is VerdictKind.TOWN:
        assert told.kind is VerdictKind.TOWN


@given(METRES, METRES, st.sampled_from(PHONES), st.floats(min_value=0, max_value=130))
def test_without_its_age_a_fix_is_never_inside_and_elsewhere_as_with_it(
    east: float, north: float, datum: Datum, age_s: float
) -> None:  # edge 140
    told = judge(known := as_sent(east, north, datum, age_s=min(age_s, 120.0)), VILLAGE, SEAT)
    unsaid = judge(replace(known, age_s=None), VILLAGE, SEAT)
    if told.counts:
        assert (unsaid.kind, unsaid.reason) == (VerdictKind.UNSURE, Reason.AGE_UNKNOWN)
    else:
        assert (unsaid.kind, unsaid.reason) == (told.kind, told.reason)


@pytest.mark.parametrize("spoken", [Datum.GCJ02, Datum.BD09])
def test_gcj_taken_for_wgs_would_have_been_inside_and_is_not(spoken: Datum) -> None:  # edge 140
    # Where such a phone stands when its numbers are those of the middle of the village.
    assert judge(make_fix(0, 0), VILLAGE).kind is VerdictKind.INSIDE
    there = make_fix(0, 0, datum=spoken).position()
    assert GEOD.inv(there.lon, there.lat, LON, LAT)[2] > 400
    small = Places.assigned([make_zone(box(-200, -200, 200, 200))])
    assert judge(make_fix(0, 0, datum=spoken), small).kind is VerdictKind.OUTSIDE
    assert judge(make_fix(0, 0, datum=None), small).kind is VerdictKind.UNSURE


def test_far_from_the_village_no_datum_helps() -> None:  # edge 140
    verdict = judge(make_fix(9000, 9000, datum=None, age_s=None), VILLAGE, SEAT)
    assert (verdict.kind, verdict.reason) == (VerdictKind.OUTSIDE, Reason.OUT_OF_VILLAGE)
    assert judge(make_fix(0, 0, datum=None), None).kind is VerdictKind.NOT_POSTED
    assert (
        judge(make_fix(0, 0, datum=None), Places.assigned([], unfenced=["village"])).kind
        is VerdictKind.NO_FENCE
    )
    coarse = make_fix(0, 0, datum=None, accuracy_m=900.0)
    assert judge(coarse, VILLAGE).reason is Reason.ACCURACY_TOO_COARSE


@given(st.floats(min_value=73, max_value=135), st.floats(min_value=18, max_value=54), st.sampled_from(PHONES))
def test_no_datum_moves_a_position_in_china_farther_than_said(lon: float, lat: float, datum: Datum) -> None:
    spoken = from_wgs84(lon=lon, lat=lat, datum=datum)
    assert GEOD.inv(lon, lat, spoken.lon, spoken.lat)[2] < MOST_SHIFT_M
