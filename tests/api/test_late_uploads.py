"""What a phone sends after its month's grace day: kept, shown, changing nothing by itself, and never lost (edges 24, 58)."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import FAR, check_in, make_world, position
from factories_corrections import Desk, make_officers
from factories_month import make_policy

from server import ids, scheduler
from server.checkins import decisions
from server.checkins.rejudging import Judgements
from server.compliance.recomputing import different_masks
from server.month.masks import Month
from server.roster.models import Posting

OCTOBER = "2026-10"
TAPPED = datetime(2026, 10, 31, 4, 0, tzinfo=UTC)
IN_TIME = datetime(2026, 11, 2, 15, 59, 59, tzinfo=UTC)
"""The end of the grace day in Beijing."""


@pytest.fixture(scope="module")
def desk(service: Service) -> Iterator[Desk]:
    with service.database.write() as session:
        make_policy(session, grace_day=2)
    world = make_world(service, policy=False)
    with Desk(service, world, make_officers(service, world)) as made:
        yield made


def send(desk: Desk, clock: SetClock, at: datetime, *, now: datetime, **changes: Any) -> UUID:
    clock.set(now)
    desk.refresh()
    key = ids.new_id()
    answer = desk.clients["cadre"].put(f"/v1/check-ins/{key}", json=check_in(at, sent=now, **changes))
    assert answer.status_code == 201, answer.text
    return key


def night(desk: Desk, clock: SetClock) -> int:
    with desk.service.database.write() as session:
        opened = scheduler.open_late_cases(session, clock().date())["opened"]
    assert isinstance(opened, int)
    return opened


def cases(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.clients["cadre"].get("/v1/me/sync").json()["requests"]["corrections"]
    return found


def last_day(desk: Desk) -> dict[str, Any]:
    return desk.days(OCTOBER)[30]


def test_until_the_end_of_the_grace_day_it_counts_by_itself(desk: Desk, clock: SetClock) -> None:
    desk.another()
    send(desk, clock, TAPPED, now=IN_TIME)
    assert (last_day(desk)["reasons"], night(desk, clock), cases(desk)) == (["checked-in"], 0, [])


def test_a_second_later_the_day_stays_and_a_case_waits_for_the_town(desk: Desk, clock: SetClock) -> None:
    desk.another()
    key = send(desk, clock, TAPPED, now=IN_TIME + timedelta(seconds=1))
    day = last_day(desk)
    assert (day["reasons"], day["village"]) == (["claimed"], 0)
    assert [(each["verdict"], each["standing"]) for each in day["records"]] == [("inside", "claimed")]
    assert (night(desk, clock), night(desk, clock)) == (1, 0)
    [case] = cases(desk)
    assert (case["day"], case["provenance"], case["level"], case["check_ins"], case["state"]) == (
        "2026-10-31", "system", "town", [str(key)], "open",
    )  # fmt: skip
    assert desk.decide(case, "town").json()["state"] == "approved"
    day = last_day(desk)
    assert (day["reasons"], day["village"], day["records"][0]["standing"]) == (
        ["corrected-present"],
        1,
        "claimed",
    )
    assert night(desk, clock) == 0
    with desk.service.database.read() as session:
        assert different_masks(session, Month(2026, 10), [desk.person]) == []


def test_a_refused_case_is_opened_again_only_by_another_check_in(desk: Desk, clock: SetClock) -> None:
    desk.another()
    late = IN_TIME + timedelta(hours=1)
    send(desk, clock, TAPPED, now=late)
    assert night(desk, clock) == 1
    desk.decide(cases(desk)[0], "town", approve=False)
    assert night(desk, clock) == 0
    another = send(desk, clock, TAPPED + timedelta(hours=1), now=late + timedelta(hours=1))
    assert night(desk, clock) == 1
    assert str(another) in cases(desk)[-1]["check_ins"]


def test_what_would_not_have_counted_and_what_counts_anyway_open_nothing(desk: Desk, clock: SetClock) -> None:
    desk.another()
    late = IN_TIME + timedelta(hours=1)
    send(desk, clock, TAPPED, now=IN_TIME)
    send(desk, clock, TAPPED + timedelta(hours=1), now=late)  # The day counts.
    outside = TAPPED - timedelta(days=1) + timedelta(hours=14)
    send(desk, clock, outside, now=late, position=position(**FAR))
    withdrawn = send(desk, clock, outside - timedelta(minutes=5), now=late)
    desk.clients["cadre"].post(
        f"/v1/check-ins/{withdrawn}/withdraw", json={"reason": "误点"}
    ).raise_for_status()
    assert night(desk, clock) == 0
    assert [each["day"] for each in cases(desk)] == []
    assert last_day(desk)["reasons"] == ["checked-in"]


def test_judged_again_after_a_late_roster_entry_it_is_late_or_not_by_when_it_arrived(
    desk: Desk, clock: SetClock
) -> None:  # ruling 10
    desk.another()
    with desk.service.database.write() as session:
        posting = session.scalars(sa.select(Posting).where(Posting.person_id == desk.person)).one()
        posting.from_day = date(2026, 11, 1)
    send(desk, clock, TAPPED - timedelta(days=1), now=TAPPED + timedelta(days=1, hours=23))
    send(desk, clock, TAPPED, now=IN_TIME + timedelta(hours=1))
    with desk.service.database.write() as session:
        session.get_one(Posting, posting.id).from_day = date(2026, 10, 1)
        Judgements().postings_changed(session, desk.person, date(2026, 10, 1), None)
    before, after = desk.days(OCTOBER)[29:]
    assert (before["reasons"], after["reasons"]) == (["checked-in"], ["claimed"])
    assert night(desk, clock) == 1
    assert [each["day"] for each in cases(desk)] == ["2026-10-31"]


def test_lifted_after_a_rejection_what_came_after_the_grace_day_is_a_claim_again(
    desk: Desk, clock: SetClock
) -> None:  # edge 58
    desk.another()
    with desk.service.database.write() as session:
        posting = session.scalars(sa.select(Posting).where(Posting.person_id == desk.person)).one()
        posting.from_day = date(2026, 11, 1)
    late = send(
        desk, clock, TAPPED, now=IN_TIME + timedelta(hours=1)
    )  # Not posted then, as far as was known.
    with desk.service.database.write() as session:
        session.get_one(Posting, posting.id).from_day = date(2026, 10, 1)
        Judgements().postings_changed(session, desk.person, date(2026, 10, 1), None)
        assert decisions.reject(session, desk.person, [late], ids.new_id()) == [late]
        assert decisions.reinstate(session, desk.person, [late]) == [late]
    day = last_day(desk)
    assert (day["reasons"], [each["standing"] for each in day["records"]]) == (["claimed"], ["claimed"])
