"""Examining what was sent, in a subprocess with bounds on memory, processor time, file size and wall time (ruling 30).

The file goes to it as an open descriptor, so an upload never lies in the memory of a serving worker. One at a time in
each worker: what others wait for is a fraction of a second.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from server import problems
from server.attachments.rules import REFUSALS, MediaType

MEMORY_BYTES: Final = 512 << 20
CPU_S: Final = 3
WALL_S: Final = 10.0
LARGEST_RESULT: Final = 64 << 20
"""Bytes of what may be kept of one file: a picture of LONGEST_SIDE that hardly packs takes 37 MB."""
_WAIT_FOR_ANOTHER_S: Final = 10.0
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from server.attachments.decode import main; main(sys.argv[2:])"
_ROOT = str(Path(__file__).resolve().parents[2])
_OUT_OF_BOUNDS = (
    -24,
    -9,
    -25,
    127,
    -6,
)  # Processor time, killed, file size, and how C and C++ end without memory.
_one_file = threading.BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a file that was taken."""

    media_type: MediaType
    width: int | None
    height: int | None
    pages: int | None
    taken_at: datetime | None
    lon_e7: int | None
    lat_e7: int | None


class NotTaken(Exception):
    """The file is not taken; `code` is one of rules.REFUSALS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def _alone() -> Iterator[None]:
    if not _one_file.acquire(timeout=_WAIT_FOR_ANOTHER_S):
        raise problems.later(problems.BUSY)
    try:
        yield
    finally:
        _one_file.release()


def examine(source: Path, declared: MediaType, kept: Path) -> Found:
    """Write what is kept of `source` to the new file `kept`; tell about it. Raises NotTaken, Problem (busy), OSError."""
    with _alone(), source.open("rb") as given:
        handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            bounds = [str(each) for each in (handle, MEMORY_BYTES, CPU_S, LARGEST_RESULT)]
            command = [sys.executable, "-I", "-X", "utf8", "-c", _BOOT, _ROOT, declared.value, *bounds]
            worker = subprocess.Popen(  # noqa: S603  Our own interpreter and module; the input is a descriptor.
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                pass_fds=(handle,),
            )
            try:
                answer, _ = worker.communicate(timeout=WALL_S)
            except subprocess.TimeoutExpired:
                raise NotTaken("too-complex") from None
            finally:
                worker.kill()
                worker.wait()
                if worker.stdout is not None:
                    worker.stdout.close()
            return _understood(answer, worker.returncode)
        except BaseException:
            kept.unlink()
            raise
        finally:
            os.close(handle)


def _understood(answer: bytes, return_code: int) -> Found:
    if return_code in _OUT_OF_BOUNDS:
        raise NotTaken("too-complex")
    try:
        told: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise NotTaken("damaged") from None  # A decoder that died on its input.
    if "refused" in told:
        raise NotTaken(told["refused"] if told["refused"] in REFUSALS else "damaged")
    taken = told.get("taken_at")
    return Found(
        media_type=MediaType(told["type"]),
        width=told.get("width"),
        height=told.get("height"),
        pages=told.get("pages"),
        taken_at=None if taken is None else datetime.fromisoformat(taken),
        lon_e7=told.get("lon_e7"),
        lat_e7=told.get("lat_e7"),
    )
