"""The naive designs, so that the ratio can be seen: the same check-in, one transaction and one session a request.

`orm` is what a tutorial shows: a plain ``def`` endpoint, a SQLAlchemy session, objects looked up, added and committed.
`sql` is the same without the ORM: a psycopg pool and a statement for each step. Both take the same bodies and tokens,
judge by the same functions, write the same rows of the same tables and answer after their commit. What they leave out
(recorded attempts, replays with other content) makes them faster, not slower.

Started by bench.serving with uvicorn; not for anything else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from fastapi import FastAPI, Response
from psycopg_pool import ConnectionPool
from sqlalchemy import orm

from server import problems, wiring
from server import settings as settings_module
from server.auth.doorkeeper import Doorkeeper
from server.auth.models import Account, LoginSession
from server.checkins import judging, rejudging, storing
from server.checkins.answers import CheckInOut
from server.checkins.codes import CODES
from server.checkins.judging import Incoming, Views
from server.checkins.models import CheckInPosition, CheckInRow
from server.checkins.names import Numbers
from server.checkins.reading import incoming_of
from server.checkins.record import Record, StoredPosition, answer
from server.checkins.schemas import CheckInIn
from server.checkins.storing import MASKS, ActivePosting, Kept, Masks
from server.db import Database
from server.gate import Anyone
from server.month.models import PersonMonth
from server.places.atlas import SHAPES_SQL, Atlas, Stored
from server.problems import Problem
from server.roster.models import Posting

Ask = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]
Save = Callable[[Incoming], Kept]
CONNECTIONS = 16


class Judge:
    """What judging needs, read at the start; shapes are kept once they were asked for."""

    def __init__(self, database: Database) -> None:
        with database.read() as session:
            self.views: Views = rejudging.views_of(session)
        self.atlas = Atlas(most_bytes=4_000_000)

    def kept(self, item: Incoming, postings: Sequence[ActivePosting], before: Masks, ask: Ask) -> Kept:
        """Judge one check-in, asking for shapes that are missing."""
        question = judging.ask(
            item.timing.event_at, judging.fix_of(item.given.position), postings, self.views
        )
        missing = self.atlas.missing({question.assigned}, {question.excluded} if question.excluded else set())
        if missing:
            rows = ask(SHAPES_SQL, {"ids": missing})
            self.atlas.put({row[0]: Stored(row[1], row[2], bytes(row[3]), row[4]) for row in rows})
        verdict = judging.decide(question, self.atlas)
        return judging.kept(item, question, verdict, before=before, postings=postings, views=self.views)


def numbers(known: Numbers, records: Sequence[Record], run: Callable[..., Any]) -> Numbers:
    """Return the numbers that these records need, with what was known; `run` takes a statement and its parameters.

    What is new is made in the caller's transaction, and is only as good as that.
    """
    asked = known.lacks(records)
    if asked is None:
        return known
    found = [run(text, given) for text, given in asked.steps()]
    return known.with_more(asked.found(found[1].fetchall(), found[3].fetchall()))


def _row(record: Record, known: Numbers) -> dict[str, Any]:
    return {name: column[0] for name, column in storing.row_columns([record], known).items()}


def _application(save: Save, doorkeeper: Doorkeeper) -> FastAPI:
    app = FastAPI()
    app.state.doorkeeper = doorkeeper

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.put("/v1/check-ins/{checkin_id}", operation_id="checkins-put")
    def put(checkin_id: UUID, given: CheckInIn, who: Anyone, response: Response) -> CheckInOut:
        kept = save(incoming_of(checkin_id, given, b"", who))
        response.status_code = 201
        return answer(kept.record)

    return app


def orm_app() -> FastAPI:
    """Return the application with an ORM session a request."""
    given = settings_module.load()
    wiring.install()
    database = Database(given.database_url, pool_size=CONNECTIONS)
    judge = Judge(database)
    known = Numbers()

    def save(item: Incoming) -> Kept:
        nonlocal known
        with database.write() as session:
            login = session.get(LoginSession, item.session_id)
            account = session.get(Account, item.account_id)
            if login is None or login.revoked_at is not None or account is None or account.disabled_at:
                raise Problem(problems.TOKEN_STALE)
            found = session.scalars(sa.select(Posting).where(Posting.person_id == item.person_id)).all()
            postings = [ActivePosting(p.id, p.village_code, p.from_day, p.until_day) for p in found]
            first = _first(item)
            month = session.get(PersonMonth, (item.person_id, first), with_for_update=True)
            if month is None:
                month = PersonMonth(person_id=item.person_id, month=first, **dict.fromkeys(MASKS, 0))
                session.add(month)
            before = (month.sure, month.unsure, month.unfenced, month.outside, month.claimed)
            kept = judge.kept(item, postings, before, lambda text, given: _asked(session, text, given))
            mine = numbers(known, [kept.record], session.connection().exec_driver_sql)
            row = CheckInRow(**_row(kept.record, mine))
            session.add(row)
            if kept.position is not None:
                session.flush()
                session.add(CheckInPosition(seq=row.seq, **kept.position._asdict()))
            for name, mask in zip(MASKS, judging.both(before, kept.masks), strict=True):
                setattr(month, name, mask)
        known = mine
        return kept

    return _application(save, Doorkeeper(given))


def _asked(session: orm.Session, text: str, given: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return [tuple(row) for row in session.connection().exec_driver_sql(text, given)]


_SESSION = """SELECT a.version FROM sessions s JOIN accounts a ON a.id = s.account_id
WHERE s.id = %s AND s.revoked_at IS NULL AND a.disabled_at IS NULL"""
_POSTINGS = "SELECT id, village_code, from_day, until_day FROM postings WHERE person_id = %s"
_MONTH = "SELECT sure, unsure, unfenced, outside, claimed FROM person_months WHERE person_id = %s AND month = %s FOR UPDATE"
_MONTH_KEPT = """INSERT INTO person_months (person_id, month, sure, unsure, unfenced, outside, claimed)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (person_id, month) DO UPDATE SET sure = excluded.sure,
    unsure = excluded.unsure, unfenced = excluded.unfenced, outside = excluded.outside, claimed = excluded.claimed"""


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608  Names of ours.


def _checkin_kept(row: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the statement that keeps a row, with its values as the table has them."""
    values = [CODES[name][each] if name in CODES and each is not None else each for name, each in row.items()]
    return _insert("checkin_rows", list(row)) + " RETURNING seq", values


_POSITION_KEPT = _insert("checkin_points", ("seq", *StoredPosition._fields))


def sql_app() -> FastAPI:
    """Return the application with plain statements a request."""
    given = settings_module.load()
    judge = Judge(Database(given.database_url, pool_size=1))
    pool = ConnectionPool(
        given.database_url,
        min_size=4,
        max_size=CONNECTIONS,
        open=True,
        kwargs={"options": "-c timezone=UTC", "prepare_threshold": 1},
    )

    known = Numbers()

    def save(item: Incoming) -> Kept:
        nonlocal known
        with _transaction(pool) as connection:
            standing = connection.execute(_SESSION, [item.session_id]).fetchone()
            if standing is None:
                raise Problem(problems.TOKEN_STALE)
            rows = connection.execute(_POSTINGS, [item.person_id]).fetchall()
            postings = [ActivePosting(*row) for row in rows]
            first = _first(item)
            before = connection.execute(_MONTH, [item.person_id, first]).fetchone() or judging.NOTHING
            kept = judge.kept(
                item, postings, before, lambda text, asked: connection.execute(text, asked).fetchall()
            )
            mine = numbers(known, [kept.record], connection.execute)
            stored = connection.execute(*_checkin_kept(_row(kept.record, mine))).fetchone()
            if kept.position is not None and stored is not None:
                connection.execute(_POSITION_KEPT, [stored[0], *kept.position])
            masks = judging.both(before, kept.masks)
            connection.execute(_MONTH_KEPT, [item.person_id, first, *masks])
        known = mine
        return kept

    return _application(save, Doorkeeper(given))


@contextmanager
def _transaction(
    pool: ConnectionPool[psycopg.Connection[Any]],
) -> Iterator[psycopg.Connection[Any]]:
    with pool.connection() as connection, connection.transaction():
        yield connection


def _first(item: Incoming) -> date:
    return storing.month_of((item.timing.event_at + timedelta(hours=8)).date())
