"""Reading the review queue: whose items somebody may see, what they are about, and what was decided."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.verdict import VerdictKind
from server import db, problems
from server.access import Role, Who
from server.checkins import queries as checkins
from server.checkins.models import CheckIn, CheckInPosition, DatumAlarm, Judgement, Withdrawal
from server.checkins.queries import Seen
from server.checkins.rules import Cause, Standing
from server.month.masks import Month
from server.problems import Problem
from server.review.models import ReviewItem, ReviewTurn
from server.review.rules import UNDECIDED, ReviewState, ReviewSubject
from server.roster.models import Person

IN_ORDER = (ReviewTurn.at, ReviewTurn.decides, ReviewTurn.id)
"""Nothing follows a decision, whatever id its maker chose for it."""
REVIEWERS = (Role.TOWN, Role.DISTRICT)
Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Known:
    """One item with its person, and its check-ins with their signals: one, or the unsure ones of a month."""

    item: ReviewItem
    person: Person
    seen: Sequence[Seen]
    signals: Sequence[dict[str, Any]]
    policy: str | None
    turns: Sequence[ReviewTurn]

    @property
    def decision(self) -> ReviewTurn | None:
        """Return the turn that decided it."""
        return next((turn for turn in self.turns if turn.decides), None)


def in_scope(who: Who) -> Condition:
    """Return the condition on ReviewItem that `who` may review it: in their regions, and nobody's own (M24)."""
    reach = db.within(sa.type_coerce(ReviewItem.region_code, sa.Text), who.regions(*REVIEWERS))
    return reach if who.person_id is None else sa.and_(reach, ReviewItem.person_id != who.person_id)


def still_counts() -> Condition:
    """Return the condition that an item's check-in counts at present; what does not count waits for no review."""
    return sa.or_(
        ReviewItem.checkin_id.is_(None),
        sa.exists().where(
            CheckIn.person_id == ReviewItem.person_id,
            CheckIn.id == ReviewItem.checkin_id,
            sa.func.coalesce(checkins.newly_judged(Judgement.standing), CheckIn.standing).in_(
                (Standing.COUNTED, Standing.PROVISIONAL)
            ),
            ~sa.exists().where(
                Withdrawal.person_id == CheckIn.person_id, Withdrawal.checkin_id == CheckIn.id
            ),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the queue. `opened_before`: only what was opened before this instant."""

    region: str = ""
    state: ReviewState | None = None
    subject: ReviewSubject | None = None
    month: Month | None = None
    assigned_to: UUID | None = None
    opened_before: datetime | None = None


def conditions(asked: Asked) -> Sequence[Condition]:
    """Return what the queue is narrowed by. Without a state it is what waits for a decision."""
    found: list[Condition] = []
    if asked.state is None:
        found += [ReviewItem.state.in_(UNDECIDED), still_counts()]
    else:
        found.append(ReviewItem.state == asked.state)
    if asked.region:
        found.append(ReviewItem.region_code.startswith(asked.region, autoescape=True))
    if asked.subject is not None:
        found.append(ReviewItem.subject == asked.subject)
    if asked.month is not None:
        found.append(ReviewItem.day.between(asked.month.first, asked.month.last))
    if asked.assigned_to is not None:
        found.append(ReviewItem.assigned_to == asked.assigned_to)
    if asked.opened_before is not None:
        found.append(ReviewItem.opened_at < asked.opened_before)
    return found


def page(
    session: orm.Session, scope: Condition, asked: Asked, after: tuple[datetime, UUID] | None, limit: int
) -> list[ReviewItem]:
    """Return items by when they were opened, oldest first: never by how much was found (ruling 18)."""
    return whole_page(session, sa.and_(scope, *conditions(asked)), after, limit)


def whole_page(
    session: orm.Session, condition: Condition, after: tuple[datetime, UUID] | None, limit: int
) -> list[ReviewItem]:
    """Return the items of a condition, oldest first."""
    query = sa.select(ReviewItem).where(condition)
    if after is not None:
        query = query.where(
            sa.tuple_(ReviewItem.opened_at, ReviewItem.id) > sa.tuple_(*map(sa.literal, after))
        )
    return list(session.scalars(query.order_by(ReviewItem.opened_at, ReviewItem.id).limit(limit)))


def undecided(session: orm.Session, month: Month, region: str = "") -> list[ReviewItem]:
    """Return what of a month waits for a decision: at the lock it is counted and listed (ruling 2)."""
    return page(session, sa.true(), Asked(region=region, month=month), None, limit=100_000)


def access_item(session: orm.Session, who: Who, item_id: UUID, *, to_change: bool = False) -> ReviewItem:
    """Return an item that `who` may review. Raises Problem 404; one's own and one elsewhere are the same."""
    query = sa.select(ReviewItem).where(ReviewItem.id == item_id, in_scope(who))
    found = session.scalars(query.with_for_update() if to_change else query).first()
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def turn(session: orm.Session, turn_id: UUID) -> ReviewTurn | None:
    """Return a turn."""
    return session.get(ReviewTurn, turn_id)


_SIGNALS = """SELECT DISTINCT ON (r.person_id, r.id) r.person_id, r.id, a.signals, p.version
FROM unnest(CAST(:people AS uuid[]), CAST(:ids AS uuid[])) AS k(person_id, id) JOIN checkin_rows AS r USING (person_id, id)
JOIN checkin_assessments AS a ON a.seq = r.seq LEFT JOIN plausibility_policies AS p ON p.id = a.policy
ORDER BY r.person_id, r.id, a.revision DESC"""


def known(session: orm.Session, items: Sequence[ReviewItem]) -> list[Known]:
    """Return what is to be shown of items, in their order."""
    people = {
        row.id: row
        for row in session.scalars(sa.select(Person).where(Person.id.in_({each.person_id for each in items})))
    }
    turns: dict[UUID, list[ReviewTurn]] = {each.id: [] for each in items}
    of_items = sa.select(ReviewTurn).where(ReviewTurn.item_id.in_(turns)).order_by(*IN_ORDER)
    for row in session.scalars(of_items):
        turns[row.item_id].append(row)
    told = _signals(session, items)
    return [
        Known(
            item,
            people[item.person_id],
            _seen(session, item),
            *told.get((item.person_id, item.checkin_id), ((), None)),
            turns[item.id],
        )
        for item in items
    ]


def _signals(
    session: orm.Session, items: Sequence[ReviewItem]
) -> Mapping[tuple[UUID, UUID | None], tuple[Sequence[dict[str, Any]], str | None]]:
    asked = [(each.person_id, each.checkin_id) for each in items if each.checkin_id is not None]
    keys = {"people": [person for person, _ in asked], "ids": [key for _, key in asked]}
    return {
        (person, key): (signals or (), version)
        for person, key, signals, version in session.execute(sa.text(_SIGNALS), keys)
    }


def _seen(session: orm.Session, item: ReviewItem) -> Sequence[Seen]:
    if item.checkin_id is not None:
        return [checkins.access_own(session, item.person_id, item.checkin_id)]
    return unsure_of(session, item.person_id, Month.of(item.day))


def unsure_of(session: orm.Session, person_id: UUID, month: Month) -> list[Seen]:
    """Return the check-ins of a month that count provisionally because their place is unsure."""
    return [
        seen
        for seen in checkins.of_days(session, person_id, month.first, month.last)
        if seen.withdrawal is None
        and (seen.judgement or seen.checkin).verdict == VerdictKind.UNSURE
        and (seen.judgement or seen.checkin).standing == Standing.PROVISIONAL
    ]


def own_days(session: orm.Session, person_id: UUID, check_ins: Collection[UUID]) -> dict[UUID, date]:
    """Return the days of those of these check-ins that are the person's; the others are somebody else's."""
    rows = session.execute(
        sa.select(CheckIn.id, CheckIn.day).where(CheckIn.person_id == person_id, CheckIn.id.in_(check_ins))
    )
    return {row[0]: row[1] for row in rows}


def position(session: orm.Session, item: ReviewItem) -> tuple[CheckIn, CheckInPosition] | None:
    """Return where the item's check-in was made; None for a month, without a position, and after fading."""
    if item.checkin_id is None:
        return None
    seen = checkins.access_own(session, item.person_id, item.checkin_id)
    return None if seen.position is None else (seen.checkin, seen.position)


def of_check_ins(
    session: orm.Session, person_id: UUID, check_ins: Collection[UUID]
) -> dict[UUID, tuple[ReviewItem, Sequence[dict[str, Any]], ReviewTurn | None]]:
    """Return the items about a person's check-ins, with their signals and the newest turn that says something."""
    items = list(
        session.scalars(
            sa.select(ReviewItem).where(
                ReviewItem.person_id == person_id, ReviewItem.checkin_id.in_(check_ins)
            )
        )
    )
    if not items:
        return {}
    told = _signals(session, items)
    said: dict[UUID, ReviewTurn] = {}
    query = sa.select(ReviewTurn).where(
        ReviewTurn.item_id.in_({each.id for each in items}), ReviewTurn.step != "taken"
    )
    for row in session.scalars(query.order_by(*IN_ORDER)):
        said[row.item_id] = row
    return {
        each.checkin_id: (each, told.get((person_id, each.checkin_id), ((), None))[0], said.get(each.id))
        for each in items
        if each.checkin_id is not None
    }


def rejections(session: orm.Session, person_id: UUID, check_ins: Collection[UUID]) -> dict[UUID, ReviewTurn]:
    """Return, for those of a person's check-ins that a month's review took out, the decision."""
    query = (
        sa.select(ReviewTurn)
        .join(ReviewItem, ReviewItem.id == ReviewTurn.item_id)
        .where(ReviewItem.person_id == person_id, ReviewTurn.check_ins.overlap(list(check_ins)))
    )
    return {key: row for row in session.scalars(query) for key in row.check_ins or () if key in check_ins}


_LIFTED = """SELECT DISTINCT t.id FROM review_turns AS t JOIN review_items AS i ON i.id = t.item_id
CROSS JOIN unnest(t.check_ins) AS c(id)
JOIN LATERAL (
    SELECT bool_or(j.cause = :appeal) AS appealed, (array_agg(j.decision_id ORDER BY j.seq DESC))[1] AS decision
    FROM checkin_judgements AS j WHERE j.person_id = i.person_id AND j.checkin_id = c.id
) AS j ON j.appealed AND j.decision IS NULL
WHERE t.id = ANY(CAST(:turns AS uuid[]))"""


def lifted(session: orm.Session, turns: Collection[UUID]) -> set[UUID]:
    """Return which of these rejections an appeal lifted, whatever the check-ins were judged as since."""
    if not turns:
        return set()
    asked = {"turns": list(turns), "appeal": Cause.APPEAL}
    return set(session.scalars(sa.text(_LIFTED), asked))


def alarms(
    session: orm.Session, *, after: tuple[datetime, UUID] | None = None, limit: int = 200
) -> list[DatumAlarm]:
    """Return alarms, open and closed, newest first."""
    query = sa.select(DatumAlarm)
    if after is not None:
        query = query.where(
            sa.tuple_(DatumAlarm.raised_at, DatumAlarm.id) < sa.tuple_(*map(sa.literal, after))
        )
    return list(
        session.scalars(query.order_by(DatumAlarm.raised_at.desc(), DatumAlarm.id.desc()).limit(limit))
    )
