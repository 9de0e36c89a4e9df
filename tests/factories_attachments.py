"""Photos and documents for tests, and how a phone sends them."""

import hashlib
import io
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pikepdf
from PIL import Image

from server import ids

PIECE = {"Content-Type": "application/partial-upload"}


def picture(width: int = 320, height: int = 240, seed: int = 1) -> Image.Image:
    """Return a picture that no two seeds share."""
    small = random.Random(seed).randbytes(8 * 6 * 3)
    return Image.frombytes("RGB", (8, 6), small).resize((width, height), Image.Resampling.BICUBIC)


def noisy(width: int, height: int, seed: int = 1) -> bytes:
    """Return a JPEG that hardly packs: about a byte a pixel."""
    made = Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))
    return _saved(made, "JPEG", quality=90)


def _saved(made: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    made.save(out, form, **options)
    return out.getvalue()


def jpeg(width: int = 320, height: int = 240, seed: int = 1, **options: Any) -> bytes:
    """Return a JPEG."""
    return _saved(picture(width, height, seed), "JPEG", **options)


def png(width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Return a PNG."""
    return _saved(picture(width, height, seed), "PNG")


def webp(width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Return a WebP."""
    return _saved(picture(width, height, seed), "WEBP")


def exif(taken: datetime, *, lon: float, lat: float, orientation: int = 1) -> Image.Exif:
    """Return what a phone writes into a photo."""
    told = Image.Exif()
    told[0x010F], told[0x0112] = "MAKER-OF-THE-PHONE", orientation
    told.get_ifd(0x8769).update(
        {0x9003: taken.strftime("%Y:%m:%d %H:%M:%S"), 0x9011: taken.strftime("%z")[:3] + ":00"}
    )
    degrees = {2: lat, 4: lon}
    told.get_ifd(0x8825).update({1: "N" if lat >= 0 else "S", 3: "E" if lon >= 0 else "W"})
    for tag, value in degrees.items():
        minutes = abs(value) % 1 * 60
        told.get_ifd(0x8825)[tag] = (float(int(abs(value))), float(int(minutes)), minutes % 1 * 60)
    return told


def pdf(pages: int = 1, **info: str) -> bytes:
    """Return a PDF of empty pages."""
    out = io.BytesIO()
    with pikepdf.new() as document:
        for _ in range(pages):
            document.add_blank_page()
        for name, value in info.items():
            document.docinfo[f"/{name}"] = value
        document.save(out, deterministic_id=True)
    return out.getvalue()


def announcement(content: bytes, media_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    """Return the body that announces a file."""
    told = {"id": str(ids.new_id()), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {**told, "media_type": media_type, **more}


def announce(phone: httpx.Client, content: bytes, media_type: str = "image/jpeg", **more: Any) -> str:
    """Announce a file and return its id."""
    body = announcement(content, media_type, **more)
    phone.post("/v1/attachments", json=body).raise_for_status()
    return str(body["id"])


def send(phone: httpx.Client, one: str, content: bytes, *, at: int = 0, last: bool = True) -> httpx.Response:
    """Send a piece."""
    headers = {**PIECE, "Upload-Offset": str(at), "Upload-Complete": "?1" if last else "?0"}
    return phone.patch(f"/v1/attachments/{one}/upload", content=content, headers=headers)


def upload(
    phone: httpx.Client, content: bytes, media_type: str = "image/jpeg", **more: Any
) -> dict[str, Any]:
    """Announce and send a file in one piece; return what the service tells of it."""
    one = announce(phone, content, media_type, **more)
    told: dict[str, Any] = send(phone, one, content).raise_for_status().json()
    return told


def offset(phone: httpx.Client, one: str) -> int:
    """Return how much has arrived."""
    return int(phone.head(f"/v1/attachments/{one}/upload").raise_for_status().headers["Upload-Offset"])


def link(phone: httpx.Client, one: str) -> str:
    """Return a link to the content."""
    return str(phone.post(f"/v1/attachments/{one}/link").raise_for_status().json()["url"])


def stored(folder: Path) -> list[Path]:
    """Return every file of the attachments' folder, whatever it is."""
    return sorted(each for each in folder.rglob("*") if each.is_file())
