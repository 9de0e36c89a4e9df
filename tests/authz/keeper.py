"""Keeps worlds for the mutator: ``python -m authz.keeper N`` builds one, copies it N times, and waits for its end.

One line of JSON tells where they are; when the standard input closes, everything is dropped again.
"""

import json
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from authz.building import Builder, settings_of
from authz.world import NOW
from server import clock, cluster, migrate
from server.app import create_app
from server.cluster import Cluster
from server.db import Database

ROOT = Path(__file__).resolve().parents[2]


def main(copies: int) -> None:
    """Build, tell, wait, drop."""
    running = cluster.ensure(ROOT / "var" / "test", durable=False)
    first = f"zt_{uuid4().hex[:12]}"
    names = [f"{first}_{number}" for number in range(copies)]
    try:
        with tempfile.TemporaryDirectory(prefix="zaicun-authz-") as var:
            told = _build(running, first, Path(var))
            for name in names:
                running.create_database(name, template=first)
            urls = [running.dsn(cluster.APP_ROLE, name) for name in names]
            openapi = create_app(settings_of(urls[0], Path(var))).openapi()
            print(json.dumps({"var": var, "urls": urls, "world": told, "openapi": openapi}), flush=True)  # noqa: T201  What it is for.
            sys.stdin.read()
    finally:
        for name in (*names, first):
            running.drop_database(name)
        running.release()


def _build(running: Cluster, name: str, var: Path) -> str:
    running.create_database(name)
    migrate.upgrade(running.dsn(cluster.OWNER_ROLE, name), cluster.APP_ROLE)
    clock.use(lambda: NOW)
    owner = Database(running.dsn(cluster.OWNER_ROLE, name), pool_size=2)
    world = Builder(owner, settings_of(running.dsn(cluster.APP_ROLE, name), var)).build()
    owner.close()
    return world.to_json()


if __name__ == "__main__":
    main(int(sys.argv[1]))
