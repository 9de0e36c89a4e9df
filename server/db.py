"""The database: transactions, the naming of constraints, and the one place where refusals become problems.

A transaction is opened inside the endpoint and committed before the answer is made. As a ``yield`` dependency it
would commit after the answer: a phone would read 201 and the check-in could still be lost (house.md section 3).
"""

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import ConnectionPoolEntry

from server import bounded, deadlines, durable, problems
from server.bounded import Connection, TooLate
from server.deadlines import Deadline
from server.durable import NotDurable
from server.pool import CountingPool
from server.problems import Kind, Problem
from server.pulse import Pulse

LOG = logging.getLogger("zaicun.database")

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}

READ, APPEND, CHANGE, ALL = (
    "SELECT",
    "SELECT, INSERT",
    "SELECT, INSERT, UPDATE",
    "SELECT, INSERT, UPDATE, DELETE",
)
"""What the application role may do with a table: put one of them into ``__table_args__`` as ``info={"grant": ...}``."""


def changing(*columns: str, delete: bool = False) -> str:
    """Return the grant for a table of which these columns alone may be rewritten: who, what and since when may not."""
    return f"{APPEND}, UPDATE ({', '.join(columns)}){', DELETE' if delete else ''}"


def rights(grant: str) -> Mapping[str, tuple[str, ...]]:
    """Take a grant apart: each right with its columns, none where it is the whole table's."""
    parts = re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", grant)
    return {right: tuple(columns.split(", ")) if columns else () for right, columns in parts}


class Base(orm.DeclarativeBase):
    """The base of every table. Instants are timestamptz, ids are uuid, texts are text."""

    metadata = sa.MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads this as a plain class attribute.
        datetime: sa.DateTime(timezone=True),
        UUID: sa.Uuid(),
        str: sa.Text(),
        dict[str, Any]: postgresql.JSONB(),
        bytes: sa.LargeBinary(),
    }


VIEWS = sa.MetaData()
"""What is read like a table and is none: migrations and `alembic check` look at tables alone."""


def add_view(name: str, query: str) -> None:
    """Declare a view over tables of ours, which the application role may read."""
    Base.metadata.info.setdefault("views", {})[name] = query
    made = sa.DDL(f"CREATE VIEW {name} AS {query}".replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's.
    sa.event.listen(Base.metadata, "after_create", made)


def add_function(signature: str, returns: str, query: str, *, by_owner: bool = True) -> None:
    """Declare an SQL function that the application role may call: ``add_function("held(of_person uuid)", ...)``.

    With `by_owner` it does what the owner may do, whoever calls it (SECURITY DEFINER), and changes rows; without, it only
    reads. It looks nowhere but into PostgreSQL's own schema, so `query` names ours with ``public.``.
    """
    text = function_ddl(signature, returns, query, by_owner=by_owner)
    Base.metadata.info.setdefault("functions", {})[signature] = text
    made = sa.DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's.
    closed = sa.DDL(f"REVOKE ALL ON FUNCTION {_called(signature)} FROM PUBLIC")  # type: ignore[no-untyped-call]  # As above.
    # As pg_dump does: a function may call one that comes later, which it does in no order that is ours to keep.
    unread = sa.DDL("SET LOCAL check_function_bodies = off")  # type: ignore[no-untyped-call]  # As above.
    for each in (unread, made, closed):
        sa.event.listen(Base.metadata, "after_create", each)


def function_ddl(signature: str, returns: str, query: str, *, by_owner: bool) -> str:
    """Return the statement that makes such a function."""
    rights = "VOLATILE SECURITY DEFINER" if by_owner else "STABLE"
    head = (
        f"CREATE FUNCTION {signature}\nRETURNS {returns} LANGUAGE sql {rights} SET search_path = pg_catalog"
    )
    return f"{head} AS $${query}$$"


def _called(signature: str) -> str:
    """Return a function's name with the types of its arguments, as GRANT names it."""
    name, _, arguments = signature.rstrip(")").partition("(")
    types = ", ".join(each.strip().partition(" ")[2] for each in arguments.split(","))
    return f"{name}({types})"


def functions(metadata: sa.MetaData) -> list[str]:
    """Return the functions that the application role may call, as GRANT names them."""
    return [_called(signature) for signature in metadata.info.get("functions", ())]


def one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    """Return the CHECK that keeps a text column to the values of a StrEnum."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)


REFUSALS: dict[str, Kind] = {}
"""Constraint name to problem. A room adds its own beside the constraint: ``db.REFUSALS["..."] = problems...``."""

Row = TypeVar("Row", bound=Base)


def refusal(error: sa.exc.IntegrityError) -> Problem | None:
    """Translate a refusal of the database by the constraint's name; None when the name is not registered."""
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    kind = REFUSALS.get(name or "")
    return None if kind is None else Problem(kind, constraint=name)


_SPARE_S = 0.1
IDLE_S = 60
"""The longest that a transaction may wait between two statements, however long these may take: it holds what it locked,
and where a cable was pulled its maker will never end it."""
PING_AFTER_S = 30.0
"""A connection idle for longer is asked whether it still stands: firewalls forget quiet links without telling."""
_LINK = {
    "connect_timeout": deadlines.CONNECT_WITHIN_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # Milliseconds: ends what nobody waits for any more.
}


class Database:
    """Transactions on one PostgreSQL database, through a bounded pool.

    Every wait ends with the deadline of the request (server.deadlines). `pulse` tells long work that the database is
    gone; without one, long work has its own time limit alone. Half of the connections are for long work at most, so
    that reports cannot keep everybody else waiting.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        statement_timeout_s: float = 10.0,
        pulse: Pulse | None = None,
    ) -> None:
        milliseconds = int(statement_timeout_s * 1000)
        idle = min(2 * milliseconds, IDLE_S * 1000)
        self.engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"),
            poolclass=CountingPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            connect_args={
                **_LINK,
                "application_name": sa.make_url(url).query.get("application_name", "zaicun"),
                "options": f"-c timezone=UTC -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
                f"-c idle_in_transaction_session_timeout={idle}",
            },
        )
        sa.event.listen(self.engine, "do_connect", _connect)
        sa.event.listen(self.engine, "checkout", _still_there)
        sa.event.listen(self.engine, "checkin", _put_back)
        sa.event.listen(self.engine, "handle_error", _spare_the_others)
        self._sessions = orm.sessionmaker(self.engine, expire_on_commit=False)
        self._pool: CountingPool = self.engine.pool  # type: ignore[assignment]  # It is of the class given above.
        self._turns = threading.BoundedSemaphore(pool_size)
        self._long_turns = threading.BoundedSemaphore(max(1, pool_size // 2))
        self._pulse = pulse
        self.stopping = threading.Event()
        """Set when the service is told to stop: long work is given up, so that its clients hear a 503 in time."""

    @contextmanager
    def write(self, *, long: bool = False, snapshot: bool = False) -> Iterator[orm.Session]:
        """Open a transaction that commits when the block ends, and rolls back when it raises.

        `long` gives it HEAVY_WITHIN_S instead of what is left of the request's time. With `snapshot` all its statements
        see the same rows; such a transaction only adds rows, since changing one that changed meanwhile would fail.
        """
        if self._pulse is not None:
            self._pulse.require_durable()
        with _translated(), self._turn(long=long), self._sessions() as session, session.begin():
            if snapshot:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            if long:
                _lengthen(session)
            yield session

    @contextmanager
    def read(self, *, long: bool = False) -> Iterator[orm.Session]:
        """Open a read-only transaction with one snapshot for all its statements. `long` is as in :meth:`write`."""
        with _translated(), self._turn(long=long), self._sessions() as session, session.begin():
            session.connection(
                execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            )
            if long:
                _lengthen(session)
            yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def _turn(self, *, long: bool) -> Iterator[None]:
        """Wait for a connection to be free, not for long: Problem (503 busy) sheds what would be answered too late."""
        deadline = deadlines.current()
        if deadline is None:
            yield  # A command has all the time of its statements; the pool itself makes it wait.
            return
        if long:
            with (
                self._one_of(self._long_turns, deadline),
                self._one_of(self._turns, deadline),
                deadlines.within(deadlines.HEAVY_WITHIN_S, self._lost),
            ):
                yield
        else:
            with self._one_of(self._turns, deadline):
                yield

    @contextmanager
    def _one_of(self, turns: threading.BoundedSemaphore, deadline: Deadline) -> Iterator[None]:
        if not turns.acquire(blocking=False):
            # What is left after the wait is enough to open a connection.
            patience = deadline.left() - deadlines.CONNECT_WITHIN_S - _SPARE_S
            with self._pool.counted():
                if not turns.acquire(timeout=max(patience, 0)):
                    raise problems.later(problems.BUSY)
        try:
            yield
        finally:
            turns.release()

    def _lost(self) -> bool:
        return self.stopping.is_set() or (self._pulse is not None and self._pulse.silent())


def _lengthen(session: orm.Session) -> None:
    milliseconds = str(int(deadlines.HEAVY_WITHIN_S * 1000) - 500)
    session.execute(
        sa.select(
            sa.func.set_config("statement_timeout", milliseconds, True),
            sa.func.set_config("idle_in_transaction_session_timeout", milliseconds, True),
        )
    )


def _connect(
    _dialect: object, _record: object, cargs: tuple[Any, ...], cparams: dict[str, Any]
) -> Connection:
    """Open a connection whose waits are bounded, and refuse one that would lose what it acknowledges (M5)."""
    deadline = deadlines.current()
    if deadline is not None and deadline.left() < deadlines.CONNECT_WITHIN_S:
        raise TooLate("there is no time left to connect")
    connection = Connection.connect(*cargs, **cparams)
    try:
        connection.autocommit = True
        row = connection.execute(durable.ASK).fetchone()
        connection.autocommit = False
        durable.refuse_unless_durable(row or ())
    except BaseException:
        connection.close()
        raise
    return connection


def _still_there(connection: Connection, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Replace a connection that the server closed while it was idle; one that was idle for long is asked.

    Asking every time would cost every request a round trip.
    """
    idle_since = record.info.get("idle_since")
    gone = bounded.hung_up(connection)
    if not gone and idle_since is not None and time.monotonic() - idle_since > PING_AFTER_S:
        gone = not _answers(connection)
    if gone:
        raise sa.exc.InvalidatePoolError


def _answers(connection: Connection) -> bool:
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except psycopg.Error:
        return False
    return True


def _put_back(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def _spare_the_others(context: sa.ExceptionContext) -> None:
    """Drop only the connection that was given up: that one answer came too late says nothing about the others."""
    if isinstance(context.original_exception, TooLate):
        context.invalidate_pool_on_disconnect = False


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as error:
        problem = refusal(error)
        if problem is None:
            raise
        raise problem from error
    except sa.exc.DataError as error:
        raise Problem(
            problems.INVALID_REQUEST,
            zh="有内容无法存储（例如文本中的空字符，或超出范围的数字）。",
            en="Some content cannot be stored (a NUL character in a text, or a number out of range).",
        ) from error
    except NotDurable as error:
        LOG.critical("a connection must not be trusted: %s", error)
        raise problems.later(problems.DATABASE_UNSAFE, least_s=30) from error
    except (
        sa.exc.OperationalError,
        sa.exc.TimeoutError,
        sa.exc.InterfaceError,
        psycopg.OperationalError,
    ) as error:
        raise problems.later(_kind_of(error)) from error
    except sa.exc.InternalError as error:
        if not isinstance(error.orig, bounded.ENDED):
            raise
        raise problems.later(problems.DATABASE_UNAVAILABLE) from error


_OTHERS_IN_THE_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)


def _kind_of(error: Exception) -> Kind:
    """Return what a failure is called: others were in the way, or the database is not there."""
    return (
        problems.BUSY
        if isinstance(getattr(error, "orig", error), _OTHERS_IN_THE_WAY)
        else problems.DATABASE_UNAVAILABLE
    )


def insert_once(
    session: orm.Session, row: Row, *, same: Iterable[str], own: Iterable[str] = ()
) -> tuple[Row, bool]:
    """Insert a row under the id its maker chose, once.

    Returns the stored row and whether this call stored it. The same id with the same content is a harmless resend;
    with other content (any attribute of `same` differs) it is the problem ``id-reused`` (ruling 11). Two at once are
    safe: the loser waits for the winner's commit and reads its row.

    `own` are the attributes that say whose the row is. Where one of them differs, the row is somebody else's: the
    problem then names no field, or guessing at a phone number would be answered with yes or no (security.md M8).
    """
    kind = type(row)
    values = {
        a.key: getattr(row, a.key) for a in sa.inspect(kind).column_attrs if getattr(row, a.key) is not None
    }
    statement = postgresql.insert(kind).values(values).on_conflict_do_nothing(index_elements=["id"])
    created = session.execute(statement.returning(kind.__table__.c.id)).scalar_one_or_none() is not None
    stored = session.execute(sa.select(kind).where(kind.__table__.c.id == values["id"])).scalar_one()
    if not created:
        if any(getattr(stored, name) != getattr(row, name) for name in own):
            raise Problem(problems.ID_REUSED)
        differing = sorted(name for name in same if getattr(stored, name) != getattr(row, name))
        if differing:
            raise Problem(
                problems.ID_REUSED,
                zh=f"编号已使用，且内容不同：{'、'.join(differing)}。",
                en=f"The id is in use with different content: {', '.join(differing)}.",
                fields=differing,
            )
    return stored, created


def one_at_a_time(session: orm.Session, name: str) -> None:
    """Let deeds of one name happen one after the other until the transaction ends; for what no row can be locked for."""
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"zaicun:{name}", 0))
    session.execute(sa.select(lock))


def within(column: sa.SQLColumnExpression[str], prefixes: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a region code lies under one of the prefixes; no prefix at all matches nothing."""
    conditions = [column.startswith(prefix, autoescape=True) for prefix in prefixes]
    return sa.or_(*conditions) if conditions else sa.false()


def grants(metadata: sa.MetaData) -> Mapping[str, str]:
    """Return what the application role may do, table by table and view by view, as the models declare it."""
    tables = {table.name: str(table.info.get("grant", CHANGE)) for table in metadata.sorted_tables}
    return tables | dict.fromkeys(metadata.info.get("views", ()), READ)
