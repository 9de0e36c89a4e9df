"""Regions, their succession, zones and their shapes, through HTTP on a real database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import httpx
import pytest
import shapely
import sqlalchemy as sa
from conftest import Service
from factories_auth import make_account, token_for
from factories_places import (
    DEMO,
    at_once,
    code_of,
    demo_regions,
    make_region,
    make_version,
    make_village,
    make_zone,
)
from paging import every
from pyproj import Geod
from sqlalchemy.exc import ProgrammingError

from geo.zones import ZoneKind, circle
from server import db
from server.access import Role
from server.places import queries, region_queries
from server.places.models import Region

TOWN = "500116101"
VILLAGE, NEIGHBOUR = "500116101200", "500116101201"


@dataclass
class Desk:
    """Clients of the people who work with places."""

    district: httpx.Client
    town: httpx.Client
    inspector: httpx.Client
    cadre: httpx.Client
    admin: httpx.Client


@pytest.fixture(scope="module")
def desk(service: Service) -> Iterator[Desk]:
    with service.database.write() as session:
        demo_regions(session)
        accounts = [
            make_account(session, role=Role.DISTRICT, region="500116"),
            make_account(session, role=Role.TOWN, region=TOWN),
            make_account(session, role=Role.INSPECTOR, region="500116"),
            make_account(session, role=Role.CADRE, region=TOWN),
            make_account(session, role=Role.ADMIN),
        ]
    clients = [service.as_(token_for(service, account)) for account in accounts]
    yield Desk(*clients)
    for client in clients:
        client.close()


def table(*rows: str, header: str = "code,name") -> bytes:
    return "\n".join([header, *rows]).encode()


# --- regions


def test_every_account_finds_a_village_by_part_of_its_name(desk: Desk) -> None:
    items = desk.cadre.get("/v1/regions", params={"q": "龙吟"}).json()["items"]
    assert "龙吟村" in [item["name"] for item in items]
    assert {item["kind"] for item in items} <= {"village", "community"}


def test_the_regions_of_a_town_come_in_pages_and_all_of_them(service: Service, desk: Desk) -> None:
    with service.database.read() as session:
        expected = list(
            session.scalars(
                sa.select(Region.code).where(Region.parent_code == TOWN + "000").order_by(Region.code)
            )
        )
    found = [item["code"] for item in every(desk.cadre, "/v1/regions", parent=TOWN + "000", limit=3)]
    assert len(expected) > 3
    assert found == expected


@pytest.mark.parametrize("text", ["%", "_", "\\", "' OR 1=1 --"])
def test_a_search_text_is_only_text(desk: Desk, text: str) -> None:
    assert desk.cadre.get("/v1/regions", params={"q": text}).json()["items"] == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"parent": "500116"}, (422, "invalid-request")),
        ({"q": ""}, (422, "invalid-request")),
        ({"q": "\x00"}, (422, "invalid-request")),
        ({"limit": 0}, (422, "invalid-request")),
        ({"kind": "planet"}, (422, "invalid-request")),
        ({"cursor": "nonsense"}, (400, "bad-cursor")),
    ],
)
def test_odd_questions_about_regions_are_refused(
    desk: Desk, params: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert code_of(desk.cadre.get("/v1/regions", params=params)) == expected


def test_without_a_token_nothing_is_told(service: Service) -> None:
    for path in ("/v1/regions", f"/v1/regions/{VILLAGE}", "/v1/zones", f"/v1/regions/{VILLAGE}/boundary"):
        assert code_of(service.client.get(path)) == (401, "token-missing")


def test_a_table_of_regions_is_taken_once_and_repeating_it_changes_nothing(desk: Desk) -> None:
    rows = table("500116130000,试验镇", "500116130200,甲村", "500116130001,乙社区", header="区划代码,名称")
    tried = desk.district.post(
        "/v1/region-imports", content=rows, params={"valid_from": "2026-01-01", "dry_run": True}
    )
    assert tried.json() == {"dry_run": True, "new": 3, "changed": [], "unchanged": 0}
    assert desk.cadre.get("/v1/regions/500116130200").status_code == 404
    first = desk.district.post("/v1/region-imports", content=rows, params={"valid_from": "2026-01-01"})
    assert first.json() == {"dry_run": False, "new": 3, "changed": [], "unchanged": 0}
    again = desk.district.post("/v1/region-imports", content=rows)
    assert again.json() == {"dry_run": False, "new": 0, "changed": [], "unchanged": 3}
    village = desk.cadre.get("/v1/regions/500116130200").json()
    assert (village["kind"], village["parent_code"]) == ("village", "500116130000")
    assert (village["valid_from"], village["valid_until"]) == ("2026-01-01", None)
    assert desk.cadre.get("/v1/regions/500116130001").json()["kind"] == "community"


def test_the_demo_tables_are_tables_of_regions(desk: Desk) -> None:
    for name, count in (("towns.csv", 30), ("units.csv", 301)):
        answer = desk.district.post("/v1/region-imports", content=(DEMO / name).read_bytes())
        assert answer.json() == {"dry_run": False, "new": 0, "changed": [], "unchanged": count}


def test_a_town_gets_its_district_when_that_is_known_later(desk: Desk) -> None:
    first = desk.admin.post("/v1/region-imports", content=table("500118001000,早镇"))
    assert first.json()["new"] == 1
    assert desk.cadre.get("/v1/regions/500118001000").json()["parent_code"] is None
    rows = table("500118001000,早镇,500118", "500118000000,晚区,", header="code,name,parent")
    second = desk.admin.post("/v1/region-imports", content=rows).json()
    assert (second["new"], second["changed"]) == (1, ["500118001000"])
    assert desk.cadre.get("/v1/regions/500118001000").json()["parent_code"] == "500118000000"


def test_a_renamed_village_keeps_its_old_name_in_old_months(service: Service, desk: Desk) -> None:  # edge 48
    desk.district.post(
        "/v1/region-imports",
        content=table("500116131000,改名镇", "500116131200,旧名村"),
        params={"valid_from": "2024-01-01"},
    )
    renamed = desk.district.post(
        "/v1/region-imports", content=table("500116131200,新名村"), params={"valid_from": "2026-03-01"}
    )
    assert renamed.json()["changed"] == ["500116131200"]
    shown = desk.cadre.get("/v1/regions/500116131200").json()
    assert shown["name"] == "新名村"
    assert [(each["name"], each["from_day"]) for each in shown["history"]] == [
        ("旧名村", "2024-01-01"),
        ("新名村", "2026-03-01"),
    ]
    with service.database.read() as session:
        names = {
            day: region_queries.names_on(session, ["500116131200"], day)["500116131200"]
            for day in (date(2023, 1, 1), date(2026, 2, 28), date(2026, 3, 1))
        }
    assert list(names.values()) == ["旧名村", "旧名村", "新名村"]


def test_every_faulty_row_is_named_by_its_line_and_no_row_is_taken(desk: Desk) -> None:
    rows = table(
        "500116132000,好镇,,,",
        "500116132,九位,,,",
        "5.00116E+11,科学记数,,,",
        "500116132201,,,,",
        "500116132202,类别,galaxy,,",
        "500116132203,分类,,9,",
        "500116132204,上级,,,500117000000",
        "500116133200,无镇之村,,,",
        "500116132000,重复,,,",
        "500117001200,别区的村,,,",
        header="code,name,kind,class,parent",
    )
    answer = desk.district.post("/v1/region-imports", content=rows, headers={"Accept-Language": "en"})
    assert code_of(answer) == (422, "region-rows-faulty")
    faults = {(fault["line"], fault["code"]) for fault in answer.json()["errors"]}
    assert faults == {
        (3, "not-12-digits"),
        (4, "not-12-digits"),
        (5, "missing"),
        (6, "kind"),
        (7, "class"),
        (8, "not-above"),
        (9, "parent-unknown"),
        (10, "repeated"),
        (11, "outside-your-region"),
        (11, "parent-unknown"),
    }
    assert desk.cadre.get("/v1/regions/500116132000").status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"\xff\xfe\xff\xff", "encoding"),
        (b"a,b\n1,2", "columns"),
        (b'code,name\n"500116,x', "not-12-digits"),
        ("code,name\n" + "500116101200,村\n" * 20_001, "rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(desk: Desk, body: bytes | str, code: str) -> None:
    answer = desk.district.post("/v1/region-imports", content=body)
    assert code_of(answer) == (422, "region-rows-faulty")
    assert code in {fault["code"] for fault in answer.json()["errors"]}


def test_a_table_in_gbk_is_read(desk: Desk) -> None:
    body = "代码,名称\n500116134000,锦绣镇\n500116134200,珞璜村\n".encode("gb18030")
    assert desk.admin.post("/v1/region-imports", content=body).json()["new"] == 2
    assert desk.cadre.get("/v1/regions/500116134200").json()["name"] == "珞璜村"


def test_only_the_district_and_administrators_import_regions(desk: Desk) -> None:
    for client in (desk.town, desk.inspector, desk.cadre):
        answer = client.post("/v1/region-imports", content=table("500116135000,镇"))
        assert code_of(answer) == (403, "forbidden")


# --- succession


@pytest.fixture
def merged(service: Service) -> tuple[str, str, str]:
    """Three villages of a town that no other test uses."""
    with service.database.write() as session:
        taken = session.scalar(sa.select(sa.func.count()).where(Region.code.startswith("5001162"))) or 0
        town = f"500116{200 + taken}"
        make_region(session, town + "000", "合并镇")
        codes = [town + number for number in ("200", "201", "202")]
        for code in codes:
            make_region(session, code, f"村{code[-1]}")
    return codes[0], codes[1], codes[2]


def follow(client: httpx.Client, old: str, new: str, day: str = "2026-04-01") -> httpx.Response:
    return client.post(f"/v1/regions/{old}/successor", json={"to_code": new, "from_day": day})


def test_postings_follow_a_chain_of_successors_from_their_days_on(
    service: Service, desk: Desk, merged: tuple[str, str, str]
) -> None:  # edge 48
    one, two, three = merged
    assert follow(desk.district, one, two, "2026-04-01").status_code == 201
    assert follow(desk.district, two, three, "2026-06-01").status_code == 201
    with service.database.read() as session:
        gone = [
            region_queries.followed(session, [one, two, three], date(2026, month, day))
            for month, day in ((3, 31), (4, 1), (6, 1))
        ]
    assert gone == [
        {one: one, two: two, three: three},
        {one: two, two: two, three: three},
        {one: three, two: three, three: three},
    ]
    shown = desk.cadre.get(f"/v1/regions/{one}").json()
    assert shown["successor"] == {"from_code": one, "to_code": two, "from_day": "2026-04-01"}
    assert shown["valid_until"] == "2026-04-01"
    assert [link["from_code"] for link in desk.cadre.get(f"/v1/regions/{three}").json()["predecessors"]] == [
        two
    ]


def test_a_successor_sent_twice_is_recorded_once(desk: Desk, merged: tuple[str, str, str]) -> None:
    one, two, three = merged
    assert follow(desk.district, one, two).status_code == 201
    again = follow(desk.district, one, two)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (200, "true")
    assert code_of(follow(desk.district, one, three)) == (409, "succession-impossible")


def test_succession_never_runs_in_a_circle(desk: Desk, merged: tuple[str, str, str]) -> None:
    one, two, three = merged
    assert follow(desk.district, one, two).status_code == 201
    assert follow(desk.district, two, three).status_code == 201
    assert code_of(follow(desk.district, three, one)) == (409, "succession-impossible")
    assert code_of(follow(desk.district, three, three)) == (409, "succession-impossible")


def test_two_halves_of_a_circle_at_once_make_no_circle(desk: Desk, merged: tuple[str, str, str]) -> None:
    one, two, _ = merged
    answers = at_once(partial(follow, desk.district, one, two), partial(follow, desk.district, two, one))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_a_village_is_not_followed_by_a_town(desk: Desk, merged: tuple[str, str, str]) -> None:
    one = merged[0]
    assert code_of(follow(desk.district, one, one[:9] + "000")) == (409, "succession-impossible")


def test_a_mistaken_successor_is_withdrawn(desk: Desk, merged: tuple[str, str, str]) -> None:
    one, two, _ = merged
    follow(desk.district, one, two)
    assert desk.district.delete(f"/v1/regions/{one}/successor").status_code == 204
    shown = desk.cadre.get(f"/v1/regions/{one}").json()
    assert (shown["successor"], shown["valid_until"]) == (None, None)
    assert code_of(desk.district.delete(f"/v1/regions/{one}/successor")) == (404, "not-found")


def test_succession_is_the_districts_and_only_inside_it(service: Service, desk: Desk) -> None:
    with service.database.write() as session:
        make_region(session, "500117000000", "邻区")
        make_region(session, "500117001000", "邻镇")
        make_region(session, "500117001200", "邻村")
    for client in (desk.town, desk.cadre, desk.admin, desk.inspector):
        assert code_of(follow(client, VILLAGE, NEIGHBOUR)) == (403, "forbidden")
    for old, new in ((VILLAGE, "500117001200"), ("500117001200", VILLAGE), ("500116999999", VILLAGE)):
        assert code_of(follow(desk.district, old, new)) == (404, "not-found")


# --- zones and shapes


@pytest.fixture(scope="module")
def village(service: Service, desk: Desk) -> dict[str, Any]:  # noqa: ARG001  The desk brings the register.
    """A village with an old and a corrected boundary, a season, and an ended urban area."""
    with service.database.write() as session:
        make_region(session, "500116140000", "边界镇")
        region, zone, first = make_village(session, "500116140200", "圆村", lon=106.1, lat=29.1)
        second = make_version(
            session,
            zone,
            circle(lon=106.1, lat=29.1, radius_m=1200),
            valid_from=datetime(2026, 2, 1, tzinfo=UTC),
        )
        urban = make_zone(session, "500116140000", kind=ZoneKind.URBAN, name="旧城区")
        make_version(session, urban, circle(lon=106.11, lat=29.1, radius_m=300))
        ending = make_version(session, urban, None, valid_from=datetime(2026, 3, 1, tzinfo=UTC))
        return {
            "code": region.code,
            "zone": str(zone.id),
            "first": str(first.id),
            "second": str(second.id),
            "urban": str(urban.id),
            "ending": str(ending.id),
        }


def test_zones_are_listed_as_they_were_in_force(desk: Desk, village: dict[str, Any]) -> None:  # edges 46, 51
    def listed(at: str) -> dict[str, str]:
        page = desk.inspector.get("/v1/zones", params={"region": "500116140", "at": at}).json()
        return {item["id"]: item["version_id"] for item in page["items"]}

    assert listed("2026-01-31T00:00:00+00:00")[village["zone"]] == village["first"]
    assert set(listed("2026-01-31T00:00:00+00:00")) == {village["zone"], village["urban"]}
    assert listed("2026-03-02T00:00:00+00:00") == {village["zone"]: village["second"]}


def test_zones_are_read_by_those_who_oversee_and_by_nobody_else(desk: Desk, village: dict[str, Any]) -> None:
    paths = ("/v1/zones", f"/v1/zones/{village['zone']}/versions", f"/v1/zone-versions/{village['first']}")
    for path in paths:
        for client in (desk.town, desk.inspector, desk.district, desk.admin):
            assert client.get(path).status_code == 200
        assert code_of(desk.cadre.get(path)) == (403, "forbidden")


def test_zones_come_by_kind_and_in_pages(desk: Desk, village: dict[str, Any]) -> None:
    at = "2026-01-15T00:00:00Z"
    only = desk.town.get("/v1/zones", params={"region": "500116140", "kind": "urban", "at": at}).json()[
        "items"
    ]
    assert [item["id"] for item in only] == [village["urban"]]
    page = desk.town.get("/v1/zones", params={"region": "500116140", "limit": 1, "at": at}).json()
    following = desk.town.get(
        "/v1/zones", params={"region": "500116140", "limit": 1, "at": at, "cursor": page["next_cursor"]}
    ).json()
    assert {page["items"][0]["id"], following["items"][0]["id"]} == {village["zone"], village["urban"]}
    assert following["next_cursor"] is None


def test_every_version_of_a_zone_stays_on_record(desk: Desk, village: dict[str, Any]) -> None:
    rows = desk.town.get(f"/v1/zones/{village['zone']}/versions").json()
    assert [row["id"] for row in rows] == [village["second"], village["first"]]
    urban = desk.town.get(f"/v1/zones/{village['urban']}/versions").json()
    assert [row["ended"] for row in urban] == [True, False]
    assert code_of(desk.town.get(f"/v1/zones/{village['first']}/versions")) == (404, "not-found")


def test_a_version_is_a_geojson_feature_that_a_copy_spares(desk: Desk, village: dict[str, Any]) -> None:
    path = f"/v1/zone-versions/{village['first']}"
    answer = desk.town.get(path)
    assert answer.headers["content-type"] == "application/geo+json"
    feature = answer.json()
    shape = shapely.from_geojson(answer.content)
    assert shapely.get_num_coordinates(shape.geoms[0] if hasattr(shape, "geoms") else shape) == 97
    assert feature["properties"]["vertices"] == 97
    area = abs(Geod(ellps="WGS84").geometry_area_perimeter(circle(lon=106.1, lat=29.1, radius_m=800))[0])
    assert feature["properties"]["area_m2"] == pytest.approx(area, rel=1e-9)
    same = desk.town.get(path, headers={"If-None-Match": f'"x", W/{answer.headers["ETag"]}'})
    assert (same.status_code, same.content) == (304, b"")
    assert desk.town.get(f"/v1/zone-versions/{village['ending']}").json()["geometry"] is None


def test_a_phone_sees_a_boundary_no_finer_than_the_bands(desk: Desk, village: dict[str, Any]) -> None:
    path = f"/v1/regions/{village['code']}/boundary"
    answer = desk.cadre.get(path, params={"simplify_m": 150})
    assert answer.status_code == 200
    shown = shapely.from_geojson(answer.content).boundary
    exact = circle(lon=106.1, lat=29.1, radius_m=1200).boundary
    assert shapely.get_num_coordinates(shown) < shapely.get_num_coordinates(exact) / 3
    metres = 111_320.0
    assert shapely.hausdorff_distance(shown, exact, densify=0.05) * metres < 150 * 1.2
    tag = answer.headers["ETag"]
    copy = {"If-None-Match": tag}
    assert desk.cadre.get(path, params={"simplify_m": 150}, headers=copy).status_code == 304
    assert desk.cadre.get(path, params={"simplify_m": 200}, headers=copy).status_code == 200
    assert code_of(desk.cadre.get(path, params={"simplify_m": 99})) == (422, "invalid-request")


def test_a_village_without_a_boundary_says_so(desk: Desk) -> None:  # edge 49
    answer = desk.cadre.get(f"/v1/regions/{VILLAGE}/boundary")
    assert code_of(answer) == (404, "not-found")
    assert "尚无边界" in answer.json()["detail"]


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE zone_versions SET valid_until = now()",
        "DELETE FROM zone_versions",
        "UPDATE region_versions SET name = ''",
        "DELETE FROM region_versions",
        "UPDATE boundary_features SET name = ''",
        "UPDATE boundary_reports SET svg = ''",
        "DELETE FROM boundary_imports",
        "DELETE FROM zones",
    ],
)
def test_the_application_cannot_change_what_was_judged_by(service: Service, deed: str) -> None:  # edge 46
    application = db.Database(service.cloned.app_url, pool_size=1)
    with pytest.raises(ProgrammingError, match="permission denied"), application.write() as session:
        session.execute(sa.text(deed))
    application.close()


def test_the_register_and_the_shapes_are_read_as_judging_needs_them(
    service: Service, village: dict[str, Any]
) -> None:
    with service.database.read() as session:
        register = queries.register(session)
        at = datetime(2026, 2, 2, tzinfo=UTC)
        versions, unfenced = register.assigned([village["code"], VILLAGE], [], at)
        assert [str(version) for version in versions] == [village["second"]]
        assert unfenced == (VILLAGE,)
        shapes = queries.shapes(session, versions)
        near = register.exclusions_near(lon=106.11, lat=29.1, reach_m=100, at=at)
        assert len(near) == 1
        assert register.exclusions_near(lon=106.11, lat=29.1, reach_m=100, at=at.replace(month=3)) == ()
    assert shapely.from_wkb(shapes[versions[0]].wkb).equals_exact(
        shapely.MultiPolygon([circle(lon=106.1, lat=29.1, radius_m=1200)]), 1e-12
    )
