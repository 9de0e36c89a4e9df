"""Repairs: proposed with true figures, applied only when accepted feature by feature. Edge case 45."""

import time

import pytest
import shapely
from boundary_files import BOW_TIE, METRE_LAT, METRE_LON, SQUARE, bulge, comb, geojson, moved, star, village
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.boundaries import read_here
from geo.findings import Finding
from geo.quality import QualityReport, quality_report
from geo.repairs import RepairError, accept_repairs, area_m2, propose_repair

NEARLY = [(0.0, 1.0), (5.0, 0.0), (0.0, 0.0), (1.0, 1.0521264947159236e-09)]
"""Metres: a border that comes back to itself but for a thousandth of a micrometre."""


def report_of(*features: object) -> QualityReport:
    return quality_report(read_here(geojson(*features), "a"))


def codes(report: QualityReport) -> set[str]:
    return {each.code for each in report.findings}


def only(report: QualityReport, code: str) -> Finding:
    (found,) = [each for each in report.findings if each.code == code]
    return found


def test_faults_of_reading_are_findings_with_their_repair() -> None:  # edge 45
    report = report_of(
        village(0, SQUARE), village(1, moved(BOW_TIE, 0.02)), village(2, moved(SQUARE, 0.04)[:-1])
    )
    assert codes(report) == {"ring-self-intersection", "ring-not-closed", "repair-needs-human"}
    assert not report.publishable
    assert [each.feature for each in report.repairs] == [1, 2]


def test_a_small_repair_is_proposed_and_a_large_one_needs_a_human() -> None:  # edge 45
    small, large = only(report_of(village(0, bulge(2))), "repair-proposed"), report_of(village(0, BOW_TIE))
    assert small.repair is not None
    assert small.repair.change_share < 0.001
    assert small.repair.geometry.is_valid
    assert not small.repair.needs_human
    proposal = large.repairs[0]
    assert (proposal.area_before_m2, proposal.change_share) == pytest.approx((0, 1), abs=2000)
    assert proposal.needs_human
    # The two triangles of the bow tie: half the square.
    assert proposal.area_after_m2 == pytest.approx(area_m2(shapely.Polygon(SQUARE)) / 2, rel=1e-3)


def test_nothing_is_repaired_until_it_is_accepted() -> None:  # edge 45
    file = read_here(geojson(village(0), village(1, moved(bulge(2), 0.1))), "a")
    report = quality_report(file)
    assert file.features[1].geometry is None
    (proposal,) = report.repairs
    for wrong in ({1: "0" * 64}, {0: proposal.digest}, {1: proposal.digest, 7: proposal.digest}):
        with pytest.raises(RepairError):
            accept_repairs(file, report.repairs, wrong)
    repaired = accept_repairs(file, report.repairs, {1: proposal.digest})
    assert file.features[1].geometry is None
    assert repaired.features[1].geometry == proposal.geometry
    assert repaired.features[1].accepted_repair == proposal.digest
    assert repaired.features[1].shape_as_read == file.features[1].shape_as_read
    assert [each.code for each in repaired.faults] == ["repair-accepted"]
    assert repaired.fit
    assert quality_report(repaired).publishable
    assert accept_repairs(file, report.repairs, {}) == file


def test_a_good_feature_has_no_repair() -> None:
    file = read_here(geojson(village(0)), "a")
    assert propose_repair(file.features[0]) is None


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), min_size=4, max_size=9, unique=True),
)
def test_every_repair_is_valid_and_its_figures_are_its_own(corners: list[tuple[float, float]]) -> None:
    ring = [(106.2 + METRE_LON * x, 29.2 + METRE_LAT * y) for x, y in corners]
    file = read_here(geojson(village(0, [*ring, ring[0]])), "a")
    for proposal in quality_report(file).repairs:
        assert proposal.geometry.is_valid
        assert proposal.area_after_m2 == area_m2(proposal.geometry) > 0
        assert proposal.vertices_after == shapely.get_num_coordinates(proposal.geometry)
        assert proposal.needs_human or proposal.change_share <= 0.001
        fixed = accept_repairs(file, [proposal], {0: proposal.digest})
        assert fixed.features[0].geometry is not None


def test_edges_that_nearly_coincide_are_joined_all_the_same() -> None:
    """Found by the property above: the overlay of valid shapes ended in a TopologyException, which was a crash."""
    ring = [(106.2 + METRE_LON * x, 29.2 + METRE_LAT * y) for x, y in NEARLY]
    report = quality_report(read_here(geojson(village(0, [*ring, ring[0]])), "a"))
    assert codes(report) == {"ring-winding"}


def test_a_star_that_crosses_itself_a_billion_times_is_given_up_soon() -> None:
    data = geojson(village(0, star(90_001)), village(1, moved(SQUARE, 0.2)))
    started = time.process_time()
    file = read_here(data, "a")
    assert {"ring-self-intersection"} <= {each.code for each in file.faults_of(0)}
    assert file.features[1].geometry is not None
    report = quality_report(file)
    assert time.process_time() - started < 30  # GEOS alone would take minutes.
    assert "repair-too-costly" in codes(report)


def test_two_combs_that_cross_a_billion_times_are_not_intersected() -> None:
    teeth = comb(40_000)
    across = [(y - 29.2 + 106.2, x - 106.2 + 29.2) for x, y in teeth]
    file = read_here(geojson(village(0, teeth), village(1, across)), "a")
    started = time.process_time()
    report = quality_report(file)
    assert time.process_time() - started < 30
    assert "overlap-too-intricate" in codes(report)
