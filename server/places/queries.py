"""Every question about zones and their versions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import shapely
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from geo.zones import ZoneKind
from server import db, problems
from server.places import rules
from server.places.atlas import SHAPES_SQL, VERSIONS_SQL, Register, Stored
from server.places.models import Zone, ZoneVersion
from server.problems import Problem

Listed = sa.Row[Any]  # The columns of ZoneOut, in its order.


def _holds(at: datetime | sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    ends = ZoneVersion.valid_until
    return (ZoneVersion.valid_from <= at) & (ends.is_(None) | (ends > at))


def version_in_force(zone_id: sa.SQLColumnExpression[UUID], at: datetime) -> sa.ScalarSelect[UUID]:
    """Return, as SQL, the version of a zone that was in force: the latest published that speaks of the instant.

    It may be an ending, which has no shape.
    """
    query = sa.select(ZoneVersion.id).where(ZoneVersion.zone_id == zone_id, _holds(at)).correlate(Zone)
    return query.order_by(ZoneVersion.seq.desc()).limit(1).scalar_subquery()


def zones_in_force(
    session: orm.Session,
    at: datetime,
    *,
    regions: Collection[str] = ("",),
    kinds: Collection[ZoneKind] = (),
    after: tuple[str, UUID] | None = None,
    limit: int | None = None,
) -> Sequence[Listed]:
    """Return zones with the version in force at an instant, by region code and id, without shapes."""
    query = (
        sa.select(
            Zone.id,
            Zone.kind,
            Zone.region_code,
            Zone.reference,
            ZoneVersion.name,
            ZoneVersion.id.label("version_id"),
            ZoneVersion.accuracy_m,
            ZoneVersion.area_m2,
            ZoneVersion.vertices,
            ZoneVersion.valid_from,
            ZoneVersion.valid_until,
        )
        .join(ZoneVersion, ZoneVersion.id == version_in_force(Zone.id, at))
        .where(ZoneVersion.shape.is_not(None), db.within(Zone.region_code, regions))
        .order_by(Zone.region_code, Zone.id)
        .limit(limit)
    )
    if kinds:
        query = query.where(Zone.kind.in_(kinds))
    if after is not None:
        query = query.where(sa.tuple_(Zone.region_code, Zone.id) > sa.tuple_(*after))
    rows: Sequence[Listed] = session.execute(query).all()  # type: ignore[assignment]  # SQLAlchemy types ten columns apart.
    return rows


def zone(session: orm.Session, zone_id: UUID) -> Zone:
    """Return a zone, or raise not-found."""
    found = session.get(Zone, zone_id)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def versions(session: orm.Session, zone_id: UUID) -> Sequence[ZoneVersion]:
    """Return every version of a zone, the latest published first, without shapes."""
    query = sa.select(ZoneVersion).where(ZoneVersion.zone_id == zone_id).order_by(ZoneVersion.seq.desc())
    return session.scalars(query).all()


def version(session: orm.Session, version_id: UUID) -> tuple[ZoneVersion, Zone]:
    """Return one version and its zone, without the shape, or raise not-found."""
    query = sa.select(ZoneVersion, Zone).join(Zone).where(ZoneVersion.id == version_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found.ZoneVersion, found.Zone


def village_version(session: orm.Session, region_code: str, at: datetime) -> UUID | None:
    """Return the version of a village's boundary in force; None when it has none (edge 49)."""
    query = (
        sa.select(ZoneVersion.id)
        .join(Zone, ZoneVersion.id == version_in_force(Zone.id, at))
        .where(Zone.kind == ZoneKind.VILLAGE, Zone.region_code == region_code, ZoneVersion.shape.is_not(None))
    )
    return session.scalars(query).one_or_none()


def geojson(session: orm.Session, version_id: UUID) -> str | None:
    """Return a version's shape as GeoJSON geometry with seven decimals; None for an ending."""
    query = sa.select(sa.func.ST_AsGeoJSON(ZoneVersion.shape, 7)).where(ZoneVersion.id == version_id)
    return session.scalars(query).one_or_none()


def simplified(session: orm.Session, version_id: UUID, tolerance_m: float) -> str | None:
    """Return a version's shape as GeoJSON, with no point farther than `tolerance_m` from the border it stands for."""
    query = sa.select(sa.func.ST_AsBinary(ZoneVersion.shape)).where(ZoneVersion.id == version_id)
    wkb = session.scalars(query).one_or_none()
    if wkb is None:
        return None
    text: str = shapely.to_geojson(rules.simplified(shapely.from_wkb(bytes(wkb)), tolerance_m))
    return text


def register(session: orm.Session) -> Register:
    """Return which version of what was in force when, for judging many fixes."""
    return Register(session.execute(sa.text(VERSIONS_SQL)))


def shapes(session: orm.Session, version_ids: Collection[UUID]) -> dict[UUID, Stored]:
    """Return shapes of versions for the atlas; endings have none."""
    query = sa.text(SHAPES_SQL.replace("%(ids)s", ":ids")).bindparams(
        sa.bindparam("ids", list(version_ids), postgresql.ARRAY(sa.Uuid()))
    )
    return {
        row.id: Stored(row.kind, row.name, bytes(row.wkb), row.accuracy_m) for row in session.execute(query)
    }
