"""Texts of unknown encoding and length: decoding Chinese attribute bytes, cutting what is shown to people."""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

from geo.faults import UnreadableFileError, unreadable

_SHOWN_CHARACTERS = 120
_PREVIEW_NAMES = 5
_CJK = (("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
_HALF = 0.5


def clip(given: object, characters: int = _SHOWN_CHARACTERS) -> str:
    """Give a short printable form of whatever a file said, for a fault's text."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(given)[: characters + 1])
    return text if len(text) <= characters else text[: characters - 1] + "…"


def codec_of(name: str) -> str:
    """Give Python's name of an encoding; GBK, GB2312 and cp936 are read as their superset GB18030.

    Raises UnreadableFileError `encoding-unknown` for names that are no text encoding.
    """
    wanted = _ALIASES.get(name.strip().lower().replace("_", "-"), name.strip())
    try:
        codec = codecs.lookup(wanted)
        "村".encode(codec.name, "replace").decode(codec.name)  # Refuses bytes-to-bytes codecs such as "zlib".
    except (LookupError, UnicodeError, ValueError, TypeError, AssertionError) as error:
        raise unreadable("encoding-unknown", encoding=clip(name)) from error
    return codec.name


_ALIASES = dict.fromkeys(
    (
        "gbk",
        "gb2312",
        "gb-2312",
        "cp936",
        "936",
        "ms936",
        "windows-936",
        "ansi 936",
        "euc-cn",
        "gb18030",
        "54936",
        "ansi",
    ),
    "gb18030",
) | dict.fromkeys(("utf8", "utf-8", "65001", "utf-8-sig", "cp65001"), "utf-8")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The encoding texts were decoded with, and how it was found: "given", "declared" or "guessed"."""

    name: str
    how: str


def find_encoding(texts: Iterable[bytes], *, given: str | None, declared: str | None) -> Encoding:
    """Decide the encoding of a table's texts from all its bytes.

    A given encoding is taken as it is. Else UTF-8 when every text is strictly UTF-8 and reads as Chinese, because GBK
    almost never does so by accident, whatever a .cpg says; else the declared one if everything decodes; else GB18030.
    """
    if given is not None:
        return Encoding(name=codec_of(given), how="given")
    seen = [text for text in texts if not text.isascii()]
    stated = known_codec(declared)
    if not seen:
        return Encoding(name=stated or "utf-8", how="declared" if stated else "guessed")
    utf8 = _decoded(seen, "utf-8")
    if utf8 is not None and (stated in (None, "utf-8") or _chinese_share(utf8) >= _HALF):
        return Encoding(name="utf-8", how="declared" if stated == "utf-8" else "guessed")
    if stated not in (None, "utf-8") and _decoded(seen, str(stated)) is not None:
        return Encoding(name=str(stated), how="declared")
    return Encoding(name="gb18030", how="guessed")


def known_codec(declared: str | None) -> str | None:
    """Give the codec of a declared encoding, None when it declares nothing or nonsense."""
    try:
        return codec_of(declared) if declared else None
    except UnreadableFileError:
        return None  # An unreadable .cpg is the same as none; the report still names what it said.


def _decoded(texts: list[bytes], encoding: str) -> str | None:
    try:
        return "".join(text.decode(encoding) for text in texts)
    except UnicodeDecodeError:
        return None


def _chinese_share(text: str) -> float:
    foreign = [letter for letter in text if not letter.isascii()]
    return sum(is_chinese(letter) for letter in foreign) / max(1, len(foreign))


def is_chinese(letter: str) -> bool:
    """Tell whether a character is a Han character, rare planes included."""
    return any(first <= letter <= last for first, last in _CJK)


def cut_to_whole(text: bytes, encoding: str) -> tuple[bytes, bool]:
    """Drop a character cut in half at the end of a full field. Gives the bytes and whether any were dropped."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        decoder.decode(text, final=False)
    except UnicodeDecodeError:
        return text, False
    left, _ = decoder.getstate()
    return (text[: len(text) - len(left)], True) if left else (text, False)


def undo_double_decoding(text: str) -> str | None:
    """Give what a text was before its UTF-8 bytes were read as GBK, or None when it does not look like that."""
    if text.isascii():
        return None
    try:
        original = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return None
    return original if any(map(is_chinese, original)) else None


def preview(names: Iterable[str | None]) -> str:
    """Join the first names that are not plain ASCII, for a person to check the encoding by."""
    shown: list[str] = []
    for name in names:
        if name and not name.isascii():
            shown.append(clip(name, 20))
        if len(shown) == _PREVIEW_NAMES:
            break
    return "、".join(shown)
