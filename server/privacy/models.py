"""Tables of the privacy room: legal holds and who lifted them. Append-only."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db
from server.privacy import functions

__all__ = ["LegalHold", "LegalHoldLift", "functions"]


class LegalHold(db.Base):
    """What is known of a person stays until a day, because a case is open (edges 78, 134)."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        sa.Index(None, "person_id"),
        sa.CheckConstraint("last_day >= first_day", name="days"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    first_day: Mapped[
        date | None
    ]  # The days that the case is about, both inclusive; None: without such an end.
    last_day: Mapped[date | None]
    reason: Mapped[str]
    ends_on: Mapped[date]  # Inclusive.
    placed_at: Mapped[datetime]
    placed_by: Mapped[UUID]


class LegalHoldLift(db.Base):
    """One official's word that a hold may end before its day. Two different ones lift it."""

    __tablename__ = "legal_hold_lifts"
    __table_args__ = (
        sa.PrimaryKeyConstraint("hold_id", "account_id"),
        {"info": {"grant": db.APPEND}},
    )

    hold_id: Mapped[UUID] = mapped_column(sa.ForeignKey("legal_holds.id"))
    account_id: Mapped[UUID]
    at: Mapped[datetime]
    reason: Mapped[str]
