"""Double taps (edge 66): found when they are read, and in a time that does not grow with the square of their number."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, renewed
from factories_month import make_check_in

from server import clock, ids
from server.checkins import queries
from server.checkins.models import CheckInRow

MANY = 5_000
DAY = date(2026, 11, 16)
TWO_MINUTES = timedelta(minutes=2)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(scope="module")
def busy(service: Service, world: World) -> Cadre:
    """Return a cadre whose phone checked in 5,000 times in a day, every 16 seconds."""
    cadre = make_cadre(service, world)
    first = datetime(2026, 11, 15, 16, 1, tzinfo=UTC)
    with service.database.write() as session:
        made = make_check_in(session, cadre.person_id, DAY, at="00:00")
        session.flush()
        row = session.get_one(CheckInRow, (cadre.person_id, made))
        same = {column.key: getattr(row, column.key) for column in sa.inspect(CheckInRow).columns}
        del same["seq"]
        rows = []
        for number in range(1, MANY):
            at = first + timedelta(seconds=16 * number)
            moments = dict.fromkeys(("event_at", "sent_at", "received_at"), at)
            kind = ("day", "arrive")[number % 7 == 0]
            rows.append({**same, **moments, "id": UUID(int=made.int + number), "kind": kind})
        session.execute(sa.insert(CheckInRow), rows)
    with service.database.write() as session:
        session.execute(sa.text("ANALYZE checkin_rows"))
    return cadre


def repeated(seen: Sequence[queries.Seen]) -> dict[UUID, UUID]:
    return {each.checkin.id: each.duplicate_of for each in seen if each.duplicate_of is not None}


def oracle(seen: Sequence[queries.Seen]) -> dict[UUID, UUID]:
    """Say it plainly: the first of its kind within two minutes before. Here all are of one day, and 16 s apart."""
    made = [each.checkin for each in seen]
    found = {}
    for place, tap in enumerate(made):
        near = made[max(0, place - 10) : place]
        alike = [one.id for one in near if one.kind == tap.kind and tap.event_at - one.event_at < TWO_MINUTES]
        if alike:
            found[tap.id] = alike[0]
    return found


def test_thousands_in_a_day_are_read_in_one_pass(service: Service, busy: Cadre) -> None:
    """It took ten seconds when each looked for its own predecessors among all the others."""
    with service.database.read() as session:
        began = time.perf_counter()
        seen = queries.of_days(session, busy.person_id, DAY, DAY)
        took = time.perf_counter() - began
    assert (len(seen), repeated(seen)) == (MANY, oracle(seen))
    assert len(repeated(seen)) > MANY * 0.8
    assert took < 4, f"{took:.1f} s"


@pytest.mark.parametrize("limit", [1, 3, 50, 200])
def test_a_page_says_what_the_whole_day_says(service: Service, busy: Cadre, limit: int) -> None:
    with service.database.read() as session:
        whole = repeated(queries.of_days(session, busy.person_id, DAY, DAY))
        before: tuple[UUID] | None = None
        for _ in range(3):
            page = queries.own_page(session, busy.person_id, before, limit)
            assert repeated(page) == {
                each.checkin.id: whole[each.checkin.id] for each in page if each.checkin.id in whole
            }
            before = (page[limit - 1].checkin.id,)
        single = queries.access_own(session, busy.person_id, page[0].checkin.id)
    assert single.duplicate_of == page[0].duplicate_of


def test_the_list_and_the_month_of_a_phone_in_a_loop_are_shown(
    service: Service, busy: Cadre, clock: SetClock
) -> None:
    clock.set(datetime(2026, 11, 16, 15, 0, tzinfo=UTC))
    began = time.perf_counter()
    with service.as_(renewed(service, busy).token) as client:
        listed = client.get("/v1/check-ins", params={"limit": 200}).json()["items"]
        month = client.get("/v1/me/months/2026-11").json()
    assert sum(item["duplicate_of"] is not None for item in listed) > 150
    records = month["days"][DAY.day - 1]["records"]
    assert (len(records), records[0]["duplicate_of"]) == (MANY, None)
    assert records[1]["duplicate_of"] == records[0]["id"]
    assert time.perf_counter() - began < 6


def test_a_neighbours_tap_in_the_same_minute_is_no_repetition(service: Service, world: World) -> None:
    for cadre in (make_cadre(service, world), make_cadre(service, world)):
        with service.as_(cadre.token) as client:
            made = ids.new_id()
            client.put(f"/v1/check-ins/{made}", json=check_in(clock.now())).raise_for_status()
            (shown,) = client.get("/v1/check-ins").json()["items"]
            assert (shown["id"], shown["duplicate_of"]) == (str(made), None)
            assert client.get(f"/v1/check-ins/{made}").json()["duplicate_of"] is None
