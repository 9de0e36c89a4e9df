"""Run the Dockerfile's steps on a bare Debian 12 and the services as compose.yaml says, without a container engine.

Started by bin/prove-image in mount and process namespaces of its own. The steps are read from the Dockerfile, the
commands, addresses, passwords' names, health check and the database's first script from compose.yaml; nothing is
repeated here. The services run in a network namespace without any network but loopback, as an account without
capabilities, on a root that cannot be written.

What this cannot prove: the base images themselves (debootstrap's Debian 12 with its own Python 3.11 stands in for
python:3.11-slim-bookworm, the machine's PostgreSQL with PostGIS for postgis/postgis), layers, and the engine.
"""

import argparse
import ctypes
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import yaml

from server import postgres

PROJECT = Path(__file__).resolve().parents[1]
STARTED = time.monotonic()
CLONE_NEWNET = 0x40000000  # sched.h; os.unshare() came with Python 3.12.
NOT_RUN = {"LABEL", "EXPOSE", "STOPSIGNAL"}  # They describe; there is nothing to run.


def say(line: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {line}", flush=True)


def run(*command: str, **options: Any) -> None:  # noqa: ANN401  # Passed on to subprocess.
    """Run a program whose failure ends the proof with what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", **options)
    if done.returncode != 0:
        sys.exit(
            f"✗ {shlex.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


# --- the Dockerfile ------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """One FROM with what the instructions after it made of it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        """Return where a path of the image lies on this machine."""
        return self.root / os.path.join(self.workdir, path).lstrip("/")  # noqa: PTH118  # Absolute wins.


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its arguments, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


def build(work: Path, base: Path) -> Stage:
    """Run every instruction; return the last stage."""
    context = allowed_context(work / "context")
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, rest in instructions((PROJECT / "Dockerfile").read_text("utf-8")):
        say(f"{name} {rest[:100]}")
        if name == "FROM":
            stage = Stage(work / f"stage{len(stages)}")
            run("cp", "-a", "--reflink=auto", str(base), str(stage.root))
            run("mount", "-t", "proc", "proc", str(stage.root / "proc"))
            stages[rest.split()[-1] if " AS " in rest else ""] = stage
            continue
        if stage is None:
            sys.exit(f"✗ {name} before FROM")
        apply(stage, name, rest, stages, context)
    if stage is None:
        sys.exit("✗ the Dockerfile has no FROM")
    return stage


def apply(stage: Stage, name: str, rest: str, stages: Mapping[str, Stage], context: Path) -> None:
    """Carry out one instruction."""
    if name == "RUN":
        run(
            "chroot",
            str(stage.root),
            "/bin/sh",
            "-c",
            f"cd {stage.workdir} && {rest}",
            env=environment(stage),
        )
    elif name == "COPY":
        copy(stage, rest, stages, context)
    elif name == "ENV":
        stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    elif name == "WORKDIR":
        stage.workdir = rest
        stage.inside(".").mkdir(parents=True, exist_ok=True)
    elif name == "USER":
        stage.user = rest
    elif name in {"ENTRYPOINT", "CMD"}:
        setattr(stage, name.lower(), json.loads(rest))
    elif name == "HEALTHCHECK":
        stage.healthcheck = json.loads(rest.split("CMD", 1)[1])
    elif name not in NOT_RUN:
        sys.exit(f"✗ {name} is not known here: teach bench/prove_image.py before using it")


def environment(stage: Stage) -> dict[str, str]:
    """Return the environment of a RUN: the image's, and this machine's way to a package mirror."""
    passed = {name: value for name, value in os.environ.items() if re.fullmatch(r"PIP_\w+|\w+_proxy", name)}
    if "PIP_CERT" in passed:
        shutil.copy(passed["PIP_CERT"], stage.root / "tmp" / "certificates")
        passed["PIP_CERT"] = "/tmp/certificates"  # noqa: S108  # Inside the room.
    passed.pop("PIP_FIND_LINKS", None)
    return {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **passed, **stage.env}


def copy(stage: Stage, rest: str, stages: Mapping[str, Stage], context: Path) -> None:
    """COPY: from the context that .dockerignore leaves, or from another stage; folders give their content."""
    *sources, target = (word for word in rest.split() if not word.startswith("--"))
    origin = re.search(r"--from=(\S+)", rest)
    for source in sources:
        found = stages[origin[1]].inside(source) if origin else context / source
        place = stage.inside(target)
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
        else:
            place = place / found.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def allowed_context(folder: Path) -> Path:
    """Copy to `folder` what .dockerignore lets through: it must refuse everything first, then allow by name."""
    rules = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    if rules[0] != "*":
        sys.exit("✗ .dockerignore must refuse everything first")
    never = shutil.ignore_patterns(*(rule.removeprefix("**/") for rule in rules if rule.startswith("**/")))
    for name in (rule[1:] for rule in rules if rule.startswith("!")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name, ignore=never)
        else:
            shutil.copy2(PROJECT / name, folder / name)
    return folder


# --- compose.yaml --------------------------------------------------------------------------------------------------


class Compose:
    """The services of compose.yaml with fresh passwords for every variable that it demands."""

    def __init__(self) -> None:
        """Read compose.yaml; refuse a variable with a default, for there is no default password."""
        text = (PROJECT / "compose.yaml").read_text("utf-8")
        self.passwords = {name: secrets.token_hex(12) for name in re.findall(r"\$\{(\w+):\?", text)}
        filled = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: self.passwords[found[1]], text)
        parsed = yaml.safe_load(filled)
        if "${" in str(parsed):
            sys.exit("✗ compose.yaml has a variable that may stay unset")
        self.services: dict[str, dict[str, Any]] = parsed["services"]
        self.first_script = str(parsed["configs"]["roles"]["content"]).replace("$$", "$")


@contextmanager
def database(work: Path, compose: Compose) -> Iterator[None]:
    """Run PostgreSQL on 127.0.0.1:5432 of this network namespace, made as the image of compose.yaml makes it."""
    account, bindir = postgres.account_of(work / "none"), postgres.binaries()
    as_account = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    given = compose.services["database"]["environment"]
    password = work / "superuser"
    password.write_text(given["POSTGRES_PASSWORD"])
    shutil.chown(password, account.pw_uid)
    data = work / "data"
    postgres.private_folder(data, account)
    initdb = [str(bindir / "initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={password}"]
    run(*as_account, *initdb, *shlex.split(given["POSTGRES_INITDB_ARGS"]), cwd="/")
    command = [str(bindir / "postgres"), "-D", str(data), *compose.services["database"]["command"][1:]]
    command += ["-c", f"unix_socket_directories={data}"]
    client = {
        "PGHOST": "127.0.0.1",
        "PGPASSWORD": given["POSTGRES_PASSWORD"],
        "PATH": f"{bindir}:/usr/bin:/bin",
    }
    with (work / "database.log").open("w") as log:
        server = subprocess.Popen([*as_account, *command], cwd="/", stdout=log, stderr=log)
    try:
        asked = [str(bindir / "pg_isready"), "-q", "-h", "127.0.0.1"]
        if not within(60, lambda: subprocess.run(asked, check=False).returncode == 0):
            sys.exit(f"✗ the database does not answer\n{(work / 'database.log').read_text()[-3000:]}")
        names = {"POSTGRES_USER": "postgres", "POSTGRES_DB": given["POSTGRES_DB"]}
        run("psql", "-U", "postgres", "-c", f"CREATE DATABASE {names['POSTGRES_DB']}", env=client)
        run("sh", "-c", compose.first_script, env=client | given | names)
        say("✓ the database's first script")
        yield
    finally:
        server.send_signal(signal.SIGINT)  # A fast shutdown.
        server.wait(60)


def service(stage: Stage, compose: Compose, name: str, command: Sequence[str] | None = None) -> "Service":
    """Start a service, or `command` beside it, as its account without capabilities."""
    uid, gid = str(compose.services[name].get("user", stage.user)).split(":")
    drop = ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    drop += ["--inh-caps=-all", "--bounding-set=-all"]
    argv = command or [*stage.entrypoint, *compose.services[name]["command"]]
    env = stage.env | compose.services[name]["environment"]
    inside = ["chroot", str(stage.root), "/usr/bin/env", "-i", f"--chdir={stage.workdir}"]
    inside += [f"{key}={value}" for key, value in env.items()]
    log = stage.root.parent / f"{name}-{time.monotonic_ns()}.log"
    with log.open("w") as said:
        return Service(subprocess.Popen([*inside, *drop, *argv], stdout=said, stderr=said), log)


@dataclass(frozen=True)
class Service:
    """A running program and the file with what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def fails(self, what: str) -> NoReturn:
        """End the proof with what the program said."""
        sys.exit(f"✗ {what}: {self.process.poll()}\n{self.log.read_text()[-3000:]}")

    def finished(self, what: str, *expected: int, says: str = "") -> None:
        """Wait for the end; end the proof when it is not as expected (default: 0) or did not say why."""
        if self.process.wait(timeout=300) not in (expected or (0,)) or says not in self.log.read_text():
            self.fails(what)
        say(f"✓ {what}")


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Return whether `true()` comes within that time."""
    end = time.monotonic() + seconds
    while not (come := true()) and time.monotonic() < end:
        time.sleep(0.2)
    return come


def close_the_root(stage: Stage, volumes: Sequence[str]) -> None:
    """Make the image's root read-only, with a new empty volume where compose.yaml mounts one."""
    root = str(stage.root)
    run("mount", "--bind", root, root)
    run("mount", "-o", "remount,bind,ro", root)
    run("mount", "-t", "proc", "proc", f"{root}/proc")
    for scratch in ("tmp", "dev/shm"):
        run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/{scratch}")
    for volume in volumes:
        place = stage.inside(volume.split(":")[1])
        like = place.stat()  # A new volume takes owner and mode from the image's folder.
        options = f"mode={like.st_mode & 0o7777:o},uid={like.st_uid},gid={like.st_gid}"
        run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))


def prove_services(work: Path, stage: Stage) -> None:
    """Run database, migrate and serve as compose.yaml says, on a root that cannot be written."""
    compose = Compose()
    uid = int(stage.user.split(":")[0])
    if uid == 0:
        sys.exit("✗ the image runs as root")
    (stage.root / "etc" / "hosts").write_text("127.0.0.1 localhost database\n")
    close_the_root(stage, compose.services["serve"]["volumes"])
    for tool in ("gcc", "cc", "make", "ld"):
        if shutil.which(tool, path=f"{stage.root}/usr/bin:{stage.root}/opt/zaicun/bin"):
            sys.exit(f"✗ {tool} is in the image")
    with database(work, compose):
        asking = [*stage.entrypoint, "health"]
        service(stage, compose, "serve", asking).finished("health while nothing serves", 1, says="not ready")
        service(stage, compose, "serve").finished(
            "serve before migrate is refused", 1, says="Run `zaicun migrate`"
        )
        service(stage, compose, "migrate").finished("migrate")
        service(stage, compose, "migrate").finished("migrate again")
        serving = service(stage, compose, "serve")
        within(120, lambda: serving.process.poll() is not None or answers("/readyz"))
        if serving.process.poll() is not None or not answers("/readyz"):
            serving.fails("serve does not get ready")
        say("✓ serve is ready")
        service(stage, compose, "serve", asking).finished("zaicun health")
        service(stage, compose, "serve", stage.healthcheck).finished("the health check of the image")
        serving.process.terminate()
        serving.finished("serve ends at SIGTERM", 0, -signal.SIGTERM)


def answers(path: str) -> bool:
    """Return whether the service answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:8321{path}", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def main() -> None:
    """Prove the image's build, then its services."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--base", type=Path)
    given = parser.parse_args()
    base: Path = given.base or given.work / "base"
    if not given.base:
        say("a bare Debian 12 (debootstrap)")
        run(
            "debootstrap",
            "--variant=minbase",
            "--include=python3,python3-venv",
            "bookworm",
            str(base),  # No mirror named: debootstrap knows its own default for the suite.
        )
    python = base / "usr/local/bin/python"
    if not python.is_symlink():
        python.symlink_to("/usr/bin/python3")  # The name that the Python image gives it.
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / name, base / "etc" / name)
    stage = build(given.work, base)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        sys.exit("✗ no network namespace can be made")
    run("ip", "link", "set", "lo", "up")
    prove_services(given.work, stage)
    say("✓ every step of the Dockerfile, migrate, serve and the health checks")


if __name__ == "__main__":
    main()
