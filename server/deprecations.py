"""What of the API will go away: the one registry behind the headers and the OpenAPI document.

An operation that is entered here answers with ``Deprecation`` (RFC 9745), ``Sunset`` (RFC 8594) when the day of its
end is set, and a ``Link`` to the explanation; its description in openapi.json says ``deprecated: true``. Nothing else
marks an operation as deprecated, so the document and the headers cannot disagree. What goes away of an operation that
stays (server.checkins.unsaid) says so in the answers to those who still use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import cached_property
from typing import Any

EXPLAINED = "/docs/changes"
"""Where every deprecation is explained: mobile_api_docs/CHANGES.md, served by the service itself."""


@dataclass(frozen=True)
class Deprecation:
    """An operation that clients should leave. `since` and `sunset` are aware instants in UTC."""

    since: datetime
    sunset: datetime | None = None

    def __post_init__(self) -> None:
        for instant in (self.since, self.sunset):
            if instant is not None and instant.utcoffset() is None:
                raise ValueError("the instants of a deprecation carry their zone")
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError("an operation does not end before it is deprecated (RFC 9745 section 4)")

    @cached_property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of each answer: a structured date (RFC 9651), an HTTP date, a link."""
        found = [
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"link", f'<{EXPLAINED}>; rel="deprecation"; type="text/plain"'.encode()),
        ]
        if self.sunset is not None:
            found.append((b"sunset", format_datetime(self.sunset, usegmt=True).encode()))
        return found


REGISTRY: dict[str, Deprecation] = {}
"""Operation id to deprecation. Empty: nothing of v1 is going away."""


def headers_of(route: Any) -> list[tuple[bytes, bytes]]:  # noqa: ANN401  Whatever Starlette matched, or None.
    """Return the headers for answers of a route."""
    found = REGISTRY.get(getattr(route, "operation_id", None) or "")
    return [] if found is None else found.headers


def write_into(operations: Mapping[str, dict[str, Any]]) -> None:
    """Mark the described operations, by operation id. Raises ValueError for an entry that names none of them."""
    unknown = REGISTRY.keys() - operations.keys()
    if unknown:
        raise ValueError(f"deprecated but unknown: {', '.join(sorted(unknown))}")
    for name, operation in operations.items():
        if operation.get("deprecated") and name not in REGISTRY:
            raise ValueError(f"{name} is marked as deprecated, but the registry does not know when and why")
        if name in REGISTRY:
            operation["deprecated"] = True
