"""How long a client may take to send, and how many may be connected: a slow sender must not hold what others need.

Uvicorn ends idle connections after a few seconds, but waits for ever for the rest of a request that began. Here every
connection notes since when it is being read, and a sweep once a second ends those that take too long: a few
assignments a request, no timer of its own for any. The rule is that of Apache's mod_reqtimeout: a time for the head, a
time for the body, and more for bodies that keep coming.
"""

import asyncio
import resource
from functools import cache

from server import problems
from server.problems import Problem
from server.wire import Wire

HEAD_WITHIN_S = 10.0
BODY_WITHIN_S = 20.0
SLOWEST_BYTES_PER_S = 1_000
"""A body may take BODY_WITHIN_S and a second more for so many bytes: 50 MB on the worst link of a mountain village."""
SWEEP_EVERY_S = 1.0
MOST_CONNECTIONS = 4_000
"""In one worker, or as many files as the system lets it open, less these:"""
_FILES_OF_OUR_OWN = 200
_SWEEPING = "zaicun_sweeping"


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows at all; the usual 1,024 is less than a busy morning."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@cache
def most_connections() -> int:
    """Return how many connections one worker takes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, soft - _FILES_OF_OUR_OWN))


class Patient(Wire):
    """One connection, with an end to its patience."""

    _since: float | None = (
        None  # Since when a request is being read, by the loop's clock; None while none is.
    )
    _got = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        """Count from now: who connects has something to say."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > most_connections():
            transport.write(self.written(problems.later(problems.BUSY)))
            transport.close()
        elif not getattr(self.server_state, _SWEEPING, False):
            setattr(self.server_state, _SWEEPING, True)
            self.loop.call_later(SWEEP_EVERY_S, self._sweep)

    def data_received(self, data: bytes) -> None:
        """Count what came; whatever begins after a pause begins a request."""
        if self._since is None and not self._answering():
            self._since = self.loop.time()
        super().data_received(data)
        self._got += len(data)

    def on_message_begin(self) -> None:
        """Begin to count anew."""
        super().on_message_begin()
        self._since, self._got = self.loop.time(), 0

    def on_message_complete(self) -> None:
        """Stop counting: the rest is the service's own time."""
        self._since = None
        super().on_message_complete()

    def _sweep(self) -> None:
        """Look at every connection of this worker; go on as long as there are any."""
        now = self.loop.time()
        for connection in list(self.connections):
            if isinstance(connection, Patient):
                connection.end_if_slow(now)
        if self.connections:
            self.loop.call_later(SWEEP_EVERY_S, self._sweep)
        else:
            setattr(self.server_state, _SWEEPING, False)

    def _answering(self) -> bool:
        """Tell whether there is a request that is not answered yet; before the first there is no cycle at all."""
        return getattr(self.cycle, "response_complete", True) is False

    def end_if_slow(self, now: float) -> None:
        """End a connection on which a request has been arriving for too long."""
        if self._since is None or self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._since = now  # It is the service that does not read; the client may be as fast as can be.
            return
        reading_body = self._answering()
        allowed = BODY_WITHIN_S + self._got / SLOWEST_BYTES_PER_S if reading_body else HEAD_WITHIN_S
        if now - self._since > allowed:
            # Whoever heard an answer to this request already, or is hearing one, is told nothing more.
            unanswered = self._headed == reading_body and not (reading_body and self.cycle.response_started)
            if self._got and unanswered:
                self.transport.write(self.written(Problem(problems.REQUEST_TIMEOUT)))
            self.transport.close()
