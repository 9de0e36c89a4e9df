"""What runs in a worker process of `zaicun serve`: the application, its log and its place among the counters."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI

from server import logs
from server import settings as settings_module
from server.app import create_app
from server.settings import Settings, SettingsFault
from server.tally import TALLY, clear


def create() -> FastAPI:
    """Return the application of this worker; uvicorn calls it once a process."""
    settings = settings_module.load()
    configure(settings)
    if settings.metrics_dir is not None:
        TALLY.open(settings.metrics_dir)
    return create_app(settings)


def configure(settings: Settings) -> None:
    """Send the log of this process where and as the settings say."""
    logs.configure(level=settings.log_level, shape=settings.log_format, every=settings.log_checkins_every)


@contextlib.contextmanager
def counting(settings: Settings) -> Iterator[Path]:
    """Yield the folder in which the workers count. One that was made here is removed at the end.

    Raises SettingsFault when it cannot be used.
    """
    try:
        if settings.metrics_dir is None:
            folder = Path(tempfile.mkdtemp(prefix="zaicun-metrics-"))
        else:
            folder = settings.metrics_dir
            clear(folder)
    except OSError as error:
        raise SettingsFault(f"ZAICUN_METRICS_DIR cannot be used: {error.strerror}.") from error
    try:
        yield folder
    finally:
        if settings.metrics_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
