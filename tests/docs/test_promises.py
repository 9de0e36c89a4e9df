"""Refusals that the document promises and that no other test happens to meet; see answered.py."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from conftest import Clone, Service, running_service
from factories_checkins import make_cadre, make_world
from factories_office import Office
from factories_places import (
    bring,
    code_of,
    feature,
    in_force,
    layer,
    make_zone,
    new_town,
    open_desk,
    publish,
    square,
)
from factories_roster import HOME, World, make_person, make_posting, posted, posting_body, roster_world

from geo.zones import ZoneKind
from server import ids
from server.access import Role

ANY, STALE = {"If-Match": "*"}, {"If-Match": '"0"'}


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


def new() -> str:
    return str(ids.new_id())


@pytest.fixture
def empty(clone: Clone, tmp_path: Path) -> Iterator[Service]:
    """A server whose database nobody filled yet."""
    with running_service(clone(), tmp_path) as service:
        yield service


def test_a_month_without_a_policy_has_no_result(empty: Service) -> None:
    cadre = make_cadre(empty, make_world(empty, policy=False))
    with empty.as_(cadre.token) as client:
        assert code_of(client.get("/v1/me/months/2026-11")) == (409, "no-policy")


class TestTheRoster:
    """Ids that were used, states that are old, people and places that are not there."""

    def test_an_id_is_never_used_twice(self, world: World) -> None:
        client = world.district
        unit = {"id": new(), "number": None, "name": f"区某局{new()[-6:]}"}
        assert client.post("/v1/units", json=unit).status_code == 201
        assert code_of(client.post("/v1/units", json={**unit, "name": f"{unit['name']}二"})) == (
            409,
            "id-reused",
        )
        person = {"id": new(), "number": new()[-10:], "name": "周八"}
        assert client.post("/v1/people", json=person).status_code == 201
        assert client.post("/v1/people", json=person).status_code == 200
        assert code_of(client.post("/v1/people", json={**person, "name": "周九"})) == (409, "id-reused")

    def test_one_id_for_two_people_at_once_is_one_posting(self, world: World, service: Service) -> None:
        with service.database.write() as session:  # As a posting that another request has just stored.
            person = make_person(session, "郑一")
            other = make_posting(session, person, HOME, date(2025, 1, 1))
        body = posting_body(world.person(None), id=str(other.id))
        assert code_of(world.district.post("/v1/postings", json=body)) == (409, "id-reused")

    def test_a_day_is_written_out(self, world: World) -> None:
        answer = world.district.get("/v1/people", params={"posted_on": "0"})
        assert (answer.status_code, answer.json()["errors"][0]["zh"]) == (422, "应为日期（YYYY-MM-DD）")

    def test_a_number_in_use_is_not_taken_over(self, world: World) -> None:
        client = world.district
        one, two = ({"id": new(), "number": new()[-10:], "name": "吴十"} for _ in range(2))
        for person in (one, two):
            client.post("/v1/people", json=person).raise_for_status()
        answer = client.patch(f"/v1/people/{two['id']}", json={"number": one["number"]}, headers=ANY)
        assert code_of(answer) == (409, "staff-number-taken")

    def test_a_posting_is_ended_once_as_it_was_read_and_into_no_other(self, world: World) -> None:
        client, person = world.district, world.person(None)
        first = posted(world, person, from_day="2022-01-01", until_day="2022-12-31")
        posted(world, person, from_day="2023-01-01")
        path = f"/v1/postings/{first['id']}/end"
        given = {"until_day": "2023-06-30", "reason": "other"}
        assert code_of(client.post(path, json=given)) == (428, "precondition-required")
        assert code_of(client.post(path, json=given, headers=STALE)) == (412, "precondition-failed")
        assert code_of(client.post(path, json=given, headers=ANY)) == (409, "posting-overlap")
        correction = {"role": "first_secretary", "reason": "x"}
        assert code_of(client.patch(f"/v1/postings/{first['id']}", json=correction)) == (
            428,
            "precondition-required",
        )
        unknown = client.patch(f"/v1/postings/{uuid4()}", json=correction, headers=ANY)
        assert code_of(unknown) == (404, "not-found")

    def test_places_of_a_posting_have_ids_of_their_own(self, world: World, service: Service) -> None:
        made = posted(world, world.person(None))
        with service.database.write() as session:
            zones = [
                str(make_zone(session, HOME, name=name, reference=name, kind=ZoneKind.DUTY_PLACE).id)
                for name in ("牧场", "茶山")
            ]
        path = f"/v1/postings/{made['id']}/places"
        given = {"id": new(), "zone_id": zones[0], "from_day": "2025-06-01"}
        assert world.district.post(path, json=given).status_code == 201
        other = world.district.post(path, json={**given, "zone_id": zones[1]})
        assert code_of(other) == (409, "id-reused")
        unknown = world.district.post(f"{path}/{uuid4()}/end", json={"until_day": "2025-06-30"})
        assert code_of(unknown) == (404, "not-found")


@pytest.mark.slow
def test_boundaries_are_decided_as_they_were_read(empty: Service) -> None:
    with open_desk(empty) as desk:
        with empty.database.write() as session:
            codes = new_town(session, 1)
        region = codes[0][:9]
        shown = bring(desk.importer, layer(feature(codes[0], "村0", square(codes[0]))), region=region).json()
        path = f"/v1/boundary-imports/{shown['id']}"
        accept = {"features": [{"index": 0, "codes": ["x"]}]}
        assert code_of(desk.importer.post(f"{path}/accept-repairs", json=accept, headers=STALE))[0] == 412
        assert code_of(desk.publisher.post(f"{path}/reject", json={"note": "不对"}))[0] == 428
        assert code_of(desk.publisher.post(f"{path}/reject", json={"note": "不对"}, headers=STALE))[0] == 412
        assert publish(desk.publisher, shown).status_code == 200
        zone = in_force(desk.importer, region)[codes[0]]["id"]
        given = {"id": new(), "zones": [zone], "region": region, "valid_from": "2026-05-01"}
        ending = "/v1/boundary-imports/ending"
        assert desk.importer.post(ending, json=given).status_code == 201
        assert desk.importer.post(ending, json=given).status_code == 200
        again = desk.importer.post(ending, json={**given, "valid_from": "2026-06-01"})
        assert code_of(again) == (409, "id-reused")
        assert code_of(desk.importer.get(f"/v1/zone-versions/{uuid4()}")) == (404, "not-found")


def test_a_district_officer_takes_back_no_grant_of_an_equal(empty: Service) -> None:
    with Office(empty) as office:
        account = office.cadre()
        granted: httpx.Response = office.grant("admin", account.id, Role.DISTRICT, region="500116")
        assert granted.status_code == 201, granted.text
        path = f"/v1/accounts/{account.id}/grants/{granted.json()['id']}"
        # While it holds, the account is out of the officer's reach; afterwards the grant still is.
        assert code_of(office.clients["district"].delete(path)) == (404, "not-found")
        assert office.clients["admin"].delete(path).status_code == 204
        assert code_of(office.clients["district"].delete(path)) == (403, "grant-not-allowed")
