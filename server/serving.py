"""The commands that run the service: serve, migrate, and the embedded database."""

import os
import signal
import sys

import click
import sqlalchemy as sa
import uvicorn

from server import cluster, logs, migrate, runtime, worker
from server import settings as settings_module
from server.console import plainly, say
from server.patience import Patient, raise_file_limit
from server.settings import SettingsFault


def _set(**given: object) -> None:
    """Put options into the environment: worker processes read their settings from there anew."""
    os.environ.update({f"ZAICUN_{name}": str(value) for name, value in given.items() if value is not None})


WORKER_SILENT_S = 60
"""A worker that says nothing for so long is replaced. Uvicorn's own 5 s are less than importing takes on a busy machine:
there each worker was killed before it had begun, again and again."""


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
    worker.configure(given)
    with runtime.ready(given, logs.say) as settings, worker.counting(settings) as folder:
        _set(METRICS_DIR=folder)
        _set(DATABASE_URL=settings.database_url, OWNER_DATABASE_URL=settings.owner_database_url)
        logs.say(f"zaicun serves on http://{settings.host}:{settings.port}")
        # Uvicorn raises the signal again once it has drained; without a handler that would end this process before it
        # could release the embedded database.
        signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
        raise_file_limit()
        uvicorn.run(
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
            timeout_worker_healthcheck=WORKER_SILENT_S,
        )


@click.command("migrate")
@plainly
def migrate_command() -> None:
    """Bring the database to the present schema, as its owner."""
    settings = settings_module.load()
    if not settings.database_url:
        with runtime.ready(settings, say):
            say("The embedded database is up to date.")
        return
    if not settings.owner_database_url:
        raise SettingsFault(
            "ZAICUN_OWNER_DATABASE_URL must name the owner of the tables; the service's role cannot migrate."
        )
    role = sa.make_url(settings.database_url).username
    if not role:
        raise SettingsFault(
            "ZAICUN_DATABASE_URL must name the role of the service (postgresql://role@host/database)."
        )
    migrate.upgrade(settings.owner_database_url, role, say=say)
    runtime.mark(settings)
    say("The database is up to date.")


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
