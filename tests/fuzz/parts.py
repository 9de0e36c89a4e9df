"""Files made of parts: an input is a few parts with their lengths before them, so that a fuzzer can change one part.

A zip archive's own bytes hide what is inside from a mutator: nearly every change breaks a checksum. So inputs hold the
members as they are, and the target packs them.
"""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence


def joined(parts: Sequence[bytes]) -> bytes:
    """Return parts as one input."""
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)


def divided(data: bytes, count: int) -> list[bytes]:
    """Return `count` parts of an input; lengths that cannot be are cut, what is missing is empty."""
    parts = []
    for _ in range(count):
        (length,) = struct.unpack(">H", data[:2]) if len(data) >= 2 else (0,)
        parts.append(data[2 : 2 + length])
        data = data[2 + length :]
    return parts


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of those members that hold anything; stored, because packing would only cost time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            if content:
                archive.writestr(name, content)
    return target.getvalue()


def members(data: bytes, names: Sequence[str]) -> list[bytes]:
    """Return the named members of a zip archive, empty where it has none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        present = set(archive.namelist())
        return [archive.read(name) if name in present else b"" for name in names]


def unzipped(data: bytes) -> dict[str, bytes]:
    """Return every member of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
