"""What storage still holds after positions were deleted, as server/deploy/GUIDE.md, section 9, says it does."""

from pathlib import Path

import psycopg
import pytest
from conftest import Clone
from processes import until

from server import cluster as cluster_module
from server.cluster import Cluster

SALT = bytes.fromhex("7a" * 8) + b"remains?"
LON_E7, OTHERS = 1_061_234_567, 1_070_000_000
STATISTICS = """SELECT coalesce(most_common_vals::text, '') || coalesce(histogram_bounds::text, '') FROM pg_stats
WHERE tablename = 'checkin_points' AND attname = 'lon_e7'"""


@pytest.fixture
def superuser(cluster: Cluster, clone: Clone) -> psycopg.Connection:
    return psycopg.connect(cluster.dsn(cluster_module.SUPERUSER, clone().name), autocommit=True)


def in_the_file(connection: psycopg.Connection, cluster: Cluster) -> bool:
    """Tell whether the table's file on the disk holds the deleted salt."""
    connection.execute("CHECKPOINT")
    row = connection.execute("SELECT pg_relation_filepath('checkin_points')").fetchone()
    assert row is not None
    return SALT in Path(cluster.data, row[0]).read_bytes()


def in_the_statistics(connection: psycopg.Connection, lon_e7: int) -> bool:
    row = connection.execute(STATISTICS).fetchone()
    return row is not None and str(lon_e7) in row[0]


def test_deleted_positions_leave_the_file_when_it_is_written_anew(
    superuser: psycopg.Connection, cluster: Cluster
) -> None:
    with superuser as connection:
        insert = """INSERT INTO checkin_points (seq, lon_e7, lat_e7, salt)
            SELECT s, %s + s, 289000000, %s FROM generate_series(%s::integer, %s::integer) AS s"""
        connection.execute(insert, [LON_E7, SALT, 0, 99])
        connection.execute(insert, [OTHERS, b"x" * 16, 100, 199])
        connection.execute("ANALYZE checkin_points")
        assert in_the_file(connection, cluster)
        assert in_the_statistics(connection, LON_E7)
        connection.execute("DELETE FROM checkin_points WHERE seq < 100")
        assert in_the_file(connection, cluster), "deleting takes nothing off the disk by itself"

        def written_anew() -> bool:
            # Rows that an older snapshot may still see, such as an autovacuum worker's, are carried over.
            connection.execute("VACUUM (FULL, ANALYZE) checkin_points")
            return not in_the_file(connection, cluster)

        until(written_anew)
        assert not in_the_statistics(connection, LON_E7)
        connection.execute("DELETE FROM checkin_points")
        connection.execute("VACUUM (FULL, ANALYZE) checkin_points")
        assert in_the_statistics(connection, OTHERS + 100), "an empty table keeps what was known of it"
