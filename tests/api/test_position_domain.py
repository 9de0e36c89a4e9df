"""What a position may hold, through HTTP: nothing crashes, nothing is counted or dropped in silence (M23, M24)."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import Service, SetClock
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, renewed
from position_oracle import Row, body, expected, pairwise

from server import ids, problems
from server.checkins.storing import ATTEMPTS_A_DAY

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)
COUNTS = {"inside": "counted", "unsure": "provisional"}
ROWS = pairwise()


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def requested(row: Row) -> bytes:
    """Write a check-in with the position put in as text, because JSON of Python's making is too tidy."""
    whole = json.dumps(check_in(NOON, position="HERE"))
    return whole.encode().replace(b'"HERE"', body(row))


def put(client: httpx.Client, row: Row, checkin_id: UUID) -> httpx.Response:
    return client.put(
        f"/v1/check-ins/{checkin_id}", content=requested(row), headers={"Content-Type": "application/json"}
    )


def kept(
    service: Service, person: UUID
) -> tuple[dict[UUID, tuple[str, ...]], dict[str, tuple[str, int]], int]:
    """Return a person's check-ins, refused attempts, and positions."""
    with service.database.read() as session:
        connection = session.connection()
        checkins = connection.exec_driver_sql(
            "SELECT id, verdict, reason, standing FROM checkins WHERE person_id = %s", (person,)
        ).all()
        attempts = connection.exec_driver_sql(
            "SELECT checkin_id, code, status FROM checkin_attempts WHERE person_id = %s", (person,)
        ).all()
        positions = connection.exec_driver_sql(
            "SELECT count(*) FROM checkin_positions WHERE person_id = %s", (person,)
        ).scalar_one()
    return (
        {row[0]: tuple(row[1:]) for row in checkins},
        {row[0]: (row[1], row[2]) for row in attempts},
        int(positions),
    )


def counted_days(service: Service, person: UUID) -> int:
    with service.database.read() as session:
        query = "SELECT coalesce(bit_or(sure | unsure | unfenced), 0) FROM person_months WHERE person_id = %s"
        return int(session.connection().exec_driver_sql(query, (person,)).scalar_one())


def judge_answer(row: Row, answer: httpx.Response) -> dict[str, Any]:
    """Hold one answer against the oracle."""
    wanted, said = expected(row), answer.json()
    assert answer.status_code < 500, (row, said)
    if wanted.verdicts is None:
        assert answer.status_code in {400, 422}, (row, said)
        assert said["code"] in problems.registry()
        assert answer.headers["content-type"].startswith("application/problem+json")
        if answer.status_code == 422:
            assert said["errors"]
            assert all(fault["code"] and fault["zh"] and fault["en"] for fault in said["errors"])
    else:
        assert answer.status_code == 201, (row, said)
        assert said["verdict"] in wanted.verdicts, (row, said, sorted(wanted.verdicts))
        assert said["reason"]
        assert said["reason_zh"]
        assert said["reason_en"]
        usual = "claimed" if said["verdict"] == "unusable" else "not-counted"
        assert said["standing"] == COUNTS.get(said["verdict"], usual), (row, said)
    return dict(said)


@pytest.mark.slow
@pytest.mark.parametrize("part", range((len(ROWS) + 149) // 150))
def test_no_position_crashes_counts_or_vanishes_in_silence(
    service: Service, world: World, clock: SetClock, part: int
) -> None:
    """Each person sends 150 of the rows, because no more than 200 refused attempts a day are kept of one."""
    clock.set(NOON)
    cadre: Cadre = renewed(service, make_cadre(service, world))
    sent: dict[UUID, tuple[Row, httpx.Response]] = {}
    with service.as_(cadre.token) as client:
        for row in ROWS[part * 150 : (part + 1) * 150]:
            one = ids.new_id()
            sent[one] = (row, put(client, row, one))
    assert len(sent) < ATTEMPTS_A_DAY
    told = {one: judge_answer(row, answer) for one, (row, answer) in sent.items()}
    checkins, attempts, positions = kept(service, cadre.person_id)
    accepted = {one for one, (_, answer) in sent.items() if answer.status_code < 300}
    assert set(checkins) == accepted  # M24: as many stored as were acknowledged.
    assert positions == len(accepted)
    assert set(attempts) == {str(one) for one in set(sent) - accepted}  # Refused ones are kept as attempts.
    for one in accepted:
        assert checkins[one] == (told[one]["verdict"], told[one]["reason"], told[one]["standing"])
    for one in set(sent) - accepted:
        assert attempts[str(one)] == (told[one]["code"], sent[one][1].status_code)
    somebody_counts = any(told[one]["standing"] in COUNTS.values() for one in accepted)
    assert (counted_days(service, cadre.person_id) != 0) == somebody_counts


def test_a_day_of_positions_that_prove_nothing_is_no_day(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadre = renewed(service, make_cadre(service, world))
    with service.as_(cadre.token) as client:
        for row in ROWS[:60]:
            verdicts = expected(row).verdicts
            if verdicts is None or not verdicts & set(COUNTS):
                put(client, row, ids.new_id())
    assert counted_days(service, cadre.person_id) == 0
