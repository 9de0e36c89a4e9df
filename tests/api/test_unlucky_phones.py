"""Phones with bad luck: a line that breaks, a clock out of the calendar. Over real HTTP."""

import socket
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from conftest import Service
from factories_checkins import Cadre, check_in, make_cadre, make_world

from server import clock, ids


@pytest.fixture(scope="module")
def cadre(service: Service) -> Cadre:
    return make_cadre(service, make_world(service))


@pytest.mark.parametrize(
    ("captured", "sent"),
    [
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:05+14:00"),  # In UTC the year before the first.
        ("9999-12-31T23:59:50-14:00", "9999-12-31T23:59:59-14:00"),
        ("9999-12-31T23:59:59-14:00", None),
        (None, "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_clock_that_has_no_year_in_utc_is_refused_and_spoils_nothing(
    service: Service, cadre: Cadre, captured: str | None, sent: str | None
) -> None:
    """What the database can hold and nobody could read again would end the list, and judging again, for ever."""
    now = clock.now()
    one = ids.new_id()
    usual = check_in(now - timedelta(seconds=5), sent=now)
    unreadable = {
        **usual,
        "captured_at": captured or usual["captured_at"],
        "sent_at": sent or usual["sent_at"],
    }
    with service.as_(cadre.token) as client:
        for _ in range(2):
            refused = client.put(f"/v1/check-ins/{one}", json=unreadable)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "clock-unreadable")
        assert client.put(f"/v1/check-ins/{ids.new_id()}", json=usual).status_code == 201
        assert client.get("/v1/check-ins").status_code == 200
        attempts = client.get("/v1/check-ins/attempts").json()["items"]
    assert [a["code"] for a in attempts if a["checkin_id"] == str(one)] == ["invalid-request"] * 2


def test_a_line_that_broke_is_no_refused_attempt(service: Service, cadre: Cadre) -> None:
    parts, one, then = urlsplit(service.url), ids.new_id(), ids.new_id()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as line:
        line.sendall(
            f"PUT /v1/check-ins/{one} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {cadre.token}\r\n"
            'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"captured_at": '.encode()
        )
        time.sleep(0.2)
    with service.as_(cadre.token) as client:
        # A refusal that comes later is kept, so by then the broken line would be as well.
        time.sleep(0.5)
        assert client.put(f"/v1/check-ins/{then}", json={}).status_code == 422
        attempts = client.get("/v1/check-ins/attempts").json()["items"]
    kept = [a["checkin_id"] for a in attempts]
    assert str(then) in kept
    assert str(one) not in kept


def test_an_id_that_no_text_can_hold_is_refused_as_any_other_and_kept(service: Service, cadre: Cadre) -> None:
    now = clock.now()
    with service.as_(cadre.token) as client:
        refused = client.put("/v1/check-ins/no%00id", json=check_in(now - timedelta(seconds=5), sent=now))
        assert (refused.status_code, [e["field"] for e in refused.json()["errors"]]) == (422, ["checkin_id"])
        assert client.get("/v1/check-ins/attempts").json()["items"][0]["checkin_id"] == "no\ufffdid"
