"""A durable cluster of the fault tests' own, a link to it that can be cut, and the real command serving on it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from conftest import Cloned, Service

from server import migrate, postgres
from server.app import create_app
from server.cluster import APP_ROLE, OWNER_ROLE, PORT, Cluster
from server.db import Database
from server.settings import Settings

ZAICUN = str(Path(sys.executable).with_name("zaicun"))
NAME = "zaicun"


@dataclass
class Standing:
    """A durable cluster that can be frozen, killed and started again."""

    cluster: Cluster

    @property
    def data(self) -> Path:
        return self.cluster.data

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill every process of the server at once."""
        while postgres.processes_in(self.data):
            self._signal(signal.SIGKILL)
            time.sleep(0.05)

    def stop(self) -> None:
        postgres.shut_down(self.data, self.cluster.account)

    def start(self) -> None:
        self.cluster.join()

    def sessions(self) -> list[tuple[str, str, str]]:
        """Return (application, role, state) of every client session but the one that asks."""
        with psycopg.connect(self.cluster.superuser_dsn, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT application_name, usename, coalesce(state, '') FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchall()
        return [(str(a), str(u), str(s)) for a, u, s in rows]

    def _signal(self, number: signal.Signals) -> None:
        for _ in range(2):  # Twice, because the first round may meet a process about to fork.
            for pid in postgres.processes_in(self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


@contextlib.contextmanager
def standing(*, own: bool = True, below: Path | None = None) -> Iterator[Standing]:
    """Make a durable cluster, migrated, and remove it at the end; `below`: a folder other than the usual one."""
    root = Path(tempfile.mkdtemp(prefix="zaicun-faults-", dir=below))
    root.chmod(0o711)  # The database's own account must be able to pass.
    cluster = Cluster(root)
    try:
        cluster.join()
        if own:
            migrate.upgrade(cluster.owner_dsn, APP_ROLE)
        yield Standing(cluster)
    finally:
        found = Standing(cluster)
        found.kill()
        home = cluster.home.resolve()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(cluster.socket, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


@dataclass
class Link:
    """A TCP link on loopback to the cluster's socket: it can be held (nothing passes, nothing ends) or slowed."""

    upstream: Path
    port: int = 0
    delay_s: float = 0.0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None
    carried: set[asyncio.StreamWriter] = field(default_factory=set)
    """The ends towards the database."""

    def url(self, role: str = APP_ROLE) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{NAME}?sslmode=disable&gssencmode=disable"

    def cut(self) -> None:
        """Let nothing pass from now on, without telling anybody: a pulled cable."""
        self._tell(self.held.clear)

    def mend(self) -> None:
        self._tell(self.held.set)

    def forget(self) -> None:
        """Close the database's end of every connection without telling the other side: half-open from now on."""
        self._tell(self._forget)

    def _forget(self) -> None:
        for writer in self.carried:
            writer.transport.abort()
        self.carried.clear()

    def _tell(self, deed: Any) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(deed)

    async def carry(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        writers = [answer]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            server, question = await asyncio.open_unix_connection(str(self.upstream))
            writers.append(question)
            self.carried.add(question)
            both = [
                asyncio.create_task(self._pass(client, question)),
                asyncio.create_task(self._pass(server, answer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            if (
                question not in self.carried
            ):  # Half open: nothing comes or is refused until the other side ends it.
                await _swallow(client)
        self.carried.difference_update(writers)
        for writer in writers:
            writer.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self.held.wait()
            target.write(data)
            await target.drain()


async def _swallow(client: asyncio.StreamReader) -> None:
    while await client.read(65_536):
        pass


@contextlib.contextmanager
def linked(cluster: Cluster) -> Iterator[Link]:
    """Run a link in a thread of its own until the block ends."""
    link = Link(cluster.socket / f".s.PGSQL.{PORT}")
    ready, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        link.loop = asyncio.get_running_loop()
        link.held.set()
        server = await asyncio.start_server(link.carry, "127.0.0.1", 0)
        link.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield link
    finally:
        assert link.loop is not None
        link.loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@dataclass
class Served:
    """A running `zaicun serve`, as the factories want a service, with its process."""

    service: Service
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def rss_kib(self) -> int:
        return sum(int(_status(pid, "VmRSS").split()[0]) for pid in self.workers())

    def threads(self) -> int:
        return sum(int(_status(pid, "Threads")) for pid in self.workers())

    def files(self) -> int:
        return sum(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in self.workers())

    def workers(self) -> list[int]:
        """Return the processes that serve: the children where there are several workers, else the process itself."""
        if self.service.settings.workers == 1:
            return [self.process.pid]
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in listed if "spawn_main" in line]

    def ready(self, within_s: float) -> float:
        """Wait until /readyz is green; return how long it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < within_s:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.service.url}/readyz", timeout=5).status_code == 200:
                    return time.monotonic() - begun
            time.sleep(0.05)
        raise AssertionError(f"not ready within {within_s} s: {self.log.read_text()[-2000:]}")


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(name + ":"))


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings and no others."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ZAICUN_")}
    return {**inherited, **{f"ZAICUN_{name.upper()}": str(value) for name, value in settings.items()}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(cluster: Cluster, url: str, var: Path, **settings: Any) -> Iterator[Served]:
    """Run `zaicun serve` on this database address, and end it."""
    port, log = free_port(), var / "serve.log"
    given = {
        "database_url": url, "var": var, "port": port, "quota_read": 0, "quota_write": 0, "quota_heavy": 0,
        "argon2_memory_kib": 19_456, "log_checkins_every": 0, **settings,
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [ZAICUN, "serve"], env=environment(**given) | {"PYTHONFAULTHANDLER": "1"}, stdout=out, stderr=out
        )
    own = Settings(**(given | {"database_url": url}))
    owner = Database(cluster.dsn(OWNER_ROLE, NAME), pool_size=2)
    address = f"http://127.0.0.1:{port}"
    cloned = Cloned(NAME, cluster.dsn(APP_ROLE, NAME), cluster.dsn(OWNER_ROLE, NAME))
    try:
        with httpx.Client(base_url=address, timeout=30) as client:
            running = Served(
                Service(address, cloned, create_app(own), owner, own, client), process, port, log
            )
            running.ready(90)
            yield running
    finally:
        owner.close()
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that a test started, gently at first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
