"""What check-ins take on disk, and what a long history costs: ``python -m bench.size``. See bench/README.md.

Months are made as in bench.month, with a position for each check-in. Told are megabytes a million check-ins, table by
table with its indexes, and how long the intake's statement takes before and after the open month has filled up.
"""

import argparse
from pathlib import Path
from typing import Any

import psycopg

from bench import district, floor, month, showing
from server.month.masks import Month

GOAL_MB = 200.0
GOAL_SLOWER = 1.10
_TABLES = (
    "checkin_rows",
    "checkin_points",
    "checkin_grounds",
    "checkin_phones",
    "person_months",
    "person_heads",
)
_POSITIONS = """INSERT INTO checkin_points (seq, salt, lon_e7, lat_e7, wgs_lon_e7, wgs_lat_e7)
SELECT seq, substr(commitment, 1, 16), 1061234567, 289123456, 1061234000, 289123000 FROM checkin_rows"""
_SIZES = """SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
WHERE relname = ANY(%s) ORDER BY relname"""


def sizes(connection: psycopg.Connection[Any], rows: int) -> list[dict[str, Any]]:
    """Return megabytes a million check-ins, table and indexes apart."""
    return [  # Bytes a row are megabytes a million rows.
        {"table": name, "table MB": round(size / rows, 1), "indexes MB": round(indexes / rows, 1)}
        for name, size, indexes in connection.execute(_SIZES, [list(_TABLES)])
    ]


def main() -> None:
    """Measure the floor on an empty table, fill it, tell its size, measure again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60_000)
    parser.add_argument(
        "--density", type=float, default=1.75, help="60,000 people: 0.54 for a million, 2 for 3.7"
    )
    parser.add_argument(
        "--transactions", type=int, default=48_000, help="check-ins of the floor, before and after; 0: none"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    given = parser.parse_args()
    result: dict[str, Any] = {"bench": "size", **showing.machine(), "people": given.people}
    with district.opened() as place, place.owner() as connection:
        district.lay_out(connection)
        district.settle(connection, given.people)
        place.var.mkdir(parents=True, exist_ok=True)
        people = district.posted(connection, 2_000)
        kept = floor.samples(place, people[:500]) if given.transactions else []

        def reached() -> float:
            if not given.transactions:
                return 0.0
            one = floor.measure(place, people, kept, group=16, clients=2, count=given.transactions // 16)
            return one.per_s

        empty = reached()
        connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        rows = month.make_month(connection, Month(2026, 10), given.people, given.density)
        connection.execute(_POSITIONS)
        connection.execute("VACUUM ANALYZE checkin_points")
        tables = sizes(connection, rows)
        full = reached()
    total = round(sum(table["table MB"] + table["indexes MB"] for table in tables), 1)
    result |= {
        "check_ins": rows,
        "tables": tables,
        "mb_a_million": total,
        "floor_empty": empty,
        "floor_full": full,
    }
    result["goals"] = {f"at most {GOAL_MB:.0f} MB a million check-ins": total <= GOAL_MB}
    if given.transactions:
        result["slower"] = round(empty / full, 3)
        result["goals"][f"at most {GOAL_SLOWER} times slower with {rows} rows"] = (
            result["slower"] <= GOAL_SLOWER
        )
    print(showing.table(tables))
    print(f"{rows} check-ins, {total} MB a million; {empty}/s on an empty table, {full}/s on the full one")
    showing.told(result, given.json)


if __name__ == "__main__":
    main()
