"""The reference client against a real server, through networks that lose things and with phones that die."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
import zaicun_phone
from conftest import ROOT, Service, SetClock
from docs.cutting_transport import CuttingTransport
from factories_auth import tokens_for
from factories_checkins import MIDDLE, Cadre, World, make_cadre, make_world
from zaicun_phone import BEIJING, Answer, Phone, Refused, uuid7

from server import clock as clock_module
from server.auth import codes
from server.auth.models import Account

FIX = {**MIDDLE, "datum": "wgs84", "accuracy_m": 12.0, "age_s": 2.0, "provider": "gps", "mocked": False}
PASSWORD = "江边的老黄葛树1987"


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World) -> Cadre:
    return make_cadre(service, world)


@pytest.fixture
def pauses() -> list[float]:
    return []


@contextmanager
def phone_of(
    service: Service,
    cadre: Cadre,
    pauses: list[float],
    *,
    store: Path | None = None,
    transport: httpx.BaseTransport | None = None,
    **more: Any,
) -> Iterator[Phone]:
    """Yield a phone that is logged in and counts its pauses instead of sleeping."""
    tokens = tokens_for(service, cadre.account)
    more.setdefault("pause", pauses.append)
    with httpx.Client(base_url=service.url, timeout=15, transport=transport) as client:
        phone = Phone(service.url, store=store, client=client, **more)
        if phone.access is None:
            phone.access, phone.refresh = tokens.access_token, tokens.refresh_token
        yield phone


def stored(service: Service, cadre: Cadre) -> list[str]:
    """Return the ids of the person's check-ins in the database."""
    with service.database.read() as session:
        query = sa.text("SELECT id FROM checkins WHERE person_id = :p")
        return [str(row[0]) for row in session.execute(query, {"p": cadre.person_id})]


# --- nothing lost, nothing twice


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_loses_a_third_loses_and_doubles_nothing(
    service: Service, cadre: Cadre, pauses: list[float], seed: int
) -> None:
    network = CuttingTransport(before=0.2, after=0.2, seed=seed)
    with phone_of(service, cadre, pauses, transport=network) as phone:
        made = [str(phone.tap(FIX)) for _ in range(20)]
        answers: list[Answer] = []
        while phone.waiting():
            answers += phone.flush()
    assert network.lost_before > 0
    assert network.lost_after > 0
    assert [answer.body["id"] for answer in answers] == made  # Oldest first, each once.
    assert sorted(stored(service, cadre)) == sorted(made)
    assert any(answer.replayed for answer in answers)  # A lost answer was fetched by sending again.


def test_only_sent_at_changes_between_two_sendings(
    service: Service, cadre: Cadre, pauses: list[float], clock: SetClock
) -> None:
    clock.set(datetime.now(UTC))
    network = CuttingTransport()
    with phone_of(service, cadre, pauses, transport=network, clock=clock) as phone:
        made = phone.tap(FIX)
        network.lose_next.add(f"/v1/check-ins/{made}")
        phone.pause = lambda seconds: clock.move(seconds=seconds)
        phone.flush()
    first, again = [json.loads(request.content) for request in network.sent]
    assert first.pop("sent_at") < again.pop("sent_at")
    assert first == again


def test_without_a_way_through_everything_stays(cadre: Cadre, service: Service, pauses: list[float]) -> None:
    network = CuttingTransport(before=1.0)
    with phone_of(service, cadre, pauses, transport=network) as phone:
        phone.tap(FIX)
        phone.tap(None, no_position="timeout")
        assert phone.flush(attempts=4) == []
        assert phone.waiting() == 2
    assert (
        len(network.sent) == 4
    )  # One after the other: while the first finds no way, the second is not tried.
    assert all(0.5 * 2**n <= pause <= 0.75 * 2**n for n, pause in enumerate(pauses))


def test_the_id_is_a_uuidv7_of_the_tap() -> None:
    at = datetime(2026, 11, 5, 4, 0, 0, 123_000, UTC)
    made = uuid7(at)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1793851200123
    assert uuid7(at) != uuid7(at)
    assert UUID(str(uuid7(datetime(1969, 12, 31, tzinfo=UTC)))).version == 7  # A clock that lost everything.


# --- the queue on disk


TAPPING = """
import sys
from pathlib import Path
from zaicun_phone import Phone
phone = Phone("http://127.0.0.1:9", store=Path(sys.argv[1]))
while True:
    print(phone.tap({fix!r}), flush=True)
"""
SENDING = """
import sys
from pathlib import Path
from zaicun_phone import Phone
phone = Phone(sys.argv[2], store=Path(sys.argv[1]))
print("begun", flush=True)
phone.flush()
"""


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a phone as a process of its own, to be killed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "mobile_api_docs" / "examples")}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_was_tapped_survives_kill(tmp_path: Path) -> None:
    with running(TAPPING.format(fix=FIX), str(tmp_path)) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
    kept = [entry["id"] for entry in Phone("http://127.0.0.1:9", store=tmp_path).queue]
    # One more than was told may be there: the phone died between keeping it and saying so.
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1
    assert (tmp_path / "phone.json").stat().st_mode & 0o077 == 0  # Tokens and positions are nobody else's.


def test_killed_while_sending_loses_and_doubles_nothing(
    service: Service, cadre: Cadre, pauses: list[float], tmp_path: Path
) -> None:
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:
        made = [str(phone.tap(FIX)) for _ in range(60)]
    for _ in range(3):
        before = len(stored(service, cadre))
        with running(SENDING, str(tmp_path), service.url) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while len(stored(service, cadre)) < min(before + 5, 60) and process.poll() is None:
                pass
            process.send_signal(signal.SIGKILL)
    assert 0 < len(stored(service, cadre)) < 60  # It died on the way.
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:
        phone.flush()
        assert phone.waiting() == 0
        assert [entry["id"] for entry in phone.queue] == made
    assert sorted(stored(service, cadre)) == sorted(made)


def test_what_waits_is_never_forgotten_and_what_was_answered_is_kept_for_a_while(tmp_path: Path) -> None:
    phone = Phone("http://127.0.0.1:9", store=tmp_path)
    waiting = [{"id": f"w{n}", "content": {}, "answer": None} for n in range(400)]
    phone.queue = [{"id": f"a{n}", "content": {}, "answer": {}} for n in range(400)] + waiting
    phone.tap(None, no_position="off")
    kept = Phone("http://127.0.0.1:9", store=tmp_path)
    assert kept.waiting() == 401
    assert [entry["id"] for entry in kept.queue if entry["answer"] is not None] == [
        f"a{n}" for n in range(100, 400)
    ]


# --- what the server says


def test_an_expired_token_is_renewed_and_the_check_in_goes_through(
    service: Service, cadre: Cadre, pauses: list[float], clock: SetClock
) -> None:
    clock.set(datetime.now(UTC))
    with phone_of(service, cadre, pauses, clock=clock) as phone:
        before = (phone.access, phone.refresh)
        clock.move(minutes=11)
        phone.tap(FIX)
        assert [answer.status for answer in phone.flush()] == [201]
        assert phone.access != before[0]
        assert phone.refresh != before[1]
    assert pauses == []


def test_a_changed_grant_is_renewed_as_well(service: Service, cadre: Cadre, pauses: list[float]) -> None:
    with phone_of(service, cadre, pauses) as phone:
        with service.database.write() as session:
            session.get_one(Account, cadre.account.id).version += 1  # What granting and revoking do.
        phone.tap(FIX)
        assert [answer.status for answer in phone.flush()] == [201]


def test_a_lost_answer_to_a_refresh_ends_nothing(
    service: Service, cadre: Cadre, pauses: list[float], clock: SetClock
) -> None:
    clock.set(datetime.now(UTC))
    network = CuttingTransport()
    with phone_of(service, cadre, pauses, transport=network, clock=clock) as phone:
        clock.move(minutes=11)
        network.lose_next.add("/v1/auth/refresh")
        phone.tap(FIX)
        assert [answer.status for answer in phone.flush()] == [201]
    assert network.lost_after == 1
    asked = [json.loads(r.content) for r in network.sent if r.url.path == "/v1/auth/refresh"]
    assert len(asked) == 2
    assert asked[0] == asked[1]  # The same token again; the answer names the same successor.


def test_an_ended_session_keeps_the_queue_until_the_next_login(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        account.password_hash = service.app.state.hasher.hash(PASSWORD)
    with phone_of(service, cadre, pauses) as phone:
        phone.call("POST", "/v1/auth/logout")
        made = str(phone.tap(FIX))
        with pytest.raises(Refused, match="refresh-refused"):
            phone.flush()
        assert phone.waiting() == 1
        phone.login(cadre.account.login, PASSWORD)
        assert [answer.body["id"] for answer in phone.flush()] == [made]
    assert stored(service, cadre) == [made]


def test_a_refused_check_in_leaves_the_queue_with_its_text(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    with phone_of(service, cadre, pauses) as phone:
        swapped = phone.tap({**FIX, "lon": FIX["lat"], "lat": FIX["lon"]})
        good = phone.tap(FIX)
        refused, taken = phone.flush()
        assert (refused.status, refused.stored, taken.stored) == (422, False, True)
        assert "经纬度似乎写反了" in refused.body["detail"]
        assert phone.waiting() == 0
        kept = {entry["id"]: entry["answer"] for entry in phone.queue}
        assert kept[str(swapped)]["status"] == 422
        assert phone.flush() == []  # Final: it is not sent again.
        attempts = phone.get("/v1/check-ins/attempts")["items"]
    assert [attempt["checkin_id"] for attempt in attempts] == [str(swapped)]
    assert stored(service, cadre) == [str(good)]


def test_texts_come_in_the_language_of_the_phone(service: Service, cadre: Cadre, pauses: list[float]) -> None:
    with phone_of(service, cadre, pauses, language="en") as phone:
        phone.tap({**FIX, "lon": 0.0, "lat": 0.0})
        assert "had no fix" in phone.flush()[0].body["detail"]


def test_busy_is_waited_out_for_as_long_as_retry_after_says(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    with service.database.engine.connect() as held, held.begin() as lock:
        held.execute(sa.text("LOCK TABLE checkins IN SHARE ROW EXCLUSIVE MODE"))

        def let_go(seconds: float) -> None:
            pauses.append(seconds)
            lock.rollback()

        with phone_of(service, cadre, pauses, pause=let_go) as phone:
            made = phone.tap(FIX)
            answers = (
                phone.flush()
            )  # The first sending meets a database that does not answer: 503, Retry-After: 2.
    assert [answer.stored for answer in answers] == [True]
    assert len(pauses) == 1
    assert 2.0 <= pauses[0] <= 3.0
    assert stored(service, cadre) == [str(made)]


def test_a_slowed_login_waits_as_long_as_retry_after_says(
    service: Service, cadre: Cadre, clock: SetClock, pauses: list[float]
) -> None:
    clock.set(datetime.now(UTC))
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        account.password_hash = service.app.state.hasher.hash(PASSWORD)
    for _ in range(6):
        service.client.post("/v1/auth/login", json={"login": account.login, "password": "猜一猜"})

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        clock.move(seconds=seconds)

    with phone_of(service, cadre, pauses, pause=wait) as phone:
        phone.login(account.login, PASSWORD)
    assert len(pauses) == 1
    assert 1.0 <= pauses[0] <= 1.5


def test_a_phone_that_logged_in_before_is_not_slowed_by_guesses(
    service: Service, cadre: Cadre, pauses: list[float], tmp_path: Path, clock: SetClock
) -> None:
    clock.set(datetime.now(UTC) + timedelta(hours=1))  # Other tests have moved on and been slowed there.
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        account.password_hash = service.app.state.hasher.hash(PASSWORD)
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:
        phone.login(account.login, PASSWORD)
    for _ in range(6):
        service.client.post("/v1/auth/login", json={"login": account.login, "password": "猜一猜"})
    with phone_of(service, cadre, pauses, store=tmp_path) as phone:  # The hint survived with the queue.
        phone.login(account.login, PASSWORD)
    assert pauses == []


def test_activation_logs_in_and_a_wrong_old_password_is_not_taken_for_a_dead_token(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    with service.database.write() as session:
        code = codes.make(session, None, session.get_one(Account, cadre.account.id)).code
    with phone_of(service, cadre, pauses) as phone:
        phone.activate(cadre.account.login, code.lower().replace("-", " "), PASSWORD)
        before = phone.refresh
        answer = phone.call(
            "POST", "/v1/auth/password", {"old_password": "不对", "new_password": "石蟆镇的甘蔗很甜"}
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "login-refused")
        assert phone.refresh == before
        assert phone.get("/v1/me")["account"]["activated"] is True


# --- strangers' answers


class Stranger(BaseHTTPRequestHandler):
    """A Wi-Fi's login page, or a proxy that answers in the server's stead."""

    status, page, media = 200, b"<html>login</html>", "text/html"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Type", self.media)
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def stranger(status: int, page: bytes, media: str) -> Iterator[str]:
    handler = type("Handler", (Stranger,), {"status": status, "page": page, "media": media})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize(
    ("status", "page", "media"),
    [
        (200, b"<html>login</html>", "text/html"),
        (200, b'{"ok": true}', "application/json"),
        (200, b"[]", "application/json"),
        (302, b"", "text/html"),
        (403, b"<html>blocked</html>", "text/html"),
        (404, b'{"message": "no route"}', "application/json"),
        (413, b"<html>too large</html>", "text/html"),
        (500, b"oops", "text/plain"),
        (502, b"<html>bad gateway</html>", "text/html"),
    ],
)
def test_a_strangers_page_is_no_answer(status: int, page: bytes, media: str, pauses: list[float]) -> None:
    with stranger(status, page, media) as url:
        with httpx.Client(base_url=url) as client:
            phone = Phone(url, access="a", refresh="r", pause=pauses.append, client=client)
            phone.tap(FIX)
            assert phone.flush(attempts=2) == []
            assert phone.waiting() == 1


def test_one_check_in_that_the_server_stumbles_over_holds_up_no_other(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    with service.database.write() as session:
        session.execute(
            sa.text(
                "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN IF NEW.note = 'stumble' THEN RAISE 'stumbled'; END IF; RETURN NEW; END $$"
            )
        )
        session.execute(
            sa.text(
                "CREATE TRIGGER stumble BEFORE INSERT ON checkins FOR EACH ROW EXECUTE FUNCTION stumble()"
            )
        )
    try:
        with phone_of(service, cadre, pauses) as phone:
            phone.tap(FIX, note="stumble")
            good = phone.tap(FIX)
            assert [answer.body["id"] for answer in phone.flush()] == [str(good)]
            assert phone.waiting() == 1
            with service.database.write() as session:
                session.execute(sa.text("DROP TRIGGER stumble ON checkins"))
            assert [answer.status for answer in phone.flush()] == [201]  # Sent again later, it is not lost.
    finally:
        with service.database.write() as session:
            session.execute(sa.text("DROP FUNCTION stumble() CASCADE"))


# --- clocks


def test_a_phone_with_a_wrong_clock_counts_for_the_right_day(
    service: Service, cadre: Cadre, pauses: list[float]
) -> None:
    def wrong() -> datetime:
        return clock_module.now() - timedelta(days=400)

    with phone_of(service, cadre, pauses, clock=wrong) as phone:
        phone.tap(FIX)
        body = phone.flush()[0].body
    assert body["day"] == datetime.now(BEIJING).date().isoformat()
    assert abs(body["clock_off_s"] + 400 * 86_400) < 60


def test_everything_the_client_calls_exists() -> None:
    from docs import contract  # noqa: PLC0415  The document is made only here.

    text = Path(zaicun_phone.__file__).read_text("utf-8")
    for method, path in (
        ("POST", "/v1/auth/activate"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/refresh"),
        ("PUT", "/v1/check-ins/{entry['id']}"),
        ("GET", "/v1/me/months/{month}"),
    ):
        assert path in text
        assert contract.operation_of(method, path) is not None
