"""Whether it is safe to serve: every condition as data, judged on the settings, this process and an open connection.

safety_facts.py gathers the facts in a few round trips, each check judges them purely, `findings` names everything that
is wrong at once (security.md M5; checksums are a warning: ruling 28). The sentences are in safety_texts.py.
"""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from server import durable, installation, safety_texts
from server.safety_facts import Facts, read
from server.safety_keys import KeyFacts
from server.settings import Settings

OLDEST_POSTGRESQL = 15
OLDEST_POSTGIS = (3, 3)
CLOCKS_APART_S = 5.0
CONNECTIONS_BESIDE_THE_POOL = 2  # The intake's and the pulse's, in every worker.


class Severity(StrEnum):
    """What a finding means: the service does not start, or it starts and says so."""

    REFUSE = "refuse"
    WARN = "warn"


Judge = Callable[[Settings, Facts], Mapping[str, object] | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition. `judge` returns None when it holds, else the values that its sentences name."""

    name: str
    severity: Severity
    judge: Judge

    @property
    def zh(self) -> str:
        """Return what is wrong, why it matters and what to do, in Chinese, with {names} of values."""
        return safety_texts.TEXTS[self.name][0]

    @property
    def en(self) -> str:
        """Return the same in English."""
        return safety_texts.TEXTS[self.name][1]


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition that does not hold."""

    name: str
    severity: Severity
    zh: str
    en: str


def findings(settings: Settings, connection: sa.Connection) -> list[Finding]:
    """Judge every check on an open connection of the service's role and return what is wrong, refusals first."""
    return judged(settings, read(settings, connection))


def judged(settings: Settings, facts: Facts) -> list[Finding]:
    """Judge every check on facts that were read before. Pure."""
    found = []
    for check in CHECKS:
        values = check.judge(settings, facts)
        if values is not None:
            found.append(
                Finding(check.name, check.severity, check.zh.format(**values), check.en.format(**values))
            )
    return sorted(found, key=lambda finding: finding.severity is Severity.WARN)


def _durability(name: str) -> Judge:
    def judge(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
        value = durable.faults(facts.durability).get(name)
        return None if value is None else {"value": value}

    return judge


def _listed(values: tuple[str, ...], facts: Facts) -> Mapping[str, object] | None:
    return {"role": facts.role, "list": "; ".join(values[:8])} if values else None


def _attribute(name: str) -> Judge:
    return lambda _settings, facts: {"role": facts.role} if name in facts.attributes else None


def _memberships(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return _listed(tuple(a for a in facts.attributes if a not in {"superuser", "BYPASSRLS"}), facts)


def _unless_superuser(values: Callable[[Facts], tuple[str, ...]]) -> Judge:
    """Judge a list of rights; a superuser has them all, and is named once as what it is."""
    return lambda _settings, facts: None if "superuser" in facts.attributes else _listed(values(facts), facts)


def _unmigrated(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return None if facts.misfit is None else {"zh": facts.misfit[0], "en": facts.misfit[1]}


def _old_server(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    major = int(facts.server["server_version_num"]) // 10_000
    return {"version": major, "oldest": OLDEST_POSTGRESQL} if major < OLDEST_POSTGRESQL else None


def _old_postgis(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    version = facts.server.get("postgis", "0")
    have = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    oldest = ".".join(map(str, OLDEST_POSTGIS))
    return {"version": version, "oldest": oldest} if have < OLDEST_POSTGIS else None


def _encoding(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    value = facts.server["server_encoding"]
    return None if value == "UTF8" else {"value": value}


def _read_only(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return {} if facts.server["read_only"] == "on" or facts.server["in_recovery"] == "true" else None


def _damage_hidden(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    names = ("zero_damaged_pages", "ignore_checksum_failure", "ignore_system_indexes")
    on = [name for name in names if facts.server.get(name) == "on"]
    return {"list": ", ".join(on)} if on else None


def _skew(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return {"apart": f"{facts.skew_s:.1f}", "most": CLOCKS_APART_S} if facts.skew_s > CLOCKS_APART_S else None


def _public_bind(settings: Settings, _facts: Facts) -> Mapping[str, object] | None:
    bare = settings.host not in {"127.0.0.1", "::1", "localhost"} and not settings.behind_proxy
    return {"host": settings.host} if bare else None


def _plain_link(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return {} if facts.remote and not facts.encrypted and facts.sslmode != "disable" else None


def _plain_link_chosen(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    return {} if facts.remote and not facts.encrypted and facts.sslmode == "disable" else None


def _unverified_link(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    unverified = facts.remote and facts.encrypted and facts.sslmode != "verify-full"
    return {"sslmode": facts.sslmode or "prefer"} if unverified else None


def _few_connections(settings: Settings, facts: Facts) -> Mapping[str, object] | None:
    need = settings.workers * (settings.pool_size + CONNECTIONS_BESIDE_THE_POOL)
    have = int(facts.server["max_connections"]) - int(facts.server["superuser_reserved_connections"])
    return {"need": need, "have": have} if need > have else None


def _keys(pick: Callable[[KeyFacts], tuple[str, ...]]) -> Judge:
    def judge(_settings: Settings, facts: Facts) -> Mapping[str, object] | None:
        names = pick(facts.keys)
        return {"folder": facts.keys.folder, "list": ", ".join(names[:8])} if names else None

    return judge


def _inside_product(settings: Settings, _facts: Facts) -> Mapping[str, object] | None:
    """Judge whether keys lie among the product's own files, which are copied, published and put into images."""
    folder = settings.keys_dir.resolve()
    tree = Path(__file__).resolve().parent.parent
    own = [
        tree / name for name in ("server", "geo", "tests", "bench", "bin", "mobile_api_docs", "requirements")
    ]
    return {"folder": folder} if any(folder.is_relative_to(place) for place in own) else None


def _world_writable(settings: Settings, _facts: Facts) -> Mapping[str, object] | None:
    try:
        mode = settings.keys_dir.stat().st_mode
    except OSError:
        return None  # It is made at the start, closed to others.
    return {"folder": settings.keys_dir} if mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def _installation(name: str) -> Judge:
    return lambda settings, facts: {} if installation.fault_of(facts.purpose, settings) == name else None


_R, _W = Severity.REFUSE, Severity.WARN
CHECKS: tuple[Check, ...] = (
    Check("fsync-off", _R, _durability("fsync")),
    Check("full-page-writes-off", _R, _durability("full_page_writes")),
    Check("synchronous-commit-off", _R, _durability("synchronous_commit")),
    Check("damage-hidden", _R, _damage_hidden),
    Check("database-read-only", _R, _read_only),
    Check("role-superuser", _R, _attribute("superuser")),
    Check("role-bypasses-rls", _R, _attribute("BYPASSRLS")),
    Check("role-too-mighty", _R, _memberships),
    Check("role-owns-tables", _R, _unless_superuser(lambda facts: facts.owned)),
    Check("role-may-create", _R, _unless_superuser(lambda facts: facts.may_create)),
    Check("role-rights-excess", _R, _unless_superuser(lambda facts: () if facts.owned else facts.excess)),
    Check("role-rights-lacking", _R, _unless_superuser(lambda facts: facts.lacking)),
    Check("key-weak", _R, _keys(lambda keys: keys.weak)),
    Check("key-sample", _R, _keys(lambda keys: keys.sample)),
    Check("key-readable", _R, _keys(lambda keys: keys.readable)),
    Check("key-unreadable", _R, _keys(lambda keys: keys.unreadable)),
    Check("key-folder-open", _R, _world_writable),
    Check("key-folder-in-product", _R, _inside_product),
    Check(
        "password-sample",
        _R,
        lambda _settings, facts: {"list": ", ".join(facts.passwords)} if facts.passwords else None,
    ),
    Check("debug-on", _R, lambda _settings, facts: {"list": ", ".join(facts.debug)} if facts.debug else None),
    Check("public-bind", _R, _public_bind),
    Check("postgresql-old", _R, _old_server),
    Check("postgis-old", _R, _old_postgis),
    Check("encoding", _R, _encoding),
    Check("schema", _R, _unmigrated),
    Check("sandbox-on-live-data", _R, _installation("sandbox-on-live-data")),
    Check("live-on-sandbox-data", _R, _installation("live-on-sandbox-data")),
    Check("clocks-apart", _R, _skew),
    Check("link-plain", _R, _plain_link),
    Check("link-plain-chosen", _W, _plain_link_chosen),
    Check("link-unverified", _W, _unverified_link),
    Check("checksums-off", _W, lambda _s, facts: {} if facts.server["data_checksums"] != "on" else None),
    Check("connections-few", _W, _few_connections),
    Check("log-statement", _W, lambda _s, facts: {} if facts.server["log_statement"] != "none" else None),
)
