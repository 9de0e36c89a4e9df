"""A small world for check-ins: a square village with a town seat in its corner, a person posted there, a phone."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from conftest import Service
from factories_auth import make_account, token_for
from geoalchemy2 import WKTElement
from shapely import MultiPolygon, Polygon, box
from sqlalchemy import orm

from geo.zones import ZoneKind
from server import ids, state
from server.access import Role
from server.auth.models import Account
from server.checkins import names
from server.month.models import PolicyRow
from server.places.models import Region, Zone, ZoneVersion
from server.places.rules import RegionKind
from server.roster.models import Person, Posting, Unit
from server.roster.rules import PostingRole

LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+08:00")
VILLAGE = box(106.20, 28.90, 106.22, 28.92)  # About 1,950 m by 2,217 m.
SEAT = box(106.215, 28.915, 106.22, 28.92)
MIDDLE = {"lon": 106.2071234, "lat": 28.9081234}
TOWN_POINT = {"lon": 106.2181234, "lat": 28.9181234}
FAR = {"lon": 106.2500001, "lat": 28.9500001}
POLICY = {"basis": "calendar", "duty_counts_in_village": True}


@dataclass(frozen=True)
class World:
    """What the tests of a module share."""

    town: str
    village: str
    zone_id: UUID
    unit_id: UUID


@dataclass(frozen=True)
class Cadre:
    """A posted person with an account and a token."""

    person_id: UUID
    account: Account
    token: str


def make_zone(
    session: orm.Session,
    kind: ZoneKind,
    region: str,
    name: str,
    shape: Polygon,
    *,
    accuracy_m: float = 5.0,
    valid_from: datetime = LONG_AGO,
) -> UUID:
    zone = Zone(id=uuid4(), kind=kind, region_code=region, reference=name, name=name)
    session.add(zone)
    session.flush()
    add_version(session, zone.id, name, shape, accuracy_m=accuracy_m, valid_from=valid_from)
    return zone.id


def add_version(
    session: orm.Session,
    zone_id: UUID,
    name: str,
    shape: Polygon,
    *,
    accuracy_m: float = 5.0,
    valid_from: datetime = LONG_AGO,
) -> None:
    session.add(
        ZoneVersion(
            id=uuid4(), zone_id=zone_id, name=name, shape=WKTElement(MultiPolygon([shape]).wkt, srid=4326),
            vertices=len(shape.exterior.coords), area_m2=1.0, accuracy_m=accuracy_m, valid_from=valid_from,
            valid_until=None, published_at=LONG_AGO, published_by=None, import_id=None, sha256=b"",
        )
    )  # fmt: skip
    session.flush()
    state.bump(session, "boundaries")


def make_world(service: Service, *, town: str = "500116101", policy: bool = True) -> World:
    """Publish a village with a town seat in its north-east corner, and a policy."""
    village = f"{town}201"
    with service.database.write() as session:
        for code, name, kind in (
            ("500116000000", "江津区", RegionKind.DISTRICT),
            (f"{town}000", "试镇", RegionKind.TOWN),
            (f"{village}", "试村", RegionKind.VILLAGE),
        ):
            if session.get(Region, code) is None:
                session.add(
                    Region(
                        code=code,
                        name=name,
                        kind=kind,
                        urban_rural_class=None,
                        parent_code=None,
                        valid_from=date(2020, 1, 1),
                        valid_until=None,
                    )
                )
        session.flush()
        zone_id = make_zone(session, ZoneKind.VILLAGE, village, "试村", VILLAGE)
        make_zone(session, ZoneKind.TOWN_SEAT, f"{town}000", "试镇场镇", SEAT)
        unit = Unit(id=uuid4(), number=None, name=f"区某局 {uuid4().hex[:6]}")
        session.add(unit)
        if policy and session.scalar(sa.select(PolicyRow.id).limit(1)) is None:
            session.add(
                PolicyRow(
                    id=uuid4(), region_prefix="500116", code="two-thirds", version=1, valid_from=date(2020, 1, 1),
                    document=POLICY, reason="试", created_at=LONG_AGO, created_by="a", published_at=LONG_AGO, published_by="b",
                )
            )  # fmt: skip
            state.bump(session, "policies")
    return World(town, village, zone_id, unit.id)


def make_cadre(
    service: Service,
    world: World,
    *,
    from_day: date = date(2021, 9, 1),
    until_day: date | None = None,
    posted: bool = True,
) -> Cadre:
    """Post somebody to the world's village and log them in."""
    with service.database.write() as session:
        person = Person(
            id=ids.new_id(),
            number=uuid4().hex[:10],
            name="张三",
            phone=None,
            unit_id=world.unit_id,
            kept_by="500116",
            version=1,
        )
        session.add(person)
        session.flush()
        if posted:
            session.add(
                Posting(
                    id=uuid4(), person_id=person.id, village_code=world.village, role=PostingRole.MEMBER,
                    from_day=from_day, until_day=until_day, end_reason="term_over" if until_day else None, version=1,
                )
            )  # fmt: skip
        account = make_account(
            session, role=Role.CADRE, region=world.village, person=person.id, valid_from=LONG_AGO
        )
    return Cadre(person.id, account, token_for(service, account))


def renewed(service: Service, cadre: Cadre) -> Cadre:
    """Return the cadre with a token of the clock's present: access tokens last ten minutes."""
    return replace(cadre, token=token_for(service, cadre.account))


def position(**changes: object) -> dict[str, Any]:
    """Return a good fix in the middle of the village."""
    return {
        **MIDDLE,
        "datum": "wgs84",
        "accuracy_m": 12.0,
        "age_s": 3.0,
        "provider": "gps",
        "mocked": False,
        **changes,
    }


def check_in(at: datetime, *, sent: datetime | None = None, **changes: object) -> dict[str, Any]:
    """Return the body of a check-in made at `at` by the phone's clock and sent at `sent` (default: two seconds later)."""
    body: dict[str, Any] = {
        "kind": "day",
        "captured_at": at.isoformat(),
        "sent_at": (sent or at + timedelta(seconds=2)).isoformat(),
        "utc_offset_min": 480,
        "position": position(),
    }
    return {**body, **changes}


def grounds(session: orm.Session, village: str | None) -> int | None:
    """Return the number under which a check-in names a village alone; made when it is not there."""
    if village is None:
        return None
    asked = names.Asked([names.Grounds(village, None, None)], [])
    run = session.connection().exec_driver_sql
    make, find, *_ = asked.steps()
    run(*make)
    return int(run(*find).one()[1])


def fade(session: orm.Session, checkin_id: UUID) -> None:
    """Take a check-in's position away."""
    query = (
        "DELETE FROM checkin_points USING checkin_rows AS r WHERE r.seq = checkin_points.seq AND r.id = :i"
    )
    session.execute(sa.text(query), {"i": checkin_id})
