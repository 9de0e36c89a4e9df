"""The statements of the intake: what a group of check-ins needs to know, and how it is kept, a round trip each.

Plain SQL on psycopg, because an ORM session costs more than everything else together here (performance.md). The
statements take whole columns as arrays, so that a group of any size is the same prepared statement. People and sessions
are asked for by their place in an array and answered by it: a small number is read ten times faster than a UUID.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from server.checkins import names, packing
from server.checkins.codes import CODES
from server.checkins.names import Numbers, signer_of
from server.checkins.record import COLUMNS, Record, StoredPosition, StoredTime, from_row
from server.checkins.signing import Proof
from server.month.rules import Sort

_TYPES = {  # In the order of `checkin_rows`, without the number that the database gives.
    "received_at": "timestamptz", "event_at": "timestamptz", "captured_at": "timestamptz", "sent_at": "timestamptz",
    "day": "date", "accuracy_m": "real", "fix_age_s": "real", "margin_m": "real", "p_inside": "real", "p_zone": "real",
    "grounds": "integer", "phone": "integer", "utc_offset_min": "smallint", "month_counted": "smallint",
    "month_need": "smallint", "month_due": "smallint", "month_away": "smallint", "kind": '"char"', "verdict": '"char"',
    "reason": '"char"', "standing": '"char"', "band": '"char"', "no_position": '"char"', "month_tier": '"char"',
    "outside_work": "boolean", "person_id": "uuid", "id": "uuid", "posting_id": "uuid", "commitment": "bytea",
    "content_hash": "bytea", "client": "text", "provider": "text", "note": "text", "chain_seq": "integer",
    "epoch": "smallint", "receipt_key": "smallint", "prev": "bytea", "signature": "bytea", "restored_at": "timestamptz",
    "restores": "bytea",
}  # fmt: skip
_POSITION = {  # In the order of StoredPosition.
    "salt": "bytea", "lon_e7": "integer", "lat_e7": "integer", "wgs_lon_e7": "integer", "wgs_lat_e7": "integer",
    "altitude_cm": "integer", "speed_cmps": "integer",
}  # fmt: skip
_TIMES = {  # In the order of StoredTime.
    "basis": "text", "doubt": "text", "earliest_at": "timestamptz", "latest_at": "timestamptz", "claimed_at": "timestamptz",
    "anchored_at": "timestamptz", "asked_ms": "bigint", "got_ms": "bigint", "tapped_ms": "bigint", "sent_ms": "bigint",
    "anchor_boot": "boolean", "sent_boot": "boolean", "spoiled": "boolean",
}  # fmt: skip
MASKS = ("sure", "unsure", "unfenced", "outside", "claimed")
_PROOF = {"signer": "integer", "payload": "bytea", "phone_signature": "bytea"}
Masks = tuple[int, int, int, int, int]
MARGIN = timedelta(days=2)


_HEAD = {"person_id": "uuid", "seq": "integer", "was": "integer", "epoch": "smallint", "hash": "bytea"}
"""In the order of Step."""
_KINDS = (*_TYPES.values(), *_POSITION.values(), "date", *("bigint" for _ in MASKS))
_BESIDE = {"checkin_times": _TIMES, "checkin_signatures": _PROOF}
"""What some check-ins have besides, in tables by their number; the first of its columns is never NULL there."""
_PACK_BESIDE = {name: tuple(map(packing.packer, columns.values())) for name, columns in _BESIDE.items()}
_PACKERS = tuple(
    packing.coder(CODES[name]) if name in CODES else packing.packer(kind)
    for name, kind in zip((*_TYPES, *_POSITION, "month", *MASKS), _KINDS, strict=True)
)
_HEAD_PACKERS = tuple(packing.packer(kind) for kind in _HEAD.values())


def _columns(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


_STEP_BESIDE = sql.SQL(""",
        {table}_new AS (INSERT INTO {table} (seq, {columns})
            SELECT new.seq, {columns} FROM g JOIN new USING (person_id, id) WHERE g.{first} IS NOT NULL)""")


_KEEP = sql.SQL(
    """WITH heads AS (INSERT INTO person_heads AS h ({head})
            SELECT {head} FROM unnest({heads}) AS w({head}) ORDER BY person_id
            ON CONFLICT (person_id) DO UPDATE SET {moved} WHERE h.seq = excluded.was RETURNING h.person_id),
        g AS (SELECT * FROM unnest({arrays}) AS g({given})),
        new AS (INSERT INTO checkin_rows ({columns}) SELECT {stored} FROM g JOIN heads USING (person_id)
            RETURNING person_id, id, seq),
        positions AS (INSERT INTO checkin_points (seq, {position})
            SELECT new.seq, {position} FROM g JOIN new USING (person_id, id) WHERE g.lon_e7 IS NOT NULL),
        masks AS (INSERT INTO person_months AS m (person_id, month, {masks})
            SELECT g.person_id, g.month, {ored} FROM g JOIN new USING (person_id, id)
            WHERE g.sure | g.unsure | g.unfenced | g.outside | g.claimed <> 0
            GROUP BY g.person_id, g.month ORDER BY g.person_id, g.month
            ON CONFLICT (person_id, month) DO UPDATE SET {merged}){beside}
        SELECT person_id, id FROM new"""
)


def _each(form: str, names: Iterable[str]) -> sql.Composed:
    """Return a list of SQL with each of these names in it."""
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in names)


def _arrays(kinds: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(kind)) for kind in kinds)


@cache
def keep_statement(*beside: str) -> bytes:
    """Move the people's heads from where they stood; store what is of those whose heads moved, and return its keys.

    The heads are moved in the order of people, so that two workers cannot wait for each other; all else follows them.
    `beside` names the tables (of _BESIDE) that some of the group have rows for. Most groups have none, and need no such step.
    Rendered once each: composing it for each group costs more than the group's round trip.
    """
    steps = [
        _STEP_BESIDE.format(
            table=sql.SQL(name),
            columns=_columns(_BESIDE[name]),
            first=sql.Identifier(next(iter(_BESIDE[name]))),
        )
        for name in beside
    ]
    further = {column: kind for name in beside for column, kind in _BESIDE[name].items()}
    return _KEEP.format(
        heads=_arrays(_HEAD.values()),
        head=_columns(_HEAD),
        moved=_each("{0} = excluded.{0}", [name for name in _HEAD if name != "person_id"]),
        arrays=_arrays([*_KINDS, *further.values()]),
        given=_columns((*_TYPES, *_POSITION, "month", *MASKS, *further)),
        columns=_columns(_TYPES),
        stored=_each("g.{}", _TYPES),
        position=_columns(_POSITION),
        masks=_columns(MASKS),
        ored=_each("bit_or(g.{})", MASKS),
        merged=_each("{0} = m.{0} | excluded.{0}", MASKS),
        beside=sql.SQL("").join(steps),
    ).as_bytes()


KEEP = keep_statement()

POSTINGS = """SELECT p.person_id, p.id, p.village_code, p.from_day, p.until_day, e.zone_id, e.from_day, e.until_day
FROM postings p LEFT JOIN posting_places e ON e.posting_id = p.id
WHERE p.person_id = ANY(%s) AND p.from_day < %s AND (p.until_day IS NULL OR p.until_day >= %s)
ORDER BY p.person_id, p.from_day, p.id"""
_SORTS = [f"m.{sort}" for sort in Sort]
_RECORDED = f"CASE WHEN {' | '.join(_SORTS)} <> 0 THEN ARRAY[{', '.join(_SORTS)}] END"
"""The masks of the ledger, in the order of Sort: most months have none, and an array costs most when it is read."""
LOOK_UP = f"""WITH k AS MATERIALIZED (SELECT id, n FROM unnest(%s::uuid[]) WITH ORDINALITY AS k(id, n))
SELECT 'state' AS what, 0 AS n, name AS word, NULL::uuid AS id, NULL::uuid AS zone_id, NULL::date AS a, NULL::date AS b,
    NULL::date AS c, NULL::date AS d, version AS m, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint[]
    FROM state_versions
UNION ALL SELECT 'state', 0, 'epoch', NULL, NULL, NULL, NULL, NULL, NULL, COALESCE(max(number), 0), NULL, NULL, NULL, NULL, NULL
    FROM receipt_epochs
UNION ALL SELECT 'stored', s.n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM unnest(%s::uuid[], %s::uuid[]) WITH ORDINALITY AS s(person_id, id, n)
    JOIN checkin_rows AS c ON c.person_id = s.person_id AND c.id = s.id
UNION ALL SELECT 'head', k.n, encode(h.hash, 'hex'), NULL, NULL, NULL, NULL, NULL, NULL, h.seq, NULL, NULL, NULL, NULL, NULL
    FROM k JOIN person_heads AS h ON h.person_id = k.id
UNION ALL SELECT 'session', s.n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, a.version, NULL, NULL, NULL, NULL, NULL
    FROM unnest(%s::uuid[]) WITH ORDINALITY AS s(id, n) JOIN sessions ON sessions.id = s.id
    JOIN accounts AS a ON a.id = sessions.account_id WHERE sessions.revoked_at IS NULL AND a.disabled_at IS NULL
UNION ALL SELECT 'posting', k.n, p.village_code, p.id, e.zone_id, p.from_day, p.until_day, e.from_day, e.until_day,
    NULL, NULL, NULL, NULL, NULL, NULL FROM k JOIN postings AS p ON p.person_id = k.id
    LEFT JOIN posting_places AS e ON e.posting_id = p.id
    WHERE p.from_day < %s AND (p.until_day IS NULL OR p.until_day >= %s)
UNION ALL SELECT 'month', k.n, NULL, NULL, NULL, m.month, NULL, NULL, NULL,
    m.sure, m.unsure, m.unfenced, m.outside, m.claimed, {_RECORDED}
    FROM k JOIN person_months AS m ON m.person_id = k.id WHERE m.month + 0 >= %s AND m.month + 0 < %s
ORDER BY n, a, id"""  # noqa: S608  Constants of ours.
"""All that judging a group needs, in one statement: a statement costs the worker more than what it asks (DECISIONS 33).

"+ 0" keeps the index of the months out of it: early in a month, while its statistics are those of the last, PostgreSQL
would read everybody's month to find those of a few."""
OPTIONS = "-c plan_cache_mode=force_generic_plan"
"""Of the sessions that run these statements: planning them again for each group costs as much as running them."""
SUCCESSORS = "SELECT from_code, to_code, from_day FROM region_successors"
STORED = """SELECT c.*, p.salt, p.lon_e7, p.lat_e7, p.altitude_cm, p.speed_cmps
FROM unnest(%s::uuid[], %s::uuid[]) AS k(person_id, id) JOIN checkins c USING (person_id, id)
LEFT JOIN checkin_points p USING (seq)"""
ATTEMPTS_A_DAY = 200
"""Refused attempts kept of one person and day at most, so that a broken phone in a loop cannot fill the disk."""
REFUSED = f"""INSERT INTO checkin_attempts (at, person_id, account_id, checkin_id, code, status, body)
SELECT %(at)s, %(person)s, %(account)s, %(checkin)s, %(code)s, %(status)s, %(body)s
WHERE (SELECT count(*) FROM checkin_attempts WHERE person_id = %(person)s AND at > %(at)s - interval '1 day') < {ATTEMPTS_A_DAY}"""  # noqa: S608  A number of ours.


class Sought(NamedTuple):
    """A check-in as it is looked up."""

    person_id: UUID
    session_id: UUID
    id: UUID


@dataclass(frozen=True, slots=True)
class ActivePosting:
    """A posting as judging needs it; `extras` are (zone, from, until) beside the village."""

    id: UUID
    village_code: str
    from_day: date
    until_day: date | None
    extras: tuple[tuple[UUID, date, date | None], ...] = ()

    def holds(self, day: date) -> bool:
        """Tell whether the posting covers the day; the last one is included (edge 10)."""
        return self.from_day <= day and (self.until_day is None or day <= self.until_day)


@dataclass(frozen=True, slots=True)
class Kept:
    """One check-in ready to be stored, with its position, the bits of its month, how its time was taken, its receipt."""

    record: Record
    position: StoredPosition | None
    masks: Masks
    time: StoredTime | None = None
    receipt: str | None = None
    proof: Proof | None = None

    @property
    def key(self) -> tuple[UUID, UUID]:
        """Return (person, id)."""
        return self.record.person_id, self.record.id


class Head(NamedTuple):
    """Where a person's chain of receipts stands."""

    seq: int
    hash: bytes | None


NO_HEAD = Head(0, None)


class Step(NamedTuple):
    """A step of a person's chain, from where it stood: one row of `person_heads`."""

    person_id: UUID
    seq: int
    was: int
    epoch: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A check-in that was stored before, with what is left of its position."""

    record: Record
    salt: bytes | None
    lon_e7: int | None
    lat_e7: int | None
    altitude_cm: int | None
    speed_cmps: int | None


@dataclass(frozen=True, slots=True)
class Looked:
    """What one group needs to know."""

    states: dict[str, int]
    sessions: Mapping[UUID, int]
    """Sessions that stand, with their account's authorization version."""
    postings: Mapping[UUID, tuple[ActivePosting, ...]]
    masks: dict[tuple[UUID, date], Masks]
    recorded: Mapping[tuple[UUID, date], Sequence[int]]
    """The masks of the ledger, in the order of Sort, where there are any."""
    stored: Container[tuple[UUID, UUID]]
    """Check-ins of the group, (person, id), that are stored already."""
    heads: Mapping[UUID, Head]
    """Of those people who have receipts; read in the same snapshot as `stored`."""


async def keep(
    connection: psycopg.AsyncConnection[Any], group: Sequence[Kept], steps: Sequence[Step], numbers: Numbers
) -> set[tuple[UUID, UUID]]:
    """Insert a group with the steps of its people's chains; return the keys that were stored.

    Nothing is stored of a person whose chain has moved since it was looked up. One statement, so outside of a
    transaction it is one: it has happened once its end was confirmed. Sorted by key, so that two workers that store the
    same people lock in the same order. What the group names and `numbers` does not know is made and learned before, in a
    transaction of its own. Raises psycopg's UniqueViolation when a check-in is stored already that no head tells of: one
    that a version without receipts has just stored.
    """
    if not group:
        return set()
    proofs = [kept.proof for kept in group if kept.proof is not None]
    unknown = numbers.lacks((kept.record for kept in group), proofs)
    known = numbers if unknown is None else await names.learn(connection, unknown, numbers)
    beside = _beside(group, known)
    given = parameters(group, steps, known)
    given += [column for columns in beside.values() for column in columns]
    cursor = await connection.execute(keep_statement(*beside), given, prepare=True)
    return {(row[0], row[1]) for row in await cursor.fetchall()}


def parameters(group: Sequence[Kept], steps: Sequence[Step], numbers: Numbers) -> list[packing.Packed]:
    """Return the parameters of KEEP for a group and steps that are not empty: a binary array a column.

    Raises KeyError for a value of an enumeration without a code, and for grounds that `numbers` does not know.
    """
    ordered = in_order(group)
    records = [kept.record for kept in ordered]
    columns: list[Iterable[Any]] = list(row_columns(records, numbers).values())
    columns += zip(*[_NOWHERE if kept.position is None else kept.position for kept in ordered], strict=True)
    columns.append([month_of(record.day) for record in records])
    columns += zip(*[kept.masks for kept in ordered], strict=True)
    heads = zip(*sorted(steps), strict=True)
    return [
        *(pack(column) for pack, column in zip(_HEAD_PACKERS, heads, strict=True)),
        *(pack(column) for pack, column in zip(_PACKERS, columns, strict=True)),
    ]


def in_order(group: Sequence[Kept]) -> list[Kept]:
    """Return a group in the order in which it is stored."""
    return sorted(group, key=lambda kept: kept.key)


def _beside(group: Sequence[Kept], numbers: Numbers) -> dict[str, list[packing.Packed]]:
    """Return the further parameters that some of a group need, by the table that they are for."""
    rows: dict[str, list[Sequence[Any] | None]] = {}
    if any(kept.time is not None for kept in group):
        rows["checkin_times"] = [kept.time for kept in in_order(group)]
    if any(kept.proof is not None for kept in group):
        rows["checkin_signatures"] = [_proven(kept.proof, numbers) for kept in in_order(group)]
    return {
        name: [
            pack(column)
            for pack, column in zip(
                _PACK_BESIDE[name],
                zip(*[(None,) * len(_BESIDE[name]) if row is None else row for row in each], strict=True),
                strict=True,
            )
        ]
        for name, each in rows.items()
    }


def _proven(proof: Proof | None, numbers: Numbers) -> tuple[int, bytes, bytes] | None:
    return None if proof is None else (numbers.signers[signer_of(proof)], proof.payload, proof.signature)


_NOWHERE = (None,) * len(_POSITION)


def row_columns(records: Sequence[Record], numbers: Numbers) -> dict[str, Sequence[Any]]:
    """Return the columns of `checkin_rows` by name, in their order, with texts where the table has codes."""
    given = dict(zip(COLUMNS, zip(*records, strict=True), strict=True))
    given["captured_at"] = tuple(
        None if captured == event else captured
        for captured, event in zip(given["captured_at"], given["event_at"], strict=True)
    )
    given["grounds"] = tuple([numbers.of_grounds(names.grounds_of(record)) for record in records])
    phones = [numbers.of_phone(names.phone_of(record)) for record in records]
    given["phone"], given["client"], given["provider"] = zip(*phones, strict=True)
    return {name: given[name] for name in _TYPES}


def asked(items: Sequence[Sought], days: Iterable[date]) -> tuple[list[UUID], list[Any]]:
    """Return the people of these check-ins and the parameters of LOOK_UP for them.

    `days` are those of the events in UTC; the months around them are asked for as well, by more than what any time
    zone and day cut-off can move an event.
    """
    people = sorted({item.person_id for item in items})
    around = list(days)
    first, after = (
        month_of(min(around) - MARGIN),
        month_of(month_of(max(around) + MARGIN) + timedelta(days=32)),
    )
    persons, sessions, ids = zip(*items, strict=True)
    keys = packing.uuids(persons), packing.uuids(ids)
    return people, [packing.uuids(people), *keys, packing.uuids(sessions), after, first, first, after]


async def look_up(
    connection: psycopg.AsyncConnection[Any], items: Sequence[Sought], days: Iterable[date]
) -> Looked:
    """Read what judging a group needs; parameters as for `asked`."""
    people, given = asked(items, days)
    cursor = await connection.cursor(binary=True).execute(LOOK_UP, given, prepare=True)
    by: dict[str, list[Sequence[Any]]] = {
        "state": [], "session": [], "posting": [], "month": [], "stored": [], "head": []
    }  # fmt: skip
    for row in await cursor.fetchall():
        by[row[0]].append(row)
    posted = postings_by_person(
        (row[1], row[3], row[2], row[5], row[6], row[4], *row[7:9]) for row in by["posting"]
    )
    return Looked(
        states={row[2]: row[9] for row in by["state"]},
        sessions={items[row[1] - 1].session_id: row[9] for row in by["session"]},
        postings={people[n - 1]: held for n, held in posted.items()},
        masks={(people[row[1] - 1], row[5]): tuple(row[9:14]) for row in by["month"]},
        recorded={(people[row[1] - 1], row[5]): row[14] for row in by["month"] if row[14] is not None},
        stored={(item.person_id, item.id) for row in by["stored"] for item in (items[row[1] - 1],)},
        heads={people[row[1] - 1]: Head(row[9], bytes.fromhex(row[2])) for row in by["head"]},
    )


async def stored(
    connection: psycopg.AsyncConnection[Any], keys: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Found]:
    """Read check-ins that were stored before, by key."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(STORED, ([k[0] for k in keys], [k[1] for k in keys]))
        rows = await cursor.fetchall()
    position = ("salt", "lon_e7", "lat_e7", "altitude_cm", "speed_cmps")
    return {(r["person_id"], r["id"]): Found(from_row(r), *(r[name] for name in position)) for r in rows}


def postings_by_person(rows: Iterable[Sequence[Any]]) -> dict[Any, tuple[ActivePosting, ...]]:
    """Gather the rows of POSTINGS, one posting each with its extra places, in their order.

    By whatever the rows name the person by: the id, or for LOOK_UP its place in the array, from 1.
    """
    gathered: dict[Any, dict[UUID, ActivePosting]] = {}
    for person, posting, village, first, last, zone, zone_first, zone_last in rows:
        own = gathered.setdefault(person, {})
        known = own.get(posting) or ActivePosting(posting, village, first, last)
        extras = known.extras if zone is None else (*known.extras, (zone, zone_first, zone_last))
        own[posting] = ActivePosting(posting, village, first, last, extras)
    return {person: tuple(own.values()) for person, own in gathered.items()}


def month_of(day: date) -> date:
    """Return the first of the month, the key of a person's masks."""
    return day.replace(day=1)
