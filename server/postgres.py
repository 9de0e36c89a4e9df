"""PostgreSQL's own programs and processes, as server/cluster.py needs them: found, run, watched and ended.

Every server program runs as the account that owns the cluster; root drops to it before the program starts. Writing
by root happens only in folders of root's own, never in one that the server's account could have prepared.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

EXTENSIONS = ("postgis", "btree_gist")
_LEAST_POSTGRESQL = 15
_LEAST_POSTGIS = (3, 3)
_SERVERS = Path("/usr/lib/postgresql")
_SHARED = Path("/usr/share/postgresql")
_ELSEWHERE = Path("/var/lib/zaicun")
_INITDB_S = 300
_FULL_BYTES = 32 * 2**20  # Two WAL segments; with less the server cannot recover.
_ORPHANS_LEAVE_BY_THEMSELVES_S = 3.0
_FAST_SHUTDOWN_S = 60

# For two cores and a few gigabytes; what a district needs. An operator's own figures go to local.conf beside it.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    # Files in the data folder: containers have a small /dev/shm, and systemd-logind (RemoveIPC) empties it when
    # the account logs out, under the feet of a server that goes on.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, YMD",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_line_prefix": "%m [%p] %u@%d ",
    # A statement or a DETAIL line may carry a name, a telephone number or a place (security.md M18).
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class ClusterError(Exception):
    """The embedded database cannot be had. The text says why and what to do, in English and Chinese."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(f"{en}\n{zh}")
        self.en = en
        self.zh = zh


# --- places and accounts -------------------------------------------------------------------------------------------


def home_below(root: Path) -> Path:
    """Return the folder of the cluster of `root`, links resolved; it need not exist yet."""
    seen = Path(os.path.abspath(root)) / "postgres"  # noqa: PTH100  # resolve() would follow the link too early.
    if any(ord(character) < ord(" ") for character in str(seen)):
        raise ClusterError(
            f"{str(seen)!r} has control characters in its name.", f"{str(seen)!r} 路径含控制字符。"
        )
    if os.geteuid() != 0 or seen.exists() or seen.is_symlink():
        return seen.resolve()
    standing = next(folder for folder in (seen.parent, *seen.parents) if folder.exists())
    if _enters(_server_account(), standing):
        return seen.resolve()
    return _ELSEWHERE / hashlib.sha256(os.fsencode(seen.resolve())).hexdigest()[:16]


def make_home(root: Path, home: Path) -> None:
    """Make the folder `home` of the cluster of `root`, with the link to it where it lies elsewhere."""
    for folder in (root, *((_ELSEWHERE,) if home.parent == _ELSEWHERE else ()), home):
        if not folder.exists():
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
                folder.chmod(0o711)  # The server's account passes through; others see no names.
    seen = root / "postgres"
    if seen.resolve() != home:
        with contextlib.suppress(FileExistsError):
            seen.symlink_to(home)


def account_of(data: Path) -> pwd.struct_passwd:
    """Return the account that runs the server of `data`: its owner, or for a new one ours (root: postgres)."""
    try:
        owner = data.stat().st_uid
    except FileNotFoundError:
        return _server_account()
    except PermissionError as fault:
        raise _another_account(data) from fault
    if os.geteuid() not in {0, owner}:
        raise _another_account(data)
    return pwd.getpwuid(owner)


def _server_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ClusterError(
            "The account that would run the database is not in the system's account list; run bin/setup.",
            "系统中没有运行数据库的账户, 请先运行 bin/setup。",
        ) from None


def _another_account(data: Path) -> ClusterError:
    return ClusterError(
        f"The database in {data} belongs to another account. Run as that account or as root.",
        f"{data} 的数据库属于另一账户, 请用该账户或 root 运行。",
    )


def private_folder(folder: Path, account: pwd.struct_passwd) -> None:
    """Make `folder` for `account` alone (0700), or refuse one that is not: a stranger may have prepared it."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if os.geteuid() != account.pw_uid:
            os.chown(folder, account.pw_uid, account.pw_gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.pw_uid or found.st_mode & 0o077:
        raise ClusterError(
            f"{folder} must be a folder of {account.pw_name} with permissions 0700. Remove it and try again.",
            f"{folder} 须为 {account.pw_name} 所有、权限 0700 的目录, 请删除后重试。",
        )


def _enters(account: pwd.struct_passwd, folder: Path) -> bool:
    """Return whether `account` may enter `folder`, asked of the kernel so that every kind of permission counts."""
    return _run(account, ["/usr/bin/test", "-x", str(folder)]).returncode == 0


def require_space(folder: Path, needed: int) -> None:
    """Raise :class:`ClusterError` when the file system of `folder` has less than `needed` bytes free."""
    if shutil.disk_usage(folder).free < needed:
        raise disk_full(folder)


def disk_full(folder: Path) -> ClusterError:
    """Return the error for a full disk."""
    return ClusterError(
        f"The disk of {folder} is full: free some space and start again. What was stored is safe.",
        f"{folder} 所在磁盘已满, 请腾出空间后重试; 已存数据不受影响。",
    )


# --- programs ------------------------------------------------------------------------------------------------------


def binaries(major: int | None = None) -> Path:
    """Return the bin folder of the newest packaged server that has the extensions, or of version `major`.

    Not the `postgres` on the PATH: a machine may have another build there, without PostGIS (rulings 27).
    """
    found = {
        int(folder.parent.name): folder
        for folder in _SERVERS.glob("*/bin")
        if folder.parent.name.isdigit() and _complete(folder, int(folder.parent.name))
    }
    if major is not None and major not in found:
        raise ClusterError(
            f"This database was made by PostgreSQL {major}, which is not installed (any more) with PostGIS. Run: "
            f"apt-get install postgresql-{major}-postgis-3",
            f"该数据库由 PostgreSQL {major} 创建, 本机没有该版本及 PostGIS, 请安装 postgresql-{major}-postgis-3。",
        )
    if not found:
        raise ClusterError(
            f"No PostgreSQL {_LEAST_POSTGRESQL} or newer with PostGIS 3.3 or newer is installed; run bin/setup.",
            f"未安装 PostgreSQL {_LEAST_POSTGRESQL}+ 与 PostGIS 3.3+, 请先运行 bin/setup。",
        )
    return found[major if major is not None else max(found)]


def _complete(folder: Path, major: int) -> bool:
    controls = [_SHARED / str(major) / "extension" / f"{name}.control" for name in EXTENSIONS]
    programs = [folder / name for name in ("initdb", "postgres", "pg_ctl")]
    if major < _LEAST_POSTGRESQL or not all(path.exists() for path in (*controls, *programs)):
        return False
    version = re.search(r"default_version = '(\d+)\.(\d+)", controls[0].read_text())
    return version is not None and (int(version[1]), int(version[2])) >= _LEAST_POSTGIS


def _run(
    account: pwd.struct_passwd, command: Sequence[str], *, inherit: int | None = None, wait_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program as `account` with a clean environment, in a session of its own, away from our terminal."""
    drop = os.geteuid() != account.pw_uid
    return subprocess.run(  # noqa: S603  # Fixed programs of the system; arguments are never read by a shell.
        command,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": account.pw_dir},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=wait_s,
        start_new_session=True,  # Ctrl-C is for us, not for the database.
        umask=0o077,
        pass_fds=() if inherit is None else (inherit,),
        user=account.pw_uid if drop else None,
        group=account.pw_gid if drop else None,
        extra_groups=[] if drop else None,
    )


def initialise(data: Path, account: pwd.struct_passwd, *, superuser: str, sync: bool, inherit: int) -> None:
    """Run initdb in the empty private folder `data`: C.UTF-8, UTF8, data checksums."""
    command = [str(binaries() / "initdb"), "-D", str(data), "-U", superuser, "--data-checksums"]
    command += ["--encoding=UTF8", "--locale-provider=libc", "--locale=C.UTF-8", "--no-instructions"]
    command += ["--auth-local=peer", "--auth-host=reject", *([] if sync else ["--no-sync"])]
    done = _run(account, command, inherit=inherit, wait_s=_INITDB_S)
    if done.returncode != 0:
        if "No space left" in done.stdout:
            raise disk_full(data.parent)
        tail = done.stdout.strip()[-800:]
        raise ClusterError(f"initdb failed:\n{tail}", "数据库初始化失败, 原因见上。")


def write_configuration(
    home: Path, settings: Mapping[str, str], account: pwd.struct_passwd, may_act_as: Sequence[tuple[str, str]]
) -> None:
    """Write postgresql.conf, pg_hba.conf and pg_ident.conf to `home`, anew at every start.

    initdb's own file is read first (it holds what initdb measured), an operator's local.conf last.
    """
    given = {**settings, "hba_file": str(home / "pg_hba.conf"), "ident_file": str(home / "pg_ident.conf")}
    lines = [
        "include 'data/postgresql.conf'",
        *(f"{name} = {_quoted(value)}" for name, value in given.items()),
    ]
    _write(home / "postgresql.conf", [*lines, "include_if_exists 'local.conf'"])
    _write(home / "pg_hba.conf", ["local all all peer map=zaicun", "local replication all peer map=zaicun"])
    _write(home / "pg_ident.conf", [f'zaicun "{system}" {role}' for system, role in may_act_as])
    if not _enters(account, home):
        raise ClusterError(
            f"The account {account.pw_name} cannot enter {home}: give it permission to pass (chmod o+x) through the "
            "folders above.",
            f"账户 {account.pw_name} 无法进入 {home}, 请为上级目录加通过权限 (chmod o+x)。",
        )


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text(
        "# Written by zaicun at every start of the database.\n" + "\n".join(lines) + "\n", "utf-8"
    )
    path.chmod(0o644)


def spawn(home: Path, data: Path, account: pwd.struct_passwd, *, inherit: int) -> None:
    """Start the server and return at once.

    `inherit` is a locked file: every process of this server holds it until it ends, whatever kills which of them,
    so who gets the lock knows that none is left. The shell only detaches; paths reach it as arguments.
    """
    server = str(binaries(major_of(data)) / "postgres")
    detach = '"$@" >>"$0" 2>&1 </dev/null &'
    log = str(home / "log" / "start.log")
    command = ["/bin/sh", "-c", detach, log, server, "-D", str(data)]
    _run(account, [*command, "-c", f"config_file={home / 'postgresql.conf'}"], inherit=inherit)


def shut_down(data: Path, account: pwd.struct_passwd) -> None:
    """Stop the server fast (transactions roll back, a checkpoint is written); return when all have ended."""
    command = [str(binaries(major_of(data)) / "pg_ctl"), "stop", "-D", str(data), "-m", "fast"]
    done = _run(account, [*command, "-t", str(_FAST_SHUTDOWN_S)], wait_s=_FAST_SHUTDOWN_S + 30)
    end = time.monotonic() + _FAST_SHUTDOWN_S
    while processes_in(data):
        end_orphans(data)
        if time.monotonic() > end:
            raise ClusterError(f"The database does not stop: {done.stdout.strip()}", "数据库未能停止。")
        time.sleep(0.03)


def major_of(data: Path) -> int:
    """Return the major version that made `data`."""
    return int((data / "PG_VERSION").read_text())


# --- processes and locks -------------------------------------------------------------------------------------------


def processes_in(data: Path) -> list[int]:
    """Return the process ids whose working directory is `data`: the server's own processes and nobody else's."""
    try:
        wanted = data.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  # Names are all that is needed, thousands of times.
        if entry.isdigit():
            with contextlib.suppress(OSError):  # It ended meanwhile, or it is another account's.
                if os.path.samestat(os.stat(f"/proc/{entry}/cwd"), wanted):  # noqa: PTH116  # As above.
                    found.append(int(entry))
    return found


def postmaster_pid(data: Path) -> int | None:
    """Return the process id of the living postmaster of `data`, or None. A reused id is not mistaken for it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        return pid if pid in processes_in(data) else None
    return None


def end_orphans(data: Path) -> None:
    """End the processes that a killed postmaster left behind; a living postmaster is left alone.

    They leave by themselves when they notice; the next server cannot start before all are gone.
    """
    end = time.monotonic() + _ORPHANS_LEAVE_BY_THEMSELVES_S
    while (left := processes_in(data)) and postmaster_pid(data) is None:
        for pid in left if time.monotonic() > end else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.03)


def clear_stale_locks(data: Path, socket: Path, port: int) -> None:
    """Remove what a dead server left: after a reboot its process id may belong to a stranger.

    Only for a caller that knows no process of this server lives.
    """
    for path in (data / "postmaster.pid", socket / f".s.PGSQL.{port}.lock", socket / f".s.PGSQL.{port}"):
        path.unlink(missing_ok=True)


def explain_failure(log: Path, home: Path) -> NoReturn:
    """Raise :class:`ClusterError` with the last lines that the server wrote before it ended."""
    newest = sorted(log.glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = [line for path in newest[-2:] for line in path.read_text(errors="replace").splitlines()[-8:]]
    tail = "\n".join(lines)
    # A full disk has many voices ("wrote only 4096 of 8192 bytes"), so the disk itself is asked too.
    if "No space left" in tail or shutil.disk_usage(home).free < _FULL_BYTES:
        raise disk_full(home)
    raise ClusterError(
        f"The database in {home} did not start. Its last words:\n{tail}",
        f"{home} 的数据库未能启动, 日志末尾见上。",
    )


def lock_file(path: Path) -> int:
    """Open a lock file that is not a link and not inherited; return its descriptor."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except PermissionError as fault:
        raise _another_account(path.parent) from fault


@contextlib.contextmanager
def opened_lock(path: Path) -> Iterator[int]:
    """Open a lock file for the block."""
    descriptor = lock_file(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def locked_now(descriptor: int) -> bool:
    """Try to take the exclusive lock without waiting; return whether it is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
