"""Phones with keys, for tests: proofs made by PyJWT, so that what the server reads was not written by itself."""

import base64
import hashlib
import json
import struct
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
from conftest import Service
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from factories_login import PASSWORD

from server import clock, ids
from server.auth.models import Account, DeviceEvent, DeviceKey
from server.auth.rules import KeyCause, KeyEvent
from server.auth.sessions import Tokens, start
from server.notices.service import default

ALGORITHMS = ("ES256", "EdDSA")


def b64(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@dataclass
class PhoneKey:
    """A key pair in a phone."""

    alg: str = "ES256"
    private: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.private = (
            ec.generate_private_key(ec.SECP256R1())
            if self.alg == "ES256"
            else ed25519.Ed25519PrivateKey.generate()
        )

    @property
    def jwk(self) -> dict[str, str]:
        """Return the public half."""
        algorithm = jwt.get_algorithm_by_name(self.alg)
        told: dict[str, str] = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {name: told[name] for name in ("kty", "crv", "x", "y") if name in told}

    @property
    def jkt(self) -> str:
        """Return the thumbprint as RFC 7638 writes it, member by member."""
        names = ("crv", "kty", "x", "y") if self.alg == "ES256" else ("crv", "kty", "x")
        canonical = "{" + ",".join(f'"{name}":"{self.jwk[name]}"' for name in names) + "}"
        return b64(hashlib.sha256(canonical.encode()).digest())

    def proof(
        self,
        method: str,
        url: str,
        nonce: str | None,
        /,
        *,
        token: str | None = None,
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """Return a DPoP proof; `changed` claims replace the right ones, None leaves one out."""
        claims = {
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
            "jti": uuid4().hex,
            "nonce": nonce,
            "ath": b64(hashlib.sha256(token.encode()).digest()) if token else None,
        } | changed
        kept = {name: value for name, value in claims.items() if value is not None}
        head = {"typ": "dpop+jwt", "jwk": self.jwk} | (header or {})
        return jwt.encode(kept, self.private, self.alg, headers=head)

    def signed(self, header: dict[str, Any], payload: bytes) -> str:
        """Return a compact JWS over exactly these bytes."""
        message = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
        signature = jwt.get_algorithm_by_name(self.alg).sign(message.encode(), self.private)
        return f"{message}.{b64(signature)}"


def sealed(key: PhoneKey, person: UUID, one: object, body: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return what a phone sends instead of this body of a check-in: signed by its key, as the guide tells."""
    stated = {name: value for name, value in body.items() if name not in {"sent_at", "salt"}}
    sent: dict[str, Any] = {"sent_at": body["sent_at"]} if "sent_at" in body else {}
    if (position := body.get("position")) is not None:
        salt = body.get("salt") or b64(uuid4().bytes)
        altitude, speed = position.get("altitude_m"), position.get("speed_mps")
        opening = (
            round(position["lon"] * 1e7),
            round(position["lat"] * 1e7),
            None if altitude is None else round(altitude * 100),
            None if speed is None else round(speed * 100),
        )
        raw = base64.urlsafe_b64decode(salt + "=" * (-len(salt) % 4))
        packed = struct.pack(">qqqq", *(-(2**63) if each is None else each for each in opening))
        digest = hashlib.sha256(b"zaicun position 1\0" + bytes([len(raw)]) + raw + packed).digest()
        exact = {"lon", "lat", "altitude_m", "speed_mps"}
        stated["position"] = {k: v for k, v in position.items() if k not in exact} | {
            "commitment": b64(digest)
        }
        names = ("lon_e7", "lat_e7", "altitude_cm", "speed_cmps")
        sent["position"] = dict(zip(names, opening, strict=True)) | {"salt": salt}
    header = {"typ": "zaicun-check-in+jws", "alg": key.alg, "jwk": key.jwk}
    payload = {"id": str(one), "person": str(person), **stated}
    return {"signed": key.signed(header, json.dumps(payload).encode()), **sent} | changed


@dataclass
class Keyed:
    """A phone that sends with its key: it remembers the nonce and makes a new proof for each request."""

    service: Service
    key: PhoneKey
    access: str = ""
    refresh: str = ""
    nonce: str | None = None

    def send(self, method: str, path: str, *, sign: bool = True, **more: Any) -> httpx.Response:
        """Send a request; once more when the server wants another nonce."""
        for _ in range(2):
            headers = {"Authorization": f"DPoP {self.access}"} if self.access else {}
            if sign:
                url = self.service.url + path.partition("?")[0]
                headers["DPoP"] = self.key.proof(method, url, self.nonce, token=self.access or None)
            answer = self.service.client.request(method, path, headers=headers, **more)
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)
            if answer.status_code != 401 or answer.json()["code"] != "use-dpop-nonce":
                break
        return answer

    def open(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Send what needs no token, with the proof of the key, and keep the tokens of the answer."""
        access, self.access = self.access, ""
        answer = self.send("POST", path, json=body)
        self.access = access
        if answer.is_success:
            self.access, self.refresh = answer.json()["access_token"], answer.json()["refresh_token"]
        return answer

    def log_in(self, login: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        """Log in with a password."""
        return self.open("/v1/auth/login", {"login": login, "password": password, **more})

    def activate(self, login: str, code: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        """Use the town's one-time code."""
        notice = default().digest
        body = {"login": login, "code": code, "password": password, "notice": notice, **more}
        return self.open("/v1/auth/activate", body)

    def renew(self) -> httpx.Response:
        """Get the next pair of tokens."""
        return self.open("/v1/auth/refresh", {"refresh_token": self.refresh})

    def alive(self) -> bool:
        """Tell whether the session stands."""
        return self.send("GET", "/v1/me").status_code == 200

    def state(self) -> str:
        """Return what this phone's key is good for."""
        items = self.send("GET", "/v1/me/devices").json()["items"]
        return str(next(item["state"] for item in items if item["current"]))


def bound(service: Service, account: Account, key: PhoneKey | None = None, *, trusted: bool = True) -> Keyed:
    """Return a phone whose key is in the account and whose session is bound to it, without logging in over HTTP."""
    key = key or PhoneKey()
    with service.database.write() as session:
        row = DeviceKey(
            id=ids.new_id(), account_id=account.id, jkt=key.jkt, algorithm=key.alg, public_jwk=key.jwk,
            protection="hardware", client="小米 14", address="127.0.0.1", enrolled_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        made: Tokens = start(
            session,
            service.app.state.doorkeeper,
            session.get_one(Account, account.id),
            client="小米 14",
            address="127.0.0.1",
            jkt=key.jkt,
        )
        happened = [(KeyEvent.ENROLLED, KeyCause.LOGIN)]
        happened += [(KeyEvent.TRUSTED, KeyCause.FIRST)] if trusted else []
        for kind, cause in happened:
            session.add(
                DeviceEvent(
                    device_id=row.id, kind=kind, cause=cause, at=clock.now(), by_account=account.id,
                    in_session=made.session_id, reason="",
                )
            )  # fmt: skip
    return Keyed(service, key, made.access_token, made.refresh_token)
