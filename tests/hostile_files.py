"""Files that must not be taken, each with the type it claims and the reason by which it is refused (security.md M15).

All are made here, byte by byte, so that nothing harmful lies in the tree.
"""

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pikepdf
from factories_attachments import jpeg, pdf, picture, png, webp
from PIL import Image

JPEG, PNG, WEBP, PDF = "image/jpeg", "image/png", "image/webp", "application/pdf"


@dataclass(frozen=True)
class Hostile:
    """One file. `reasons`: any of these codes is right."""

    name: str
    content: bytes
    claimed: str
    reasons: tuple[str, ...]


def corpus() -> list[Hostile]:
    """Return every file."""
    made = (_bombs, _cut_off, _other_pictures, _no_pictures, _noise, _broken_png, _active_pdf, _broken_pdf)
    return [Hostile(*each) for some in made for each in some()]


Told = tuple[str, bytes, str, tuple[str, ...]]


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG."""
    right = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", right if crc is None else crc)


def raw_png(
    width: int, height: int, packed: bytes, *, bits: int = 8, colour: int = 0, extra: bytes = b""
) -> bytes:
    """Return a PNG that says of itself what it likes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _bombs() -> Iterator[Told]:
    side = 19_000
    row = bytes(1 + (side + 7) // 8)
    squeezed = zlib.compress(row * side, 9)
    assert len(squeezed) < 64 << 10
    yield "bomb-19000.png", raw_png(side, side, squeezed, bits=1), PNG, ("too-many-pixels",)
    yield "bomb-claims-2-31.png", raw_png(2**31 - 1, 2**31 - 1, b""), PNG, ("too-many-pixels", "damaged")
    yield (
        "bomb-claims-65535.png",
        raw_png(65_535, 65_535, zlib.compress(bytes(1000))),
        PNG,
        ("too-many-pixels",),
    )
    yield "bomb-just-over.png", raw_png(6001, 6000, zlib.compress(bytes(100))), PNG, ("too-many-pixels",)
    yield "bomb-just-under.png", raw_png(6000, 5999, zlib.compress(bytes(100))), PNG, ("damaged",)
    yield "bomb-one-line.png", raw_png(2**31 - 1, 1, zlib.compress(bytes(100))), PNG, ("too-many-pixels",)
    plain = jpeg(64, 64)
    at = plain.index(b"\xff\xc0") + 5
    yield (
        "bomb-claims-65500.jpg",
        plain[:at] + struct.pack(">HH", 65_500, 65_500) + plain[at + 4 :],
        JPEG,
        ("too-many-pixels",),
    )
    text = b"Comment\x00\x00" + zlib.compress(bytes(200 << 20), 9)
    yield (
        "bomb-text.png",
        raw_png(1, 1, zlib.compress(b"\0\0"), extra=chunk(b"zTXt", text)),
        PNG,
        ("damaged", "too-complex"),
    )
    profile = b"icc\x00\x00" + zlib.compress(bytes(200 << 20), 9)
    yield (
        "bomb-profile.png",
        raw_png(1, 1, zlib.compress(b"\0"), extra=chunk(b"iCCP", profile)),
        PNG,
        ("damaged", "too-complex"),
    )
    size = struct.pack("<I", 16_382 | 16_382 << 14)
    lossless = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + size + b"\0"
    yield "bomb-claims-16383.webp", b"RIFF" + struct.pack("<I", 4 + len(lossless)) + b"WEBP" + lossless, WEBP, (
        "too-many-pixels", "damaged",
    )  # fmt: skip


def _cut_off() -> Iterator[Told]:
    for name, whole, kind in (
        ("jpg", jpeg(900, 700), JPEG),
        ("png", png(300, 200), PNG),
        ("webp", webp(300, 200), WEBP),
    ):
        for percent in (5, 50, 95):
            yield (
                f"cut-{percent}.{name}",
                whole[: len(whole) * percent // 100],
                kind,
                ("damaged", "not-allowed"),
            )
    for percent in (2, 30):
        yield f"cut-{percent}.pdf", pdf(3)[: len(pdf(3)) * percent // 100], PDF, ("damaged",)


def _saved(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture(64, 64).save(out, form, **options)
    return out.getvalue()


def _frames(form: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), (each * 40, 0, 0)) for each in range(4)]
    frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


def _many_ifds(number: int) -> bytes:
    """Return a TIFF whose directories each lead to the next."""
    head, at, body = b"II*\0" + struct.pack("<I", 8), 8, b""
    for _ in range(number):
        entry = struct.pack("<H", 1) + struct.pack("<HHII", 256, 3, 1, 1)
        at += len(entry) + 4
        body += entry + struct.pack("<I", at)
    return head + body


def _other_pictures() -> Iterator[Told]:
    for form in ("GIF", "BMP", "TIFF", "ICO", "PPM", "PCX", "TGA", "JPEG2000"):
        yield f"as-jpg.{form.lower()}", _saved(form), JPEG, ("not-allowed",)
    yield "moving.gif", _frames("GIF"), PNG, ("not-allowed",)
    yield "moving.png", _frames("PNG"), PNG, ("animated",)
    yield "moving.webp", _frames("WEBP"), WEBP, ("animated",)
    yield "10000-ifds.tif", _many_ifds(10_000), JPEG, ("not-allowed",)
    for brand in (b"heic", b"mif1", b"avif"):
        box = struct.pack(">I", 24) + b"ftyp" + brand + bytes(12)
        yield f"{brand.decode()}.jpg", box + random.Random(1).randbytes(4000), JPEG, ("heic",)
    yield "film.jpg", struct.pack(">I", 24) + b"ftypisom" + bytes(5000), JPEG, ("not-allowed",)
    script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "drawing.svg", script, JPEG, ("not-allowed",)
    yield "declared.svg", b'<?xml version="1.0"?>' + script, PNG, ("not-allowed",)
    yield "packed.svgz", gzip.compress(script), PNG, ("not-allowed",)
    yield (
        "ghostscript.eps",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n",
        JPEG,
        ("not-allowed",),
    )
    yield "metafile.wmf", b"\xd7\xcd\xc6\x9a" + bytes(400), JPEG, ("not-allowed",)
    yield "layers.psd", b"8BPS\0\1" + bytes(400), JPEG, ("not-allowed",)


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("../../escape.txt", "x")
        archive.writestr("word/vbaProject.bin", bytes(100))
    return out.getvalue()


def _no_pictures() -> Iterator[Told]:
    yield "archive.jpg", _zip(), JPEG, ("office",)
    yield "letter.docx", _zip(), PDF, ("other-type", "office")
    yield "letter.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), JPEG, ("office",)
    yield "letter.rtf", b"{\\rtf1\\object}", JPEG, ("office",)
    yield "archive.rar", b"Rar!\x1a\x07\x01\0" + bytes(99), JPEG, ("office",)
    yield "archive.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), JPEG, ("office",)
    yield "page.jpg", b"<!doctype html><script>alert(1)</script>", JPEG, ("not-allowed",)
    yield "page.pdf", b"<!doctype html><script>alert(1)</script>", PDF, ("not-allowed",)
    yield "shell.jpg", b"#!/bin/sh\nid\n", JPEG, ("not-allowed",)
    yield "page.php.jpg", b"<?php system($_GET['c']); ?>", JPEG, ("not-allowed",)
    yield "program.exe", b"MZ" + bytes(500), JPEG, ("not-allowed",)
    yield "program.elf", b"\x7fELF\2\1\1" + bytes(500), PNG, ("not-allowed",)
    yield "photo-as.pdf", jpeg(), PDF, ("other-type",)
    yield "document-as.jpg", pdf(), JPEG, ("other-type",)
    yield "behind-a-comment.pdf", b"GIF89a;\n" + pdf(), PDF, ("not-allowed",)


def _noise() -> Iterator[Told]:
    noise = random.Random(7).randbytes(20_000)
    yield "one-byte.jpg", b"\xff", JPEG, ("not-allowed",)
    yield "zeros.jpg", bytes(9_000), JPEG, ("not-allowed",)
    yield "noise.png", noise, PNG, ("not-allowed",)
    yield "noise-behind-head.jpg", b"\xff\xd8\xff\xe0" + noise, JPEG, ("damaged",)
    yield "noise-behind-head.png", b"\x89PNG\r\n\x1a\n" + noise, PNG, ("damaged",)
    yield (
        "noise-behind-head.webp",
        b"RIFF" + struct.pack("<I", len(noise) + 4) + b"WEBP" + noise,
        WEBP,
        ("damaged",),
    )
    yield "noise-behind-head.pdf", b"%PDF-1.7\n" + noise, PDF, ("damaged",)
    yield "head-and-end.jpg", b"\xff\xd8\xff\xd9", JPEG, ("damaged", "not-allowed")
    yield "thousand-heads.jpg", b"\xff\xd8\xff" * 50_000, JPEG, ("damaged",)
    yield "endless-segments.jpg", b"\xff\xd8" + b"\xff\xe1\x00\x02" * 200_000, JPEG, ("damaged",)


def _broken_png() -> Iterator[Told]:
    good = zlib.compress(b"\0\0")
    whole = raw_png(1, 1, good)
    at = whole.index(b"IHDR") + 4 + 13
    yield "wrong-sum.png", whole[:at] + b"\0\0\0\0" + whole[at + 4 :], PNG, ("damaged",)
    yield "no-pixels.png", raw_png(500, 500, zlib.compress(b"")), PNG, ("damaged",)
    yield "no-such-colour.png", raw_png(1, 1, good, colour=5), PNG, ("damaged",)
    yield "nothing-wide.png", raw_png(0, 0, good), PNG, ("damaged",)


def _document(change: Any) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf(2))) as document:
        change(document)
        document.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return out.getvalue()


def _action(**entries: Any) -> Any:
    return pikepdf.Dictionary({f"/{name}": value for name, value in entries.items()})


def _active_pdf() -> Iterator[Told]:
    name = pikepdf.Name
    script = {"S": name.JavaScript, "JS": pikepdf.String("app.alert(1)")}
    opening = {
        "script": _action(**script),
        "program": _action(S=name.Launch, F=pikepdf.String("/bin/sh")),
        "form-sent": _action(S=name.SubmitForm, F=pikepdf.String("http://example.org")),
        "data-read": _action(S=name.ImportData, F=pikepdf.String("x")),
        "other-file": _action(S=name.GoToR, F=pikepdf.String("x.pdf")),
        "file-inside": _action(S=name.GoToE, T=pikepdf.Dictionary()),
        "after-another": _action(S=name.GoTo, D=pikepdf.Array(), Next=pikepdf.Array([_action(**script)])),
    }
    for told, action in opening.items():

        def change(document: Any, action: Any = action) -> None:
            document.Root.OpenAction = action

        yield f"active-{told}.pdf", _document(change), PDF, ("active",)

    def in_names(document: Any) -> None:
        tree = pikepdf.Dictionary(Names=pikepdf.Array([pikepdf.String("x"), _action(**script)]))
        document.Root.Names = document.make_indirect(pikepdf.Dictionary(JavaScript=tree))

    def attached(document: Any) -> None:
        document.attachments["x.exe"] = b"MZ"

    def on_page(document: Any) -> None:
        document.pages[1].obj["/AA"] = pikepdf.Dictionary(O=_action(**script))

    def form(document: Any) -> None:
        document.Root.AcroForm = pikepdf.Dictionary(XFA=document.make_stream(b"<xdp/>"))

    def film(document: Any) -> None:
        note = pikepdf.Dictionary(Type=name.Annot, Subtype=name.RichMedia, Rect=pikepdf.Array([0, 0, 1, 1]))
        document.pages[0].obj["/Annots"] = document.make_indirect(pikepdf.Array([note]))

    for told, change_it in (
        ("names", in_names),
        ("attached", attached),
        ("page", on_page),
        ("xfa", form),
        ("film", film),
    ):
        yield f"active-{told}.pdf", _document(change_it), PDF, ("active",)
    yield "active-escaped.pdf", _whole_pdf([b"<</S/Java#53cript>>"]), PDF, ("active",)
    with pikepdf.open(io.BytesIO(pdf())) as document:
        locked = io.BytesIO()
        document.save(locked, encryption=pikepdf.Encryption(owner="o", user="u", R=6))
    yield "locked.pdf", locked.getvalue(), PDF, ("encrypted",)
    with pikepdf.open(io.BytesIO(pdf())) as document:
        half = io.BytesIO()
        document.save(half, encryption=pikepdf.Encryption(owner="o", user="", R=6))
    yield "locked-for-some.pdf", half.getvalue(), PDF, ("encrypted",)


def deep_inside() -> bytes:
    """Return a PDF with an array so deep that its reader gives that one up."""
    return _whole_pdf([b"[" * 5000 + b"]" * 5000])


def _whole_pdf(objects: list[bytes]) -> bytes:
    """Return a PDF of one page, with these objects besides and a right table of where each lies."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Others[%s]>>"
    others = b" ".join(b"%d 0 R" % (each + 4) for each in range(len(objects)))
    told = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page % others, *objects]
    body, places = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(told, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(told) + 1)
    body += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(body) + b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF" % (len(told) + 1, start)


def _broken_pdf() -> Iterator[Told]:
    head = b"%PDF-1.7\n"
    loop = (
        head
        + b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>endobj\n"
    )
    yield "pages-in-a-circle.pdf", loop + b"trailer<</Root 1 0 R>>\n%%EOF", PDF, ("damaged",)
    empty = (
        head + b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    )
    yield "no-pages.pdf", empty + b"trailer<</Root 1 0 R>>\n%%EOF", PDF, ("damaged",)
    deep = b"[" * 200_000
    yield (
        "deep.pdf",
        head + b"1 0 obj" + deep + b"endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
        PDF,
        ("damaged", "too-complex"),
    )
    yield "crowded.pdf", _whole_pdf([b"<<>>"] * 120_000), PDF, ("too-complex",)
    yield "crowded-inside.pdf", _whole_pdf([b"[" + b"<<>>" * 120_000 + b"]"]), PDF, ("too-complex",)
    yield "no-root.pdf", head + b"trailer<<>>\n%%EOF", PDF, ("damaged",)
    yield "itself.pdf", head + b"1 0 obj 1 0 R endobj\ntrailer<</Root 1 0 R>>\n%%EOF", PDF, ("damaged",)
