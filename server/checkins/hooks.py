"""What the rooms above bring to check-ins: how the review of one's own stands.

Reviews lie above check-ins, because they know months too. The application installs this when it is assembled.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import orm

from server.checkins.answers import ReviewedOut


class Reviews(Protocol):
    """What the review room supplies."""

    def __call__(
        self, session: orm.Session, person_id: UUID, check_ins: Sequence[UUID], /
    ) -> Mapping[UUID, ReviewedOut]:
        """Return those of a person's check-ins that are or were reviewed, as their maker may know it."""


_INSTALLED: list[Reviews] = []


def install(reviews: Reviews) -> None:
    """Install it in place of an earlier one."""
    _INSTALLED[:] = [reviews]


def reviews(session: orm.Session, person_id: UUID, check_ins: Sequence[UUID]) -> Mapping[UUID, ReviewedOut]:
    """Ask what was installed; without it nothing is reviewed."""
    return _INSTALLED[0](session, person_id, check_ins) if _INSTALLED and check_ins else {}
