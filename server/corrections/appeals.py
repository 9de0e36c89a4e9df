"""The deeds on appeals (申诉): to the district, within the policy's time, answered with reasons; an upheld one acts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import orm

from server import audit, clock, db, problems
from server.access import Role, Who
from server.corrections import appealable, queries, rules, service
from server.corrections.appealable import Decided
from server.corrections.models import Appeal, Correction
from server.corrections.rules import AppealKind, AppealState, Event, State
from server.corrections.schemas import AppealDecisionIn, AppealIn
from server.month import book as books
from server.month.book import Book
from server.month.masks import Month
from server.month.models import Provenance, SourceKind
from server.month.policy import Basis, Policy, legal_day
from server.problems import Problem

_SAME = ("kind", "subject_id", "text")
_USUAL = Policy(basis=Basis.CALENDAR, duty_counts_in_village=False)
"""Where no policy is published, an appeal has the usual time."""


class Corrections:
    """Refused corrections, as they are appealed against."""

    def decided(self, session: orm.Session, subject_id: UUID) -> Decided | None:
        """Return the refusal of a correction, its row locked."""
        row = service.locked(session, subject_id)
        if row is None or row.state != State.REFUSED or row.decided_at is None:
            return None
        taking_part = (row.decided_by, row.first_by, row.entered_by)
        return Decided(
            person_id=row.person_id,
            village_code=row.village_code,
            day=row.day,
            decided_at=row.decided_at,
            deciders=frozenset(account for account in taking_part if account is not None),
        )

    def overturn(
        self, session: orm.Session, who: Who, subject_id: UUID, *, appeal_id: UUID, reason: str
    ) -> None:
        """Record what the correction asked for; that it was refused before stays."""
        row = service.locked(session, subject_id)
        if row is None:
            raise Problem(problems.NOT_FOUND)
        queries.one_at_a_time(session, row.person_id)
        service.make_fact(session, row, (SourceKind.APPEAL, appeal_id), by=who.account_id)
        service.happened(session, row.id, Event.UPHELD, by=who.account_id, text=reason)


appealable.install(AppealKind.CORRECTION, Corrections())


def until(book: Book, village: str, decided_at: datetime) -> datetime:
    """Return the end of the time for an appeal: the end of the policy's last day, counted from the day of the decision."""
    governing = book.governing(village, Month.of(decided_at.date()))
    policy = governing.policy if governing else _USUAL
    after = legal_day(decided_at, policy) + timedelta(days=policy.appeal_days + 1)
    zone = ZoneInfo(policy.time_zone)
    midnight = datetime(after.year, after.month, after.day, tzinfo=zone)
    return (midnight + timedelta(minutes=policy.day_starts_minute)).astimezone(UTC)


def appeal_until(book: Book, row: Correction) -> datetime | None:
    """Return until when a refused correction can be appealed against."""
    if row.state != State.REFUSED or row.decided_at is None:
        return None
    return until(book, row.village_code, row.decided_at)


def appeal(session: orm.Session, who: Who, given: AppealIn) -> tuple[Appeal, bool]:
    """Enter an appeal once, for oneself or by the town for a person of its scope; return it and whether it is new.

    Raises not-found (no such decision in sight), appeal-too-late and appeal-made.
    """
    room = appealable.of(AppealKind(given.kind))
    found = None if room is None else room.decided(session, given.subject_id)
    own = found is not None and who.person_id == found.person_id and who.has(Role.CADRE)
    if found is None or not (own or who.reaches(found.village_code, *queries.OFFICERS)):
        raise Problem(problems.NOT_FOUND)
    row = Appeal(
        id=given.id,
        kind=given.kind,
        subject_id=given.subject_id,
        person_id=found.person_id,
        village_code=found.village_code,
        text=given.text,
        provenance=Provenance.OWN if own else Provenance.TOWN,
        entered_by=who.account_id,
        entered_at=clock.now(),
        deciders=sorted(found.deciders),
        state=AppealState.OPEN,
        version=1,
    )
    if session.get(Appeal, given.id) is None:
        last = until(books.load(session), found.village_code, found.decided_at)
        if clock.now() >= last:
            raise Problem(problems.APPEAL_TOO_LATE, until=last.isoformat())
    stored, created = db.insert_once(session, row, same=_SAME, own=("entered_by",))
    if created:
        service.happened(session, stored.id, Event.ENTERED, by=who.account_id, text=stored.text)
        service.happened(session, stored.subject_id, Event.APPEALED, by=who.account_id, text=None)
        audit.record(
            session,
            who,
            "appeal:enter",
            ("appeal", stored.id),
            kind=stored.kind,
            against=str(stored.subject_id),
        )
    return stored, created


def decide(session: orm.Session, who: Who, row: Appeal, given: AppealDecisionIn) -> None:
    """Answer an appeal whose row is locked. Raises own-request for the person, the author, and whoever decided before."""
    concerned = who.person_id is not None and who.person_id == row.person_id
    entered, earlier = row.entered_by == who.account_id, who.account_id in row.deciders
    if rules.barred(concerned=concerned, entered=entered, earlier=earlier):
        raise Problem(problems.OWN_REQUEST)
    row.state = AppealState.UPHELD if given.uphold else AppealState.DISMISSED
    row.decided_by, row.decided_at, row.answer = who.account_id, clock.now(), given.answer
    row.version += 1
    session.flush()
    event = Event.UPHELD if given.uphold else Event.DISMISSED
    service.happened(session, row.id, event, by=who.account_id, text=given.answer)
    room = appealable.of(AppealKind(row.kind))
    if given.uphold and room is not None:
        room.overturn(session, who, row.subject_id, appeal_id=row.id, reason=given.answer)
    audit.record(session, who, "appeal:decide", ("appeal", row.id), state=row.state)
