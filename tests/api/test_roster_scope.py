"""Who sees and writes whom in the roster, over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import Service
from factories_auth import add_grant, make_account, token_for
from factories_places import make_region
from factories_roster import (
    DISTRICT,
    FAR,
    FOREIGN,
    HOME,
    NEXT,
    OTHER_DISTRICT,
    OTHER_TOWN,
    START,
    TOWN,
    World,
    make_person,
    make_posting,
    make_unit,
    people_found,
    posted,
    posting_body,
    roster_world,
)
from paging import every

from server import ids
from server.access import Role
from server.places.models import RegionSuccessor
from server.roster import days
from server.roster.rules import EndReason


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


# --- who sees whom
def test_a_town_sees_those_posted_there_now_or_before_with_its_own_postings_only(world: World) -> None:
    person = world.person(None, name="流动者", phone="13900139000")
    posted(world, person, HOME, from_day="2024-01-01", until_day="2024-12-31")
    posted(world, person, FAR, from_day="2025-01-01")
    seen = world.town.get(f"/v1/people/{person}").json()
    assert [posting["village_code"] for posting in seen["postings"]] == [HOME]
    assert seen["phone"] == "13900139000"
    assert [p["village_code"] for p in world.district.get(f"/v1/people/{person}").json()["postings"]] == [
        FAR,
        HOME,
    ]
    assert str(person) in people_found(world.town, q="流动者")
    assert people_found(world.town, q="流动者", posted_on="2025-02-01") == []
    assert people_found(world.other_town, q="流动者", posted_on="2025-02-01") == [str(person)]


def test_team_mates_see_nothing_of_each_other(world: World) -> None:
    # ruling 15
    me, mate = world.person(name="我自己"), world.person(name="队友甲")
    cadre = world.client(Role.CADRE, HOME, person=me)
    assert people_found(cadre) == [str(me)]
    assert cadre.get(f"/v1/people/{mate}").status_code == 404
    assert cadre.get(f"/v1/people/{me}").json()["name"] == "我自己"
    mine = cadre.get("/v1/me/postings").json()
    assert [posting["village_name"] for posting in mine] == ["四方村"]


def test_a_clerk_sees_the_own_village_only(world: World) -> None:
    here, there = world.person(HOME, name="在本村"), world.person(NEXT, name="在邻村")
    clerk = world.client(Role.CLERK, HOME)
    seen = people_found(clerk)
    assert str(here) in seen
    assert str(there) not in seen


def test_a_unit_viewer_sees_the_own_people_without_their_people_found(world: World) -> None:
    with world.service.database.write() as session:
        unit, other = make_unit(session), make_unit(session)
        mine = make_person(session, "派出甲", unit=unit, phone="13700137000")
        make_posting(session, mine, HOME)
        theirs = make_person(session, "派出乙", unit=other)
    viewer = world.client(Role.UNIT, unit=unit.id)
    assert people_found(viewer) == [str(mine.id)]
    body = viewer.get(f"/v1/people/{mine.id}").json()
    assert (body["phone"], body["postings"][0]["village_code"]) == (None, HOME)
    assert viewer.get(f"/v1/people/{theirs.id}").status_code == 404
    assert [item["id"] for item in viewer.get("/v1/units").json()["items"]] == [str(unit.id)]


def test_an_inspector_sees_the_assignment_and_not_the_own_team(world: World) -> None:
    # edge 80
    inspecting = world.person(HOME, name="兼督查")
    mate, other = world.person(HOME, name="同队者"), world.person(NEXT, name="被查者", phone="13600136000")
    gone = world.person(None, name="早已离任")
    posted(world, gone, NEXT, from_day="2024-01-01", until_day="2024-06-30")
    now = datetime.now(UTC)
    client = world.client(
        Role.INSPECTOR,
        TOWN,
        person=inspecting,
        assignment="三季度督查",
        valid_from=now - timedelta(days=2),
        valid_until=now + timedelta(days=2),
    )
    seen = people_found(client)
    assert str(other) in seen
    assert str(inspecting) in seen
    assert str(mate) not in seen
    assert str(gone) not in seen
    assert client.get(f"/v1/people/{other}").json()["phone"] is None


def test_administrators_ask_for_nobody(world: World) -> None:
    assert world.admin.get("/v1/people").status_code == 403
    assert world.admin.get(f"/v1/people/{world.person()}").status_code == 403
    assert world.admin.get("/v1/me/postings").json() == []
    assert world.admin.get("/v1/units").status_code == 200


def test_people_are_found_by_name_number_village_town_unit_and_day(world: World) -> None:
    with world.service.database.write() as session:
        unit = make_unit(session)
        person = make_person(session, "欧阳娜娜", number="QX-77", unit=unit)
        make_posting(
            session, person, NEXT, date(2024, 1, 1), date(2024, 12, 31), end_reason=EndReason.TERM_OVER
        )
    me = [str(person.id)]
    for params in (
        {"q": "阳娜"},
        {"q": "qx-7"},
        {"q": "欧阳", "village": NEXT},
        {"q": "欧阳", "town": TOWN},
        {"q": "欧阳", "town": f"{TOWN}000"},
        {"unit": str(unit.id)},
        {"q": "欧阳", "posted_on": "2024-12-31"},
    ):
        assert people_found(world.district, **params) == me, params
    for params in (
        {"q": "欧阳", "village": HOME},
        {"q": "欧阳", "town": OTHER_TOWN},
        {"q": "欧阳", "posted_on": "2025-01-01"},
        {"q": "%"},
        {"q": "欧_"},
    ):
        assert str(person.id) not in people_found(world.district, **params), params
    assert world.district.get("/v1/people", params={"cursor": "x"}).json()["code"] == "bad-cursor"


def test_pages_of_people_hold_everybody_once(world: World) -> None:
    made = [world.person(FAR, name=f"分页人{i}") for i in range(5)]
    seen = [item["id"] for item in every(world.other_town, "/v1/people", q="分页人", limit=2)]
    assert sorted(seen) == sorted(map(str, made))


def test_only_the_district_writes(world: World) -> None:
    person = world.person()
    clerk = world.client(Role.CLERK, HOME)
    cadre = world.client(Role.CADRE, HOME, person=person)
    for client in (world.town, clerk, cadre, world.admin, world.client(Role.INSPECTOR, DISTRICT)):
        for method, path, body in (
            ("POST", "/v1/postings", posting_body(person)),
            ("POST", "/v1/people", {"id": str(ids.new_id()), "number": "W1", "name": "甲"}),
            ("POST", "/v1/units", {"id": str(ids.new_id()), "name": "单位甲"}),
            ("PATCH", f"/v1/people/{person}", {"name": "乙"}),
            ("POST", f"/v1/postings/{person}/end", {"until_day": "2025-02-01", "reason": "other"}),
        ):
            answer = client.request(method, path, json=body, headers={"If-Match": "*"})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)


def test_another_district_does_not_reach_people_and_postings(world: World) -> None:
    person = world.person(None)
    made = posted(world, person)
    there = world.other_district
    assert there.get(f"/v1/people/{person}").status_code == 404
    assert there.get(f"/v1/postings/{made['id']}").status_code == 404
    assert there.post("/v1/postings", json=posting_body(person, FOREIGN)).status_code == 404
    end = {"until_day": "2025-06-30", "reason": "other"}
    assert (
        there.post(f"/v1/postings/{made['id']}/end", json=end, headers={"If-Match": "*"}).status_code == 404
    )
    missing = there.get(f"/v1/people/{ids.new_id()}").json()
    hidden = there.get(f"/v1/people/{person}").json()
    for body in (missing, hidden):
        del body["instance"], body["request_id"]
    assert missing == hidden


def test_a_grant_in_another_role_does_not_widen_writing(world: World) -> None:
    person = world.person(FOREIGN, kept_by=OTHER_DISTRICT)
    with world.service.database.write() as session:
        account = make_account(session, role=Role.DISTRICT, region=DISTRICT)
        add_grant(session, account, Role.INSPECTOR, region=OTHER_DISTRICT)
    client = world.opened.enter_context(world.service.as_(token_for(world.service, account)))
    assert client.get(f"/v1/people/{person}").status_code == 200
    assert (
        client.patch(f"/v1/people/{person}", json={"name": "改"}, headers={"If-Match": "*"}).status_code
        == 404
    )


# --- regions that were merged
def test_a_posting_follows_its_merged_village(world: World) -> None:
    # edge 48
    old, new = "500116101210", "500116102210"
    with world.service.database.write() as session:
        make_region(session, old, "旧村")
        make_region(session, new, "新村")
        session.add(RegionSuccessor(from_code=old, to_code=new, from_day=date(2025, 6, 1)))
        person = make_person(session, "随村走")
        make_posting(session, person, old, START)
        before = make_person(session, "合并前离任")
        make_posting(session, before, old, START, date(2025, 5, 31))
    with world.service.database.read() as session:
        found = days.active_postings(session, [(person.id, date(2025, 5, 31)), (person.id, date(2025, 6, 1))])
        may = days.posted_days(session, date(2025, 5, 1), people=[person.id])[0]
        june = days.posted_days(session, date(2025, 6, 1), people=[person.id], scope=[OTHER_TOWN])[0]
    assert [(each.village_code, each.appointed_code) for each in found] == [(old, old), (new, old)]
    assert (may.last_village, june.last_village) == (old, new)
    assert june.posted_in_scope == june.posted
    assert people_found(world.other_town, q="随村走") == [str(person.id)]
    assert people_found(world.other_town, village=new) == [str(person.id)]
    assert people_found(world.other_town, q="合并前离任") == []
