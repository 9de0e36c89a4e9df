"""The doorkeeper: who holds a token, and whether their session still stands. Implements gate.Doorkeeper."""

import hashlib
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import orm

from server import clock, problems
from server.access import Who
from server.auth import queries, rules, tokens
from server.auth.keys import KeySet
from server.settings import Settings

MOST_REMEMBERED = 8192
"""Verified tokens kept in one worker: about 12 MB."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A verified token: its claims, and the grants that hold until `changes`.

    `edition` is that of the keys it was verified with: a key that was stolen is not trusted from memory either.
    """

    claims: tokens.Claims
    who: Who
    changes: datetime
    edition: int


class Doorkeeper:
    """Reads tokens and admits sessions. One a process; safe to use from threads and from the event loop."""

    def __init__(self, settings: Settings) -> None:
        self.keys = KeySet(settings.keys_dir)
        self.issuer = settings.token_issuer
        self._known: dict[bytes, _Remembered] = {}
        self._lock = threading.Lock()

    def read(self, token: str) -> Who:
        """Return who holds the token, with the grants in force now. Raises Problem (401).

        A signature is verified once; until the token ends it is then known by its SHA-256.
        """
        self.keys.refresh()
        edition = self.keys.edition
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = clock.now()
        known = self._known.get(mark)
        if known is None or known.edition != edition or now < known.claims.starts - tokens.LEEWAY:
            known = self._remember(mark, tokens.verify(self.keys, self.issuer, token), now, edition)
        elif now >= known.claims.ends + tokens.LEEWAY:
            with self._lock:
                self._known.pop(mark, None)
            raise tokens.refused(problems.TOKEN_EXPIRED)
        elif now >= known.changes:
            known = self._remember(mark, known.claims, now, edition)
        return known.who

    def admit(self, session: orm.Session, who: Who) -> None:
        """Raise Problem (401 token-stale) unless the session stands and the grants are as in the token."""
        version = queries.version_standing(session, session_id=who.session_id, account_id=who.account_id)
        if version != who.version:
            raise tokens.refused(problems.TOKEN_STALE)

    def issue(self, session: orm.Session, account_id: UUID, session_id: UUID) -> tuple[str, datetime]:
        """Return a new access token with the account's present grants, and the instant it ends."""
        return tokens.sign(self.keys, self.issuer, queries.who(session, account_id, session_id))

    def _remember(self, mark: bytes, claims: tokens.Claims, now: datetime, edition: int) -> _Remembered:
        who = replace(claims.who, grants=rules.in_force(claims.who.grants, now))
        changes = rules.next_change(claims.who.grants, now) or claims.ends + tokens.LEEWAY
        known = _Remembered(claims, who, changes, edition)
        with self._lock:
            while len(self._known) >= MOST_REMEMBERED:
                del self._known[next(iter(self._known))]  # The one that came first ends first.
            self._known[mark] = known
        return known
