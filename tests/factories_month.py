"""Months for tests, written directly: people, postings, check-ins with what follows from them, policies."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from conftest import Service
from factories_auth import make_account, token_for
from factories_checkins import grounds
from sqlalchemy import orm

from geo.verdict import Reason
from server import ids, state
from server.access import Role
from server.auth.models import Account
from server.checkins.models import CheckInRow, Judgement, Withdrawal
from server.month import facts
from server.month.facts import Fact, Span
from server.month.masks import Half
from server.month.models import CalendarYear, PersonMonth, PolicyRow, Provenance, SourceKind
from server.month.rules import Sort
from server.places.models import Region, RegionSuccessor, RegionVersion
from server.places.rules import RegionKind
from server.roster.models import Person, Posting, Unit
from server.roster.rules import EndReason, PostingRole

BEIJING = ZoneInfo("Asia/Shanghai")
LONG_AGO = datetime(2020, 1, 1, tzinfo=BEIJING)
CHOSEN = {"basis": "calendar", "duty_counts_in_village": True}
TOWN, OTHER_TOWN = "500116101", "500116102"
VILLAGE, NEXT_VILLAGE, FAR_VILLAGE = "500116101201", "500116101202", "500116102201"

EVIDENCE: dict[str, tuple[str, str, str]] = {
    "sure": ("inside", "counted", Reason.IN_VILLAGE),
    "unsure": ("unsure", "provisional", Reason.NEAR_VILLAGE_BORDER),
    "unfenced": ("no_fence", "provisional", Reason.NO_BOUNDARY),
    "outside": ("outside", "not-counted", Reason.OUT_OF_VILLAGE),
    "claimed": ("unusable", "claimed", Reason.NO_FIX),
}
"""For each kept mask a check-in that sets it: verdict, standing, reason."""

SILENT = {"not_posted": ("not_posted", "not-counted", Reason.NOT_POSTED)}
"""Check-ins that set no mask."""


def make_regions(session: orm.Session) -> None:
    """Insert a district with two towns and three villages."""
    for code, name, kind, parent in (
        ("500116000000", "江津区", RegionKind.DISTRICT, None),
        (f"{TOWN}000", "几江街道", RegionKind.TOWN, "500116000000"),
        (f"{OTHER_TOWN}000", "德感街道", RegionKind.TOWN, "500116000000"),
        (VILLAGE, "大同村", RegionKind.VILLAGE, f"{TOWN}000"),
        (NEXT_VILLAGE, "金泉村", RegionKind.VILLAGE, f"{TOWN}000"),
        (FAR_VILLAGE, "长冲村", RegionKind.VILLAGE, f"{OTHER_TOWN}000"),
    ):
        session.add(Region(code=code, name=name, kind=kind, parent_code=parent, valid_from=LONG_AGO.date()))
        session.flush()
        session.add(
            RegionVersion(code=code, name=name, kind=kind, from_day=LONG_AGO.date(), recorded_at=LONG_AGO)
        )
    session.flush()


def make_policy(
    session: orm.Session,
    *,
    region: str = "500116",
    valid_from: date = date(2020, 1, 1),
    version: int = 1,
    published: bool = True,
    by: str = "someone",
    **document: Any,
) -> UUID:
    """Insert a policy, published unless told otherwise."""
    whole = {**CHOSEN, **document}
    row = PolicyRow(
        id=uuid4(),
        region_prefix=region,
        code=whole.get("code", "two-thirds"),
        version=version,
        valid_from=valid_from,
        document=whole,
        reason="试",
        created_at=LONG_AGO,
        created_by=by,
        published_at=LONG_AGO if published else None,
        published_by="another" if published else None,
    )
    session.add(row)
    session.flush()
    state.bump(session, "policies")
    return row.id


def make_calendar(session: orm.Session, year: int, days: Mapping[date, str]) -> None:
    """Insert an imported calendar: day to "working" or "holiday"."""
    session.add(
        CalendarYear(
            year=year,
            source="试",
            sha256=b"",
            days={day.isoformat(): [kind, ""] for day, kind in days.items()},
            imported_at=LONG_AGO,
            imported_by="someone",
        )
    )
    session.flush()


def make_village(session: orm.Session, code: str, name: str = "村") -> str:
    """Insert one more village, with its name."""
    session.add(Region(code=code, name=name, kind=RegionKind.VILLAGE, valid_from=LONG_AGO.date()))
    session.flush()
    session.add(
        RegionVersion(
            code=code, name=name, kind=RegionKind.VILLAGE, from_day=LONG_AGO.date(), recorded_at=LONG_AGO
        )
    )
    session.flush()
    return code


def follow(session: orm.Session, old: str, new: str, day: date) -> None:
    """Let one village follow another from a day on."""
    session.add(RegionSuccessor(from_code=old, to_code=new, from_day=day))
    session.flush()


def make_unit(session: orm.Session) -> UUID:
    """Insert a sending unit."""
    unit = Unit(id=uuid4(), name=f"区某局 {uuid4().hex[:8]}")
    session.add(unit)
    session.flush()
    return unit.id


def make_person(
    session: orm.Session, *, name: str = "张三", number: str | None = None, unit: UUID | None = None
) -> UUID:
    """Insert somebody."""
    person = Person(
        id=ids.new_id(), number=number or uuid4().hex[:12], name=name, unit_id=unit, kept_by="500116"
    )
    session.add(person)
    session.flush()
    return person.id


def post(
    session: orm.Session,
    person: UUID,
    village: str = VILLAGE,
    from_day: date = date(2021, 9, 1),
    until_day: date | None = None,
) -> UUID:
    """Post somebody to a village; `until_day` is inclusive."""
    posting = Posting(
        id=uuid4(),
        person_id=person,
        village_code=village,
        role=PostingRole.MEMBER,
        from_day=from_day,
        until_day=until_day,
        end_reason=None if until_day is None else EndReason.TRANSFERRED,
    )
    session.add(posting)
    session.flush()
    return posting.id


def make_check_in(
    session: orm.Session,
    person: UUID,
    day: date,
    evidence: str = "sure",
    *,
    at: str = "09:00",
    village: str | None = VILLAGE,
    note: str | None = None,
) -> UUID:
    """Insert a check-in that says `evidence` of its day, without touching the month's masks."""
    verdict, standing, reason = {**EVIDENCE, **SILENT}[evidence]
    moment = datetime.combine(day, datetime.strptime(at, "%H:%M").time(), BEIJING)  # noqa: DTZ007  Zone given beside.
    made = CheckInRow(
        person_id=person,
        id=ids.new_id(moment),
        received_at=moment + timedelta(seconds=2),
        event_at=moment,
        sent_at=moment + timedelta(seconds=1),
        day=day,
        utc_offset_min=480,
        kind="day",
        verdict=verdict,
        reason=reason,
        standing=standing,
        outside_work=False,
        note=note,
        grounds=grounds(session, village),
        content_hash=b"",
    )
    session.add(made)
    return made.id


def judge_again(session: orm.Session, person: UUID, check_in: UUID, evidence: str) -> None:
    """Insert a later judgement, without touching the month's masks."""
    verdict, standing, reason = {**EVIDENCE, **SILENT}[evidence]
    session.add(
        Judgement(
            person_id=person,
            checkin_id=check_in,
            at=LONG_AGO,
            cause="boundary",
            verdict=verdict,
            reason=reason,
            standing=standing,
        )
    )
    session.flush()


def withdraw(session: orm.Session, person: UUID, check_in: UUID) -> None:
    """Insert a withdrawal, without touching the month's masks."""
    session.add(Withdrawal(person_id=person, checkin_id=check_in, at=LONG_AGO, reason="误签"))
    session.flush()


def make_fact(
    session: orm.Session,
    person: UUID,
    sort: Sort,
    first: date,
    last: date | None = None,
    *,
    starts: Half = Half.MORNING,
    ends: Half = Half.AFTERNOON,
    source: SourceKind = SourceKind.CORRECTION,
) -> UUID:
    """Record a fact in the ledger and count it, as the rooms above do; return its source's id."""
    source_id = uuid4()
    fact = Fact(
        person_id=person,
        sort=sort,
        span=Span(first, last or first, starts, ends),
        source=(source, source_id),
        provenance=Provenance.TOWN,
        reason="forgot",
        text="忘记签到",
    )
    facts.record(session, [fact])
    return source_id


def keep_masks(
    session: orm.Session, person: UUID, month: date, evidence: Mapping[str, Iterable[int]]
) -> None:
    """Keep the masks of a month, written naively: for each sort of evidence the days of the month."""
    masks = {name: sum(3 << (2 * (day - 1)) for day in set(evidence.get(name, ()))) for name in EVIDENCE}
    session.add(PersonMonth(person_id=person, month=month, **masks))
    session.flush()


def live(session: orm.Session, person: UUID, month: date, evidence: Mapping[str, Iterable[int]]) -> None:
    """Insert a month's check-ins and its masks, as the intake would leave them."""
    days = {name: sorted(set(numbers)) for name, numbers in evidence.items()}
    for name, numbers in days.items():
        for number in numbers:
            make_check_in(session, person, month.replace(day=number), name)
    keep_masks(session, person, month, days)


def enter(
    service: Service,
    role: Role,
    *,
    region: str = "500116",
    person: UUID | None = None,
    unit: UUID | None = None,
    login: str | None = None,
) -> str:
    """Return a real token of a person's account, or of a new one with one grant."""
    with service.database.write() as session:
        known = None
        if person is not None:
            known = session.scalar(sa.select(Account).where(Account.person_id == person))
        account = known or make_account(
            session,
            role=role,
            region="" if role in {Role.UNIT, Role.ADMIN} else region,
            person=person,
            unit=unit,
            login=login,
            valid_from=LONG_AGO,
        )
    return token_for(service, account)


def states(service: Service) -> dict[str, int]:
    """Return the counters of what workers keep in memory."""
    with service.database.read() as session:
        return {
            row[0]: row[1] for row in session.execute(sa.text("SELECT name, version FROM state_versions"))
        }
