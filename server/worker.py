"""What runs in a worker process of `zaicun serve`: the application, its log and its place among the counters."""

from fastapi import FastAPI

from server import logs
from server import settings as settings_module
from server.app import create_app
from server.tally import TALLY


def create() -> FastAPI:
    """Return the application of this worker; uvicorn calls it once a process."""
    settings = settings_module.load()
    logs.configure(level=settings.log_level, shape=settings.log_format, every=settings.log_checkins_every)
    if settings.metrics_dir is not None:
        TALLY.open(settings.metrics_dir)
    return create_app(settings)
