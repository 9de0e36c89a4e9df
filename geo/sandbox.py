"""Runs work on untrusted files in a subprocess with bounds on memory, processor time and wall time.

Messages are a JSON document and byte strings, never pickle. The work is named in `geo.sandbox_worker`; the caller only
names it. Geometry libraries on hostile input may take quadratic time or all memory, and ruling 30 keeps heavy parsing
out of the serving workers.
"""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geo.faults import Fault, UnreadableFileError, unreadable

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from geo.sandbox_worker import main; main(sys.argv[2:])"
_HEAD = struct.Struct("<8sQ")
_MAGIC = b"zaicun\x00\x01"
_OUT_OF_TIME = (-24, -9)  # SIGXCPU, and the SIGKILL that follows it.
_OUT_OF_MEMORY = (127, -6)  # How the C and C++ libraries end a process that gets no more memory.

Message = tuple[dict[str, Any], list[bytes]]


def pack(document: Mapping[str, Any], blobs: Sequence[bytes]) -> bytes:
    """Make one byte string of a document and its blobs."""
    head = json.dumps({"document": document, "sizes": [len(blob) for blob in blobs]}).encode()
    return b"".join([_HEAD.pack(_MAGIC, len(head)), head, *blobs])


def unpack(data: bytes) -> Message:
    """Take apart what `pack` made. ValueError when it is anything else."""
    if len(data) < _HEAD.size:
        raise ValueError("the message is too short")
    magic, size = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("this is no message")
    start = _HEAD.size + size
    head = json.loads(data[_HEAD.size : start])
    blobs = []
    for length in head["sizes"]:
        blobs.append(data[start : start + length])
        start += length
    if start != len(data):
        raise ValueError("the message has another length than it says")
    return head["document"], blobs


def run(
    task: str,
    document: Mapping[str, Any],
    blobs: Sequence[bytes],
    *,
    memory_bytes: int,
    cpu_s: int,
    wall_s: float,
) -> Message:
    """Run a task of `geo.sandbox_worker` on a message; give its answer.

    Raises UnreadableFileError with `too-slow`, `too-much-memory` or `reader-died`, or with the task's own refusal.
    """
    root = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-I", "-X", "utf8", "-c", _BOOT, root, task, str(memory_bytes), str(cpu_s)]
    environment = {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PROJ_NETWORK": "OFF",
        "PATH": os.defpath,
    }
    worker = subprocess.Popen(  # noqa: S603  Our own interpreter and module; the input goes through the pipe.
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        answer, _ = worker.communicate(pack(document, blobs), timeout=wall_s)
    except subprocess.TimeoutExpired as error:
        raise unreadable("too-slow") from error
    finally:
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()
    return _understood(answer, worker.returncode)


def _understood(answer: bytes, return_code: int) -> Message:
    if return_code in _OUT_OF_TIME:
        raise unreadable("too-slow")
    if return_code in _OUT_OF_MEMORY:
        raise unreadable("too-much-memory")
    try:
        document, blobs = unpack(answer)
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable("reader-died") from error
    if "refused" in document:
        raise UnreadableFileError(Fault.from_dict(document["refused"]))
    return document, blobs
