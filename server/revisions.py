"""Which migrations a database has had, and with which versions of the product each of them can still be used.

A running service must know whether a schema that is newer than itself may be used: while an upgrade rolls from one
worker to the next, and when a new version is taken back. It cannot know the files of migrations that were written
after it, so the migrations leave word in the database: each names the oldest revision whose code it `works_with`
(expand and contract: Ambler and Sadalage, Refactoring Databases, 2006).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db


class SchemaRevision(db.Base):
    """One migration that this database has had; `seq` counts them from 1 in the order in which they were made."""

    __tablename__ = "schema_revisions"
    __table_args__ = ({"info": {"grant": db.READ}},)

    revision: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(sa.Integer, unique=True)
    works_with: Mapped[str]
    applied_at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `schema_revisions` as far as compatibility goes."""

    revision: str
    works_with: str


def first_misfit(applied: Iterable[Applied], own: str) -> str | None:
    """Return the first revision that code of the revision `own` cannot work with; None when it can use the database.

    `applied` is in the order in which the migrations were made. A revision later than `own` is fine when the revision
    that it works with is `own` or earlier. A database that never had `own` fits nothing of it: its newest revision is
    returned, or ``"missing"`` when it has none.
    """
    rows = list(applied)
    place = {row.revision: number for number, row in enumerate(rows)}
    if own not in place:
        return rows[-1].revision if rows else "missing"
    here = place[own]
    # A name that the database does not know would be a mistake of its migration, and is never taken for leave.
    return next(
        (row.revision for row in rows[here + 1 :] if place.get(row.works_with, len(rows)) > here), None
    )


def applied_query() -> sa.Select[str, str]:
    """Return the query for the revisions of a database in their order."""
    return sa.select(SchemaRevision.revision, SchemaRevision.works_with).order_by(SchemaRevision.seq)
