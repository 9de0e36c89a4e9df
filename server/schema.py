"""Every table of the product in one place, for migrations, grants and tests."""

import importlib
import pkgutil

import server
from server import audit, db

METADATA = db.Base.metadata


def load() -> None:
    """Import every room's models, so that the metadata is whole."""
    assert audit.AuditEntry.__table__ is not None  # noqa: S101  Imported for its table.
    for room in pkgutil.iter_modules(server.__path__, "server."):
        if room.ispkg and room.name != "server.migrations":
            for part in pkgutil.iter_modules(importlib.import_module(room.name).__path__, room.name + "."):
                if part.name.endswith(".models"):
                    importlib.import_module(part.name)


load()
