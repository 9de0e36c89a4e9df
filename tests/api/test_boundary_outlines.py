"""Boundary files against the outline of their district: wrong zones, wrong datums, somewhere else."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from conftest import Service
from factories_places import DEMO, Desk, bring, code_of, open_desk, publish

pytestmark = pytest.mark.slow  # Each import starts two processes that read and report.


@pytest.fixture(scope="module")
def desk(service: Service) -> Iterator[Desk]:
    with open_desk(service) as opened:
        yield opened


def shifted(lon: float, lat: float) -> bytes:
    """The demo villages, all of them moved."""
    source = json.loads((DEMO / "villages.geojson").read_text(encoding="utf-8"))
    for each in source["features"]:
        shape = shapely.transform(
            shapely.geometry.shape(each["geometry"]), lambda points: points + np.array([lon, lat])
        )
        each["geometry"] = shapely.geometry.mapping(shape)
    return json.dumps(source).encode()


@pytest.fixture(scope="module")
def outline(desk: Desk) -> Path:
    """The outline of the demo district, recorded."""
    path = DEMO / "district.geojson"
    for _ in range(2):
        answer = desk.admin.put(
            "/v1/region-outlines/500116000000", content=path.read_bytes(), params={"filename": path.name}
        )
        assert answer.status_code == 204, answer.text
    return path


@pytest.mark.parametrize(
    ("lon", "lat", "codes"),
    [
        (3.0, 0.0, {"layer-in-wrong-zone", "crs-does-not-fit", "wrong-zone"}),  # edges 42, 43
        (0.003745, -0.002835, {"datum-suspected"}),  # GCJ-02 read as WGS-84
    ],
)
def test_a_layer_somewhere_else_is_not_published(
    desk: Desk,
    outline: Path,  # noqa: ARG001  It is recorded.
    lon: float,
    lat: float,
    codes: set[str],
) -> None:
    shown = bring(desk.importer, shifted(lon, lat)).json()
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    assert (tried["new"], len(tried["refused"])) == ([], 301)
    assert {finding["code"] for one in tried["refused"] for finding in one["findings"]} & codes
    assert code_of(publish(desk.publisher, shown)) == (409, "nothing-to-publish")


def test_the_outline_of_a_district_is_one_area_and_its_owners(desk: Desk) -> None:
    params = {"filename": "轮廓.geojson"}
    path = "/v1/region-outlines/500116000000"
    several = desk.admin.put(path, content=(DEMO / "towns.geojson").read_bytes(), params=params)
    assert code_of(several) == (422, "file-unreadable")
    assert code_of(desk.town.put(path, content=b"x", params=params)) == (403, "forbidden")
    elsewhere = desk.importer.put("/v1/region-outlines/500117000000", content=b"x", params=params)
    assert code_of(elsewhere) == (404, "not-found")


def test_the_demo_layer_fits_its_district_and_its_report_is_clean(desk: Desk, outline: Path) -> None:
    assert outline.exists()
    shown = bring(desk.importer, (DEMO / "villages.geojson").read_bytes(), kind="village").json()
    report = desk.importer.get(f"/v1/boundary-imports/{shown['id']}/report").json()
    assert {finding["severity"] for finding in report["findings"]} <= {"note"}
    tried = desk.importer.post(f"/v1/boundary-imports/{shown['id']}/dry-run").json()
    assert (len(tried["new"]), tried["refused"]) == (301, [])
