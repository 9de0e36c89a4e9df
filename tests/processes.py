"""The real command with two workers, its log, and the database it made: for what only real processes can show."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from conftest import Cloned, Service
from prometheus_client.parser import text_string_to_metric_families

from server import cluster as clusters
from server.app import create_app
from server.cluster import Cluster
from server.db import Database
from server.settings import Settings

ZAICUN = str(Path(sys.executable).with_name("zaicun"))
ENOUGH_S = 180  # A new cluster is built on a busy machine.
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def clean_environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings of zaicun and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
    return inherited | {f"ZAICUN_{name}": str(value) for name, value in settings.items()}


def until(holds: Callable[[], bool], within_s: float = 10) -> None:
    """Wait for what follows an answer rather than coming before it, such as a place that is given back."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_to_the_end(line: socket.socket) -> bytes:
    """Return what still comes on a connection until the other side ends it."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(65_536):
            got += piece
    return got


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve another party's answers on a free port, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def scrape(url: str, **headers: str) -> Samples:
    """Read the page as Prometheus does: every sample by its name and labels."""
    answer = httpx.get(f"{url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Add up the samples of a name that carry these labels."""
    return sum(
        value
        for (found, given), value in samples.items()
        if found == name and labels.items() <= dict(given).items()
    )


@dataclass
class Processes:
    """A service of two worker processes on its own cluster; `service` reaches its database and its keys."""

    service: Service
    log: Path
    cluster: Cluster
    pid: int

    @property
    def url(self) -> str:
        return self.service.url

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged so far; every line must be one JSON object."""
        time.sleep(0.4)  # Lines are gathered for a tenth of a second.
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, workers: int) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if total(scrape(url), "zaicun_workers") == workers:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the service did not start: {log.read_text('utf-8')[-2000:]}")


@contextmanager
def two_workers_in(var: Path) -> Iterator[Processes]:
    """Run `zaicun serve` with two workers, the most talkative log, and an embedded database below `var`."""
    port, log = free_port(), var / "serve.log"
    env = clean_environment(
        VAR=var, PORT=port, WORKERS=2, LOG_LEVEL="debug", LOG_FORMAT="json", ARGON2_MEMORY_KIB=19_456,
        QUOTA_READ=0, QUOTA_WRITE=0, QUOTA_HEAVY=0,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as err, subprocess.Popen([ZAICUN, "serve"], env=env, stderr=err) as process:
        try:
            _wait(url, process, log, 2)
            cluster = Cluster(var)
            cloned = Cloned(
                clusters.DATABASE, cluster.dsn(clusters.APP_ROLE), cluster.dsn(clusters.OWNER_ROLE)
            )
            settings = Settings(database_url=cloned.app_url, var=var, argon2_memory_kib=19_456)
            owner = Database(cloned.owner_url, pool_size=4)
            with httpx.Client(base_url=url, timeout=30) as client:
                service = Service(url, cloned, create_app(settings), owner, settings, client)
                yield Processes(service, log, cluster, process.pid)
            owner.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
