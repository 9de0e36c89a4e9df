"""What every connection to the database must promise before something is acknowledged through it.

The settings that make a commit durable can be changed for one role, for one database or for the whole server, and also
after the service has started: so each new connection is asked, and the answer is pinned for its life (security.md M5).
"""

from collections.abc import Mapping

_REST = """current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
 current_setting('synchronous_standby_names') AS standbys,
 coalesce(current_setting('zaicun.throwaway', true), '') AS throwaway"""
ASK = f"""SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false) AS synchronous_commit,
 {_REST}"""
"""Reads the settings and pins the only one of them that can change under a running session, in one round trip."""
LOOK = f"SELECT current_setting('synchronous_commit') AS synchronous_commit, {_REST}"
"""Reads them without pinning: for a session that only watches."""
COLUMNS = ("synchronous_commit", "fsync", "full_page_writes", "standbys", "throwaway")


class NotDurable(Exception):
    """A connection that must not be used: what would be acknowledged through it could be lost. The text names why."""


def faults(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings under which an acknowledged commit could be lost, with their values; empty when it is safe.

    `settings` has the keys of COLUMNS. `local` commits do not wait for a standby: with a synchronous standby they lose
    what was acknowledged when the primary is lost (measured: security.md section 1), without one they are as good as `on`.
    """
    bad = {name: settings[name] for name in ("fsync", "full_page_writes") if settings[name] != "on"}
    commit = settings["synchronous_commit"]
    if commit == "off" or (commit == "local" and settings["standbys"].strip()):
        bad["synchronous_commit"] = commit
    return bad


def refuse_unless_durable(values: Mapping[str, str] | tuple[str, ...]) -> None:
    """Raise NotDurable when these settings of a connection (row of ASK) are unsafe.

    A cluster that declares itself a throwaway one (the tests') promises nothing and is used all the same; the start of
    the service does not listen to that declaration.
    """
    settings = values if isinstance(values, Mapping) else dict(zip(COLUMNS, values, strict=True))
    found = faults(settings)
    if found and settings["throwaway"] != "yes":
        raise NotDurable(", ".join(f"{name}={value}" for name, value in sorted(found.items())))
