"""Old apps that say no datum or no age of a position: taken as unsure until a day, by every way a check-in has (edge 140)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from conftest import Clone, Service, SetClock, running_service
from factories_checkins import FAR, Cadre, World, check_in, make_cadre, make_world, position, renewed
from factories_devices import Keyed, PhoneKey, bound, sealed

from geo.datum import Datum, from_wgs84
from server import ids
from server.checkins import rejudging
from server.checkins.models import CheckIn
from server.checkins.rules import Cause
from server.settings import SettingsFault, load

NOON = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)  # 12:00 in Beijing.
ENDS = datetime(2026, 12, 1, tzinfo=UTC) - timedelta(hours=8)
OLD, CURRENT = "zaicun-phone/1.0 (Android 9)", "zaicun-phone/1.1 (Android 14)"
Json = dict[str, Any]
Way = Callable[["Phone", Json], httpx.Response]


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The product while old apps are given time to be updated."""
    asked = {"minimum_clients": ("zaicun-phone/1.1",), "datum_required_from": "2026-12-01"}
    with running_service(clone(), tmp_path_factory.mktemp("var"), **asked) as running:
        yield running


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


class Phone:
    """A cadre's phone, with a key or without."""

    def __init__(self, service: Service, cadre: Cadre, keyed: Keyed | None) -> None:
        self.service, self.cadre, self.keyed = service, cadre, keyed

    def body(self, body: Json, one: UUID) -> Json:
        return body if self.keyed is None else sealed(self.keyed.key, self.cadre.person_id, one, body)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        if self.keyed is not None:
            assert self.keyed.renew().is_success
            return self.keyed.send(method, path, sign=method == "GET", **more)
        with self.service.as_(renewed(self.service, self.cadre).token) as client:
            return client.request(method, path, **more)


def alone(phone: Phone, body: Json, one: UUID | None = None) -> httpx.Response:
    one = one or ids.new_id()
    return phone.send("PUT", f"/v1/check-ins/{one}", json=phone.body(body, one))


def in_a_queue(phone: Phone, body: Json) -> httpx.Response:
    """Send it in a batch; return the answer with the item's status and content in place of the whole's."""
    one = ids.new_id()
    item = {"id": str(one), **phone.body(body, one)}
    sent = item.pop("sent_at")
    whole = phone.send("POST", "/v1/check-ins/batch", json={"sent_at": sent, "items": [item]})
    if whole.status_code != 200:
        return whole
    (told,) = whole.json()["items"]
    return httpx.Response(told["status"], json=told["check_in"] or told["problem"], headers=whole.headers)


WAYS = pytest.mark.parametrize("way", [alone, in_a_queue])
KEYS = pytest.mark.parametrize("signed", [False, True])


def phone_of(service: Service, world: World, *, signed: bool) -> Phone:
    cadre = make_cadre(service, world)
    return Phone(service, cadre, bound(service, cadre.account, PhoneKey()) if signed else None)


def without(*names: str, at: datetime = NOON, **changes: Any) -> Json:
    body = check_in(at, position=position(**changes.pop("place", {})), client=OLD, **changes)
    body["position"] = {name: value for name, value in body["position"].items() if name not in names}
    return body


@WAYS
@KEYS
def test_an_old_app_that_says_less_is_taken_as_unsure_and_told_to_update(
    service: Service, clock: SetClock, world: World, way: Way, signed: bool
) -> None:  # edge 140
    clock.set(NOON + timedelta(seconds=2))
    phone = phone_of(service, world, signed=signed)
    reasons = {
        ("datum",): "datum-unknown",
        ("age_s",): "age-unknown",
        ("datum", "age_s"): "datum-unknown",
    }
    for names, reason in reasons.items():
        answer = way(phone, without(*names))
        told = answer.json()
        assert (answer.status_code, told["verdict"], told["standing"]) == (201, "unsure", "provisional"), told
        assert (told["reason"], "更新应用" in told["reason_zh"]) == (reason, True)
        assert answer.headers["Deprecation"].startswith("@")
        assert parsedate_to_datetime(answer.headers["Sunset"]) == ENDS
        assert "/docs/changes" in answer.headers["Link"]
        kept = phone.send("GET", f"/v1/check-ins/{told['id']}").json()
        assert kept["datum"] == ("unknown" if "datum" in names else "wgs84")
    whole = way(phone, without())
    assert (whole.json()["verdict"], "Deprecation" in whole.headers) == ("inside", False)


@WAYS
@KEYS
def test_a_current_app_and_the_day_after_are_refused_by_what_is_missing(
    service: Service, clock: SetClock, world: World, way: Way, signed: bool
) -> None:  # edge 140
    clock.set(NOON + timedelta(seconds=2))
    phone = phone_of(service, world, signed=signed)
    late = without("datum", at=ENDS)
    for at, body in ((NOON, without("datum") | {"client": CURRENT}), (ENDS, late)):
        clock.set(at + timedelta(seconds=2))
        answer = way(phone, body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "invalid-request"
        assert [each["field"] for each in answer.json()["errors"]] == ["position.datum"]
    assert phone.send("GET", "/v1/check-ins").json()["items"] == []
    codes = {item["code"] for item in phone.send("GET", "/v1/check-ins/attempts").json()["items"]}
    assert codes == {"invalid-request"}


def test_what_was_tapped_before_the_day_is_taken_after_it_and_a_resend_is_one(
    service: Service, clock: SetClock, world: World
) -> None:  # edge 140
    phone = phone_of(service, world, signed=False)
    last, after, one = ENDS - timedelta(seconds=1), ENDS + timedelta(hours=20), ids.new_id()
    clock.set(after)
    first, again = (alone(phone, without("datum", at=last, sent=after), one) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert (again.headers["Idempotent-Replay"], "Sunset" in again.headers) == ("true", True)


def test_the_app_is_known_by_its_header_as_well(service: Service, clock: SetClock, world: World) -> None:
    clock.set(NOON + timedelta(seconds=2))
    phone = phone_of(service, world, signed=False)
    nameless, one = without("age_s") | {"client": None}, ids.new_id()
    answers = [
        phone.send(
            "PUT", f"/v1/check-ins/{one}", json=nameless, headers={"Zaicun-Client": client}
        ).status_code
        for client in (CURRENT, OLD)
    ]
    assert answers == [422, 201]


def test_whichever_datum_it_was_the_village_is_not_missed_and_far_away_stays_outside(
    service: Service, clock: SetClock, world: World
) -> None:  # edge 140
    clock.set(NOON + timedelta(seconds=2))
    phone = phone_of(service, world, signed=False)
    corner = {
        "lon": 106.2195,
        "lat": 28.9005,
    }  # 50 m inside; written in GCJ-02 or BD-09 it is a place outside.
    for datum in (Datum.WGS84, Datum.GCJ02, Datum.BD09):
        spoken = from_wgs84(**corner, datum=datum)
        place = {"lon": round(spoken.lon, 7), "lat": round(spoken.lat, 7)}
        assert alone(phone, without("datum", place=place)).json()["verdict"] == "unsure"
    told = alone(phone, without("datum", "age_s", place=FAR)).json()
    assert (told["verdict"], told["reason"], told["standing"]) == ("outside", "out-of-village", "not-counted")


def test_judged_again_it_is_still_of_an_unknown_datum(
    service: Service, clock: SetClock, world: World
) -> None:
    clock.set(NOON + timedelta(seconds=2))
    phone = phone_of(service, world, signed=False)
    kept = alone(phone, without("datum", "age_s")).json()["id"]
    with service.database.write() as session:
        own = CheckIn.person_id == phone.cadre.person_id
        found = rejudging.judge_again(session, own, cause=Cause.BOUNDARY, write=False)
        row = session.execute(
            sa.text("SELECT datum, fix_age_s, reason FROM checkins WHERE id = :id"), {"id": kept}
        ).one()
    assert (found.judged, found.changes, tuple(row)) == (1, [], ("unknown", None, "datum-unknown"))


def test_the_day_excuses_nobody_where_no_client_is_outdated() -> None:
    with pytest.raises(SettingsFault, match="ZAICUN_MINIMUM_CLIENTS"):
        load({"ZAICUN_DATUM_REQUIRED_FROM": "2026-12-01"})
    with pytest.raises(SettingsFault, match="must be a day"):
        load({"ZAICUN_DATUM_REQUIRED_FROM": "soon", "ZAICUN_MINIMUM_CLIENTS": "zaicun-phone/1.1"})
