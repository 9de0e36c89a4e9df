"""Regions and zones for tests, written directly."""

import csv
from datetime import date, datetime
from pathlib import Path
from typing import Any

import shapely
from geoalchemy2.shape import from_shape
from shapely import MultiPolygon, Polygon
from sqlalchemy import orm

from geo.zones import ZoneKind, circle
from server import clock, ids, state
from server.places import publishing, rules
from server.places.models import Region, RegionVersion, Zone, ZoneVersion
from server.places.rules import RegionKind

DEMO = Path(__file__).resolve().parents[1] / "server" / "demo_data" / "jiangjin"
LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+08:00")


def make_region(
    session: orm.Session,
    code: str,
    name: str,
    *,
    kind: RegionKind | None = None,
    urban_rural_class: str | None = None,
    valid_from: date = date(2020, 1, 1),
) -> Region:
    """Insert a region with its first name; its parent is the nearest stored one."""
    parent = rules.parent_of(code)
    while parent is not None and session.get(Region, parent) is None:
        parent = rules.parent_of(parent)
    own = kind or rules.kind_of(code, name)
    region = Region(
        code=code,
        name=name,
        kind=own,
        urban_rural_class=urban_rural_class,
        parent_code=parent,
        valid_from=valid_from,
    )
    session.add(region)
    session.flush()
    session.add(
        RegionVersion(
            code=code,
            name=name,
            kind=own,
            urban_rural_class=urban_rural_class,
            from_day=valid_from,
            recorded_at=clock.now(),
        )
    )
    session.flush()
    return region


def make_zone(
    session: orm.Session,
    region_code: str,
    *,
    kind: ZoneKind = ZoneKind.VILLAGE,
    name: str = "村",
    reference: str | None = None,
) -> Zone:
    """Insert a zone without any version."""
    zone = Zone(
        id=ids.new_id(),
        kind=kind,
        region_code=region_code,
        reference=region_code if kind is ZoneKind.VILLAGE else reference or name,
        name=name,
    )
    session.add(zone)
    session.flush()
    return zone


def make_version(
    session: orm.Session,
    zone: Zone,
    shape: Polygon | MultiPolygon | None,
    *,
    valid_from: datetime = LONG_AGO,
    valid_until: datetime | None = None,
    accuracy_m: float = 10.0,
) -> ZoneVersion:
    """Insert a version; without a shape it is an ending."""
    area = None if shape is None else MultiPolygon([shape]) if isinstance(shape, Polygon) else shape
    version = ZoneVersion(
        id=ids.new_id(),
        zone_id=zone.id,
        name=zone.name,
        shape=None if area is None else from_shape(area, srid=4326),
        vertices=0 if area is None else int(shapely.get_num_coordinates(area)),
        area_m2=0.0 if area is None else rules.area_m2(area),
        accuracy_m=accuracy_m,
        valid_from=valid_from,
        valid_until=valid_until,
        published_at=clock.now(),
        sha256=publishing.digest(area),
    )
    session.add(version)
    session.flush()
    state.bump(session, "boundaries")
    return version


def make_village(
    session: orm.Session,
    code: str,
    name: str,
    *,
    lon: float = 106.2,
    lat: float = 29.0,
    radius_m: float = 800,
) -> tuple[Region, Zone, ZoneVersion]:
    """Insert a round village with its boundary; its town must be there."""
    region = make_region(session, code, name)
    zone = make_zone(session, code, name=name)
    return region, zone, make_version(session, zone, circle(lon=lon, lat=lat, radius_m=radius_m))


def demo_regions(session: orm.Session) -> list[str]:
    """Insert the demo district with its towns and villages, by their tables. Returns the villages' codes."""
    make_region(session, "500116000000", "江津区")
    for row in _rows("towns.csv"):
        make_region(session, row["code12"], row["name"], kind=RegionKind(row["kind"]))
    codes = []
    for row in _rows("units.csv"):
        make_region(
            session,
            row["code"],
            row["name"],
            kind=RegionKind(row["kind"]),
            urban_rural_class=row["urban_rural_class"],
        )
        codes.append(row["code"])
    return codes


def _rows(name: str) -> list[dict[str, Any]]:
    with (DEMO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
