"""Every SELECT of the privacy room."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.looks import Look
from server.places import region_queries
from server.roster.models import Unit


def looks_at(session: orm.Session, person_id: UUID, before: tuple[int] | None, limit: int) -> Sequence[Look]:
    """Return who looked at a person's records, newest first, one more than `limit` if there are."""
    query = sa.select(Look).where(Look.person_id == person_id)
    if before is not None:
        query = query.where(Look.id < before[0])
    return session.scalars(query.order_by(Look.id.desc()).limit(limit + 1)).all()


def office_names(session: orm.Session, looks: Collection[Look], day: date) -> dict[str | UUID, str]:
    """Return what the regions (by prefix) and sending units of the offices are called."""
    codes = {look.region: look.region.ljust(12, "0") for look in looks if look.region}
    names = region_queries.names_on(session, sorted(set(codes.values())), day)
    found: dict[str | UUID, str] = {prefix: names.get(code, prefix) for prefix, code in codes.items()}
    units = {look.unit_id for look in looks if look.unit_id is not None}
    if units:
        query = sa.select(Unit.id, Unit.name).where(Unit.id.in_(units))
        found.update({row[0]: row[1] for row in session.execute(query)})
    return found
