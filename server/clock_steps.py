"""The record of this machine's clock being set: what a process of the service noticed (server.clock_watch)."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db


class ClockStep(db.Base):
    """One jump of the clock of one process. Of several workers each writes its own."""

    __tablename__ = "clock_steps"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    seq: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    process: Mapped[str]  # Machine and number of the process.
    since_at: Mapped[datetime]  # From when the clock ran without a jump, by itself;
    before_at: Mapped[datetime]  # what it would have said,
    after_at: Mapped[datetime]  # and what it said instead.


STRETCHES = """WITH jumps AS (
    SELECT min(seq) AS seq, min(since_at) AS since_at, min(before_at) AS before_at, min(after_at) AS after_at
    FROM clock_steps GROUP BY date_trunc('minute', before_at), date_trunc('minute', after_at)
), stretches AS (
    SELECT seq, since_at, before_at, after_at, after_at - before_at AS moved,
        LEAD(before_at) OVER (ORDER BY seq) AS until_at FROM jumps
)
SELECT s.before_at, s.after_at, b.received, b.other_day, a.received, a.other_day
FROM stretches AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS received,
        count(*) FILTER (WHERE ((c.event_at + s.moved) AT TIME ZONE 'Asia/Shanghai')::date
            <> (c.event_at AT TIME ZONE 'Asia/Shanghai')::date) AS other_day
    FROM checkin_rows AS c WHERE c.received_at >= s.since_at AND c.received_at < s.before_at
) AS b
CROSS JOIN LATERAL (
    SELECT count(*) AS received,
        count(*) FILTER (WHERE ((c.event_at - s.moved) AT TIME ZONE 'Asia/Shanghai')::date
            <> (c.event_at AT TIME ZONE 'Asia/Shanghai')::date) AS other_day
    FROM checkin_rows AS c
    WHERE c.received_at >= s.after_at AND (s.until_at IS NULL OR c.received_at < s.until_at)
) AS a
ORDER BY s.seq"""
"""Each jump, once for all workers; how many check-ins were received on the stretch before it and after it, and how many of
them would have another day if the clock was wrong on that stretch."""
