"""The days of a month counted again from the records that still speak: many people's at once, in three statements."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.checkins import judging
from server.checkins.storing import MASKS, Masks
from server.month import facts
from server.month.masks import day_mask

Day = tuple[UUID, date]
"""A person, and a day or the first of a month."""

Turned = tuple[dict[str, bool], dict[str, bool]]
"""What a day's check-ins set in its month by the names of MASKS, before and after."""

_SPEAKING = """SELECT c.person_id, c.day, c.id, COALESCE(j.verdict, c.verdict), COALESCE(j.standing, c.standing)
FROM unnest(CAST(:people AS uuid[]), CAST(:days AS date[])) AS g(person_id, day)
JOIN checkins AS c ON c.person_id = g.person_id AND c.day = g.day
LEFT JOIN LATERAL (
    SELECT j.verdict, j.standing FROM checkin_judgements AS j
    WHERE j.person_id = c.person_id AND j.checkin_id = c.id ORDER BY j.seq DESC LIMIT 1
) AS j ON true
WHERE NOT EXISTS (
    SELECT FROM checkin_withdrawals AS w WHERE w.person_id = c.person_id AND w.checkin_id = c.id
)"""
"""The newest judgement of a check-in speaks, else its own; withdrawn ones are silent."""

_COUNTED = """UPDATE person_months AS m SET sure = (m.sure & ~g.days) | g.sure, unsure = (m.unsure & ~g.days) | g.unsure,
    unfenced = (m.unfenced & ~g.days) | g.unfenced, outside = (m.outside & ~g.days) | g.outside,
    claimed = (m.claimed & ~g.days) | g.claimed
FROM unnest(CAST(:people AS uuid[]), CAST(:months AS date[]), CAST(:days AS bigint[]), CAST(:sure AS bigint[]),
    CAST(:unsure AS bigint[]), CAST(:unfenced AS bigint[]), CAST(:outside AS bigint[]), CAST(:claimed AS bigint[]))
    AS g(person_id, month, days, sure, unsure, unfenced, outside, claimed)
WHERE m.person_id = g.person_id AND m.month = g.month"""


@dataclass(frozen=True, slots=True)
class Change:
    """One check-in that is judged differently now."""

    person_id: UUID
    checkin_id: UUID
    day: date
    before: str
    after: str
    standing: str  # After.
    village_code: str | None


def recount(session: orm.Session, days: Iterable[Day]) -> None:
    """Compute the bits of these days again from what is stored now, and leave those of all other days as they are."""
    wanted = set(days)
    if not wanted:
        return
    by_month: dict[Day, int] = defaultdict(int)
    for person, day in wanted:
        by_month[person, day.replace(day=1)] |= day_mask(day.day)
    facts.hold(session, by_month)
    said = dict.fromkeys(by_month, judging.NOTHING)
    asked = {"people": [person for person, _ in wanted], "days": [day for _, day in wanted]}
    for person, day, _, verdict, standing in session.execute(sa.text(_SPEAKING), asked):
        month = person, day.replace(day=1)
        said[month] = judging.both(said[month], judging.bits(verdict, standing, day))
    given: dict[str, list[UUID] | list[date] | list[int]] = {
        "people": [person for person, _ in said],
        "months": [month for _, month in said],
        "days": [by_month[month] for month in said],
    }
    for at, name in enumerate(MASKS):
        given[name] = [masks[at] for masks in said.values()]
    session.execute(sa.text(_COUNTED), given)


def days_of(session: orm.Session, changes: Collection[Change]) -> dict[Day, Turned]:
    """Return for each day of these changes what all its check-ins say now, and what they would say; nothing is written."""
    turned = {change.checkin_id: change for change in changes}
    wanted = {(change.person_id, change.day) for change in changes}
    said = dict.fromkeys(wanted, (judging.NOTHING, judging.NOTHING))
    asked = {"people": [person for person, _ in wanted], "days": [day for _, day in wanted]}
    for person, day, checkin, verdict, standing in session.execute(sa.text(_SPEAKING), asked):
        before, after = said[person, day]
        change = turned.get(checkin)
        new_verdict, new_standing = (change.after, change.standing) if change else (verdict, standing)
        said[person, day] = (
            judging.both(before, judging.bits(verdict, standing, day)),
            judging.both(after, judging.bits(new_verdict, new_standing, day)),
        )
    return {day: (_named(before), _named(after)) for day, (before, after) in said.items()}


def _named(masks: Masks) -> dict[str, bool]:
    return {name: mask != 0 for name, mask in zip(MASKS, masks, strict=True)}
