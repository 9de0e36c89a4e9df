"""Signatures of phones: public keys as JWK (RFC 7517), and compact JWS (RFC 7515) that bring their key along. Pure.

Two kinds of keys are taken: EC on P-256 with ES256, and Ed25519 with EdDSA (RFC 8037; "Ed25519" in RFC 9864). The
algorithm must be that of the key, so neither ``none`` nor an HMAC with the public key as its secret can be asked for
(RFC 8725 section 3.1). A header has exactly the members that its kind has: no ``crit``, ``jku``, ``x5c`` or ``b64``.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

KEYS_READY = 4096
"""Headers and their keys kept ready in one worker, some 12 MB: a phone signs with the same one all day."""
LONGEST_HEADER = 1024
"""Characters; one that browsers write has about 350."""
_MEMBERS = {"typ", "alg", "jwk"}
ALGORITHMS = {"ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
"""What a header may name, and the type of the keys that it goes with."""
_SIGNATURE_BYTES = 64  # Of both algorithms: RFC 7518 section 3.4, RFC 8032 section 5.1.6.
_COORDINATE_BYTES = 32
_ES256 = ec.ECDSA(hashes.SHA256())
_PRIME = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
        57896044618658097711785492504343953926634992332820282019728792003956564819948,
    }
)
"""The y of Ed25519's eight points of small order (RFC 7748 section 7): anybody can make signatures that fit such a key."""


class Unfit(Exception):
    """A key, a JWS or a proof that is not taken. `cause` is a word for the metrics, never told to the sender in full."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A phone's public key. `jkt` is its RFC 7638 thumbprint, 43 letters of base64url; `jwk` the members that make it."""

    jkt: str
    jwk: Mapping[str, str]
    _key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

    @property
    def algorithm(self) -> str:
        """Return what it signs with: ES256 or EdDSA."""
        return "ES256" if self.jwk["kty"] == "EC" else "EdDSA"

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Tell whether `signature`, as a JWS carries it, is this key's over exactly these bytes."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
                self._key.verify(encode_dss_signature(r, s), message, _ES256)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Opened:
    """A JWS whose signature is that of the key in its header."""

    key: PublicKey
    payload: bytes


def opened(compact: str, *, kind: str, longest: int) -> Opened:
    """Return what a compact JWS of a kind (its ``typ``) of `longest` characters holds. Raises Unfit."""
    if len(compact) > longest or not compact.isascii():
        raise Unfit("form")
    parts = compact.split(".")
    if len(parts) != 3:  # noqa: PLR2004  Header, payload, signature: RFC 7515 section 3.1.
        raise Unfit("form")
    if len(parts[0]) > LONGEST_HEADER:
        raise Unfit("header")
    header, key = _headed(parts[0])
    if header["typ"] != kind:
        raise Unfit("header")
    if not key.signed(decoded(parts[2]), compact.rpartition(".")[0].encode()):
        raise Unfit("signature")
    return Opened(key, decoded(parts[1]))


@lru_cache(KEYS_READY)
def _headed(text: str) -> tuple[Mapping[str, Any], PublicKey]:
    """Return a header and its key. Those of one phone are the same all day, and half of what a JWS costs."""
    header = members_of(decoded(text))
    if set(header) != _MEMBERS:
        raise Unfit("header")
    key = public_key(header["jwk"])
    wanted = header["alg"]
    if not isinstance(wanted, str) or ALGORITHMS.get(wanted) != key.jwk["kty"]:
        raise Unfit("algorithm")
    return header, key


def public_key(jwk: object) -> PublicKey:
    """Return the key that a JWK describes. Raises Unfit: another type or curve, no point of it, or a private key.

    Members beyond those of the key (``use``, ``key_ops``, ``ext`` as browsers export them) mean nothing here.
    """
    if not isinstance(jwk, dict) or "d" in jwk or "k" in jwk:
        raise Unfit("key")
    named = tuple(jwk.get(name) for name in ("kty", "crv", "x", "y"))
    if not all(value is None or isinstance(value, str) for value in named):
        raise Unfit("key")
    return _built(*named)


def _built(kty: str | None, crv: str | None, x: str | None, y: str | None) -> PublicKey:
    try:
        if (kty, crv) == ("EC", "P-256") and x is not None and y is not None:
            across, up = int.from_bytes(_coordinate(x)), int.from_bytes(_coordinate(y))
            point = ec.EllipticCurvePublicNumbers(across, up, ec.SECP256R1()).public_key()
            return _named({"crv": "P-256", "kty": "EC", "x": x, "y": y}, point)
        if (kty, crv) == ("OKP", "Ed25519") and x is not None and y is None:
            raw = _coordinate(x)
            if (height := int.from_bytes(raw, "little") & ~(1 << 255)) >= _PRIME or height in _SMALL_ORDER:
                raise Unfit("key")
            return _named(
                {"crv": "Ed25519", "kty": "OKP", "x": x}, ed25519.Ed25519PublicKey.from_public_bytes(raw)
            )
    except ValueError as error:  # Not on the curve.
        raise Unfit("key") from error
    raise Unfit("key")


def _named(jwk: dict[str, str], key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> PublicKey:
    return PublicKey(thumbprint(jwk), jwk, key)


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a JWK's required members (RFC 7638) in base64url."""
    canonical = json.dumps(dict(jwk), sort_keys=True, separators=(",", ":")).encode()
    return encoded(hashlib.sha256(canonical).digest())


def encoded(content: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without padding. Raises Unfit for any other way to write them.

    One content has one text: otherwise a signature or an id could be written anew and pass for another one.
    """
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise Unfit("form") from error
    if encoded(content) != text:
        raise Unfit("form")
    return content


def members_of(content: bytes) -> dict[str, Any]:
    """Return a JSON object in which each name stands once (RFC 7515 section 4). Raises Unfit."""
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Unfit("form") from error
    if not isinstance(found, dict):
        raise Unfit("form")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unfit("form")
    return found


def _no_number(_text: str) -> None:
    raise Unfit("form")  # NaN and infinities are no JSON.


def _coordinate(text: str) -> bytes:
    raw = decoded(text)
    if len(raw) != _COORDINATE_BYTES:
        raise Unfit("key")
    return raw
