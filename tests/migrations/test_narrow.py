"""The migration to narrow rows: check-ins of every kind survive it, whatever comes while it runs."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from conftest import Cloned
from migrations.busy import watched_locks
from migrations.databases import APP, IMPATIENT, down, empty_database, up

from server import migrate
from server.cluster import Cluster
from server.lock_watch import MigrationFault

BEFORE, AFTER = "0003", "0004"
ROWS = 3_000
MANY = """INSERT INTO checkins (person_id, id, received_at, event_at, captured_at, sent_at, day, utc_offset_min, kind, verdict,
    reason, standing, band, datum, provider, mocked, accuracy_m, fix_age_s, margin_m, p_inside, p_zone, no_position,
    outside_work, note, client, posting_id, village_code, zone_name, versions, commitment, content_hash, month_counted,
    month_need, month_due, month_away, month_tier)
SELECT md5('p' || n %% 50)::uuid, md5('i' || n)::uuid, at, at - n %% 3 * interval '1 minute', at - n %% 7 * interval '1 hour',
    at + n * interval '1 microsecond', at::date, n %% 1921 - 960, (ARRAY['day', 'arrive', 'leave'])[1 + n %% 3],
    (ARRAY['inside', 'unsure', 'outside', 'town', 'unusable', 'no_fence', 'not_posted'])[1 + n %% 7],
    (ARRAY['in-village', 'near-village-border', 'accuracy-unknown', 'near-zone-border', 'near-zone-far-from-village',
        'out-of-village', 'in-town-seat', 'in-urban-area', 'no-fix', 'fix-too-old', 'accuracy-too-coarse', 'no-boundary',
        'not-posted'])[1 + n %% 13],
    (ARRAY['counted', 'provisional', 'claimed', 'not-counted'])[1 + n %% 4],
    (ARRAY['inside', 'within-100m', 'within-500m', 'within-2km', 'farther', NULL])[1 + n %% 6],
    (ARRAY['wgs84', 'gcj02', 'bd09', 'cgcs2000', NULL])[1 + n %% 5], (ARRAY['gps', 'network', '', NULL])[1 + n %% 4],
    (ARRAY[true, false, NULL])[1 + n %% 3], nullif(n %% 11, 0) * 1.5, n %% 13 - 1.25, nullif(n %% 17, 0) * -0.1,
    nullif(n %% 19, 0) / 19.0, nullif(n %% 23, 0) / 23.0,
    (ARRAY['denied', 'off', 'timeout', 'unavailable', 'unsupported', 'other', NULL])[1 + n %% 7], n %% 2 = 0,
    (ARRAY['走访 100%% 的农户', '', NULL])[1 + n %% 3],
    CASE n %% 3 WHEN 0 THEN 'phone/' || n WHEN 1 THEN 'common/1' END,  -- More of them than there is room for.
    CASE WHEN n %% 5 > 0 THEN md5('q' || n %% 60)::uuid END, nullif('5001161012' || lpad((n %% 9)::text, 2, '0'), '500116101200'),
    (ARRAY['场镇', '', NULL])[1 + n %% 3],
    CASE n %% 4 WHEN 0 THEN ARRAY[md5('v')::uuid] WHEN 1 THEN ARRAY[md5('v')::uuid, md5('w')::uuid] WHEN 2 THEN ARRAY[]::uuid[] END,
    CASE WHEN n %% 5 > 0 THEN sha256(('m' || n)::bytea) END, sha256(('h' || n)::bytea), nullif(n %% 60, 0), nullif(n %% 61, 0),
    nullif(n %% 62, 0), nullif(n %% 63 - 31, 0), (ARRAY['reached', 'on-track', 'no-slack', 'cannot-be-reached', NULL])[1 + n %% 5]
FROM (SELECT n, timestamptz '2026-01-01' + n * interval '7 minutes' AS at FROM generate_series(1, %s) AS n) AS made"""
POSITIONS = """INSERT INTO checkin_positions
SELECT person_id, id, substr(content_hash, 1, 16 + n::int % 17), lon, lat, lon - n::int % 2 * 12345, lat + n::int % 2 * 2345,
    nullif(n::int % 5, 0) * 100, nullif(n::int % 7, 0) * 10,
    (SELECT max(d) FROM generate_series(0, 7) AS d WHERE d = 0 OR lon % (10 ^ (8 - d))::int <> 0 OR lat % (10 ^ (8 - d))::int <> 0)
FROM (SELECT *, (1062071234 / (10 ^ (n % 9))::int) * (10 ^ (n % 9))::int AS lon, (289081230 / (10 ^ (n % 9))::int) * (10 ^ (n % 9))::int AS lat
    FROM (SELECT row_number() OVER (ORDER BY id) AS n, * FROM checkins WHERE commitment IS NOT NULL) AS c) AS d"""
ONE = """INSERT INTO checkins (person_id, id, received_at, event_at, captured_at, sent_at, day, utc_offset_min, kind, verdict,
    reason, standing, outside_work, village_code, client, content_hash)
VALUES (%(person)s, %(id)s, now(), now(), now(), now(), now(), 480, 'day', 'inside', 'in-village', 'counted', false,
    '500116101299', 'late/1', 'x')"""
ONE_POSITION = """INSERT INTO checkin_positions (person_id, checkin_id, salt, lon_e7, lat_e7, wgs_lon_e7, wgs_lat_e7, decimals)
VALUES (%(person)s, %(id)s, '0123456789abcdef', 1062071234, 289081234, 1062071234, 289081234, 7)"""
SHOWN = {
    "checkins": """person_id, id, received_at, event_at, captured_at, sent_at, day, utc_offset_min, kind, verdict, reason,
    standing, band, datum, provider, mocked, accuracy_m, fix_age_s, margin_m, p_inside, p_zone, no_position, outside_work,
    note, client, posting_id, village_code, zone_name, versions, commitment, content_hash, month_counted, month_need,
    month_due, month_away, month_tier""",
    "checkin_positions": "person_id, checkin_id, salt, lon_e7, lat_e7, wgs_lon_e7, wgs_lat_e7, altitude_cm, speed_cmps, decimals",
}


@pytest.fixture
def old(cluster: Cluster) -> Iterator[Cloned]:
    """A database as the last release with wide rows left it, with check-ins of every kind."""
    with empty_database(cluster) as cloned:
        up(cloned, BEFORE)
        with migrate.owner_engine(cloned.owner_url).begin() as connection:
            connection.execute(sa.text(f"GRANT SELECT, INSERT ON checkins, checkin_positions TO {APP}"))
        with psycopg.connect(cloned.owner_url) as owner:
            owner.execute(MANY, (ROWS,))
            owner.execute(POSITIONS.encode())
        yield cloned


def shown(cloned: Cloned) -> dict[str, list[Any]]:
    """Return every check-in and position as text, in an order of their own."""
    with psycopg.connect(cloned.owner_url) as connection:
        return {
            name: connection.execute(
                f"SELECT t::text FROM (SELECT {columns} FROM {name}) AS t ORDER BY 1".encode()  # noqa: S608  Constants.
            ).fetchall()
            for name, columns in SHOWN.items()
        }


def test_check_ins_of_every_kind_survive_the_way_up_and_down_and_up(old: Cloned) -> None:
    before = shown(old)
    assert (len(before["checkins"]), len(set(before["checkins"]))) == (ROWS, ROWS)
    assert len(before["checkin_positions"]) == ROWS * 4 // 5
    up(old, AFTER)
    assert shown(old) == before
    with psycopg.connect(old.owner_url) as owner:
        inline = owner.execute("SELECT count(*) FROM checkin_rows WHERE client IS NOT NULL").fetchone()
        phones = owner.execute("SELECT count(*) FROM checkin_phones").fetchone()
        assert inline is not None
        assert phones is not None
        assert 0 < inline[0] < ROWS / 3  # Some had no room.
        assert phones[0] <= 1_000 + 15  # And one for each datum and mark of a mock.
    down(old, BEFORE)
    assert shown(old) == before
    up(old, AFTER)
    assert shown(old) == before


def test_what_stood_in_the_way_is_waited_for_and_what_came_meanwhile_is_there(old: Cloned) -> None:
    """The last step fails behind a reader: nothing is half done, people go on, and the next run finds all of it."""
    before = shown(old)
    key = {"person": uuid4(), "id": uuid4()}
    with psycopg.connect(old.app_url) as reader:
        reader.execute("SELECT count(*) FROM checkins")
        with pytest.raises(MigrationFault):
            up(old, AFTER)
        assert shown(old) == before
        with psycopg.connect(old.app_url) as phone:
            phone.execute(ONE, key)
            phone.execute(ONE_POSITION, key)
    before = shown(old)
    up(old, AFTER)
    assert shown(old) == before
    assert len(before["checkins"]) == ROWS + 1


def test_a_value_that_nobody_knows_stops_the_migration_and_mending_it_goes_on(old: Cloned) -> None:
    with psycopg.connect(old.owner_url) as owner:
        owner.execute("UPDATE checkins SET no_position = 'asleep' WHERE id = md5('i7')::uuid")
    with pytest.raises(sa.exc.IntegrityError, match="checkin_rows_no_position_check"):
        up(old, AFTER)
    with psycopg.connect(old.owner_url) as owner:
        owner.execute("UPDATE checkins SET no_position = 'other' WHERE id = md5('i7')::uuid")
    before = shown(old)
    up(old, AFTER)
    assert shown(old) == before


class Phones:
    """The version before, at work: each check-in with its position is a transaction, told of when it was committed."""

    def __init__(self, cloned: Cloned) -> None:
        self.stored: list[Any] = []
        self.refused: Exception | None = None
        self._url = cloned.app_url
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while self.refused is None:
                key = {"person": uuid4(), "id": uuid4()}
                try:
                    with connection.transaction():
                        connection.execute(ONE, key)
                        connection.execute(ONE_POSITION, key)
                    self.stored.append(key["id"])
                except psycopg.Error as error:
                    self.refused = error


@pytest.mark.slow
def test_people_check_in_until_the_tables_are_exchanged_and_nothing_is_lost(old: Cloned) -> None:
    with psycopg.connect(old.owner_url) as owner:
        for _ in range(20):
            owner.execute(MANY.replace("md5('i' || n)", "gen_random_uuid()").encode(), (ROWS,))
    phones = [Phones(old) for _ in range(3)]
    with watched_locks(old) as locks:
        for each in phones:
            each.thread.start()
        time.sleep(0.5)
        migrate.upgrade(old.owner_url, APP, AFTER, patience=IMPATIENT)
        for each in phones:
            each.thread.join(timeout=30)
    stored = [key for each in phones for key in each.stored]
    assert min(len(each.stored) for each in phones) > 0
    assert all(
        isinstance(each.refused, psycopg.OperationalError) for each in phones
    )  # Answered with 503 by that version.
    assert locks.longest_s <= 1.0, locks
    with psycopg.connect(old.owner_url) as owner:
        for table, name in (("checkins", "id"), ("checkin_positions", "checkin_id")):
            query = f"SELECT count(DISTINCT {name}) FROM {table} WHERE {name} = ANY(%s)"  # noqa: S608  Constants.
            assert owner.execute(query.encode(), (stored,)).fetchone() == (len(stored),)
        everybody = owner.execute("SELECT count(*) FROM checkins").fetchone()
        assert everybody == (ROWS * 21 + len(stored),)
