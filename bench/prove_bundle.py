"""Install the offline bundle in a bare Debian 12 without any network and live with it: serve, upgrade, go back, restore.

Started by bin/prove-bundle in mount and process namespaces of its own. systemd does not run in there, so the commands,
accounts and environments of the services are read from the unit files that the bundle ships; their sandboxing is not
proved here.
"""

import argparse
import ctypes
import json
import shlex
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
STARTED = time.monotonic()
CLONE_NEWNET = 0x40000000  # sched.h; os.unshare() came with Python 3.12.
CHOSEN = "correct horse battery"
FIGURES: dict[str, float] = {}


def say(line: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {line}", flush=True)


def run(*command: str, expect: int = 0) -> str:
    """Run a program; another end than expected ends the proof with what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode != expect:
        sys.exit(
            f"✗ {shlex.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout + done.stderr


def timed(name: str, deed: Callable[[], Any]) -> Any:  # noqa: ANN401  # What the deed returns.
    """Do it and keep its seconds as a figure."""
    begun = time.monotonic()
    result = deed()
    FIGURES[f"{name} s"] = round(time.monotonic() - begun, 1)
    say(f"✓ {name}")
    return result


class Room:
    """A copy of the bare system."""

    def __init__(self, base: Path, root: Path) -> None:
        run("cp", "-a", "--reflink=auto", str(base), str(root))
        self.root = root
        run("mount", "-t", "proc", "proc", f"{root}/proc")
        run("mount", "--bind", "/dev", f"{root}/dev")
        (root / "etc" / "resolv.conf").write_text("")
        (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs the words in the room with a clean environment."""
        clean = [
            "env",
            "-i",
            "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
        ]
        return ["chroot", str(self.root), *clean, *words]

    def run(self, *words: str, expect: int = 0) -> str:
        """Run in the room."""
        return run(*self.command(*words), expect=expect)

    def unpack(self, bundle: Path) -> str:
        """Unpack a bundle where a path has a blank and Chinese letters; return the folder."""
        place = self.root / "srv" / "安装 包"
        place.mkdir(parents=True, exist_ok=True)
        run("tar", "--extract", f"--file={bundle}", f"--directory={place}")
        return f"/srv/安装 包/{bundle.stem}"

    def start(self, unit: str) -> subprocess.Popen[bytes]:
        """Start a service as its unit file says: account, environment, command."""
        lines = (self.root / "etc/systemd/system" / unit).read_text("utf-8").splitlines()
        said = [line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#")]
        told = dict(said)
        env = [word for name, value in said if name == "Environment" for word in shlex.split(value)]
        for line in (self.root / told["EnvironmentFile"].lstrip("/")).read_text("utf-8").splitlines():
            env += [line] if line and not line.startswith("#") else []
        user = [
            "setpriv",
            f"--reuid={told['User']}",
            f"--regid={told['Group']}",
            "--init-groups",
            "--no-new-privs",
        ]
        log = (self.root.parent / f"{unit}.log").open("ab")
        words = ["env", *env, *user, *shlex.split(told["ExecStart"])]
        return subprocess.Popen(self.command(*words), stdout=log, stderr=log)


def ask(
    url: str, body: object = None, context: ssl.SSLContext | None = None, data: bytes | None = None
) -> tuple[int, Any]:
    """Return status and parsed body."""
    sent = data if data is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"} if sent else {})  # noqa: S310  # Our own addresses.
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310  # As above.
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read()[:300]
    except OSError as error:
        return 0, str(error)


def must(what: str, found: object, wanted: object) -> None:
    """End the proof when something is not as it must be."""
    if found != wanted:
        sys.exit(f"✗ {what}: {found!r}, not {wanted!r}")
    say(f"✓ {what}")


PLAIN = "http://127.0.0.1:8321"


def serving(room: Room) -> subprocess.Popen[bytes]:
    """Start serve by its unit and wait until it is ready."""
    process = room.start("zaicun-serve.service")
    end = time.monotonic() + 120
    while ask(f"{PLAIN}/readyz")[0] != 200 and process.poll() is None and time.monotonic() < end:  # noqa: PLR2004
        time.sleep(0.3)
    must("/readyz", ask(f"{PLAIN}/readyz")[0], 200)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a service as systemd would."""
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def log_in(base: str = PLAIN, context: ssl.SSLContext | None = None) -> int:
    """Log the administrator in; return the status."""
    return ask(f"{base}/v1/auth/login", {"login": "admin", "password": CHOSEN}, context)[0]


def prove_tls(room: Room) -> None:
    """Run nginx with the example in front, a certificate of a small authority of our own, and ask through it."""
    room.run("install", "-d", "/etc/zaicun/tls")
    room.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "/etc/zaicun/tls/server.key", "-out", "/etc/zaicun/tls/server.crt",
    )  # fmt: skip
    room.run("ln", "-sf", "../sites-available/zaicun", "/etc/nginx/sites-enabled/zaicun")
    room.run("rm", "-f", "/etc/nginx/sites-enabled/default")
    room.run("nginx", "-t")
    room.run("nginx")
    trusted = ssl.create_default_context(cafile=str(room.root / "etc/zaicun/tls/server.crt"))
    secure = "https://127.0.0.1"
    must("a login through TLS", log_in(secure, trusted), 200)
    must("/metrics is not shown outside", ask(f"{secure}/metrics", None, trusted)[0], 404)
    status, said = ask(f"{secure}/v1/auth/login", None, trusted, b"{" + b" " * 2_000_000)
    must(
        "a body that is too large hears the service's own 413",
        (status, b"title_zh" in bytes(said)),
        (413, True),
    )


def prove_accounts(room: Room) -> None:
    """Rotate a key as root would, and see that the service can read it and the service's account not the owner's file."""
    room.run("zaicun", "keys", "rotate", "--stolen")
    owners = room.run("sh", "-c", "stat -c '%U %a' /var/lib/zaicun/keys/*.jwk | sort -u").split("\n")[0]
    must("a new key belongs to the service alone", owners, "zaicun 600")
    must("a login with the new key", log_in(), 200)
    room.run(
        "setpriv",
        "--reuid=zaicun",
        "--regid=zaicun",
        "--init-groups",
        "cat",
        "/etc/zaicun/owner.env",
        expect=1,
    )
    say("✓ the service's account cannot read the owner's address")


def live(room: Room, first: Path, second: Path) -> None:
    """Install, serve, upgrade, go back, restore."""
    place = room.unpack(first)
    broken = room.root / place.lstrip("/") / "requirements.lock"
    whole = broken.read_bytes()
    broken.write_bytes(whole + b"\n")
    room.run(f"{place}/install", expect=1)
    must("a changed bundle installs nothing", (room.root / "opt/zaicun").exists(), False)
    broken.write_bytes(whole)
    timed("install", lambda: room.run(f"{place}/install", "--with-nginx"))
    serve = timed("serve", lambda: serving(room))
    made = room.run("zaicun", "account", "first-admin", "--login", "admin")
    code = next(line.split()[-1] for line in made.splitlines() if "one-time code" in line)
    body = {"login": "admin", "code": code, "password": CHOSEN}
    must("the first administrator is activated", ask(f"{PLAIN}/v1/auth/activate", body)[0], 200)
    must("a login", log_in(), 200)
    prove_tls(room)
    room.run("zaicun", "check")
    say("✓ zaicun check")
    prove_accounts(room)
    upgraded = room.unpack(second)
    timed("upgrade", lambda: room.run(f"{upgraded}/install"))
    must("a backup was made before", len(list((room.root / "var/backups/zaicun").glob("*.backup"))), 1)
    must("the old version serves until it is restarted", log_in(), 200)
    stop(serve)
    serve = serving(room)
    must("a login after the upgrade", log_in(), 200)
    old, new = (bundle.stem.split("-")[1] for bundle in (first, second))
    must("the new version runs", room.run("zaicun", "--version").split()[-1], new)
    room.run(f"/opt/zaicun/{new}/bin/switch", old)
    stop(serve)
    serve = timed("roll back", lambda: serving(room))
    must("the old version runs again", room.run("zaicun", "--version").split()[-1], old)
    must("a login after going back", log_in(), 200)
    stop(serve)
    backup = f"/var/backups/zaicun/{next((room.root / 'var/backups/zaicun').glob('*.backup')).name}"
    timed("restore", lambda: room.run("zaicun", "restore", "--replace", "--yes", backup))
    serve = serving(room)
    must("a login after the restore", log_in(), 200)
    stop(serve)
    for unit in ("zaicun-migrate.service", "zaicun-scheduler.service"):
        must(
            f"the command of {unit} is there",
            "ExecStart=" in (room.root / "etc/systemd/system" / unit).read_text("utf-8"),
            True,
        )


def main() -> None:
    """Make two bundles, then live with them in a room without a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    base: Path = given.base or given.work / "base"
    if not given.base:
        timed("debootstrap", lambda: run("debootstrap", "--variant=minbase", "bookworm", str(base)))
    tree = given.work / "tree"
    tree.mkdir()
    run("sh", "-c", f"git -C {shlex.quote(str(PROJECT))} archive HEAD | tar -x -C {shlex.quote(str(tree))}")
    project = tree / "pyproject.toml"
    text = project.read_text("utf-8")
    version = text.split('version = "', 1)[1].split('"', 1)[0]
    out = given.work / "out"
    bin_bundle = str(PROJECT / "bin" / "bundle")
    timed("bundle", lambda: run(bin_bundle, "--out", str(out)))
    project.write_text(text.replace(f'version = "{version}"', f'version = "{version}.1"', 1), "utf-8")
    timed("second bundle", lambda: run(bin_bundle, "--out", str(out), "--tree", str(tree)))
    first, second = sorted(out.glob("*.tar"), key=lambda path: len(path.name))
    FIGURES["bundle MB"] = round(first.stat().st_size / 1e6)
    room = Room(base, given.work / "room")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        sys.exit("✗ no network namespace can be made")
    run("ip", "link", "set", "lo", "up")
    say("no network but loopback from here")
    live(room, first, second)
    say("✓ the bundle: installed without a network, served behind TLS, upgraded, rolled back, restored")
    if given.json:
        given.json.write_text(json.dumps({"figures": FIGURES}))


if __name__ == "__main__":
    main()
