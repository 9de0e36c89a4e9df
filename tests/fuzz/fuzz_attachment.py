"""Fuzzes what examines attachments: pictures, documents, and EXIF inside of a good photo; see fuzzing.py.

The first byte chooses. What the examining process does is done here in this one, so that its coverage guides. A file may
be refused for any reason; EXIF may not: a photo whose EXIF is broken is a photo without EXIF (edge 131).
"""

import io
import sys

import atheris
import fuzzing

sys.path.insert(0, str(fuzzing.ROOT))
with atheris.instrument_imports(include=["server.attachments", "PIL"]):
    from PIL import Image

    from server.attachments import decode
    from server.attachments.rules import REFUSALS, MediaType

PICTURE, DOCUMENT, EXIF = range(3)
MOST_PIXELS = 4_000_000
"""Less than in the service, so that a picture that may be decoded fits into the bounds on an input here."""


def photo() -> bytes:
    """Return a small JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (16, 8), (200, 120, 40)).save(out, "JPEG")
    return out.getvalue()


PHOTO = photo()


def with_exif(content: bytes) -> bytes:
    """Return the photo with these bytes as its EXIF."""
    told = b"Exif\0\0" + content[:60_000]
    return PHOTO[:2] + b"\xff\xe1" + (len(told) + 2).to_bytes(2) + told + PHOTO[2:]


def one(data: bytes) -> None:
    """Examine one file."""
    if not data:
        return
    kind, content = data[0] % 3, data[1:]
    target = io.BytesIO()
    if kind == EXIF:
        told = decode.examined(MediaType.JPEG, io.BytesIO(with_exif(content)), target)
        assert {told["width"], told["height"]} == {16, 8}
        assert b"Exif" not in target.getvalue()
        return
    declared = MediaType.PDF if kind == DOCUMENT else MediaType.JPEG
    try:
        decode.examined(declared, io.BytesIO(content), target)
    except decode.Refused as refused:
        _ = REFUSALS[refused.code]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  The examining process calls all of these "damaged" (decode.main).
        return


if __name__ == "__main__":
    decode.MOST_PIXELS = MOST_PIXELS  # type: ignore[misc]  # See above.
    fuzzing.fuzz(one)
