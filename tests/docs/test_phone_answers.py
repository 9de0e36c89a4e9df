"""The reference client and what it is answered: tokens, refusals, waiting, strangers, clocks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import zaicun_phone
from conftest import Clone, Service, SetClock, running_service
from docs import contract
from docs.cutting_transport import CuttingTransport
from docs.phones import FIX, PASSWORD, phone_of, stored
from factories_checkins import Cadre, World, make_cadre, make_world
from processes import serving
from zaicun_phone import BEIJING, Phone, Refused

from server import clock as clock_module
from server.auth import codes
from server.auth.models import Account, Throttle


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(autouse=True)
def _unslowed(service: Service) -> None:
    """Forget slowed attempts: tests that move the clock would slow those that do not."""
    with service.database.write() as session:
        session.execute(sa.delete(Throttle))


@pytest.fixture
def cadre(service: Service, world: World) -> Cadre:
    return make_cadre(service, world)


@pytest.fixture
def pauses() -> list[float]:
    return []


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
        held.execute(sa.text("LOCK TABLE checkin_rows IN SHARE ROW EXCLUSIVE MODE"))

        def let_go(seconds: float) -> None:
            pauses.append(seconds)
            lock.rollback()

        asked: list[float] = []
        with phone_of(service, cadre, pauses, pause=let_go) as phone:
            assert phone.client is not None
            phone.client.event_hooks["response"] = [
                lambda answer: asked.extend(float(s) for s in answer.headers.get_list("Retry-After"))
            ]
            made = phone.tap(FIX)
            answers = phone.flush()  # The first sending meets a database that does not answer: 503.
    assert [answer.stored for answer in answers] == [True]
    assert len(pauses) == len(asked) == 1
    assert asked[0] <= pauses[0] <= 1.5 * asked[0]
    assert stored(service, cadre) == [str(made)]


def test_a_renewal_that_finds_the_server_busy_ends_nothing(
    clone: Clone, tmp_path: Path, clock: SetClock, pauses: list[float]
) -> None:
    clock.set(datetime.now(UTC))
    with running_service(clone(), tmp_path, statement_timeout_s=0.2) as service:
        cadre = make_cadre(service, make_world(service))
        with service.database.engine.connect() as held, held.begin() as lock:

            def wait(seconds: float) -> None:
                pauses.append(seconds)
                if len(pauses) == 7:  # Longer than one renewal tries.
                    lock.rollback()

            with phone_of(service, cadre, pauses, pause=wait) as phone:
                clock.move(minutes=11)
                held.execute(sa.text("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"))
                made = phone.tap(FIX)
                assert [answer.body["id"] for answer in phone.flush()] == [str(made)]
    assert len(pauses) >= 7


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
    service: Service, cadre: Cadre, pauses: list[float], tmp_path: Path
) -> None:
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
        phone.activate(
            cadre.account.login, code.lower().replace("-", " "), PASSWORD, phone.notice()["digest"]
        )
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
    with serving(handler) as url:
        yield url


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
    with stranger(status, page, media) as url, httpx.Client(base_url=url) as client:
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
                "CREATE TRIGGER stumble BEFORE INSERT ON checkin_rows FOR EACH ROW EXECUTE FUNCTION stumble()"
            )
        )
    try:
        with phone_of(service, cadre, pauses) as phone:
            phone.tap(FIX, note="stumble")
            good = phone.tap(FIX)
            assert [answer.body["id"] for answer in phone.flush()] == [str(good)]
            assert phone.waiting() == 1
            with service.database.write() as session:
                session.execute(sa.text("DROP TRIGGER stumble ON checkin_rows"))
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
    text = Path(zaicun_phone.__file__).read_text("utf-8")
    for method, path in (
        ("POST", "/v1/auth/activate"),
        ("GET", "/v1/notice"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/refresh"),
        ("PUT", "/v1/check-ins/{entries[0]['id']}"),
        ("POST", "/v1/check-ins/batch"),
        ("GET", "/v1/me/months/{month}"),
    ):
        assert path in text
        assert contract.operation_of(method, path) is not None


@pytest.mark.parametrize("name", ["client", "salt", "captured_at"])
def test_what_was_fixed_at_the_tap_must_not_be_made_anew(
    service: Service, cadre: Cadre, pauses: list[float], name: str
) -> None:
    with phone_of(service, cadre, pauses) as phone:
        phone.tap(FIX)
        phone.flush()
        entry = phone.queue[0]
        other = {"client": "zaicun-phone/2.0", "salt": "A" * 22, "captured_at": "2026-11-05T12:00:00+08:00"}
        entry["content"] |= {name: other[name]}
        entry["answer"] = None
        assert phone.flush()[0].body["code"] == "id-reused"
