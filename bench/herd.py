"""A herd: a valley's mast comes back after a day, and every phone sends its queue at once: ``python -m bench.herd``.

security.md S3: 2,000 phones with 7 check-ins each, all stored within 120 s on two cores, each of them once, nothing lost,
the check-ins of others meanwhile stored within a second (95 in 100), and memory flat. See bench/README.md.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import district, serving, showing
from bench.asking import Crowd
from bench.district import PROJECT, Place
from bench.serving import Running
from server import clock, ids
from server.auth.keys import KeySet

WITHIN_S = 120.0
SINGLE_P95_MS = 1_000.0
GROWTH_MB = 64.0
"""What a worker may grow by: its queues and batches are bounded, so it must not be more with more phones."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=2_000)
    parser.add_argument("--queued", type=int, default=7, help="check-ins of each phone")
    parser.add_argument("--villages", type=int, default=district.VILLAGES)
    parser.add_argument(
        "--people", type=int, default=60_000, help="people posted, with accounts and sessions"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=20.0, help="check-ins a second of others, each alone")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    return parser.parse_args()


def _head(method: str, path: str, token: str) -> str:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        "content-type: application/json\r\naccept: application/json\r\nuser-agent: zaicun-phone/1.0\r\n"
    )


def _check_in(village: int, captured: datetime, chance: random.Random) -> dict[str, Any]:
    lon, lat = district.centre(village)
    reach = district.RADIUS_DEG * district.SMALL
    return {
        "kind": "day",
        "captured_at": captured.isoformat(),
        "utc_offset_min": 480,
        "position": {
            "lon": round(lon + chance.uniform(-reach, reach), 7),
            "lat": round(lat + chance.uniform(-reach, reach), 7),
            "datum": "wgs84",
            "accuracy_m": round(chance.uniform(4, 40), 1),
            "age_s": 2.5,
            "provider": "gps",
            "mocked": False,
        },
        "client": "zaicun-phone/1.0 (Android 14)",
    }


def _spec(given: argparse.Namespace, herd: Crowd, others: Crowd, port: int) -> dict[str, Any]:
    """Return what every phone has queued over the last day, and what others will send meanwhile."""
    chance, now = random.Random(5), clock.now()
    span = timedelta(hours=24) / max(1, given.queued)
    phones = [
        {
            "head": _head("POST", "/v1/check-ins/batch", token),
            "items": [
                {
                    "id": str(ids.new_id()),
                    **_check_in(one.village, now - span * (turn + chance.random()), chance),
                }
                for turn in range(given.queued)
            ],
        }
        for one, token in zip(herd.people, herd.tokens, strict=True)
    ]
    singles = []
    for turn in range(int(given.rate * WITHIN_S * 1.2)):
        one, token = others.people[turn % len(others.people)], others.tokens[turn % len(others.tokens)]
        made = str(ids.new_id())
        body = _check_in(one.village, now, chance) | {"sent_at": now.isoformat()}
        singles.append(
            {"id": made, "head": _head("PUT", f"/v1/check-ins/{made}", token), "content": json.dumps(body)}
        )
    return {
        "port": port, "sent_at": now.isoformat(), "phones": phones, "singles": singles, "rate": given.rate,
        "within_s": WITHIN_S,
    }  # fmt: skip


class _Watch:
    """The largest memory of any worker, read while it serves."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._ended = threading.Event()
        self.before = self.largest = self._read()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _read(self) -> float:
        largest = 0.0
        for pid in self._running.workers():
            with contextlib.suppress(OSError):  # The supervisor's short-lived children are no workers.
                largest = max(largest, serving.memory(pid).rss_mb)
        return largest

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            self.largest = max(self.largest, self._read())

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()


def _run(given: argparse.Namespace, place: Place) -> dict[str, Any]:
    with place.owner() as connection:
        district.lay_out(connection, given.villages)
        district.settle(connection, given.people, given.villages)
        people = district.posted(connection, given.phones + 500)
    place.var.mkdir(parents=True, exist_ok=True)
    keys = KeySet(place.var / "keys")
    keys.ensure()
    everybody = Crowd(people, district.signed(keys, people))
    herd = Crowd(everybody.people[: given.phones], everybody.tokens[: given.phones])
    others = Crowd(everybody.people[given.phones :], everybody.tokens[given.phones :])
    with serving.started(place, "zaicun", workers=given.workers) as running:
        spec = _spec(given, herd, others, running.port)
        file = place.var / "herd.json"
        file.write_text(json.dumps(spec), "utf-8")
        time.sleep(1)
        watch, before = _Watch(running), serving.used(running, place)
        command = [sys.executable, "-m", "bench.herd_phones", str(file)]
        subprocess.run(command, cwd=PROJECT, timeout=3 * WITHIN_S, check=True)
        watch.end()
        after = serving.used(running, place)
    found: dict[str, Any] = json.loads(file.with_suffix(".told").read_text("utf-8"))
    return found | {
        "memory_before_mb": watch.before, "memory_largest_mb": watch.largest, "queued": [
            item["id"] for phone in spec["phones"] for item in phone["items"]
        ],
        "server_s": round(after.server - before.server, 1), "postgresql_s": round(after.postgresql - before.postgresql, 1),
    }  # fmt: skip


def main() -> None:
    """Measure, show, and end."""
    given = _arguments()
    result: dict[str, Any] = {"bench": "herd", **showing.machine()}
    result["given"] = {name: value for name, value in vars(given).items() if name != "json"}
    with district.opened() as place:
        found = _run(given, place)
        with place.owner() as connection:
            rows = [str(row[0]) for row in connection.execute("SELECT id FROM checkins").fetchall()]
    queued, acknowledged = set(found.pop("queued")), found.pop("stored")
    instants = sorted(instant for check_in, instant in acknowledged.items() if check_in in queued)
    result |= found
    result |= {
        "queued": len(queued),
        "acknowledged": len(instants),
        "last_s": instants[-1] if instants else None,
        "lost": len(set(acknowledged) - set(rows)),
        "twice": len(rows) - len(set(rows)),
    }
    grown = round(found["memory_largest_mb"] - found["memory_before_mb"], 1)
    result["goals"] = {
        f"every queue stored within {WITHIN_S:.0f} s": len(instants) == len(queued)
        and not found["phones_late"],
        "nothing lost, nothing twice": not result["lost"] and not result["twice"] and not found["refused"],
        f"others p95 <= {SINGLE_P95_MS:.0f} ms": bool(found["singles"])
        and found["single_p95_ms"] <= SINGLE_P95_MS,
        f"a worker grew by at most {GROWTH_MB:.0f} MB (by {grown})": grown <= GROWTH_MB,
    }
    print(
        f"{len(instants)} of {len(queued)} check-ins of {given.phones} phones stored, the last after {result['last_s']} s; "
        f"{found['singles']} others: p50 {found['single_p50_ms']} ms, p95 {found['single_p95_ms']} ms; tries {found['tries']}"
    )
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
