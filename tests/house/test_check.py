"""`zaicun check` explains every setting and names what is wrong."""

import json
import socket
import threading
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, Clone

from server import setting_texts
from server.cli import main
from server.settings import Settings, replaced

PASSWORD = "a-long-and-secret-one"  # pragma: allowlist secret


def run(*words: str, **env: str) -> Result:
    clean = dict.fromkeys(("ZAICUN_TEST_VAR",))
    return CliRunner(env={**clean, **env}).invoke(main, ["check", *words])


def test_every_setting_is_explained_and_in_the_readme() -> None:
    owner = {"owner_name", "legal_basis", "registration_no", "data_contact"}
    assert (
        set(setting_texts.TEXTS)
        == {field.name for field in fields(Settings) if field.name != "owner"} | owner
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in setting_texts.TEXTS if f"`ZAICUN_{name.upper()}`" not in readme]
    assert missing == []


def test_a_sound_machine_is_told_so_and_secrets_are_masked(clone: Clone, tmp_path: Path) -> None:
    token = "t" * 32
    cloned = clone()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answer = run(
        "--json",
        ZAICUN_DATABASE_URL=cloned.app_url,
        ZAICUN_OWNER_DATABASE_URL=f"postgresql://owner:{PASSWORD}@127.0.0.1/zaicun",
        ZAICUN_VAR=str(tmp_path),
        ZAICUN_PORT=str(port),
        ZAICUN_METRICS_TOKEN=token,
    )
    found = json.loads(answer.output)
    names = {line["name"]: line["state"] for line in found["findings"]}
    assert (names["database"], names["port"], names["keys"], names["time-zone"]) == ("ok",) * 4
    assert PASSWORD not in answer.output
    assert token not in answer.output
    # The test cluster runs without fsync, and that is what stands between it and 0.
    wrong = {name for name, state in names.items() if state == "wrong"}
    assert (answer.exit_code, any("fsync" in name for name in wrong)) == (1, True), wrong


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"ZAICUN_PORT": "http"}, "ZAICUN_PORT"),
        ({"ZAICUN_PROT": "80"}, "ZAICUN_PROT"),
        ({"ZAICUN_HOST": "0.0.0.0"}, "ZAICUN_BEHIND_PROXY"),  # noqa: S104  Must be named.
        ({"ZAICUN_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "cannot be reached"),
        (
            {"ZAICUN_DATABASE_URL": f"postgresql://nobody:{PASSWORD}#1@127.0.0.1/none"},
            "ZAICUN_DATABASE_URL cannot be read",
        ),
        (
            {"ZAICUN_OWNER_DATABASE_URL": f"postgresql://o:{PASSWORD}@127.0.0.1:x/z"},
            "ZAICUN_OWNER_DATABASE_URL cannot",
        ),
        ({"ZAICUN_OWNER_DATABASE_URL": "mysql://localhost/z"}, "must begin with postgresql://"),
        (
            {"ZAICUN_DATABASE_URL": f"postgresql:///none?host=127.0.0.1&port=1&password={PASSWORD}"},
            "cannot be reached",
        ),
    ],
)
def test_what_is_wrong_is_named_in_both_languages(env: dict[str, str], named: str, tmp_path: Path) -> None:
    answer = run(**{"ZAICUN_VAR": str(tmp_path), **env})
    assert answer.exit_code == 1
    assert named in answer.output
    assert "✗" in answer.output
    assert "Traceback" not in answer.output
    assert isinstance(answer.exception, SystemExit)
    assert PASSWORD not in answer.output


def test_two_faults_are_named_at_once(tmp_path: Path) -> None:
    answer = run(ZAICUN_VAR=str(tmp_path), ZAICUN_PORT="0", ZAICUN_WORKERS="many")
    assert "ZAICUN_PORT" in answer.output
    assert "ZAICUN_WORKERS" in answer.output


def test_a_port_held_by_a_stranger_is_named(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        port = stranger.getsockname()[1]
        answer = run(ZAICUN_VAR=str(tmp_path), ZAICUN_PORT=str(port))
    assert f"Port {port} cannot be had" in answer.output


def test_a_service_that_is_bound_to_one_address_is_asked_there(tmp_path: Path) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    class OnlyThere(HTTPServer):
        address_family = socket.AF_INET6

    with OnlyThere(("::1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        env = {"ZAICUN_HOST": "::1", "ZAICUN_PORT": port}
        assert f"The service is ready on port {port}" in run(ZAICUN_VAR=str(tmp_path), **env).output
        assert CliRunner(env=env).invoke(main, ["health"]).exit_code == 0
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8321"), ("::", "http://[::1]:8321"), ("10.0.0.5", "http://10.0.0.5:8321")],  # noqa: S104  Compared.
)
def test_everywhere_is_asked_by_loopback(host: str, url: str) -> None:
    assert replaced(Settings(), host=host, behind_proxy=True).own_url == url
