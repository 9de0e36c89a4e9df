"""The pulse of the database: one thread asks every second whether it answers and whether it still keeps what it is told.

It is what readiness is judged by, so that asking for it needs neither a thread nor a connection of the pool; and what
long work is given up by, which a slow answer alone does not justify.
"""

import contextlib
import logging
import threading
import time
from datetime import datetime
from typing import Any

import psycopg

from server import bounded, clock_watch, deadlines, durable, metrics, problems
from server.durable import NotDurable
from server.problems import Problem

LOG = logging.getLogger("zaicun.database")
EVERY_S = 1.0
ANSWER_WITHIN_S = 2.0
DETAILS_EVERY = 5
"""Beats between two looks at how far plausibility is behind."""
AFRESH_EVERY = 30
"""Beats on one connection: settings of the role or the database show only in sessions begun after their change."""
SILENT_AFTER_S = EVERY_S + ANSWER_WITHIN_S + 0.5
"""Longer than a healthy beat can take; `/readyz` is red within 5 s (security.md M4)."""


class Pulse:
    """Listens to one database. `require` is cheap and safe to call from anywhere."""

    def __init__(self, url: str, every_s: float = EVERY_S) -> None:
        self._url = url
        self._every_s = every_s
        self._connection: psycopg.Connection[Any] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard_at = float("-inf")
        self._failed = False
        self._beats = 0
        self._clocks = clock_watch.WATCH
        self._steps: list[clock_watch.Step] = []
        self.unsafe = ""
        """Why what is stored now could be lost; empty when all is well."""
        self.assessed_until: datetime | None = None
        """Every check-in received before this was assessed; None before the first one was."""

    def start(self) -> None:
        """Listen once, then go on in a thread of its own. A database that does not answer yet stops nothing."""
        self._beat()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(ANSWER_WITHIN_S + 2 * self._every_s)

    def silent(self) -> bool:
        """Tell whether the database has not answered lately."""
        return self._failed or time.monotonic() - self._heard_at > SILENT_AFTER_S

    def require(self) -> None:
        """Raise Problem (503) when the database does not answer, or must not be trusted."""
        if self.silent():
            raise problems.later(problems.DATABASE_UNAVAILABLE)
        self.require_durable()

    def require_durable(self) -> None:
        """Raise Problem (503) when what is stored now could be lost: nothing may be acknowledged then."""
        if self.unsafe:
            raise Problem(
                problems.DATABASE_UNSAFE,
                zh=f"数据库现在的设置可能丢失已答复的内容（{self.unsafe}），因此暂停接收。请管理员恢复设置。",
                en=f"The database now runs with settings that could lose what is acknowledged ({self.unsafe}), so nothing"
                " is taken. An operator must put them back.",
                headers={"Retry-After": "30"},
            )

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._beat()
        self._hang_up()

    def _beat(self) -> None:
        self._watch_clock()
        try:
            with deadlines.within(ANSWER_WITHIN_S):
                self._judge(self._ask())
                self._record_steps()
        except NotDurable as fault:
            if self.unsafe != str(fault):
                LOG.critical("the database must not be trusted: %s", fault)
            self.unsafe = str(fault)
            self._heard_at, self._failed = time.monotonic(), False
        except (psycopg.Error, OSError) as error:
            if not self._failed:
                LOG.warning("the database does not answer: %s", type(error).__name__)
            self._failed = True
            self._hang_up()

    def _watch_clock(self) -> None:
        step = self._clocks.look()
        if step is not None:
            self._steps.append(step)
            metrics.clock_jumped()
            LOG.critical(
                "the clock was set by %+.0f s; until a restart, check-ins whose day this would change are marked for review",
                step.by.total_seconds(),
            )

    def _record_steps(self) -> None:
        while self._steps and self._connection is not None:
            step = self._steps[0]
            row = (clock_watch.process(), step.since, step.before, step.after)
            self._connection.execute(clock_watch.RECORD, row)
            del self._steps[0]

    def _ask(self) -> tuple[str, ...]:
        self._beats += 1
        if self._beats % AFRESH_EVERY == 0:
            self._hang_up()
        if self._connection is None:
            self._connection = bounded.Connection.connect(
                self._url,
                autocommit=True,
                connect_timeout=deadlines.CONNECT_WITHIN_S,
                application_name="zaicun pulse",
            )
        row: tuple[str, ...] | None = self._connection.execute(durable.LOOK).fetchone()
        if row is None:
            raise psycopg.OperationalError("no answer")
        if self._beats % DETAILS_EVERY == 1:
            mark = self._connection.execute("SELECT until FROM assessment_marks").fetchone()
            self.assessed_until = None if mark is None else mark[0]
        return row

    def _judge(self, row: tuple[str, ...]) -> None:
        durable.refuse_unless_durable(row)
        if self._failed or self.unsafe:
            LOG.warning("the database answers again")
        self.unsafe = ""
        self._heard_at, self._failed = time.monotonic(), False

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.pgconn.finish()
