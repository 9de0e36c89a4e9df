"""The settings: one frozen object, read from the environment once and checked at the start.

Every name begins with ``ZAICUN_``. A value that cannot be read, or that would make the service unsafe, stops the
start with a sentence that names it (security.md M5).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server import clients, origins


class SettingsFault(Exception):
    """A setting that is missing, unreadable or unsafe. The text names it and says what would be right."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs this service, and on what basis (field.md 4.4: the district is the owner)."""

    name: str = ""
    legal_basis: str = ""
    registration_no: str = ""
    data_contact: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their defaults. Durations end in ``_s`` (seconds)."""

    database_url: str = ""  # Empty: the embedded cluster under `var`.
    owner_database_url: str = ""  # For migrations; empty with the embedded cluster.
    var: Path = field(default_factory=lambda: Path("var"))
    keys: Path | None = None  # The folder of the signing keys; None: `var`/keys.
    host: str = "127.0.0.1"
    port: int = 8321
    workers: int = 1
    behind_proxy: bool = False
    issuer: str = "zaicun"
    district_code: str = "500116"
    district_name: str = "江津区"
    owner: Owner = Owner()
    two_person_publish: bool = (
        True  # The publisher of a boundary or policy is another person than the importer.
    )
    pool_size: int = 8
    intake_queue: int = 4096  # Check-ins waiting to be stored in one worker; beyond it 503 with Retry-After.
    intake_group: int = 256  # Check-ins stored in one transaction at most.
    requests_at_once: int = 64  # In one worker, check-ins aside; beyond it 503 with Retry-After at once.
    answer_within_s: float = 3.0  # Then a request hears 503, whatever the database does.
    statement_timeout_s: float = (
        2.5  # Below answer_within_s, so that the database gives up before the service does.
    )
    argon2_parallel: int = 2  # Passwords hashed at the same time in one worker.
    argon2_memory_kib: int = 47_104  # 46 MiB (security.md M12).
    cors_origins: tuple[str, ...] = ()  # Pages of these origins may use the API from a browser.
    minimum_clients: tuple[str, ...] = ()  # name/version; older ones are told to update.
    datum_required_from: str = ""  # From this day (Beijing) on outdated clients say datum and age as well.
    quota_read: int = 600  # Requests an account may make in a minute of one worker; 0: as many as it likes.
    quota_write: int = 300
    quota_heavy: int = 60  # Imports, reports, tables of a scope.
    log_level: str = "info"  # debug, info, warning or error; requests are told at info.
    log_format: str = "auto"  # json, text; auto: text on a terminal, else json.
    log_checkins_every: int = 1  # Of check-ins that went well one of so many has a line; 0: none.
    metrics_token: str = field(
        default="", repr=False
    )  # Whoever sends it may read /metrics; empty: this machine.
    metrics_dir: Path | None = None  # Where the workers count; None: a folder of its own, made and removed.
    device_keys_from: str = ""  # From this day (Beijing) on cadres log in with a key of their phone alone.
    device_approval: bool = False  # Another phone needs the town's approval, not only a code of the first.
    attachments: Path | None = None  # The folder of attachments; None: `var`/attachments.
    attachments_s3: str = ""  # s3://bucket/prefix: contents lie there instead; empty: in the folder.
    attachments_s3_endpoint: str = ""  # Empty: Amazon's, by the region.
    attachments_s3_region: str = "us-east-1"
    attachments_s3_key: str = ""  # The id of the access key.
    attachments_s3_secret: str = field(default="", repr=False)
    attachment_mb: int = 16  # The largest file, in MiB.
    attachment_quota_mb: int = 500  # All files of one account together.
    attachment_unlinked_h: int = 168  # What is attached to nothing by then is swept.
    attachment_link_s: int = 300  # How long a link to a content stands.
    attachments_kept_days: int = 1096  # Then what is attached fades.
    sandbox: bool = (
        False  # A place to try things out: its data is marked, its tokens are worth nothing elsewhere.
    )

    @property
    def keys_dir(self) -> Path:
        """Return the folder of the signing keys."""
        return self.keys or self.var / "keys"

    @property
    def own_url(self) -> str:
        """Return where this machine itself reaches the service; one bound to every address is reached by loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  Compared, not bound to.
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def token_issuer(self) -> str:
        """Return who issues the tokens: another one in a sandbox, so that no live service takes its tokens."""
        return f"{self.issuer}-sandbox" if self.sandbox else self.issuer


_OWNER = {
    "owner_name": "name",
    "legal_basis": "legal_basis",
    "registration_no": "registration_no",
    "data_contact": "data_contact",
}


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (default: this process's).

    Raises :class:`SettingsFault` for an unknown ``ZAICUN_`` name or an unreadable value: a misspelt setting that
    silently did nothing would be worse.
    """
    given = os.environ if environment is None else environment
    known = {f.name: f for f in fields(Settings) if f.name != "owner"}
    values: dict[str, object] = {}
    owner: dict[str, str] = {}
    for name, text in given.items():
        if not name.startswith("ZAICUN_"):
            continue
        key = name.removeprefix("ZAICUN_").lower()
        if key in _OWNER:
            owner[_OWNER[key]] = text
        elif key in known:
            values[key] = _read(name, str(known[key].type), text)
        else:
            raise SettingsFault(f"{name} is not a setting of zaicun. Known: {', '.join(_names(known))}.")
    settings = Settings(**values, owner=Owner(**owner))  # type: ignore[arg-type]  # _read gave each its type.
    _check(settings)
    return settings


def _names(known: Mapping[str, object]) -> list[str]:
    return sorted(f"ZAICUN_{key.upper()}" for key in (*known, *_OWNER))


def _read(name: str, kind: str, text: str) -> object:
    try:
        if "tuple" in kind:
            return tuple(text.replace(",", " ").split())
        if "Path" in kind:
            return Path(text).expanduser()
        if "bool" in kind:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                text.lower()
            ]
        if "int" in kind:
            return int(text)
        if "float" in kind:
            return float(text)
    except (ValueError, KeyError):
        wanted = {"bool": "yes or no", "int": "a whole number", "float": "a number"}.get(kind, kind)
        raise SettingsFault(f"{name}={text!r} is not {wanted}.") from None
    return text


def _check(settings: Settings) -> None:
    bounds = {
        "port": (1, 65_535),
        "workers": (1, 64),
        "pool_size": (1, 200),
        "requests_at_once": (1, 10_000),
        "answer_within_s": (2.5, 60),
        "statement_timeout_s": (0.1, 60),
        "intake_queue": (1, 1_000_000),
        "intake_group": (1, 1_000),
        "argon2_parallel": (1, 64),
        "argon2_memory_kib": (19_456, 1_048_576),
        "log_checkins_every": (0, 1_000_000),
        "quota_read": (0, 1_000_000),
        "quota_write": (0, 1_000_000),
        "quota_heavy": (0, 1_000_000),
        "attachment_mb": (1, 256),
        "attachment_quota_mb": (1, 1_000_000),
        "attachment_unlinked_h": (1, 8_760),
        "attachment_link_s": (10, 3_600),
        "attachments_kept_days": (366, 36_525),  # The database itself lets nothing younger than a year go.
    }
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingsFault(f"ZAICUN_{name.upper()}={value} must lie between {low} and {high}.")
    for name, url in (
        ("DATABASE_URL", settings.database_url),
        ("OWNER_DATABASE_URL", settings.owner_database_url),
    ):
        _check_address(f"ZAICUN_{name}", url)
    if not settings.district_code.isdigit():
        raise SettingsFault("ZAICUN_DISTRICT_CODE must be digits, a prefix of the 12-digit region codes.")
    for name, day in (
        ("DEVICE_KEYS_FROM", settings.device_keys_from),
        ("DATUM_REQUIRED_FROM", settings.datum_required_from),
    ):
        _check_day(f"ZAICUN_{name}", day)
    _check_deadlines(settings)
    _check_attachments(settings)
    _check_clients(settings)
    _check_observed(settings)
    loopback = settings.host in {"127.0.0.1", "::1", "localhost"}
    if not loopback and not settings.behind_proxy:
        raise SettingsFault(
            f"ZAICUN_HOST={settings.host} would serve without TLS to others. Put a TLS proxy in front and say so "
            "with ZAICUN_BEHIND_PROXY=yes, or bind to 127.0.0.1."
        )


LEAST_SPARE_S = 0.25
"""Between the database's giving up and the service's: for noticing it, and for telling."""


def _check_deadlines(settings: Settings) -> None:
    """Refuse deadlines in the wrong order: whoever waits longest is the client, then the service, then the database.

    The other way round the service hangs up on a statement that goes on, and nobody learns what became of it.
    """
    within, statement = settings.answer_within_s, settings.statement_timeout_s
    if statement > within - LEAST_SPARE_S:
        raise SettingsFault(
            f"ZAICUN_STATEMENT_TIMEOUT_S={statement:g} must be at least {LEAST_SPARE_S:g} s below ZAICUN_ANSWER_WITHIN_S="
            f"{within:g}, so that the database gives up before the service does. ZAICUN_STATEMENT_TIMEOUT_S 须比 "
            f"ZAICUN_ANSWER_WITHIN_S 至少小 {LEAST_SPARE_S:g} 秒，使数据库先于服务放弃。"
        )


def _check_day(name: str, day: str) -> None:
    try:
        _ = day and date.fromisoformat(day)
    except ValueError:
        raise SettingsFault(f"{name}={day!r} must be a day, like 2027-03-01.") from None


def _check_attachments(settings: Settings) -> None:
    """Refuse a store that cannot be meant. Keys are not repeated."""
    place, endpoint = settings.attachments_s3, settings.attachments_s3_endpoint
    told = urlsplit(place)
    if place and (told.scheme != "s3" or not told.netloc or told.query or "@" in told.netloc):
        raise SettingsFault("ZAICUN_ATTACHMENTS_S3 must be written s3://bucket or s3://bucket/prefix.")
    if place and not (settings.attachments_s3_key and settings.attachments_s3_secret):
        raise SettingsFault(
            "ZAICUN_ATTACHMENTS_S3 needs ZAICUN_ATTACHMENTS_S3_KEY and ZAICUN_ATTACHMENTS_S3_SECRET."
        )
    if endpoint and urlsplit(endpoint).scheme not in {"http", "https"}:
        raise SettingsFault(
            "ZAICUN_ATTACHMENTS_S3_ENDPOINT must begin with https:// (or http:// on this machine)."
        )


def _check_address(name: str, url: str) -> None:
    """Refuse an address that cannot be read. It may hold a password, so it is not repeated."""
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsFault(f"{name} must begin with postgresql://.")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise SettingsFault(
            f"{name} cannot be read: after the host's colon stands no port. In a password the characters : / ? # [ ] @ % "
            "are written as % and two hexadecimal digits (# is %23)."
        ) from None


_LOG_LEVELS = ("debug", "info", "warning", "error")
_LOG_FORMATS = ("auto", "json", "text")
_SHORTEST_TOKEN = 24


def _check_observed(settings: Settings) -> None:
    for name, allowed in (("log_level", _LOG_LEVELS), ("log_format", _LOG_FORMATS)):
        if getattr(settings, name) not in allowed:
            raise SettingsFault(f"ZAICUN_{name.upper()} must be one of {', '.join(allowed)}.")
    token = settings.metrics_token
    if token and (
        len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token
    ):
        # Its value is not repeated here: this sentence is printed and kept by whoever starts the service.
        raise SettingsFault(
            f"ZAICUN_METRICS_TOKEN must have {_SHORTEST_TOKEN} characters or more, ASCII and without blanks; "
            "make one with `openssl rand -hex 24`."
        )


def _check_clients(settings: Settings) -> None:
    for origin in settings.cors_origins:
        fault = origins.fault_of(origin)
        if fault:
            raise SettingsFault(f"ZAICUN_CORS_ORIGINS: {origin} {fault}.")
    if settings.datum_required_from and not settings.minimum_clients:
        raise SettingsFault(
            "ZAICUN_DATUM_REQUIRED_FROM excuses clients older than ZAICUN_MINIMUM_CLIENTS, which names none."
        )
    try:
        clients.minimums(settings.minimum_clients)
    except ValueError as error:
        raise SettingsFault(
            f"ZAICUN_MINIMUM_CLIENTS: {error} must be written name/version, like zaicun-phone/1.2.0, each name once."
        ) from None


def replaced(settings: Settings, **changes: Any) -> Settings:  # noqa: ANN401  Settings differ in type.
    """Return settings with changes, checked anew. Raises SettingsFault."""
    changed = replace(settings, **changes)
    _check(changed)
    return changed
