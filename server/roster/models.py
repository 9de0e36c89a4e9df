"""Tables of the roster: units, people, postings with their history, and what was imported."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server import db, problems
from server.roster.rules import EndReason, PostingRole


class Unit(db.Base):
    """A sending unit (派出单位). Units are found by name in files, so a name stands for one unit."""

    __tablename__ = "units"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(default=1)


class Person(db.Base):
    """A person who is, was or will be posted. No id-card number is kept (ruling 16)."""

    __tablename__ = "people"
    __table_args__ = (
        # Logins are staff numbers in lower case, so two numbers may not differ in case alone.
        sa.Index("people_number_key", sa.text("lower(number)"), unique=True),
        sa.Index(None, "unit_id"),
        {"info": {"grant": db.changing("number", "name", "phone", "unit_id", "version")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str]  # Staff number (工号).
    name: Mapped[str]
    phone: Mapped[str | None]
    unit_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("units.id"))
    # The region prefix of the district that keeps the record, so that it is reached before the first posting.
    kept_by: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)


class Posting(db.Base):
    """One person in one village in one role (选派). It is ended, never deleted; `until_day` is inclusive.

    An entry made in error (误录) keeps its row with an empty range, the last day before the first. So a day is asked
    for with ``from_day <= day AND (until_day IS NULL OR day <= until_day)``; ``daterange(from_day, until_day, '[]')``
    would raise on such a row.
    """

    __tablename__ = "postings"
    __table_args__ = (
        db.one_of("role", PostingRole),
        db.one_of("end_reason", EndReason),
        sa.CheckConstraint(
            "(end_reason IS DISTINCT FROM 'entered_in_error' AND (until_day IS NULL OR until_day >= from_day))"
            " OR (end_reason IS NOT DISTINCT FROM 'entered_in_error' AND until_day = from_day - 1)",
            name="days",
        ),
        sa.CheckConstraint("end_reason IS NULL OR until_day IS NOT NULL", name="ended"),
        # Deferrable, because one import may move the border between two postings: each is right, in no order.
        ExcludeConstraint(
            ("person_id", "="),
            ("village_code", "="),
            (sa.text("daterange(from_day, until_day + 1, '[)')"), "&&"),
            name="postings_no_overlap_excl",
            using="gist",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        sa.Index(None, "person_id", "from_day"),
        sa.Index(None, "village_code", postgresql_ops={"village_code": "text_pattern_ops"}),
        {
            "info": {
                "grant": db.changing("village_code", "role", "from_day", "until_day", "end_reason", "version")
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    village_code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"))
    role: Mapped[PostingRole] = mapped_column(sa.Text)
    from_day: Mapped[date]
    until_day: Mapped[date | None]
    end_reason: Mapped[EndReason | None] = mapped_column(sa.Text)
    version: Mapped[int] = mapped_column(default=1)


class PostingVersion(db.Base):
    """One state of a posting, kept for ever: who set it, when, from what, and why."""

    __tablename__ = "posting_history"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    posting_id: Mapped[UUID] = mapped_column(sa.ForeignKey("postings.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    by: Mapped[UUID | None]  # The account; None: the command line.
    before: Mapped[dict[str, Any] | None]  # None for the first version.
    after: Mapped[dict[str, Any]]
    reason: Mapped[str]


class PostingPlace(db.Base):
    """An extra place of a posting, beside its village: a zone in which the person may stay as well (ruling 1)."""

    __tablename__ = "posting_places"
    __table_args__ = (
        sa.CheckConstraint("until_day IS NULL OR until_day >= from_day - 1", name="days"),
        ExcludeConstraint(
            ("posting_id", "="),
            ("zone_id", "="),
            (sa.text("daterange(from_day, until_day + 1, '[)')"), "&&"),
            name="posting_places_no_overlap_excl",
            using="gist",
        ),
        {"info": {"grant": db.changing("until_day")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    posting_id: Mapped[UUID] = mapped_column(sa.ForeignKey("postings.id"))
    zone_id: Mapped[UUID] = mapped_column(sa.ForeignKey("zones.id"))
    from_day: Mapped[date]
    until_day: Mapped[date | None]


class RosterImport(db.Base):
    """One roster file that was taken in, by the hash of its bytes; the file itself is not kept."""

    __tablename__ = "roster_imports"
    __table_args__ = (sa.Index(None, "sha256"), {"info": {"grant": db.APPEND}})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    by: Mapped[UUID | None]
    sha256: Mapped[bytes]
    rows_new: Mapped[int]
    rows_changed: Mapped[int]
    rows_unchanged: Mapped[int]


class RosterRow(db.Base):
    """What the files said last about one posting, under the key the file gives it.

    A row that says the same again changes nothing, even when the posting was corrected by hand since (edge 139).
    `person_digest` is the SHA-256 of the person's part of the row.
    """

    __tablename__ = "roster_rows"
    __table_args__ = (
        {
            "info": {
                "grant": db.changing(
                    "posting_id", "import_id", "role", "until_day", "end_reason", "person_digest"
                )
            }
        },
    )

    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
    village_code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"), primary_key=True)
    from_day: Mapped[date] = mapped_column(primary_key=True)
    posting_id: Mapped[UUID] = mapped_column(sa.ForeignKey("postings.id"))
    import_id: Mapped[UUID] = mapped_column(sa.ForeignKey("roster_imports.id"))
    role: Mapped[PostingRole] = mapped_column(sa.Text)
    until_day: Mapped[date | None]
    end_reason: Mapped[EndReason | None] = mapped_column(sa.Text)
    person_digest: Mapped[bytes]


db.REFUSALS["units_number_key"] = problems.UNIT_TAKEN
db.REFUSALS["units_name_key"] = problems.UNIT_TAKEN
db.REFUSALS["people_number_key"] = problems.STAFF_NUMBER_TAKEN
db.REFUSALS["postings_pkey"] = problems.ID_REUSED  # Two people posted under one id in the same instant.
db.REFUSALS["postings_no_overlap_excl"] = problems.POSTING_OVERLAP
db.REFUSALS["posting_places_no_overlap_excl"] = problems.POSTING_PLACE_OVERLAP
