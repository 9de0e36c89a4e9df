"""Clients that hang up, dawdle or talk nonsense: nothing leaks, nothing is lost, nothing counts twice (goal 7)."""

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import proof
import psycopg
import pytest
from conftest import Clone, Service, running_service
from factories_checkins import Cadre, check_in, make_cadre, make_world
from faults.standing import Served, Standing, served, standing
from processes import read_to_the_end

from server import clock, ids, patience
from server.cluster import APP_ROLE

CUT = int(os.environ.get("ZAICUN_PROVE_CUT", "400"))
"""Connections cut in the middle of a request; 10,000 are proved (performance.md goal 7)."""
PROVING = "ZAICUN_PROVE_CUT" in os.environ
HEAD_S, BODY_S = (patience.HEAD_WITHIN_S, patience.BODY_WITHIN_S) if PROVING else (2.0, 4.0)
"""How long the dawdlers' service waits: the product's own figures are waited for in the long form."""
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


def acknowledged(service: Service, cadre: Cadre, many: int) -> list[Key]:
    """Check in as a phone does, many times; return what was acknowledged."""
    acked = []
    with service.as_(cadre.token) as client:
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


def files_besides(database: Standing, running: Served) -> int:
    """Return how many files the service has open besides its connections to the database, which the pool opens as needed."""
    return running.files() - sum(role == APP_ROLE for _, role, _ in database.sessions())


@pytest.mark.slow
def test_clients_that_hang_up_leave_nothing_behind(database: Standing, running: Served) -> None:
    world = make_world(running.service)
    cadres = [make_cadre(running.service, world) for _ in range(10)]
    acknowledged(running.service, cadres[0], 5)
    [broken_off(running, cadres[0], random.Random(n)) for n in range(AT_ONCE)]
    time.sleep(1.5)
    files, threads = files_besides(database, running), running.threads()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        honest = pool.submit(acknowledged, running.service, cadres[1], 30)
        sent = list(
            pool.map(
                lambda n: broken_off(running, cadres[n % len(cadres)], random.Random(1000 + n)), range(CUT)
            )
        )
        acked = honest.result()
    # Who hung up before he was let in stands in the kernel's queue, whole requests and all, and is worked off first.
    end = time.monotonic() + 60
    while files_besides(database, running) > files and time.monotonic() < end:
        time.sleep(0.2)
    assert files_besides(database, running) <= files
    assert running.threads() <= threads + 20  # As many as there may be; some had not been needed before.
    states = [state for _, _, state in database.sessions()]
    assert all(state == "idle" for state in states), states
    assert len(states) <= running.service.settings.pool_size + 2 + 2  # And the test's own.
    stored = rows(running)
    proof.added("connections cut", len(sent))
    proof.added("lost", len(set(acked) - set(stored)))
    proof.added("twice", len(stored) - len(set(stored)))
    assert len(stored) == len(set(stored))
    assert set(acked) <= set(stored)  # Nothing that was acknowledged is lost.
    assert {key for key in sent if key} & set(stored)  # What was sent whole may be stored, once.
    with running.service.as_(cadres[2].token) as client:
        assert client.get("/v1/me").status_code == 200
        assert client.get("/readyz").status_code == 200


@pytest.fixture
def patient(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The service in this process, with the command's own way to read a connection, and less patience."""
    monkeypatch.setattr("conftest.Wire", patience.Patient)
    monkeypatch.setattr(patience, "HEAD_WITHIN_S", HEAD_S)
    monkeypatch.setattr(patience, "BODY_WITHIN_S", BODY_S)
    with running_service(clone(), tmp_path) as service:
        yield service


@pytest.mark.slow
def test_a_sender_that_dawdles_is_ended_and_others_are_served(patient: Service) -> None:
    """Slow-loris: heads that never end, a body that stops, a line on which nothing is said."""
    cadre, port = make_cadre(patient, make_world(patient)), int(patient.url.rpartition(":")[2])
    whole = request(cadre, ids.new_id())
    begun = time.monotonic()
    heads = [connected(port) for _ in range(150)]
    for line in heads:
        line.settimeout(HEAD_S + 10)
        line.sendall(whole[:60])
    silent, body = connected(port), connected(port)
    silent.settimeout(HEAD_S + 10)
    body.settimeout(BODY_S + 10)
    body.sendall(whole[:-10])
    sent = time.monotonic()
    with patient.as_(cadre.token) as client:
        assert client.get("/v1/me").status_code == 200
        assert acknowledged(patient, cadre, 3)
    told = read_to_the_end(heads[0])
    assert told.startswith(b"HTTP/1.1 408 ")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "request-timeout"
    assert HEAD_S <= time.monotonic() - begun < HEAD_S + 6
    assert read_to_the_end(silent) == b""  # Who never said anything is told nothing.
    assert read_to_the_end(body).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun >= BODY_S
    assert time.monotonic() - sent < BODY_S + 8
    for line in [*heads, silent, body]:
        line.close()
