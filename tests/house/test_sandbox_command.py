"""`zaicun sandbox`: one command, and a phone developer has a server with people in it; what they do there stays."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from factories_checkins import check_in

from server import clock

ZAICUN = Path(sys.executable).with_name("zaicun")


def environment(var: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
    return {**kept, "ZAICUN_VAR": str(var)}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(var: Path) -> Iterator[httpx.Client]:
    """Run the command until the block ends."""
    port = free_port()
    command = [str(ZAICUN), "sandbox", "--people", "2", "--port", str(port)]
    with (var / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment(var), stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                wait_for(client, process, var)
                yield client
        finally:
            process.terminate()
            process.wait(60)


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes], var: Path) -> None:
    """Wait for the end of the preparation: while it prepares, the same port serves the set-up."""
    deadline = time.monotonic() + 240
    while b"zaicun phone --server" not in (var / "log").read_bytes():
        assert process.poll() is None, (var / "log").read_text()
        assert time.monotonic() < deadline, (var / "log").read_text()
        time.sleep(0.2)
    (var / "log").write_bytes(b"")
    assert client.get("/readyz").status_code == 200


def log_in(client: httpx.Client, var: Path) -> str:
    login, (_, _, password) = next(
        iter(json.loads((var / "sandbox" / "ready.json").read_text())["phones"].items())
    )
    answer = client.post(
        "/v1/auth/login", json={"login": login.lower(), "password": password, "client": "test"}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.mark.slow
def test_a_sandbox_is_there_by_one_command_and_stays_as_it_was_left(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    checkin = f"/v1/check-ins/{uuid4()}"
    with served(tmp_path) as client:
        assert client.get("/v1/time").json()["sandbox"] is True
        client.headers["Authorization"] = f"Bearer {log_in(client, tmp_path)}"
        first = client.put(checkin, json=check_in(clock.now()))
        assert first.status_code == 201
        assert first.json()["sandbox"] is True
    with served(tmp_path) as client:
        client.headers["Authorization"] = f"Bearer {log_in(client, tmp_path)}"
        assert client.get(checkin).json()["id"] == first.json()["id"]
