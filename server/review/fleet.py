"""What only all check-ins together tell, every night: the habits of clients, and a client that moved as one (edge 40).

Whole columns are read in one statement as byte strings, which numpy takes as they are: 60,000 people's month is two
million check-ins, and as many objects would not fit.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from geo.datum import FloatArray
from geo.fix import FINEST_DECIMALS
from server import audit, clock, ids, problems
from server.checkins import holding, rejudging
from server.checkins.models import DatumAlarm
from server.checkins.plausibility import fleet
from server.checkins.plausibility.facts import DATUMS, PLATFORMS, SOURCES, UNKNOWN, Columns, IntArray
from server.checkins.plausibility.fleet import SentinelLimits, ShiftAlarm
from server.checkins.plausibility.habits import customs
from server.checkins.rules import AlarmOutcome, Cause
from server.problems import Problem
from server.review import gathering, policies

LIMITS: Final = SentinelLimits()
SEEN: Final = timedelta(days=LIMITS.before_days + LIMITS.recent_days)
QUIET: Final = timedelta(days=31)
"""A dismissed alarm is not raised again so soon: the days that it was about are still looked at."""

_FLEET = """WITH c AS (
    SELECT r.person_id, COALESCE(r.client, f.client) AS client, r.event_at, r.accuracy_m, p.lon_e7, p.lat_e7,
        COALESCE(p.wgs_lon_e7, p.lon_e7) AS wgs_lon, COALESCE(p.wgs_lat_e7, p.lat_e7) AS wgs_lat, p.altitude_cm
    FROM checkin_rows AS r JOIN checkin_points AS p ON p.seq = r.seq LEFT JOIN checkin_phones AS f ON f.id = r.phone
    WHERE r.day >= :first AND f.datum IS DISTINCT FROM 'unknown'
), n AS (
    SELECT c.*, dense_rank() OVER (ORDER BY person_id) - 1 AS person,
        CASE WHEN client IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY client) - 1 END AS kind FROM c
)
SELECT string_agg(int8send(person), ''), string_agg(int8send(kind), ''),
    string_agg(float8send(CAST(extract(epoch FROM event_at) AS float8)), ''),
    string_agg(float8send(COALESCE(CAST(accuracy_m AS float8), 'NaN')), ''),
    string_agg(float8send(COALESCE(CAST(altitude_cm AS float8), 'NaN')), ''),
    string_agg(int8send(lon_e7), ''), string_agg(int8send(lat_e7), ''),
    string_agg(int8send(wgs_lon), ''), string_agg(int8send(wgs_lat), ''),
    array_agg(DISTINCT client ORDER BY client) FILTER (WHERE client IS NOT NULL)
FROM n"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everybody's placed check-ins of the last weeks, as columns, and the names of their clients."""

    columns: Columns
    clients: list[str]


def read(session: orm.Session, first: date) -> Fleet:
    """Return the check-ins since a day whose datum was said. What the habits and the sentinel do not ask is left unknown."""
    row = session.execute(sa.text(_FLEET), {"first": first}).one()
    person, client = _whole(row[0]), _whole(row[1])
    at, accuracy, altitude = _real(row[2]), _real(row[3]), _real(row[4])
    lon, lat, wgs_lon, wgs_lat = _whole(row[5]), _whole(row[6]), _whole(row[7]), _whole(row[8])
    size = len(person)
    unknown: IntArray = np.full(size, UNKNOWN, dtype=np.int64)
    nothing = np.full(size, np.nan)
    columns = Columns(
        person=person,
        earliest_s=at,
        latest_s=at,
        claimed_s=at,
        received_s=at,
        clock_off_s=nothing,
        placed=np.ones(size, dtype=np.bool_),
        lon_e7=lon,
        lat_e7=lat,
        wgs_lon_e7=wgs_lon,
        wgs_lat_e7=wgs_lat,
        decimals=_decimals(lon, lat),
        datum=np.zeros(size, dtype=np.int64) + DATUMS.index(DATUMS[0]),
        accuracy_m=accuracy,
        age_s=nothing,
        altitude_cm=altitude,
        speed_cmps=nothing,
        source=np.full(size, len(SOURCES) - 1, dtype=np.int64),
        mocked=unknown,
        client=client,
        platform=np.full(size, len(PLATFORMS) - 1, dtype=np.int64),
        device=unknown,
        device_since_s=nothing,
    )
    return Fleet(columns, list(row[9] or ()))


def _whole(column: bytes | None) -> IntArray:
    return np.frombuffer(bytes(column or b""), dtype=">i8").astype(np.int64)


def _real(column: bytes | None) -> FloatArray:
    return np.frombuffer(bytes(column or b""), dtype=">f8").astype(np.float64)


def _decimals(lon: IntArray, lat: IntArray) -> IntArray:
    """Return how many decimals each position evidently has (geo.fix.evident_decimals_e7)."""
    found = np.zeros(len(lon), dtype=np.int64)
    for decimals in range(1, FINEST_DECIMALS + 1):
        unit = 10 ** (FINEST_DECIMALS - decimals + 1)
        found[(lon % unit != 0) | (lat % unit != 0)] = decimals
    return found


def watch(session: orm.Session, day: date) -> dict[str, object]:
    """Learn what clients do, raise alarms about those that moved, hold what they misplaced, forget old points."""
    known = read(session, day - SEEN)
    learned = {known.clients[code]: each for code, each in customs(known.columns).items()}
    policies.keep_customs(session, day, learned)
    now = clock.now()
    found = fleet.alarms(known.columns, now_s=now.timestamp(), limits=LIMITS)
    raised = [row for each in found if (row := _raise(session, known.clients[each.client], each, now))]
    held = rejudging.hold(session) if raised else 0
    forgotten = gathering.forget_spots(session, day)
    return {
        "clients": len(learned),
        "raised": [str(row.id) for row in raised],
        "held": held,
        "spots_forgotten": forgotten,
    }


def _raise(session: orm.Session, client: str, found: ShiftAlarm, now: datetime) -> DatumAlarm | None:
    """Write an alarm down unless the same one is open, or was closed too short a time ago to say anything new."""
    since = datetime.fromtimestamp(found.since_s, UTC)
    recent = sa.or_(
        DatumAlarm.closed_at.is_(None),
        sa.and_(DatumAlarm.outcome == AlarmOutcome.DISMISSED, DatumAlarm.closed_at > now - QUIET),
        DatumAlarm.closed_at > since,
    )
    known = sa.select(DatumAlarm.id).where(DatumAlarm.client == client, DatumAlarm.shift == found.shift)
    if session.execute(known.where(recent).limit(1)).first() is not None:
        return None
    row = postgresql.insert(DatumAlarm).values(
        id=ids.new_id(),
        client=client,
        shift=found.shift,
        people=found.people,
        moved=found.moved,
        power=max(found.power, -99.0),
        since=since,
        raised_at=now,
    )
    made = session.execute(row.on_conflict_do_nothing().returning(DatumAlarm)).scalar_one_or_none()
    if made is not None:
        details = {"client": client, "shift": found.shift, "people": found.people, "moved": found.moved}
        audit.record(session, None, "datum-alarm:raise", ("datum-alarm", made.id), **details)
    return made


def close(session: orm.Session, alarm_id: UUID, *, outcome: AlarmOutcome, reason: str, by: str) -> int:
    """Close an alarm; return how many held check-ins are judged as they came because it was dismissed.

    Confirmed, what it held stays unsure. Raises Problem (404; 409 already-decided).
    """
    row = session.get(DatumAlarm, alarm_id, with_for_update=True)
    if row is None:
        raise Problem(problems.NOT_FOUND)
    if row.closed_at is not None:
        raise Problem(
            problems.ALREADY_DECIDED,
            zh=f"该警报已于 {row.closed_at:%Y-%m-%d} 关闭。",
            en=f"The alarm was closed on {row.closed_at:%Y-%m-%d}.",
        )
    row.closed_at, row.closed_by, row.outcome, row.closing_reason = clock.now(), by, outcome, reason
    session.flush()
    details: dict[str, Any] = {"by": by, "outcome": outcome, "reason": reason}
    audit.record(session, None, "datum-alarm:close", ("datum-alarm", row.id), **details)
    if outcome is AlarmOutcome.CONFIRMED:
        return 0
    released = rejudging.judge_again(session, holding.still_held(), cause=Cause.DATUM_SHIFT, write=True)
    return len(released.changes)
