"""Access tokens: forged ones, changes that work on the next request, and the keys (security.md M10, S11)."""

import base64
import hashlib
import hmac
import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from conftest import Service, SetClock
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from factories_auth import DISTRICT, TOWN, add_grant, make_account, token_for
from sqlalchemy import event

from server import clock as clock_module
from server import ids
from server.access import Role, Who
from server.auth import tokens
from server.auth.doorkeeper import MOST_REMEMBERED, Doorkeeper
from server.auth.keys import Purpose
from server.auth.models import Account
from server.problems import Problem
from server.settings import Settings


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Forger:
    """Makes tokens with the server's real key, or with others, from a good token changed in one place."""

    def __init__(self, service: Service, good: str) -> None:
        self.key = service.app.state.doorkeeper.keys.current(Purpose.ACCESS)
        self.good = good
        self.header = jwt.get_unverified_header(good)
        self.claims = jwt.decode(good, options={"verify_signature": False})

    def signed(self, header: dict[str, object], claims: object, key: object = None) -> str:
        """Sign with ES256 whatever the header says; None as a header's value leaves the member out."""
        head = {name: value for name, value in {**self.header, **header}.items() if value is not None}
        body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        message = f"{b64(json.dumps(head).encode())}.{b64(body)}"
        signer = jwt.get_algorithm_by_name("ES256")
        return f"{message}.{b64(signer.sign(message.encode(), key or self.key.private))}"

    def with_claims(self, **changed: object) -> str:
        merged = {k: v for k, v in {**self.claims, **changed}.items() if v is not None}
        return self.signed({}, merged)

    def hmac_with(self, secret: bytes, alg: str = "HS256") -> str:
        message = (
            f"{b64(json.dumps({**self.header, 'alg': alg}).encode())}.{b64(json.dumps(self.claims).encode())}"
        )
        return f"{message}.{b64(hmac.digest(secret, message.encode(), 'sha256'))}"

    def forged(self) -> dict[str, str]:
        """Return the forged tokens by what is wrong with them."""
        now = int(clock_module.now().timestamp())
        other = ec.generate_private_key(ec.SECP256R1())
        public = self.key.private.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        public_pem = public.public_bytes(serialization.Encoding.PEM, spki)
        public_der = public.public_bytes(serialization.Encoding.DER, spki)
        own_jwk = jwt.get_algorithm_by_name("ES256").to_jwk(other.public_key(), as_dict=True)
        claims, head, body, signature = self.claims, *self.good.split(".")
        unsigned = b64(json.dumps({**self.header, "alg": "none"}).encode())
        longer = b64(b"\0" + base64.urlsafe_b64decode(signature + "=="))
        der = other.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
        return {
            "alg none, no signature": f"{unsigned}.{body}.",
            "alg none, old signature": f"{unsigned}.{body}.{signature}",
            "alg None": f"{b64(json.dumps({**self.header, 'alg': 'None'}).encode())}.{body}.",
            "alg missing": self.signed({"alg": None}, claims),
            "alg a list": self.signed({"alg": ["ES256", "none"]}, claims),
            "alg lower case": self.signed({"alg": "es256"}, claims),
            "HS256 with the public key, PEM": self.hmac_with(public_pem),
            "HS256 with the public key, DER": self.hmac_with(public_der),
            "HS256 with an empty key": self.hmac_with(b""),
            "HS256 with the kid": self.hmac_with(self.key.kid.encode()),
            "HS512 named": self.hmac_with(public_pem, "HS512"),
            "RS256": jwt.encode(
                claims,
                pem(rsa.generate_private_key(65537, 2048)),
                "RS256",
                headers=self.header | {"alg": "RS256"},
            ),
            "EdDSA": jwt.encode(
                claims,
                pem(ed25519.Ed25519PrivateKey.generate()),
                "EdDSA",
                headers=self.header | {"alg": "EdDSA"},
            ),
            "ES384": self.signed({"alg": "ES384"}, claims),
            "another key, our kid": self.signed({}, claims, other),
            "another key, its jwk in the header": self.signed({"jwk": own_jwk}, claims, other),
            "another key, its jwk and kid": self.signed({"jwk": own_jwk, "kid": "mine"}, claims, other),
            "our key, a jwk in the header": self.signed({"jwk": own_jwk}, claims),
            "jku": self.signed({"jku": "https://127.0.0.1/keys"}, claims, other),
            "x5u": self.signed({"x5u": "https://127.0.0.1/cert"}, claims, other),
            "x5c": self.signed({"x5c": [b64(public_der)]}, claims, other),
            "crit": self.signed({"crit": ["exp"]}, claims),
            "b64 false": self.signed({"b64": False, "crit": ["b64"]}, claims),
            "zip": self.signed({"zip": "DEF"}, claims),
            "kid missing": self.signed({"kid": None}, claims),
            "kid unknown": self.signed({"kid": "unknown"}, claims, other),
            "kid empty": self.signed({"kid": ""}, claims),
            "kid a number": self.signed({"kid": 7}, claims),
            "kid a list": self.signed({"kid": [self.key.kid]}, claims),
            "kid a path": self.signed({"kid": "../../../../dev/null"}, claims, other),
            "kid a path to our file": self.signed({"kid": "access-000001.jwk"}, claims, other),
            "kid with a NUL": self.signed({"kid": self.key.kid + "\0"}, claims),
            "kid an SQL text": self.signed({"kid": "' OR '1'='1"}, claims, other),
            "kid of the refresh key": self.signed({"kid": "refresh-x"}, claims),
            "typ missing": self.signed({"typ": None}, claims),
            "typ JWT": self.signed({"typ": "JWT"}, claims),
            "typ id token": self.signed({"typ": "id+jwt"}, claims),
            "expired": self.with_claims(exp=now - 61, iat=now - 600, nbf=now - 600),
            "expired long ago": self.with_claims(exp=1, iat=0, nbf=0),
            "expires in a million years": self.with_claims(exp=31_556_926_000_000),
            "lifetime 11 minutes": self.with_claims(iat=now, nbf=now, exp=now + 660),
            "made in the future": self.with_claims(iat=now + 120, nbf=now, exp=now + 600),
            "not yet valid": self.with_claims(nbf=now + 120),
            "exp before iat": self.with_claims(iat=now, exp=now - 1),
            **{f"{name} missing": self.with_claims(**{name: None}) for name in claims if name != "pid"},
            "exp a text": self.with_claims(exp=str(now + 300)),
            "exp a fraction": self.with_claims(exp=now + 300.5),
            "exp true": self.with_claims(exp=True),
            "exp enormous": self.with_claims(exp=10**30),
            "nbf null text": self.with_claims(nbf="null"),
            "wrong issuer": self.with_claims(iss="somebody"),
            "issuer a list": self.with_claims(iss=["zaicun"]),
            "wrong audience": self.with_claims(aud="other-api"),
            "audience a list": self.with_claims(aud=[tokens.AUDIENCE, "other"]),
            "subject no uuid": self.with_claims(sub="1"),
            "subject a number": self.with_claims(sub=1),
            "subject of somebody else": self.with_claims(sub=str(uuid4())),
            "session of nobody": self.with_claims(sid=str(uuid4())),
            "session a list": self.with_claims(sid=[1]),
            "version a text": self.with_claims(ver="1"),
            "version true": self.with_claims(ver=True),
            "version ahead": self.with_claims(ver=claims["ver"] + 1),
            "grants an object": self.with_claims(grants={"r": "administrator"}),
            "grants a text": self.with_claims(grants="administrator"),
            "grants of an unknown role": self.with_claims(grants=[{"r": "god"}]),
            "grants with a bad unit": self.with_claims(grants=[{"r": "unit_viewer", "u": "x"}]),
            "person no uuid": self.with_claims(pid="x"),
            "claims a list": self.signed({}, [claims]),
            "claims a text": self.signed({}, b'"claims"'),
            "claims not JSON": self.signed({}, b"{"),
            "claims not UTF-8": self.signed({}, b"\xff\xfe"),
            "claims nested deep": self.signed({}, b"[" * 3000 + b"]" * 3000),
            "signature missing": f"{head}.{body}.",
            "signature zeros": f"{head}.{body}.{b64(bytes(64))}",  # CVE-2022-21449 elsewhere.
            "signature longer": f"{head}.{body}.{longer}",
            "signature in DER": f"{head}.{body}.{b64(der)}",
            "two parts": f"{head}.{body}",
            "four parts": f"{self.good}.{signature}",
            "five parts, as if encrypted": f"{head}..{body}.{signature}.{signature}",
            "dots alone": "..",
            "one letter": "x",
            "not base64": "a.b$.c",
            "not ASCII": "令牌.令牌.令牌",
            "grants swapped in": f"{head}.{b64(json.dumps({**claims, 'grants': [{'r': 'administrator'}]}).encode())}.{signature}",
            "huge": self.with_claims(pad="x" * 9000),
        }


@pytest.fixture(scope="module")
def cadre(service: Service) -> Account:
    with service.database.write() as session:
        return make_account(session, role=Role.CADRE)


def ask(service: Service, token: str) -> tuple[int, str]:
    answer = service.client.get("/v1/me", headers={b"Authorization": b"Bearer " + token.encode()})
    return answer.status_code, answer.json().get("code", "")


def refuses(keeper: Doorkeeper, token: str) -> bool:
    """Tell whether a token is refused with 401; any other error is the test's failure."""
    try:
        keeper.read(token)
    except Problem as problem:
        return problem.kind.status == 401
    return False


def test_no_forged_token_is_accepted_and_none_breaks_the_server(service: Service, cadre: Account) -> None:
    good = token_for(service, cadre)
    assert ask(service, good) == (200, "")
    forged = Forger(service, good).forged()
    assert len(forged) >= 80
    assert good not in forged.values()
    wrong = {name: ask(service, token) for name, token in forged.items()}
    assert {name: got for name, got in wrong.items() if got[0] != 401} == {}
    assert {code for _, code in wrong.values()} <= {"token-invalid", "token-expired", "token-stale"}


def test_the_forger_is_able_to_make_a_good_token(service: Service, cadre: Account) -> None:
    """Without this, every forged token could be refused for a reason of the forger's own."""
    forger = Forger(service, token_for(service, cadre))
    assert ask(service, forger.with_claims()) == (200, "")
    assert ask(service, forger.signed({}, forger.claims)) == (200, "")


def test_ten_thousand_mutations_are_refused(service: Service, cadre: Account) -> None:
    good = token_for(service, cadre)
    keeper: Doorkeeper = service.app.state.doorkeeper
    chance = random.Random(24)
    # The last letter of each part may carry bits that base64 does not use; they are not part of the token.
    ends = {i - 1 for i, letter in enumerate(good) if letter == "."} | {len(good) - 1}
    places = sorted(set(range(len(good))) - ends)
    accepted = []
    for _ in range(10_000):
        place, other = chance.choice(places), chance.choice(places)
        letter = chr(ord(good[place]) ^ 1 << chance.randrange(7))
        mutant = chance.choice(
            (
                good[:place] + letter + good[place + 1 :],
                good[:place] + good[place + 1 :],
                good[:place] + good[min(place, other) : max(place, other)] + good[place:],
                good[: min(place, other)] + good[max(place, other) :],
            )
        )
        if mutant != good and not refuses(keeper, mutant):
            accepted.append(mutant)
    assert accepted == []


def test_random_bytes_are_never_a_token_and_never_an_error(service: Service) -> None:
    keeper: Doorkeeper = service.app.state.doorkeeper
    chance = random.Random(7)
    for _ in range(2000):
        parts = [b64(chance.randbytes(chance.randrange(60))) for _ in range(chance.randrange(6))]
        assert refuses(keeper, ".".join(parts))


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "bearer\tx", "Token x"])
def test_a_request_without_a_bearer_token_is_told_so(service: Service, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = service.client.get("/v1/me", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_ends_after_ten_minutes(service: Service, cadre: Account, clock: SetClock) -> None:
    clock.set(datetime(2026, 3, 1, 8, tzinfo=UTC))
    token = token_for(service, cadre)
    clock.move(minutes=10, seconds=29)
    assert ask(service, token) == (200, "")
    clock.move(seconds=2)
    assert ask(service, token) == (401, "token-expired")
    # The token is forgotten by now; it must be refused as well when it is verified anew.
    assert ask(service, token) == (401, "token-expired")


def test_a_token_of_the_future_is_refused_even_if_it_is_remembered(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    clock.set(datetime(2026, 3, 1, 8, tzinfo=UTC))
    token = token_for(service, cadre)
    assert ask(service, token) == (200, "")
    clock.move(minutes=-2)
    assert ask(service, token) == (401, "token-invalid")


def test_disabling_works_on_the_next_request(service: Service) -> None:
    with service.database.write() as session:
        admin = make_account(session, role=Role.ADMIN)
        cadre = make_account(session, role=Role.CADRE)
    token = token_for(service, cadre)
    assert ask(service, token) == (200, "")
    with service.as_(token_for(service, admin)) as office:
        tag = office.get(f"/v1/accounts/{cadre.id}").headers["etag"]
        changed = office.patch(f"/v1/accounts/{cadre.id}", json={"disabled": True}, headers={"If-Match": tag})
        assert changed.status_code == 200
        assert ask(service, token) == (401, "token-stale")
        tag = changed.headers["etag"]
        office.patch(f"/v1/accounts/{cadre.id}", json={"disabled": False}, headers={"If-Match": tag})
    assert ask(service, token) == (401, "token-stale")
    assert ask(service, token_for(service, cadre)) == (200, "")


def test_a_grant_and_its_revocation_work_on_the_next_request(service: Service) -> None:
    with service.database.write() as session:
        admin = make_account(session, role=Role.ADMIN)
        officer = make_account(session, role=Role.CADRE)
    before = token_for(service, officer)
    grant = {"id": str(ids.new_id()), "role": "town_officer", "region": TOWN}
    with service.as_(token_for(service, admin)) as office:
        assert office.post(f"/v1/accounts/{officer.id}/grants", json=grant).status_code == 201
        assert ask(service, before) == (401, "token-stale")
        during = token_for(service, officer)
        with service.as_(during) as town:
            assert town.get("/v1/accounts").status_code == 200
        assert office.delete(f"/v1/accounts/{officer.id}/grants/{grant['id']}").status_code == 204
    with service.as_(during) as town:
        assert town.get("/v1/accounts").json()["code"] == "token-stale"
    with service.as_(token_for(service, officer)) as town:
        assert town.get("/v1/accounts").json()["code"] == "forbidden"


def test_a_grant_begins_and_ends_within_the_life_of_one_token(service: Service, clock: SetClock) -> None:
    clock.set(datetime(2026, 3, 1, 8, tzinfo=UTC))
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE)
        add_grant(
            session,
            account,
            Role.TOWN,
            region=TOWN,
            valid_from=clock() + timedelta(minutes=3),
            valid_until=clock() + timedelta(minutes=6),
        )
    with service.as_(token_for(service, account)) as client:
        seen = []
        for _ in range(4):
            seen.append(client.get("/v1/accounts").status_code)
            clock.move(minutes=2, seconds=30)
    # Asked at 0:00, 2:30, 5:00 and 7:30.
    assert seen == [403, 403, 200, 403]


def test_killing_a_session_works_on_the_next_request(service: Service, cadre: Account) -> None:
    kept, lost = token_for(service, cadre), token_for(service, cadre)
    with service.as_(kept) as client:
        sid = jwt.decode(lost, options={"verify_signature": False})["sid"]
        assert client.delete(f"/v1/auth/sessions/{sid}").status_code == 204
    assert ask(service, lost) == (401, "token-stale")
    assert ask(service, kept) == (200, "")


def test_an_account_disabled_behind_the_products_back_is_refused_too(
    service: Service, cadre: Account
) -> None:
    """An operator's UPDATE raises no version and ends no session; the next request is refused all the same."""
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE)
    token = token_for(service, account)
    with service.database.write() as session:
        session.get_one(Account, account.id).disabled_at = clock_module.now()
    assert ask(service, token) == (401, "token-stale")
    assert ask(service, token_for(service, cadre)) == (200, "")


def test_admitting_takes_one_statement(service: Service, cadre: Account) -> None:
    who = service.app.state.doorkeeper.read(token_for(service, cadre))
    counted: list[str] = []
    engine = service.app.state.database.engine
    listener = lambda _c, _cur, statement, *_rest: counted.append(statement)  # noqa: E731  An event listener.
    with service.app.state.database.read() as session:
        event.listen(engine, "before_cursor_execute", listener)
        try:
            service.app.state.doorkeeper.admit(session, who)
        finally:
            event.remove(engine, "before_cursor_execute", listener)
    assert len(counted) == 1


def test_the_longest_token_there_can_be_is_read_back(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session, role=None, region=DISTRICT)
        for _ in range(12):
            add_grant(
                session,
                account,
                Role.INSPECTOR,
                region="500116101200",
                assignment="督" * 40,
                valid_until=clock_module.now() + timedelta(days=1),
            )
    token = token_for(service, account)
    assert len(token) <= tokens.LONGEST_TOKEN
    assert len(service.app.state.doorkeeper.read(token).grants) == 12


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    keeper = Doorkeeper(Settings(var=tmp_path))
    keeper.keys.ensure()
    who = Who(uuid4(), uuid4(), 1)
    made = [tokens.sign(keeper.keys, "zaicun", who)[0] for _ in range(50)]
    for token in made:
        keeper.read(token)
    first = keeper._known[hashlib.sha256(made[0].encode()).digest()]  # noqa: SLF001
    keeper._known.update({os.urandom(32): first for _ in range(MOST_REMEMBERED)})  # noqa: SLF001
    assert keeper.read(tokens.sign(keeper.keys, "zaicun", who)[0]).account_id == who.account_id
    assert len(keeper._known) == MOST_REMEMBERED  # noqa: SLF001
