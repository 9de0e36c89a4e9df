"""Tokens that are bound to a phone's key (RFC 9449, ruling 23, security.md S1): nothing works without the key."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest
from conftest import Service, SetClock
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from factories_auth import make_account, token_for, tokens_for
from factories_devices import ALGORITHMS, Keyed, PhoneKey, b64, bound

from server.access import Role
from server.auth import jws
from server.auth.models import Account
from server.auth.nonces import WINDOW_S, WINDOWS
from server.gate import SIGNED_THEMSELVES

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def cadre(service: Service) -> Account:
    with service.database.write() as session:
        return make_account(session, role=Role.CADRE)


@pytest.fixture
def phone(service: Service, cadre: Account) -> Keyed:
    made = bound(service, cadre)
    assert made.alive()  # It has a nonce now.
    return made


def sent(phone: Keyed, proof: str | None, *, scheme: str = "DPoP", path: str = "/v1/me") -> httpx.Response:
    headers = {"Authorization": f"{scheme} {phone.access}"} | ({"DPoP": proof} if proof is not None else {})
    return phone.service.client.get(path, headers=headers)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_request_with_the_key_s_proof_is_answered(service: Service, cadre: Account, alg: str) -> None:
    phone = bound(service, cadre, PhoneKey(alg))
    first = sent(phone, phone.key.proof("GET", f"{service.url}/v1/me", None, token=phone.access))
    assert told(first) == (401, "use-dpop-nonce")
    assert first.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
    proof = phone.key.proof("GET", f"{service.url}/v1/me", first.headers["dpop-nonce"], token=phone.access)
    answer = sent(phone, proof)
    assert answer.status_code == 200
    assert answer.headers["dpop-nonce"]
    assert jwt.decode(phone.access, options={"verify_signature": False})["cnf"] == {"jkt": phone.key.jkt}


def test_a_stolen_token_gets_nothing_in_a_thousand_requests(phone: Keyed) -> None:
    """The thief has the tokens, saw a whole request go by, and has a key of his own (edge 72)."""
    service, url = phone.service, f"{phone.service.url}/v1/me"
    seen = phone.key.proof("GET", url, phone.nonce, token=phone.access)
    assert sent(phone, seen).status_code == 200
    thief = PhoneKey()
    other = f"{service.url}/v1/me/postings"
    tries: list[tuple[str | None, str, str]] = [
        (None, "DPoP", "/v1/me"),
        (None, "Bearer", "/v1/me"),
        (seen, "DPoP", "/v1/me"),
        (seen, "Bearer", "/v1/me"),
        (seen, "DPoP", "/v1/me/postings"),
        (thief.proof("GET", url, phone.nonce, token=phone.access), "DPoP", "/v1/me"),
        (thief.proof("GET", other, phone.nonce, token=phone.access), "DPoP", "/v1/me/postings"),
        (thief.proof("GET", url, phone.nonce, token=phone.access, header={"jwk": phone.key.jwk}), "DPoP", "/v1/me"),
    ]  # fmt: skip
    answers = [
        sent(phone, proof, scheme=scheme, path=path) for _ in range(125) for proof, scheme, path in tries
    ]
    assert len(answers) == 1000
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["code"] for answer in answers} == {"proof-refused", "use-dpop-nonce"}
    assert phone.alive()


def test_every_operation_wants_the_proof(phone: Keyed) -> None:
    """But those before there is a token, and the check-in, which is signed itself (ruling 23)."""
    paths = phone.service.client.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            if not operation.get("security") or operation["operationId"] in SIGNED_THEMSELVES:
                continue
            filled = path.replace("{month}", "2026-03").replace("{year}", "2026")
            for name in ("account_id", "grant_id", "session_id", "device_id"):
                filled = filled.replace(f"{{{name}}}", "01a1a9dd-1200-7a01-81f3-c9a7d2b4f801")
            answer = phone.service.client.request(
                method, filled, headers={"Authorization": f"DPoP {phone.access}"}, json={}
            )
            if answer.status_code != 401:
                # What refuses before anybody is asked for: the address or its parameters are no good.
                assert answer.status_code in {422, 404}, (method, filled, answer.text)
                continue
            assert told(answer) == (401, "proof-refused"), (method, filled)
            asked += 1
    assert asked > 40


def test_a_proof_is_good_once(phone: Keyed) -> None:
    url = f"{phone.service.url}/v1/me"
    for _ in range(50):
        proof = phone.key.proof("GET", url, phone.nonce, token=phone.access)
        first, again = sent(phone, proof), sent(phone, proof)
        assert first.status_code == 200
        # As if its nonce were old: a phone whose system sends a request again by itself just makes another proof.
        assert told(again) == (401, "use-dpop-nonce")


@pytest.mark.parametrize("ahead_s", [-86_400, -3600, 3600, 86_400, -1_700_000_000])
def test_a_phone_s_clock_may_be_a_day_off(phone: Keyed, ahead_s: int) -> None:
    proof = phone.key.proof(
        "GET", f"{phone.service.url}/v1/me", phone.nonce, token=phone.access, iat=int(time.time()) + ahead_s
    )
    assert sent(phone, proof).status_code == 200


def test_a_nonce_stands_four_minutes_and_five_at_most(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    clock.set(START)
    phone = bound(service, cadre)
    assert phone.alive()
    url = f"{service.url}/v1/me"
    clock.move(seconds=WINDOW_S * (WINDOWS - 1))
    kept = phone.nonce
    assert sent(phone, phone.key.proof("GET", url, kept, token=phone.access)).status_code == 200
    clock.move(seconds=WINDOW_S)
    late = sent(phone, phone.key.proof("GET", url, kept, token=phone.access))
    assert told(late) == (401, "use-dpop-nonce")
    assert late.headers["dpop-nonce"] != kept
    clock.set(START)
    clock.move(days=-1)  # The server's own clock was set back: nonces of the future are none.
    assert told(sent(phone, phone.key.proof("GET", url, kept, token=phone.access)))[0] == 401


def wrong_proofs(phone: Keyed) -> Iterator[tuple[str, str]]:  # noqa: PLR0915  A list of sixty, each with its name.
    """Yield proofs that are wrong in one thing, by what that is."""
    key, url, token, nonce = phone.key, f"{phone.service.url}/v1/me", phone.access, phone.nonce
    assert nonce is not None
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.private.public_key()
    good = key.proof("GET", url, nonce, token=token)
    head, body, signature = good.split(".")
    claims = json.loads(jws.decoded(body))

    def made(header: dict[str, Any] | None = None, **changed: Any) -> str:
        return key.proof("GET", url, nonce, token=token, header=header, **changed)

    yield "another method", made(htm="POST")
    yield "a method in lower case", made(htm="get")
    yield "another path", made(htu=f"{phone.service.url}/v1/me/postings")
    yield "a path with a slash too many", made(htu=f"{url}/")
    yield "another host", made(htu="http://elsewhere.example/v1/me")
    yield "another scheme", made(htu=url.replace("http://", "https://"))
    yield "another port", made(htu="http://127.0.0.1:1/v1/me")
    yield "a name in the address", made(htu=url.replace("127.0.0.1", "a@127.0.0.1"))
    yield "no address", made(htu="/v1/me")
    yield "another token", made(ath=b64(hashlib.sha256(b"another").digest()))
    for name in ("htm", "htu", "jti", "iat", "ath"):
        yield f"without {name}", made(**{name: None})
    yield "jti is a number", made(jti=1)
    yield "jti is empty", made(jti="")
    yield "jti is endless", made(jti="x" * 129)
    yield "iat is a text", made(iat="1")
    yield "iat is true", made(iat=True)
    yield "nonce is a number", made(nonce=1)
    yield "typ of a token", made(header={"typ": "at+jwt"})
    yield "without typ", key.signed({"alg": "ES256", "jwk": key.jwk}, jws.decoded(body))
    yield "crit", made(header={"crit": ["exp"], "exp": 1})
    yield "kid beside the key", made(header={"kid": key.jkt})
    yield "a key by address", made(header={"jku": "http://127.0.0.1/keys"})
    other = PhoneKey()
    yield "another key", other.proof("GET", url, nonce, token=token)
    yield (
        "another key that says it is this one",
        other.proof("GET", url, nonce, token=token, header={"jwk": key.jwk}),
    )
    yield "another kind of key", PhoneKey("EdDSA").proof("GET", url, nonce, token=token)
    unsigned = b64(json.dumps({"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk}).encode())
    yield "alg none", f"{unsigned}.{body}."
    yield "alg none with a signature", f"{unsigned}.{body}.{signature}"
    hs = b64(json.dumps({"typ": "dpop+jwt", "alg": "HS256", "jwk": key.jwk}).encode())
    for name, secret in (
        ("PEM", public.public_bytes(serialization.Encoding.PEM, spki)),
        ("DER", public.public_bytes(serialization.Encoding.DER, spki)),
        ("JWK", json.dumps(key.jwk).encode()),
        ("x", key.jwk["x"].encode()),
    ):
        mac = b64(hmac.digest(secret, f"{hs}.{body}".encode(), "sha256"))
        yield f"HS256 with the public key ({name})", f"{hs}.{body}.{mac}"
    symmetric = {"kty": "oct", "k": b64(b"k" * 32)}
    oct_head = b64(json.dumps({"typ": "dpop+jwt", "alg": "HS256", "jwk": symmetric}).encode())
    yield (
        "a symmetric key",
        f"{oct_head}.{body}.{b64(hmac.digest(b'k' * 32, f'{oct_head}.{body}'.encode(), 'sha256'))}",
    )
    private = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(key.private))
    yield "a private key", made(header={"jwk": private})
    big = rsa.generate_private_key(65537, 2048)
    rsa_jwk = jwt.get_algorithm_by_name("RS256").to_jwk(big.public_key(), as_dict=True)
    yield "RS256", jwt.encode(claims, big, "RS256", headers={"typ": "dpop+jwt", "jwk": rsa_jwk})
    p384 = ec.generate_private_key(ec.SECP384R1())
    p384_jwk = jwt.get_algorithm_by_name("ES384").to_jwk(p384.public_key(), as_dict=True)
    yield "ES384", jwt.encode(claims, p384, "ES384", headers={"typ": "dpop+jwt", "jwk": p384_jwk})
    yield (
        "EdDSA with a P-256 key",
        key.signed({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.jwk}, jws.decoded(body)),
    )
    yield "no point of the curve", made(header={"jwk": {**key.jwk, "y": b64(bytes(31) + b"\1")}})
    yield (
        "a coordinate too long",
        made(header={"jwk": {**key.jwk, "x": b64(b"\0" + jws.decoded(key.jwk["x"]))}}),
    )
    yield "a padded coordinate", made(header={"jwk": {**key.jwk, "x": key.jwk["x"] + "="}})
    yield "a key that is a list", made(header={"jwk": [key.jwk]})
    yield "a coordinate that is a number", made(header={"jwk": {**key.jwk, "x": 5}})
    twice = f'{{"typ":"dpop+jwt","alg":"ES256","alg":"ES256","jwk":{json.dumps(key.jwk)}}}'.encode()
    message = f"{b64(twice)}.{body}"
    yield (
        "a name twice",
        f"{message}.{b64(jwt.get_algorithm_by_name('ES256').sign(message.encode(), key.private))}",
    )
    yield "a signature of zeros", f"{head}.{body}.{b64(bytes(64))}"
    yield "a signature cut off", f"{head}.{body}.{signature[:-4]}"
    yield (
        "a signature in DER",
        f"{head}.{body}.{b64(key.private.sign(f'{head}.{body}'.encode(), ec.ECDSA(hashes.SHA256())))}",
    )
    yield "padding", f"{head}.{body}.{signature}=="
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{good}.AA"
    yield "empty", ""
    yield "no base64", "!.!.!"
    yield "no JSON", f"{b64(b'x')}.{body}.{signature}"
    yield "a list for a header", f"{b64(b'[]')}.{body}.{signature}"
    yield "deep nesting", f"{b64(b'[' * 1500)}.{body}.{signature}"
    yield "endless", good + "A" * 5000
    yield "NaN", key.signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk}, b'{"iat":NaN}')


def test_a_proof_that_is_wrong_in_one_thing_is_refused(phone: Keyed) -> None:
    """Wrong htm, htu, ath, alg none, HS256 with the public key, another key and so on: RFC 9449 section 4.3."""
    tried = 0
    for name, proof in wrong_proofs(phone):
        answer = sent(phone, proof)
        assert told(answer) == (401, "proof-refused"), name
        assert answer.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"'), name
        tried += 1
    assert tried > 55
    assert phone.alive()  # None of them did it any harm.


@pytest.mark.parametrize(
    "nonce",
    [None, "", "x", "A" * 27, b64(bytes(21)), b64((int(time.time()) // 60).to_bytes(5) + bytes(16))],
)
def test_a_nonce_that_is_none_of_ours_is_answered_with_one(phone: Keyed, nonce: str | None) -> None:
    proof = phone.key.proof("GET", f"{phone.service.url}/v1/me", nonce, token=phone.access)
    answer = sent(phone, proof)
    assert told(answer) == (401, "use-dpop-nonce")
    assert sent(
        phone,
        phone.key.proof(
            "GET", f"{phone.service.url}/v1/me", answer.headers["dpop-nonce"], token=phone.access
        ),
    ).is_success


def test_two_proofs_in_one_request_are_none(phone: Keyed) -> None:
    url = f"{phone.service.url}/v1/me"
    proofs = [("DPoP", phone.key.proof("GET", url, phone.nonce, token=phone.access)) for _ in range(2)]
    answer = phone.service.client.get(url, headers=[("Authorization", f"DPoP {phone.access}"), *proofs])
    assert told(answer) == (401, "proof-refused")


def test_the_query_is_no_part_of_what_is_proven_and_head_counts_as_itself(phone: Keyed) -> None:
    assert phone.send("GET", "/v1/me/security-events?limit=1").is_success
    assert phone.send("HEAD", "/v1/me").status_code == 200


def test_an_unbound_token_goes_on_working_and_is_no_dpop_token(service: Service, cadre: Account) -> None:
    token = token_for(service, cadre)
    with service.as_(token) as client:
        assert client.get("/v1/me").status_code == 200
        assert "dpop-nonce" not in client.get("/v1/me").headers
    answer = service.client.get("/v1/me", headers={"Authorization": f"DPoP {token}"})
    assert told(answer) == (401, "token-invalid")


def test_a_small_key_of_ed25519_is_no_key() -> None:
    """Anybody can make a signature that such a key accepts: for the neutral point R = S = 0 B does."""
    for text in ("0100000000000000000000000000000000000000000000000000000000000000",
                 "0000000000000000000000000000000000000000000000000000000000000000",
                 "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                 "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # pragma: allowlist secret
                 "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # pragma: allowlist secret
                 "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"):  # fmt: skip
        for sign in (0, 0x80):
            raw = bytearray.fromhex(text)
            raw[31] |= sign
            with pytest.raises(jws.Unfit):
                jws.public_key({"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(raw))})


def test_the_owner_learns_of_a_token_that_came_without_its_key_once_an_hour(
    phone: Keyed,
) -> None:
    """401, in the log of deeds, no record on the person (edge 72)."""
    for _ in range(5):
        assert told(sent(phone, None)) == (401, "proof-refused")
    deeds = [event["deed"] for event in phone.send("GET", "/v1/me/security-events").json()["items"]]
    assert deeds.count("auth:proof-refused") == 1


def test_a_thief_without_the_key_uses_up_nothing_of_the_owner_s_quota(phone: Keyed) -> None:
    """Proof comes before the count: otherwise a stolen token would shut its owner out."""
    answer = sent(phone, None)
    assert "ratelimit" not in answer.headers


# --- refreshing (ruling 24)
def test_a_bound_session_is_renewed_with_its_key_alone(service: Service, phone: Keyed) -> None:
    body = {"refresh_token": phone.refresh}
    assert told(service.client.post("/v1/auth/refresh", json=body)) == (401, "proof-refused")
    thief = Keyed(service, PhoneKey(), refresh=phone.refresh)
    assert told(thief.renew()) == (401, "proof-refused")
    assert phone.renew().json()["token_type"] == "DPoP"  # And the tries ended nothing.
    assert phone.alive()


def test_a_thief_with_an_old_refresh_token_cannot_end_the_session(service: Service, phone: Keyed) -> None:
    old = phone.refresh
    for _ in range(3):
        assert phone.renew().is_success
    thief = Keyed(service, PhoneKey(), refresh=old)
    assert told(thief.renew()) == (401, "proof-refused")
    assert phone.alive()


def test_with_the_key_a_lost_answer_may_be_asked_for_days_later(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    clock.set(START)
    phone = bound(service, cadre)
    before = phone.refresh
    lost = phone.renew().json()["refresh_token"]
    clock.move(days=5)
    phone.refresh = before
    again = phone.renew()
    assert again.is_success
    assert again.json()["refresh_token"] == lost
    assert phone.renew().is_success  # The successor was used:
    phone.refresh = before
    assert told(phone.renew()) == (401, "refresh-refused")  # Now the first one is two generations old.
    assert not phone.alive()


def test_a_key_offered_with_an_unbound_session_binds_nothing(service: Service, cadre: Account) -> None:
    """Otherwise whoever steals a refresh token could make it theirs for good."""
    phone = Keyed(service, PhoneKey(), refresh=tokens_for(service, cadre).refresh_token)
    renewed = phone.renew()
    assert renewed.json()["token_type"] == "Bearer"
    with service.as_(phone.access) as client:
        assert client.get("/v1/me").status_code == 200
