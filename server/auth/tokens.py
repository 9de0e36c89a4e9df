"""Access tokens: JWTs (RFC 7519, profile of RFC 9068) signed with ES256, read under the rules of RFC 8725.

The algorithm is fixed, the key comes from our own set, and a header may carry ``alg``, ``kid`` and ``typ`` alone: a
token that brings its own key (``jwk``, ``jku``, ``x5u``, ``x5c``) or asks for extensions (``crit``) is refused before
anything of it is used.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from server import clock, ids, problems
from server.access import Grant, Role, Who
from server.auth import rules
from server.auth.keys import KeySet, Purpose
from server.problems import Kind, Problem

ALGORITHM = "ES256"
TYPE = "at+jwt"
AUDIENCE = "zaicun-api"
LEEWAY = timedelta(seconds=30)
LONGEST_TOKEN = 8192
"""Characters; as many grants as there may be, with the longest assignments, need about 6,500."""
_THUMBPRINT = 43
"""Letters of a SHA-256 in base64url."""
_HEADER = {"alg", "kid", "typ"}
_REQUIRED = ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "sid", "ver", "grants")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, after its signature and times were found good. `who` carries every grant of the token."""

    who: Who
    starts: datetime
    ends: datetime


def refused(kind: Kind = problems.TOKEN_INVALID) -> Problem:
    """Return the 401 that says nothing about what exactly was wrong (RFC 6750 section 3.1)."""
    return Problem(kind, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def sign(keys: KeySet, issuer: str, who: Who) -> tuple[str, datetime]:
    """Return an access token for `who` and the instant it ends."""
    key = keys.current(Purpose.ACCESS)
    now = clock.now().replace(microsecond=0)
    ends = now + rules.ACCESS_LIFE
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(who.account_id),
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int(ends.timestamp()),
        "jti": str(ids.new_id()),
        "sid": str(who.session_id),
        "ver": who.version,
        "grants": [_packed(grant) for grant in who.grants],
    }
    if who.person_id is not None:
        claims["pid"] = str(who.person_id)
    if who.jkt is not None:
        claims["cnf"] = {"jkt": who.jkt}
    if key.private is None:
        raise RuntimeError(f"the private half of key {key.kid} is missing")
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid, "typ": TYPE}), ends


def verify(keys: KeySet, issuer: str, token: str) -> Claims:
    """Return what a token says. Raises Problem (401 token-invalid or token-expired)."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise refused()
    try:
        header = _header(token)
        if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise refused()
        key = keys.find(Purpose.ACCESS, header["kid"]) if isinstance(header["kid"], str) else None
        if key is None or key.public is None or keys.distrusted(key):
            raise refused()
        superseded = keys.trusted_until(key)
        if superseded is not None and clock.now() > superseded + rules.ACCESS_LIFE + LEEWAY:
            raise refused()
        claims = jwt.decode(
            token,
            key.public,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=issuer,
            # Times are checked below against the product's own clock.
            options={
                "require": list(_REQUIRED),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "strict_aud": True,
            },
        )
        return _claims(claims)
    except Problem:
        raise
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        # PyJWT lets some errors of hostile input through as they are; none may become a 500 (security.md M10).
        raise refused() from None


def _header(token: str) -> dict[str, Any]:
    """Return the header, unverified. PyJWT would take the whole token apart for it, as it does once more below."""
    header = json.loads(base64.b64decode(token.partition(".")[0] + "==", altchars=b"-_"))
    if not isinstance(header, dict):
        raise refused()
    return header


def _claims(claims: Mapping[str, Any]) -> Claims:
    times = [claims[name] for name in ("iat", "nbf", "exp")]
    if any(type(value) is not int for value in times) or type(claims["ver"]) is not int:
        raise refused()
    made, starts, ends = (rules.utc(value) for value in times)
    now = clock.now()
    if ends - made > rules.ACCESS_LIFE or made > ends or made > now + LEEWAY or starts > now + LEEWAY:
        raise refused()
    if now >= ends + LEEWAY:
        raise refused(problems.TOKEN_EXPIRED)
    UUID(claims["jti"])
    who = Who(
        account_id=UUID(claims["sub"]),
        session_id=UUID(claims["sid"]),
        version=claims["ver"],
        person_id=UUID(claims["pid"]) if "pid" in claims else None,
        grants=tuple(_unpacked(packed) for packed in claims["grants"]),
        jkt=_bound_to(claims["cnf"]) if "cnf" in claims else None,
    )
    return Claims(who, starts, ends)


def _bound_to(confirmation: object) -> str:
    """Return the thumbprint of a ``cnf`` claim (RFC 7800, RFC 9449 section 6.1); any other one is not understood."""
    if not isinstance(confirmation, dict) or set(confirmation) != {"jkt"}:
        raise refused()
    jkt = confirmation["jkt"]
    if not isinstance(jkt, str) or len(jkt) != _THUMBPRINT:
        raise refused()
    return jkt


def _packed(grant: Grant) -> dict[str, Any]:
    """Return a grant with short names and without what is empty: tokens travel with every request."""
    packed = {
        "r": str(grant.role),
        "p": grant.region,
        "u": str(grant.unit_id) if grant.unit_id else "",
        "f": int(grant.valid_from.timestamp()) if grant.valid_from else 0,
        "t": int(grant.valid_until.timestamp()) if grant.valid_until else 0,
        "a": grant.assignment,
    }
    return {name: value for name, value in packed.items() if value}


def _unpacked(packed: Mapping[str, Any]) -> Grant:
    return Grant(
        role=Role(packed["r"]),
        region=str(packed.get("p", "")),
        unit_id=UUID(packed["u"]) if "u" in packed else None,
        valid_from=rules.utc(packed["f"]) if "f" in packed else None,
        valid_until=rules.utc(packed["t"]) if "t" in packed else None,
        assignment=str(packed.get("a", "")),
    )
