"""Tables of notices: the versions that districts published, and who accepted which. Both append-only."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db


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
    digest: Mapped[str]  # SHA-256 of both texts (server.notices.rules.digest).
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
