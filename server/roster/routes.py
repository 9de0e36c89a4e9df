"""The roster over HTTP: units and people, postings, imports."""

from fastapi import APIRouter

from server.roster import import_routes, people_routes, posting_routes

router = APIRouter()
for part in (people_routes, posting_routes, import_routes):
    router.include_router(part.router)
BODY_LIMITS = import_routes.BODY_LIMITS
