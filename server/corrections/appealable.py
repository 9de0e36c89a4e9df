"""Decisions that can be appealed against: each room tells its own, and acts when an appeal is upheld.

Corrections tell theirs here; check-ins (a rejection in review) and findings lie in rooms above, which are installed by
kind when the application is assembled. Without them nothing of their kind can be appealed against.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import orm

from server.access import Who
from server.corrections.rules import AppealKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision against somebody. `deciders` are the accounts that took part in it."""

    person_id: UUID
    village_code: str
    day: date
    decided_at: datetime
    deciders: frozenset[UUID]


class Appealable(Protocol):
    """What a room supplies for its kind of decision."""

    def decided(self, session: orm.Session, subject_id: UUID) -> Decided | None:
        """Return the decision by the id under which it is appealed against, locked; None when there is none."""

    def overturn(
        self, session: orm.Session, who: Who, subject_id: UUID, *, appeal_id: UUID, reason: str
    ) -> None:
        """Let the upheld appeal act, in its transaction. What was decided before stays on record."""


_KINDS: dict[AppealKind, Appealable] = {}


def install(kind: AppealKind, room: Appealable) -> None:
    """Install what a room supplies for a kind."""
    _KINDS[kind] = room


def of(kind: AppealKind) -> Appealable | None:
    """Return what was installed for a kind."""
    return _KINDS.get(kind)
