"""The audit log: who did what to which object, in the same transaction as the deed, never changed afterwards."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

from server import clock, db
from server.access import Who


class AuditEntry(db.Base):
    """One deed. `details` holds ids, codes and counts; never positions, passwords or tokens."""

    __tablename__ = "audit_log"
    __table_args__ = (sa.Index(None, "subject_kind", "subject_id"), {"info": {"grant": db.APPEND}})

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    actor_id: Mapped[UUID | None]  # None: the system itself or the command line.
    deed: Mapped[str]  # "leave:grant"
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]]


def record(
    session: orm.Session,
    who: Who | None,
    deed: str,
    subject: tuple[str, object],
    **details: object,
) -> None:
    """Write one deed beside the change it describes: ``record(s, who, "zone:publish", ("import", id), zones=3)``."""
    session.add(
        AuditEntry(
            at=clock.now(),
            actor_id=who.account_id if who else None,
            deed=deed,
            subject_kind=subject[0],
            subject_id=str(subject[1]),
            details=details,
        )
    )
