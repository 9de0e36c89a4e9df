"""Units, people and postings for tests, written directly; and a small world of two districts to ask questions in."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any
from uuid import UUID

import httpx
from conftest import Service
from factories_auth import make_account, token_for
from factories_places import make_region
from sqlalchemy import orm

from server import clock, ids
from server.access import Role
from server.roster.models import Person, Posting, PostingPlace, PostingVersion, Unit
from server.roster.queries import state_of
from server.roster.rules import EndReason, PostingRole

_NUMBERS = count(1)


def make_unit(session: orm.Session, name: str | None = None, *, number: str | None = None) -> Unit:
    """Insert a sending unit."""
    unit = Unit(id=ids.new_id(), number=number, name=name or f"派出单位{next(_NUMBERS)}", version=1)
    session.add(unit)
    session.flush()
    return unit


def make_person(
    session: orm.Session,
    name: str = "李四",
    *,
    number: str | None = None,
    phone: str | None = None,
    unit: Unit | None = None,
    kept_by: str | None = "500116",
) -> Person:
    """Insert a person with a staff number of their own."""
    person = Person(
        id=ids.new_id(),
        number=number or f"T{next(_NUMBERS):05d}",
        name=name,
        phone=phone,
        unit_id=unit.id if unit else None,
        kept_by=kept_by,
        version=1,
    )
    session.add(person)
    session.flush()
    return person


def make_posting(
    session: orm.Session,
    person: Person,
    village_code: str,
    from_day: date = date(2025, 1, 1),
    until_day: date | None = None,
    *,
    role: PostingRole = PostingRole.MEMBER,
    end_reason: EndReason | None = None,
) -> Posting:
    """Insert a posting with its first version."""
    posting = Posting(
        id=ids.new_id(),
        person_id=person.id,
        village_code=village_code,
        role=role,
        from_day=from_day,
        until_day=until_day,
        end_reason=end_reason,
        version=1,
    )
    session.add(posting)
    session.flush()
    session.add(
        PostingVersion(
            posting_id=posting.id,
            version=1,
            at=clock.now(),
            by=None,
            before=None,
            after=state_of(posting).body(),
            reason="test",
        )
    )
    session.flush()
    return posting


def make_place(
    session: orm.Session, posting: Posting, zone_id: UUID, from_day: date, until_day: date | None = None
) -> PostingPlace:
    """Insert an extra place of a posting."""
    place = PostingPlace(
        id=ids.new_id(), posting_id=posting.id, zone_id=zone_id, from_day=from_day, until_day=until_day
    )
    session.add(place)
    session.flush()
    return place


DISTRICT, OTHER_DISTRICT = "500116", "500117"
TOWN, OTHER_TOWN = "500116101", "500116102"
HOME, NEXT, FAR, FOREIGN = "500116101200", "500116101201", "500116102200", "500117101200"
START = date(2025, 1, 1)


@dataclass
class World:
    """Two districts with towns and villages, and one officer of each kind."""

    service: Service
    district: httpx.Client
    town: httpx.Client
    other_town: httpx.Client
    other_district: httpx.Client
    admin: httpx.Client
    opened: contextlib.ExitStack

    def client(self, role: Role, region: str | None = None, **more: Any) -> httpx.Client:
        """Return a client of a new account with one grant."""
        with self.service.database.write() as session:
            account = make_account(session, role=role, region=region, **more)
        return self.opened.enter_context(self.service.as_(token_for(self.service, account)))

    def person(self, village: str | None = HOME, *, name: str = "李四", **more: Any) -> UUID:
        """Insert a person, posted to the village since 2025 unless it is None."""
        with self.service.database.write() as session:
            person = make_person(session, name, **more)
            if village is not None:
                make_posting(session, person, village, START)
            return person.id


@contextlib.contextmanager
def roster_world(service: Service) -> Iterator[World]:
    """Fill a service's database with the world, once; its clients are closed at the end."""
    with service.database.write() as session:
        for code, name in (
            ("500116000000", "江津区"),
            ("500116101000", "白沙镇"),
            ("500116102000", "朱杨镇"),
            (HOME, "四方村"),
            (NEXT, "银山村"),
            (FAR, "板桥村"),
            ("500117000000", "合川区"),
            ("500117101000", "钱塘镇"),
            (FOREIGN, "大柱村"),
        ):
            make_region(session, code, name)
        accounts = [
            make_account(session, role=role, region=region)
            for role, region in (
                (Role.DISTRICT, DISTRICT),
                (Role.TOWN, TOWN),
                (Role.TOWN, OTHER_TOWN),
                (Role.DISTRICT, OTHER_DISTRICT),
                (Role.ADMIN, ""),
            )
        ]
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(service.as_(token_for(service, account))) for account in accounts]
        district, town, other_town, other_district, admin = clients
        yield World(service, district, town, other_town, other_district, admin, opened)


def posting_body(person_id: UUID, village: str = HOME, **more: str | None) -> dict[str, Any]:
    """Return the body of a new posting since March 2025."""
    return {
        "id": str(ids.new_id()),
        "person_id": str(person_id),
        "village_code": village,
        "role": "member",
        "from_day": "2025-03-01",
        **more,
    }


def posted(world: World, person_id: UUID, village: str = HOME, **more: str | None) -> dict[str, Any]:
    """Post a person through the API and return the answer's body."""
    answer = world.district.post("/v1/postings", json=posting_body(person_id, village, **more))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def people_found(client: httpx.Client, **params: str | int) -> list[str]:
    """Return the ids of the people that a search finds."""
    answer = client.get("/v1/people", params={"limit": 200, **params})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def at_once(deeds: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Do all deeds in threads that start together; return their answers."""
    answers: list[httpx.Response | None] = [None] * len(deeds)
    barrier = threading.Barrier(len(deeds))

    def run(place: int) -> None:
        barrier.wait()
        answers[place] = deeds[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [answer for answer in answers if answer is not None]
