"""Check-ins that the phone's key signed (ruling 23): counted as any other, provable for ever, and a stolen token makes none."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, position
from factories_devices import ALGORITHMS, Keyed, PhoneKey, b64, bound, sealed

from server import ids
from server.access import Role
from server.auth import device_queries
from server.auth.models import Account
from server.checkins import signatures, signing
from server.checkins.models import CheckIn

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)  # 12:00 in Beijing.
Json = dict[str, Any]


@dataclass
class Phone:
    """A cadre's phone with a key, and a session that is bound to it."""

    cadre: Cadre
    keyed: Keyed

    def sign(self, body: Json, one: UUID, key: PhoneKey | None = None) -> Json:
        return sealed(key or self.keyed.key, self.cadre.person_id, one, body)

    def put(self, body: Json, one: UUID, *, scheme: str = "Bearer") -> httpx.Response:
        """Send as it is, without any proof but what is in the body."""
        return self.keyed.service.client.put(
            f"/v1/check-ins/{one}", json=body, headers={"Authorization": f"{scheme} {self.keyed.access}"}
        )

    def batch(self, items: list[Json], at: datetime = NOON) -> httpx.Response:
        return self.keyed.service.client.post(
            "/v1/check-ins/batch",
            json={"sent_at": at.isoformat(), "items": items},
            headers={"Authorization": f"Bearer {self.keyed.access}"},
        )

    def read(self, path: str) -> Any:
        answer = self.keyed.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def one(self, one: UUID) -> Json:
        found: Json = self.read(f"/v1/check-ins/{one}")
        return found

    def stored(self) -> int:
        return len(self.read("/v1/check-ins")["items"])

    def attempts(self) -> list[str]:
        return sorted(item["code"] for item in self.read("/v1/check-ins/attempts")["items"])

    def warned(self) -> int:
        items = self.read("/v1/me/security-events")["items"]
        return sum(item["deed"] == "auth:proof-refused" for item in items)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def phone(service: Service, world: World, clock: SetClock) -> Phone:
    clock.set(NOON)
    cadre = make_cadre(service, world)
    return Phone(cadre, bound(service, cadre.account))


def queued(phone: Phone, at: datetime = NOON, key: PhoneKey | None = None, **changes: Any) -> Json:
    """Return a signed item of a queue."""
    one, body = ids.new_id(), check_in(at, **changes)
    del body["sent_at"]
    return {"id": str(one), **phone.sign(body, one, key)}


def told(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body.get("code") or body["verdict"]


def results(answer: httpx.Response) -> list[tuple[int, str]]:
    assert answer.status_code == 200, answer.text
    return [
        (item["status"], item["problem"]["code"] if item["problem"] else item["check_in"]["verdict"])
        for item in answer.json()["items"]
    ]


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
def test_it_counts_as_any_other_and_says_by_which_phone(
    service: Service, world: World, clock: SetClock, alg: str, scheme: str
) -> None:
    """By the plain way and by the documented one, which a DPoP token without a proof takes."""
    clock.set(NOON)
    cadre = make_cadre(service, world)
    phone, one = Phone(cadre, bound(service, cadre.account, PhoneKey(alg))), ids.new_id()
    body = phone.sign(check_in(NOON, note="走访三户"), one)
    answer = phone.put(body, one, scheme=scheme)
    assert told(answer) == (201, "inside")
    assert answer.headers["location"] == f"/v1/check-ins/{one}"
    seen = phone.one(one)
    assert (seen["note"], seen["lon"], seen["lat"]) == ("走访三户", 106.2071234, 28.9081234)
    assert seen["signed"] == body["signed"]
    mine = seen["signature"]
    assert (mine["jkt"], mine["client"], mine["protection"]) == (phone.keyed.key.jkt, "小米 14", "hardware")
    assert (mine["state_then"], mine["state_now"]) == ("trusted", "trusted")
    assert mine["device_id"] == phone.read("/v1/me/devices")["items"][0]["id"]
    [listed] = phone.read("/v1/check-ins")["items"]
    assert (listed["signature"], listed["signed"]) == (mine, None)
    again = phone.put({**body, "sent_at": (NOON + timedelta(hours=1)).isoformat()}, one, scheme=scheme)
    assert (again.status_code, again.json()) == (200, answer.json())


def test_the_proof_is_kept_to_the_letter_and_anybody_can_check_it(service: Service, phone: Phone) -> None:
    """With PyJWT, the phone's public key and what the person has; and after the place was forgotten still (ruling 22)."""
    one = ids.new_id()
    body = phone.sign(check_in(NOON), one)
    assert phone.put(body, one).status_code == 201
    with service.database.write() as session:
        row = session.scalars(sa.select(CheckIn).where(CheckIn.id == one)).one()
        session.execute(sa.text("DELETE FROM checkin_points WHERE seq = :s"), {"s": row.seq})
        proof = signatures.proof_of(session, row.seq)
        committed = row.commitment
    assert proof is not None
    assert proof.compact() == body["signed"]
    public = jwt.get_algorithm_by_name("ES256").from_jwk(json.dumps(phone.keyed.key.jwk))
    claims = jwt.decode(proof.compact(), public, algorithms=["ES256"])
    assert (claims["id"], claims["person"]) == (str(one), str(phone.cadre.person_id))
    assert claims["position"]["commitment"] == b64(committed or b"")
    opened = signing.opened(proof.compact(), person_id=phone.cadre.person_id, checkin_id=one)
    assert opened.key.jkt == phone.keyed.key.jkt
    assert phone.one(one)["signed"] == body["signed"]


def test_a_stolen_token_makes_no_check_in_in_a_thousand_requests(service: Service, phone: Phone) -> None:
    """The thief has the tokens, a key of his own and a signed check-in that went by (S1, edge 72)."""
    sent, thief = ids.new_id(), PhoneKey()
    seen = phone.sign(check_in(NOON), sent)
    assert phone.put(seen, sent).status_code == 201
    plain, proof = check_in(NOON), phone.keyed.key.proof

    def queue(item: Json) -> Json:
        return {"sent_at": NOON.isoformat(), "items": [{k: v for k, v in item.items() if k != "sent_at"}]}

    def tries() -> list[tuple[str, str, Json]]:
        one = ids.new_id()
        own = sealed(thief, phone.cadre.person_id, one, plain)
        lying = {
            **own,
            "signed": thief.signed({"typ": signing.KIND, "alg": "ES256", "jwk": phone.keyed.key.jwk}, b"{}"),
        }
        head, payload, _ = seen["signed"].split(".")
        path = f"/v1/check-ins/{one}"
        bodies = [
            plain,
            own,
            lying,
            seen,  # Under another address.
            {**seen, "signed": f"{head}.{payload}.{b64(bytes(64))}"},
            {**seen, "signed": proof("PUT", f"{service.url}{path}", phone.keyed.nonce, token=phone.keyed.access)},
            {**seen, "signed": seen["signed"] + "A" * signing.LONGEST},
            {**seen, "signed": 5},
            {**plain, "signed": None},
            {},
        ]  # fmt: skip
        alone = [("PUT", path, body) for body in bodies]
        return [
            *alone,
            *[("POST", "/v1/check-ins/batch", queue({"id": str(one), **body})) for body in bodies],
        ]

    asked = [each for _ in range(50) for each in tries()]
    headers = {"Authorization": f"Bearer {phone.keyed.access}"}
    answers = [service.client.request(how, path, json=body, headers=headers) for how, path, body in asked]
    assert len(answers) == 1000
    assert {told(answer) for answer in answers} == {(401, "proof-refused")}
    assert phone.stored() == 1
    assert phone.attempts() == []  # No record on the person; the owner is told, once.
    assert phone.warned() == 1


def test_what_is_no_check_in_at_all_leaves_no_record_under_a_stolen_token(
    service: Service, phone: Phone
) -> None:
    headers = {"Authorization": f"Bearer {phone.keyed.access}", "Content-Type": "application/json"}
    for content in (b"", b"{", b"[]", b'{"signed":', b"\xff"):
        for how, path in (("PUT", f"/v1/check-ins/{ids.new_id()}"), ("POST", "/v1/check-ins/batch")):
            answer = service.client.request(how, path, content=content, headers=headers)
            assert answer.status_code in {400, 401, 422}, answer.text
    assert phone.attempts() == []
    assert phone.stored() == 0


def test_in_a_queue_each_is_taken_or_refused_by_its_own_signature(phone: Phone) -> None:
    unsigned = {"id": str(ids.new_id()), **check_in(NOON)}
    good, twice = queued(phone), queued(phone, NOON - timedelta(days=1))
    elsewhere = {**good, "id": str(ids.new_id())}
    unfit = queued(phone, position=position(lon=500.0))
    moved = queued(phone)
    moved["position"]["lat_e7"] += 1
    answer = phone.batch(
        [good, unsigned, queued(phone, key=PhoneKey()), elsewhere, {**queued(phone), "id": "7"}, unfit, moved,
         twice, twice]
    )  # fmt: skip
    assert results(answer) == [
        (201, "inside"),
        (401, "proof-refused"),
        (401, "proof-refused"),
        (401, "proof-refused"),
        (422, "invalid-request"),
        (422, "invalid-request"),
        (422, "invalid-request"),
        (201, "inside"),
        (200, "inside"),
    ]
    fields = [item["problem"]["errors"][0] for item in answer.json()["items"][4:7]]
    assert [each["field"] for each in fields][1:] == ["position.lon_e7", "position"]
    assert fields[2]["code"] == "commitment-differs"
    # What the key proves is kept, the rest is not the person's (ruling 13).
    assert phone.attempts() == ["invalid-request"] * 3
    assert phone.stored() == 2


def test_a_content_that_does_not_fit_is_refused_and_kept_when_the_key_proves_the_person(phone: Phone) -> None:
    one = ids.new_id()
    body = check_in(NOON)
    del body["captured_at"]
    answer = phone.put(phone.sign(body, one), one)
    assert told(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["field"] == "captured_at"
    assert phone.attempts() == ["invalid-request"]


def test_the_id_with_other_content_is_refused_and_kept(phone: Phone) -> None:
    one = ids.new_id()
    assert phone.put(phone.sign(check_in(NOON), one), one).status_code == 201
    other = phone.put(phone.sign(check_in(NOON, note="别的"), one), one)
    assert told(other) == (409, "id-reused")
    assert phone.attempts() == ["id-reused"]


def replaced(service: Service, phone: Phone, clock: SetClock, at: datetime) -> Phone:
    """Let another phone take the place of this one, by its code, and return it."""
    code = phone.keyed.send("POST", "/v1/me/devices/code").json()["code"]
    clock.set(at)
    new = bound(service, phone.cadre.account, trusted=False)
    assert new.send("POST", "/v1/me/devices/confirm", json={"code": code, "replaces": True}).is_success
    assert not phone.keyed.alive()
    return Phone(phone.cadre, new)


def test_a_queue_that_the_old_key_signed_is_sent_under_the_new_one(
    service: Service, phone: Phone, clock: SetClock
) -> None:
    """The key was replaced in the middle of the queue: each proof counts by what its key was at the tap (edge 71)."""
    taps = [NOON - timedelta(hours=1), NOON + timedelta(minutes=2)]
    alone = ids.new_id()
    new = replaced(service, phone, clock, NOON + timedelta(minutes=5))
    late = NOON + timedelta(minutes=8)
    clock.set(late)
    items = [queued(phone, at) for at in taps] + [queued(phone, late), queued(new, late)]
    answer = new.batch(items, late)
    assert results(answer) == [(201, "inside")] * 4
    by_put = phone.sign(check_in(taps[0], sent=late), alone)
    assert told(new.put(by_put, alone)) == (201, "inside")
    signed = {item["id"]: item["signature"] for item in new.read("/v1/check-ins")["items"]}
    states = [(signed[item["id"]]["state_then"], signed[item["id"]]["state_now"]) for item in items]
    # Before the phone was replaced, in between, and after it: the last one is kept, and shows.
    assert states == [
        (None, "revoked"),
        ("trusted", "revoked"),
        ("revoked", "revoked"),
        ("trusted", "trusted"),
    ]
    assert signed[str(alone)]["jkt"] == phone.keyed.key.jkt


def test_a_phone_that_waits_checks_in_and_it_shows(service: Service, phone: Phone) -> None:
    """Sign-ins while a new phone waits are accepted, and known for what they are (edge 71)."""
    waiting = Phone(phone.cadre, bound(service, phone.cadre.account, trusted=False))
    one = ids.new_id()
    assert told(waiting.put(waiting.sign(check_in(NOON), one), one)) == (201, "inside")
    assert waiting.one(one)["signature"]["state_then"] == "waiting"


def test_two_phones_send_the_same_check_in_at_once_and_it_is_one(service: Service, phone: Phone) -> None:
    """A queue that was copied to another phone: two signatures, one check-in, and the first proof stays."""
    other = Phone(phone.cadre, bound(service, phone.cadre.account))
    one, body = ids.new_id(), check_in(NOON, salt=b64(bytes(range(16))))
    ways = [(each, each.sign(body, one)) for each in (phone, other)] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda way: way[0].put(way[1], one), ways))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.content for answer in answers}) == 1
    first = next(way for way, answer in zip(ways, answers, strict=True) if answer.status_code == 201)
    assert phone.one(one)["signature"]["jkt"] == first[0].keyed.key.jkt


def test_without_a_bound_token_unsigned_counts_and_a_signature_is_evidence_besides(
    service: Service, phone: Phone
) -> None:
    """Until the district requires keys (ruling 23): the same id signed and unsigned is one check-in."""
    token = token_for(service, phone.cadre.account)
    signed, plain, stranger, bad = (ids.new_id() for _ in range(4))
    body = check_in(NOON, salt=b64(bytes(16)))
    unknown = PhoneKey()
    with service.as_(token) as client:
        assert client.put(f"/v1/check-ins/{signed}", json=phone.sign(body, signed)).status_code == 201
        assert client.put(f"/v1/check-ins/{plain}", json=body).status_code == 201
        again = client.put(f"/v1/check-ins/{plain}", json=phone.sign(body, plain))
        assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
        assert client.put(f"/v1/check-ins/{signed}", json=body).status_code == 200
        assert (
            client.put(f"/v1/check-ins/{stranger}", json=phone.sign(body, stranger, unknown)).status_code
            == 201
        )
        refused = client.put(f"/v1/check-ins/{bad}", json=phone.sign(body, stranger))
    assert told(refused) == (422, "invalid-request")
    assert refused.json()["errors"][0]["code"] == "signature-refused"
    assert phone.attempts() == ["invalid-request"]
    assert phone.one(signed)["signature"]["state_then"] == "trusted"
    assert phone.one(plain)["signature"] is None  # The first one that came stays.
    foreign = phone.one(stranger)["signature"]
    assert (foreign["jkt"], foreign["device_id"], foreign["state_now"]) == (unknown.jkt, None, None)


def test_what_a_backup_lost_comes_back_signed_with_its_receipt(
    service: Service, phone: Phone, clock: SetClock
) -> None:
    """The signature is of the tap, the receipt of this sending: both are kept (edge 68, ruling 26)."""
    one = ids.new_id()
    body = phone.sign(check_in(NOON), one)
    first = phone.put(body, one).json()
    with service.database.write() as session:
        for table in ("checkin_signatures", "checkin_points", "checkin_rows"):
            query = f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM checkin_rows WHERE id = :i)"  # noqa: S608  Ours.
            session.execute(sa.text(query), {"i": one})
    clock.move(minutes=5)
    again = phone.put({**body, "receipt": first["receipt"]}, one)
    assert told(again) == (201, "inside")
    back = again.json()
    assert (back["received_at"], back["late"]) == (first["received_at"], False)
    assert back["restored_at"] is not None
    assert phone.one(one)["signed"] == body["signed"]


def test_one_phone_of_two_people_is_on_record_with_both(service: Service, world: World, phone: Phone) -> None:
    """Both are kept; whose check-ins a key signed can be asked for (edge 70)."""
    other_cadre = make_cadre(service, world)
    other = Phone(other_cadre, bound(service, other_cadre.account, phone.keyed.key))
    for each in (phone, other):
        one = ids.new_id()
        assert told(each.put(each.sign(check_in(NOON), one), one)) == (201, "inside")
    with service.database.read() as session:
        assert set(device_queries.accounts_of(session, phone.keyed.key.jkt)) == {
            phone.cadre.account.id,
            other_cadre.account.id,
        }
        people = session.scalars(
            sa.text(
                "SELECT c.person_id FROM checkin_signers s JOIN checkin_signatures g ON g.signer = s.id "
                "JOIN checkin_rows c USING (seq) WHERE s.jkt = :jkt"
            ),
            {"jkt": phone.keyed.key.jkt},
        ).all()
    assert set(people) == {phone.cadre.person_id, other_cadre.person_id}
    # A signature of the one is nothing for the other: it names its person.
    one = ids.new_id()
    assert told(other.put(phone.sign(check_in(NOON), one), one)) == (401, "proof-refused")


def test_who_is_no_cadre_signs_in_vain(service: Service, clock: SetClock) -> None:
    clock.set(NOON)
    with service.database.write() as session:
        officer: Account = make_account(session, role=Role.TOWN)
    keyed, one = bound(service, officer), ids.new_id()
    body = sealed(keyed.key, ids.new_id(), one, check_in(NOON))
    answer = service.client.put(
        f"/v1/check-ins/{one}", json=body, headers={"Authorization": f"Bearer {keyed.access}"}
    )
    assert told(answer) == (403, "forbidden")
