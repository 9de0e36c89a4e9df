"""How the people of the demonstration spend a month: who is where on which day, and with what kind of phone.

Drawn with a fixed seed, so that every run tells the same story. None of it is a model of real people.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from shapely import Point

from geo.datum import Datum, from_wgs84
from server.demo.district import District, Person, on_border_of, somewhere_in


class Habit(StrEnum):
    """What is particular about somebody's month."""

    STEADY = "在村"
    JUST_ENOUGH = "刚够"
    SELDOM = "少在村"
    IN_TOWN = "常在场镇"
    AT_BORDER = "住村界边"
    NO_SIGNAL = "无信号"
    LONG_NO_SIGNAL = "长期无信号"
    WRONG_DATUM = "坐标系不对"
    GCJ_PHONE = "火星坐标手机"
    MOCKED = "模拟位置标记"
    DOUBLE_SENDER = "重复发送"
    COARSE = "定位粗略"
    NEVER_STARTED = "未激活"


_SHARES = (
    (Habit.STEADY, 46), (Habit.JUST_ENOUGH, 12), (Habit.SELDOM, 6), (Habit.IN_TOWN, 4), (Habit.AT_BORDER, 6),
    (Habit.NO_SIGNAL, 7), (Habit.LONG_NO_SIGNAL, 2), (Habit.WRONG_DATUM, 2), (Habit.GCJ_PHONE, 6), (Habit.MOCKED, 2),
    (Habit.DOUBLE_SENDER, 4), (Habit.COARSE, 2), (Habit.NEVER_STARTED, 1),
)  # fmt: skip
_DAYS = {Habit.JUST_ENOUGH: (19, 22), Habit.SELDOM: (7, 15), Habit.IN_TOWN: (20, 25)}
_USUAL_DAYS = (22, 28)


@dataclass(frozen=True, slots=True)
class Tap:
    """One touch: what the phone has as position (None: no fix, with the reason)."""

    day: date
    minute: int  # Of the day, Beijing time.
    position: dict[str, Any] | None
    no_position: str | None = None
    times_sent: int = 1


@dataclass(frozen=True, slots=True)
class Life:
    """One person's month. `sync_every` is how many days the phone waits for a signal."""

    person: Person
    habit: Habit
    taps: tuple[Tap, ...]
    sync_every: int = 1
    clock_off: timedelta = timedelta(0)


def lives(district: District, month: date, last: date, *, seed: int = 24) -> Iterator[Life]:
    """Draw everybody's month."""
    drawn = random.Random(seed)  # noqa: S311  The demonstration is the same every time.
    habits = [habit for habit, share in _SHARES for _ in range(share)]
    for person in district.people:
        yield _life(person, drawn.choice(habits), district, (month, last), drawn)


def _life(
    person: Person, habit: Habit, district: District, span: tuple[date, date], drawn: random.Random
) -> Life:
    if habit is Habit.NEVER_STARTED:
        return Life(person, habit, ())
    first, last = max(span[0], person.from_day), min(span[1], person.until_day or span[1])
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    full = (span[1] - span[0]).days + 1
    wanted = drawn.randint(*_DAYS.get(habit, _USUAL_DAYS)) * len(days) // full
    present = sorted(drawn.sample(days, min(len(days), wanted)))
    home = somewhere_in(person.village.shape, drawn)
    if habit is Habit.AT_BORDER:
        home = on_border_of(person.village.shape, drawn)
    seat = district.seats.get(person.village.town)
    taps = [_tap(day, habit, home, seat, drawn) for day in present]
    # Signal is bad in the valleys: many phones get through every second or third day only.
    sync = {Habit.NO_SIGNAL: 3, Habit.LONG_NO_SIGNAL: 9}.get(habit) or drawn.choice((1, 2, 3, 3))
    off = timedelta(minutes=15) if drawn.random() < 0.03 else timedelta(0)  # noqa: PLR2004  A share of wrong clocks.
    return Life(person, habit, tuple(taps), sync, off)


def _tap(day: date, habit: Habit, home: Point, seat: Any, drawn: random.Random) -> Tap:  # noqa: ANN401  A shape or None.
    minute = int(min(1380, max(380, drawn.gauss(560, 110))))
    draw = drawn.random()
    if draw < 0.015:  # noqa: PLR2004  A share of taps under roofs.
        return Tap(day, minute, None, drawn.choice(("timeout", "unavailable", "denied")))
    where, accuracy = home, abs(drawn.gauss(14, 9)) + 4
    in_town = habit is Habit.IN_TOWN and draw < 0.7  # noqa: PLR2004  Most days.
    if seat is not None and (in_town or draw > 0.97):  # noqa: PLR2004  Anybody's errands.
        where = somewhere_in(seat, drawn, inset_deg=0.0008)
    if habit is Habit.COARSE:
        accuracy = drawn.choice((65.0, 150.0, 400.0, 1500.0))
    lon, lat = where.x + drawn.gauss(0, 4e-5), where.y + drawn.gauss(0, 4e-5)
    datum = Datum.WGS84
    if habit in {Habit.GCJ_PHONE, Habit.WRONG_DATUM}:
        shifted = from_wgs84(lon=lon, lat=lat, datum=Datum.GCJ02)
        lon, lat = shifted.lon, shifted.lat
        # The one says what its coordinates are; the other calls them WGS-84 and lands half a kilometre away.
        datum = Datum.GCJ02 if habit is Habit.GCJ_PHONE else Datum.WGS84
    position = {
        "lon": round(lon, 7),
        "lat": round(lat, 7),
        "datum": datum.value,
        "accuracy_m": round(accuracy, 1),
        "age_s": round(drawn.uniform(0, 20), 1),
        "provider": "network" if accuracy > 100 else "gps",  # noqa: PLR2004  Metres.
        "mocked": habit is Habit.MOCKED and draw < 0.5,  # noqa: PLR2004  Half of the taps.
    }
    return Tap(day, minute, position, times_sent=3 if habit is Habit.DOUBLE_SENDER else 1)
