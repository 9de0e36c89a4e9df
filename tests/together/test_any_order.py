"""Whatever order and however often check-ins arrive, the month is the same (M2, complaint 17 of field.md)."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import FAR, TOWN_POINT, Cadre, check_in, make_cadre, make_world, position
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import ids

NOON = datetime(2026, 11, 28, 4, 0, tzinfo=UTC)
PLACES: dict[str, Any] = {
    "village": {"position": position()},
    "town": {"position": position(**TOWN_POINT)},
    "far": {"position": position(**FAR)},
    "coarse": {"position": position(accuracy_m=2000.0)},
    "unknown": {"position": position(accuracy_m=None)},
    "none": {"position": None, "no_position": "timeout"},
}
taps = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from(sorted(PLACES))), min_size=1, max_size=8
)


def masks(service: Service, cadre: Cadre) -> list[tuple[Any, ...]]:
    with service.database.read() as session:
        query = sa.text(
            "SELECT month, sure, unsure, unfenced, outside, claimed FROM person_months WHERE person_id = :p ORDER BY month"
        )
        return [tuple(row) for row in session.execute(query, {"p": cadre.person_id})]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taps=taps, seed=st.integers(0, 2**32))
def test_order_and_repetition_do_not_matter(
    service: Service, clock: SetClock, taps: list[tuple[int, int, str]], seed: int
) -> None:
    clock.set(NOON)
    world = make_world_once(service)
    bodies = [
        (ids.new_id(), check_in(NOON - timedelta(days=day, minutes=minute), sent=NOON, **PLACES[place]))
        for day, minute, place in taps
    ]
    drawn, found = random.Random(seed), []
    for at_once in (False, False, True):
        cadre = make_cadre(service, world)
        sending = bodies + drawn.choices(bodies, k=len(bodies) // 2)
        drawn.shuffle(sending)
        send(service, cadre, sending, at_once=at_once)
        found.append(masks(service, cadre))
    assert found[0] == found[1] == found[2]


def send(
    service: Service, cadre: Cadre, sending: list[tuple[UUID, dict[str, Any]]], *, at_once: bool
) -> None:
    with service.as_(cadre.token) as client, ThreadPoolExecutor(8 if at_once else 1) as pool:
        statuses = pool.map(
            lambda pair: client.put(f"/v1/check-ins/{pair[0]}", json=pair[1]).status_code, sending
        )
        assert set(statuses) <= {200, 201}


_worlds: dict[str, Any] = {}


def make_world_once(service: Service) -> Any:
    if service.url not in _worlds:
        _worlds[service.url] = make_world(service)
    return _worlds[service.url]
