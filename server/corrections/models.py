"""Corrections, appeals, and what happened to them."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from server import db, problems
from server.corrections.rules import WAITING, AppealKind, AppealState, Claim, Event, Halves, State
from server.month.models import Provenance

_WAITING = ", ".join(f"'{state}'" for state in sorted(WAITING))


class Correction(db.Base):
    """A request that a day count otherwise than its records say. What it asks is never changed."""

    __tablename__ = "corrections"
    __table_args__ = (
        db.one_of("halves", Halves),
        db.one_of("claim", Claim),
        db.one_of("provenance", Provenance),
        db.one_of("state", State),
        sa.CheckConstraint(f"(decided_at IS NULL) = (state IN ({_WAITING}))", name="decided"),
        sa.Index(
            "corrections_one_waiting_key",
            "person_id",
            "day",
            unique=True,
            postgresql_where=sa.text(f"state IN ({_WAITING})"),
        ),
        sa.Index(None, "person_id", "day"),
        sa.Index(None, "entered_at", "id"),
        {
            "info": {
                "grant": db.changing(
                    "state", "version", "first_by", "first_at", "decided_by", "decided_at", "decision_reason"
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    village_code: Mapped[
        str
    ]  # Where the person was posted on the day: its officers decide, whoever they are by then.
    day: Mapped[date]
    halves: Mapped[str]
    claim: Mapped[str]
    reason: Mapped[str]
    text: Mapped[str]
    check_ins: Mapped[list[UUID]] = mapped_column(postgresql.ARRAY(sa.Uuid()))
    provenance: Mapped[str]
    entered_by: Mapped[UUID | None]  # The account; None: the system.
    entered_at: Mapped[datetime]
    over_quota: Mapped[bool]
    late: Mapped[bool]
    state: Mapped[str]
    version: Mapped[int]
    first_by: Mapped[UUID | None]  # Who approved first, where a second reviewer has to agree.
    first_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]


class Appeal(db.Base):
    """An appeal against a decision, to another body. One for each decision."""

    __tablename__ = "appeals"
    __table_args__ = (
        db.one_of("kind", AppealKind),
        db.one_of("provenance", Provenance),
        db.one_of("state", AppealState),
        sa.CheckConstraint(f"(decided_at IS NULL) = (state = '{AppealState.OPEN}')", name="decided"),
        sa.UniqueConstraint("kind", "subject_id"),
        sa.Index(None, "entered_at", "id"),
        sa.Index(None, "person_id"),
        {"info": {"grant": db.changing("state", "version", "decided_by", "decided_at", "answer")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject_id: Mapped[UUID]
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    village_code: Mapped[str]
    text: Mapped[str]
    provenance: Mapped[str]
    entered_by: Mapped[UUID]
    entered_at: Mapped[datetime]
    deciders: Mapped[list[UUID]] = mapped_column(postgresql.ARRAY(sa.Uuid()))  # Of what is appealed against.
    state: Mapped[str]
    version: Mapped[int]
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    answer: Mapped[str | None]


class RequestEvent(db.Base):
    """One thing that happened to a correction or an appeal."""

    __tablename__ = "request_events"
    __table_args__ = (
        db.one_of("event", Event),
        sa.Index(None, "request_id"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    request_id: Mapped[UUID]
    at: Mapped[datetime]
    by: Mapped[UUID | None]
    event: Mapped[str]
    text: Mapped[str | None]


db.REFUSALS["corrections_one_waiting_key"] = problems.CORRECTION_OPEN
db.REFUSALS["appeals_kind_subject_id_key"] = problems.APPEAL_MADE
