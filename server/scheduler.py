"""The clockwork: what runs when (Asia/Shanghai), each by its row in the ledger, missed periods caught up at the start.

May run in several processes at once; `zaicun scheduler` is one of them.
"""

import logging
import signal
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import click
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import orm

from server import audit, clock, jobs, runtime
from server import settings as settings_module
from server.compliance import queries
from server.console import plainly, say
from server.db import Database
from server.month.masks import Month
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
        differing = queries.different_masks(session, month)
        found[str(month)] = len(differing)
        if differing:
            LOG.error(
                "%s: the masks of %d people differ from their check-ins; see `zaicun month verify`",
                month,
                len(differing),
            )
    return found


JOBS = (Job("verify-months", 2, 10, verify_months),)


def run(database: Database, job: Job, now: datetime) -> bool:
    """Do a job for the newest due day unless it was done; tell whether this call did it."""
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


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    database = Database(settings.database_url, pool_size=2, statement_timeout_s=600)
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
    with runtime.ready(settings_module.load(), say) as settings:
        say("zaicun scheduler runs")
        serve(settings)
