"""The deeds on corrections (补签): asked for, taken back, decided. Approval makes a fact; no record is ever rewritten."""

from datetime import date, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, db, ids, problems
from server.access import Role, Who
from server.corrections import queries, rules
from server.corrections.models import Correction, RequestEvent
from server.corrections.rules import Claim, Event, Halves, Level, State
from server.corrections.schemas import CorrectionAskIn, CorrectionDecisionIn
from server.month import book as books
from server.month import facts
from server.month.book import Book
from server.month.facts import Fact, Span
from server.month.masks import Half, Month
from server.month.models import DayFact, Provenance, SourceKind
from server.month.policy import Policy, legal_day, provisional_until
from server.month.rules import Sort
from server.problems import FieldFault, Problem
from server.roster import days as roster_days

_SAME = ("person_id", "day", "halves", "claim", "reason", "text", "check_ins")
SORT_OF = {Claim.PRESENT: Sort.CORRECTED_PRESENT, Claim.ABSENT: Sort.CORRECTED_ABSENT}


def happened(
    session: orm.Session, request_id: UUID, event: Event, *, by: UUID | None, text: str | None = None
) -> None:
    """Write one thing that happened to a request."""
    session.add(RequestEvent(request_id=request_id, at=clock.now(), by=by, event=event, text=text))
    session.flush()


def _refused(field: str, code: str, zh: str, en: str) -> Problem:
    return Problem(
        problems.INVALID_REQUEST, zh=f"{zh}。", en=f"{en}.", errors=[FieldFault(field, code, zh, en)]
    )


# --- asking
def ask(session: orm.Session, who: Who, given: CorrectionAskIn) -> tuple[Correction, bool]:
    """Enter a correction once; return it and whether it is new. What is over the quota or late is marked, never lost.

    Raises not-found (nobody of one's scope was posted there that day), no-policy, invalid-request, on-leave (edge 107),
    correction-open and id-reused.
    """
    own = given.person_id is None or given.person_id == who.person_id
    if own and not (who.person_id and who.has(Role.CADRE)):
        raise _refused("person_id", "missing", "须写明为谁提出", "say for whom it is")
    person_id = who.person_id if own else given.person_id
    if person_id is None:
        raise Problem(problems.NOT_FOUND)
    queries.one_at_a_time(session, person_id)
    row = _row(given, person_id, who, Provenance.OWN if own else Provenance.TOWN)
    known = session.get(Correction, given.id)
    if known is not None:
        row.village_code = known.village_code
        return db.insert_once(session, row, same=_SAME, own=("entered_by", "person_id"))
    row.village_code = _village(session, who, row, own=own)
    _mark(session, row, books.load(session))
    session.add(row)
    session.flush()
    happened(session, row.id, Event.ENTERED, by=who.account_id, text=row.text)
    audit.record(
        session, who, "correction:enter", ("correction", row.id), day=row.day.isoformat(), claim=row.claim
    )
    return row, True


def _row(given: CorrectionAskIn, person_id: UUID, who: Who, provenance: Provenance) -> Correction:
    return Correction(
        id=given.id,
        person_id=person_id,
        day=given.day,
        halves=given.halves,
        claim=given.claim,
        reason=given.reason,
        text=given.text,
        check_ins=list(dict.fromkeys(given.check_ins)),
        provenance=provenance,
        entered_by=who.account_id,
        entered_at=clock.now(),
        over_quota=False,
        late=False,
        state=State.OPEN,
        version=1,
    )


def _villages(session: orm.Session, person_id: UUID, day: date) -> list[str]:
    found = roster_days.active_postings(session, [(person_id, day)])
    return sorted({posting.village_code for posting in found})


def _village(session: orm.Session, who: Who, row: Correction, *, own: bool) -> str:
    """Return where the person was posted on the day; for the town, within its scope."""
    villages = _villages(session, row.person_id, row.day)
    if not own:
        villages = [code for code in villages if who.reaches(code, *queries.OFFICERS)]
        if not villages:
            raise Problem(
                problems.NOT_FOUND,
                zh="当日在您的范围内没有此人任职。",
                en="Nobody of that id was posted in your scope that day.",
            )
    if not villages:
        raise _refused("day", "not-posted", "当日没有任职", "you were not posted on that day")
    return villages[0]


def _policy(book: Book, village: str, day: date) -> Policy:
    governing = book.governing(village, Month.of(day))
    if governing is None:
        month = str(Month.of(day))
        raise Problem(
            problems.NO_POLICY,
            zh=f"{village} 在 {month} 没有已发布的政策。",
            en=f"No policy is published for {village} in {month}.",
            region=village,
            month=month,
        )
    return governing.policy


def _mark(session: orm.Session, row: Correction, book: Book) -> None:
    """Hold what is asked against the policy and the day's facts, and mark what the district has to decide (edge 108)."""
    policy = _policy(book, row.village_code, row.day)
    today = legal_day(clock.now(), policy)
    if row.day > today:
        raise _refused("day", "in-future", "日期未到", "the day is still ahead")
    if row.reason not in {reason.code for reason in policy.correction_reasons}:
        raise _refused("reason", "unknown-reason", "政策中没有这个理由", "the policy has no such reason")
    strange = set(row.check_ins) - queries.own_check_ins(session, row.person_id, row.check_ins)
    if strange:
        raise _refused(
            "check_ins",
            "unknown-check-in",
            "其中有的不是此人的签到",
            "not all of them are the person's check-ins",
        )
    _refuse_on_leave(session, row)
    waiting = queries.waiting_on(session, row.person_id, row.day)
    if waiting is not None:
        raise Problem(problems.CORRECTION_OPEN, open=str(waiting))
    month = Month.of(row.day)
    if row.claim == Claim.PRESENT:
        used = queries.used_of_quota(session, row.person_id, month.first, month.last)
        row.over_quota = used >= policy.correction_quota
    overdue = today > row.day + timedelta(days=policy.correction_days)
    row.late = overdue or today > provisional_until(month, policy)


def _refuse_on_leave(session: orm.Session, row: Correction) -> None:
    leave = queries.leave_on(session, row)
    if leave:
        raise Problem(
            problems.ON_LEAVE,
            zh="当日有已批准的请假：已经回村的请销假，未成行的请撤销请假。",
            en="There is approved leave on the day: report back if you returned, cancel it if you never left.",
            leave=[str(fact.source_id) for fact in leave],
        )


def open_case(
    session: orm.Session,
    *,
    person_id: UUID,
    day: date,
    claim: Claim,
    reason: str,
    text: str,
    check_ins: tuple[UUID, ...] = (),
) -> UUID | None:
    """Open a correction case by the system (edge 58), for the town to decide. Quota and deadline are for people.

    Returns None where nobody is posted that day or a case of the day waits already; then nothing is written.
    """
    queries.one_at_a_time(session, person_id)
    villages = _villages(session, person_id, day)
    if not villages or queries.waiting_on(session, person_id, day) is not None:
        return None
    row = Correction(
        id=ids.new_id(),
        person_id=person_id,
        village_code=villages[0],
        day=day,
        halves=Halves.DAY,
        claim=claim,
        reason=reason,
        text=text,
        check_ins=list(check_ins),
        provenance=Provenance.SYSTEM,
        entered_at=clock.now(),
        over_quota=False,
        late=False,
        state=State.OPEN,
        version=1,
    )
    session.add(row)
    session.flush()
    happened(session, row.id, Event.ENTERED, by=None, text=text)
    return row.id


# --- deciding
def withdraw(session: orm.Session, who: Who, row: Correction, reason: str) -> None:
    """Take back a correction that waits; only whoever entered it can."""
    if row.entered_by != who.account_id:
        raise Problem(problems.NOT_THE_AUTHOR)
    _close(session, who, row, State.WITHDRAWN, reason)
    happened(session, row.id, Event.WITHDRAWN, by=who.account_id, text=reason)
    audit.record(session, who, "correction:withdraw", ("correction", row.id))


def decide(session: orm.Session, who: Who, row: Correction, given: CorrectionDecisionIn) -> None:
    """Approve or refuse a correction whose row is locked. Approval against another fact goes to a second reviewer.

    Raises own-request (S6), higher-approver-required (edge 108) and on-leave (edge 107).
    """
    _refuse_barred(who, row)
    state = State(row.state)
    needed = rules.level(state, over_quota=row.over_quota, late=row.late)
    office = Role.DISTRICT if needed is Level.DISTRICT else Role.TOWN
    if not who.reaches(row.village_code, office, Role.DISTRICT):
        raise Problem(problems.HIGHER_APPROVER_REQUIRED)
    queries.one_at_a_time(
        session, row.person_id
    )  # An appeal about the same day may be answered at this moment.
    if given.approve:
        _refuse_on_leave(session, row)
    opposed = queries.against(session, row) if given.approve else []
    following = rules.decided(state, approve=given.approve, opposed=bool(opposed))
    if following is State.SECOND_REVIEW:
        row.state, row.first_by, row.first_at = following, who.account_id, clock.now()
        row.version += 1
        session.flush()
        happened(session, row.id, Event.PASSED_ON, by=who.account_id, text=given.reason)
    else:
        _close(session, who, row, following, given.reason)
        event = Event.APPROVED if given.approve else Event.REFUSED
        happened(session, row.id, event, by=who.account_id, text=given.reason)
        if given.approve:
            make_fact(session, row, (SourceKind.CORRECTION, row.id), by=who.account_id)
    audit.record(session, who, "correction:decide", ("correction", row.id), state=row.state)


def _refuse_barred(who: Who, row: Correction) -> None:
    concerned = who.person_id is not None and who.person_id == row.person_id
    entered, earlier = row.entered_by == who.account_id, row.first_by == who.account_id
    if rules.barred(concerned=concerned, entered=entered, earlier=earlier):
        raise Problem(problems.OWN_REQUEST)


def _close(session: orm.Session, who: Who, row: Correction, state: State, reason: str) -> None:
    row.state, row.decided_by, row.decided_at, row.decision_reason = (
        state,
        who.account_id,
        clock.now(),
        reason,
    )
    row.version += 1
    session.flush()


def make_fact(
    session: orm.Session, row: Correction, source: tuple[SourceKind, UUID], *, by: UUID | None
) -> None:
    """Record what an approved correction says, above the records; what was corrected otherwise before gives way to it."""
    asked = queries.span_of(row.day, Halves(row.halves))
    _give_way(session, row, by=by)
    facts.record(
        session,
        [
            Fact(
                person_id=row.person_id,
                sort=SORT_OF[Claim(row.claim)],
                span=asked,
                source=source,
                provenance=Provenance(row.provenance),
                reason=row.reason,
                text=row.text,
                entered_by=row.entered_by,
                decided_by=by,
            )
        ],
    )


def _give_way(session: orm.Session, row: Correction, *, by: UUID | None) -> None:
    """Let earlier corrections that say otherwise speak no longer for these halves; for the other half they still do."""
    asked = queries.halves_of(Halves(row.halves))
    earlier = {
        (SourceKind(fact.source_kind), fact.source_id)
        for fact in queries.against(session, row)
        if fact.source_kind in {SourceKind.CORRECTION, SourceKind.APPEAL}
    }
    for source in sorted(earlier):
        spoke = [(fact, facts.span_of(fact)) for fact in facts.standing(session, source)]
        facts.withdraw(session, source, by=by, reason=f"correction:{row.id}")
        left = [
            _again(fact, source, Span(span.first, span.last, half, half))
            for fact, span in spoke
            for half in Half
            if span.starts <= half <= span.ends and half not in asked
        ]
        facts.record(session, left)


def _again(fact: DayFact, source: tuple[SourceKind, UUID], span: Span) -> Fact:
    return Fact(
        person_id=fact.person_id,
        sort=Sort(fact.sort),
        span=span,
        source=source,
        provenance=Provenance(fact.provenance),
        reason=fact.reason,
        text=fact.text,
        entered_by=fact.entered_by,
        decided_by=fact.decided_by,
    )


def locked(session: orm.Session, correction_id: UUID) -> Correction | None:
    """Return a correction with its row locked, whoever asks; for the appeal against it."""
    return session.scalar(sa.select(Correction).where(Correction.id == correction_id).with_for_update())
