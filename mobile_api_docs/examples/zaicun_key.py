"""The phone's key: made once, never leaves the phone, signs check-ins, and shows who sends a request (RFC 9449).

To be read and translated, like zaicun_phone.py. It needs Python 3.11 and cryptography. Here the key lies in a file that
its owner alone may read; a phone keeps it where it cannot be copied: Android Keystore (StrongBox or TEE), iOS Secure
Enclave, WebCrypto with ``extractable: false`` in a browser. Say which with `protection`; nothing is believed because of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from pathlib import Path

_EXACT = {
    "lon": ("lon_e7", 1e7),
    "lat": ("lat_e7", 1e7),
    "altitude_m": ("altitude_cm", 100),
    "speed_mps": ("speed_cmps", 100),
}
"""What is not signed itself, with its integer and unit in what opens the commitment."""


@dataclass(frozen=True)
class DeviceKey:
    """A key pair on the curve P-256."""

    private: ec.EllipticCurvePrivateKey
    protection: str = "software"

    @classmethod
    def kept(cls, folder: Path) -> DeviceKey:
        """Return the key of this phone; the first time it is made."""
        file = folder / "key.pem"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
                new.write(pem)
                new.flush()
                os.fsync(new.fileno())
        private = serialization.load_pem_private_key(file.read_bytes(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{file} holds another kind of key")
        return cls(private)

    @property
    def jwk(self) -> dict[str, str]:
        """Return the public key (RFC 7517), each coordinate in 32 bytes."""
        numbers = self.private.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return {"kty": "EC", "crv": "P-256", "x": _base64url(x), "y": _base64url(y)}

    def proof(self, method: str, url: str, nonce: str | None, token: str | None = None) -> str:
        """Return the DPoP header of one request: a new one for each, sent again or not.

        `url` has no query. `nonce` is the DPoP-Nonce that the server gave last, `token` the access token if one is sent.
        """
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url,
            "iat": int(time.time()),  # A wrong clock does no harm.
            "jti": secrets.token_urlsafe(16),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if token is not None:
            claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
        return self.signed({"typ": "dpop+jwt"}, json.dumps(claims).encode())

    def check_in(self, person: str, one: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return what is sent in place of a check-in's content: signed, with the coordinates beside what is signed.

        `person` is the id of whom the account is of (GET /v1/me). What is signed holds a commitment to the coordinates, so
        it proves the check-in when they are forgotten; with them and the salt anybody sees what was committed to.
        """
        stated = {"id": one, "person": person, **content}
        opening = None
        if content["position"] is not None:
            exact = {name: content["position"].get(name) for name in _EXACT}
            opening = {to: _whole(exact[name], by) for name, (to, by) in _EXACT.items()}
            salt = stated.pop("salt")
            kept = {name: value for name, value in content["position"].items() if name not in _EXACT}
            stated["position"] = kept | {"commitment": _commitment(salt, list(opening.values()))}
            opening["salt"] = salt
        payload = json.dumps(stated).encode()  # These bytes are signed: nobody writes them anew.
        return {"signed": self.signed({"typ": "zaicun-check-in+jws"}, payload), "position": opening}

    def signed(self, header: dict[str, Any], payload: bytes) -> str:
        """Return a compact JWS (RFC 7515) over exactly these bytes, with the public key in its header."""
        whole = json.dumps({"alg": "ES256", "jwk": self.jwk, **header}).encode()
        message = f"{_base64url(whole)}.{_base64url(payload)}"
        # What signs gives DER; a JWS has the two numbers, 32 bytes each (RFC 7518 section 3.4).
        r, s = decode_dss_signature(self.private.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{message}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _whole(number: float | None, by: float) -> Any:  # noqa: ANN401  An integer, None, or then the salt beside them.
    return None if number is None else round(number * by)


def _commitment(salt: str, numbers: list[int | None]) -> str:
    raw = base64.urlsafe_b64decode(salt + "=" * (-len(salt) % 4))
    packed = struct.pack(">qqqq", *(-(2**63) if number is None else number for number in numbers))
    return _base64url(hashlib.sha256(b"zaicun position 1\0" + bytes([len(raw)]) + raw + packed).digest())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
