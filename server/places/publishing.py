"""From an import that was looked at to versions in force: what would change, and changing it.

Publishing only appends. What was judged before keeps the version it was judged by; the check-ins room is told which
days are to be judged again, and keeps both verdicts (edge 46).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import shapely
import sqlalchemy as sa
from geoalchemy2 import WKBElement
from geoalchemy2.shape import to_shape
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from sqlalchemy import orm

from geo.faults import Severity
from geo.zones import ZoneKind
from server import clock, db, ids, state
from server.access import Who
from server.places import hooks, import_queries, matching, rules
from server.places.hooks import Effect, ZoneChange
from server.places.matching import Meant
from server.places.models import BoundaryFeature, BoundaryImport, Zone, ZoneVersion
from server.places.plans import Plan, Refused, Step
from server.places.rules import Finding

_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtext('zaicun:publish-boundaries'))")
"""Publishing is rare; one at a time, `seq` grows in the order of the commits, and two never make the same zone."""


class _Present:
    """The zones of a scope as they are, with all their versions."""

    def __init__(self, session: orm.Session, row: BoundaryImport) -> None:
        self.row = row
        zones = session.scalars(sa.select(Zone).where(db.within(Zone.region_code, (row.region,)))).all()
        self.zones: dict[tuple[str, str, str], Zone] = {
            (zone.kind, zone.region_code, zone.reference): zone for zone in zones
        }
        self.by_id = {zone.id: zone for zone in zones}
        self.versions: dict[UUID, list[ZoneVersion]] = {}
        query = sa.select(ZoneVersion).join(Zone).where(db.within(Zone.region_code, (row.region,)))
        for version in session.scalars(query.order_by(ZoneVersion.seq.desc())):
            self.versions.setdefault(version.zone_id, []).append(version)

    def before(self, zone: Zone | None) -> ZoneVersion | None:
        """Return the version in force when the import's would begin; None when there is none or it has ended."""
        at = self.row.valid_from
        for version in self.versions.get(zone.id, ()) if zone else ():
            if version.valid_from <= at and (version.valid_until is None or at < version.valid_until):
                return None if version.ended else version
        return None

    def later(self, zone: Zone | None) -> int:
        """Return how many versions begin while the import's would be valid, and would be replaced by it."""
        begins, ends = self.row.valid_from, self.row.valid_until
        return sum(
            begins < version.valid_from and (ends is None or version.valid_from < ends)
            for version in (self.versions.get(zone.id, ()) if zone else ())
        )

    def says_so_already(self, zone: Zone | None, name: str, sha256: bytes) -> bool:
        """Tell whether the zone's newest version is what the import would add."""
        newest = self.versions.get(zone.id, [None])[0] if zone else None
        return (
            newest is not None
            and self.before(zone) is newest
            and (newest.sha256, newest.name, newest.accuracy_m, newest.valid_until)
            == (sha256, name, self.row.accuracy_m, self.row.valid_until)
        )


def plan(session: orm.Session, row: BoundaryImport) -> Plan:
    """Work out what publishing the import would do now. Reads only."""
    present = _Present(session, row)
    features = import_queries.features(session, row.id)
    findings = import_queries.findings(session, row.id)
    accepted = import_queries.acceptances(session, row.id)
    blocking = rules.standing(findings, accepted, [feature.index for feature in features])
    found = Plan()
    for feature in features:
        mended = rules.is_mended(accepted.get(feature.index, frozenset()))
        shape = _area(feature.repaired if mended else feature.shape)
        standing = blocking[feature.index] or _unfit(shape)
        if standing or shape is None:
            found.refused.append(Refused(feature.index, feature.reference, feature.name, standing))
        else:
            _take(found, present, feature, shape)
    _end(found, present, features)
    return found


def _area(stored: WKBElement | None) -> MultiPolygon | None:
    shape = None if stored is None else to_shape(stored)
    if isinstance(shape, Polygon):
        shape = MultiPolygon([shape])
    return shape if isinstance(shape, MultiPolygon) and not shape.is_empty and shape.is_valid else None


def _unfit(shape: BaseGeometry | None) -> tuple[Finding, ...]:
    if shape is not None:
        return ()
    zh, en = "没有可用的面。", "There is no area that could be published."
    return (Finding(code="geometry-unfit", severity=Severity.ERROR, zh=zh, en=en),)


def _take(found: Plan, present: _Present, feature: BoundaryFeature, shape: MultiPolygon) -> None:
    key = matching.identity(_meant(feature))
    if key is None or feature.kind is None or feature.region_code is None:
        raise ValueError(f"feature {feature.index} has no finding and yet no identity")
    zone = present.zones.get((key[0].value, key[1], key[2]))
    if present.says_so_already(zone, feature.name, digest(shape)):
        found.unchanged += 1
        return
    before = present.before(zone)
    row = present.row
    change = ZoneChange(
        zone_id=zone.id if zone else ids.new_id(),
        version_id=ids.new_id(),
        kind=ZoneKind(feature.kind),
        region_code=feature.region_code,
        name=feature.name,
        shape=shape,
        accuracy_m=row.accuracy_m,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )
    area = rules.area_m2(shape)
    step = Step(change, key[2], before, area, zone is None, present.later(zone))
    (found.changed if before else found.new).append(step)


def _meant(feature: BoundaryFeature) -> Meant:
    kind = None if feature.kind is None else ZoneKind(feature.kind)
    return Meant(feature.index, feature.reference, feature.name, kind, feature.region_code)


def _end(found: Plan, present: _Present, features: Sequence[BoundaryFeature]) -> None:
    """Add the endings: zones named to end, and where the file is the whole, those it lacks.

    A zone whose feature is in the file but refused is not lacking.
    """
    row = present.row
    ending = {UUID(each) for each in row.options.get("ends", ())}
    if row.options.get("whole"):
        named = {matching.identity(_meant(feature)) for feature in features}
        kinds = {row.kind} if row.kind else {feature.kind for feature in features}
        ending |= {
            zone.id
            for key, zone in present.zones.items()
            if zone.kind in kinds and (ZoneKind(key[0]), key[1], key[2]) not in named
        }
    for zone_id in sorted(ending):
        zone = present.by_id.get(zone_id)
        before = present.before(zone)
        if zone is None or before is None:
            continue
        change = ZoneChange(
            zone_id=zone.id,
            version_id=ids.new_id(),
            kind=ZoneKind(zone.kind),
            region_code=zone.region_code,
            name=zone.name,
            shape=None,
            accuracy_m=0.0,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
        )
        found.ended.append(
            Step(change, zone.reference, before, 0.0, new_zone=False, replaces_later=present.later(zone))
        )


def digest(shape: BaseGeometry | None) -> bytes:
    """Return the SHA-256 of a shape's WKB (little-endian, two dimensions); of nothing for an ending."""
    wkb = b"" if shape is None else shapely.to_wkb(shape, output_dimension=2, byte_order=1)
    return hashlib.sha256(wkb).digest()


def effect(session: orm.Session, found: Plan) -> Effect | None:
    """Return how many stored check-ins would be judged differently; None when nobody can tell."""
    judgements = hooks.judgements()
    return (
        None
        if judgements is None
        else judgements.would_change(session, [step.change for step in found.steps])
    )


def overlaps(session: orm.Session, steps: Iterable[Step]) -> Mapping[UUID, float]:
    """Return, by the new version's id, which share of a changed zone's old area stays inside it."""
    pairs = {
        step.before.id: step for step in steps if step.before is not None and step.change.shape is not None
    }
    query = sa.select(ZoneVersion.id, ZoneVersion.shape).where(ZoneVersion.id.in_(pairs))
    shares = {}
    for old_id, stored in session.execute(query):
        if stored is None:
            continue
        step, old = pairs[old_id], to_shape(stored)
        kept = 0.0 if step.change.shape is None else rules.area_m2(old.intersection(step.change.shape))
        shares[step.change.version_id] = min(1.0, kept / rules.area_m2(old))
    return shares


def append(session: orm.Session, who: Who | None, row: BoundaryImport) -> Plan:
    """Add the versions of the import to the record, and tell who keeps or judges by boundaries."""
    session.execute(_ONE_AT_A_TIME)
    found = plan(session, row)
    steps = found.steps
    if steps:
        _write(session, who, row, steps)
        state.bump(session, "boundaries")
        judgements = hooks.judgements()
        if judgements is not None:
            judgements.boundaries_published(session, [step.change for step in steps])
    return found


def _write(session: orm.Session, who: Who | None, row: BoundaryImport, steps: Sequence[Step]) -> None:
    zones = [
        {
            "id": step.change.zone_id,
            "kind": step.change.kind,
            "region_code": step.change.region_code,
            "reference": step.reference,
            "name": step.change.name,
        }
        for step in steps
        if step.new_zone
    ]
    if zones:
        session.execute(sa.insert(Zone), zones)
    for step in steps:
        if not step.new_zone:
            session.get_one(Zone, step.change.zone_id).name = step.change.name
    session.execute(sa.insert(ZoneVersion), [_version(step, who, row) for step in steps])


def _version(step: Step, who: Who | None, row: BoundaryImport) -> dict[str, Any]:
    shape = step.change.shape
    return {
        "id": step.change.version_id,
        "zone_id": step.change.zone_id,
        "name": step.change.name,
        "shape": None if shape is None else WKBElement(shapely.to_wkb(shape, output_dimension=2), srid=4326),
        "vertices": 0 if shape is None else int(shapely.get_num_coordinates(shape)),
        "area_m2": step.area_m2,
        "accuracy_m": step.change.accuracy_m,
        "valid_from": step.change.valid_from,
        "valid_until": step.change.valid_until,
        "published_at": clock.now(),
        "published_by": who.account_id if who else None,
        "import_id": row.id,
        "sha256": digest(shape),
    }
