"""Whose bodies are read, how far, and what becomes of those that are not: over plain sockets, byte by byte."""

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import World, check_in, make_cadre, make_world
from factories_office import as_district
from processes import Samples, scrape, total

from server import clock as clocks
from server import envelope
from server.auth import rules, tokens

LARGE = 900_000
SOMEBODY = "01a1a9dd-1200-7a01-81f3-c9a7d2b4f801"
JSON_OPERATIONS = [("POST", "/v1/units"), ("POST", "/v1/accounts"), ("PATCH", f"/v1/people/{SOMEBODY}")]
UPLOADS = [
    ("POST", "/v1/roster-imports"),
    ("POST", "/v1/region-imports"),
    ("POST", "/v1/boundary-imports?kind=village&filename=a.geojson"),
    ("PUT", "/v1/region-outlines/500116000000?filename=a.geojson"),
]


@contextlib.contextmanager
def line_to(service: Service) -> Iterator[socket.socket]:
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connected:
        yield connected


@pytest.fixture
def line(service: Service) -> Iterator[socket.socket]:
    with line_to(service) as connected:
        yield connected


def head(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *more, "", ""]
    ).encode()


def answered(line: socket.socket) -> tuple[int, dict[str, str], dict[str, object]]:
    """Read one answer that has a length."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(1)
    first, *rest = got.decode("ascii").strip().split("\r\n")
    headers = dict(each.split(": ", 1) for each in rest)
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        body += line.recv(65_536)
    return int(first.split()[1]), headers, json.loads(body) if body else {}


def ended(line: socket.socket) -> bool:
    """Tell whether the server has closed the line without another word."""
    with contextlib.suppress(ConnectionResetError):
        return line.recv(1) == b""
    return True


@pytest.fixture(scope="module")
def officer(service: Service) -> Iterator[httpx.Client]:
    with as_district(service) as client:
        yield client


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def expired(service: Service, hands: SetClock) -> str:
    hands.move(seconds=-(rules.ACCESS_LIFE + 2 * tokens.LEEWAY) / timedelta(seconds=1))
    with service.database.write() as session:
        account = make_account(session)
    token = token_for(service, account)
    hands.at = None
    return token


# --- large bodies of strangers


@pytest.mark.parametrize(("method", "path"), JSON_OPERATIONS + UPLOADS)
@pytest.mark.parametrize("code", ["token-missing", "token-invalid", "token-expired"])
def test_a_large_body_is_not_read_before_its_sender_is_known(
    service: Service, clock: SetClock, line: socket.socket, method: str, path: str, code: str
) -> None:
    token = {"token-missing": "", "token-invalid": "x.y.z", "token-expired": expired(service, clock)}[code]
    said = [f"Authorization: Bearer {token}"] if token else []
    line.sendall(head(method, path, f"Content-Length: {LARGE}", *said))
    status, headers, body = answered(line)  # Nothing of the body was sent.
    assert (status, body["code"]) == (401, code)
    assert headers["www-authenticate"].startswith("Bearer")
    # What is sent nevertheless is read past, so that the client gets to read the answer, and the line stays in step.
    line.sendall(b"[" * LARGE + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answered(line)[2] == {"status": "alive"}


@pytest.mark.parametrize(("method", "path"), JSON_OPERATIONS)
def test_nor_one_whose_length_is_not_told(line: socket.socket, method: str, path: str) -> None:
    piece = b"400\r\n" + b"[" * 1_024 + b"\r\n"
    line.sendall(head(method, path, "Transfer-Encoding: chunked") + piece * (envelope.FREE_BODY // 1_024))
    line.settimeout(0.5)
    with pytest.raises(TimeoutError):
        line.recv(1)  # So much may anybody send.
    line.settimeout(10)
    line.sendall(piece)
    status, _, body = answered(line)
    assert (status, body["code"]) == (401, "token-missing")
    line.sendall(b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answered(line)[2] == {"status": "alive"}


def test_a_large_body_with_a_good_token_is_taken(officer: httpx.Client) -> None:
    content = json.dumps({"id": str(uuid4()), "name": f"局{uuid4().hex[:6]}"}).encode() + b" " * LARGE
    named = {"Content-Type": "application/json"}
    assert officer.post("/v1/units", content=content, headers=named).status_code == 201
    in_pieces = officer.post("/v1/units", content=iter([content[:20_000], content[20_000:]]), headers=named)
    assert in_pieces.status_code == 200  # The same once more.


# --- packed bodies


@pytest.mark.parametrize("coding", ["gzip", "br", "x-unknown", "identity, gzip"])
def test_what_is_said_to_be_packed_is_refused_unread_whatever_it_is(
    officer: httpx.Client, coding: str
) -> None:
    plain = json.dumps(
        {"id": str(uuid4()), "name": "局"}
    ).encode()  # A label that lies is no way around the rule.
    named = {"Content-Type": "application/json", "Content-Encoding": coding}
    for content in (plain, gzip.compress(b" " * (64 << 20))):
        answer = officer.post("/v1/units", content=content, headers=named)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
        assert answer.headers["Accept-Encoding"] == "identity"


def test_a_check_in_said_to_be_packed_is_refused_and_kept_as_an_attempt(
    service: Service, world: World
) -> None:
    with service.as_(make_cadre(service, world).token) as phone:
        content = json.dumps(check_in(clocks.now())).encode()
        named = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert phone.put(f"/v1/check-ins/{uuid4()}", content=content, headers=named).status_code == 415
        kept = phone.get("/v1/check-ins/attempts").json()["items"]
    assert [(each["code"], each["status"]) for each in kept] == [("unsupported-media-type", 415)]


# --- Expect: 100-continue


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("POST", "/v1/auth/login", envelope.FREE_BODY + 1, 413),
        ("PUT", f"/v1/check-ins/{SOMEBODY}", envelope.FREE_BODY + 1, 413),
        ("POST", "/v1/units", envelope.LARGEST_BODY + 1, 413),
        ("POST", "/v1/units", LARGE, 401),
        ("POST", "/v1/roster-imports", LARGE, 401),
        ("POST", "/nothing", 10, 404),
        ("DELETE", "/v1/me", 10, 405),
    ],
)
def test_what_will_be_refused_is_not_asked_for(
    line: socket.socket, method: str, path: str, length: int, status: int
) -> None:
    line.sendall(head(method, path, f"Content-Length: {length}", "Expect: 100-continue"))
    told, headers, body = answered(line)
    assert (told, body["status"]) == (status, status)
    # Whoever does not send it any more could otherwise have the next request taken for it.
    assert headers["connection"] == "close"
    assert ended(line)


@pytest.mark.parametrize(("method", "path"), [JSON_OPERATIONS[0], *UPLOADS])
def test_nor_is_what_is_too_large_for_whoever_may_send_much(
    officer: httpx.Client, line: socket.socket, method: str, path: str
) -> None:
    known = f"Authorization: {officer.headers['Authorization']}"
    line.sendall(head(method, path, "Content-Length: 1099511627776", "Expect: 100-continue", known))
    status, headers, body = answered(line)
    assert (status, body["code"], headers["connection"]) == (413, "body-too-large", "close")


def test_what_will_be_taken_is_asked_for(officer: httpx.Client, line: socket.socket) -> None:
    content = json.dumps({"id": str(uuid4()), "name": f"局{uuid4().hex[:6]}"}).encode() + b" " * LARGE
    token = officer.headers["Authorization"]
    for status in (201, 200):  # The line stays open behind it.
        line.sendall(
            head(
                "POST",
                "/v1/units",
                f"Content-Length: {len(content)}",
                f"Authorization: {token}",
                "Expect: 100-continue",
            )
        )
        assert answered(line)[0] == 100
        line.sendall(content)
        assert answered(line)[0] == status


# --- clients that are gone


def gone(page: Samples, operation: str) -> float:
    return total(page, "zaicun_http_clients_gone_total", operation=operation)


def answers(page: Samples, operation: str) -> tuple[float, float]:
    """Return how often the operation was answered and how often it refused."""
    return (
        total(page, "zaicun_http_requests_total", operation=operation),
        total(page, "zaicun_problems_total", operation=operation),
    )


def hang_up_within(service: Service, operation: str, sent: bytes) -> tuple[Samples, Samples]:
    """Send this and hang up; return the metrics before and after it was noticed."""
    before = scrape(service.url)
    with line_to(service) as connected:
        connected.sendall(sent)
        time.sleep(0.1)
    end = time.monotonic() + 5
    while True:
        after = scrape(service.url)
        noticed = gone(after, operation) > gone(before, operation)
        if noticed or answers(after, operation) != answers(before, operation) or time.monotonic() > end:
            return before, after
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [0, 1, 200])
def test_a_check_in_that_is_cut_off_is_no_refused_attempt(service: Service, world: World, sent: int) -> None:
    cadre = make_cadre(service, world)
    content = json.dumps(check_in(clocks.now())).encode()
    known = f"Authorization: Bearer {cadre.token}"
    whole = head("PUT", f"/v1/check-ins/{uuid4()}", f"Content-Length: {len(content)}", known)
    before, after = hang_up_within(service, "checkins-put", whole + content[:sent])
    assert gone(after, "checkins-put") == gone(before, "checkins-put") + 1
    assert answers(after, "checkins-put") == answers(before, "checkins-put")
    assert total(after, "zaicun_attempts_unproven_total") == total(before, "zaicun_attempts_unproven_total")
    with service.as_(cadre.token) as phone:
        assert phone.get("/v1/check-ins/attempts").json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/units", "roster-enter-unit"),
        ("POST", "/v1/roster-imports", "roster-import"),
        ("POST", "/v1/boundary-imports?kind=village&filename=a.geojson", "places-import-boundaries"),
    ],
)
def test_an_upload_that_is_cut_off_is_neither_a_refusal_nor_a_crash(
    service: Service, officer: httpx.Client, method: str, path: str, operation: str
) -> None:
    known = f"Authorization: {officer.headers['Authorization']}"
    before, after = hang_up_within(
        service, operation, head(method, path, f"Content-Length: {LARGE}", known) + b"[" * 100_000
    )
    assert gone(after, operation) == gone(before, operation) + 1
    assert answers(after, operation) == answers(before, operation)


def test_a_client_that_is_gone_behind_its_whole_request_was_answered(service: Service, world: World) -> None:
    cadre = make_cadre(service, world)
    content = json.dumps(check_in(clocks.now())).encode()
    known = f"Authorization: Bearer {cadre.token}"
    whole = head("PUT", f"/v1/check-ins/{uuid4()}", f"Content-Length: {len(content)}", known) + content
    before, after = hang_up_within(service, "checkins-put", whole)
    assert gone(after, "checkins-put") == gone(before, "checkins-put")
    assert answers(after, "checkins-put") == tuple(
        map(sum, zip(answers(before, "checkins-put"), (1, 0), strict=True))
    )
