"""Regions, zones and their versions, and the imports they come from.

What people's days were judged by is never altered: versions of zones and of regions are appended, and the application
role has no UPDATE on them. The version in force at an instant t is, zone by zone, the one with the greatest `seq`
among those with ``valid_from <= t`` and (``valid_until`` is null or ``t < valid_until``). A correction of the past is
therefore simply a newer row that is valid from the past (edge 46).
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from geoalchemy2 import Geometry, WKBElement
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

from geo.zones import ZoneKind
from server import db, problems
from server.places.rules import ImportState, RegionKind, Source


class Region(db.Base):
    """A region as it is now: district, town or street, village or community. `valid_until` is the first day after."""

    __tablename__ = "regions"
    __table_args__ = (
        sa.CheckConstraint("code ~ '^[0-9]{12}$'", name="code"),
        sa.CheckConstraint("urban_rural_class ~ '^[12][0-9]{2}$'", name="urban_rural_class"),
        sa.CheckConstraint("valid_until > valid_from", name="validity"),
        db.one_of("kind", RegionKind),
        {"info": {"grant": db.changing("name", "kind", "urban_rural_class", "parent_code", "valid_until")}},
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[RegionKind] = mapped_column(sa.Text)
    urban_rural_class: Mapped[str | None]  # 城乡分类代码: 111 ... 220.
    parent_code: Mapped[str | None] = mapped_column(sa.ForeignKey("regions.code"), index=True)
    valid_from: Mapped[date]
    valid_until: Mapped[date | None]


class RegionVersion(db.Base):
    """What a region was called from a day on; the newest row with ``from_day`` not after a day tells (edge 48)."""

    __tablename__ = "region_versions"
    __table_args__ = (sa.Index(None, "code", "from_day", "id"), {"info": {"grant": db.APPEND}})

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"))
    name: Mapped[str]
    kind: Mapped[RegionKind] = mapped_column(sa.Text)
    urban_rural_class: Mapped[str | None]
    from_day: Mapped[date]
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[UUID | None]


class RegionSuccessor(db.Base):
    """From `from_day` on, postings in `from_code` are postings in `to_code` (edge 48).

    One successor at most, so that a posting can follow; after a split the district ends the postings and makes new ones.
    """

    __tablename__ = "region_successors"
    __table_args__ = (
        sa.CheckConstraint("from_code <> to_code", name="differs"),
        {"info": {"grant": "SELECT, INSERT, DELETE"}},
    )

    from_code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"), primary_key=True)
    to_code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"), index=True)
    from_day: Mapped[date]


db.REFUSALS["region_successors_pkey"] = problems.SUCCESSION_IMPOSSIBLE


class BoundaryImport(db.Base):
    """A file of boundaries (or one circle, or zones to end) on its way: imported, looked at, published or rejected."""

    __tablename__ = "boundary_imports"
    __table_args__ = (
        db.one_of("source", Source),
        db.one_of("state", ImportState),
        db.one_of("kind", ZoneKind),
        sa.CheckConstraint("accuracy_m >= 0 AND accuracy_m <= 1000", name="accuracy_m"),
        sa.CheckConstraint("valid_until > valid_from", name="validity"),
        sa.CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided"),
        sa.Index(None, "imported_at", "id"),
        {
            "info": {
                "grant": db.changing(
                    "state", "version", "decided_at", "decided_by", "decision_note", "outcome"
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[Source] = mapped_column(sa.Text)
    filename: Mapped[str]
    sha256: Mapped[bytes]  # Of the bytes that came.
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    kind: Mapped[ZoneKind | None] = mapped_column(sa.Text)  # None: each feature says its own.
    region: Mapped[str]  # The prefix of region codes that the import is about; features outside are refused.
    accuracy_m: Mapped[float]  # The source's stated accuracy, a 68 % radius.
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    options: Mapped[dict[str, Any]]  # crs, columns, encoding, whole, ends: as given.
    state: Mapped[ImportState] = mapped_column(sa.Text)
    version: Mapped[int]
    imported_at: Mapped[datetime]
    imported_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decision_note: Mapped[str | None]
    outcome: Mapped[dict[str, Any] | None]  # What publishing did, as it was answered.


class BoundaryReport(db.Base):
    """The quality report of an import: as data, as text in two languages, and as a picture."""

    __tablename__ = "boundary_reports"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    import_id: Mapped[UUID] = mapped_column(sa.ForeignKey("boundary_imports.id"), primary_key=True)
    report: Mapped[dict[str, Any]]
    text_zh: Mapped[str]
    text_en: Mapped[str]
    svg: Mapped[str]


class BoundaryFeature(db.Base):
    """One feature of an import, as read and, where a repair is proposed, as it would be repaired."""

    __tablename__ = "boundary_features"
    __table_args__ = (db.one_of("kind", ZoneKind), {"info": {"grant": db.APPEND}})

    import_id: Mapped[UUID] = mapped_column(sa.ForeignKey("boundary_imports.id"), primary_key=True)
    index: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False
    )  # Its place in the file, from 0.
    reference: Mapped[str]  # The source's own code of the feature; its name when it has none.
    name: Mapped[str]
    kind: Mapped[ZoneKind | None] = mapped_column(sa.Text)
    region_code: Mapped[str | None]
    shape: Mapped[WKBElement | None] = mapped_column(Geometry("MULTIPOLYGON", srid=4326, spatial_index=False))
    repaired: Mapped[WKBElement | None] = mapped_column(
        Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)
    )


class BoundaryAcceptance(db.Base):
    """Somebody looked at a finding and takes it as it is, or takes the proposed repair. `index` -1: the whole file."""

    __tablename__ = "boundary_acceptances"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    import_id: Mapped[UUID] = mapped_column(sa.ForeignKey("boundary_imports.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(primary_key=True)
    accepted_at: Mapped[datetime]
    accepted_by: Mapped[UUID | None]


class RegionOutline(db.Base):
    """The outline of a district, for checking files against. The newest one counts; nobody is judged by it."""

    __tablename__ = "region_outlines"
    __table_args__ = (sa.Index(None, "code", "id"), {"info": {"grant": db.APPEND}})

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"))
    shape: Mapped[WKBElement] = mapped_column(Geometry("MULTIPOLYGON", srid=4326, spatial_index=False))
    filename: Mapped[str]
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[UUID | None]


class Zone(db.Base):
    """A place with a name that keeps its identity while its shape is corrected. `name` is the newest version's."""

    __tablename__ = "zones"
    __table_args__ = (
        sa.UniqueConstraint("kind", "region_code", "reference", name="zones_identity_key"),
        sa.Index(
            "zones_village_key", "region_code", unique=True, postgresql_where=sa.text("kind = 'village'")
        ),
        db.one_of("kind", ZoneKind),
        {"info": {"grant": db.changing("name")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[ZoneKind] = mapped_column(sa.Text)
    region_code: Mapped[str] = mapped_column(sa.ForeignKey("regions.code"), index=True)
    reference: Mapped[str]
    name: Mapped[str]


class ZoneVersion(db.Base):
    """The shape of a zone for a time. A row without shape says that the zone has ended by `valid_from`."""

    __tablename__ = "zone_versions"
    __table_args__ = (
        sa.CheckConstraint("accuracy_m >= 0 AND accuracy_m <= 1000", name="accuracy_m"),
        sa.CheckConstraint("valid_until > valid_from", name="validity"),
        sa.Index(None, "zone_id", sa.text("seq DESC")),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), unique=True)
    zone_id: Mapped[UUID] = mapped_column(sa.ForeignKey("zones.id"))
    name: Mapped[str]
    shape: Mapped[WKBElement | None] = mapped_column(Geometry("MULTIPOLYGON", srid=4326), deferred=True)
    ended: Mapped[bool] = orm.column_property(shape.is_(None))
    vertices: Mapped[int]
    area_m2: Mapped[float]  # Geodesic, on the WGS-84 ellipsoid.
    accuracy_m: Mapped[float]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    published_at: Mapped[datetime]
    published_by: Mapped[UUID | None]
    import_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("boundary_imports.id"), index=True)
    sha256: Mapped[bytes]  # Of the shape's WKB; of nothing for an ending.
