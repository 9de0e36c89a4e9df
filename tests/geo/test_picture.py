"""The picture of a quality report: well-formed, complete, legible, and harmless whatever the names are."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import shapely
from boundary_files import BOW_TIE, DEMO, SQUARE, geojson, moved, village

from geo.boundaries import BoundaryFile, read_here
from geo.picture import SYNTHETIC, draw
from geo.quality import quality_report

DISTRICT = shapely.get_parts(shapely.from_geojson((DEMO / "district.geojson").read_text()))[0]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(file: BoundaryFile, **options: object) -> ET.Element:
    report = quality_report(file, district=DISTRICT)
    return ET.fromstring(draw(file, report, **options))  # type: ignore[arg-type]  # noqa: S314  Our own text.


def texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def badges(root: ET.Element) -> list[tuple[float, float]]:
    """List the numbered marks on the map, left of the list."""
    left_of = min(
        float(each.get("cx", 0)) for each in root.iter(f"{SVG}circle") if float(each.get("cy", 0)) < 65
    )
    return [
        (float(each.get("cx", 0)), float(each.get("cy", 0)))
        for each in root.iter(f"{SVG}circle")
        if each.get("r") == "8.0" and float(each.get("cx", 0)) < left_of - 10
    ]


@pytest.fixture(scope="module")
def demo() -> BoundaryFile:
    return read_here((DEMO / "villages.geojson").read_bytes(), "villages.geojson")


def test_the_demo_district_is_drawn_small_and_says_it_is_synthetic(demo: BoundaryFile) -> None:
    svg = draw(demo, quality_report(demo, district=DISTRICT), district=DISTRICT, caption=SYNTHETIC)
    root = ET.fromstring(svg)  # noqa: S314  Our own text.
    assert len(svg) < 400_000
    assert SYNTHETIC in texts(root)
    assert "没有发现问题。" in texts(root)
    assert sum(each.get("fill-rule") == "evenodd" for each in root.iter(f"{SVG}path")) == 301
    assert "合成示意" not in draw(demo, quality_report(demo))


def test_every_village_is_drawn_where_it_is(demo: BoundaryFile) -> None:
    root = drawn(demo)
    paths = [each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("fill-rule") == "evenodd"]
    firsts = [tuple(float(number) for number in path[1:].split("L")[0].split()) for path in paths]
    assert all(0 <= x <= 1000 and 60 <= y <= 1000 for x, y in firsts)
    west = min(range(301), key=lambda number: demo.features[number].shape_as_read.bounds[0])  # type: ignore[union-attr]
    assert firsts[west][0] < 120


def crowded(demo: BoundaryFile) -> BoundaryFile:
    """Give thirty villages of one place a wrong claimed area and one duplicate code."""
    changed = [
        replace(each, claimed_area_km2=1000.0) if number < 30 else each
        for number, each in enumerate(demo.features)
    ]
    changed[40] = replace(changed[40], code=changed[41].code)
    return replace(demo, features=tuple(changed))


@pytest.mark.parametrize(
    ("language", "title"), [("zh", "边界数据质量图"), ("en", "Quality of boundary data")]
)
def test_marks_are_numbered_listed_and_do_not_cover_each_other(
    demo: BoundaryFile, language: str, title: str
) -> None:
    root = drawn(crowded(demo), language=language)
    marks = badges(root)
    assert len(marks) == 31
    assert all(math.dist(one, other) >= 17.9 for n, one in enumerate(marks) for other in marks[:n])
    shown = texts(root)
    assert title in shown[[each.startswith(title) for each in shown].index(True)]
    for number in range(1, 32):
        assert shown.count(str(number)) == 2  # On the map and in the list.


def test_more_findings_than_the_list_holds_are_counted(demo: BoundaryFile) -> None:
    many = replace(demo, features=tuple(replace(each, claimed_area_km2=1000.0) for each in demo.features))
    root = drawn(many)
    shown = texts(root)
    assert any(
        "161" in text for text in shown if "文字报告" in text
    )  # Two hundred kept and one summing up, forty listed.


def test_hostile_names_stay_text() -> None:
    name = '</text><script>alert(1)</script>&"\x00\x08'
    file = read_here(geojson(village(0, BOW_TIE, name=name), village(1, moved(SQUARE, 0.1))), name)
    root = drawn(file, caption="<b>&")
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>alert(1)" in text for text in texts(root))


def test_a_file_without_any_shape_still_makes_a_picture() -> None:
    for data in (geojson(), geojson({**village(0), "geometry": None})):
        assert texts(drawn(read_here(data, "a")))


def test_few_villages_carry_their_names() -> None:
    file = read_here(geojson(village(0, name="转龙村"), village(1, moved(BOW_TIE, 0.02), name="稿子村")), "a")
    shown = texts(drawn(file))
    assert {"转龙村", "稿子村"} <= set(shown)
