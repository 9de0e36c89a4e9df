"""Check-ins that the phone signed: what they are made of, and whether they are what they say. Pure.

What is signed holds a salted commitment in place of the coordinates, so that the signature stays good when they have
faded (rulings 22, 23). It travels in three parts::

    {"signed": "<compact JWS>", "sent_at": "...", "position": {"lon_e7", "lat_e7", "altitude_cm", "speed_cmps", "salt"}}

`signed` covers exact bytes, and nobody writes them anew: the header is ``typ`` (`KIND`), ``alg`` and ``jwk``, the payload
the JSON object of a check-in without `sent_at` and `salt`, with `id` and `person`, and with `commitment` where its
`position` had longitude, latitude, altitude and speed. `position` opens the commitment in integers of 1e-7 degree, 0.01 m
and 0.01 m/s; it is null where the check-in's is. `sent_at` is read at each sending, so it cannot be signed at the tap.

Reading it takes two steps, because what is wrong is told differently: `opened` shows that a key signed this check-in of
this person, or nothing (Unfit); `unfolded` makes of it what a phone without a key would have sent, or tells what in it does
not fit (Unopened). Whose key it is, is for the caller. What is unknown is passed over (ruling 11).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from server.auth import jws
from server.auth.jws import PublicKey, Unfit
from server.checkins import rules
from server.checkins.rules import ExactPosition

KIND = "zaicun-check-in+jws"
LONGEST = 8192
"""Characters of a JWS; one with the longest note and names has about 4,000."""
OF_THE_SENDING = ("sent_at", "sent_clock", "receipt")
"""Of this sending and not of the tap, so never signed; only some have a `sent_clock`, or come back with a `receipt`."""
_E7 = 10**7
_OPENED = ("lon_e7", "lat_e7", "altitude_cm", "speed_cmps")
_OPTIONAL = {"altitude_cm", "speed_cmps"}
_BYTES_OF_SALT = range(16, 33)
_INSIDE = {"lon_e7": 180 * _E7, "lat_e7": 90 * _E7, "altitude_cm": 10_000_000, "speed_cmps": 10_000_000}


class Proof(NamedTuple):
    """A JWS in its parts: `header` as it was sent (base64url), `payload` and `signature` as bytes. `jkt` names its key."""

    jkt: str
    header: str
    payload: bytes
    signature: bytes

    def compact(self) -> str:
        """Return the JWS as it was sent, to the letter: base64url is taken in one way of writing it only."""
        return f"{self.header}.{jws.encoded(self.payload)}.{jws.encoded(self.signature)}"

    def digest(self) -> bytes:
        """Return its SHA-256 as the database makes it too, for the receipt: header, payload and signature, points between.

        A header has no point in it and a signature is 64 bytes long, so no other three parts give these bytes.
        """
        return hashlib.sha256(b".".join((self.header.encode(), self.payload, self.signature))).digest()


@dataclass(frozen=True, slots=True)
class Signed:
    """A check-in of a person, signed by a key. `statement` is the payload without `id` and `person`."""

    key: PublicKey
    statement: dict[str, Any]
    proof: Proof


class Unopened(Exception):
    """The signature is good, and what is beside it does not fit. `field` and `code` name it, as pydantic names faults."""

    def __init__(self, field: str, code: str) -> None:
        super().__init__(field, code)
        self.field = field
        self.code = code


def opened(text: object, *, person_id: UUID, checkin_id: UUID) -> Signed:
    """Return what `signed` holds. Raises Unfit: not well-formed, a signature that is not good, or about another check-in.

    `person_id` is whom the token speaks for, `checkin_id` the address that it was sent to.
    """
    if not isinstance(text, str):
        raise Unfit("form")
    found = jws.opened(text, kind=KIND, longest=LONGEST)
    statement = jws.members_of(found.payload)
    if (statement.pop("id", None), statement.pop("person", None)) != (str(checkin_id), str(person_id)):
        raise Unfit("about")
    header, _, rest = text.partition(".")
    signature = jws.decoded(rest.rpartition(".")[2])
    return Signed(found.key, statement, Proof(found.key.jkt, header, found.payload, signature))


def unfolded(signed: Signed, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a phone without a key would have sent; CheckInIn judges what is in it. Raises Unopened.

    `sent` holds the parts that are not signed: `position` and what is of the sending.
    """
    body = {name: value for name, value in signed.statement.items() if name not in OF_THE_SENDING}
    body |= {name: sent[name] for name in OF_THE_SENDING if name in sent}
    stated, opening = body.get("position"), sent.get("position")
    if stated is None:
        if opening is not None:
            raise Unopened("position", "position_not_signed")
        return body
    # A salt that is signed stays for ever, and with it the place could be found by trying once it has faded.
    if (
        not isinstance(stated, dict)
        or "salt" in body
        or stated.keys() & {"lon", "lat", "altitude_m", "speed_mps"}
    ):
        raise Unopened("signed", "coordinates_signed")
    exact, salt = _opening(opening)
    told = stated.get("commitment")
    if not isinstance(told, str) or not _committed(told, rules.commitment(salt, exact)):
        raise Unopened("position", "commitment_differs")
    body["position"] = _position(stated, exact)
    body["salt"] = jws.encoded(salt)
    return body


def _committed(told: str, commitment: bytes) -> bool:
    return hmac.compare_digest(told.encode("utf-8", "surrogatepass"), jws.encoded(commitment).encode())


def _opening(given: object) -> tuple[ExactPosition, bytes]:
    """Return what a commitment is opened with; a longitude that is no integer is none."""
    if not isinstance(given, dict):
        raise Unopened("position", "opening_required")
    for name in _OPENED:
        value = given.get(name)
        absent = value is None and name in _OPTIONAL
        if not absent and (type(value) is not int or abs(value) > _INSIDE[name]):
            raise Unopened(f"position.{name}", "integer_required")
    return ExactPosition(*(given.get(name) for name in _OPENED)), _salt(given.get("salt"))  # type: ignore[arg-type]  # Checked above.


def _salt(given: object) -> bytes:
    try:
        salt = jws.decoded(given) if isinstance(given, str) else b""
    except Unfit:
        salt = b""
    if len(salt) not in _BYTES_OF_SALT:
        raise Unopened("position.salt", "salt")
    return salt


def _position(stated: Mapping[str, Any], exact: ExactPosition) -> dict[str, Any]:
    """Return the position with its coordinates in place of the commitment."""
    return {
        **{name: value for name, value in stated.items() if name != "commitment"},
        "lon": exact.lon_e7 / _E7,
        "lat": exact.lat_e7 / _E7,
        "altitude_m": None if exact.altitude_cm is None else exact.altitude_cm / 100,
        "speed_mps": None if exact.speed_cmps is None else exact.speed_cmps / 100,
    }
