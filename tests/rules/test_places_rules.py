"""Codes, names, findings and shapes of the places room, without a database."""

import math
from datetime import UTC, date, datetime

import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from pyproj import Geod

from geo.faults import Severity
from geo.zones import ZoneKind, circle
from server.places import matching, region_table, rules
from server.places.matching import Known, Meant, Said
from server.places.rules import Finding, RegionKind

GEOD = Geod(ellps="WGS84")


# --- codes


@pytest.mark.parametrize(
    ("code", "prefix", "parent", "kind"),
    [
        ("500000000000", "50", None, RegionKind.PROVINCE),
        ("500100000000", "5001", "500000000000", RegionKind.CITY),
        ("500116000000", "500116", "500100000000", RegionKind.DISTRICT),
        ("500116101000", "500116101", "500116000000", RegionKind.TOWN),
        ("500116101200", "500116101200", "500116101000", RegionKind.VILLAGE),
        ("500116101001", "500116101001", "500116101000", RegionKind.COMMUNITY),
        ("500116101400", "500116101400", "500116101000", RegionKind.COMMUNITY),
        ("500116101500", "500116101500", "500116101000", RegionKind.VILLAGE),
        ("500116100000", "500116100", "500116000000", RegionKind.TOWN),
    ],
)
def test_a_code_says_its_level_its_parent_and_its_kind(
    code: str, prefix: str, parent: str | None, kind: RegionKind
) -> None:
    assert (rules.significant(code), rules.parent_of(code), rules.kind_of(code, "某地")) == (
        prefix,
        parent,
        kind,
    )


def test_a_street_is_known_by_its_name() -> None:
    assert rules.kind_of("500116001000", "几江街道") is RegionKind.STREET


@given(st.from_regex(r"[1-9][0-9]{11}", fullmatch=True))
def test_a_region_lies_under_each_of_its_ancestors(code: str) -> None:
    above = rules.parent_of(code)
    while above is not None:
        assert code.startswith(rules.significant(above))
        assert len(rules.significant(above)) < len(rules.significant(code))
        above = rules.parent_of(above)


def test_a_day_begins_at_midnight_in_beijing() -> None:  # edge 1
    assert rules.midnight(date(2026, 3, 15)) == datetime(2026, 3, 14, 16, tzinfo=UTC)
    assert rules.today(datetime(2026, 3, 14, 15, 59, 59, tzinfo=UTC)) == date(2026, 3, 14)
    assert rules.today(datetime(2026, 3, 14, 16, tzinfo=UTC)) == date(2026, 3, 15)


# --- tables of regions


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"code,name,parent\n{text}".encode()))
def test_no_bytes_make_the_table_reader_fail(data: bytes) -> None:
    rows, faults = region_table.read(data)
    assert all(rules.CODE.fullmatch(row.code) and row.name for row in rows)
    assert all(fault.zh and fault.en for fault in faults)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[1-9][0-9]{11}", fullmatch=True),
            st.sampled_from(["龙吟村", "𬭎䶮社区", "A,B", "“引”"]),
        ),
        unique_by=lambda row: row[0],
        max_size=20,
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
)
def test_what_is_written_is_read_back_in_any_encoding(
    rows: list[tuple[str, str]], encoding: str
) -> None:  # edge 129
    text = "区划代码,名称\r\n" + "".join(f'{code},"{name}"\r\n' for code, name in rows)
    found, faults = region_table.read(text.encode(encoding))
    assert ([(row.code, row.name) for row in found], faults) == (rows, [])


# --- matching


REGIONS = {
    "500116101200": Known("500116101200", "龙吟村", RegionKind.VILLAGE),
    "500116101001": Known("500116101001", "南门社区", RegionKind.COMMUNITY),
    "500116101000": Known("500116101000", "某镇", RegionKind.TOWN),
}


def said(code: str | None, name: str | None, kind: str | None = "village", town: str | None = None) -> Said:
    return Said(0, code, name, kind, town)


@pytest.mark.parametrize(
    ("one", "stated", "scope", "code"),
    [
        (said("500116101200", "龙吟村"), None, "500116", None),
        (said("500116101200", "龙吟村村民委员会"), None, "500116", None),
        (said("500116101001", "南门居委会", "community"), None, "500116", None),
        (said("500116101200", None), ZoneKind.VILLAGE, "500116", None),
        (said("500116101200", "虎啸村"), None, "500116", "name-differs"),
        (said("500116101299", "龙吟村"), None, "500116", "region-unknown"),
        (said("500116101000", "某镇"), None, "500116", "region-unknown"),
        (said("500116101200", "龙吟村"), None, "500117", "outside-region"),
        (said(None, "龙吟村"), None, "500116", "village-unidentified"),
        (said("500116101200", "龙吟村", None), None, "500116", "kind-not-said"),
        (said("500116101200", "龙吟村"), ZoneKind.URBAN, "500116", "kind-differs"),
        (said("Z1", "城区", "urban", "500116101"), None, "500116", None),
        (said(None, "城区", "urban", "500116101"), None, "500116", None),
        (said("Z1", "城区", "urban"), None, "500116101", None),
        (said("Z1", "城区", "urban"), None, "500116", "town-missing"),
        (said("Z1", "城区", "urban", "500116109"), None, "500116", "region-unknown"),
        (said("Z1", "城区", "urban", "500117101"), None, "500116", "outside-region"),
        (said(None, None, "urban", "500116101"), None, "500116", "unnamed"),
    ],
)
def test_a_feature_means_a_known_place_or_the_reason_is_named(
    one: Said, stated: ZoneKind | None, scope: str, code: str | None
) -> None:
    meant, findings = matching.match([one], kind=stated, scope=scope, regions=REGIONS)
    assert [finding.code for finding in findings] == ([] if code is None else [code])
    assert (matching.identity(meant[0]) is not None) == (code in {None, "name-differs"})


@given(st.text(alphabet="村社区居民委员会龙吟", max_size=3000))
def test_a_plain_name_is_a_beginning_and_stays_plain(name: str) -> None:
    plain = matching.plain(name)
    assert name.startswith(plain)
    assert matching.plain(plain) == plain


@given(st.text())
def test_any_text_becomes_storable(text: str) -> None:
    plain = rules.storable(text, 50)
    assert len(plain) <= 50
    plain.encode("utf-8")
    assert not any(ord(char) < 32 and char not in "\t\n\r" for char in plain)
    assert rules.storable(plain, 50) == plain


def test_a_zone_that_two_features_mean_is_neithers() -> None:
    twice = [Said(index, "500116101200", "龙吟村", "village", None) for index in range(2)]
    _, findings = matching.match(twice, kind=None, scope="500116", regions=REGIONS)
    assert [(finding.code, finding.features) for finding in findings] == [("zone-repeated", (0, 1))]


def test_a_village_that_another_one_follows_needs_a_human() -> None:  # edge 48
    meant = [Meant(3, "x", "龙吟村", ZoneKind.VILLAGE, "500116101200")]
    (finding,) = matching.succeeded(meant, {"500116101200": "500116101201"})
    assert (finding.code, finding.severity, finding.features) == (
        "region-followed",
        Severity.NEEDS_HUMAN,
        (3,),
    )


# --- findings


FINDINGS = st.builds(
    Finding,
    code=st.sampled_from(["a", "b", "file-breaks-off", "repair-proposed", "repair-needs-human"]),
    severity=st.sampled_from(Severity),
    zh=st.just("中"),
    en=st.just("e"),
    features=st.lists(st.integers(0, 3), unique=True, max_size=3).map(tuple),
    mendable=st.booleans(),
)
ACCEPTED = st.dictionaries(
    st.integers(-1, 3),
    st.frozensets(st.sampled_from(["a", "b", "file-breaks-off", "repair-proposed", "repair-needs-human"])),
)


@given(st.lists(FINDINGS, max_size=6), ACCEPTED)
def test_a_feature_is_free_only_when_every_grave_finding_was_settled(
    findings: list[Finding], accepted: dict[int, frozenset[str]]
) -> None:
    def settled(finding: Finding, index: int) -> bool:
        taken = accepted.get(index, frozenset())
        if finding.mendable and ("repair-proposed" in taken or "repair-needs-human" in taken):
            return True
        acceptable = finding.severity == "needs-human" or finding.code in {
            "file-breaks-off",
            "repair-proposed",
            "repair-needs-human",
        }
        return acceptable and finding.code in taken

    standing = rules.standing(findings, accepted, range(4))
    for index in range(4):
        expected = [
            finding
            for finding in findings
            if finding.severity in {"error", "needs-human"}
            and (
                (index in finding.features and not settled(finding, index))
                or (not finding.features and not settled(finding, -1))
            )
        ]
        assert list(standing[index]) == expected


@given(FINDINGS)
def test_a_finding_survives_its_storage(finding: Finding) -> None:
    assert Finding.from_dict(finding.to_dict()) == finding


# --- shapes


@given(st.floats(100, 2000), st.floats(500, 8000), st.integers(3, 40), st.floats(0.0, 0.9))
def test_no_point_of_a_simplified_border_strays_farther_than_told(
    tolerance: float, radius: float, teeth: int, depth: float
) -> None:
    points = []
    for step in range(teeth * 8):
        angle = 2 * math.pi * step / (teeth * 8)
        reach = radius * (1 - depth * (step % 8 < 4))
        lon, lat, _ = GEOD.fwd(106.2, 29.0, -math.degrees(angle), reach)
        points.append((lon, lat))
    shape = shapely.Polygon(points)
    assume(shape.is_valid)
    fewer = rules.simplified(shape, tolerance)
    assert fewer.is_valid
    assert shapely.get_num_coordinates(fewer) <= shapely.get_num_coordinates(shape)
    squeeze = math.cos(math.radians(29.0))
    flat = [shapely.transform(each, lambda xy: xy * (squeeze * 111_320, 110_860)) for each in (shape, fewer)]
    strays = max(
        shapely.Point(point).distance(flat[1].boundary) for point in shapely.get_coordinates(flat[0])
    )
    assert strays <= tolerance * 1.02 + 0.3


@given(st.floats(73, 135), st.floats(18, 53), st.floats(50, 20_000))
def test_the_area_of_a_circle_is_its_area(lon: float, lat: float, radius: float) -> None:  # edge 50
    area = rules.area_m2(circle(lon=lon, lat=lat, radius_m=radius))
    assert area == pytest.approx(math.pi * radius**2, rel=1e-3)
    reverse = rules.area_m2(circle(lon=lon, lat=lat, radius_m=radius).reverse())
    assert reverse == pytest.approx(area, rel=1e-12)
