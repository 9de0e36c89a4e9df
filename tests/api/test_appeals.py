"""Appeals (申诉) against refused corrections: to the district, within their time, once; upheld they act."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from conftest import Service, SetClock
from factories_checkins import make_world
from factories_corrections import Desk, make_officers
from factories_month import make_policy
from factories_office import code_of

from server import ids

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MONTH = "2026-11"
DONE = 409, "already-decided"


def day(number: int) -> date:
    return date(2026, 11, number)


@pytest.fixture(scope="module")
def office(service: Service) -> Iterator[Desk]:
    with service.database.write() as session:
        make_policy(session, correction_days=19)
    world = make_world(service, policy=False)
    with Desk(service, world, make_officers(service, world)) as made:
        yield made


@pytest.fixture
def desk(office: Desk, clock: SetClock) -> Desk:
    clock.set(NOON)
    office.another()
    return office


def refused(desk: Desk, number: int, by: str = "town") -> dict[str, Any]:
    made = desk.asked(day(number))
    answer = desk.decide(made, by, approve=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_appeal_goes_to_the_district_and_its_result_acts(desk: Desk) -> None:
    subject = refused(desk, 16)
    assert subject["appeal_until"] == "2026-11-27T16:00:00Z"  # The end of the seventh day in Beijing.
    made = desk.appeal(subject["id"])
    assert (made.status_code, made.json()["state"], made.json()["provenance"]) == (201, "open", "own")
    assert code_of(desk.answer(made.json(), "town2")) == (403, "forbidden")
    assert [
        each["id"]
        for each in desk.clients["district"]
        .get(f"/v1/appeals?waiting=true&person={desk.person}")
        .json()["items"]
    ] == [made.json()["id"]]
    assert desk.days(MONTH)[15]["reasons"] == ["no-evidence"]
    upheld = desk.answer(made.json(), "district")
    assert (upheld.status_code, upheld.json()["answer"]) == (200, "已核实")
    assert [event["event"] for event in upheld.json()["timeline"]] == ["entered", "upheld"]
    (fact,) = desk.days(MONTH)[15]["facts"]
    assert (fact["state"], fact["source_kind"], fact["source_id"]) == (
        "corrected-present", "appeal", made.json()["id"],
    )  # fmt: skip
    shown = desk.clients["cadre"].get(f"/v1/corrections/{subject['id']}").json()
    assert (shown["state"], shown["appeal_id"], shown["appeal_until"]) == ("refused", made.json()["id"], None)
    assert [event["event"] for event in shown["timeline"]] == ["entered", "refused", "appealed", "upheld"]
    assert code_of(desk.answer(made.json(), "district2", uphold=False)) == DONE


def test_what_the_district_refused_is_answered_by_another_person_there(desk: Desk) -> None:
    made = desk.appeal(refused(desk, 17, "district")["id"]).json()
    waiting = {
        name: desk.clients[name].get(f"/v1/appeals?waiting=true&person={desk.person}").json()["items"]
        for name in ("district", "district2")
    }
    assert {name: len(items) for name, items in waiting.items()} == {"district": 0, "district2": 1}
    assert code_of(desk.answer(made, "district")) == (403, "own-request")
    assert desk.answer(made, "district2", uphold=False).json()["state"] == "dismissed"
    assert desk.days(MONTH)[16]["reasons"] == ["no-evidence"]


def test_an_appeal_has_its_time_and_is_made_once_against_what_was_refused(
    desk: Desk, clock: SetClock
) -> None:
    first, second = refused(desk, 18), refused(desk, 19)
    assert code_of(desk.appeal(desk.asked(day(3))["id"])) == (404, "not-found")  # Nothing decided yet.
    assert code_of(desk.appeal(first["id"], "other_town")) == (404, "not-found")
    assert code_of(desk.appeal(ids.new_id(), kind="finding")) == (404, "not-found")
    clock.set("2026-11-27T15:59:59")
    desk.refresh()
    key = str(ids.new_id())
    assert desk.appeal(first["id"], "town2", id=key).json()["provenance"] == "town"
    assert code_of(desk.appeal(first["id"])) == (409, "appeal-made")
    assert code_of(desk.appeal(first["id"], "town2", id=key, text="别的")) == (409, "id-reused")
    clock.set("2026-11-27T16:00:00")
    assert desk.appeal(first["id"], "town2", id=key).status_code == 200  # A resend is never too late.
    assert code_of(desk.appeal(second["id"])) == (409, "appeal-too-late")
