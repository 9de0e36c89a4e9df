"""The server's keys: a folder of JWK files (RFC 7517) that all processes share (ruling 24).

A file holds one key, named ``<purpose>-<number>.jwk``, readable by its owner alone (0600). It is written whole under
another name and then linked into place, which fails when the name is taken: of two processes that start at once, one
makes the key and both use it. Nothing is ever overwritten, and superseded public keys stay.

A running server looks at the folder's list of names every few seconds. A new key therefore begins to sign only
`SPREAD` after it was made, when every process has had time to see it.
"""

import base64
import contextlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm

from server import clock
from server.auth import jws
from server.postgres import sync_folder
from server.settings import SettingsFault

LOG = logging.getLogger("zaicun.auth")
LOOK_EVERY_S = 2.0
SPREAD = timedelta(seconds=10)
"""Longer than `LOOK_EVERY_S` with room for a slow disk."""
_MOST_FILES = 1000


class Purpose(StrEnum):
    """What a key is for; a key is never used for two things."""

    ACCESS = "access"  # ES256, signs access tokens.
    REFRESH = "refresh"  # 256 random bits, from which refresh tokens are derived.
    ANCHOR = "anchor"  # 256 random bits, by which time anchors are known again; nobody else ever checks them.
    LINK = "link"  # 256 random bits, by which links to attachments are known again.
    RECEIPT = "receipt"  # Ed25519, signs receipts; its public half is kept for ever.


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `secret` is None when only the public half is kept."""

    kid: str
    purpose: Purpose
    number: int
    active_from: datetime
    distrusts_earlier: bool
    public: ec.EllipticCurvePublicKey | None
    private: ec.EllipticCurvePrivateKey | None = field(repr=False)
    secret: bytes | None = field(repr=False)
    signer: ed25519.Ed25519PrivateKey | None = field(default=None, repr=False)
    verifier: jws.PublicKey | None = None  # The public half of `signer`.

    def derive(self, *parts: bytes) -> bytes:
        """Return 256 bits that follow from the key and the parts (HMAC-SHA-256, RFC 2104)."""
        if self.secret is None:
            raise ValueError(f"key {self.kid} derives nothing")
        message = b"".join(len(part).to_bytes(4) + part for part in parts)
        return hmac.digest(self.secret, message, "sha256")


class KeySet:
    """The keys of a folder, kept in step with it. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.edition = (
            0  # Rises whenever other keys were read, so that what was verified before can be dropped.
        )
        self._keys: Mapping[str, Key] = {}
        self._lock = threading.Lock()
        self._looked = -LOOK_EVERY_S
        self._seen: tuple[str, ...] = ()

    def ensure(self) -> None:
        """Make the first key of each purpose where it is missing. Raises SettingsFault when the folder is unfit."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._read()
            for purpose in Purpose:
                if not self._of(purpose):
                    # Losing the race is as good: the winner's key is read below.
                    with contextlib.suppress(FileExistsError):
                        self._write(_fresh(purpose, clock.now(), distrusts_earlier=False), 1)
            self._read()
        except OSError as error:
            raise SettingsFault(f"The folder of keys {self.folder} cannot be used: {error}.") from error

    def rotate(self, purpose: Purpose, *, distrust_earlier: bool = False) -> Key:
        """Make a new key, which takes over after `SPREAD`; earlier ones stay readable.

        With `distrust_earlier` (a key was stolen) it takes over at once and tokens of earlier keys are refused.
        """
        self.ensure()
        start = clock.now() + (timedelta() if distrust_earlier else SPREAD)
        content = _fresh(purpose, start, distrusts_earlier=distrust_earlier)
        while True:
            number = 1 + max((key.number for key in self._of(purpose)), default=0)
            try:
                self._write(content, number)
            except FileExistsError:
                self._read()
                continue
            self._read()
            return self._keys[content["kid"]]

    def current(self, purpose: Purpose) -> Key:
        """Return the key in use: of those whose time has come, the one that began last."""
        self.refresh()
        now = clock.now()
        keys = self._of(purpose)
        if not keys:
            self.ensure()
            keys = self._of(purpose)
        begun = [key for key in keys if key.active_from <= now] or keys[:1]
        return max(begun, key=lambda key: (key.active_from, key.number))

    def find(self, purpose: Purpose, kid: str) -> Key | None:
        """Return a key by its id, or None; the id is looked up among those read, never used as a path."""
        self.refresh()
        key = self._keys.get(kid)
        return key if key is not None and key.purpose is purpose else None

    def trusted_until(self, key: Key) -> datetime | None:
        """Return the instant after which `key` signs nothing any more, None while it is current."""
        later = [
            k for k in self._of(key.purpose) if (k.active_from, k.number) > (key.active_from, key.number)
        ]
        return min((k.active_from for k in later), default=None)

    def distrusted(self, key: Key) -> bool:
        """Tell whether a later key was made because this one was stolen."""
        now = clock.now()
        since = self.distrusted_since(key)
        return since is not None and since <= now

    def distrusted_since(self, key: Key) -> datetime | None:
        """Return the instant from which `key` counts as stolen; None when nobody said so."""
        later = [k for k in self._of(key.purpose) if k.distrusts_earlier and k.number > key.number]
        return min((k.active_from for k in later), default=None)

    def listed(self) -> list[Key]:
        """Return all keys, by purpose and number."""
        self.refresh()
        return sorted(self._keys.values(), key=lambda key: (key.purpose, key.number))

    def _of(self, purpose: Purpose) -> list[Key]:
        return sorted(
            (k for k in self._keys.values() if k.purpose is purpose), key=lambda k: (k.active_from, k.number)
        )

    def refresh(self) -> None:
        """Read the folder again when it changed, looking at most once in a few seconds."""
        moment = time.monotonic()
        if moment - self._looked < LOOK_EVERY_S:
            return
        with self._lock:
            if moment - self._looked < LOOK_EVERY_S:
                return
            self._looked = moment
            if self._seen == self._names():
                return
            try:
                self._read_locked()
            except SettingsFault:
                # A file that cannot be read must not stop a server that has good keys; the start would refuse it.
                LOG.exception("the keys could not be read again, the earlier ones stay in use")

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self.folder.glob("*-*.jwk")))[:_MOST_FILES]

    def _read(self) -> None:
        with self._lock:
            self._read_locked()

    def _read_locked(self) -> None:
        names = self._names()
        read = {key.kid: key for key in (_parse(self.folder / name) for name in names)}
        changed = read.keys() != self._keys.keys()
        self._seen, self._keys = names, read
        self.edition += changed

    def _write(self, content: Mapping[str, Any], number: int) -> None:
        target = self.folder / f"{content['purpose']}-{number:06d}.jwk"
        draft = self.folder / f".{secrets.token_hex(8)}.new"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(content, indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, target)  # Unlike a rename it refuses a name that is taken.
        finally:
            draft.unlink()
        sync_folder(self.folder)


def _fresh(purpose: Purpose, active_from: datetime, *, distrusts_earlier: bool) -> dict[str, Any]:
    if purpose is Purpose.ACCESS:
        jwk = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
        kid = jws.thumbprint({name: jwk[name] for name in ("crv", "kty", "x", "y")})
        jwk = {**jwk, "alg": "ES256", "use": "sig"}
    elif purpose is Purpose.RECEIPT:
        private = ed25519.Ed25519PrivateKey.generate()
        public = {
            "crv": "Ed25519",
            "kty": "OKP",
            "x": jws.encoded(private.public_key().public_bytes_raw()),
        }
        jwk = {**public, "d": jws.encoded(private.private_bytes_raw()), "alg": "EdDSA", "use": "sig"}
        kid = jws.thumbprint(public)
    else:
        kid = f"{purpose}-{secrets.token_urlsafe(12)}"
        jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")}
    return {
        **jwk,
        "kid": kid,
        "purpose": str(purpose),
        "active_from": active_from.isoformat(),
        "distrusts_earlier": distrusts_earlier,
    }


def _parse(path: Path) -> Key:
    """Read one key file. Raises SettingsFault that names it; the content is never shown."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = json.loads(file.read(65_536))
        if mode & 0o077 and ("d" in content or content["kty"] == "oct"):
            raise SettingsFault(f"{path} holds a secret key and others may read it. Run: chmod 600 {path}")
        halves = {"EC": _curve, "OKP": _edwards, "oct": _random}[content["kty"]](content, path)
        key: dict[str, Any] = {"public": None, "private": None, "secret": None, **halves}
        return Key(
            kid=str(content["kid"]),
            purpose=Purpose(content["purpose"]),
            number=int(path.stem.rpartition("-")[2]),
            active_from=datetime.fromisoformat(content["active_from"]),
            distrusts_earlier=bool(content["distrusts_earlier"]),
            **key,
        )
    except (OSError, ValueError, KeyError, TypeError, PyJWTError, jws.Unfit) as error:
        raise SettingsFault(f"The key file {path} cannot be read ({type(error).__name__}).") from error


def _curve(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    half = ECAlgorithm(ECAlgorithm.SHA256).from_jwk(dict(content))
    if not isinstance(half.curve, ec.SECP256R1):
        raise SettingsFault(f"The key in {path} is not on the curve P-256.")
    if isinstance(half, ec.EllipticCurvePrivateKey):
        return {"public": half.public_key(), "private": half}
    return {"public": half}


def _edwards(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    verifier = jws.public_key({name: content[name] for name in ("crv", "kty", "x")})
    if "d" not in content:
        return {"verifier": verifier}
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(jws.decoded(content["d"]))
    if jws.encoded(signer.public_key().public_bytes_raw()) != content["x"]:
        raise SettingsFault(f"The two halves of the key in {path} do not belong together.")
    return {"verifier": verifier, "signer": signer}


def _random(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    secret = base64.urlsafe_b64decode(content["k"] + "==")
    if len(secret) < 32:  # noqa: PLR2004  256 bits, RFC 7518 section 3.2.
        raise SettingsFault(f"The key in {path} has fewer than 256 bits.")
    return {"secret": secret}
