"""Check-ins over HTTP against the floor, measured in one run: ``python -m bench.checkins``. See bench/README.md."""

import argparse
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import asking, district, floor, serving, showing
from bench.asking import Crowd
from bench.district import Place, Posted
from bench.serving import Running
from server.auth.keys import KeySet

GOAL_RATIO = 0.75
GOAL_P99_MS = {781.0: 10.0, 3000.0: 25.0}
GOAL_P99_MS_AT_SHARE = {0.12: 10.0, 0.45: 25.0}
"""The same two rates as shares of the 6,700/s that the floor reached where the goals were set: for other machines."""
GOAL_MB = 120.0
CROWD_LASTS_S = 240.0  # Tokens live ten minutes.
FLOOR_CLIENTS = 16
FASTEST = 9_000
"""Requests a second that are prepared at most; a server that takes more is told so by `unasked`."""
SLOW_BASELINE = 4_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--people", type=int, default=60_000, help="people posted, with accounts and sessions"
    )
    parser.add_argument("--villages", type=int, default=district.VILLAGES)
    parser.add_argument("--crowd", type=int, default=4_000, help="how many of them check in, in turn")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64, help="of the closed loop")
    parser.add_argument("--open-connections", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured in each run")
    parser.add_argument("--warm", type=float, default=4.0, help="seconds before each measurement")
    parser.add_argument("--rates", type=float, nargs="*", default=[781.0, 3000.0], help="of the open loop")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="*",
        default=list(GOAL_P99_MS_AT_SHARE),
        help="of the floor, as rates of the open loop",
    )
    parser.add_argument(
        "--overload", type=float, default=3.0, help="times the closed loop's rate; 0: no overload"
    )
    parser.add_argument("--baselines", nargs="*", choices=["orm", "sql"], default=["orm", "sql"])
    parser.add_argument("--floor-transactions", type=int, default=24_000, help="0: no floor")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    return parser.parse_args()


def _group_size(running: Running) -> tuple[float, float]:
    """Return how many check-ins were stored so far, and in how many groups."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/metrics", timeout=10) as page:
        text = page.read().decode()
    found = dict(re.findall(r"^zaicun_intake_group_size_(sum|count)\S* ([0-9.e+]+)$", text, re.MULTILINE))
    return float(found.get("sum", 0)), float(found.get("count", 0))


class Bench:
    """One run: the place, its people, and what was asked for."""

    def __init__(self, given: argparse.Namespace, place: Place) -> None:
        self.given = given
        self.place = place
        with place.owner() as connection:
            district.lay_out(connection, given.villages)
            district.settle(connection, given.people, given.villages)
            self.people: Sequence[Posted] = district.posted(connection, given.crowd)
        place.var.mkdir(parents=True, exist_ok=True)
        self.keys = KeySet(place.var / "keys")
        self.keys.ensure()
        self._crowd: Crowd | None = None
        self._signed = 0.0

    def crowd(self) -> Crowd:
        """Return the people with tokens; the same for some minutes, as phones keep theirs."""
        if self._crowd is None or time.monotonic() - self._signed > CROWD_LASTS_S:
            self._crowd = Crowd(self.people, district.signed(self.keys, self.people))
            self._signed = time.monotonic()
        return self._crowd

    def load(self, running: Running, *, fastest: float, rate: float | None = None) -> dict[str, Any]:
        """Run the generator once; the open loop where a rate is given."""
        span = self.given.seconds + self.given.warm
        return asking.measure(
            running,
            self.place,
            self.crowd(),
            connections=self.given.connections if rate is None else self.given.open_connections,
            measured_s=self.given.seconds,
            warm_s=self.given.warm,
            most=int(span * (fastest if rate is None else 1.1 * rate)) + 1_000,
            rate=rate,
        )

    def first(self, running: Running) -> dict[str, Any]:
        """Let everybody check in once: each token is verified, each village loaded."""
        return asking.measure(
            running, self.place, self.crowd(), connections=self.given.connections,
            measured_s=60.0, warm_s=0.0, most=len(self.people), once=True,
        )  # fmt: skip

    def product(self, rates: Mapping[str, float]) -> dict[str, Any]:
        """Measure the product: first requests, as fast as it goes, at given rates, and beyond what it can."""
        found: dict[str, Any] = {}
        with serving.started(self.place, "zaicun", workers=self.given.workers) as running:
            found["first"] = self.first(running)
            before = _group_size(running)
            found["closed"] = self.load(running, fastest=FASTEST)
            after = _group_size(running)
            found["mean_group"] = round((after[0] - before[0]) / max(1.0, after[1] - before[1]), 1)
            for name, rate in rates.items():
                found[name] = self.load(running, fastest=0, rate=rate)
            if self.given.overload:
                reached = found["closed"]["stored_per_s"]
                found["overload"] = self.load(
                    running, fastest=0, rate=max(200.0, self.given.overload * reached)
                )
                time.sleep(1)
                with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/readyz", timeout=10) as page:
                    found["ready_after_overload"] = page.status == 200  # noqa: PLR2004  OK.
        return found

    def baseline(self, design: str) -> dict[str, Any]:
        """Measure a naive design as fast as it goes."""
        with serving.started(self.place, design, workers=self.given.workers) as running:
            return self.load(running, fastest=SLOW_BASELINE)

    def floors(self) -> list[floor.Floor]:
        """Measure both floors: one check-in a transaction, and groups of half the connections, as the intake's are."""
        count = self.given.floor_transactions
        if not count:
            return []
        kept = floor.samples(self.place, self.people[:500])
        group = max(
            1, self.given.connections // self.given.workers // 2
        )  # What is asked while one is stored.
        several = max(FLOOR_CLIENTS, min(count, 6 * count // (1 + group)))
        return [
            floor.measure(self.place, self.people, kept, group=1, clients=FLOOR_CLIENTS, count=count),
            floor.measure(
                self.place, self.people, kept, group=group, clients=self.given.workers, count=several
            ),
        ]


def _rates(given: argparse.Namespace, floors: Sequence[floor.Floor]) -> dict[str, float]:
    """Return the rates of the open loop by name."""
    rates = {f"open {rate:.0f}/s": rate for rate in given.rates}
    if floors:
        rates |= {f"open {share:.0%} of the floor": share * floors[0].per_s for share in given.shares}
    return rates


def _row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    refused = {status: count for status, count in found["answers"].items() if status not in {"200", "201"}}
    return {
        "design": name,
        "stored/s": found["stored_per_s"],
        "p50 ms": found["p50_ms"],
        "p99 ms": found["p99_ms"],
        **{f"{part} us": cost for part, cost in found["us_each"].items()},
        "MB RSS/PSS": " ".join(f"{one['rss']:.0f}/{one['pss']:.0f}" for one in found["memory_mb"]),
        "refused": " ".join(f"{status}:{count}" for status, count in refused.items()) or "-",
        "unanswered": found["unanswered"] + found["broken"],
    }


def _judged(result: dict[str, Any]) -> dict[str, bool]:
    """Return which goals of performance.md were met in this run."""
    product = result["product"]
    met: dict[str, bool] = {}
    if result["floors"]:
        met[f"stored/s at least {GOAL_RATIO} of the floor of one a transaction"] = (
            result["ratios"]["of one a transaction"] >= GOAL_RATIO
        )
    limits = {f"{rate:.0f}/s": most for rate, most in GOAL_P99_MS.items()}
    limits |= {f"{share:.0%} of the floor": most for share, most in GOAL_P99_MS_AT_SHARE.items()}
    for at, most in limits.items():
        if (found := product.get(f"open {at}")) is not None:
            met[f"p99 <= {most:.0f} ms at {at}"] = found["p99_ms"] <= most and not found["unanswered"]
    if (over := product.get("overload")) is not None:
        known = set(over["answers"]) <= {"200", "201", "503"} and not over["broken"]
        met["beyond saturation: 503 or stored, ready again"] = known and product["ready_after_overload"]
    largest = max(one["rss"] for run in product.values() if isinstance(run, dict) for one in run["memory_mb"])
    met[f"at most {GOAL_MB:.0f} MB a worker (largest {largest})"] = largest <= GOAL_MB
    return met


def main() -> None:
    """Measure, show, and end."""
    given = _arguments()
    result: dict[str, Any] = {"bench": "checkins", **showing.machine()}
    result["given"] = {name: value for name, value in vars(given).items() if name != "json"}
    with district.opened() as place:
        bench = Bench(given, place)
        floors = bench.floors()
        result["floors"] = [asdict(one) for one in floors]
        product = result["product"] = bench.product(_rates(given, floors))
        result["baselines"] = {design: bench.baseline(design) for design in given.baselines}
    reached = product["closed"]["stored_per_s"]
    names = ("of one a transaction", "of groups as large")
    result["ratios"] = {name: round(reached / one.per_s, 3) for name, one in zip(names, floors, strict=False)}
    result["goals"] = _judged(result)
    runs = {name: run for name, run in product.items() if isinstance(run, dict)} | result["baselines"]
    print(showing.table([_row(name, run) for name, run in runs.items()]))
    for name, one in zip(names, floors, strict=False):
        print(
            f"floor {name}: {one.per_s}/s ({one.group} a transaction, {one.clients} clients; {one.raw_per_s}/s with the "
            f"reading of parameters); ratio {result['ratios'][name]}"
        )
    print(f"mean group {product['mean_group']}; load before {result['load_before']}")
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
