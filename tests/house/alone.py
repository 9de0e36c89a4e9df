"""Run by test_supply_chain.py inside an empty network namespace: bring the loopback up, serve, ask, and tell.

Every process of the product is watched by an audit hook (PEP 578) that writes down whom it looks up or connects to;
libpq, which Python does not see, is given a unix socket alone.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PORT = 8321
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
HOOK = """
import os, sys
def _tell(event, args):
    if event == "socket.connect":
        address = args[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = args[:1]
    else:
        return
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "127.0.0.1", "::1", "localhost") or str(host).startswith(("/", "\\0")):
        return
    with open(os.environ["ASKED"], "a") as file:
        file.write(f"{event} {host}\\n")
sys.addaudithook(_tell)
"""


def loopback_up() -> None:
    """Switch the loopback on; a new namespace has it switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


def ask(path: str, body: bytes | None = None) -> int:
    """Return the status of one answer; 0 while nobody answers."""
    head = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data=body, headers=head)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  As above.
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def outside() -> str:
    """Say whether anything but the loopback can be reached from here."""
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=2).close()  # TEST-NET-1, RFC 5737.
    except OSError as error:
        return "unreachable" if "unreachable" in str(error).lower() else str(error)
    return "reached"


def watched(folder: Path, asked: Path) -> dict[str, str]:
    """Return the environment in which every Python process tells whom it asks for."""
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
    return {**kept, "PYTHONPATH": str(hooks), "ASKED": str(asked), "ZAICUN_VAR": str(folder / "var")}


def told(asked: Path) -> list[str]:
    """Return what was written down."""
    return asked.read_text().splitlines() if asked.exists() else []


def main() -> None:
    """Serve, ask, stop, and print what was seen as one line of JSON."""
    folder = Path(sys.argv[1])
    asked, proof = folder / "asked", folder / "proof"
    loopback_up()
    environment = watched(folder, asked)
    zaicun = [str(Path(sys.executable).with_name("zaicun"))]
    service = subprocess.Popen([*zaicun, "serve", "--workers", "2"], env=environment)
    try:
        end = time.monotonic() + 150
        while ask("/readyz") != 200 and time.monotonic() < end and service.poll() is None:
            time.sleep(0.3)
        answers = {path: ask(path) for path in ("/livez", "/readyz", "/v1/time", "/openapi.json", "/docs")}
        answers["login"] = ask("/v1/auth/login", b'{"login": "nobody", "password": "nothing at all"}')
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    # The hook itself is tried, so that an empty list means something.
    try_it = "import socket\nfor f in (lambda: socket.getaddrinfo('example.org', 80), lambda: socket.create_connection(('192.0.2.1', 80), 1)):\n    try: f()\n    except OSError: pass"
    subprocess.run([sys.executable, "-c", try_it], env={**environment, "ASKED": str(proof)}, check=True)
    teeth = [line for line in told(proof) if line != "socket.getaddrinfo 192.0.2.1"]
    sys.stdout.write(
        json.dumps({"answers": answers, "outside": outside(), "asked": told(asked), "teeth": teeth}) + "\n"
    )


if __name__ == "__main__":
    main()
