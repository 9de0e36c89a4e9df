"""The reference client with a key: what it taps is signed, whatever becomes of the network, the phone and its key."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import zaicun_phone
from conftest import Service
from docs.cutting_transport import CuttingTransport
from docs.phones import FIX, stored
from factories_checkins import Cadre, World, make_cadre, make_world
from factories_login import PASSWORD
from zaicun_key import DeviceKey
from zaicun_phone import Phone

from server.auth.models import Account


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(scope="module")
def password_hash(service: Service) -> str:
    hashed: str = service.app.state.hasher.hash(PASSWORD)
    return hashed


def made(service: Service, world: World, password_hash: str) -> Cadre:
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        session.get_one(Account, cadre.account.id).password_hash = password_hash
    return cadre


@pytest.fixture
def cadre(service: Service, world: World, password_hash: str) -> Cadre:
    return made(service, world, password_hash)


@contextmanager
def phone_in(
    service: Service, store: Path, *, key: Path | None, transport: httpx.BaseTransport | None = None
) -> Iterator[Phone]:
    """Yield a phone with its folder, as it starts: with the key in `key`, or none."""
    with httpx.Client(base_url=service.url, timeout=15, transport=transport) as client:
        kept = None if key is None else DeviceKey.kept(key)
        yield Phone(service.url, store=store, client=client, key=kept, pause=lambda _: None)


def by(phone: Phone, made: str) -> str | None:
    """Return the key that a stored check-in was signed by."""
    signature = phone.get(f"/v1/check-ins/{made}")["signature"]
    return None if signature is None else str(signature["jkt"])


def test_a_queue_is_signed_at_the_tap_and_survives_the_network_and_the_app(
    service: Service, cadre: Cadre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zaicun_phone, "PORTION", 3)
    with phone_in(service, tmp_path, key=tmp_path) as phone:
        phone.login(cadre.account.login, PASSWORD)
        tapped = [
            str(phone.tap(FIX if n % 3 else None, no_position=None if n % 3 else "off")) for n in range(12)
        ]
        signatures = [entry["signed"]["signed"] for entry in phone.queue]
    network = CuttingTransport(before=0.2, after=0.2, seed=7)
    with phone_in(service, tmp_path, key=tmp_path, transport=network) as phone:  # The app was closed.
        while phone.waiting():
            phone.flush()
    assert network.lost_after > 0
    assert sorted(stored(service, cadre)) == sorted(tapped)
    with phone_in(service, tmp_path, key=tmp_path) as phone:
        assert [phone.get(f"/v1/check-ins/{one}")["signed"] for one in tapped] == signatures


def test_a_key_replaced_in_the_middle_of_a_queue_costs_nothing(
    service: Service, cadre: Cadre, tmp_path: Path
) -> None:
    """Taps without a key, with the first, and with the second: each is sent, and says by which it was signed."""
    with phone_in(service, tmp_path, key=None) as phone:
        phone.login(cadre.account.login, PASSWORD)
        bare = str(phone.tap(FIX))
    with phone_in(service, tmp_path, key=tmp_path / "first") as phone:
        phone.login(cadre.account.login, PASSWORD)
        first, early = str(phone.tap(FIX)), phone.get("/v1/me/devices")["items"][0]["jkt"]
    with phone_in(service, tmp_path, key=tmp_path / "second") as phone:
        phone.login(cadre.account.login, PASSWORD)
        late = next(item["jkt"] for item in phone.get("/v1/me/devices")["items"] if item["current"])
        second = str(phone.tap(FIX))
        assert [answer.status for answer in phone.flush()] == [201] * 3
        assert [by(phone, one) for one in (bare, first, second)] == [late, early, late]


def test_what_a_stranger_s_key_signed_is_signed_anew_and_holds_up_nothing(
    service: Service, cadre: Cadre, tmp_path: Path
) -> None:
    """The key was lost with the app's data and never came to the server: nothing of the queue is lost."""
    with phone_in(service, tmp_path, key=tmp_path) as phone:
        phone.login(cadre.account.login, PASSWORD)
        assert phone.person is not None
        tapped = [str(phone.tap(FIX)) for _ in range(3)]
        lost = DeviceKey.kept(tmp_path / "lost")
        for entry in phone.queue[:2]:
            entry["signed"] = lost.check_in(phone.person, entry["id"], entry["content"])
        assert sorted(answer.status for answer in phone.flush()) == [201] * 3
        assert phone.waiting() == 0
        current = phone.get("/v1/me/devices")["items"][0]["jkt"]
        assert {by(phone, one) for one in tapped} == {current}


def test_what_waits_of_another_person_waits_for_them(
    service: Service, world: World, cadre: Cadre, password_hash: str, tmp_path: Path
) -> None:
    """Two people with one phone and one folder (edge 70): nobody's check-in becomes the other's."""
    other = made(service, world, password_hash)
    with phone_in(service, tmp_path, key=tmp_path) as phone:
        phone.login(cadre.account.login, PASSWORD)
        first = str(phone.tap(FIX))
        phone.login(other.account.login, PASSWORD)
        second = str(phone.tap(FIX))
        assert [answer.body["id"] for answer in phone.flush()] == [second]
        phone.login(cadre.account.login, PASSWORD)
        assert [answer.body["id"] for answer in phone.flush()] == [first]
    assert (stored(service, cadre), stored(service, other)) == ([first], [second])


def test_a_wrong_clock_does_no_harm_to_a_phone_with_a_key(
    service: Service, cadre: Cadre, tmp_path: Path
) -> None:
    """A day ahead and a day behind: proofs are judged by the server's nonce, taps by both readings of the clock (S1)."""
    with phone_in(service, tmp_path, key=tmp_path) as phone:
        phone.login(cadre.account.login, PASSWORD)
        for hours in (-24, 24):
            phone.clock = lambda hours=hours: datetime.fromtimestamp(  # type: ignore[misc]
                datetime.now(UTC).timestamp() + 3600 * hours, UTC
            )
            phone.tap(FIX)
            [answer] = phone.flush()
            assert answer.status == 201
            assert abs(answer.body["clock_off_s"] - 3600 * hours) < 60
