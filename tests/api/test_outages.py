"""Outages over HTTP: recorded once for a region, by somebody whom it does not credit alone, and taken back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from conftest import Service, SetClock
from factories_auth import add_grant, make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, make_cadre, make_world, renewed
from factories_month import make_policy
from paging import every

from server import ids
from server.access import Role
from server.auth.models import Account

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(scope="module")
def other(service: Service) -> World:
    return make_world(service, town="500116102")


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(NOW)


@pytest.fixture
def town(service: Service, world: World) -> Iterator[httpx.Client]:
    with officer(service, Role.TOWN, world.town) as client:
        yield client


@pytest.fixture
def district(service: Service) -> Iterator[httpx.Client]:
    with officer(service, Role.DISTRICT, "500116") as client:
        yield client


def officer(service: Service, role: Role, region: str) -> httpx.Client:
    with service.database.write() as session:
        account = make_account(session, role=role, region=region, valid_from=LONG_AGO)
    return service.as_(token_for(service, account))


def outage(region: str, first: int, last: int | None = None, **more: object) -> dict[str, Any]:
    days = {"first_day": str(date(2026, 11, first)), "last_day": str(date(2026, 11, last or first))}
    return {"id": str(ids.new_id()), "region_prefix": region, **days, "reason": "光缆被山洪冲断", **more}


def reasons(service: Service, cadre: Cadre, day: int) -> list[str]:
    with service.as_(renewed(service, cadre).token) as client:
        found: list[str] = client.get("/v1/me/months/2026-11").json()["days"][day - 1]["reasons"]
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_an_outage_credits_its_region_at_once_and_no_more_when_withdrawn(
    service: Service, world: World, other: World, town: httpx.Client, district: httpx.Client
) -> None:  # edge 132
    here, there = make_cadre(service, world), make_cadre(service, other)
    body = outage(world.town, 3, 4)
    with service.as_(renewed(service, here).token) as phone:
        before = phone.get("/v1/me/sync").json()["cursor"]
        made = town.post("/v1/outages", json=body)
        assert made.status_code == 201, made.text
        told = phone.get("/v1/me/sync", params={"cursor": before}).json()
    assert told["unchanged"] == ["postings", "policies", "boundaries", "requests"]
    assert told["month"]["statement"]["outage_days"] == ["2026-11-03", "2026-11-04"]
    assert [reasons(service, here, day) for day in (3, 4, 5)] == [["outage"], ["outage"], ["no-evidence"]]
    assert reasons(service, there, 3) == ["no-evidence"]
    again = town.post("/v1/outages", json=body)
    assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
    assert again.json() == made.json()
    assert code(town.post("/v1/outages", json={**body, "reason": "停电"})) == (409, "id-reused")
    assert code(district.post("/v1/outages", json=body)) == (409, "id-reused")
    path = f"/v1/outages/{body['id']}/withdraw"
    gone = district.post(path, json={"reason": "登记错了镇"})
    assert gone.json()["withdrawn"]["reason"] == "登记错了镇"
    assert reasons(service, here, 3) == ["no-evidence"]
    assert district.post(path, json={"reason": "登记错了镇"}).json() == gone.json()
    assert code(town.post(path, json={"reason": "登记错了镇"})) == (409, "already-decided")


def test_days_recorded_before_are_named_and_two_at_once_record_one(
    world: World, town: httpx.Client, district: httpx.Client
) -> None:
    first = outage("500116", 6, 7)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda body: district.post("/v1/outages", json=body),
                [first, *(outage("500116", 7, 8) for _ in range(3))],
            )
        )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    (kept,) = (answer.json() for answer in answers if answer.status_code == 201)
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "outage-overlaps"
            assert answer.json()["outage"]["id"] == kept["id"]
    inside = town.post("/v1/outages", json=outage(world.village, 7))
    assert (code(inside), inside.json()["outage"]["id"]) == ((409, "outage-overlaps"), kept["id"])
    town.post("/v1/outages", json=outage(world.town, 9)).raise_for_status()
    wider = district.post("/v1/outages", json=outage("500116", 9))
    assert wider.status_code == 201, "a wider region is another one: its towns were not all recorded"


def test_the_town_records_for_its_town_alone_and_sees_what_touches_it(
    world: World, other: World, town: httpx.Client, district: httpx.Client
) -> None:
    assert code(town.post("/v1/outages", json=outage(other.town, 10))) == (404, "not-found")
    assert code(town.post("/v1/outages", json=outage("500116", 10))) == (404, "not-found")
    elsewhere = district.post("/v1/outages", json=outage(other.town, 11)).json()
    above = district.post("/v1/outages", json=outage("500116", 12)).json()
    own = town.post("/v1/outages", json=outage(world.village, 13)).json()
    assert code(town.post(f"/v1/outages/{above['id']}/withdraw", json={"reason": "误录"})) == (
        404,
        "not-found",
    )
    seen = [item["id"] for item in every(town, "/v1/outages", limit=1)]
    assert {own["id"], above["id"]} <= set(seen)
    assert elsewhere["id"] not in seen
    assert len(seen) == len(set(seen))
    narrowed = district.get("/v1/outages", params={"region": other.village, "limit": 200}).json()["items"]
    assert {elsewhere["id"], above["id"]} <= {item["id"] for item in narrowed}
    assert own["id"] not in {item["id"] for item in narrowed}


def test_nobody_records_an_outage_that_credits_himself_alone(service: Service) -> None:  # security.md S6
    alone = make_world(service, town="500116103")
    cadre = make_cadre(service, alone)
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        add_grant(session, account, Role.TOWN, region=alone.town, valid_from=LONG_AGO)
        account.version += 1
    with service.as_(renewed(service, cadre).token) as both:
        assert code(both.post("/v1/outages", json=outage(alone.village, 16))) == (403, "outage-for-oneself")
        make_cadre(service, alone, from_day=date(2026, 11, 17))  # Posted in the middle of the month.
        assert code(both.post("/v1/outages", json=outage(alone.village, 16))) == (403, "outage-for-oneself")
        assert both.post("/v1/outages", json=outage(alone.village, 17)).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field", "fault"),
    [
        ({"last_day": "2026-11-21", "first_day": "2026-11-19"}, "last_day", "in-future"),
        ({"last_day": "2026-10-01"}, "last_day", "before-start"),
        ({"first_day": "2026-08-01"}, "last_day", "too-long"),
        ({"began_at": "2026-11-01T00:00:00Z"}, "", "days-or-instants"),
        ({"first_day": None, "last_day": None}, "", "days-or-instants"),
    ],
)
def test_days_that_cannot_be_are_refused(
    town: httpx.Client, world: World, changes: dict[str, Any], field: str, fault: str
) -> None:
    answer = town.post("/v1/outages", json={**outage(world.town, 14), **changes})
    assert code(answer) == (422, "invalid-request")
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [(field, fault)]


def test_instants_speak_for_the_days_that_they_touch(world: World, town: httpx.Client) -> None:  # edge 132
    between = {
        "began_at": "2026-11-14T16:00:00Z",
        "ended_at": "2026-11-15T16:00:00Z",
    }  # 00:00 to 00:00 in China.
    body = {"id": str(ids.new_id()), "region_prefix": world.village, "reason": "停电", **between}
    made = town.post("/v1/outages", json=body).json()
    assert (made["first_day"], made["last_day"]) == ("2026-11-15", "2026-11-15")
    backwards = {
        **body,
        "id": str(ids.new_id()),
        "began_at": between["ended_at"],
        "ended_at": between["began_at"],
    }
    assert code(town.post("/v1/outages", json=backwards)) == (422, "invalid-request")
    ahead = {**body, "id": str(ids.new_id()), "ended_at": (NOW + timedelta(hours=1)).isoformat()}
    assert code(town.post("/v1/outages", json=ahead)) == (422, "invalid-request")


def test_an_outage_excuses_nobody_whom_the_clerk_attests(service: Service) -> None:  # edge 132
    paper = make_world(service, town="500116104")
    with service.database.write() as session:
        make_policy(session, region=paper.town, mode="weekly-attestation")
    cadre = make_cadre(service, paper)
    with officer(service, Role.DISTRICT, "500116") as district:
        district.post("/v1/outages", json=outage(paper.town, 18)).raise_for_status()
    assert reasons(service, cadre, 18) == ["no-evidence"]
    with service.as_(renewed(service, cadre).token) as client:
        (fact,) = client.get("/v1/me/months/2026-11").json()["days"][17]["facts"]
    assert (fact["source_kind"], fact["decided"]) == ("outage", False), "visible, though it does not count"
