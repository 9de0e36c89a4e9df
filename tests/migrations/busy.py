"""A database in use: a large table of check-ins, phones and officers at work over HTTP, and who locks what how long."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psycopg
from conftest import Cloned, Service
from factories_auth import make_account, token_for
from factories_checkins import check_in, make_cadre, make_world
from factories_roster import make_person

from server import clock, ids
from server.access import Role

TRIES = 6
FILL = """WITH g AS (INSERT INTO checkin_grounds (village_code)
    SELECT '5001161' || lpad(n::text, 5, '0') FROM generate_series(0, 299) AS n RETURNING id, village_code),
f AS (INSERT INTO checkin_phones (provider, datum, mocked) VALUES ('gps', 'wgs84', false) RETURNING id)
INSERT INTO checkin_rows (person_id, id, received_at, event_at, sent_at, day, utc_offset_min, kind, verdict, reason,
    standing, band, accuracy_m, fix_age_s, outside_work, grounds, phone, content_hash)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n %% 2000), 12, '0'))::uuid,
    ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, at, at, at, at::date, 480, 'd', 'i', 'i', 'c', 'i',
    12, 3, false, g.id, f.id, decode(md5(n::text), 'hex')
FROM (SELECT n, timestamptz '2025-01-01' + n * interval '20 seconds' AS at FROM generate_series(1, %s) AS n) AS made
CROSS JOIN f JOIN g ON g.village_code = '5001161' || lpad((n %% 300)::text, 5, '0')"""
STOPPING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""Modes that keep somebody from writing; the last keeps them from reading too."""
_LOCKS = """SELECT l.pid, c.relname::text, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.mode = ANY(%s) AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND l.pid <> pg_backend_pid()"""
_WAITS = """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8 FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE NOT l.granted AND l.locktype = 'relation' AND a.usename = 'zaicun_app'
    AND a.datname = current_database()"""


def fill(cloned: Cloned, rows: int) -> None:
    """Make a table of so many check-ins."""
    with psycopg.connect(cloned.owner_url, autocommit=True) as connection:
        connection.execute(FILL, (rows,))
        connection.execute("ANALYZE checkin_rows")


@dataclass
class Locks:
    """What was seen of the locks that stop people."""

    longest_s: float = 0.0  # Wanted or held, from first seen to last.
    longest: str = ""
    longest_wait_s: float = 0.0  # Of a request of the service.
    looks: int = 0
    widest_gap_s: float = 0.0

    def take(self, lasted: float, what: str) -> None:
        """Count one lock."""
        if lasted > self.longest_s:
            self.longest_s, self.longest = lasted, what


@contextmanager
def watched_locks(cloned: Cloned) -> Iterator[Locks]:
    """Look at the locks every few milliseconds while the block runs.

    A lock counts from when it is wanted: whoever comes later queues behind it. The gap before a look is added, so a
    lock is never reported shorter than it was.
    """
    seen, ended = Locks(), threading.Event()

    def look() -> None:
        open_: dict[tuple[int, str, str], tuple[float, float]] = {}
        with psycopg.connect(cloned.owner_url, autocommit=True) as connection:
            before = time.monotonic()
            while not ended.is_set():
                rows = connection.execute(_LOCKS, (list(STOPPING),)).fetchall()
                waited = connection.execute(_WAITS).fetchone()
                now = time.monotonic()
                seen.looks += 1
                seen.widest_gap_s = max(seen.widest_gap_s, now - before)
                seen.longest_wait_s = max(seen.longest_wait_s, waited[0] if waited else 0.0)
                present = {(row[0], row[1], row[2]) for row in rows}
                for key in present:
                    open_[key] = (open_.get(key, (before, now))[0], now)
                for key in set(open_) - present:
                    first, last = open_.pop(key)
                    seen.take(last - first, f"{key[2]} on {key[1]}")
                before = now
                time.sleep(0.003)
        for (_, table, mode), (first, last) in open_.items():
            seen.take(last - first, f"{mode} on {table}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@dataclass
class Work:
    """What was asked of the service while it was in use."""

    acknowledged: list[str] = field(default_factory=list)  # Ids of check-ins.
    edits: int = 0
    reads: int = 0
    retries: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def ask(self, request: Callable[[], httpx.Response]) -> httpx.Response | None:
        """Ask until there is an answer that is final, as a phone does; None and a failure when there is none."""
        said = ""
        for tried in range(TRIES):
            began = time.monotonic()
            answer = request()
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if answer.status_code < 300:
                return answer
            said = (
                f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}"
            )
            if answer.status_code < 500:
                break
            self.retries += 1
            time.sleep(0.1 * 2**tried)
        self.failures.append(said)
        return None


class Traffic:
    """Phones that check in, an officer who edits people, and readers of months."""

    def __init__(self, service: Service) -> None:
        self.service = service
        world = make_world(service)
        self.cadres = [make_cadre(service, world) for _ in range(3)]
        self.reader = make_cadre(service, world)  # Nobody who reads has tapped a thousand times a minute.
        with service.database.write() as session:
            self.officer = make_account(session, role=Role.DISTRICT, region="500116")
            self.people = [make_person(session).id for _ in range(3)]
        self.work = Work()
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Work]:
        """Keep everybody at work while the block runs."""
        deeds = [*(lambda c=c: self._phone(c.account) for c in self.cadres), self._officer, self._reader]
        with ThreadPoolExecutor(len(deeds)) as pool:
            done = [pool.submit(deed) for deed in deeds]
            try:
                yield self.work
            finally:
                self._ended.set()
                for each in done:
                    each.result()

    def _asking(self, account: object, deed: Callable[[httpx.Client, int], None]) -> None:
        """Do it again and again; tokens last ten minutes, so a new one is taken now and then."""
        number = 0
        while not self._ended.is_set():
            token = token_for(self.service, account)  # type: ignore[arg-type]  # An account.
            until = time.monotonic() + 120
            with self.service.as_(token) as client:
                while not self._ended.is_set() and time.monotonic() < until:
                    deed(client, number)
                    number += 1
                    time.sleep(0.01)

    def _phone(self, account: object) -> None:
        def deed(client: httpx.Client, _number: int) -> None:
            name, body = str(ids.new_id()), check_in(clock.now())
            if self.work.ask(lambda: client.put(f"/v1/check-ins/{name}", json=body)):
                self.work.acknowledged.append(name)

        self._asking(account, deed)

    def _officer(self) -> None:
        def deed(client: httpx.Client, number: int) -> None:
            path = f"/v1/people/{self.people[number % len(self.people)]}"
            shown = self.work.ask(lambda: client.get(path))
            if shown is not None:
                head = {"If-Match": shown.headers["etag"]}
                body = {"phone": f"138{number % 100_000_000:08d}"}
                if self._edited(client, path, body, head):
                    self.work.edits += 1

        self._asking(self.officer, deed)

    def _edited(self, client: httpx.Client, path: str, body: dict[str, str], head: dict[str, str]) -> bool:
        return self.work.ask(lambda: client.patch(path, json=body, headers=head)) is not None

    def _reader(self) -> None:
        month = f"{clock.now():%Y-%m}"

        def deed(client: httpx.Client, _number: int) -> None:
            if self.work.ask(lambda: client.get("/v1/check-ins")) and self.work.ask(
                lambda: client.get(f"/v1/me/months/{month}")
            ):
                self.work.reads += 1

        self._asking(self.reader.account, deed)
