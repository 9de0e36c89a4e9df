"""Check-ins that one phone's key signed for several people, and a key in place of another: noticed, told, counted (edges 70, 71)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Service, SetClock
from factories_checkins import Cadre, World, check_in, make_cadre, make_world
from factories_devices import Keyed, PhoneKey, bound, sealed
from factories_review import CLIENT, assess, assessments, honest, officer

from server import ids
from server.access import Role

MORNING = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def with_phone(
    service: Service, clock: SetClock, world: World, at: datetime, key: PhoneKey | None = None
) -> tuple[Cadre, Keyed]:
    """Return somebody new whose account has this key, or one of their own, since an instant."""
    clock.set(at)
    cadre = make_cadre(service, world)
    return cadre, bound(service, cadre.account, key)


def signed_tap(
    clock: SetClock, who: tuple[Cadre, Keyed], at: datetime, number: int, *, sent: datetime | None = None
) -> UUID:
    """Check in with the phone's signature, sent two seconds later or at `sent`."""
    cadre, keyed = who
    clock.set(sent or at + timedelta(seconds=2))
    assert keyed.renew().is_success
    one = ids.new_id()
    body = check_in(at, sent=sent, position=honest(number), client=CLIENT)
    answer = keyed.send(
        "PUT", f"/v1/check-ins/{one}", json=sealed(keyed.key, cadre.person_id, one, body), sign=False
    )
    assert (answer.status_code, answer.json()["verdict"]) == (201, "inside"), answer.text
    return one


def seen(service: Service, one: UUID) -> list[list[str]]:
    """Return the signals of a check-in, revision by revision."""
    return [codes for _, _, codes in assessments(service)[one]]


def read(keyed: Keyed, one: UUID) -> dict[str, Any]:
    assert keyed.renew().is_success
    found: dict[str, Any] = keyed.send("GET", f"/v1/check-ins/{one}").json()
    return found


def test_a_borrowed_phone_is_noticed_and_both_check_ins_count(
    service: Service, clock: SetClock, world: World
) -> None:
    key = PhoneKey()
    lender, borrower = (with_phone(service, clock, world, MORNING - HOUR, key) for _ in range(2))
    apart = with_phone(service, clock, world, MORNING - HOUR)
    first = signed_tap(clock, lender, MORNING, 1)
    lent = signed_tap(clock, borrower, MORNING + HOUR, 2)
    own = signed_tap(clock, apart, MORNING + HOUR, 3)
    assess(service)
    assert [seen(service, each) for each in (first, lent, own)] == [[[]], [["shared-device"]], [[]]]
    day_later = signed_tap(clock, borrower, MORNING + 26 * HOUR, 4)
    assess(service)
    assert seen(service, day_later) == [[]]
    for (_, keyed), one in ((lender, first), (borrower, lent)):
        assert (read(keyed, one)["standing"], read(keyed, one)["judged_again"]) == ("counted", None)


def test_who_lent_the_phone_sends_late_and_the_other_is_seen_again(
    service: Service, clock: SetClock, world: World
) -> None:
    key, begin = PhoneKey(), MORNING + 10 * 24 * HOUR
    lender, borrower = (with_phone(service, clock, world, begin - HOUR, key) for _ in range(2))
    lent = signed_tap(clock, borrower, begin + HOUR, 5)
    assess(service)
    first = signed_tap(clock, lender, begin, 6, sent=begin + 5 * HOUR)
    assess(service)
    assert seen(service, lent) == [[], ["shared-device"]]
    assert seen(service, first)[-1] == []


def test_a_key_in_place_of_another_is_new_for_a_day_and_a_first_one_is_not(
    service: Service, clock: SetClock, world: World
) -> None:
    begin = MORNING + 20 * 24 * HOUR
    cadre, _ = with_phone(service, clock, world, begin - 48 * HOUR)
    clock.set(begin)
    new = (cadre, bound(service, cadre.account))
    other = with_phone(service, clock, world, begin)
    fresh = [signed_tap(clock, each, begin + HOUR, 7 + at) for at, each in enumerate((new, other))]
    later = signed_tap(clock, new, begin + 25 * HOUR, 9)
    assess(service)
    assert [seen(service, each) for each in (*fresh, later)] == [[["new-device"]], [[]], [[]]]


def test_a_reviewer_sees_which_check_ins_one_phone_signed_and_not_whose_they_are(
    service: Service, clock: SetClock, world: World
) -> None:
    key, begin = PhoneKey(), MORNING + 30 * 24 * HOUR
    lender, borrower = (with_phone(service, clock, world, begin - HOUR, key) for _ in range(2))
    first = signed_tap(clock, lender, begin, 11)
    cadre, keyed = borrower
    clock.set(begin + HOUR + timedelta(seconds=2))
    assert keyed.renew().is_success
    lent = ids.new_id()
    body = check_in(begin + HOUR, position=honest(12, mocked=True), client=CLIENT)
    path = f"/v1/check-ins/{lent}"
    assert keyed.send("PUT", path, json=sealed(key, cadre.person_id, lent, body), sign=False).is_success
    assess(service)
    with officer(service, Role.TOWN, world.town) as town:
        (item,) = [
            each
            for each in town.get("/v1/reviews").json()["items"]
            if each["person"]["id"] == str(cadre.person_id)
        ]
    (shared,) = [each for each in item["signals"] if each["code"] == "shared-device"]
    assert (shared["check_ins"], shared["own_days"]) == ([str(first)], [])
    assert key.jkt not in str(item)
    assert str(lender[0].person_id) not in str(item)
