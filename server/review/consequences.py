"""What another plausibility document would have asked of people, told from the check-ins that are stored. Writes nothing."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.checkins.plausibility.policy import TrustPolicy
from server.review import assessing
from server.review.gathering import Fresh
from server.review.models import AssessmentMark
from server.review.policies import InForce
from server.review.rules import Band

_BATCH = 1_000
_ASSESSED = """SELECT r.person_id, r.id, r.seq, r.day, r.event_at, r.received_at, r.fix_age_s, a.band, a.drawn
FROM checkin_rows AS r JOIN LATERAL (
    SELECT band, drawn FROM checkin_assessments AS a WHERE a.seq = r.seq ORDER BY a.revision DESC LIMIT 1
) AS a ON true
WHERE r.received_at >= :since AND (r.person_id, r.id) > (:person, :key)
ORDER BY r.person_id, r.id LIMIT :most"""


@dataclass(slots=True)
class Consequences:
    """Check-ins by their band before and after, and the people of whom somebody would be asked to look at more."""

    assessed: int = 0
    moves: Counter[tuple[Band, Band]] = field(default_factory=Counter)
    asked_before: int = 0
    asked_after: int = 0
    people: set[UUID] = field(default_factory=set)


def of(session: orm.Session, policy: TrustPolicy, since: datetime) -> Consequences:
    """Assess again, by another document, what was received since an instant and assessed; compare the bands."""
    key = session.scalar(sa.select(AssessmentMark.draw_key)) or b""
    found = Consequences()
    after = (UUID(int=0), UUID(int=0))
    while True:
        asked = {"since": since, "person": after[0], "key": after[1], "most": _BATCH}
        rows = session.execute(sa.text(_ASSESSED), asked).all()
        if not rows:
            return found
        after = (rows[-1][0], rows[-1][1])
        targets = [Fresh(*row[:7]) for row in rows]
        for row, again in zip(rows, assessing.weigh(session, targets, InForce(0, policy), key), strict=True):
            before = Band(row[7])
            found.assessed += 1
            found.moves[before, again.band] += 1
            asked_before = before is Band.REVIEW or row[8]
            asked_after = assessing.asked_for(again) is not None
            found.asked_before += asked_before
            found.asked_after += asked_after
            if asked_after and not asked_before:
                found.people.add(row[0])
