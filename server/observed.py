"""What an operator sees of a worker: a line and three numbers a request, its own gauges once a second, and ``/metrics``."""

import asyncio
import contextlib
import hmac
import logging
import os
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import logs, metrics, problems, vitals
from server.pool import CountingPool
from server.problems import Problem
from server.settings import Settings
from server.tally import TALLY, Series

LOG = logging.getLogger("zaicun.http")
UNMATCHED = "unmatched"
"""The operation of a request that no route took: its path is whatever a stranger wrote."""
PULSE_S = 1.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class Observed:
    """Count and log each request. The outermost layer, so that refusals of inner ones are seen as well.

    It runs a few thousand times a second in the event loop: what can be looked up once is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._in_flight = TALLY.series(metrics.IN_FLIGHT)
        self._answers: dict[tuple[str, int], tuple[Series, Series]] = {}
        self._lines = logs.requests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._live(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        def watched(message: Message) -> object:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)  # Awaited by the caller: one coroutine less than awaiting it here.

        TALLY.cells[self._in_flight.at] += 1
        try:
            await self.app(scope, receive, watched)  # type: ignore[arg-type]  # It returns what Send returns.
        except BaseException:
            status = status or 500  # The layer outside of this one answers it.
            raise
        finally:
            TALLY.cells[self._in_flight.at] -= 1
            self._told(scope, status, time.perf_counter() - began)

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope.get("state") or {}
        operation = _operation(state.get("scope", scope))
        if not status:
            self._gone(operation, state.get("request_id", ""), seconds)
            return
        problem = state.get("problem") or (problems.INTERNAL.code if status == 500 else "")  # noqa: PLR2004
        key = (operation, status)
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = (
                TALLY.series(metrics.REQUESTS, operation, str(status)),
                TALLY.series(metrics.SECONDS, operation),
            )
        cells, at, bounds = TALLY.cells, found[1].at, metrics.SECONDS.bounds
        cells[found[0].at] += 1
        cells[at + bisect_left(bounds, seconds)] += 1
        cells[at + len(bounds) + 1] += seconds
        if problem:
            cells[TALLY.series(metrics.PROBLEMS, operation, problem).at] += 1
        if self._lines is not None:
            self._lines.told(operation, status, state.get("request_id", ""), seconds, problem)

    def _gone(self, operation: str, request_id: str, seconds: float) -> None:
        """Tell of a request that was never whole and is not answered: no refusal, and none of the service's times."""
        TALLY.cells[TALLY.series(metrics.GONE, operation).at] += 1
        if self._lines is not None:
            self._lines.told(operation, 0, request_id, seconds, "")

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the start and the end of the application through, and say what ended it."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            LOG.critical("the application could not start or end", exc_info=error)
            raise


def _operation(scope: Scope) -> str:
    route = scope.get("route")
    name = getattr(route, "operation_id", None) or getattr(route, "name", None)
    return name if isinstance(name, str) else UNMATCHED


def install(app: FastAPI, settings: Settings) -> None:
    """Add the layer and ``/metrics``; call it after every other layer was added, so that this one is outermost."""
    app.add_middleware(Observed)
    # A thread of its own: when every other thread waits for a frozen database, the page still comes.
    teller = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    @app.get("/metrics", include_in_schema=False)
    async def metrics_page(request: Request) -> Response:
        admit(request, settings)
        if not hasattr(app.state, "vitals"):
            app.state.vitals = vitals.Vitals(settings.database_url)
        facts = await app.state.vitals.ask()
        accept = request.headers.get("accept", "")[:500]
        loop = asyncio.get_running_loop()
        body, media_type = await loop.run_in_executor(teller, metrics.page, accept, facts)
        return Response(
            body, media_type=None, headers={"Content-Type": media_type, "Cache-Control": "no-store"}
        )


def admit(request: Request, settings: Settings) -> None:
    """Let only those who run the service read the numbers (DECISIONS.md, "Who may read the metrics").

    With ``ZAICUN_METRICS_TOKEN`` whoever sends it as a bearer token. Without it this machine alone, and nobody behind
    a proxy: there every request comes from the proxy's address. Raises Problem (401, or 404 where the page is closed).
    """
    if settings.metrics_token:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), settings.metrics_token.encode())
        if scheme.lower() != "bearer" or not right:
            kind = problems.TOKEN_INVALID if given else problems.TOKEN_MISSING
            raise Problem(kind, headers={"WWW-Authenticate": "Bearer"})
        return
    here = request.client is not None and request.client.host in {"127.0.0.1", "::1"}
    passed_on = any(name in request.headers for name in _FORWARDED)
    if settings.behind_proxy or passed_on or not here:
        raise Problem(problems.NOT_FOUND)


@contextlib.asynccontextmanager
async def measuring(app: FastAPI) -> AsyncIterator[None]:
    """Measure this worker once a second while the block runs: memory, processor, connections, queue, lag."""
    TALLY.set(metrics.STARTED, to=time.time())
    beating = asyncio.create_task(_beat(app), name="measuring")
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(app: FastAPI) -> None:
    while True:
        measure(app)
        asked = time.perf_counter()
        await asyncio.sleep(PULSE_S)
        TALLY.observe(metrics.LOOP_LAG, size=max(0.0, time.perf_counter() - asked - PULSE_S))


_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(app: FastAPI) -> None:
    """Write this worker's gauges down."""
    TALLY.set(metrics.CPU, to=time.process_time())
    TALLY.set(metrics.MEMORY, to=int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE)
    TALLY.set(metrics.FILES, to=sum(1 for _ in Path("/proc/self/fd").iterdir()))
    pool = app.state.database.engine.pool
    if isinstance(pool, CountingPool):
        TALLY.set(metrics.POOL_SIZE, to=pool.size())
        TALLY.set(metrics.POOL_USED, to=pool.checkedout())
        TALLY.set(metrics.POOL_WAITING, to=pool.waiting)
    TALLY.set(metrics.QUEUE, to=app.state.intake.waiting)
    TALLY.set(metrics.QUEUE_LIMIT, to=app.state.settings.intake_queue)
