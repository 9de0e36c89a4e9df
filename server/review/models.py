"""What plausibility found in check-ins, by which policy, and what people were asked to look at and decided.

Assessments and turns are records: what was found and what was decided is never rewritten. Points of check-ins of the
last weeks stand in `checkin_spots` once more, under their coordinates, because the intake's own table has no index by
them; they are forgotten with them.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from server import db
from server.review.rules import Band, ReviewCause, ReviewState, ReviewStep, ReviewSubject

Small = sa.SmallInteger


class TrustPolicyRow(db.Base):
    """One document of the plausibility policy, as adopted. The newest one is in force."""

    __tablename__ = "plausibility_policies"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    id: Mapped[int] = mapped_column(sa.Integer, sa.Identity(always=True), primary_key=True)
    version: Mapped[str]  # The label with a digest of the document and of the rules' number.
    document: Mapped[dict[str, Any]]
    reason: Mapped[str]
    adopted_at: Mapped[datetime]
    adopted_by: Mapped[str]


class Assessment(db.Base):
    """What one check-in's score was when it was first assessed (revision 0) or changed by what came in late.

    The newest revision speaks. `signals` has code, points, figures and check-in ids of each; NULL: none.
    """

    __tablename__ = "checkin_assessments"
    __table_args__ = (
        sa.PrimaryKeyConstraint("seq", "revision"),
        db.one_of("band", Band),
        {"info": {"grant": db.APPEND}},
    )

    seq: Mapped[int] = mapped_column(sa.BigInteger, autoincrement=False)  # Of the check-in.
    at: Mapped[datetime]
    policy: Mapped[int]
    revision: Mapped[int] = mapped_column(Small)
    score: Mapped[int] = mapped_column(Small)
    drawn: Mapped[bool]
    band: Mapped[str]
    signals: Mapped[list[dict[str, Any]] | None] = mapped_column(postgresql.JSONB(none_as_null=True))


class AssessmentMark(db.Base):
    """How far the worker has come: everything received before `until` is assessed. One row, which is also its lock."""

    __tablename__ = "assessment_marks"
    __table_args__ = (
        sa.CheckConstraint("one", name="one"),
        {"info": {"grant": db.changing("until")}},
    )

    one: Mapped[bool] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    draw_key: Mapped[bytes]  # Decides which of the sampled band are drawn; known to nobody who checks in.


class Spot(db.Base):
    """The point of a check-in of the last weeks, to find others at the same one."""

    __tablename__ = "checkin_spots"
    __table_args__ = (
        sa.PrimaryKeyConstraint("seq"),
        sa.Index(None, "spot", "day"),
        sa.Index(None, "day"),
        {"info": {"grant": f"{db.APPEND}, DELETE"}},
    )

    seq: Mapped[int] = mapped_column(sa.BigInteger, autoincrement=False)
    spot: Mapped[int] = mapped_column(sa.BigInteger)  # Longitude and latitude as sent, 32 bits each.
    day: Mapped[date]
    person_id: Mapped[UUID]
    id: Mapped[UUID]


class ClientCustom(db.Base):
    """How many people used a client in the month up to a day, and how many showed each trait."""

    __tablename__ = "client_customs"
    __table_args__ = (sa.PrimaryKeyConstraint("day", "client"), {"info": {"grant": db.APPEND}})

    day: Mapped[date]
    client: Mapped[str]
    people: Mapped[int]
    few_decimals: Mapped[int]
    constant_accuracy: Mapped[int]
    same_altitude: Mapped[int]


class ReviewItem(db.Base):
    """Something that a person is asked to look at: a check-in, or a month that unsure days decide (ruling 2)."""

    __tablename__ = "review_items"
    __table_args__ = (
        sa.UniqueConstraint("person_id", "checkin_id"),
        sa.UniqueConstraint("person_id", "month"),
        sa.Index(None, "opened_at", "id"),
        sa.CheckConstraint("(checkin_id IS NULL) <> (month IS NULL)", name="one_subject"),
        db.one_of("subject", ReviewSubject),
        db.one_of("cause", ReviewCause),
        db.one_of("state", ReviewState),
        {"info": {"grant": db.changing("state", "revision", "assigned_to")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str]
    person_id: Mapped[UUID]
    checkin_id: Mapped[UUID | None]
    month: Mapped[date | None]
    day: Mapped[date]  # The check-in's, or the month's first.
    region_code: Mapped[str]  # The village in whose scope it lies.
    cause: Mapped[str]
    opened_at: Mapped[datetime]
    state: Mapped[str]
    revision: Mapped[int]
    assigned_to: Mapped[UUID | None]  # The account that looks at it.


class ReviewTurn(db.Base):
    """One step of a review, by a person: taken, asked for more, accepted, rejected. An appeal names a decision's id."""

    __tablename__ = "review_turns"
    __table_args__ = (
        sa.Index(None, "item_id"),
        sa.Index("review_turns_decided_key", "item_id", unique=True, postgresql_where=sa.text("decides")),
        db.one_of("step", ReviewStep),
        sa.CheckConstraint(
            "decides = (step IN ('accepted', 'rejected'))",
            name="decides",
        ),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    at: Mapped[datetime]
    account_id: Mapped[UUID]
    step: Mapped[str]
    decides: Mapped[bool]
    reason: Mapped[str | None]
    text: Mapped[str | None]
    check_ins: Mapped[list[UUID] | None] = mapped_column(
        postgresql.ARRAY(sa.Uuid())
    )  # Those that a rejection took out of the count.
