"""The bench's district: 2,500 villages of 564 vertices, 100 town seats, and people posted there with open sessions.

All of it is made by a few statements with generate_series on the product's own migrated schema, in a durable private
cluster below a folder of the bench's own. Nobody in it exists.
"""

import json
import math
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from server import clock, cluster, migrate
from server.access import Grant, Role, Who
from server.auth import tokens
from server.auth.keys import KeySet
from server.auth.rules import REFRESH_LIFE
from server.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
SCRATCH = PROJECT / "var" / "bench"
DISTRICT = "500116"
ISSUER = Settings().issuer
VILLAGES = 2_500
A_TOWN = 25
VERTICES = 564
PITCH_DEG = 0.04
WEST, SOUTH = 105.0, 28.0
RADIUS_DEG = 0.015  # About 1.5 km.
SMALL = (
    0.35  # The share of the radius in which people stand: as far as everywhere inside the wobbling border.
)


@dataclass(frozen=True, slots=True)
class Place:
    """A database of the bench: its addresses and the keys its tokens are signed with."""

    name: str
    app_url: str
    owner_url: str
    superuser_url: str
    data: Path
    socket: Path
    var: Path

    def owner(self) -> psycopg.Connection[Any]:
        """Connect as the owner of the tables."""
        return psycopg.connect(self.owner_url, autocommit=True)


@contextmanager
def opened(scratch: Path = SCRATCH) -> Iterator[Place]:
    """Yield a fresh migrated database in a durable cluster; drop it and stop the cluster at the end."""
    # Ended from outside, it still ends its servers and drops its database.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(1))
    scratch.mkdir(parents=True, exist_ok=True)
    with cluster.ensure(scratch) as running:
        name = f"bench_{uuid4().hex[:10]}"
        running.create_database(name)
        try:
            place = Place(
                name=name,
                app_url=running.dsn(cluster.APP_ROLE, name),
                owner_url=running.dsn(cluster.OWNER_ROLE, name),
                superuser_url=running.dsn(cluster.SUPERUSER, name),
                data=running.data,
                socket=running.socket,
                var=scratch / name,
            )
            migrate.upgrade(place.owner_url, cluster.APP_ROLE)
            yield place
        finally:
            running.drop_database(name)
            shutil.rmtree(scratch / name, ignore_errors=True)


def ring() -> list[tuple[float, float]]:
    """Return a village's border about the origin, in degrees: a closed star-shaped ring of VERTICES corners."""
    corners = []
    for step in range(VERTICES):
        angle = 2 * math.pi * step / VERTICES
        wobble = 0.7 + 0.2 * math.sin(5 * angle) + 0.1 * math.sin(37 * angle)
        corners.append((RADIUS_DEG * wobble * math.cos(angle), RADIUS_DEG * wobble * math.sin(angle)))
    return [*corners, corners[0]]


def village_code(index: int) -> str:
    """Return the code of village 0, 1, ..."""
    return f"{DISTRICT}{101 + index // A_TOWN:03d}{201 + index % A_TOWN:03d}"


def centre(index: int) -> tuple[float, float]:
    """Return longitude and latitude of a village's middle."""
    return WEST + PITCH_DEG * (index % 50), SOUTH + PITCH_DEG * (index // 50)


def lay_out(connection: psycopg.Connection[Any], villages: int = VILLAGES) -> None:
    """Make the regions, the boundaries, a town seat in each town, and the policy of two thirds."""
    points = ",".join(f"{x:.7f} {y:.7f}" for x, y in ring())
    given = {
        "n": villages,
        "town": A_TOWN,
        "towns": -(-villages // A_TOWN),
        "ring": f"SRID=4326;MULTIPOLYGON((({points})))",
        "west": WEST,
        "south": SOUTH,
        "pitch": PITCH_DEG,
        "vertices": VERTICES,
        "policy": json.dumps({"basis": "calendar", "duty_counts_in_village": True}),
    }
    for statement in _GROUND:
        connection.execute(statement, given)


_GROUND = (
    """INSERT INTO regions (code, name, kind, valid_from) VALUES ('500116000000', '试区', 'district', '2020-01-01')""",
    """INSERT INTO regions (code, name, kind, parent_code, valid_from)
    SELECT format('500116%%s000', 100 + t), '镇' || t, 'town', '500116000000', '2020-01-01'
    FROM generate_series(1, %(towns)s) AS t""",
    """INSERT INTO regions (code, name, kind, parent_code, valid_from)
    SELECT format('500116%%s%%s', 101 + i / %(town)s, 201 + i %% %(town)s), '村' || i, 'village',
        format('500116%%s000', 101 + i / %(town)s), '2020-01-01' FROM generate_series(0, %(n)s - 1) AS i""",
    """INSERT INTO zones (id, kind, region_code, reference, name)
    SELECT gen_random_uuid(), 'village', code, code, name FROM regions WHERE kind = 'village'""",
    """INSERT INTO zones (id, kind, region_code, reference, name)
    SELECT gen_random_uuid(), 'town_seat', code, code, name FROM regions WHERE kind = 'town'""",
    """INSERT INTO zone_versions (id, zone_id, name, shape, vertices, area_m2, accuracy_m, valid_from, published_at, sha256)
    SELECT gen_random_uuid(), z.id, z.name, ST_Translate(%(ring)s::geometry,
        %(west)s + %(pitch)s * (i %% 50), %(south)s + %(pitch)s * (i / 50)), %(vertices)s, 5e6, 10, '2020-01-01', '2020-01-01', ''
    FROM generate_series(0, %(n)s - 1) AS i
    JOIN zones AS z ON z.kind = 'village' AND z.region_code = format('500116%%s%%s', 101 + i / %(town)s, 201 + i %% %(town)s)""",
    # A seat lies at the east side of its town's first village, so that some check-ins have one near.
    """INSERT INTO zone_versions (id, zone_id, name, shape, vertices, area_m2, accuracy_m, valid_from, published_at, sha256)
    SELECT gen_random_uuid(), z.id, z.name, ST_Multi(ST_Buffer(ST_SetSRID(ST_MakePoint(
        %(west)s + %(pitch)s * (i %% 50) + 0.017, %(south)s + %(pitch)s * (i / 50)), 4326), 0.003, 16)), 65, 3e5, 10,
        '2020-01-01', '2020-01-01', ''
    FROM (SELECT t, (t - 1) * %(town)s AS i FROM generate_series(1, %(towns)s) AS t) AS s
    JOIN zones AS z ON z.kind = 'town_seat' AND z.region_code = format('500116%%s000', 100 + t)""",
    """INSERT INTO policies (id, region_prefix, code, version, valid_from, document, reason, created_at, created_by,
        published_at, published_by)
    VALUES (gen_random_uuid(), '500116', 'two-thirds', 1, '2020-01-01', %(policy)s, 'bench', now(), 'bench', now(), 'bench')""",
    """INSERT INTO state_versions (name, version) VALUES ('boundaries', 1), ('policies', 1)
    ON CONFLICT (name) DO UPDATE SET version = state_versions.version + 1""",
)

_V7 = "(lpad(to_hex({base} + i), 12, '0') || '7' || substr(md5({salt} || i), 1, 3) || '8' || substr(md5({salt} || i), 4, 15))::uuid"


def _made_id(base: int, salt: str) -> str:
    """Return SQL for a UUIDv7 of row `i`: in the order of the rows, as a roster file would make them."""
    return _V7.format(base=base, salt=f"'{salt}'")


def settle(connection: psycopg.Connection[Any], people: int, villages: int = VILLAGES) -> None:
    """Post people, one village each, with an account, a grant and an open session."""
    person, account, session = (
        _made_id(0x0193_0000_0000 + offset, salt)
        for offset, salt in ((0, "p"), (1 << 24, "a"), (1 << 25, "s"))
    )
    village = f"format('500116%%s%%s', 101 + (i %% %(n)s) / {A_TOWN}, 201 + (i %% %(n)s) %% {A_TOWN})"
    rows = "FROM generate_series(0, %(people)s - 1) AS i"
    given = {"people": people, "n": villages, "lasting": REFRESH_LIFE}
    for statement in (
        f"INSERT INTO people (id, number, name, kept_by, version) SELECT {person}, 'B' || i, '干部' || i, '500116', 1 {rows}",
        f"""INSERT INTO postings (id, person_id, village_code, role, from_day, version)
        SELECT gen_random_uuid(), {person}, {village}, 'member', '2021-09-01', 1 {rows}""",
        f"""INSERT INTO accounts (id, login, person_id, display_name, region, version, revision, created_at)
        SELECT {account}, 'b' || i, {person}, '干部' || i, {village}, 1, 1, now() {rows}""",
        f"""INSERT INTO grants (id, account_id, role, region, valid_from, assignment, granted_at)
        SELECT gen_random_uuid(), {account}, 'cadre', {village}, '2021-09-01', '', now() {rows}""",
        f"""INSERT INTO sessions (id, account_id, client, address, created_at, used_at, expires_at, generation, rotated_at,
            token_hash, refresh_key)
        SELECT {session}, {account}, 'bench', '', now(), now(), now() + %(lasting)s, 0, now(), '', 'bench' {rows}""",
    ):
        connection.execute(statement, given)
    connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True, slots=True)
class Posted:
    """Somebody who can check in."""

    person_id: UUID
    account_id: UUID
    session_id: UUID
    village: int  # Index for `centre`.


def posted(connection: psycopg.Connection[Any], most: int) -> list[Posted]:
    """Return people with sessions, evenly over the villages."""
    rows = connection.execute(
        """SELECT a.person_id, a.id, s.id, p.village_code FROM accounts AS a JOIN sessions AS s ON s.account_id = a.id
        JOIN postings AS p ON p.person_id = a.person_id ORDER BY a.person_id LIMIT %s""",
        [most],
    )
    return [Posted(row[0], row[1], row[2], _index_of(row[3])) for row in rows]


def _index_of(code: str) -> int:
    return (int(code[6:9]) - 101) * A_TOWN + int(code[9:12]) - 201


def signed(keys: KeySet, people: Sequence[Posted]) -> list[str]:
    """Return an access token for each; they live ten minutes."""
    since = clock.now() - timedelta(days=365)
    return [
        tokens.sign(
            keys,
            ISSUER,
            Who(
                one.account_id,
                one.session_id,
                1,
                one.person_id,
                (Grant(Role.CADRE, village_code(one.village), valid_from=since),),
            ),
        )[0]
        for one in people
    ]
