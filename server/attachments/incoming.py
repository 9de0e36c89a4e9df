"""Uploads on their way: one file each, as long as what has arrived. Its length is the offset; no row repeats it.

Bytes are appended under a lock and only at the end, so a connection that was given up and comes to life again cannot
write over what its successor sent. They are on the disk before the offset is told.
"""

import fcntl
import os
import secrets
from pathlib import Path
from uuid import UUID

from server.attachments.storage import StorageFault
from server.postgres import sync_folder


class Elsewhere(Exception):
    """The upload stands at another offset than was said."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the offset is {offset}")
        self.offset = offset


class Incoming:
    """The folder of uploads that are not finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, attachment_id: UUID) -> Path:
        """Return the file of an upload. Its name is made of the id's 128 bits, never of a caller's text."""
        return self.folder / f"{attachment_id}.part"

    def draft(self, attachment_id: UUID) -> Path:
        """Return a new name for what is made of an upload."""
        return self.folder / f"{attachment_id}.{secrets.token_hex(8)}.out"

    def offset(self, attachment_id: UUID) -> int:
        """Return how many bytes have arrived."""
        try:
            return self.part(attachment_id).stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as fault:
            raise StorageFault(f"uploads cannot be read: {fault.strerror}") from fault

    def append(self, attachment_id: UUID, at: int, data: bytes, *, most: int, last: bool) -> int:
        """Write `data` at the end, which must be `at`; return the new offset. With `last` it is on the disk.

        Raises Elsewhere when the end is elsewhere or `most` would be passed, StorageFault when the disk refuses; then
        nothing was written.
        """
        try:
            fresh = not self.folder.exists()
            if fresh:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.part(attachment_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                size = os.fstat(handle).st_size
                if size != at or size + len(data) > most:
                    raise Elsewhere(size)
                _write(handle, data, at)
                if last:
                    os.fsync(handle)
            finally:
                os.close(handle)
            if last and at == 0:
                sync_folder(self.folder)
        except OSError as fault:
            raise StorageFault(f"uploads cannot be written: {fault.strerror}") from fault
        return at + len(data)

    def drop(self, attachment_id: UUID) -> None:
        """Forget what has arrived of an upload."""
        try:
            self.part(attachment_id).unlink(missing_ok=True)
        except OSError as fault:
            raise StorageFault(f"uploads cannot be removed: {fault.strerror}") from fault


def _write(handle: int, data: bytes, at: int) -> None:
    """Write all of it, or leave the file as it was: a full disk takes a part."""
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(handle, data[done:], at + done)
    except OSError:
        os.ftruncate(handle, at)
        raise
