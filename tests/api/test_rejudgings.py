"""Judging again in two steps (issue of a corrected boundary, edge 46): a dry run, and a second person's approval."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import (
    LONG_AGO,
    Cadre,
    World,
    add_version,
    check_in,
    fade,
    make_cadre,
    make_world,
    position,
    renewed,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paging import every
from shapely import Polygon, box

from server import ids
from server.access import Role
from server.month.masks import day_mask
from server.rejudgings import service as rejudging_service

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)
WEST, MIDDLE, EAST = (position(lon=lon, lat=28.9101234) for lon in (106.2051234, 106.2151234, 106.2301234))
DRAWN = box(106.20, 28.90, 106.22, 28.92)  # As make_world draws it.
WIDER, NARROWER = box(106.20, 28.90, 106.24, 28.92), box(106.20, 28.90, 106.21, 28.92)


@dataclass
class Place:
    """One village with its own town, so that no other test's check-ins are in it."""

    service: Service
    world: World
    clock: SetClock

    def officer(self, district: str = "500116") -> httpx.Client:
        with self.service.database.write() as session:
            account = make_account(session, role=Role.DISTRICT, region=district, valid_from=LONG_AGO)
        return self.service.as_(token_for(self.service, account))

    def cadre(self) -> Cadre:
        return make_cadre(self.service, self.world, from_day=date(2026, 1, 1))

    def check_in(self, cadre: Cadre, at: datetime, where: dict[str, Any]) -> str:
        self.clock.set(at)
        one = str(ids.new_id())
        with self.service.as_(renewed(self.service, cadre).token) as client:
            made = client.put(f"/v1/check-ins/{one}", json=check_in(at, position=where))
            assert made.status_code == 201, made.text
        return one

    def own(self, cadre: Cadre, one: str) -> dict[str, Any]:
        with self.service.as_(renewed(self.service, cadre).token) as client:
            found: dict[str, Any] = client.get(f"/v1/check-ins/{one}").json()
            return found

    def draw(self, shape: Polygon) -> None:
        """Publish a version that is later than those before, and in force all along."""
        since = LONG_AGO + timedelta(minutes=next(VERSIONS))
        with self.service.database.write() as session:
            add_version(session, self.world.zone_id, "试村", shape, valid_from=since)

    def asked(self, **given: Any) -> dict[str, Any]:
        return {
            "id": str(uuid4()),
            "region": self.world.village,
            "first_day": "2026-11-01",
            "last_day": "2026-11-30",
            "reason": "边界东侧漏画",
            **given,
        }

    def masks(self, cadre: Cadre) -> dict[str, int]:
        query = sa.text("SELECT * FROM person_months WHERE person_id = :p AND month = '2026-11-01'")
        with self.service.database.read() as session:
            return dict(session.execute(query, {"p": cadre.person_id}).mappings().one())


TOWNS, VERSIONS = count(400), count(1)


@pytest.fixture
def place(service: Service, clock: SetClock) -> Place:
    clock.set(NOON)
    return Place(service, make_world(service, town=f"500116{next(TOWNS)}"), clock)


def ask(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    made = client.post("/v1/rejudgings", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/v1/rejudgings/{body['id']}"
    told: dict[str, Any] = made.json()
    return told


def changes(client: httpx.Client, one: str, limit: int = 50) -> list[dict[str, Any]]:
    return every(client, f"/v1/rejudgings/{one}/changes", limit=limit)


def test_a_dry_run_tells_whose_days_would_change_and_a_second_officer_applies_it(place: Place) -> None:
    cadre, untouched = place.cadre(), place.cadre()
    out = place.check_in(cadre, NOON, EAST)
    place.check_in(cadre, NOON + timedelta(days=1), EAST)
    place.check_in(cadre, NOON + timedelta(days=1, hours=1), WEST)  # The day counts anyway.
    place.check_in(untouched, NOON, WEST)
    place.draw(WIDER)
    with place.officer() as first, place.officer() as second:
        body = place.asked()
        told = ask(first, body)
        figures = ("judged", "faded", "check_ins", "people", "days", "decided")
        assert [told[name] for name in figures] == [4, 0, 2, 1, 1, None]
        assert place.own(cadre, out)["judged_again"] is None  # Nothing was changed.
        shown = changes(second, body["id"], limit=1)
        assert [(c["day"], c["before"], c["after"], c["day_before"], c["day_after"]) for c in shown] == [
            ("2026-11-16", "outside", "inside", "outside", "counted"),
            ("2026-11-17", "outside", "inside", "counted", "counted"),
        ]
        assert {c["person_id"] for c in shown} == {str(cadre.person_id)}
        path = f"/v1/rejudgings/{body['id']}"
        alone = first.post(f"{path}/approve", json={"reason": "自己批准"})
        assert (alone.status_code, alone.json()["code"]) == (409, "second-person-required")
        done = second.post(f"{path}/approve", json={"reason": "已到现场核对"})
        assert done.status_code == 200, done.text
        assert done.json()["decided"]["decision"] == "approved"
        assert first.get(path).json() == done.json()
        again = second.post(f"{path}/drop", json={"reason": "反悔"})
        assert (again.status_code, again.json()["code"]) == (409, "already-decided")
    seen = place.own(cadre, out)
    assert seen["verdict"] == "outside"  # Both verdicts stay.
    assert (seen["judged_again"]["verdict"], seen["judged_again"]["cause"]) == ("inside", "boundary")
    assert place.masks(cadre)["sure"] == day_mask(16) | day_mask(17)
    with place.service.as_(renewed(place.service, cadre).token) as own:
        looks = own.get("/v1/me/looks").json()["items"]
    assert {(look["what"], look["subject"]) for look in looks} == {("check-ins", body["id"])}


def test_what_was_dropped_changes_nothing(place: Place) -> None:
    cadre = place.cadre()
    one = place.check_in(cadre, NOON, EAST)
    place.draw(WIDER)
    with place.officer() as first, place.officer() as second:
        body = place.asked()
        ask(first, body)
        assert body["id"] in [r["id"] for r in listed(second, undecided="true")]
        assert first.post(f"/v1/rejudgings/{body['id']}/drop", json={"reason": "画错了"}).status_code == 200
        refused = second.post(f"/v1/rejudgings/{body['id']}/approve", json={"reason": "批准"})
        assert (refused.status_code, refused.json()["code"]) == (409, "already-decided")
        assert body["id"] not in [r["id"] for r in listed(second, undecided="true")]
        assert body["id"] in [r["id"] for r in listed(second)]
    assert place.own(cadre, one)["judged_again"] is None


def listed(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    return every(client, "/v1/rejudgings", limit=3, **query)


def test_what_is_approved_is_what_was_shown(place: Place) -> None:
    """Between the dry run and the approval the boundary changed again: nobody decided that."""
    cadre = place.cadre()
    one = place.check_in(cadre, NOON, EAST)
    other = place.check_in(cadre, NOON + timedelta(hours=1), MIDDLE)
    place.draw(WIDER)
    with place.officer() as first, place.officer() as second:
        body = place.asked()
        ask(first, body)
        place.draw(NARROWER)
        refused = second.post(f"/v1/rejudgings/{body['id']}/approve", json={"reason": "批准"})
        assert (refused.status_code, refused.json()["code"]) == (409, "rejudging-stale")
        assert place.own(cadre, one)["judged_again"] is None
        assert place.own(cadre, other)["judged_again"] is None
        fresh = place.asked()
        assert ask(first, fresh)["check_ins"] == 1
        assert (
            second.post(f"/v1/rejudgings/{fresh['id']}/approve", json={"reason": "批准"}).status_code == 200
        )
    assert place.own(cadre, other)["judged_again"]["verdict"] == "outside"
    assert place.masks(cadre)["sure"] == 0


def test_two_approvals_at_once_judge_once(place: Place) -> None:
    cadre = place.cadre()
    one = place.check_in(cadre, NOON, EAST)
    place.draw(WIDER)
    with place.officer() as first, place.officer() as second, place.officer() as third:
        body = place.asked()
        ask(first, body)
        with ThreadPoolExecutor(2) as pool:
            path, why = f"/v1/rejudgings/{body['id']}/approve", {"reason": "批准"}
            answers = [pool.submit(who.post, path, json=why) for who in (second, third)]
            codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [200, 409]
    query = sa.text("SELECT count(*) FROM checkin_judgements WHERE checkin_id = :one")
    with place.service.database.read() as session:
        assert session.execute(query, {"one": one}).scalar_one() == 1


def test_a_resend_is_answered_as_before_and_judges_nothing_anew(place: Place) -> None:
    cadre = place.cadre()
    place.check_in(cadre, NOON, EAST)
    place.draw(WIDER)
    with place.officer() as first, place.officer() as second:
        body = place.asked()
        told = ask(first, body)
        place.draw(DRAWN)
        resent = first.post("/v1/rejudgings", json=body)
        assert (resent.status_code, resent.headers["idempotent-replay"], resent.json()) == (200, "true", told)
        other = first.post("/v1/rejudgings", json={**body, "reason": "另一理由"})
        assert (other.status_code, other.json()["code"]) == (409, "id-reused")
        assert second.post("/v1/rejudgings", json=body).status_code == 409  # Somebody else's id.


def test_coordinates_that_faded_are_told_as_such(place: Place) -> None:
    cadre = place.cadre()
    one = place.check_in(cadre, NOON, EAST)
    with place.service.database.write() as session:
        fade(session, UUID(one))
    place.draw(WIDER)
    with place.officer() as first:
        told = ask(first, place.asked())
    assert (told["judged"], told["faded"], told["check_ins"]) == (1, 1, 0)


def test_only_the_own_district_and_not_too_much_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cadre = place.cadre()
    for hours in range(3):
        place.check_in(cadre, NOON + timedelta(hours=hours), WEST)
    with place.officer() as own, place.officer("500117") as foreign:
        refused = foreign.post("/v1/rejudgings", json=place.asked())
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
        assert (
            own.post("/v1/rejudgings", json=place.asked(region="50")).status_code == 404
        )  # More than one's own.
        assert own.post("/v1/rejudgings", json=place.asked(last_day="2026-10-01")).status_code == 422
        monkeypatch.setattr(rejudging_service, "MOST", 2)
        many = own.post("/v1/rejudgings", json=place.asked())
        assert (many.status_code, many.json()["code"], many.json()["most"]) == (422, "too-many-check-ins", 2)
        assert own.post("/v1/rejudgings", json=place.asked(last_day="2026-11-15")).status_code == 201


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    taps=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from((WEST, MIDDLE, EAST))), min_size=1, max_size=6
    ),
    shape=st.sampled_from((WIDER, NARROWER)),
)
def test_the_days_become_what_the_dry_run_says(
    place: Place, taps: list[tuple[int, dict[str, Any]]], shape: Polygon
) -> None:
    """The masks that the approval leaves are an oracle for the states that were shown before it."""
    place.draw(DRAWN)
    cadre = place.cadre()
    for number, (day, where) in enumerate(taps):
        place.check_in(cadre, NOON + timedelta(days=day, minutes=number), where)
    before = place.masks(cadre)
    place.draw(shape)
    with place.officer() as first, place.officer() as second:
        body = place.asked()
        told = ask(first, body)
        shown = [c for c in changes(first, body["id"]) if c["person_id"] == str(cadre.person_id)]
        for change in shown:
            assert change["day_before"] == _state(before, change["day"])
        done = second.post(f"/v1/rejudgings/{body['id']}/approve", json={"reason": "批准"})
        assert done.status_code == 200, done.text
    after = place.masks(cadre)
    for change in shown:
        assert change["day_after"] == _state(after, change["day"])
    turned = {c["day"] for c in shown if c["day_before"] != c["day_after"]}
    days = {(NOON + timedelta(days=n)).date().isoformat() for n in range(4)}
    assert turned == {day for day in days if _state(before, day) != _state(after, day)}
    assert told["check_ins"] >= len(shown)


def _state(masks: dict[str, int], day: str) -> str:
    bit = day_mask(date.fromisoformat(day).day)
    words = {
        "sure": "counted",
        "unsure": "unsure",
        "unfenced": "no_fence",
        "claimed": "claimed",
        "outside": "outside",
    }
    return next((word for name, word in words.items() if masks[name] & bit), "none")
