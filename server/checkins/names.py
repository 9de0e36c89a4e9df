"""The small numbers under which check-ins keep what repeats: grounds of verdicts, and what phones say of themselves.

A worker remembers the numbers that it knows, so that the hot statement takes them as they are. What it does not know is
made and asked for in one round trip before that statement, in two steps on purpose: a row that another worker committed
after the first step began is not made by it (ON CONFLICT DO NOTHING waits for that worker), and the second step, which
has its own snapshot under READ COMMITTED, sees it. Both are committed before a check-in names a number, and rows here
are never changed, so a number that is remembered stays right.

What phones say is free text, so anybody could make these tables grow. There is room for `MOST_PHONES` kinds of phones;
what comes later stands in the check-in itself, as all of it once did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus

from server.checkins.record import Record

MOST_PHONES = 1_000
MOST_REMEMBERED = 20_000
"""Grounds in a worker's memory: a few hundred bytes each. A district has some hundreds."""


class Grounds(NamedTuple):
    """A row of `checkin_grounds` without its number."""

    village_code: str | None
    zone_name: str | None
    versions: tuple[UUID, ...] | None


class Phone(NamedTuple):
    """A row of `checkin_phones` without its number."""

    client: str | None
    provider: str | None
    datum: str | None
    mocked: bool | None


NO_GROUNDS = Grounds(None, None, None)
NO_PHONE = Phone(None, None, None, None)
_GROUNDS = (
    "unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS k(village_code, zone_name, versions, n)"
)
_PHONES = "unnest(%s::text[], %s::text[], %s::text[], %s::boolean[]) WITH ORDINALITY AS k(client, provider, datum, mocked, n)"
# Two workers that make the same rows make them in the same order. An array cannot be unnested beside plain columns, so
# versions travel as text. The column of an index is compared by =, the others may be NULL on both sides.
MAKE_GROUNDS = f"""INSERT INTO checkin_grounds (village_code, zone_name, versions)
SELECT k.village_code, k.zone_name, k.versions::uuid[] FROM {_GROUNDS} ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"""  # noqa: S608  Constants.
FIND_GROUNDS = f"""SELECT k.n, g.id FROM {_GROUNDS} JOIN checkin_grounds AS g
ON (g.village_code = k.village_code OR (g.village_code IS NULL AND k.village_code IS NULL))
    AND g.zone_name IS NOT DISTINCT FROM k.zone_name AND g.versions IS NOT DISTINCT FROM k.versions::uuid[]"""  # noqa: S608  As above.
MAKE_PHONES = f"""INSERT INTO checkin_phones (client, provider, datum, mocked)
SELECT k.client, k.provider, k.datum, k.mocked FROM {_PHONES}
WHERE (k.client IS NULL AND k.provider IS NULL) OR (SELECT count(*) FROM checkin_phones) < {MOST_PHONES}
ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING"""  # noqa: S608  As above.
ALL_PHONES = "SELECT id, client, provider, datum, mocked FROM checkin_phones"
"""All of them, so that a worker that meets a full table knows what is in it, and need not ask again."""


@dataclass(slots=True)
class Numbers:
    """The numbers of what check-ins name; `full` when the database has no room for more phones."""

    grounds: dict[Grounds, int] = field(default_factory=dict)
    phones: dict[Phone, int] = field(default_factory=dict)
    full: bool = False

    def lacks(self, records: Iterable[Record]) -> "Asked | None":
        """Return what has to be asked for before these records can be stored; None when everything is known."""
        grounds: set[Grounds] = set()
        phones: set[Phone] = set()
        for record in records:
            here, phone = grounds_of(record), phone_of(record)
            if here not in self.grounds and here != NO_GROUNDS:
                grounds.add(here)
            if phone not in self.phones and phone != NO_PHONE:
                bare = _bare(phone)
                if bare not in self.phones and bare != NO_PHONE:
                    phones.add(bare)
                if not self.full:
                    phones.add(phone)
        return Asked(sorted(grounds, key=str), sorted(phones, key=str)) if grounds or phones else None

    def of_phone(self, phone: Phone) -> tuple[int | None, str | None, str | None]:
        """Return the phone's number, and the client and provider that the check-in must keep itself."""
        number = self.phones.get(phone)
        if number is not None or phone == NO_PHONE:
            return number, None, None
        bare = _bare(phone)
        return None if bare == NO_PHONE else self.phones[bare], phone.client, phone.provider

    def of_grounds(self, grounds: Grounds) -> int | None:
        """Return the number of the grounds. Raises KeyError when it was not asked for."""
        return None if grounds == NO_GROUNDS else self.grounds[grounds]

    def with_more(self, more: "Numbers") -> "Numbers":
        """Return what is known together with what was just found."""
        return Numbers(self.grounds | more.grounds, self.phones | more.phones, self.full or more.full)

    def remember(self, more: "Numbers") -> None:
        """Keep what was found, once it has been committed; what is known longest makes room."""
        self.grounds.update(more.grounds)
        self.phones.update(more.phones)
        self.full = self.full or more.full
        while len(self.grounds) > MOST_REMEMBERED:
            del self.grounds[next(iter(self.grounds))]


class Asked(NamedTuple):
    """What a worker has no number for."""

    grounds: Sequence[Grounds]
    phones: Sequence[Phone]

    def steps(self) -> list[tuple[str, tuple[list[Any], ...]]]:
        """Return the statements with their parameters: make grounds, find them, make phones, read all phones."""
        here = (
            [each.village_code for each in self.grounds],
            [each.zone_name for each in self.grounds],
            [as_text(each.versions) for each in self.grounds],
        )
        phones = tuple([each[place] for each in self.phones] for place in range(len(NO_PHONE)))
        return [(MAKE_GROUNDS, here), (FIND_GROUNDS, here), (MAKE_PHONES, phones), (ALL_PHONES, ())]

    def found(self, grounds: Iterable[Sequence[int]], phones: Iterable[Sequence[Any]]) -> Numbers:
        """Return the numbers from the rows of the second and the last statement.

        Raises psycopg's SerializationFailure when one is missing, which takes a stricter isolation than READ COMMITTED:
        the group is then run again in a new transaction.
        """
        here = {self.grounds[n - 1]: number for n, number in grounds}
        known = {Phone(*said): number for number, *said in phones}
        lost = [each for each in self.phones if each not in known]
        if len(here) < len(self.grounds) or any(_bare(each) == each for each in lost):
            raise psycopg.errors.SerializationFailure("another worker's row cannot be seen yet")
        return Numbers(here, known, full=bool(lost))


async def learn(connection: psycopg.AsyncConnection[Any], asked: Asked, numbers: Numbers) -> Numbers:
    """Make what is not there yet, and return the numbers of everything asked for with those known before.

    They are remembered as well, unless a transaction of the caller could still take the new rows back.
    """
    async with connection.pipeline():
        cursors = [await connection.execute(text, given) for text, given in asked.steps()]
        grounds, phones = await cursors[1].fetchall(), await cursors[3].fetchall()
    more = asked.found(grounds, phones)
    known = numbers.with_more(more)
    if connection.info.transaction_status is TransactionStatus.IDLE:
        numbers.remember(more)
    return known


def _bare(phone: Phone) -> Phone:
    """Return the phone without its free texts: there are so few of these that there is always room."""
    return phone._replace(client=None, provider=None)


def grounds_of(record: Record) -> Grounds:
    """Return what a record's verdict rests on."""
    versions = record.versions
    return Grounds(record.village_code, record.zone_name, None if versions is None else tuple(versions))


def phone_of(record: Record) -> Phone:
    """Return what a record's phone said of itself."""
    return Phone(record.client, record.provider, record.datum, record.mocked)


def as_text(versions: Iterable[UUID] | None) -> str | None:
    """Return the versions as PostgreSQL writes an array."""
    return None if versions is None else "{" + ",".join(map(str, versions)) + "}"
