"""What holds of attachments, without a database or a file: states, kinds, names, ranges, quotas. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LARGEST_NAME: Final = 120
MOST_OPEN: Final = 20
"""Uploads of one account that may be unfinished at the same time."""


class AttachmentState(StrEnum):
    """How far an attachment has come."""

    OPEN = "open"  # Announced; its content is arriving.
    STORING = "storing"  # Examined; its content is being put away.
    READY = "ready"
    REFUSED = "refused"  # Examined and not taken; nothing of it was kept.
    DISCARDED = "discarded"  # Given up by its uploader before it was attached to anything.
    FADED = "faded"  # Its time is over; that it was there stays known.


class MediaType(StrEnum):
    """What can be sent. HEIC and office documents are not taken: the phone sends JPEG, the office PDF (DECISIONS.md)."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    PDF = "application/pdf"


class OwnerKind(StrEnum):
    """What an attachment can be attached to; the rooms above say who may read it (owners.py)."""

    WORK_LOG = "work-log"
    LEAVE = "leave"
    DUTY = "duty"
    CORRECTION = "correction"
    APPEAL = "appeal"
    FINDING = "finding"


SUFFIXES: Final = {MediaType.JPEG: "jpg", MediaType.PNG: "png", MediaType.WEBP: "webp", MediaType.PDF: "pdf"}
_BAD_IN_NAMES = re.compile(r'[\x00-\x1f\x7f"<>|:*?]')


def shown_name(given: str) -> str:
    """Return a file's name as it may be shown: no folders, nothing that steers a terminal or turns the writing round.

    It is a label. No file is ever called so: names in storage and in downloads are the server's own.
    """
    last = re.split(r"[/\\]", given)[-1]
    kept = "".join(
        each for each in last if unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    return unicodedata.normalize("NFC", _BAD_IN_NAMES.sub("", kept)).strip(" .")[:LARGEST_NAME].strip(" .")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file was not taken, in both languages."""

    code: str
    zh: str
    en: str


REFUSALS: Final = {
    each.code: each
    for each in (
        Refusal("not-allowed", "只收 JPEG、PNG、WebP 照片和 PDF 文件", "only JPEG, PNG and WebP pictures and PDF files are taken"),
        Refusal("heic", "不收 HEIC：请让手机以 JPEG 发送", "HEIC is not taken: let the phone send a JPEG"),
        Refusal("office", "不收 Office 文档和压缩包：请另存为 PDF", "office documents and archives are not taken: save as PDF"),
        Refusal("other-type", "内容与所写的类型不符", "the content is of another type than was said"),
        Refusal("damaged", "文件不完整或已损坏", "the file is cut off or damaged"),
        Refusal("too-many-pixels", "图片过大（像素过多）", "the picture has too many pixels"),
        Refusal("animated", "不收动图", "moving pictures are not taken"),
        Refusal("active", "PDF 含有脚本、附件或自动动作", "the PDF holds scripts, attached files or actions of its own"),
        Refusal("encrypted", "PDF 设有密码", "the PDF is encrypted"),
        Refusal("too-complex", "文件过于复杂，无法检查", "the file is too complex to be examined"),
    )
}  # fmt: skip
"""Every reason by its code; the subprocess tells codes alone."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a content: from `first` to `last`, both inclusive."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Return how many bytes they are."""
        return self.last - self.first + 1


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def span_of(header: str | None, size: int) -> Span | None:
    """Return the bytes that a Range header asks for; None for the whole (RFC 9110 section 14.2).

    More than one range, another unit and what cannot be read are ignored, as the RFC allows: many small ranges are the
    way to make a server work (CVE-2025-62727). Raises ValueError for a range that the content does not have.
    """
    found = _RANGE.fullmatch(header.strip()) if header is not None else None
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        wanted = int(found[2])
        if wanted == 0 or size == 0:
            raise ValueError("no such bytes")
        return Span(max(0, size - wanted), size - 1)
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None  # Not a range at all (section 14.1.1), so it is ignored.
    if first >= size:
        raise ValueError("no such bytes")
    return Span(first, min(last, size - 1))
