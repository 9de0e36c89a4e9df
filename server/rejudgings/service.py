"""Judging again in two steps (重新判定): somebody sees whose days would change, somebody else lets it happen.

Publishing a boundary judges nothing again by itself, because verdicts that people were told must not turn behind their
backs (edge 46). What is approved must be what was shown: it is judged anew and held against the dry run.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, db, problems
from server.access import Role, Who
from server.checkins import recounting, rejudging
from server.checkins.recounting import Change, Day, Turned
from server.checkins.rejudging import Outcome
from server.checkins.rules import Cause
from server.problems import Problem
from server.rejudgings import queries
from server.rejudgings.models import Rejudging, RejudgingChange, RejudgingDecision
from server.rejudgings.rules import Resolution, day_state, digest
from server.rejudgings.schemas import RejudgingIn

MOST = 20_000
"""Check-ins a dry run looks at: some seconds of work. Whoever has more asks village by village or month by month."""
_SAME = ("region", "first_day", "last_day", "reason")


def ask(session: orm.Session, who: Who, given: RejudgingIn) -> tuple[Rejudging, bool]:
    """Judge the check-ins of a region and of some days by what is known now, and keep what would change.

    Returns the dry run and whether this call made it. Raises Problem: not-found, id-reused, too-many-check-ins.
    """
    if not who.reaches(given.region, Role.DISTRICT):
        raise Problem(
            problems.NOT_FOUND,
            zh=f"没有代码为 {given.region} 的区划。",
            en=f"No region has the code {given.region}.",
        )
    stored = session.get(Rejudging, given.id)
    outcome = Outcome([]) if stored is not None else _judged(session, given)
    days = recounting.days_of(session, outcome.changes)
    row = _row(who, given, outcome, days)
    stored, created = db.insert_once(session, row, same=_SAME, own=("asked_by",))
    if created:
        session.add_all(_changes(given.id, outcome.changes, days))
        told = {"region": given.region, "check_ins": row.check_ins, "people": row.people, "days": row.days}
        audit.record(session, who, "rejudging:ask", ("rejudging", given.id), **told)
    return stored, created


def _judged(session: orm.Session, given: RejudgingIn) -> Outcome:
    condition = queries.concerned(given.region, given.first_day, given.last_day)
    if queries.more_than(session, condition, MOST):
        raise Problem(
            problems.TOO_MANY_CHECK_INS,
            zh=f"涉及的签到超过 {MOST} 次，请缩小区划或日期范围，分几次提出。",
            en=f"More than {MOST} check-ins are concerned: ask for a smaller region or fewer days, several times.",
            most=MOST,
        )
    return rejudging.judge_again(session, condition, cause=Cause.BOUNDARY, write=False)


def _row(who: Who, given: RejudgingIn, outcome: Outcome, days: Mapping[Day, Turned]) -> Rejudging:
    return Rejudging(
        id=given.id,
        region=given.region,
        first_day=given.first_day,
        last_day=given.last_day,
        reason=given.reason,
        asked_at=clock.now(),
        asked_by=who.account_id,
        judged=outcome.judged,
        faded=outcome.faded,
        check_ins=len(outcome.changes),
        people=len({change.person_id for change in outcome.changes}),
        days=sum(day_state(before) != day_state(after) for before, after in days.values()),
        digest=_digest(outcome.changes),
    )


def _changes(
    rejudging_id: UUID, changes: Sequence[Change], days: Mapping[Day, Turned]
) -> list[RejudgingChange]:
    rows = []
    for number, change in enumerate(sorted(changes, key=lambda c: (c.person_id, c.day, c.checkin_id)), 1):
        before, after = days[change.person_id, change.day]
        rows.append(
            RejudgingChange(
                rejudging_id=rejudging_id,
                number=number,
                person_id=change.person_id,
                checkin_id=change.checkin_id,
                day=change.day,
                village_code=change.village_code,
                before=change.before,
                after=change.after,
                day_before=day_state(before),
                day_after=day_state(after),
            )
        )
    return rows


def _digest(changes: Sequence[Change]) -> str:
    return digest((c.person_id, c.checkin_id, c.day, c.before, c.after) for c in changes)


def approve(session: orm.Session, who: Who, rejudging_id: UUID, reason: str) -> queries.Decided:
    """Judge again for good, if what would change is still what was shown; by another person than whoever asked.

    Raises Problem: not-found, already-decided, second-person-required, rejudging-stale.
    """
    db.one_at_a_time(session, f"rejudging:{rejudging_id}")  # Its rows are append-only: there is none to lock.
    row, decided = queries.access_rejudging(session, who, rejudging_id)
    _refuse_if_decided(decided)
    if row.asked_by == who.account_id:
        raise Problem(
            problems.SECOND_PERSON_REQUIRED,
            zh="试算由一人提出、另一人批准。",
            en="One person asks what would change, another one approves it.",
        )
    condition = queries.concerned(row.region, row.first_day, row.last_day)
    outcome = rejudging.judge_again(session, condition, cause=Cause.BOUNDARY, write=True)
    if _digest(outcome.changes) != row.digest:  # What was written goes with the transaction.
        raise Problem(
            problems.REJUDGING_STALE,
            zh=f"试算后情况有变：当时 {row.check_ins} 次签到会改变，现在是 {len(outcome.changes)} 次。请重新试算。",
            en=f"Since the dry run something changed: {row.check_ins} check-ins would have differed, now"
            f" {len(outcome.changes)}. Ask anew.",
            shown=row.check_ins,
            now=len(outcome.changes),
        )
    return _decide(session, who, row, Resolution.APPROVED, reason)


def drop(session: orm.Session, who: Who, rejudging_id: UUID, reason: str) -> queries.Decided:
    """Leave everything as it was judged. Raises Problem: not-found, already-decided."""
    db.one_at_a_time(session, f"rejudging:{rejudging_id}")  # Its rows are append-only: there is none to lock.
    row, decided = queries.access_rejudging(session, who, rejudging_id)
    _refuse_if_decided(decided)
    return _decide(session, who, row, Resolution.DROPPED, reason)


def _refuse_if_decided(decided: RejudgingDecision | None) -> None:
    if decided is not None:
        raise Problem(problems.ALREADY_DECIDED, decision=decided.decision, at=decided.at.isoformat())


def _decide(
    session: orm.Session, who: Who, row: Rejudging, decision: Resolution, reason: str
) -> queries.Decided:
    session.add(
        RejudgingDecision(
            rejudging_id=row.id, decision=decision, at=clock.now(), by=who.account_id, reason=reason
        )
    )
    told = {"region": row.region, "check_ins": row.check_ins, "people": row.people}
    deed = "rejudging:approve" if decision is Resolution.APPROVED else "rejudging:drop"
    audit.record(session, who, deed, ("rejudging", row.id), **told)
    session.flush()
    return queries.access_rejudging(session, who, row.id)
