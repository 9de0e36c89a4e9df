"""What an assessment needs to know, read set by set: the check-ins of the same people, at the same points, of a fleet.

The intake's tables have no index by coordinates or instant, and get none: it would cost every check-in. The worker that
comes after it writes the points of the last weeks down once more (`Spot`), and asks there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.datum import SaidDatum
from server.checkins.plausibility.facts import OLDEST_FIX_S, Platform, Sighting

Rows = Sequence[Sequence[Any]]
WINDOW: Final = timedelta(days=32)
"""The rules look back 31 days at most by default; a day more, because days begin at midnight and instants do not."""
SPOTS_KEPT: Final = timedelta(days=62)
"""A check-in that comes a month late is still compared with what was at its point when it was made."""
_SLACK: Final = timedelta(minutes=10)
"""A fix may be stamped a little later than the tap."""


class Fresh(NamedTuple):
    """A check-in to be assessed: who, which, its number, its day, when it was made and when it came."""

    person_id: UUID
    id: UUID
    seq: int
    day: date
    event_at: datetime
    received_at: datetime
    fix_age_s: float | None

    @property
    def fixed_at(self) -> datetime:
        """Return when its fix was taken, as far as that can be told."""
        age = self.fix_age_s or 0.0
        known = timedelta(seconds=age) if 0 < age <= OLDEST_FIX_S else timedelta(0)
        return self.event_at - known


_FRESH = """SELECT r.person_id, r.id, r.seq, r.day, r.event_at, r.received_at, r.fix_age_s FROM checkin_rows AS r
WHERE r.received_at >= :since AND r.received_at < :until
    AND NOT EXISTS (SELECT FROM checkin_assessments AS a WHERE a.seq = r.seq)
ORDER BY r.received_at, r.seq LIMIT :most"""

_SPOTS = """INSERT INTO checkin_spots (seq, spot, day, person_id, id)
SELECT r.seq, (CAST(p.lon_e7 AS bigint) << 32) | (CAST(p.lat_e7 AS bigint) & 4294967295), r.day, r.person_id, r.id
FROM unnest(CAST(:people AS uuid[]), CAST(:ids AS uuid[])) AS k(person_id, id)
JOIN checkin_rows AS r USING (person_id, id) JOIN checkin_points AS p ON p.seq = r.seq
WHERE r.day >= :first ORDER BY r.seq ON CONFLICT DO NOTHING"""

_ON_THE_SAME_PHONE = """SELECT DISTINCT o.person_id, o.id
FROM unnest(CAST(:people AS uuid[]), CAST(:seqs AS bigint[]), CAST(:first AS date[]), CAST(:last AS date[]))
    AS k(person_id, seq, first, last)
JOIN checkin_signatures AS f ON f.seq = k.seq JOIN checkin_signers AS g ON g.id = f.signer
JOIN device_keys AS d ON d.jkt = g.jkt JOIN accounts AS a ON a.id = d.account_id AND a.person_id <> k.person_id
JOIN checkin_rows AS o ON o.person_id = a.person_id AND o.day BETWEEN k.first AND k.last
WHERE EXISTS (SELECT FROM checkin_signatures AS t JOIN checkin_signers AS v ON v.id = t.signer
    WHERE t.seq = o.seq AND v.jkt = g.jkt)"""
"""What others signed with the same key: found by whose key it is too, because signatures have no index by it either."""

_AFFECTED = """WITH k AS (
    SELECT * FROM unnest(CAST(:people AS uuid[]), CAST(:seqs AS bigint[]), CAST(:since AS timestamptz[]))
        AS k(person_id, seq, since)
), near AS (
    SELECT r.person_id, r.id FROM k JOIN checkin_rows AS r ON r.person_id = k.person_id
    WHERE r.day BETWEEN CAST(k.since AS date) - :days AND CAST(k.since AS date) + :days AND (r.event_at >= k.since
        OR EXISTS (SELECT FROM checkin_times AS t WHERE t.seq = r.seq AND t.latest_at >= k.since))
    UNION
    SELECT o.person_id, o.id FROM k JOIN checkin_spots AS s ON s.seq = k.seq
    JOIN checkin_spots AS o ON o.spot = s.spot AND o.day BETWEEN CAST(k.since AS date) - 1 AND CAST(k.since AS date) + :days
    UNION
    SELECT * FROM unnest(CAST(:their_people AS uuid[]), CAST(:their_ids AS uuid[]))
)
SELECT r.person_id, r.id, r.seq, r.day, r.event_at, r.received_at, r.fix_age_s
FROM near JOIN checkin_rows AS r USING (person_id, id)
WHERE r.seq <> ALL(CAST(:seqs AS bigint[])) AND EXISTS (SELECT FROM checkin_assessments AS a WHERE a.seq = r.seq)"""
"""What was assessed already and is compared with something that came only now."""

_CONTEXT = """WITH k AS (
    SELECT * FROM unnest(CAST(:people AS uuid[]), CAST(:seqs AS bigint[]), CAST(:first AS date[])) AS k(person_id, seq, first)
), known AS (
    SELECT r.person_id, r.id FROM (SELECT person_id, min(first) AS first FROM k GROUP BY person_id) AS w
    JOIN checkin_rows AS r ON r.person_id = w.person_id AND r.day >= w.first
    UNION
    SELECT o.person_id, o.id FROM k JOIN checkin_spots AS s ON s.seq = k.seq
    JOIN checkin_spots AS o ON o.spot = s.spot AND o.day >= k.first
    UNION
    SELECT * FROM unnest(CAST(:their_people AS uuid[]), CAST(:their_ids AS uuid[]))
)
SELECT c.person_id, c.id, COALESCE(c.earliest_at, c.event_at), COALESCE(c.latest_at, c.event_at),
    COALESCE(c.claimed_at, c.event_at), c.received_at, c.sent_at, c.accuracy_m, c.fix_age_s, c.datum, c.provider, c.mocked,
    c.client, g.jkt, p.lon_e7, p.lat_e7, p.wgs_lon_e7, p.wgs_lat_e7, p.altitude_cm, p.speed_cmps
FROM known JOIN checkins AS c USING (person_id, id) LEFT JOIN checkin_points AS p ON p.seq = c.seq
LEFT JOIN checkin_signatures AS f ON f.seq = c.seq LEFT JOIN checkin_signers AS g ON g.id = f.signer"""

_REPLACED = """SELECT a.person_id, d.jkt, min(d.enrolled_at) FROM accounts AS a JOIN device_keys AS d ON d.account_id = a.id
WHERE a.person_id = ANY(CAST(:people AS uuid[]))
    AND EXISTS (SELECT FROM device_keys AS e WHERE e.account_id = a.id AND e.enrolled_at < d.enrolled_at)
GROUP BY a.person_id, d.jkt"""
"""Since when people have had a key in place of another."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is assessed at once: what is new, and what was assessed and may be seen otherwise because of it."""

    fresh: Sequence[Fresh]
    affected: Sequence[Fresh]

    @property
    def targets(self) -> list[Fresh]:
        """Return both."""
        return [*self.fresh, *self.affected]


def fresh(session: orm.Session, since: datetime, until: datetime, most: int) -> list[Fresh]:
    """Return up to `most` check-ins of this span that were never assessed, in the order of their arrival."""
    asked = {"since": since, "until": until, "most": most}
    return [Fresh(*row) for row in session.execute(sa.text(_FRESH), asked)]


def batch(session: orm.Session, new: Sequence[Fresh], today: date) -> Batch:
    """Write the points of what is new down, and return it with what it may change."""
    keys = {"people": [each.person_id for each in new], "ids": [each.id for each in new]}
    session.execute(sa.text(_SPOTS), {**keys, "first": today - SPOTS_KEPT})
    asked = {
        "people": keys["people"],
        "seqs": [each.seq for each in new],
        "since": [each.fixed_at - _SLACK for each in new],
        "days": WINDOW.days,
        **_on_the_same_phone(session, new, lambda day: (day - timedelta(days=1), day + WINDOW)),
    }
    return Batch(new, [Fresh(*row) for row in session.execute(sa.text(_AFFECTED), asked)])


def sightings(session: orm.Session, targets: Iterable[Fresh]) -> list[Sighting]:
    """Return the targets and all that they are compared with."""
    known = list(targets)
    asked = {
        "people": [each.person_id for each in known],
        "seqs": [each.seq for each in known],
        "first": [each.fixed_at.astimezone(UTC).date() - WINDOW for each in known],
        **_on_the_same_phone(session, known, lambda day: (day - WINDOW, date.max)),
    }
    rows = session.execute(sa.text(_CONTEXT), asked).all()
    signed = {"people": sorted({row.person_id for row in rows if row.jkt is not None})}
    since = {(row[0], row[1]): row[2] for row in session.execute(sa.text(_REPLACED), signed)}
    return [_sighting(row, since.get((row.person_id, row.jkt))) for row in rows]


def _on_the_same_phone(
    session: orm.Session, made: Sequence[Fresh], days: Callable[[date], tuple[date, date]]
) -> dict[str, list[UUID]]:
    """Return the keys of what others signed with the phones of these, in the days that `days` says of each one's."""
    spans = [days(each.fixed_at.astimezone(UTC).date()) for each in made]
    asked = {
        "people": [each.person_id for each in made],
        "seqs": [each.seq for each in made],
        "first": [first for first, _ in spans],
        "last": [last for _, last in spans],
    }
    rows = session.execute(sa.text(_ON_THE_SAME_PHONE), asked).all()
    return {"their_people": [row[0] for row in rows], "their_ids": [row[1] for row in rows]}


def _sighting(row: Sequence[Any], device_since: datetime | None) -> Sighting:
    """Make a sighting of a row of _CONTEXT. Where nothing is in doubt the tap's instant is the one that the intake found."""
    person, key, earliest, latest, claimed, received_at, sent_at, *fix = row
    accuracy, age, datum, provider, mocked, client, device, *place = fix
    lon, lat, wgs_lon, wgs_lat, altitude, speed = place
    return Sighting(
        id=key,
        person=person,
        earliest=earliest,
        latest=latest,
        received_at=received_at,
        claimed_at=claimed,
        clock_off_s=(sent_at - received_at).total_seconds(),
        lon_e7=lon,
        lat_e7=lat,
        wgs_lon_e7=wgs_lon,
        wgs_lat_e7=wgs_lat,
        datum=SaidDatum(datum or SaidDatum.WGS84),
        accuracy_m=accuracy,
        age_s=age,
        altitude_cm=altitude,
        speed_cmps=speed,
        provider=provider,
        mocked=mocked,
        client=client,
        platform=platform_of(client),
        device=device,
        device_since=device_since,
    )


_PLATFORMS: Final = (
    ("mini-program", Platform.MINI_PROGRAM),
    ("miniprogram", Platform.MINI_PROGRAM),
    ("wechat", Platform.MINI_PROGRAM),
    ("小程序", Platform.MINI_PROGRAM),
    ("browser", Platform.BROWSER),
    ("pwa", Platform.BROWSER),
    ("android", Platform.ANDROID),
    ("harmony", Platform.ANDROID),
    ("ios", Platform.IOS),
    ("iphone", Platform.IOS),
    ("ipad", Platform.IOS),
)


def platform_of(client: str | None) -> Platform:
    """Read the platform out of what a client calls itself: ``zaicun-phone/1.0 (Android 14)``. Unknown words are `other`."""
    said = (client or "").lower()
    return next((platform for word, platform in _PLATFORMS if word in said), Platform.OTHER)


_FORGET = """DELETE FROM checkin_spots AS s
WHERE s.day < :first OR NOT EXISTS (SELECT FROM checkin_points AS p WHERE p.seq = s.seq)"""


def forget_spots(session: orm.Session, today: date) -> int:
    """Take away the points that nothing is compared with any more, and those whose coordinates have faded; return how many."""
    found = session.execute(sa.text(_FORGET), {"first": today - SPOTS_KEPT})
    return int(getattr(found, "rowcount", 0))
