"""Which format a file has, told by its content, and what a zip holds, without trusting a word of its directory."""

import io
import zipfile
import zlib
from dataclasses import dataclass

from geo.faults import unreadable
from geo.reading.raw import Limits
from geo.reading.words import clip

_ARCHIVE_MAGIC = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"Rar!",
    b"7z\xbc\xaf\x27\x1c",
    b"BZh",
    b"\xfd7zXZ\x00",
)
_ARCHIVE_ENDINGS = (".zip", ".kmz", ".rar", ".7z", ".gz", ".tgz", ".bz2", ".xz", ".tar")
_SHP_MAGIC = b"\x00\x00\x27\x0a"
_SQLITE_MAGIC = b"SQLite format 3\x00"
_MAGICS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (_SQLITE_MAGIC, "geopackage"),
    (_SHP_MAGIC, "shp"),
    *((magic, "archive") for magic in _ARCHIVE_MAGIC),
)
_ENCRYPTED = 0x1
_NAMED_IN_UTF8 = 0x800
_CHUNK_BYTES = 1 << 16
_RATIO_FROM_BYTES = 16 * 2**20  # Small members may compress as well as they like: padded .dbf rows do.


@dataclass(frozen=True, kw_only=True)
class Source:
    """One layer's bytes: the main part and, for a Shapefile, its sidecars by ending ("dbf", "shx", "prj", "cpg")."""

    format: str
    name: str
    main: bytes
    sidecars: dict[str, bytes]


def format_of(data: bytes) -> str | None:
    """Tell the format of some bytes: "zip", "geopackage", "shp", "kml", "geojson", "archive" or None."""
    head = data[:4096]
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    text = _ascii_of(head)
    if text.startswith(("{", "[")):
        return "geojson"
    return "kml" if text.startswith("<") and "kml" in text.lower() else None


def _ascii_of(head: bytes) -> str:
    """Give the ASCII part of a text's beginning, whatever its Unicode encoding."""
    return (
        head.replace(b"\x00", b"")
        .removeprefix(b"\xef\xbb\xbf")
        .lstrip(b"\xff\xfe")
        .decode("ascii", "ignore")
        .lstrip()
    )


def open_source(data: bytes, filename: str, *, layer: str | None, limits: Limits) -> Source:
    """Find the layer to read in a file's bytes. Raises UnreadableFileError when there is none, or several."""
    if not data:
        raise unreadable("file-empty")
    if len(data) > limits.file_bytes:
        raise unreadable("file-too-large", bytes=len(data), limit_bytes=limits.file_bytes)
    kind = format_of(data)
    if kind == "zip":
        return _from_zip(data, layer=layer, limits=limits)
    if kind in ("geojson", "kml", "geopackage"):
        return Source(format=kind, name=_stem(filename), main=data, sidecars={})
    raise unreadable(
        {"shp": "shapefile-not-zipped", "archive": "archive-unsupported"}.get(kind or "", "format-unknown")
    )


def _stem(path: str) -> str:
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0]


def _shown(member: zipfile.ZipInfo) -> str:
    """Give a member's name for people: Chinese tools write GBK names without saying so (PKWARE 4.4.4 bit 11)."""
    if member.flag_bits & _NAMED_IN_UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return member.filename


class _Archive:
    """A zip whose members are read one by one with a bound on what they may unpack to in all."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        self._packed_bytes = len(data)
        self._unpacked_bytes = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, IndexError) as error:
            raise unreadable("zip-broken", reason=clip(error)) from error
        self.members = [
            member for member in self._zip.infolist() if not member.filename.endswith(("/", "\\"))
        ]
        if len(self.members) > limits.zip_members:
            raise unreadable(
                "zip-too-many-members", members=len(self.members), limit_members=limits.zip_members
            )
        for member in self.members:
            if member.flag_bits & _ENCRYPTED:
                raise unreadable("zip-encrypted")
            if member.filename.lower().endswith(_ARCHIVE_ENDINGS):
                raise unreadable("zip-nested", member=clip(_shown(member)))

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Unpack one member in chunks, counting what comes out and not what the directory claims."""
        pieces = []
        try:
            with self._zip.open(member) as stream:
                while piece := stream.read(_CHUNK_BYTES):
                    pieces.append(piece)
                    self._count(len(piece))
        except (
            zipfile.BadZipFile,
            zlib.error,
            ValueError,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise unreadable("zip-broken", reason=clip(error)) from error
        data = b"".join(pieces)
        if data.startswith(_ARCHIVE_MAGIC):
            raise unreadable("zip-nested", member=clip(_shown(member)))
        return data

    def _count(self, more_bytes: int) -> None:
        self._unpacked_bytes += more_bytes
        allowed_bytes = self._limits.unzipped_bytes
        beyond_ratio = self._unpacked_bytes > max(
            _RATIO_FROM_BYTES, self._packed_bytes * self._limits.zip_ratio
        )
        if self._unpacked_bytes > allowed_bytes or beyond_ratio:
            raise unreadable("zip-bomb", limit_bytes=allowed_bytes, limit_ratio=self._limits.zip_ratio)


def _from_zip(data: bytes, *, layer: str | None, limits: Limits) -> Source:
    archive = _Archive(data, limits)
    mains = [
        member
        for member in archive.members
        if _ending(member) in ("shp", "geojson", "json", "gpkg", "kml") and not _is_clutter(member)
    ]
    if not mains:
        raise unreadable("layer-none")
    main = _chosen(mains, layer)
    content = archive.read(main)
    if _ending(main) == "shp":
        return Source(
            format="shapefile",
            name=_stem(_shown(main)),
            main=content,
            sidecars={
                _ending(member): archive.read(member)
                for member in archive.members
                if _is_sidecar(member, main) and _ending(member) in ("shx", "dbf", "prj", "cpg")
            },
        )
    kind = format_of(content)
    if kind not in ("geojson", "kml", "geopackage"):
        raise unreadable("format-unknown")
    return Source(format=kind, name=_stem(_shown(main)), main=content, sidecars={})


def _ending(member: zipfile.ZipInfo) -> str:
    return member.filename.rsplit(".", 1)[-1].lower()


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    """Tell the shadow files that macOS adds to every zip."""
    return member.filename.startswith("__MACOSX/") or _stem(member.filename).startswith("._")


def _is_sidecar(member: zipfile.ZipInfo, main: zipfile.ZipInfo) -> bool:
    return member.filename.rsplit(".", 1)[0].lower() == main.filename.rsplit(".", 1)[0].lower()


def _chosen(mains: list[zipfile.ZipInfo], layer: str | None) -> zipfile.ZipInfo:
    names = [_stem(_shown(member)) for member in mains]
    if layer is not None and (len(mains) > 1 or layer in names):
        if layer not in names:
            raise unreadable("layer-unknown", layer=clip(layer), layers=clip(", ".join(names)))
        return mains[names.index(layer)]
    if len(mains) > 1:
        raise unreadable("layer-choose", layers=clip(", ".join(names)))
    return mains[0]
