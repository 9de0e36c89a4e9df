"""The phones of a herd: everybody sends what waited as one batch, and sends again what was told to come again.

A process of its own (``python -m bench.herd_phones SPEC``) on bare sockets, as bench.traffic is. Each phone does what the
reference client does: it waits as long as Retry-After says and up to half as long again, after a cut connection twice as
long as before, and resends under the same ids what was not settled. Beside them other people check in at random instants
with a single request; that latency counts from the instant of the tap to the answer that it is stored, refusals included.

Writes what happened beside the file, as JSON with the ending ``told``.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvloop

from bench.traffic import percentile

ANSWER_S = 15.0  # The reference client's patience.
_chance = random.Random(11)


@dataclass
class Told:
    """What happened so far: instants are seconds since the mast came back."""

    began: float
    stored: dict[str, float] = field(default_factory=dict)
    tries: Counter[int] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)

    def keep(self, check_in: str) -> None:
        """Note when a check-in was acknowledged first."""
        self.stored.setdefault(check_in, round(time.perf_counter() - self.began, 3))


class Line:
    """One phone's connection; opened when it is needed, and again when it was cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: str, content: bytes) -> tuple[int, str, bytes]:
        """Send a request; return status, Retry-After and body. Raises OSError or TimeoutError without an answer."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if (
                    self._streams is None or self._streams[0].at_eof()
                ):  # The server ends what is idle for long.
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
                reader, writer = self._streams
                writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
                named = dict(line.split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(named.get("content-length", "0")))
        except BaseException as error:
            self.hang_up()
            if isinstance(error, asyncio.IncompleteReadError):
                raise ConnectionError("cut") from error
            raise
        if named.get("connection") == "close":
            self.hang_up()
        return int(lines[0].split(" ")[1]), named.get("retry-after", ""), body

    def hang_up(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _pause(attempt: int, retry_after: str) -> float:
    asked = float(retry_after) if retry_after.isdigit() else min(60.0, 0.5 * 2**attempt)
    return asked * (1 + _chance.random() / 2)


def _code(body: bytes) -> str:
    """Return the problem's code, if the answer is one."""
    return str(json.loads(body).get("code", "")) if body[:1] == b"{" else ""


async def _send(line: Line, head: str, content: bytes, told: Told, attempt: int) -> tuple[int, bytes] | None:
    """Send once; wait and return None when it has to be sent again."""
    retry_after = ""
    try:
        status, retry_after, body = await line.ask(head, content)
    except (OSError, TimeoutError) as error:
        told.answers[type(error).__name__] += 1
    else:
        told.answers[f"{status} {_code(body)}".strip()] += 1
        if status not in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            return status, body
    await asyncio.sleep(_pause(attempt, retry_after))
    return None


async def _phone(port: int, head: str, sent_at: str, items: list[dict[str, Any]], told: Told) -> None:
    line, left, attempt = Line(port), items, 0
    while left:
        content = json.dumps({"sent_at": sent_at, "items": left}).encode()
        attempt += 1
        answer = await _send(line, head, content, told, attempt)
        if answer is None:
            continue
        status, body = answer
        if status != HTTPStatus.OK:
            told.refused.append({"status": status, "body": body.decode("utf-8", "replace")[:300]})
            break
        again = set()
        for item in json.loads(body)["items"]:
            if item["status"] in {HTTPStatus.OK, HTTPStatus.CREATED}:
                told.keep(item["id"])
            elif item["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
                again.add(item["id"])
                told.answers[f"item 503 {item['problem']['code']}"] += 1
            else:
                told.refused.append(item)
                again.discard(item["id"])
        settled_wrong = {item["id"] for item in told.refused if "id" in item}
        left = [item for item in left if item["id"] in again and item["id"] not in settled_wrong]
        if left:
            await asyncio.sleep(_pause(0, ""))
    told.tries[attempt] += 1
    line.hang_up()


async def _single(port: int, head: str, content: bytes, check_in: str, told: Told) -> None:
    due, line, attempt = time.perf_counter(), Line(port), 0
    while True:
        attempt += 1
        answer = await _send(line, head, content, told, attempt)
        if answer is not None:
            break
    if answer[0] in {HTTPStatus.OK, HTTPStatus.CREATED}:
        told.keep(check_in)
    else:
        told.refused.append({"status": answer[0], "body": answer[1].decode("utf-8", "replace")[:300]})
    told.singles.append(time.perf_counter() - due)
    line.hang_up()


async def _foreground(spec: dict[str, Any], told: Told, drained: asyncio.Event) -> None:
    """Have others check in at the given rate, until the herd has drained."""
    sending: set[asyncio.Task[None]] = set()
    due = time.perf_counter()
    for single in spec["singles"]:
        due += _chance.expovariate(spec["rate"])
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if drained.is_set():
            break
        task = asyncio.ensure_future(
            _single(spec["port"], single["head"], single["content"].encode(), single["id"], told)
        )
        sending.add(task)
    if sending:
        await asyncio.wait(sending)


async def _drive(spec: dict[str, Any]) -> dict[str, Any]:
    told = Told(time.perf_counter())
    drained = asyncio.Event()
    foreground = asyncio.ensure_future(_foreground(spec, told, drained))
    phones = [
        asyncio.ensure_future(_phone(spec["port"], phone["head"], spec["sent_at"], phone["items"], told))
        for phone in spec["phones"]
    ]
    _, late = await asyncio.wait(phones, timeout=spec["within_s"])
    took = time.perf_counter() - told.began
    for phone in late:
        phone.cancel()
    drained.set()
    await foreground
    for done in phones:
        if not done.cancelled() and done.done() and (error := done.exception()) is not None:
            raise error
    singles = sorted(told.singles)
    return {
        "took_s": round(took, 2),
        "phones_late": len(late),
        "stored": told.stored,
        "tries": {str(tries): phones for tries, phones in sorted(told.tries.items())},
        "answers": dict(told.answers),
        "refused": told.refused[:20],
        "singles": len(singles),
        "single_p50_ms": round(1000 * percentile(singles, 0.5), 1),
        "single_p95_ms": round(1000 * percentile(singles, 0.95), 1),
        "single_longest_ms": round(1000 * (singles[-1] if singles else 0.0), 1),
    }


if __name__ == "__main__":
    given = Path(sys.argv[1])
    outcome = uvloop.run(_drive(json.loads(given.read_text("utf-8"))))
    given.with_suffix(".told").write_text(json.dumps(outcome), "utf-8")
