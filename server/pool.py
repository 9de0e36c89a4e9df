"""A pool of connections that knows how many threads wait for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.pool import PoolProxiedConnection, QueuePool


class CountingPool(QueuePool):
    """SQLAlchemy's pool; `waiting` threads are between asking for a connection and having one."""

    waiting = 0
    _counting = threading.Lock()

    def connect(self) -> PoolProxiedConnection:
        """Return a connection, as soon as one is free. Raises sqlalchemy.exc.TimeoutError when none is in time."""
        with self.counted():
            return super().connect()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count this thread as one that waits, while the block lasts."""
        with self._counting:
            self.waiting += 1
        try:
            yield
        finally:
            with self._counting:
                self.waiting -= 1
