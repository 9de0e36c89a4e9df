"""Every question to the roster's tables but the days (days.py) and what an import needs (known.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import problems
from server.access import Role, Who
from server.places.models import Region, Zone
from server.problems import Problem
from server.roster.models import Person, Posting, PostingPlace, PostingVersion, Unit
from server.roster.rules import EndReason, PostingRole, State, Term
from server.roster.scope import in_regions, people_in_reach, people_in_sight, postings_in_sight

WHOLE_UNITS = (Role.TOWN, Role.INSPECTOR, Role.DISTRICT, Role.ADMIN)
"""Who may read the list of all units; a unit's viewer reads the own one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a search for people asks. `village` is a whole code, `town` a prefix; None leaves it open."""

    text: str | None = None
    village: str | None = None
    town: str | None = None
    unit_id: UUID | None = None
    posted_on: date | None = None


def not_found(zh: str, en: str) -> Problem:
    """Return the problem for what is missing or out of scope: both look the same (ruling 12)."""
    return Problem(problems.NOT_FOUND, zh=zh, en=en)


# --- units
def units(
    session: orm.Session, who: Who, *, text: str | None, after: tuple[str, UUID] | None, limit: int
) -> Sequence[Unit]:
    """Return units by name; a unit viewer gets the own ones."""
    query = sa.select(Unit).order_by(Unit.name, Unit.id).limit(limit)
    if not who.has(*WHOLE_UNITS):
        query = query.where(Unit.id.in_(who.units(Role.UNIT)))
    if text:
        query = query.where(
            Unit.name.contains(text, autoescape=True) | Unit.number.startswith(text, autoescape=True)
        )
    if after is not None:
        query = query.where(sa.tuple_(Unit.name, Unit.id) > sa.tuple_(*after))
    return session.scalars(query).all()


def unit(session: orm.Session, unit_id: UUID) -> Unit | None:
    """Return a unit by id."""
    return session.get(Unit, unit_id)


def units_named(session: orm.Session, ids: Sequence[UUID]) -> dict[UUID, Unit]:
    """Return units by their ids."""
    found = session.scalars(sa.select(Unit).where(Unit.id.in_(ids))) if ids else ()
    return {unit.id: unit for unit in found}


# --- people
def people(
    session: orm.Session, who: Who, wanted: Wanted, *, after: str | None, limit: int
) -> Sequence[Person]:
    """Return people in sight in the order of their staff numbers.

    A substring search reads every name in scope: 60,000 names take some 20 ms, so that names of two and three
    characters, too short for trigrams, carry no search index.
    """
    number = sa.func.lower(Person.number)
    query = sa.select(Person).where(people_in_sight(who)).order_by(number).limit(limit)
    if wanted.text:
        query = query.where(
            Person.name.contains(wanted.text, autoescape=True)
            | number.contains(wanted.text.lower(), autoescape=True)
        )
    if wanted.unit_id is not None:
        query = query.where(Person.unit_id == wanted.unit_id)
    if wanted.village or wanted.town or wanted.posted_on:
        query = query.where(sa.exists().where(Posting.person_id == Person.id, _posted_as(who, wanted)))
    if after is not None:
        query = query.where(number > after)
    return session.scalars(query).all()


def _posted_as(who: Who, wanted: Wanted) -> sa.ColumnElement[bool]:
    conditions = [postings_in_sight(who)]
    conditions += [in_regions((prefix,)) for prefix in (wanted.village, wanted.town) if prefix]
    if wanted.posted_on is not None:
        conditions.append(on_day(wanted.posted_on))
    return sa.and_(*conditions)


def on_day(day: date) -> sa.ColumnElement[bool]:
    """Return the condition that a posting covers the day."""
    return sa.and_(Posting.from_day <= day, sa.or_(Posting.until_day.is_(None), Posting.until_day >= day))


def access_person(session: orm.Session, who: Who, person_id: UUID, *, write: bool = False) -> Person:
    """Return a person in sight, or raise not-found. With `write`, one that `who` may change, its row locked."""
    query = sa.select(Person).where(Person.id == person_id)
    if write:
        reached = people_in_reach(who.regions(Role.DISTRICT))
        query = query.where(reached).with_for_update(key_share=True)
    else:
        query = query.where(people_in_sight(who))
    found = session.scalars(query).one_or_none()
    if found is None:
        raise not_found("没有这个人员，或不在您的范围内。", "There is no such person in your scope.")
    return found


def _lock_holder(session: orm.Session, posting_id: UUID) -> None:
    """Lock the person who holds a posting until the end of the transaction.

    Whoever writes postings locks the person first: two that met in the index of overlaps could otherwise wait for each
    other. The lock is one that check-ins, which refer to people, do not wait for.
    """
    holder = sa.select(Posting.person_id).where(Posting.id == posting_id).scalar_subquery()
    session.execute(sa.select(Person.id).where(Person.id == holder).with_for_update(key_share=True)).all()


# --- postings
def postings_of(session: orm.Session, who: Who, people_ids: Sequence[UUID]) -> dict[UUID, list[Posting]]:
    """Return the postings in sight of these people, the latest first."""
    query = (
        sa.select(Posting)
        .where(Posting.person_id.in_(people_ids), postings_in_sight(who))
        .order_by(Posting.from_day.desc(), Posting.id)
    )
    gathered: dict[UUID, list[Posting]] = {person_id: [] for person_id in people_ids}
    for posting in session.scalars(query):
        gathered[posting.person_id].append(posting)
    return gathered


def own_postings(session: orm.Session, person_id: UUID) -> Sequence[Posting]:
    """Return the person's postings that took place or will, the latest first."""
    query = sa.select(Posting).where(
        Posting.person_id == person_id,
        sa.or_(Posting.until_day.is_(None), Posting.until_day >= Posting.from_day),
    )
    return session.scalars(query.order_by(Posting.from_day.desc(), Posting.id)).all()


def access_posting(session: orm.Session, who: Who, posting_id: UUID, *, write: bool = False) -> Posting:
    """Return a posting in sight, or raise not-found. With `write`, one in the district's reach, locked."""
    query = sa.select(Posting).where(Posting.id == posting_id)
    if write:
        _lock_holder(session, posting_id)
        query = query.where(in_regions(who.regions(Role.DISTRICT))).with_for_update()
    else:
        query = query.where(postings_in_sight(who))
    found = session.scalars(query).one_or_none()
    if found is None:
        raise not_found("没有这个任职，或不在您的范围内。", "There is no such posting in your scope.")
    return found


def history(session: orm.Session, posting_ids: Sequence[UUID]) -> dict[UUID, list[PostingVersion]]:
    """Return every version of these postings, the first one first."""
    query = (
        sa.select(PostingVersion)
        .where(PostingVersion.posting_id.in_(posting_ids))
        .order_by(PostingVersion.posting_id, PostingVersion.version)
    )
    gathered: dict[UUID, list[PostingVersion]] = {posting_id: [] for posting_id in posting_ids}
    for version in session.scalars(query):
        gathered[version.posting_id].append(version)
    return gathered


def first_state(session: orm.Session, posting_id: UUID) -> dict[str, object] | None:
    """Return the state a posting was made with, as JSON; None when there is no such posting."""
    query = sa.select(PostingVersion.after).where(
        PostingVersion.posting_id == posting_id, PostingVersion.version == 1
    )
    return session.scalar(query)


def conflicting(session: orm.Session, person_id: UUID, term: Term, but: UUID) -> Posting | None:
    """Return the first posting of the person that shares a day with the term in the same village."""
    query = (
        sa.select(Posting)
        .where(
            Posting.person_id == person_id,
            Posting.village_code == term.village_code,
            Posting.id != but,
            sa.or_(Posting.until_day.is_(None), Posting.until_day >= Posting.from_day),
            sa.or_(Posting.until_day.is_(None), Posting.until_day >= term.from_day),
            sa.true() if term.until_day is None else Posting.from_day <= term.until_day,
        )
        .order_by(Posting.from_day)
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def region(session: orm.Session, code: str) -> Region | None:
    """Return a region by its code."""
    return session.get(Region, code)


def region_names(session: orm.Session, codes: Sequence[str]) -> dict[str, str]:
    """Return the names of regions, as they are now."""
    rows = session.execute(sa.select(Region.code, Region.name).where(Region.code.in_(codes)))
    return dict(rows.all())


def state_of(posting: Posting) -> State:
    """Return the posting as it stands."""
    reason = None if posting.end_reason is None else EndReason(posting.end_reason)
    role = PostingRole(posting.role)
    return State(posting.village_code, role, posting.from_day, posting.until_day, reason)


# --- extra places
def places_of(
    session: orm.Session, posting_ids: Sequence[UUID]
) -> dict[UUID, list[tuple[PostingPlace, str]]]:
    """Return the extra places of these postings with their zones' names, in the order of their days."""
    query = (
        sa.select(PostingPlace, Zone.name)
        .join(Zone, Zone.id == PostingPlace.zone_id)
        .where(PostingPlace.posting_id.in_(posting_ids))
        .order_by(PostingPlace.from_day, PostingPlace.id)
    )
    gathered: dict[UUID, list[tuple[PostingPlace, str]]] = {posting_id: [] for posting_id in posting_ids}
    for place, name in session.execute(query):
        gathered[place.posting_id].append((place, name))
    return gathered


def place(session: orm.Session, posting_id: UUID, place_id: UUID) -> PostingPlace:
    """Return an extra place of a posting, its row locked, or raise not-found."""
    query = sa.select(PostingPlace).where(PostingPlace.id == place_id, PostingPlace.posting_id == posting_id)
    found = session.scalars(query.with_for_update()).one_or_none()
    if found is None:
        raise not_found("没有这个地点。", "There is no such place.")
    return found


def zone(session: orm.Session, zone_id: UUID) -> Zone | None:
    """Return a zone by its id."""
    return session.get(Zone, zone_id)
