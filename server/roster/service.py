"""The deeds of the roster: units, people, postings and their extra places. Each writes its history and the audit log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from geo.zones import ASSIGNED_KINDS
from server import audit, clock, db, problems
from server.access import Role, Who
from server.places.rules import RegionKind
from server.problems import FieldFault, Problem
from server.roster import hooks, queries
from server.roster.models import Person, Posting, PostingPlace, PostingVersion, Unit
from server.roster.rules import EndReason, State, Term, days_changed, void_until
from server.roster.schemas import CorrectionIn, EndIn, PersonChange, PersonIn, PlaceIn, PostingIn, UnitIn

_VILLAGES = (RegionKind.VILLAGE, RegionKind.COMMUNITY)


def refused(field: str, code: str, zh: str, en: str) -> Problem:
    """Return the problem for one field that cannot be."""
    fault = FieldFault(field, code, zh, en)
    return Problem(problems.INVALID_REQUEST, zh=f"{zh}。", en=f"{en}.", errors=[fault])


# --- units and people
def enter_unit(session: orm.Session, who: Who, given: UnitIn) -> tuple[Unit, bool]:
    """Enter a sending unit once. Raises unit-taken for a number or a name in use."""
    row = Unit(id=given.id, number=given.number, name=given.name, version=1)
    stored, created = db.insert_once(session, row, same=("number", "name"))
    if created:
        audit.record(session, who, "unit:enter", ("unit", stored.id))
    return stored, created


def enter_person(session: orm.Session, who: Who, given: PersonIn) -> tuple[Person, bool]:
    """Enter a person once, kept by the district that enters. Raises staff-number-taken."""
    row = Person(
        id=given.id,
        number=given.number,
        name=given.name,
        phone=given.phone,
        unit_id=_known_unit(session, given.unit_id),
        kept_by=_keeper(who, given.region),
        version=1,
    )
    same = ("number", "name", "phone", "unit_id")
    stored, created = db.insert_once(session, row, same=same, own=("kept_by",))
    if created:
        audit.record(session, who, "person:enter", ("person", stored.id))
    return stored, created


def _keeper(who: Who, region: str | None) -> str:
    reach = who.regions(Role.DISTRICT)
    if region is None and len(reach) == 1:
        return reach[0]
    if region is None:
        raise refused(
            "region", "missing", "您管辖多个区县，须写明由谁管理", "you have several districts; name one"
        )
    if not region.startswith(reach):
        raise refused("region", "outside-region", "不在您的管辖范围内", "it lies outside your region")
    return region


def _known_unit(session: orm.Session, unit_id: UUID | None) -> UUID | None:
    if unit_id is not None and queries.unit(session, unit_id) is None:
        raise refused("unit_id", "unknown-unit", "没有这个派出单位", "there is no such unit")
    return unit_id


def change_person(session: orm.Session, who: Who, person: Person, given: PersonChange) -> Person:
    """Change what is given of a person; the audit log keeps which fields, not their values."""
    changed = [name for name in given.model_fields_set if getattr(person, name) != getattr(given, name)]
    if "unit_id" in changed:
        _known_unit(session, given.unit_id)
    for name in changed:
        setattr(person, name, getattr(given, name))
    if changed:
        person.version += 1
        audit.record(session, who, "person:change", ("person", person.id), fields=sorted(changed))
        session.flush()
    return person


# --- postings
def begin_posting(session: orm.Session, who: Who, given: PostingIn) -> tuple[Posting, bool]:
    """Post a person to a village once (选派). Raises posting-overlap, naming the posting that is in the way."""
    person = queries.access_person(session, who, given.person_id, write=True)
    state = State(given.village_code, given.role, given.from_day, given.until_day)
    made_before = queries.first_state(session, given.id)
    if made_before is not None:
        # Compared with how it was made, because it may have been ended or corrected since.
        stored = queries.access_posting(session, who, given.id, write=True)
        if made_before != state.body() or stored.person_id != person.id:
            raise Problem(problems.ID_REUSED)
        return stored, False
    _check_village(session, who, state)
    _check_days(state)
    row = Posting(
        id=given.id,
        person_id=person.id,
        village_code=state.village_code,
        role=state.role,
        from_day=state.from_day,
        until_day=state.until_day,
        end_reason=None,
        version=1,
    )
    with _naming_conflict(session, person.id, state.term, given.id):
        session.add(row)
        session.flush()
    _keep(session, who, row, None, "选派 / posted")
    return row, True


def end_posting(session: orm.Session, who: Who, posting: Posting, given: EndIn) -> Posting:
    """End a posting (离任) on a day, inclusive. `posting` comes from access_posting with write."""
    before = queries.state_of(posting)
    after = replace(before, until_day=given.until_day, end_reason=given.reason)
    _check_days(after)
    return _change(session, who, posting, after, given.note or f"离任 / ended: {given.reason}")


def correct_posting(session: orm.Session, who: Who, posting: Posting, given: CorrectionIn) -> Posting:
    """Correct a posting (更正); the state before stays in its history with the reason."""
    before = queries.state_of(posting)
    values: dict[str, Any] = {name: getattr(given, name) for name in given.model_fields_set - {"reason"}}
    after = _whole(replace(before, **values), before, given)
    if after.village_code != before.village_code:
        _check_village(session, who, after)
    _check_days(after)
    return _change(session, who, posting, after, given.reason)


def _whole(after: State, before: State, given: CorrectionIn) -> State:
    """Fill in what a correction implies about the end."""
    said = given.model_fields_set
    if after.end_reason is EndReason.ENTERED_IN_ERROR and "end_reason" in said:
        if "until_day" in said:
            raise refused("until_day", "extra", "误录没有离任日期", "an entry made in error has no last day")
        return replace(after, until_day=void_until(after.from_day))
    if before.term.is_void and not said & {"end_reason", "until_day"}:
        return replace(after, until_day=void_until(after.from_day))
    if before.term.is_void:
        # The entry was right after all: the empty range of the error goes, unless an end is given.
        until_day = given.until_day if "until_day" in said else None
        return replace(after, until_day=until_day, end_reason=given.end_reason)
    if "until_day" in said and given.until_day is None and "end_reason" not in said:
        return replace(after, end_reason=None)
    return after


def _change(session: orm.Session, who: Who, posting: Posting, after: State, reason: str) -> Posting:
    before = queries.state_of(posting)
    if after == before:
        return posting
    with _naming_conflict(session, posting.person_id, after.term, posting.id):
        posting.village_code, posting.role = after.village_code, after.role
        posting.from_day, posting.until_day = after.from_day, after.until_day
        posting.end_reason = after.end_reason
        posting.version += 1
        session.flush()
    _keep(session, who, posting, before, reason)
    return posting


def _keep(session: orm.Session, who: Who, posting: Posting, before: State | None, reason: str) -> None:
    """Write the version that a posting has reached, and tell who must know."""
    after = queries.state_of(posting)
    session.add(
        PostingVersion(
            posting_id=posting.id,
            version=posting.version,
            at=clock.now(),
            by=who.account_id,
            before=before.body() if before else None,
            after=after.body(),
            reason=reason,
        )
    )
    deed = "posting:begin" if before is None else "posting:change"
    audit.record(session, who, deed, ("posting", posting.id), version=posting.version)
    hooks.tell(session, posting.person_id, days_changed(before.term if before else None, after.term))


@contextmanager
def _naming_conflict(session: orm.Session, person_id: UUID, term: Term, own_id: UUID) -> Iterator[None]:
    """Let the database refuse an overlap, then name the posting that is in the way by a query (ruling 27)."""
    try:
        with session.begin_nested():
            yield
    except sa.exc.IntegrityError as error:
        problem = db.refusal(error)
        if problem is None or problem.kind is not problems.POSTING_OVERLAP:
            raise
        found = queries.conflicting(session, person_id, term, own_id)
        raise (problem if found is None else overlap(found)) from error


def overlap(found: Posting) -> Problem:
    """Return the problem posting-overlap with the posting that is in the way."""
    until_zh, until_en = found.until_day or "至今", found.until_day or "now"
    return Problem(
        problems.POSTING_OVERLAP,
        zh=f"此人在 {found.village_code} 已有任职：{found.from_day} 至 {until_zh}。请先办理离任或更正日期。",
        en=f"The person is posted to {found.village_code} from {found.from_day} to {until_en}. End or correct that first.",
        conflict={
            "posting_id": str(found.id),
            "village_code": found.village_code,
            "from_day": found.from_day.isoformat(),
            "until_day": found.until_day.isoformat() if found.until_day else None,
        },
    )


def _check_days(state: State) -> None:
    if state.end_reason is EndReason.ENTERED_IN_ERROR:
        return
    if state.until_day is not None and state.until_day < state.from_day:
        raise refused(
            "until_day", "before-start", "离任日期早于任职日期", "the last day lies before the first one"
        )
    if state.end_reason is not None and state.until_day is None:
        raise refused(
            "until_day", "missing", "写了离任原因就须有离任日期", "a reason of end needs a last day"
        )


def _check_village(session: orm.Session, who: Who, state: State) -> None:
    region = queries.region(session, state.village_code)
    if region is None or not who.reaches(region.code, Role.DISTRICT):
        raise queries.not_found(
            f"区划 {state.village_code} 不存在，或不在您的管辖范围内。",
            f"The region {state.village_code} does not exist or lies outside your region.",
        )
    if region.kind not in _VILLAGES:
        raise refused(
            "village_code", "no-village", f"{region.name} 不是村或社区", f"{region.name} is no village"
        )
    if region.valid_until is not None and region.valid_until <= state.from_day:
        zh = f"{region.name} 已于 {region.valid_until} 撤销"
        raise refused("village_code", "village-ended", zh, f"{region.name} ended on {region.valid_until}")


# --- extra places
def add_place(session: orm.Session, who: Who, posting: Posting, given: PlaceIn) -> tuple[PostingPlace, bool]:
    """Give a posting an extra place once. Raises posting-place-overlap for days on which it has it already."""
    zone = queries.zone(session, given.zone_id)
    if zone is None or not who.reaches(zone.region_code, Role.DISTRICT):
        raise queries.not_found(
            "没有这个区域，或不在您的管辖范围内。", "There is no such zone in your region."
        )
    if zone.kind not in ASSIGNED_KINDS:
        raise refused(
            "zone_id",
            "not-a-place",
            "场镇和城区不能作为驻点",
            "a town seat or an urban area is no place to stay at",
        )
    if given.until_day is not None and given.until_day < given.from_day:
        raise refused(
            "until_day", "before-start", "结束日期早于开始日期", "the last day lies before the first one"
        )
    row = PostingPlace(
        id=given.id,
        posting_id=posting.id,
        zone_id=zone.id,
        from_day=given.from_day,
        until_day=given.until_day,
    )
    same = ("zone_id", "from_day", "until_day")
    stored, created = db.insert_once(session, row, same=same, own=("posting_id",))
    if created:
        audit.record(session, who, "posting:add-place", ("posting", posting.id), zone=str(zone.id))
        hooks.tell(session, posting.person_id, (given.from_day, given.until_day))
    return stored, created


def end_place(session: orm.Session, who: Who, posting: Posting, place: PostingPlace, until_day: date) -> None:
    """End an extra place on a day, inclusive; the day before its first takes it back. Ending it alike again is harmless."""
    if until_day < void_until(place.from_day):
        raise refused(
            "until_day", "before-start", "结束日期早于开始日期", "the last day lies before the first one"
        )
    if place.until_day == until_day:
        return
    here = posting.village_code
    before, after = Term(here, place.from_day, place.until_day), Term(here, place.from_day, until_day)
    place.until_day = until_day
    session.flush()
    audit.record(session, who, "posting:end-place", ("posting", posting.id), place=str(place.id))
    hooks.tell(session, posting.person_id, days_changed(before, after))
