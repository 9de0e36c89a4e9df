"""The other end of `geo.sandbox`: takes its bounds upon itself, reads a message, works, answers, ends."""

import contextlib
import resource
import sys
from typing import Any

from geo.faults import UnreadableFileError, unreadable
from geo.sandbox import Message, pack, unpack

_LIBRARIES_BYTES = 256 * 2**20  # Address space of code and tables, which is not memory used.


def main(arguments: list[str]) -> None:
    """Run the task named by the arguments: task, memory in bytes, processor time in seconds."""
    task, memory_bytes, cpu_s = arguments[0], int(arguments[1]), int(arguments[2])
    bind(memory_bytes, cpu_s)
    from shapely.errors import GEOSException  # noqa: PLC0415  Only now: see _read.

    try:
        answer = pack(*_work(task, *unpack(sys.stdin.buffer.read())))
    except UnreadableFileError as error:
        answer = pack({"refused": error.fault.to_dict()}, [])
    except (MemoryError, GEOSException) as error:
        # GEOS reports memory it could not get by its C++ name; anything else it says would be a fault of ours.
        if isinstance(error, GEOSException) and "bad_alloc" not in str(error):
            raise
        answer = pack({"refused": unreadable("too-much-memory").fault.to_dict()}, [])
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


def bind(memory_bytes: int, cpu_s: int, *, file_bytes: int = 0) -> None:
    """Take the bounds: memory, processor time, and what may be written to a file, by default nothing at all."""
    bounds = [
        (resource.RLIMIT_DATA, memory_bytes, memory_bytes),
        (resource.RLIMIT_AS, memory_bytes + _LIBRARIES_BYTES, memory_bytes + _LIBRARIES_BYTES),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    for what, soft, hard in bounds:
        _, present = resource.getrlimit(what)
        top = hard if present == resource.RLIM_INFINITY else min(hard, present)
        # A bound that is already tighter stays; lifting it is not allowed anyway.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (min(soft, top), top))


def _work(task: str, document: dict[str, Any], blobs: list[bytes]) -> Message:
    return _TASKS[task](document, blobs)


def _read(document: dict[str, Any], blobs: list[bytes]) -> Message:
    # Imported only now: the bounds hold while the libraries load, and each task loads only its own.
    from geo.boundaries import answer_read  # noqa: PLC0415

    return answer_read(document, blobs)


def _report(document: dict[str, Any], blobs: list[bytes]) -> Message:
    from geo.quality_messages import answer_report  # noqa: PLC0415  As above.

    return answer_report(document, blobs)


_TASKS = {"read": _read, "report": _report}
