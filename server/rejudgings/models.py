"""Tables of the rejudgings room: what was proposed, what it would have changed then, what was decided. Append-only."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db
from server.rejudgings.rules import DayState, Resolution


class Rejudging(db.Base):
    """One dry run (试算): which check-ins were judged by what is known now, and what came of it."""

    __tablename__ = "rejudgings"
    __table_args__ = (
        sa.CheckConstraint("region ~ '^[0-9]{2,12}$'", name="region"),
        sa.CheckConstraint("last_day >= first_day", name="days"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str]  # The prefix of the villages' codes.
    first_day: Mapped[date]  # Both inclusive.
    last_day: Mapped[date]
    reason: Mapped[str]
    asked_at: Mapped[datetime]
    asked_by: Mapped[UUID]
    judged: Mapped[int]
    faded: Mapped[int]  # Could not be judged again: their coordinates have faded (ruling 10).
    check_ins: Mapped[int]  # Would be judged differently.
    people: Mapped[int]
    days: Mapped[int]  # Whose state by check-ins would differ.
    digest: Mapped[str]


class RejudgingChange(db.Base):
    """One check-in that would be judged differently, and what its day's check-ins say before and after."""

    __tablename__ = "rejudging_changes"
    __table_args__ = (
        sa.PrimaryKeyConstraint("rejudging_id", "number"),
        sa.Index(None, "person_id"),
        db.one_of("day_before", DayState),
        db.one_of("day_after", DayState),
        {"info": {"grant": db.APPEND}},
    )

    rejudging_id: Mapped[UUID] = mapped_column(sa.ForeignKey("rejudgings.id"))
    number: Mapped[int]  # From 1, by person and day.
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"))
    checkin_id: Mapped[UUID]
    day: Mapped[date]
    village_code: Mapped[str | None]
    before: Mapped[str]
    after: Mapped[str]
    day_before: Mapped[DayState] = mapped_column(sa.Text)
    day_after: Mapped[DayState] = mapped_column(sa.Text)


class RejudgingDecision(db.Base):
    """What became of a dry run: applied by a second person, or dropped."""

    __tablename__ = "rejudging_decisions"
    __table_args__ = (db.one_of("decision", Resolution), {"info": {"grant": db.APPEND}})

    rejudging_id: Mapped[UUID] = mapped_column(sa.ForeignKey("rejudgings.id"), primary_key=True)
    decision: Mapped[Resolution] = mapped_column(sa.Text)
    at: Mapped[datetime]
    by: Mapped[UUID]
    reason: Mapped[str]
