"""What one group holds of one person: nobody's month is told with what the group does not store."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Service, SetClock
from factories_checkins import Cadre, World, check_in, make_cadre, make_world

from server import ids
from server.checkins.intake import Intake, Stored
from server.checkins.reading import incoming_of
from server.checkins.schemas import CheckInIn
from server.problems import Problem

NOON = datetime(2026, 11, 17, 4, 0, tzinfo=UTC)  # 12:00 in Beijing, on a Tuesday.
MONDAY = NOON - timedelta(days=1)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World, clock: SetClock) -> Cadre:
    clock.set(NOON)
    return make_cadre(service, world)


def together(service: Service, cadre: Cadre, *sent: tuple[UUID, dict[str, Any]]) -> list[Stored | Problem]:
    """Store all of these in one group: they wait before the writer begins."""
    who = service.app.state.doorkeeper.read(cadre.token)

    async def store() -> list[Any]:
        intake = Intake(service.app.state.settings)
        bodies = [(each, json.dumps(body).encode()) for each, body in sent]
        waiting = [
            asyncio.ensure_future(
                intake.put(incoming_of(each, CheckInIn.model_validate_json(body), body, who))
            )
            for each, body in bodies
        ]
        await asyncio.sleep(0)
        assert intake.waiting == len(sent)
        intake.start()
        try:
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            await intake.close()

    return asyncio.run(store())


def told(outcome: Stored | Problem) -> int | None:
    assert isinstance(outcome, Stored), outcome
    return outcome.record.month_counted


def test_two_days_in_one_group_are_both_told(service: Service, cadre: Cadre) -> None:
    monday, tuesday = together(
        service, cadre, (ids.new_id(), check_in(MONDAY, sent=NOON)), (ids.new_id(), check_in(NOON))
    )
    assert (told(monday), told(tuesday)) == (2, 4)  # In halves.


def test_a_withdrawn_check_in_that_is_sent_again_adds_no_day_to_the_next(
    service: Service, cadre: Cadre
) -> None:
    first = ids.new_id()
    body = check_in(MONDAY, sent=NOON)
    with service.as_(cadre.token) as client:
        assert client.put(f"/v1/check-ins/{first}", json=body).status_code == 201
        assert client.post(f"/v1/check-ins/{first}/withdraw", json={"reason": "误点"}).status_code == 200
    again, today = together(service, cadre, (first, body), (ids.new_id(), check_in(NOON)))
    assert isinstance(again, Stored)
    assert not again.created
    assert told(today) == 2  # Today alone, in halves.


def test_an_id_used_again_for_another_day_adds_no_day_to_the_next(service: Service, cadre: Cadre) -> None:
    first = ids.new_id()
    with service.as_(cadre.token) as client:
        assert client.put(f"/v1/check-ins/{first}", json=check_in(NOON)).status_code == 201
    other, today = together(
        service, cadre, (first, check_in(MONDAY, sent=NOON)), (ids.new_id(), check_in(NOON))
    )
    assert isinstance(other, Problem)
    assert other.kind.code == "id-reused"
    assert told(today) == 2
