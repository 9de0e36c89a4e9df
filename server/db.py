"""The database: transactions, the naming of constraints, and the one place where refusals become problems.

A transaction is opened inside the endpoint and committed before the answer is made. As a ``yield`` dependency it
would commit after the answer: a phone would read 201 and the check-in could still be lost (house.md section 3).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import problems
from server.pool import CountingPool
from server.problems import Kind, Problem

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


def one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    """Return the CHECK that keeps a text column to the values of a StrEnum."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)


REFUSALS: dict[str, Kind] = {}
"""Constraint name to problem. A room adds its own beside the constraint: ``db.REFUSALS["..."] = problems...``."""

_RETRY_SOON = {"Retry-After": "2"}
Row = TypeVar("Row", bound=Base)


def refusal(error: sa.exc.IntegrityError) -> Problem | None:
    """Translate a refusal of the database by the constraint's name; None when the name is not registered."""
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    kind = REFUSALS.get(name or "")
    return None if kind is None else Problem(kind, constraint=name)


class Database:
    """Transactions on one PostgreSQL database, through a bounded pool."""

    def __init__(self, url: str, *, pool_size: int = 8, statement_timeout_s: float = 10.0) -> None:
        milliseconds = int(statement_timeout_s * 1000)
        self.engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"),
            poolclass=CountingPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=3,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 3,
                "options": f"-c timezone=UTC -c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
                f"-c idle_in_transaction_session_timeout={milliseconds * 2}",
            },
        )
        self._sessions = orm.sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[orm.Session]:
        """Open a transaction that commits when the block ends, and rolls back when it raises."""
        with _translated(), self._sessions() as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[orm.Session]:
        """Open a read-only transaction with one snapshot for all its statements."""
        with _translated(), self._sessions() as session, session.begin():
            session.connection(
                execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            )
            yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


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
    except (sa.exc.OperationalError, sa.exc.TimeoutError, sa.exc.InterfaceError) as error:
        raise Problem(problems.DATABASE_UNAVAILABLE, headers=_RETRY_SOON) from error


def insert_once(session: orm.Session, row: Row, *, same: Iterable[str]) -> tuple[Row, bool]:
    """Insert a row under the id its maker chose, once.

    Returns the stored row and whether this call stored it. The same id with the same content is a harmless resend;
    with other content (any attribute of `same` differs) it is the problem ``id-reused`` (ruling 11). Two at once are
    safe: the loser waits for the winner's commit and reads its row.
    """
    kind = type(row)
    values = {
        a.key: getattr(row, a.key) for a in sa.inspect(kind).column_attrs if getattr(row, a.key) is not None
    }
    statement = postgresql.insert(kind).values(values).on_conflict_do_nothing(index_elements=["id"])
    created = session.execute(statement.returning(kind.__table__.c.id)).scalar_one_or_none() is not None
    stored = session.execute(sa.select(kind).where(kind.__table__.c.id == values["id"])).scalar_one()
    if not created:
        differing = sorted(name for name in same if getattr(stored, name) != getattr(row, name))
        if differing:
            raise Problem(
                problems.ID_REUSED,
                zh=f"编号已使用，且内容不同：{'、'.join(differing)}。",
                en=f"The id is in use with different content: {', '.join(differing)}.",
                fields=differing,
            )
    return stored, created


def within(column: sa.SQLColumnExpression[str], prefixes: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a region code lies under one of the prefixes; no prefix at all matches nothing."""
    conditions = [column.startswith(prefix, autoescape=True) for prefix in prefixes]
    return sa.or_(*conditions) if conditions else sa.false()


def grants(metadata: sa.MetaData) -> Mapping[str, str]:
    """Return what the application role may do, table by table, as the models declare it."""
    return {table.name: str(table.info.get("grant", CHANGE)) for table in metadata.sorted_tables}
