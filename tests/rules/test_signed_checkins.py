"""Signed check-ins (rulings 22, 23): what was signed at the tap is what is judged, or nothing is."""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from factories_devices import ALGORITHMS, PhoneKey, b64
from hypothesis import given
from hypothesis import strategies as st

from server.auth.jws import Unfit
from server.checkins import judging, rules, signing
from server.checkins.schemas import CheckInIn

PERSON, CHECKIN = UUID("01a1a9dd-1200-7a01-81f3-c9a7d2b4f801"), UUID("01a1a9dd-1200-7a01-81f3-c9a7d2b4f802")
SALT = bytes(range(16))
KEYS = {alg: PhoneKey(alg) for alg in ALGORITHMS}


def committed(
    salt: bytes, lon_e7: int, lat_e7: int, altitude_cm: int | None, speed_cmps: int | None
) -> bytes:
    """Compute the commitment as the guide tells phones to."""
    absent = -(2**63)
    packed = struct.pack(
        ">qqqq",
        lon_e7,
        lat_e7,
        absent if altitude_cm is None else altitude_cm,
        absent if speed_cmps is None else speed_cmps,
    )
    return hashlib.sha256(b"zaicun position 1\0" + bytes([len(salt)]) + salt + packed).digest()


def statement(**changed: Any) -> dict[str, Any]:
    commitment = committed(SALT, 1_062_071_234, 289_081_234, 31_250, None)
    return {
        "id": str(CHECKIN),
        "person": str(PERSON),
        "kind": "day",
        "captured_at": "2026-11-05T12:00:00+08:00",
        "utc_offset_min": 480,
        "position": {
            "datum": "wgs84",
            "accuracy_m": 12.0,
            "age_s": 3.2,
            "provider": "gps",
            "mocked": False,
            "commitment": b64(commitment),
        },
        "note": "走访三组",
        "client": "zaicun-phone/1.0",
    } | changed


def envelope(
    key: PhoneKey, stated: dict[str, Any] | bytes, *, header: dict[str, Any] | None = None, **changed: Any
) -> dict[str, Any]:
    payload = stated if isinstance(stated, bytes) else json.dumps(stated, ensure_ascii=False).encode()
    head = {"typ": signing.KIND, "alg": key.alg, "jwk": key.jwk} | (header or {})
    opening = {
        "lon_e7": 1_062_071_234,
        "lat_e7": 289_081_234,
        "altitude_cm": 31_250,
        "speed_cmps": None,
        "salt": b64(SALT),
    }
    return {
        "signed": key.signed(head, payload),
        "sent_at": "2026-11-05T12:00:02+08:00",
        "position": opening,
    } | changed


def read(sent: dict[str, Any]) -> tuple[signing.Signed, dict[str, Any]]:
    signed = signing.opened(sent["signed"], person_id=PERSON, checkin_id=CHECKIN)
    return signed, signing.unfolded(signed, sent)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_it_becomes_the_body_that_an_unsigned_one_has(alg: str) -> None:
    key = KEYS[alg]
    sent = envelope(key, statement())
    found, unfolded = read(sent)
    assert (found.key.jkt, found.proof.jkt) == (key.jkt, key.jkt)
    assert found.proof.compact() == sent["signed"]
    body = CheckInIn.model_validate_json(json.dumps(unfolded))
    plain = CheckInIn.model_validate_json(
        json.dumps(
            {
                "kind": "day",
                "captured_at": "2026-11-05T12:00:00+08:00",
                "sent_at": "2026-11-05T12:00:02+08:00",
                "utc_offset_min": 480,
                "position": {
                    "lon": 106.2071234,
                    "lat": 28.9081234,
                    "altitude_m": 312.5,
                    "datum": "wgs84",
                    "accuracy_m": 12.0,
                    "age_s": 3.2,
                    "provider": "gps",
                    "mocked": False,
                },
                "note": "走访三组",
                "client": "zaicun-phone/1.0",
                "salt": b64(SALT),
            }
        )
    )
    assert body == plain
    assert body.position is not None
    told = found.statement["position"]["commitment"]
    assert b64(rules.commitment(SALT, judging.exact(body.position))) == told


def test_what_is_kept_holds_no_coordinates() -> None:
    """So the proof outlives their fading (ruling 22)."""
    key = KEYS["ES256"]
    evidence = read(envelope(key, statement()))[0].proof.compact()
    whole = b"".join(base64.urlsafe_b64decode(part + "==") for part in evidence.split("."))
    for trace in (b"106.2", b"1062071234", b"28.90", b"289081234", b"31250", b"312.5", b64(SALT).encode()):
        assert trace not in whole


def test_a_resend_at_another_time_has_the_same_evidence() -> None:
    key = KEYS["EdDSA"]
    first = envelope(key, statement())
    again = {**first, "sent_at": "2026-11-08T09:00:00+08:00"}
    (one, body), (other, later) = read(first), read(again)
    assert one.proof == other.proof
    assert {**body, "sent_at": ""} == {**later, "sent_at": ""}


def test_without_a_position_there_is_nothing_to_open() -> None:
    key = KEYS["ES256"]
    stated = statement(position=None, no_position="timeout")
    for sent in (
        envelope(key, stated, position=None),
        {"signed": envelope(key, stated)["signed"], "sent_at": "x"},
    ):
        _, body = read(sent)
        assert (
            CheckInIn.model_validate_json(
                json.dumps(body | {"sent_at": "2026-11-05T12:00:02+08:00"})
            ).position
            is None
        )


def test_what_is_unknown_is_passed_over() -> None:
    """A newer phone's queue must not be stuck (ruling 11)."""
    key = KEYS["ES256"]
    known = read(envelope(key, statement()))[1]
    sent = envelope(key, statement(shade="newer"), more=1)
    sent["position"]["floors"] = 3
    assert read(sent)[1] == known | {"shade": "newer"}


@given(
    lon_e7=st.integers(-1_800_000_000, 1_800_000_000),
    lat_e7=st.integers(-900_000_000, 900_000_000),
    altitude_cm=st.none() | st.integers(-2_000_000, 10_000_000),
    speed_cmps=st.none() | st.integers(-100_000, 10_000_000),
    salt=st.binary(min_size=16, max_size=32),
)
def test_every_integer_survives_the_way_through_numbers(
    lon_e7: int, lat_e7: int, altitude_cm: int | None, speed_cmps: int | None, salt: bytes
) -> None:
    """1e-7 degree becomes a JSON number and, where it is judged and committed to, the same integer again."""
    key = KEYS["EdDSA"]
    position = {
        "datum": "wgs84",
        "accuracy_m": 5.0,
        "age_s": 1.0,
        "commitment": b64(committed(salt, lon_e7, lat_e7, altitude_cm, speed_cmps)),
    }
    opening = {
        "lon_e7": lon_e7,
        "lat_e7": lat_e7,
        "altitude_cm": altitude_cm,
        "speed_cmps": speed_cmps,
        "salt": b64(salt),
    }
    told = read(envelope(key, statement(position=position), position=opening))[1]["position"]
    assert round(told["lon"] * 10**7) == lon_e7
    assert round(told["lat"] * 10**7) == lat_e7
    assert (None if told["altitude_m"] is None else round(told["altitude_m"] * 100)) == altitude_cm
    assert (None if told["speed_mps"] is None else round(told["speed_mps"] * 100)) == speed_cmps


def wrong(key: PhoneKey) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what is refused, by why and what."""
    good = envelope(key, statement())
    opening = good["position"]
    yield (
        "signature",
        "another phone's that says it is this one",
        envelope(PhoneKey(key.alg), statement(), header={"jwk": key.jwk}),
    )
    head, body, signature = good["signed"].split(".")
    moved = json.dumps(statement(captured_at="2026-11-06T12:00:00+08:00")).encode()
    yield "signature", "another day", {**good, "signed": f"{head}.{b64(moved)}.{signature}"}
    respaced = json.dumps(statement(), ensure_ascii=False, separators=(",", ":")).encode()
    yield "signature", "the same written otherwise", {**good, "signed": f"{head}.{b64(respaced)}.{signature}"}
    none = b64(json.dumps({"typ": signing.KIND, "alg": "none", "jwk": key.jwk}).encode())
    yield "algorithm", "none", {**good, "signed": f"{none}.{body}."}
    yield "header", "a DPoP proof", envelope(key, statement(), header={"typ": "dpop+jwt"})
    yield "header", "crit", envelope(key, statement(), header={"crit": ["b64"], "b64": False})
    yield "about", "another check-in", envelope(key, statement(id=str(uuid4())))
    yield "about", "another person", envelope(key, statement(person=str(uuid4())))
    yield "about", "nobody", envelope(key, {k: v for k, v in statement().items() if k != "person"})
    yield "about", "a name for a number", envelope(key, statement(id=5))
    yield (
        "commitment_differs",
        "a place beside",
        {**good, "position": {**opening, "lon_e7": opening["lon_e7"] + 1}},
    )
    yield "commitment_differs", "another salt", {**good, "position": {**opening, "salt": b64(bytes(16))}}
    yield "commitment_differs", "an altitude left out", {**good, "position": {**opening, "altitude_cm": None}}
    yield (
        "position_not_signed",
        "a place where there was none",
        envelope(key, statement(position=None, no_position="timeout")),
    )
    yield "opening_required", "no place where there was one", {**good, "position": None}
    yield "integer_required", "degrees", {**good, "position": {**opening, "lon_e7": 106.2071234}}
    yield "integer_required", "true", {**good, "position": {**opening, "lat_e7": True}}
    yield "integer_required", "beyond the earth", {**good, "position": {**opening, "lon_e7": 1_800_000_001}}
    yield "integer_required", "too many digits", {**good, "position": {**opening, "altitude_cm": 10**30}}
    yield "salt", "a salt too short", {**good, "position": {**opening, "salt": b64(bytes(15))}}
    yield "salt", "a salt of numbers", {**good, "position": {**opening, "salt": 5}}
    yield "form", "a number for a JWS", {**good, "signed": 5}
    yield (
        "coordinates_signed",
        "coordinates in the open",
        envelope(key, statement(position={**statement()["position"], "lon": 106.2})),
    )
    yield "coordinates_signed", "a salt in the open", envelope(key, statement(salt=b64(SALT)))
    yield (
        "position_not_signed",
        "no position at all",
        envelope(key, {k: v for k, v in statement().items() if k != "position"}),
    )
    yield "form", "a name twice", envelope(key, b'{"id":"x","id":"y"}')
    yield "form", "no object", envelope(key, b"[]")
    yield "form", "endless", {**good, "signed": good["signed"] + "A" * signing.LONGEST}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_was_changed_on_its_way_or_is_another_s_is_refused(alg: str) -> None:
    key = KEYS[alg]
    for cause, name, sent in wrong(key):
        with pytest.raises((Unfit, signing.Unopened)) as refused:
            read(sent)
        fault: Exception = refused.value
        assert (name, getattr(fault, "cause", None) or getattr(fault, "code", None)) == (name, cause)


@given(st.binary(max_size=60), st.integers(0, 2))
def test_no_bytes_make_it_crash(noise: bytes, part: int) -> None:
    key = KEYS["ES256"]
    parts = envelope(key, statement())["signed"].split(".")
    parts[part] = b64(noise)
    with pytest.raises(Unfit):
        read(envelope(key, statement(), signed=".".join(parts)))
