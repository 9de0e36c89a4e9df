import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import check_in, make_cadre, make_world

from server import ids, scheduler
from server.checkins.rejudging import Judgements
from server.db import Database
from server.roster.models import Posting


def test_a_job_is_done_once_across_replicas_and_caught_up(service: Service, clock: SetClock) -> None:
    clock.set(datetime(2026, 11, 16, 4, 0, tzinfo=UTC))
    replicas = [Database(service.cloned.app_url, pool_size=1) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        done = [name for names in pool.map(scheduler.catch_up, replicas) for name in names]
    every = sorted(job.name for job in scheduler.JOBS)
    assert sorted(done) == every  # edge 122
    clock.move(days=3)
    assert sorted(scheduler.catch_up(replicas[0])) == every  # edge 121
    assert scheduler.catch_up(replicas[1]) == []
    with service.database.read() as session:
        periods = (
            session.execute(
                sa.text("SELECT period FROM job_runs WHERE job = 'verify-months' ORDER BY period")
            )
            .scalars()
            .all()
        )
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


def test_a_check_in_that_was_stored_while_its_posting_was_written_is_judged_again_at_night(
    service: Service, clock: SetClock
) -> None:
    noon = datetime(2026, 11, 25, 4, 0, tzinfo=UTC)
    clock.set(noon)
    cadre = make_cadre(service, make_world(service), from_day=date(2026, 11, 30))
    one = f"/v1/check-ins/{ids.new_id()}"
    with service.as_(cadre.token) as phone, contextlib.closing(Database(service.cloned.app_url)) as database:
        with database.write() as session:
            posting = session.scalars(sa.select(Posting).where(Posting.person_id == cadre.person_id)).one()
            posting.from_day = date(2026, 11, 1)
            Judgements().postings_changed(session, cadre.person_id, posting.from_day, None)
            assert phone.put(one, json=check_in(noon)).json()["verdict"] == "not_posted"
        assert phone.get(one).json()["judged_again"] is None
        assert "judge-overlooked" in scheduler.catch_up(database)
        assert phone.get(one).json()["judged_again"]["verdict"] == "inside"
        month = phone.get("/v1/me/months/2026-11").json()
    assert month["days"][24]["reasons"] == ["checked-in"]


def test_a_transaction_whose_maker_was_cut_off_holds_its_locks_for_a_minute_at_most(service: Service) -> None:
    """The jobs' statements may take ten minutes; the silence between two of them may not."""
    asked = sa.text("SHOW idle_in_transaction_session_timeout")
    found = {}
    for statement_s in (5, 600):
        database = Database(service.cloned.app_url, pool_size=1, statement_timeout_s=statement_s)
        with contextlib.closing(database), database.read() as session:
            found[statement_s] = session.scalar(asked)
    assert found == {5: "10s", 600: "1min"}
