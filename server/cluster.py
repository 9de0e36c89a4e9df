"""The embedded database: a private PostgreSQL cluster under ``var/postgres``, reached by a unix socket alone.

Used only when ``ZAICUN_DATABASE_URL`` is not set. The server binaries are those of the distribution's packages
(rulings 27), the settings are durable, the locale is C.UTF-8, data checksums are on, and no system cluster is
looked at or touched.

Who gets in: the socket's folder belongs to the account that runs the server and is closed to others (0700), and
the server asks the kernel who is calling (``peer``): only that account and root may act as the three roles below.
The client asks back (``requirepeer``), so nobody can stand in for the server either. There is no password.

Who stops it: whoever calls :func:`ensure` holds a shared lock until :meth:`Cluster.release`; the last one out
stops the server. A user that died holds no lock, so a server left running is simply used again, by whom it is
then also stopped. ``zaicun db start`` (:func:`start`) keeps the server until ``zaicun db stop`` (:func:`stop`).

Where it lies: ``var/postgres/{data,run,log}``. Run by root, the server drops to ``postgres``, which cannot enter
every folder (such as /root): then ``var/postgres`` is a link to a folder in /var/lib/zaicun. A socket's path may
have 107 bytes; in a deeper ``var`` the socket lies in a private folder of /run (root) or /tmp instead.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import pq, sql
from psycopg.errors import DiskFull

from server import postgres
from server.postgres import ClusterError

__all__ = [
    "APP_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "Cluster",
    "ClusterError",
    "Status",
    "ensure",
    "start",
    "stop",
]

SUPERUSER = "postgres"
OWNER_ROLE = "zaicun_owner"  # Owns the database and its tables; migrations connect with it (rulings 28).
APP_ROLE = "zaicun_app"  # Owns nothing and cannot bypass row security; the service connects with it.
DATABASE = "zaicun"
PORT = 5432  # Names the socket's file only: nothing listens on TCP.
SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path without its closing zero, unix(7).
_FREE_BYTES_FOR_A_NEW_CLUSTER = 300 * 2**20
_WAIT_FOR_OTHERS_S = 300.0
_WAIT_FOR_RECOVERY_S = 900.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Status:
    """What ``zaicun db status`` tells. `kept`: stays until ``zaicun db stop``; `data` may not exist yet."""

    running: bool
    kept: bool
    pid: int | None
    version: str | None
    data: Path
    log: Path
    socket: Path


class Cluster:
    """One private cluster. A context manager: leaving it is :meth:`release`."""

    def __init__(self, root: Path, *, durable: bool = True, say: Say | None = None) -> None:
        """Find the place of the cluster below `root` (``var``) without starting or creating a server."""
        self.root = root
        self.home = postgres.home_below(root)
        self.durable = durable
        self.say: Say = say or (lambda _line: None)
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.account = postgres.account_of(self.data)
        self.socket = _socket_folder(self.home, self.account)
        self._in_use: int | None = None

    # --- addresses -------------------------------------------------------------------------------------------

    def dsn(self, role: str = APP_ROLE, database: str = DATABASE) -> str:
        """Return a libpq URL for `role` in `database`; it holds no secret."""
        host, peer = quote(str(self.socket), safe=""), quote(self.account.pw_name, safe="")
        user, name = quote(role, safe=""), quote(database, safe="")
        return f"postgresql://{user}@/{name}?host={host}&port={PORT}&requirepeer={peer}"

    @property
    def app_dsn(self) -> str:
        """Return the address for the service: the role without ownership."""
        return self.dsn(APP_ROLE)

    @property
    def owner_dsn(self) -> str:
        """Return the address for migrations: the owner of database and tables."""
        return self.dsn(OWNER_ROLE)

    @property
    def superuser_dsn(self) -> str:
        """Return the address for bootstrap and for tests that need a superuser; nothing else uses it."""
        return self.dsn(SUPERUSER, "postgres")

    # --- life ------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Make, start and bootstrap what is missing, then count as a user until :meth:`release`.

        Raises :class:`ClusterError` with what to do, in English and Chinese.
        """
        postgres.make_home(self.root, self.home)
        with self._alone() as mutex:
            self._refuse_the_other_kind()
            self._build(mutex)
            self._bring_up()
            self._bootstrap()
            if self._in_use is None:
                self._in_use = postgres.lock_file(self.home / "users.lock")
                fcntl.flock(self._in_use, fcntl.LOCK_SH)

    def release(self) -> None:
        """Stop being a user; stop the server when nobody else uses it and nobody asked to keep it."""
        if self._in_use is None:
            return
        with self._alone():
            # Closing, not unlocking: a forked child shares this lock and may still be using the server.
            os.close(self._in_use)
            self._in_use = None
            with postgres.opened_lock(self.home / "users.lock") as users:
                if postgres.locked_now(users) and not self._kept.exists():
                    self._stop_server()

    def __enter__(self) -> Self:
        """Join unless :func:`ensure` already did."""
        if self._in_use is None:
            self.join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def keep(self) -> None:
        """Start the server and keep it running after its users have gone, until :meth:`stop`."""
        self.join()
        self._kept.touch()
        self.release()

    def stop(self) -> bool:
        """Stop the server now, whoever uses it (open transactions roll back). Return whether it was running."""
        if not self.home.exists():
            return False
        with self._alone():
            self._kept.unlink(missing_ok=True)
            return self._stop_server()

    def status(self) -> Status:
        """Look without changing anything."""
        version = self._version()
        pid = postgres.postmaster_pid(self.data) if version else None
        return Status(
            version is not None, self._kept.exists(), pid, version, self.data, self.log, self.socket
        )

    def destroy(self) -> None:
        """Stop and delete a throwaway cluster. Refused for a durable one: nothing here deletes people's records."""
        if self.durable or not self._throwaway.exists():
            raise ClusterError(
                f"{self.home} holds a durable database and is not deleted.",
                f"{self.home} 是持久数据库, 不予删除。",
            )
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    # --- databases for tests ---------------------------------------------------------------------------------

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create database `name`, empty with the extensions or as a copy of `template`; return its app address.

        Nobody may be connected to `template`. Grants on the database itself are not copied by PostgreSQL and are
        set again here. Raises psycopg.errors.DuplicateDatabase when it exists.
        """
        with psycopg.connect(self.superuser_dsn, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(OWNER_ROLE)
            )
            if template is not None:
                statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            connection.execute(statement)
            _grant(connection, name)
        if template is None:
            self._extend(name)
        return self.dsn(APP_ROLE, name)

    def drop_database(self, name: str) -> None:
        """Drop database `name` if it exists, cutting its connections. Refused for the product's own database."""
        if name == DATABASE:
            raise ValueError(f"{DATABASE} is the product's database")
        with psycopg.connect(self.superuser_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    # --- inside ----------------------------------------------------------------------------------------------

    @property
    def _kept(self) -> Path:
        return self.home / "kept"

    @property
    def _throwaway(self) -> Path:
        return self.home / "throwaway"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the lock under which the server is made, started and stopped."""
        with postgres.opened_lock(self.home / "start.lock") as mutex:
            end = time.monotonic() + _WAIT_FOR_OTHERS_S
            told = False
            while not postgres.locked_now(mutex):
                if time.monotonic() > end:
                    raise ClusterError(
                        f"Another process has been starting or stopping the database in {self.home} for minutes.",
                        f"另一进程启停 {self.home} 的数据库已达数分钟。",
                    )
                if not told:
                    self.say("waiting for another process to start the database")
                    told = True
                time.sleep(0.05)
            yield mutex

    def _refuse_the_other_kind(self) -> None:
        """Keep records out of a cluster whose fsync is off, and fsync-off settings away from records."""
        if self.data.exists() and self.durable == self._throwaway.exists():
            raise ClusterError(
                f"{self.home} is {'a throwaway' if self.durable else 'a durable'} cluster. Use another folder.",
                f"{self.home} 是{'测试用的临时' if self.durable else '持久'}数据库, 请换一个目录。",
            )

    def _build(self, mutex: int) -> None:
        """Initialise the cluster aside and rename it when complete: an interrupted run leaves nothing half.

        initdb holds our lock too, so when only we are killed the next one waits until initdb has left the folder.
        """
        for folder in (self.log, self.socket):
            postgres.private_folder(folder, self.account)
        if self.data.exists():
            return
        postgres.require_space(self.home, _FREE_BYTES_FOR_A_NEW_CLUSTER)
        self.say("creating the private database cluster")
        aside = self.home / "data.new"
        if aside.exists():
            shutil.rmtree(aside)
        postgres.private_folder(aside, self.account)
        postgres.initialise(aside, self.account, superuser=SUPERUSER, sync=self.durable, inherit=mutex)
        if self.durable:
            self._throwaway.unlink(missing_ok=True)
        else:
            self._throwaway.touch()
        aside.rename(self.data)
        postgres.sync_folder(self.home)

    def _bring_up(self) -> None:
        """Wait for the running server, or clear what a killed one left behind and start."""
        if self._answers():
            return
        server_lock = self.home / "server.lock"
        with postgres.opened_lock(server_lock) as lock:
            end = time.monotonic() + _WAIT_FOR_RECOVERY_S
            while not (postgres.locked_now(lock) and not postgres.processes_in(self.data)):
                # A server lives but does not answer: it starts, recovers, stops, or its head was killed.
                postgres.end_orphans(self.data)
                if self._answers():
                    return
                self._give_up_after(end)
                time.sleep(0.05)
            postgres.clear_stale_locks(self.data, self.socket, PORT)
            postgres.write_configuration(self.home, self._settings(), self.account, self._may_act_as())
            self.say("starting the database")
            postgres.spawn(self.home, self.data, self.account, inherit=lock)
        while not self._answers():
            with postgres.opened_lock(server_lock) as lock:
                if postgres.locked_now(lock):
                    postgres.explain_failure(self.log, self.home)
            self._give_up_after(end)
            time.sleep(0.03)

    def _give_up_after(self, end: float) -> None:
        if time.monotonic() > end:
            raise ClusterError(
                f"The database in {self.home} has not answered for {_WAIT_FOR_RECOVERY_S / 60:.0f} minutes; "
                f"its log is in {self.log}.",
                f"{self.home} 的数据库 {_WAIT_FOR_RECOVERY_S / 60:.0f} 分钟无应答, 日志在 {self.log}。",
            )

    def _stop_server(self) -> bool:
        was_running = bool(postgres.processes_in(self.data))
        if was_running:
            self.say("stopping the database")
            postgres.shut_down(self.data, self.account)
        return was_running

    def _answers(self) -> bool:
        """Return whether the server takes connections (not: whether ours would be let in)."""
        address = f"{self.superuser_dsn}&connect_timeout=10".encode()
        return pq.PGconn.ping(address) == pq.Ping.OK

    def _version(self) -> str | None:
        try:
            with psycopg.connect(self.superuser_dsn, connect_timeout=10, autocommit=True) as connection:
                row = connection.execute("SHOW server_version").fetchone()
        except psycopg.OperationalError:
            return None
        return str(row[0]) if row else None

    def _settings(self) -> dict[str, str]:
        durability = "on" if self.durable else "off"
        return {
            **postgres.SETTINGS,
            "unix_socket_directories": '"' + str(self.socket).replace('"', '""') + '"',
            "port": str(PORT),
            "log_directory": str(self.log),
            "fsync": durability,
            "synchronous_commit": durability,
            "full_page_writes": durability,
            **({} if self.durable else {"zaicun.throwaway": "yes"}),  # Read by server.durable.
        }

    def _may_act_as(self) -> list[tuple[str, str]]:
        """Return who may act as whom. Root could become that account anyway, so it is let in plainly."""
        accounts = sorted({self.account.pw_name, "root"})
        return [(name, role) for name in accounts for role in (SUPERUSER, OWNER_ROLE, APP_ROLE)]

    def _bootstrap(self) -> None:
        """Make roles, database and extensions once; every step may be repeated after an interruption."""
        done = self.home / "bootstrapped"
        if done.exists():
            return
        with psycopg.connect(self.superuser_dsn, autocommit=True) as connection:
            for role in (OWNER_ROLE, APP_ROLE):
                if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    connection.execute(
                        sql.SQL(
                            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
                        ).format(sql.Identifier(role))
                    )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE)
                    )
                )
            _grant(connection, DATABASE)
        self._extend(DATABASE)
        done.touch()

    def _extend(self, database: str) -> None:
        with psycopg.connect(self.dsn(SUPERUSER, database)) as connection:
            for name in postgres.EXTENSIONS:
                connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(name)))


def _grant(connection: psycopg.Connection, database: str) -> None:
    name, app = sql.Identifier(database), sql.Identifier(APP_ROLE)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, app))


def _socket_folder(home: Path, account: pwd.struct_passwd) -> Path:
    natural = home / "run"
    length = len(os.fsencode(natural / f".s.PGSQL.{PORT}.lock")) - len(".lock")
    # libpq reads a comma in a host as a list of hosts.
    if length <= SOCKET_PATH_BYTES and "," not in str(natural):
        return natural
    # Not XDG_RUNTIME_DIR: a service without a login session would look elsewhere than its user's shell.
    short = Path("/run" if os.geteuid() == 0 else "/tmp")  # noqa: S108  # private_folder() refuses another's folder.
    return short / f"zaicun-{account.pw_uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def ensure(root: Path, *, durable: bool = True, say: Say | None = None) -> Cluster:
    """Return the running cluster below `root` (``var``), made and started if need be; release it when done.

    `durable=False` is for throwaway clusters of tests alone: it turns fsync off and marks the folder, and a marked
    folder is refused where a durable cluster is wanted. `say` is told each step that takes time.
    """
    cluster = Cluster(root, durable=durable, say=say)
    try:
        cluster.join()
    except (OSError, psycopg.Error) as fault:
        if getattr(fault, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or isinstance(fault, DiskFull):
            raise postgres.disk_full(cluster.home) from fault
        raise ClusterError(
            f"The database in {cluster.home} cannot be used: {fault}",
            f"无法使用 {cluster.home} 的数据库: {fault}",
        ) from fault
    return cluster


def start(root: Path, *, say: Say | None = None) -> Status:
    """Start the cluster and keep it running until :func:`stop` (``zaicun db start``)."""
    cluster = Cluster(root, say=say)
    cluster.keep()
    return cluster.status()


def stop(root: Path, *, say: Say | None = None) -> bool:
    """Stop the cluster (``zaicun db stop``); return whether it was running."""
    return Cluster(root, say=say).stop()
