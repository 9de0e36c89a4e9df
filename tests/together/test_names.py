"""What repeats is kept once under a number, whoever is first: two workers at once, a rollback, a table that is full."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from conftest import Clone, Cloned

from server import ids
from server.checkins import names, storing
from server.checkins.judging import NOTHING
from server.checkins.names import MOST_PHONES, Numbers
from server.checkins.record import COLUMNS, Record
from server.checkins.storing import Kept, Step

NOON = datetime(2026, 11, 17, 4, 0, tzinfo=UTC)
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
def cloned(clone: Clone) -> Cloned:
    return clone()


@pytest.fixture
def owner(cloned: Cloned) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cloned.owner_url, autocommit=True) as connection:
        yield connection


def record(**said: Any) -> Record:
    """Return a check-in with what it says beside what every one has to."""
    given = {
        "person_id": ids.new_id(), "id": ids.new_id(), "received_at": NOON, "event_at": NOON, "captured_at": NOON,
        "sent_at": NOON, "day": NOON.date(), "utc_offset_min": 480, "kind": "day", "verdict": "inside",
        "reason": "in-village", "standing": "counted", "outside_work": False, "content_hash": b"h",
    }  # fmt: skip
    return Record(**{**dict.fromkeys(COLUMNS), **given, **said})


def kept(**said: Any) -> Kept:
    return Kept(record(**said), None, NOTHING)


def with_two(cloned: Cloned, deed: Callable[[Connection, Connection], Awaitable[None]]) -> None:
    """Run a deed on two connections of the application."""

    async def run() -> None:
        async with (
            await psycopg.AsyncConnection.connect(cloned.app_url, autocommit=True) as one,
            await psycopg.AsyncConnection.connect(cloned.app_url, autocommit=True) as other,
        ):
            await asyncio.wait_for(deed(one, other), 30)

    asyncio.run(run())


async def waits(owner: psycopg.Connection, connection: Connection) -> None:
    """Return once the connection's statement waits for somebody else's transaction."""
    pid = connection.info.backend_pid
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)"
    while owner.execute(query, (pid,)).fetchone() != (True,):  # noqa: ASYNC110  PostgreSQL tells nobody.
        await asyncio.sleep(0.01)


def seen(owner: psycopg.Connection, *columns: str) -> set[tuple[Any, ...]]:
    query = f"SELECT {', '.join(columns)} FROM checkins"  # noqa: S608  Columns of this file.
    return set(owner.execute(query.encode()).fetchall())


def count(owner: psycopg.Connection, table: str) -> int:
    query = f"SELECT count(*) FROM {table}"  # noqa: S608  Tables of this file.
    row = owner.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


SAID = {
    "village_code": "500116101201",
    "versions": [UUID(int=1)],
    "client": "phone/1",
    "datum": "gcj02",
    "mocked": False,
}


async def keep(connection: Connection, group: list[Kept], numbers: Numbers) -> set[tuple[UUID, UUID]]:
    """Store a group as the first of its people's chains."""
    steps = [Step(each.record.person_id, 1, 0, 1, b"") for each in group]
    return await storing.keep(connection, group, steps, numbers)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_row_that_another_worker_is_making_is_waited_for_and_found(
    cloned: Cloned, owner: psycopg.Connection, end: str
) -> None:
    """It is not in the snapshot of the statement that meets it, and is there for the one that asks for its number."""
    first, second = kept(**SAID), kept(**SAID)
    knows, learns = Numbers(), Numbers()

    async def deed(one: Connection, other: Connection) -> None:
        await one.execute("BEGIN")
        assert await keep(one, [first], knows) == {first.key}
        storing_too = asyncio.ensure_future(keep(other, [second], learns))
        await waits(owner, other)
        await one.execute(end.encode())
        assert await storing_too == {second.key}
        # Of the worker whose transaction was still open nothing is remembered, so it asks again and is right.
        assert knows == Numbers()
        assert await keep(one, [first], knows) == (set() if end == "COMMIT" else {first.key})

    with_two(cloned, deed)
    assert seen(owner, "id", "village_code", "versions::text", "client", "datum", "mocked") == {
        (each.record.id, "500116101201", f"{{{UUID(int=1)}}}", "phone/1", "gcj02", False)
        for each in (first, second)
    }
    assert (count(owner, "checkin_grounds"), count(owner, "checkin_phones")) == (
        1,
        2,
    )  # One without its client.
    assert knows == learns


def test_a_stricter_isolation_makes_the_group_run_again_and_loses_nothing(
    cloned: Cloned, owner: psycopg.Connection
) -> None:
    first, second = kept(**SAID), kept(**SAID)

    async def deed(one: Connection, other: Connection) -> None:
        await other.execute("SET default_transaction_isolation = 'repeatable read'")
        await one.execute("BEGIN")
        await keep(one, [first], Numbers())
        storing_too = asyncio.ensure_future(keep(other, [second], Numbers()))
        await waits(owner, other)
        await one.execute("COMMIT")
        with pytest.raises(psycopg.errors.SerializationFailure):  # The writer runs such a group again.
            await storing_too
        assert await keep(other, [second], Numbers()) == {second.key}

    with_two(cloned, deed)
    assert seen(owner, "id", "village_code") == {(k.record.id, "500116101201") for k in (first, second)}


def test_two_workers_that_meet_everything_for_the_first_time_at_once(
    cloned: Cloned, owner: psycopg.Connection
) -> None:
    villages = [f"5001161{number:05d}" for number in range(40)]
    groups = [
        [[kept(village_code=each, client=f"phone/{each[-1]}") for each in order] for order in orders]
        for orders in ((villages, villages[::-1]), (villages[::-1], villages))
    ]

    async def deed(one: Connection, other: Connection) -> None:
        async def work(connection: Connection, mine: list[list[Kept]]) -> None:
            for group in mine:
                numbers = Numbers()
                assert await keep(connection, group, numbers) == {each.key for each in group}

        await asyncio.gather(work(one, groups[0]), work(other, groups[1]))

    with_two(cloned, deed)
    everything = [each.record for half in groups for group in half for each in group]
    assert seen(owner, "id", "village_code", "client") == {
        (r.id, r.village_code, r.client) for r in everything
    }
    assert (count(owner, "checkin_grounds"), count(owner, "checkin_phones")) == (40, 10)


# Grounds and phones may lack any part of what they say.
PARTS: list[dict[str, Any]] = [
    {"village_code": "500116101201", "zone_name": "场镇", "versions": [UUID(int=1), UUID(int=2)]},
    {"village_code": "500116101201", "zone_name": None, "versions": [UUID(int=2), UUID(int=1)]},
    {"village_code": "500116101201", "zone_name": "", "versions": None},
    {"village_code": None, "zone_name": "场镇", "versions": [UUID(int=1)]},
    {"village_code": None, "zone_name": None, "versions": [UUID(int=1)]},
    {"client": "a", "provider": "b", "datum": "wgs84", "mocked": True},
    {"client": "a", "provider": None, "datum": None, "mocked": None},
    {"client": None, "provider": "", "datum": "bd09", "mocked": None},
    {"client": None, "provider": None, "datum": "cgcs2000", "mocked": False},
    {},
]


def test_whatever_is_missing_stays_missing(cloned: Cloned, owner: psycopg.Connection) -> None:
    group = [kept(**said) for said in PARTS]

    async def deed(one: Connection, other: Connection) -> None:
        assert await keep(one, group[::2], Numbers()) == {each.key for each in group[::2]}
        assert await keep(other, group, Numbers()) == {each.key for each in group[1::2]}
        again = await storing.stored(one, [each.key for each in group])
        assert {key: each.record for key, each in again.items()} == {each.key: each.record for each in group}

    with_two(cloned, deed)
    assert count(owner, "checkin_grounds") == 5


def test_a_phone_that_always_says_something_else_makes_no_table_grow_beyond_its_room(
    cloned: Cloned, owner: psycopg.Connection
) -> None:
    owner.execute(
        "INSERT INTO checkin_phones (client) SELECT 'phone/' || n FROM generate_series(1, %s) AS n",
        (MOST_PHONES,),
    )
    known, strange = (
        kept(client="phone/7"),
        [kept(client=f"x{n}", provider="y", datum="wgs84") for n in range(20)],
    )

    async def deed(one: Connection, _other: Connection) -> None:
        numbers = Numbers()
        await keep(one, [strange[0]], numbers)
        assert numbers.full
        assert numbers.lacks([known.record, *(each.record for each in strange)]) is None  # Nobody asks again.
        await keep(one, [known, *strange[1:]], numbers)

    with_two(cloned, deed)
    assert count(owner, "checkin_phones") == MOST_PHONES + 1  # One for all that say wgs84.
    assert seen(owner, "id", "client", "provider", "datum") == {
        (each.record.id, each.record.client, each.record.provider, each.record.datum)
        for each in (known, *strange)
    }
    inline = owner.execute("SELECT count(*) FROM checkin_rows WHERE client IS NOT NULL").fetchone()
    assert inline == (len(strange),)


def test_what_a_worker_remembers_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_REMEMBERED", 3)
    numbers = Numbers()
    for number in range(10):
        numbers.remember(Numbers(grounds={names.Grounds(str(number), None, None): number}))
    assert list(numbers.grounds.values()) == [7, 8, 9]
