"""The file of a backup: a zip (stored, so that any tool opens it) of the dump, the keys and a manifest with checksums.

It is written as a file without a name, which the kernel forgets when the program is killed, and gets its name when it
is whole and on the disk. It holds people's records and may hold keys, so nobody but its owner may read it (0600).
"""

import contextlib
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from server.postgres import sync_folder

FORMAT = 1
MANIFEST, DUMP, SEALED, KEYS = "manifest.json", "database.dump", "keys.sealed", "keys/"
ATTACHMENTS = "attachments/"
CHUNK = 1 << 20
_MOST_MANIFEST = 1 << 20


class BackupFault(Exception):
    """A backup that cannot be made, read or restored. The text says why and what to do."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(f"{en}\n{zh}")
        self.en = en
        self.zh = zh


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `counts`: rows of each table; `members`: SHA-256 and bytes of each part."""

    id: str
    made_at: str  # UTC, ISO 8601: the instant of the snapshot.
    version: str  # Of zaicun.
    district: str
    schema: str | None  # Alembic's revision; None: only keys.
    postgresql: int | None  # The server's major version.
    counts: Mapping[str, int]
    keys: str  # "plain", "sealed" or "left out".
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT


class Writer:
    """The parts of a backup, one after the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, source: IO[bytes]) -> None:
        """Add a part of unknown length, read to its end."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as member:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        self._members[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, which names every part, and return it."""
        manifest.members.update(self._members)
        text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1)
        self._zip.writestr(MANIFEST, text.encode())
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        self._zip.close()


@contextlib.contextmanager
def written(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `target` when the block ends, whole and on the disk, or never exists.

    Raises BackupFault when `target` exists: a backup is never overwritten.
    """
    if target.exists():
        raise _exists(target)
    try:
        with _nameless(target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(file, target)
        sync_folder(target.parent)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as fault:
        raise BackupFault(f"{target} cannot be written: {fault}.", f"无法写入 {target}: {fault}。") from fault


def _exists(target: Path) -> BackupFault:
    return BackupFault(
        f"{target} exists and is not overwritten; name another file.",
        f"{target} 已存在, 不会覆盖, 请换一个文件名。",
    )


@contextlib.contextmanager
def _nameless(target: Path) -> Iterator[IO[bytes]]:
    """Open a file without a name (open(2), O_TMPFILE); file systems that know none, as of USB sticks, get a hidden one."""
    try:
        handle = os.open(target.parent, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as refused:
        if not target.parent.is_dir():
            raise NotADirectoryError(f"{target.parent} is not a folder") from refused
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
        finally:
            draft.unlink(missing_ok=True)
        return
    with os.fdopen(handle, "w+b") as file:
        yield file


def _name(file: IO[bytes], target: Path) -> None:
    """Give the open file its name, refusing one that is taken."""
    own = f"/proc/self/fd/{file.fileno()}"
    if not Path(own).readlink().name.endswith(".new"):
        # Only with a folder's descriptor does Python ask linkat to follow the link, which is how a name is given.
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(own, target.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
    elif target.exists():
        raise FileExistsError(target)
    else:
        Path(own).readlink().rename(target)  # Such file systems have no links; nobody else makes this name.


class Reader:
    """A backup that is read. Raises BackupFault for a file that is none, or is damaged."""

    def __init__(self, source: Path) -> None:
        self.source = source
        with contextlib.ExitStack() as until_it_is_read:
            try:
                self._zip = until_it_is_read.enter_context(zipfile.ZipFile(source))
                self.manifest = _manifest(self._zip)
            except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as fault:
                raise BackupFault(
                    f"{source} is not a backup of zaicun, or not a whole one ({fault}).",
                    f"{source} 不是在村的备份文件, 或不完整 ({fault})。",
                ) from fault
            if self.manifest.format != FORMAT:
                raise BackupFault(
                    f"{source} was made by a newer zaicun ({self.manifest.version}); restore it with that version.",
                    f"{source} 由更新版本 ({self.manifest.version}) 生成, 请用该版本恢复。",
                )
            until_it_is_read.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        self._zip.close()

    def names(self, prefix: str) -> list[str]:
        """Return the parts whose names begin so."""
        return [name for name in self.manifest.members if name.startswith(prefix)]

    def verify(self) -> None:
        """Read everything and compare it with the manifest. Raises BackupFault that names the damaged part."""
        for name, expected in self.manifest.members.items():
            digest, size = hashlib.sha256(), 0
            try:
                with self._zip.open(name) as member:
                    while chunk := member.read(CHUNK):
                        digest.update(chunk)
                        size += len(chunk)
            except (OSError, KeyError, zipfile.BadZipFile, EOFError):
                size = -1
            if (digest.hexdigest(), size) != (expected["sha256"], expected["bytes"]):
                raise BackupFault(
                    f"{name} in {self.source} is damaged: its checksum differs. Use another copy or another backup.",
                    f"{self.source} 中的 {name} 已损坏 (校验和不符), 请使用另一份备份。",
                )

    def open(self, name: str) -> IO[bytes]:
        """Open a part."""
        return self._zip.open(name)


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    with archive.open(MANIFEST) as member:
        given = json.loads(member.read(_MOST_MANIFEST))
    if given["format"] > FORMAT:
        # A later format may have other fields; only what tells its version is needed.
        known = {name: given.get(name) for name in Manifest.__dataclass_fields__}
        return Manifest(**known)
    return Manifest(**given)
