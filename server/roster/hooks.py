"""What rooms above the roster want to know: that somebody's posted days have changed.

The roster lies under check-ins and may not import them. The application and the command line install the listeners
once a process; each is called in the transaction of the change, after the rows were written.
"""

from datetime import date
from typing import Protocol
from uuid import UUID

from sqlalchemy import orm

from server import clock
from server.places.rules import today
from server.roster.rules import Span


class PostingsChanged(Protocol):
    """What a listener does when days of the past or of today are posted otherwise than before (ruling 10)."""

    def __call__(
        self, session: orm.Session, person_id: UUID, from_day: date, until_day: date | None, /
    ) -> None:
        """Take note; `until_day` is inclusive, None without end. What it raises undoes the change."""


_LISTENERS: dict[str, PostingsChanged] = {}


def install(name: str, listener: PostingsChanged | None) -> None:
    """Install the listener of this name in place of an earlier one; None takes it out."""
    _LISTENERS.pop(name, None)
    if listener is not None:
        _LISTENERS[name] = listener


def tell(session: orm.Session, person_id: UUID, span: Span | None) -> None:
    """Tell every listener, unless nothing changed or only days to come did: no check-in can lie there yet."""
    if span is None or span[0] > today(clock.now()):
        return
    session.flush()
    for listener in _LISTENERS.values():
        listener(session, person_id, *span)
