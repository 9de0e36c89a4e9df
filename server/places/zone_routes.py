"""Zones, their versions and their shapes over HTTP (点位范围)."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response

from geo.zones import ZoneKind
from server import clock, pages, preconditions, problems
from server.access import Role, Who
from server.documented import refusals, sent
from server.gate import Anyone, Db, requires
from server.given import Instant
from server.pages import Page
from server.places import queries, region_queries
from server.places.schemas import RegionPrefix, ZoneFeatureOut, ZoneOut, ZoneVersionOut
from server.preconditions import IfNoneMatch
from server.problems import Problem

router = APIRouter(prefix="/v1", tags=["places"])
Viewer = Annotated[Who, Depends(requires(Role.TOWN, Role.INSPECTOR, Role.DISTRICT, Role.ADMIN))]
"""Boundaries are no personal data: whoever oversees anything sees all of them, also the neighbours'."""
GEOJSON = "application/geo+json"
COARSEST_M, FINEST_M = 2000, 100
"""What a phone may see is no finer than the narrowest band of its verdicts (ruling 14)."""
_SHAPE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ZoneFeatureOut,
        "content": {GEOJSON: {}},
        "description": "GeoJSON (RFC 7946)",
        **sent("ETag", "Cache-Control"),
    },
    304: {
        "description": "与 If-None-Match 所示相同 / the same as If-None-Match says",
        **sent("ETag", "Cache-Control"),
    },
}


@router.get(
    "/zones",
    operation_id="places-zones",
    responses=refusals(problems.FORBIDDEN, problems.BAD_CURSOR, problems.INVALID_REQUEST),
)
def zones(
    *,
    _who: Viewer,
    db: Db,
    region: Annotated[RegionPrefix | None, Query()] = None,
    kind: Annotated[ZoneKind | None, Query(description="类型 / kind of zone")] = None,
    at: Annotated[
        Instant | None, Query(description="何时有效，缺省现在 / in force when; default now")
    ] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = 50,
) -> Page[ZoneOut]:
    """List the zones in force at an instant (有效范围), without shapes, by region code."""
    after = pages.decode(cursor, str, UUID)
    with db.read() as session:
        rows = queries.zones_in_force(
            session,
            at or clock.now(),
            regions=(region or "",),
            kinds=(kind,) if kind else (),
            after=(after[0], after[1]) if after else None,
            limit=limit + 1,
        )
        shown, following = pages.cut(rows, limit, lambda row: (row.region_code, row.id))
        return Page(items=[ZoneOut.model_validate(row) for row in shown], next_cursor=following)


@router.get(
    "/zones/{zone_id}/versions",
    operation_id="places-zone-versions",
    responses=refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
)
def zone_versions(zone_id: UUID, _who: Viewer, db: Db) -> list[ZoneVersionOut]:
    """List every version of a zone (历次边界), the latest published first.

    In force at an instant is the first one listed whose validity holds it. Versions are never changed or deleted.
    """
    with db.read() as session:
        queries.zone(session, zone_id)
        return [ZoneVersionOut.of(row) for row in queries.versions(session, zone_id)]


@router.get(
    "/zone-versions/{version_id}",
    operation_id="places-zone-version",
    responses={
        **_SHAPE_ANSWERS,
        **refusals(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID_REQUEST),
    },
)
def zone_version(version_id: UUID, _who: Viewer, db: Db, if_none_match: IfNoneMatch = None) -> Response:
    """Return one version with its full shape as a GeoJSON feature (边界图形); the geometry of an ending is null."""
    tag = preconditions.tag(version_id)
    with db.read() as session:
        version, zone = queries.version(session, version_id)
        copy = preconditions.has_copy(if_none_match, tag)
        geometry = None if copy else queries.geojson(session, version_id)
        properties = {
            **ZoneVersionOut.of(version).model_dump(mode="json"),
            "kind": zone.kind,
            "region_code": zone.region_code,
        }
    return _shape(
        version_id, geometry, properties, tag, copy=copy, cache="private, max-age=31536000, immutable"
    )


@router.get(
    "/regions/{code}/boundary",
    operation_id="places-village-boundary",
    responses={**_SHAPE_ANSWERS, **refusals(problems.NOT_FOUND, problems.INVALID_REQUEST)},
)
def village_boundary(
    *,
    code: Annotated[str, Path(pattern=r"^[0-9]{12}$", description="12 位区划代码 / 12-digit region code")],
    _who: Anyone,
    db: Db,
    simplify_m: Annotated[
        int,
        Query(
            ge=FINEST_M, le=COARSEST_M, description="简化容差（米）/ tolerance of the simplification, metres"
        ),
    ] = FINEST_M,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the simplified boundary of a village in force now (村界简图), for a map on the phone.

    Open to every account. It is for orientation and is no finer than the bands that a check-in answers with: a
    verdict is never made by it.
    """
    with db.read() as session:
        region = region_queries.region(session, code)
        version_id = queries.village_version(session, code, clock.now())
        if version_id is None:
            raise Problem(
                problems.NOT_FOUND, zh=f"{region.name}尚无边界。", en=f"{region.name} has no boundary yet."
            )
        tag = preconditions.tag(version_id, simplify_m)
        copy = preconditions.has_copy(if_none_match, tag)
        geometry = None if copy else queries.simplified(session, version_id, simplify_m)
        properties = {"code": code, "name": region.name, "version_id": version_id, "simplify_m": simplify_m}
    return _shape(code, geometry, properties, tag, copy=copy, cache="private, max-age=3600")


def _shape(
    feature_id: UUID | str,
    geometry: str | None,
    properties: dict[str, Any],
    tag: str,
    *,
    copy: bool,
    cache: str,
) -> Response:
    headers = {"ETag": tag, "Cache-Control": cache}
    if copy:
        return Response(status_code=304, headers=headers)
    feature = {
        "type": "Feature",
        "id": str(feature_id),
        "geometry": None if geometry is None else orjson.Fragment(geometry),
        "properties": properties,
    }
    return Response(orjson.dumps(feature), media_type=GEOJSON, headers=headers)
