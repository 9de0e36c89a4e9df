"""How the event loop and the threads of a worker share one interpreter."""

import sys

from anyio import to_thread

SWITCH_EVERY_S = 0.0005
"""How long a thread that computes keeps the interpreter when others want it. Python's 5 ms, times the threads that run,
is what the event loop would wait for each turn: a tenth of a second under load, for every check-in and `/livez`."""
WAITING_THREADS = 8
"""Beside those that have a connection or hash a password. More threads would only wait, and answer no sooner."""


def arrange(busy_threads: int) -> None:
    """Arrange it for the running loop; `busy_threads` can be at work at the same time."""
    sys.setswitchinterval(SWITCH_EVERY_S)
    to_thread.current_default_thread_limiter().total_tokens = busy_threads + WAITING_THREADS
