"""The small numbers under which check-ins keep what repeats: grounds of verdicts, what phones say of themselves, their keys.

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
from server.checkins.signing import Proof

MOST_PHONES = 1_000
MOST_REMEMBERED = 20_000
"""Grounds in a worker's memory: a few hundred bytes each. A district has some hundreds."""
MOST_SIGNERS = 8_192
"""Keys in a worker's memory: half a kilobyte each, one for every phone that signs."""


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


class Signer(NamedTuple):
    """A row of `checkin_signers` without its number: a phone's key, and the header of its signatures to the letter."""

    jkt: str
    header: str


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

MAKE_SIGNERS = """INSERT INTO checkin_signers (jkt, header)
SELECT k.jkt, k.header FROM unnest(%s::text[], %s::text[]) AS k(jkt, header) ORDER BY 2 ON CONFLICT DO NOTHING"""
FIND_SIGNERS = """SELECT s.id, s.jkt, s.header FROM checkin_signers AS s WHERE s.header = ANY(%s::text[])"""


@dataclass(slots=True)
class Numbers:
    """The numbers of what check-ins name; `full` when the database has no room for more phones."""

    grounds: dict[Grounds, int] = field(default_factory=dict)
    phones: dict[Phone, int] = field(default_factory=dict)
    full: bool = False
    signers: dict[Signer, int] = field(default_factory=dict)

    def lacks(self, records: Iterable[Record], proofs: Iterable[Proof] = ()) -> "Asked | None":
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
        signers = {signer_of(proof) for proof in proofs} - self.signers.keys()
        if not (grounds or phones or signers):
            return None
        return Asked(sorted(grounds, key=str), sorted(phones, key=str), sorted(signers))

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
        return Numbers(
            self.grounds | more.grounds,
            self.phones | more.phones,
            self.full or more.full,
            self.signers | more.signers,
        )

    def remember(self, more: "Numbers") -> None:
        """Keep what was found, once it has been committed; what is known longest makes room."""
        self.grounds.update(more.grounds)
        self.phones.update(more.phones)
        self.full = self.full or more.full
        self.signers.update(more.signers)
        while len(self.grounds) > MOST_REMEMBERED:
            del self.grounds[next(iter(self.grounds))]
        while len(self.signers) > MOST_SIGNERS:
            del self.signers[next(iter(self.signers))]


class Asked(NamedTuple):
    """What a worker has no number for."""

    grounds: Sequence[Grounds]
    phones: Sequence[Phone]
    signers: Sequence[Signer] = ()

    def steps(self) -> list[tuple[str, tuple[list[Any], ...]]]:
        """Return the statements with their parameters: make and find grounds, phones, and signers where any is asked for."""
        here = (
            [each.village_code for each in self.grounds],
            [each.zone_name for each in self.grounds],
            [as_text(each.versions) for each in self.grounds],
        )
        phones = tuple([each[place] for each in self.phones] for place in range(len(NO_PHONE)))
        steps: list[tuple[str, tuple[list[Any], ...]]] = [
            (MAKE_GROUNDS, here),
            (FIND_GROUNDS, here),
            (MAKE_PHONES, phones),
            (ALL_PHONES, ()),
        ]
        if self.signers:
            keys, headers = [each.jkt for each in self.signers], [each.header for each in self.signers]
            steps += [(MAKE_SIGNERS, (keys, headers)), (FIND_SIGNERS, (headers,))]
        return steps

    def found(
        self,
        grounds: Iterable[Sequence[int]],
        phones: Iterable[Sequence[Any]],
        signers: Iterable[Sequence[Any]] = (),
    ) -> Numbers:
        """Return the numbers from the rows of the statements that find.

        Raises psycopg's SerializationFailure when one is missing, which takes a stricter isolation than READ COMMITTED:
        the group is then run again in a new transaction.
        """
        here = {self.grounds[n - 1]: number for n, number in grounds}
        known = {Phone(*said): number for number, *said in phones}
        keys = {Signer(*said): number for number, *said in signers}
        lost = [each for each in self.phones if each not in known]
        missing = len(here) < len(self.grounds) or len(keys) < len(self.signers)
        if missing or any(_bare(each) == each for each in lost):
            raise psycopg.errors.SerializationFailure("another worker's row cannot be seen yet")
        return Numbers(here, known, bool(lost), keys)


async def learn(connection: psycopg.AsyncConnection[Any], asked: Asked, numbers: Numbers) -> Numbers:
    """Make what is not there yet, and return the numbers of everything asked for with those known before.

    They are remembered as well, unless a transaction of the caller could still take the new rows back.
    """
    async with connection.pipeline():
        cursors = [await connection.execute(text, given) for text, given in asked.steps()]
        read = [await cursor.fetchall() for cursor in cursors[1::2]]
    more = asked.found(*read)
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


def signer_of(proof: Proof) -> Signer:
    """Return whose signature it is."""
    return Signer(proof.jkt, proof.header)


def as_text(versions: Iterable[UUID] | None) -> str | None:
    """Return the versions as PostgreSQL writes an array."""
    return None if versions is None else "{" + ",".join(map(str, versions)) + "}"
