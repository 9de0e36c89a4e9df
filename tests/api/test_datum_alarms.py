"""A client's update that moves everybody by another datum's offset: alarmed, held as unsure, and judged when it is closed."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Service, SetClock
from factories_checkins import Cadre, make_cadre, make_world, renewed
from factories_review import assess, honest, officer, tap

from geo.datum import wgs84_to_gcj02
from server import problems, scheduler
from server.access import Role
from server.checkins.rules import AlarmOutcome
from server.db import Database
from server.problems import Problem
from server.review import fleet

MORNING = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OFFICE = {"lon": 106.2020, "lat": 28.9010}
BEFORE, AFTER = "zaicun-phone/1.4.0 (Android 14)", "zaicun-phone/1.5.0 (Android 14)"


def at_desk(day: int, who: int, *, moved: bool) -> dict[str, Any]:
    """Return a fix near the office, or where the update puts it."""
    noise = random.Random(day * 31 + who)
    lon, lat = OFFICE["lon"] + noise.gauss(0, 2e-5), OFFICE["lat"] + noise.gauss(0, 2e-5)
    at = wgs84_to_gcj02(lon=lon, lat=lat) if moved else None
    lon, lat = (at.lon, at.lat) if at else (lon, lat)
    return honest(day * 100 + who, lon=round(lon, 7), lat=round(lat, 7))


def own(service: Service, cadre: Cadre, one: UUID) -> dict[str, Any]:
    with service.as_(renewed(service, cadre).token) as phone:
        found: dict[str, Any] = phone.get(f"/v1/check-ins/{one}").json()
    return found


def night(service: Service, clock: SetClock, at: datetime) -> list[str]:
    """Let the scheduler do what is due."""
    clock.set(at)
    database = Database(service.cloned.app_url, pool_size=1, statement_timeout_s=60)
    try:
        return scheduler.catch_up(database)
    finally:
        database.close()


@pytest.mark.parametrize("outcome", list(AlarmOutcome))
def test_an_update_that_shifts_everybody_is_alarmed_and_held_until_it_is_cleared_up(
    service: Service, clock: SetClock, outcome: AlarmOutcome
) -> None:
    # edge 40
    first = MORNING + (100 * DAY if outcome is AlarmOutcome.DISMISSED else timedelta(0))
    before, after = (f"{name} {outcome}" for name in (BEFORE, AFTER))
    world = make_world(service, town="500116101" if outcome is AlarmOutcome.CONFIRMED else "500116102")
    people = [make_cadre(service, world) for _ in range(7)]
    for day in range(4):
        for who, cadre in enumerate(people):
            tap(service, clock, cadre, first + day * DAY, at_desk(day, who, moved=False), client=before)
    noon = first + 6 * DAY
    shifted = [
        tap(service, clock, cadre, noon, at_desk(6, who, moved=True), client=after)
        for who, cadre in enumerate(people[:6])
    ]
    away = tap(service, clock, people[6], noon, honest(9, lon=106.25, lat=28.95), client=after)
    assess(service)
    assert own(service, people[0], shifted[0])["verdict"] == "outside"
    assert own(service, people[0], shifted[0])["judged_again"] is None
    assert "watch-fleet" in night(service, clock, noon + DAY)

    again = own(service, people[0], shifted[0])["judged_again"]
    assert (again["verdict"], again["standing"], again["cause"], again["reason"]) == (
        "unsure",
        "provisional",
        "datum-shift",
        "datum-shift",
    )
    assert own(service, people[6], away)["judged_again"] is None  # Whoever was elsewhere anyhow is not held.
    late = tap(service, clock, people[1], noon + DAY, at_desk(7, 1, moved=True), client=after)
    assert own(service, people[1], late)["verdict"] == "outside"
    assess(service)
    assert own(service, people[1], late)["judged_again"]["verdict"] == "unsure"

    with (
        officer(service, Role.DISTRICT, "500116") as district,
        officer(service, Role.TOWN, world.town) as town,
    ):
        (alarm,) = [a for a in district.get("/v1/datum-alarms").json()["items"] if a["client"] == after]
        assert town.get("/v1/datum-alarms").status_code == 403
    assert (alarm["shift"], alarm["people"], alarm["moved"]) == ("gcj02-added", 7, 6)
    assert not {"lon", "lat", "who"} & alarm.keys()
    metrics = service.client.get("/metrics").text
    assert "zaicun_datum_alarms_open 1.0" in metrics

    with service.database.write() as session:
        released = fleet.close(session, UUID(alarm["id"]), outcome=outcome, reason="查明", by="运维")
    assert released == (0 if outcome is AlarmOutcome.CONFIRMED else 7)
    final = own(service, people[0], shifted[0])["judged_again"]["verdict"]
    assert final == ("unsure" if outcome is AlarmOutcome.CONFIRMED else "outside")
    with pytest.raises(Problem) as refused, service.database.write() as session:
        fleet.close(session, UUID(alarm["id"]), outcome=outcome, reason="再关", by="运维")
    assert refused.value.kind is problems.ALREADY_DECIDED
    assert "watch-fleet" in night(service, clock, noon + 2 * DAY)
    assert "zaicun_datum_alarms_open 0.0" in service.client.get("/metrics").text
