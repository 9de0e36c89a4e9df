"""Boundary imports from bringing in to publishing, and who may, through HTTP on a real database."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import shapely
import sqlalchemy as sa
from conftest import Service
from factories_auth import add_grant, make_account, token_for
from factories_places import (
    DEMO,
    OTHER_TOWN,
    TOWN,
    Desk,
    at_once,
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
from pyproj import Geod

from geo.zones import circle
from server.access import Role
from server.audit import AuditEntry
from server.places.models import BoundaryImport, Zone, ZoneVersion

GEOD = Geod(ellps="WGS84")
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


# --- the way of a file


def test_the_demo_villages_are_imported_and_published_whole(service: Service, desk: Desk) -> None:
    answer = bring(desk.importer, (DEMO / "villages.geojson").read_bytes(), kind="village")
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["state"], shown["region"]) == ("open", "500116")
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    assert (len(tried["new"]), tried["refused"], tried["changed"], tried["ended"]) == (301, [], [], [])
    assert tried["effect"] == {"check_ins": 0, "people": 0}
    done = publish(desk.publisher, shown)
    assert done.status_code == 200, done.text
    assert done.json()["outcome"] == {"new": 301, "changed": 0, "ended": 0, "unchanged": 0, "refused": []}
    zones = in_force(desk.importer, "500116")
    source = json.loads((DEMO / "villages.geojson").read_text(encoding="utf-8"))["features"]
    assert {each["properties"]["code"] for each in source} <= zones.keys()
    for each in source[::40]:
        stored = shapely.from_geojson(
            desk.importer.get(f"/v1/zone-versions/{zones[each['properties']['code']]['version_id']}").content
        )
        assert stored.equals(shapely.geometry.shape(each["geometry"]))
    with service.database.read() as session:
        deeds = session.scalars(
            sa.select(AuditEntry.deed).where(AuditEntry.subject_id == shown["id"]).order_by(AuditEntry.id)
        ).all()
    assert deeds == ["boundary:import", "boundary:publish"]


def test_the_demo_exclusion_zones_say_their_own_kind(desk: Desk) -> None:
    data = (DEMO / "exclusion_zones.geojson").read_bytes()
    shown = bring(desk.importer, data, filename="城区与场镇.geojson").json()
    assert shown["kind"] is None
    assert publish(desk.publisher, shown).json()["outcome"]["new"] == 30
    listed = desk.importer.get("/v1/zones", params={"kind": "urban", "limit": 200}).json()["items"]
    assert "几江街道城区" in [item["name"] for item in listed]
    assert {item["region_code"][9:] for item in listed} == {"000"}


def test_the_same_file_again_changes_nothing(desk: Desk, town: Town) -> None:
    codes = town(2)
    data = layer(*(feature(code, f"村{n}", square(code)) for n, code in enumerate(codes)))
    first = bring(desk.importer, data).json()
    publish(desk.publisher, first)
    before = in_force(desk.importer, codes[0][:9])
    again = bring(desk.importer, data).json()
    tried = desk.importer.post(f"/v1/boundary-imports/{again['id']}/dry-run").json()
    assert (tried["unchanged"], tried["new"], tried["changed"]) == (2, [], [])
    assert publish(desk.publisher, again).json()["outcome"]["unchanged"] == 2
    assert in_force(desk.importer, codes[0][:9]) == before


def test_a_corrected_boundary_replaces_nothing_that_was_recorded(
    service: Service, desk: Desk, town: Town
) -> None:  # edges 46, 47
    (code,) = town(1)
    publish(desk.publisher, bring(desk.importer, layer(feature(code, "村0", square(code)))).json())
    with service.database.read() as session:
        before = session.execute(sa.text("SELECT * FROM zone_versions ORDER BY seq")).all()
    wider = bring(
        desk.importer, layer(feature(code, "村0", square(code, 0.03))), valid_from="2026-03-15"
    ).json()
    tried = desk.importer.post(f"/v1/boundary-imports/{wider['id']}/dry-run").json()
    (step,) = tried["changed"]
    assert step["area_after_m2"] == pytest.approx(1.5 * step["area_before_m2"], rel=1e-3)
    assert step["overlap_share"] == pytest.approx(1.0, abs=1e-6)
    assert publish(desk.publisher, wider).json()["outcome"]["changed"] == 1
    with service.database.read() as session:
        after = session.execute(sa.text("SELECT * FROM zone_versions ORDER BY seq")).all()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1
    old = in_force(desk.importer, code, "2026-03-14T15:59:59Z")[code]["version_id"]
    new = in_force(desk.importer, code, "2026-03-14T16:00:00Z")[code]["version_id"]
    assert old != new


def test_a_correction_from_the_past_says_that_it_replaces_later_versions(
    desk: Desk, town: Town
) -> None:  # edge 46
    (code,) = town(1)
    for day, width in (("2026-01-01", 0.02), ("2026-05-01", 0.021)):
        publish(
            desk.publisher,
            bring(desk.importer, layer(feature(code, "村0", square(code, width))), valid_from=day).json(),
        )
    correction = layer(feature(code, "村0", square(code, 0.022)))
    whole = bring(desk.importer, correction, valid_from="2026-02-01").json()
    bounded = bring(desk.importer, correction, valid_from="2026-02-01", valid_until="2026-05-01").json()

    def later(shown: dict[str, Any]) -> int:
        tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
        return int(tried["changed"][0]["replaces_later"])

    assert (later(whole), later(bounded)) == (1, 0)
    may = in_force(desk.importer, code)[code]["version_id"]
    publish(desk.publisher, bounded)
    assert in_force(desk.importer, code)[code]["version_id"] == may
    assert in_force(desk.importer, code, "2026-03-01T00:00:00Z")[code]["version_id"] != may


def test_a_seasonal_place_holds_for_its_season(desk: Desk, town: Town) -> None:  # edges 50, 51
    (code,) = town(1)
    given = {
        "id": str(uuid4()),
        "kind": "duty_place",
        "region_code": code,
        "name": "高山牧场",
        "lon": 106.3,
        "lat": 29.1,
        "radius_m": 500,
        "accuracy_m": 5,
        "valid_from": "2026-05-01",
        "valid_until": "2026-10-01",
    }
    shown = desk.town.post("/v1/boundary-imports/circle", json=given)
    assert code_of(shown) == (404, "not-found")
    shown = desk.importer.post("/v1/boundary-imports/circle", json=given)
    assert shown.status_code == 201, shown.text
    again = desk.importer.post("/v1/boundary-imports/circle", json=given)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (200, "true")
    other = desk.importer.post("/v1/boundary-imports/circle", json={**given, "radius_m": 501})
    assert code_of(other) == (409, "id-reused")
    assert publish(desk.publisher, shown.json()).json()["outcome"]["new"] == 1
    for at, there in (
        ("2026-04-30T15:59:59Z", False),
        ("2026-04-30T16:00:00Z", True),
        ("2026-09-30T16:00:00Z", False),
    ):
        assert ("高山牧场" in in_force(desk.importer, code, at)) is there
    version = in_force(desk.importer, code)["高山牧场"]["version_id"]
    stored = shapely.from_geojson(desk.importer.get(f"/v1/zone-versions/{version}").content)
    area = abs(GEOD.geometry_area_perimeter(stored)[0])
    assert area == pytest.approx(3.14159265 * 500**2, rel=1e-3)
    assert stored.normalize().equals_exact(
        shapely.MultiPolygon([circle(lon=106.3, lat=29.1, radius_m=500)]).normalize(), 1e-7
    )


def test_zones_that_a_whole_file_lacks_end_and_can_begin_again(desk: Desk, town: Town) -> None:
    codes = town(3)
    everything = [feature(code, f"村{n}", square(code)) for n, code in enumerate(codes)]
    region = codes[0][:9]
    publish(desk.publisher, bring(desk.importer, layer(*everything), region=region).json())
    part = bring(
        desk.importer, layer(*everything[:2]), region=region, whole=True, valid_from="2026-04-01"
    ).json()
    tried = desk.importer.post(f"/v1/boundary-imports/{part['id']}/dry-run").json()
    assert [step["region_code"] for step in tried["ended"]] == [codes[2]]
    publish(desk.publisher, part)
    assert set(in_force(desk.importer, region)) == set(codes[:2])
    assert set(in_force(desk.importer, region, "2026-03-01T00:00:00Z")) == set(codes)
    back = bring(desk.importer, layer(everything[2]), region=region, valid_from="2026-05-01").json()
    assert publish(desk.publisher, back).json()["outcome"]["new"] == 1
    assert set(in_force(desk.importer, region)) == set(codes)


def test_a_single_zone_is_ended_by_two_people_too(desk: Desk, town: Town) -> None:
    codes = town(2)
    region = codes[0][:9]
    data = layer(*(feature(code, f"村{n}", square(code)) for n, code in enumerate(codes)))
    publish(desk.publisher, bring(desk.importer, data, region=region).json())
    zone = in_force(desk.importer, region)[codes[0]]["id"]
    given = {"id": str(uuid4()), "zones": [zone], "region": region, "valid_from": "2026-05-01"}
    ending = desk.importer.post("/v1/boundary-imports/ending", json=given)
    assert ending.status_code == 201, ending.text
    assert code_of(publish(desk.importer, ending.json())) == (409, "second-person-required")
    assert publish(desk.publisher, ending.json()).json()["outcome"]["ended"] == 1
    assert set(in_force(desk.importer, region)) == {codes[1]}
    stranger = desk.importer.post(
        "/v1/boundary-imports/ending", json={**given, "id": str(uuid4()), "region": OTHER_TOWN}
    )
    assert code_of(stranger) == (404, "not-found")


# --- who may


def test_a_town_officer_brings_in_only_his_own_town_and_publishes_nothing(
    service: Service, desk: Desk
) -> None:
    with service.database.read() as session:
        villages = session.execute(
            sa.text("SELECT code, name FROM regions WHERE parent_code = :town ORDER BY code LIMIT 2"),
            {"town": TOWN + "000"},
        ).all()
    data = layer(*(feature(row.code, row.name, square(row.code)) for row in villages))
    mine = bring(desk.town, data)
    assert (mine.status_code, mine.json()["region"]) == (201, TOWN)
    path = f"/v1/boundary-imports/{mine.json()['id']}"
    for answer in (
        desk.other_town.get(path),
        desk.other_town.get(path + "/report"),
        desk.other_town.post(path + "/dry-run"),
        bring(desk.town, data, region=OTHER_TOWN),
        bring(desk.town, data, region="500116"),
    ):
        assert code_of(answer) == (404, "not-found")
    theirs = bring(desk.other_town, data).json()
    tried = desk.other_town.post(f"/v1/boundary-imports/{theirs['id']}/dry-run").json()
    assert [one["findings"][0]["code"] for one in tried["refused"]] == ["outside-region"] * 2
    assert code_of(publish(desk.town, mine.json())) == (403, "forbidden")
    assert code_of(publish(desk.admin, mine.json())) == (403, "forbidden")
    assert code_of(bring(desk.cadre, data)) == (403, "forbidden")
    listed = {item["id"] for item in desk.other_town.get("/v1/boundary-imports").json()["items"]}
    assert (mine.json()["id"] in listed, theirs["id"] in listed) == (False, True)
    everything = {
        item["id"] for item in desk.admin.get("/v1/boundary-imports", params={"limit": 200}).json()["items"]
    }
    assert {mine.json()["id"], theirs["id"]} <= everything


@pytest.mark.parametrize("brings_in_here", [False, True])
def test_a_district_officer_of_elsewhere_decides_nothing_here(
    service: Service, desk: Desk, town: Town, *, brings_in_here: bool
) -> None:
    (code,) = town(1)
    with service.database.write() as session:
        account = make_account(session, role=Role.DISTRICT, region="500117")
        if brings_in_here:
            add_grant(session, account, Role.TOWN, region=code[:9])
    shown = bring(desk.importer, layer(feature(code, "村0", square(code))), region=code[:9]).json()
    with service.as_(token_for(service, account)) as stranger:
        assert code_of(publish(stranger, shown)) == (404, "not-found")
        answer = stranger.post(
            f"/v1/boundary-imports/{shown['id']}/reject", json={"note": "x"}, headers={"If-Match": '"1"'}
        )
        assert code_of(answer) == (404, "not-found")


def test_the_publisher_is_another_person_than_the_importer(desk: Desk, town: Town) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
    assert code_of(publish(desk.importer, shown)) == (409, "second-person-required")
    assert code_of(desk.publisher.post(f"/v1/boundary-imports/{shown['id']}/publish")) == (
        428,
        "precondition-required",
    )
    assert publish(desk.publisher, shown).status_code == 200


def test_publishing_twice_is_harmless_and_somebody_else_hears_who_was_first(desk: Desk, town: Town) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
    first = publish(desk.publisher, shown)
    again = publish(desk.publisher, shown)
    assert (again.status_code, again.json(), again.headers["Idempotent-Replay"]) == (
        200,
        first.json(),
        "true",
    )
    late = publish(desk.third, shown)
    assert code_of(late) == (409, "already-decided")
    assert (late.json()["decision"], late.json()["decided_by"]) == ("published", first.json()["decided_by"])
    for path, body in (
        ("reject", {"note": "x"}),
        ("accept-repairs", {"features": [{"index": 0, "codes": ["x"]}]}),
    ):
        answer = desk.third.post(
            f"/v1/boundary-imports/{shown['id']}/{path}", json=body, headers={"If-Match": '"2"'}
        )
        assert code_of(answer) == (409, "already-decided")


def test_of_two_publishers_at_once_one_wins(service: Service, desk: Desk, town: Town) -> None:
    for _ in range(3):
        (code,) = town(1)
        shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
        answers = at_once(partial(publish, desk.publisher, shown), partial(publish, desk.third, shown))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        lost = next(answer for answer in answers if answer.status_code == 409)
        assert lost.json()["code"] == "already-decided"
        with service.database.read() as session:
            query = sa.select(ZoneVersion.id).where(ZoneVersion.import_id == UUID(shown["id"]))
            assert len(session.scalars(query).all()) == 1


def test_two_imports_of_the_same_new_village_published_at_once_make_one_zone(
    service: Service, desk: Desk, town: Town
) -> None:
    (code,) = town(1)
    one, two = (
        bring(desk.importer, layer(feature(code, "村0", square(code, width)))).json()
        for width in (0.02, 0.021)
    )
    answers = at_once(partial(publish, desk.publisher, one), partial(publish, desk.third, two))
    assert [answer.status_code for answer in answers] == [200, 200]
    with service.database.read() as session:
        zone = session.scalars(sa.select(Zone.id).where(Zone.region_code == code)).one()
        assert len(session.scalars(sa.select(ZoneVersion).where(ZoneVersion.zone_id == zone)).all()) == 2


def test_a_rejected_import_stays_with_its_reason(desk: Desk, town: Town) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", square(code)))).json()
    answer = desk.publisher.post(
        f"/v1/boundary-imports/{shown['id']}/reject", json={"note": "底图过旧"}, headers={"If-Match": '"1"'}
    )
    assert (answer.json()["state"], answer.json()["decision_note"]) == ("rejected", "底图过旧")
    assert code_of(publish(desk.publisher, shown, 2)) == (409, "already-decided")


def test_a_resend_of_a_file_is_stored_once(service: Service, desk: Desk, town: Town) -> None:
    (code,) = town(1)
    key = str(uuid4())
    data = layer(feature(code, "村0", square(code)))
    answers = at_once(*[partial(bring, desk.importer, data, id=key)] * 3)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert code_of(bring(desk.importer, data, id=key, accuracy_m=11)) == (409, "id-reused")
    assert code_of(bring(desk.importer, data + b" ", id=key)) == (409, "id-reused")
    with service.database.read() as session:
        count = sa.select(sa.func.count()).select_from(BoundaryImport).where(BoundaryImport.id == UUID(key))
        assert session.scalar(count) == 1
