"""Corrections and appeals as they are shown: names for accounts, words for reasons, what happened, what says otherwise."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import orm

from server import clock
from server.auth.queries import account_names
from server.corrections import appeals, queries, rules
from server.corrections.models import Appeal, Correction
from server.corrections.rules import AppealKind, AppealState, Claim, Event, Halves, State
from server.corrections.schemas import (
    AgainstOut,
    AppealDetailOut,
    AppealOut,
    ConcernedOut,
    CorrectionDetailOut,
    CorrectionOut,
    EventOut,
    ReasonOut,
)
from server.month import book as books
from server.month.book import Book
from server.month.masks import Month
from server.month.models import Provenance, SourceKind
from server.month.rules import STATE_OF, Sort
from server.roster.models import Person


def _person(row: Person) -> ConcernedOut:
    return ConcernedOut(id=row.id, number=row.number, name=row.name)


def _reason(book: Book, row: Correction) -> ReasonOut:
    """Return the reason in words: the system's own, or the policy's; the code alone where the policy has it no more."""
    if row.provenance == Provenance.SYSTEM:
        zh, en = rules.SYSTEM_REASONS[row.reason]
        return ReasonOut(code=row.reason, zh=zh, en=en)
    governing = book.governing(row.village_code, Month.of(row.day))
    known = governing.policy.correction_reasons if governing else ()
    for reason in known:
        if reason.code == row.reason:
            return ReasonOut(code=reason.code, zh=reason.zh, en=reason.en)
    return ReasonOut(code=row.reason, zh=row.reason, en=row.reason)


def corrections_out(session: orm.Session, rows: Sequence[Correction]) -> list[CorrectionOut]:
    """Write corrections as a list shows them."""
    book = books.load(session)
    people = queries.people(session, (row.person_id for row in rows))
    names = account_names(session, (by for row in rows for by in (row.entered_by, row.decided_by)))
    appealed = queries.appeals_of(session, AppealKind.CORRECTION, (row.id for row in rows))
    now = clock.now()

    def one(row: Correction) -> CorrectionOut:
        state, last = State(row.state), appeals.appeal_until(book, row)
        return CorrectionOut(
            id=row.id,
            person=_person(people[row.person_id]),
            village_code=row.village_code,
            day=row.day,
            halves=Halves(row.halves),
            claim=Claim(row.claim),
            reason=_reason(book, row),
            text=row.text,
            check_ins=row.check_ins,
            provenance=Provenance(row.provenance),
            entered_by=names.get(row.entered_by),
            entered_at=row.entered_at,
            state=state,
            level=rules.level(state, over_quota=row.over_quota, late=row.late),
            over_quota=row.over_quota,
            late=row.late,
            decided_by=names.get(row.decided_by),
            decided_at=row.decided_at,
            decision_reason=row.decision_reason,
            appeal_until=last if last is not None and now < last and row.id not in appealed else None,
            appeal_id=appealed.get(row.id),
            version=row.version,
        )

    return [one(row) for row in rows]


def correction_out(session: orm.Session, row: Correction) -> CorrectionDetailOut:
    """Write one correction with its timeline, and the facts of its day that say otherwise (edge 109)."""
    (shown,) = corrections_out(session, [row])
    found = queries.against(session, row)
    return CorrectionDetailOut(
        **dict(shown),
        timeline=_timeline(session, row.id),
        against=[
            AgainstOut(
                state=STATE_OF[Sort(fact.sort)],
                source_kind=SourceKind(fact.source_kind),
                source_id=fact.source_id,
                text=fact.text,
                recorded_at=fact.recorded_at,
            )
            for fact in found
        ],
    )


def _timeline(session: orm.Session, request_id: UUID) -> list[EventOut]:
    events = queries.timeline(session, request_id)
    names = account_names(session, (event.by for event in events))
    return [
        EventOut(at=each.at, event=Event(each.event), by=names.get(each.by), text=each.text)
        for each in events
    ]


def appeals_out(session: orm.Session, rows: Sequence[Appeal]) -> list[AppealOut]:
    """Write appeals as a list shows them."""
    people = queries.people(session, (row.person_id for row in rows))
    names = account_names(session, (by for row in rows for by in (row.entered_by, row.decided_by)))
    return [
        AppealOut(
            id=row.id,
            kind=AppealKind(row.kind),
            subject_id=row.subject_id,
            person=_person(people[row.person_id]),
            village_code=row.village_code,
            text=row.text,
            provenance=Provenance(row.provenance),
            entered_by=names.get(row.entered_by),
            entered_at=row.entered_at,
            state=AppealState(row.state),
            decided_by=names.get(row.decided_by),
            decided_at=row.decided_at,
            answer=row.answer,
            version=row.version,
        )
        for row in rows
    ]


def appeal_out(session: orm.Session, row: Appeal) -> AppealDetailOut:
    """Write one appeal with what happened to it."""
    (shown,) = appeals_out(session, [row])
    return AppealDetailOut(**dict(shown), timeline=_timeline(session, row.id))
