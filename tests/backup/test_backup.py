"""Backups on real databases: what goes in comes out, nothing is ever half, and what was put to rest stays so."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, Clone, Cloned, running_service
from factories_checkins import check_in, make_cadre, make_world
from psycopg import sql
from psycopg.conninfo import make_conninfo

from server import clock, migrate
from server.backup import archive, making
from server.cli import main
from server.cluster import Cluster
from server.lock_watch import MigrationFault

ENDED_BY_A_RESTORE = ("sessions", "audit_log", "receipt_epochs")


@dataclass
class Machine:
    """A database with its folder of keys, and the command on it."""

    cloned: Cloned
    var: Path

    @property
    def env(self) -> dict[str, str | None]:
        return {
            "ZAICUN_DATABASE_URL": self.cloned.app_url,
            "ZAICUN_OWNER_DATABASE_URL": self.cloned.owner_url,
            "ZAICUN_VAR": str(self.var),
        }

    def run(self, *words: object, said: str | None = None) -> Result:
        return CliRunner(env=self.env).invoke(main, [str(word) for word in words], input=said)

    def process(self, *words: object) -> subprocess.Popen[bytes]:
        given = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
        given |= {name: value for name, value in self.env.items() if value is not None}
        return subprocess.Popen(
            [sys.executable, "-c", "from server.cli import main; main()", *(str(word) for word in words)],
            env=given, cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def rows(self, table: str) -> list[str]:
        query = sql.SQL("SELECT t::text FROM public.{} AS t ORDER BY 1").format(sql.Identifier(table))
        with psycopg.connect(self.cloned.owner_url) as connection:
            return [str(text) for (text,) in connection.execute(query)]

    def everything(self) -> dict[str, list[str]]:
        with psycopg.connect(self.cloned.owner_url) as connection:
            tables = [str(name) for (name,) in connection.execute(making.TABLES)]
        return {name: self.rows(name) for name in tables}

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.cloned.owner_url, autocommit=True) as connection:
            connection.execute(statement.encode())


MakeMachine = Callable[[], Machine]


@pytest.fixture
def machine(clone: Clone, tmp_path: Path) -> MakeMachine:
    def make() -> Machine:
        return Machine(clone(), tmp_path / uuid4().hex[:8])

    return make


@pytest.fixture
def full(machine: MakeMachine) -> Machine:
    """A machine that served: a village, a cadre with a session, a check-in, keys."""
    made = machine()
    with running_service(made.cloned, made.var) as service:
        cadre = make_cadre(service, make_world(service))
        with service.as_(cadre.token) as phone:
            answer = phone.put(f"/v1/check-ins/{uuid4()}", json=check_in(clock.now()))
        assert answer.status_code == 201, answer.text
    return made


def backed_up(source: Machine, target: Path, *words: str) -> Path:
    result = source.run("backup", target, *words)
    assert result.exit_code == 0, result.output
    return target


@pytest.mark.slow
def test_what_goes_in_comes_out(full: Machine, machine: MakeMachine, tmp_path: Path) -> None:
    before = full.everything()
    assert len(before["checkin_rows"]) == 1
    file = backed_up(full, tmp_path / "one.backup")
    assert file.stat().st_mode & 0o777 == 0o600
    now = full.everything()
    noted = set(now.pop("job_runs")) - set(before["job_runs"])
    assert len(noted) == 1  # That it was made, which the backup itself cannot hold.
    assert now == {table: rows for table, rows in before.items() if table != "job_runs"}
    other = machine()
    result = other.run("restore", file)
    assert result.exit_code == 0, result.output
    assert "month verify" in result.output
    after = other.everything()
    for table in before:
        if table not in ENDED_BY_A_RESTORE:
            assert after[table] == before[table], table
    assert after["audit_log"][: len(before["audit_log"])] == before["audit_log"]
    assert len([row for row in after["audit_log"] if "backup:restore" in row]) == 1
    assert (len(before["receipt_epochs"]), len(after["receipt_epochs"])) == (1, 2)  # Ruling 26.
    assert set(before["receipt_epochs"]) < set(after["receipt_epochs"])
    keys = {path.name: path.read_bytes() for path in (full.var / "keys").glob("*.jwk")}
    assert len(keys) == 5
    assert {path.name: path.read_bytes() for path in (other.var / "keys").glob("*.jwk")} == keys
    with running_service(other.cloned, other.var) as service:  # It serves: the rights were granted anew.
        assert service.client.get("/readyz").status_code == 200


@pytest.mark.slow
def test_a_session_that_was_ended_after_the_backup_does_not_come_back_to_life(
    full: Machine, machine: MakeMachine, tmp_path: Path
) -> None:
    file = backed_up(full, tmp_path / "s.backup")
    live = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"
    for words, expected in ((), 0), (("--keep-sessions",), 1):
        other = machine()
        assert other.run("restore", file, *words).exit_code == 0
        with psycopg.connect(other.cloned.owner_url) as connection:
            assert connection.execute(live.encode()).fetchone() == (expected,), words


@pytest.mark.slow
def test_a_machine_that_has_only_just_been_installed_is_empty(
    full: Machine, machine: MakeMachine, tmp_path: Path
) -> None:
    file = backed_up(full, tmp_path / "n.backup")
    new = machine()
    new.execute(
        "INSERT INTO installation (one, kind, marked_at) VALUES (true, 'live', now()) ON CONFLICT DO NOTHING"
    )
    new.execute("INSERT INTO job_runs VALUES ('verify-months', '2026-11-22', '', now())")
    said = "INSERT INTO audit_log (at, deed, subject_kind, subject_id, details) VALUES (now(), '{}', 'day', 'x', '{{}}')"
    new.execute(said.format("job:verify-months"))
    assert "is empty" in new.run("restore", "--check", file).output
    new.execute(said.format("account:make"))
    assert "audit_log 2" in new.run("restore", "--check", file).output
    another = machine()
    another.execute(said.format("job:verify-months"))
    assert another.run("restore", file).exit_code == 0


@pytest.mark.slow
def test_the_keys_are_back_even_when_the_migration_has_to_be_run_again(
    full: Machine, machine: MakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backed_up(full, tmp_path / "k.backup")
    other = machine()

    def blocked(*_given: object, **_more: object) -> None:
        raise MigrationFault("somebody is in the way", "有人占用")

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "upgrade", blocked)
        result = other.run("restore", file)
    assert (result.exit_code, "somebody is in the way" in result.output) == (1, True)
    keys = {path.name: path.read_bytes() for path in (full.var / "keys").glob("*.jwk")}
    assert {path.name: path.read_bytes() for path in (other.var / "keys").glob("*.jwk")} == keys
    assert other.run("migrate").exit_code == 0
    assert len(other.rows("checkins")) == 1


@pytest.mark.slow
def test_a_database_in_use_is_replaced_only_when_told_so(
    full: Machine, machine: MakeMachine, tmp_path: Path
) -> None:
    file = backed_up(full, tmp_path / "r.backup")
    busy = machine()
    busy.execute("INSERT INTO units (id, name, version) VALUES (gen_random_uuid(), '某单位', 1)")
    before = busy.everything()
    refused = busy.run("restore", file)
    assert (refused.exit_code, "units 1" in refused.output, "--replace" in refused.output) == (1, True, True)
    assert busy.run("restore", file, "--replace", said="n\n").exit_code == 1
    checked = busy.run("restore", file, "--check")
    assert (checked.exit_code, "units 1" in checked.output) == (0, True)
    assert busy.everything() == before
    assert busy.run("restore", file, "--replace", "--yes").exit_code == 0
    assert len(busy.rows("checkins")) == 1
    assert not [row for row in busy.rows("units") if "某单位" in row]


@pytest.mark.slow
def test_nothing_is_restored_under_a_service_that_runs(
    full: Machine, machine: MakeMachine, tmp_path: Path
) -> None:
    file = backed_up(full, tmp_path / "u.backup")
    other = machine()
    with psycopg.connect(other.cloned.app_url, application_name="zaicun serve"):
        refused = other.run("restore", file)
    assert (refused.exit_code, "zaicun serve" in refused.output) == (1, True)


@pytest.mark.slow
def test_writes_during_a_backup_are_wholly_in_it_or_wholly_out(machine: MakeMachine, tmp_path: Path) -> None:
    busy, done = machine(), threading.Event()
    (busy.var / "keys").mkdir(parents=True)

    def write() -> None:
        pair = "INSERT INTO units (id, name, version) SELECT gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, 2)"
        with psycopg.connect(busy.cloned.owner_url, autocommit=True) as connection:
            while not done.is_set():
                connection.execute(pair.encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        file = backed_up(busy, tmp_path / "w.backup", "--without-keys")
    finally:
        done.set()
        writer.join()
    with archive.Reader(file) as reader:
        counted = reader.manifest.counts["units"]
    assert counted % 2 == 0
    other = machine()
    assert other.run("restore", file).exit_code == 0  # It compares the rows that arrive with those counted.
    assert len(other.rows("units")) == counted < len(busy.rows("units"))


@pytest.mark.slow
def test_an_older_backup_is_migrated_and_a_newer_one_refused(
    cluster_with_old_schema: Machine, machine: MakeMachine, tmp_path: Path
) -> None:
    file = backed_up(cluster_with_old_schema, tmp_path / "old.backup", "--without-keys")
    with archive.Reader(file) as reader:
        assert reader.manifest.schema == "0001"
    other = machine()
    result = other.run("restore", file)
    assert result.exit_code == 0, result.output
    with psycopg.connect(other.cloned.owner_url) as connection:
        assert making.revision(connection) == migrate.newest_revision()
    newer = changed(file, tmp_path / "newer.backup", schema="9999", version="9.9")
    refused = machine().run("restore", newer)
    assert (refused.exit_code, "9.9" in refused.output) == (1, True)
    later = changed(file, tmp_path / "later.backup", format=2, version="9.9", unknown=1)
    assert "9.9" in machine().run("restore", later).output


@pytest.fixture
def cluster_with_old_schema(cluster: Cluster, tmp_path: Path) -> Iterator[Machine]:
    name = f"zt_{uuid4().hex[:12]}"
    cluster.create_database(name)
    owner = cluster.dsn("zaicun_owner", name)
    migrate.upgrade(owner, "zaicun_app", "0001")
    yield Machine(Cloned(name, cluster.dsn("zaicun_app", name), owner), tmp_path / "old")
    cluster.drop_database(name)


def changed(file: Path, target: Path, **manifest: object) -> Path:
    """Copy a backup with another manifest."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == archive.MANIFEST:
                content = json.dumps({**json.loads(content), **manifest}).encode()
            new.writestr(name, content)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("spot", [0.05, 0.5, 0.9])
def test_a_damaged_backup_is_refused_before_anything_changes(
    full: Machine, machine: MakeMachine, tmp_path: Path, spot: float
) -> None:
    file = backed_up(full, tmp_path / "d.backup")
    content = bytearray(file.read_bytes())
    at = int(len(content) * spot)
    content[at] ^= 0xFF
    bad = tmp_path / "bad.backup"
    bad.write_bytes(content)
    other = machine()
    before = other.everything()
    refused = other.run("restore", bad, "--replace", "--yes")
    assert refused.exit_code == 1
    assert "Traceback" not in refused.output
    assert other.everything() == before
    bad.write_bytes(content[: len(content) // 2])
    assert "not a whole one" in other.run("restore", bad).output


@pytest.mark.slow
def test_a_backup_killed_in_the_middle_leaves_no_file(full: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    # pg_dump waits for this lock, in the middle of the work, when the file has been begun.
    with psycopg.connect(full.cloned.owner_url) as holder:
        holder.execute("LOCK TABLE units IN ACCESS EXCLUSIVE MODE")
        backup = full.process("backup", folder)
        wait_for(full, "pg_locks WHERE NOT granted")
        backup.send_signal(signal.SIGKILL)
        backup.wait()
    assert list(folder.iterdir()) == []
    assert full.run("backup", folder).exit_code == 0
    assert [re.sub(r"\d", "9", path.name) for path in folder.iterdir()] == [
        "zaicun-999999-99999999T999999Z.backup"
    ]


@pytest.mark.slow
def test_a_restore_killed_in_the_middle_changes_nothing(machine: MakeMachine, tmp_path: Path) -> None:
    # More than a pipe holds: of a small database the last word may be on its way when its sender dies.
    large = machine()
    large.execute(
        "INSERT INTO units (id, name, version) SELECT gen_random_uuid(), repeat('某', 100) || n, 1"
        " FROM generate_series(1, 20000) AS n"
    )
    file = backed_up(large, tmp_path / "k.backup", "--without-keys")
    other = machine()
    other.execute("INSERT INTO units (id, name, version) VALUES (gen_random_uuid(), '某单位', 1)")
    before = other.everything()
    restore = other.process("restore", file, "--replace", "--yes")
    # psql is at work on the tables; it has not been told to commit when its sender dies.
    wait_for(
        other,
        "pg_locks JOIN pg_database AS d ON d.oid = database"
        f" WHERE d.datname = '{other.cloned.name}' AND mode = 'AccessExclusiveLock' AND relation IS NOT NULL",
    )
    restore.send_signal(signal.SIGKILL)
    restore.wait()
    wait_for(
        other,
        f"pg_stat_activity WHERE datname = '{other.cloned.name}' AND backend_type = 'client backend'",
        0,
    )
    assert other.everything() == before


def wait_for(machine: Machine, what: str, at_least: int = 1) -> None:
    """Wait until the count of rows is 0 (`at_least` 0) or at least so many."""
    query = f"SELECT count(*) FROM {what}".encode()  # noqa: S608  # From these tests.
    deadline = time.monotonic() + 60
    # From the next room: a restore into a database that others are connected to is refused.
    elsewhere = make_conninfo(machine.cloned.owner_url, dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query).fetchone()
            if row and (row[0] >= at_least if at_least else row[0] == 0):
                return
            time.sleep(0.002)
    raise AssertionError(f"never seen: {what}")


@pytest.mark.slow
def test_a_backup_never_overwrites_and_old_ones_go_when_told_so(full: Machine, tmp_path: Path) -> None:
    file = backed_up(full, tmp_path / "a.backup")
    content = file.read_bytes()
    assert full.run("backup", file).exit_code == 1
    assert file.read_bytes() == content
    folder = tmp_path / "many"
    folder.mkdir()
    old = [folder / f"zaicun-500116-2026010{day}T000000Z.backup" for day in (1, 2, 3)]
    for path in (*old, folder / "notes.txt"):
        path.touch()
    assert full.run("backup", folder, "--keep", "2").exit_code == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left[0] == "notes.txt"
    assert left[1] == old[2].name
    assert len(left) == 3


@pytest.mark.slow
def test_sealed_keys_need_their_passphrase(full: Machine, machine: MakeMachine, tmp_path: Path) -> None:
    right, wrong, short = (tmp_path / name for name in ("right", "wrong", "short"))
    right.write_text("correct horse battery\n")
    wrong.write_text("correct horse batteries\n")
    short.write_text("short\n")
    secret = json.loads(next((full.var / "keys").glob("access-*")).read_text())["d"]
    file = backed_up(full, tmp_path / "sealed.backup", "--passphrase-file", str(right))
    assert secret.encode() not in file.read_bytes()
    assert secret.encode() in backed_up(full, tmp_path / "plain.backup").read_bytes()
    other = machine()
    before = other.everything()
    for words in (), ("--passphrase-file", wrong), ("--passphrase-file", short):
        assert other.run("restore", file, *words).exit_code == 1
    assert other.everything() == before  # Found out before the database was touched.
    assert other.run("restore", file, "--passphrase-file", right).exit_code == 0
    assert secret in next((other.var / "keys").glob("access-*")).read_text()


def test_the_keys_alone_come_back_and_others_are_set_aside(machine: MakeMachine, tmp_path: Path) -> None:
    one, two = machine(), machine()
    for each in one, two:
        assert each.run("keys", "list").exit_code == 0  # Makes the first keys.
    file = tmp_path / "keys.backup"
    assert one.run("keys", "backup", file).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    theirs = {path.name: path.read_bytes() for path in (two.var / "keys").glob("*.jwk")}
    receipts = theirs.pop("receipt-000001.jwk")
    assert two.run("keys", "restore", file).exit_code == 0
    # A phone may hold what the key of receipts signed, so it stays, under a number that is free (ruling 24).
    assert (two.var / "keys" / "receipt-000002.jwk").read_bytes() == receipts
    shown = [each.run("keys", "list").output.replace(" current", "").splitlines() for each in (one, two)]
    assert set(shown[0]) < set(shown[1])
    aside = {path.name: path.read_bytes() for path in (two.var / "keys").glob("replaced-*/*.jwk")}
    assert aside == theirs
    assert {path.stat().st_mode & 0o777 for path in (two.var / "keys").glob("*.jwk")} == {0o600}
    assert two.run("keys", "restore", file).exit_code == 0  # Again: nothing to do.
    assert len(list((two.var / "keys").glob("replaced-*"))) == 1
    assert "keys only" in two.run("restore", file).output


@pytest.mark.parametrize("name", ["../evil-1.jwk", ".hidden-1.jwk", "sub/a-1.jwk", "a-1.txt"])
def test_a_key_with_a_name_that_leads_elsewhere_is_refused(
    machine: MakeMachine, tmp_path: Path, name: str
) -> None:
    target = machine()
    target.run("keys", "list")
    file = tmp_path / "keys.backup"
    assert target.run("keys", "backup", file).exit_code == 0
    with zipfile.ZipFile(file) as old:
        manifest = json.loads(old.read(archive.MANIFEST))
        first = next(key for key in manifest["members"] if key.startswith(archive.KEYS))
        content = old.read(first)
    manifest["members"] = {archive.KEYS + name: manifest["members"][first]}
    evil = tmp_path / "evil.backup"
    with zipfile.ZipFile(evil, "w") as new:
        new.writestr(archive.KEYS + name, content)
        new.writestr(archive.MANIFEST, json.dumps(manifest))
    refused = target.run("keys", "restore", evil)
    assert (refused.exit_code, "odd name" in refused.output) == (1, True)


def test_a_folder_without_keys_is_not_backed_up_as_if_it_had_some(
    machine: MakeMachine, tmp_path: Path
) -> None:
    refused = machine().run("backup", tmp_path / "x.backup")
    assert (refused.exit_code, "no keys" in refused.output) == (1, True)
    assert not (tmp_path / "x.backup").exists()
