"""What a database is for: live, or a sandbox in which phone developers try things out.

The mark is set once, at the first migration, and never changes; only the owner of the tables can write it. A database
without a mark is a live one. So nobody can point a sandbox at people's data, nor serve invented check-ins as real.
"""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from server import clock, db
from server.settings import Settings


class Kind(StrEnum):
    """What an installation is."""

    LIVE = "live"
    SANDBOX = "sandbox"


class Installation(db.Base):
    """The one row. `one` is its key and always true."""

    __tablename__ = "installation"
    __table_args__ = (
        sa.CheckConstraint("one", name="one"),
        db.one_of("kind", Kind),
        {"info": {"grant": db.READ}},
    )

    one: Mapped[bool] = mapped_column(primary_key=True)
    kind: Mapped[str]
    marked_at: Mapped[datetime]


def kind_of(connection: sa.Connection) -> Kind:
    """Return what a database is marked as; one without a mark, or of an older schema, is live."""
    there = connection.execute(sa.text("SELECT to_regclass('public.installation') IS NOT NULL")).scalar_one()
    found = connection.execute(sa.select(Installation.kind)).scalar_one_or_none() if there else None
    return Kind(found or Kind.LIVE)


def mark(connection: sa.Connection, kind: Kind) -> Kind:
    """Mark a database, as its owner, unless it has a mark; return the mark that it has then. Commits."""
    row = {"one": True, "kind": kind, "marked_at": clock.now()}
    connection.execute(postgresql.insert(Installation).values(row).on_conflict_do_nothing())
    connection.commit()
    return kind_of(connection)


def wanted(settings: Settings) -> Kind:
    """Return what the settings ask for."""
    return Kind.SANDBOX if settings.sandbox else Kind.LIVE


def fault_of(found: Kind, settings: Settings) -> str | None:
    """Return the name of the check (safety.py) that a database with this mark does not pass, or None."""
    if found is wanted(settings):
        return None
    return "sandbox-on-live-data" if settings.sandbox else "live-on-sandbox-data"
