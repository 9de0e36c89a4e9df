"""The folder of keys: shared, closed to others, rotated without a restart (ruling 24, security.md S11)."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from conftest import SetClock

from server.access import Who
from server.auth import tokens
from server.auth.doorkeeper import Doorkeeper
from server.auth.keys import SPREAD, KeySet, Purpose
from server.problems import Problem
from server.settings import Settings, SettingsFault


def test_two_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    for attempt in range(20):
        sets = [KeySet(tmp_path / f"k{attempt}") for _ in range(8)]
        barrier = threading.Barrier(len(sets))

        def start(keys: KeySet, gate: threading.Barrier = barrier) -> None:
            gate.wait()
            keys.ensure()

        threads = [threading.Thread(target=start, args=(keys,)) for keys in sets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {keys.current(Purpose.ACCESS).kid for keys in sets} == {sets[0].current(Purpose.ACCESS).kid}
        assert len({keys.current(Purpose.REFRESH).secret for keys in sets}) == 1
        assert sorted(p.name for p in (tmp_path / f"k{attempt}").iterdir()) == [
            "access-000001.jwk",
            "anchor-000001.jwk",
            "link-000001.jwk",
            "receipt-000001.jwk",
            "refresh-000001.jwk",
        ]


def test_private_keys_are_closed_to_others(tmp_path: Path) -> None:
    keys = KeySet(tmp_path / "keys")
    keys.ensure()
    files = list((tmp_path / "keys").iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    files[0].chmod(0o644)
    with pytest.raises(SettingsFault, match="chmod 600"):
        KeySet(tmp_path / "keys").ensure()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kty":"EC"}', '{"kty":"oct","k":"AAAA","kid":"a"}'])
def test_a_broken_key_file_stops_the_start_and_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "access-000009.jwk"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SettingsFault, match=r"access-000009\.jwk"):
        KeySet(tmp_path).ensure()


def test_nothing_that_is_shown_of_a_key_is_secret(tmp_path: Path) -> None:
    keys = KeySet(tmp_path)
    keys.ensure()
    secret = keys.current(Purpose.REFRESH)
    assert secret.secret is not None
    shown = repr(keys.listed())
    assert repr(secret.secret) not in shown
    assert "private" not in shown


def test_rotation_under_load_refuses_nobody(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, one of which sees the folder as late as it may; tokens of both stay good on both (S11)."""
    clock.set(datetime(2026, 3, 1, 8, tzinfo=UTC))
    ticks = {"now": 0.0}
    monkeypatch.setattr("server.auth.keys.time.monotonic", lambda: ticks["now"])
    here, there = Doorkeeper(Settings(var=tmp_path)), Doorkeeper(Settings(var=tmp_path))
    here.keys.ensure()
    there.keys.ensure()
    who = Who(uuid4(), uuid4(), 1)
    first = here.keys.current(Purpose.ACCESS)
    KeySet(tmp_path / "keys").rotate(Purpose.ACCESS)
    signers = set()
    for _ in range(80):  # 40 seconds, across the change
        for maker, reader in ((here, there), (there, here)):
            token, _ends = tokens.sign(maker.keys, "zaicun", who)
            signers.add(jwt.get_unverified_header(token)["kid"])
            assert reader.read(token).account_id == who.account_id
        clock.move(seconds=0.5)
        ticks["now"] += 0.5
    assert len(signers) == 2
    assert here.keys.current(Purpose.ACCESS).kid != first.kid
    # A superseded key signs nothing more: ten minutes later even a fresh token of it is forged.
    clock.move(minutes=11)
    assert first.private is not None
    forged = jwt.encode(
        jwt.decode(token, options={"verify_signature": False})
        | {name: int(clock().timestamp()) + add for name, add in (("iat", 0), ("nbf", 0), ("exp", 600))},
        first.private,
        "ES256",
        headers={"kid": first.kid, "typ": "at+jwt"},
    )
    with pytest.raises(Problem, match="token-invalid"):
        here.read(forged)


def test_a_stolen_key_is_refused_within_seconds_even_from_memory(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.set(datetime(2026, 3, 1, 8, tzinfo=UTC))
    ticks = {"now": 0.0}
    monkeypatch.setattr("server.auth.keys.time.monotonic", lambda: ticks["now"])
    keeper = Doorkeeper(Settings(var=tmp_path))
    keeper.keys.ensure()
    who = Who(uuid4(), uuid4(), 1)
    token, _ends = tokens.sign(keeper.keys, "zaicun", who)
    assert keeper.read(token).account_id == who.account_id
    KeySet(tmp_path / "keys").rotate(Purpose.ACCESS, distrust_earlier=True)
    ticks["now"] += 2.5
    with pytest.raises(Problem, match="token-invalid"):
        keeper.read(token)
    assert keeper.read(tokens.sign(keeper.keys, "zaicun", who)[0]).account_id == who.account_id


def test_a_broken_file_does_not_stop_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = {"now": 0.0}
    monkeypatch.setattr("server.auth.keys.time.monotonic", lambda: ticks["now"])
    keys = KeySet(tmp_path)
    keys.ensure()
    good = keys.current(Purpose.ACCESS)
    (tmp_path / "access-000002.jwk").write_text("{")
    ticks["now"] += 10
    assert keys.current(Purpose.ACCESS).kid == good.kid
    assert SPREAD.total_seconds() > 2
