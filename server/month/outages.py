"""Outages: days on which the service could not be reached in a region, recorded once for everybody posted there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock, state
from server.month.masks import Month, range_mask
from server.month.models import Outage, OutageWithdrawal

STANDING = """SELECT o.region_prefix, o.first_day, o.last_day FROM outages AS o
WHERE NOT EXISTS (SELECT FROM outage_withdrawals AS w WHERE w.outage_id = o.id) ORDER BY o.first_day, o.id"""
"""Read for the server's sessions and for the intake's own connection."""


@dataclass(frozen=True, slots=True)
class Down:
    """Days without the service in the regions under a prefix, both inclusive."""

    region_prefix: str
    first: date
    last: date

    def touches(self, month: Month) -> bool:
        """Tell whether a day of the month is among them."""
        return self.first <= month.last and self.last >= month.first

    def mask(self, month: Month) -> int:
        """Return both halves of its days in the month."""
        return range_mask(month, self.first, self.last)


def read(rows: Iterable[Sequence[Any]]) -> tuple[Down, ...]:
    """Make outages of the rows of STANDING."""
    return tuple(Down(prefix, first, last) for prefix, first, last in rows)


def record(
    session: orm.Session,
    *,
    outage_id: UUID,
    region_prefix: str,
    first: date,
    last: date,
    reason: str,
    by: UUID | None,
    began_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> Outage:
    """Record an outage; from the commit on it counts in every month that is read, and for the intake's next group."""
    row = Outage(
        id=outage_id,
        region_prefix=region_prefix,
        first_day=first,
        last_day=last,
        began_at=began_at,
        ended_at=ended_at,
        reason=reason,
        recorded_at=clock.now(),
        recorded_by=by,
    )
    session.add(row)
    session.flush()
    state.bump(session, "outages")
    return row


def withdraw(session: orm.Session, outage: Outage, *, by: UUID | None, reason: str) -> None:
    """Take back an outage that was recorded in error. Doing it again does nothing."""
    if session.get(OutageWithdrawal, outage.id) is None:
        session.add(OutageWithdrawal(outage_id=outage.id, at=clock.now(), by=by, reason=reason))
        session.flush()
        state.bump(session, "outages")


def of_ids(session: orm.Session, wanted: Iterable[UUID]) -> Sequence[Outage]:
    """Return outages by id, the earliest first."""
    query = sa.select(Outage).where(Outage.id.in_(list(wanted))).order_by(Outage.first_day, Outage.id)
    return session.scalars(query).all()
