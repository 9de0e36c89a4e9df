"""A storm: phones that never give up, a service and a database to which everything happens that can happen (M3).

Phones keep the rules of the reference client: one id for one tap, sent again until the answer is final.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from conftest import Cloned, Service
from factories_checkins import Cadre, check_in
from faults.hammering import Connection
from faults.standing import NAME, ZAICUN, Link, Standing, environment, free_port, linked, standing

from server import clock, db, ids
from server.app import create_app
from server.cluster import APP_ROLE, OWNER_ROLE, Cluster
from server.db import Database
from server.settings import Settings

BROKEN = Path(__file__).with_name("broken.py")
DISK_MIB = 1600
"""More than the gigabyte to which the database lets its log grow by itself."""
Tap = tuple[UUID, datetime]
"""A person and the phone's time of the tap: what it is known by, whatever ids a service makes of it."""
FINAL, AGAIN = {200, 201}, {0, 401, 429, 503}
"""A status of 0 is a connection that broke. 401: a worker that has just begun may not know the keys yet; it never lasts."""


# --- phones


@dataclass
class Phones:
    """What the phones made, and what they were told."""

    port: int
    cadres: Sequence[Cadre]
    seed: int
    acked: set[Tap] = field(default_factory=set)
    unacked: set[Tap] = field(default_factory=set)
    tries: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)
    last_ack: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    async def _phone(self, number: int) -> None:
        drawn, line, cadre = (
            random.Random(self.seed * 1000 + number),
            Connection(self.port),
            self.cadres[number],
        )
        while not self.stopping.is_set():
            many = drawn.choice((1, 1, 2, 5))
            made = [(ids.new_id(), check_in(self._tapped(drawn))) for _ in range(many)]
            await self._settle(line, cadre, dict(made), drawn)
            if drawn.random() < 0.1:  # The answer was lost on the way: everything once more.
                await self._settle(line, cadre, dict(made), drawn)
        line.close()

    def _tapped(self, drawn: random.Random) -> Any:
        return clock.now() - timedelta(minutes=drawn.randrange(60 * 24 * 3))

    async def _settle(
        self, line: Connection, cadre: Cadre, made: dict[UUID, dict[str, Any]], drawn: random.Random
    ) -> None:
        left = dict(made)
        self.unacked |= {_tap(cadre, content) for content in left.values()} - self.acked
        while left:
            path, method, body = self._request(left)
            told = await self._ask(line, method, path, cadre.token, body, list(left))
            for one, status in told.items():
                self.tries[status] += 1
                if status in FINAL:
                    tap = _tap(cadre, left.pop(one))
                    self.acked.add(tap)
                    self.unacked.discard(tap)
                    self.last_ack = time.monotonic()
                elif status not in AGAIN:
                    self.wrong.append((status, str(one)))
                    left.pop(one)
            if left:
                await asyncio.sleep(0.02 + drawn.random() * 0.2)

    @staticmethod
    def _request(left: dict[UUID, dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
        sent_at = clock.now().isoformat()
        if len(left) == 1:
            ((one, content),) = left.items()
            return f"/v1/check-ins/{one}", "PUT", content | {"sent_at": sent_at}
        items = [
            {"id": str(one), **{k: v for k, v in content.items() if k != "sent_at"}}
            for one, content in left.items()
        ]
        return "/v1/check-ins/batch", "POST", {"sent_at": sent_at, "items": items}

    @staticmethod
    async def _ask(
        line: Connection, method: str, path: str, token: str, body: dict[str, Any], sent: Sequence[UUID]
    ) -> dict[UUID, int]:
        try:
            status, _, content = await asyncio.wait_for(line.ask(method, path, token, body), 15)
        except (OSError, EOFError, TimeoutError, ValueError):
            line.close()
            return dict.fromkeys(sent, 0)
        if status == httpx.codes.OK and method == "POST":
            return {UUID(item["id"]): item["status"] for item in json.loads(content)["items"]}
        return dict.fromkeys(sent, status)

    async def run(self) -> None:
        await asyncio.gather(*(self._phone(number) for number in range(len(self.cadres))))


def _tap(cadre: Cadre, content: dict[str, Any]) -> Tap:
    return cadre.person_id, datetime.fromisoformat(content["captured_at"])


@contextlib.contextmanager
def phoning(phones: Phones) -> Iterator[None]:
    """Let the phones check in until the block ends; each then settles what it made."""
    thread = threading.Thread(target=lambda: asyncio.run(phones.run()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        phones.stopping.set()
        thread.join(60)
    assert not thread.is_alive(), "a phone never got through"


# --- the stage


@dataclass
class Command:
    """A process of the product's on this database that can be killed and started again; it keeps its port."""

    words: list[str]
    env: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            # A session of its own, so that the storm reaches its workers with it.
            self.process = subprocess.Popen(
                self.words, env=self.env, stdout=out, stderr=out, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it and all its workers at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> int:
        """Tell it to stop; return how it ended."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@dataclass
class Stage:
    """Database, link, service and scheduler."""

    database: Standing
    link: Link
    api: Command
    scheduler: Command
    service: Service
    port: int
    disk: Path | None
    """A small file system on which the database lies; None where none can be mounted."""

    phones: Phones | None = None
    """Those that are checking in."""

    def await_ack(self, within_s: float = 8) -> None:
        """Wait for the next acknowledgement."""
        assert self.phones is not None
        before, until = self.phones.last_ack, time.monotonic() + within_s
        while self.phones.last_ack == before and time.monotonic() < until:
            time.sleep(0.001)

    def break_by(self, mistake: str) -> None:
        """Serve from now on with a mistake of broken.py."""
        self.api.kill()
        self.api.words = [sys.executable, str(BROKEN), mistake, "serve"]
        self.api.env["ZAICUN_WORKERS"] = "1"
        self.api.start()
        self.ready()

    def ready(self, within_s: float = 60) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < within_s:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.service.url}/readyz", timeout=5).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.api.log.read_text()[-3000:]}")

    def workers(self) -> list[int]:
        assert self.api.process is not None
        words = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.api.process.pid)]
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        return [int(line.split()[0]) for line in lines if "spawn_main" in line] or [self.api.process.pid]


@contextlib.contextmanager
def _small_disk() -> Iterator[Path | None]:
    """Mount a file system that can be filled; None where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="zaicun-disk-"))
    folder.chmod(0o711)
    options = ["-o", f"size={DISK_MIB}m,mode=0711"]
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    mounted = done.returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextlib.contextmanager
def staged(var: Path) -> Iterator[Stage]:
    """Build a stage, and take it down again."""
    with _small_disk() as disk, standing(below=disk) as database, linked(database.cluster) as link:
        port = free_port()
        given: dict[str, Any] = {
            "database_url": link.url(), "owner_database_url": database.cluster.owner_dsn, "var": var, "port": port,
            "quota_read": 0, "quota_write": 0, "quota_heavy": 0, "argon2_memory_kib": 19_456, "log_checkins_every": 0,
            "pool_size": 2, "workers": 2,
        }  # fmt: skip
        env = environment(**given) | {"PYTHONFAULTHANDLER": "1"}
        api, scheduler = (
            Command([ZAICUN, "serve"], dict(env), var / "serve.log"),
            Command([ZAICUN, "scheduler"], env, var / "scheduler.log"),
        )
        own = Settings(**given)
        owner = Database(database.cluster.dsn(OWNER_ROLE, NAME), pool_size=2)
        cloned = Cloned(NAME, database.cluster.dsn(APP_ROLE, NAME), database.cluster.dsn(OWNER_ROLE, NAME))
        api.start()
        scheduler.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                service = Service(f"http://127.0.0.1:{port}", cloned, create_app(own), owner, own, client)
                stage = Stage(database, link, api, scheduler, service, port, disk)
                stage.ready(90)
                yield stage
        finally:
            owner.close()
            for command in (api, scheduler):
                if command.process is not None:
                    command.kill()


# --- faults: each breaks something and mends it


Fault = Callable[[Stage, random.Random], None]
WORST_S = 4.0


def kill_a_worker(stage: Stage, drawn: random.Random) -> None:
    os.kill(drawn.choice(stage.workers()), signal.SIGKILL)


def kill_the_service(stage: Stage, _drawn: random.Random) -> None:
    stage.api.kill()
    stage.api.start()


def lose_the_host(stage: Stage, drawn: random.Random) -> None:
    """Power fails where the service runs, in the moment of an acknowledgement; what the cable still held is gone too."""
    stage.link.delay_s = 0.06  # A group takes several round trips, and has seconds.
    time.sleep(1 + drawn.random())
    stage.await_ack()
    stage.link.cut()
    stage.api.kill()
    stage.link.forget()
    stage.link.delay_s = 0.0
    stage.link.mend()
    stage.api.start()


def stop_the_service(stage: Stage, _drawn: random.Random) -> None:
    assert stage.api.terminate() == 0, stage.api.log.read_text()[-2000:]
    stage.api.start()


def kill_the_scheduler(stage: Stage, _drawn: random.Random) -> None:
    stage.scheduler.kill()
    stage.scheduler.start()


def kill_the_database(stage: Stage, _drawn: random.Random) -> None:
    stage.database.kill()
    stage.database.start()


def restart_the_database(stage: Stage, _drawn: random.Random) -> None:
    stage.database.stop()
    stage.database.start()


def end_every_session(stage: Stage, drawn: random.Random) -> None:
    for _ in range(3):
        with psycopg.connect(stage.database.cluster.superuser_dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        time.sleep(drawn.random() * 0.3)


def cut_the_link(stage: Stage, _drawn: random.Random) -> None:
    stage.link.cut()
    time.sleep(WORST_S)
    stage.link.mend()


def delay_the_link(stage: Stage, drawn: random.Random) -> None:
    stage.link.delay_s = 0.1 + drawn.random() * 0.3
    time.sleep(2)
    stage.link.delay_s = 0.0


def open_the_link_by_half(stage: Stage, _drawn: random.Random) -> None:
    """The database's end of every connection is gone, and nobody tells the service."""
    stage.link.forget()
    time.sleep(WORST_S)


def freeze_the_database(stage: Stage, _drawn: random.Random) -> None:
    stage.database.freeze()
    time.sleep(WORST_S)
    stage.database.thaw()


def fill_the_disk(stage: Stage, _drawn: random.Random) -> None:
    """Data and log of the database share the disk, so that either may find it full first."""
    if stage.disk is None:
        return
    ballast = stage.disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    time.sleep(2)
    ballast.unlink(missing_ok=True)
    stage.database.start()  # As its unit would: a server that gave up comes back, one that lives is left alone.


EVERY_FAULT: tuple[Fault, ...] = (
    kill_a_worker, kill_the_service, lose_the_host, stop_the_service, kill_the_scheduler, kill_the_database,
    restart_the_database, end_every_session, cut_the_link, delay_the_link, open_the_link_by_half, freeze_the_database,
    fill_the_disk,
)  # fmt: skip
HARDEST = tuple(
    fault for fault in EVERY_FAULT if fault not in {kill_the_service, restart_the_database, delay_the_link}
)
"""For the everyday suite: `lose_the_host` delays and kills, `kill_the_database` starts it again."""


# --- what is left afterwards


def kept_of(cluster: Cluster, people: Sequence[UUID]) -> list[Tap]:
    """Return the taps of these people that are on record, as often as they are."""
    query = "SELECT person_id, captured_at FROM checkins WHERE person_id = ANY(%s)"
    with psycopg.connect(cluster.dsn(OWNER_ROLE, NAME)) as connection:
        return [(row[0], row[1]) for row in connection.execute(query, [list(people)]).fetchall()]


def left_open(database: Standing) -> list[str]:
    """Return the applications whose transactions, open now, are never ended: longer than the database lets them idle.

    One that works is no fault: the scheduler's worker makes one short transaction after the other.
    """
    asked = "SELECT application_name, pid, xact_start FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    with psycopg.connect(database.cluster.superuser_dsn, autocommit=True) as connection:
        found = left = set(connection.execute(f"{asked} AND xact_start IS NOT NULL").fetchall())
        deadline = time.monotonic() + db.IDLE_S + 10
        while left and time.monotonic() < deadline:
            time.sleep(0.2)
            left = found & set(connection.execute(asked).fetchall())
    return sorted(name for name, _, _ in left)
