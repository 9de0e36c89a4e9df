"""The clockwork: what runs when (Asia/Shanghai), each by its row in the ledger, missed periods caught up at the start.

May run in several processes at once; `zaicun scheduler` is one of them.
"""

import logging
import signal
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import orm

from server import audit, clock, clock_watch, jobs, logs, runtime, vitals
from server import settings as settings_module
from server.attachments import sweeping
from server.attachments.service import Stores
from server.checkins import late, rejudging
from server.checkins.rules import Cause
from server.compliance import recomputing
from server.console import plainly
from server.db import Database
from server.month.masks import Month
from server.privacy import retention
from server.problems import Problem
from server.review import assessing, fleet, inbox
from server.settings import Settings

LOG = logging.getLogger("zaicun.scheduler")
ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name, its hour and minute every day, and its deed for a day."""

    name: str
    hour: int
    minute: int
    deed: Callable[[orm.Session, date], dict[str, object]]

    def due(self, now: datetime) -> date:
        """Return the newest day for which the job's time has come."""
        local = now.astimezone(ZONE)
        begun = (local.hour, local.minute) >= (self.hour, self.minute)
        return local.date() if begun else local.date() - timedelta(days=1)


def verify_months(session: orm.Session, day: date) -> dict[str, object]:
    """Compare the masks of this and the last month with the check-ins they come from; a difference is an alarm."""
    found: dict[str, object] = {}
    for month in {Month.of(day), Month.of(day.replace(day=1) - timedelta(days=1))}:
        differing = recomputing.different_masks(session, month)
        found[str(month)] = len(differing)
        if differing:
            LOG.error(
                "%s: the masks of %d people differ from their check-ins; see `zaicun month verify`",
                month,
                len(differing),
            )
    return found


OVERLOOKED_FOR = timedelta(days=62)
"""How far back it is looked for: this month and the last one, which can still be appealed."""


def judge_overlooked(session: orm.Session, day: date) -> dict[str, object]:
    """Judge again what was checked in while the posting for it was being written (ruling 10)."""
    condition = rejudging.overlooked(day - OVERLOOKED_FOR)
    outcome = rejudging.judge_again(session, condition, cause=Cause.ROSTER, write=True)
    return {"judged": outcome.judged, "changed": len(outcome.changes)}


def open_late_cases(session: orm.Session, day: date) -> dict[str, object]:
    """Open correction cases for what arrived after its month's grace day (edge 58)."""
    since = datetime.combine(day - OVERLOOKED_FOR, time.min, ZONE)
    return {"opened": len(late.open_cases(session, since))}


def fade(session: orm.Session, day: date) -> dict[str, object]:
    """Let the coordinates fade whose time has come (ruling 22)."""
    return retention.fade(session, day)


def purge(session: orm.Session, day: date) -> dict[str, object]:
    """Delete what the data map gives an end, but for what is under a legal hold (S9, edge 134)."""
    return retention.purge(session, day)


def ask_about_months(session: orm.Session, day: date) -> dict[str, object]:
    """Ask reviewers about months of this and the last one that unsure days decide, or too many of them (ruling 2)."""
    months = {Month.of(day), Month.of(day.replace(day=1) - timedelta(days=1))}
    return {"opened": inbox.open_for_months(session, months)}


def watch_fleet(session: orm.Session, day: date) -> dict[str, object]:
    """Learn the habits of clients, and raise the alarm about one whose positions moved as one (edge 40)."""
    found = fleet.watch(session, day)
    if found["raised"]:
        LOG.error("a client's positions moved as one; see `zaicun plausibility alarms`")
    return found


def assess_overlooked(session: orm.Session, day: date) -> dict[str, object]:
    """Assess what the worker passed over, because a server's clock was set back or a group took unusually long."""
    begin = datetime.combine(day - timedelta(days=3), datetime.min.time(), ZONE)
    done = assessing.sweep(session, begin)
    return {"assessed": done.taken, "opened": done.opened}


JOBS = (
    Job("verify-months", 2, 10, verify_months),
    Job("judge-overlooked", 1, 40, judge_overlooked),
    Job("open-late-cases", 1, 50, open_late_cases),
    Job("assess-overlooked", 2, 25, assess_overlooked),
    Job("review-months", 2, 40, ask_about_months),
    Job("fade", 3, 10, fade),
    Job("watch-fleet", 3, 25, watch_fleet),  # After the fading: points that it took are forgotten here too.
    Job("purge", 3, 40, purge),
    Job("forget-attachments", 3, 50, sweeping.forget),
    Job("sweep-attachments", 4, 0, sweeping.sweep),  # After it: files go by the rows that are committed.
)
ASSESS_S = 15
"""How often it is looked whether check-ins have come that plausibility has not seen."""


def assess(database: Database) -> None:
    """Assess what has come since the last time. Whoever of several schedulers comes first does it."""
    try:
        done = assessing.catch_up(database, gives_way=True)
    except Problem as problem:
        LOG.warning("check-ins could not be assessed", extra={"problem": problem.kind.code})
        return
    if done.opened:
        LOG.info("plausibility: %s assessed, %s to be reviewed", done.taken, done.opened)


def run(database: Database, job: Job, now: datetime) -> bool:
    """Do a job for the newest due day unless it was done; tell whether this call did it."""
    clock_watch.WATCH.look()
    if clock_watch.WATCH.doubted():
        # A period that is done stays done: by a clock that is wrong it would be done too early, and never again.
        LOG.critical("%s waits: the clock was set; start the scheduler again when it is right", job.name)
        return False
    day = job.due(now)
    with database.write() as session:
        if not jobs.take(session, job.name, day.isoformat()):
            return False
        found = job.deed(session, day)
        audit.record(session, None, f"job:{job.name}", ("day", day), **found)
    LOG.info("%s for %s: %s", job.name, day, found)
    return True


def catch_up(database: Database) -> list[str]:
    """Do what is due and was not done while no scheduler ran; return the names."""
    return [job.name for job in JOBS if run(database, job, clock.now())]


BEAT_S = 30


def beat(database: Database) -> None:
    """Ask the database something, so that this process's session shows when it was last alive (ruling 25).

    And look at the clock, so that no jump of it is overlooked between two jobs.
    """
    clock_watch.WATCH.look()
    try:
        with database.read() as session:
            session.execute(sa.text("SELECT 1"))
    except Problem as problem:
        LOG.warning("no sign of life could be given", extra={"problem": problem.kind.code})


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    # Its sessions carry its name: by them the service tells whether a scheduler lives (vitals.py).
    named = sa.make_url(settings.database_url).update_query_dict({"application_name": vitals.SCHEDULER})
    database = Database(named.render_as_string(hide_password=False), pool_size=3, statement_timeout_s=600)
    sweeping.use(Stores.of(settings))
    catch_up(database)
    scheduler = BlockingScheduler(timezone=ZONE)
    for job in JOBS:
        scheduler.add_job(
            lambda job=job: run(database, job, clock.now()),
            CronTrigger(hour=job.hour, minute=job.minute, timezone=ZONE),
            id=job.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=12
            * 3600,  # The default is one second; the ledger keeps a late run from being a second.
        )

    scheduler.add_job(
        lambda: assess(database), "interval", seconds=ASSESS_S, id="assess", coalesce=True, max_instances=1
    )
    # A sign of life that a job which hangs does not hold up: it has a thread and a connection of its own.
    scheduler.add_job(lambda: beat(database), "interval", seconds=BEAT_S, id="beat", coalesce=True)

    def stop(_signal: int, _frame: types.FrameType | None) -> None:
        scheduler.shutdown(wait=False)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        scheduler.start()
    finally:
        database.close()


@click.command()
@plainly
def scheduler() -> None:
    """Run the scheduled jobs until told to stop; several at once are safe."""
    given = settings_module.load()
    logs.configure(level=given.log_level, shape=given.log_format)
    with runtime.ready(given, logs.say) as settings:
        logs.say("zaicun scheduler runs")
        serve(settings)
