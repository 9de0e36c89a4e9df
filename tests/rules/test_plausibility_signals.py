"""Each signal at its boundaries: what shows it, what looks like it and is honest, and the evidence that it names."""

import math
import random
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from plausibility_cases import (
    DAY,
    HOUR,
    LAT_E7,
    LON_E7,
    MINUTE,
    MORNING,
    assessed,
    codes,
    person,
    signal,
    tap,
)
from pyproj import Geod

from server.checkins.plausibility.facts import Allowance, Platform, Sighting
from server.checkins.plausibility.habits import Custom
from server.checkins.plausibility.scoring import Attention
from server.checkins.plausibility.signals import Code

POINT: dict[str, Any] = {"lon_e7": LON_E7, "lat_e7": LAT_E7, "accuracy_m": 7.0}


def test_ordinary_check_ins_show_nothing() -> None:
    every = assessed([tap(n, who=who) for n in range(40) for who in range(3)])
    assert all(each.score == 0 and not each.signals for each in every.values())


# The same point.


def test_three_days_on_one_point_are_told_with_the_check_ins_that_show_it() -> None:
    taps = [tap(n, **POINT) for n in (0, 4, 9)]
    found = signal(taps, Code.SAME_POINT)
    assert found.points == 30
    assert set(found.check_ins) == {taps[0].id, taps[1].id}
    assert found.figures["days"] == 3
    assert found.figures["power"] <= -6
    assert "3 天" in found.zh
    assert "3 days" in found.en
    assert Code.SAME_POINT not in codes(taps[:2])


def test_a_window_of_thirty_days_ends() -> None:
    assert Code.SAME_POINT in codes([tap(0, **POINT), tap(15, **POINT), tap(29, **POINT)])
    assert Code.SAME_POINT not in codes([tap(0, **POINT), tap(15, **POINT), tap(31, **POINT)])


def test_a_cached_fix_is_one_fix_however_often_it_is_used() -> None:
    # frappe hrms 1899: a cached position was taken for a new one; the other way round nobody is accused for a cache.
    taps = [tap(n, **POINT, at=MORNING + n * DAY, age_s=n * 86_400.0 + 3) for n in range(9)]
    assert codes(taps) & {Code.SAME_POINT, Code.ZERO_SCATTER, Code.SAME_ALTITUDE} == set()


def test_one_fix_about_midnight_is_of_one_day() -> None:
    midnight = MORNING + 15 * HOUR
    about = [tap(n, **POINT, at=midnight + (n * 40 - 20) * timedelta(seconds=1), age_s=0.0) for n in (0, 1)]
    assert Code.SAME_POINT not in codes([*about, tap(5, **POINT)])
    apart = [tap(0, **POINT, at=midnight - HOUR), tap(1, **POINT, at=midnight + HOUR)]
    assert Code.SAME_POINT in codes([*apart, tap(5, **POINT)])


def test_many_taps_of_one_day_are_one_day() -> None:
    taps = [tap(0, **POINT, id=UUID(int=n + 1), at=MORNING + n * 10 * MINUTE) for n in range(20)]
    assert Code.SAME_POINT not in codes(taps)


def test_few_decimals_make_the_same_point_ordinary() -> None:
    # Five decimals are a metre: at sigma 2 m three days on one point happen to the honest every month.
    grid: dict[str, Any] = {"lon_e7": 1_062_345_600, "lat_e7": 289_123_400, "accuracy_m": 7.0}
    assert Code.SAME_POINT not in codes([tap(n, **grid, device="coarse") for n in range(6)])
    # A phone that has shown seven decimals before is not coarse.
    assert Code.SAME_POINT in codes([tap(0), *[tap(n, **grid) for n in range(1, 7)]])
    at_once = tap(8, id=UUID(int=99), at=MORNING + 6 * DAY)
    assert Code.SAME_POINT in codes([at_once, *[tap(n, **grid, at=MORNING + n * DAY) for n in range(1, 7)]])


@pytest.mark.parametrize(
    "source",
    [
        {"provider": "network"},
        {"provider": None, "altitude_cm": None, "accuracy_m": 65.0, "platform": Platform.BROWSER},
        {"provider": "fused", "altitude_cm": None, "accuracy_m": 20.0},
    ],
)
def test_a_tower_or_wifi_point_is_the_same_for_everybody_for_ever(source: dict[str, Any]) -> None:
    taps = [tap(n, who=who, **{**POINT, **source}) for n in range(20) for who in range(4)]
    assert codes(taps) <= {Code.ODD_PROVIDER}


@pytest.mark.parametrize("shown", [{"altitude_cm": 31_234}, {"speed_cmps": 120}, {"accuracy_m": 5.0}])
def test_what_no_list_has_makes_a_point_a_measured_one(shown: dict[str, Any]) -> None:
    bare: dict[str, Any] = {
        "provider": None,
        "altitude_cm": None,
        "accuracy_m": 30.0,
        "platform": Platform.BROWSER,
    }
    assert Code.SAME_POINT in codes([tap(n, **{**POINT, **bare, **shown}) for n in range(6)])


def test_several_people_on_one_point() -> None:
    # Cirebon 2026: identical coordinates of several people over a year were the strong sign.
    taps = [tap(n, who=n % 2, **POINT) for n in range(4)]
    found = signal(taps, Code.POINT_OF_SEVERAL)
    assert (found.figures["own"], found.figures["others"]) == (2, 2)
    assert set(found.check_ins) == {each.id for each in taps[:3]}
    assert Code.POINT_OF_SEVERAL not in codes(taps[:3])  # Ten people at a spot meet by chance more easily.
    assert Code.POINT_OF_SEVERAL not in codes([tap(n, **POINT) for n in range(9)])


def test_one_fix_for_two_people_is_one_phone_and_not_a_coincidence() -> None:
    taps: list[Sighting] = []
    for n in range(5):
        at = MORNING + n * DAY
        spot: dict[str, Any] = {"lon_e7": LON_E7 + 1000 * n, "lat_e7": LAT_E7 + 1000 * n, "device": None}
        taps += [tap(n, at=at, **spot), tap(n, who=1, at=at + MINUTE, age_s=62.0, **spot)]
    assert codes(taps) == {Code.SHARED_FIX}
    assert signal(taps, Code.SHARED_FIX).check_ins == (taps[-2].id,)
    assert codes(taps[:2]) == set()  # Once may be chance.


# Scatter, altitude, accuracy.


def jittered(n: int, metres: float, **more: Any) -> Sighting:
    noise = random.Random(n)
    lon, lat = (round(noise.uniform(-metres, metres) * 90) * 1 for _ in range(2))
    # In the middle of a cell of five decimals.
    place: dict[str, Any] = {"lon_e7": 1_062_345_651 + lon, "lat_e7": 289_123_453 + lat, "accuracy_m": 20.0}
    return tap(n, **{**place, **more})


def test_ten_days_within_a_metre_at_twenty_metres_accuracy_do_not_scatter() -> None:
    still = [jittered(n, 0.3, accuracy_m=20.0 + n / 7) for n in range(10)]
    assert Code.ZERO_SCATTER in codes(still)
    assert Code.SAME_POINT not in codes(still)
    assert Code.ZERO_SCATTER not in codes(still[:9])
    # A receiver that is good to a metre may well stand still.
    assert Code.ZERO_SCATTER not in codes([jittered(n, 0.3, accuracy_m=2.0 + n / 70) for n in range(10)])
    assert Code.ZERO_SCATTER not in codes([jittered(n, 8, accuracy_m=20.0 + n / 7) for n in range(30)])


def test_one_altitude_on_many_days() -> None:
    same = [tap(n, altitude_cm=55_00) for n in range(1, 7)]
    # A phone that has shown centimetres gives whole metres only by chance; of one that never has nobody knows.
    assert Code.SAME_ALTITUDE in codes([tap(0, altitude_cm=31_234), *same])
    assert Code.SAME_ALTITUDE not in codes(same)


def test_one_accuracy_on_five_days_and_the_clients_that_always_do_so() -> None:
    taps = [tap(n, accuracy_m=5.0) for n in range(5)]
    assert signal(taps, Code.CONSTANT_ACCURACY).points == 15
    assert Code.CONSTANT_ACCURACY not in codes(taps[:4])
    habit = {"phone/1": Custom(people=21, few_decimals=0, constant_accuracy=7, same_altitude=0)}
    assert Code.CONSTANT_ACCURACY not in codes(taps, known=habit)
    rare = {"phone/1": Custom(people=21, few_decimals=0, constant_accuracy=6, same_altitude=0)}
    assert Code.CONSTANT_ACCURACY in codes(taps, known=rare)
    alone = {"phone/1": Custom(people=2, few_decimals=0, constant_accuracy=2, same_altitude=0)}
    assert Code.CONSTANT_ACCURACY in codes(taps, known=alone)


def test_accuracy_of_zero_and_below_and_none() -> None:
    assert Code.ZERO_ACCURACY in codes([tap(0, accuracy_m=0.0)])
    assert Code.ZERO_ACCURACY in codes([tap(0, accuracy_m=-1.0)])
    assert codes([tap(0, accuracy_m=None)]) == set()


def test_few_decimals_unless_the_client_rounds() -> None:
    # edge 41
    coarse = [tap(0, lon_e7=1_062_345_000, lat_e7=289_123_000)]
    assert signal(coarse, Code.FEW_DECIMALS).figures["decimals"] == 4
    assert Code.FEW_DECIMALS not in codes([tap(0, lon_e7=1_062_345_100, lat_e7=289_123_000)])
    habit = {"phone/1": Custom(people=21, few_decimals=7, constant_accuracy=0, same_altitude=0)}
    assert Code.FEW_DECIMALS not in codes(coarse, known=habit)


@pytest.mark.parametrize(
    "odd",
    [
        {"provider": "network", "accuracy_m": 3.0},
        {"provider": "gps", "altitude_cm": None},
        {"altitude_cm": 0},
        {"accuracy_m": 1.0},
    ],
)
def test_fixes_that_do_not_fit_where_they_say_they_come_from(odd: dict[str, Any]) -> None:
    assert codes([tap(0, **odd)]) == {Code.ODD_PROVIDER}


def test_a_satellite_fix_without_height_is_odd_only_for_a_phone_that_tells_heights() -> None:
    browser: dict[str, Any] = {"provider": None, "platform": Platform.BROWSER}
    flat = tap(1, **browser, altitude_cm=None, accuracy_m=5.0)
    assert Code.ODD_PROVIDER not in codes([flat])
    assert Code.ODD_PROVIDER in codes([tap(0, **browser), flat])


def test_an_altitude_that_a_client_makes_up_is_none() -> None:
    habit = {"phone/1": Custom(people=21, few_decimals=0, constant_accuracy=0, same_altitude=9)}
    zero: dict[str, Any] = {"altitude_cm": 0, "platform": Platform.MINI_PROGRAM, "provider": None}
    assert codes([tap(n, **zero) for n in range(9)], known=habit) == set()


# Movement.


def far(n: int, km: float, after: timedelta, **more: Any) -> Sighting:
    lon, lat, _ = Geod(ellps="WGS84").fwd(LON_E7 / 1e7, LAT_E7 / 1e7, 77, km * 1000)
    place: dict[str, Any] = {"lon_e7": round(lon * 1e7), "lat_e7": round(lat * 1e7), "at": MORNING + after}
    return tap(n, **{**place, **more})


def test_speed_has_two_tiers_and_a_least_distance() -> None:
    home = far(0, 0, timedelta(0))
    assert codes([home, far(1, 40, HOUR)]) == set()
    assert codes([home, far(1, 160, HOUR)]) == {Code.FAST}
    assert codes([home, far(1, 950, HOUR)]) == {Code.IMPOSSIBLE}
    assert codes([home, far(1, 19, MINUTE)]) == set()
    assert signal([home, far(1, 160, HOUR)], Code.FAST).check_ins == (home.id,)


def test_both_accuracies_come_off_the_distance() -> None:
    # 40 km apart in a minute, each fix good to 15 km at best: no further than 10 km.
    taps = [far(0, 0, timedelta(0), accuracy_m=15_000.0), far(1, 40, MINUTE, accuracy_m=15_000.0)]
    assert codes(taps) == set()
    assert Code.IMPOSSIBLE in codes([far(0, 0, timedelta(0)), far(1, 40, MINUTE)])  # edge 69


def test_a_cached_fix_from_home_makes_nobody_fly() -> None:
    at_home = far(0, 60, timedelta(0))
    in_village = far(1, 0, 3 * HOUR)
    cached = far(2, 60, 3 * HOUR + MINUTE, age_s=3 * 3600.0)
    assert Code.STALE_FIX in codes([at_home, in_village, cached])
    assert codes([at_home, in_village, cached]) & {Code.FAST, Code.IMPOSSIBLE} == set()


def test_a_phone_in_a_loop_is_no_burden() -> None:
    looped = [tap(0, id=UUID(int=n + 1), at=MORNING + n * timedelta(seconds=4)) for n in range(20_000)]
    began = time.process_time()
    every = assessed(looped)
    assert time.process_time() - began < 10  # Every pair would be 200 million.
    assert not {s.code for each in every.values() for s in each.signals} & {Code.FAST, Code.IMPOSSIBLE}


def test_an_uncertain_time_is_taken_at_its_longest() -> None:
    # edge 59: after a reboot the tap lies anywhere since the last anchor.
    late = far(1, 300, HOUR, earliest=MORNING + HOUR, latest=MORNING + 6 * HOUR, claimed_at=None)
    assert codes([far(0, 0, timedelta(0)), late]) & {Code.FAST, Code.IMPOSSIBLE} == set()


def where(each: Sighting) -> tuple[float, float, float]:
    assert each.lon_e7 is not None
    assert each.lat_e7 is not None
    assert each.accuracy_m is not None
    return each.lon_e7 / 1e7, each.lat_e7 / 1e7, each.accuracy_m


def test_speeds_agree_with_every_pair_by_geodesics() -> None:
    rng = random.Random(5)
    geod = Geod(ellps="WGS84")
    taps = [
        far(n, rng.choice([0, 5, 30, 200, 800]), rng.uniform(0, 40) * HOUR, accuracy_m=rng.uniform(5, 400))
        for n in range(60)
    ]
    got = assessed(taps)
    for tapped in taps:
        best = 0.0
        for other in taps:
            apart = (tapped.latest - other.latest).total_seconds()
            if other is tapped or not 0 <= apart <= 86_400:
                continue
            a, b = where(tapped), where(other)
            metres = geod.inv(*a[:2], *b[:2])[2] - a[2] - b[2]
            if metres > 20_000:
                best = max(best, metres / max(apart, 1) * 3.6)
        if any(abs(best / tier - 1) < 0.01 for tier in (150, 900)):
            continue  # The sphere errs by half a per cent.
        expected = {Code.IMPOSSIBLE} if best > 900 else {Code.FAST} if best > 150 else set()
        found = {each.code for each in got[tapped.id].signals}
        assert found & {Code.FAST, Code.IMPOSSIBLE} == expected, (best, found)


# Devices, clocks, the mock flag.


def test_one_key_for_two_people_within_a_day() -> None:
    # edge 70
    mine = tap(0, at=MORNING, device="shared")
    assert signal([mine, tap(1, who=1, at=MORNING + HOUR, device="shared")], Code.SHARED_DEVICE).points == 40
    assert codes([mine, tap(1, who=1, at=MORNING + 25 * HOUR, device="shared")]) == set()
    assert codes([mine, tap(1, at=MORNING + HOUR, device="shared")]) == set()
    assert codes([tap(0, device=None), tap(0, who=1, device=None)]) == set()
    both = assessed([mine, tap(1, who=1, at=MORNING, device="shared")])
    assert all(each.score == 40 for each in both.values())  # Of one second neither was the first.


def test_a_key_enrolled_within_the_day() -> None:
    # edge 71
    assert Code.NEW_DEVICE in codes([tap(0, at=MORNING, device_since=MORNING - 23 * HOUR)])
    assert Code.NEW_DEVICE not in codes([tap(0, at=MORNING, device_since=MORNING - 24 * HOUR)])
    assert Code.NEW_DEVICE not in codes([tap(0, device_since=None)])


def test_clocks() -> None:
    # edges 54 to 57
    assert codes([tap(0, clock_off_s=301.0)]) == {Code.CLOCK_SKEW}
    assert codes([tap(0, clock_off_s=-299.0)]) == set()
    assert codes([tap(0, age_s=-301.0)]) == {Code.FUTURE_FIX}
    assert codes([tap(0, age_s=-299.0)]) == set()
    # Satellites know the time: on a phone that is slow each fix comes from the future, by just as much.
    assert codes([tap(0, age_s=-900.0, clock_off_s=-900.0)]) == {Code.CLOCK_SKEW}
    assert codes([tap(0, age_s=121.0)]) == {Code.STALE_FIX}
    assert codes([tap(0, received_at=MORNING + 80 * HOUR)]) == {Code.LATE}
    anchored = tap(0, at=MORNING, claimed_at=MORNING - DAY, earliest=MORNING, latest=MORNING + MINUTE)
    assert codes([anchored]) == {Code.OUTSIDE_INTERVAL}


def test_a_visible_mock_is_reviewed_and_a_registered_receiver_is_not_asked_about_again() -> None:
    # getodk/collect 4768: external receivers look like mock providers, and honest surveyors were marked.
    taps = [tap(0, mocked=True, accuracy_m=0.0)]
    (before,) = assessed(taps).values()
    assert before.attention is Attention.REVIEW
    registered = [
        Allowance(code=code, since=MORNING - DAY, person=person(0), reason="登记的外接接收机")
        for code in (Code.MOCKED, Code.ZERO_ACCURACY)
    ]
    (after,) = assessed(taps, allowances=registered).values()
    assert (after.score, after.attention) == (0, Attention.NONE)
    assert {each.allowed_because for each in after.signals} == {"登记的外接接收机"}
    (early,) = assessed(
        taps, allowances=[Allowance(code=Code.MOCKED, since=MORNING + DAY, reason="x")]
    ).values()
    assert early.attention is Attention.REVIEW
    (another,) = assessed(
        taps, allowances=[Allowance(code=Code.MOCKED, since=MORNING - DAY, person=person(5), reason="x")]
    ).values()
    assert another.attention is Attention.REVIEW
    (key,) = assessed(
        taps,
        allowances=[
            Allowance(code=Code.MOCKED, since=MORNING - DAY, until=MORNING + DAY, device="key-0", reason="x")
        ],
    ).values()
    assert key.score == 10


def test_no_position_shows_nothing_of_a_position() -> None:
    nowhere: dict[str, Any] = {
        "lon_e7": None,
        "lat_e7": None,
        "accuracy_m": None,
        "age_s": None,
        "altitude_cm": None,
        "mocked": None,
    }
    assert codes([tap(n, **nowhere) for n in range(9)]) == set()


def test_nothing_at_all_is_assessed_as_nothing() -> None:
    assert assessed([]) == {}


def test_a_sentence_holds_no_coordinate() -> None:
    taps = [tap(n, who=n % 2, **POINT, mocked=True) for n in range(8)]
    for each in assessed(taps).values():
        for one in each.signals:
            assert all(
                number not in one.zh + one.en for number in ("106.23", "28.91", str(LON_E7), str(LAT_E7))
            )
            assert not any(math.isnan(value) for value in one.figures.values())
