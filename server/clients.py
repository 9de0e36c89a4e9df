"""What a client says it is: ``Zaicun-Client: <name>/<version> (<platform>)``, and which versions are too old. Pure.

A version is one to four whole numbers with dots; what is left out counts as zero, so 1.2 and 1.2.0 are the same.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_CLIENT = re.compile(r"([a-z][a-z0-9-]{0,39})/([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(?:[ (+-].*)?")
_MINIMUM = re.compile(r"([a-z][a-z0-9-]{0,39})/([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})")
LONGEST = 200
"""Characters of the header that are looked at."""


@dataclass(frozen=True, slots=True)
class Version:
    """A client's version; `text` as it was written, `numbers` four numbers to compare."""

    text: str
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "Version":
        """Read one to four numbers with dots."""
        given = [int(part) for part in text.split(".")]
        return cls(text, tuple(given + [0] * (4 - len(given))))


Minimums = Mapping[str, Version]


def minimums(entries: Iterable[str]) -> dict[str, Version]:
    """Read ``name/version`` entries. Raises ValueError with the entry that is none, or that comes twice."""
    found: dict[str, Version] = {}
    for entry in entries:
        match = _MINIMUM.fullmatch(entry)
        if match is None or match[1] in found:
            raise ValueError(entry)
        found[match[1]] = Version.of(match[2])
    return found


def outdated(header: str, least: Minimums) -> Version | None:
    """Return the least version that the client of this header must have, or None when nothing is asked of it.

    A header that cannot be read, and a name that is not listed, ask nothing: the header helps people to update, it
    keeps nobody out.
    """
    match = _CLIENT.fullmatch(header[:LONGEST])
    needed = least.get(match[1]) if match else None
    if match is None or needed is None or Version.of(match[2]).numbers >= needed.numbers:
        return None
    return needed
