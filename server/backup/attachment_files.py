"""The contents of attachments in a backup, and how they are put back.

Those that lie in the folder go with the backup: exactly those that its snapshot of the rows names. Those that lie in an
S3 store stay there; the store keeps copies of its own, and the rows find them again.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg

from server.attachments.storage import CONTENT, Folder, StorageFault, folder_of
from server.backup.archive import ATTACHMENTS, CHUNK, BackupFault, Reader, Writer
from server.settings import Settings


def add(writer: Writer, connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Add the contents that the snapshot names, and return those that are not there."""
    if settings.attachments_s3:
        return []
    place, missing = Folder(folder_of(settings) / CONTENT), []
    for name in _named(connection):
        try:
            with place.path(name).open("rb") as file:
                writer.add(ATTACHMENTS + name, file)
        except FileNotFoundError:
            missing.append(name)
        except OSError as fault:
            raise BackupFault(
                f"The attachments in {place.root} cannot be read: {fault}.",
                f"无法读取 {place.root} 中的附件: {fault}。",
            ) from fault
    return missing


def _named(connection: psycopg.Connection) -> Iterator[str]:
    known = connection.execute("SELECT to_regclass('public.attachments') IS NOT NULL").fetchone()
    if not known or not known[0]:
        return  # A database of before attachments.
    query = "SELECT DISTINCT content FROM public.attachments WHERE state = 'ready' ORDER BY content"
    for (name,) in connection.execute(query):
        yield str(name)


def put_back(reader: Reader, settings: Settings) -> int:
    """Write the contents of a backup into the folder, each whole or not at all; return how many there were.

    What the folder holds besides stays: the sweep takes what no row names. Raises BackupFault.
    """
    folder = folder_of(settings)
    place, number = Folder(folder / CONTENT), 0
    try:
        for part in reader.names(ATTACHMENTS):
            name = part.removeprefix(ATTACHMENTS)
            # The content's name is its checksum, and the backup's parts were verified.
            if reader.manifest.members[part]["sha256"] != name:
                raise BackupFault(f"{part} is not what its name says.", f"{part} 与其名称不符。")
            place.put(name, _copied(reader, part, folder / "incoming"))
            number += 1
    except (OSError, StorageFault) as fault:
        raise BackupFault(
            f"The attachments cannot be written to {folder}: {fault}.", f"附件无法写入 {folder}: {fault}。"
        ) from fault
    return number


def _copied(reader: Reader, part: str, folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"{secrets.token_hex(16)}.out"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file, reader.open(part) as given:
        while chunk := given.read(CHUNK):
            file.write(chunk)
    return draft
