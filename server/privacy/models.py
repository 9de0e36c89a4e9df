"""Tables of the privacy room: notices and who accepted them, legal holds and who lifted them. All append-only."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db
from server.privacy import functions

__all__ = ["LegalHold", "LegalHoldLift", "Notice", "NoticeAcceptance", "functions"]


class Notice(db.Base):
    """One version of the notice (告知书) about personal information, as a district published it. Never changed."""

    __tablename__ = "notices"
    __table_args__ = (
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name="region"),
        sa.UniqueConstraint("region", "version"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str]  # The prefix of the accounts' regions; the longest that fits speaks.
    version: Mapped[str]
    text_zh: Mapped[str]
    text_en: Mapped[str]
    digest: Mapped[str]  # SHA-256 of both texts (server.privacy.rules.digest).
    published_at: Mapped[datetime]
    published_by: Mapped[UUID | None]  # None: the command line.
    until: Mapped[date | None]  # How long the one before is good enough, inclusive; None: for good.


class NoticeAcceptance(db.Base):
    """Somebody accepted a version: which, when, and the digest of the very text."""

    __tablename__ = "notice_acceptances"
    __table_args__ = (
        sa.PrimaryKeyConstraint("account_id", "digest"),
        {"info": {"grant": db.APPEND}},
    )

    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    digest: Mapped[str]
    version: Mapped[str]
    at: Mapped[datetime]
    client: Mapped[str]


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
