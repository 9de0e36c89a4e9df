"""Boundary files good and bad: formats, faults, reports and the command line, on a real database."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import shapely
from click.testing import CliRunner
from conftest import ROOT, Service
from defusedxml import ElementTree
from factories_places import (
    Desk,
    bring,
    code_of,
    demo_rows,
    feature,
    in_force,
    layer,
    new_town,
    open_desk,
    publish,
    square,
)

from server.cli import main
from server.places.models import BoundaryImport

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


# --- what is wrong with a file


def bow(code: str) -> dict[str, Any]:
    """A square whose ring crosses itself."""
    west, south, east, north = square(code).bounds
    ring = [[west, south], [east, north], [east, south], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_a_bad_ring_is_one_named_fault_and_the_rest_is_published(desk: Desk, town: Town) -> None:  # edge 45
    codes = town(3)
    data = layer(
        feature(codes[0], "村0", square(codes[0])),
        feature(codes[1], "村1", bow(codes[1])),
        feature(codes[2], "村2", square(codes[2])),
    )
    shown = bring(desk.importer, data).json()
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    (refused,) = tried["refused"]
    assert (refused["index"], refused["reference"], refused["name"]) == (1, codes[1], "村1")
    assert "ring-self-intersection" in [finding["code"] for finding in refused["findings"]]
    outcome = publish(desk.publisher, shown).json()["outcome"]
    assert (outcome["new"], [one["reference"] for one in outcome["refused"]]) == (2, [codes[1]])
    assert set(in_force(desk.importer, codes[0][:9])) == {codes[0], codes[2]}


def test_a_repair_is_taken_only_when_a_person_accepts_it(desk: Desk, town: Town) -> None:  # edge 45
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature(code, "村0", bow(code)))).json()
    path = f"/v1/boundary-imports/{shown['id']}"
    report = desk.importer.get(path + "/report").json()
    (repair,) = [finding for finding in report["findings"] if finding["code"].startswith("repair-")]
    assert (repair["features"], repair["code"]) == ([0], "repair-needs-human")
    assert repair["numbers"]["area_after_m2"] > 0
    itself = {"features": [{"index": 0, "codes": ["ring-self-intersection"]}]}
    refused = desk.importer.post(path + "/accept-repairs", json=itself, headers={"If-Match": '"1"'})
    assert code_of(refused) == (422, "invalid-request")
    wanted = {"features": [{"index": 0, "codes": ["repair-needs-human"]}]}
    accepted = desk.importer.post(path + "/accept-repairs", json=wanted, headers={"If-Match": '"1"'})
    assert accepted.status_code == 200
    assert publish(desk.publisher, shown, 2).json()["outcome"]["new"] == 1
    version = in_force(desk.importer, code)[code]["version_id"]
    stored = shapely.from_geojson(desk.importer.get(f"/v1/zone-versions/{version}").content)
    assert stored.is_valid
    assert stored.area == pytest.approx(square(code).area / 2)


def test_features_that_mean_no_known_place_are_named(desk: Desk, town: Town) -> None:
    codes = town(3)
    region = codes[0][:9]
    data = layer(
        feature(codes[0], "村0", square(codes[0])),
        feature(region + "299", "没有的村", square(region + "210")),
        feature("500116101200", "别镇的村", square(region + "211")),
        feature(codes[1], "完全不同", square(codes[1])),
        feature(codes[2], "村2", square(codes[2])),
        feature(codes[2], "村2", square(region + "212")),
        feature("X1", "镇区", square(region + "213"), kind="urban"),
    )
    shown = bring(desk.importer, data, region=region, kind="village").json()
    refused = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()["refused"]
    why = {one["index"]: {finding["code"] for finding in one["findings"]} for one in refused}
    assert "region-unknown" in why[1]
    assert "outside-region" in why[2]
    assert "name-differs" in why[3]
    assert "zone-repeated" in why[4] & why[5]
    assert "kind-differs" in why[6]
    assert 0 not in why


def test_what_needs_a_human_is_published_only_after_somebody_accepted_it(desk: Desk, town: Town) -> None:
    codes = town(2)
    data = layer(feature(codes[0], "别的名字", square(codes[0])), feature(codes[1], "村1", square(codes[1])))
    shown = bring(desk.importer, data).json()
    path = f"/v1/boundary-imports/{shown['id']}/accept-repairs"
    wanted = {"features": [{"index": 0, "codes": ["name-differs"]}]}
    assert code_of(desk.importer.post(path, json=wanted)) == (428, "precondition-required")
    first = {"If-Match": '"1"'}
    wrong = {"features": [{"index": 0, "codes": ["zone-repeated"]}, {"index": 7, "codes": ["name-differs"]}]}
    refused = desk.importer.post(path, json=wrong, headers=first)
    assert code_of(refused) == (422, "invalid-request")
    assert [fault["field"] for fault in refused.json()["errors"]] == ["features.0", "features.7"]
    accepted = desk.importer.post(path, json=wanted, headers=first)
    assert (accepted.status_code, accepted.json()["version"]) == (200, 2)
    again = desk.importer.post(path, json=wanted, headers={"If-Match": accepted.headers["ETag"]})
    assert again.json()["version"] == 2
    report = desk.importer.get(f"/v1/boundary-imports/{shown['id']}/report").json()
    assert report["accepted"] == [{"index": 0, "codes": ["name-differs"]}]
    assert code_of(publish(desk.publisher, shown, 1)) == (412, "precondition-failed")
    assert publish(desk.publisher, shown, 2).json()["outcome"]["new"] == 2


def test_an_import_of_nothing_fit_is_not_published(desk: Desk, town: Town) -> None:
    (code,) = town(1)
    shown = bring(desk.importer, layer(feature("500116999200", "无", square(code)))).json()
    answer = publish(desk.publisher, shown)
    assert code_of(answer) == (409, "nothing-to-publish")
    assert [one["index"] for one in answer.json()["refused"]] == [0]
    assert desk.importer.get(f"/v1/boundary-imports/{shown['id']}").json()["state"] == "open"


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "\u202e村", "村" * 5000, "𬭎䶮", "=cmd|' /C'!A0", ""])
@pytest.mark.parametrize("kind", ["village", "urban"])
def test_odd_names_hurt_nobody(desk: Desk, town: Town, name: str, kind: str) -> None:  # edges 128, 129
    codes = town(2)
    odd = feature(codes[0], name, square(codes[0]), kind=kind, town_code=codes[0][:9])
    data = layer(odd, feature(codes[1], "村1", square(codes[1])))
    shown = bring(desk.importer, data)
    assert shown.status_code == 201, shown.text
    for accept in ("application/json", "text/plain", "image/svg+xml"):
        path = f"/v1/boundary-imports/{shown.json()['id']}/report"
        assert desk.importer.get(path, headers={"Accept": accept}).status_code == 200
    outcome = publish(desk.publisher, shown.json()).json()["outcome"]
    assert codes[1] not in [one["reference"] for one in outcome["refused"]]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file-empty"),
        (b"%PDF-1.7 not a map", "format-unknown"),
        (b'{"type":"Topology"}', "json-not-geojson"),
        (b"PK\x03\x04 broken", "zip-broken"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><kml>&a;</kml>', "xml-forbidden"),
    ],
)
def test_a_file_that_is_no_boundary_file_is_refused_by_name(
    service: Service, desk: Desk, data: bytes, code: str
) -> None:
    key = uuid4()
    answer = bring(desk.importer, data, id=str(key))
    assert code_of(answer) == (422, "file-unreadable")
    assert [fault["code"] for fault in answer.json()["errors"]] == [code]
    with service.database.read() as session:
        assert session.get(BoundaryImport, key) is None


@pytest.mark.parametrize(
    "params",
    [
        {"accuracy_m": -1},
        {"accuracy_m": "nan"},
        {"accuracy_m": 1001},
        {"valid_from": "yesterday"},
        {"valid_from": "2026-01-01T00:00:00"},
        {"valid_until": "2025-12-31"},
        {"kind": "castle"},
        {"id": "1"},
        {"filename": ""},
        {"filename": "a\x00b"},
        {"columns": "code:XZQDM"},
        {"columns": "colour=red"},
        {"swapped": True},
        {"to_wgs84": "1,2", "crs": 4610},
        {"to_wgs84": "a,b,c", "crs": 4610},
        {"crs": 1},
        {"region": "abc"},
        {"unknown": "1"},
    ],
)
def test_odd_options_are_refused_by_field(desk: Desk, params: dict[str, Any]) -> None:
    answer = bring(desk.importer, layer(), **params)
    assert code_of(answer) == (422, "invalid-request")
    assert answer.json()["errors"]


def test_a_file_beyond_the_limit_is_cut_off(desk: Desk) -> None:
    answer = bring(desk.importer, b" " * ((64 << 20) + 1))
    assert code_of(answer) == (413, "body-too-large")


# --- formats, outlines, reports


FORMATS = Path(__file__).resolve().parents[1] / "geo" / "data"


@pytest.mark.parametrize(
    "name",
    ["gpkg_4490.gpkg", "kml_lishi.kml", "shp_cgcs2000_4490_gbk_nocpg.zip", "shp_cgcs2000_4490_utf8.zip"],
)
def test_every_format_gives_the_villages_of_the_register(desk: Desk, name: str) -> None:
    shown = bring(desk.importer, (FORMATS / name).read_bytes(), filename=name, kind="village").json()
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    assert tried["refused"] == []
    names = {row["code"]: row["name"] for row in demo_rows("units.csv")}
    steps = tried["new"] + tried["changed"]
    assert len(steps) > 5
    assert {step["region_code"]: step["name"] for step in steps} == {
        step["region_code"]: names[step["region_code"]] for step in steps
    }


def test_a_report_is_data_text_in_two_languages_and_a_picture(desk: Desk, town: Town) -> None:
    codes = town(2)
    data = layer(feature(codes[0], "村0", square(codes[0])), feature(codes[1], "村1", bow(codes[1])))
    path = f"/v1/boundary-imports/{bring(desk.importer, data, caption='合成示意').json()['id']}/report"
    plain = desk.importer.get(path)
    assert plain.headers["content-type"] == "application/json"
    assert {finding["code"] for finding in plain.json()["findings"]} >= {"ring-self-intersection"}
    assert plain.json()["measures"][0]["vertices"] == 5
    chinese = desk.importer.get(path, headers={"Accept": "text/plain"})
    english = desk.importer.get(path, headers={"Accept": "text/plain", "Accept-Language": "en"})
    assert "质量报告" in chinese.text
    assert "Quality report" in english.text
    picture = desk.importer.get(path, headers={"Accept": "image/svg+xml"})
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in picture.headers["content-security-policy"]
    root = ElementTree.fromstring(picture.content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "合成示意" in "".join(root.itertext())


def test_names_in_a_picture_are_only_text(desk: Desk, town: Town) -> None:
    (code,) = town(1)
    name = '</text><script>alert(1)</script>"&<村'
    shown = bring(desk.importer, layer(feature(code, name, bow(code))), caption="<b>&").json()
    answer = desk.importer.get(
        f"/v1/boundary-imports/{shown['id']}/report", headers={"Accept": "image/svg+xml"}
    )
    root = ElementTree.fromstring(answer.content)
    assert not [element for element in root.iter() if element.tag.endswith("script")]


# --- the command line


def run(service: Service, *words: str, code: int = 0) -> str:
    """Run a command of `zaicun` on the service's database; its output."""
    environment = {"ZAICUN_DATABASE_URL": service.cloned.app_url}
    result = CliRunner().invoke(main, list(words), env=environment)
    assert result.exit_code == code, result.output
    return result.output


def test_a_file_goes_all_its_way_on_the_command_line(
    service: Service, desk: Desk, town: Town, tmp_path: Path
) -> None:
    codes = town(3)
    file = tmp_path / "村界.geojson"
    file.write_bytes(
        layer(
            feature(codes[0], "村0", square(codes[0])),
            feature(codes[1], "村1", bow(codes[1])),
            feature(codes[2], "另名", square(codes[2])),
        )
    )
    importer, publisher = desk.logins[:2]
    options = ["--kind", "village", "--accuracy-m", "10", "--valid-from", "2026-01-01"]
    assert "--by" in run(service, "boundaries", "import", str(file), *options, code=2)
    key = run(service, "boundaries", "import", str(file), *options, "--by", importer).split()[0]
    assert "ring-self-intersection" in run(service, "boundaries", "report", key, "--json")
    assert "质量报告" in run(service, "boundaries", "report", key)
    picture = tmp_path / "report.svg"
    run(service, "boundaries", "report", key, "--svg", str(picture))
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")
    tried = run(service, "boundaries", "dry-run", key)
    assert "新增 new: 1" in tried
    assert "name-differs" in tried
    run(service, "boundaries", "accept", key, "2:name-differs", "1:repair-needs-human", "--by", importer)
    assert len(json.loads(run(service, "boundaries", "dry-run", key, "--json"))["new"]) == 3
    assert "second-person-required" in run(service, "boundaries", "publish", key, "--as", importer, code=1)
    assert "second-person-required" in run(service, "boundaries", "publish", key, code=1)
    assert "new 3" in run(service, "boundaries", "publish", key, "--as", publisher)
    assert set(in_force(desk.importer, codes[0][:9])) == set(codes)
    assert key in run(service, "boundaries", "list", "--state", "published")
    assert "already-decided" in run(service, "boundaries", "reject", key, "--note", "晚了", code=1)


def test_the_command_line_tells_faults_as_text(service: Service, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(b"PK\x03\x04 broken")
    options = ["--accuracy-m", "10", "--valid-from", "2026-01-01", "--by", desk.logins[0]]
    told = run(service, "boundaries", "import", str(file), *options, code=1)
    assert "zip-broken" in told
    assert "Traceback" not in told
    odd = run(
        service, "boundaries", "import", str(file), *options[:2], "--valid-from", "soon", *options[4:], code=1
    )
    assert "valid_from" in odd
    nobody = [*options[:-1], "nobody"]
    assert "nobody" in run(service, "boundaries", "import", str(file), *nobody, code=1)
    town_only = [*options[:-1], desk.logins[6]]
    assert "not-found" in run(
        service, "boundaries", "import", str(file), *town_only, "--region", "500116", code=1
    )
    run(service, "boundaries", "report", str(uuid4()), code=1)


def test_regions_are_imported_and_followed_on_the_command_line(
    service: Service, desk: Desk, tmp_path: Path
) -> None:
    table = tmp_path / "区划.csv"
    table.write_text(
        "code,name\n500116280000,命令镇\n500116280200,命令甲村\n500116280201,命令乙村\n", encoding="utf-8"
    )
    assert "new 3" in run(service, "regions", "import", str(table), "--dry-run")
    assert "new 3" in run(service, "regions", "import", str(table), "--valid-from", "2025-01-01")
    assert "unchanged 3" in run(service, "regions", "import", str(table), "--by", desk.logins[0])
    days = ["--from-day", "2026-03-01"]
    run(service, "regions", "follow", "500116280200", "500116280201", *days)
    shown = desk.cadre.get("/v1/regions/500116280200").json()
    assert shown["successor"]["to_code"] == "500116280201"
    table.write_text("code,name\n500116280,九位\n", encoding="utf-8")
    told = run(service, "regions", "import", str(table), code=1)
    assert "line 2" in told
    assert "not-12-digits" in told
    assert "file-unreadable" in run(service, "regions", "outline", "500116000000", str(table), code=1)


def test_the_serving_process_never_loads_the_heavy_readers() -> None:
    code = "import sys, server.app; print([name for name in sys.modules if name.startswith(('pyogrio', 'fiona'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
