"""Passwords: Argon2id (RFC 9106) with bounded parallel work, and the check of new ones (security.md M12)."""

import secrets
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server import deadlines, problems, sharing
from server.auth import rules
from server.auth.rules import PasswordFault
from server.problems import FieldFault, Problem
from server.settings import Settings

WAIT_S = 2.0
"""How long a request waits for its turn before it is told that the service is busy."""
_REST_S = 1.0
"""Left of a request's time when its turn comes: for the hash on a busy machine, and the transaction after it."""
MOST_WAITING = sharing.WAITING_THREADS
"""Requests that may be inside beside those that hash: the next is told at once. More of them would take the threads and
the places that everybody else needs, and people who log in would keep those from working who are logged in."""


class Hasher:
    """Hashes and verifies, a few at a time: every one takes tens of megabytes and a whole core for a moment."""

    def __init__(self, settings: Settings, *, wait_s: float = WAIT_S) -> None:
        self._argon2 = PasswordHasher(time_cost=1, memory_cost=settings.argon2_memory_kib, parallelism=1)
        self._turns = threading.BoundedSemaphore(settings.argon2_parallel)
        self.places = settings.argon2_parallel + MOST_WAITING
        self._inside = 0
        self._wait_s = wait_s
        self.work = 0  # Hashes computed so far, of whichever kind: the cost that guesses have caused.
        self._dummy = _unmatched(settings.argon2_memory_kib)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        deadline = deadlines.current()
        patience = self._wait_s if deadline is None else min(self._wait_s, deadline.left() - _REST_S)
        if not self._turns.acquire(timeout=max(patience, 0)):
            raise problems.later(problems.BUSY, least_s=2)
        try:
            self.work += 1
            yield
        finally:
            self._turns.release()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a request that will hash. Raises Problem (503 busy) at once when all are taken.

        Used on the event loop only, before the request takes a thread or a connection, so it needs no lock.
        """
        if self._inside >= self.places:
            raise problems.later(problems.BUSY, least_s=2)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def hash(self, password: str) -> str:
        """Return the hash to store. Raises Problem (503 busy)."""
        with self._turn():
            return self._argon2.hash(rules.fold_password(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password is the stored one; with nothing stored the work is done all the same.

        So an unknown login, an account without a password and a wrong password take the same time (M12).
        """
        with self._turn():
            try:
                self._argon2.verify(stored or self._dummy, rules.fold_password(password))
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Tell whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(stored)


def _unmatched(memory_kib: int) -> str:
    """Return what looks like a stored hash and is none: random bytes, so that making it costs no turn."""
    salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t=1,p=1${salt}${digest}"


@cache
def common() -> frozenset[str]:
    """Return the common passwords of at least eight characters, from data/common-passwords.txt."""
    text = resources.files(__package__).joinpath("data/common-passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


_TEXTS = {
    PasswordFault.SHORT: (
        f"密码至少 {rules.SHORTEST_PASSWORD} 个字符，建议 15 个以上，可以用一句话。",
        f"The password needs at least {rules.SHORTEST_PASSWORD} characters; 15 or more, such as a sentence, are better.",
    ),
    PasswordFault.LONG: (
        f"密码最多 {rules.LONGEST_PASSWORD} 个字符。",
        f"The password may have {rules.LONGEST_PASSWORD} characters at most.",
    ),
    PasswordFault.COMMON: (
        "这个密码太常见，容易被猜到，请换一个。",
        "This password is among the most common ones. Choose another.",
    ),
    PasswordFault.CONTEXT: (
        "密码主要由登录名、姓名、村镇名或本系统名称组成，容易被猜到，请换一个。",
        "The password is little more than the login, the name, the village, the town or the product. Choose another.",
    ),
}


def check(password: str, words: Iterable[str], field: str = "password") -> None:
    """Raise Problem (422 password-refused) when a new password is too easy; `words` are known about its owner."""
    fault = rules.password_fault(rules.fold_password(password), words, common())
    if fault is not None:
        zh, en = _TEXTS[fault]
        shown = FieldFault(field=field, code=str(fault), zh=zh, en=en)
        raise Problem(problems.PASSWORD_REFUSED, zh=zh, en=en, errors=[shown])
