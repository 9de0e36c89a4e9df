"""What the coverage-guided fuzzers have in common: bounds on every input, and libFuzzer's loop.

Run a fuzzer by itself, in a process of its own, from the project's folder:

    python tests/fuzz/fuzz_boundary.py -max_total_time=600 tests/fuzz/corpus/boundary

An input that ends in an unexpected exception, takes more than a second of processor or more than 256 MiB is written
to ``crash-...`` in the current folder, and the exit code is not 0. To see one again, name its file as the last word.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris

MOST_CPU_S = 1.0
MOST_MEMORY_MIB = 256
HANGS_AFTER_S = 60
"""Of wall time: libFuzzer's own alarm, for what never comes back. The bound on an input is one of processor time."""
LARGEST_INPUT = 32_768
ROOT = Path(__file__).resolve().parents[2]


class TooMuchError(Exception):
    """An input cost more than it may."""


def memory_mib() -> float:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bounded(one: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a target that also fails when an input costs too much."""

    def target(data: bytes) -> None:
        held, begun = memory_mib(), time.process_time()
        one(data)
        spent, grown = time.process_time() - begun, memory_mib() - held
        if spent > MOST_CPU_S or grown > MOST_MEMORY_MIB:
            raise TooMuchError(f"{spent:.2f} s of processor, {grown:.0f} MiB more memory")

    return target


def fuzz(one: Callable[[bytes], None], *, mutator: Callable[[bytes, int, int], bytes] | None = None) -> None:
    """Fuzz for ever, or as the words of the command line say (libFuzzer's options)."""
    words = [
        sys.argv[0],
        f"-max_len={LARGEST_INPUT}",
        f"-timeout={HANGS_AFTER_S}",
        "-rss_limit_mb=4096",
        *sys.argv[1:],
    ]
    if mutator is None:
        atheris.Setup(words, bounded(one))
    else:
        atheris.Setup(words, bounded(one), custom_mutator=mutator)
    atheris.Fuzz()
