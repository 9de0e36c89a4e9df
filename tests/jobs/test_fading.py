"""Coordinates fade (ruling 22), records with an end are purged (S9), and a legal hold keeps what a case is about."""

import contextlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, check_in, make_cadre, make_world, position, renewed
from psycopg import sql

from server import clock as clocks
from server import ids, looks, scheduler
from server.access import Role
from server.checkins.models import CheckIn
from server.checkins.rejudging import judge_again
from server.db import Database
from server.month.book import Book
from server.month.masks import Month
from server.places.rules import today
from server.privacy import retention

SALT = bytes(range(16))
HEX, TEXT = SALT.hex(), urlsafe_b64encode(SALT).decode().rstrip("=")
THEN = datetime(2025, 3, 12, 4, 0, tzinfo=UTC)
"""Long past: what a function of the database lets go depends on the database's own clock, which no test moves."""


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def app(service: Service) -> Iterator[Database]:
    """The database as the scheduler has it: without any right to delete a position."""
    with contextlib.closing(Database(service.cloned.app_url, pool_size=1)) as database:
        yield database


def tapped(
    service: Service, clock: SetClock, cadre: Cadre, at: datetime = THEN, **changes: Any
) -> tuple[UUID, dict[str, Any]]:
    """Check in at an instant; return the id and what was sent."""
    clock.set(at)
    one, body = ids.new_id(at), check_in(at, position=position(**changes))
    with service.as_(renewed(service, cadre).token) as phone:
        assert phone.put(f"/v1/check-ins/{one}", json=body).status_code == 201
    return one, body


def faded_on(app: Database, clock: SetClock, day: date | None = None) -> dict[str, object]:
    clock.at = None
    with app.write() as session:
        return retention.fade(session, day or today(clocks.now()))


def points(service: Service, *ids_: UUID) -> int:
    with service.database.read() as session:
        query = "SELECT count(*) FROM checkin_positions WHERE checkin_id = ANY(:ids)"
        return int(session.execute(sa.text(query), {"ids": list(ids_)}).scalar_one())


def whole_record(service: Service, person: UUID) -> list[str]:
    """Return every row of every table that says anything of a person, but for the positions, as texts."""
    with psycopg.connect(service.cloned.owner_url) as connection:
        return [
            row[0]
            for table in (
                "checkin_rows",
                "checkin_judgements",
                "person_months",
                "checkin_withdrawals",
                "postings",
            )
            for row in connection.execute(
                sql.SQL("SELECT t::text FROM {} AS t WHERE person_id = %s ORDER BY 1").format(
                    sql.Identifier(table)
                ),
                [person],
            )
        ]


class TestFading:
    def test_coordinates_go_and_the_proof_stays(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        other, _ = tapped(service, clock, cadre)
        one, body = tapped(service, clock, cadre, THEN + timedelta(days=1))
        before, month = whole_record(service, cadre.person_id), self._month(service, clock, cadre)
        assert points(service, one, other) == 2
        assert faded_on(app, clock)["positions"] == 2
        assert points(service, one, other) == 0
        assert (
            whole_record(service, cadre.person_id) == before
        )  # Verdict, commitment, content hash, month: as they were.
        assert self._month(service, clock, cadre) == month
        clock.set(THEN + timedelta(days=1))
        with service.as_(renewed(service, cadre).token) as phone:
            shown = phone.get(f"/v1/check-ins/{one}").json()
            again = phone.put(f"/v1/check-ins/{one}", json=body)
        assert (shown["lon"], shown["lat"], shown["verdict"], shown["band"]) == (
            None,
            None,
            "inside",
            "inside",
        )
        assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
        assert faded_on(app, clock)["positions"] == 0

    def _month(self, service: Service, clock: SetClock, cadre: Cadre) -> dict[str, Any]:
        clock.set(THEN + timedelta(days=2))
        with service.as_(renewed(service, cadre).token) as phone:
            found: dict[str, Any] = phone.get("/v1/me/months/2025-03").json()
        counters: dict[str, Any] = found["counters"]
        return counters | {"days": [day["reasons"] for day in found["days"]]}

    def test_a_phone_that_kept_its_salt_is_still_recognised_and_other_coordinates_are_not(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        clock.set(THEN)
        one = ids.new_id(THEN)
        body = check_in(THEN, salt=TEXT)
        with service.as_(renewed(service, cadre).token) as phone:
            first = phone.put(f"/v1/check-ins/{one}", json=body)
        assert first.status_code == 201
        faded_on(app, clock)
        clock.set(THEN)
        moved = body | {"position": position(lon=106.2071235)}
        with service.as_(renewed(service, cadre).token) as phone:
            assert phone.put(f"/v1/check-ins/{one}", json=body).content == first.content
            assert phone.put(f"/v1/check-ins/{one}", json=moved).json()["code"] == "id-reused"

    def test_nothing_is_left_to_guess_by(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        """Neither salt nor coordinates stand in any column of any table: a commitment alone confirms no guess."""
        cadre = make_cadre(service, world)
        clock.set(THEN)
        body = check_in(THEN, salt=TEXT, position=position(lon=106.2063517, lat=28.9076193))
        refused = body | {"captured_at": "never"}
        with service.as_(renewed(service, cadre).token) as phone:
            assert phone.put(f"/v1/check-ins/{ids.new_id(THEN)}", json=body).status_code == 201
            assert phone.put(f"/v1/check-ins/{ids.new_id(THEN)}", json=refused).status_code == 422
        planted = (HEX, TEXT, "1062063517", "289076193", "106.2063517", "28.9076193")
        assert self._found(service, planted) >= {HEX, "1062063517", "106.2063517"}
        assert faded_on(app, clock)["bodies"] != 0
        assert self._found(service, planted) == set()

    def _found(self, service: Service, words: tuple[str, ...]) -> set[str]:
        with psycopg.connect(service.cloned.owner_url) as connection:
            tables = [
                row[0]
                for row in connection.execute(
                    "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
                )
            ]
            text = "\n".join(
                str(row[0])
                for table in tables
                for row in connection.execute(f"SELECT t::text FROM {table} AS t")  # noqa: S608  From the catalog.
            )
        # What was sent is kept as bytes, which PostgreSQL shows in hexadecimal.
        return {word for word in words if word in text or word.encode().hex() in text}

    def test_a_faded_check_in_cannot_be_judged_again_and_says_so(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        one, _ = tapped(service, clock, cadre)
        faded_on(app, clock)
        with service.database.write() as session:
            outcome = judge_again(session, CheckIn.id == one, cause="boundary", write=True)
        assert (outcome.judged, outcome.faded, outcome.changes) == (1, 1, [])  # ruling 10

    def test_what_the_policy_keeps_stays(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        """Six whole months after the month's end: September of what was made in March, not the 31st of August."""
        cadre = make_cadre(service, world)
        one, _ = tapped(service, clock, cadre)
        faded_on(app, clock, date(2025, 9, 30))
        assert points(service, one) == 1
        faded_on(app, clock, date(2025, 10, 1))
        assert points(service, one) == 0

    def test_not_even_the_function_lets_the_present_month_go(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        now = clocks.system()
        one, _ = tapped(service, clock, cadre, now - timedelta(minutes=5))
        with app.write() as session:
            asked = (
                "SELECT fade_positions(date '2020-01-01', date '2090-01-01', ARRAY[:village, ''], 1000000)"
            )
            session.execute(sa.text(asked), {"village": world.village})
            session.execute(sa.text("SELECT forget_bodies(timestamptz 'infinity', 1000000)"))
        assert points(service, one) == 1

    def test_it_is_the_scheduler_who_does_it_once_and_the_audit_log_says_how_many(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        tapped(service, clock, cadre)
        clock.at = None
        assert "fade" in scheduler.catch_up(app)
        assert "fade" not in scheduler.catch_up(app)
        with service.database.read() as session:
            query = "SELECT subject_id, details FROM audit_log WHERE deed = 'positions:fade' ORDER BY id DESC LIMIT 1"
            subject, details = session.execute(sa.text(query)).one()
        assert (subject, details) == ("2025-03-01..2025-03-31", {"positions": 1})


def officers(service: Service) -> list[str]:
    """Return tokens of two officers of the district."""
    with service.database.write() as session:
        rows = [
            make_account(session, role=Role.DISTRICT, region="500116", valid_from=LONG_AGO) for _ in range(2)
        ]
    return [token_for(service, row) for row in rows]


def place(service: Service, token: str, person: UUID, **more: object) -> UUID:
    body = {
        "id": str(ids.new_id()),
        "person_id": str(person),
        "reason": "申诉未结",
        "ends_on": "2090-12-31",
        **more,
    }
    with service.as_(token) as office:
        answer = office.post("/v1/legal-holds", json=body)
        assert answer.status_code == 201, answer.text
        assert office.post("/v1/legal-holds", json=body).headers["idempotent-replay"] == "true"
    return UUID(str(body["id"]))


class TestHolds:
    def test_a_hold_keeps_what_would_fade_until_two_people_lift_it(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre, other = make_cadre(service, world), make_cadre(service, world)
        one, two = tapped(service, clock, cadre)[0], tapped(service, clock, other)[0]
        clock.at = None
        first, second = officers(service)
        hold = place(service, first, cadre.person_id)
        faded_on(app, clock)
        assert (points(service, one), points(service, two)) == (1, 0)  # edges 78, 134
        with service.as_(renewed(service, cadre).token) as phone:
            (told,) = phone.get("/v1/me/legal-holds").json()
        assert (told["reason"], told["in_force"], "placed_by" in told) == ("申诉未结", True, False)
        with service.as_(first) as office:
            for _ in range(2):  # The same official twice is one.
                answer = office.post(f"/v1/legal-holds/{hold}/lift", json={"reason": "已办结"}).json()
                assert (answer["lifts"], answer["in_force"]) == (1, True)
        faded_on(app, clock)
        assert points(service, one) == 1
        with service.as_(second) as office:
            answer = office.post(f"/v1/legal-holds/{hold}/lift", json={"reason": "已办结"}).json()
            assert (answer["lifts"], answer["in_force"]) == (2, False)
        faded_on(app, clock)
        assert points(service, one) == 0

    def test_a_hold_on_some_days_keeps_those_alone(
        self, service: Service, world: World, clock: SetClock, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        held = tapped(service, clock, cadre)[0]
        free = tapped(service, clock, cadre, THEN + timedelta(days=1))[0]
        clock.at = None
        place(service, officers(service)[0], cadre.person_id, first_day="2025-03-12", last_day="2025-03-12")
        faded_on(app, clock)
        assert (points(service, held), points(service, free)) == (1, 0)

    def test_a_hold_ends_in_the_future(self, service: Service, world: World) -> None:
        person = make_cadre(service, world).person_id
        body = {"id": str(ids.new_id()), "person_id": str(person), "reason": "申诉", "ends_on": "2020-01-01"}
        with service.as_(officers(service)[0]) as office:
            assert office.post("/v1/legal-holds", json=body).json()["code"] == "invalid-request"
            backwards = body | {"ends_on": "2090-01-01", "first_day": "2025-03-02", "last_day": "2025-03-01"}
            assert office.post("/v1/legal-holds", json=backwards).status_code == 422


class TestPurging:
    def _old(self, service: Service, person: UUID, account: UUID, age: timedelta) -> None:
        at = clocks.system() - age
        with service.database.write() as session:
            session.add(
                looks.Look(at=at, person_id=person, role="operator", region="", what=looks.What.MONTH)
            )
            session.execute(
                sa.text(
                    "INSERT INTO checkin_attempts (at, person_id, account_id, checkin_id, code, status)"
                    " VALUES (:at, :person, :account, 'x', 'invalid-request', 422)"
                ),
                {"at": at, "person": person, "account": account},
            )
            session.execute(
                sa.text(
                    "INSERT INTO audit_log (at, actor_id, deed, subject_kind, subject_id, details)"
                    """ VALUES (:at, CAST(:account AS uuid), 'auth:login', 'account', CAST(:account AS text), '{"address": "10.1.2.3"}')"""
                ),
                {"at": at, "account": str(account)},
            )

    def _left(self, service: Service, person: UUID, account: UUID) -> tuple[int, int, int]:
        with service.database.read() as session:
            return tuple(
                session.execute(sa.text(query), {"person": person, "account": str(account)}).scalar_one()
                for query in (
                    "SELECT count(*) FROM looks WHERE person_id = :person",
                    "SELECT count(*) FROM checkin_attempts WHERE person_id = :person",
                    "SELECT count(*) FROM audit_log WHERE subject_id = :account AND details ? 'address'",
                )
            )

    def test_records_end_when_the_data_map_says_but_not_what_is_held(
        self, service: Service, world: World, app: Database, clock: SetClock
    ) -> None:
        cadres = [make_cadre(service, world) for _ in range(2)]
        for cadre in cadres:
            for years in (0.5, 1.5, 4):
                self._old(service, cadre.person_id, cadre.account.id, timedelta(days=365 * years))
        clock.at = None
        token = officers(service)[0]
        place(service, token, cadres[1].person_id)
        with app.write() as session:
            found = retention.purge(session, today(clocks.now()))
        assert (found["looks"], found["checkin_attempts"], found["audit_log"]) == (1, 1, 1)
        assert self._left(service, cadres[0].person_id, cadres[0].account.id) == (2, 2, 2)
        assert self._left(service, cadres[1].person_id, cadres[1].account.id) == (3, 3, 3)  # edge 134
        with service.database.read() as session:
            query = "SELECT details FROM audit_log WHERE deed = 'looks:purge'"
            assert session.execute(sa.text(query)).scalar_one() == {"rows": 1}  # Counts, not content.

    def test_nothing_younger_than_a_year_can_be_purged_by_whoever_asks(
        self, service: Service, world: World, app: Database
    ) -> None:
        cadre = make_cadre(service, world)
        self._old(service, cadre.person_id, cadre.account.id, timedelta(days=300))
        with app.write() as session:
            for table in (
                "looks",
                "checkin_attempts",
                "sessions",
                "one_time_codes",
                "device_codes",
                "audit_log",
            ):
                session.execute(sa.text(f"SELECT purge_{table}('infinity', 1000000)"))
        assert self._left(service, cadre.person_id, cadre.account.id) == (1, 1, 1)


def test_a_month_fades_so_many_whole_months_after_its_end() -> None:
    assert retention.fades_on(Book(), "", Month(2025, 3)) == date(2025, 10, 1)
    assert retention.fades_on(Book(), "", Month(2025, 12)) == date(2026, 7, 1)
    assert retention.fades_on(Book(), "", Month(2025, 6)) == date(2026, 1, 1)
