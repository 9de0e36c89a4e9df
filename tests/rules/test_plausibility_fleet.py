"""The datum sentinel and the habits of clients."""

from typing import Any

import numpy as np
import pytest
from plausibility_cases import LAT_E7, LON_E7, MORNING, tap
from pyproj import Geod

from geo.datum import wgs84_to_gcj02
from server.checkins.plausibility import fleet, habits
from server.checkins.plausibility.facts import Named, Sighting, in_columns
from server.checkins.plausibility.policy import Limits
from server.checkins.plausibility.shifts import Shift, shifted, undone

DAY_S = 86_400
E7 = 10**7


def moved(each: Sighting, shift: Shift) -> Sighting:
    at = shifted(shift, lon=each.lon_e7 / E7, lat=each.lat_e7 / E7)  # type: ignore[operator]
    fields = {name: getattr(each, name) for name in Sighting.__dataclass_fields__}
    return Sighting(**fields | {"lon_e7": round(at.lon * E7), "lat_e7": round(at.lat * E7)})


def home(n: int, who: int, client: str) -> Sighting:
    """Return a check-in from one of two spots of a person, in a village of their own."""
    place: dict[str, Any] = {
        "lon_e7": LON_E7 + who * 200_000 + n % 2 * 30_000 + n * 37 % 11 * 20,
        "lat_e7": LAT_E7 + who * 150_000 + n * 53 % 13 * 20,
    }
    return tap(n, who=who, client=client, **place)


def world(shift: Shift | None, *, of: int, people: int = 6, client: str = "phone/2") -> Named:
    """Return ten days of two clients' people, of which `of` of one client's moved on the last."""
    taps = []
    for who in range(2 * people):
        mine = client if who < people else "phone/1"
        for n in range(10):
            each = home(n, who, mine)
            taps.append(moved(each, shift) if shift and n == 9 and who < of else each)
    return in_columns(taps)


NOW = MORNING.timestamp() + 9 * DAY_S + 3600


@pytest.mark.parametrize("shift", Shift)
def test_a_client_that_moves_is_named_with_its_shift(shift: Shift) -> None:
    # edge 40
    named = world(shift, of=6)
    (alarm,) = fleet.alarms(named.columns, now_s=NOW)
    assert (named.clients[alarm.client], alarm.shift, alarm.moved, alarm.people) == ("phone/2", shift, 6, 6)
    assert alarm.power < -4
    assert {named.people[who] for who in alarm.who} == {each for each in named.people if each.int < 1006}


def test_a_third_of_a_client_is_enough_and_less_or_a_few_are_not() -> None:
    assert fleet.alarms(world(Shift.GCJ02_ADDED, of=4).columns, now_s=NOW)
    assert fleet.alarms(world(Shift.GCJ02_ADDED, of=7, people=20).columns, now_s=NOW)
    assert not fleet.alarms(world(Shift.GCJ02_ADDED, of=5, people=20).columns, now_s=NOW)
    assert not fleet.alarms(world(Shift.GCJ02_ADDED, of=15, people=60).columns, now_s=NOW)
    assert not fleet.alarms(world(Shift.GCJ02_ADDED, of=2).columns, now_s=NOW)
    assert not fleet.alarms(world(Shift.GCJ02_ADDED, of=2, people=2).columns, now_s=NOW)
    assert not fleet.alarms(world(None, of=0).columns, now_s=NOW)


def test_people_who_walk_are_no_shift() -> None:
    geod = Geod(ellps="WGS84")
    taps = []
    for who in range(8):
        for n in range(10):
            each = home(n, who, "phone/2")
            if n == 9:  # As far as GCJ-02, each in a direction of their own.
                lon, lat, _ = geod.fwd(each.lon_e7 / E7, each.lat_e7 / E7, 45 * who, 482)  # type: ignore[operator]
                each = tap(n, who=who, client="phone/2", lon_e7=round(lon * E7), lat_e7=round(lat * E7))
            taps.append(each)
    assert not fleet.alarms(in_columns(taps).columns, now_s=NOW)


def test_people_who_have_been_there_before_are_no_shift() -> None:
    # Office and quarters happen to lie a GCJ-02 vector apart.
    taps = [
        moved(each, Shift.GCJ02_ADDED) if n in {3, 6, 9} else each
        for who in range(8)
        for n in range(10)
        for each in [home(n, who, "phone/2")]
    ]
    assert not fleet.alarms(in_columns(taps).columns, now_s=NOW)


def test_what_is_held_is_judged_where_the_phone_stood() -> None:
    named = world(Shift.GCJ02_ADDED, of=6)
    columns = named.columns
    held = fleet.held(columns, fleet.alarms(columns, now_s=NOW))
    last = [each for each in held if columns.latest_s[each.row] > NOW - DAY_S]
    assert len(last) == 6
    for each in last:
        who = named.people[int(columns.person[each.row])].int - 1000
        stood = home(9, who, "phone/2")
        lon, lat = stood.lon_e7 / E7, stood.lat_e7 / E7  # type: ignore[operator]
        assert Geod(ellps="WGS84").inv(lon, lat, *each.place)[2] < 0.1
    assert all(named.clients[int(columns.client[each.row])] == "phone/2" for each in held)


@pytest.mark.parametrize("shift", Shift)
def test_each_shift_is_undone_by_its_opposite(shift: Shift) -> None:
    at = shifted(shift, lon=106.2, lat=28.9)
    back = undone(shift, lon=at.lon, lat=at.lat)
    assert Geod(ellps="WGS84").inv(106.2, 28.9, *back)[2] < 0.01
    length = Geod(ellps="WGS84").inv(106.2, 28.9, *at)[2]
    assert (
        467 < length < 532 if "gcj02" in shift.value else 1000 < length < 1100
    )  # Over the district of Jiangjin.
    assert shifted(Shift.GCJ02_ADDED, lon=106.2, lat=28.9) == wgs84_to_gcj02(lon=106.2, lat=28.9)


def test_customs_count_people_and_not_check_ins() -> None:
    taps = [tap(n, who=who, client="rounds", lon_e7=LON_E7 // 1000 * 1000, lat_e7=LAT_E7 // 1000 * 1000 + n * 1000)
            for who in range(3) for n in range(6)]  # fmt: skip
    taps += [
        tap(n, who=who, client="rounds", accuracy_m=65.0, altitude_cm=0) for who in (3, 4) for n in range(6)
    ]
    taps += [tap(n, who=5, client="rounds", accuracy_m=65.0) for n in range(4)]  # Too few to know.
    taps += [tap(n, who=6, client=None) for n in range(9)]
    named = in_columns(taps)
    found = habits.customs(named.columns)
    assert {named.clients[code]: each for code, each in found.items()} == {
        "rounds": habits.Custom(people=5, few_decimals=3, constant_accuracy=2, same_altitude=2)
    }


def test_nobody_is_excused_by_oneself() -> None:
    columns = in_columns([tap(0), tap(1, client="other")]).columns
    code = int(columns.client[0])

    def excused(people: int, alike: int) -> bool:
        known = {code: habits.Custom(people, alike, 0, 0)}
        return bool(habits.habits_of(columns, known, Limits()).few_decimals[0])

    assert excused(6, 3)
    assert not excused(6, 2)  # One other of five.
    assert not excused(5, 5)  # Four others are too few to be a habit.
    assert not excused(11, 3)
    assert excused(11, 4)
    known = {code: habits.Custom(99, 99, 99, 99)}
    assert not np.any(habits.habits_of(columns, known, Limits()).few_decimals[1:])
