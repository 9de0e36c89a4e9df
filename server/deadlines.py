"""By when a request must be answered, whatever happens below it (security.md M4).

The envelope starts a deadline when a request's content is there, that is, when its last byte reached the machine, however
long the event loop had no time to read it (ARRIVED). It lies in a context variable, so it reaches the
thread that runs the endpoint and every wait for the database in it (`db.Connection`). Whoever is not serving a request,
such as a command or a test, has none.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ANSWER_WITHIN_S = 3.5
"""Every route answers within 4 s, also when the database is frozen; half a second is for noticing and for telling."""
CONNECT_WITHIN_S = 2
"""The least that libpq and psycopg know as a time limit for connecting."""
ARRIVED = "arrived"
"""In a request's state: when its last byte reached this machine, on the monotonic clock; not there where nothing tells."""
HEAVY_WITHIN_S = 60.0
"""For imports, reports and tables of a scope, as long as the database is known to answer others."""


class Deadline:
    """The end of one request's time, on the monotonic clock. Restarted while its body is still arriving."""

    __slots__ = ("lost", "seconds", "until")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until = time.monotonic() + seconds
        self.lost: Callable[[], bool] | None = None

    def restart(self, since: float | None = None) -> None:
        """Begin again, now or at an instant: the client took its time to send, which is not the service's."""
        self.until = (time.monotonic() if since is None else since) + self.seconds

    def left(self) -> float:
        """Return the seconds that are left, negative when it is over."""
        return self.until - time.monotonic()

    def over(self) -> bool:
        """Tell whether the time is over, or (for long work) whether it is lost in any case."""
        return time.monotonic() >= self.until or (self.lost is not None and self.lost())


_CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current() -> Deadline | None:
    """Return the deadline of what is being done, None when there is none."""
    return _CURRENT.get()


def begin(seconds: float, since: float | None = None) -> Deadline:
    """Start a deadline for the rest of this context (an ASGI task), now or at an instant that has passed."""
    deadline = Deadline(seconds)
    deadline.restart(since)
    _CURRENT.set(deadline)
    return deadline


@contextmanager
def within(seconds: float, lost: Callable[[], bool] | None = None) -> Iterator[Deadline]:
    """Replace the deadline for a block. `lost` is asked while waiting: True ends the wait early."""
    deadline = Deadline(seconds)
    deadline.lost = lost
    token = _CURRENT.set(deadline)
    try:
        yield deadline
    finally:
        _CURRENT.reset(token)
