"""Holding `outside` as unsure while a client's datum is in doubt (edge 40), by judging again and never against anybody.

An open alarm, and a confirmed one for its time, say: positions of this client lie where they lie because of a
conversion once too often or too few. A check-in of that client that would not count is judged once more at the place
where its phone stood if it moved with the others; if that counts, the verdict is held as unsure, which counts
provisionally and is reviewed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy import orm

from geo.datum import Datum
from geo.fix import Fix
from geo.verdict import Verdict, VerdictKind
from server.checkins.models import CheckIn, DatumAlarm, Judgement
from server.checkins.plausibility.shifts import Shift, undone
from server.checkins.queries import newly_judged
from server.checkins.rules import HELD_REASON, AlarmOutcome

MISPLACED: Final = frozenset({VerdictKind.OUTSIDE, VerdictKind.TOWN})


@dataclass(frozen=True, slots=True)
class Hold:
    """A client whose positions are in doubt for a time; `until` is exclusive, None while it is not known."""

    client: str
    shift: Shift
    since: datetime
    until: datetime | None

    def covers(self, client: str | None, event_at: datetime) -> bool:
        """Tell whether a check-in of a client is in doubt."""
        return (
            client == self.client and self.since <= event_at and (self.until is None or event_at < self.until)
        )


def holds(session: orm.Session) -> tuple[Hold, ...]:
    """Return the alarms that are open, and those that were confirmed, for their time."""
    query = sa.select(DatumAlarm).where(
        sa.or_(DatumAlarm.closed_at.is_(None), DatumAlarm.outcome == AlarmOutcome.CONFIRMED)
    )
    return tuple(
        Hold(row.client, Shift(row.shift), row.since, row.closed_at)
        for row in session.scalars(query.order_by(DatumAlarm.raised_at))
    )


def moved_back(fix: Fix | None, client: str | None, event_at: datetime, known: Iterable[Hold]) -> Fix | None:
    """Return the fix where its phone stood if it moved with its client; None where nothing is in doubt."""
    hold = next((each for each in known if each.covers(client, event_at)), None)
    if hold is None or fix is None:
        return None
    at = fix.position()
    back = undone(hold.shift, lon=at.lon, lat=at.lat)
    return replace(fix, lon=back.lon, lat=back.lat, datum=Datum.WGS84)


def held(verdict: Verdict, back: Verdict) -> Verdict | None:
    """Return the verdict as it is held: unsure where the place as received does not count and the one before would."""
    if verdict.kind not in MISPLACED or not back.counts:
        return None
    return replace(
        verdict, kind=VerdictKind.UNSURE, place_ids=back.place_ids, zone_id=None, zone_name=None, versions=back.versions
    )  # fmt: skip


def in_doubt(known: Sequence[Hold]) -> sa.ColumnElement[bool]:
    """Return the condition for check-ins that do not count and may be outside by a datum in doubt."""
    spans = [
        sa.and_(
            CheckIn.client == each.client,
            CheckIn.day >= each.since.date() - timedelta(days=1),  # By this the table has an index.
            CheckIn.event_at >= each.since,
            sa.true() if each.until is None else CheckIn.event_at < each.until,
        )
        for each in known
    ]
    return sa.and_(sa.or_(*spans), CheckIn.verdict.in_(MISPLACED))


def still_held() -> sa.ColumnElement[bool]:
    """Return the condition for check-ins of which the newest judgement is a held one."""
    return newly_judged(Judgement.reason) == HELD_REASON
