"""Clients that hang up, dawdle or talk nonsense: nothing leaks, nothing is lost, nothing counts twice (goal 7)."""

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from factories_checkins import Cadre, check_in, make_cadre, make_world
from faults.standing import Served, Standing, served, standing

from server import clock, ids, patience

CUT = int(os.environ.get("ZAICUN_PROVE_CUT", "1500"))
"""Connections cut in the middle of a request; 10,000 are proved (performance.md goal 7)."""
AT_ONCE = 40
Key = tuple[UUID, UUID]


@pytest.fixture(scope="module")
def database() -> Iterator[Standing]:
    with standing() as made:
        yield made


@pytest.fixture(scope="module")
def running(database: Standing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(database.cluster, database.cluster.app_dsn, tmp_path_factory.mktemp("var")) as made:
        yield made


def request(cadre: Cadre, one: UUID) -> bytes:
    body = json.dumps(check_in(clock.now())).encode()
    head = (
        f"PUT /v1/check-ins/{one} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {cadre.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def broken_off(running: Served, cadre: Cadre, drawn: random.Random) -> Key | None:
    """Begin a request and hang up; return the check-in's key when all of it was sent."""
    one = ids.new_id()
    whole = request(cadre, one)
    kind = drawn.randrange(6)
    head = whole.index(b"\r\n\r\n") + 4
    month = f"GET /v1/me/months/2026-11 HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {cadre.token}\r\n\r\n".encode()
    piece = {
        0: whole[: drawn.randrange(1, head - 4)],  # Half a head.
        1: whole[: drawn.randrange(head, len(whole))],  # Half a body.
        2: whole,  # All of it, and no ear for the answer.
        3: whole + request(cadre, ids.new_id())[:head] + b"\x00\xffGET",  # A second request that is none.
        4: drawn.randbytes(200),  # No HTTP at all.
        5: month * drawn.randrange(1, 4),  # Several at once that take a thread and a connection.
    }[kind]
    with contextlib.suppress(ConnectionError), connected(running.port) as line:
        line.sendall(piece)
        if drawn.random() < 0.5:  # An abrupt end: RST instead of FIN.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        if drawn.random() < 0.2:
            time.sleep(drawn.random() / 50)
    return (cadre.person_id, one) if kind in {2, 3} else None


def acknowledged(running: Served, cadre: Cadre, many: int) -> list[Key]:
    """Check in as a phone does, many times; return what was acknowledged."""
    acked = []
    with running.service.as_(cadre.token) as client:
        for _ in range(many):
            one = ids.new_id()
            while client.put(f"/v1/check-ins/{one}", json=check_in(clock.now())).status_code not in {
                200,
                201,
            }:
                time.sleep(0.05)
            acked.append((cadre.person_id, one))
    return acked


def rows(running: Served) -> list[Key]:
    with psycopg.connect(running.service.cloned.owner_url) as connection:
        return connection.execute("SELECT person_id, id FROM checkins").fetchall()


@pytest.mark.slow
def test_clients_that_hang_up_leave_nothing_behind(database: Standing, running: Served) -> None:
    world = make_world(running.service)
    cadres = [make_cadre(running.service, world) for _ in range(10)]
    acknowledged(running, cadres[0], 5)
    [broken_off(running, cadres[0], random.Random(n)) for n in range(AT_ONCE)]
    time.sleep(1.5)
    files, threads = running.files(), running.threads()
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        honest = pool.submit(acknowledged, running, cadres[1], 30)
        sent = list(
            pool.map(
                lambda n: broken_off(running, cadres[n % len(cadres)], random.Random(1000 + n)), range(CUT)
            )
        )
        acked = honest.result()
    took = time.monotonic() - begun
    end = time.monotonic() + 10
    while running.files() > files and time.monotonic() < end:
        time.sleep(0.2)
    assert running.files() <= files
    assert running.threads() <= threads + 20  # As many as there may be; some had not been needed before.
    states = [state for _, _, state in database.sessions()]
    assert all(state == "idle" for state in states), states
    assert len(states) <= running.service.settings.pool_size + 2 + 2  # And the test's own.
    stored = rows(running)
    assert len(stored) == len(set(stored))
    assert set(acked) <= set(stored)  # Nothing that was acknowledged is lost.
    assert {key for key in sent if key} & set(stored)  # What was sent whole may be stored, once.
    with running.service.as_(cadres[2].token) as client:
        assert client.get("/v1/me").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert took < 300


def read_all(line: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(65_536):
            got += piece
    return got


@pytest.mark.slow
def test_a_sender_that_dawdles_is_ended_and_others_are_served(running: Served) -> None:
    """Slow-loris: heads that never end, and a body that stops. The figures are the product's own, so this takes them."""
    cadre = make_cadre(running.service, make_world(running.service, town="500116108"))
    whole = request(cadre, ids.new_id())
    heads = [connected(running.port) for _ in range(150)]
    for line in heads:
        line.settimeout(patience.HEAD_WITHIN_S + 10)
        line.sendall(whole[:60])
    silent, body = connected(running.port), connected(running.port)
    silent.settimeout(patience.HEAD_WITHIN_S + 10)
    body.settimeout(patience.BODY_WITHIN_S + 10)
    body.sendall(whole[:-10])
    begun = time.monotonic()
    with running.service.as_(cadre.token) as client:
        assert client.get("/v1/me").status_code == 200
        assert acknowledged(running, cadre, 3)
    told = read_all(heads[0])
    assert told.startswith(b"HTTP/1.1 408 ")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "request-timeout"
    assert patience.HEAD_WITHIN_S - 2 < time.monotonic() - begun < patience.HEAD_WITHIN_S + 6
    assert read_all(silent) == b""  # Who never said anything is told nothing.
    assert read_all(body).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < patience.BODY_WITHIN_S + 8
    for line in [*heads, silent, body]:
        line.close()
