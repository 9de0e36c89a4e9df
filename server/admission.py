"""How many requests may be inside at once: beyond it a request hears 503 at once, and memory stays flat (M4).

Counted are the requests that need a thread and a connection, from when their content is there (so a slow sender holds
no place) until they are answered. Check-ins have a queue of their own, liveness and readiness need neither.
"""

from typing import Any

from server import problems

_INSIDE = "inside"


class Admission:
    """The places of one worker. Used on the event loop only, so it needs no lock."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0
        self.stopping = False

    def enter(self, state: dict[str, Any]) -> None:
        """Take a place for the request with this ASGI state, once. Raises Problem (503 busy) when all are taken."""
        if _INSIDE in state:
            return
        if self.stopping:
            raise problems.later(problems.STOPPING)
        if self.inside >= self.most:
            raise problems.later(problems.BUSY)
        self.inside += 1
        state[_INSIDE] = True

    def stop(self) -> None:
        """Let nobody in any more: the service ends."""
        self.stopping = True

    def leave(self, state: dict[str, Any]) -> None:
        """Give the place back, if the request has one."""
        if state.pop(_INSIDE, False):
            self.inside -= 1
