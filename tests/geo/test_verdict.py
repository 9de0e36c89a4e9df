"""The verdict: rulings 1, 2 and 14 against a second opinion; edge cases 28-41, 49 and 52."""

import math
import re
from dataclasses import FrozenInstanceError

import plain_geometry
import pytest
from ground import Rings, at, box, make_fix, make_zone, ragged
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from geo.datum import Datum, from_wgs84
from geo.verdict import (
    SENTENCES,
    Band,
    Reason,
    Thresholds,
    Verdict,
    VerdictKind,
    band_of,
    judge,
    probability_inside,
)
from geo.zones import Places, ZoneKind, circle

VILLAGE = make_zone(box(0, 0, 1000, 1000))
SEAT = make_zone(box(600, 600, 900, 900), "seat", kind=ZoneKind.TOWN_SEAT)
PLACES = Places.assigned([VILLAGE])
SEATS = Places.excluded([SEAT])


# Figures of field.md, section 1


@pytest.mark.parametrize(
    ("accuracy_m", "inside_m", "p"), [(30, 20, 0.84), (65, 20, 0.68), (65, 50, 0.88), (100, 50, 0.78)]
)
def test_the_field_figures_come_out(accuracy_m: float, inside_m: float, p: float) -> None:
    verdict = judge(make_fix(500, inside_m, accuracy_m=float(accuracy_m)), PLACES)
    assert verdict.p == pytest.approx(p, abs=0.005)
    assert verdict.margin_m == pytest.approx(inside_m, abs=0.05)
    assert verdict.kind is (VerdictKind.INSIDE if p >= 0.80 else VerdictKind.UNSURE)
    assert verdict.band is Band.INSIDE


def test_a_68_percent_radius_holds_68_percent() -> None:
    # Sigma is defined by the radius of a round normal error: its share within r is 1 - exp(-r^2 / 2 sigma^2).
    sigma = 1 / 1.515
    assert 1 - math.exp(-1 / (2 * sigma**2)) == pytest.approx(0.6827, abs=2e-4)
    assert probability_inside(sigma, 1.0) == pytest.approx(0.8413, abs=1e-4)


@pytest.mark.parametrize(
    ("outside_m", "accuracy_m", "kind"),
    [(120, 40, "outside"), (20, 30, "unsure"), (33, 30, "outside"), (32, 30, "unsure"), (0, 30, "unsure")],
)
def test_outside_is_said_only_where_it_is_clear(
    outside_m: float, accuracy_m: float, kind: str
) -> None:  # edge 52
    verdict = judge(make_fix(500, -float(outside_m), accuracy_m=float(accuracy_m)), PLACES)
    assert verdict.kind == kind
    assert verdict.counts is (kind == "unsure")


# The second opinion


@given(
    parts=st.tuples(ragged(0, 0, 2000)) | st.tuples(ragged(0, 0, 2000), ragged(5000, 0, 2000)),
    seat=ragged(700, 200, 1200),
    east=st.floats(min_value=-2500, max_value=4000),
    north=st.floats(min_value=-2500, max_value=2500),
    accuracy_m=st.floats(min_value=3, max_value=499),
    stated=st.tuples(st.floats(min_value=0, max_value=60), st.floats(min_value=0, max_value=60)),
    datum=st.sampled_from([Datum.WGS84, Datum.CGCS2000]),
)
@settings(max_examples=80)
def test_the_verdict_agrees_with_a_second_opinion(
    parts: tuple[Rings, ...],
    seat: Rings,
    east: float,
    north: float,
    accuracy_m: float,
    stated: tuple[float, float],
    datum: Datum,
) -> None:  # edges 28-30, 33
    village = MultiPolygon([(part[0], part[1:]) for part in parts])
    places = Places.assigned([make_zone(village, accuracy_m=stated[0])])
    seats = Places.excluded(
        [make_zone(Polygon(seat[0], seat[1:]), "seat", kind=ZoneKind.URBAN, accuracy_m=stated[1])]
    )
    fix = make_fix(east, north, accuracy_m=accuracy_m, datum=datum)
    found = judge(fix, places, seats)

    margin = plain_geometry.signed_distance_m(parts, fix.lon, fix.lat)
    zone_margin = plain_geometry.signed_distance_m([seat], fix.lon, fix.lat)
    # The accuracy's part of the conversion: a metre for CGCS2000's age, as the module states.
    radius = math.sqrt(accuracy_m**2 + (1.0 if datum is Datum.CGCS2000 else 0.0))
    p = plain_geometry.phi(margin, radius, stated[0])
    p_zone = plain_geometry.phi(zone_margin, radius, stated[1])
    assert found.margin_m == pytest.approx(margin, abs=0.05, rel=1e-5)
    assert found.p == pytest.approx(p, abs=0.01)
    assert found.p_zone == pytest.approx(p_zone, abs=0.01)
    if found.zone_margin_m is not None:
        assert found.zone_margin_m == pytest.approx(zone_margin, abs=0.05, rel=1e-5)
    close_call = min(abs(p - 0.8), abs(p - 0.05), abs(p_zone - 0.8), abs(p_zone - 0.05)) < 0.01
    if not close_call:
        assert found.kind == plain_geometry.kind_of(p_zone, p)


# Unusable, no fence, not posted


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"accuracy_m": 5000.0}, Reason.ACCURACY_TOO_COARSE),  # edge 35
        ({"accuracy_m": 500.1}, Reason.ACCURACY_TOO_COARSE),
        ({"accuracy_m": math.inf}, Reason.ACCURACY_TOO_COARSE),
        ({"age_s": 120.1}, Reason.FIX_TOO_OLD),
        ({"age_s": 10_800.0}, Reason.FIX_TOO_OLD),  # edge 37
        ({"lon": 106.2, "lat": 29.3}, Reason.ACCURACY_TOO_COARSE),  # edge 41
        ({"lon": 106.2, "lat": 29.3, "accuracy_m": None}, Reason.ACCURACY_TOO_COARSE),  # edges 36, 41
    ],
)
def test_a_fix_that_says_too_little_is_unusable(facts: dict[str, object], reason: Reason) -> None:
    found = judge(make_fix(**facts), PLACES, SEATS)  # type: ignore[arg-type]
    assert (found.kind, found.reason, found.counts) == (VerdictKind.UNUSABLE, reason, False)
    assert found.band is None
    assert found.margin_m is None


@pytest.mark.parametrize("facts", [{"accuracy_m": 500.0}, {"age_s": 120.0}])
def test_the_limits_themselves_are_usable(facts: dict[str, object]) -> None:
    assert judge(make_fix(**facts), PLACES).kind is not VerdictKind.UNUSABLE  # type: ignore[arg-type]


def test_no_position_is_a_claim() -> None:
    found = judge(None, PLACES, SEATS)
    assert (found.kind, found.reason, found.counts) == (VerdictKind.UNUSABLE, Reason.NO_FIX, False)


def test_who_is_not_posted_is_not_judged() -> None:  # edge 76
    for fix in (make_fix(), make_fix(750, 750), None):
        found = judge(fix, None, SEATS)
        assert (found.kind, found.reason, found.counts) == (VerdictKind.NOT_POSTED, Reason.NOT_POSTED, False)


def test_a_village_without_a_boundary_counts_provisionally() -> None:  # edge 49
    nowhere = Places.assigned([], unfenced=["village"])
    found = judge(make_fix(), nowhere, SEATS)
    assert (found.kind, found.reason) == (VerdictKind.NO_FENCE, Reason.NO_BOUNDARY)
    assert found.counts
    assert found.provisional
    assert (found.p, found.margin_m, found.band, found.versions) == (None, None, None, ())
    # The exclusion zones need no village; the edge of one says nothing that a boundary would not say better.
    assert judge(make_fix(750, 750), nowhere, SEATS).kind is VerdictKind.TOWN
    assert judge(make_fix(600, 750), nowhere, SEATS).kind is VerdictKind.NO_FENCE
    assert judge(make_fix(accuracy_m=900.0), nowhere, SEATS).kind is VerdictKind.UNUSABLE


def test_outside_of_the_one_village_with_a_boundary_may_be_inside_the_other() -> None:  # edge 49
    half_known = Places.assigned([VILLAGE], unfenced=["other"])
    assert judge(make_fix(500, 500), half_known).kind is VerdictKind.INSIDE
    assert judge(make_fix(500, 2), half_known).kind is VerdictKind.UNSURE
    assert judge(make_fix(500, -3000), half_known).kind is VerdictKind.NO_FENCE
    assert judge(make_fix(500, -3000), PLACES).kind is VerdictKind.OUTSIDE


@pytest.mark.parametrize("accuracy_m", [None, 0.0, -1.0, math.nan])
def test_an_unknown_accuracy_is_never_better_than_unsure(accuracy_m: float | None) -> None:  # edge 36
    large = Places.assigned([make_zone(box(0, 0, 8000, 8000))])
    far_in, far_out = (
        make_fix(4000, 4000, accuracy_m=accuracy_m),
        make_fix(4000, -5000, accuracy_m=accuracy_m),
    )
    deep = judge(far_in, large)
    assert deep.p is not None
    assert deep.p > 0.999
    assert (deep.kind, deep.reason) == (VerdictKind.UNSURE, Reason.ACCURACY_UNKNOWN)
    assert judge(far_out, large).kind is VerdictKind.OUTSIDE
    assert judge(make_fix(4000, -300, accuracy_m=accuracy_m), large).kind is VerdictKind.UNSURE
    city = Places.excluded([make_zone(box(2000, 2000, 6000, 6000), "city", kind=ZoneKind.URBAN)])
    assert judge(far_in, large, city).kind is VerdictKind.TOWN


def test_a_strict_policy_does_not_make_unknown_worse_than_unsure() -> None:  # edge 36
    strict = Thresholds(max_accuracy_m=100.0)
    assert judge(make_fix(accuracy_m=None), PLACES, None, strict).kind is VerdictKind.UNSURE
    assert judge(make_fix(accuracy_m=101.0), PLACES, None, strict).kind is VerdictKind.UNUSABLE


def test_rounded_coordinates_are_judged_as_coarse_as_they_are() -> None:  # edge 41
    lon, lat = (round(part, 3) for part in at(500, 500))
    fine, coarse = make_fix(lon=lon + 1e-7, lat=lat), make_fix(lon=lon, lat=lat)
    assert judge(fine, PLACES).accuracy_m == 10.0
    assert judge(coarse, PLACES).accuracy_m == pytest.approx(74, abs=1)


# Exclusion zones


def test_a_town_seat_in_the_village_wins_where_it_is_clear() -> None:  # edge 33
    found = judge(make_fix(750, 750), PLACES, SEATS)
    assert (found.kind, found.reason, found.counts) == (VerdictKind.TOWN, Reason.IN_TOWN_SEAT, False)
    assert (found.zone_id, found.zone_name) == ("seat", "seat's name")
    assert found.place_ids == ("village",)
    assert found.band is Band.INSIDE
    assert found.versions == (VILLAGE.version, SEAT.version)
    assert found.zone_margin_m == pytest.approx(150, abs=0.1)
    urban = Places.excluded([make_zone(SEAT.geometry, "seat", kind=ZoneKind.URBAN)])
    assert judge(make_fix(750, 750), PLACES, urban).reason is Reason.IN_URBAN_AREA


@pytest.mark.parametrize(
    ("into_the_seat_m", "kind", "reason"),
    [
        (20, "town", Reason.IN_TOWN_SEAT),
        (4, "unsure", Reason.NEAR_ZONE_BORDER),
        (-8, "unsure", Reason.NEAR_ZONE_BORDER),
        (-12, "inside", Reason.IN_VILLAGE),
    ],
)
def test_a_seat_that_is_not_clear_leaves_the_day_counted(
    into_the_seat_m: float, kind: str, reason: Reason
) -> None:
    found = judge(make_fix(600 + into_the_seat_m, 750), PLACES, SEATS)  # edge 33
    assert (found.kind, found.reason) == (kind, reason)
    assert (found.zone_id is None) is (kind == "inside")
    assert len(found.versions) == (1 if kind == "inside" else 2)


def test_the_edge_of_a_town_far_from_the_village_is_unsure_and_says_so() -> None:
    far_town = Places.excluded([make_zone(box(5000, 0, 6000, 1000), "town", kind=ZoneKind.TOWN_SEAT)])
    found = judge(make_fix(5000, 500), PLACES, far_town)
    assert (found.kind, found.reason) == (VerdictKind.UNSURE, Reason.NEAR_ZONE_FAR_FROM_VILLAGE)
    assert found.p == pytest.approx(0, abs=1e-9)
    assert found.band is Band.FARTHER


def test_the_border_between_two_seats_is_no_way_out() -> None:
    seats = Places.excluded(
        [
            make_zone(box(0, 0, 500, 1000), "west", kind=ZoneKind.TOWN_SEAT),
            make_zone(box(500, 0, 1000, 1000), "east", kind=ZoneKind.URBAN),
        ]
    )
    assert judge(make_fix(500, 500), PLACES, seats).kind is VerdictKind.TOWN
    found = judge(make_fix(520, 500), PLACES, seats)
    assert (found.zone_id, found.reason) == ("east", Reason.IN_URBAN_AREA)


def test_a_village_office_in_the_town_is_an_allowed_place() -> None:  # edge 33
    lon, lat = at(750, 750)
    office = make_zone(circle(lon=lon, lat=lat, radius_m=60), "office", kind=ZoneKind.DUTY_PLACE)
    places = Places.assigned([VILLAGE, office])
    found = judge(make_fix(750, 750), places, SEATS)
    assert (found.kind, found.zone_id) == (VerdictKind.INSIDE, None)
    assert found.zone_margin_m == pytest.approx(-60, abs=0.1)
    assert set(found.place_ids) == {"village", "office"}
    assert judge(make_fix(750 + 60, 750), places, SEATS).kind is VerdictKind.UNSURE
    assert judge(make_fix(750 + 90, 750), places, SEATS).kind is VerdictKind.TOWN
    # The same office far from the village, for a posting whose village is elsewhere.
    away = Places.assigned([make_zone(box(-9000, 0, -8000, 1000)), office])
    assert judge(make_fix(750, 750), away, SEATS).kind is VerdictKind.INSIDE


def test_each_zone_is_judged_by_its_own_accuracy() -> None:
    seats = Places.excluded(
        [
            make_zone(SEAT.geometry, "seat", kind=ZoneKind.TOWN_SEAT, accuracy_m=0.0),
            make_zone(box(5000, 0, 6000, 1000), "coarse", kind=ZoneKind.TOWN_SEAT, accuracy_m=200.0),
        ]
    )
    assert judge(make_fix(620, 750), PLACES, seats).kind is VerdictKind.TOWN
    assert judge(make_fix(5020, 750), PLACES, seats).kind is VerdictKind.UNSURE


def test_a_village_in_the_posting_is_no_allowed_place() -> None:
    inner = make_zone(SEAT.geometry, "inner")
    assert judge(make_fix(750, 750), Places.assigned([VILLAGE, inner]), SEATS).kind is VerdictKind.TOWN


# Boundaries and datums


def test_the_stated_accuracy_of_the_boundary_is_part_of_sigma() -> None:
    for stated_m, kind in ((0.0, VerdictKind.INSIDE), (40.0, VerdictKind.UNSURE)):
        found = judge(make_fix(500, 20), Places.assigned([make_zone(VILLAGE.geometry, accuracy_m=stated_m)]))
        assert found.kind is kind
        assert found.p == pytest.approx(plain_geometry.phi(20, 10, stated_m), abs=1e-3)


def test_each_border_is_judged_by_its_own_accuracy() -> None:
    fine = make_zone(box(0, 0, 1000, 1000), "fine", accuracy_m=0.0)
    coarse = make_zone(box(5000, 0, 6000, 1000), "coarse", accuracy_m=200.0)
    places = Places.assigned([fine, coarse])
    assert judge(make_fix(500, 20), places).kind is VerdictKind.INSIDE
    assert judge(make_fix(5500, 20), places).kind is VerdictKind.UNSURE


@pytest.mark.parametrize("outside_at_most", [0.05, 0.2, 0.5])
def test_nothing_within_the_stated_accuracy_is_outside(outside_at_most: float) -> None:  # edge 32
    rough = Places.assigned([make_zone(VILLAGE.geometry, accuracy_m=50.0)])
    policy = Thresholds(outside_at_most=outside_at_most)
    assert judge(make_fix(500, -49, accuracy_m=1.0), rough, None, policy).kind is VerdictKind.UNSURE
    assert judge(make_fix(500, -120, accuracy_m=1.0), rough, None, policy).kind is VerdictKind.OUTSIDE


@pytest.mark.parametrize("datum", list(Datum))
def test_a_fix_is_judged_where_it_is_in_whatever_datum(datum: Datum) -> None:  # edge 39
    lon, lat = at(500, 100)
    given_as = from_wgs84(lon=lon, lat=lat, datum=datum)
    fix = make_fix(lon=given_as.lon, lat=given_as.lat, datum=datum, accuracy_m=60.0)
    found = judge(fix, PLACES)
    assert found.kind is VerdictKind.INSIDE
    assert found.margin_m == pytest.approx(100, abs=0.05)
    # Conversion errs by metres, not by the last digit: that enters sigma like the boundary's own accuracy.
    allowance = {Datum.WGS84: 0.0, Datum.GCJ02: 2.0, Datum.BD09: 4.0, Datum.CGCS2000: 1.0}[datum]
    assert found.p == pytest.approx(plain_geometry.phi(found.margin_m or 0, 60.0, allowance), abs=1e-9)


def test_a_wrong_datum_looks_like_somebody_elsewhere() -> None:  # edge 40
    lon, lat = at(500, 500)
    there = from_wgs84(lon=lon, lat=lat, datum=Datum.GCJ02)
    small = Places.assigned([make_zone(box(300, 300, 700, 700))])
    assert judge(make_fix(lon=there.lon, lat=there.lat), small).kind is VerdictKind.OUTSIDE
    assert judge(make_fix(lon=there.lon, lat=there.lat, datum=Datum.GCJ02), small).kind is VerdictKind.INSIDE


# What is said


@pytest.mark.parametrize(
    ("margin_m", "band"),
    [
        (500, "inside"),
        (0, "inside"),
        (-0.1, "within-100m"),
        (-100, "within-100m"),
        (-100.1, "within-500m"),
        (-500, "within-500m"),
        (-500.1, "within-2km"),
        (-2000, "within-2km"),
        (-2000.1, "farther"),
        (-math.inf, "farther"),
    ],
)
def test_the_bands_are_those_of_the_ruling(margin_m: float, band: str) -> None:
    assert band_of(margin_m) == band


def test_every_reason_has_a_sentence_without_figures() -> None:
    assert set(SENTENCES) == set(Reason)
    for reason, sentence in SENTENCES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)
        assert not re.search(r"\d|%|违|violat", sentence.zh + sentence.en), reason
        assert re.search(r"[\u4e00-\u9fff]", sentence.zh), reason
        assert not re.search(r"[\u4e00-\u9fff]", sentence.en), reason


def test_what_counts_is_what_the_ruling_says() -> None:
    counted = {kind for kind in VerdictKind if Verdict(kind=kind, reason=Reason.NO_FIX).counts}
    assert counted == {VerdictKind.INSIDE, VerdictKind.UNSURE, VerdictKind.NO_FENCE}
    provisional = {kind for kind in VerdictKind if Verdict(kind=kind, reason=Reason.NO_FIX).provisional}
    assert provisional == {VerdictKind.UNSURE, VerdictKind.NO_FENCE}


def test_a_verdict_cannot_be_changed_and_carries_no_position() -> None:
    found = judge(make_fix(), PLACES, SEATS)
    with pytest.raises(FrozenInstanceError):
        found.kind = VerdictKind.OUTSIDE  # type: ignore[misc]
    assert "106." not in repr(found)
    assert found.sentence is SENTENCES[found.reason]


@pytest.mark.parametrize(
    "wrong",
    [
        {"inside_at_least": 0.49},
        {"inside_at_least": 1.0},
        {"town_at_least": math.nan},
        {"outside_at_most": 0.0},
        {"zone_clear_at_most": 0.51},
        {"max_accuracy_m": 0.0},
        {"max_accuracy_m": math.inf},
        {"unknown_accuracy_m": -1.0},
        {"max_age_s": math.nan},
    ],
)
def test_thresholds_that_make_no_sense_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Thresholds(**wrong)


def test_thresholds_are_policy() -> None:
    fix = make_fix(500, 20, accuracy_m=30.0)
    assert judge(fix, PLACES).kind is VerdictKind.INSIDE
    assert judge(fix, PLACES, None, Thresholds(inside_at_least=0.9)).kind is VerdictKind.UNSURE
    edge_of_seat = make_fix(604, 750)
    assert judge(edge_of_seat, PLACES, SEATS, Thresholds(town_at_least=0.6)).kind is VerdictKind.TOWN
