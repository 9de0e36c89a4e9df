"""Check-ins sent over HTTP, assessed by the worker: what is noticed, what is not, and that nothing is lost or doubled."""

import ast
import contextlib
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import Cadre, World, make_cadre, make_world
from factories_review import assess, assessments, honest, tap

from server.checkins.plausibility.policy import TrustPolicy, to_document
from server.db import Database
from server.review import assessing, consequences, policies
from server.review.assessing import Done

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SPOT: dict[str, Any] = {"lon": 106.2071233, "lat": 28.9081239}


_MORNINGS = (datetime(2026, 1, 5, 1, 0, tzinfo=UTC) + number * timedelta(days=70) for number in count())


@pytest.fixture
def morning() -> datetime:
    """Return the morning on which a test begins: time goes on from test to test, as it does for a scheduler."""
    return next(_MORNINGS)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def codes(service: Service, one: UUID) -> tuple[str, list[str]]:
    """Return the band and the signals that a check-in has now."""
    _, band, found = assessments(service)[one][-1]
    return band, found


def test_an_impossible_jump_is_noticed_and_a_cached_fix_from_home_is_not(
    service: Service, clock: SetClock, world: World, morning: datetime
) -> None:
    flies, rests = make_cadre(service, world), make_cadre(service, world)
    far: dict[str, Any] = {"lon": 116.4, "lat": 39.9}
    tap(service, clock, flies, morning, honest(1, **far))
    jump = tap(service, clock, flies, morning + 30 * MINUTE, honest(2))
    tap(service, clock, rests, morning, honest(3, age_s=86_400 * 2, **far))
    cached = tap(service, clock, rests, morning + 30 * MINUTE, honest(4))
    assess(service)
    assert codes(service, jump) == ("sampled", ["impossible"])
    assert codes(service, cached) == ("none", [])


def test_one_point_on_many_days_is_noticed_and_towers_and_few_decimals_are_not(
    service: Service, clock: SetClock, world: World, morning: datetime
) -> None:
    replays, tower, rounded = (make_cadre(service, world) for _ in range(3))
    network: dict[str, Any] = {"provider": "network", "accuracy_m": 300.0, "altitude_m": None, **SPOT}
    for day in range(6):
        at = morning + day * DAY
        one = tap(service, clock, replays, at, honest(day, **SPOT))
        two = tap(service, clock, tower, at + MINUTE, honest(day, **network))
        three = tap(service, clock, rounded, at + 2 * MINUTE, honest(day, lon=106.20712, lat=28.90812))
    assess(service)
    band, found = codes(service, one)
    assert "same-point" in found
    assert band == "sampled"
    assert codes(service, two) == ("none", [])
    assert codes(service, three) == ("none", [])  # Five decimals coincide by chance: nobody is asked.


def test_one_phone_for_two_people_is_noticed_by_the_fixes_that_they_share(
    service: Service, clock: SetClock, world: World, morning: datetime
) -> None:
    first, second = make_cadre(service, world), make_cadre(service, world)
    for day in range(3):
        at, fix = morning + day * DAY, honest(day, who=9)
        tap(service, clock, first, at, fix | {"age_s": 5.0})
        last = tap(service, clock, second, at + 20 * timedelta(seconds=1), fix | {"age_s": 25.0})
    assess(service)
    band, found = codes(service, last)
    assert (band, found) == ("sampled", ["shared-fix"])


def traces(days: int) -> list[tuple[timedelta, dict[str, Any]]]:
    """Return a month of which some days repeat a point, one is mocked, one is far away, one comes from a cache."""
    found = [(day * DAY, honest(day, who=3)) for day in range(days)]
    for day in (2, 3, 5, 8):
        found[day] = (day * DAY, honest(day, who=3, lon=106.2071277, lat=28.9081277))
    found[4] = (4 * DAY, honest(4, who=3, mocked=True))
    found.append((6 * DAY + HOUR, honest(66, who=3, lon=116.4, lat=39.9)))
    found.append((7 * DAY + HOUR, honest(67, who=3, age_s=3600.0)))
    return found


def sent(
    service: Service,
    clock: SetClock,
    cadre: Cadre,
    morning: datetime,
    taps: Sequence[tuple[timedelta, dict[str, Any]]],
    batch: int,
) -> list[tuple[timedelta, int, str, list[str]]]:
    """Send taps in this order after the last of them, with the worker in between; return how they stand then."""
    made: dict[UUID, timedelta] = {}
    for number, (at, fix) in enumerate(taps):
        received = morning + 12 * DAY + number * MINUTE
        made[tap(service, clock, cadre, morning + at, fix, sent=received)] = at
        if number % batch == 0:
            assess(service)
    assess(service)
    found = assessments(service)
    return sorted((made[key], *found[key][-1]) for key in made)


def test_in_whatever_order_check_ins_come_they_are_seen_alike(
    service: Service, clock: SetClock, world: World, morning: datetime
) -> None:
    # edge 55: a queue that was offline comes in any order, and what it changes is seen again.
    every = traces(10)
    straight = sent(service, clock, make_cadre(service, world), morning, every, 100)
    assert {band for _, _, band, _ in straight} == {"none", "sampled", "review"}
    for seed, batch in ((1, 1), (2, 3), (3, 4)):
        shuffled = random.Random(seed).sample(every, len(every))
        later = morning + seed * 70 * DAY
        assert sent(service, clock, make_cadre(service, world), later, shuffled, batch) == straight
        next(_MORNINGS)
    assert max(len(each) for each in assessments(service).values()) > 1


def test_two_schedulers_at_once_and_one_that_fails_lose_and_double_nothing(
    service: Service, clock: SetClock, world: World, morning: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cadre = make_cadre(service, world)
    made = [tap(service, clock, cadre, morning + day * DAY, honest(day, who=5)) for day in range(8)]
    monkeypatch.setattr(assessing, "MOST", 3)
    real = assessing._store  # noqa: SLF001  Where a process may die is inside.
    failures = iter([True, False, True, False])

    def sometimes(*given: Any) -> None:
        real(*given)
        if next(failures, False):
            raise RuntimeError("the process dies here")

    monkeypatch.setattr(assessing, "_store", sometimes)

    def scheduler(_: int) -> None:
        database = Database(service.cloned.app_url, pool_size=1, statement_timeout_s=60)
        for _ in range(6):
            with contextlib.suppress(RuntimeError):
                assessing.catch_up(database)
        database.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(scheduler, range(3)))
    monkeypatch.setattr(assessing, "_store", real)
    assess(service)
    found = assessments(service)
    assert [len(found[each]) for each in made] == [1] * 8


def test_what_was_answered_with_success_is_stored_whatever_its_score(service: Service) -> None:
    # M24: as many check-ins as phones were told of, each assessed, none deleted and none rejected but by a person.
    query = """SELECT (SELECT count(*) FROM checkin_rows), (SELECT count(DISTINCT seq) FROM checkin_assessments),
    (SELECT count(*) FROM checkin_judgements), (SELECT count(*) FROM checkin_withdrawals)"""
    with service.database.read() as session:
        stored, assessed, judged, withdrawn = session.execute(sa.text(query)).one()
    assert stored == assessed == SENT
    assert (judged, withdrawn) == (0, 0)


SENT = 4 + 18 + 6 + 4 * len(traces(10)) + 8
"""What the tests above sent, each answered with 201."""


def test_another_document_holds_from_its_adoption_on_and_tells_before_what_it_would_do(
    service: Service, clock: SetClock, world: World, morning: datetime
) -> None:
    cadre = make_cadre(service, world)
    strict = {**to_document(TrustPolicy()), "label": "strict", "sampled_percent": 100}
    with service.database.read() as session:
        told = consequences.of(session, policies.read(strict), morning - 9999 * DAY)
    assert told.assessed == SENT
    assert told.asked_after > told.asked_before
    assert told.people
    with service.database.write() as session:
        version = policies.adopt(session, strict, reason="试行", by="某人").version
    for day in range(3):
        one = tap(service, clock, cadre, morning + day * DAY, honest(day, who=8, **SPOT))
    assert assess(service).opened >= 1
    query = """SELECT p.version, a.drawn FROM checkin_assessments a JOIN plausibility_policies p ON p.id = a.policy
    JOIN checkin_rows r USING (seq) WHERE r.id = :one"""
    with service.database.read() as session:
        assert session.execute(sa.text(query), {"one": one}).one() == (version, True)


def test_while_many_check_ins_come_the_worker_waits_but_not_for_ever(
    service: Service, clock: SetClock, world: World, morning: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assessing, "RUSH", 3)
    monkeypatch.setattr(assessing, "MOST", 2)
    cadre = make_cadre(service, world)

    def came(since: timedelta) -> Done:
        for second in range(3):
            tap(service, clock, cadre, morning + since + second * timedelta(seconds=1), honest(second, who=9))
        return assess(service, gives_way=True)

    clock.set(morning)
    assess(service)
    assert came(MINUTE).taken == 0
    clock.set(morning + 2 * MINUTE)
    assert assess(service, gives_way=True).taken == 3
    assert came(2 * HOUR).taken == 2  # Behind by more than an hour: a batch, and no more while they come.
    clock.set(morning + 3 * HOUR)
    assert assess(service, gives_way=True).taken == 1


_WRITERS = {"assessing", "inbox", "gathering", "fleet", "policies", "consequences"}
"""The modules that know scores."""
_DECIDERS = ("server.checkins.decisions", "server.checkins.service", "server.review.service")


def test_no_way_leads_from_a_score_to_a_deletion_or_a_rejection() -> None:
    # M24: what knows scores imports nothing that decides, deletes no check-in, and what decides reads no score.
    room = Path(assessing.__file__).parent
    for name in _WRITERS:
        text = (room / f"{name}.py").read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                for each in node.names:
                    assert f"{node.module}.{each.name}" not in _DECIDERS, name
                    assert node.module not in _DECIDERS, name
        assert "DELETE FROM checkin_" not in text.replace("DELETE FROM checkin_spots", "")
    for decides in (room / "service.py", room.parent / "checkins" / "decisions.py"):
        text = decides.read_text("utf-8")
        assert "score" not in text.split('"""', 2)[2], decides
        assert "Assessment" not in text, decides


def test_the_application_role_cannot_delete_what_was_assessed(service: Service) -> None:
    with contextlib.closing(Database(service.cloned.app_url, pool_size=1)) as database:
        for table in ("checkin_rows", "checkin_assessments", "review_turns", "review_items"):
            with (
                pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
                database.write() as session,
            ):
                session.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608  A list of ours.
