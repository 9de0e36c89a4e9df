"""Who looked at whose records: written in the transaction that read them, shown to the person, never changed.

Rulings 14 and 15, security.md S7: every read of another person's locations, check-ins or months leaves a row here
before it is answered. Open the transaction with :meth:`server.gate.Gate.look`, read, then call :func:`record`; when it
cannot be written there is no answer.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

from server import clock, db
from server.access import Grant, Role, Who


class What(StrEnum):
    """What was looked at."""

    MONTHS = "months"  # A row of the table of a scope.
    MONTH = "month"  # The month with each day and its records.
    CHECK_INS = "check-ins"
    POSITION = "position"  # An exact point.
    ATTEMPTS = "attempts"
    REQUEST = "request"  # A request of the person's: a correction, an appeal.
    SIGNALS = "signals"  # Plausibility signals and their evidence.
    EVIDENCE = "evidence"  # What a check-in's proof rests on, for somebody who verifies it.
    ATTACHMENT = "attachment"  # A photo or document that the person's record has.


OPERATOR = "operator"
"""Whoever works on the machine itself, on its command line."""


class Look(db.Base):
    """One person's records, seen by somebody else once."""

    __tablename__ = "looks"
    __table_args__ = (
        sa.Index(None, "person_id", "id"),
        sa.Index(None, "at", postgresql_using="brin"),
        db.one_of("role", (*Role, OPERATOR)),
        db.one_of("what", What),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    person_id: Mapped[UUID]  # Whose records.
    account_id: Mapped[UUID | None]  # Who looked; None: the command line.
    role: Mapped[str]  # The office that gave the right, with its scope.
    region: Mapped[str]
    unit_id: Mapped[UUID | None]
    what: Mapped[What] = mapped_column(sa.Text)
    subject: Mapped[str | None]  # The month, or the id of the check-in, case or request.
    purpose: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose records were read, and through which region or sending unit they are in the reader's reach."""

    person_id: UUID
    region: str = ""
    unit_id: UUID | None = None


_INSERT = sa.text(
    """INSERT INTO looks (at, person_id, account_id, role, region, unit_id, what, subject, purpose)
SELECT :at, person, :account, role, region, unit, :what, :subject, purpose
FROM unnest(CAST(:people AS uuid[]), CAST(:roles AS text[]), CAST(:regions AS text[]), CAST(:units AS uuid[]),
    CAST(:purposes AS text[])) AS t (person, role, region, unit, purpose)"""
)


def record(
    session: orm.Session,
    who: Who | None,
    what: What,
    seen: Iterable[Seen],
    *,
    roles: Collection[Role],
    subject: object = None,
    purpose: str | None = None,
) -> int:
    """Write that `who` saw the records of these people, each once; return how many rows were written.

    `roles` are those that open the operation, nearest office first: the grant through which each person is reached is
    kept. `purpose` is what was stated; without one it is the grant's assignment (ruling 16). One's own records are
    nobody else's look. `who` None is the command line. Raises ValueError when `who` holds none of the roles.
    """
    people = {each.person_id: each for each in seen if who is None or each.person_id != who.person_id}
    if not people:
        return 0
    offices = [_office(who, each, roles) for each in people.values()]
    session.execute(
        _INSERT,
        {
            "at": clock.now(),
            "account": who.account_id if who else None,
            "what": what.value,
            "subject": None if subject is None else str(subject),
            "people": list(people),
            "roles": [office.role if office else OPERATOR for office in offices],
            "regions": [office.region if office else "" for office in offices],
            "units": [office.unit_id if office else None for office in offices],
            "purposes": [purpose or (office.assignment if office else None) or None for office in offices],
        },
    )
    return len(people)


def _office(who: Who | None, seen: Seen, roles: Collection[Role]) -> Grant | None:
    """Return the grant through which a person is reached: by region, by unit, else any that opens the operation."""
    if who is None:
        return None
    held = [grant for role in roles for grant in who.grants if grant.role is role]
    if not held:
        raise ValueError("who looked holds none of the roles that open the operation")
    through = (
        grant
        for grant in held
        if (grant.unit_id is None and seen.region and grant.reaches(seen.region))
        or (grant.unit_id is not None and grant.unit_id == seen.unit_id)
    )
    return next(through, held[0])
