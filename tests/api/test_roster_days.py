"""What follows from postings: extra places, posted days, listeners, records, and deeds at the same time."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_places import make_zone
from factories_roster import (
    DISTRICT,
    FAR,
    HOME,
    NEXT,
    OTHER_TOWN,
    TOWN,
    World,
    at_once,
    make_person,
    make_place,
    make_posting,
    posted,
    posting_body,
    roster_world,
)

from server import ids
from server.access import Role
from server.audit import AuditEntry
from server.roster import days, hooks
from server.roster.models import Posting, PostingVersion


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


# --- extra places
def test_a_posting_gets_an_extra_place_for_a_time(world: World) -> None:
    # edge 51
    person = world.person(None)
    made = posted(world, person)
    with world.service.database.write() as session:
        zone = make_zone(session, HOME, name="夏季牧场", reference="P1", kind="duty_place")  # type: ignore[arg-type]
    given = {
        "id": str(ids.new_id()),
        "zone_id": str(zone.id),
        "from_day": "2025-06-01",
        "until_day": "2025-08-31",
    }
    path = f"/v1/postings/{made['id']}/places"
    answer = world.district.post(path, json=given)
    assert (answer.status_code, answer.json()["places"][0]["zone_name"]) == (201, "夏季牧场")
    assert world.district.post(path, json=given).status_code == 200
    twice = world.district.post(path, json={**given, "id": str(ids.new_id()), "from_day": "2025-08-31"})
    assert twice.json()["code"] in {"posting-place-overlap", "invalid-request"}
    later = {**given, "id": str(ids.new_id()), "from_day": "2025-08-31", "until_day": None}
    assert world.district.post(path, json=later).json()["code"] == "posting-place-overlap"
    asked = [(person, date(2025, 5, 31)), (person, date(2025, 6, 1)), (person, date(2025, 9, 1))]
    with world.service.database.read() as session:
        found = days.active_postings(session, asked)
    assert [each.zone_ids for each in found] == [(), (zone.id,), ()]
    ended = world.district.post(f"{path}/{given['id']}/end", json={"until_day": "2025-05-31"})
    assert ended.status_code == 200, ended.text
    with world.service.database.read() as session:
        assert days.active_postings(session, [(person, date(2025, 6, 1))])[0].zone_ids == ()
    assert world.town.post(path, json=given).status_code == 403
    assert world.other_district.post(path, json=given).status_code == 404


@pytest.mark.parametrize("kind", ["town_seat", "urban"])
def test_a_town_seat_is_no_extra_place(world: World, kind: str) -> None:
    made = posted(world, world.person(None))
    with world.service.database.write() as session:
        zone = make_zone(session, HOME, name="场镇", reference=kind, kind=kind)  # type: ignore[arg-type]
    given = {"id": str(ids.new_id()), "zone_id": str(zone.id), "from_day": "2025-06-01"}
    answer = world.district.post(f"/v1/postings/{made['id']}/places", json=given)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "not-a-place")


# --- what others are told
@pytest.fixture
def told() -> Iterator[list[tuple[UUID, date, date | None]]]:
    heard: list[tuple[UUID, date, date | None]] = []
    hooks.install("test", lambda _session, person, first, last: heard.append((person, first, last)))
    yield heard
    hooks.install("test", None)


def test_changes_of_past_days_are_told_and_only_those_days(
    world: World, told: list[Any], clock: SetClock
) -> None:
    # ruling 10
    clock.set("2025-08-01T02:00:00+00:00")
    client = world.client(Role.DISTRICT, DISTRICT)
    person = world.person(None)
    made = client.post("/v1/postings", json=posting_body(person, from_day="2025-03-01")).json()
    path, any_version = f"/v1/postings/{made['id']}", {"If-Match": "*"}
    client.patch(path, json={"from_day": "2025-02-20", "reason": "x"}, headers=any_version)
    client.post(f"{path}/end", json={"until_day": "2025-06-30", "reason": "other"}, headers=any_version)
    client.patch(path, json={"until_day": "2025-06-15", "reason": "x"}, headers=any_version)
    client.patch(path, json={"role": "first_secretary", "reason": "x"}, headers=any_version)
    assert [(first, last) for _, first, last in told] == [
        (date(2025, 3, 1), None),
        (date(2025, 2, 20), date(2025, 2, 28)),
        (date(2025, 7, 1), None),
        (date(2025, 6, 16), date(2025, 6, 30)),
    ]
    client.post("/v1/postings", json=posting_body(person, FAR, from_day="2025-08-02"))
    assert len(told) == 4


def test_a_listener_that_fails_undoes_the_change(world: World) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no")

    person = world.person(None)
    client = world.client(Role.DISTRICT, DISTRICT)  # Its connection ends with the crash.
    hooks.install("test", refuse)
    try:
        answer = client.post("/v1/postings", json=posting_body(person))
    finally:
        hooks.install("test", None)
    assert answer.status_code == 500
    with world.service.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Posting.person_id == person)) == 0


# --- at the same time
def test_two_officers_posting_the_same_person_at_once_make_one_posting(world: World) -> None:
    other = world.client(Role.DISTRICT, DISTRICT)
    for _ in range(5):
        person = world.person(None)
        one, two = posting_body(person), posting_body(person)
        answers = at_once(
            [
                partial(world.district.post, "/v1/postings", json=one),
                partial(other.post, "/v1/postings", json=two),
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_two_officers_ending_at_once_the_first_wins(world: World) -> None:
    # edge 101
    other = world.client(Role.DISTRICT, DISTRICT)
    for _ in range(5):
        made = posted(world, world.person(None))
        path, match = f"/v1/postings/{made['id']}/end", {"If-Match": '"1"'}
        answers = at_once(
            [
                partial(client.post, path, json={"until_day": day, "reason": "other"}, headers=match)
                for client, day in ((world.district, "2025-06-30"), (other, "2025-07-31"))
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        winner = next(answer for answer in answers if answer.status_code == 200).json()
        loser = next(answer for answer in answers if answer.status_code == 409).json()
        assert loser["decision"]["until_day"] == winner["until_day"]


def test_the_same_posting_sent_twice_at_once_is_stored_once(world: World) -> None:
    given = posting_body(world.person(None))
    answers = at_once([lambda: world.district.post("/v1/postings", json=given)] * 3)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]


# --- records
def test_history_cannot_be_changed_by_the_service(world: World) -> None:
    database = world.service.app.state.database
    for statement in (
        sa.update(PostingVersion).values(reason="x"),
        sa.delete(PostingVersion),
        sa.delete(Posting),
    ):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), database.write() as session:
            session.execute(statement)


def test_every_deed_is_in_the_audit_log_without_personal_values(world: World) -> None:
    person = world.person(None)
    made = posted(world, person)
    world.district.patch(f"/v1/people/{person}", json={"phone": "13512345678"}, headers={"If-Match": "*"})
    with world.service.database.read() as session:
        entries = session.scalars(
            sa.select(AuditEntry).where(AuditEntry.subject_id.in_([str(person), made["id"]]))
        ).all()
    assert {entry.deed for entry in entries} == {"posting:begin", "person:change"}
    assert not any("13512345678" in str(entry.details) for entry in entries)


def test_masks_agree_with_a_day_by_day_count(world: World) -> None:
    with world.service.database.write() as session:
        person = make_person(session)
        spans = [
            (HOME, date(2024, 1, 31), date(2024, 2, 1)),
            (NEXT, date(2024, 2, 28), date(2024, 3, 2)),
            (FAR, date(2024, 2, 29), None),
        ]
        for village, first, last in spans:
            make_posting(session, person, village, first, last)
        zone = make_zone(session, HOME, name="另点", reference="P9", kind="duty_place")  # type: ignore[arg-type]
        place = make_place(
            session, make_posting(session, person, HOME, date(2030, 1, 1)), zone.id, date(2030, 1, 1)
        )
        assert place.until_day is None
    with world.service.database.read() as session:
        for month in (date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1), date(2023, 12, 1)):
            got = days.posted_days(session, month, people=[person.id], scope=[TOWN, OTHER_TOWN])
            slow = slow_mask(spans, month)
            assert (got[0].posted if got else 0) == slow, month
        town_only = days.posted_days(session, date(2024, 2, 1), people=[person.id], scope=[TOWN])[0]
        assert town_only.posted_in_scope == slow_mask(spans[:2], date(2024, 2, 1))
        assert town_only.posted == slow_mask(spans, date(2024, 2, 1))
        assert town_only.last_village == FAR


def slow_mask(spans: list[tuple[str, date, date | None]], month: date) -> int:
    """Count day by day, without any formula."""
    mask, day = 0, month
    while day.month == month.month:
        if any(first <= day and (last is None or day <= last) for _, first, last in spans):
            mask |= 3 << (2 * (day.day - 1))
        day += timedelta(days=1)
    return mask
