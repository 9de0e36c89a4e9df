"""The grouped writer: what arrives while one group is being stored is the next group.

One group is in flight at a time, so nothing waits for a timer: at low load a group is one check-in, under load it grows
by itself. A check-in's future is resolved only after the COMMIT of its group, never before (security.md M1).
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Generic, TypeVar

import psycopg

from server import bounded, deadlines, logs, metrics, problems
from server.problems import Problem

LOG = logging.getLogger("zaicun.intake")
ANSWER_WITHIN_S = 3.0
"""Later than this, or than the request's deadline, the phone is told to come again (M4: every route answers within 4 s);
resending is harmless."""
STORE_WITHIN_S = 2.5
MOST_TRIES = 5
"""Of a whole transaction, when the database gave it up for the sake of another's; with a random pause between."""
_IN_EACH_OTHERS_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # Two workers of different versions stored one check-in at once.
)
_PAUSE_MS = 20

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Writer(Generic[Item, Outcome]):
    """Gather items and store them in groups.

    `store` keeps a whole group in one transaction and returns one outcome an item; when it raises, nothing of the
    group is stored. `abandon` gives up the connection on which a `store` hangs, and returns what closes it for good:
    that is called when nothing can wait on it any more, because closing it sooner would free what is waited on.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Item]], Coroutine[None, None, Sequence[Outcome]]],
        *,
        abandon: Callable[[], Callable[[], None]],
        queue: int,
        group: int,
    ) -> None:
        self._store = store
        self._abandon = abandon
        self._longest = queue
        self._largest = group
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._runner: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[Sequence[Outcome]] | None = None

    @property
    def waiting(self) -> int:
        """Return how many items wait to be stored."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin storing; call it inside the running loop."""
        self._runner = asyncio.create_task(self._run(), name="checkin-writer")

    async def put(self, item: Item) -> Outcome:
        """Store one item and return its outcome after the commit.

        Raises Problem 503 with Retry-After when the queue is full, when the service is stopping, or when the
        database does not answer in time. A 503 says nothing about whether the item is stored; sending it again does.
        """
        if self._closing or len(self._waiting) >= self._longest:
            raise problems.later(problems.BUSY)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        # A timer that fails the future, because asyncio's own timeouts cost ten times as much and wait for the
        # driver's cancellation (security.md 3).
        deadline = deadlines.current()
        left = ANSWER_WITHIN_S if deadline is None else min(ANSWER_WITHIN_S, deadline.left())
        late = loop.call_later(left, _give_up, future)
        try:
            return await future
        finally:
            late.cancel()

    async def close(self) -> None:
        """Take nothing more, finish what waits, and stop."""
        self._closing = True
        self._arrived.set()
        if self._runner is not None:
            await self._runner

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
            # Whoever was already told to come again is left out: under overload this sheds work nobody waits for.
            await self._keep([pair for pair in group if not pair[1].done()])

    async def _keep(self, group: list[tuple[Item, asyncio.Future[Outcome]]], tried: int = 1) -> None:
        if not group:
            return
        began = time.perf_counter()
        task = self._storing = asyncio.create_task(self._store([item for item, _ in group]))
        done, _ = await asyncio.wait({task}, timeout=STORE_WITHIN_S)
        if not done:
            bury = self._abandon()
            task.add_done_callback(lambda _: bury())
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wait({task}, timeout=1)
            metrics.store_failed("timeout")
            _refuse(group, problems.later(problems.DATABASE_UNAVAILABLE))
            return
        try:
            outcomes = task.result()
        except Problem as problem:
            metrics.store_failed(problem.kind.code)
            _refuse(group, problem)
        except _IN_EACH_OTHERS_WAY:
            metrics.store_failed("conflict")
            if tried < MOST_TRIES:
                await asyncio.sleep((1 + secrets.randbelow(_PAUSE_MS * tried)) / 1000)
                await self._keep([pair for pair in group if not pair[1].done()], tried + 1)
            else:
                _refuse(group, problems.later(problems.BUSY))
        except (psycopg.OperationalError, psycopg.InterfaceError, *bounded.ENDED, OSError):
            self._abandon()()
            metrics.store_failed("connection")
            _refuse(group, problems.later(problems.DATABASE_UNAVAILABLE))
        except Exception as error:  # noqa: BLE001  One bad item must not take the others of its group with it.
            await self._halve(group, error)
        else:
            metrics.grouped(len(group), time.perf_counter() - began)
            for (_, future), outcome in zip(group, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)

    async def _halve(self, group: list[tuple[Item, asyncio.Future[Outcome]]], error: Exception) -> None:
        """Run a failed group again in halves, until the item that fails stands alone."""
        if len(group) == 1:
            LOG.error("check-in could not be stored", extra=logs.fault(error))
            metrics.store_failed("fault")
            _refuse(group, Problem(problems.INTERNAL))
            return
        middle = len(group) // 2
        await self._keep(group[:middle])
        await self._keep(group[middle:])


def _give_up(future: asyncio.Future[Outcome]) -> None:
    if not future.done():
        future.set_exception(problems.later(problems.DATABASE_UNAVAILABLE))


def _refuse(group: Sequence[tuple[Item, asyncio.Future[Outcome]]], problem: Problem) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(problem)
