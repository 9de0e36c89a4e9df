"""What can be wrong with the folder of signing keys, found without using a key: see safety.py.

The auth room reads the same files to use them and refuses a bad one too; here every bad file is named at once, before
anything starts.
"""

import base64
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_BYTES = 32
"""256 bits, RFC 7518 section 3.2."""
LEAST_DIFFERENT = 16
"""Of 32 random bytes about 30 differ; that fewer than 16 do happens once in more than 10^12 keys: somebody typed it."""
_LARGEST_FILE = 65_536
PUBLISHED = frozenset(
    {
        "c8ecc9361a05e285f04c26f9572131a6deab07e9e2b865053c6f75a4d8bd2b32",  # pragma: allowlist secret  RFC 7515 A.1
        "cfcef6cfb631f2a350b70a6ab72b20696f65f854aa3649a26b4cc1d2b0f5ce76",  # pragma: allowlist secret  RFC 7515 A.3
        "43e4b74131385aec85e1f0764d6693ac5e7cc4977f998cc956e1241a818cfd1d",  # pragma: allowlist secret  RFC 7517 A.2
        "644d50ab64864c20a12b3c4656d46b4a48f69ef7c47ecdc8415cd28316b22ef5",  # pragma: allowlist secret  RFC 8037 A.1
    }
)
"""SHA-256 of the secret half of keys printed in standards, which products are found to ship as their own."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Names of files with a fault, by kind of fault."""

    folder: Path
    weak: tuple[str, ...] = ()
    sample: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def read(folder: Path) -> KeyFacts:
    """Look at every key file of a folder; a folder that is not there yet has no fault."""
    faults: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob("*-*.jwk")):
        for fault in _faults(path):
            faults[fault].append(path.name)
    return KeyFacts(folder, **{name: tuple(files) for name, files in faults.items()})


def _faults(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = json.loads(file.read(_LARGEST_FILE))
        secret = _secret(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ["unreadable"]
    if secret is None:
        return []
    found = ["readable"] if mode & 0o077 else []
    if hashlib.sha256(secret).hexdigest() in PUBLISHED:
        found.append("sample")
    if len(secret) < LEAST_BYTES or len(set(secret)) < LEAST_DIFFERENT:
        found.append("weak")
    return found


def _secret(content: Mapping[str, Any]) -> bytes | None:
    """Return the secret half; None when only a public one is kept."""
    text = content.get("d") if content["kty"] in {"EC", "OKP"} else content["k"]
    return None if text is None else base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
