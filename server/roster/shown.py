"""From rows to what goes over the wire: who sees which part of a person."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import orm

from server.access import Role, Who
from server.roster import queries
from server.roster.models import Person, Posting
from server.roster.schemas import (
    PersonDetailOut,
    PersonOut,
    PlaceOut,
    PostingDetailOut,
    PostingOut,
    UnitOut,
    VersionOut,
)


def postings(session: orm.Session, rows: Sequence[Posting]) -> list[PostingOut]:
    """Return postings with the names of their villages."""
    names = queries.region_names(session, sorted({row.village_code for row in rows}))
    return [
        PostingOut(
            id=row.id,
            person_id=row.person_id,
            village_code=row.village_code,
            village_name=names[row.village_code],
            role=row.role,
            from_day=row.from_day,
            until_day=row.until_day,
            end_reason=row.end_reason,
            version=row.version,
        )
        for row in rows
    ]


def posting_details(session: orm.Session, rows: Sequence[Posting]) -> list[PostingDetailOut]:
    """Return postings with their extra places and their history."""
    ids = [row.id for row in rows]
    places, history = queries.places_of(session, ids), queries.history(session, ids)
    return [
        PostingDetailOut(
            **shown.model_dump(),
            places=[
                PlaceOut(
                    id=place.id,
                    zone_id=place.zone_id,
                    zone_name=name,
                    from_day=place.from_day,
                    until_day=place.until_day,
                )
                for place, name in places[shown.id]
            ],
            history=[VersionOut.model_validate(version) for version in history[shown.id]],
        )
        for shown in postings(session, rows)
    ]


def people(session: orm.Session, who: Who, rows: Sequence[Person]) -> list[PersonOut]:
    """Return people with the postings that `who` may see."""
    held = queries.postings_of(session, who, [row.id for row in rows])
    shown: dict[UUID, list[PostingOut]] = {row.id: [] for row in rows}
    for posting in postings(session, [posting for each in held.values() for posting in each]):
        shown[posting.person_id].append(posting)
    units = _units(session, rows)
    return [
        PersonOut(
            id=row.id,
            number=row.number,
            name=row.name,
            phone=_phone(who, row, held[row.id]),
            unit=units.get(row.unit_id) if row.unit_id else None,
            version=row.version,
            postings=shown[row.id],
        )
        for row in rows
    ]


def person(session: orm.Session, who: Who, row: Person) -> PersonDetailOut:
    """Return one person with the history of the postings that `who` may see."""
    held = queries.postings_of(session, who, [row.id])[row.id]
    unit = _units(session, [row])
    return PersonDetailOut(
        id=row.id,
        number=row.number,
        name=row.name,
        phone=_phone(who, row, held),
        unit=unit.get(row.unit_id) if row.unit_id else None,
        version=row.version,
        postings=posting_details(session, held),
    )


def _units(session: orm.Session, rows: Sequence[Person]) -> dict[UUID, UnitOut]:
    ids = sorted({row.unit_id for row in rows if row.unit_id is not None})
    return {id_: UnitOut.model_validate(unit) for id_, unit in queries.units_named(session, ids).items()}


def _phone(who: Who, row: Person, held: Sequence[Posting]) -> str | None:
    """Return the number for those who run the roster and the village, and for oneself; others need the name only."""
    close = (Role.DISTRICT, Role.TOWN, Role.CLERK)
    reached = any(who.reaches(posting.village_code, *close) for posting in held)
    kept = row.kept_by is not None and who.reaches(row.kept_by, Role.DISTRICT)
    return row.phone if reached or kept or row.id == who.person_id else None
