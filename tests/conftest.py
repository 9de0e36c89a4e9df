"""What the tests stand on: one throwaway cluster, one migrated template, a cloned database and a real server a module."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import hypothesis
import pytest
import uvicorn
from docs.witness import pytest_runtest_call, pytest_runtest_teardown, pytest_sessionfinish, watched
from fastapi import FastAPI

from server import clock as clock_module
from server import cluster as cluster_module
from server import migrate
from server.app import create_app
from server.cluster import Cluster
from server.db import Database
from server.settings import Settings
from server.wire import Wire

if TYPE_CHECKING:
    from processes import Processes

ROOT = Path(__file__).resolve().parents[1]
LATER_SCHEMA = os.environ.pop("ZAICUN_PROVE_SCHEMA", "")
"""A revision of tests/migrations/versions_future: then every test runs on the schema of a later release."""
# Time is measured in bench/: what a busy machine does to one example says nothing about the product.
hypothesis.settings.register_profile("zaicun", deadline=None)
hypothesis.settings.load_profile("zaicun")
__all__ = ["pytest_runtest_call", "pytest_runtest_teardown", "pytest_sessionfinish"]  # pytest's hooks.


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every connection that leaves this machine: a test that needs the network is a bug."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1",
            "::1",
            "localhost",
        }:
            raise AssertionError(f"a test tried to connect to {address}")
        real(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A private cluster without durability, because it is thrown away."""
    running = cluster_module.ensure(ROOT / "var" / "test", durable=False)
    try:
        yield running
    finally:
        running.release()


@dataclass(frozen=True)
class Cloned:
    """A database of its own, with the product's schema."""

    name: str
    app_url: str
    owner_url: str


Clone = Callable[[], Cloned]


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[str]:
    """A database with the whole schema, made by the migrations as an operator would run them."""
    name = f"zt_template_{uuid4().hex[:8]}"
    cluster.create_database(name)
    owner = cluster.dsn(cluster_module.OWNER_ROLE, name)
    if LATER_SCHEMA:
        migrate.upgrade(
            owner, cluster_module.APP_ROLE, LATER_SCHEMA, also=[ROOT / "tests/migrations/versions_future"]
        )
    else:
        migrate.upgrade(owner, cluster_module.APP_ROLE)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="session")
def clone(cluster: Cluster, template: str) -> Iterator[Clone]:
    """Make databases from the template; all are dropped at the end."""
    made: list[str] = []

    def make() -> Cloned:
        name = f"zt_{uuid4().hex[:12]}"
        cluster.create_database(name, template=template)
        made.append(name)
        return Cloned(
            name,
            cluster.dsn(cluster_module.APP_ROLE, name),
            cluster.dsn(cluster_module.OWNER_ROLE, name),
        )

    yield make
    for name in made:
        cluster.drop_database(name)


@dataclass
class Service:
    """A running server on its own database, with a client and a direct way to both."""

    url: str
    cloned: Cloned
    app: FastAPI
    database: Database
    settings: Settings
    client: httpx.Client = field(repr=False)

    def as_(self, token: str) -> httpx.Client:
        """Return a client that sends this access token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on a loopback port over real HTTP, and stop it at the end.

    Each of its answers is held against the OpenAPI document: tests/docs/witness.py.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        watched(app),
        http=Wire,
        log_level="warning",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@contextlib.contextmanager
def running_service(cloned: Cloned, var: Path, **overrides: Any) -> Iterator[Service]:
    """Serve the product on this database."""
    usual = {
        "quota_read": 0,
        "quota_write": 0,
        "quota_heavy": 0,
    }  # One account of a test asks more than any person.
    patient = {"answer_within_s": 30.0, "statement_timeout_s": 10.0}  # A busy machine is no fault here.
    settings = replace(
        Settings(database_url=cloned.app_url, var=var, argon2_memory_kib=19_456),
        **(usual | patient | overrides),
    )
    app = create_app(settings)
    owner = Database(cloned.owner_url, pool_size=4)
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield Service(url, cloned, app, owner, settings, client)
    owner.close()


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The product serving over HTTP, on a database of this module's own. `service.database` writes as the owner."""
    with running_service(clone(), tmp_path_factory.mktemp("var")) as running:
        yield running


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Processes"]:
    """Two real worker processes on a cluster of their own, once for all tests of a module."""
    from processes import two_workers_in  # noqa: PLC0415  It imports this module.

    with two_workers_in(tmp_path_factory.mktemp("two-workers")) as running:
        yield running


class SetClock:
    """A clock that a test sets; it stands still until moved."""

    def __init__(self) -> None:
        self.at: datetime | None = None

    def __call__(self) -> datetime:
        return self.at or clock_module.system()

    def set(self, at: datetime | str) -> None:
        """Set the instant (a text without zone is read as UTC)."""
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        self.at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def move(self, **by: float) -> None:
        """Move on by a timedelta's arguments."""
        self.at = self() + timedelta(**by)


@pytest.fixture
def clock() -> Iterator[SetClock]:
    """The process's clock in the hands of the test; the server runs in this process and reads the same one."""
    hands = SetClock()
    clock_module.use(hands)
    yield hands
    clock_module.use(clock_module.system)
