"""What arrives before there is a request: no HTTP at all, and heads that do not end. Over plain sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Clone, Service, running_service
from processes import read_to_the_end

from server import envelope, patience, wire

PAGE, OTHER = "https://phone.example.org", "https://other.example.org"


def line_to(service: Service) -> socket.socket:
    parts = urlsplit(service.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)


@pytest.fixture
def line(service: Service) -> Iterator[socket.socket]:
    with line_to(service) as connected:
        yield connected


def answered(line: socket.socket) -> tuple[int, dict[str, str], dict[str, object]]:
    """Read until the server closes."""
    received = b""
    while chunk := line.recv(65_536):
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("ascii").split("\r\n")
    headers = dict(each.split(": ", 1) for each in rest)
    assert int(headers["content-length"]) == len(body)
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # The beginning of TLS.
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"POST /v1/units HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/units HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xe5\x9c\xa8 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_in_both_languages(line: socket.socket, sent: bytes) -> None:
    line.sendall(sent)
    status, headers, body = answered(line)
    assert (status, body["code"]) == (400, "malformed-request")
    assert headers["content-type"] == "application/problem+json"
    assert (headers["connection"], headers["cache-control"]) == ("close", "no-store")
    assert body["title_zh"]
    assert body["title_en"]
    assert headers["x-request-id"] == body["request_id"]


@pytest.mark.parametrize(
    ("beginning", "more", "expected"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nx-endless: ", b"a" * 1_000, (431, "headers-too-large")),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"x-more: 1\r\n" * 100, (431, "headers-too-large")),
        (b"GET /", b"a" * 1_000, (414, "url-too-long")),
    ],
)
def test_a_head_that_does_not_end_is_given_up(
    line: socket.socket, beginning: bytes, more: bytes, expected: tuple[int, str]
) -> None:
    line.sendall(beginning)
    sent = 0
    try:
        while sent < 40 * wire.LARGEST_HEAD:
            sent += line.send(more)
            time.sleep(0.0005)
    except OSError:
        pass  # The server has closed.
    assert sent < 4 * wire.LARGEST_HEAD
    try:
        status, _, body = answered(line)
    except ConnectionResetError:
        return  # Closed while more was on its way; the refusal itself was lost to the reset.
    assert (status, body["code"]) == expected


def test_a_head_slightly_too_large_is_answered_by_the_envelope(line: socket.socket) -> None:
    line.sendall(
        b"GET /livez HTTP/1.1\r\nHost: x\r\nAccept-Language: en\r\nConnection: close\r\nx-large: "
        + b"a" * (envelope.LARGEST_HEADERS + 1)
        + b"\r\n\r\n"
    )
    status, headers, body = answered(line)
    assert (status, body["code"], headers["content-language"]) == (431, "headers-too-large", "en")


def test_a_whole_head_may_come_byte_by_byte_and_many_requests_on_one_line(line: socket.socket) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nx-some: " + b"a" * 20_000 + b"\r\n\r\n"
    for _ in range(8):  # Together more than one head may have.
        for place in range(0, len(request), 5_000):
            line.sendall(request[place : place + 5_000])
        received = b""
        while b'{"status":"alive"}' not in received:
            received += line.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"1\r\n{\r\n0\r\nx-endless: ", b"a" * 1_000),
        (b"1\r\n{\r\n0\r\n", b"x-more: 1\r\n" * 100),
        (b"1;endless=", b"a" * 1_000),
    ],
)
def test_trailers_that_do_not_end_are_given_up(line: socket.socket, beginning: bytes, more: bytes) -> None:
    line.sendall(b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + beginning)
    sent = 0
    with contextlib.suppress(OSError):  # The server has closed.
        while sent < 40 * wire.LARGEST_HEAD:
            sent += line.send(more)
            time.sleep(0.0005)
    assert sent < 4 * wire.LARGEST_HEAD


def test_a_trailer_is_no_header(line: socket.socket) -> None:
    line.sendall(
        b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    )
    time.sleep(0.1)
    line.sendall(b"0\r\nContent-Type: text/plain\r\n\r\n")
    status, _, body = answered(line)
    assert (status, body["code"]) == (422, "invalid-request")


def test_many_pieces_with_little_content_each_are_one_body(line: socket.socket) -> None:
    content = b'{"login": "x"}' + b" " * 16_000
    line.sendall(
        b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % each for each in content)
    )
    line.sendall(b"0\r\n\r\n")
    status, _, body = answered(line)
    assert (status, body["code"]) == (422, "invalid-request")


@pytest.mark.parametrize("framing", [b"Content-Length: 31", b"Transfer-Encoding: chunked"])
def test_content_is_never_read_as_the_next_request(line: socket.socket, framing: bytes) -> None:
    line.sendall(
        b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        + framing
        + b"\r\n\r\n"
    )
    time.sleep(0.1)
    with contextlib.suppress(OSError):
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers, body = answered(line)  # It reads to the end: there is one answer.
    assert (status, body["code"], headers["connection"]) == (400, "malformed-request", "close")


def test_an_upgrade_without_content_is_not_taken_up(line: socket.socket) -> None:
    line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n")
    assert answered(line)[0] == 200


# --- what these refusals carry


@pytest.fixture
def place(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A sandbox that pages of two origins may use, with the command's own way to read a connection and less patience."""
    monkeypatch.setattr("conftest.Wire", patience.Patient)
    monkeypatch.setattr(patience, "HEAD_WITHIN_S", 0.5)
    monkeypatch.setattr(patience, "BODY_WITHIN_S", 0.5)
    monkeypatch.setattr(patience, "SWEEP_EVERY_S", 0.1)
    with running_service(clone(), tmp_path, sandbox=True, cors_origins=(PAGE, OTHER)) as running:
        yield running


REFUSED = [
    (b"bad header\r\n\r\n", 400),
    (b"Content-Length: -1\r\n\r\n", 400),
    (b"x-endless: ", 431),
    (b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\n", 400),
    (b"x-more: 1\r\n", 408),  # A head that is not finished in time,
    (b"Content-Length: 9\r\nContent-Type: application/json\r\n\r\n{", 408),  # and a body.
]


def test_what_the_line_itself_refuses_is_marked_in_a_sandbox_and_readable_to_its_page(place: Service) -> None:
    for rest, expected in REFUSED:
        with line_to(place) as line:
            # The parser hands a header out when it has seen the next one.
            sent = f"POST /v1/auth/login HTTP/1.1\r\nOrigin: {OTHER}\r\nHost: x\r\n".encode() + rest
            line.sendall(sent.ljust(wire.LARGEST_HEAD + 1, b"a") if expected == 431 else sent)
            status, headers, body = answered(line)
        assert (status, headers["sandbox"], body["sandbox"]) == (expected, "true", True)
        assert (headers["access-control-allow-origin"], headers["vary"]) == (OTHER, "Origin")
        assert "X-Request-Id" in headers["access-control-expose-headers"]
        assert headers["x-content-type-options"] == "nosniff"


def test_no_other_page_can_read_it_and_no_page_reads_what_another_asked(place: Service) -> None:
    for sent in (
        b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\nOrigin: " + PAGE.encode() + b"\r\n\r\n",
        b"hello\r\n\r\n",
    ):
        with line_to(place) as line:
            line.sendall(sent)
            _, headers, body = answered(line)
        assert body["sandbox"] is True
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["vary"] == "Origin"
    with line_to(place) as line:  # The origin of the request before says nothing of the next.
        line.sendall(f"GET /livez HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\n\r\n".encode())
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        line.sendall(b"hello\r\n\r\n")
        assert not [name for name in answered(line)[1] if name.startswith("access-control")]


def test_one_connection_too_many_is_told_so_with_the_mark(
    place: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "most_connections", lambda: 0)
    with line_to(place) as line:
        status, headers, body = answered(line)
    assert (status, body["code"], body["sandbox"], headers["sandbox"]) == (503, "busy", True, "true")
    assert 1 <= int(headers["retry-after"]) <= 3


def test_a_live_service_says_nothing_of_it(line: socket.socket) -> None:
    line.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nbad header\r\n\r\n".encode())
    _, headers, body = answered(line)
    assert "sandbox" not in {*headers, *body}
    assert not [name for name in headers if name.startswith("access-control") or name == "vary"]


# --- one answer a request


def test_who_heard_a_refusal_and_goes_on_sending_slowly_is_ended_without_another_answer(
    place: Service,
) -> None:
    with line_to(place) as line:
        line.sendall(b"POST /v1/units HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{")
        got = read_to_the_end(line)
    assert got.startswith(b"HTTP/1.1 401 ")
    assert got.count(b"HTTP/1.1 ") == 1


def test_trailers_that_do_not_end_behind_an_answer_bring_no_second_one(line: socket.socket) -> None:
    line.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nx: ")
    time.sleep(0.2)
    with contextlib.suppress(OSError):  # The server has closed.
        line.sendall(b"a" * 2 * wire.LARGEST_HEAD)
    got = read_to_the_end(line)
    assert got.startswith(b"HTTP/1.1 404 ")
    assert got.count(b"HTTP/1.1 ") == 1
