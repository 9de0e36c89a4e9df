"""Values of a wrong type are refused by name, in queries and in bodies; text that says the same is no excuse."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import Service, SetClock
from factories_checkins import World, check_in, make_cadre, make_world, position
from factories_office import as_district

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)  # 12:00 in Beijing.


@pytest.fixture(scope="module")
def officer(service: Service) -> Iterator[httpx.Client]:
    with as_district(service) as client:
        yield client


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {fault["field"]: fault["code"] for fault in answer.json()["errors"]}


@pytest.mark.parametrize(
    "text", ["0.5", "0", "-1", "1700000000", "2026-11-22", "2026-11-22T08:00+08:00", "now", ""]
)
def test_an_instant_in_a_query_is_rfc_3339(officer: httpx.Client, text: str) -> None:
    assert faults(officer.get("/v1/zones", params={"at": text})) == {"at": "datetime-parsing"}


@pytest.mark.parametrize(
    "text", ["0", "1700000000", "20261122", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00", ""]
)
def test_a_day_in_a_query_is_written_out(officer: httpx.Client, text: str) -> None:
    assert faults(officer.get("/v1/people", params={"posted_on": text})) == {"posted_on": "date-parsing"}


def test_a_file_has_parameters_too(officer: httpx.Client) -> None:
    rows = "code,name,parent\n500116000000,江津区,\n".encode()
    sent: dict[str, Any] = {"content": rows, "headers": {"Content-Type": "text/csv"}}
    assert faults(officer.post("/v1/region-imports?valid_from=0", **sent)) == {"valid_from": "date-parsing"}
    assert faults(officer.put("/v1/region-outlines/x?filename=a", **sent)) == {
        "code": "string-pattern-mismatch"
    }
    assert faults(officer.post("/v1/roster-imports?dry_run=maybe", **sent)) == {"dry_run": "bool-parsing"}


def test_what_is_written_as_documented_is_understood(officer: httpx.Client) -> None:
    for text in ("2026-11-22T08:00:00+08:00", "2026-11-22t00:00:00.5z"):
        assert officer.get("/v1/zones", params={"at": text, "limit": "5"}).status_code == 200
    assert officer.get("/v1/people", params={"posted_on": "2026-11-22", "limit": "5"}).status_code == 200


def test_bodies_say_numbers_as_numbers_and_days_as_text(officer: httpx.Client) -> None:
    policy = {"id": str(uuid4()), "region_prefix": "500116", "reason": "试", "document": {}}
    for day in (0, 1796083200, "1796083200", "2026-12-01T00:00:00Z", 20261201.0):
        assert faults(officer.post("/v1/policies", json={**policy, "valid_from": day})) == {
            "valid_from": "date-parsing"
        }
    circle = {"id": 5, "kind": 1, "region_code": "500116101201", "name": "甲", "valid_from": 0}
    numbers = {"lon": "106.2", "lat": True, "radius_m": "100", "accuracy_m": False}
    assert faults(officer.post("/v1/boundary-imports/circle", json=circle | numbers)) == {
        "id": "uuid-type",
        "kind": "enum",
        "valid_from": "datetime-parsing",
        **dict.fromkeys(numbers, "float-type"),
    }
    account = officer.patch(f"/v1/accounts/{uuid4()}", json={"disabled": "true"}, headers={"If-Match": "*"})
    assert faults(account) == {"disabled": "bool-type"}
    accepted = {"features": [{"index": "0", "codes": ["gap"]}, {"index": 1.0, "codes": ["gap"]}]}
    repairs = officer.post(f"/v1/boundary-imports/{uuid4()}/accept-repairs", json=accepted)
    assert faults(repairs) == {"features.0.index": "int-type", "features.1.index": "int-type"}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"captured_at": 1794801600}, "datetime-parsing"),
        ({"captured_at": "1794801600"}, "datetime-parsing"),
        ({"sent_at": 0.5}, "datetime-parsing"),
        ({"utc_offset_min": "480"}, "int-type"),
        ({"utc_offset_min": 480.0}, "int-type"),
        ({"outside_work": "true"}, "bool-type"),
        ({"outside_work": 1}, "bool-type"),
        ({"note": 5}, "string-type"),
        ({"kind": 1}, "enum"),
    ],
)
def test_a_check_in_of_wrong_types_is_refused_and_kept(
    service: Service, world: World, clock: SetClock, wrong: dict[str, Any], code: str
) -> None:
    clock.set(NOON)
    cadre = make_cadre(service, world)
    with service.as_(cadre.token) as client:
        refused = client.put(f"/v1/check-ins/{uuid4()}", json={**check_in(NOON), **wrong})
        assert faults(refused) == dict.fromkeys(wrong, code)
        assert [kept["code"] for kept in client.get("/v1/check-ins/attempts").json()["items"]] == [
            "invalid-request"
        ]


def test_a_check_in_of_a_newer_phone_is_taken(service: Service, world: World, clock: SetClock) -> None:
    """Ruling 11. And Java leaves out seconds that are zero."""
    clock.set(NOON)
    cadre = make_cadre(service, world)
    body = check_in(
        NOON, sent=NOON, captured_at="2026-11-16T12:00+08:00", steps=5, position={**position(), "floor": "2"}
    )
    with service.as_(cadre.token) as client:
        taken = client.put(f"/v1/check-ins/{uuid4()}", json=body)
    assert (taken.status_code, taken.json()["event_at"][:16]) == (201, "2026-11-16T04:00"), taken.text
