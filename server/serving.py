"""The commands that run the service: serve, and the embedded database.

The process of `serve` is the worker where there is one alone, and watches over the workers otherwise. It imports little:
the application is loaded by the processes that serve it (worker.py), and what only the start needs runs apart.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from server import cluster, logs, supervising, tally
from server import settings as settings_module
from server.console import plainly, say
from server.patience import Patient, raise_file_limit
from server.settings import Settings, SettingsFault

ACCEPTED_AT_ONCE = 16
"""New connections that a worker takes each time its loop goes round. libuv takes one from each listening socket, so that
after an outage hundreds of phones waited for many seconds before they were even heard, while those that were connected
were served round after round; what listens is therefore handed to it several times."""


def _set(**given: object) -> None:
    """Put options into the environment: worker processes read their settings from there anew."""
    os.environ.update({f"ZAICUN_{name}": str(value) for name, value in given.items() if value is not None})


@click.command()
@click.option("--host", help="Address to bind to (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port (default 8321).")
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes (default 1).")
@click.option("--behind-proxy", is_flag=True, help="A TLS proxy stands in front: allow more than loopback.")
@plainly
def serve(host: str | None, port: int | None, workers: int | None, *, behind_proxy: bool) -> None:
    """Serve the API."""
    _set(HOST=host, PORT=port, WORKERS=workers, BEHIND_PROXY="yes" if behind_proxy else None)
    given = settings_module.load()
    logs.configure(level=given.log_level, shape=given.log_format, every=given.log_checkins_every)
    with _prepared(given) as settings, _counting(settings) as folder:
        _set(METRICS_DIR=folder)
        _set(DATABASE_URL=settings.database_url, OWNER_DATABASE_URL=settings.owner_database_url)
        logs.say(f"zaicun serves on http://{settings.host}:{settings.port}")
        # Uvicorn raises the signal again once it has drained; without a handler that would end this process before it
        # could release the embedded database.
        signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
        raise_file_limit()
        _run(settings)


def _run(settings: Settings) -> None:
    """Serve until told to stop: in this process, or in several that this one watches over."""
    config = uvicorn.Config(
        "server.worker:create",
        factory=True,
        http=Patient,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,  # Every process sends its log through server/logs.py.
        access_log=False,
        proxy_headers=False,  # The auth room reads X-Forwarded-For itself, and only behind a proxy.
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=supervising.SILENT_S,
    )
    bound = config.bind_socket()
    sockets = [bound, *(bound.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]
    if settings.workers > 1:
        workers = supervising.Workers(config, sockets)
        workers.run()
        served = not workers.unable
    else:
        config.load_app()
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # Raised anew when everything is answered.
            server.run(sockets)
        served = server.started
    if not served:
        sys.exit(STARTUP_FAILURE)


@contextlib.contextmanager
def _prepared(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with both addresses of a migrated, safe database; the embedded one is held while it is used.

    The work is done by server/preparing.py in a process of its own, which tells what it does and why it refuses.
    """
    with contextlib.ExitStack() as stack:
        if not settings.database_url:
            held = stack.enter_context(cluster.ensure(settings.var, say=logs.say))
            settings = replace(settings, database_url=held.app_dsn, owner_database_url=held.owner_dsn)
        # -P: a folder that happens to be called `server` where the service is started is none of its modules.
        done = subprocess.run([sys.executable, "-P", "-m", "server.preparing"], check=False)
        if done.returncode:
            raise click.exceptions.Exit(1)
        yield settings


@contextlib.contextmanager
def _counting(settings: Settings) -> Iterator[Path]:
    """Yield the folder in which the workers count. One that was made here is removed at the end.

    Raises SettingsFault when it cannot be used.
    """
    try:
        if settings.metrics_dir is None:
            folder = Path(tempfile.mkdtemp(prefix="zaicun-metrics-"))
        else:
            folder = settings.metrics_dir
            tally.clear(folder)
    except OSError as error:
        raise SettingsFault(f"ZAICUN_METRICS_DIR cannot be used: {error.strerror}.") from error
    try:
        yield folder
    finally:
        if settings.metrics_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


@click.group()
def db() -> None:
    """Start, stop or show the embedded database."""


@db.command()
@plainly
def start() -> None:
    """Start the embedded database and keep it running."""
    _show(cluster.start(settings_module.load().var, say=say))


@db.command()
@plainly
def stop() -> None:
    """Stop the embedded database."""
    stopped = cluster.stop(settings_module.load().var, say=say)
    say("stopped" if stopped else "it was not running")


@db.command()
@plainly
def status() -> None:
    """Show the embedded database."""
    _show(cluster.Cluster(settings_module.load().var).status())


def _show(state: cluster.Status) -> None:
    for name in ("running", "kept", "pid", "version", "data", "log", "socket"):
        click.echo(f"{name}: {getattr(state, name)}")
