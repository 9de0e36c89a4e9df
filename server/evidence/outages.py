"""The deeds on outages: recorded once for everybody posted in a region, taken back with a reason."""

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, db, problems
from server.access import Who
from server.evidence import queries
from server.evidence.queries import OFFICERS, Told
from server.evidence.schemas import OutageIn
from server.month import book as books
from server.month import outages
from server.month.masks import Month
from server.month.models import Outage
from server.month.policy import Basis, Policy, legal_day
from server.problems import FieldFault, Problem

USUAL = Policy(basis=Basis.CALENDAR, duty_counts_in_village=False)
"""Where no policy is published, days begin as usual."""
MOST_DAYS = 62


def record(session: orm.Session, who: Who, given: OutageIn) -> tuple[Told, bool]:
    """Record an outage once; return it and whether it is new.

    Raises not-found (the region is not one's own), id-reused, invalid-request, outage-overlaps and outage-for-oneself.
    """
    if not who.reaches(given.region_prefix, *OFFICERS):
        raise Problem(
            problems.NOT_FOUND,
            zh=f"区划 {given.region_prefix} 不在您的范围内。",
            en=f"Region {given.region_prefix} lies outside your scope.",
        )
    db.one_at_a_time(session, "outages")
    first, last = _days(session, given)
    known = session.get(Outage, given.id)
    if known is not None:
        return _same(session, who, known, given, (first, last)), False
    _refuse_overlap(session, given.region_prefix, first, last)
    if queries.posted_within(session, given.region_prefix, first, last) == {who.person_id}:
        raise Problem(problems.OUTAGE_FOR_ONESELF)
    row = outages.record(
        session,
        outage_id=given.id,
        region_prefix=given.region_prefix,
        first=first,
        last=last,
        reason=given.reason,
        by=who.account_id,
        began_at=given.began_at,
        ended_at=given.ended_at,
    )
    audit.record(
        session,
        who,
        "outage:record",
        ("outage", row.id),
        region=row.region_prefix,
        first=str(first),
        last=str(last),
    )
    return (row, None), True


def _days(session: orm.Session, given: OutageIn) -> tuple[date, date]:
    """Return the days that an outage touches; an end at midnight touches the day before it."""
    book = books.load(session)
    governing = book.governing(given.region_prefix, Month.of(legal_day(clock.now(), USUAL)))
    policy = governing.policy if governing else USUAL
    if given.began_at is not None and given.ended_at is not None:
        if given.ended_at <= given.began_at:
            raise _fault("ended_at", "before-start", "恢复早于开始", "it ends before it begins")
        if given.ended_at > clock.now():
            raise _fault("ended_at", "in-future", "恢复时刻未到", "the end is still ahead")
        first = legal_day(given.began_at, policy)
        last = legal_day(given.ended_at - timedelta(microseconds=1), policy)
    else:
        first, last = given.first_day or date.max, given.last_day or date.min
        if last < first:
            raise _fault("last_day", "before-start", "末日早于首日", "the last day lies before the first")
        if last > legal_day(clock.now(), policy):
            raise _fault("last_day", "in-future", "日期未到", "the day is still ahead")
    if (last - first).days >= MOST_DAYS:
        raise _fault("last_day", "too-long", f"最多 {MOST_DAYS} 天", f"at most {MOST_DAYS} days")
    return first, last


def _fault(field: str, code: str, zh: str, en: str) -> Problem:
    return Problem(
        problems.INVALID_REQUEST, zh=f"{zh}。", en=f"{en}.", errors=[FieldFault(field, code, zh, en)]
    )


def _same(session: orm.Session, who: Who, known: Outage, given: OutageIn, days: tuple[date, date]) -> Told:
    """Return an outage that was recorded before, or raise id-reused: another's, or with other content (ruling 11)."""
    told = (
        known.region_prefix,
        known.first_day,
        known.last_day,
        known.began_at,
        known.ended_at,
        known.reason,
    )
    if known.recorded_by != who.account_id or told != (
        given.region_prefix, *days, given.began_at, given.ended_at, given.reason,
    ):  # fmt: skip
        raise Problem(problems.ID_REUSED)
    return queries.access_outage(session, who, known.id)


def _refuse_overlap(session: orm.Session, region: str, first: date, last: date) -> None:
    other = queries.overlapping(session, region, first, last)
    if other is None:
        return
    raise Problem(
        problems.OUTAGE_OVERLAPS,
        zh=f"{other.first_day} 至 {other.last_day} 已登记故障；只登记其余的日子，或先撤销。",
        en=f"{other.first_day} to {other.last_day} is recorded; record the other days alone, or withdraw that one.",
        outage={
            "id": str(other.id),
            "region_prefix": other.region_prefix,
            "first_day": other.first_day.isoformat(),
            "last_day": other.last_day.isoformat(),
        },
    )


def withdraw(session: orm.Session, who: Who, outage_id: UUID, reason: str) -> Told:
    """Take an outage back; the same again changes nothing. Raises not-found and already-decided."""
    row, withdrawal = queries.access_outage(session, who, outage_id)
    if withdrawal is None:
        outages.withdraw(session, row, by=who.account_id, reason=reason)
        audit.record(session, who, "outage:withdraw", ("outage", row.id))
        return queries.access_outage(session, who, outage_id)
    if (withdrawal.by, withdrawal.reason) != (who.account_id, reason):
        raise Problem(
            problems.ALREADY_DECIDED,
            zh="该故障已撤销。",
            en="The outage was withdrawn before.",
            decision={
                "state": "withdrawn",
                "decided_at": withdrawal.at.isoformat(),
                "reason": withdrawal.reason,
            },
        )
    return row, withdrawal
