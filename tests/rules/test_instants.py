"""The tap lies in its interval, and a day that may be wrong is always marked, for whatever honest phones go through.

The oracle is a world with a true time: phones are started, set wrong, drift, wait for a signal, and only what they could
read off their clocks is handed to the rules. It knows nothing of how the rules reckon.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from server.checkins import dating
from server.checkins.instants import (
    DELIVERY,
    DRIFT_PPM,
    Anchored,
    Doubt,
    Reading,
    Running,
    TimeBasis,
    Timing,
    timing,
)
from server.checkins.judging import FALLBACK

SECOND = 1_000_000
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
MIDNIGHT = datetime(
    2026, 11, 15, 16, tzinfo=UTC
)  # In Beijing; the true time of the world is microseconds from here.
YEAR = 366 * DAY


def at(true_us: int) -> datetime:
    return MIDNIGHT + timedelta(microseconds=true_us)


def beijing_day(true_us: int) -> date:
    return date(2026, 11, 16) + timedelta(days=true_us // DAY)


@dataclass(frozen=True)
class World:
    """What befell one phone: when it was asked, answered, tapped, sent and received (true time), and its clocks."""

    asked: int
    signed: int
    got: int
    tapped: int
    sent: int
    received: int
    starts: tuple[int, ...]  # The true times of the phone's starts.
    ppm: int  # By how much its clocks are fast.
    skew: int  # By how much its wall clock is ahead at `asked`, in microseconds.
    set_at: int | None = None  # When somebody set the wall clock,
    set_by: int = 0  # and by how much.
    anchored: bool = True
    says_sent: bool = True
    whole_seconds: bool = False  # As some phones write their time.

    def reading(self, true_us: int) -> Reading:
        boot = max(start for start in self.starts if start <= true_us)
        ran = (true_us - boot) * (1_000_000 + self.ppm) // 1_000_000
        return Reading(str(boot).encode(), ran // 1000)

    def wall(self, true_us: int) -> datetime:
        drifted = (true_us - self.asked) * self.ppm // 1_000_000
        turned = self.set_by if self.set_at is not None and true_us >= self.set_at else 0
        shown = at(true_us + self.skew + drifted + turned)
        return shown.replace(microsecond=0) if self.whole_seconds else shown

    def running(self) -> Running:
        anchor = Anchored(at(self.signed), self.reading(self.asked), self.reading(self.got).ms)
        return Running(
            tapped=self.reading(self.tapped),
            sent=self.reading(self.sent) if self.says_sent else None,
            anchor=anchor if self.anchored else None,
        )

    def placed(self, *, running: bool = True) -> Timing:
        told = self.running() if running else None
        return timing(self.wall(self.tapped), self.wall(self.sent), at(self.received), told)


TRIP = st.integers(0, 15 * SECOND)
WAITS = st.one_of(TRIP, st.integers(0, 4 * HOUR), st.integers(0, 9 * DAY))
NEAR_MIDNIGHT = st.builds(
    lambda day, off: day * DAY + off, st.integers(0, 9), st.integers(-200 * SECOND, 200 * SECOND)
)
TAPS = st.one_of(st.integers(0, 9 * DAY), NEAR_MIDNIGHT)
PPM = st.one_of(st.integers(-50, 50), st.integers(-DRIFT_PPM, DRIFT_PPM))
SMALL = st.integers(-300 * SECOND, 300 * SECOND)
SKEWS = st.one_of(
    SMALL,
    st.sampled_from([s * n for n in (HOUR, DAY, YEAR) for s in (1, -1)]),
    st.integers(-9 * DAY, 9 * DAY),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    tapped = draw(TAPS)
    got = tapped - draw(WAITS)
    signed = got - draw(TRIP)
    asked = signed - draw(TRIP)
    sent = tapped + draw(WAITS)
    first = asked - draw(st.integers(1, 30 * DAY))
    restarts = draw(st.lists(st.integers(got + 1, max(got + 1, sent)), max_size=2))
    setting = draw(st.none() | st.integers(asked, sent))
    return World(
        asked=asked,
        signed=signed,
        got=got,
        tapped=tapped,
        sent=sent,
        received=sent + draw(st.integers(0, DELIVERY // timedelta(microseconds=1))),
        starts=(first, *restarts),
        ppm=draw(PPM),
        skew=draw(SKEWS),
        set_at=setting,
        set_by=draw(SKEWS) if setting is not None else 0,
        anchored=draw(st.booleans()),
        says_sent=draw(st.booleans()),
        whole_seconds=draw(st.booleans()),
    )


def doubt_of(world: World, placed: Timing) -> Doubt | None:
    return dating.dated_of(placed, at(world.received), FALLBACK).doubt


def known_day(world: World, placed: Timing) -> date:
    local = placed.event_at.astimezone(UTC) + timedelta(hours=8)
    assert placed.event_at <= at(world.received)
    return local.date()


@settings(max_examples=250)
@given(worlds())
def test_the_tap_lies_between_what_an_anchor_and_a_running_clock_enclose(world: World) -> None:
    assume(world.anchored or world.reading(world.tapped).boot == world.reading(world.sent).boot)
    assume(world.anchored or world.says_sent)
    placed = world.placed()  # edge 55, edge 59: whatever the wall clock was set to.
    assert placed.basis is not TimeBasis.CONTRADICTED
    assert placed.earliest <= at(world.tapped) <= placed.latest <= at(world.received)
    if doubt_of(world, placed) is None:
        assert known_day(world, placed) == beijing_day(world.tapped)


@settings(max_examples=200)
@given(worlds())
@example(
    World(0, 0, 0, -1 * SECOND + DAY, 2 * DAY, 2 * DAY, (-1,), 0, 110 * SECOND)
)  # Two minutes fast, at midnight.
@example(World(0, 0, 0, 0, 1, 120 * SECOND + 1, (-1,), -1, 0))  # As slow a delivery as there may be.
def test_a_wall_clock_that_nobody_sets_gives_no_wrong_day_without_a_mark(world: World) -> None:
    assume(world.set_at is None)
    placed = world.placed(running=False)  # security.md S4; edge 54, edge 60, edge 62.
    assert placed.earliest <= at(world.tapped) <= placed.latest
    if doubt_of(world, placed) is None:
        assert known_day(world, placed) == beijing_day(world.tapped)


@given(worlds())
def test_within_one_boot_an_anchor_leaves_the_round_trip_and_the_drift(world: World) -> None:
    world = replace(world, anchored=True, starts=world.starts[:1])
    placed = world.placed()
    assert placed.basis is TimeBasis.ANCHOR
    since = world.tapped - world.asked
    allowed = (world.got - world.asked) + since * 2 * (DRIFT_PPM + 1) // SECOND + 10_000
    assert placed.latest - placed.earliest <= timedelta(microseconds=allowed)


@given(worlds())
def test_after_a_restart_the_last_anchor_and_the_arrival_enclose_the_tap(world: World) -> None:
    assume(world.got < world.tapped)
    world = replace(world, anchored=True, says_sent=False, starts=(world.starts[0], world.tapped))
    placed = world.placed()  # edge 59
    assert (placed.basis, placed.earliest, placed.latest) == (
        TimeBasis.RESTARTED,
        at(world.signed),
        at(world.received),
    )


def five_days(**changes: Any) -> World:
    """Return a phone that fetched an anchor on a morning, was tapped five noons later and sent it two days after that."""
    tapped = 5 * DAY + 12 * HOUR
    usual: dict[str, Any] = {
        "asked": 8 * HOUR, "signed": 8 * HOUR + SECOND, "got": 8 * HOUR + 2 * SECOND, "tapped": tapped,
        "sent": tapped + 2 * DAY, "received": tapped + 2 * DAY + SECOND, "starts": (-DAY,), "ppm": 20, "skew": 0,
    }  # fmt: skip
    return World(**{**usual, **changes})


@pytest.mark.parametrize("skew", [0, -7 * DAY, HOUR, -HOUR, DAY, -DAY, YEAR, -YEAR])
def test_with_an_anchor_the_wall_clock_is_of_no_account(skew: int) -> None:
    for set_at in (None, 8 * HOUR + 5, 6 * DAY):
        world = five_days(skew=skew, set_at=set_at, set_by=0 if set_at is None else -3 * skew)
        placed = world.placed()  # edge 55
        assert (doubt_of(world, placed), known_day(world, placed)) == (None, date(2026, 11, 21))
        assert abs(placed.event_at - at(world.tapped)) < timedelta(minutes=5)


def test_a_running_clock_that_stands_still_in_sleep_is_found_out() -> None:
    world = five_days()
    honest = world.running()
    asleep = (
        Running(  # Android's uptimeMillis, or CLOCK_MONOTONIC of a sleeping Linux, in place of the right one.
            tapped=Reading(honest.tapped.boot, honest.tapped.ms - 2 * 86_400_000),
            sent=Reading(honest.tapped.boot, honest.sent.ms - 3 * 86_400_000) if honest.sent else None,
            anchor=honest.anchor,
        )
    )
    placed = timing(world.wall(world.tapped), world.wall(world.sent), at(world.received), asleep)
    assert (placed.basis, doubt_of(world, placed)) == (TimeBasis.CONTRADICTED, Doubt.CONTRADICTION)
    assert placed.earliest <= at(world.tapped) <= placed.latest
    assert known_day(world, placed) == date(
        2026, 11, 21
    )  # The wall clock lies in what is certain, so it decides.


def later(reading: Reading, ms: int) -> Reading:
    return Reading(reading.boot, reading.ms + ms)


@pytest.mark.parametrize(
    "tampered", ["tap-before-anchor", "tap-after-sending", "answer-before-question", "own-clock-back"]
)
def test_readings_that_cannot_be_are_a_contradiction_and_never_an_error(tampered: str) -> None:
    world = five_days()
    told, anchor = world.running(), world.running().anchor
    assert anchor is not None
    assert told.sent is not None
    day = 86_400_000
    changed = {
        "tap-before-anchor": Running(later(told.tapped, -6 * day), told.sent, anchor),
        "tap-after-sending": Running(later(told.tapped, 3 * day), told.sent, anchor),
        "answer-before-question": Running(told.tapped, told.sent, Anchored(anchor.at, anchor.asked, anchor.asked.ms - 1)),
        "own-clock-back": Running(told.tapped, told.sent, Anchored(anchor.at + timedelta(days=300), anchor.asked, anchor.got_ms)),
    }[tampered]  # fmt: skip
    placed = timing(world.wall(world.tapped), world.wall(world.sent), at(world.received), changed)
    assert (placed.basis, doubt_of(world, placed)) == (TimeBasis.CONTRADICTED, Doubt.CONTRADICTION)
    assert placed.event_at <= at(world.received)


def test_a_phone_that_lost_its_clock_is_still_placed_by_its_running_clock() -> None:
    world = five_days(
        skew=-50 * YEAR, set_at=6 * DAY, set_by=50 * YEAR
    )  # Set right again before the sending.
    with pytest.raises(OverflowError):
        world.placed(running=False)
    placed = world.placed()
    assert (placed.claimed_at, known_day(world, placed)) == (None, date(2026, 11, 21))


def test_a_phone_that_is_an_hour_off_decides_no_day_when_late_and_every_day_online() -> None:
    late = five_days(skew=HOUR)
    assert doubt_of(late, late.placed(running=False)) is Doubt.CLOCK  # security.md S4
    tapped = 12 * HOUR
    online = five_days(
        skew=15 * 60 * SECOND, got=tapped, tapped=tapped, sent=tapped + SECOND, received=tapped + 2 * SECOND
    )
    placed = online.placed(running=False)  # edge 54
    assert (placed.basis, doubt_of(online, placed)) == (TimeBasis.CORRECTED, None)
    assert timedelta(0) <= placed.event_at - at(tapped) <= timedelta(seconds=2)


def test_a_tap_just_before_midnight_that_arrives_after_it_keeps_its_day_and_is_marked() -> None:
    tapped = DAY - 2 * SECOND
    world = five_days(got=tapped, tapped=tapped, sent=tapped + SECOND, received=DAY + 5 * SECOND)
    placed = world.placed(running=False)  # edge 62
    assert (known_day(world, placed), doubt_of(world, placed)) == (date(2026, 11, 16), Doubt.DAY)
