"""DPoP proofs (RFC 9449 section 4): that whoever sends a request holds the key that the token is bound to. Pure.

Freshness comes from the server's nonce alone: ``iat`` must be there, but phones whose clock is a day off are as good as
any other (RFC 9449 section 11.1 leaves that to servers that hand out nonces).
"""

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from server.auth import jws
from server.auth.jws import PublicKey, Unfit

KIND = "dpop+jwt"
LONGEST = 4096
"""Characters of a proof; one with the longest address that is of use here has about 1,000."""
LONGEST_JTI = 128
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a proof must be about: method, whole address, and the access token if it carries one."""

    method: str
    url: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is right for its request. Whether its nonce stands, and its id is new, is for server.auth.nonces."""

    key: PublicKey
    jti: str
    nonce: str | None


def read(text: str, asked: Asked) -> Proof:
    """Return the proof. Raises Unfit: not well-formed, not signed by its key, or about another request or token."""
    found = jws.opened(text, kind=KIND, longest=LONGEST)
    claims = jws.members_of(found.payload)
    method, url, jti = (_text(claims, name) for name in ("htm", "htu", "jti"))
    if type(claims.get("iat")) is not int or not 1 <= len(jti) <= LONGEST_JTI:
        raise Unfit("claims")
    # HEAD is answered as GET is, and arrives as one (envelope.py).
    if method != asked.method and (method, asked.method) != ("HEAD", "GET"):
        raise Unfit("method")
    if target(url) != target(asked.url):
        raise Unfit("address")
    if asked.token is not None and _text(claims, "ath") != token_hash(asked.token):
        raise Unfit("token")
    return Proof(found.key, jti, _text(claims, "nonce") if "nonce" in claims else None)


def token_hash(token: str) -> str:
    """Return the ``ath`` of an access token (RFC 9449 section 4.2)."""
    return jws.encoded(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())


def target(url: str) -> tuple[str, str, int, str]:
    """Return what two addresses must share: scheme, host, port and path. Raises Unfit for what is no HTTP address.

    Query and fragment do not count (RFC 9449 section 4.3, 9); scheme and host have no case, and 80 and 443 need not be
    written (RFC 9110 section 4.2.3).
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Unfit("address") from error
    if not host or not port or "@" in parts.netloc:
        raise Unfit("address")
    return parts.scheme, host, port, parts.path or "/"


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise Unfit("claims")
    return value
