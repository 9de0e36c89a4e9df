"""The server of the matrix, over real HTTP, on one connection whose every request is rolled back.

All cells start from the same rows: a request's transactions are savepoints of one outer transaction, which is undone
after the answer was looked at. So nothing a cell writes reaches the next one, and what it wrote can be compared row by
row before it is gone. Check-ins alone are stored by another connection and do commit.
"""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from conftest import serving
from sqlalchemy import orm

from authz.building import settings_of
from authz.world import NOW, World
from server import clock
from server.app import create_app
from server.db import Base, Database

WRITING = ("INSERT", "UPDATE", "DELETE")
Rows = Counter[tuple[str, str]]


class Undone(Database):
    """A database whose transactions are savepoints of one that never commits."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=1)
        self.statements: list[str] = []
        sa.event.listen(self.engine, "before_cursor_execute", self._heard)
        self.connection = self.engine.connect()
        self.turn = threading.RLock()
        self._outer = self.connection.begin()
        self._sessions = orm.sessionmaker(
            self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        )

    def _heard(self, *heard: Any) -> None:
        if "SAVEPOINT" not in heard[2]:
            self.statements.append(heard[2])

    @contextlib.contextmanager
    def write(self, *, long: bool = False, snapshot: bool = False) -> Iterator[orm.Session]:  # noqa: ARG002  The database's signature.
        """Open a savepoint; on one connection that never commits every transaction sees the same rows anyway."""
        with super().write(long=long) as session:
            yield session

    @contextlib.contextmanager
    def read(self, *, long: bool = False) -> Iterator[orm.Session]:
        """Open a transaction like any other here: that reading writes nothing is found out by comparing rows."""
        with self.write(long=long) as session:
            yield session

    def undo(self) -> None:
        """Forget everything since the last time, and the statements as well."""
        self._outer.rollback()
        self._outer = self.connection.begin()
        self.statements.clear()

    def close(self) -> None:
        """Give the connection back."""
        self._outer.rollback()
        self.connection.close()
        super().close()


@dataclass
class Answer:
    """What came back, and what it did."""

    status: int
    body: bytes
    headers: httpx.Headers
    statements: list[str]

    @property
    def json(self) -> Any:
        """Return the body, None when it is no JSON."""
        told = self.body and "json" in self.headers.get("content-type", "")
        return json.loads(self.body) if told else None

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode(errors="replace")

    @property
    def code(self) -> str:
        """Return the status and the problem's code as the table writes them: ``404 not-found``."""
        told = self.json if self.status >= httpx.codes.BAD_REQUEST else None
        return f"{self.status} {told['code']}" if isinstance(told, dict) else str(self.status)

    @property
    def wrote(self) -> bool:
        """Tell whether any statement could have changed a row."""
        return any(any(word in statement for word in WRITING) for statement in self.statements)


@dataclass
class Bench:
    """A running server in the world of the matrix."""

    world: World
    client: httpx.Client
    database: Undone
    openapi: dict[str, Any]
    baseline: Rows = field(default_factory=Counter)

    def send(self, method: str, path: str, token: str | None, **sent: Any) -> Answer:
        """Send one request and keep what it did until `undo`."""
        self.database.undo()
        headers = dict(sent.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        came = self.client.request(method, path, headers=headers, **sent)
        return Answer(came.status_code, came.content, came.headers, list(self.database.statements))

    def rows(self) -> Rows:
        """Return a digest of every row of every table, as the request under way left them."""
        found = self.database.connection.exec_driver_sql(_DIGESTS)
        return Counter((row[0], row[1]) for row in found)

    def keep(self) -> None:
        """Take the rows as they are as the state that refused requests must leave alone."""
        self.database.undo()
        self.baseline = self.rows()

    def changed(self, now: Rows) -> dict[str, list[str]]:
        """Return the rows that are not as they were, as JSON, by table. A deleted row is given as ``deleted``."""
        new, gone = now - self.baseline, self.baseline - now
        found: dict[str, list[str]] = {}
        for table in sorted({name for name, _ in (*new, *gone)}):
            digests = [mark for name, mark in new if name == table]
            query = f"SELECT to_jsonb(t)::text FROM {table} AS t WHERE md5(t::text) = ANY(%(marks)s)"  # noqa: S608  Own names.
            rows = self.database.connection.exec_driver_sql(query, {"marks": digests}).scalars()
            found[table] = [*rows] or ["deleted"]
        return found


_TABLES = sorted(table.name for table in Base.metadata.sorted_tables)
_DIGESTS = " UNION ALL ".join(
    f"SELECT '{name}', md5(t::text) FROM {name} AS t"  # noqa: S608  Names of our own tables.
    for name in _TABLES
)


def prepare(database: Database) -> None:
    """Take a wall away before the matrix is walked; the hook of security.md M13. Nothing is taken away now.

    When row-level security stands, a switch put here (``server.db.within`` answering true, the ``access_*`` functions
    asking for the id alone) runs the very same table with the database's wall alone.
    """


@contextlib.contextmanager
def open_bench(world: World, url: str, var: Path, openapi: dict[str, Any] | None = None) -> Iterator[Bench]:
    """Serve the product on the world's database; its document is made anew unless it is given."""
    clock.use(lambda: NOW)
    app = create_app(settings_of(url, var))
    try:
        with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
            own, undone = app.state.database, Undone(url)
            app.state.database = undone
            prepare(undone)
            bench = Bench(world, client, undone, openapi or app.openapi())
            bench.keep()
            try:
                yield bench
            finally:
                app.state.database = own
                undone.close()
    finally:
        clock.use(clock.system)
