"""Facts that people enter, through the month: shown with who and why, counted at once, and never drifting from the ledger."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import Service, SetClock
from factories_checkins import FAR, Cadre, World, check_in, make_cadre, make_world, position, renewed
from factories_month import make_fact

from server import ids
from server.compliance.recomputing import different_masks
from server.month import facts, outages
from server.month.masks import Half, Month
from server.month.models import Provenance, SourceKind
from server.month.rules import Sort

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MONTH = Month(2026, 11)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(NOON)


def month_of(service: Service, cadre: Cadre) -> dict[str, Any]:
    with service.as_(renewed(service, cadre).token) as client:
        answer = client.get(f"/v1/me/months/{MONTH}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put(service: Service, cadre: Cadre, at: datetime) -> httpx.Response:
    with service.as_(cadre.token) as client:
        return client.put(f"/v1/check-ins/{ids.new_id(at)}", json=check_in(at))


def day(number: int) -> date:
    return date(2026, 11, number)


def test_each_sort_of_fact_decides_its_days_and_says_who_entered_it_and_why(
    service: Service, world: World
) -> None:
    cadre = make_cadre(service, world)
    states = {
        Sort.CORRECTED_PRESENT: ("corrected-present", 1, 1),
        Sort.CORRECTED_ABSENT: ("corrected-absent", 0, 1),
        Sort.FINDING_SEEN: ("seen-on-site", 1, 1),
        Sort.FINDING_ABSENT: ("found-absent", 0, 1),
        Sort.DUTY: ("on-duty", 1, 1),
        Sort.LEAVE_SHRINKING: ("leave-not-due", 0, 0),
        Sort.LEAVE_COUNTING_NOTHING: ("leave-due", 0, 1),
        Sort.ATTESTED: ("attested", 1, 1),
    }
    assert set(states) == set(Sort)
    with service.database.write() as session:
        sources = {
            sort: make_fact(session, cadre.person_id, sort, day(number))
            for number, sort in enumerate(states, start=1)
        }
        morning = make_fact(session, cadre.person_id, Sort.CORRECTED_PRESENT, day(9), ends=Half.MORNING)
        long = make_fact(
            session, cadre.person_id, Sort.LEAVE_SHRINKING, date(2026, 10, 1), day(10), ends=Half.MORNING
        )
        facts.withdraw(session, (SourceKind.CORRECTION, long), by=None, reason="销假")
        made = outages.record(
            session, outage_id=uuid4(), region_prefix=world.town, first=day(11), last=day(12), reason="光缆中断", by=None
        )  # fmt: skip
    month = month_of(service, cadre)
    for number, (sort, (state, village, due)) in enumerate(states.items(), start=1):
        shown = month["days"][number - 1]
        assert (shown["reasons"], shown["village"], shown["due"]) == ([state], village, due), sort
        (fact,) = shown["facts"]
        told = {
            name: fact[name] for name in ("state", "halves", "source_id", "provenance", "reason", "decided")
        }
        assert told == {
            "state": state, "halves": "day", "source_id": str(sources[sort]), "provenance": "town",
            "reason": "forgot", "decided": True,
        }  # fmt: skip
    half = month["days"][8]
    assert (half["reasons"], half["facts"][0]["halves"], half["facts"][0]["source_id"]) == (
        ["corrected-present", "no-evidence"],
        "morning",
        str(morning),
    )
    assert [each["reasons"] for each in month["days"][9:13]] == [
        ["no-evidence"],
        ["outage"],
        ["outage"],
        ["no-evidence"],
    ]
    (down,) = month["days"][10]["facts"]
    assert (down["source_kind"], down["source_id"], down["text"]) == ("outage", str(made.id), "光缆中断")
    statement = month["statement"]
    assert statement["corrected_days"] == [str(day(each)) for each in (1, 2, 9)]
    assert (statement["attested_days"], statement["outage_days"]) == (
        [str(day(8))],
        [str(day(11)), str(day(12))],
    )


def test_the_phone_is_told_the_month_that_the_month_tells(service: Service) -> None:
    own, other = make_world(service, town="500116102"), make_world(service, town="500116104")
    cadre = make_cadre(service, own)
    with service.database.write() as session:
        make_fact(session, cadre.person_id, Sort.CORRECTED_PRESENT, day(2), day(4), starts=Half.AFTERNOON)
        make_fact(session, cadre.person_id, Sort.LEAVE_SHRINKING, day(5), day(6))
        for town, number in ((own.town, 9), (other.town, 10)):
            outages.record(
                session, outage_id=uuid4(), region_prefix=town, first=day(number), last=day(number), reason="停电", by=None
            )  # fmt: skip
    answer = put(service, cadre, NOON - timedelta(minutes=1))
    assert answer.status_code == 201, answer.text
    told = answer.json()["month"]
    statement = month_of(service, cadre)["statement"]
    assert statement["counted"] == 2.5 + 1 + 1  # Corrected, without service, checked in today.
    assert {name: told[name] for name in ("counted", "need", "due", "tier", "away_at_most")} == {
        name: statement[name] for name in ("counted", "need", "due", "tier", "away_at_most")
    }


def test_an_outage_gives_nothing_to_leave_duty_or_a_position_elsewhere(
    service: Service, world: World
) -> None:  # ruling 3
    """The day counts for everybody posted there without leave, duty or an outside fix that day."""
    down = make_world(service, town="500116103")
    people = {name: make_cadre(service, down) for name in ("none", "leave", "duty", "outside")}
    away = make_cadre(service, world)
    at = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
    with service.database.write() as session:
        make_fact(session, people["leave"].person_id, Sort.LEAVE_COUNTING_NOTHING, at.date())
        make_fact(session, people["duty"].person_id, Sort.DUTY, at.date())
        for first in (at.date(), day(3)):
            outages.record(
                session, outage_id=uuid4(), region_prefix=down.village, first=first, last=first, reason="停电", by=None
            )  # fmt: skip
    with service.as_(people["outside"].token) as client:
        sent = client.put(
            f"/v1/check-ins/{ids.new_id()}", json=check_in(at, sent=NOON, position=position(**FAR))
        ).json()
    assert sent["verdict"] == "outside", sent["reason"]
    found = {name: month_of(service, cadre)["days"] for name, cadre in people.items()}
    assert {name: days[17]["reasons"] for name, days in found.items()} == {
        "none": ["outage"], "leave": ["leave-due"], "duty": ["on-duty"], "outside": ["outside-only"],
    }  # fmt: skip
    assert [days[2]["reasons"] for days in found.values()] == [["outage"]] * 4
    assert month_of(service, away)["days"][17]["reasons"] == ["no-evidence"]


def test_facts_recorded_and_withdrawn_at_once_beside_check_ins_leave_what_the_ledger_says(
    service: Service, world: World
) -> None:
    people = [make_cadre(service, world) for _ in range(3)]

    def enter(number: int) -> None:
        at = NOON - timedelta(days=number % 4, minutes=number)
        source = SourceKind.CORRECTION, uuid4()
        one, other = people[number % 3], people[(number + 1) % 3]
        several = [
            facts.Fact(
                person_id=cadre.person_id,
                sort=list(Sort)[number % len(Sort)],
                span=facts.Span(day(number), day(number + 9)),
                source=source,
                provenance=Provenance.SYSTEM,
            )
            for cadre in (one, other)
        ]
        with service.database.write() as session:
            facts.record(session, several)
        assert put(service, one, at).status_code == 201
        if number % 3:
            with service.database.write() as session:
                facts.withdraw(session, source, by=None, reason="误录")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(1, 21)))
    with service.database.read() as session:
        assert different_masks(session, MONTH) == []
    left = [each for each in range(1, 21) if each % 3 == 0 and list(Sort)[each % len(Sort)] == Sort.DUTY]
    assert left == [12]  # Of number 12, days 12 to 21, persons 0 and 1.
    duty = [
        number
        for number, shown in enumerate(month_of(service, people[0])["days"], start=1)
        if any(fact["state"] == "on-duty" for fact in shown["facts"])
    ]
    assert duty == list(range(12, 22))
