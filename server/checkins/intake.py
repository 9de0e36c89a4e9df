"""The intake: takes check-ins from the routes, judges and stores them by groups (ruling 21).

Two statements a group: one reads what judging needs (which sessions stand, who is posted where, the months so far, what
is stored already, where the chains of receipts stand, and the counters of boundaries and policies; what changed is
reloaded before anything is judged), one stores the check-ins, their positions, their bits in the month and the steps of
the chains together, and is a transaction by itself. It stores nothing of people of whom another worker stored something
in between (server.checkins.sealing): these are looked up again.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from server import bounded, deadlines, durable, metrics, problems
from server.auth.keys import KeySet
from server.checkins import judging, rules, storing
from server.checkins.judging import Incoming, Views
from server.checkins.names import Numbers
from server.checkins.record import Record
from server.checkins.sealing import Sealer
from server.checkins.storing import Found, Kept, Looked, Sought
from server.checkins.writer import STORE_WITHIN_S, Writer
from server.month import book, outages
from server.places import atlas as atlases
from server.problems import Problem
from server.settings import Settings

LOG = logging.getLogger("zaicun.intake")
BODY_KEPT = 4096
"""Bytes of a refused body that are kept."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a check-in: its row, and whether this call stored it."""

    record: Record
    created: bool
    receipt: str | None = None  # Where this call made it.


Outcome = Stored | Problem
Key = tuple[UUID, UUID]
"""Person and id."""
MOST_LOST = 8
"""Rounds in which a group may be overtaken by what other workers store of the same people."""


class Intake:
    """One worker's intake: one connection, one atlas, one writer."""

    def __init__(self, settings: Settings, *, trust: Callable[[], None] = lambda: None) -> None:
        """`trust` raises Problem (503) when the database must not be relied on now."""
        self._settings = settings
        self._trust = trust
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._views = Views(default_region=settings.district_code)
        self._states: dict[str, int] | None = None
        self._atlas = atlases.Atlas()
        self._numbers = Numbers()
        self._sealer = Sealer(KeySet(settings.keys_dir), settings.district_code)
        self._writer: Writer[Incoming, Outcome] = Writer(
            self._store, abandon=self._abandon, queue=settings.intake_queue, group=settings.intake_group
        )

    def start(self) -> None:
        """Begin storing; call it inside the running loop."""
        self._writer.start()

    async def close(self) -> None:
        """Finish what waits, then close the connection."""
        await self._writer.close()
        if self._connection is not None:
            await self._connection.close()

    @property
    def waiting(self) -> int:
        """Return how many check-ins wait to be stored."""
        return self._writer.waiting

    async def put(self, incoming: Incoming) -> Stored:
        """Store a check-in once and return its row after the commit.

        Raises Problem: 401 when the session was ended, 409 ``id-reused`` when the id carries other content, 503 when
        the database does not answer or too many wait.
        """
        outcome = await self._writer.put(incoming)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    # --- one group

    async def _store(self, group: Sequence[Incoming]) -> Sequence[Outcome]:
        self._trust()
        connection = await self._connected()
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(group)))
        for _ in range(MOST_LOST):
            told = await self._one_round(connection, [group[place] for place in left])
            outcomes |= {
                place: outcome for place, outcome in zip(left, told, strict=True) if outcome is not None
            }
            left = [place for place in left if place not in outcomes]
            if not left:
                break
        # They can come again like anything that is told 503; their person's chain moved each time.
        outcomes |= {place: problems.later(problems.BUSY) for place in left}
        return [outcomes[place] for place in range(len(group))]

    async def _one_round(
        self, connection: psycopg.AsyncConnection[Any], given: Sequence[Incoming]
    ) -> Sequence[Outcome | None]:
        """Store what can be; None for what another worker came before with something of the same person."""
        read = [self._sealer.back(item) if item.given.receipt else item for item in given]
        group = [item if isinstance(old, Problem) else old for item, old in zip(given, read, strict=True)]
        known = await self._look_up(connection, group)
        questions = [self._ask(item, known) for item in group]
        await self._load_shapes(connection, questions)
        unfit = [old if isinstance(old, Problem) else None for old in read]
        refused, candidates = self._judge(group, questions, known, unfit)
        new = await self._keep(connection, group, candidates, known)
        # What is read and recorded from here on follows a commit: rows never change once they are stored, and whoever
        # gets no answer because this fails sends again.
        lost = candidates.keys() - new.keys()
        replayed = await self._replayed(connection, group, refused, new, lost)
        result = [
            None
            if (item.person_id, item.id) in lost and problem is None
            else self._outcome(item, problem, new, replayed)
            for item, problem in zip(group, refused, strict=True)
        ]
        await _record_refused(connection, group, result)
        self._atlas.trim()
        # Only the first of two equal ids in one group was stored by this call; the others are resends.
        settled = _only_first_created(result)
        _count(settled)
        return settled

    async def _keep(
        self,
        connection: psycopg.AsyncConnection[Any],
        group: Sequence[Incoming],
        candidates: Mapping[Key, Kept],
        known: Looked,
    ) -> dict[Key, Stored]:
        """Sign and store; return what was stored."""
        if not candidates:
            return {}
        for item in group:
            if item.back is not None and (item.person_id, item.id) in candidates:
                await self._sealer.keep_old(connection, item)
        sealed, steps = self._sealer.seal(candidates.values(), known.heads)
        stored = await storing.keep(connection, sealed, steps, self._numbers)
        return {k.key: Stored(k.record, created=True, receipt=k.receipt) for k in sealed if k.key in stored}

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
            self._states = None
            await self._require_durable(self._connection)
        return self._connection

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        milliseconds = int(STORE_WITHIN_S * 1000)
        try:
            return await psycopg.AsyncConnection.connect(
                self._settings.database_url,
                autocommit=True,
                prepare_threshold=1,
                connect_timeout=deadlines.CONNECT_WITHIN_S,
                application_name="zaicun intake",
                options=f"-c timezone=UTC -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
                f" -c idle_in_transaction_session_timeout={milliseconds} {storing.OPTIONS}",
            )
        except BaseException as error:
            bounded.let_go(error)
            raise

    async def _require_durable(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Refuse a session through which an acknowledged check-in could be lost (security.md M5)."""
        row = await (await connection.execute(durable.ASK)).fetchone()
        try:
            durable.refuse_unless_durable(row or ())
        except durable.NotDurable as fault:
            self._abandon()()
            LOG.critical("the intake's connection must not be trusted: %s", fault)
            raise problems.later(problems.DATABASE_UNSAFE, least_s=30) from fault

    def _abandon(self) -> Callable[[], None]:
        """Give up the connection without waiting for it: its server may be frozen. What waits on it fails at once.

        Return what closes it. Whoever waits on it may do so for seconds more where the loop is busy (psycopg asks the server
        to cancel first), and closing it under him freed what he pointed to: a worker of a herd died of it.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return lambda: None
        bounded.cut(connection.pgconn)
        return connection.pgconn.finish

    async def _look_up(self, connection: psycopg.AsyncConnection[Any], group: Sequence[Incoming]) -> Looked:
        sought = [Sought(item.person_id, item.session_id, item.id) for item in group]
        known = await storing.look_up(connection, sought, [item.timing.event_at.date() for item in group])
        await self._refresh(connection, known.states)
        await self._sealer.ready(connection, known.states["epoch"])
        return known

    async def _refresh(self, connection: psycopg.AsyncConnection[Any], states: dict[str, int]) -> None:
        """Reload what changed since the last group; the counters moved in the transaction of the change."""
        before = self._states
        if before == states:
            return
        moved = {name for name in states if before is None or states[name] != before.get(name)}
        if before is None or "boundaries" in moved:
            rows = await (await connection.execute(atlases.VERSIONS_SQL)).fetchall()
            self._views.register = atlases.Register(rows)
            successors = await (await connection.execute(storing.SUCCESSORS)).fetchall()
            self._views.successors = {row[0]: (row[1], row[2]) for row in successors}
        if before is None or moved & {"policies", "calendar", "outages"}:
            policies = await (await connection.execute(book.POLICIES)).fetchall()
            calendars = await (await connection.execute(book.CALENDARS)).fetchall()
            down = await (await connection.execute(outages.STANDING)).fetchall()
            self._views.book = book.build(policies, calendars, down)
        self._states = states

    def _ask(self, item: Incoming, known: Looked) -> judging.Question:
        fix = judging.fix_of(item.given.position)
        return judging.ask(item.timing.event_at, fix, known.postings.get(item.person_id, ()), self._views)

    async def _load_shapes(
        self, connection: psycopg.AsyncConnection[Any], questions: Iterable[judging.Question]
    ) -> None:
        asked = list(questions)
        missing = self._atlas.missing({q.assigned for q in asked}, {q.excluded for q in asked if q.excluded})
        if missing:
            rows = await (await connection.execute(atlases.SHAPES_SQL, {"ids": missing})).fetchall()
            self._atlas.put({row[0]: atlases.Stored(row[1], row[2], bytes(row[3]), row[4]) for row in rows})

    def _judge(
        self,
        group: Sequence[Incoming],
        questions: Sequence[judging.Question],
        known: Looked,
        unfit: Sequence[Problem | None],
    ) -> tuple[list[Problem | None], dict[Key, Kept]]:
        """Judge what is new and whose session stands; of two with one key in a group the first is the candidate.

        What was stored before adds nothing to the month that the next one is told: its bits are there, or were
        withdrawn, or are those of other content.
        """
        refused: list[Problem | None] = []
        candidates: dict[Key, Kept] = {}
        for item, question, problem in zip(group, questions, unfit, strict=True):
            if known.sessions.get(item.session_id) != item.version:
                refused.append(Problem(problems.TOKEN_STALE, headers={"WWW-Authenticate": "Bearer"}))
                continue
            refused.append(problem)
            key = (item.person_id, item.id)
            if problem is not None or key in known.stored or key in candidates:
                continue
            place = (item.person_id, storing.month_of(question.day))
            before = known.masks.get(place, judging.NOTHING)
            row = candidates[key] = judging.kept(
                item,
                question,
                judging.decide(question, self._atlas),
                before=before,
                recorded=known.recorded.get(place, judging.NOTHING_RECORDED),
                postings=known.postings.get(item.person_id, ()),
                views=self._views,
            )
            known.masks[place] = judging.both(before, row.masks)
        return refused, candidates

    async def _replayed(
        self,
        connection: psycopg.AsyncConnection[Any],
        group: Sequence[Incoming],
        refused: Sequence[Problem | None],
        new: Container[Key],
        lost: Container[Key],
    ) -> dict[Key, Found]:
        admitted = [item for item, problem in zip(group, refused, strict=True) if problem is None]
        seen: set[Key] = set()
        asked: set[Key] = set()
        for item in admitted:
            key = (item.person_id, item.id)
            if (key not in new or key in seen) and key not in lost:
                asked.add(key)
            seen.add(key)
        return await storing.stored(connection, sorted(asked)) if asked else {}

    def _outcome(
        self,
        item: Incoming,
        refused: Problem | None,
        new: Mapping[Key, Stored],
        replayed: Mapping[Key, Found],
    ) -> Outcome:
        if refused is not None:
            return refused
        key = (item.person_id, item.id)
        found = replayed.get(key)
        if found is None:
            return new[key]
        if _same(item, found):
            return Stored(found.record, created=key in new)
        return Problem(
            problems.ID_REUSED,
            zh="此编号的签到已存在，且内容不同。请为新的签到使用新的编号。",
            en="A check-in with this id exists with other content. Use a new id for a new check-in.",
        )


def _same(item: Incoming, found: Found) -> bool:
    """Tell whether a resend carries what was stored, `sent_at` apart (ruling 11).

    The coordinates are compared through the commitment, with the salt that was stored or, after fading, with the one
    the phone kept; when neither is left, the rest of the content decides.
    """
    if not rules.same_digest(judging.content_of(item.given), found.record.content_hash):
        return False
    if item.given.position is None or found.record.commitment is None:
        return item.given.position is None and found.record.commitment is None
    salt = found.salt if found.salt is not None else (item.salt if item.given.salt else None)
    if salt is None:
        return True
    return rules.same_digest(
        rules.commitment(salt, judging.exact(item.given.position)), found.record.commitment
    )


def _only_first_created(outcomes: Sequence[Outcome | None]) -> list[Outcome | None]:
    seen: set[Key] = set()
    settled: list[Outcome | None] = []
    for outcome in outcomes:
        if isinstance(outcome, Stored):
            key = (outcome.record.person_id, outcome.record.id)
            settled.append(Stored(outcome.record, outcome.created and key not in seen, outcome.receipt))
            seen.add(key)
        else:
            settled.append(outcome)
    return settled


def _count(outcomes: Sequence[Outcome | None]) -> None:
    """Count what was stored and what was a resend; refusals are counted where they are answered."""
    for outcome in outcomes:
        if isinstance(outcome, Stored):
            if outcome.created:
                metrics.stored(outcome.record.verdict)
            else:
                metrics.replayed()


async def _record_refused(
    connection: psycopg.AsyncConnection[Any], group: Sequence[Incoming], outcomes: Sequence[Outcome | None]
) -> None:
    """Keep what was refused before it is answered: the person must be able to show the attempt (ruling 13)."""
    attempts = [
        {
            "at": item.received_at,
            "person": item.person_id,
            "account": item.account_id,
            "checkin": str(item.id),
            "code": outcome.kind.code,
            "status": outcome.kind.status,
            "body": item.body[:BODY_KEPT],
        }
        for item, outcome in zip(group, outcomes, strict=True)
        if isinstance(outcome, Problem)
    ]
    if attempts:
        async with connection.transaction():
            for attempt in attempts:
                await connection.execute(storing.REFUSED, attempt)
