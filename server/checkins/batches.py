"""A phone's queue in one request: each check-in is taken, refused and answered as if it had come alone.

A valley's phones come back together when its mast does (security.md S3). So that a check-in sent by itself does not
wait behind their queues, only some batches are worked on at once, each brings its items to the intake in portions, and
what is not done when the answer is due is told to come again; resending is harmless.
"""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from server import problems
from server.checkins.intake import Intake, Stored
from server.checkins.judging import Incoming
from server.checkins.proven import Prover
from server.checkins.record import answer_bytes
from server.given import Id
from server.problems import Problem

AT_ONCE = 8
"""Batches of one worker that bring items to the intake at the same time."""
MOST_INSIDE = 72
"""Batches of one worker whose content is there and that are not answered; the next one is told to come again."""
PORTION = 32
"""Items of one batch that are in the intake's queue at the same time: with AT_ONCE, one group of it."""
SHORTEST_SPREAD_S, LONGEST_SPREAD_S = 3, 60
"""Between which the refused are told to come again."""
SLOWEST_PACE = 30.0
"""Batches a second that a worker is trusted with before it has shown its pace, and under a fault that stops it."""
PACE_OVER_S = 5
HURRY = 0.6
"""Phones add a share of their own, and places that stay empty cost more than some who come in vain."""
ANSWER_WITHIN_S = 3.0
"""Later than this no more items are begun (M4: every route answers within 4 s)."""
LONGEST_ID = 64
_id_of = TypeAdapter(Id).validate_python
BREATH = 16
"""Items that are read before the event loop gets to do something else."""

Explain = Callable[[RequestValidationError], Problem]


@dataclass(frozen=True, slots=True)
class Unfit:
    """An item that never reached the intake: what it was, and why."""

    id: str
    body: bytes
    problem: Problem


@dataclass(frozen=True, slots=True)
class Result:
    """One item: its id as given, and what became of it."""

    id: str
    outcome: Stored | Problem

    def shown(self, language: str) -> dict[str, Any]:
        """Return the item of the answer."""
        outcome = self.outcome
        if isinstance(outcome, Problem):
            body = outcome.body(language)
            return {"id": self.id, "status": outcome.kind.status, "check_in": None, "problem": body}
        told = orjson.Fragment(answer_bytes(outcome.record, outcome.receipt))
        return {"id": self.id, "status": 201 if outcome.created else 200, "check_in": told, "problem": None}


async def read(
    items: Sequence[dict[str, Any]],
    sending: Mapping[str, Any],
    prover: Prover,
    *,
    explain: Explain,
) -> list[Incoming | Unfit]:
    """Read each item as the body of a PUT, with what is said of the sending once; one that does not fit is told why."""
    made: list[Incoming | Unfit] = []
    for place, item in enumerate(items):
        if place % BREATH == BREATH - 1:
            await asyncio.sleep(0)  # A signature takes a tenth of a millisecond; others wait for this thread.
        given = str(item.get("id", ""))[:LONGEST_ID].encode("utf-8", "replace").decode()
        content = {**item, **sending}
        content.pop("id", None)
        body = json.dumps(content).encode()
        try:
            checkin_id = _read_id(item)
            signed = await prover.signer(checkin_id, content)
            made.append(prover.read(checkin_id, content, signed, body))
        except RequestValidationError as error:
            made.append(Unfit(given, body, explain(error)))
        except Problem as problem:
            made.append(Unfit(given, body, problem))
    return made


def _read_id(item: dict[str, Any]) -> UUID:
    try:
        return _id_of(item.get("id"))
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("id",)} for fault in error.errors()]) from error


class Pacing:
    """How long the refused are told to stay away: as long as it takes to serve them all, at the pace of the last seconds.

    With a wait that does not grow with the crowd, thousands of phones would ask several times a second in all, for nothing.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, draws: random.Random | None = None) -> None:
        self._now, self._draws = now, draws or random.SystemRandom()
        self._refused: deque[tuple[int, int]] = deque()
        self._finished: deque[tuple[int, int]] = deque()
        self._spread_s = SHORTEST_SPREAD_S

    def finished(self) -> None:
        """Count a batch that was served."""
        _count(self._finished, int(self._now()), PACE_OVER_S)

    def refusal(self) -> Problem:
        """Count a refusal and return it (503, Retry-After of one second up to the time that the crowd needs)."""
        now = int(self._now())
        _count(self._refused, now, LONGEST_SPREAD_S)
        _count(self._finished, now, PACE_OVER_S, 0)
        # Everybody comes back once in a spread, so that who was refused in the last one is the crowd outside.
        crowd = sum(many for second, many in self._refused if second > now - self._spread_s)
        served = sum(many for _, many in self._finished)
        pace = max(SLOWEST_PACE, served / (1 + now - self._finished[0][0]) if served else 0.0)
        self._spread_s = min(LONGEST_SPREAD_S, max(SHORTEST_SPREAD_S, round(HURRY * crowd / pace)))
        return Problem(problems.BUSY, headers={"Retry-After": str(self._draws.randint(1, self._spread_s))})


def _count(seconds: deque[tuple[int, int]], now: int, kept_s: int, many: int = 1) -> None:
    if many and seconds and seconds[-1][0] == now:
        seconds[-1] = (now, seconds[-1][1] + many)
    elif many:
        seconds.append((now, many))
    while seconds and seconds[0][0] <= now - kept_s:
        seconds.popleft()


class Batches:
    """The batches of one worker."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._places = asyncio.Semaphore(AT_ONCE)
        self._inside = 0
        self._pacing = Pacing()

    def look(self) -> None:
        """Raise Problem 503 when there is no place for another batch now, with how long to stay away."""
        if self._inside >= MOST_INSIDE:
            raise self._pacing.refusal()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while a batch is read, stored and answered. Raises Problem 503 when there is none."""
        self.look()
        self._inside += 1
        try:
            yield
            self._pacing.finished()
        finally:
            self._inside -= 1

    async def put(self, items: Sequence[Incoming | Unfit]) -> list[Result]:
        """Store what can be stored; return what became of each item, in their order.

        Raises Problem: 401 when the session has ended, and 500 or 503 (with Retry-After) when the service failed all.
        """
        until = time.monotonic() + ANSWER_WITHIN_S
        await self._enter(until)
        try:
            found = await self._put(items, until)
        finally:
            self._places.release()
        told = [result.outcome for result in found if isinstance(result.outcome, Problem)]
        ended = [problem for problem in told if problem.kind is problems.TOKEN_STALE]
        ours = [problem for problem in told if problem.kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR]
        if ended or len(ours) == len(found):  # It is about the request then, not about one item.
            raise (ended or ours)[0]
        return found

    async def _enter(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic() - 1.0)):
                await self._places.acquire()
        except TimeoutError:
            raise self._pacing.refusal() from None

    async def _put(self, items: Sequence[Incoming | Unfit], until: float) -> list[Result]:
        found: list[Result] = []
        for start in range(0, len(items), PORTION):
            portion = items[start : start + PORTION]
            late = time.monotonic() >= until or (bool(found) and _passing(found[-1].outcome))
            found += await asyncio.gather(*(self._one(item, late=late) for item in portion))
        return found

    async def _one(self, item: Incoming | Unfit, *, late: bool) -> Result:
        if isinstance(item, Unfit):
            return Result(item.id, item.problem)
        if late:
            return Result(str(item.id), problems.later(problems.BUSY))
        try:
            return Result(str(item.id), await self._intake.put(item))
        except Problem as problem:
            return Result(str(item.id), problem)


def _passing(outcome: Stored | Problem) -> bool:
    return isinstance(outcome, Problem) and outcome.kind.status == problems.BUSY.status
