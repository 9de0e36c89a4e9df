"""Who holds the lock that a migration waits for, and the fault that says so.

A lock that is waited for has been forgotten by the time its wait is cancelled, so a second connection looks while the
first one waits. Nothing of anybody's statement is kept but its first word: the rest holds values (security.md M18).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

LOOK_EVERY_S = 0.05

_HOLDERS = """SELECT a.pid, a.usename AS role, a.application_name AS program, l.mode, l.relation::regclass::text,
    CASE WHEN a.query ~ '^\\s*[A-Za-z]' THEN upper(substring(a.query FROM '[A-Za-z]+')) END AS word,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS open_s
FROM unnest(pg_blocking_pids(%s)) AS b(pid)
JOIN pg_stat_activity AS a ON a.pid = b.pid
LEFT JOIN LATERAL (
    SELECT h.mode, h.relation FROM pg_locks AS h
    JOIN pg_locks AS w ON w.pid = %s AND NOT w.granted AND w.locktype = h.locktype
        AND w.database IS NOT DISTINCT FROM h.database AND w.relation IS NOT DISTINCT FROM h.relation
    WHERE h.pid = a.pid ORDER BY h.granted DESC LIMIT 1
) AS l ON true ORDER BY a.pid"""


class MigrationFault(Exception):
    """A migration that cannot be done now, or not by this version. The text says why and what to do."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(f"{en}\n{zh}")
        self.en = en
        self.zh = zh


@dataclass(frozen=True, slots=True)
class Holder:
    """A session in the way. What the role that migrates may not see of others' sessions is None."""

    pid: int
    role: str | None
    program: str | None
    mode: str | None
    relation: str | None
    word: str | None
    open_s: float | None

    def __str__(self) -> str:
        """Say who it is: ``pid 4711 (role zaicun_app), AccessShareLock on checkins, last statement SELECT``."""
        told = [f"pid {self.pid} (role {self.role}{f', {self.program}' if self.program else ''})"]
        if self.mode:
            told.append(f"{self.mode} on {self.relation}" if self.relation else self.mode)
        if self.word:
            told.append(f"last statement {self.word}")
        if self.open_s is not None:
            told.append(f"in a transaction for {self.open_s:.1f} s")
        return ", ".join(told)


class Watch:
    """Remembers who was last seen in the way of one backend."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = url
        self._pid = pid
        self._ended = threading.Event()
        self.seen: tuple[str, ...] = ()

    def look_until_ended(self) -> None:
        """Look again and again until :meth:`end`; what cannot be seen is left out rather than failing a migration."""
        try:
            with (
                psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection,
                connection.cursor(row_factory=class_row(Holder)) as cursor,
            ):
                while not self._ended.wait(LOOK_EVERY_S):
                    rows = cursor.execute(_HOLDERS, (self._pid, self._pid)).fetchall()
                    if rows:
                        self.seen = tuple(str(row) for row in rows)
        except psycopg.Error:
            return

    def end(self) -> None:
        """Look no more."""
        self._ended.set()


@contextmanager
def watching(url: str, pid: int) -> Iterator[Watch]:
    """Watch a backend from a connection of its own while the block runs."""
    watch = Watch(url, pid)
    thread = threading.Thread(target=watch.look_until_ended, name="zaicun-lock-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join(5)
