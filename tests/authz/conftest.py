"""The world of the matrix and its server, once for all tests of this folder."""

from collections.abc import Iterator

import pytest
from conftest import Clone

from authz.bench import Bench, open_bench
from authz.building import Builder, settings_of
from authz.table import Table, load
from authz.walk import Walk
from authz.world import NOW
from server import clock
from server.db import Database


@pytest.fixture(scope="session")
def table() -> Table:
    """The document."""
    return load()


@pytest.fixture(scope="session")
def bench(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The server, with a world built for it."""
    cloned, var = clone(), tmp_path_factory.mktemp("authz")
    clock.use(lambda: NOW)
    owner = Database(cloned.owner_url, pool_size=2)
    world = Builder(owner, settings_of(cloned.app_url, var)).build()
    owner.close()
    with open_bench(world, cloned.app_url, var) as running:
        yield running


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    """The world's own time while a test of this folder runs: the bench outlives them, its time must not."""
    clock.use(lambda: NOW)
    yield
    clock.use(clock.system)


@pytest.fixture(scope="session")
def walk(bench: Bench, table: Table) -> Walk:
    """One walk over the table; it gathers the fields that answers carried."""
    return Walk(bench, table)
