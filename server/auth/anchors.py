"""Time anchors: the server's instant, sealed together with a phone's reading of its running clock (ruling 23).

A phone fetches one whenever it is online and keeps the last. Later it says how much its running clock has gone on since,
and a check-in made without a signal has a time that does not rest on a clock that anybody can set. Only we check an
anchor, so it is a MAC (HMAC-SHA-256, RFC 2104, cut to 128 bits) under a key of the key set, and needs no row.

As in Roughtime an anchor answers one question; here the question is not a random nonce but what the phone read off its
own clock when it asked, with the start (boot) that the clock counts from. So the instant and the reading belong together
for good. A new login changes nothing: an anchor is bound to the person, not to the session, because a queue outlives it.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.auth.keys import Key, KeySet, Purpose

LONGEST = 160
"""Characters of an anchor at most."""
_VERSION = "1"
_BODY = struct.Struct(">qq16s")
_MAC_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Anchor(NamedTuple):
    """What an anchor holds: our instant, and the asking phone's running clock with the digest of its boot."""

    at: datetime
    boot: bytes
    asked_ms: int


def boot_digest(boot_id: str) -> bytes:
    """Return 128 bits that stand for a boot: the name itself, which tells one phone from another, is kept nowhere."""
    return hashlib.sha256(b"zaicun boot 1\0" + boot_id.encode()).digest()[:16]


def issue(keys: KeySet, person_id: UUID, *, at: datetime, boot_id: str, asked_ms: int) -> str:
    """Return an anchor for a person: about 100 characters of ASCII."""
    key = keys.current(Purpose.ANCHOR)
    body = _BODY.pack((at - _EPOCH) // _MICROSECOND, asked_ms, boot_digest(boot_id))
    return _sealed(key, person_id, body)


def read(keys: KeySet, person_id: UUID, token: str) -> Anchor | None:
    """Return what an anchor of this person holds; None for one that is not ours, not theirs, or of a stolen key."""
    version, _, rest = token.partition(".")
    kid, _, content = rest.partition(".")
    key = keys.find(Purpose.ANCHOR, kid) if version == _VERSION and len(token) <= LONGEST else None
    if key is None or keys.distrusted(key):
        return None
    try:
        body = _bytes(content.partition(".")[0])
    except (ValueError, binascii.Error):
        return None
    # The whole text is compared, so that one anchor has one way to be written.
    whole = token.encode("utf-8", "surrogatepass")
    if len(body) != _BODY.size or not hmac.compare_digest(whole, _sealed(key, person_id, body).encode()):
        return None
    microseconds, asked_ms, boot = _BODY.unpack(body)
    return Anchor(_EPOCH + microseconds * _MICROSECOND, boot, asked_ms)


def _sealed(key: Key, person_id: UUID, body: bytes) -> str:
    mac = key.derive(b"anchor " + _VERSION.encode(), person_id.bytes, body)[:_MAC_BYTES]
    return ".".join((_VERSION, key.kid, _text(body), _text(mac)))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
