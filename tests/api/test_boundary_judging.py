"""What publishing boundaries tells the rooms that judge by them, and the list of imports."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import pytest
import sqlalchemy as sa
from conftest import Service
from factories_places import (
    Desk,
    bring,
    code_of,
    feature,
    in_force,
    layer,
    new_town,
    open_desk,
    publish,
    square,
)
from paging import every
from sqlalchemy import orm

from server import problems
from server.places import hooks
from server.places.hooks import Effect, ZoneChange
from server.state import StateVersion

pytestmark = pytest.mark.slow  # Each import starts two processes that read and report.
Town = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def desk(service: Service) -> Iterator[Desk]:
    with open_desk(service) as opened:
        yield opened


@pytest.fixture
def town(service: Service) -> Town:
    def make(villages: int) -> list[str]:
        with service.database.write() as session:
            return new_town(session, villages)

    return make


@dataclass
class Told:
    """Keeps what the check-ins room would be told."""

    changes: list[ZoneChange] = field(default_factory=list)
    asked: list[ZoneChange] = field(default_factory=list)

    def would_change(self, _session: orm.Session, changes: Sequence[ZoneChange]) -> Effect:
        self.asked += changes
        return Effect(check_ins=12, people=3)

    def boundaries_published(self, _session: orm.Session, changes: Sequence[ZoneChange]) -> None:
        self.changes += changes

    def region_followed(self, _session: orm.Session, codes: Sequence[str], from_day: date) -> None:
        raise AssertionError((codes, from_day))


def test_the_room_that_judges_is_asked_in_a_dry_run_and_told_when_published(
    desk: Desk, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:  # edge 46
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
    told = Told()
    monkeypatch.setattr(hooks, "judgements", lambda: told)
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    assert tried["effect"] == {"check_ins": 12, "people": 3}
    assert told.changes == []
    publish(desk.publisher, shown)
    (change,) = told.changes
    assert (change.region_code, change.kind, change.valid_from) == (
        code,
        "village",
        datetime.fromisoformat("2026-01-01T00:00:00+08:00"),
    )
    assert change.shape is not None
    assert change.shape.equals(square(code))
    assert str(change.version_id) == in_force(desk.importer, code)[code]["version_id"]


def test_where_nobody_can_tell_the_effect_is_absent_and_not_zero(
    desk: Desk, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
    monkeypatch.setattr(hooks, "judgements", lambda: None)
    assert desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()["effect"] is None


def test_publishing_that_fails_half_way_leaves_nothing(
    service: Service, desk: Desk, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()

    class Failing(Told):
        def boundaries_published(self, _session: orm.Session, _changes: Sequence[ZoneChange]) -> None:
            raise problems.later(problems.BUSY)

    with service.database.read() as session:
        before = session.scalars(sa.select(StateVersion.version).filter_by(name="boundaries")).one_or_none()
    monkeypatch.setattr(hooks, "judgements", Failing)
    assert code_of(publish(desk.publisher, shown)) == (503, "busy")
    assert in_force(desk.importer, code) == {}
    assert desk.importer.get(f"/v1/boundary-imports/{shown['id']}").json()["state"] == "open"
    with service.database.read() as session:
        after = session.scalars(sa.select(StateVersion.version).filter_by(name="boundaries")).one_or_none()
    assert after == before
    monkeypatch.undo()
    assert publish(desk.publisher, shown).status_code == 200


def test_imports_are_listed_in_pages_the_newest_first(desk: Desk, town: Town) -> None:
    for number in range(4):
        code = town(1)[0]
        shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
        if number == 0:
            path = f"/v1/boundary-imports/{shown['id']}/reject"
            desk.publisher.post(path, json={"note": "重复"}, headers={"If-Match": '"1"'})
    everything = desk.importer.get("/v1/boundary-imports", params={"limit": 200}).json()["items"]
    times = [item["imported_at"] for item in everything]
    assert times == sorted(times, reverse=True)
    found = [item["id"] for item in every(desk.importer, "/v1/boundary-imports", limit=3)]
    assert len(everything) > 3
    assert found == [item["id"] for item in everything]
    states = desk.importer.get("/v1/boundary-imports", params={"state": "rejected"}).json()["items"]
    assert {item["state"] for item in states} == {"rejected"}
