"""Watches every answer that the served application gives during the tests, and holds it against the document.

``watched`` wraps an application; what it answers is checked as it goes out. The hooks below are pytest's: a test fails
when the server, while the test ran, answered something that the document does not say. What was answered is counted by
operation, status and code, and written to the file that ANSWERS_HEARD names, for tests/docs/answered.py.
"""

import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from docs import contract
from docs.contract import Answer, Contract
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import problems

KEPT = "ANSWERS_HEARD"
_LISTED = 20


class Witness:
    """What was answered so far: `seen` by operation, status and code, `complaints` until somebody takes them."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.complaints: list[str] = []

    def hear(self, answer: Answer, held_against: Contract) -> None:
        """Count one answer, and keep what is wrong with it."""
        self.complaints += held_against.faults(answer)
        operation = held_against.operation_of(answer.method, answer.path)
        name = operation["operationId"] if operation else "elsewhere"
        self.seen[f"{name} {answer.status} {_code(answer)}".strip()] += 1

    def take(self) -> list[str]:
        """Return the complaints and forget them."""
        taken, self.complaints = self.complaints, []
        return taken


def _code(answer: Answer) -> str:
    if contract.media_type(answer) != problems.MEDIA_TYPE:
        return ""
    try:
        return str(json.loads(answer.body).get("code", ""))
    except ValueError:
        return ""


WITNESS = Witness()


def _names(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def watched(app: ASGIApp, held_against: Contract | None = None, witness: Witness = WITNESS) -> ASGIApp:
    """Wrap an application so that each of its answers is heard before its last byte leaves."""
    held = held_against or contract.contract()

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = bytearray()

        async def heard(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    answer = Answer(
                        scope["method"], scope["path"], start["status"],
                        _names(start.get("headers", [])), bytes(body), _names(scope["headers"]),
                    )  # fmt: skip
                    witness.hear(answer, held)
            await send(message)

        await app(scope, receive, heard)

    return listening


def _complain() -> None:
    found = sorted(set(WITNESS.take()))
    if found:
        more = [f"... and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
        raise AssertionError(
            "\n".join(
                ["the server answered what the OpenAPI document does not say:", *found[:_LISTED], *more]
            )
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Fail the test during which, or during whose set-up, an undocumented answer was given."""
    result = yield  # A test that fails by itself says so; the complaints follow at its end.
    _complain()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, Any, Any]:
    """Fail as well when it was given after a failed test, or while the fixtures were closed."""
    result = yield
    _complain()
    return result


def pytest_sessionfinish() -> None:
    """Keep what was answered, for the check after the last run."""
    path = os.environ.get(KEPT)
    if path:
        Path(path).write_text(json.dumps(WITNESS.seen, indent=1, sort_keys=True), "utf-8")
