"""What an installation puts on a machine: each script runs as it is, with its fixed places moved into a folder."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from conftest import ROOT

from server.cli import main

DEPLOY = ROOT / "server" / "deploy"
UNITS = sorted((DEPLOY / "units").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


def run(script: Path, *words: str, fakes: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = f"{fakes}:/usr/bin:/bin"
    return subprocess.run(
        [script, *words], env={"PATH": path, "HOME": "/root"}, cwd=cwd, text=True, capture_output=True, check=False
    )  # fmt: skip


class TestCommand:
    """The installed `zaicun`."""

    @pytest.fixture
    def fakes(self, tmp_path: Path) -> Path:
        folder = tmp_path / "fakes"
        program(folder / "id", "echo ${FAKE_UID:-0}")
        program(folder / "runuser", 'echo "as $2"; shift 3; exec "$@"')
        return folder

    @pytest.fixture
    def command(self, tmp_path: Path) -> Path:
        etc = tmp_path / "etc"
        etc.mkdir()
        text = (DEPLOY / "zaicun").read_text("utf-8")
        assert "etc=/etc/zaicun\n" in text
        made = tmp_path / "version" / "bin" / "zaicun"
        made.parent.mkdir(parents=True)
        made.write_text(text.replace("etc=/etc/zaicun\n", f"etc={etc}\n"), "utf-8")
        made.chmod(0o755)
        program(
            tmp_path / "version/venv/bin/zaicun", 'echo "said $*"; echo "in $PWD"; echo "home $HOME"; env'
        )
        (etc / "zaicun.env").write_bytes(
            b'# a comment\nZAICUN_OWNER_NAME="one district"\nZAICUN_PORT=8321\r\nZAICUN_BASIS=a $HOME `b`  \n'
            b"ZAICUN_DATABASE_URL=postgresql://app@/z?host=/run&port=5432"
        )
        (etc / "owner.env").write_text("ZAICUN_OWNER_DATABASE_URL=postgresql://owner@/z\n", "utf-8")
        return made

    def test_settings_are_read_as_systemd_reads_them(self, command: Path, fakes: Path) -> None:
        lines = run(command, "check", fakes=fakes).stdout.splitlines()
        assert "ZAICUN_OWNER_NAME=one district" in lines
        assert "ZAICUN_PORT=8321" in lines
        assert "ZAICUN_BASIS=a $HOME `b`" in lines
        assert "ZAICUN_DATABASE_URL=postgresql://app@/z?host=/run&port=5432" in lines

    @pytest.mark.parametrize(
        ("words", "account"),
        [
            ("keys rotate --stolen", "zaicun"),  # A key that root made could not be read by the service.
            ("keys list", "zaicun"),
            ("keys", "zaicun"),
            ("account first-admin --login admin", "zaicun"),
            ("check", "zaicun"),
            ("migrate", "zaicun-owner"),
            ("backup x", None),
            ("restore x", None),
            ("keys backup x", None),
            ("keys restore x", None),
        ],
    )
    def test_each_command_runs_as_the_account_it_is_for(
        self, command: Path, fakes: Path, words: str, account: str | None
    ) -> None:
        answer = run(command, *words.split(), fakes=fakes)
        lines = answer.stdout.splitlines()
        assert f"said {words}" in lines, answer.stderr
        assert [line for line in lines if line.startswith("as ")] == ([f"as {account}"] if account else [])
        assert ("home /root" in lines) is (account is None)

    def test_only_what_needs_the_tables_owner_hears_its_address(self, command: Path, fakes: Path) -> None:
        heard = {
            words: "ZAICUN_OWNER_DATABASE_URL" in run(command, *words.split(), fakes=fakes).stdout
            for words in (
                "migrate",
                "backup x",
                "restore x",
                "check",
                "serve",
                "keys rotate",
                "keys backup x",
            )
        }
        assert [words for words, it_did in heard.items() if it_did] == ["migrate", "backup x", "restore x"]

    def test_a_file_is_named_from_where_one_stands(self, command: Path, fakes: Path, tmp_path: Path) -> None:
        assert f"in {tmp_path}" in run(command, "roster", "import", "f.csv", fakes=fakes, cwd=tmp_path).stdout


class TestSwitch:
    """From version to version and back."""

    @pytest.fixture
    def switch(self, tmp_path: Path) -> Path:
        opt = tmp_path / "opt"
        for version in ("0.1.0", "0.2.0"):
            program(opt / version / "bin/zaicun", f"test -e {tmp_path}/ready-{version}")
            (opt / version / "complete").touch()
            shutil.copytree(DEPLOY / "units", opt / version / "deploy/units")
        (opt / "current").symlink_to("0.1.0")
        text = (DEPLOY / "switch").read_text("utf-8")
        for old, new in (
            ("/opt/zaicun UNITS", f"{opt} UNITS"),
            ("=/etc/systemd/system", f"={tmp_path}/units"),
            ("WITHIN_S=60", "WITHIN_S=2"),
            ("/run/systemd/system", str(tmp_path)),
            ("/usr/local/bin/zaicun", f"{tmp_path}/zaicun"),
        ):
            assert old in text
            text = text.replace(old, new)
        return program(tmp_path / "switch", text)

    @pytest.fixture
    def fakes(self, tmp_path: Path) -> Path:
        folder = tmp_path / "fakes"
        program(folder / "id", "echo 0")
        program(folder / "journalctl", "true")
        # As the real one: `is-active` is content with one of several; a restart may fail.
        program(
            folder / "systemctl",
            f'echo "$*" >>{tmp_path}/asked\ncase $1 in\n'
            f'is-active) shift 2; for each; do [ -e "{tmp_path}/dead-$each" ] || exit 0; done; exit 3 ;;\n'
            f"restart) [ ! -e {tmp_path}/no-restart-$(readlink {tmp_path}/opt/current) ] ;;\nesac",
        )
        return folder

    def current(self, tmp_path: Path) -> str:
        return str((tmp_path / "opt" / "current").readlink())

    def test_a_version_that_gets_ready_stays(self, switch: Path, fakes: Path, tmp_path: Path) -> None:
        (tmp_path / "ready-0.2.0").touch()
        answer = run(switch, "0.2.0", fakes=fakes)
        assert (answer.returncode, self.current(tmp_path)) == (0, "0.2.0"), answer.stderr
        assert (tmp_path / "units" / "zaicun-serve.service").exists()

    def test_a_version_that_does_not_get_ready_goes(self, switch: Path, fakes: Path, tmp_path: Path) -> None:
        answer = run(switch, "0.2.0", fakes=fakes)
        assert (answer.returncode, self.current(tmp_path)) == (1, "0.1.0")
        assert "0.1.0 runs again" in answer.stderr

    def test_a_version_whose_service_cannot_even_start_goes(
        self, switch: Path, fakes: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "ready-0.2.0").touch()
        (tmp_path / "no-restart-0.2.0").touch()
        assert run(switch, "0.2.0", fakes=fakes).returncode == 1
        assert self.current(tmp_path) == "0.1.0"

    def test_a_version_whose_scheduler_is_dead_goes(self, switch: Path, fakes: Path, tmp_path: Path) -> None:
        (tmp_path / "ready-0.2.0").touch()
        (tmp_path / "dead-zaicun-scheduler.service").touch()
        assert run(switch, "0.2.0", fakes=fakes).returncode == 1
        assert self.current(tmp_path) == "0.1.0"

    @pytest.mark.parametrize("name", ["current", "9.9.9", "../opt/0.2.0", "."])
    def test_what_is_no_version_changes_nothing(
        self, switch: Path, fakes: Path, tmp_path: Path, name: str
    ) -> None:
        answer = run(switch, name, fakes=fakes)
        assert (answer.returncode, self.current(tmp_path)) == (1, "0.1.0")
        assert "installed: 0.1.0 0.2.0" in answer.stderr
        assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.stem)
def test_only_units_of_the_owner_read_the_owners_address(unit: Path) -> None:
    told = re.findall(r"^(User|EnvironmentFile)=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    assert ("EnvironmentFile", "/etc/zaicun/zaicun.env") in told
    reads = ("EnvironmentFile", "-/etc/zaicun/owner.env") in told
    assert reads is (("User", "zaicun") not in told)
    assert "OWNER_DATABASE_URL" not in (DEPLOY / "zaicun.env").read_text("utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text("utf-8")
        (tmp_path / unit.name).write_text(
            text.replace("/opt/zaicun/current/venv/bin/zaicun", "/bin/true"), "utf-8"
        )
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    ours = [line for line in answer.stderr.splitlines() if "zaicun-" in line]
    assert (answer.returncode, ours) == (0, []), answer.stderr


def guide_commands() -> list[str]:
    guide = (DEPLOY / "GUIDE.md").read_text("utf-8")
    table = "\n".join(re.findall(r"`sudo (zaicun [^`]+)`", guide))
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL))
    return sorted({*table.splitlines(), *re.findall(r"sudo (zaicun [^;|\n]+)", blocks)})


@pytest.mark.parametrize("line", guide_commands())
def test_each_command_of_the_guide_exists_with_its_options(line: str) -> None:
    _, *words = shlex.split(line)
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_the_guide_names_files_that_an_installation_has() -> None:
    guide = (DEPLOY / "GUIDE.md").read_text("utf-8")
    named = re.findall(r"/opt/zaicun/current/deploy/([\w./]+\w)", guide)
    assert "nginx.conf" in named
    assert [name for name in named if not (DEPLOY / name).exists()] == []
    units = set(re.findall(r"\bzaicun-[a-z]+\.(?:service|timer)", guide))
    assert units
    assert units <= {unit.name for unit in UNITS}


def test_the_proxy_shows_no_metrics_and_believes_no_caller_about_its_address() -> None:
    conf = (DEPLOY / "nginx.conf").read_text("utf-8")
    assert "location = /metrics { return 404; }" in conf
    assert re.findall(r"X-Forwarded-For (\S+);", conf) == ["$remote_addr"]
