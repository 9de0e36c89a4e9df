"""Every question about boundary imports and what they are checked against."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import shapely
import sqlalchemy as sa
from geoalchemy2.shape import to_shape
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry
from sqlalchemy import orm

from server import db, problems
from server.access import Role, Who
from server.places import queries
from server.places.matching import Known
from server.places.models import (
    BoundaryAcceptance,
    BoundaryFeature,
    BoundaryImport,
    BoundaryReport,
    Region,
    RegionOutline,
)
from server.places.rules import Finding, ImportState, RegionKind
from server.problems import Problem

if TYPE_CHECKING:  # As in inspection.py.
    from geo.quality import PublishedZone

IMPORTERS = (Role.TOWN, Role.DISTRICT, Role.ADMIN)
"""Boundaries are no personal data, so administrators may bring them in; publishing is the district's."""
_DISTRICT_DIGITS = 6


def access_import(
    session: orm.Session, who: Who | None, import_id: UUID, *, lock: bool = False
) -> BoundaryImport:
    """Return an import in the caller's scope (`who` None: the operator); missing and out of scope look the same."""
    query = sa.select(BoundaryImport).where(BoundaryImport.id == import_id)
    found = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if found is None or (who is not None and not who.reaches(found.region, *IMPORTERS)):
        raise Problem(problems.NOT_FOUND)
    return found


def imports(
    session: orm.Session,
    who: Who | None,
    *,
    state: ImportState | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[BoundaryImport]:
    """Return the imports in the caller's scope (`who` None: the operator, all), the newest first."""
    scope = ("",) if who is None else who.regions(*IMPORTERS)
    query = (
        sa.select(BoundaryImport)
        .where(db.within(BoundaryImport.region, scope))
        .order_by(BoundaryImport.imported_at.desc(), BoundaryImport.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(BoundaryImport.state == state)
    if after is not None:
        query = query.where(sa.tuple_(BoundaryImport.imported_at, BoundaryImport.id) < sa.tuple_(*after))
    return session.scalars(query).all()


def report(session: orm.Session, import_id: UUID) -> BoundaryReport:
    """Return an import's quality report."""
    return session.get_one(BoundaryReport, import_id)


def findings(session: orm.Session, import_id: UUID) -> list[Finding]:
    """Return what was found in an import."""
    query = sa.select(BoundaryReport.report["findings"]).where(BoundaryReport.import_id == import_id)
    found: list[Mapping[str, Any]] = session.scalars(query).one()
    return [Finding.from_dict(each) for each in found]


def features(session: orm.Session, import_id: UUID) -> Sequence[BoundaryFeature]:
    """Return an import's features with their shapes, in the order of the file."""
    query = sa.select(BoundaryFeature).where(BoundaryFeature.import_id == import_id)
    return session.scalars(query.order_by(BoundaryFeature.index)).all()


def acceptances(session: orm.Session, import_id: UUID) -> dict[int, frozenset[str]]:
    """Return which findings were accepted, by feature; `rules.WHOLE_FILE` for the file as a whole."""
    query = sa.select(BoundaryAcceptance.index, BoundaryAcceptance.code).where(
        BoundaryAcceptance.import_id == import_id
    )
    accepted: dict[int, set[str]] = {}
    for index, code in session.execute(query):
        accepted.setdefault(index, set()).add(code)
    return {index: frozenset(codes) for index, codes in accepted.items()}


def known_regions(session: orm.Session, scope: str) -> dict[str, Known]:
    """Return the regions under a prefix, by code."""
    query = sa.select(Region.code, Region.name, Region.kind).where(db.within(Region.code, (scope,)))
    return {row.code: Known(row.code, row.name, RegionKind(row.kind)) for row in session.execute(query)}


def outline(session: orm.Session, scope: str) -> BaseGeometry | None:
    """Return the newest outline of the district that the prefix lies in; None when none was recorded."""
    if len(scope) < _DISTRICT_DIGITS:
        return None
    query = (
        sa.select(RegionOutline.shape)
        .where(RegionOutline.code == scope[:_DISTRICT_DIGITS].ljust(12, "0"))
        .order_by(RegionOutline.id.desc())
        .limit(1)
    )
    shape = session.scalars(query).one_or_none()
    return None if shape is None else to_shape(shape)


def neighbours(session: orm.Session, scope: str, at: datetime) -> "list[PublishedZone]":
    """Return the zones in force in the district that the prefix lies in, with their shapes, to compare a file with."""
    from geo.quality import PublishedZone  # noqa: PLC0415  It brings all that inspects files: 3 MB a worker.

    rows = queries.zones_in_force(session, at, regions=(scope[:_DISTRICT_DIGITS],))
    shapes = queries.shapes(session, [row.version_id for row in rows])
    return [
        PublishedZone(
            code=row.reference,
            name=row.name,
            geometry=_area(shapes[row.version_id].wkb),
            kind=row.kind,
        )
        for row in rows
    ]


def _area(wkb: bytes) -> MultiPolygon:
    shape = shapely.from_wkb(wkb)
    if not isinstance(shape, MultiPolygon):
        raise TypeError(f"a stored zone is a {shape.geom_type}")
    return shape
