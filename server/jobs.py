"""The ledger of scheduled jobs: a job's effect and its row are one transaction, so it happens once across replicas.

Trust the row, never the clock of a scheduler: whoever inserts it first does the work, the others find it there
(ruling 25, security.md M6).
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped

from server import clock, db


class JobRun(db.Base):
    """One job, done for one period (and, where a job has many, one subject)."""

    __tablename__ = "job_runs"
    __table_args__ = (sa.PrimaryKeyConstraint("job", "period", "subject"), {"info": {"grant": db.APPEND}})

    job: Mapped[str]
    period: Mapped[str]  # "2026-11-22" or "2026-11".
    subject: Mapped[str]
    done_at: Mapped[datetime]


def take(session: orm.Session, job: str, period: str, subject: str = "") -> bool:
    """Claim a job for a period inside the transaction of its effect; False when it was done already.

    A replica that claims at the same moment waits for this transaction: if it fails, the other one does the work.
    """
    row = postgresql.insert(JobRun).values(job=job, period=period, subject=subject, done_at=clock.now())
    claimed = row.on_conflict_do_nothing().returning(JobRun.job)
    return session.execute(claimed).scalar_one_or_none() is not None
