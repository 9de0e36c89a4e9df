from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import sqlalchemy as sa
from conftest import Service, SetClock

from server import scheduler
from server.db import Database


def test_a_job_is_done_once_across_replicas_and_caught_up(service: Service, clock: SetClock) -> None:
    clock.set(datetime(2026, 11, 16, 4, 0, tzinfo=UTC))
    replicas = [Database(service.cloned.app_url, pool_size=1) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        done = [name for names in pool.map(scheduler.catch_up, replicas) for name in names]
    assert done == ["verify-months"]  # edge 122
    clock.move(days=3)
    assert scheduler.catch_up(replicas[0]) == ["verify-months"]  # edge 121
    assert scheduler.catch_up(replicas[1]) == []
    with service.database.read() as session:
        periods = session.execute(sa.text("SELECT period FROM job_runs ORDER BY period")).scalars().all()
        audited = session.execute(
            sa.text("SELECT count(*) FROM audit_log WHERE deed = 'job:verify-months'")
        ).scalar_one()
    assert periods == ["2026-11-16", "2026-11-19"]
    assert audited == 2
    for replica in replicas:
        replica.close()


def test_a_job_is_due_from_its_minute_on_in_beijing() -> None:
    job = scheduler.JOBS[0]
    before = datetime(2026, 11, 15, 18, 9, tzinfo=UTC)  # 02:09 on the 16th.
    assert job.due(before) == date(2026, 11, 15)
    assert job.due(before.replace(minute=10)) == date(2026, 11, 16)
