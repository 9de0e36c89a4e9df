"""Notices that this machine's clock was set, by holding it against the clock that runs since the machine's start.

A clock that jumps moves what is received to another instant, at midnight to another day. Nobody can say from in here
whether it was wrong before or is wrong now; so both are thought possible until the service is started again, which an
operator does when the clock is right (security.md S4). Slewing, at most 43 s a day, is no jump.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server import clock

LEAST: Final = timedelta(seconds=5)
"""From here on a jump is told; clocks that differ so much from the database's are refused at the start (server.safety)."""


def _running() -> timedelta:
    return timedelta(microseconds=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)


@dataclass(frozen=True, slots=True)
class Step:
    """One jump: what the clock said then, and what it would have said."""

    since: datetime  # By the clock before the jump: from when on it ran without one.
    before: datetime
    after: datetime

    @property
    def by(self) -> timedelta:
        """Return how far the clock was moved; negative: back."""
        return self.after - self.before


class ClockWatch:
    """Looks at the two clocks of one process. Safe to ask from anywhere."""

    def __init__(
        self, wall: Callable[[], datetime] = clock.system, running: Callable[[], timedelta] = _running
    ) -> None:
        self._wall, self._running = wall, running
        self._lock = threading.Lock()
        self._since = self._wall_seen = wall()
        self._running_seen = running()
        self._low = self._high = self._sum = timedelta(0)

    def look(self) -> Step | None:
        """Return the jump since the last look, if there was one. To be called every second or so."""
        with self._lock:
            wall, running = self._wall(), self._running()
            expected = self._wall_seen + (running - self._running_seen)
            since, self._wall_seen, self._running_seen = self._since, wall, running
            if abs(wall - expected) < LEAST:
                return None
            self._since = wall
            self._sum += wall - expected
            self._low, self._high = min(self._low, self._sum), max(self._high, self._sum)
            if abs(self._sum) < LEAST:  # Taken back: where it began and where it is agree.
                self._low = self._high = self._sum = timedelta(0)
            return Step(since, expected, wall)

    def possible(self) -> tuple[timedelta, timedelta]:
        """Return by how much the present instant may be earlier, and later, than the clock says: zero without jumps."""
        return self._sum - self._low, self._high - self._sum

    def doubted(self) -> bool:
        """Tell whether the present instant may be another than the clock says."""
        return self._low != self._high


WATCH = ClockWatch()
"""This process's own."""
RECORD: Final = "INSERT INTO clock_steps (process, since_at, before_at, after_at) VALUES (%s, %s, %s, %s)"


def process() -> str:
    """Return how a record names this process: its machine and number."""
    return f"{socket.gethostname()}/{os.getpid()}"
