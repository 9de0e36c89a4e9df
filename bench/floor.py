r"""The floor: what PostgreSQL itself can take, by pgbench running exactly the statements of the grouped intake.

The statements are the product's own (server.checkins.storing), prepared, one after the other, on the
product's migrated schema with the bench's people, and durable commits. The parameters are check-ins that the product
judged itself, under new ids, kept in a table as text: pgbench reads a row of it (\gset) and sends the arrays back. That
reading is not part of the intake, so it is measured alone as well and taken off: the time a transaction, less the time
a reading. pgbench sends arrays as text where the product sends them in binary, which makes the floor a little lower.

Two floors are told: with one check-in a transaction and sixteen clients, as performance.md measured its ceiling, and
with groups of half the connections, as the intake's are, from as many clients as there are workers.
"""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import orm

from bench import baselines
from bench.district import Place, Posted, centre
from server import clock, ids, postgres
from server.access import Who
from server.checkins import judging, rejudging, storing
from server.checkins.judging import Views
from server.checkins.names import Numbers
from server.checkins.reading import incoming_of
from server.checkins.schemas import CheckInIn
from server.checkins.storing import NO_HEAD, ActivePosting, Head, Kept, Sought, Step
from server.db import Database
from server.places.atlas import SHAPES_SQL, Atlas, Stored

LIMIT_S = 90
_PLACE = re.compile("%s")
_TPS = re.compile(r"tps = ([0-9.]+) \(without initial")


@dataclass(frozen=True, slots=True)
class Floor:
    """What pgbench reached, check-ins a second: as run, and without the reading of the parameters."""

    group: int
    clients: int
    raw_per_s: float
    per_s: float


def samples(place: Place, people: Sequence[Posted]) -> list[Kept]:
    """Return a judged check-in of each of some people, made just now."""
    database = Database(place.app_url, pool_size=1)
    try:
        with database.read() as session:
            return list(_judged(session, people))
    finally:
        database.close()


def _judged(session: orm.Session, people: Sequence[Posted]) -> Iterator[Kept]:
    views, atlas = rejudging.views_of(session), Atlas()
    run = session.connection().exec_driver_sql
    now = clock.now()
    span = (
        [one.person_id for one in people],
        now.date() + timedelta(days=40),
        now.date() - timedelta(days=40),
    )
    postings = storing.postings_by_person(run(storing.POSTINGS, span).all())
    for one in people:
        yield _kept(one, postings[one.person_id], views, atlas, run)
        atlas.trim()


def _kept(
    one: Posted,
    postings: tuple[ActivePosting, ...],
    views: Views,
    atlas: Atlas,
    run: Any,  # noqa: ANN401  A bound method.
) -> Kept:
    lon, lat = centre(one.village)
    now = clock.now()
    position = {"lon": lon, "lat": lat, "datum": "wgs84", "accuracy_m": 12.5, "age_s": 2.5, "provider": "gps"}
    body = {
        "captured_at": now.isoformat(),
        "sent_at": now.isoformat(),
        "utc_offset_min": 480,
        "position": position,
        "client": "bench",
    }
    given = CheckInIn.model_validate_json(json.dumps({**body, "position": {**position, "mocked": False}}))
    item = incoming_of(ids.new_id(), given, b"", Who(one.account_id, one.session_id, 1, one.person_id))
    item = item._replace(salt=ids.new_id().bytes)
    question = judging.ask(item.timing.event_at, judging.fix_of(given.position), postings, views)
    missing = atlas.missing({question.assigned}, {question.excluded} if question.excluded else set())
    if missing:
        atlas.put(
            {
                row[0]: Stored(row[1], row[2], bytes(row[3]), row[4])
                for row in run(SHAPES_SQL, {"ids": missing})
            }
        )
    verdict = judging.decide(question, atlas)
    return judging.kept(item, question, verdict, before=judging.NOTHING, postings=postings, views=views)


def _parameters(
    group: Sequence[Kept], steps: Sequence[Step], sessions: dict[UUID, UUID], numbers: Numbers
) -> list[Any]:
    """Return the parameters of every statement of one group, in their order."""
    sought = [
        Sought(kept.record.person_id, sessions[kept.record.person_id], kept.record.id) for kept in group
    ]
    _, looked_up = storing.asked(sought, [kept.record.day for kept in group])
    return [*looked_up, *storing.parameters(group, steps, numbers)]


class Chains:
    """The chains of the people that one client of pgbench stores, so that each step begins where the last one ended.

    The signatures and hashes are as long as real ones and no more: what they cost is not the database's.
    """

    def __init__(self, heads: dict[UUID, Head]) -> None:
        self._heads = heads

    def grown(self, group: Sequence[Kept]) -> tuple[list[Kept], list[Step]]:
        """Return new check-ins like these, each with its place in its chain, and the steps."""
        before: dict[UUID, Head] = {}
        fresh = []
        for kept in group:
            person = kept.record.person_id
            head = self._heads.get(person, NO_HEAD)
            before.setdefault(person, head)
            record = kept.record._replace(
                id=ids.new_id(),
                chain_seq=head.seq + 1,
                epoch=1,
                receipt_key=1,
                prev=head.hash,
                signature=bytes(64),
            )
            self._heads[person] = Head(head.seq + 1, secrets.token_bytes(32))
            fresh.append(replace(kept, record=record))
        steps = [
            Step(person, self._heads[person].seq, was.seq, 1, self._heads[person].hash or b"")
            for person, was in before.items()
        ]
        return fresh, steps


_STATEMENTS = (storing.LOOK_UP, storing.KEEP.decode())
_CAST = re.compile(r"%s(::\"?[a-z]+\"?\[\])?")


def _casts() -> list[str]:
    """Return the type of each parameter as the statements cast it; the two bounds of postings are dates."""
    found = [match[1] for text in _STATEMENTS for match in _CAST.finditer(text)]
    return [cast or "::date" for cast in found]


def prepare(
    connection: psycopg.Connection[Any],
    kept: Sequence[Kept],
    people: Sequence[Posted],
    *,
    group: int,
    count: int,
    clients: int,
) -> None:
    """Fill the table of parameters with `count` groups of `group` check-ins, each with a new id.

    Each client has its own people, because a chain grows in one order only.
    """
    sessions = {one.person_id: one.session_id for one in people}
    casts = _casts()
    columns = ", ".join(f"p{n} text" for n in range(1, len(casts) + 1))
    connection.execute("DROP TABLE IF EXISTS bench_groups")
    connection.execute(f"CREATE UNLOGGED TABLE bench_groups (id int, {columns})")
    values = ", ".join(f"(%s{cast})::text" for cast in casts)
    numbers = baselines.numbers(Numbers(), [each.record for each in kept], connection.execute)
    insert = f"INSERT INTO bench_groups VALUES (%s, {values})"  # noqa: S608  As above.
    rows = connection.execute("SELECT person_id, seq, hash FROM person_heads").fetchall()
    chains = Chains({person: Head(seq, head) for person, seq, head in rows})
    each = count // clients
    with connection.transaction(), connection.pipeline():
        for number in range(count):
            own = kept[number // each :: clients]
            chosen = [own[(number % each * group + step) % len(own)] for step in range(group)]
            fresh, steps = chains.grown(chosen)
            connection.execute(insert, [number, *_parameters(fresh, steps, sessions, numbers)])
    connection.execute("ALTER TABLE bench_groups ADD PRIMARY KEY (id)")
    connection.execute("VACUUM ANALYZE bench_groups")
    connection.execute("GRANT SELECT ON bench_groups TO PUBLIC")


def _script(count_each: int, *, whole: bool) -> str:
    """Return pgbench's script: read a group's parameters, then (if `whole`) do what the intake does with them."""
    lines = ["\\set n :n + 1", f"\\set i :client_id * {count_each} + :n - 1"]
    lines += ["SELECT * FROM bench_groups WHERE id = :i \\gset"]
    if whole:
        number = 0

        def placed(_match: re.Match[str]) -> str:
            nonlocal number
            number += 1
            return f":p{number}"

        texts = [_PLACE.sub(placed, text).replace("\n", " ") + ";" for text in _STATEMENTS]
        lines += texts
    return "\n".join(lines) + "\n"


def _pgbench(place: Place, *, clients: int, count: int, whole: bool) -> float:
    """Run it once; return transactions a second."""
    each = count // clients
    script = place.var / "floor.sql"
    script.write_text(_script(each, whole=whole))
    program = str(postgres.binaries(postgres.major_of(place.data)) / "pgbench")
    command = [program, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-t", str(each)]
    command += ["-D", "n=0", "-f", str(script), place.app_url]
    options = {**os.environ, "PGOPTIONS": storing.OPTIONS}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=options)
    found = _TPS.search(done.stdout)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed:\n{done.stdout[-500:]}\n{done.stderr[-1500:]}")
    return float(found[1])


def measure(
    place: Place, people: Sequence[Posted], kept: Sequence[Kept], *, group: int, clients: int, count: int
) -> Floor:
    """Measure one floor: `count` transactions of `group` check-ins in all, from `clients` connections."""
    count -= count % clients
    with place.owner() as connection:
        prepare(connection, kept, people, group=group, count=count, clients=clients)
    reading = _pgbench(place, clients=clients, count=count, whole=False)
    whole = _pgbench(place, clients=clients, count=count, whole=True)
    alone = 1 / (1 / whole - 1 / reading)
    return Floor(group, clients, round(whole * group, 1), round(alone * group, 1))
