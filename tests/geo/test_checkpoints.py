"""The 225 checkpoints of the demo district, judged in three datums as their truth says. Edge cases 26, 27, 32, 39."""

import csv
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import shapely
from ground import make_zone
from pyproj import Proj

from geo.datum import Datum
from geo.fix import Fix
from geo.verdict import Band, VerdictKind, judge
from geo.zones import Places, Zone, ZoneKind

HERE = Path(__file__).parent
DISTRICT = HERE.parents[1] / "server" / "demo_data" / "jiangjin"


def features(name: str) -> list[dict[str, object]]:
    read = json.loads((DISTRICT / f"{name}.geojson").read_text(encoding="utf-8"))["features"]
    assert isinstance(read, list)
    return read


@cache
def zones(name: str) -> dict[str, Zone]:
    found = {}
    for feature in features(name):
        facts = feature["properties"]
        assert isinstance(facts, dict)
        kind = ZoneKind(facts["kind"]) if name == "exclusion_zones" else ZoneKind.VILLAGE
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        found[facts["code"]] = make_zone(shape, facts["code"], kind=kind, name=facts["name"])
    return found


@cache
def posted_to(code: str) -> Places:
    return Places.assigned([zones("villages")[code]])


@cache
def district_seats() -> Places:
    return Places.excluded(list(zones("exclusion_zones").values()))


@cache
def whole_district() -> Places:
    return Places.assigned(list(zones("villages").values()))


def checkpoints() -> list[dict[str, str]]:
    with (HERE / "data" / "checkpoints.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


COLUMNS = {Datum.WGS84: "", Datum.GCJ02: "gcj_", Datum.BD09: "bd_"}


def precise(row: dict[str, str], datum: Datum, accuracy_m: float = 0.05) -> Fix:
    return Fix(
        lon=float(row[f"{COLUMNS[datum]}lon"]),
        lat=float(row[f"{COLUMNS[datum]}lat"]),
        datum=datum,
        age_s=0.0,
        accuracy_m=accuracy_m,
    )


def from_any_seats_border_m(row: dict[str, str]) -> float:
    here = shapely.Point(float(row["lon"]), float(row["lat"]))
    degrees = min(
        float(shapely.distance(zone.geometry.boundary, here)) for zone in zones("exclusion_zones").values()
    )
    return degrees * 97_000  # A degree of longitude at 29.3 N, the shorter one.


@pytest.mark.parametrize("datum", list(COLUMNS))
def test_every_checkpoint_is_judged_as_its_truth(datum: Datum) -> None:
    kinds: Counter[str] = Counter()
    # The file's digits, and the allowance for the datum at 5 % or 80 %, leave this much open along a border.
    open_m = {Datum.WGS84: 0.2, Datum.GCJ02: 2.5, Datum.BD09: 4.5}[datum]
    for row in checkpoints():
        places = posted_to(row["expect_unit"]) if row["expect_unit"] else whole_district()
        found = judge(precise(row, datum), places, district_seats())
        kinds[found.kind] += 1
        truth = VerdictKind.INSIDE if row["in_district"] == "yes" else VerdictKind.OUTSIDE
        if row["expect_zone"]:
            truth = VerdictKind.TOWN
            assert found.zone_id == row["expect_zone"], row
        if min(float(row["dist_to_unit_border_m"]), from_any_seats_border_m(row)) <= open_m:
            assert found.kind in {truth, VerdictKind.UNSURE}, row
            continue
        assert found.kind is truth, row
        assert found.counts is (row["expect_stay_counts"] in {"yes", "rural_community"}), row
    assert kinds[VerdictKind.TOWN] >= 55
    assert kinds[VerdictKind.INSIDE] >= 130
    assert kinds[VerdictKind.OUTSIDE] >= 8
    assert kinds[VerdictKind.UNSURE] <= 25


def test_every_checkpoint_lies_as_far_from_the_borders_as_its_truth_says() -> None:
    grid = Proj("EPSG:4544")
    for row in checkpoints():
        lon, lat = float(row["lon"]), float(row["lat"])
        # The file measured in the grid of EPSG:4544, whose metres are too long by up to 4 in 10,000 east of Jiangjin.
        scale = grid.get_factors(lon, lat).meridional_scale
        away, zone_away = float(row["dist_to_unit_border_m"]) / scale, float(row["dist_to_zone_m"]) / scale
        to_zone = district_seats().signed_distance_m(lon=lon, lat=lat)
        # Farther than 50 km it only has to say "far".
        assert max(0.0, -to_zone) == pytest.approx(
            zone_away, abs=0.02, rel=5e-5 if zone_away < 50_000 else 1e-3
        ), row
        assert (to_zone >= 0) is bool(row["expect_zone"]), row
        if row["expect_unit"]:
            margin = posted_to(row["expect_unit"]).signed_distance_m(lon=lon, lat=lat)
            assert margin == pytest.approx(away, abs=0.02, rel=5e-5), row


def test_a_checkpoint_on_a_vertex_is_covered_by_all_who_meet_there_and_unsure() -> None:  # edges 26, 27
    rows = [row for row in checkpoints() if row["category"] == "on_vertex"]
    assert len(rows) == 3
    for row in rows:
        here = shapely.Point(float(row["lon"]), float(row["lat"]))
        meeting = [zone for zone in zones("villages").values() if zone.geometry.touches(here)]
        assert len(meeting) >= 2
        for zone in meeting:
            found = judge(precise(row, Datum.WGS84, accuracy_m=20.0), posted_to(zone.id), district_seats())
            assert (found.kind, found.margin_m, found.band) == (VerdictKind.UNSURE, 0, Band.INSIDE)
            assert found.place_ids == (zone.id,)
        # Posted to all the villages that meet there, one stands in the middle of them.
        found = judge(precise(row, Datum.WGS84, accuracy_m=20.0), Places.assigned(meeting))
        assert found.kind is VerdictKind.INSIDE
        assert set(found.place_ids) == {zone.id for zone in meeting}


def test_a_checkpoint_is_outside_of_every_other_village() -> None:
    for row in checkpoints()[::12]:
        fix = precise(row, Datum.WGS84)
        inside = {
            code for code in zones("villages") if judge(fix, posted_to(code)).kind is not VerdictKind.OUTSIDE
        }
        assert inside == ({row["expect_unit"]} if row["expect_unit"] else set()), row


def test_joined_villages_and_seats_leave_no_border_but_the_districts() -> None:  # edges 27, 32
    # The seats fill holes of the villages, so they join as places here.
    seats = [make_zone(zone.geometry, zone.id) for zone in zones("exclusion_zones").values()]
    everything = Places.assigned([*zones("villages").values(), *seats])
    outline = shapely.from_geojson(json.dumps(features("district")[0]["geometry"]))
    district = Places.assigned([make_zone(outline, "district")])
    for row in checkpoints():
        lon, lat = float(row["lon"]), float(row["lat"])
        joined = everything.signed_distance_m(lon=lon, lat=lat)
        assert joined == pytest.approx(district.signed_distance_m(lon=lon, lat=lat), abs=0.3, rel=1e-4), row
