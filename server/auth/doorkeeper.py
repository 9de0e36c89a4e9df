"""The doorkeeper: who holds a token, with which key, and whether their session still stands. Implements gate.Doorkeeper."""

import hashlib
import threading
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from fastapi import Request
from sqlalchemy import orm

from server import clock, problems
from server.access import Role, Who
from server.auth import proving, queries, rules, tokens
from server.auth.jws import PublicKey
from server.auth.keys import KeySet
from server.auth.nonces import Nonces
from server.places import rules as place_rules
from server.problems import Problem
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
        self.nonces = Nonces(settings.metrics_dir)
        self.town_approves_devices = settings.device_approval
        self._behind_proxy = settings.behind_proxy
        self._keys_from = (
            place_rules.midnight(date.fromisoformat(settings.device_keys_from))
            if settings.device_keys_from
            else None
        )
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

    def prove(self, request: Request, who: Who, token: str) -> None:
        """Raise Problem (401) unless the request proves that its sender holds the key of its token (RFC 9449)."""
        if request.headers.get("authorization", "")[:5].lower() != "dpop ":
            raise proving.refused("scheme", self.nonces)
        proving.required(request, self.nonces, behind_proxy=self._behind_proxy, token=token, jkt=who.jkt)

    def unproven(self, cause: str) -> Problem:
        """Return the 401 of content that the token's key should have signed and did not, and count why."""
        return proving.refused(cause, self.nonces)

    def key_offered(self, request: Request) -> PublicKey | None:
        """Return the key that a request without a token proves to hold, None for a request that brings no proof.

        Raises Problem (401) for a proof that is not right.
        """
        return proving.offered(request, self.nonces, behind_proxy=self._behind_proxy)

    def admit(self, session: orm.Session, who: Who) -> None:
        """Raise Problem (401 token-stale) unless the session stands and the grants are as in the token."""
        version = queries.version_standing(session, session_id=who.session_id, account_id=who.account_id)
        if version != who.version:
            raise tokens.refused(problems.TOKEN_STALE)

    def issue(
        self, session: orm.Session, account_id: UUID, session_id: UUID, jkt: str | None = None
    ) -> tuple[str, datetime]:
        """Return a new access token with the account's present grants, and the instant it ends.

        Raises Problem (403 device-key-required) for a cadre's session without a key, from the day on when the district
        requires one. Tokens that are out end within ten minutes; nothing is asked of each request.
        """
        who = queries.who(session, account_id, session_id, jkt)
        required = self._keys_from is not None and clock.now() >= self._keys_from
        if required and jkt is None and who.has(Role.CADRE):
            raise _key_required()
        return tokens.sign(self.keys, self.issuer, who)

    def _remember(self, mark: bytes, claims: tokens.Claims, now: datetime, edition: int) -> _Remembered:
        who = replace(claims.who, grants=rules.in_force(claims.who.grants, now))
        changes = rules.next_change(claims.who.grants, now) or claims.ends + tokens.LEEWAY
        known = _Remembered(claims, who, changes, edition)
        with self._lock:
            while len(self._known) >= MOST_REMEMBERED:
                del self._known[next(iter(self._known))]  # The one that came first ends first.
            self._known[mark] = known
        return known


def _key_required() -> Problem:
    return Problem(
        problems.DEVICE_KEY_REQUIRED,
        zh="本区要求签到手机有自己的密钥。请更新应用后重新登录；手机里尚未上传的签到请保留，登录后会继续上传。",
        en="The district requires phones that have a key. Update the app and log in again; keep check-ins that were not "
        "sent yet, they are sent after it.",
    )
