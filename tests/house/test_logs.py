"""The log by itself: what a line holds, what it never holds, and that writing it holds nobody up."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import logs, metrics
from server.logs import AsJson, AsText, Lines
from server.tally import TALLY

SECRET = "卡纳里 106.2718281 13987650042"


def record(
    message: str, *args: object, name: str = "zaicun.x", error: BaseException | None = None
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, info)


def inner() -> None:
    raise KeyError(SECRET)


def outer() -> None:
    try:
        inner()
    except KeyError as error:
        raise ValueError(SECRET) from error


def raised() -> Exception:
    with pytest.raises(ValueError, match="卡纳里") as caught:
        outer()
    return caught.value


def test_an_exception_is_told_by_type_and_place_and_never_by_its_text() -> None:
    for formatter in (AsJson(), AsText()):
        line = formatter.format(record("it failed", error=raised()))
        assert "ValueError" in line
        assert "KeyError" in line
        assert "test_logs.py:" in line
        assert not any(word in line for word in SECRET.split())
    told = json.loads(AsJson().format(record("it failed", error=raised())))
    assert told["fault"] == "ValueError"
    assert told["cause"] == ["KeyError"]
    assert told["stack"][-1].startswith("tests/house/test_logs.py:")


def test_other_libraries_are_told_without_what_they_filled_in() -> None:
    for line in (
        AsJson().format(record("unexpected %s at %s", SECRET, 1, name="asyncio")),
        AsJson().format(record(f"Task exception was never retrieved\nfuture: {SECRET}", name="asyncio")),
    ):
        assert not any(word in line for word in SECRET.split())
        assert json.loads(line)["message"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at 106.2718281,29.3141592", "at 106.27,29.31"),
        ("at -0.123456", "at -0.12"),
        ("phone 13987650042", "phone [removed]"),
        ("citizen 50011619900307987X.", "citizen [removed]."),
        (
            "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl1",  # pragma: allowlist secret
            "[removed]",
        ),
        ("region 500116101201 of 2026-11-22", "region 500116101201 of 2026-11-22"),
        ("request 01a20566-8144-70c6-9db8-d98a7bb14c13", "request 01a20566-8144-70c6-9db8-d98a7bb14c13"),
        ("took 12.34 s on 127.0.0.1:8321", "took 12.34 s on 127.0.0.1:8321"),
    ],
)
def test_the_last_sieve_keeps_ids_and_loses_people(text: str, told: str) -> None:
    assert logs.sieved(text) == told


@given(st.text(), st.text())
def test_no_text_makes_a_second_line(message: str, problem: str) -> None:
    made = record("%s", message)
    made.problem = problem
    for formatter in (AsJson(), AsText()):
        line = formatter.format(made)
        assert len(line.splitlines()) <= 1
        assert line.isprintable() or not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in line)
    assert json.loads(AsJson().format(made))["problem"] == problem or len(problem) > 500


def test_a_line_fits_into_what_a_pipe_takes_whole() -> None:
    made = record("字" * 9000)
    made.stack = [f"server/somewhere.py:{n} function" for n in range(400)]
    line = AsJson().format(made)
    assert len(line.encode()) < 4096
    assert json.loads(line)["level"] == "error"


def test_a_time_is_rfc_3339_to_the_millisecond() -> None:
    assert logs.instant(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert logs.instant(1_700_000_000.9996) == "2023-11-14T22:13:20.999Z"
    assert logs.instant(0) == "1970-01-01T00:00:00.000Z"


def lost() -> float:
    return sum(slot.rows.get((metrics.LOG_LOST.name, ()), (0.0,))[0] for slot in TALLY.slots())


def test_lines_beyond_what_may_wait_are_dropped_and_every_one_is_counted() -> None:
    before = lost()
    reader, writer = os.pipe()
    lines = Lines(writer, most=100)
    began = time.perf_counter()
    for number in range(20_000):
        lines.put(f'{{"n":{number},"fill":"{"x" * 100}"}}')
    assert time.perf_counter() - began < 2, "nobody reads, and nobody waits"
    got = b""
    os.set_blocking(reader, False)
    deadline = time.monotonic() + 20
    while got.count(b"\n") + lost() - before < 20_000 and time.monotonic() < deadline:
        try:
            got += os.read(reader, 1 << 16)
        except BlockingIOError:
            time.sleep(0.02)
    whole = [json.loads(line)["n"] for line in got.splitlines()]
    assert whole == sorted(whole)
    assert len(whole) + lost() - before == 20_000
    assert lost() > before
    lines.close()
    os.close(reader)
    os.close(writer)


PROGRAM = """
import asyncio, logging, sys, threading, warnings
from server import logs, metrics
logs.configure(level="debug", shape=sys.argv[1], every=int(sys.argv[2]))
logging.getLogger("zaicun.x").info("bad\\r\\n{\\"level\\":\\"critical\\"}")
logging.getLogger("sqlalchemy.engine.Engine").info("SELECT %s", "CANARY")
logging.getLogger("sqlalchemy.engine.Engine").debug("Row %r", "CANARY")
logging.getLogger("apscheduler.executors").error('Job "%s" raised', "verify", exc_info=ValueError("CANARY"))
logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=ValueError("CANARY"))
warnings.warn("serialized with value CANARY", UserWarning)
threading.Thread(target=lambda: int("CANARY")).start()
told = logs.requests()
for _ in range(10):
    told.told("checkins-put", 201, "01a20566-8144-70c6-9db8-d98a7bb14c13", 0.001, "")
told.told("checkins-put", 422, "01a20566-8144-70c6-9db8-d98a7bb14c13", 0.001, "invalid-request")
async def main():
    task = asyncio.get_running_loop().create_task(boom())
    await asyncio.sleep(0.01)
async def boom():
    raise ValueError("CANARY")
asyncio.run(main())
raise RuntimeError("CANARY")
"""


def said(shape: str, every: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, shape, str(every)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(logs.__file__).parents[1],
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_whole_process_logs_one_way_whoever_speaks() -> None:
    lines = [json.loads(line) for line in said("json", 5)]
    assert "CANARY" not in json.dumps(lines)
    faults = [line["fault"] for line in lines if "fault" in line]
    assert faults.count("ValueError") == 3  # The job, the thread, the task nobody waited for.
    assert faults.count("RuntimeError") == 1
    asked = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in asked] == [201, 201, 422]  # One of five; every refusal.
    assert any(line["logger"] == "zaicun.warnings" and "UserWarning" in line["message"] for line in lines)
    assert any(line["message"].startswith("bad") for line in lines)


def test_text_is_for_people_and_holds_no_more() -> None:
    lines = said("text", 0)
    assert "CANARY" not in "".join(lines)
    assert sum("checkins-put 201" in line for line in lines) == 0
    assert sum("checkins-put 422" in line for line in lines) == 1
