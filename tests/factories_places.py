"""Regions and zones for tests, written directly."""

import csv
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import shapely
import sqlalchemy as sa
from factories_auth import make_account, token_for
from geoalchemy2.shape import from_shape
from paging import every
from shapely import MultiPolygon, Polygon
from shapely.geometry import mapping
from sqlalchemy import orm

from geo.zones import ZoneKind, circle
from server import clock, ids, state
from server.access import Role
from server.places import publishing, region_service, rules
from server.places.models import Region, RegionVersion, Zone, ZoneVersion
from server.places.rules import RegionKind

if TYPE_CHECKING:
    from conftest import Service

TOWN, OTHER_TOWN = "500116101", "500116102"
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
    outcome = region_service.TableOutcome(dry_run=False)
    make_region(session, "500116000000", "江津区")
    for name in ("towns.csv", "units.csv"):
        data = (DEMO / name).read_bytes()
        outcome = region_service.import_table(session, None, data, valid_from=date(2020, 1, 1), dry_run=False)
    codes = [row["code"] for row in demo_rows("units.csv")]
    assert outcome.new == len(codes)
    return codes


def demo_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of one of the demo district's tables."""
    with (DEMO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass
class Desk:
    """Clients of the people who bring in and publish."""

    importer: httpx.Client
    publisher: httpx.Client
    third: httpx.Client
    town: httpx.Client
    other_town: httpx.Client
    admin: httpx.Client
    cadre: httpx.Client
    logins: tuple[str, ...]


@contextmanager
def open_desk(service: "Service") -> Iterator[Desk]:
    """Make the demo district's register and the accounts of a desk."""
    with service.database.write() as session:
        demo_regions(session)
        accounts = [
            make_account(session, role=Role.DISTRICT, region="500116"),
            make_account(session, role=Role.DISTRICT, region="500116"),
            make_account(session, role=Role.DISTRICT, region="500116"),
            make_account(session, role=Role.TOWN, region=TOWN),
            make_account(session, role=Role.TOWN, region=OTHER_TOWN),
            make_account(session, role=Role.ADMIN),
            make_account(session, role=Role.CADRE, region=TOWN),
        ]
    clients = [service.as_(token_for(service, account)) for account in accounts]
    names = ("importer", "publisher", "third", "town", "other_town", "admin", "cadre")
    yield Desk(**dict(zip(names, clients, strict=True)), logins=tuple(account.login for account in accounts))
    for client in clients:
        client.close()


def new_town(session: orm.Session, villages: int) -> list[str]:
    """Make a town with so many villages, called 村0, 村1, ..., of which no other test knows. Returns their codes."""
    taken = session.scalar(sa.select(sa.func.count()).where(Region.code.like("5001163%000"))) or 0
    code = f"500116{300 + taken}"
    make_region(session, code + "000", "试验镇")
    codes = [f"{code}{200 + number}" for number in range(villages)]
    for number, each in enumerate(codes):
        make_region(session, each, f"村{number}")
    return codes


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    return answer.status_code, answer.json()["code"]


def bring(client: httpx.Client, data: bytes, **params: object) -> httpx.Response:
    """Bring a file in, valid from 2026 unless said otherwise."""
    own = {
        "id": str(uuid4()),
        "filename": "村界.geojson",
        "accuracy_m": 10,
        "valid_from": "2026-01-01",
        **params,
    }
    return client.post("/v1/boundary-imports", content=data, params={k: str(v) for k, v in own.items()})


def publish(client: httpx.Client, shown: dict[str, Any], version: int | None = None) -> httpx.Response:
    """Publish an import as it was shown."""
    tag = f'"{version or shown["version"]}"'
    return client.post(f"/v1/boundary-imports/{shown['id']}/publish", headers={"If-Match": tag})


def layer(*features: dict[str, Any]) -> bytes:
    """Return a GeoJSON file."""
    return json.dumps({"type": "FeatureCollection", "features": list(features)}).encode()


def feature(code: str, name: str, shape: Polygon | dict[str, Any], **properties: str) -> dict[str, Any]:
    """Return a GeoJSON feature of a village."""
    geometry = shape if isinstance(shape, dict) else mapping(shape)
    return {
        "type": "Feature",
        "properties": {"code": code, "name": name, "kind": "village", **properties},
        "geometry": geometry,
    }


def square(code: str, width: float = 0.02) -> Polygon:
    """Return the ground of a village of `new_town`: squares in a row, each town's row apart from the others'."""
    west = 107.0 + (int(code[9:]) - 200) * 0.02
    south = 27.0 + (int(code[6:9]) - 300) * 0.03
    return shapely.box(west, south, west + width, south + 0.02)


def in_force(
    client: httpx.Client, region: str, at: str = "2026-06-01T00:00:00Z"
) -> dict[str, dict[str, Any]]:
    return {item["reference"]: item for item in every(client, "/v1/zones", region=region, at=at, limit=200)}


def at_once(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all of them at the same time, and return what they return, in their order."""
    gate = Barrier(len(deeds))

    def go(deed: Callable[[], Any]) -> object:
        gate.wait(10)
        return deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(go, deeds))
