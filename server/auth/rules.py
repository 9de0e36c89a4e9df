"""The pure rules of accounts: who may grant what, how delays grow, how a refresh is judged, what a code looks like."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network

from server.access import Grant, Role, Who

# --- times (security.md M10, M11, M12; rulings 16, 24)
ACCESS_LIFE = timedelta(minutes=10)
REFRESH_LIFE = timedelta(days=90)
REFRESH_IDLE = timedelta(days=30)
REFRESH_GRACE = timedelta(seconds=30)
CODE_LIFE = timedelta(hours=72)
HINT_LIFE = timedelta(days=180)
MOST_GRANTS = 12
LONGEST_ASSIGNMENT = 40
"""Grants in force or to come on one account, and characters of an assignment, at most: they travel in every token, and
a proxy takes 8 KiB of one header."""

# --- logins and codes
LOGIN_PATTERN = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
CODE_LETTERS = "346789ACDEFGHJKMNPQRTUVWXY"  # pragma: allowlist secret
"""No 0 O, 1 I L, 2 Z, 5 S, B: 26 letters, so twelve of them carry 56 bits."""
CODE_LENGTH = 12


DEVICE_CODE_LENGTH = 8
"""26^8, and `DEVICE_CODE_TRIES` of them: one in forty thousand million for whoever guesses (RFC 8628 section 5.1)."""
DEVICE_CODE_TRIES = 5
DEVICE_CODE_LIFE = timedelta(minutes=10)
"""Shown on the old phone, typed on the new one beside it."""
TOWN_CODE_LIFE = timedelta(hours=24)
"""Read out by the town: the person may have to go where there is a signal."""
MOST_TRUSTED = 5
MOST_WAITING = 5
"""Keys of one account. One waiting too many ends the oldest that waits: nobody is kept out by somebody else's tries."""


def fold_login(text: str) -> str:
    """Return a login as it is stored: full-width forms narrowed, lower case, no blanks around."""
    return unicodedata.normalize("NFKC", text).strip().lower()


def is_login(text: str) -> bool:
    """Tell whether a folded text can be a login."""
    return re.fullmatch(LOGIN_PATTERN, text) is not None


def code_shown(letters: str) -> str:
    """Return a code in groups of four, as it is printed: ``K7QM-3XRT-9WHD``."""
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def fold_code(text: str) -> str:
    """Return the letters of a typed code: case, blanks, dashes and full-width forms do not matter."""
    return re.sub(r"[^0-9A-Z]", "", unicodedata.normalize("NFKC", text).upper())


# --- keys of phones (ruling 23)
class Protection(StrEnum):
    """Where a phone says that it keeps its key. Claimed, stored and shown; nothing is allowed because of it."""

    HARDWARE = "hardware"  # Keystore with StrongBox or TEE, Secure Enclave.
    SOFTWARE = "software"
    BROWSER = "browser"  # WebCrypto, not exportable.
    UNKNOWN = "unknown"


class KeyEvent(StrEnum):
    """What happens to a key; nothing of it is ever changed or deleted."""

    ENROLLED = "enrolled"
    CONFIRMED = "confirmed"  # By a code of another phone, where the town's approval is needed beside it.
    TRUSTED = "trusted"
    REVOKED = "revoked"


class KeyCause(StrEnum):
    """How it came to an event."""

    LOGIN = "login"
    FIRST = "first-key"  # The account never had a trusted one.
    ACTIVATION = "activation"  # The one-time code on paper comes from the town.
    OWN_CODE = "own-code"  # Shown by a trusted phone of the same person.
    TOWN_CODE = "town-code"
    TOWN = "town"
    OWNER = "owner"
    REPLACED = "replaced"  # By the phone that was confirmed, because its person said so.
    SUPERSEDED = "superseded"  # Too many were waiting.


class KeyState(StrEnum):
    """What a key is good for: the answer to its events."""

    WAITING = "waiting"  # Its sessions work; that it is the person's own phone is not shown yet.
    CONFIRMED = "confirmed"  # As WAITING, and only the town's approval is missing.
    TRUSTED = "trusted"
    REVOKED = "revoked"


def key_state(events: Iterable[KeyEvent]) -> KeyState:
    """Return the state that follows from a key's events, in whatever order."""
    happened = set(events)
    for event, state in (
        (KeyEvent.REVOKED, KeyState.REVOKED),
        (KeyEvent.TRUSTED, KeyState.TRUSTED),
        (KeyEvent.CONFIRMED, KeyState.CONFIRMED),
    ):
        if event in happened:
            return state
    return KeyState.WAITING


def key_state_at(
    events: Iterable[tuple[KeyEvent, datetime]], at: datetime, *, grace: timedelta = timedelta(0)
) -> KeyState | None:
    """Return what a key was good for at an instant that is known but for `grace`; None before it was enrolled.

    The doubt is the person's: within it the key had come already, and had not ended yet.
    """
    happened = {
        event for event, when in events if when <= at + (-grace if event is KeyEvent.REVOKED else grace)
    }
    return key_state(happened) if happened else None


def trusted_at_login(*, by_code: bool, first: bool, town_approves: bool) -> KeyCause | None:
    """Return why a key that comes with a login is trusted at once, None when it must wait for a code or the town.

    `by_code`: with the one-time code that the town hands out; `first`: the account never had a trusted key.
    Whoever only knows the password gets a session, not the person's place: the next one waits.
    """
    if by_code:
        return KeyCause.ACTIVATION
    return KeyCause.FIRST if first and not town_approves else None


def trusted_by_code(cause: KeyCause, *, town_approves: bool) -> bool:
    """Tell whether a code is enough. The town's own code is its approval."""
    return cause is KeyCause.TOWN_CODE or not town_approves


# --- who may grant what
GRANTABLE: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset(Role),
    Role.DISTRICT: frozenset({Role.CADRE, Role.CLERK, Role.TOWN, Role.INSPECTOR, Role.UNIT}),
}
"""What the holder of a role may grant. A town officer grants nothing: activation and resets only (ruling 16)."""


class GrantFault(StrEnum):
    """Why a grant cannot be made or taken back."""

    OWN_ACCOUNT = "own-account"
    ROLE = "role-not-grantable"
    REGION = "region-out-of-reach"
    SHAPE = "scope-does-not-fit-role"


def shape_fault(role: Role, region: str, unit: object) -> GrantFault | None:
    """Check that the scope fits the role: a unit for a unit viewer, everywhere for administrators, else a region."""
    fits = {
        Role.ADMIN: region == "" and unit is None,
        Role.UNIT: region == "" and unit is not None,
    }.get(role, region != "" and unit is None)
    return None if fits else GrantFault.SHAPE


def grant_fault(who: Who, target: object, role: Role, region: str) -> GrantFault | None:
    """Return why `who` may not grant the role in the region to the account `target`, or None when they may."""
    if target == who.account_id:
        return GrantFault.OWN_ACCOUNT
    able = [held for held in who.grants if role in GRANTABLE.get(held.role, ())]
    if not able:
        return GrantFault.ROLE
    if role is Role.UNIT or any(held.reaches(region) for held in able):
        return None
    return GrantFault.REGION


def in_force(grants: Iterable[Grant], at: datetime) -> tuple[Grant, ...]:
    """Return the grants that hold at the instant."""
    return tuple(grant for grant in grants if grant.holds(at))


def next_change(grants: Iterable[Grant], at: datetime) -> datetime | None:
    """Return the next instant after `at` when one of the grants begins or ends."""
    moments = [m for g in grants for m in (g.valid_from, g.valid_until) if m is not None and m > at]
    return min(moments, default=None)


# --- growing delays
@dataclass(frozen=True, slots=True)
class Pace:
    """How attempts of one kind are slowed: `free` at once, then 1 s, 2 s, 4 s ... up to `longest_s` between two.

    The level rises by one an attempt, falls by `forgiven_an_hour`, and never rises above where the longest delay is
    reached, so that an attack leaves no debt behind.
    """

    free: int
    longest_s: float
    forgiven_an_hour: float

    @property
    def highest(self) -> float:
        """Return the level at which the delay is longest."""
        steps = 0
        while 2.0**steps < self.longest_s:
            steps += 1
        return self.free + steps

    def left(self, blocked_until: datetime, now: datetime) -> timedelta:
        """Return how long one must still wait; zero when the time has come.

        Longer than the longest delay nobody was ever told to wait: then a clock was ahead when that was written, and
        whoever was slowed by it for minutes would be shut out for as long as it was ahead.
        """
        left = blocked_until - now
        return left if timedelta(0) < left <= timedelta(seconds=self.longest_s) else timedelta(0)

    def after(self, level: float, idle_s: float) -> tuple[float, float]:
        """Return the new level and the seconds to wait after one more attempt, `idle_s` after the last one."""
        rested = max(0.0, level - max(0.0, idle_s) * self.forgiven_an_hour / 3600)
        new = min(self.highest, rested + 1)
        return new, 0.0 if new < self.free else min(self.longest_s, 2.0 ** (new - self.free))


PACES: dict[str, Pace] = {
    # 10,000 guesses an hour from anywhere are fewer than 40 looked at: 5 at once, 1+2+...+256 s, then every 300 s.
    "account": Pace(free=5, longest_s=300, forgiven_an_hour=1),
    # Hundreds of honest people may share an address (a town's office, a carrier), so it is given more; a right
    # password gives its attempt back.
    "address": Pace(free=30, longest_s=60, forgiven_an_hour=60),
    "device": Pace(free=5, longest_s=300, forgiven_an_hour=6),
    "session": Pace(free=5, longest_s=300, forgiven_an_hour=6),
}


def client_address(peer: str, forwarded: Sequence[str], *, behind_proxy: bool) -> str:
    """Return the address an attempt is counted under.

    X-Forwarded-For is looked at only behind a proxy, and of it only the last hop, which that proxy wrote itself. IPv6
    addresses count by their /64, because one household holds a whole one.
    """
    last = forwarded[-1].rpartition(",")[2].strip() if behind_proxy and forwarded else peer
    for text in (last, peer):
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if isinstance(address, IPv6Address):
            mapped = address.ipv4_mapped
            return str(mapped) if mapped else str(ip_network(f"{address}/64", strict=False).network_address)
        return str(address)
    return "unknown"


# --- refreshing (RFC 9700 section 4.14.2, security.md M11, ruling 24)
class Refresh(StrEnum):
    """What becomes of a refresh token that was presented."""

    ROTATE = "rotate"  # The current one: its successor is made.
    REPEAT = "repeat"  # The one before, its answer was lost: the same successor again.
    REUSE = "reuse"  # An old one: two hold the family, which ends.
    REFUSE = "refuse"  # The session ended, or was idle or alive for too long, or the token is not genuine.


@dataclass(frozen=True, slots=True)
class Family:
    """The state of one session's refresh tokens: generation `generation` is the newest that was handed out."""

    generation: int
    rotated_at: datetime
    used_at: datetime
    expires_at: datetime
    revoked: bool


def judge_refresh(
    family: Family, generation: int, *, genuine: bool, at: datetime, proven: bool = False
) -> Refresh:
    """Judge the token of a generation, presented at an instant. `genuine`: its secret is the one that was handed out.

    `proven`: with the proof of the key that the session is bound to. Then the one before is good until its successor
    was used, however long an answer was lost: a thief of tokens alone cannot present it (ruling 24).
    """
    if not genuine or family.revoked or generation > family.generation:
        return Refresh.REFUSE
    if at >= family.expires_at or at >= family.used_at + REFRESH_IDLE:
        return Refresh.REFUSE
    if generation == family.generation:
        return Refresh.ROTATE
    if generation == family.generation - 1 and (proven or at - family.rotated_at <= REFRESH_GRACE):
        return Refresh.REPEAT
    return Refresh.REUSE


# --- passwords (NIST SP 800-63B section 3.1.1.2: length and blocklists, no composition rules)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128
PRODUCT_WORDS = ("江津", "江津区", "zaicun", "在村", "jiangjin", "jiangjinqu", "chongqing", "重庆")
_KEPT_LETTERS = 4


class PasswordFault(StrEnum):
    """Why a password is refused."""

    SHORT = "password-too-short"
    LONG = "password-too-long"
    COMMON = "password-common"
    CONTEXT = "password-guessable"


def fold_password(text: str) -> str:
    """Return the password as it is hashed: Unicode NFC, nothing trimmed."""
    return unicodedata.normalize("NFC", text)


def password_fault(password: str, words: Iterable[str], common: frozenset[str]) -> PasswordFault | None:
    """Return why a folded password is refused, or None.

    `words` are what others know about the person (login, name, village, town). A password is guessable when nothing
    but a few letters stays after these words, digits and signs are taken out: ``jiangjin@2024``.
    """
    if len(password) < SHORTEST_PASSWORD:
        return PasswordFault.SHORT
    if len(password) > LONGEST_PASSWORD:
        return PasswordFault.LONG
    folded = unicodedata.normalize("NFKC", password).casefold()
    if folded in common or password in common:
        return PasswordFault.COMMON
    known = {unicodedata.normalize("NFKC", w).casefold() for w in (*words, *PRODUCT_WORDS)} - {""}
    left = folded
    for word in sorted(known, key=len, reverse=True):
        left = left.replace(word, "") if len(word) > 1 else left
    if left != folded and sum(letter.isalpha() for letter in left) < _KEPT_LETTERS:
        return PasswordFault.CONTEXT
    return None


def utc(seconds: int) -> datetime:
    """Return the instant of a JWT's NumericDate (RFC 7519 section 2)."""
    return datetime.fromtimestamp(seconds, UTC)
