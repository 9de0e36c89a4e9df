"""A phone's queue in one request: each check-in is taken, refused and answered as if it had come alone.

A valley's phones come back together when its mast does (security.md S3). So that a check-in sent by itself does not
wait behind their queues, only some batches are worked on at once, each brings its items to the intake in portions, and
what is not done when the answer is due is told to come again; resending is harmless.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from server import problems
from server.access import Who
from server.checkins.intake import Intake, Stored
from server.checkins.judging import Incoming
from server.checkins.record import answer_bytes
from server.checkins.schemas import CheckInIn
from server.given import Id
from server.problems import Problem

AT_ONCE = 8
"""Batches of one worker that bring items to the intake at the same time."""
MOST_WAITING = 64
PORTION = 32
"""Items of one batch that are in the intake's queue at the same time: with AT_ONCE, one group of it."""
ANSWER_WITHIN_S = 3.0
"""Later than this no more items are begun (M4: every route answers within 4 s)."""
LONGEST_ID = 64
_id_of = TypeAdapter(Id).validate_python
_content_of = CheckInIn.__pydantic_validator__.validate_python

MakeIncoming = Callable[[UUID, CheckInIn, bytes, Who], Incoming]
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


def read(
    items: Sequence[dict[str, Any]],
    sending: Mapping[str, Any],
    who: Who,
    *,
    incoming: MakeIncoming,
    explain: Explain,
) -> list[Incoming | Unfit]:
    """Read each item as the body of a PUT, with what is said of the sending once; one that does not fit is told why."""
    made: list[Incoming | Unfit] = []
    for item in items:
        given = str(item.get("id", ""))[:LONGEST_ID].encode("utf-8", "replace").decode()
        content = {**item, **sending}
        content.pop("id", None)
        body = json.dumps(content).encode()
        try:
            # As the framework reads the body of a PUT, so that both are told the same of what does not fit.
            made.append(incoming(_read_id(item), _content_of(content, from_attributes=True), body, who))
        except ValidationError as error:
            made.append(Unfit(given, body, explain(RequestValidationError(error.errors()))))
        except RequestValidationError as error:
            made.append(Unfit(given, body, explain(error)))
    return made


def _read_id(item: dict[str, Any]) -> UUID:
    try:
        return _id_of(item.get("id"))
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("id",)} for fault in error.errors()]) from error


class Batches:
    """The batches of one worker."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

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
        if self._waiting >= MOST_WAITING:
            raise problems.later(problems.BUSY)
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic() - 1.0)):
                await self._places.acquire()
        except TimeoutError:
            raise problems.later(problems.BUSY) from None
        finally:
            self._waiting -= 1

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
