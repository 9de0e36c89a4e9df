"""Receipts (回执): what the server signs about a check-in at the moment it is stored, in a form that anybody can verify.

A receipt is a compact JWS (RFC 7515) under an Ed25519 key (RFC 8037), without coordinates: of the position it holds the
salted commitment (ruling 22), of what the phone sent and of what was judged a SHA-256. The receipts of a person are a
chain: each has its number and the hash of the one before, so none can be taken away, put between or put in another
order without breaking the next one. It is the signed log of RFC 9162, a log for each person: as nobody sees everybody's
check-ins, there is no tree to prove inclusion in, and who holds the newest receipt holds the anchor of all before it.

What is signed is built from the stored row alone, so a replay gives the same bytes for ever (ruling 21): the row keeps
the numbers of key and chain, the hash of the receipt before, and the signature. Nothing is ever read from JSON that was
not signed as these exact bytes (ruling 23). Pure.
"""

import contextlib
import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric import ed25519

from server.auth import jws
from server.auth.jws import PublicKey, Unfit

if TYPE_CHECKING:
    from server.checkins.record import Record

TYPE = "zaicun-receipt+jws"
ALGORITHM = "EdDSA"
LONGEST = 4096
"""Characters; a receipt has about 1,300."""
_FACTS = b"zaicun facts 1\0"
_ABSENT = b"\xff\xff\xff\xff"  # No number that is stored looks like this: it is a NaN.
_real = struct.Struct(">f").pack
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose signature is good. `digest` is what the next one of the person, or its restoration, names."""

    compact: str
    digest: bytes
    kid: str
    issuer: str
    epoch: int
    epoch_id: UUID
    person_id: UUID
    seq: int
    prev: bytes | None
    checkin_id: UUID
    day: date
    event_at: datetime
    captured_at: datetime
    sent_at: datetime
    received_at: datetime
    verdict: str
    standing: str
    content: bytes
    commitment: bytes | None
    restores: bytes | None


def public_key(x: str) -> PublicKey:
    """Return a receipt key from its one coordinate in base64url. Raises Unfit."""
    return jws.public_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def public_keys(listed: Iterable[tuple[str, str]]) -> dict[str, PublicKey]:
    """Return keys by their id from ids and coordinates. A spoilt one is left out: what it signed is then of an unknown key."""
    found = {}
    for kid, x in listed:
        with contextlib.suppress(Unfit):
            found[kid] = public_key(x)
    return found


def facts(record: "Record") -> bytes:
    """Return the SHA-256 (32 bytes) of everything judged and told that the receipt does not spell out.

    The hashed bytes: the tag, five 4-byte IEEE 754 numbers (accuracy, age of the fix, margin, p, p of the zone; all ones
    where there is none), then a JSON array without blanks. The array of a signed check-in ends with the hash of its
    signature (signing.Proof.digest), so that this cannot be taken away or put in later.
    """
    numbers = (record.accuracy_m, record.fix_age_s, record.margin_m, record.p_inside, record.p_zone)
    told = (
        record.utc_offset_min, record.reason, record.band, record.datum, record.provider, record.mocked,
        record.no_position, record.outside_work, record.note, record.client, record.posting_id, record.village_code,
        record.zone_name, record.versions, record.month_counted, record.month_need, record.month_due, record.month_away,
        record.month_tier, record.time_basis, record.time_doubt, *map(_in_utc, (record.earliest_at, record.latest_at,
        record.claimed_at, record.anchored_at)),
    )  # fmt: skip
    if record.proof_hash is not None:
        told += (jws.encoded(record.proof_hash),)
    packed = b"".join([_ABSENT if number is None else _real(number) for number in numbers])
    return hashlib.sha256(_FACTS + packed + orjson.dumps(told, option=orjson.OPT_UTC_Z)).digest()


def payload(record: "Record") -> bytes:
    """Return the exact bytes that the receipt of a record says, UTF-8 JSON."""
    return orjson.dumps(
        {
            "iss": record.issuer,
            "epoch": record.epoch,
            "epoch_id": record.epoch_id,
            "sub": record.person_id,
            "seq": record.chain_seq,
            "prev": _text(record.prev),
            "jti": record.id,
            "kind": record.kind,
            "day": record.day,
            "event_at": _in_utc(record.event_at),
            "captured_at": _in_utc(record.captured_at),
            "sent_at": _in_utc(record.sent_at),
            "received_at": _in_utc(record.received_at),
            "verdict": record.verdict,
            "standing": record.standing,
            "content": jws.encoded(record.content_hash),
            "commitment": _text(record.commitment),
            "facts": jws.encoded(facts(record)),
            "restored_at": _in_utc(record.restored_at),
            "restores": _text(record.restores),
        },
        option=orjson.OPT_UTC_Z,
    )


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _text(content: bytes | None) -> str | None:
    return None if content is None else jws.encoded(content)


@lru_cache(64)
def _header(kid: str) -> str:
    return jws.encoded(orjson.dumps({"typ": TYPE, "alg": ALGORITHM, "kid": kid}))


def _signed(record: "Record") -> str:
    if record.kid is None:
        raise ValueError("a record without a receipt")
    return f"{_header(record.kid)}.{jws.encoded(payload(record))}"


def seal(record: "Record", signer: ed25519.Ed25519PrivateKey) -> tuple["Record", str]:
    """Sign the receipt of a record that has its place in the chain; return it with the signature, and the receipt."""
    message = _signed(record)
    signature = signer.sign(message.encode())
    return record._replace(signature=signature), f"{message}.{jws.encoded(signature)}"


def compact(record: "Record") -> str | None:
    """Return the receipt of a record, None for one that was stored before there were receipts (or lost what makes one)."""
    if record.signature is None or record.kid is None:
        return None
    return f"{_signed(record)}.{jws.encoded(record.signature)}"


def digest(receipt: str) -> bytes:
    """Return the SHA-256 of a receipt as it is written; the next one's `prev`."""
    return hashlib.sha256(receipt.encode()).digest()


def read(receipt: str, keys: Mapping[str, PublicKey]) -> Receipt:
    """Return what a receipt says, once its signature is found good. Raises Unfit: form, header, key, signature."""
    if len(receipt) > LONGEST or not receipt.isascii():
        raise Unfit("form")
    parts = receipt.split(".")
    if len(parts) != _PARTS:
        raise Unfit("form")
    header = jws.members_of(jws.decoded(parts[0]))
    if header.keys() != {"typ", "alg", "kid"} or (header["typ"], header["alg"]) != (TYPE, ALGORITHM):
        raise Unfit("header")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise Unfit("key")
    if not key.signed(jws.decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode()):
        raise Unfit("signature")
    return _made(receipt, header["kid"], said(receipt))


def said(receipt: str) -> dict[str, Any]:
    """Return the members of a receipt's payload, unverified. Raises Unfit."""
    return jws.members_of(jws.decoded(receipt.split(".")[1]))


def _made(receipt: str, kid: str, told: Mapping[str, Any]) -> Receipt:
    try:
        return Receipt(
            compact=receipt,
            digest=digest(receipt),
            kid=kid,
            issuer=str(told["iss"]),
            epoch=int(told["epoch"]),
            epoch_id=UUID(told["epoch_id"]),
            person_id=UUID(told["sub"]),
            seq=int(told["seq"]),
            prev=_bytes(told["prev"]),
            checkin_id=UUID(told["jti"]),
            day=date.fromisoformat(told["day"]),
            event_at=datetime.fromisoformat(told["event_at"]),
            captured_at=datetime.fromisoformat(told["captured_at"]),
            sent_at=datetime.fromisoformat(told["sent_at"]),
            received_at=datetime.fromisoformat(told["received_at"]),
            verdict=str(told["verdict"]),
            standing=str(told["standing"]),
            content=jws.decoded(told["content"]),
            commitment=_bytes(told["commitment"]),
            restores=_bytes(told["restores"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unfit("payload") from error  # Ours, but of a version that nobody here knows.


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else jws.decoded(text)
