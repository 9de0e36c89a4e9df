"""What only the database knows: whether it answers, when each job and the backup were last done, whether the scheduler lives.

Asked when Prometheus asks, on a connection of its own and for two seconds at most: a page that hangs with the database
would tell nothing at the moment it is needed. A frozen server is given up without a word to it (security.md M4).

The scheduler's heartbeat (ruling 25) is its session: it says its name, and asks something every half minute.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from server import bounded

ANSWER_WITHIN_S = 2.0
SCHEDULER = "zaicun-scheduler"
"""The application_name of the scheduler's sessions."""
BACKUP = "backup"
"""The job under which a whole backup of the database is noted in the ledger; it is no job of the scheduler's."""

_JOBS = "SELECT job, extract(epoch FROM max(done_at))::float8 FROM job_runs GROUP BY job"
_SCHEDULER = """SELECT count(*),
    extract(epoch FROM clock_timestamp() - max(state_change))::float8,
    extract(epoch FROM max(clock_timestamp() - xact_start) FILTER (WHERE state <> 'idle'))::float8
FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"""

_REVIEWS = """SELECT COALESCE((SELECT extract(epoch FROM until)::float8 FROM assessment_marks), 0),
    (SELECT count(*) FROM review_items WHERE state IN ('open', 'needs-more')),
    (SELECT count(*) FROM datum_alarms WHERE closed_at IS NULL)"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said: seconds it took, Unix times of the jobs, the scheduler's sessions, what people are asked.

    `assessed_until` is the Unix time up to which every check-in was assessed; 0 before the first one was.
    """

    seconds: float
    jobs: Mapping[str, float] = field(default_factory=dict)
    sessions: int = 0
    silent_s: float | None = None
    busy_s: float | None = None
    assessed_until: float = 0.0
    reviews: int = 0
    alarms: int = 0


class Vitals:
    """Asks one database; one question at a time, others share its answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._asking: asyncio.Task[Answer] | None = None
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._jobs: Mapping[str, float] = {}
        self._backup: float | None = None

    async def ask(self) -> list[Metric]:
        """Return the gauges; when the database does not answer in time, what is known without it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._asked(), name="vitals")
        task = self._asking
        # asyncio.wait, because a timeout that cancels would wait for the driver's own cancellation.
        done, _ = await asyncio.wait({task}, timeout=ANSWER_WITHIN_S)
        if not done:
            self._give_up(task)
            return self._told(None)
        answer = None
        # Whoever asked first may have given up for all who share the question.
        with contextlib.suppress(psycopg.Error, OSError, asyncio.CancelledError):
            answer = task.result()
            self._jobs = {job: at for job, at in answer.jobs.items() if job != BACKUP}
            self._backup = answer.jobs.get(BACKUP, 0.0)
        return self._told(answer)

    async def _asked(self) -> Answer:
        began = time.perf_counter()
        self._connection = None
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=2,
            application_name="zaicun-vitals",
            options=f"-c statement_timeout={int(ANSWER_WITHIN_S * 1000)}",
        )
        self._connection = connection
        try:
            jobs = await (await connection.execute(_JOBS)).fetchall()
            row = await (await connection.execute(_SCHEDULER, [SCHEDULER])).fetchone()
            asked = await (await connection.execute(_REVIEWS)).fetchone()
        finally:
            connection.pgconn.finish()
        sessions, silent_s, busy_s = row or (0, None, None)
        took = time.perf_counter() - began
        return Answer(took, dict(jobs), sessions, silent_s, busy_s, *(asked or ()))

    def _give_up(self, task: asyncio.Task[Answer]) -> None:
        if self._asking is not task:
            return  # Given up already; the connection may be that of the next question.
        if self._connection is not None:
            bounded.cut(self._connection.pgconn)  # What waits on it fails, and closes it.
        task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
        task.cancel()
        self._asking = None

    def _told(self, answer: Answer | None) -> list[Metric]:
        last = GaugeMetricFamily(
            "zaicun_job_last_success_timestamp_seconds",
            "When a job was last done (Unix time), by the ledger.",
            labels=("job",),
        )
        for job, at in sorted(self._jobs.items()):
            last.add_metric((job,), at)
        told = [
            _one("zaicun_database_up", "Whether the database answers within 2 s.", float(answer is not None)),
            last,
        ]
        if self._backup is not None:
            told.append(
                _one(
                    "zaicun_backup_last_success_timestamp_seconds",
                    "When the database was last backed up (Unix time); 0: never.",
                    self._backup,
                )
            )
        if answer is not None:
            told += [
                _one("zaicun_database_answer_seconds", "Connecting and asking, together.", answer.seconds),
                _one("zaicun_scheduler_up", "Whether a scheduler is connected.", float(answer.sessions > 0)),
            ]
        if answer is not None:
            told += _reviews(answer)
        if answer is not None and answer.silent_s is not None:
            told += [
                _one(
                    "zaicun_scheduler_silent_seconds",
                    "Since the scheduler's last sign of life.",
                    answer.silent_s,
                ),
                _one(
                    "zaicun_scheduler_busy_seconds",
                    "How long its oldest job has been running.",
                    answer.busy_s or 0,
                ),
            ]
        return told


def _reviews(answer: Answer) -> list[Metric]:
    return [
        _one(
            "zaicun_reviews_waiting", "Items of the review queue without a decision.", float(answer.reviews)
        ),
        _one("zaicun_datum_alarms_open", "Clients whose positions moved as one.", float(answer.alarms)),
        _one(
            "zaicun_plausibility_assessed_until_timestamp_seconds",
            "Every check-in received before this (Unix time) was assessed: a minute ago when nothing waits; 0: none yet.",
            answer.assessed_until,
        ),
    ]


def _one(name: str, text: str, value: float) -> Metric:
    told = GaugeMetricFamily(name, text)
    told.add_metric((), value)
    return told
