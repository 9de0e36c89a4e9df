"""Nonces, and the memory of proofs that were used (RFC 9449 sections 8 and 11.1), shared by the workers of a machine.

A nonce is a minute's number and an HMAC over it: nothing of it is stored, and it stands for `LIFE`. The id of a proof
(``jti``) is remembered until its nonce falls, in a file that all workers map: a proof that one of them took is refused
by the others. The HMAC's key lies at the head of the same file, so nonces never outlive the memory that guards them:
after a restart the first request is told to use a new one. What this costs, and why no table, is in DECISIONS.md.
"""

import fcntl
import hashlib
import hmac
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from server import clock, problems
from server.auth import jws
from server.auth.jws import Unfit

WINDOW_S = 60
WINDOWS = 5
LIFE = timedelta(seconds=WINDOW_S * (WINDOWS - 1))
"""How long a nonce stands at least; a minute longer at most."""
NAME = "used-proofs-1"
_HEAD = 64
_KEY = 32
_MARK = 16
_SLOT = _MARK + 8
_A_BUCKET = 16
_BUCKETS = 1 << 15
"""Half a million proofs in five minutes, 12.6 MB when all are used; the file is sparse."""
_SIZE = _HEAD + _BUCKETS * _A_BUCKET * _SLOT
_TRIES, _PAUSE_S = 40, 0.0005
_LOCK = threading.Lock()
"""Of the whole process: a lock of POSIX is a process's, so it keeps its own threads from nothing."""


class Nonces:
    """Makes and judges nonces, and remembers proofs. Safe to use from several threads and processes."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is shared by the workers; without one this process is alone and remembers by itself."""
        self._file: int | None = None
        if folder is None:
            self._cells = mmap.mmap(-1, _SIZE)
            self._cells[:_KEY] = secrets.token_bytes(_KEY)
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _LOCK:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
            try:
                if os.fstat(self._file).st_size != _SIZE:
                    os.ftruncate(self._file, _SIZE)
                    os.pwrite(self._file, secrets.token_bytes(_KEY), 0)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)
        self._cells = mmap.mmap(self._file, _SIZE)

    def current(self) -> str:
        """Return the nonce of this minute."""
        return self._made(_window())

    def window_of(self, nonce: str) -> int | None:
        """Return the minute of a nonce that stands; None for any other text."""
        try:
            raw = jws.decoded(nonce)
        except Unfit:
            return None
        window = int.from_bytes(raw[:5])
        stands = 0 <= _window() - window < WINDOWS
        return window if stands and hmac.compare_digest(self._made(window).encode(), nonce.encode()) else None

    def use(self, jkt: str, jti: str, window: int) -> bool:
        """Remember a proof of a key, and tell whether it is new. Raises Problem (503 busy) when there is no room left.

        `window` is its nonce's minute: after that one falls the proof is refused for its nonce.
        """
        mark = hashlib.sha256(f"{jkt} {jti}".encode("utf-8", "surrogatepass")).digest()
        bucket = int.from_bytes(mark[_MARK:]) % _BUCKETS
        start = _HEAD + bucket * _A_BUCKET * _SLOT
        mark, falls, now = mark[:_MARK], window + WINDOWS, _window()
        with self._held(1 + bucket):
            free = None
            for at in range(start, start + _A_BUCKET * _SLOT, _SLOT):
                if int.from_bytes(self._cells[at + _MARK : at + _SLOT]) <= now:
                    free = at if free is None else free
                elif self._cells[at : at + _MARK] == mark:
                    return False
            if free is None:
                raise problems.later(problems.BUSY)
            self._cells[free : free + _SLOT] = mark + falls.to_bytes(8)
            return True

    def close(self) -> None:
        """Give the memory back."""
        self._cells.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _held(self, place: int) -> Iterator[None]:
        """Keep other workers from one bucket. One that was stopped while it held it makes nobody wait for long."""
        with _LOCK:
            if self._file is None:
                yield
                return
            for attempt in range(_TRIES):
                try:
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                    break
                except OSError:
                    if attempt == _TRIES - 1:
                        raise problems.later(problems.BUSY) from None
                    time.sleep(_PAUSE_S)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _made(self, window: int) -> str:
        counted = window.to_bytes(5)
        return jws.encoded(counted + hmac.digest(self._cells[:_KEY], counted, "sha256")[:_MARK])


def _window() -> int:
    return int(clock.now().timestamp()) // WINDOW_S
