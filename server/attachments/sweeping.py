"""What is swept at night: rows of what was never finished or attached, then every file that no row names.

The two are jobs of their own, in this order: files go by what is committed. Each file that no row names is looked at
again under the lock under which a row would come to name it (service.py).
"""

import contextlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock
from server import settings as settings_module
from server.attachments import queries
from server.attachments.service import Stores
from server.attachments.storage import Stored
from server.places.rules import midnight

YOUNG: Final = timedelta(hours=1)
"""A file younger than this may belong to a request that is not over yet."""
A_NIGHT: Final = 2_000
"""Files deleted in one night at most, each of them under a lock; the rest is swept in the next."""
_AT_ONCE: Final = 500
_STORES: list[Stores] = []


def use(stores: Stores | None) -> None:
    """Sweep these from now on; None: those of the environment's settings."""
    _STORES[:] = [] if stores is None else [stores]


def _stores() -> Stores:
    return _STORES[0] if _STORES else Stores.of(settings_module.load())


def forget(session: orm.Session, day: date) -> dict[str, object]:
    """Forget what was never attached to anything, let fade what has had its time, and places that are due."""
    settings = _stores().settings
    unlinked = clock.now() - timedelta(hours=settings.attachment_unlinked_h)
    kept = midnight(day - timedelta(days=settings.attachments_kept_days))
    # The function itself lets no place go whose month is not over, locked and past its appeals.
    due = {
        "forget_attachments": unlinked,
        "fade_attachments": kept,
        "forget_attachment_places": midnight(day),
    }
    found: dict[str, object] = {}
    for function, before in due.items():
        named = getattr(sa.func.public, function)
        found[function] = int(session.execute(sa.select(named(before, 20_000))).scalar_one())
    return found


def sweep(session: orm.Session, _day: date) -> dict[str, object]:
    """Delete contents and pieces that no row names; return how many."""
    stores, before = _stores(), clock.now() - YOUNG
    parts = sum(_swept_parts(session, stores.incoming.folder, before))
    contents = sum(islice(_swept_contents(session, stores, before), A_NIGHT))
    return {"contents": contents, "parts": parts}


def _swept_contents(session: orm.Session, stores: Stores, before: datetime) -> Iterator[int]:
    old = (each for each in stores.storage.listed() if each.written_at < before.timestamp())
    while some := list(islice(old, _AT_ONCE)):
        for each in _unnamed(session, some):
            queries.one_at_a_time(session, each.name)
            if not queries.named(session, [each.name]):
                stores.storage.delete(each.name)
                yield 1


def _unnamed(session: orm.Session, some: list[Stored]) -> list[Stored]:
    known = queries.named(session, [each.name for each in some])
    return [each for each in some if each.name not in known]


def _swept_parts(session: orm.Session, folder: Path, before: datetime) -> Iterator[int]:
    """Delete uploads that nobody goes on with, and drafts that a crash left behind."""
    names = folder.iterdir() if folder.is_dir() else iter(())
    while some := list(islice(names, _AT_ONCE)):
        ids = {path: _id_of(path) for path in some}
        waited_for = queries.arriving(session, [each for each in ids.values() if each is not None])
        for path, attachment_id in ids.items():
            with contextlib.suppress(FileNotFoundError):
                young = path.stat().st_mtime >= before.timestamp()
                if young or (path.suffix == ".part" and attachment_id in waited_for):
                    continue
                path.unlink()
                yield 1


def _id_of(path: Path) -> UUID | None:
    try:
        return UUID(path.name.partition(".")[0])
    except ValueError:
        return None
