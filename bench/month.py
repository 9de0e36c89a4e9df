"""The month of a district and of the nation: ``python -m bench.month``. See bench/README.md.

Raw check-ins of a whole month are made with generate_series, each person's days drawn apart. Then the product judges
everybody three times: from the masks it keeps, from the check-ins themselves, and by comparing both in the database.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg

from bench import district, showing
from geo.verdict import Band
from server import clock
from server.checkins import codes
from server.checkins.rules import Kind
from server.compliance import queries, recomputing, service
from server.compliance.service import ScopeMonth
from server.db import Database
from server.month import book as books
from server.month.masks import Month
from server.month.rules import Tier

GOALS = {60_000: {"raw_s": 3.0}, 563_000: {"raw_s": 30.0, "kept_s": 3.0}}
CHUNK = 20_000
Made = TypeVar("Made")

_GROUNDS = """INSERT INTO checkin_grounds (village_code, versions)
SELECT village_code, ARRAY[gen_random_uuid()] FROM (SELECT DISTINCT village_code FROM postings) AS p"""
_PHONE = """INSERT INTO checkin_phones (client, provider, datum, mocked)
VALUES ('zaicun-phone/1.0 (Android 14)', 'gps', 'gcj02', false) ON CONFLICT DO NOTHING"""
_RAW = f"""INSERT INTO checkin_rows (person_id, id, received_at, event_at, sent_at, day, utc_offset_min, kind, verdict, reason,
    standing, band, accuracy_m, fix_age_s, margin_m, p_inside, outside_work, posting_id, grounds, phone, commitment,
    content_hash, month_counted, month_need, month_due, month_away, month_tier)
SELECT p.person_id, (lpad(to_hex((extract(epoch FROM t.at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8'
        || substr(h, 4, 15))::uuid, t.at, t.at, t.at, d::date, 480, {codes.one("kind", Kind.DAY)},
    {codes.code_of("verdict", "v.verdict")}, {codes.code_of("reason", "v.reason")}, {codes.code_of("standing", "v.standing")},
    {codes.one("band", Band.INSIDE)}, 12.5, 2.5, 321.5, 0.99, false, p.posting_id, p.grounds, f.id, decode(h || h, 'hex'),
    decode(md5(h) || h, 'hex'), 20, 40, 60, 12, {codes.one("month_tier", Tier.ON_TRACK)}
FROM (SELECT q.person_id, q.id AS posting_id, g.id AS grounds, row_number() OVER (ORDER BY q.person_id) AS n
    FROM postings AS q JOIN checkin_grounds AS g USING (village_code)
    ORDER BY q.person_id OFFSET %(offset)s LIMIT %(limit)s) AS p
CROSS JOIN checkin_phones AS f
CROSS JOIN generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d
CROSS JOIN generate_series(1, 2) AS turn
CROSS JOIN LATERAL (SELECT md5(p.n || '/' || d || '/' || turn) AS h) AS drawn
CROSS JOIN LATERAL (SELECT ('x' || substr(h, 20, 6))::bit(24)::int AS chance) AS c
CROSS JOIN LATERAL (SELECT d + interval '30 minutes' + chance * interval '3 milliseconds' AS at) AS t
CROSS JOIN LATERAL (SELECT
    CASE WHEN chance %% 20 = 0 THEN 'outside' WHEN chance %% 20 < 3 THEN 'unsure' ELSE 'inside' END AS verdict,
    CASE WHEN chance %% 20 = 0 THEN 'out-of-village' WHEN chance %% 20 < 3 THEN 'near-village-border' ELSE 'in-village' END AS reason,
    CASE WHEN chance %% 20 = 0 THEN 'not-counted' WHEN chance %% 20 < 3 THEN 'provisional' ELSE 'counted' END AS standing) AS v
WHERE ('x' || substr(h, 26, 4))::bit(16)::int < 65536 * %(density)s / 2"""  # noqa: S608  Constants of the product.

_KEPT = """INSERT INTO person_months (person_id, month, sure, unsure, unfenced, outside, claimed)
SELECT person_id, %(first)s, COALESCE(bit_or(b) FILTER (WHERE verdict = 'inside'), 0),
    COALESCE(bit_or(b) FILTER (WHERE verdict = 'unsure'), 0), 0, COALESCE(bit_or(b) FILTER (WHERE verdict = 'outside'), 0), 0
FROM (SELECT person_id, verdict, 3::bigint << (2 * (EXTRACT(day FROM day)::int - 1)) AS b FROM checkins
    WHERE day BETWEEN %(first)s AND %(last)s) AS each GROUP BY person_id"""


def make_month(connection: psycopg.Connection[Any], month: Month, people: int, density: float) -> int:
    """Make the check-ins of a month (`density` a person and day, up to 2) and the masks kept; return how many."""
    given = {"first": month.first, "last": month.last, "density": density, "limit": CHUNK}
    connection.execute("DELETE FROM checkin_grounds")
    connection.execute("DELETE FROM checkin_phones")
    connection.execute(_GROUNDS)
    connection.execute(_PHONE)
    for offset in range(0, people, CHUNK):
        connection.execute(_RAW, {**given, "offset": offset})
    connection.execute(_KEPT, given)
    connection.execute("VACUUM ANALYZE checkin_rows, checkin_grounds, checkin_phones")
    connection.execute("VACUUM ANALYZE person_months")
    row = connection.execute("SELECT count(*) FROM checkins").fetchone()
    return int(row[0]) if row else 0


def _timed(make: Callable[[], Made]) -> tuple[Made, float, float]:
    began, used = time.perf_counter(), time.process_time()
    made = make()
    return made, round(time.perf_counter() - began, 2), round(time.process_time() - used, 2)


def _same(one: ScopeMonth, other: ScopeMonth) -> bool:
    """Tell whether two judgements of everybody agree, figure by figure."""
    if not np.array_equal(one.columns.people, other.columns.people):
        return False
    names = type(one.figures).__dataclass_fields__
    return all(np.array_equal(getattr(one.figures, name), getattr(other.figures, name)) for name in names)


def measure(place: district.Place, month: Month) -> dict[str, Any]:
    """Judge everybody from the kept masks and from the raw check-ins; seconds of wall clock and of this process."""
    database = Database(place.app_url, pool_size=1, statement_timeout_s=300)
    try:
        with database.read() as session:
            kept, kept_s, kept_own = _timed(lambda: service.scope_month(session, queries.EVERYONE, month))
            raw, raw_s, raw_own = _timed(
                lambda: service.scope_month(session, queries.EVERYONE, month, from_records=True)
            )
            different, compared_s, _ = _timed(lambda: recomputing.different_masks(session, month))
            judged, judge_s, _ = _timed(
                lambda: service.judge_columns(books.load(session), kept.columns, month, clock.now())
            )
    finally:
        database.close()
    return {
        "people_judged": len(kept.columns),
        "kept_s": kept_s,
        "kept_own_s": kept_own,
        "raw_s": raw_s,
        "raw_own_s": raw_own,
        "compared_s": compared_s,
        "judging_alone_s": judge_s,
        "agree": _same(kept, raw) and not different and len(judged.columns) == len(raw.columns),
    }


def main() -> None:
    """Make the month, judge it, show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60_000, help="563000 is the nation")
    parser.add_argument("--density", type=float, default=1.75, help="check-ins a person and day")
    parser.add_argument("--month", type=Month.parse, default=Month(2026, 10))
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    given = parser.parse_args()
    result: dict[str, Any] = {"bench": "month", **showing.machine(), "people": given.people}
    with district.opened() as place, place.owner() as connection:
        began = time.perf_counter()
        district.lay_out(connection)
        district.settle(connection, given.people)
        result["check_ins"] = make_month(connection, given.month, given.people, given.density)
        result["made_in_s"] = round(time.perf_counter() - began, 1)
        result |= measure(place, given.month)
    goals = GOALS.get(given.people, {})
    result["goals"] = {f"{name} <= {most}": result[name] <= most for name, most in goals.items()}
    result["goals"]["both agree exactly"] = result["agree"]
    shown = ("people", "check_ins", "kept_s", "raw_s", "compared_s", "judging_alone_s", "agree")
    print(showing.table([{name: result[name] for name in shown}]))
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
