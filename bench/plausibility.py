"""What the plausibility rules find and whom they trouble: ``python -m bench.plausibility``. See bench/README.md.

Generated districts (traces.py) are scored by the product's own rules with one policy. An attacker-month is a month with
at least five check-ins by which somebody pretended; it is found when one of these is reviewed, or drawn for review.
"""

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import showing, traces
from bench.traces import WAYS, Traces, Way, goes
from geo.datum import wgs84_to_gcj02
from server.checkins.plausibility import fleet, habits, policy, scoring
from server.checkins.plausibility.facts import BoolArray, Columns, IntArray
from server.checkins.plausibility.policy import TrustPolicy
from server.checkins.plausibility.shifts import Shift
from server.checkins.plausibility.signals import Code

LEAST_IN_MONTH = 5
EXCUSED = (Code.MOCKED, Code.ZERO_ACCURACY, Code.ODD_PROVIDER)
"""What a registered receiver explains."""
UPDATE_DAY = 90
"""The day on which one client's update changes its datum."""
MEASURED, SIGNED = "hidden-fixed, not as if looked up", "shared-phone, signed"
HONEST = WAYS.index(Way.HONEST)


def measure(seed: int, *, people: int, months: int, attackers: int, weighed: TrustPolicy) -> Counter[str]:
    """Make and score one district; return counts, with names joined by `/`."""
    made = traces.make(seed, people=people, days=30 * months, attackers=attackers)
    columns = made.columns
    began = time.perf_counter()
    known = habits.habits_of(columns, habits.customs(columns), weighed.limits)
    scored = scoring.score(columns, known, weighed, {code: [made.registered] for code in EXCUSED})
    sampled, reviewed = scored.attention()
    counts: Counter[str] = Counter()
    counts["microseconds"] = int(1e6 * (time.perf_counter() - began))
    drawn = sampled & (np.random.default_rng([seed, 1]).random(len(columns)) < weighed.sampled_percent / 100)
    counts["check-ins"] = len(columns)
    counts["assessed"] = len(scored.score)
    for number, way in enumerate(WAYS):
        mine = (made.way == number) & (made.attack | (number == HONEST))
        counts[f"{way}/check-ins"] = int(mine.sum())
        counts[f"{way}/reviewed"] = int((mine & reviewed).sum())
        counts[f"{way}/drawn"] = int((mine & drawn).sum())
        least = 1 if number == HONEST else LEAST_IN_MONTH
        _months(counts, f"{way}", made, mine, seen=(reviewed, drawn), least=least)
        for each in scored.found:
            counts[f"signal/{each.code}/{way}"] = int(mine[each.rows].sum())
    fixed = goes(made.way, Way.HIDDEN_FIXED) & made.attack & ~columns.listed(weighed.limits.listed_from_m)
    _months(counts, MEASURED, made, fixed, seen=(reviewed, drawn), least=LEAST_IN_MONTH)
    shared = goes(made.way, Way.SHARED_PHONE) & made.attack
    signed = shared & (columns.device >= 0)
    _months(counts, SIGNED, made, signed, seen=(reviewed, drawn), least=LEAST_IN_MONTH)
    if months * 30 > UPDATE_DAY + 3:
        _sentinel(counts, columns, made.day)
    return counts


def _months(
    counts: Counter[str],
    name: str,
    made: Traces,
    mine: BoolArray,
    *,
    seen: tuple[BoolArray, BoolArray],
    least: int,
) -> None:
    """Count person-months with so many check-ins, and those of which one is reviewed, and reviewed or drawn."""
    key = made.columns.person * 1000 + made.month
    size = int(key.max()) + 1
    enough = np.bincount(key[mine], minlength=size) >= least
    reviewed, drawn = seen
    counts[f"{name}/months"] = int(enough.sum())
    counts[f"{name}/months reviewed"] = int(
        (enough & (np.bincount(key[mine & reviewed], minlength=size) > 0)).sum()
    )
    touched = np.bincount(key[mine & (reviewed | drawn)], minlength=size) > 0
    counts[f"{name}/months found"] = int((enough & touched).sum())


def _sentinel(counts: Counter[str], columns: Columns, day: IntArray) -> None:
    """Let one client add GCJ-02 from a day on; count on which day it is noticed, and alarms that nothing caused."""
    near = columns.take((day >= UPDATE_DAY - 34) & (day <= UPDATE_DAY + 2))
    begins = traces.BEGIN_S + UPDATE_DAY * traces.DAY_S
    clients = np.bincount(near.client)
    chosen = int(np.argsort(clients)[-2])
    moved = (near.client == chosen) & (near.latest_s >= begins)
    for row in np.flatnonzero(moved):
        at = wgs84_to_gcj02(lon=float(near.lon[row]), lat=float(near.lat[row]))
        near.wgs_lon_e7[row], near.wgs_lat_e7[row] = round(at.lon * traces.E7), round(at.lat * traces.E7)
    for after in (0, 1, 2, 3):
        now = begins + after * traces.DAY_S - 1
        alarms = fleet.alarms(near.take(near.latest_s <= now), now_s=now)
        right = [each for each in alarms if each.client == chosen and each.shift is Shift.GCJ02_ADDED]
        counts[f"sentinel/day {after}"] += len(right) if after else 0
        counts["sentinel/false"] += len(alarms) - (len(right) if after else 0)
    counts["sentinel/districts"] += 1


def share(counts: Counter[str], some: str, of: str) -> float:
    """Return a share in per cent."""
    return round(100 * counts[some] / counts[of], 2) if counts[of] else 0.0


def figures(counts: Counter[str]) -> dict[str, Any]:
    """Return what is told, in per cent."""
    ways = {
        name: {
            "months": counts[f"{name}/months"],
            "reviewed_%": share(counts, f"{name}/months reviewed", f"{name}/months"),
            "found_%": share(counts, f"{name}/months found", f"{name}/months"),
        }
        for name in (*map(str, WAYS[1:]), MEASURED, SIGNED)
    }
    touched = counts["honest/reviewed"] + counts["honest/drawn"]
    return {
        "check_ins": counts["check-ins"],
        "us_a_check_in": round(counts["microseconds"] / counts["check-ins"], 2),
        "ways": ways,
        "honest": {
            "check_ins_%": round(100 * touched / counts["honest/check-ins"], 3),
            "months_%": share(counts, "honest/months found", "honest/months"),
            "rejected": counts["check-ins"] - counts["assessed"],
        },
        "signals_%": {
            str(code): {str(way): share(counts, f"signal/{code}/{way}", f"{way}/check-ins") for way in WAYS}
            for code in Code
        },
        "sentinel": {
            "districts": counts["sentinel/districts"],
            **{f"day_{n}": counts[f"sentinel/day {n}"] for n in (1, 2, 3)},
            "false_alarms": counts["sentinel/false"],
        },
    }


def goals(told: dict[str, Any]) -> dict[str, bool]:
    """Return security.md's figures, section 4, as far as they can be simulated."""
    found = {name: way["found_%"] for name, way in told["ways"].items()}
    return {
        "mock visible: all attacker-months reviewed": told["ways"]["mock-visible"]["reviewed_%"] == 100,  # noqa: PLR2004
        "hidden, fixed point: 95 % of attacker-months found": found["hidden-fixed"] >= 95,  # noqa: PLR2004
        "hidden with jitter, browser: 50 % found": found["hidden-jitter-browser"] >= 50,  # noqa: PLR2004
        "one phone for several, signed: 95 % found": found[SIGNED] >= 95,  # noqa: PLR2004
        "honest: at most 1 % of check-ins reviewed": told["honest"]["check_ins_%"] <= 1,
        "honest: at most 5 % of cadre-months touched": told["honest"]["months_%"] <= 5,  # noqa: PLR2004
        "honest: none rejected": told["honest"]["rejected"] == 0,
    }


def main() -> None:
    """Measure, show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--attackers", type=int, default=20, help="people for each way of attack")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--policy", type=Path, help="a policy document (JSON) instead of the default")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    given = parser.parse_args()
    weighed = policy.parse(json.loads(given.policy.read_text("utf-8")) if given.policy else {})
    one = partial(
        measure, people=given.people, months=given.months, attackers=given.attackers, weighed=weighed
    )
    began = time.perf_counter()
    with ProcessPoolExecutor(given.jobs) as pool:
        each = list(pool.map(one, range(given.seeds)))
    told = figures(sum(each, Counter()))
    result = {
        "bench": "plausibility",
        **showing.machine(),
        "seeds": given.seeds,
        "people": given.people,
        "months": given.months,
        "policy": weighed.version,
        "took_s": round(time.perf_counter() - began, 1),
        **told,
        "worst_seed_honest_months_%": max(share(one, "honest/months found", "honest/months") for one in each),
        "goals": goals(told),
    }
    print(showing.table([{"way": name, **way} for name, way in told["ways"].items()]))
    print(
        showing.table([{"signal, % of check-ins": code, **ways} for code, ways in told["signals_%"].items()])
    )
    print(f"honest {told['honest']}; sentinel {told['sentinel']}; {told['us_a_check_in']} us a check-in")
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
