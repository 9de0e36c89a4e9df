"""Version counters of what workers keep in memory (boundaries, policies, outages).

Whoever changes such a thing bumps its counter in the same transaction; the intake reads the counters in the query it
makes anyway and reloads what changed before judging, so no worker ever judges by what was replaced (ruling 21).
"""

from typing import Literal

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from server import db

Name = Literal["boundaries", "policies", "calendar", "outages"]


class StateVersion(db.Base):
    """One counter."""

    __tablename__ = "state_versions"
    __table_args__ = ({"info": {"grant": db.changing("version")}},)

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)


def bump(session: orm.Session, name: Name) -> None:
    """Count one change; call it in the transaction of the change."""
    new = postgresql.insert(StateVersion).values(name=name, version=1)
    session.execute(
        new.on_conflict_do_update(index_elements=["name"], set_={"version": StateVersion.version + 1})
    )
