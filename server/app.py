"""The application: routers, handlers, lifespan. Assembly only."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from server import (
    addresses,
    documented,
    draining,
    http,
    observed,
    papers,
    sandbox,
    sharing,
    timekeeping,
    wire,
    wiring,
)
from server import settings as settings_module
from server.admission import Admission
from server.attachments import routes as attachments
from server.attachments.service import Stores
from server.auth import account_routes as accounts
from server.auth import device_routes as devices
from server.auth import routes as auth
from server.auth.doorkeeper import Doorkeeper
from server.auth.passwords import Hasher
from server.checkins import receipt_routes as receipts
from server.checkins import routes as checkins
from server.checkins.batches import Batches
from server.checkins.intake import Intake
from server.checkins.plain import PlainPut
from server.checkins.turnstile import Turnstile
from server.compliance import routes as compliance
from server.compliance import sync_routes
from server.corrections import appeal_routes
from server.corrections import routes as corrections
from server.db import Database
from server.envelope import Carried
from server.evidence import outage_routes as outages
from server.gate import Misuses, who_of
from server.month import routes as month
from server.places import routes as places
from server.privacy import routes as privacy
from server.pulse import Pulse
from server.quotas import Quotas
from server.rejudgings import routes as rejudgings
from server.review import routes as review
from server.roster import routes as roster
from server.settings import Settings

API_VERSION = "2026-11-23"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Assemble the application. Without settings they are read from the environment."""
    given = settings or settings_module.load()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Carried]]:
        app.state.doorkeeper.keys.ensure()
        app.state.pulse = Pulse(given.database_url)
        await run_in_threadpool(app.state.pulse.start)
        app.state.database = Database(
            given.database_url,
            pool_size=given.pool_size,
            statement_timeout_s=given.statement_timeout_s,
            pulse=app.state.pulse,
        )
        sharing.arrange(given.pool_size + given.argon2_parallel)
        app.state.intake = Intake(given, trust=app.state.pulse.require_durable)
        app.state.intake.start()
        app.state.batches = Batches(app.state.intake)
        gc.freeze()  # What was imported stays; the collector need not walk through it again and again.
        try:
            with draining.told(app.state.admission.stop, app.state.database.stopping.set):
                async with observed.measuring(app):
                    yield {wire.CARRIED: Carried(given)}
        finally:
            await app.state.intake.close()
            app.state.database.close()
            await run_in_threadpool(app.state.pulse.close)

    app = FastAPI(
        title="在村 zaicun",
        version=API_VERSION,
        description=documented.OVERVIEW,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        openapi_tags=documented.TAGS,
        lifespan=lifespan,
        openapi_url=None,  # papers.py serves it, and the page to try it out.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # An address with a slash too many is unknown (404), not a way to another host.
    )
    app.state.settings = given
    app.state.attachments = Stores.of(given)
    app.state.admission = Admission(given.requests_at_once)
    app.state.doorkeeper = Doorkeeper(given)
    app.state.misuses = Misuses()
    app.state.hasher = Hasher(given)
    app.state.quotas = Quotas(given)
    wiring.install()
    if given.sandbox:
        app.add_middleware(sandbox.Marked)  # First, because a layer that is added later lies around it.
    http.install(app, prove=who_of)
    # First, because routes are matched in their order and this one is asked a thousand times as often as any other.
    app.state.body_limits.update(checkins.BODY_LIMITS)
    app.router.routes[:0] = [PlainPut(app.router), Turnstile(app.router)]
    for each in (checkins, receipts, timekeeping, papers):
        app.include_router(each.router)
    app.state.body_limits["/v1/auth/"] = auth.BODY_LIMIT
    for each in (auth, accounts, devices):
        app.include_router(each.router)
    app.state.body_limits.update(attachments.body_limits(given))
    app.include_router(attachments.router)
    app.include_router(attachments.files)
    requests = (corrections, appeal_routes)
    for room in (month, outages, *requests, compliance, sync_routes, privacy, review, rejudgings):
        app.include_router(room.router)
    app.state.body_limits.update(places.BODY_LIMITS)
    app.include_router(places.router)
    app.state.body_limits.update(roster.BODY_LIMITS)
    app.include_router(roster.router)
    addresses.exact_first(app)
    documented.complete(
        app,
        open_to_all=(
            "auth-login", "auth-activate", "auth-refresh", "service-time", "receipts-keys", "notices-current", "notices-one",
            "attachments-file",
        ),
    )  # fmt: skip
    observed.install(app, given)  # Last, because the last layer added is the outermost.
    return app
