"""A psycopg connection on which nothing waits longer than the deadline of the request that uses it.

A frozen server, or a link that swallows packets, leaves a thread waiting for ever: the kernel still acknowledges, so TCP's
own time-outs do not help (security.md section 1). Here the waiting thread itself gives up: psycopg waits in slices of a
tenth of a second, and a connection whose time is over is closed at once. There is no watchdog to fail and no
socket to close under another thread's feet, and a healthy wait costs one look at a context variable.
"""

import contextlib
import os
import select
import socket
import traceback
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn

from server import deadlines
from server.deadlines import Deadline

RV = TypeVar("RV")
ENDED = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)
"""Told when the server has ended a session in whose transaction nothing was asked for too long, as when server and service
were frozen together: an InternalError, although all that is wrong is that the connection is gone."""
_SLICE_S = 0.1
_MOST_NOTICES = 8


class TooLate(psycopg.OperationalError):
    """The deadline passed while the database was waited for. Whether a COMMIT under way happened is not known."""


class Connection(psycopg.Connection[Any]):
    """A connection whose waits end with the deadline in force (server.deadlines)."""

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401  As psycopg's own, whatever it takes.
        """Connect as psycopg does; an attempt that was given up leaves no socket open."""
        try:
            return super().connect(*args, **kwargs)
        except BaseException as error:
            let_go(error)
            raise

    def wait(self, gen: PQGen[RV], interval: float = _SLICE_S, timeout: float | None = None) -> RV:
        """Wait for the server, at most until the deadline. Raises TooLate; the connection is closed then."""
        deadline = deadlines.current()
        if deadline is None:
            return super().wait(gen, interval, timeout)
        if deadline.lost is not None:
            return super().wait(self._watched(gen, deadline), interval, timeout)
        try:
            return super().wait(gen, interval, max(deadline.left(), 0.001))
        except psycopg.OperationalError:
            if deadline.left() > 0:
                raise
            self.pgconn.finish()
            raise TooLate("the database did not answer in time") from None

    def _watched(self, gen: PQGen[RV], deadline: Deadline) -> PQGen[RV]:
        """Pass on what psycopg waits for, and look at the deadline whenever a slice went by without an answer."""
        try:
            asked = next(gen)
            while True:
                ready = yield asked
                if not ready and deadline.over():
                    gen.close()
                    self.pgconn.finish()
                    raise TooLate("the database did not answer in time")
                asked = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def let_go(error: BaseException) -> None:
    """Close the socket of a connection attempt that ended with this error.

    psycopg leaves it to Python: the attempt lives in the frames of the traceback, and these, with the list of errors in
    them, are a cycle. Until the collector comes by, a server that was merely slow holds a session for nobody.
    """
    last: BaseException | None = error
    while last is not None:
        traceback.clear_frames(last.__traceback__)
        last = last.__context__


def cut(pgconn: PGconn) -> None:
    """End a connection that another thread or task is waiting on: its wait fails at once, as if the server had left.

    The socket is shut down, not closed. Closing it here (PQfinish) would free what the waiting generator still points to,
    and leave the event loop polling a number that the next connection gets: both corrupt memory, which was met in a
    storm of clients on a frozen database. Whoever waited closes it.
    """
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(pgconn.socket)) as same:
        same.shutdown(socket.SHUT_RDWR)


def hung_up(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server has closed this idle connection, without asking it (as Go's database/sql drivers do).

    An idle connection has nothing to say but notices and its end. Looking costs a system call, not a round trip.
    """
    pgconn = connection.pgconn
    poll = select.poll()
    try:
        poll.register(pgconn.socket, select.POLLIN)
        # The last words of a server that stops are read first, then its end.
        for _ in range(_MOST_NOTICES):
            if not poll.poll(0):
                return False
            pgconn.consume_input()
    except (psycopg.Error, OSError):
        return True
    return True
