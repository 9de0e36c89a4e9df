"""Check-ins that the phone signed at the tap: what they are made of, and whether they are what they say. Pure.

What is signed holds a salted commitment in place of the coordinates, so that the signature stays good when they have
faded (rulings 22, 23). It travels in three parts::

    {"signed": "<compact JWS>", "sent_at": "...", "position": {"lon_e7", "lat_e7", "altitude_cm", "speed_cmps", "salt"}}

`signed` covers exact bytes, and nobody writes them anew: the header is ``typ`` (`KIND`), ``alg`` and ``jwk``, the payload
the JSON object of a check-in without `sent_at` and `salt`, with `id` and `person`, and with `commitment` where its
`position` had longitude, latitude, altitude and speed. `position` opens the commitment in integers of 1e-7 degree, 0.01 m
and 0.01 m/s; it is null where the check-in's is. `sent_at` is read at each sending, so it cannot be signed at the tap.
The key in the header must be the one that the token is bound to: no table is asked, and whoever keeps the JWS can verify
it without the server (design: DECISIONS.md).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from server.auth import jws
from server.auth.jws import PublicKey, Unfit
from server.checkins import rules
from server.checkins.rules import ExactPosition

KIND = "zaicun-check-in+jws"
LONGEST = 8192
"""Characters of a JWS; one with the longest note and names has about 4,000."""
MEMBERS = frozenset({"signed", "sent_at", "position"})
OF_THE_SENDING = frozenset({"sent_at", "sent_clock"})
"""Read anew at each sending, so never signed; a phone without a running clock has no `sent_clock`."""
_E7 = 10**7
_OPENED = ("lon_e7", "lat_e7", "altitude_cm", "speed_cmps")
_BYTES_OF_SALT = range(16, 33)
_INSIDE = {"lon_e7": 180 * _E7, "lat_e7": 90 * _E7, "altitude_cm": 10_000_000, "speed_cmps": 10_000_000}


@dataclass(frozen=True, slots=True)
class Signed:
    """A check-in whose signature is good.

    `body` is what a phone without a key would have sent (CheckInIn reads it, and judges what is in it); `evidence` the
    JWS to keep for ever; `commitment` what it says of the position, None without one.
    """

    body: dict[str, Any]
    evidence: str
    key: PublicKey
    commitment: bytes | None


def read(sent: Mapping[str, Any], *, jkt: str, person_id: UUID, checkin_id: UUID) -> Signed:
    """Return a signed check-in. Raises Unfit: not well-formed, not signed by the token's key, or about another check-in.

    `jkt` is the key that the token is bound to, `person_id` whom it speaks for, `checkin_id` the address it was sent to.
    """
    if not MEMBERS <= sent.keys() <= MEMBERS | OF_THE_SENDING or not isinstance(sent["signed"], str):
        raise Unfit("form")
    found = jws.opened(sent["signed"], kind=KIND, longest=LONGEST)
    if found.key.jkt != jkt:
        raise Unfit("key")
    statement = jws.members_of(found.payload)
    if (statement.pop("id", None), statement.pop("person", None)) != (str(checkin_id), str(person_id)):
        raise Unfit("about")
    if statement.keys() & {*OF_THE_SENDING, "salt"} or "position" not in statement:
        raise Unfit("form")
    body = {**statement, **{name: sent[name] for name in OF_THE_SENDING & sent.keys()}}
    commitment = None
    if statement["position"] is not None:
        exact, salt = _opening(sent["position"])
        commitment = rules.commitment(salt, exact)
        body["position"] = _position(statement["position"], exact, commitment)
        body["salt"] = jws.encoded(salt)
    elif sent["position"] is not None:
        raise Unfit("commitment")
    return Signed(body, sent["signed"], found.key, commitment)


def _opening(given: object) -> tuple[ExactPosition, bytes]:
    """Return what a commitment is opened with; a longitude that is no integer is none."""
    if not isinstance(given, dict) or given.keys() != {*_OPENED, "salt"}:
        raise Unfit("form")
    for name in _OPENED:
        value = given[name]
        absent = value is None and name in _OPENED[2:]
        if not absent and (type(value) is not int or abs(value) > _INSIDE[name]):
            raise Unfit("form")
    if not isinstance(given["salt"], str):
        raise Unfit("form")
    salt = jws.decoded(given["salt"])
    if len(salt) not in _BYTES_OF_SALT:
        raise Unfit("form")
    return ExactPosition(*(given[name] for name in _OPENED)), salt


def _position(stated: object, exact: ExactPosition, commitment: bytes) -> dict[str, Any]:
    """Return the position with its coordinates. Raises Unfit when they are not what was committed to."""
    if not isinstance(stated, dict) or stated.keys() & {"lon", "lat", "altitude_m", "speed_mps"}:
        raise Unfit("form")
    told = stated.get("commitment")
    if not isinstance(told, str) or not hmac.compare_digest(jws.decoded(told), commitment):
        raise Unfit("commitment")
    return {
        **{name: value for name, value in stated.items() if name != "commitment"},
        "lon": exact.lon_e7 / _E7,
        "lat": exact.lat_e7 / _E7,
        "altitude_m": None if exact.altitude_cm is None else exact.altitude_cm / 100,
        "speed_mps": None if exact.speed_cmps is None else exact.speed_cmps / 100,
    }
