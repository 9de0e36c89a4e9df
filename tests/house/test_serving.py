"""The command itself: real processes, the embedded database, refusals to start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest
from conftest import Clone

from server import settings
from server.cluster import APP_ROLE, OWNER_ROLE, SUPERUSER, Cluster

ZAICUN = [str(Path(sys.executable).with_name("zaicun"))]
CHOSEN = "correct horse battery"
ENOUGH_S = 180  # A new cluster is built on a busy machine.


def run(*words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ZAICUN_")}
    return subprocess.run(
        [*ZAICUN, *words],
        env={**inherited, **env},
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    env = {"ZAICUN_VAR": str(tmp_path_factory.mktemp("embedded")), "ZAICUN_PORT": str(free_port())}
    yield env
    run("db", "stop", env=env)


@pytest.mark.slow
def test_serve_makes_everything_itself_and_stops_when_told(embedded: dict[str, str]) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ZAICUN_")}
    server = subprocess.Popen([*ZAICUN, "serve"], env={**inherited, **embedded}, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{embedded['ZAICUN_PORT']}"
    try:
        deadline = time.monotonic() + ENOUGH_S
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        assert run("health", env=embedded).returncode == 0
        made = run("account", "first-admin", "--login", "admin", env=embedded)
        assert made.returncode == 0, made.stderr
        code = next(line.split()[-1] for line in made.stdout.splitlines() if "one-time code" in line)
        body = {"login": "admin", "code": code, "password": CHOSEN}
        assert httpx.post(f"{url}/v1/auth/activate", json=body, timeout=30).status_code == 200
        again = run("account", "first-admin", "--login", "other", env=embedded)
        assert again.returncode != 0
        assert "running: True" in run("db", "status", env=embedded).stdout
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert run("health", env=embedded).returncode == 1
    assert "running: False" in run("db", "status", env=embedded).stdout


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"ZAICUN_HOST": "0.0.0.0"}, "ZAICUN_BEHIND_PROXY"),  # noqa: S104  Must be refused.
        ({"ZAICUN_PROT": "80"}, "ZAICUN_PROT"),
        ({"ZAICUN_PORT": "http"}, "ZAICUN_PORT"),
        ({"ZAICUN_PORT": "0"}, "ZAICUN_PORT"),
        ({"ZAICUN_ARGON2_MEMORY_KIB": "8"}, "ZAICUN_ARGON2_MEMORY_KIB"),
        ({"ZAICUN_DATABASE_URL": "mysql://x"}, "ZAICUN_DATABASE_URL"),
        ({"ZAICUN_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "cannot be reached"),
    ],
)
def test_an_unsafe_or_misspelt_setting_stops_the_start(
    env: dict[str, str], named: str, tmp_path: Path
) -> None:
    answer = run("serve", env={"ZAICUN_VAR": str(tmp_path), **env})
    assert answer.returncode == 1
    assert named in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("role", "setting", "named"),
    [
        (SUPERUSER, None, "superuser"),
        (OWNER_ROLE, None, "owns tables"),
        (APP_ROLE, "fsync=off", "fsync"),
        (APP_ROLE, "synchronous_commit=off", "synchronous_commit=off"),
    ],
)
def test_a_database_that_could_lose_or_leak_is_refused(
    cluster: Cluster, clone: Clone, role: str, setting: str | None, named: str
) -> None:
    cloned = clone()  # The test cluster itself runs without fsync, because it is thrown away.
    if setting and setting.startswith("synchronous"):
        with psycopg.connect(cluster.dsn(SUPERUSER, cloned.name), autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{cloned.name}" SET {setting}'.encode())
    answer = run("serve", env={"ZAICUN_DATABASE_URL": cluster.dsn(role, cloned.name)})
    assert answer.returncode == 1
    assert named in answer.stderr


def test_a_database_that_was_not_migrated_is_refused(cluster: Cluster) -> None:
    name = "zt_unmigrated"
    cluster.create_database(name)
    answer = run("serve", env={"ZAICUN_DATABASE_URL": cluster.dsn(APP_ROLE, name)})
    cluster.drop_database(name)
    assert answer.returncode == 1
    assert "zaicun migrate" in answer.stderr


def test_settings_are_read_once_and_typed() -> None:
    given = settings.load(
        {
            "ZAICUN_WORKERS": "3",
            "ZAICUN_BEHIND_PROXY": "yes",
            "ZAICUN_OWNER_NAME": "某区委组织部",
            "OTHER": "x",
        }
    )
    assert (given.workers, given.behind_proxy, given.owner.name) == (3, True, "某区委组织部")
