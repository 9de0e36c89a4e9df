"""How fast check-ins are assessed after they were stored: ``python -m bench.assessing``. See bench/README.md.

A month of check-ins is made as in bench.month, each with a position of its own in the maker's village, and assessed from
its first day on by the worker's own steps. What a check-in costs grows with the month that lies behind it, so the end of
the month is told apart: it is the cost of every day from then on.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bench import district, month, showing
from server import clock
from server.db import Database
from server.month.masks import Month
from server.places.rules import today
from server.review import assessing
from server.review.models import AssessmentMark

GOAL_PER_S = 70.0
"""Sixty thousand people's day, once a person and all of it offline until the evening, within a quarter of an hour."""
_POSITIONS = """INSERT INTO checkin_points (seq, salt, lon_e7, lat_e7, altitude_cm)
SELECT seq, substr(commitment, 1, 16), 1061234567 + a % 90000, 289123456 + b % 90000, 31000 + c % 900
FROM (SELECT r.seq, r.commitment, h.a, h.b, h.c FROM checkin_rows AS r CROSS JOIN LATERAL (
    SELECT ('x' || substr(m, 1, 7))::bit(28)::int AS a, ('x' || substr(m, 8, 7))::bit(28)::int AS b,
        ('x' || substr(m, 15, 7))::bit(28)::int AS c FROM (SELECT md5(r.seq::text) AS m) AS d
) AS h) AS drawn"""
_RECEIVERS = "UPDATE checkin_rows SET accuracy_m = 4 + (seq * 7919 % 6007) / 1000.0"


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: check-ins, seconds of wall clock, seconds of this process; the rest the database took."""

    taken: int
    wall_s: float
    own_s: float


def steps(place: district.Place, first: Month) -> list[Step]:
    """Assess everything since the month's first day, a batch a transaction."""
    database = Database(place.app_url, pool_size=1, statement_timeout_s=300)
    made: list[Step] = []
    try:
        with database.write() as session:
            since = datetime.combine(first.first, datetime.min.time(), UTC) - timedelta(days=1)
            session.add(AssessmentMark(one=True, until=since, draw_key=bytes(32)))
        while True:
            began, used = time.perf_counter(), time.process_time()
            with database.write() as session:
                done = assessing.step(session)
            made.append(Step(done.taken or 0, time.perf_counter() - began, time.process_time() - used))
            if not done.more:
                return made
    finally:
        database.close()


def told(name: str, some: list[Step]) -> dict[str, Any]:
    """Return what some batches amount to."""
    taken, wall = sum(each.taken for each in some), sum(each.wall_s for each in some)
    own = sum(each.own_s for each in some)
    return {
        "batches": name,
        "check_ins": taken,
        "per_s": round(taken / wall, 1),
        "ms_each": round(1000 * wall / taken, 3),
        "ms_own": round(1000 * own / taken, 3),
        "longest_s": round(max(each.wall_s for each in some), 2),
    }


def _make(connection: psycopg.Connection[Any], people: int, density: float, of: Month) -> int:
    district.lay_out(connection)
    district.settle(connection, people)
    rows = month.make_month(connection, of, people, density)
    connection.execute(_RECEIVERS)
    connection.execute(_POSITIONS)
    connection.execute("VACUUM ANALYZE checkin_rows, checkin_points")
    return rows


def main() -> None:
    """Make a month, assess it, tell the first and the last tenth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=2_000)
    parser.add_argument("--density", type=float, default=1.0, help="check-ins a person and day")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    given = parser.parse_args()
    last = Month.of(today(clock.now()).replace(day=1) - timedelta(days=1))
    result: dict[str, Any] = {"bench": "assessing", **showing.machine(), "people": given.people}
    with district.opened() as place, place.owner() as connection:
        rows = _make(connection, given.people, given.density, last)
        every = steps(place, last)
        found = connection.execute("SELECT count(*), count(signals) FROM checkin_assessments").fetchone()
    full = [each for each in every if each.taken == assessing.MOST] or every[:1]
    tenth = max(1, len(full) // 10)
    parts = [told("first tenth", full[:tenth]), told("last tenth", full[-tenth:]), told("all", full)]
    assessed, noticed = found or (0, 0)
    result |= {"check_ins": rows, "assessed": assessed, "noticed": noticed, "parts": parts}
    result["goals"] = {
        "every check-in is assessed": assessed >= rows,
        f"at least {GOAL_PER_S:.0f} a second with a month behind": parts[1]["per_s"] >= GOAL_PER_S,
    }
    print(showing.table(parts))
    print(f"{rows} check-ins, {noticed} with something noticed")
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
