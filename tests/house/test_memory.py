"""What the processes of the service keep in memory before anybody has come (goal 3)."""

import subprocess
import sys

import pytest
from processes import Processes

from bench.serving import Running, memory

WORKER_MB = 143
"""Resident, a third of it pages of libraries that all workers share; 140 on 3.11 since reviews, corrections, notices, outages
and judging again came (sixty modules and thirty operations of ours, no new package; 129 before keys of phones, anchors,
receipts and privacy, 134 with them). What an operation costs is its types: 0.25 MB each. Check-ins add the villages kept."""
WATCHING_MB = 62
"""57 measured: the process above several workers imports no application."""


def loaded(module: str) -> set[str]:
    """Return the packages that are in memory after importing a module in a fresh process."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_a_worker_loads_nothing_that_only_commands_and_imports_need() -> None:
    modules = loaded("server.worker")
    assert {"server.app", "server.checkins.intake", "shapely"} <= modules
    elsewhere = {
        "alembic",  # Migrations run apart, server/preparing.py.
        "server.migrate",
        "server.safety",
        "server.cluster",
        "server.demo",
        "server.backup",
        "geo.boundaries",  # Files of boundaries are read when one comes.
        "geo.quality",
        "pyproj",
        "pyogrio",
        "sqlite3",
        "xml.etree.ElementTree",
        "server.roster.workbook",
        "prometheus_client.parser",
        "PIL",  # Attachments are examined in a subprocess,
        "pikepdf",
        "obstore",  # and go to S3 only where that is configured.
        "server.attachments.s3",
    }
    assert modules & elsewhere == set()


def test_the_process_above_the_workers_loads_no_application() -> None:
    modules = loaded("server.serving")
    assert "uvicorn" in modules
    assert modules & {"server.app", "server.db", "sqlalchemy", "numpy", "shapely", "alembic"} == set()


@pytest.mark.slow
def test_fresh_processes_keep_to_their_memory(two_workers: Processes) -> None:
    running = Running(int(two_workers.url.rpartition(":")[2]), two_workers.pid)
    workers = [memory(pid) for pid in running.workers()]
    assert len(workers) == 2
    assert max(each.rss_mb for each in workers) <= WORKER_MB, workers
    assert memory(two_workers.pid).rss_mb <= WATCHING_MB
