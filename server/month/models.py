"""Policies, imported calendars, the ledger of facts, outages, and one row of masks for each person and month."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from server import db, problems
from server.month.rules import Sort


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


class Provenance(StrEnum):
    """By which way a fact came into the ledger. Codes are for ever."""

    OWN = "own"  # The person's own request.
    TOWN = "town"  # The town or the district, for a person.
    CLERK = "clerk"  # The village clerk's attestation.
    PAPER = "paper"  # A sheet of paper, imported.
    INSPECTOR = "inspector"
    SYSTEM = "system"


class SourceKind(StrEnum):
    """What a fact of the ledger rests on: the kind of record whose id it names. Codes are for ever."""

    CORRECTION = "correction"
    APPEAL = "appeal"
    FINDING = "finding"
    DUTY = "duty"
    LEAVE = "leave"
    ATTESTATION = "attestation"
    PAPER = "paper"


MOST_DAYS = 1100
"""The longest span of one fact: three years, and a slip of the pen in the year is refused."""


class DayFact(db.Base):
    """A fact of a person from one half day to another, both inclusive. Never changed; taking it back is another row.

    `starts` and `ends` are halves (server.month.masks.Half): 0 the morning, 1 the afternoon. Months keep what follows
    from these rows in `person_months`, in the same transaction (server.month.facts).
    """

    __tablename__ = "day_facts"
    __table_args__ = (
        db.one_of("sort", Sort),
        db.one_of("source_kind", SourceKind),
        db.one_of("provenance", Provenance),
        sa.CheckConstraint("starts IN (0, 1) AND ends IN (0, 1)", name="halves"),
        sa.CheckConstraint(
            f"(last_day, ends) >= (first_day, starts) AND last_day - first_day < {MOST_DAYS}", name="span"
        ),
        sa.Index(None, "person_id", "last_day"),
        sa.Index(None, "last_day"),
        sa.Index(None, "source_id"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    sort: Mapped[str]
    first_day: Mapped[date]
    starts: Mapped[int] = mapped_column(sa.SmallInteger)
    last_day: Mapped[date]
    ends: Mapped[int] = mapped_column(sa.SmallInteger)
    source_kind: Mapped[str]
    source_id: Mapped[UUID]
    provenance: Mapped[str]
    reason: Mapped[str]  # A code of the source, such as a reason of the policy.
    text: Mapped[str | None]
    entered_by: Mapped[UUID | None]  # Accounts; None: the system or the command line.
    decided_by: Mapped[UUID | None]
    recorded_at: Mapped[datetime]


class DayFactWithdrawal(db.Base):
    """A fact that speaks no longer: taken back, or replaced by another one."""

    __tablename__ = "day_fact_withdrawals"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    fact_id: Mapped[UUID] = mapped_column(sa.ForeignKey("day_facts.id"), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[UUID | None]
    reason: Mapped[str]


class Outage(db.Base):
    """Days on which the service could not be reached in a region (ruling 3). Never changed; withdrawn by another row.

    The days are what counts; the instants, where they are known, say between when it was down.
    """

    __tablename__ = "outages"
    __table_args__ = (
        sa.CheckConstraint("region_prefix ~ '^[0-9]{0,12}$'", name="region_prefix"),
        sa.CheckConstraint("last_day >= first_day AND last_day - first_day < 62", name="days"),
        sa.CheckConstraint("ended_at >= began_at", name="instants"),
        sa.Index(None, "last_day"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    region_prefix: Mapped[str]
    first_day: Mapped[date]
    last_day: Mapped[date]
    began_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str]
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[UUID | None]


class OutageWithdrawal(db.Base):
    """An outage that was recorded in error."""

    __tablename__ = "outage_withdrawals"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    outage_id: Mapped[UUID] = mapped_column(sa.ForeignKey("outages.id"), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[UUID | None]
    reason: Mapped[str]


class PersonMonth(db.Base):
    """The facts of one person's month as masks of two bits a day (server.month.masks).

    Derived from the records in the same transaction and never more than them: any row can be computed again from
    the check-ins and the ledger of facts. Who was posted is not kept here, because the roster may be corrected later;
    nor are outages, which are facts of a region.
    """

    __tablename__ = "person_months"
    __table_args__ = (
        sa.PrimaryKeyConstraint("person_id", "month"),
        sa.CheckConstraint("extract(day from month) = 1", name="is_a_month"),
        sa.Index(None, "month"),
        {"info": {"grant": db.changing("sure", "unsure", "unfenced", "outside", "claimed", *Sort)}},
    )

    person_id: Mapped[UUID]
    month: Mapped[date]
    sure: Mapped[int] = mapped_column(sa.BigInteger)
    unsure: Mapped[int] = mapped_column(sa.BigInteger)
    unfenced: Mapped[int] = mapped_column(sa.BigInteger)
    outside: Mapped[int] = mapped_column(sa.BigInteger)
    claimed: Mapped[int] = mapped_column(sa.BigInteger)
    corrected_present: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    corrected_absent: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    finding_seen: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    finding_absent: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    duty: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    leave_shrinking: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    leave_counting_nothing: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    attested: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")


class AwayKind(StrEnum):
    """Why somebody is away from the village. Duty is no kind of leave (ruling 17). Codes are for ever."""

    LEAVE = "leave"
    DUTY = "duty"


class AwaySpan(db.Base):
    """The half days for which a request of leave or duty stands, from its submission until it falls (ruling 27).

    Both kinds lie in one table, so that the database refuses two that share a half day. `halves` counts half days
    (server.month.masks.half_number). Only who claims which halves now: the request keeps what was asked and decided.
    """

    __tablename__ = "away_spans"
    __table_args__ = (
        db.one_of("kind", AwayKind),
        # The difference is NULL where a range is empty or has no end.
        sa.CheckConstraint(
            f"coalesce(upper(halves) - lower(halves), 0) BETWEEN 1 AND {2 * MOST_DAYS}", name="halves"
        ),
        postgresql.ExcludeConstraint(
            ("person_id", "="), ("halves", "&&"), name="away_spans_no_overlap_excl", using="gist"
        ),
        {"info": {"grant": f"{db.APPEND}, DELETE"}},
    )

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    kind: Mapped[str]
    halves: Mapped[postgresql.Range[int]] = mapped_column(postgresql.INT8RANGE)


db.REFUSALS["away_spans_no_overlap_excl"] = problems.AWAY_OVERLAPS
