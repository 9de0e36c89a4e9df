"""Policies, imported calendars, and one row of masks for each person and month."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db


class PolicyRow(db.Base):
    """One version of a policy for a region. Published ones are never changed; a new version follows them."""

    __tablename__ = "policies"
    __table_args__ = (
        sa.UniqueConstraint("region_prefix", "code", "version"),
        sa.CheckConstraint("extract(day from valid_from) = 1", name="begins_a_month"),
        sa.CheckConstraint("(published_at IS NULL) = (published_by IS NULL)", name="published_by_someone"),
        {"info": {"grant": db.changing("published_at", "published_by", "retroactive_reason")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    region_prefix: Mapped[str]
    code: Mapped[str]
    version: Mapped[int]
    valid_from: Mapped[date]
    document: Mapped[dict[str, Any]]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]  # The account's login, or the name given on the command line.
    published_at: Mapped[datetime | None]
    published_by: Mapped[str | None]
    retroactive_reason: Mapped[
        str | None
    ]  # Why it governs months that had begun when it was published (edge 20).


class CalendarYear(db.Base):
    """The public holidays of one year as imported; the newest import of a year speaks."""

    __tablename__ = "calendar_years"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    year: Mapped[int] = mapped_column(sa.SmallInteger, index=True)
    source: Mapped[str]
    sha256: Mapped[bytes]
    days: Mapped[dict[str, Any]]  # {"2026-02-16": ["holiday", "春节"], "2026-02-14": ["working", "调休"]}
    imported_at: Mapped[datetime]
    imported_by: Mapped[str]


class PersonMonth(db.Base):
    """The facts of one person's month as masks of two bits a day (server.month.masks).

    Derived from the records in the same transaction and never more than them: any row can be computed again from
    the check-ins. Who was posted is not kept here, because the roster may be corrected later.
    """

    __tablename__ = "person_months"
    __table_args__ = (
        sa.PrimaryKeyConstraint("person_id", "month"),
        sa.CheckConstraint("extract(day from month) = 1", name="is_a_month"),
        sa.Index(None, "month"),
        {"info": {"grant": db.changing("sure", "unsure", "unfenced", "outside", "claimed")}},
    )

    person_id: Mapped[UUID]
    month: Mapped[date]
    sure: Mapped[int] = mapped_column(sa.BigInteger)
    unsure: Mapped[int] = mapped_column(sa.BigInteger)
    unfenced: Mapped[int] = mapped_column(sa.BigInteger)
    outside: Mapped[int] = mapped_column(sa.BigInteger)
    claimed: Mapped[int] = mapped_column(sa.BigInteger)
