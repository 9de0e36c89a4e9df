"""The embedded cluster, on real servers in folders of their own (rulings 27, 28; security.md M5)."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from server import cluster as cluster_module
from server import postgres
from server.cluster import APP_ROLE, DATABASE, OWNER_ROLE, Cluster, ClusterError, ensure

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another account")

NewRoot = Callable[[], Path]


@pytest.fixture(scope="module")
def new_root() -> Iterator[NewRoot]:
    """Make folders that the server's account can enter; afterwards their servers are stopped and they are gone."""
    made: list[Path] = []

    def make() -> Path:
        # Not tmp_path: its parents are closed to the account that root drops to.
        top = Path(tempfile.mkdtemp(prefix="zaicun-test-"))
        top.chmod(0o711)
        made.append(top)
        return top / "var"

    yield make
    for top in made:
        for found in top.rglob("start.lock"):
            cluster_module.stop(found.parent.parent)
        shutil.rmtree(top)


@pytest.fixture(scope="module")
def durable(new_root: NewRoot) -> Iterator[Cluster]:
    with ensure(new_root()) as running:
        yield running


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def postmaster(cluster: Cluster) -> int:
    pid = cluster.status().pid
    assert pid is not None
    return pid


def remember(cluster: Cluster, what: str) -> None:
    with psycopg.connect(cluster.owner_dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (what text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [what])


def remembered(cluster: Cluster) -> list[str]:
    with psycopg.connect(cluster.owner_dsn) as connection:
        return [row[0] for row in connection.execute("SELECT what FROM kept ORDER BY what")]


def in_another_process(root: Path, code: str) -> "subprocess.Popen[str]":
    text = (
        f"from pathlib import Path\nfrom server.cluster import *\nfrom server import cluster as cm\n"
        f"cluster = ensure(Path({str(root)!r}))\n{code}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=PROJECT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def as_nobody(cluster: Cluster, role: str) -> "subprocess.CompletedProcess[str]":
    client = postgres.binaries() / "psql"
    return subprocess.run(
        [str(client), "-Xqtc", "SELECT 1", cluster.dsn(role)],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("timezone", "UTC"),
        ("max_connections", "100"),
        ("jit", "off"),
    ],
)
def test_the_default_is_durable_and_closed_to_the_network(
    durable: Cluster, setting: str, expected: str
) -> None:
    assert value(durable.app_dsn, f"SHOW {setting}") == expected


def test_text_sorts_by_code_point_on_every_machine(durable: Cluster) -> None:
    with psycopg.connect(durable.app_dsn) as connection:
        chosen = connection.execute(
            "SELECT datcollate, datctype, datlocprovider::text FROM pg_database WHERE datname = %s",
            [DATABASE],
        ).fetchone()
    assert chosen == ("C.UTF-8", "C.UTF-8", "c")


def test_the_service_role_owns_nothing_and_cannot_grow(durable: Cluster) -> None:
    powers = "rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication"
    query = f"SELECT true IN ({powers}) FROM pg_roles WHERE rolname = current_user"  # noqa: S608  # Fixed text.
    assert value(durable.app_dsn, query) is False
    for denied in (
        "CREATE TABLE t ()",
        "CREATE TEMP TABLE t ()",
        "CREATE SCHEMA s",
        f"SET ROLE {OWNER_ROLE}",
    ):
        with (
            psycopg.connect(durable.app_dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(denied)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert value(durable.app_dsn, owner) == OWNER_ROLE


def test_the_extensions_of_the_schema_are_there(durable: Cluster) -> None:
    assert value(durable.app_dsn, "SELECT ST_Distance('POINT(0 0)'::geometry, 'POINT(3 4)')") == 5
    with psycopg.connect(durable.owner_dsn) as connection:
        connection.execute(
            "CREATE TABLE spans (who int, span daterange, EXCLUDE USING gist (who WITH =, span WITH &&))"
        )
        connection.rollback()


@pytest.mark.slow
def test_a_running_server_is_used_and_the_last_one_out_stops_it(new_root: NewRoot) -> None:
    root = new_root()
    first = ensure(root, durable=False)
    second = ensure(root, durable=False)
    assert postmaster(first) == postmaster(second)
    first.release()
    assert second.status().running
    assert value(second.app_dsn, "SELECT 1") == 1
    second.release()
    assert not second.status().running
    assert postgres.processes_in(second.data) == []


@pytest.mark.slow
def test_db_start_keeps_the_server_until_db_stop(durable: Cluster, new_root: NewRoot) -> None:
    root = new_root()
    assert cluster_module.stop(root) is False
    assert not root.exists()  # Asking to stop what never was makes nothing.
    told: list[str] = []
    started = cluster_module.start(root, say=told.append)
    assert started.running
    assert started.kept
    assert told == ["creating the private database cluster", "starting the database"]
    with ensure(root):
        pass
    assert Cluster(root).status().pid == started.pid
    assert cluster_module.stop(root) is True
    assert not Cluster(root).status().running
    assert durable.status().running  # Another cluster on the machine is not touched.


def test_one_process_leaving_does_not_stop_the_server_of_another(durable: Cluster) -> None:
    root = durable.home.parent
    before = postmaster(durable)
    other = in_another_process(root, "print(cluster.status().pid); cluster.release()")
    assert other.communicate(timeout=60)[0].strip() == str(before)
    assert postmaster(durable) == before


@pytest.mark.slow
def test_a_user_that_was_killed_no_longer_counts(new_root: NewRoot) -> None:
    root = new_root()
    killed = in_another_process(root, "print('up', flush=True); input()")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "up\n"
    killed.kill()
    killed.communicate()
    with ensure(root) as left_over:
        assert value(left_over.app_dsn, "SELECT 1") == 1
    assert not left_over.status().running


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["the head alone", "every process"])
def test_committed_rows_survive_kill_9(new_root: NewRoot, killed: str) -> None:
    root = new_root()
    cluster = ensure(root)
    with psycopg.connect(
        cluster.app_dsn
    ):  # A busy backend must not outlive its head and block the next start.
        remember(cluster, "acknowledged")
        head = postmaster(cluster)
        for pid in [head] if killed == "the head alone" else postgres.processes_in(cluster.data):
            os.kill(pid, signal.SIGKILL)
        with ensure(root) as again:
            assert postmaster(again) != head
            assert remembered(again) == ["acknowledged"]
            remember(again, "later")
            assert remembered(again) == ["acknowledged", "later"]
    cluster.release()


@pytest.mark.slow
def test_a_process_id_reused_after_a_reboot_does_not_block_the_start(new_root: NewRoot) -> None:
    root = new_root()
    cluster = ensure(root)
    remember(cluster, "before the reboot")
    pid_file = (cluster.data / "postmaster.pid").read_text().splitlines()
    for pid in postgres.processes_in(cluster.data):
        os.kill(pid, signal.SIGKILL)
    while postgres.processes_in(cluster.data):
        time.sleep(0.02)
    account = cluster.account.pw_uid if AS_ROOT else None
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=account, cwd="/")
    try:
        stale = "\n".join([str(stranger.pid), *pid_file[1:]]) + "\n"
        (cluster.data / "postmaster.pid").write_text(stale)
        (cluster.socket / ".s.PGSQL.5432.lock").write_text(stale)
        with ensure(root) as again:
            assert remembered(again) == ["before the reboot"]
        assert stranger.poll() is None  # Nobody's process but the server's own is ever ended.
    finally:
        stranger.kill()
        stranger.wait()
        cluster.release()


@pytest.mark.slow
def test_many_at_once_make_one_server(new_root: NewRoot) -> None:
    root = new_root()
    everyone = [
        in_another_process(root, "print(cluster.status().pid, flush=True); input()") for _ in range(5)
    ]
    pids = set()
    for one in everyone:
        assert one.stdout is not None
        pids.add(one.stdout.readline())
    assert len(pids) == 1
    assert pids != {"\n"}
    for one in everyone:
        one.communicate("\n", timeout=60)
        assert one.returncode == 0


@only_root
def test_root_drops_to_an_account_without_power(durable: Cluster) -> None:
    assert durable.account.pw_name == "postgres"
    seen = set()
    for pid in postgres.processes_in(durable.data):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # An autovacuum worker that ended since it was listed.
        ids = re.search(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)", status, re.MULTILINE)
        assert ids is not None
        assert set(ids.groups()) == {str(durable.account.pw_uid)}
        seen.add(pid)
    assert durable.status().pid in seen
    assert durable.data.stat().st_uid == durable.account.pw_uid


@pytest.mark.slow
@only_root
def test_another_account_of_the_machine_cannot_get_in(new_root: NewRoot) -> None:
    with ensure(new_root(), durable=False) as cluster:
        closed = as_nobody(cluster, APP_ROLE)
        assert closed.returncode != 0
        assert "Permission denied" in closed.stderr
        # The second wall: were the folder opened by mistake, the server would still ask the kernel who calls.
        cluster.socket.chmod(0o755)
        (cluster.socket / ".s.PGSQL.5432").chmod(0o777)
        for role in (APP_ROLE, OWNER_ROLE, "postgres"):
            refused = as_nobody(cluster, role)
            assert refused.returncode != 0
            assert "Peer authentication failed" in refused.stderr
        cluster.socket.chmod(0o700)


@pytest.mark.slow
@only_root
def test_a_socket_folder_prepared_by_a_stranger_is_refused(new_root: NewRoot) -> None:
    root = new_root()
    home = root / "postgres"
    home.mkdir(parents=True, mode=0o711)
    trap = home / "run"
    trap.mkdir(mode=0o700)
    os.chown(trap, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(ClusterError, match="must be a folder of postgres"):
        ensure(root, durable=False)
    trap.rmdir()
    trap.symlink_to("/tmp")  # noqa: S108  # A place that a stranger can write.
    with pytest.raises(ClusterError, match="must be a folder of postgres"):
        ensure(root, durable=False)


@pytest.mark.slow
@only_root
def test_a_project_in_roots_own_folder_works(new_root: NewRoot) -> None:
    closed = new_root().parent
    closed.chmod(0o700)  # As /root is.
    root = closed / "var"
    cluster = ensure(root, durable=False)
    try:
        assert value(cluster.app_dsn, "SELECT 1") == 1
        assert cluster.home.parent == Path("/var/lib/zaicun")
        assert (root / "postgres").resolve() == cluster.home
        assert Cluster(root).home == cluster.home
    finally:
        cluster.destroy()
    assert not cluster.home.exists()


def test_system_clusters_are_not_touched(durable: Cluster) -> None:
    lister = shutil.which("pg_lsclusters")
    if lister is None:
        assert not Path("/etc/postgresql").exists()
        return
    listed = subprocess.run([lister], check=True, capture_output=True, text=True).stdout
    assert str(durable.home) not in listed
    with ensure(durable.home.parent):
        assert subprocess.run([lister], check=True, capture_output=True, text=True).stdout == listed


@pytest.mark.slow
def test_the_environment_cannot_lead_to_another_server(
    durable: Cluster, new_root: NewRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = new_root().parent / "wrong"
    wrong.mkdir()
    for program in ("postgres", "initdb", "pg_ctl"):
        (wrong / program).write_text("#!/bin/sh\nexit 1\n")
        (wrong / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrong}:{os.environ['PATH']}")
    for name, text in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGHOST": "192.0.2.1",
        "PGUSER": "nobody",
    }.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("LC_ALL", "tlh_QO")
    with ensure(wrong.parent / "var", durable=False) as cluster:
        assert value(cluster.app_dsn, "SELECT current_user") == APP_ROLE
        assert cluster.status().pid != durable.status().pid


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["在村 驻村 干部", 'it\'s "quoted" $HOME `id` \\ %h 100%', "a,b", "深" * 60],
    ids=["chinese and spaces", "quotes and signs", "comma", "deeper than a socket may lie"],
)
def test_any_folder_name_will_do(new_root: NewRoot, name: str) -> None:
    root = new_root() / name / "var"
    with ensure(root, durable=False) as cluster:
        assert value(cluster.app_dsn, "SELECT 1") == 1
        assert len(os.fsencode(cluster.socket / ".s.PGSQL.5432")) <= 107
        assert cluster.data.is_relative_to(root)
    cluster.destroy()
    assert not cluster.socket.exists()


def test_a_name_with_control_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="control characters"):
        ensure(tmp_path / "new\nline")


@pytest.mark.slow
def test_an_interrupted_creation_is_begun_again(new_root: NewRoot) -> None:
    root = new_root()
    killed = in_another_process(root, "")
    aside = root / "postgres" / "data.new"
    while not (aside / "base").exists():
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert not (root / "postgres" / "data").exists()
    with ensure(root) as cluster:
        assert value(cluster.app_dsn, "SELECT 1") == 1
        assert not aside.exists()


@pytest.mark.slow
def test_a_throwaway_cluster_is_never_taken_for_a_durable_one(durable: Cluster, new_root: NewRoot) -> None:
    root = new_root()
    with ensure(root, durable=False) as thrown:
        assert value(thrown.app_dsn, "SHOW fsync") == "off"
        with pytest.raises(ClusterError, match="is a throwaway cluster"):
            ensure(root)
    with pytest.raises(ClusterError, match="is a durable cluster"):
        ensure(durable.home.parent, durable=False)
    for held in (durable, Cluster(durable.home.parent, durable=False)):
        with pytest.raises(ClusterError, match="not deleted"):
            held.destroy()
    assert durable.status().running


def test_a_copy_of_a_template_belongs_to_the_owner_and_lets_the_service_in(durable: Cluster) -> None:
    durable.create_database("template_of_test")
    with psycopg.connect(durable.dsn(OWNER_ROLE, "template_of_test")) as connection:
        connection.execute("CREATE TABLE villages (shape geometry(Point, 4326))")
        connection.execute(f"GRANT SELECT ON villages TO {APP_ROLE}".encode())
    copy = durable.create_database("copy_of_test", template="template_of_test")
    assert value(copy, "SELECT count(*) FROM villages") == 0
    assert value(copy, "SELECT has_database_privilege('public', current_database(), 'CONNECT')") is False
    with psycopg.connect(copy):
        durable.drop_database("copy_of_test")  # A forgotten connection does not hold it.
    durable.drop_database("template_of_test")
    durable.drop_database("template_of_test")
    with pytest.raises(ValueError, match="product's database"):
        durable.drop_database(DATABASE)


def test_the_log_keeps_no_values(durable: Cluster) -> None:
    canary = "13800138000-canary"
    with psycopg.connect(durable.owner_dsn) as connection:
        connection.execute("CREATE TEMP TABLE phones (number text UNIQUE)")
        connection.execute("INSERT INTO phones VALUES (%s)", [canary])
        with pytest.raises(psycopg.errors.UniqueViolation, match=canary):
            connection.execute("INSERT INTO phones VALUES (%s)", [canary])
    logged = "".join(path.read_text() for path in durable.log.glob("*.log"))
    assert "phones_number_key" in logged
    assert canary not in logged


def test_a_missing_server_version_is_named(durable: Cluster) -> None:
    assert postgres.binaries().is_relative_to("/usr/lib/postgresql")
    with pytest.raises(ClusterError, match="postgresql-9-postgis-3"):
        postgres.binaries(9)
    with pytest.raises(ClusterError) as told:
        postgres.explain_failure(durable.log, durable.home)
    assert "未能启动" in str(told.value)


@pytest.fixture
def small_disk(new_root: NewRoot) -> Iterator[Path]:
    """A file system of 420 MB; needs root and the right to mount."""
    place = new_root()
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=420m,mode=711", "tmpfs", str(place)]
    if not AS_ROOT or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield place
    cluster_module.stop(place / "var")
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_named_and_loses_nothing(small_disk: Path) -> None:
    root = small_disk / "var"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200 * 2**20)
    with pytest.raises(ClusterError, match=r"(?s)disk .* is full.*磁盘已满"):
        ensure(root)
    ballast.unlink()
    cluster = ensure(root)
    remember(cluster, "acknowledged")
    for pid in postgres.processes_in(cluster.data):
        os.kill(pid, signal.SIGKILL)
    with ballast.open("wb") as filling, contextlib.suppress(OSError):
        while True:
            filling.write(b"x" * 2**20)
    assert shutil.disk_usage(small_disk).free < 2**20
    with pytest.raises(ClusterError, match="is full"):
        ensure(root)
    ballast.unlink()
    with ensure(root) as again:
        assert remembered(again) == ["acknowledged"]
    cluster.release()
    assert not cluster.status().running
