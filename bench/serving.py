"""A server under measurement: started, watched through /proc, and ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.district import ISSUER, PROJECT, Place
from server import postgres

_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A server's address and its first process."""

    port: int
    pid: int

    def workers(self) -> list[int]:
        """Return the processes that serve: the children of the first one, or itself when it has none."""
        children = [pid for pid in children_of(self.pid) if "resource_tracker" not in _command(pid)]
        return children or [self.pid]


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds since their processes began."""

    server: float
    postgresql: float


@contextlib.contextmanager
def started(place: Place, design: str, *, workers: int = 1) -> Iterator[Running]:
    """Serve `design` on a loopback port: ``zaicun``, or a baseline (``orm``, ``sql``); end it afterwards."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
    environment |= {
        "ZAICUN_DATABASE_URL": place.app_url,
        "ZAICUN_OWNER_DATABASE_URL": place.owner_url,
        "ZAICUN_VAR": str(place.var),
        "ZAICUN_ISSUER": ISSUER,
    }
    command = [str(Path(sys.executable).parent / "zaicun"), "serve", "--port", str(port)]
    command += ["--workers", str(workers)]
    if design != "zaicun":
        command = [sys.executable, "-m", "uvicorn", f"bench.baselines:{design}_app", "--factory"]
        command += ["--port", str(port), "--workers", str(workers), "--log-level", "warning"]
    place.var.mkdir(parents=True, exist_ok=True)
    log = place.var / f"{design}.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            _wait_until_ready(port, process, log)
            yield Running(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2),
        ):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def used(running: Running, place: Place) -> Used:
    """Return what the server's processes and all of PostgreSQL's have used so far."""
    own = [running.pid, *children_of(running.pid)]
    return Used(processor_s(own), processor_s(postgres.processes_in(place.data)))


def processor_s(pids: Sequence[int]) -> float:
    """Return user and system time of processes that live, and of their children that ended, seconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:13])
    return total / _TICKS


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one process in MB: resident, and its proportional share where pages are shared."""

    rss_mb: float
    pss_mb: float


def memory(pid: int) -> Memory:
    """Read a process's memory now."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return Memory(round(kib["Rss"] / 1024, 1), round(kib["Pss"] / 1024, 1))
