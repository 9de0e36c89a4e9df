"""A crowd that is told to come again is spread out until everybody is served (security.md S3)."""

import heapq
import random

import pytest

from server.checkins import batches
from server.checkins.batches import Pacing


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def simulated(phones: int, pace: int, seed: int) -> tuple[float, float, int]:
    """Let phones come at once and again as they are told; return when the last was served, tries a phone, most in a second.

    Every draw is the seed's: the busiest second of a crowd is the luckless end of a distribution, and where the waits were
    drawn afresh one run in some thousands went over the bound by one phone.
    """
    drawn, clock = random.Random(seed), Clock()
    pacing = Pacing(clock, drawn)
    due = [(clock.now + drawn.random(), number) for number in range(phones)]
    heapq.heapify(due)
    second, served, asked, tries, most = int(clock.now), 0, 0, 0, 0
    while due:
        at, number = heapq.heappop(due)
        clock.now = at
        if int(at) != second:
            second, served, asked = int(at), 0, 0
        asked, tries = asked + 1, tries + 1
        if (
            at > 1005
        ):  # The first seconds belong to the mast; afterwards it shows whether they are spread out.
            most = max(most, asked)
        if served < pace:
            served += 1
            pacing.finished()
        else:
            wait = int(pacing.refusal().headers["Retry-After"])
            assert 1 <= wait <= batches.LONGEST_SPREAD_S
            heapq.heappush(due, (at + wait * (1 + drawn.random() / 2), number))
    return clock.now - 1000, tries / phones, most


@pytest.mark.parametrize(("phones", "pace"), [(1000, 60), (2000, 60), (300, 100), (1000, 20)])
def test_everybody_is_served_and_few_come_in_vain(phones: int, pace: int) -> None:
    for seed in range(5):
        took, tries, most = simulated(phones, pace, seed)
        assert took <= 2.5 * phones / pace + batches.SHORTEST_SPREAD_S
        assert tries <= 6
        assert most <= 4 * pace + 20  # In a second: refusals are cheap, but not free.


def test_one_who_is_refused_alone_comes_back_soon() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    for _ in range(100):
        clock.now += 5
        assert 1 <= int(pacing.refusal().headers["Retry-After"]) <= batches.SHORTEST_SPREAD_S
