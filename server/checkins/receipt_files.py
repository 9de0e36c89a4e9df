"""Reading what people keep of receipts: lines, an answer, a list of them, or all that a phone keeps; and published keys."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from server.auth.jws import PublicKey, Unfit
from server.checkins import receipts
from server.checkins.verifying import Kept

LARGEST = 64 << 20
"""Bytes of one file: some 50,000 receipts."""


class Unreadable(Exception):
    """A file that cannot be looked at; says which and why, in both languages."""


def read(path: Path) -> str:
    """Return a file's text. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise Unreadable(f"{path}: 文件过大 / is too large")
        return content.decode()
    except (OSError, UnicodeDecodeError) as fault:
        raise Unreadable(f"{path}: 无法读取 / cannot be read ({fault})") from fault


def kept_in(path: Path) -> list[Kept]:
    """Return the receipts of a file: JSON in which objects have a `receipt`, or a receipt a line. Raises Unreadable.

    The `content` that stands beside a receipt is what was sent, as the reference client keeps it.
    """
    text = read(path)
    if text.lstrip()[:1] in {"{", "["}:
        try:
            found = list(_walk(json.loads(text), path.name))
        except (ValueError, RecursionError) as fault:
            raise Unreadable(f"{path}: JSON 有误 / is not JSON ({fault})") from fault
    else:
        lines = enumerate(text.split("\n"), 1)
        found = [Kept(line.strip(), None, f"{path.name}:{number}") for number, line in lines if line.strip()]
    if not found:
        raise Unreadable(f"{path}: 没有回执 / holds no receipt")
    return found


def _walk(value: Any, place: str) -> Iterator[Kept]:  # noqa: ANN401  Any JSON.
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from _walk(part, f"{place}[{number}]")
    elif isinstance(value, dict):
        receipt, content = value.get("receipt"), value.get("content")
        if isinstance(receipt, str):
            yield Kept(receipt, content if isinstance(content, dict) else None, place)
        for name, part in value.items():
            yield from _walk(part, f"{place}.{name}")


def keys_in(path: Path) -> tuple[dict[str, PublicKey], frozenset[str]]:
    """Return the keys of a file as `GET /v1/receipt-keys` answers, and which of them were stolen. Raises Unreadable."""
    try:
        listed = json.loads(read(path))["keys"]
        return of_listed(listed)
    except (ValueError, KeyError, TypeError, Unfit) as fault:
        raise Unreadable(f"{path}: 不是回执公钥文件 / is no file of receipt keys") from fault


def of_listed(listed: list[Mapping[str, Any]]) -> tuple[dict[str, PublicKey], frozenset[str]]:
    """Return keys by their id, and the ids of stolen ones. Raises KeyError, TypeError, jws.Unfit."""
    keys: dict[str, PublicKey] = {}
    for each in listed:
        key = receipts.public_key(each["x"])
        keys[key.jkt] = key  # By its own thumbprint: what the file calls it is no proof.
    return keys, frozenset(str(each["kid"]) for each in listed if each.get("distrusted_from"))
