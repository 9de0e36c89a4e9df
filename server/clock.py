"""The one place that reads the machine's clock.

Everything else takes an instant as an argument or calls :func:`now`, so that tests and the demonstration can set
the time by replacing one function.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


class _Hands:
    """The clock in use; replaced as a whole by :func:`use`."""

    read: Clock = staticmethod(system)


def now() -> datetime:
    """Return the present instant, aware, in UTC, by the clock in use."""
    return _Hands.read()


def use(clock: Clock) -> None:
    """Replace the clock of this process (tests, and the demonstration that plays a past month)."""
    _Hands.read = staticmethod(clock)
