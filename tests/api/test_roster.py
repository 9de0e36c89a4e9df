"""Units, people and postings over real HTTP on real PostGIS."""

from collections.abc import Iterator
from datetime import date

import pytest
from conftest import Service, SetClock
from factories_roster import (
    DISTRICT,
    FAR,
    FOREIGN,
    HOME,
    NEXT,
    OTHER_DISTRICT,
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
from server.roster import days


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


# --- units and people
def test_a_unit_is_entered_once_and_its_name_is_taken(world: World) -> None:
    given = {"id": str(ids.new_id()), "name": "区水利局", "number": "U7"}
    assert world.district.post("/v1/units", json=given).status_code == 201
    again = world.district.post("/v1/units", json=given)
    assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
    other = world.district.post("/v1/units", json={"id": str(ids.new_id()), "name": "区水利局"})
    assert (other.status_code, other.json()["code"]) == (409, "unit-taken")
    assert [u["name"] for u in world.town.get("/v1/units", params={"q": "水利"}).json()["items"]] == [
        "区水利局"
    ]


def test_units_page_by_cursor_without_loss(world: World) -> None:
    with world.service.database.write() as session:
        made = {str(make_unit(session, f"分页单位{i:02d}").id) for i in range(7)}
    seen = [item["id"] for item in every(world.district, "/v1/units", q="分页单位", limit=3)]
    assert len(seen) == 7
    assert set(seen) == made


def test_a_person_is_entered_with_a_rare_character_and_found_by_it(world: World) -> None:
    # edge 129: four bytes in UTF-8, and a decomposed letter that is stored composed
    given = {"id": str(ids.new_id()), "number": "R-1", "name": "王𬭎 é"}
    answer = world.district.post("/v1/people", json=given)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "王𬭎 é"
    assert people_found(world.district, q="𬭎") == [given["id"]]
    assert people_found(world.district, q="é") == [given["id"]]


def test_staff_numbers_do_not_differ_by_case_alone(world: World) -> None:
    world.person(None, number="Ab12")
    answer = world.district.post(
        "/v1/people", json={"id": str(ids.new_id()), "number": "aB12", "name": "另一人"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "staff-number-taken")


def test_two_people_may_have_the_same_name_in_the_same_village(world: World) -> None:
    # edge 130
    one, two = world.person(name="同名者"), world.person(name="同名者")
    assert set(people_found(world.district, q="同名者", village=HOME)) == {str(one), str(two)}


def test_changing_a_person_needs_the_version_that_was_read(world: World) -> None:
    person = world.person(phone="13800138000")
    path = f"/v1/people/{person}"
    etag = world.district.get(path).headers["etag"]
    without = world.district.patch(path, json={"name": "新名"})
    assert (without.status_code, without.json()["code"]) == (428, "precondition-required")
    changed = world.district.patch(path, json={"name": "新名", "phone": None}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["name"], changed.json()["phone"]) == (200, "新名", None)
    stale = world.district.patch(path, json={"name": "旧名"}, headers={"If-Match": etag})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    nobody = world.district.patch(path, json={"name": None}, headers={"If-Match": changed.headers["etag"]})
    assert nobody.status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "有中文"},
        {"number": ""},
        {"number": "a" * 33},
        {"name": "\u0000"},
        {"name": "\u202e\u200b"[1:]},
        {"name": "字" * 65},
        {"phone": "打不通"},
        {"unit_id": "00000000-0000-7000-8000-000000000000"},
        {"region": OTHER_DISTRICT},
        {"id_card": "500116199001011234"},
    ],
)
def test_odd_people_are_refused_with_the_field(world: World, wrong: dict[str, str]) -> None:
    given = {"id": str(ids.new_id()), "number": "ODD1", "name": "某人", **wrong}
    answer = world.district.post("/v1/people", json=given)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert answer.json()["errors"][0]["field"] in wrong


# --- postings
def test_a_posting_is_made_once_and_a_resend_is_harmless(world: World) -> None:
    person = world.person(None)
    given = posting_body(person)
    first = world.district.post("/v1/postings", json=given)
    assert (first.status_code, first.headers["etag"]) == (201, '"1"')
    again = world.district.post("/v1/postings", json=given)
    assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
    assert again.json() == first.json()
    other = world.district.post("/v1/postings", json={**given, "role": "first_secretary"})
    assert (other.status_code, other.json()["code"]) == (409, "id-reused")


def test_a_resend_is_harmless_after_the_posting_has_ended(world: World) -> None:
    person = world.person(None)
    given = posting_body(person)
    world.district.post("/v1/postings", json=given)
    end = {"until_day": "2025-06-30", "reason": "recalled"}
    world.district.post(f"/v1/postings/{given['id']}/end", json=end, headers={"If-Match": "*"})
    again = world.district.post("/v1/postings", json=given)
    assert (again.status_code, again.json()["until_day"]) == (200, "2025-06-30")


def test_overlapping_postings_in_one_village_are_refused_and_the_one_in_the_way_is_named(
    world: World,
) -> None:
    person = world.person(None)
    first = posted(world, person, from_day="2025-01-01", until_day="2025-03-31")
    answer = world.district.post("/v1/postings", json=posting_body(person, from_day="2025-03-31"))
    assert (answer.status_code, answer.json()["code"]) == (409, "posting-overlap")
    assert answer.json()["conflict"] == {
        "posting_id": first["id"],
        "village_code": HOME,
        "from_day": "2025-01-01",
        "until_day": "2025-03-31",
    }
    assert "2025-01-01" in answer.json()["detail_zh"]
    posted(world, person, from_day="2025-04-01")


def test_the_database_itself_refuses_an_overlap(world: World) -> None:
    with world.service.database.write() as session:
        person = make_person(session)
        make_posting(session, person, HOME, date(2025, 1, 1), date(2025, 1, 31))
    with (
        pytest.raises(Exception, match="posting-overlap"),
        world.service.database.write() as session,
    ):
        make_posting(session, session.merge(person, load=False), HOME, date(2025, 1, 31))


def test_postings_in_two_villages_at_once_are_legal(world: World) -> None:
    # edge 74
    person = world.person(None)
    posted(world, person, HOME)
    posted(world, person, FAR)
    with world.service.database.read() as session:
        found = days.active_postings(session, [(person, date(2025, 5, 1))])
        month = days.posted_days(session, date(2025, 5, 1), people=[person])[0]
    assert {each.village_code for each in found} == {HOME, FAR}
    assert month.posted == (1 << 62) - 1  # n is not doubled


def test_a_transfer_at_noon_gives_both_villages_the_day(world: World) -> None:
    # edge 73
    person = world.person(None)
    posted(world, person, HOME, from_day="2025-05-01", until_day="2025-05-15")
    posted(world, person, NEXT, from_day="2025-05-15", until_day="2025-05-31")
    with world.service.database.read() as session:
        found = days.active_postings(session, [(person, date(2025, 5, day)) for day in (14, 15, 16)])
        month = days.posted_days(session, date(2025, 5, 1), people=[person])[0]
    assert [(each.day.day, each.village_code) for each in found if each.day.day != 15] == [
        (14, HOME),
        (16, NEXT),
    ]
    assert {each.village_code for each in found if each.day.day == 15} == {HOME, NEXT}
    assert month.posted == (1 << 62) - 1
    assert month.last_village == NEXT


def test_a_gap_and_the_days_before_are_not_posted(world: World) -> None:
    # edges 75, 76
    person = world.person(None)
    posted(world, person, from_day="2025-06-03", until_day="2025-06-10")
    posted(world, person, from_day="2025-06-20")
    asked = [(person, date(2025, 6, day)) for day in (2, 3, 10, 11, 19, 20, 30)]
    with world.service.database.read() as session:
        found = {each.day.day for each in days.active_postings(session, asked)}
        month = days.posted_days(session, date(2025, 6, 1), people=[person])[0]
    assert found == {3, 10, 20, 30}
    expected = sum(3 << (2 * (day - 1)) for day in (*range(3, 11), *range(20, 31)))
    assert month.posted == expected


@pytest.mark.parametrize("reason", ["term_over", "recalled", "retired", "transferred", "deceased", "other"])
def test_a_posting_ends_with_its_reason_and_is_kept(world: World, reason: str) -> None:
    # edge 77
    made = posted(world, world.person(None))
    path = f"/v1/postings/{made['id']}"
    ended = world.district.post(
        f"{path}/end", json={"until_day": "2025-09-30", "reason": reason}, headers={"If-Match": '"1"'}
    )
    assert ended.status_code == 200, ended.text
    body = ended.json()
    assert (body["until_day"], body["end_reason"], body["version"]) == ("2025-09-30", reason, 2)
    assert [version["after"]["until_day"] for version in body["history"]] == [None, "2025-09-30"]
    again = world.district.post(
        f"{path}/end", json={"until_day": "2025-10-31", "reason": "other"}, headers={"If-Match": '"1"'}
    )
    assert (again.status_code, again.json()["code"]) == (409, "already-decided")
    assert again.json()["decision"]["until_day"] == "2025-09-30"


def test_an_end_before_the_start_is_refused(world: World) -> None:
    made = posted(world, world.person(None), from_day="2025-03-01")
    answer = world.district.post(
        f"/v1/postings/{made['id']}/end",
        json={"until_day": "2025-02-28", "reason": "other"},
        headers={"If-Match": "*"},
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "until_day")


def test_a_correction_keeps_who_when_what_and_why(world: World, clock: SetClock) -> None:
    clock.set("2025-08-01T02:00:00+00:00")
    client = world.client(Role.DISTRICT, DISTRICT)
    made = client.post("/v1/postings", json=posting_body(world.person(None), from_day="2025-03-01")).json()
    path = f"/v1/postings/{made['id']}"
    answer = client.patch(
        path, json={"from_day": "2025-02-15", "reason": "任命文件为2月15日"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200, answer.text
    version = answer.json()["history"][1]
    assert version["reason"] == "任命文件为2月15日"
    assert (version["before"]["from_day"], version["after"]["from_day"]) == ("2025-03-01", "2025-02-15")
    assert version["at"] == "2025-08-01T02:00:00Z"
    assert version["by"] is not None
    assert client.patch(path, json={"from_day": "2025-02-10"}, headers={"If-Match": "*"}).status_code == 422
    assert client.patch(path, json={"reason": "x"}, headers={"If-Match": "*"}).status_code == 422
    stale = client.patch(path, json={"role": "member", "reason": "x"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


def test_an_end_can_be_taken_back_and_a_reason_needs_a_day(world: World) -> None:
    made = posted(world, world.person(None))
    path = f"/v1/postings/{made['id']}"
    any_version = {"If-Match": "*"}
    world.district.post(
        f"{path}/end", json={"until_day": "2025-09-30", "reason": "recalled"}, headers=any_version
    )
    back = world.district.patch(path, json={"until_day": None, "reason": "未召回"}, headers=any_version)
    assert (back.status_code, back.json()["until_day"], back.json()["end_reason"]) == (200, None, None)
    alone = world.district.patch(path, json={"end_reason": "retired", "reason": "x"}, headers=any_version)
    assert (alone.status_code, alone.json()["errors"][0]["field"]) == (422, "until_day")


def test_an_entry_made_in_error_has_no_day_and_frees_its_days(world: World) -> None:
    person = world.person(None)
    made = posted(world, person, from_day="2025-03-01")
    path = f"/v1/postings/{made['id']}"
    answer = world.district.patch(
        path, json={"end_reason": "entered_in_error", "reason": "录错人"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200, answer.text
    with world.service.database.read() as session:
        assert days.active_postings(session, [(person, date(2025, 3, 1)), (person, date(2025, 2, 28))]) == []
        assert days.posted_days(session, date(2025, 3, 1), people=[person]) == []
    posted(world, person, from_day="2025-03-01")
    moved = world.district.patch(
        path, json={"from_day": "2025-01-05", "reason": "x"}, headers={"If-Match": "*"}
    )
    assert moved.status_code == 200, moved.text
    assert (moved.status_code, moved.json()["until_day"]) == (200, "2025-01-04")
    right = world.district.patch(
        path,
        json={"end_reason": "term_over", "until_day": "2025-02-01", "reason": "原来没错"},
        headers={"If-Match": "*"},
    )
    assert (right.status_code, right.json()["until_day"]) == (200, "2025-02-01")
    assert world.town.get(path).status_code == 200


def test_a_correction_into_another_posting_is_refused_whole(world: World) -> None:
    person = world.person(None)
    first = posted(world, person, from_day="2025-01-01", until_day="2025-03-31")
    second = posted(world, person, from_day="2025-05-01")
    path = f"/v1/postings/{second['id']}"
    answer = world.district.patch(
        path, json={"from_day": "2025-03-15", "reason": "x"}, headers={"If-Match": "*"}
    )
    assert (answer.status_code, answer.json()["conflict"]["posting_id"]) == (409, first["id"])
    after = world.district.get(path).json()
    assert (after["version"], after["from_day"], len(after["history"])) == (1, "2025-05-01", 1)


@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"village_code": "500116101999"}, 404, None),
        ({"village_code": FOREIGN}, 404, None),
        ({"village_code": "500116101000"}, 422, "village_code"),
        ({"village_code": "四方村"}, 422, "village_code"),
        ({"from_day": "2025-02-30"}, 422, "from_day"),
        ({"from_day": "0025-02-20"}, 422, "from_day"),
        ({"until_day": "2025-02-28"}, 422, "until_day"),
        ({"role": "mayor"}, 422, "role"),
        ({"end_reason": "retired"}, 422, "end_reason"),
        ({"id": "1"}, 422, "id"),
    ],
)
def test_odd_postings_are_refused(
    world: World, wrong: dict[str, str], status: int, field: str | None
) -> None:
    answer = world.district.post("/v1/postings", json={**posting_body(world.person(None)), **wrong})
    assert answer.status_code == status, answer.text
    if field:
        assert answer.json()["errors"][0]["field"] == field
