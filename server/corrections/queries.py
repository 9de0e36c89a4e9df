"""Every SELECT about corrections and appeals. To fetch one is to be allowed to see it: the person, or its officers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import db, problems
from server.access import Role, Who
from server.corrections.models import Appeal, Correction, RequestEvent
from server.corrections.rules import WAITING, AppealKind, AppealState, Claim, Halves, State
from server.month import facts
from server.month.facts import Span
from server.month.masks import Half
from server.month.models import DayFact, Provenance
from server.month.rules import Sort
from server.problems import Problem
from server.roster.models import Person

OFFICERS = (Role.TOWN, Role.DISTRICT)
Case = Correction | Appeal
AGAINST = {
    Claim.PRESENT: frozenset({Sort.CORRECTED_ABSENT, Sort.FINDING_ABSENT}),
    Claim.ABSENT: frozenset({Sort.CORRECTED_PRESENT, Sort.FINDING_SEEN}),
}
_LEAVE = frozenset({Sort.LEAVE_SHRINKING, Sort.LEAVE_COUNTING_NOTHING})


def _seen_by(kind: type[Case], who: Who) -> sa.ColumnElement[bool]:
    condition = db.within(sa.type_coerce(kind.village_code, sa.Text), who.regions(*OFFICERS))
    if who.person_id is not None and who.has(Role.CADRE):
        condition |= kind.person_id == who.person_id
    return condition


def access_correction(
    session: orm.Session, who: Who, correction_id: UUID, *, lock: bool = False
) -> Correction:
    """Return a correction of one's own or of one's scope; missing and out of scope look the same."""
    query = sa.select(Correction).where(Correction.id == correction_id, _seen_by(Correction, who))
    found = session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def access_appeal(session: orm.Session, who: Who, appeal_id: UUID, *, answer: bool = False) -> Appeal:
    """Return an appeal in sight, or with `answer` one of one's district, its row locked; else not-found."""
    query = sa.select(Appeal).where(Appeal.id == appeal_id)
    if answer:
        village = sa.type_coerce(Appeal.village_code, sa.Text)
        query = query.where(db.within(village, who.regions(Role.DISTRICT))).with_for_update()
    else:
        query = query.where(_seen_by(Appeal, who))
    found = session.scalar(query)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list asks for. `waiting`: only what the reader could decide now."""

    region: str = ""
    person_id: UUID | None = None
    state: str | None = None
    waiting: bool = False


def _decidable(who: Who) -> sa.ColumnElement[bool]:
    """Return the condition on Correction that `who` may decide it now (rules.level and rules.barred in SQL)."""
    village = sa.type_coerce(Correction.village_code, sa.Text)
    higher = Correction.over_quota | Correction.late | (Correction.state == State.SECOND_REVIEW)
    ours = db.within(village, who.regions(Role.DISTRICT)) | (
        ~higher & db.within(village, who.regions(Role.TOWN))
    )
    return sa.and_(
        Correction.state.in_(WAITING),
        ours,
        _not_by(who, Correction.person_id, Correction.entered_by, Correction.first_by),
    )


def _not_by(
    who: Who, person: orm.InstrumentedAttribute[UUID], *accounts: orm.InstrumentedAttribute[UUID | None]
) -> sa.ColumnElement[bool]:
    conditions = [account.is_distinct_from(who.account_id) for account in accounts]
    if who.person_id is not None:
        conditions.append(person != who.person_id)
    return sa.and_(*conditions)


def corrections(
    session: orm.Session, who: Who, wanted: Wanted, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Correction]:
    """Return corrections in sight, the oldest first."""
    query = sa.select(Correction).where(_seen_by(Correction, who))
    if wanted.waiting:
        query = query.where(_decidable(who))
    return session.scalars(_listed(query, Correction, wanted, after, limit)).all()


def appeals(
    session: orm.Session, who: Who, wanted: Wanted, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Appeal]:
    """Return appeals in sight, the oldest first."""
    query = sa.select(Appeal).where(_seen_by(Appeal, who))
    if wanted.waiting:
        query = query.where(
            Appeal.state == AppealState.OPEN,
            db.within(sa.type_coerce(Appeal.village_code, sa.Text), who.regions(Role.DISTRICT)),
            sa.not_(Appeal.deciders.contains([who.account_id])),
            Appeal.entered_by != who.account_id,
        )
        if who.person_id is not None:
            query = query.where(Appeal.person_id != who.person_id)
    return session.scalars(_listed(query, Appeal, wanted, after, limit)).all()


def _listed(
    query: sa.Select[Correction] | sa.Select[Appeal],
    kind: type[Case],
    wanted: Wanted,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> sa.Select[Correction] | sa.Select[Appeal]:
    query = query.where(sa.type_coerce(kind.village_code, sa.Text).startswith(wanted.region, autoescape=True))
    if wanted.person_id is not None:
        query = query.where(kind.person_id == wanted.person_id)
    if wanted.state is not None:
        query = query.where(kind.state == wanted.state)
    if after is not None:
        query = query.where(sa.tuple_(kind.entered_at, kind.id) > sa.tuple_(*map(sa.literal, after)))
    return query.order_by(kind.entered_at, kind.id).limit(limit)


def one_at_a_time(session: orm.Session, person_id: UUID) -> None:
    """Let the requests of one person be made one after the other until the transaction ends: they are counted."""
    db.one_at_a_time(session, f"corrections:{person_id}")


def waiting_on(session: orm.Session, person_id: UUID, day: date) -> UUID | None:
    """Return the correction of a day that waits to be decided."""
    return session.scalar(
        sa.select(Correction.id).where(
            Correction.person_id == person_id, Correction.day == day, Correction.state.in_(WAITING)
        )
    )


def used_of_quota(session: orm.Session, person_id: UUID, first: date, last: date) -> int:
    """Return how many corrections to present were asked for of these days, but for those withdrawn and the system's."""
    query = sa.select(sa.func.count()).where(
        Correction.person_id == person_id,
        Correction.day.between(first, last),
        Correction.claim == Claim.PRESENT,
        Correction.provenance != Provenance.SYSTEM,
        Correction.state != State.WITHDRAWN,
    )
    return int(session.scalar(query) or 0)


def own_check_ins(session: orm.Session, person_id: UUID, asked: Sequence[UUID]) -> set[UUID]:
    """Return which of these ids are check-ins of the person. The room of check-ins lies above; its ids are enough."""
    query = sa.text("SELECT id FROM checkin_rows WHERE person_id = :person AND id = ANY(:ids)")
    return set(session.execute(query, {"person": person_id, "ids": list(asked)}).scalars())


def person(session: orm.Session, person_id: UUID) -> Person:
    """Return somebody who is known to exist."""
    return session.get_one(Person, person_id)


def halves_of(halves: Halves) -> tuple[Half, ...]:
    """Return the halves that a correction names, in their order."""
    return {
        Halves.DAY: (Half.MORNING, Half.AFTERNOON),
        Halves.MORNING: (Half.MORNING,),
        Halves.AFTERNOON: (Half.AFTERNOON,),
    }[halves]


def span_of(day: date, halves: Halves) -> Span:
    """Return the span of a correction."""
    named = halves_of(halves)
    return Span(day, day, named[0], named[-1])


def _touching(session: orm.Session, row: Correction, sorts: frozenset[Sort]) -> list[DayFact]:
    asked = span_of(row.day, Halves(row.halves))

    def touches(fact: DayFact) -> bool:
        span = facts.span_of(fact)
        begins_in_time = (span.first, span.starts) <= (asked.last, asked.ends)
        return begins_in_time and (asked.first, asked.starts) <= (span.last, span.ends)

    found = facts.of_days(session, row.person_id, row.day, row.day)
    return [fact for fact in found if fact.sort in sorts and touches(fact)]


def leave_on(session: orm.Session, row: Correction) -> list[DayFact]:
    """Return the approved leave that lies on a half of the correction (edge 107)."""
    return _touching(session, row, _LEAVE)


def against(session: orm.Session, row: Correction) -> list[DayFact]:
    """Return the facts of the day that say otherwise than the correction (edge 109)."""
    return _touching(session, row, AGAINST[Claim(row.claim)])


def own_requests(
    session: orm.Session, person_id: UUID, *, decided_since: datetime
) -> tuple[Sequence[Correction], Sequence[Appeal]]:
    """Return a person's corrections and appeals that wait or were decided since, the oldest first."""
    asked = sa.select(Correction).where(
        Correction.person_id == person_id,
        sa.or_(Correction.state.in_(WAITING), Correction.decided_at >= decided_since),
    )
    appealed = sa.select(Appeal).where(
        Appeal.person_id == person_id,
        sa.or_(Appeal.state == AppealState.OPEN, Appeal.decided_at >= decided_since),
    )
    return (
        session.scalars(asked.order_by(Correction.entered_at, Correction.id)).all(),
        session.scalars(appealed.order_by(Appeal.entered_at, Appeal.id)).all(),
    )


def timeline(session: orm.Session, request_id: UUID) -> Sequence[RequestEvent]:
    """Return what happened to a request, in its order."""
    query = sa.select(RequestEvent).where(RequestEvent.request_id == request_id)
    return session.scalars(query.order_by(RequestEvent.id)).all()


def people(session: orm.Session, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return people by id."""
    found = session.scalars(sa.select(Person).where(Person.id.in_(set(ids))))
    return {each.id: each for each in found}


def appeals_of(session: orm.Session, kind: AppealKind, subjects: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return the appeals against decisions, by what was decided."""
    query = sa.select(Appeal.subject_id, Appeal.id).where(
        Appeal.kind == kind, Appeal.subject_id.in_(set(subjects))
    )
    return {row[0]: row[1] for row in session.execute(query)}
