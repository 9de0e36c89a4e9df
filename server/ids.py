"""Identifiers made here: UUIDv7 (RFC 9562 section 5.7), so that keys made in order lie side by side in an index."""

from datetime import datetime
from uuid import UUID

import uuid_utils
import uuid_utils.compat

from server import clock


def new_id(at: datetime | None = None) -> UUID:
    """Return a fresh UUIDv7 whose 48-bit time is `at` (default: now)."""
    moment = at or clock.now()
    whole, part = divmod(round(moment.timestamp() * 1_000_000), 1_000_000)
    return uuid_utils.compat.uuid7(nanoseconds=whole * 1_000_000_000 + part * 1_000)


def request_id() -> str:
    """Return a fresh UUIDv7 of the machine's own clock, as text: for log lines, made thousands of times a second."""
    return str(uuid_utils.uuid7())
