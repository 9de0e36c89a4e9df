"""Check-ins of a made-up district with labels: who was honest, and how the others were not. Knows nothing of the rules.

Written from how receivers and phones behave, not from what anybody looks for: normal scatter with multipath that stays
for days, accuracies that are noise, floors or constants, positions looked up for towers and Wi-Fi, caches that say so
and caches that lie, vendors that round. What mock programs write was read off published ones: a point picked on a map,
accuracy mostly hard-coded between 1 and 50 m, altitude hard-coded, zero or left out, jitter if any a few metres.
All of it is assumed, none of it measured in the field: figures made from it compare rules, they promise nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from geo.datum import Datum, FloatArray
from server.checkins.plausibility.facts import (
    DATUMS,
    PLATFORMS,
    SOURCES,
    BoolArray,
    Columns,
    IntArray,
    Platform,
    Source,
)

BEGIN_S: Final = 1_767_196_800.0  # 2026-01-01 00:00 in China.
DAY_S: Final = 86_400
E7: Final = 1e7
NORTH_M: Final = 111_320.0
EAST_M: Final = NORTH_M * float(np.cos(np.radians(28.95)))


class Way(StrEnum):
    """How somebody is not where the check-in says."""

    HONEST = "honest"
    VISIBLE_MOCK = "mock-visible"
    HIDDEN_FIXED = "hidden-fixed"
    HIDDEN_JITTER = "hidden-jitter-browser"
    REPLAY = "replay"
    SHARED_PHONE = "shared-phone"
    CLOCK_BACK = "clock-back"
    TELEPORT = "teleport"


WAYS: Final = tuple(Way)


@dataclass
class District:
    """Everybody's habits and phones; arrays have a row a person."""

    way: IntArray
    village: IntArray
    spots: FloatArray  # (people, 4, 2) metres east and north: office, quarters, two others.
    spot_odds: FloatArray
    platform: IntArray
    client: IntArray
    decimals: IntArray
    sigma_m: FloatArray
    canyon: BoolArray
    accuracy_kind: IntArray  # 0 noise, 1 noise above a floor, 2 one constant.
    accuracy_value: FloatArray
    altitude_step: FloatArray  # Metres; 0 where the phone tells none.
    altitude_zero: BoolArray
    tells_speed: BoolArray
    network: FloatArray  # Share of positions that are looked up.
    network_altitude: BoolArray
    lies_about_cache: BoolArray
    clock_off_s: FloatArray
    signed: BoolArray
    receiver: BoolArray
    valley: BoolArray  # No signal: check-ins come later.


@dataclass
class Traces:
    """The check-ins, who made them, on which of them the position was not the person's, and what was registered."""

    columns: Columns
    way: IntArray
    attack: BoolArray
    day: IntArray
    month: IntArray
    registered: BoolArray


def goes(way: IntArray, which: Way) -> BoolArray:
    """Return who goes this way."""
    return np.asarray(way == WAYS.index(which))


def pick(rng: np.random.Generator, values: list[float], odds: list[float], size: int) -> FloatArray:
    """Draw from a list of values with odds."""
    return rng.choice(np.array(values, dtype=float), size=size, p=np.array(odds) / sum(odds))


def settle(rng: np.random.Generator, people: int, attackers: int) -> District:
    """Give everybody a village, spots, and a phone; `attackers` people for each way of attack."""
    way = np.zeros(people, dtype=np.int64)
    chosen = rng.permutation(people)[: attackers * (len(WAYS) - 1)]
    way[chosen] = np.repeat(np.arange(1, len(WAYS)), attackers)
    villages = max(2, people // 3)
    village = rng.integers(0, villages, people)
    sharing = np.flatnonzero(goes(way, Way.SHARED_PHONE))
    village[sharing] = village[sharing[np.arange(len(sharing)) // 3 * 3]]  # Three of a team share a phone.
    centre = rng.uniform((0, 0), (50_000, 70_000), (villages, 2))
    office = centre[village] + rng.normal(0, 1.5, (people, 2))  # Each has a desk in the office.
    others = centre[village][:, None, :] + rng.normal(0, 600, (people, 3, 2))
    platform = rng.choice([0, 2, 3], people, p=[0.45, 0.35, 0.20])  # Android, browser, mini-program.
    platform[goes(way, Way.VISIBLE_MOCK)] = 0
    platform[goes(way, Way.HIDDEN_JITTER)] = 2
    version = np.minimum(rng.geometric(0.35, people) - 1, 7)
    client = platform * 8 + version
    # A vendor's or browser's rounding: the whole family of a client rounds, or one person's phone does.
    family = np.full(32, 7)
    family[16:24] = [7, 7, 7, 6, 4, 7, 5, 7]
    family[24:32] = [6, 5, 6, 5, 6, 6, 6, 6]
    own = pick(rng, [7, 6, 5, 4], [0.93, 0.04, 0.02, 0.01], people).astype(np.int64)
    kind = rng.choice([0, 1, 2], people, p=[0.62, 0.30, 0.08])
    kind[(client == 17) | (client == 25)] = 2  # Two versions that always say the same, whatever the sky.
    value = np.where(
        kind == 2,
        pick(rng, [5, 10, 15, 20, 30, 65], [1, 1, 1, 3, 2, 2], people),
        pick(rng, [3, 3.9, 4, 5, 10], [2, 1, 1, 2, 1], people),
    )
    canyon = rng.random(people) < 0.15
    receiver = (rng.random(people) < 0.005) & (way == 0)
    return District(
        way=way,
        village=village,
        spots=np.concatenate([office[:, None, :], others], axis=1),
        spot_odds=np.cumsum(rng.dirichlet([3, 2, 0.5, 0.5], people), axis=1),
        platform=np.where(receiver, 0, platform),
        client=np.where(receiver, version, client),
        decimals=np.minimum(family[client], own),
        sigma_m=np.exp(rng.normal(np.log(3.5), 0.5, people)) * np.where(canyon, 4.0, 1.0),
        canyon=canyon,
        accuracy_kind=kind,
        accuracy_value=value,
        altitude_step=pick(rng, [0.01, 0.1, 1.0, 0.0], [0.55, 0.3, 0.05, 0.1], people),
        altitude_zero=(platform == 3) & (version % 3 == 1),
        tells_speed=rng.random(people) < 0.8,
        network=np.where(
            rng.random(people) < 0.07, rng.uniform(0.5, 1, people), rng.uniform(0, 0.12, people)
        ),
        network_altitude=rng.random(people) < 0.1,
        lies_about_cache=rng.random(people) < 0.015,
        clock_off_s=pick(rng, [1, 60, 1500], [0.9, 0.08, 0.02], people) * rng.normal(0, 1, people),
        signed=(platform == 0) | (rng.random(people) < 0.5),
        receiver=receiver,
        valley=rng.random(people) < 0.2,
    )


@dataclass
class _Taps:
    """The check-ins while they are being made; positions in metres about the corner of the district."""

    person: IntArray
    day: IntArray
    at_s: FloatArray
    place: FloatArray  # (n, 2), as the phone says.
    accuracy_m: FloatArray
    altitude_m: FloatArray
    speed_mps: FloatArray
    age_s: FloatArray
    source: IntArray
    decimals: IntArray
    mocked: IntArray
    device: IntArray
    clock_off_s: FloatArray
    claimed_s: FloatArray
    received_s: FloatArray
    attack: BoolArray
    device_since_s: FloatArray


def make(seed: int, *, people: int, days: int, attackers: int) -> Traces:
    """Make the check-ins of a district: `attackers` people go each of the seven ways, all others are honest."""
    rng = np.random.default_rng(seed)
    district = settle(rng, people, attackers)
    taps = _tapped(rng, district, days)
    _measured(rng, district, taps, days)
    _looked_up(rng, district, taps)
    _elsewhere(rng, taps)
    _cached(rng, district, taps)
    _clocks(rng, district, taps)
    registered = _receivers(rng, district, taps)
    _borrowed(rng, district, taps, days)
    _attacked(rng, district, taps)
    columns = _columns(district, taps)
    return Traces(columns, district.way[taps.person], taps.attack, taps.day, taps.day // 30, registered)


def _tapped(rng: np.random.Generator, district: District, days: int) -> _Taps:
    """Decide who checks in on which days, how often and when."""
    people = len(district.way)
    there = rng.random((people, days)) < rng.beta(12, 4, people)[:, None]
    times = np.where(there, rng.choice([1, 2, 3], (people, days), p=[0.8, 0.15, 0.05]), 0)
    person, day = np.divmod(np.repeat(np.arange(people * days), times.ravel()), days)
    size = len(person)
    usual = rng.uniform(7.5, 20.0, people)
    hour = np.clip(usual[person] + rng.normal(0, 1.5, size), 5, 23.8)
    # A second tap often follows the first within minutes.
    soon = (np.diff(person, prepend=-1) == 0) & (np.diff(day, prepend=-1) == 0) & (rng.random(size) < 0.5)
    hour = np.where(soon, np.minimum(np.roll(hour, 1) + rng.exponential(0.1, size), 23.9), hour)
    at = BEGIN_S + day * DAY_S + hour * 3600
    order = np.lexsort((at, person))
    person, day, at = person[order], day[order], at[order]
    nothing = np.zeros(size)
    return _Taps(
        person=person,
        day=day,
        at_s=at,
        place=np.zeros((size, 2)),
        accuracy_m=nothing.copy(),
        altitude_m=np.full(size, np.nan),
        speed_mps=np.full(size, np.nan),
        age_s=rng.exponential(3.0, size),
        source=np.where(
            district.platform[person] == 0, SOURCES.index(Source.SATELLITES), SOURCES.index(Source.UNSAID)
        ),
        decimals=district.decimals[person].copy(),
        mocked=np.where(district.platform[person] == 0, 0, -1),
        device=np.where(district.signed[person], person, -1),
        clock_off_s=nothing.copy(),
        claimed_s=at.copy(),
        received_s=at + rng.exponential(1.0, size),
        attack=np.zeros(size, dtype=np.bool_),
        device_since_s=np.full(size, np.nan),
    )


def _measured(rng: np.random.Generator, district: District, taps: _Taps, days: int) -> None:
    """Give each tap a position as satellites do: the spot, multipath that stays for days, and noise."""
    person, size = taps.person, len(taps.person)
    spot = np.minimum((rng.random((size, 1)) > district.spot_odds[person]).sum(axis=1), 3)
    place = district.spots[person, spot]
    strolling = rng.random(size) < 0.25  # Field work, the way home, a road along the border.
    place = place + np.where(strolling[:, None], rng.normal(0, 150, (size, 2)), 0.0)
    sigma = district.sigma_m * np.where(rng.random(len(district.way)) < 0.5, 1.0, 1.6)
    paths = np.zeros((days, len(district.way), 2))
    stay = np.where(district.canyon, 0.9, 0.6)[:, None]
    for day in range(1, days):
        fresh = rng.normal(0, 1, (len(district.way), 2)) * sigma[:, None]
        paths[day] = stay * paths[day - 1] + np.sqrt(1 - stay**2) * fresh
    taps.place = place + paths[taps.day, person] + rng.normal(0, 1, (size, 2)) * 0.7 * sigma[person, None]
    stated = 1.4 * sigma[person] * np.exp(rng.normal(0, 0.35, size))
    value, kind = district.accuracy_value[person], district.accuracy_kind[person]
    stated = np.where(kind == 1, np.maximum(stated, value), np.where(kind == 2, value, stated))
    taps.accuracy_m = np.round(stated, 3)
    ground = 250 + 120 * np.sin(place[:, 0] / 900) * np.cos(place[:, 1] / 700)
    height = ground + rng.normal(0, 1, size) * 2.0 * sigma[person]
    step = district.altitude_step[person]
    taps.altitude_m = np.where(step > 0, np.round(height / np.maximum(step, 0.01)) * step, np.nan)
    # Three satellites give a position without a height: now and then, and more often below cliffs.
    flat = rng.random(size) < np.where(district.canyon[person], 0.04, 0.005)
    taps.altitude_m[flat] = np.nan
    taps.altitude_m[district.altitude_zero[person]] = 0.0
    taps.speed_mps = np.where(
        district.tells_speed[person], np.round(np.abs(rng.normal(0, 0.3, size)), 2), np.nan
    )


def _looked_up(rng: np.random.Generator, district: District, taps: _Taps) -> None:
    """Replace a share by positions that a list gave: a Wi-Fi point of the spot, or the village's tower."""
    person, size = taps.person, len(taps.person)
    network = rng.random(size) < district.network[person]
    tower = network & (rng.random(size) < 0.35)
    village = district.village[person]
    lists = np.random.default_rng(int(rng.integers(1 << 62)))  # The list itself: the same for all who look.
    towers = lists.uniform(-1500, 1500, (int(district.village.max()) + 1, 2))
    reach = np.round(lists.uniform(250, 2500, len(towers)), 0)
    points = lists.normal(0, 15, (len(district.way), 3, 2))
    radius = np.round(lists.choice([15.0, 20.0, 20.0, 23.4, 35.0, 65.0], (len(district.way), 3)), 1)
    # Whose Wi-Fi it is: the office's is heard by the whole village's team.
    first = _first_of(district.village, len(towers))[village]
    host = np.where(rng.random(size) < 0.6, first, person)
    heard = rng.choice(3, size, p=[0.8, 0.15, 0.05])
    spots = district.spots[host, 0] + points[host, heard]
    centre = district.spots[first, 0]
    wrong = tower & (rng.random(size) < 0.0005)  # A tower that was moved and is still listed where it was.
    place = np.where(tower[:, None], centre + towers[village], spots)
    place = np.where(wrong[:, None], place + np.array([90_000.0, 40_000.0]), place)
    taps.place = np.where(network[:, None], place, taps.place)
    taps.accuracy_m = np.where(tower, reach[village], np.where(network, radius[host, heard], taps.accuracy_m))
    flat = np.where(district.network_altitude[person], np.round(250 + points[host, heard, 0], 1), np.nan)
    taps.altitude_m = np.where(network, flat, taps.altitude_m)
    taps.speed_mps[network] = np.where(district.platform[person[network]] == 3, -1.0, np.nan)
    says = network & (district.platform[person] == 0)
    taps.source[says & (rng.random(size) < 0.7)] = SOURCES.index(Source.NETWORK)
    taps.source[says & (taps.source != SOURCES.index(Source.NETWORK))] = SOURCES.index(Source.FUSED)


def _first_of(village: IntArray, villages: int) -> IntArray:
    first = np.zeros(villages, dtype=np.int64)
    people, where = np.unique(village, return_index=True)
    first[people] = where
    return first


def _elsewhere(rng: np.random.Generator, taps: _Taps) -> None:
    """Let whole days be spent at the town or in the city, and a few be half a journey."""
    size = len(taps.person)
    whole = rng.random((int(taps.person.max()) + 1, int(taps.day.max()) + 1)) < 0.01
    away = whole[taps.person, taps.day]
    last = np.append((np.diff(taps.person) != 0) | (np.diff(taps.day) != 0), True)
    # Home in the evening: by road at 30 to 90 km/h, now and then by a fast train.
    journey = last & ~away & (rng.random(size) < 0.01)
    journey &= (taps.at_s - np.roll(taps.at_s, 1)) > 3600
    reach = np.where(rng.random(size) < 0.1, 250.0, rng.uniform(30, 90, size)) * 1000 / 3600
    reach = np.minimum(reach * (taps.at_s - np.roll(taps.at_s, 1)), 60_000)
    angle = rng.uniform(0, 2 * np.pi, size)
    step = np.where(journey, reach, np.where(away, rng.uniform(8_000, 40_000, size), 0.0))
    if away.any():
        # One town a day, however often one taps there.
        key = taps.person * 1000 + taps.day
        _, first, back = np.unique(key, return_index=True, return_inverse=True)
        step, angle = np.where(away, step[first][back], step), np.where(away, angle[first][back], angle)
    taps.place = taps.place + step[:, None] * np.column_stack((np.cos(angle), np.sin(angle)))


def _cached(rng: np.random.Generator, district: District, taps: _Taps) -> None:
    """Repeat earlier fixes: caches that tell their age, phones that hold still, and browsers that stamp anew."""
    person, size = taps.person, len(taps.person)
    before = np.diff(person, prepend=-1) == 0
    gap = np.where(before, taps.at_s - np.roll(taps.at_s, 1), np.inf)
    told = before & (rng.random(size) < np.where(gap < 1800, 0.5, np.where(gap < 40 * 3600, 0.03, 0.0)))
    still = (
        before & ~told & (rng.random(size) < np.where(gap < 7200, 0.2, np.where(gap < 16 * 3600, 0.004, 0.0)))
    )
    lying = before & district.lies_about_cache[person] & (gap < 40 * 3600) & (rng.random(size) < 0.15)
    copied = told | still | lying
    source = np.maximum.accumulate(np.where(copied, 0, np.arange(size)))
    for name in ("place", "accuracy_m", "altitude_m", "speed_mps", "source", "decimals"):
        setattr(taps, name, getattr(taps, name)[source])
    # The age runs on from the last fix that was stamped.
    stamped = np.maximum.accumulate(np.where(told & ~lying, 0, np.arange(size)))
    taps.age_s = taps.at_s - taps.at_s[stamped] + taps.age_s[stamped]


def _clocks(rng: np.random.Generator, district: District, taps: _Taps) -> None:
    """Set phones' clocks wrong, and let check-ins wait for a signal."""
    person, size = taps.person, len(taps.person)
    waits = rng.random(size) < np.where(district.valley[person], 0.3, 0.02)
    taps.received_s = taps.received_s + np.where(waits, rng.exponential(0.6 * DAY_S, size), 0.0)
    mended = waits & (rng.random(size) < 0.3)  # The network sets the clock before the queue is sent.
    taps.clock_off_s = np.where(mended, 0.0, district.clock_off_s[person])
    wrong = np.where(mended, district.clock_off_s[person], 0.0)
    wrong = np.where(np.abs(wrong) > 30 * DAY_S, 0.0, wrong)
    taps.claimed_s = taps.at_s + wrong
    # Satellites stamp by their own clock, browsers and towers by the phone's.
    own = (district.platform[person] == 0) & (taps.source == SOURCES.index(Source.SATELLITES))
    taps.age_s = taps.age_s + np.where(own, district.clock_off_s[person], 0.0)


def _receivers(rng: np.random.Generator, district: District, taps: _Taps) -> BoolArray:
    """Let a few honest people use a surveyor's receiver: it looks like a mock, states zero and knows centimetres.

    Returns which check-ins fall after the receiver was registered: a week after it was first seen.
    """
    mine = district.receiver[taps.person]
    used = mine & (rng.random(len(mine)) < 0.7)
    size = int(used.sum())
    taps.mocked[used] = 1
    taps.accuracy_m[used] = rng.choice([0.0, 0.02, 0.014, 0.6], size, p=[0.6, 0.1, 0.1, 0.2])
    taps.decimals[used] = 7
    taps.altitude_m[used] = np.round(250 + rng.normal(0, 3, size), 2)
    first = np.full(len(district.way), np.inf)
    np.minimum.at(first, taps.person[used], taps.at_s[used])
    return np.asarray(mine & (taps.at_s > first[taps.person] + 7 * DAY_S))


def _borrowed(rng: np.random.Generator, district: District, taps: _Taps, days: int) -> None:
    """Let somebody whose phone broke use a team-mate's for up to three days, and others change phones."""
    people = len(district.way)
    begin = np.where(rng.random(people) < 0.015 * days / 30, rng.integers(0, days, people), 10_000)
    lasting = rng.integers(1, 4, people)
    order = np.lexsort((rng.random(people), district.village))
    mate = np.empty(people, dtype=np.int64)
    mate[order] = np.roll(order, 1)
    mate = np.where(district.village[mate] == district.village, mate, np.arange(people))
    on = (taps.day >= begin[taps.person]) & (taps.day < (begin + lasting)[taps.person])
    on &= district.way[taps.person] == 0
    taps.device[on] = np.where(district.signed[mate], mate, -1)[taps.person[on]]
    changed = np.where(
        rng.random(people) < days / 540, rng.uniform(0, days, people) * DAY_S + BEGIN_S, np.inf
    )
    new = (taps.at_s >= changed[taps.person]) & (taps.device == taps.person)
    taps.device_since_s[new] = changed[taps.person][new]
    taps.device[new] += people


@dataclass
class _Programs:
    """What each attacker's mock program writes; arrays have a row a person."""

    point: FloatArray
    decimals: IntArray
    accuracy_m: FloatArray  # NaN: random.
    altitude: IntArray  # 0 left out, 1 zero, 2 hard-coded, 3 random.
    jitter_m: FloatArray
    speed_mps: FloatArray  # NaN: left out.


def _programs(rng: np.random.Generator, district: District) -> _Programs:
    people = len(district.way)
    return _Programs(
        point=district.spots[:, 0] + rng.normal(0, 80, (people, 2)),
        decimals=pick(rng, [7, 6, 5, 4], [0.8, 0.13, 0.05, 0.02], people).astype(np.int64),
        accuracy_m=np.where(
            rng.random(people) < 0.3,
            np.nan,
            pick(rng, [1, 3, 5, 5.3, 10, 15, 20, 30, 50], [3, 1, 2, 1, 2, 1, 1, 1, 1], people),
        ),
        altitude=rng.choice(4, people, p=[0.35, 0.2, 0.3, 0.15]),
        speed_mps=pick(rng, [np.nan, 0.0, 1.2, 5.0], [0.45, 0.15, 0.25, 0.15], people),
        jitter_m=np.exp(rng.uniform(np.log(0.3), np.log(15), people)),
    )


def _attacked(rng: np.random.Generator, district: District, taps: _Taps) -> None:
    """Replace what the attackers' phones say, on the days on which they are away."""
    people, way = len(district.way), district.way[taps.person]
    share = rng.uniform(0.5, 0.95, people)
    away = rng.random((people, int(taps.day.max()) + 1)) < share[:, None]
    taps.attack = (way > 0) & away[taps.person, taps.day]
    programs = _programs(rng, district)
    for which in (Way.VISIBLE_MOCK, Way.HIDDEN_FIXED, Way.HIDDEN_JITTER):
        _mocked(rng, taps, programs, goes(way, which) & taps.attack, jitter=which is not Way.HIDDEN_FIXED)
    taps.mocked[goes(way, Way.VISIBLE_MOCK) & taps.attack] = 1
    _replayed(rng, taps, goes(way, Way.REPLAY))
    _lent(rng, district, taps, goes(way, Way.SHARED_PHONE))
    _set_back(rng, district, taps, goes(way, Way.CLOCK_BACK) & taps.attack)
    _teleported(rng, taps, goes(way, Way.TELEPORT) & taps.attack)


def _mocked(
    rng: np.random.Generator, taps: _Taps, programs: _Programs, rows: BoolArray, *, jitter: bool
) -> None:
    person, size = taps.person[rows], int(rows.sum())
    shake = rng.normal(0, 1, (size, 2)) * programs.jitter_m[person, None]
    taps.place[rows] = programs.point[person] + (shake if jitter else 0.0)
    # Adding a random number to a rounded one leaves no round one.
    taps.decimals[rows] = 7 if jitter else programs.decimals[person]
    stated = programs.accuracy_m[person]
    taps.accuracy_m[rows] = np.where(np.isnan(stated), np.round(rng.uniform(3, 20, size), 3), stated)
    tall = programs.altitude[person]
    hard = 20.0 + 5 * (person % 97)
    taps.altitude_m[rows] = np.select(
        [tall == 0, tall == 1, tall == 2], [np.nan, 0.0, hard], np.round(hard + rng.normal(0, 5, size), 2)
    )
    taps.speed_mps[rows] = programs.speed_mps[person]
    taps.age_s[rows] = rng.exponential(1.0, size)
    fused = (person % 3 == 0) & (taps.source[rows] != SOURCES.index(Source.UNSAID))
    said = np.where(fused, SOURCES.index(Source.FUSED), SOURCES.index(Source.SATELLITES))
    taps.source[rows] = np.where(taps.mocked[rows] >= 0, said, SOURCES.index(Source.UNSAID))


def _replayed(rng: np.random.Generator, taps: _Taps, mine: BoolArray) -> None:
    """Send one's own first fixes again, whole, as if they were new."""
    first = np.zeros(int(taps.person.max()) + 1, dtype=np.int64)
    people, begins = np.unique(taps.person, return_index=True)
    first[people] = begins
    since = np.arange(len(taps.person)) - first[taps.person]
    stock = rng.integers(4, 20, len(first))[taps.person]
    taps.attack &= ~mine | (since >= stock)
    rows = np.flatnonzero(mine & taps.attack)
    taken = first[taps.person[rows]] + (rng.random(len(rows)) * stock[rows]).astype(np.int64)
    for name in ("place", "accuracy_m", "altitude_m", "speed_mps", "source", "decimals"):
        values = getattr(taps, name)
        values[rows] = values[taken]
    taps.age_s[rows] = rng.exponential(3.0, len(rows))


def _lent(rng: np.random.Generator, district: District, taps: _Taps, mine: BoolArray) -> None:
    """Let the first of three, who is there, tap for the others too: one phone, a minute apart, often one fix."""
    members = np.unique(taps.person[mine])
    host = np.arange(len(district.way))
    host[members] = members[np.arange(len(members)) // 3 * 3]
    taps.attack &= ~(mine & (host[taps.person] == taps.person))
    key = taps.person * 1000 + taps.day
    kept, first = np.unique(key, return_index=True)
    rows = np.flatnonzero(mine & taps.attack)
    wanted = host[taps.person[rows]] * 1000 + taps.day[rows]
    place = np.minimum(np.searchsorted(kept, wanted), len(kept) - 1)
    together = kept[place] == wanted
    taps.attack[rows[~together]] = False  # Without the friend nobody taps: taken as a day in the village.
    rows, of = rows[together], first[place[together]]
    wait = rng.uniform(20, 300, len(rows))
    same = rng.random(len(rows)) < 0.4
    for name in ("accuracy_m", "altitude_m", "speed_mps", "source", "decimals", "clock_off_s", "mocked"):
        values = getattr(taps, name)
        values[rows] = values[of]
    noise = np.where(same[:, None], 0.0, rng.normal(0, 2, (len(rows), 2)))
    taps.place[rows] = taps.place[of] + noise
    taps.accuracy_m[rows] = np.where(
        same, taps.accuracy_m[of], taps.accuracy_m[of] * rng.uniform(0.7, 1.4, len(rows))
    )
    taps.age_s[rows] = np.where(same, taps.age_s[of] + wait, rng.exponential(3, len(rows)))
    for name in ("at_s", "claimed_s", "received_s"):
        values = getattr(taps, name)
        values[rows] = values[of] + wait
    taps.device[rows] = np.where(district.signed[host], host, -1)[taps.person[rows]]


def _set_back(rng: np.random.Generator, district: District, taps: _Taps, rows: BoolArray) -> None:
    """Tap for several days in one sitting at the end of each five, with the clock set back, and send it set right."""
    size = int(rows.sum())
    sitting = BEGIN_S + (taps.day[rows] // 5 * 5 + 4) * DAY_S + rng.uniform(40_000, 41_000, size)
    sitting = np.maximum(sitting, taps.at_s[rows] + 60)
    taps.received_s[rows] = sitting + 1200
    taps.claimed_s[rows] = taps.at_s[rows]
    taps.clock_off_s[rows] = 0.0
    own = (district.platform[taps.person[rows]] == 0) & (
        taps.source[rows] == SOURCES.index(Source.SATELLITES)
    )
    fresh = rng.exponential(3.0, size)
    taps.age_s[rows] = np.where(own, taps.at_s[rows] - sitting + fresh, fresh)
    taps.at_s[rows] = sitting


def _teleported(rng: np.random.Generator, taps: _Taps, rows: BoolArray) -> None:
    """Tap in the city, as one really is there, before the village's tap of the same day."""
    following = np.append((np.diff(taps.person) == 0) & (np.diff(taps.day) == 0), False)
    real = rows & following
    taps.place[real] = (
        taps.place[real] + np.array([60_000.0, -25_000.0]) + rng.normal(0, 500, (int(real.sum()), 2))
    )
    taps.attack[real] = False


def _columns(district: District, taps: _Taps) -> Columns:
    step = 10.0 ** (7 - taps.decimals)
    lon = np.rint((106.0 + taps.place[:, 0] / EAST_M) * E7 / step) * step
    lat = np.rint((28.6 + taps.place[:, 1] / NORTH_M) * E7 / step) * step
    lon_e7, lat_e7 = lon.astype(np.int64), lat.astype(np.int64)
    decimals = np.full(len(lon), 7)
    common = np.gcd(np.gcd(lon_e7, lat_e7), 10**7)
    for power in range(1, 8):
        decimals = np.where(common % 10**power == 0, 7 - power, decimals)
    platforms = np.array([PLATFORMS.index(each) for each in (Platform.ANDROID, Platform.IOS, Platform.BROWSER, Platform.MINI_PROGRAM)])  # fmt: skip
    return Columns(
        person=taps.person,
        earliest_s=np.minimum(taps.claimed_s, taps.received_s),
        latest_s=np.minimum(taps.claimed_s, taps.received_s),
        claimed_s=taps.claimed_s,
        received_s=taps.received_s,
        clock_off_s=taps.clock_off_s,
        placed=np.ones(len(lon), dtype=np.bool_),
        lon_e7=lon_e7,
        lat_e7=lat_e7,
        wgs_lon_e7=lon_e7,
        wgs_lat_e7=lat_e7,
        decimals=decimals,
        datum=np.full(len(lon), DATUMS.index(Datum.WGS84)),
        accuracy_m=np.round(taps.accuracy_m, 3),
        age_s=taps.age_s,
        altitude_cm=np.round(taps.altitude_m * 100),
        speed_cmps=np.round(taps.speed_mps * 100),
        source=taps.source,
        mocked=taps.mocked,
        client=district.client[taps.person],
        platform=platforms[district.platform[taps.person]],
        device=taps.device,
        device_since_s=taps.device_since_s,
    )
