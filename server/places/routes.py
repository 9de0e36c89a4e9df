"""The places room over HTTP: regions, zones, boundary imports."""

from fastapi import APIRouter

from server.places import import_routes, region_routes, zone_routes

router = APIRouter()
for part in (region_routes.router, zone_routes.router, import_routes.router):
    router.include_router(part)
BODY_LIMITS = {**region_routes.BODY_LIMITS, **import_routes.BODY_LIMITS}
"""Bytes a body may have, by the start of the path, where a file is the body."""
