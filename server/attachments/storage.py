"""Where contents lie: behind one small protocol, a folder here or a store that speaks S3 (s3.py).

A content is called by the SHA-256 of its bytes, so it is written once and never changed, and two equal ones are one.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from server import problems
from server.postgres import sync_folder
from server.problems import Problem
from server.settings import Settings

CONTENT: Final = "content"
"""The folder's part in which contents lie; beside it are those that arrive."""
PIECE: Final = 1 << 18
"""Bytes read, sent or written at once: what one transfer keeps in memory."""


class StorageFault(Exception):
    """Storage cannot be read or written. The text says what failed, never with a secret in it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One content: its name, bytes, and when it was written (seconds since 1970)."""

    name: str
    size: int
    written_at: float


class Storage(Protocol):
    """Contents by name. Every method raises StorageFault when the store cannot be reached or refuses."""

    def put(self, name: str, source: Path) -> None:
        """Keep a whole file under a name, durably; nothing happens when the name is there. `source` may be moved away."""

    def read(self, name: str, first: int, size: int) -> Iterator[bytes]:
        """Yield `size` bytes from `first` on, in pieces. Raises StorageFault before the first when they are not there."""

    def delete(self, name: str) -> None:
        """Forget a content; one that is not there is no fault."""

    def listed(self) -> Iterator[Stored]:
        """Yield every content, by name."""

    def probe(self) -> None:
        """Write, read and delete something."""


class Folder:
    """Contents in a folder: ``ab/cdef...``, readable by their owner alone, outside of anything that is served."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, source: Path) -> None:
        """Move the file to its place: it is synced first, and the rename shows it whole or not at all."""
        target = self.path(name)
        try:
            if target.exists():
                source.unlink()
                return
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with source.open("rb") as file:
                os.fsync(file.fileno())
            source.chmod(0o400)
            source.rename(target)
            for folder in (target.parent, self.root):
                sync_folder(folder)
        except OSError as fault:
            raise StorageFault(f"{target.name[:8]}… cannot be written: {fault.strerror}") from fault

    def read(self, name: str, first: int, size: int) -> Iterator[bytes]:
        """Yield the bytes; a file that is too short ends it with StorageFault."""
        place = self.path(name)
        try:
            place.open("rb").close()
        except OSError as fault:
            raise StorageFault(f"{name[:8]}… cannot be read: {fault.strerror}") from fault

        def pieces() -> Iterator[bytes]:
            left = size
            with place.open("rb") as file:  # Here, so that an answer that nobody takes leaves nothing open.
                file.seek(first)
                while left:
                    piece = file.read(min(PIECE, left))
                    if not piece:
                        raise StorageFault(f"{name[:8]}… is shorter than it was")
                    left -= len(piece)
                    yield piece

        return pieces()

    def delete(self, name: str) -> None:
        """Remove the file."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as fault:
            raise StorageFault(f"{name[:8]}… cannot be removed: {fault.strerror}") from fault

    def listed(self) -> Iterator[Stored]:
        """Walk through the folder."""
        for part in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(part.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    told = path.stat()
                    yield Stored(part.name + path.name, told.st_size, told.st_mtime)

    def probe(self) -> None:
        """Try it with a file of its own."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            tried = self.root / f".probe-{os.getpid()}-{time.monotonic_ns()}"
            tried.write_bytes(b"zaicun")
            tried.unlink()
        except OSError as fault:
            raise StorageFault(f"{self.root}: {fault.strerror}") from fault

    def path(self, name: str) -> Path:
        """Return where a content lies. Raises ValueError for what is not the name of one."""
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):  # noqa: PLR2004  SHA-256 in hexadecimal.
            raise ValueError("not the name of a content")
        return self.root / name[:2] / name[2:]


def digest_of(path: Path) -> bytes:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def folder_of(settings: Settings) -> Path:
    """Return the folder of attachments; uploads on their way lie in it even where contents go to S3."""
    return settings.attachments or settings.var / "attachments"


def opened(settings: Settings) -> Storage:
    """Return the storage that the settings name."""
    if settings.attachments_s3:
        from server.attachments.s3 import Bucket  # noqa: PLC0415  Loaded only where it is configured.

        return Bucket(settings)
    return Folder(folder_of(settings) / CONTENT)


def unavailable() -> Problem:
    """Return the 503 of storage that cannot be used now."""
    return problems.later(problems.STORAGE_UNAVAILABLE, least_s=5)
