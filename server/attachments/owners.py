"""Who may read what is attached: each room above tells it of its own kind.

An attachment knows the kind and the id of what it is attached to and nothing else of it. The room that has the thing
installs an `Owner` when the application is assembled; without one nobody but the uploader reads what is attached there.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy import orm

from server.access import Role, Who
from server.attachments.rules import OwnerKind
from server.looks import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """Whose record is shown by an attachment, and which roles open it: what the look is recorded with (ruling 15)."""

    seen: Seen
    roles: tuple[Role, ...]


class Owner(Protocol):
    """What a room supplies for its kind."""

    def readable(self, session: orm.Session, who: Who, owner_id: UUID) -> Readable | None:
        """Return whose record it is when `who` may read it now, None when not. The same rule as for the thing itself."""


_KINDS: dict[OwnerKind, Owner] = {}


def install(kind: OwnerKind, room: Owner) -> None:
    """Install what a room supplies for its kind."""
    _KINDS[kind] = room


def of(kind: OwnerKind) -> Owner | None:
    """Return what was installed for a kind."""
    return _KINDS.get(kind)
