"""What is put into the review queue: check-ins that the score or the lot names, and months that unsure days decide.

An item asks a person to look. It changes nothing about the check-in, which goes on counting as its verdict says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import clock, ids
from server.checkins.judging import Views
from server.checkins.storing import SUCCESSORS
from server.compliance import service as compliance
from server.compliance.queries import EVERYONE
from server.month.district import REVIEWS
from server.month.masks import Month
from server.month.rules import ReviewReason
from server.review.models import ReviewItem
from server.review.rules import ReviewCause, ReviewState, ReviewSubject


@dataclass(frozen=True, slots=True)
class Asked:
    """A check-in that somebody is asked to look at, and why."""

    person_id: UUID
    checkin_id: UUID
    cause: ReviewCause


_VILLAGES = """SELECT c.person_id, c.id, COALESCE(j.village_code, c.village_code, p.village_code), c.day
FROM unnest(CAST(:people AS uuid[]), CAST(:ids AS uuid[])) AS k(person_id, id) JOIN checkins AS c USING (person_id, id)
LEFT JOIN LATERAL (
    SELECT j.village_code FROM checkin_judgements AS j
    WHERE j.person_id = c.person_id AND j.checkin_id = c.id ORDER BY j.seq DESC LIMIT 1
) AS j ON true
LEFT JOIN LATERAL (
    SELECT p.village_code FROM postings AS p WHERE p.person_id = c.person_id
    ORDER BY p.from_day <= c.day DESC, abs(p.from_day - c.day) LIMIT 1
) AS p ON true"""
"""In whose village a check-in lies: as judged, else where its maker was last posted before it."""


def open_for_check_ins(session: orm.Session, asked: Sequence[Asked]) -> int:
    """Open an item for each check-in that has none; return how many were opened. One of nobody's village has none."""
    if not asked:
        return 0
    keys = {"people": [each.person_id for each in asked], "ids": [each.checkin_id for each in asked]}
    successors = {row[0]: (row[1], row[2]) for row in session.execute(sa.text(SUCCESSORS))}
    views = Views(successors=successors)
    where = {
        (row[0], row[1]): (row[2], row[3]) for row in session.execute(sa.text(_VILLAGES), keys) if row[2]
    }
    rows = [
        _item(
            ReviewSubject.CHECK_IN,
            person_id=each.person_id,
            checkin_id=each.checkin_id,
            day=day,
            region_code=views.region(village, day),
            cause=each.cause,
        )
        for each in asked
        if (each.person_id, each.checkin_id) in where
        for village, day in [where[each.person_id, each.checkin_id]]
    ]
    return _opened(session, rows)


_CAUSES: Mapping[ReviewReason, ReviewCause] = {
    ReviewReason.UNSURE_DECIDES: ReviewCause.UNSURE_DECIDES,
    ReviewReason.TOO_MANY_UNSURE: ReviewCause.TOO_MANY_UNSURE,
}


def open_for_months(session: orm.Session, months: Iterable[Month]) -> int:
    """Open an item for each month in which unsure days decide or are too many (ruling 2); return how many."""
    return sum(_opened(session, _months_asked(session, month)) for month in sorted(months))


def _months_asked(session: orm.Session, month: Month) -> list[dict[str, Any]]:
    scope = compliance.scope_month(session, EVERYONE, month)
    rows = []
    for at, reason in enumerate(scope.figures.review):
        cause = REVIEWS[reason]
        if cause is not None and scope.policy_of[at] >= 0:
            rows.append(
                _item(
                    ReviewSubject.MONTH,
                    person_id=scope.columns.person(at),
                    month=month.first,
                    day=month.first,
                    region_code=f"{int(scope.columns.owner[at]):012d}",
                    cause=_CAUSES[cause],
                )
            )
    return rows


def _item(
    subject: ReviewSubject,
    *,
    person_id: UUID,
    day: date,
    region_code: str,
    cause: ReviewCause,
    checkin_id: UUID | None = None,
    month: date | None = None,
) -> dict[str, Any]:
    return {
        "id": ids.new_id(),
        "subject": subject,
        "person_id": person_id,
        "checkin_id": checkin_id,
        "month": month,
        "day": day,
        "region_code": region_code,
        "cause": cause,
        "opened_at": clock.now(),
        "state": ReviewState.OPEN,
        "revision": 1,
        "assigned_to": None,
    }


def _opened(session: orm.Session, rows: Sequence[dict[str, Any]]) -> int:
    if not rows:
        return 0
    new = postgresql.insert(ReviewItem).values(list(rows)).on_conflict_do_nothing()
    return len(session.execute(new.returning(ReviewItem.id)).all())
