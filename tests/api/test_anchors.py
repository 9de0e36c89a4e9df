"""Time anchors through HTTP: what a phone without a signal can prove of the time of its check-ins."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, renewed

from server import ids
from server.auth.keys import Purpose
from server.checkins import rejudging
from server.checkins.models import CheckIn
from server.month.masks import day_mask

MONDAY = datetime(2026, 11, 16, 1, 0, tzinfo=UTC)  # 09:00 in Beijing.
WRONG = timedelta(days=-7)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@dataclass
class App:
    """A native app: true time is what the test says, and everything it sends it has read off its own clocks."""

    service: Service
    cadre: Cadre
    set_clock: SetClock
    wall_off: timedelta = timedelta(0)
    boot: str = "boot-1"
    booted: datetime = MONDAY - timedelta(hours=3)
    anchor: dict[str, Any] | None = None

    def ms(self, at: datetime) -> int:
        return int((at - self.booted) / timedelta(milliseconds=1))

    def online(self, at: datetime) -> httpx.Client:
        self.set_clock.set(at)
        self.cadre = renewed(self.service, self.cadre)
        return self.service.as_(self.cadre.token)

    def fetch_anchor(self, at: datetime) -> None:
        body = {"boot_id": self.boot, "asked_ms": self.ms(at)}
        with self.online(at + timedelta(seconds=1)) as client:
            told = client.post("/v1/time/anchors", json=body).raise_for_status().json()
        self.anchor = {"anchor": told["anchor"], "got_ms": self.ms(at + timedelta(seconds=2))}

    def tap(self, at: datetime, **changes: Any) -> dict[str, Any]:
        body = check_in(at + self.wall_off, client="app/1", **changes)
        del body["sent_at"]
        body["clock"] = {"boot_id": self.boot, "tapped_ms": self.ms(at), **(self.anchor or {})}
        return body

    def sending(self, at: datetime) -> dict[str, Any]:
        sent_clock = {"boot_id": self.boot, "ms": self.ms(at)}
        return {"sent_at": (at + self.wall_off).isoformat(), "sent_clock": sent_clock}

    def send(self, tap: dict[str, Any], at: datetime, checkin_id: UUID | None = None) -> httpx.Response:
        with self.online(at + timedelta(seconds=1)) as client:
            return client.put(f"/v1/check-ins/{checkin_id or ids.new_id()}", json={**tap, **self.sending(at)})

    def restart(self, at: datetime) -> None:
        self.boot, self.booted = f"boot-{at.isoformat()}", at


@pytest.fixture
def app(service: Service, world: World, clock: SetClock) -> App:
    clock.set(MONDAY)
    return App(service, make_cadre(service, world), clock)


def masks(app: App) -> dict[str, int]:
    query = sa.text("SELECT * FROM person_months WHERE person_id = :p")
    with app.service.database.read() as session:
        row = session.execute(query, {"p": app.cadre.person_id}).mappings().one_or_none()
    return {name: row[name] for name in ("sure", "unsure", "claimed")} if row else {}


def test_after_five_days_without_a_signal_and_with_a_wrong_clock_each_tap_has_its_day(app: App) -> None:
    app.wall_off = WRONG
    app.fetch_anchor(MONDAY)
    taps = [app.tap(MONDAY + timedelta(days=n, hours=3)) for n in range(5)]
    back = MONDAY + timedelta(days=6)
    for number, tap in enumerate(taps):  # edge 55, edge 57: older than 72 hours, and still no claim.
        told = app.send(tap, back).json()
        assert (told["day"], told["standing"], told["late"]) == (f"2026-11-{16 + number}", "counted", True)
        assert (told["time"]["basis"], told["time"]["doubt"]) == ("anchor", None)
        true = MONDAY + timedelta(days=number, hours=3)
        assert datetime.fromisoformat(told["time"]["earliest"]) <= true
        assert true <= datetime.fromisoformat(told["time"]["latest"])
    assert masks(app)["sure"] == sum(day_mask(day) for day in range(16, 21))


def test_without_an_anchor_the_same_taps_are_claims_beyond_72_hours(app: App) -> None:
    taps = [app.tap(MONDAY + timedelta(days=n, hours=3)) for n in (0, 5)]
    told = [app.send(tap, MONDAY + timedelta(days=6)).json() for tap in taps]
    assert [each["standing"] for each in told] == ["claimed", "counted"]  # edge 55, ruling 9
    assert [each["time"]["basis"] for each in told] == ["running-clock"] * 2


def test_a_late_check_in_from_a_clock_that_is_off_counts_provisionally(app: App) -> None:
    app.wall_off = timedelta(hours=1)
    tap = app.tap(MONDAY)
    del tap["clock"]  # As a browser sends it.
    told = app.send(tap, MONDAY + timedelta(hours=5)).json()  # security.md S4
    assert (told["day"], told["standing"], told["time"]["doubt"]) == ("2026-11-16", "provisional", "clock")
    assert masks(app) == {"sure": 0, "unsure": day_mask(16), "claimed": 0}
    with app.online(MONDAY + timedelta(hours=5)) as client:
        (day,) = [d for d in client.get("/v1/me/months/2026-11").json()["days"] if d["day"] == "2026-11-16"]
    assert day["reasons"] == ["checked-in-unsure"]
    assert day["records"][0]["time"] == told["time"]
    assert "5 分钟" in told["time"]["text_zh"]


def test_a_phone_that_was_restarted_is_between_its_last_anchor_and_the_upload(app: App) -> None:
    app.fetch_anchor(MONDAY)
    app.restart(MONDAY + timedelta(hours=10))
    tap = app.tap(MONDAY + timedelta(hours=11))
    app.restart(MONDAY + timedelta(hours=20))
    told = app.send(tap, MONDAY + timedelta(hours=24)).json()  # edge 59
    assert told["time"]["basis"] == "restarted"
    assert datetime.fromisoformat(told["time"]["earliest"]) == MONDAY + timedelta(seconds=1)
    assert told["time"]["latest"] == told["received_at"]
    # The wall clock lies within and says Monday, so Monday it is; but not without a mark.
    assert (told["day"], told["standing"], told["time"]["doubt"]) == ("2026-11-16", "provisional", "day")


def test_the_clocks_of_a_tap_belong_to_its_content_and_those_of_a_sending_do_not(app: App) -> None:
    app.fetch_anchor(MONDAY)
    one, tap, noon = ids.new_id(), app.tap(MONDAY + timedelta(hours=3)), MONDAY + timedelta(hours=3)
    first = app.send(tap, noon, one)
    again = app.send(tap, noon + timedelta(minutes=40), one)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content  # edge 63
    changed = {**tap, "clock": {**tap["clock"], "tapped_ms": tap["clock"]["tapped_ms"] + 1}}
    assert app.send(changed, noon, one).json()["code"] == "id-reused"  # edge 64, ruling 11


def test_an_anchor_that_is_not_ones_own_is_not_used_and_refuses_nothing(app: App, world: World) -> None:
    other = App(app.service, make_cadre(app.service, world), app.set_clock)
    other.fetch_anchor(MONDAY)
    app.anchor = other.anchor
    told = app.send(app.tap(MONDAY + timedelta(hours=1)), MONDAY + timedelta(hours=2)).json()
    assert (told["standing"], told["time"]["basis"]) == ("counted", "running-clock")
    anchor = (other.anchor or {})["anchor"]
    for forged in (
        "nonsense",
        f"{anchor[:-4]}AAAA",
        "1." + "x" * 150,
        "1.访问.a.b",
        anchor.replace("1.", "2.", 1),
    ):
        app.anchor = {"anchor": forged, "got_ms": app.ms(MONDAY)}
        assert app.send(app.tap(MONDAY + timedelta(hours=1)), MONDAY + timedelta(hours=2)).status_code == 201
    with app.service.database.read() as session:
        query = sa.text("SELECT count(*) FROM checkin_times WHERE spoiled AND anchored_at IS NULL")
        assert session.execute(query).scalar_one() == 6


def test_anchors_of_a_stolen_key_are_worth_nothing(app: App) -> None:
    app.fetch_anchor(MONDAY)
    app.service.app.state.doorkeeper.keys.rotate(Purpose.ANCHOR, distrust_earlier=True)
    told = app.send(app.tap(MONDAY + timedelta(hours=1)), MONDAY + timedelta(days=5)).json()
    assert (told["time"]["basis"], told["standing"]) == ("running-clock", "claimed")


def test_clocks_that_contradict_each_other_are_marked_and_kept(app: App) -> None:
    app.fetch_anchor(MONDAY)
    tap = app.tap(MONDAY + timedelta(hours=3))
    tap["clock"]["tapped_ms"] += 86_400_000  # A day after it was sent.
    told = app.send(tap, MONDAY + timedelta(hours=4)).json()
    assert (told["time"]["basis"], told["time"]["doubt"]) == ("contradicted", "contradiction")
    assert (told["day"], told["standing"]) == ("2026-11-16", "provisional")


def test_a_queue_is_placed_as_its_check_ins_would_be_alone(app: App) -> None:
    app.wall_off = WRONG
    app.fetch_anchor(MONDAY)
    back = MONDAY + timedelta(days=6)
    taps = [(ids.new_id(), app.tap(MONDAY + timedelta(days=n, hours=3))) for n in range(3)]
    items = [{"id": str(each), **tap, "sent_clock": "an item has none"} for each, tap in taps]
    with app.online(back + timedelta(seconds=1)) as client:
        answer = client.post("/v1/check-ins/batch", json={**app.sending(back), "items": items}).json()
    assert [item["status"] for item in answer["items"]] == [201] * 3
    for (each, tap), item in zip(taps, answer["items"], strict=True):
        alone = app.send(tap, back, each)
        assert (alone.status_code, alone.json()) == (200, item["check_in"])


def test_judging_again_forgets_no_doubt(app: App, service: Service) -> None:
    app.wall_off = timedelta(hours=1)
    tap = app.tap(MONDAY)
    del tap["clock"]
    one = ids.new_id()
    app.send(tap, MONDAY + timedelta(hours=5), one).raise_for_status()
    with service.database.write() as session:
        for begins in (date(2026, 11, 30), date(2026, 1, 1)):  # Not posted, and posted again.
            moved = sa.text("UPDATE postings SET from_day = :d WHERE person_id = :p")
            session.execute(moved, {"d": begins, "p": app.cadre.person_id})
            rejudging.judge_again(session, CheckIn.id == one, cause="roster", write=True)
    with app.online(MONDAY + timedelta(hours=6)) as client:
        again = client.get(f"/v1/check-ins/{one}").json()["judged_again"]
    assert (again["verdict"], again["standing"]) == ("inside", "provisional")
    assert masks(app)["unsure"] == day_mask(16)


def test_who_was_logged_out_gets_no_anchor(app: App) -> None:
    with app.online(MONDAY) as client:
        assert client.post("/v1/auth/logout").status_code == 204
        asked = {"boot_id": "b", "asked_ms": 1}
        assert client.post("/v1/time/anchors", json=asked).json()["code"] == "token-stale"
