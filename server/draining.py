"""Stopping: from the signal on nothing new is begun, and what is under way ends in time to be answered (M3).

Uvicorn lets requests in flight finish, for ten seconds. Most take milliseconds; long work is given up when the signal
comes, so that its client hears a 503 rather than a cut line.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Stop = Callable[[], None]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told(*stops: Stop) -> Iterator[None]:
    """Call each of `stops` when this process is told to end, before the server's own handler runs.

    Handlers belong to the main thread; a server in another thread (the tests') is stopped by other means.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        for stop in stops:
            stop()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
