"""Judging stored check-ins again, after the roster or a boundary was corrected (ruling 10, edge 46).

Nothing that was judged is altered: a different verdict is a new row beside the old one, the newest speaks, and the
person sees both. A check-in whose coordinates have faded cannot be judged again and is counted as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import shapely
import sqlalchemy as sa
from sqlalchemy import orm

from geo.verdict import Verdict, VerdictKind
from geo.zones import EXCLUDED_KINDS
from server import clock
from server.checkins import dating, holding, judging, queries, recounting, storing
from server.checkins.holding import Hold
from server.checkins.judging import Views
from server.checkins.models import CheckIn, CheckInPosition, Judgement
from server.checkins.record import StoredPosition, from_row
from server.checkins.recounting import Change
from server.checkins.rules import HELD_REASON, Cause, Standing
from server.month import book
from server.places.atlas import SHAPES_SQL, VERSIONS_SQL, Atlas, Register, Stored
from server.places.hooks import Effect, ZoneChange
from server.roster.models import Posting

BATCH = 2_000


@dataclass(slots=True)
class Outcome:
    """What judging again found."""

    changes: list[Change]
    judged: int = 0
    faded: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    checkin: CheckIn
    position: CheckInPosition | None
    newest: Judgement | None

    @property
    def verdict(self) -> str:
        return (self.newest or self.checkin).verdict


@dataclass(frozen=True, slots=True)
class _Known:
    """The shapes at hand: those read so far, and those of changes that are not published yet."""

    atlas: Atlas
    drawn: Mapping[UUID, Stored]


def views_of(session: orm.Session, changes: Sequence[ZoneChange] = ()) -> Views:
    """Read what judging knows, as if `changes` were published already."""
    rows: list[Sequence[Any]] = [tuple(row) for row in _driver(session, VERSIONS_SQL, ())]
    rows += [_as_row(change) for change in changes]
    successors = {row[0]: (row[1], row[2]) for row in _driver(session, storing.SUCCESSORS, ())}
    return Views(register=Register(rows), book=book.load(session), successors=successors)


def _as_row(change: ZoneChange) -> Sequence[Any]:
    box = change.shape.bounds if change.shape is not None and change.kind in EXCLUDED_KINDS else (None,) * 4
    return (
        change.version_id,
        change.zone_id,
        str(change.kind),
        change.region_code,
        change.valid_from,
        change.valid_until,
        change.shape is None,
        *box,
    )


def judge_again(
    session: orm.Session,
    condition: sa.ColumnElement[bool],
    *,
    cause: str,
    write: bool,
    changes: Sequence[ZoneChange] = (),
    only_held: bool = False,
) -> Outcome:
    """Judge the check-ins of a condition by what is known now; with `write`, keep what differs and recount its days.

    With `only_held` nothing is kept but what a client's datum in doubt makes of it (holding.py).
    """
    views = None
    known = _Known(
        Atlas(),
        {
            c.version_id: Stored(str(c.kind), c.name, shapely.to_wkb(c.shape), c.accuracy_m)
            for c in changes
            if c.shape
        },
    )
    holds = holding.holds(session)
    outcome = Outcome([])
    after: tuple[UUID, UUID] | None = None
    while rows := _batch(session, condition, after):
        after = (rows[-1].checkin.person_id, rows[-1].checkin.id)
        views = views or views_of(
            session, changes
        )  # Read only if there is anything to judge: rosters are long.
        judged = _judge(session, rows, views, known, holds)
        outcome.judged += len(rows)
        outcome.faded += sum(row.position is None and row.checkin.commitment is not None for row in rows)
        found = [each for each in judged if _differs(each) and (each.held or not only_held)]
        outcome.changes += [
            Change(
                each.row.checkin.person_id,
                each.row.checkin.id,
                each.row.checkin.day,
                before=each.row.verdict,
                after=each.verdict.kind,
                standing=each.standing,
                village_code=each.row.checkin.village_code,
            )
            for each in found
        ]
        if write and found:
            _write(session, found, cause)
    return outcome


@dataclass(frozen=True, slots=True)
class _Again:
    """A check-in judged again: by the postings and the policy of a question, perhaps held in its maker's favour."""

    row: _Row
    question: judging.Question
    verdict: Verdict
    held: bool

    @property
    def reason(self) -> str:
        return HELD_REASON if self.held else self.verdict.reason

    @property
    def decision_id(self) -> UUID | None:
        """What a reviewer decided is not undone by a better boundary; that is an appeal's to do."""
        return self.row.newest.decision_id if self.row.newest else None

    @property
    def standing(self) -> Standing:
        if self.decision_id:
            return Standing.NOT_COUNTED
        policy = self.question.policy
        return judging.standing_of(self.verdict.kind, dating.dated_again(self.row.checkin, policy), policy)


def _differs(again: _Again) -> bool:
    matched = again.question.matched(again.verdict)
    speaks = again.row.newest or again.row.checkin
    was_held = speaks.reason == HELD_REASON
    return (again.verdict.kind, matched and matched.id, again.held) != (
        speaks.verdict,
        speaks.posting_id,
        was_held,
    )


def _batch(
    session: orm.Session, condition: sa.ColumnElement[bool], after: tuple[UUID, UUID] | None
) -> Sequence[_Row]:
    newest = orm.aliased(Judgement, queries.newest_judgement())
    query = (
        sa.select(CheckIn, CheckInPosition, newest)
        .outerjoin(CheckInPosition, CheckInPosition.seq == CheckIn.seq)
        .outerjoin(newest, sa.true())
        .where(condition)
        .order_by(CheckIn.person_id, CheckIn.id)
        .limit(BATCH)
    )
    if after is not None:
        query = query.where(sa.tuple_(CheckIn.person_id, CheckIn.id) > sa.tuple_(*map(sa.literal, after)))
    return [_Row(row[0], row[1], row[2]) for row in session.execute(query)]


def _judge(
    session: orm.Session, rows: Sequence[_Row], views: Views, known: _Known, holds: Sequence[Hold]
) -> list[_Again]:
    judgeable = [row for row in rows if row.position is not None or row.checkin.commitment is None]
    people = sorted({row.checkin.person_id for row in judgeable})
    days = [row.checkin.day for row in judgeable] or [clock.now().date()]
    span = (people, max(days) + timedelta(days=3), min(days) - timedelta(days=3))
    postings = storing.postings_by_person(_driver(session, storing.POSTINGS, span))
    asked: list[judging.Question] = []
    back: list[judging.Question | None] = []
    for row in judgeable:
        made = row.checkin
        fix = judging.fix_again(from_row(vars(made)), _position(row.position)) if row.position else None
        own = postings.get(made.person_id, ())
        moved = holding.moved_back(fix, made.client, made.event_at, holds)
        asked.append(judging.ask(made.event_at, fix, own, views))
        back.append(judging.ask(made.event_at, moved, own, views) if moved else None)
    _fetch(session, known, [*asked, *(each for each in back if each)])
    judged = [_again(*each, known.atlas) for each in zip(judgeable, asked, back, strict=True)]
    known.atlas.trim()
    return judged


def _fetch(session: orm.Session, known: _Known, asked: Sequence[judging.Question]) -> None:
    """Put the shapes that the questions need into the atlas."""
    missing = known.atlas.missing({q.assigned for q in asked}, {q.excluded for q in asked if q.excluded})
    if missing:
        shapes = {
            row[0]: Stored(row[1], row[2], bytes(row[3]), row[4])
            for row in _driver(session, SHAPES_SQL, {"ids": missing})
        }
        known.atlas.put({version: shapes.get(version) or known.drawn[version] for version in missing})


def _again(row: _Row, question: judging.Question, back: judging.Question | None, atlas: Atlas) -> _Again:
    verdict = judging.decide(question, atlas)
    held = None if back is None else holding.held(verdict, judging.decide(back, atlas))
    return _Again(row, question, held or verdict, held=held is not None)


def _position(position: CheckInPosition) -> StoredPosition:
    return StoredPosition(
        salt=position.salt,
        lon_e7=position.lon_e7,
        lat_e7=position.lat_e7,
        wgs_lon_e7=position.wgs_lon_e7,
        wgs_lat_e7=position.wgs_lat_e7,
        altitude_cm=position.altitude_cm,
        speed_cmps=position.speed_cmps,
    )


def _write(session: orm.Session, found: Sequence[_Again], cause: str) -> None:
    now = clock.now()
    for again in found:
        row, question, verdict = again.row, again.question, again.verdict
        matched = question.matched(verdict)
        session.add(
            Judgement(
                person_id=row.checkin.person_id,
                checkin_id=row.checkin.id,
                at=now,
                cause=Cause.DATUM_SHIFT if again.held else cause,
                verdict=verdict.kind,
                reason=again.reason,
                standing=again.standing,
                band=verdict.band,
                margin_m=judging.real(verdict.margin_m),
                p_inside=judging.real(verdict.p),
                p_zone=judging.real(verdict.p_zone),
                posting_id=matched.id if matched else None,
                village_code=matched.village_code if matched else None,
                zone_name=verdict.zone_name if verdict.kind is VerdictKind.TOWN else None,
                versions=list(verdict.versions) or None,
                decision_id=again.decision_id,
            )
        )
    session.flush()
    recounting.recount(session, {(each.row.checkin.person_id, each.row.checkin.day) for each in found})


def _driver(session: orm.Session, statement: str, parameters: Any) -> Sequence[Sequence[Any]]:  # noqa: ANN401  psycopg takes a tuple or a dict.
    return [tuple(row) for row in session.connection().exec_driver_sql(statement, parameters)]


def hold(session: orm.Session, keys: Sequence[tuple[UUID, UUID]] | None = None) -> int:
    """Hold as unsure what is outside by a datum in doubt, of these check-ins (person, id) or of all; return how many."""
    known = holding.holds(session)
    if not known or keys == []:
        return 0
    condition = holding.in_doubt(known)
    if keys is not None:
        condition = sa.and_(condition, sa.tuple_(CheckIn.person_id, CheckIn.id).in_(list(keys)))
    return len(judge_again(session, condition, cause=Cause.DATUM_SHIFT, write=True, only_held=True).changes)


class Judgements:
    """What this room gives to places and roster (places.hooks.Judgements, roster.hooks)."""

    def would_change(self, session: orm.Session, changes: Sequence[ZoneChange]) -> Effect:
        """Judge the stored check-ins that the changes touch, and count; nothing is written."""
        if not changes:
            return Effect(check_ins=0, people=0)
        since = min(change.valid_from for change in changes)
        outcome = judge_again(
            session, CheckIn.event_at >= since, cause=Cause.BOUNDARY, write=False, changes=changes
        )
        return Effect(check_ins=len(outcome.changes), people=len({c.person_id for c in outcome.changes}))

    def boundaries_published(self, session: orm.Session, changes: Sequence[ZoneChange]) -> None:
        """Leave what was judged as it is: judging again is a decision of its own (`zaicun check-ins judge-again`)."""

    def region_followed(self, session: orm.Session, codes: Sequence[str], from_day: date) -> None:
        """Judge again what was checked in since the day in merged villages: their postings are elsewhere now."""
        condition = sa.and_(CheckIn.village_code.in_(codes), CheckIn.day >= from_day)
        judge_again(session, condition, cause=Cause.ROSTER, write=True)

    def postings_changed(
        self, session: orm.Session, person_id: UUID, from_day: date, until_day: date | None
    ) -> None:
        """Judge a person's check-ins of these days again, because the roster said something else before (ruling 10)."""
        session.flush()
        condition = sa.and_(CheckIn.person_id == person_id, CheckIn.day >= from_day - timedelta(days=1))
        if until_day is not None:
            condition = sa.and_(condition, CheckIn.day <= until_day + timedelta(days=1))
        judge_again(session, condition, cause=Cause.ROSTER, write=True)


def since(moment: datetime, region: str) -> sa.ColumnElement[bool]:
    """Return the condition for judging a region's check-ins again from an instant on."""
    return sa.and_(CheckIn.event_at >= moment, CheckIn.village_code.startswith(region, autoescape=True))


def overlooked(first: date) -> sa.ColumnElement[bool]:
    """Return the condition for check-ins since a day that were judged as not posted on a day that is posted.

    A check-in that is stored while its posting is being written sees no posting yet, and the judging again that belongs
    to the posting does not see the check-in yet.
    """
    posted = sa.exists().where(
        Posting.person_id == CheckIn.person_id,
        Posting.from_day <= CheckIn.day,
        sa.or_(Posting.until_day.is_(None), Posting.until_day >= CheckIn.day),
    )
    return sa.and_(CheckIn.day >= first, CheckIn.verdict == VerdictKind.NOT_POSTED, posted)
