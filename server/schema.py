"""Every table of the product in one place, for migrations, grants and tests."""

import importlib
import pkgutil

import server
from server import audit, clock_steps, db, installation, jobs, looks, revisions, state

METADATA = db.Base.metadata
OWN = (
    audit.AuditEntry,
    clock_steps.ClockStep,
    installation.Installation,
    jobs.JobRun,
    looks.Look,
    state.StateVersion,
    revisions.SchemaRevision,
)  # The tables that belong to no room.


def load() -> None:
    """Import every room's models, so that the metadata is whole."""
    for room in pkgutil.iter_modules(server.__path__, "server."):
        if room.ispkg and room.name != "server.migrations":
            for part in pkgutil.iter_modules(importlib.import_module(room.name).__path__, room.name + "."):
                if part.name.endswith(".models"):
                    importlib.import_module(part.name)


load()
