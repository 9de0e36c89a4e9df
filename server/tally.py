"""What the workers count, in a file of each, so that any of them can tell the sum.

Counting is an addition in shared memory: no lock in the event loop, no call, nothing to flush, and what was counted
outlives a worker that is killed. (The multiprocess mode of prometheus_client does the same at 1 to 2 microseconds an
addition; here it is a tenth of that, see DECISIONS.md.) A folder belongs to one `zaicun serve`. In it each worker holds
one numbered slot by a lock that the kernel gives back when the worker ends, however it ends; its successor takes the
slot and counts on from there. So a sum never falls, a number of a dead worker is never shown as a living one's, and
there are never more files than there were workers at once.
"""

import fcntl
import json
import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

CELLS = 1 << 17
"""Numbers (64-bit floats, exact to 2^53) a worker can hold. The file is sparse: what is not used takes no room."""
MOST_SERIES = 8_192
"""Label sets a worker keeps. Labels come from lists in the code, so this is reached by a mistake alone."""
SLOTS = 256
_SINK = 64
"""Cells at the head where series beyond the bounds go; the first tells how many there were."""


class Kind(StrEnum):
    """What a number means: it only grows, it goes up and down, or it counts by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. Bounds are the upper edges of a histogram's buckets, without infinity.

    `each`: told for each living worker apart, under the label ``worker``; else the workers' numbers are added up.
    """

    name: str
    text: str
    kind: Kind
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    each: bool = False

    @property
    def width(self) -> int:
        """Return the cells of one series: a histogram has one a bucket, one for infinity and one for the sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


class Series:
    """One family with one set of label values: where its first cell is."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


@dataclass(frozen=True, slots=True)
class Slot:
    """What one worker counted: numbers by the family's name and the label values."""

    worker: int
    alive: bool
    rows: dict[tuple[str, tuple[str, ...]], tuple[float, ...]] = field(default_factory=dict)
    lost: int = 0


class Tally:
    """The numbers of this process. Until :meth:`open` they are its own alone."""

    def __init__(self) -> None:
        self.worker = 0
        self.cells = memoryview(bytearray(CELLS * 8)).cast("d")
        self._series: dict[tuple[str, tuple[str, ...]], tuple[Family, Series]] = {}
        self._free = _SINK
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._names: int | None = None

    @property
    def shared(self) -> bool:
        """Tell whether this process counts among the workers of a service."""
        return self._folder is not None

    # --- counting

    def series(self, family: Family, *values: str) -> Series:
        """Return where a label set is counted. Keep it: looking it up costs more than counting.

        From the event loop add to it by ``tally.cells[series.at] += 1``; threads use the methods below, which lock.
        """
        found = self._series.get((family.name, values))
        if found is not None:
            return found[1]
        with self._lock:
            return self._placed(family, values)

    def add(self, family: Family, *values: str, by: float = 1) -> None:
        """Add to a counter or a gauge."""
        series = self.series(family, *values)
        with self._lock:
            self.cells[series.at] += by

    def set(self, family: Family, *values: str, to: float) -> None:
        """Set a gauge."""
        self.cells[self.series(family, *values).at] = to

    def observe(self, family: Family, *values: str, size: float) -> None:
        """Count one event of this size (seconds, items) in a histogram."""
        at = self.series(family, *values).at
        bounds = family.bounds
        with self._lock:
            self.cells[at + bisect_left(bounds, size)] += 1
            self.cells[at + len(bounds) + 1] += size

    def _placed(self, family: Family, values: tuple[str, ...]) -> Series:
        key = (family.name, values)
        if key in self._series:
            return self._series[key][1]
        if len(self._series) >= MOST_SERIES or self._free + family.width > CELLS:
            self.cells[0] += 1
            return Series(1)
        series = Series(self._free)
        self._free += family.width
        self._series[key] = (family, series)
        self._write_name(family, values, series)
        return series

    def _write_name(self, family: Family, values: tuple[str, ...], series: Series) -> None:
        if self._names is not None:
            line = json.dumps([family.name, values, series.at, family.width, int(family.each)])
            os.write(self._names, f"{line}\n".encode())

    # --- sharing

    def open(self, folder: Path) -> int:
        """Take a free slot of the folder and count there from now on; return the slot's number.

        Call it before threads count. Numbers so far are taken along. Raises OSError when the folder cannot be used.
        """
        with self._lock:
            self._folder = folder
            self.worker, self._names = _taken_slot(folder)
            mine = memoryview(_mapped(folder / f"{self.worker}.cells", writable=True)).cast("d")
            before, self.cells = self.cells, mine
            earlier = dict(_names_in(folder, self.worker))
            self._free = max((at + width for at, width, _ in earlier.values()), default=_SINK)
            for at, width, each in earlier.values():
                if each:  # A predecessor's gauges say nothing about this process.
                    mine[at : at + width] = memoryview(bytes(width * 8)).cast("d")
            known, self._series = self._series, {}
            self._known_again(earlier)
            for key, (family, series) in known.items():
                was, series.at = series.at, self._placed(family, key[1]).at
                self._series[key] = (family, series)
                for offset in range(family.width):
                    mine[series.at + offset] += before[was + offset]
        return self.worker

    def close(self) -> None:
        """Give the slot back; its counts stay there. For tests: a worker's end does the same."""
        with self._lock:
            if self._names is not None:
                os.close(self._names)
                self._names, self._folder = None, None

    def _known_again(self, earlier: dict[tuple[str, tuple[str, ...]], tuple[int, int, int]]) -> None:
        """Know the predecessor's series by their places; the families' texts matter to nobody here."""
        for (name, values), (at, width, each) in earlier.items():
            kind = Kind.HISTOGRAM if width > 1 else Kind.COUNTER
            family = Family(name, "", kind, bounds=(0.0,) * max(0, width - 2), each=bool(each))
            self._series[name, values] = (family, Series(at))

    def slots(self) -> list[Slot]:
        """Return what every worker counted, dead ones too."""
        with self._lock:
            own = Slot(self.worker, alive=True, lost=int(self.cells[0]))
            for key, (family, series) in self._series.items():
                own.rows[key] = tuple(self.cells[series.at : series.at + family.width])
        if self._folder is None:
            return [own]
        others = sorted(int(path.stem) for path in self._folder.glob("*.names"))
        return [own if n == self.worker else _read_slot(self._folder, n) for n in others]


TALLY = Tally()
"""This process's numbers."""


def clear(folder: Path) -> None:
    """Make the folder, and remove what the workers of an earlier run left; living ones keep theirs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for names in folder.glob("*.names"):
        if not _alive(names):
            names.with_suffix(".cells").unlink(missing_ok=True)
            names.unlink(missing_ok=True)


def _alive(names: Path) -> bool:
    """Tell whether the slot's lock is held: by the kernel's word, not by a process id that may be another's by now."""
    lock = os.open(names, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _taken_slot(folder: Path) -> tuple[int, int]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(SLOTS):
        names = os.open(folder / f"{number}.names", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(names, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(names)
        else:
            _mend(names)
            return number, names
    raise OSError(f"{folder} has no free slot for another worker")


def _mend(names: int) -> None:
    """Drop a line that a killed predecessor left half written."""
    size = os.fstat(names).st_size
    os.ftruncate(names, os.pread(names, size, 0).rfind(b"\n") + 1)


def _mapped(path: Path, *, writable: bool) -> mmap.mmap:
    flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
    file = os.open(path, flags, 0o600)
    try:
        if writable:
            os.ftruncate(file, CELLS * 8)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return mmap.mmap(file, CELLS * 8, access=access)
    finally:
        os.close(file)


def _names_in(
    folder: Path, worker: int
) -> Iterator[tuple[tuple[str, tuple[str, ...]], tuple[int, int, int]]]:
    for line in (folder / f"{worker}.names").read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # The last one may just be being written.
            name, values, at, width, each = json.loads(line)
            yield (name, tuple(values)), (at, width, each)


def _read_slot(folder: Path, worker: int) -> Slot:
    alive = _alive(folder / f"{worker}.names")
    try:
        shared = _mapped(folder / f"{worker}.cells", writable=False)
    except (FileNotFoundError, ValueError):
        return Slot(worker, alive)  # It has its lock, and has not counted yet.
    with shared, memoryview(shared) as raw, raw.cast("d") as cells:
        rows = {key: tuple(cells[at : at + width]) for key, (at, width, _) in _names_in(folder, worker)}
        return Slot(worker, alive, rows, int(cells[0]))
