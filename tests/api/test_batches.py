"""A phone's queue in one request: every check-in of it is taken and refused as if it had come alone."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from conftest import Clone, Service, SetClock, running_service
from factories_checkins import (
    FAR,
    TOWN_POINT,
    Cadre,
    World,
    check_in,
    make_cadre,
    make_world,
    position,
    renewed,
)
from hypothesis import given
from hypothesis import strategies as st

from server import ids
from server.checkins import batches

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)  # 12:00 in Beijing.
Json = dict[str, Any]


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def noon(clock: SetClock) -> datetime:
    clock.set(NOON)
    return NOON


@pytest.fixture
def cadre(service: Service, world: World, noon: datetime) -> Cadre:  # noqa: ARG001  A token of the clock's present.
    return make_cadre(service, world)


def queued(at: datetime, one: UUID | None = None, **changes: object) -> Json:
    item = {"id": str(one or ids.new_id()), **check_in(at), **changes}
    del item["sent_at"]
    return item


def send(service: Service, cadre: Cadre, items: list[Json], at: datetime = NOON) -> httpx.Response:
    with service.as_(cadre.token) as phone:
        return phone.post("/v1/check-ins/batch", json={"sent_at": at.isoformat(), "items": items})


def results(answer: httpx.Response) -> list[tuple[int, str | None]]:
    assert answer.status_code == 200, answer.text
    return [
        (item["status"], item["problem"]["code"] if item["problem"] else item["check_in"]["verdict"])
        for item in answer.json()["items"]
    ]


def put(service: Service, cadre: Cadre, one: object, body: Json) -> httpx.Response:
    with service.as_(cadre.token) as phone:
        return phone.put(f"/v1/check-ins/{one}", json=body)


def test_each_item_has_its_own_result_in_its_place(service: Service, cadre: Cadre) -> None:
    known, other = ids.new_id(), ids.new_id()
    put(service, cadre, known, check_in(NOON))
    put(service, cadre, other, check_in(NOON))
    answer = send(
        service,
        cadre,
        [
            queued(NOON - timedelta(days=2)),
            queued(NOON, known),
            queued(NOON, other, note="别的"),
            queued(NOON - timedelta(days=1), position=position(**TOWN_POINT)),
            {**queued(NOON), "position": position(lon=1e9)},
            {**queued(NOON), "id": "7"},
            {},
            queued(NOON - timedelta(hours=3), position=position(**FAR)),
        ],
    )
    assert results(answer) == [
        (201, "inside"),
        (200, "inside"),
        (409, "id-reused"),
        (201, "town"),
        (422, "invalid-request"),
        (422, "invalid-request"),
        (422, "invalid-request"),
        (201, "outside"),
    ]
    assert [item["id"] for item in answer.json()["items"]][5:7] == ["7", ""]
    with service.as_(cadre.token) as phone:
        kept = phone.get("/v1/check-ins/attempts").json()["items"]
        stored = phone.get("/v1/check-ins").json()["items"]
    assert sorted(attempt["code"] for attempt in kept) == ["id-reused", *["invalid-request"] * 3]
    assert len(stored) == 5  # Nothing that was refused, and nothing twice.


def test_the_result_is_what_the_put_answers(service: Service, cadre: Cadre) -> None:
    one = ids.new_id()
    [item] = send(service, cadre, [queued(NOON, one, note="走访三户")]).json()["items"]
    alone = put(service, cadre, one, check_in(NOON, note="走访三户", sent=NOON + timedelta(hours=1)))
    assert (alone.status_code, alone.json()) == (200, item["check_in"])


def test_twice_in_one_queue_counts_once(service: Service, cadre: Cadre) -> None:
    one = ids.new_id()
    answer = send(service, cadre, [queued(NOON, one), queued(NOON, one), queued(NOON, one, note="另一个")])
    assert [status for status, _ in results(answer)] == [201, 200, 409]


def test_the_order_of_a_queue_is_of_no_account(service: Service, world: World, noon: datetime) -> None:
    """Days, doubles and the month come out alike, however the queue was shuffled (M2)."""
    hours = [*range(0, 240, 7), 1, 2]
    items = [
        queued(noon - timedelta(hours=h), position=position(**(FAR if h % 5 == 0 else {}))) for h in hours
    ]
    months = []
    for seed in range(3):
        one = make_cadre(service, world)  # An id is one's own, so all may use the same (ruling 11).
        random.Random(seed).shuffle(items)
        assert {status for status, _ in results(send(service, one, items))} == {201}
        with service.as_(one.token) as phone:
            months.append(phone.get("/v1/me/months/2026-11").json())
    assert months[0]["counters"]["village"] > 3
    for month in months:
        assert [month[part] for part in ("counters", "days")] == [
            months[0][part] for part in ("counters", "days")
        ]


@pytest.mark.parametrize(("size", "status"), [(1, 200), (200, 200), (201, 422), (0, 422)])
def test_a_queue_has_a_largest_size(service: Service, cadre: Cadre, size: int, status: int) -> None:
    items = [queued(NOON - timedelta(minutes=5 * n)) for n in range(size)]
    answer = send(service, cadre, items)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert [s for s, _ in results(answer)] == [201] * size


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": [{}]},
        {"sent_at": "gestern", "items": [{}]},
        {"sent_at": NOON.isoformat(), "items": {}},
        {"sent_at": NOON.isoformat(), "items": [7]},
    ],
)
def test_a_queue_that_cannot_be_read_is_refused_whole_and_kept(
    service: Service, cadre: Cadre, body: Json
) -> None:
    with service.as_(cadre.token) as phone:
        answer = phone.post("/v1/check-ins/batch", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        assert len(phone.get("/v1/check-ins/attempts").json()["items"]) == 1


def test_newer_fields_are_passed_over(service: Service, cadre: Cadre) -> None:
    with service.as_(cadre.token) as phone:
        item = {**queued(NOON), "anchor": {"boot": "7"}}
        answer = phone.post(
            "/v1/check-ins/batch", json={"sent_at": NOON.isoformat(), "items": [item], "retry": 3}
        )
    assert results(answer) == [(201, "inside")]  # ruling 11


def test_the_phones_clock_is_corrected_by_the_queues_sent_at(service: Service, cadre: Cadre) -> None:
    """The phone is a year behind: the tap was two days before it was sent, whatever the year (edges 54, 56)."""
    behind = NOON - timedelta(days=365)
    answer = send(service, cadre, [queued(behind - timedelta(days=2))], at=behind)
    [item] = answer.json()["items"]
    assert item["check_in"]["day"] == "2026-11-14"
    assert item["check_in"]["late"]


def test_an_ended_session_stores_nothing(service: Service, cadre: Cadre) -> None:
    with service.as_(cadre.token) as phone:
        assert phone.post("/v1/auth/logout").status_code == 204
    answer = send(service, cadre, [queued(NOON), queued(NOON)])
    assert (answer.status_code, answer.json()["code"]) == (401, "token-stale")


def test_texts_follow_the_language_asked_for(service: Service, cadre: Cadre) -> None:
    with service.as_(cadre.token) as phone:
        body = {"sent_at": NOON.isoformat(), "items": [{}]}
        zh = phone.post("/v1/check-ins/batch", json=body)
        en = phone.post("/v1/check-ins/batch", json=body, headers={"Accept-Language": "en"})
    assert [a.headers["Content-Language"] for a in (zh, en)] == ["zh", "en"]
    one, other = (a.json()["items"][0]["problem"] for a in (zh, en))
    assert (one["title"], other["title"]) == (one["title_zh"], one["title_en"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
    | st.sampled_from(["\ud800", "a\0b", "2026-11-16", "2026-11-16T04:00Z", "gcj02", "arrive", "denied", "x" * 501]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
FIELDS = [
    "kind",
    "captured_at",
    "utc_offset_min",
    "position",
    "no_position",
    "outside_work",
    "note",
    "client",
    "salt",
]
WITHIN = ["lon", "lat", "datum", "accuracy_m", "age_s", "altitude_m", "speed_mps", "provider", "mocked"]


@st.composite
def odd(draw: st.DrawFn) -> Json:
    body: Json = check_in(NOON)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        body[name] = draw(json_values)
    if isinstance(body.get("position"), dict):
        for name in draw(st.lists(st.sampled_from(WITHIN), max_size=2)):
            body["position"][name] = draw(json_values)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=1)):
        body.pop(name, None)
    return body


@given(bodies=st.lists(odd(), min_size=1, max_size=6))
def test_an_item_is_told_what_its_put_is_told(service: Service, world: World, bodies: list[Json]) -> None:
    alone, together = make_cadre(service, world), make_cadre(service, world)
    names = [ids.new_id() for _ in bodies]
    items = []
    for one, body in zip(names, bodies, strict=True):
        item = {"id": str(one), **body}
        item.pop("sent_at")
        items.append(item)
    sent = bodies[0]["sent_at"]
    with service.as_(together.token) as phone:
        raw = json.dumps({"sent_at": sent, "items": items}).encode()
        answer = phone.post("/v1/check-ins/batch", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    with service.as_(alone.token) as phone:
        for one, body, told in zip(names, bodies, answer.json()["items"], strict=True):
            content = json.dumps(body).encode()
            single = phone.put(
                f"/v1/check-ins/{one}", content=content, headers={"Content-Type": "application/json"}
            )
            assert single.status_code == told["status"], (body, single.text, told)
            shown = told["check_in"] or told["problem"]
            for name in ("verdict", "reason", "day", "standing", "note", "errors", "code"):
                assert single.json().get(name) == shown.get(name), (name, body)


def test_a_full_intake_takes_some_now_and_the_rest_later(clone: Clone, tmp_path: Path) -> None:
    """What is told 503 in its place is sent again until it is there: nothing is lost and nothing is there twice."""
    with running_service(clone(), tmp_path, intake_queue=24, intake_group=8) as service:
        world = make_world(service)
        cadres = [make_cadre(service, world) for _ in range(6)]
        with ThreadPoolExecutor(len(cadres)) as pool:
            sent = list(pool.map(lambda cadre: drain(service, cadre, 70), cadres))
        with service.database.read() as session:
            stored = session.execute(sa.text("SELECT person_id, id FROM checkins")).all()
    assert sorted((row[0], str(row[1])) for row in stored) == sorted(
        (cadre.person_id, one) for cadre, (own, _) in zip(cadres, sent, strict=True) for one in own
    )
    assert sum(rounds for _, rounds in sent) > len(cadres), "the queue was never full: this shows nothing"


def drain(service: Service, cadre: Cadre, size: int) -> tuple[list[str], int]:
    now = datetime.now(UTC)
    items = {item["id"]: item for item in (queued(now - timedelta(minutes=3 * n)) for n in range(size))}
    own, rounds = list(items), 0
    while items:
        rounds += 1
        assert rounds < 200
        answer = send(service, cadre, list(items.values()), at=datetime.now(UTC))
        if answer.status_code == 503:
            assert answer.headers["Retry-After"].isdigit()
            time.sleep(0.05)  # Much sooner than it was told; a refusal costs next to nothing.
            continue
        for told in answer.json()["items"]:
            assert told["status"] in {200, 201, 503}, told
            if told["status"] != 503:
                del items[told["id"]]
    return own, rounds


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    monkeypatch.setattr(batches, "MOST_INSIDE", 2)


@pytest.mark.usefixtures("few_at_once")
def test_a_check_in_of_its_own_goes_through_between_queues(clone: Clone, tmp_path: Path) -> None:
    with running_service(clone(), tmp_path) as service:
        world = make_world(service)
        cadres = [make_cadre(service, world) for _ in range(8)]
        with ThreadPoolExecutor(len(cadres)) as pool:
            waiting = [pool.submit(drain, service, cadre, 200) for cadre in cadres]
            alone = make_cadre(service, world)
            for _ in range(5):
                answer = put(service, renewed(service, alone), ids.new_id(), check_in(datetime.now(UTC)))
                assert answer.status_code == 201, answer.text
            assert all(len(each.result()[0]) == 200 for each in waiting)


def test_a_queue_without_a_place_is_refused_before_anything_of_it_is_read(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither token nor content matters then: reading them is what a crowd would take the processor with (S3)."""
    monkeypatch.setattr(batches, "MOST_INSIDE", 0)
    with running_service(clone(), tmp_path) as service:
        cadre = make_cadre(service, make_world(service))
        for token, content in ((cadre.token, b'{"sent_at"'), ("no token", b"\x00")):
            answer = service.client.post(
                "/v1/check-ins/batch",
                content=content,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
            assert 1 <= int(answer.headers["Retry-After"]) <= batches.LONGEST_SPREAD_S
        # A check-in alone has its own way in.
        alone = put(service, cadre, ids.new_id(), check_in(datetime.now(UTC)))
        assert alone.status_code == 201
