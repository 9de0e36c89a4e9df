"""Deeds on policies and calendars: making a policy, putting it in force, importing a year's public holidays."""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, db, preconditions, problems, state
from server.access import Role, Who
from server.month import book, policy_document, queries
from server.month.consequences import PolicyNotChosen, create
from server.month.holidays import (
    SATURDAY,
    CalendarSource,
    ImportedCalendar,
    MonthCalendar,
    month_calendar,
    read_calendar,
)
from server.month.masks import Month, days_of
from server.month.models import CalendarYear, PolicyRow
from server.month.policy import Mode, Policy, legal_day
from server.month.reading import PolicyRefused
from server.month.schemas import PolicyIn, consequences_out
from server.problems import FieldFault, Problem

OFFERED_MODES = (Mode.DAILY_TAP, Mode.SPOT_CHECKS_ONLY)
"""The modes whose facts this version can set (ruling 7). A policy in another one would find everybody absent."""

_SAME = ("region_prefix", "valid_from", "document", "reason")
_OWN = ("created_by",)
_MOST_FAULTS = 100


def make_policy(session: orm.Session, who: Who | None, by: str, given: PolicyIn) -> tuple[PolicyRow, bool]:
    """Store a new version of a policy, not yet in force; return it and whether it is new (else: a resend).

    `who` None is the operator on the machine itself; `by` is recorded as its maker. Raises the problems
    policy-choice-missing (with the table of consequences), policy-refused, not-found (region out of scope), id-reused.
    """
    if who is not None and not who.reaches(given.region_prefix, Role.DISTRICT):
        raise Problem(
            problems.NOT_FOUND,
            zh=f"区划 {given.region_prefix} 不在您的范围内。",
            en=f"Region {given.region_prefix} lies outside your scope.",
        )
    policy = _read(session, given)
    row = PolicyRow(
        id=given.id,
        region_prefix=given.region_prefix,
        code=policy.code,
        version=queries.next_version(session, given.region_prefix, policy.code),
        valid_from=given.valid_from,
        document=policy_document.to_document(policy),
        reason=given.reason,
        created_at=clock.now(),
        created_by=by,
    )
    stored, created = db.insert_once(session, row, same=_SAME, own=_OWN)
    if created:
        audit.record(session, who, "policy:make", ("policy", stored.id), by=by, region=stored.region_prefix)
    return stored, created


def _read(session: orm.Session, given: PolicyIn) -> Policy:
    imported = book.load(session).imported
    try:
        policy = create(given.document, year=given.valid_from.year, imported=imported)
    except PolicyNotChosen as refused:
        table = consequences_out(refused.consequences).model_dump(mode="json")
        raise Problem(
            problems.POLICY_CHOICE_MISSING,
            zh="请先看各月的后果，再选择 basis 与 duty_counts_in_village。",
            en="Look at what follows in each month, then choose basis and duty_counts_in_village.",
            errors=_faults(refused),
            consequences=table,
        ) from None
    except PolicyRefused as refused:
        raise Problem(
            problems.POLICY_REFUSED,
            zh="；".join(f"{fault.path}：{fault.zh}" for fault in refused.faults[:5]),
            en="; ".join(f"{fault.path}: {fault.en}" for fault in refused.faults[:5]),
            errors=_faults(refused),
        ) from None
    if policy.mode not in OFFERED_MODES:
        offered = " | ".join(OFFERED_MODES)
        zh, en = f"本版本支持的方式：{offered}。", f"This version offers the modes {offered}."
        fault = FieldFault("document.mode", "mode-not-offered", zh, en)
        raise Problem(problems.POLICY_REFUSED, zh=zh, en=en, errors=[fault])
    return policy


def _faults(refused: PolicyRefused) -> list[FieldFault]:
    return [
        FieldFault(f"document.{fault.path}", fault.code, fault.zh, fault.en)
        for fault in refused.faults[:_MOST_FAULTS]
    ]


def etag(row: PolicyRow) -> str:
    """Return the entity tag of a policy: only publishing ever changes it."""
    return preconditions.tag(row.version, "draft" if row.published_at is None else "published")


def publish_policy(
    session: orm.Session,
    who: Who | None,
    by: str,
    policy_id: UUID,
    *,
    if_match: str | None,
    retroactive_reason: str | None,
    two_persons: bool,
) -> PolicyRow:
    """Put a policy in force. It is never changed afterwards; another version follows it.

    `who` None is the operator on the machine, `if_match` None skips the precondition (command line). Raises the
    problems not-found, already-decided, precondition-failed, second-person-required and policy-retroactive.
    """
    row = queries.access_policy_to_publish(session, who, policy_id)
    if row.published_at is not None:
        raise Problem(
            problems.ALREADY_DECIDED,
            zh=f"该政策已于 {row.published_at:%Y-%m-%d} 发布。",
            en=f"The policy was published on {row.published_at:%Y-%m-%d}.",
            published_at=row.published_at.isoformat(),
            published_by=row.published_by,
        )
    if if_match is not None:
        preconditions.refuse_unless_current(if_match, etag(row))
    if two_persons and row.created_by == by:
        raise Problem(
            problems.SECOND_PERSON_REQUIRED,
            zh="政策由一人制定、另一人发布。",
            en="One person makes a policy, another one publishes it.",
        )
    if not _reaches_back(session, row):
        retroactive_reason = None
    elif not retroactive_reason:
        raise Problem(
            problems.POLICY_RETROACTIVE,
            zh=f"施行日 {row.valid_from} 所在月份已经开始；确需追溯的，请写明理由（retroactive_reason）。",
            en=f"The month of {row.valid_from} has begun; if it must reach back, say why (retroactive_reason).",
            valid_from=row.valid_from.isoformat(),
        )
    row.published_at = clock.now()
    row.published_by = by
    row.retroactive_reason = retroactive_reason
    state.bump(session, "policies")
    details = {"by": by, "region": row.region_prefix, "valid_from": row.valid_from.isoformat()}
    audit.record(
        session, who, "policy:publish", ("policy", row.id), **details, retroactive=retroactive_reason
    )
    session.flush()
    return row


def _reaches_back(session: orm.Session, row: PolicyRow) -> bool:
    """Tell whether publishing would change the rule of days gone by (edge 20).

    So it does for a month that is over, and for the running one when another version spoke on its 1st.
    """
    today = legal_day(clock.now(), policy_document.parse(row.document))
    running = today.replace(day=1)
    if row.valid_from < running:
        return True
    return row.valid_from == running and today > running and queries.published_overlapping(session, row)


@dataclass(frozen=True, slots=True)
class YearCalendar:
    """A year's working days, their source, and the days that differ from Monday to Friday."""

    year: int
    months: tuple[MonthCalendar, ...]
    exceptions: tuple[tuple[date, bool, str], ...]
    imported: CalendarYear | None

    @property
    def source(self) -> CalendarSource:
        """Return where the working days come from."""
        return self.months[0].source

    @property
    def provisional(self) -> bool:
        """Tell whether the year's notice is still missing (edge 13)."""
        return self.months[0].provisional

    def working(self) -> frozenset[date]:
        """Return the working days."""
        return frozenset(day for month in self.months for day in days_of(month.month, month.working))


def year_calendar(session: orm.Session, year: int) -> YearCalendar:
    """Return a year as it stands: imported, else official, else Monday to Friday and provisional."""
    row = queries.newest_calendar(session, year)
    return _laid_out(year, _as_imported(row), row)


def _as_imported(row: CalendarYear | None) -> ImportedCalendar | None:
    if row is None:
        return None
    days = {date.fromisoformat(day): (kind == "working", name) for day, (kind, name) in row.days.items()}
    return ImportedCalendar(row.year, days)


def _laid_out(year: int, imported: ImportedCalendar | None, row: CalendarYear | None) -> YearCalendar:
    months = tuple(
        month_calendar(Month(year, number), [imported] if imported else []) for number in range(1, 13)
    )
    names = {day: name for day, (_, name) in imported.days.items()} if imported else {}
    working = {day for month in months for day in days_of(month.month, month.working)}
    first = date(year, 1, 1)
    every = (first + timedelta(days=ahead) for ahead in range((date(year, 12, 31) - first).days + 1))
    exceptions = tuple(
        (day, day in working, names.get(day, ""))
        for day in every
        if (day in working) != (day.weekday() < SATURDAY)
    )
    return YearCalendar(year, months, exceptions, row)


@dataclass(frozen=True, slots=True)
class CalendarOutcome:
    """What an import of a calendar did, or would do. `stored` False: a dry run, or the same file again."""

    calendar: YearCalendar
    changed: tuple[date, ...]
    stored: bool


def import_calendar(
    session: orm.Session, who: Who | None, by: str, year: int, data: bytes, *, source: str, dry_run: bool
) -> CalendarOutcome:
    """Take in a year's public holidays: all rows of the CSV or none. The newest import of a year speaks.

    The same file again changes nothing. Raises the problem calendar-refused with a fault for each bad row.
    """
    read, faults = read_calendar(data, year)
    if read is None:
        raise Problem(
            problems.CALENDAR_REFUSED,
            zh=f"共 {len(faults)} 处错误；改正后请重新导入整个文件。",
            en=f"{len(faults)} faults; correct them and import the whole file again.",
            errors=[FieldFault("row", f.code, f.zh, f.en, f.row or None) for f in faults[:_MOST_FAULTS]],
            faults=len(faults),
        )
    before = year_calendar(session, year)
    digest = hashlib.sha256(data).digest()
    if before.imported is not None and before.imported.sha256 == digest:
        return CalendarOutcome(before, (), stored=False)
    row = CalendarYear(
        year=year,
        source=source,
        sha256=digest,
        days={
            day.isoformat(): ["working" if works else "holiday", name]
            for day, (works, name) in sorted(read.days.items())
        },
        imported_at=clock.now(),
        imported_by=by,
    )
    after = _laid_out(year, read, row)
    changed = tuple(sorted(before.working() ^ after.working()))
    if not dry_run:
        session.add(row)
        state.bump(session, "calendar")
        details = {"by": by, "sha256": digest.hex(), "changed": len(changed)}
        audit.record(session, who, "calendar:import", ("calendar", year), **details)
        session.flush()
    return CalendarOutcome(after, changed, stored=not dry_run)
