"""How much one account may ask in a minute, told before it runs out (draft-ietf-httpapi-ratelimit-headers-10).

Three quotas, by what a request costs: reading, writing, and what is heavy (files, reports, tables of a scope). The
check-ins that a person sends have none: a limit there would refuse attendance (ruling 19), and overload answers 503.

A window begins with an account's first request in it and lasts a minute, so that ``RateLimit`` can say exactly what is
left and when it is whole again, and no two accounts wait for the same second. Each worker counts for itself: with n
workers an account gets between one and n times the quota. That is meant: it guards a worker against one account that
runs wild, and costs no I/O.
"""

import math
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from server import problems
from server.problems import Problem
from server.settings import Settings

WINDOW_S = 60
READ, WRITE, HEAVY = "read", "write", "heavy"
WITHOUT = frozenset({"checkins-put", "checkins-batch"})
"""Operations without a quota."""
HEAVY_OPERATIONS = frozenset(
    {
        "accounts-for-people", "accounts-slips", "calendars-import", "me-export", "months-list", "places-boundary-report", "places-dry-run",
        "places-import-boundaries", "places-import-circle", "places-import-regions", "places-outline", "places-publish",
        "policies-consequences", "rejudgings-approve", "rejudgings-ask", "roster-import",
    }
)  # fmt: skip
MOST_REMEMBERED = 32_768
"""Windows kept in one worker, about 8 MB; beyond that the oldest begin anew."""
Header = tuple[bytes, bytes]


def kind_of(operation_id: str, method: str) -> str | None:
    """Return which quota an operation counts for; None for one without."""
    if operation_id in WITHOUT:
        return None
    if operation_id in HEAVY_OPERATIONS:
        return HEAVY
    return READ if method.upper() in {"GET", "HEAD"} else WRITE


class Quotas:
    """The windows of one worker. Used on the event loop only, so it needs no lock."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = {READ: settings.quota_read, WRITE: settings.quota_write, HEAVY: settings.quota_heavy}
        self._clock = clock
        self._policies = {
            kind: (b"ratelimit-policy", f'"{kind}";q={limit};w={WINDOW_S}'.encode())
            for kind, limit in self.limits.items()
        }
        self._windows: dict[tuple[UUID, str], list[float]] = {}  # [ends at, requests counted]

    def take(self, account_id: UUID, kind: str, state: dict[str, Any]) -> None:
        """Count one request, and leave the headers of its answer in `state`. Raises Problem (429) when none is left."""
        limit = self.limits[kind]
        if limit == 0:
            return
        now = self._clock()
        window = self._windows.get((account_id, kind))
        if window is None or window[0] <= now:
            window = self._begun((account_id, kind), now)
        wait = max(1, math.ceil(window[0] - now))
        window[1] = min(window[1] + 1, limit + 1)
        left = max(0, limit - int(window[1]))
        state["quota"] = [(b"ratelimit", f'"{kind}";r={left};t={wait}'.encode()), self._policies[kind]]
        if window[1] > limit:
            raise _exhausted(kind, limit, wait)

    def _begun(self, key: tuple[UUID, str], now: float) -> list[float]:
        self._windows.pop(key, None)  # So that it goes to the end: the first one is always the oldest.
        while len(self._windows) >= MOST_REMEMBERED:
            del self._windows[next(iter(self._windows))]
        window = self._windows[key] = [now + WINDOW_S, 0]
        return window


def _exhausted(kind: str, limit: int, wait: int) -> Problem:
    return Problem(
        problems.TOO_MANY_REQUESTS,
        zh=f"每 {WINDOW_S} 秒最多 {limit} 次此类请求，请在 {wait} 秒后再试。签到不受此限制。",
        en=f"At most {limit} requests of this kind in {WINDOW_S} seconds; try again in {wait} seconds. "
        "Check-ins are never limited.",
        headers={"Retry-After": str(wait)},
        retry_after_s=wait,
        quota=kind,
    )
