"""Bringing a database to the present schema, and giving the application role what the models say it may do.

Migrations run while people check in (security.md M21): each waits half a second at most for a lock, lets everybody
pass, and tries again; who stood in the way is told. One migration runs at a time.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from server import db, revisions, schema
from server.lock_watch import MigrationFault, Watch, watching
from server.revisions import Applied

EXTENSIONS = ("postgis", "btree_gist")
SCRIPTS = Path(__file__).with_name("migrations")
Say = Callable[[str], None]
_ONE_AT_A_TIME = "hashtext('zaicun:migrate')"
_GIVEN_UP = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
"""Refusals that a later try may not meet."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a migration that cannot get its locks is tried, with growing pauses, and how long others are awaited."""

    tries: int = 30
    first_pause_s: float = 0.5
    longest_pause_s: float = 5.0
    others_s: float = 600.0

    def pause_s(self, tried: int) -> float:
        """Return the pause after so many tries: time enough for those who queued behind to get through."""
        return float(min(self.longest_pause_s, self.first_pause_s * 1.3 ** (tried - 1)))


PATIENT = Patience()


def owner_engine(url: str) -> sa.Engine:
    """Return an engine for the owner's DSN, without a pool: migrations use one connection."""
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=sa.NullPool,
        connect_args={"application_name": "zaicun migrate", "options": "-c timezone=UTC"},
    )


def configuration(connection: sa.Connection | None = None, also: Sequence[Path] = ()) -> Config:
    """Return Alembic's configuration; there is no ini file to keep in step.

    `also` are further folders of migrations, for tests. Without a connection only the files can be asked, or written
    out as SQL.
    """
    folders = os.pathsep.join(str(folder) for folder in (SCRIPTS / "versions", *also))
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", folders.replace("%", "%%"))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def upgrade(
    owner_url: str,
    app_role: str,
    revision: str = "head",
    *,
    also: Sequence[Path] = (),
    patience: Patience = PATIENT,
    say: Say | None = None,
) -> None:
    """Migrate up to `revision` and grant. Safe to run again, at any time, and while the service serves.

    Two at once wait for each other. A database that a newer version migrated is left as it is when this version can
    use it. Raises MigrationFault when it cannot, when a lock cannot be had in `patience`, or when another migration
    does not end.
    """
    tell = say or (lambda _line: None)
    with owner_engine(owner_url).connect() as connection, _alone(connection, patience, tell):
        config = configuration(connection, also)
        if _is_newer(connection, config):
            fault = misfit(connection, config)
            if fault is not None:
                raise fault
            tell("The database was migrated by a newer version, and this one can use it: nothing is changed.")
            return
        for name in EXTENSIONS:
            if not _has_extension(connection, name):
                connection.execute(sa.text(f"CREATE EXTENSION IF NOT EXISTS {name}"))
        connection.commit()
        _persist(connection, owner_url, lambda: command.upgrade(config, revision), patience, tell)
        if _is_whole(connection, config):
            grant(connection, app_role)
        connection.commit()


def _persist(
    connection: sa.Connection, url: str, deed: Callable[[], None], patience: Patience, tell: Say
) -> None:
    """Do it again while it cannot get its locks. A migration that was committed is not run again."""
    began = time.monotonic()
    pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    connection.commit()
    with watching(url, pid) as watch:
        for tried in range(1, patience.tries + 1):
            try:
                deed()
                connection.commit()
            except sa.exc.OperationalError as error:
                connection.rollback()
                if not isinstance(error.orig, _GIVEN_UP):
                    raise
                if tried == patience.tries:
                    raise _blocked(present_revision(connection), tried, began, watch) from error
                tell(f"A lock could not be had (try {tried} of {patience.tries}); {_holders(watch)[0]}")
                time.sleep(patience.pause_s(tried))
            else:
                return


def _holders(watch: Watch) -> tuple[str, str]:
    who = "; ".join(watch.seen)
    if not who:
        return "who held it was not seen.", "未能看到占用者。"
    return f"it was held by {who}.", f"占用者: {who}。"


def _blocked(at: str | None, tried: int, began: float, watch: Watch) -> MigrationFault:
    en, zh = _holders(watch)
    took = time.monotonic() - began
    return MigrationFault(
        f"The migration after {at or 'nothing'} could not get its lock in {tried} tries ({took:.0f} s): {en} End that "
        "session, or wait until it has ended, and run `zaicun migrate` again; nothing is half done.",
        f"{at or '空库'} 之后的迁移重试 {tried} 次 ({took:.0f} 秒) 仍未取得锁: {zh} 请结束该会话或待其结束后重新运行 "
        "`zaicun migrate`, 数据库没有停在半途。",
    )


@contextmanager
def _alone(connection: sa.Connection, patience: Patience, tell: Say) -> Iterator[None]:
    """Hold the lock of migrations.

    It is asked for again and again instead of being waited for: CREATE INDEX CONCURRENTLY waits for every statement
    that is older, and a statement that waits for this lock would wait for the index: a deadlock.
    """
    end, told = time.monotonic() + patience.others_s, False
    while not _scalar(connection, f"SELECT pg_try_advisory_lock({_ONE_AT_A_TIME})"):
        if time.monotonic() > end:
            raise MigrationFault(
                f"Another migration of this database has been running for {patience.others_s:.0f} s.",
                f"另一个迁移已在此数据库上运行了 {patience.others_s:.0f} 秒。",
            )
        if not told:
            tell("Another migration of this database is running; waiting for it.")
            told = True
        time.sleep(0.2)
    try:
        yield
    finally:
        # A connection that broke has let go of the lock already.
        if not connection.invalidated and not connection.closed:
            connection.rollback()
            _scalar(connection, f"SELECT pg_advisory_unlock({_ONE_AT_A_TIME})")


def _scalar(connection: sa.Connection, query: str) -> bool:
    value = connection.execute(sa.text(query)).scalar_one()
    connection.commit()
    return bool(value)


def _has_extension(connection: sa.Connection, name: str) -> bool:
    query = sa.text("SELECT 1 FROM pg_extension WHERE extname = :name")
    return connection.execute(query, {"name": name}).first() is not None


# --- what the application role may do


def grant(connection: sa.Connection, app_role: str) -> None:
    """Give the application role exactly what the models declare: an append-only table gets no UPDATE (M14)."""
    quoted = connection.dialect.identifier_preparer.quote(app_role)
    connection.execute(sa.text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(sa.text(f"GRANT SELECT ON alembic_version TO {quoted}"))  # To refuse an old schema.
    for table, rights in db.grants(schema.METADATA).items():
        connection.execute(sa.text(f"REVOKE ALL ON {table} FROM {quoted}"))
        connection.execute(sa.text(f"GRANT {rights} ON {table} TO {quoted}"))
    for function in db.functions(schema.METADATA):
        connection.execute(sa.text(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC, {quoted}"))
        connection.execute(sa.text(f"GRANT EXECUTE ON FUNCTION {function} TO {quoted}"))


# --- which revision


def newest_revision(also: Sequence[Path] = ()) -> str:
    """Return the revision that this version of the product needs."""
    head = ScriptDirectory.from_config(configuration(also=also)).get_current_head()
    if head is None:
        raise LookupError("the product has no migrations")
    return head


def present_revision(connection: sa.Connection) -> str | None:
    """Return the revision that a database has; None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer(connection: sa.Connection, config: Config) -> bool:
    """Tell whether the database has a revision that this version does not know."""
    present = present_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return present is not None and present not in known


def _is_whole(connection: sa.Connection, config: Config) -> bool:
    """Tell whether the database has everything that the models speak of: an old revision has not, for a while."""
    line = ScriptDirectory.from_config(config).iterate_revisions(
        present_revision(connection) or "base", "base"
    )
    return newest_revision() in {script.revision for script in line}


def misfit(connection: sa.Connection, config: Config | None = None) -> MigrationFault | None:
    """Return why this version cannot use the database's schema; None when it can.

    It can when the schema is the version's own, or a newer one of which every later migration says that it works with
    this version (server.revisions). Older schemas are migrated first.
    """
    asked = config or configuration()
    have, want = present_revision(connection), ScriptDirectory.from_config(asked).get_current_head() or ""
    if have == want:
        return None
    if not _is_newer(connection, asked):
        return MigrationFault(
            f"The database's schema is {have or 'missing'}, this version needs {want}. Run `zaicun migrate` as the owner.",
            f"数据库结构为 {have or '无'}, 本版本需要 {want}。请以属主运行 `zaicun migrate`。",
        )
    first = revisions.first_misfit(_applied(connection), want)
    if first is None:
        return None
    return MigrationFault(
        f"The database's schema is {have}, newer than this version's {want}, and {first} took away what this version "
        "needs. Run the newer version, or restore the backup that was made before the upgrade.",
        f"数据库结构 {have} 比本版本的 {want} 新, 且 {first} 已去除本版本所需的内容。请运行新版本, 或恢复升级前的备份。",
    )


def _applied(connection: sa.Connection) -> list[Applied]:
    """Return what the database says it has had; nothing where a database of something else has no such table."""
    if not sa.inspect(connection).has_table(revisions.SchemaRevision.__tablename__):
        return []
    return [Applied(row[0], row[1]) for row in connection.execute(revisions.applied_query())]
