"""GET /v1/time: without a token, to the millisecond, and what it expects of clients."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import Clone, Service, SetClock, running_service


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    minimums = ("zaicun-phone/1.2.0", "zaicun-mini/3")
    with running_service(clone(), tmp_path_factory.mktemp("var"), minimum_clients=minimums) as running:
        yield running


@pytest.mark.parametrize(
    ("at", "utc", "local"),
    [
        ("2026-11-05T04:00:02.125999", "2026-11-05T04:00:02.125Z", "2026-11-05T12:00:02.125+08:00"),
        ("2026-12-31T16:00:00", "2026-12-31T16:00:00.000Z", "2027-01-01T00:00:00.000+08:00"),
        ("2028-02-28T23:59:59.999", "2028-02-28T23:59:59.999Z", "2028-02-29T07:59:59.999+08:00"),
    ],
)
def test_it_tells_the_instant_in_both_zones(
    service: Service, clock: SetClock, at: str, utc: str, local: str
) -> None:
    clock.set(at)
    told = service.client.get("/v1/time").json()
    assert (told["utc"], told["local"], told["zone"]) == (utc, local, "Asia/Shanghai")
    assert datetime.fromtimestamp(told["unix_ms"] / 1000, UTC) == datetime.fromisoformat(utc)


def test_it_says_what_is_expected_of_clients(service: Service) -> None:
    answer = service.client.get("/v1/time")
    told = answer.json()
    assert told["minimum_clients"] == {"zaicun-phone": "1.2.0", "zaicun-mini": "3"}
    assert told["sandbox"] is False
    assert told["api_version"] == service.app.version
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_phone_finds_its_clocks_error_to_half_the_round_trip(service: Service) -> None:
    off_ms = 7_654_321.0
    left = time.time() * 1000 + off_ms
    told = service.client.get("/v1/time").json()["unix_ms"]
    came = time.time() * 1000 + off_ms
    found = (left + came) / 2 - told
    assert abs(found - off_ms) <= (came - left) / 2 + 1  # A millisecond for what unix_ms cuts off.


def test_a_bad_token_does_not_keep_anybody_from_the_time(service: Service) -> None:
    answer = service.client.get("/v1/time", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 200
    assert abs(datetime.fromisoformat(answer.json()["utc"]) - datetime.now(UTC)) < timedelta(minutes=1)
