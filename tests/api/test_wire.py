"""What arrives before there is a request: no HTTP at all, and heads that do not end. Over plain sockets."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from conftest import Service

from server import envelope, wire


@pytest.fixture
def line(service: Service) -> Iterator[socket.socket]:
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connected:
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
