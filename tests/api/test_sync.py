"""What a phone keeps to work without a signal: everything once, then only what changed."""

import itertools
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, add_version, check_in, make_cadre, make_world, renewed
from shapely import box
from shapely.geometry import shape

from server import ids
from server.access import Role
from server.roster.models import Posting
from server.roster.rules import EndReason

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)
PARTS = ["postings", "policies", "boundaries", "month", "requests"]
TOWNS = itertools.count(10)
Json = dict[str, Any]


@pytest.fixture
def world(service: Service, clock: SetClock) -> World:
    clock.set(NOON)
    return make_world(service, town=f"5001161{next(TOWNS)}")


@pytest.fixture
def cadre(service: Service, world: World) -> Cadre:
    return make_cadre(service, world)


def sync(service: Service, cadre: Cadre, cursor: str | None = None) -> Json:
    with service.as_(renewed(service, cadre).token) as phone:
        answer = phone.get("/v1/me/sync", params={} if cursor is None else {"cursor": cursor})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def changed(answer: Json) -> list[str]:
    assert all(answer[part] is None for part in answer["unchanged"])
    return [part for part in PARTS if part not in answer["unchanged"]]


def test_the_first_time_everything_comes(service: Service, cadre: Cadre, world: World) -> None:
    first = sync(service, cadre)
    assert changed(first) == PARTS
    [posting], [policy], [boundary] = first["postings"], first["policies"], first["boundaries"]
    assert (posting["village_code"], boundary["code"]) == (world.village, world.village)
    assert policy["code"] == "two-thirds"
    assert policy["created_by"] is None  # Officials' business.
    assert shape(boundary["geometry"]).contains(shape({"type": "Point", "coordinates": [106.207, 28.908]}))
    with service.as_(cadre.token) as phone:
        alone = phone.get("/v1/me/months/2026-11").json()
    assert first["month"]["days"] == alone["days"]


def test_later_only_what_changed(service: Service, cadre: Cadre, world: World, clock: SetClock) -> None:
    cursor = sync(service, cadre)["cursor"]
    clock.move(minutes=5)
    again = sync(service, cadre, cursor)
    assert (changed(again), again["cursor"]) == ([], cursor)

    with service.as_(renewed(service, cadre).token) as phone:
        phone.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock())).raise_for_status()
    again = sync(service, cadre, cursor)
    assert changed(again) == ["month"]
    assert again["month"]["counters"]["village"] == 1

    with service.database.write() as session:
        add_version(session, world.zone_id, "试村", box(106.20, 28.90, 106.21, 28.92), valid_from=clock())
    again = sync(service, cadre, again["cursor"])
    assert changed(again) == ["boundaries"]
    assert shape(again["boundaries"][0]["geometry"]).bounds[2] == pytest.approx(106.21, abs=1e-3)


def test_what_one_asked_for_is_told_with_what_became_of_it(
    service: Service, cadre: Cadre, clock: SetClock
) -> None:
    cursor = sync(service, cadre)["cursor"]
    key = str(ids.new_id())
    body = {"id": key, "day": "2026-11-13", "claim": "present", "reason": "forgot", "text": "忘记签到"}
    with service.as_(renewed(service, cadre).token) as phone:
        made = phone.post("/v1/corrections", json=body).raise_for_status().json()
        again = sync(service, cadre, cursor)
        assert (changed(again), [each["id"] for each in again["requests"]["corrections"]]) == (
            ["requests"],
            [key],
        )
        back = phone.post(
            f"/v1/corrections/{key}/withdraw", json={"reason": "记错了"}, headers={"If-Match": "*"}
        )
        assert back.status_code == 200, made
    again = sync(service, cadre, again["cursor"])
    assert [each["state"] for each in again["requests"]["corrections"]] == ["withdrawn"]
    clock.move(days=31)
    assert sync(service, cadre, again["cursor"])["requests"]["corrections"] == []


def test_a_new_posting_is_told_with_its_village(service: Service, cadre: Cadre, clock: SetClock) -> None:
    other = make_world(service, town=f"5001161{next(TOWNS)}", policy=False)
    cursor = sync(service, cadre)["cursor"]
    with service.database.write() as session:
        posting = session.scalars(sa.select(Posting).where(Posting.person_id == cadre.person_id)).one()
        posting.until_day, posting.end_reason = date(2026, 11, 15), EndReason.TERM_OVER
        session.flush()
        session.add(
            Posting(
                id=uuid4(), person_id=cadre.person_id, village_code=other.village, role=posting.role,
                from_day=date(2026, 11, 16), until_day=None, end_reason=None, version=1,
            )
        )  # fmt: skip
    clock.move(minutes=1)
    again = sync(service, cadre, cursor)
    assert set(changed(again)) >= {"postings", "boundaries", "month"}
    assert [b["code"] for b in again["boundaries"]] == [other.village]  # Of today; the old one is history.
    assert len(again["postings"]) == 2


def test_a_cursor_that_is_none_is_refused(service: Service, cadre: Cadre) -> None:
    with service.as_(cadre.token) as phone:
        for cursor in ("x", "WyJhIl0", "", "W10"):
            answer = phone.get("/v1/me/sync", params={"cursor": cursor})
            assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor"), cursor


def test_a_cursor_of_somebody_else_only_brings_more(service: Service, cadre: Cadre, world: World) -> None:
    """A cursor says what its holder has; it opens nothing."""
    other = make_cadre(service, world)
    with service.as_(renewed(service, other).token) as phone:
        phone.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(NOON)).raise_for_status()
    found = sync(service, cadre, sync(service, other)["cursor"])
    assert set(changed(found)) >= {"postings", "month"}
    assert found["month"]["person"]["id"] == str(cadre.person_id)


def test_nobody_posted_still_learns_that(service: Service, world: World) -> None:
    answer = sync(service, make_cadre(service, world, posted=False))
    assert (answer["postings"], answer["boundaries"], answer["policies"]) == ([], [], [])
    assert answer["month"]["village"] is None


def test_an_account_without_a_person_has_nothing_to_sync(service: Service, world: World) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region=world.village, valid_from=LONG_AGO)
    with service.as_(token_for(service, account)) as client:
        answer = client.get("/v1/me/sync")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
