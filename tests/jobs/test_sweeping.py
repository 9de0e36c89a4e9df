"""Uploads that nobody finished and files that no row names are swept; what is attached stays until its time is over."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_attachments import announce, jpeg, link, send, stored, upload
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO

from server import clock as clocks
from server import ids, scheduler
from server.access import Role, Who
from server.attachments import service as deeds
from server.attachments import sweeping
from server.attachments.models import Attachment
from server.attachments.rules import OwnerKind
from server.attachments.storage import Folder, StorageFault
from server.db import Database
from server.scheduler import Job

VILLAGE = "500116101200"
JOBS = {job.name: job for job in scheduler.JOBS}


@pytest.fixture
def app(service: Service) -> Iterator[Database]:
    """The database as the scheduler has it, without a right to delete a row."""
    database = Database(service.cloned.app_url, pool_size=2)
    sweeping.use(service.app.state.attachments)
    yield database
    database.close()
    sweeping.use(None)


@pytest.fixture
def newcomer(service: Service) -> Iterator["Newcomer"]:
    with contextlib.ExitStack() as opened:

        def make() -> tuple[httpx.Client, Who]:
            client, who = entered(service)
            return opened.enter_context(client), who

        yield make


Newcomer = Callable[[], tuple[httpx.Client, Who]]


def entered(service: Service) -> tuple[httpx.Client, Who]:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region=VILLAGE, valid_from=LONG_AGO)
    who = Who(account_id=account.id, session_id=ids.new_id(), version=1)
    return service.as_(token_for(service, account)), who


def age(service: Service, days: int) -> None:
    """Let everything that is there be so much older: rows by the database's clock, files by the disk's."""
    with psycopg.connect(service.cloned.owner_url) as connection:
        connection.execute("UPDATE attachments SET made_at = made_at - %s", (timedelta(days=days),))
    for path in stored(service.settings.var / "attachments"):
        told = path.stat().st_mtime - days * 86_400
        os.utime(path, (told, told))


def night(app: Database, clock: SetClock, owner: str) -> dict[str, dict[str, object]]:
    """Run both jobs as the clockwork does, each in a transaction of its own, tomorrow; forget that they ran."""
    with psycopg.connect(owner) as connection:
        connection.execute("DELETE FROM job_runs WHERE job LIKE '%-attachments'")
    clock.set(datetime.now(UTC) + timedelta(days=1))
    found = {}
    for name in ("forget-attachments", "sweep-attachments"):
        job: Job = JOBS[name]
        assert scheduler.run(app, job, clocks.now())
        with app.read() as session:
            query = sa.text("SELECT details FROM audit_log WHERE deed = :deed ORDER BY id DESC LIMIT 1")
            found[name] = session.execute(query, {"deed": f"job:{name}"}).scalar_one()
    clock.at = None
    return found


@pytest.fixture(scope="module")
def owner(service: Service) -> str:
    return service.cloned.owner_url


def aborted(phone: httpx.Client, number: int) -> None:
    for seed in range(number):
        content = jpeg(40, 30, seed=seed)
        send(phone, announce(phone, content), content[:500], last=False)


@pytest.mark.parametrize("people", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_aborted_uploads_leave_no_file(
    service: Service, newcomer: Newcomer, app: Database, clock: SetClock, owner: str, people: int
) -> None:
    """A thousand of them in the slow part: fifty people with as many unfinished uploads as one may have."""
    phones = [newcomer()[0] for _ in range(people)]
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda phone: aborted(phone, 20), phones))
    assert len(stored(service.settings.var / "attachments" / "incoming")) == 20 * people
    fresh, _ = newcomer()
    night(app, clock, owner)
    assert (
        len(stored(service.settings.var / "attachments" / "incoming")) == 20 * people
    )  # They may still go on.
    age(service, 9)
    aborted(fresh, 1)
    night(app, clock, owner)
    assert len(stored(service.settings.var / "attachments")) == 1  # The fresh one.
    age(service, 9)
    night(app, clock, owner)
    assert stored(service.settings.var / "attachments") == []


def test_what_a_crash_leaves_behind_is_swept_or_completed(
    service: Service,
    newcomer: Newcomer,
    app: Database,
    clock: SetClock,
    owner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phone, _ = newcomer()
    content = jpeg(seed=5)
    one = announce(phone, content)

    def full(*_: object) -> None:
        raise StorageFault("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(Folder, "put", full)  # As if the process had ended between the row and the file.
        assert send(phone, one, content).json()["code"] == "storage-unavailable"
    folder: Path = service.settings.var / "attachments"
    assert stored(folder / "content") == []
    assert phone.get(f"/v1/attachments/{one}").json()["state"] == "storing"
    (folder / "incoming" / f"{ids.new_id()}.0011.out").write_bytes(b"a draft")
    (folder / "content" / "ab").mkdir(parents=True, exist_ok=True)
    (folder / "content" / "ab" / ("c" * 62)).write_bytes(b"a file without a row")
    age(service, 1)
    found = night(app, clock, owner)["sweep-attachments"]
    assert found == {"contents": 1, "parts": 1}
    # The row without a file: its uploader only has to ask again.
    assert send(phone, one, b"", at=len(content)).json()["state"] == "ready"
    assert service.client.get(link(phone, one)).status_code == 200
    age(service, 9)
    night(app, clock, owner)
    assert stored(folder) == []
    assert phone.get(f"/v1/attachments/{one}").status_code == 404


def test_what_is_attached_stays_until_it_fades_and_under_a_hold_beyond_it(
    service: Service, newcomer: Newcomer, app: Database, clock: SetClock, owner: str
) -> None:
    held, free = (ids.new_id() for _ in range(2))
    with psycopg.connect(service.cloned.owner_url) as connection:
        for person in (held, free):
            connection.execute(
                "INSERT INTO people (id, number, name, kept_by, version) VALUES (%s, %s, '甲', '500116', 1)",
                (person, person.hex),
            )
        connection.execute(
            "INSERT INTO legal_holds (id, person_id, reason, ends_on, placed_at, placed_by)"
            " VALUES (%s, %s, 'a case', %s, now(), %s)",
            (ids.new_id(), held, date(2099, 1, 1), ids.new_id()),
        )
    made, phones = {}, {}
    for person in (held, free):
        phone, who = newcomer()
        shown = upload(phone, jpeg(seed=person.int % 1000), name="照片.jpg")
        with service.database.write() as session:
            deeds.attach(session, who, [UUID(shown["id"])], OwnerKind.WORK_LOG, ids.new_id())
            session.execute(
                sa.text("UPDATE accounts SET person_id = :p WHERE id = :a"),
                {"p": person, "a": who.account_id},
            )
        made[person], phones[person] = UUID(shown["id"]), phone
    age(service, 1090)
    night(app, clock, owner)
    assert len(stored(service.settings.var / "attachments" / "content")) == 2
    age(service, 10)
    night(app, clock, owner)
    with service.database.read() as session:
        rows = {person: session.get_one(Attachment, one) for person, one in made.items()}
        assert (rows[held].state, rows[free].state) == ("ready", "faded")
        assert (rows[free].name, rows[free].content, len(rows[free].sha256)) == ("", None, 32)
    assert len(stored(service.settings.var / "attachments" / "content")) == 1
    gone, path = phones[free], f"/v1/attachments/{made[free]}"
    assert gone.get(path).json()["state"] == "faded"
    assert gone.get(f"{path}/upload").json()["code"] == "upload-over"
    assert send(gone, str(made[free]), b"").json()["code"] == "upload-over"
    assert gone.post(f"{path}/link").json()["code"] == "attachment-not-ready"
