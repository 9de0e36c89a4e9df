"""Runs of the load generator against a server, with what everything used meanwhile."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench import district, serving, traffic
from bench.district import PROJECT, Place, Posted
from server import clock, ids

WARM_S = 2.0
_KINDS = ("day", "arrive", "leave")


@dataclass(frozen=True, slots=True)
class Crowd:
    """People with their access tokens."""

    people: Sequence[Posted]
    tokens: Sequence[str]


def requests(crowd: Crowd, count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield the bytes of `count` check-ins of people in turn, each with an id of its own, made just now."""
    chance = random.Random(seed)
    sent = clock.now()
    captured = (sent - timedelta(seconds=3)).isoformat()
    order = list(range(len(crowd.people)))
    chance.shuffle(order)
    for turn in range(count):
        one = order[turn % len(order)]
        lon, lat = district.centre(crowd.people[one].village)
        reach = district.RADIUS_DEG * (1.2 if turn % 20 == 0 else district.SMALL)  # Some stand outside.
        body = {
            "kind": _KINDS[turn % 10] if turn % 10 < len(_KINDS) else "day",
            "captured_at": captured,
            "sent_at": sent.isoformat(),
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
        content = json.dumps(body).encode()
        head = (
            f"PUT /v1/check-ins/{ids.new_id()} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {crowd.tokens[one]}\r\n"
            f"content-type: application/json\r\naccept: application/json\r\nuser-agent: zaicun-phone/1.0\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        yield head.encode() + content


def measure(
    running: serving.Running,
    place: Place,
    crowd: Crowd,
    *,
    connections: int,
    measured_s: float,
    most: int,
    rate: float | None = None,
    warm_s: float = WARM_S,
    once: bool = False,
) -> dict[str, Any]:
    """Run the generator; `rate` None is the closed loop, `most` the requests prepared. Times in the names.

    `once`: the closed loop ends when everything prepared was sent and answered.
    """
    path = place.var / "requests.bin"
    traffic.write_requests(path, requests(crowd, most, seed=int(1000 * (rate or 0)) + connections))
    spec = {
        "requests": str(path),
        "connections": connections,
        "measured_s": measured_s,
        "warm_s": warm_s,
        "port": running.port,
        "rate": rate,
        "once": once,
    }
    command = [sys.executable, "-m", "bench.traffic", json.dumps(spec)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout
        if out is None:
            raise RuntimeError("the generator has no output")
        lines = []
        readings = []
        for line in out:
            if line.strip() in {"begin", "end"}:
                readings.append(serving.used(running, place))
            else:
                lines.append(line)
    path.unlink()
    if len(readings) != 2 or not lines:  # noqa: PLR2004  Begin and end.
        raise RuntimeError("the generator did not finish")
    outcome: dict[str, Any] = json.loads(lines[-1])
    answered = max(1, sum(outcome["answers"].values()))
    before, after = readings
    outcome["us_each"] = {
        "server": round(1e6 * (after.server - before.server) / answered),
        "postgresql": round(1e6 * (after.postgresql - before.postgresql) / answered),
        "generator": round(1e6 * outcome["generator_s"] / answered),
    }
    outcome["memory_mb"] = [
        {"rss": one.rss_mb, "pss": one.pss_mb} for one in map(serving.memory, running.workers())
    ]
    return outcome
