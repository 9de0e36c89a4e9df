"""The other end of decoding.py: looks at one untrusted file inside of bounds, writes what is kept of it, and ends.

Nothing of a sent file is stored as it came. A picture is decoded and encoded anew, upright and without any of its
metadata; a PDF is taken apart by qpdf and written anew from the objects that its pages reach. So whatever else hid in
the file (a second file behind its end, a script in a comment, a place in the EXIF) is not in what is served.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, BinaryIO, Final

from geo.sandbox_worker import bind
from server.attachments.rules import MediaType

MOST_PIXELS: Final = 36_000_000
LONGEST_SIDE: Final = 3072
"""Pixels of the longer side of what is kept: an A4 page at 260 dots per inch, enough to read small print."""
MOST_OBJECTS: Final = 100_000
"""Objects of a PDF, and the containers inside of them: a report of 500 pages has some 10,000."""
_HEAD: Final = 1024
_ORIENTATION, _EXIF, _GPS = 0x0112, 0x8769, 0x8825
_TAKEN, _OFFSET = 0x9003, 0x9011
_CHINA: Final = timezone(timedelta(hours=8))
_HEIF: Final = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_OFFICE: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"Rar!",
    b"7z\xbc\xaf",
    b"{\\rtf",
)
_ACTIVE_KEYS: Final = frozenset({
    "/AA", "/JS", "/JavaScript", "/EF", "/EmbeddedFiles", "/AF", "/XFA", "/RichMedia", "/RichMediaContent", "/Launch",
    "/RichMediaSettings", "/Collection",
})  # fmt: skip
_ACTIONS: Final = frozenset({
    "/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition", "/Movie", "/Sound", "/Trans",
    "/RichMediaExecute", "/GoTo3DView", "/ResetForm", "/Thread",
})  # fmt: skip
_SUBTYPES: Final = frozenset({"/RichMedia", "/Movie", "/Sound", "/Screen", "/3D", "/FileAttachment"})
_TELLING: Final = ("/Metadata", "/PieceInfo", "/LastModified")


class Refused(Exception):
    """The file is not taken; `code` is one of rules.REFUSALS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def main(arguments: list[str]) -> None:
    """Read the file on standard input, write what is kept to the given descriptor, tell about it on standard output."""
    declared, output = MediaType(arguments[0]), int(arguments[1])
    bind(int(arguments[2]), int(arguments[3]), file_bytes=int(arguments[4]))
    try:
        with os.fdopen(0, "rb") as source, os.fdopen(output, "wb") as target:
            told = examined(declared, source, target)
    except Refused as refused:
        told = {"refused": refused.code}
    except MemoryError:
        told = {"refused": "too-complex"}
    except Exception:  # noqa: BLE001  The libraries raise whatever their parts raise; all of it means one thing.
        told = {"refused": "damaged"}
    sys.stdout.write(json.dumps(told))


def examined(declared: MediaType, source: BinaryIO, target: BinaryIO) -> dict[str, Any]:
    """Write the kept form of a file and return what is known of it. Raises Refused."""
    found = _kind(source.read(_HEAD))
    source.seek(0)
    if (found is MediaType.PDF) != (declared is MediaType.PDF):
        raise Refused("other-type")
    return _document(source, target) if found is MediaType.PDF else _picture(found, source, target)


def _kind(head: bytes) -> MediaType:
    """Tell what a file is by how it begins; that it really is, its decoder finds out."""
    if head.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return MediaType.WEBP
    if head.startswith(b"%PDF-"):
        return MediaType.PDF
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        raise Refused("heic")
    raise Refused("office" if head.startswith(_OFFICE) else "not-allowed")


# --- pictures
def _picture(kind: MediaType, source: BinaryIO, target: BinaryIO) -> dict[str, Any]:
    from PIL import Image, ImageFile  # noqa: PLC0415  Loaded within the bounds, and only for pictures.

    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # Of a bomb that is less than twice too large Pillow only warns. Its other warnings are about EXIF, which may be broken.
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        picture = Image.open(source, formats=(kind.name,))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused("too-many-pixels") from None
    # A phone's JPEG may carry a second picture behind the first (MPO: depth, brightness); it is not decoded.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise Refused("animated")
    told = _told_by(picture)
    if kind is MediaType.JPEG:
        picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
    picture.load()
    upright = _TURNED.get(told.pop("orientation"))
    kept = picture.convert("RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB")
    kept.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if upright is not None:
        kept = kept.transpose(Image.Transpose(upright))
    clean = Image.frombytes(kept.mode, kept.size, kept.tobytes())  # The pixels and nothing else.
    if clean.mode == "RGBA" or kind is MediaType.PNG:
        stored = MediaType.PNG
        clean.save(target, "PNG", compress_level=3)
    else:
        stored = MediaType.JPEG
        clean.save(target, "JPEG", quality=88)
    return {"type": stored, "width": clean.width, "height": clean.height, **told}


_TURNED: Final = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF's orientation to Pillow's way of undoing it (Exif 2.32, tag 274; PIL.ImageOps.exif_transpose)."""


def _told_by(picture: Any) -> dict[str, Any]:  # noqa: ANN401  Pillow is loaded late.
    """Return what the EXIF says of orientation, time and place. Information only, so what is broken says nothing."""
    told: dict[str, Any] = {"orientation": 1}
    try:
        exif = picture.getexif()
        told["orientation"] = int(exif.get(_ORIENTATION, 1))
        told |= _time(exif.get_ifd(_EXIF))
        told |= _place(exif.get_ifd(_GPS))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  EXIF is written by everything; what cannot be read is not there.
        return told
    return told


def _time(tags: dict[int, Any]) -> dict[str, Any]:
    if _TAKEN not in tags:
        return {}
    offset = str(tags.get(_OFFSET, "")).strip("\0 ")
    taken = datetime.strptime(str(tags[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007  Its zone is the next line's.
    zone = datetime.strptime(offset, "%z").tzinfo if offset else _CHINA
    return {"taken_at": taken.replace(tzinfo=zone).astimezone(UTC).isoformat()}


def _place(tags: dict[int, Any]) -> dict[str, Any]:
    if not {1, 2, 3, 4} <= tags.keys():
        return {}
    found = {}
    for axis, mark, value, least in (("lat", 1, 2, "S"), ("lon", 3, 4, "W")):
        degrees, minutes, seconds = (float(each) for each in tags[value])
        size = degrees + minutes / 60 + seconds / 3600
        found[f"{axis}_e7"] = round((-size if str(tags[mark]).upper().startswith(least) else size) * 1e7)
    if abs(found["lat_e7"]) > 900_000_000 or abs(found["lon_e7"]) > 1_800_000_000:  # noqa: PLR2004  The globe, in 1e-7 degrees.
        return {}
    return found


# --- documents
def _document(source: BinaryIO, target: BinaryIO) -> dict[str, Any]:
    import pikepdf  # noqa: PLC0415  As Pillow above.

    try:
        document = pikepdf.open(
            source, suppress_warnings=True, attempt_recovery=False, access_mode=pikepdf.AccessMode.stream
        )
    except pikepdf.PasswordError:
        raise Refused("encrypted") from None
    with document:
        if document.is_encrypted:
            raise Refused("encrypted")
        # First what it says itself, because counting takes seconds where there are many; then the truth.
        if int(document.trailer.get("/Size", 0)) > MOST_OBJECTS or len(document.objects) > MOST_OBJECTS:
            raise Refused("too-complex")
        pages = len(document.pages)
        if not pages:
            raise Refused("damaged")
        for each in _containers(document):
            _refuse_active(each)
            for name in _TELLING:
                if name in each:
                    del each[name]
        if "/Info" in document.trailer:
            del document.trailer["/Info"]
        document.save(target, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return {"type": MediaType.PDF, "pages": pages}


def _containers(document: Any) -> Iterator[Any]:  # noqa: ANN401  pikepdf is loaded late.
    """Yield every dictionary of a document, those of streams and those that lie inside of others too."""
    import pikepdf  # noqa: PLC0415  As above.

    seen = 0
    waiting = [document.trailer, *document.objects]
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > MOST_OBJECTS:
            raise Refused("too-complex")
        if isinstance(one, pikepdf.Array):
            waiting += [each for each in one if _inside(each, pikepdf)]
        elif isinstance(one, pikepdf.Dictionary | pikepdf.Stream):
            yield one
            waiting += [each for _, each in one.items() if _inside(each, pikepdf)]


def _inside(one: Any, pikepdf: Any) -> bool:  # noqa: ANN401  As above.
    """Tell whether this is a container with no number of its own; those with one are walked on their own."""
    return isinstance(one, pikepdf.Array | pikepdf.Dictionary) and not one.is_indirect


def _refuse_active(one: Any) -> None:  # noqa: ANN401  As above.
    keys = set(one.keys())
    if keys & _ACTIVE_KEYS:
        raise Refused("active")
    if "/S" in keys and str(one["/S"]) in _ACTIONS:
        raise Refused("active")
    if "/Subtype" in keys and str(one["/Subtype"]) in _SUBTYPES:
        raise Refused("active")
