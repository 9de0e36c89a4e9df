"""Links to contents that stand for minutes: an image view loads one without a header.

A link names the attachment, the session that asked and its end, and is sealed (HMAC-SHA-256, RFC 2104) under a key of
the key set that is for nothing else. It is no row: whoever brings it back unchanged is sent the content as long as the
session stands with the grants of then. It is made for one viewer; that it was made is what is recorded.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from server.access import Who
from server.auth.keys import Key, KeySet, Purpose

LONGEST = 200
"""Characters of a link's token at most."""
_VERSION = "1"
_BODY = struct.Struct(">q16s16s16sq")
_MAC_BYTES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link lets through: whom, to what, until when."""

    attachment_id: UUID
    who: Who
    until: datetime


def sealed(keys: KeySet, attachment_id: UUID, who: Who, until: datetime) -> str:
    """Return the token of a link, some 160 characters of ASCII that need no escape in an address."""
    key = keys.current(Purpose.LINK)
    seconds = (until - _EPOCH) // timedelta(seconds=1)
    body = _BODY.pack(seconds, attachment_id.bytes, who.account_id.bytes, who.session_id.bytes, who.version)
    return _written(key, body)


def opened(keys: KeySet, token: str, now: datetime) -> Ticket | None:
    """Return what a token lets through now; None for one that is over, not ours, or of a stolen key."""
    version, _, rest = token.partition(".")
    kid, _, content = rest.partition(".")
    key = keys.find(Purpose.LINK, kid) if version == _VERSION and len(token) <= LONGEST else None
    if key is None or keys.distrusted(key):
        return None
    try:
        text = content.partition(".")[0]
        body = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    # The whole text is compared, so that a link has one way to be written.
    whole = token.encode("utf-8", "surrogatepass")
    if len(body) != _BODY.size or not hmac.compare_digest(whole, _written(key, body).encode()):
        return None
    seconds, attachment, account, session, grants = _BODY.unpack(body)
    until = _EPOCH + timedelta(seconds=seconds)
    if now >= until:
        return None
    who = Who(account_id=UUID(bytes=account), session_id=UUID(bytes=session), version=grants)
    return Ticket(UUID(bytes=attachment), who, until)


def _written(key: Key, body: bytes) -> str:
    mac = key.derive(b"attachment " + _VERSION.encode(), body)[:_MAC_BYTES]
    return ".".join(
        (_VERSION, key.kid, *(base64.urlsafe_b64encode(x).decode().rstrip("=") for x in (body, mac)))
    )
