"""Deeds on boundary imports: bringing one in, accepting findings, publishing, rejecting."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from geoalchemy2 import WKBElement
from geoalchemy2.shape import from_shape
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry
from sqlalchemy import orm

from server import audit, clock, db, preconditions, problems
from server.access import Role, Who
from server.places import (
    import_queries,
    publishing,
    queries,
    region_queries,
    region_service,
    rules,
)
from server.places.import_queries import IMPORTERS
from server.places.import_schemas import AcceptedIn, CircleIn, EndingIn, FileImportIn
from server.places.inspection import Inspection, Surroundings
from server.places.models import (
    BoundaryAcceptance,
    BoundaryFeature,
    BoundaryImport,
    BoundaryReport,
    RegionOutline,
)
from server.places.rules import ImportState, Source
from server.problems import FieldFault, Problem
from server.settings import Settings

_SAME = (
    "sha256",
    "filename",
    "kind",
    "region",
    "accuracy_m",
    "valid_from",
    "valid_until",
    "options",
    "source",
)


def scope_of(who: Who | None, region: str | None, settings: Settings) -> str:
    """Return the prefix an import is about: the given one when it is in reach, else the caller's only one.

    Raises not-found for a region out of reach, and invalid-request when there is more than one to choose from.
    """
    if region is None:
        own = () if who is None else who.regions(Role.TOWN, Role.DISTRICT)
        if not own or own == ("",):
            return settings.district_code
        if len(own) > 1:
            zh, en = (
                f"请用 region 指明范围：{'、'.join(own)}。",
                f"Say which region it is about: {', '.join(own)}.",
            )
            raise Problem(
                problems.INVALID_REQUEST, zh=zh, en=en, errors=[FieldFault("region", "missing", zh, en)]
            )
        return own[0]
    if who is not None and not who.reaches(region, *IMPORTERS):
        raise Problem(
            problems.NOT_FOUND,
            zh=f"您的范围内没有区划 {region}。",
            en=f"No region {region} is in your reach.",
        )
    return region


def surroundings(session: orm.Session, draft: BoundaryImport) -> Surroundings:
    """Return what an import is checked against."""
    regions = import_queries.known_regions(session, draft.region)
    gone = region_queries.followed(session, list(regions), rules.today(draft.valid_from))
    return Surroundings(
        scope=draft.region,
        regions=regions,
        followed={code: now for code, now in gone.items() if now != code},
        district=import_queries.outline(session, draft.region),
        neighbours=import_queries.neighbours(session, draft.region, draft.valid_from),
    )


def file_draft(given: FileImportIn, scope: str, data: bytes, who: Who | None) -> BoundaryImport:
    """Return the row of a file that came, not stored yet."""
    names = ("crs", "swapped", "to_wgs84", "columns", "encoding", "layer", "caption", "whole")
    options = {name: value for name in names if (value := getattr(given, name)) not in {None, False}}
    return BoundaryImport(
        **_common(given, scope, who),
        source=Source.FILE,
        filename=given.filename,
        sha256=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        kind=given.kind,
        accuracy_m=given.accuracy_m,
        options=options,
    )


def circle_draft(given: CircleIn, scope: str, who: Who | None) -> BoundaryImport:
    """Return the row of a point with a radius, not stored yet."""
    drawn = {"lon": given.lon, "lat": given.lat, "radius_m": given.radius_m}
    return BoundaryImport(
        **_common(given, scope, who),
        source=Source.CIRCLE,
        filename=given.name,
        sha256=_digest(drawn),
        size_bytes=0,
        kind=given.kind,
        accuracy_m=given.accuracy_m,
        options={**drawn, "reference": given.reference or given.name, "region_code": given.region_code},
    )


def ending_draft(given: EndingIn, scope: str, who: Who | None) -> BoundaryImport:
    """Return the row of zones that are to end, not stored yet."""
    ends = sorted({str(zone_id) for zone_id in given.zones})
    return BoundaryImport(
        **_common(given, scope, who),
        source=Source.ENDING,
        filename="",
        sha256=_digest(ends),
        size_bytes=0,
        kind=None,
        accuracy_m=0.0,
        options={"ends": ends},
    )


def _common(given: FileImportIn | CircleIn | EndingIn, scope: str, who: Who | None) -> dict[str, Any]:
    return {
        "id": given.id,
        "region": scope,
        "valid_from": given.valid_from,
        "valid_until": given.valid_until,
        "state": ImportState.OPEN,
        "version": 1,
        "imported_at": clock.now(),
        "imported_by": who.account_id if who else None,
    }


def _digest(what: object) -> bytes:
    return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).digest()


def stored_before(session: orm.Session, who: Who | None, draft: BoundaryImport) -> BoundaryImport | None:
    """Return the import that a resend means; None when the id is new. Raises id-reused for other content."""
    found = session.get(BoundaryImport, draft.id)
    if found is None:
        return None
    import_queries.access_import(session, who, found.id)
    differing = sorted(name for name in _SAME if getattr(found, name) != getattr(draft, name))
    if differing:
        raise Problem(
            problems.ID_REUSED,
            zh=f"编号已使用，且内容不同：{'、'.join(differing)}。",
            en=f"The id is in use with different content: {', '.join(differing)}.",
            fields=differing,
        )
    return found


def store(
    session: orm.Session, who: Who | None, draft: BoundaryImport, inspection: Inspection
) -> tuple[BoundaryImport, bool]:
    """Keep an import with its report and its features. Returns the row and whether this call stored it."""
    row, created = db.insert_once(session, draft, same=_SAME)
    if not created:
        return row, False
    session.add(
        BoundaryReport(
            import_id=row.id,
            report={**inspection.report, "findings": [each.to_dict() for each in inspection.findings]},
            text_zh=inspection.text_zh,
            text_en=inspection.text_en,
            svg=inspection.svg,
        )
    )
    session.add_all(
        BoundaryFeature(
            import_id=row.id,
            index=seen.meant.index,
            reference=seen.meant.reference,
            name=seen.meant.name,
            kind=seen.meant.kind,
            region_code=seen.meant.region_code,
            shape=_stored(seen.shape),
            repaired=_stored(seen.repaired),
        )
        for seen in inspection.features
    )
    details = {"source": row.source, "features": len(inspection.features), "region": row.region}
    audit.record(session, who, "boundary:import", ("boundary-import", row.id), **details)
    session.flush()
    return row, True


def _stored(shape: BaseGeometry | None) -> WKBElement | None:
    return None if shape is None else from_shape(shape, srid=4326)


def refuse_zones_out_of_reach(session: orm.Session, given: EndingIn, scope: str) -> None:
    """Raise not-found unless every zone that is to end lies under the scope."""
    for zone_id in given.zones:
        if not queries.zone(session, zone_id).region_code.startswith(scope):
            raise Problem(problems.NOT_FOUND)


def accept(
    session: orm.Session, who: Who | None, import_id: UUID, accepted: Sequence[AcceptedIn], match: str | None
) -> BoundaryImport:
    """Take findings as they are, and proposed repairs, feature by feature. Accepting again changes nothing.

    `match` is the If-Match header; None is the operator's. Raises invalid-request for a finding that is not there or
    that nobody may accept.
    """
    row = _open(session, who, import_id, match)
    findings = import_queries.findings(session, import_id)
    possible: dict[int, set[str]] = {}
    for finding in findings:
        if rules.can_be_accepted(finding):
            for index in finding.features or (rules.WHOLE_FILE,):
                possible.setdefault(index, set()).add(finding.code)
    faults = [
        _not_acceptable(one.index, code)
        for one in accepted
        for code in one.codes
        if code not in possible.get(one.index, set())
    ]
    if faults:
        zh, en = "有不能接受的项目。", "Some of it cannot be accepted."
        raise Problem(problems.INVALID_REQUEST, zh=zh, en=en, errors=faults[:500])
    before = import_queries.acceptances(session, import_id)
    wanted = {(one.index, code) for one in accepted for code in one.codes}
    new = sorted((index, code) for index, code in wanted if code not in before.get(index, frozenset()))
    for index, code in new:
        session.add(
            BoundaryAcceptance(
                import_id=import_id,
                index=index,
                code=code,
                accepted_at=clock.now(),
                accepted_by=who.account_id if who else None,
            )
        )
    if new:
        row.version += 1
        audit.record(session, who, "boundary:accept", ("boundary-import", import_id), accepted=new[:1000])
    session.flush()
    return row


def _not_acceptable(index: int, code: str) -> FieldFault:
    zh, en = (
        f"要素 {index} 没有可接受的“{code}”。",
        f"Feature {index} has no “{code}” that could be accepted.",
    )
    return FieldFault(f"features.{index}", "not-acceptable", zh, en)


def _open(session: orm.Session, who: Who | None, import_id: UUID, match: str | None) -> BoundaryImport:
    row = import_queries.access_import(session, who, import_id, lock=True)
    if row.state != ImportState.OPEN:
        raise Problem(
            problems.ALREADY_DECIDED,
            zh="该导入已发布。" if row.state == ImportState.PUBLISHED else "该导入已退回。",
            en=f"The import is {row.state}.",
            decision=row.state,
            decided_at=row.decided_at.isoformat() if row.decided_at else None,
            decided_by=str(row.decided_by) if row.decided_by else None,
        )
    if match is not None:
        preconditions.refuse_unless_current(match, etag(row))
    return row


def etag(row: BoundaryImport) -> str:
    """Return the entity tag of an import."""
    return preconditions.tag(row.version)


def publish(
    session: orm.Session, who: Who | None, import_id: UUID, match: str | None, *, two_persons: bool
) -> tuple[BoundaryImport, bool]:
    """Put the import's boundaries in force. Returns the row, and whether this call did it.

    The same person publishing again gets the same answer. Raises already-decided for anybody else,
    second-person-required when the importer would publish, and nothing-to-publish when every feature is refused.
    """
    row = import_queries.access_import(session, who, import_id, lock=True)
    if row.state == ImportState.PUBLISHED and row.decided_by == (who.account_id if who else None):
        return row, False
    row = _open(session, who, import_id, match)
    _refuse_out_of_the_districts_reach(who, row)
    if two_persons and (who is None or row.imported_by is None or row.imported_by == who.account_id):
        raise Problem(
            problems.SECOND_PERSON_REQUIRED,
            zh="导入人与发布人须是两个人，请由另一位区级人员发布。",
            en="The importer and the publisher must be two people; another district officer publishes.",
        )
    found = publishing.append(session, who, row)
    if not found.steps and not found.unchanged:
        raise Problem(
            problems.NOTHING_TO_PUBLISH,
            zh="没有一个要素可以发布，请查看报告。",
            en="Not one feature can be published; see the report.",
            refused=found.outcome()["refused"],
        )
    _decide(row, who, ImportState.PUBLISHED)
    row.outcome = found.outcome()
    counts = {name: value for name, value in row.outcome.items() if name != "refused"}
    details = {**counts, "refused": len(found.refused), "region": row.region}
    audit.record(session, who, "boundary:publish", ("boundary-import", import_id), **details)
    session.flush()
    return row, True


def reject(
    session: orm.Session, who: Who | None, import_id: UUID, match: str | None, note: str
) -> BoundaryImport:
    """Put an import aside for good, with the reason."""
    row = _open(session, who, import_id, match)
    _refuse_out_of_the_districts_reach(who, row)
    _decide(row, who, ImportState.REJECTED)
    row.decision_note = note
    audit.record(session, who, "boundary:reject", ("boundary-import", import_id), region=row.region)
    session.flush()
    return row


def _refuse_out_of_the_districts_reach(who: Who | None, row: BoundaryImport) -> None:
    """Raise not-found unless the caller decides here as a district officer, not as a town's, who only brings in."""
    if who is not None and not who.reaches(row.region, Role.DISTRICT):
        raise Problem(problems.NOT_FOUND)


def _decide(row: BoundaryImport, who: Who | None, state: ImportState) -> None:
    row.state = state
    row.version += 1
    row.decided_at = clock.now()
    row.decided_by = who.account_id if who else None


def record_outline(
    session: orm.Session, who: Who | None, code: str, shape: MultiPolygon, filename: str
) -> bool:
    """Keep the outline of a district that boundary files are checked against from now on.

    Returns whether it differs from the one before; the same one again is not recorded twice.
    """
    region = region_queries.region(session, code)
    if who is not None and not who.reaches(code, *region_service.IMPORTERS):
        raise Problem(problems.NOT_FOUND)
    before = import_queries.outline(session, code)
    if before is not None and publishing.digest(before) == publishing.digest(shape):
        return False
    session.add(
        RegionOutline(
            code=region.code,
            shape=from_shape(shape, srid=4326),
            filename=filename,
            recorded_at=clock.now(),
            recorded_by=who.account_id if who else None,
        )
    )
    audit.record(session, who, "region:outline", ("region", code), filename=filename)
    session.flush()
    return True
