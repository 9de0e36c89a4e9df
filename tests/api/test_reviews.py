"""The review queue over HTTP: who is asked, what they see, what a decision does, and what the person is told (M24)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import Service, SetClock
from factories_auth import add_grant
from factories_checkins import Cadre, World, add_version, make_cadre, make_world, renewed
from factories_review import assess, honest, officer, tap
from paging import every
from shapely import box

from server import ids
from server.access import Role
from server.auth.models import Account
from server.checkins import decisions
from server.checkins.models import CheckIn
from server.checkins.rejudging import judge_again
from server.checkins.rules import Cause
from server.month.masks import Month
from server.review import inbox

MONDAY = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Reviewed:
    """A mocked check-in that is in the queue, its maker, and the officer of the town."""

    cadre: Cadre
    check_in: UUID
    town: httpx.Client
    item: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/reviews/{self.item['id']}"

    def tag(self) -> dict[str, str]:
        return {"If-Match": self.town.get(self.path).headers["etag"]}

    def decide(self, decision: str, **more: Any) -> httpx.Response:
        body = {"id": str(ids.new_id()), "decision": decision, **more}
        headers = more.pop("headers", None) or self.tag()
        return self.town.post(f"{self.path}/decide", json={k: v for k, v in body.items() if k != "headers"}, headers=headers)  # fmt: skip


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def reviewed(service: Service, clock: SetClock, world: World) -> Iterator[Reviewed]:
    cadre = make_cadre(service, world)
    one = tap(service, clock, cadre, MONDAY, honest(1, mocked=True))
    assess(service)
    with officer(service, Role.TOWN, world.town) as town:
        (item,) = [each for each in listed(town) if each["person"]["id"] == str(cadre.person_id)]
        yield Reviewed(cadre, one, town, item)


def listed(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Read the whole queue, three items a page."""
    return every(client, "/v1/reviews", limit=3, **query)


def own(service: Service, cadre: Cadre, path: str) -> Any:
    with service.as_(renewed(service, cadre).token) as phone:
        answer = phone.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


REJECTION = {"reason": "mocked-position", "text": "系统标为模拟位置，本人未作说明。"}


def test_a_mock_asks_the_town_to_look_and_its_maker_is_told(service: Service, reviewed: Reviewed) -> None:
    item = reviewed.item
    (signal,) = item["signals"]
    assert signal["code"] == "mocked"
    assert signal["zh"].startswith("手机系统把这次定位标为模拟位置")
    assert item["cause"] == "signals"
    assert item["check_ins"][0]["standing"] == "counted"
    assert (item["state"], item["due_day"], item["overdue"]) == ("open", "2026-11-09", False)
    assert not {"score", "points", "lon", "p_inside", "margin_m"} & set(str(item).replace("'", " ").split())
    mine = own(service, reviewed.cadre, f"/v1/check-ins/{reviewed.check_in}")
    assert (mine["standing"], mine["review"]["state"]) == ("counted", "open")
    assert mine["review"]["signals"][0]["code"] == "mocked"
    assert "points" not in str(mine["review"])
    assert own(service, reviewed.cadre, "/v1/me/reviews")["items"][0]["id"] == item["id"]


def test_only_officers_of_the_place_are_asked_and_nobody_about_oneself(
    service: Service, world: World, reviewed: Reviewed
) -> None:
    mark = reviewed.item["id"]
    with (
        officer(service, Role.DISTRICT, "500116") as district,
        officer(service, Role.TOWN, "500116199") as elsewhere,
        officer(service, Role.INSPECTOR, "500116") as inspector,
    ):
        assert mark in {each["id"] for each in listed(district)}
        assert mark not in {each["id"] for each in listed(elsewhere)}
        assert elsewhere.get(reviewed.path).json()["code"] == "not-found"
        assert reviewed.town.get(f"/v1/reviews/{ids.new_id()}").json()["code"] == "not-found"
        assert inspector.get("/v1/reviews").status_code == 403
    with service.database.write() as session:
        account = session.get_one(Account, reviewed.cadre.account.id)
        add_grant(session, account, role=Role.TOWN, region=world.town)
    with service.as_(renewed(service, reviewed.cadre).token) as oneself:
        assert oneself.get(reviewed.path).status_code == 404
        assert mark not in {each["id"] for each in listed(oneself)}


def test_the_point_is_for_whoever_took_the_item_and_every_look_is_recorded(
    service: Service, reviewed: Reviewed
) -> None:
    at = f"{reviewed.path}/position"
    assert reviewed.town.get(at).json()["code"] == "review-not-taken"
    assert reviewed.town.post(f"{reviewed.path}/take").status_code == 428
    taken = reviewed.town.post(f"{reviewed.path}/take", headers=reviewed.tag())
    assert (taken.status_code, taken.json()["mine"]) == (200, True)
    assert reviewed.town.get(at).json()["lon"] == honest(1)["lon"]
    seen = own(service, reviewed.cadre, "/v1/me/looks")["items"]
    assert [each["subject"] for each in seen if each["what"] == "position"] == [str(reviewed.check_in)]
    assert {each["what"] for each in seen} == {"position", "signals"}


def test_a_rejection_takes_the_day_out_says_why_and_is_never_taken_twice(
    service: Service, world: World, reviewed: Reviewed
) -> None:
    before = own(service, reviewed.cadre, "/v1/me/months/2026-11")
    body = {"id": str(ids.new_id()), "decision": "rejected", **REJECTION}
    first = reviewed.tag()
    decide = f"{reviewed.path}/decide"
    assert reviewed.town.post(decide, json=body).status_code == 428
    assert reviewed.town.post(decide, json={**body, "text": None}, headers=first).status_code == 422
    asked = reviewed.decide("needs-more", text="请说明当天用的是哪部手机。")
    assert asked.json()["state"] == "needs-more"
    assert own(service, reviewed.cadre, "/v1/me/months/2026-11")["counters"] == before["counters"]
    assert reviewed.town.post(decide, json=body, headers=first).status_code == 412
    done = reviewed.town.post(decide, json=body, headers=reviewed.tag())
    assert (done.status_code, done.json()["state"]) == (200, "rejected")
    again = reviewed.town.post(decide, json=body, headers=reviewed.tag())
    assert again.headers["idempotent-replay"] == "true"
    other = reviewed.decide("accepted")
    assert (other.status_code, other.json()["code"]) == (409, "already-decided")
    assert other.json()["decision"]["id"] == body["id"]
    with officer(service, Role.TOWN, world.town) as late:
        taken = late.post(f"{reviewed.path}/take", headers=reviewed.tag())
    assert (taken.status_code, taken.json()["code"]) == (409, "already-decided")
    reused = reviewed.town.post(decide, json={**body, "text": "另一说法"}, headers=reviewed.tag())
    assert reused.json()["code"] == "id-reused"
    mine = own(service, reviewed.cadre, f"/v1/check-ins/{reviewed.check_in}")
    assert (mine["standing"], mine["judged_again"]["standing"]) == ("counted", "not-counted")
    assert mine["judged_again"]["cause"] == "review"
    assert mine["review"]["overturned"] is False
    told = mine["review"]["decision"]
    assert (told["id"], told["reason"], told["text"]) == (body["id"], REJECTION["reason"], REJECTION["text"])
    after = own(service, reviewed.cadre, "/v1/me/months/2026-11")
    assert after["counters"]["village"] == before["counters"]["village"] - 1
    assert reviewed.item["id"] not in {each["id"] for each in listed(reviewed.town)}


def test_an_accepted_check_in_goes_on_counting(service: Service, reviewed: Reviewed) -> None:
    before = own(service, reviewed.cadre, "/v1/me/months/2026-11")
    assert reviewed.decide("accepted").json()["state"] == "accepted"
    assert own(service, reviewed.cadre, "/v1/me/months/2026-11")["counters"] == before["counters"]
    mine = own(service, reviewed.cadre, f"/v1/check-ins/{reviewed.check_in}")
    assert (mine["judged_again"], mine["review"]["state"]) == (None, "accepted")


def test_a_rejection_outlives_a_new_boundary_and_ends_with_an_appeal(
    service: Service, world: World, reviewed: Reviewed
) -> None:
    assert reviewed.decide("rejected", **REJECTION).status_code == 200
    mine = f"/v1/check-ins/{reviewed.check_in}"

    def judged_by(west: float) -> dict[str, Any]:
        with service.database.write() as session:
            add_version(session, world.zone_id, "试村", box(west, 28.90, 106.22, 28.92))
            judge_again(session, CheckIn.id == reviewed.check_in, cause=Cause.BOUNDARY, write=True)
        found: dict[str, Any] = own(service, reviewed.cadre, mine)["judged_again"]
        return found

    outside = judged_by(106.215)
    assert (outside["verdict"], outside["standing"]) == ("outside", "not-counted")
    inside = judged_by(106.20)
    assert (inside["verdict"], inside["standing"]) == ("inside", "not-counted")
    with service.database.write() as session:
        lifted = decisions.reinstate(session, reviewed.cadre.person_id, [reviewed.check_in])
    assert lifted == [reviewed.check_in]
    appealed = own(service, reviewed.cadre, mine)["judged_again"]
    assert (appealed["cause"], appealed["standing"]) == ("appeal", "counted")
    told = own(service, reviewed.cadre, mine)["review"]
    assert (told["state"], told["overturned"], told["decision"]["reason"]) == (
        "rejected",
        True,
        "mocked-position",
    )
    assert own(service, reviewed.cadre, "/v1/me/reviews")["items"][0]["overturned"] is True
    assert judged_by(106.215)["standing"] == "not-counted"
    assert judged_by(106.20)["standing"] == "counted"
    assert own(service, reviewed.cadre, mine)["review"]["overturned"] is True
    assert own(service, reviewed.cadre, "/v1/me/months/2026-11")["counters"]["village"] == 1


def test_an_appeal_to_the_district_lifts_a_rejection_and_all_of_it_stays_to_be_seen(
    service: Service, reviewed: Reviewed
) -> None:  # M24
    before = own(service, reviewed.cadre, "/v1/me/months/2026-11")["counters"]
    decision = str(ids.new_id())
    assert reviewed.decide("rejected", **REJECTION | {"id": decision}).status_code == 200
    body = {
        "id": str(ids.new_id()),
        "kind": "check-in",
        "subject_id": decision,
        "text": "手机是借的，本人确在村",
    }
    with service.as_(renewed(service, reviewed.cadre).token) as phone:
        made = phone.post("/v1/appeals", json=body)
        assert (made.status_code, made.json()["level"]) == (201, "district")
        again = phone.post("/v1/appeals", json={**body, "id": str(ids.new_id())})
        assert (again.status_code, again.json()["code"]) == (409, "appeal-made")
    path, head = f"/v1/appeals/{body['id']}/decide", {"If-Match": "*"}
    answer = {"uphold": True, "answer": "村委会证实当日在村"}
    assert reviewed.town.post(path, json=answer, headers=head).status_code == 403
    with officer(service, Role.DISTRICT, "500116") as district:
        assert district.post(path, json=answer, headers=head).json()["state"] == "upheld"
    mine = own(service, reviewed.cadre, f"/v1/check-ins/{reviewed.check_in}")
    assert (mine["judged_again"]["cause"], mine["judged_again"]["standing"]) == ("appeal", "counted")
    assert mine["review"]["state"] == "rejected"  # What was decided before is not undone, it is answered.
    assert own(service, reviewed.cadre, "/v1/me/months/2026-11")["counters"] == before


def test_what_waits_too_long_is_listed_and_what_no_longer_counts_waits_for_nobody(
    service: Service, clock: SetClock, world: World
) -> None:
    cadre = make_cadre(service, world)
    tap(service, clock, cadre, MONDAY, honest(2, mocked=True))
    gone = tap(service, clock, cadre, MONDAY + timedelta(minutes=5), honest(3, mocked=True))
    assess(service)
    with service.as_(renewed(service, cadre).token) as phone:
        assert phone.post(f"/v1/check-ins/{gone}/withdraw", json={"reason": "误按"}).status_code == 200

    def waiting(**query: Any) -> int:
        with officer(service, Role.DISTRICT, "500116") as district:
            people = [each["person"]["id"] for each in listed(district, **query)]
        return people.count(str(cadre.person_id))

    assert (waiting(), waiting(overdue=True)) == (1, 0)
    clock.set(MONDAY + 7 * DAY)  # Monday again: the fifth working day is not over.
    assert waiting(overdue=True) == 0
    clock.set(MONDAY + 8 * DAY)
    assert waiting(overdue=True) == 1


def test_a_month_that_unsure_days_decide_is_reviewed_check_in_by_check_in(
    service: Service, clock: SetClock, world: World
) -> None:
    cadre = make_cadre(service, world)
    border: dict[str, Any] = {"lon": 106.20001, "lat": 28.9081234}
    made = [tap(service, clock, cadre, MONDAY + day * DAY, honest(day, **border)) for day in range(5)]
    with service.database.write() as session:
        assert inbox.open_for_months(session, [Month(2026, 11)]) >= 1
        assert inbox.open_for_months(session, [Month(2026, 11)]) == 0
    with officer(service, Role.TOWN, world.town) as town:
        found = [
            each for each in listed(town, subject="month") if each["person"]["id"] == str(cadre.person_id)
        ]
        (item,) = found
        assert (item["cause"], item["month"]) == ("too-many-unsure", "2026-11")
        assert [each["id"] for each in item["check_ins"]] == [str(each) for each in made]
        month = Reviewed(cadre, made[0], town, item)
        wrong = month.decide("rejected", **REJECTION, check_ins=[str(ids.new_id())])
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "check_ins")
        assert month.decide("rejected", **REJECTION, check_ins=[str(made[1])]).status_code == 200
    mine = own(service, cadre, f"/v1/check-ins/{made[1]}")
    assert (mine["judged_again"]["standing"], mine["review"]["state"]) == ("not-counted", "rejected")
    assert own(service, cadre, "/v1/me/months/2026-11")["counters"]["village"] == 4
