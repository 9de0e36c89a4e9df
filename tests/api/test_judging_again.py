"""Check-ins judged again: after the roster (ruling 10), and by decision after a boundary (edge 46)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import (
    LONG_AGO,
    World,
    add_version,
    check_in,
    fade,
    make_cadre,
    make_world,
    position,
    renewed,
)
from shapely import box

from server import ids
from server.access import Role
from server.checkins.models import CheckIn
from server.checkins.rejudging import judge_again
from server.checkins.rules import Cause
from server.compliance.recomputing import different_masks
from server.month.masks import Month, day_mask
from server.roster.models import Posting
from server.roster.rules import PostingRole

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def officer(service: Service) -> str:
    with service.database.write() as session:
        account = make_account(session, role=Role.DISTRICT, region="500116", valid_from=LONG_AGO)
    return token_for(service, account)


def sure(service: Service, person_id: UUID) -> int:
    with service.database.read() as session:
        query = sa.text("SELECT sure FROM person_months WHERE person_id = :p AND month = '2026-11-01'")
        return session.execute(query, {"p": person_id}).scalar_one_or_none() or 0


def own(service: Service, token: str, one: UUID) -> dict[str, Any]:
    with service.as_(token) as client:
        found: dict[str, Any] = client.get(f"/v1/check-ins/{one}").json()
        return found


def test_a_posting_entered_late_makes_the_days_count_and_keeps_both_verdicts(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadre, one = make_cadre(service, world, posted=False), ids.new_id()
    with service.as_(cadre.token) as client:
        first = client.put(f"/v1/check-ins/{one}", json=check_in(NOON))
    assert (first.status_code, first.json()["verdict"]) == (201, "not_posted")
    with service.as_(officer(service)) as client:
        posting = {
            "id": str(uuid4()),
            "person_id": str(cadre.person_id),
            "village_code": world.village,
            "role": "member",
            "from_day": "2026-11-10",
        }
        made = client.post("/v1/postings", json=posting)
        assert made.status_code == 201, made.text
    seen = own(service, cadre.token, one)
    assert seen["verdict"] == "not_posted"
    assert (seen["judged_again"]["verdict"], seen["judged_again"]["cause"]) == ("inside", "roster")
    assert sure(service, cadre.person_id) == day_mask(16)
    with service.as_(cadre.token) as client:
        again = client.put(f"/v1/check-ins/{one}", json=check_in(NOON))
    assert again.content == first.content  # A replay is the answer of then.


def test_a_posting_that_ended_before_takes_the_day_back(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadre, one = make_cadre(service, world), ids.new_id()
    with service.as_(cadre.token) as client:
        client.put(f"/v1/check-ins/{one}", json=check_in(NOON))
    assert sure(service, cadre.person_id) == day_mask(16)
    with service.as_(officer(service)) as client:
        person = client.get(f"/v1/people/{cadre.person_id}").json()
        posting = person["postings"][0]["id"]
        etag = f'"{person["postings"][0]["version"]}"'
        ended = client.post(
            f"/v1/postings/{posting}/end",
            json={"until_day": "2026-11-15", "reason": "transferred"},
            headers={"If-Match": etag},
        )
        assert ended.status_code == 200, ended.text
    assert sure(service, cadre.person_id) == 0
    assert own(service, cadre.token, one)["judged_again"]["verdict"] == "not_posted"


def test_publishing_alters_nothing_and_judging_again_is_a_decision(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadre, one = make_cadre(service, world), ids.new_id()
    beyond = position(lon=106.2300001, lat=28.9100001)
    with service.as_(cadre.token) as client:
        first = client.put(f"/v1/check-ins/{one}", json=check_in(NOON, position=beyond))
    assert first.json()["verdict"] == "outside"
    with service.database.write() as session:
        add_version(session, world.zone_id, "试村", box(106.20, 28.90, 106.24, 28.92), valid_from=LONG_AGO)
    assert own(service, cadre.token, one)["judged_again"] is None  # edge 46
    assert sure(service, cadre.person_id) == 0
    condition = CheckIn.event_at >= NOON - timedelta(days=1)
    with service.database.write() as session:
        tried = judge_again(session, condition, cause=Cause.BOUNDARY, write=False)
    assert [(c.before, c.after) for c in tried.changes if c.checkin_id == one] == [("outside", "inside")]
    assert own(service, cadre.token, one)["judged_again"] is None
    with service.database.write() as session:
        judge_again(session, condition, cause=Cause.BOUNDARY, write=True)
    assert own(service, cadre.token, one)["judged_again"]["cause"] == "boundary"
    assert sure(service, cadre.person_id) == day_mask(16)
    with service.database.write() as session:
        assert (
            judge_again(session, condition, cause=Cause.BOUNDARY, write=True).changes == []
        )  # Again: nothing to do.


def test_what_has_faded_cannot_be_judged_again_and_is_counted(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadre, one = make_cadre(service, world), ids.new_id()
    with service.as_(cadre.token) as client:
        client.put(f"/v1/check-ins/{one}", json=check_in(NOON))
    with service.database.write() as session:
        fade(session, one)
        found = judge_again(session, CheckIn.id == one, cause=Cause.BOUNDARY, write=True)
    assert (found.judged, found.faded, found.changes) == (1, 1, [])
    assert sure(service, cadre.person_id) == day_mask(16)


def test_late_uploads_are_judged_by_the_boundary_of_their_time(service: Service, clock: SetClock) -> None:
    world = make_world(service, town="500116105")
    clock.set(NOON)
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        add_version(
            session,
            world.zone_id,
            "试村",
            box(106.20, 28.90, 106.21, 28.92),
            valid_from=NOON - timedelta(hours=6),
        )
    east = position(lon=106.2131234, lat=28.9101234)
    with service.as_(cadre.token) as client:
        before = client.put(
            f"/v1/check-ins/{ids.new_id()}",
            json=check_in(NOON - timedelta(hours=7), sent=NOON, position=east),
        )
        after = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(NOON, position=east))
    assert (before.json()["verdict"], after.json()["verdict"]) == ("inside", "outside")  # edge 47


def test_a_queue_over_two_changes_is_judged_by_what_held_at_each_tap(
    service: Service, clock: SetClock
) -> None:
    home, away = make_world(service, town="500116121"), make_world(service, town="500116122")
    clock.set(NOON)
    cadre = make_cadre(service, home, until_day=NOON.date())
    with service.database.write() as session:
        session.add(
            Posting(
                id=uuid4(), person_id=cadre.person_id, village_code=away.village, role=PostingRole.MEMBER,
                from_day=NOON.date() + timedelta(days=1), until_day=None, end_reason=None, version=1,
            )
        )  # fmt: skip
        for world, shape in (
            (home, box(106.20, 28.90, 106.21, 28.92)),
            (away, box(106.21, 28.90, 106.22, 28.92)),
        ):
            add_version(session, world.zone_id, "试村", shape, valid_from=NOON)
    west, east = position(lon=106.2051234, lat=28.9101234), position(lon=106.2131234, lat=28.9101234)
    hour, day = timedelta(hours=1), timedelta(days=1)
    taps = [
        (NOON - hour, east, ("inside", home.village)),  # The old outline reached so far.
        (NOON + hour, east, ("outside", home.village)),
        (NOON + hour, west, ("inside", home.village)),
        (NOON + day, west, ("outside", away.village)),  # Transferred overnight.
        (NOON + day, east, ("inside", away.village)),
        (NOON - 9 * day, west, ("inside", home.village)),
    ]
    clock.set(NOON + 2 * day)
    items = [{**check_in(at, position=where), "id": str(ids.new_id())} for at, where, _ in reversed(taps)]
    with service.as_(renewed(service, cadre).token) as client:
        body = {"sent_at": clock().isoformat(), "items": items}
        answers = client.post("/v1/check-ins/batch", json=body).json()["items"]
    told = [(each["check_in"]["verdict"], each["check_in"]["village_code"]) for each in reversed(answers)]
    assert told == [wanted for *_, wanted in taps]  # edge 47, edge 57, edge 73
    assert all(each["check_in"]["late"] for each in answers)
    assert answers[0]["check_in"]["standing"] == "claimed"  # Nine days ago, by nothing but the phone's word.


def moved_away(service: Service, town: str, people: int) -> tuple[int, list[tuple[int, int]]]:
    """Let people check in on two days in a village that is then moved elsewhere, and judge all of them again.

    Returns how many statements that took, and the masks kept: sure and outside.
    """
    world = make_world(service, town=town)
    cadres = [make_cadre(service, world) for _ in range(people)]
    for cadre in cadres:
        with service.as_(cadre.token) as client:
            for at in (NOON - timedelta(days=2), NOON - timedelta(days=1), NOON):
                made = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(at, sent=NOON))
                assert made.json()["verdict"] == "inside"
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with service.database.write() as session:
        add_version(
            session,
            world.zone_id,
            "迁",
            box(107.00, 28.90, 107.02, 28.92),
            valid_from=NOON - timedelta(hours=30),
        )
        session.flush()
        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        try:
            judge_again(session, CheckIn.village_code == world.village, cause=Cause.BOUNDARY, write=True)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", count)
    query = sa.text("SELECT sure, outside FROM person_months WHERE person_id = :p AND month = '2026-11-01'")
    with service.database.read() as session:
        assert different_masks(session, Month(2026, 11), [cadre.person_id for cadre in cadres]) == []
        kept = [session.execute(query, {"p": cadre.person_id}).one() for cadre in cadres]
    return len(statements), [(sure, outside) for sure, outside in kept]


def test_many_are_judged_again_in_as_many_statements_as_few(service: Service, clock: SetClock) -> None:
    clock.set(NOON)
    few, _ = moved_away(service, "500116111", 1)
    many, kept = moved_away(service, "500116112", 7)
    assert many == few
    assert (
        kept == [(day_mask(14), day_mask(15) | day_mask(16))] * 7
    )  # The day before the move stays what it was.


def test_a_posting_follows_its_merged_village(service: Service, clock: SetClock) -> None:
    old, new = make_world(service, town="500116107"), make_world(service, town="500116108")
    clock.set(NOON)
    cadre = make_cadre(service, old)
    with service.database.write() as session:
        session.execute(
            sa.text(
                "INSERT INTO region_successors (from_code, to_code, from_day) VALUES (:a, :b, '2026-11-16')"
            ),
            {"a": old.village, "b": new.village},
        )
        add_version(session, new.zone_id, "新村", box(106.30, 28.90, 106.32, 28.92), valid_from=LONG_AGO)
    there = position(lon=106.3101234, lat=28.9101234)
    with service.as_(cadre.token) as client:
        today = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(NOON, position=there)).json()
        yesterday = client.put(
            f"/v1/check-ins/{ids.new_id()}",
            json=check_in(NOON - timedelta(days=1), sent=NOON, position=there),
        ).json()
    assert (today["verdict"], yesterday["verdict"]) == ("inside", "outside")  # edge 48


def test_two_postings_at_once_are_judged_against_their_union(service: Service, clock: SetClock) -> None:
    one, other = make_world(service, town="500116109"), make_world(service, town="500116110")
    clock.set(NOON)
    cadre = make_cadre(service, one)
    with service.database.write() as session:
        add_version(session, other.zone_id, "邻村", box(106.22, 28.90, 106.24, 28.92), valid_from=LONG_AGO)
        session.execute(
            sa.text(
                "INSERT INTO postings (id, person_id, village_code, role, from_day, version)"
                " VALUES (:i, :p, :v, 'member', :d, 1)"
            ),
            {"i": uuid4(), "p": cadre.person_id, "v": other.village, "d": date(2026, 11, 1)},
        )
    border = position(lon=106.2200001, lat=28.9080001, accuracy_m=60.0)
    with service.as_(cadre.token) as client:
        body = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(NOON, position=border)).json()
    assert body["verdict"] == "inside"  # edges 27, 73, 74: an inner border is never unsure.
    assert body["month"]["due"] == 30
