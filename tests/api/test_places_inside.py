"""Who holds one of the places of a worker (server/admission.py): not slow senders; but whoever needs a thread does."""

import socket
import time
from urllib.parse import urlsplit

import pytest
from conftest import Service
from factories_auth import DISTRICT, make_account, token_for
from factories_checkins import check_in, make_cadre, make_world
from processes import until

from server import clock, ids
from server.access import Role


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    with service.database.write() as session:
        account = make_account(session, role=Role.DISTRICT, region=DISTRICT)
    return token_for(service, account)


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /v1/region-imports",
        f"PUT /v1/region-outlines/{DISTRICT}000000?filename=a.geojson",
        f"POST /v1/boundary-imports?id=01a205c0-6e6b-74b6-a9e9-3a2f32e2c8b3&region={DISTRICT}&filename=a.geojson",
        "POST /v1/roster-imports",
        "POST /v1/calendars/2027",
    ],
)
def test_a_slow_sender_holds_no_place(service: Service, token: str, request_line: str) -> None:
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as line:
        line.sendall(
            f"{request_line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: text/csv\r\n"
            "Content-Length: 50\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(65_536).startswith(b"HTTP/1.1 100 ")  # The service has begun to read the content.
        time.sleep(0.1)
        assert service.app.state.admission.inside == 0


def test_refused_check_ins_take_a_place_and_good_ones_need_none(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that sends nonsense from every phone must not take every thread from everybody else."""
    cadre = make_cadre(service, make_world(service))
    monkeypatch.setattr(service.app.state.admission, "most", 0)
    with service.as_(cadre.token) as phone:
        refused = phone.put(f"/v1/check-ins/{ids.new_id()}", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert "Retry-After" in refused.headers
        assert phone.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now())).status_code == 201
        monkeypatch.undo()
        assert phone.put(f"/v1/check-ins/{ids.new_id()}", json={}).status_code == 422
        assert len(phone.get("/v1/check-ins/attempts").json()["items"]) == 1
    until(lambda: service.app.state.admission.inside == 0)  # The place is given back once the answer is sent.
