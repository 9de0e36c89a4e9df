"""Passwords: Argon2id (RFC 9106) with bounded parallel work, and the check of new ones (security.md M12)."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server import problems, sharing
from server.auth import rules
from server.auth.rules import PasswordFault
from server.problems import FieldFault, Problem
from server.settings import Settings

WAIT_S = 2.0
"""How long a request waits for its turn before it is told that the service is busy."""
MOST_WAITING = sharing.WAITING_THREADS
"""Beyond it a request is told at once. Who waits keeps a thread: more of them would take it from those with a connection,
and everybody else would wait for people who log in."""


class Hasher:
    """Hashes and verifies, a few at a time: every one takes tens of megabytes and a whole core for a moment."""

    def __init__(self, settings: Settings, *, wait_s: float = WAIT_S) -> None:
        self._argon2 = PasswordHasher(time_cost=1, memory_cost=settings.argon2_memory_kib, parallelism=1)
        self._turns = threading.BoundedSemaphore(settings.argon2_parallel)
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._wait_s = wait_s
        self.work = 0  # Hashes computed so far, of whichever kind: the cost that guesses have caused.
        self._dummy = ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            self._wait()
        try:
            self.work += 1
            yield
        finally:
            self._turns.release()

    def _wait(self) -> None:
        """Take a turn as soon as one is free. Raises Problem: too many wait already, or it took too long."""
        if not self._places.acquire(blocking=False):
            raise problems.later(problems.BUSY, least_s=2)
        try:
            if not self._turns.acquire(timeout=self._wait_s):
                raise problems.later(problems.BUSY, least_s=2)
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        """Return the hash to store. Raises Problem (503 busy)."""
        with self._turn():
            return self._argon2.hash(rules.fold_password(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password is the stored one; with nothing stored the work is done all the same.

        So an unknown login, an account without a password and a wrong password take the same time (M12).
        """
        if not self._dummy:
            self._dummy = self.hash("a password that nobody has")
        with self._turn():
            try:
                self._argon2.verify(stored or self._dummy, rules.fold_password(password))
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Tell whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(stored)


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
