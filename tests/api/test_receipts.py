"""Receipts (S5): what a phone gets, what it proves, and what is found when somebody changes the record afterwards."""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import Clone, Service, SetClock, running_service
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from factories_checkins import Cadre, World, check_in, fade, make_cadre, make_world, position, renewed
from factories_devices import PhoneKey, sealed
from factories_receipts import zaicun
from paging import every
from sqlalchemy import orm

from server import ids

NOON = datetime(2026, 11, 17, 4, 0, tzinfo=UTC)
SALT = base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("=")


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World, clock: SetClock) -> Cadre:
    clock.set(NOON)
    return make_cadre(service, world)


def text(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def put(
    service: Service, cadre: Cadre, at: datetime = NOON, key: PhoneKey | None = None, **changes: Any
) -> tuple[UUID, dict[str, Any], dict[str, Any]]:
    """Check in, signed if there is a key; return id, content without `sent_at`, and the answer."""
    made, body = ids.new_id(), check_in(at, sent=NOON, salt=SALT, **changes)
    with service.as_(cadre.token) as client:
        sent = body if key is None else sealed(key, cadre.person_id, made, body)
        answer = client.put(f"/v1/check-ins/{made}", json=sent)
    assert answer.status_code == 201, answer.text
    return made, {name: value for name, value in body.items() if name != "sent_at"}, answer.json()


def test_a_receipt_is_a_jws_that_anybody_can_verify_and_tells_no_place(
    service: Service, cadre: Cadre
) -> None:
    """An oracle of its own: RFC 7515, RFC 8037 and the guide's words, none of the product's code."""
    made, _, told = put(service, cadre)
    header, payload, signature = told["receipt"].split(".")
    assert json.loads(text(header)) == {
        "typ": "zaicun-receipt+jws",
        "alg": "EdDSA",
        "kid": json.loads(text(header))["kid"],
    }
    published = service.client.get("/v1/receipt-keys").json()
    key = next(key for key in published["keys"] if key["kid"] == json.loads(text(header))["kid"])
    Ed25519PublicKey.from_public_bytes(text(key["x"])).verify(text(signature), f"{header}.{payload}".encode())
    said = json.loads(text(payload))
    assert said["sub"] == str(cadre.person_id)
    assert (said["jti"], said["day"], said["verdict"], said["standing"]) == (
        str(made),
        "2026-11-17",
        "inside",
        "counted",
    )
    assert (said["seq"], said["prev"], said["epoch"]) == (1, None, 1)
    assert said["epoch_id"] == published["epochs"][-1]["id"]
    lon, lat = round(position()["lon"] * 10**7), round(position()["lat"] * 10**7)
    packed = struct.pack(">qqqq", lon, lat, -(2**63), -(2**63))
    salted = b"zaicun position 1\0" + bytes([16]) + text(SALT) + packed
    assert text(said["commitment"]) == hashlib.sha256(salted).digest()
    shown = text(payload).decode()
    assert "106.2" not in shown
    assert str(lon) not in shown
    following = put(service, cadre, NOON - timedelta(hours=1))[2]["receipt"]
    assert (
        text(json.loads(text(following.split(".")[1]))["prev"])
        == hashlib.sha256(told["receipt"].encode()).digest()
    )


def test_a_replay_gives_the_same_receipt_byte_by_byte_after_a_rotation_too(
    service: Service, cadre: Cadre, clock: SetClock
) -> None:  # edge 68
    made, content, told = put(service, cadre)
    first = content | {"sent_at": (NOON + timedelta(seconds=2)).isoformat()}
    assert zaicun(service, "keys", "rotate", "--purpose", "receipt", "--stolen").exit_code == 0
    clock.move(seconds=30)
    with service.as_(renewed(service, cadre).token) as client:
        again = client.put(f"/v1/check-ins/{made}", json=first)
        queued = client.post(
            "/v1/check-ins/batch", json={"sent_at": first["sent_at"], "items": [{"id": str(made), **content}]}
        ).json()["items"][0]["check_in"]
        shown = client.get(f"/v1/check-ins/{made}").json()
        listed = client.get("/v1/me/receipts").json()["items"]
    assert (again.status_code, again.json()) == (200, told)
    assert queued == told
    assert shown["receipt"] == told["receipt"]
    assert [(item["seq"], item["receipt"]) for item in listed] == [(1, told["receipt"])]


def test_one_own_receipts_come_by_pages_in_the_order_of_the_chain(service: Service, cadre: Cadre) -> None:
    receipts = [put(service, cadre, NOON - timedelta(minutes=5 * n))[2]["receipt"] for n in range(5)]
    with service.as_(cadre.token) as client:
        found = every(client, "/v1/me/receipts", limit=2)
        now = client.get("/v1/me/sync").json()["receipts"]
    assert [item["receipt"] for item in found] == receipts
    assert (now["seq"], text(now["hash"])) == (5, hashlib.sha256(receipts[-1].encode()).digest())


@pytest.fixture
def apart(clone: Clone, tmp_path_factory: pytest.TempPathFactory, clock: SetClock) -> Iterator[Service]:
    clock.set(NOON)
    with running_service(clone(), tmp_path_factory.mktemp("var")) as running:
        yield running


def do(session: orm.Session, statement: str, **named: object) -> None:
    """Run what only the owner of the tables could."""
    session.execute(sa.text(statement), named)


def kept_by(tmp_path: Path, entries: list[tuple[UUID, dict[str, Any], dict[str, Any]]]) -> Path:
    """Write what a phone keeps: content and receipt of each check-in."""
    file = tmp_path / "phone.json"
    queue = [
        {"id": str(made), "content": content, "receipt": told["receipt"]} for made, content, told in entries
    ]
    file.write_text(json.dumps({"queue": queue}))
    return file


def test_whatever_is_done_to_the_record_is_found(apart: Service, tmp_path: Path) -> None:
    """As the owner of the tables, which no account of the service is: edited, unsigned, deleted, cut off at the end."""
    world = make_world(apart)
    person, other = make_cadre(apart, world), make_cadre(apart, world)
    keys = (None, None, PhoneKey(), PhoneKey())
    own = [put(apart, person, NOON - timedelta(minutes=5 * n), key) for n, key in enumerate(keys)]
    put(apart, other)
    file = kept_by(tmp_path, own)
    assert zaicun(apart, "verify-receipt", file, "--complete", "--database").exit_code == 0
    assert zaicun(apart, "receipts", "check").exit_code == 0
    first, second, third, last = (made for made, _, _ in own)
    named = {
        "first": first,
        "second": second,
        "last": last,
        "person": person.person_id,
        "other": other.person_id,
    }
    with apart.database.read() as session:
        rows = session.execute(sa.text("SELECT id, seq FROM checkin_rows"))
        seqs: dict[UUID, int] = {row.id: row.seq for row in rows}
    numbered = {"unsigned": seqs[second], "signed": seqs[third]}
    deeds = {
        "DELETE FROM checkin_signatures WHERE seq = :signed": ("unsealed", "facts"),
        "UPDATE checkin_signatures SET payload = payload || ' ' WHERE seq = :signed": ("unsealed", "facts"),
        "UPDATE checkin_signatures SET seq = :unsigned WHERE seq = :signed": ("unsealed", "facts"),
        "UPDATE checkin_signatures SET signer = (SELECT max(id) FROM checkin_signers) WHERE seq = :signed": ("unsealed", "facts"),
        "UPDATE checkin_rows SET verdict = 'o' WHERE id = :second": ("unsealed", "inside → outside"),
        "UPDATE checkin_rows SET p_inside = 0.5 WHERE id = :second": ("unsealed", "facts"),
        "UPDATE checkin_rows SET note = '在家' WHERE id = :second": ("unsealed", "facts"),
        "UPDATE checkin_grounds SET village_code = '500116101999'": ("unsealed", "facts"),
        "UPDATE checkin_rows SET received_at = received_at + interval '1 day' WHERE id = :second": ("unsealed", "received_at"),
        "UPDATE checkin_rows SET person_id = :other WHERE id = :second": ("missing", "deleted"),
        "DELETE FROM checkin_rows WHERE id = :second": ("missing", "deleted"),
        "DELETE FROM checkin_rows WHERE id = :first": ("missing", "deleted"),
        "DELETE FROM checkin_rows WHERE id = :last": ("tail", "deleted"),
        "DELETE FROM checkin_rows WHERE person_id = :person": ("tail", "deleted"),
        "UPDATE checkin_rows SET chain_seq = NULL, signature = NULL WHERE id = :second": ("missing", "altered"),
    }  # fmt: skip
    words = {
        "unsealed": "not over this record",
        "missing": "records are missing",
        "tail": "head of the chain is further",
    }
    for deed, (by_audit, by_receipt) in deeds.items():
        with apart.database.write() as session:
            do(session, "CREATE TABLE kept_rows AS SELECT * FROM checkin_rows")
            do(session, "CREATE TABLE kept_grounds AS SELECT * FROM checkin_grounds")
            do(session, "CREATE TABLE kept_signatures AS SELECT * FROM checkin_signatures")
            do(session, deed, **named, **numbered)
        looked = zaicun(apart, "receipts", "check")
        compared = zaicun(apart, "verify-receipt", file, "--database")
        with apart.database.write() as session:  # As it was.
            do(
                session,
                "UPDATE checkin_grounds AS g SET village_code = k.village_code FROM kept_grounds AS k WHERE k.id = g.id",
            )
            do(session, "DELETE FROM checkin_rows")
            do(session, "INSERT INTO checkin_rows OVERRIDING SYSTEM VALUE SELECT * FROM kept_rows")
            do(session, "DELETE FROM checkin_signatures")
            do(session, "INSERT INTO checkin_signatures SELECT * FROM kept_signatures")
            do(session, "DROP TABLE kept_rows, kept_grounds, kept_signatures")
        assert looked.exit_code == 1, deed
        assert words[by_audit] in looked.output, (deed, looked.output)
        assert compared.exit_code == 1, deed
        assert by_receipt in compared.output, (deed, compared.output)
    assert zaicun(apart, "receipts", "check").exit_code == 0


def test_a_chain_cut_with_its_head_moved_back_is_proven_by_the_phone_alone(
    apart: Service, tmp_path: Path
) -> None:
    person = make_cadre(apart, make_world(apart))
    own = [put(apart, person, NOON - timedelta(minutes=5 * n)) for n in range(3)]
    before_last = hashlib.sha256(own[1][2]["receipt"].encode()).digest()
    with apart.database.write() as session:
        do(session, "DELETE FROM checkin_rows WHERE id = :id", id=own[2][0])
        do(session, "UPDATE person_heads SET seq = 2, was = 1, hash = :hash", hash=before_last)
    assert zaicun(apart, "receipts", "check").exit_code == 0  # It looks whole in there.
    file = kept_by(tmp_path, own)
    found = zaicun(apart, "verify-receipt", file, "--database")
    assert found.exit_code == 1
    assert "deleted" in found.output
    assert "the chain was cut" in found.output
    token = tmp_path / "token"
    token.write_text(person.token)
    found = zaicun(apart, "verify-receipt", file, "--server", apart.url, "--token-file", token)
    assert found.exit_code == 1
    assert "deleted" in found.output


def test_offline_a_forged_a_foreign_and_a_changed_receipt_are_told_apart(
    service: Service, cadre: Cadre, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(service.client.get("/v1/receipt-keys").text)
    own = [put(service, cadre, NOON - timedelta(minutes=5 * n)) for n in range(3)]

    def verified(entries: list[Any], *words: str) -> tuple[int, str]:
        result = zaicun(service, "verify-receipt", kept_by(tmp_path, entries), "--keys", keys, *words)
        return result.exit_code, result.output

    assert verified(own, "--complete")[0] == 0
    made, content, told = own[1]
    header, payload, signature = told["receipt"].split(".")
    said = text(payload).decode().replace('"inside"', '"outside"').encode()
    forged = base64.urlsafe_b64encode(said).decode().rstrip("=")
    code, output = verified([own[0], (made, content, {"receipt": f"{header}.{forged}.{signature}"}), own[2]])
    assert (code, "forged or altered" in output) == (1, True)
    elsewhere = {**content, "position": position(lon=106.21)}
    code, output = verified([own[0], (made, elsewhere, told), own[2]])
    assert (code, "position and the salt" in output) == (1, True)
    code, output = verified([own[0], (made, {**content, "note": "另写"}, told), own[2]])
    assert (code, "not about the content" in output) == (1, True)
    code, output = verified([own[0], own[2]])  # A gap is no crime, unless all were to be there.
    assert (code, "no receipt before it" in output) == (0, True)
    assert verified([own[0], own[2]], "--complete")[0] == 1
    (tmp_path / "none.json").write_text('{"keys": []}')
    unknown = zaicun(service, "verify-receipt", kept_by(tmp_path, own), "--keys", tmp_path / "none.json")
    assert unknown.exit_code == 2


def test_the_proof_outlives_the_coordinates(
    service: Service, cadre: Cadre, tmp_path: Path
) -> None:  # ruling 22
    entry = put(service, cadre)
    with service.database.write() as session:
        fade(session, entry[0])
    assert zaicun(service, "verify-receipt", kept_by(tmp_path, [entry]), "--database").exit_code == 0


def test_what_was_stored_before_there_were_receipts_has_none_and_the_chain_begins_after_it(
    service: Service, cadre: Cadre
) -> None:
    made, content, _ = put(service, cadre)
    with service.database.write() as session:  # As the version before would have left it.
        do(
            session,
            "UPDATE checkin_rows SET chain_seq = NULL, epoch = NULL, receipt_key = NULL, prev = NULL, signature = NULL"
            " WHERE id = :id",
            id=made,
        )
        do(session, "DELETE FROM person_heads WHERE person_id = :id", id=cadre.person_id)
    with service.as_(cadre.token) as client:
        assert client.get(f"/v1/check-ins/{made}").json()["receipt"] is None
        replay = client.put(f"/v1/check-ins/{made}", json=content | {"sent_at": NOON.isoformat()})
        assert (replay.status_code, replay.json()["receipt"]) == (200, None)
    following = put(service, cadre, NOON - timedelta(minutes=5))[2]["receipt"]
    assert json.loads(text(following.split(".")[1]))["seq"] == 1
