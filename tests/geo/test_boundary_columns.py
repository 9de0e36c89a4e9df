"""Columns, codes and kinds of boundary files: recognised by name and content, asked for when in doubt."""

from collections.abc import Mapping

import pytest
from boundary_files import SQUARE, geojson, moved, village

from geo.boundaries import BoundaryFile, ColumnChoice, read_here


def features(*rows: Mapping[str, object]) -> bytes:
    made = [village(number, moved(SQUARE, 0.02 * number)) for number in range(len(rows))]
    return geojson(*({**each, "properties": row} for each, row in zip(made, rows, strict=True)))


def codes(file: BoundaryFile) -> set[str]:
    return {each.code for each in file.faults}


@pytest.mark.parametrize(
    ("code", "name", "town"),
    [
        ("XZQDM", "XZQMC", "XZJDM"),
        ("AREA_CODE", "AREA_NAME", "town_code"),
        ("PAC", "NAME", "XZXZQDM"),
        ("SQCDM", "SQCMC", "XZJDM"),
        ("CUNDM", "CUNMC", "XZJDM"),
        ("zldwdm", "zldwmc", "xzjdm"),
        ("村代码", "村名称", "乡镇代码"),
        ("Code", "Name", "Town_Code"),
    ],
)
def test_known_column_names_are_recognised_in_any_case(code: str, name: str, town: str) -> None:
    file = read_here(features({code: "500116105200", name: "转龙村", town: "500116105"}), "a")
    assert (file.columns.code, file.columns.name, file.columns.town_code) == (code, name, town)
    (feature,) = file.features
    assert (feature.code, feature.name, feature.town_code) == ("500116105200", "转龙村", "500116105")
    assert codes(file) == set()


def test_given_columns_stand_over_known_names() -> None:
    row = {"code": "500116105200", "name": "旧名", "我的代码": "500116105201", "我的名称": "转龙村"}
    file = read_here(features(row), "a", columns=ColumnChoice(code="我的代码", name="我的名称"))
    assert (file.features[0].code, file.features[0].name) == ("500116105201", "转龙村")


def test_a_given_column_that_is_not_there_is_a_fault() -> None:
    file = read_here(features({"code": "500116105200", "name": "x"}), "a", columns=ColumnChoice(code="代号"))
    assert codes(file) == {"column-unknown"}
    assert file.features[0].code is None


def test_without_known_columns_the_file_is_read_and_asks() -> None:
    file = read_here(features({"A": "500116105200", "B": "转龙村"}), "a")
    assert [each.numbers.get("role") for each in file.faults] == ["代码(code)", "名称(name)"]
    assert file.features[0].geometry is not None


def test_among_code_columns_the_one_with_twelve_digits_is_the_villages() -> None:
    row = {"XZQDM": "500116105", "XZQMC": "石蟆镇", "CUNDM": "500116105200", "CUNMC": "转龙村"}
    file = read_here(features(row), "a")
    assert (file.features[0].code, file.features[0].name) == ("500116105200", "转龙村")
    assert codes(file) == set()


def test_two_code_columns_that_differ_are_ambiguous() -> None:
    row = {"SQCDM": "500116105200", "PAC": "500116105999", "name": "转龙村"}
    file = read_here(features(row), "a")
    assert codes(file) == {"column-ambiguous"}
    assert file.features[0].code is None
    same = {"SQCDM": "500116105200", "PAC": "500116105200", "name": "转龙村"}
    assert codes(read_here(features(same), "a")) == set()


@pytest.mark.parametrize(
    ("given", "code", "fault"),
    [
        ("500116105200", "500116105200", None),
        (500116105200, "500116105200", None),
        (500116105200.0, "500116105200", None),
        ("5001161052000000000", "500116105200", "code-cut-to-twelve"),
        ("5001161052000000001", None, "code-malformed"),
        ("500116105", None, "code-nine-digits"),
        ("50011610520", None, "code-malformed"),
        ("5001161052OO", None, "code-malformed"),
        ("５００１１６１０５２００", None, "code-malformed"),
        ("500116105000", "500116105000", "code-of-a-town"),
        (None, None, "code-missing"),
        ("", None, "code-missing"),
        (True, None, "code-missing"),
        (float("nan"), None, "code-malformed"),
    ],
)
def test_only_twelve_digits_identify_a_village(given: object, code: str | None, fault: str | None) -> None:
    file = read_here(features({"code": given, "name": "转龙村"}), "a")
    assert file.features[0].code == code
    assert codes(file) == ({fault} if fault else set())


@pytest.mark.parametrize(
    ("town", "read_as", "fault"),
    [
        ("500116105", "500116105", None),
        ("500116105000", "500116105", None),
        (None, "500116105", None),
        ("500116124", None, "town-code-differs"),  # The other nine-digit system.
        ("石蟆镇", "500116105", "town-code-malformed"),
    ],
)
def test_towns_are_nine_digits_that_agree_with_the_code(
    town: object, read_as: str | None, fault: str | None
) -> None:
    file = read_here(features({"code": "500116105200", "name": "x", "XZJDM": town}), "a")
    assert file.features[0].town_code == read_as
    assert codes(file) == ({fault} if fault else set())


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("village", "village"),
        ("行政村", "village"),
        ("社区", "community"),
        ("镇场镇", "town_seat"),
        ("城区", "urban"),
        ("Village", "village"),
        ("林场", None),
        (None, None),
    ],
)
def test_kinds_are_read_in_both_languages(word: str | None, kind: str | None) -> None:
    file = read_here(features({"code": "500116105200", "name": "x", "kind": word}), "a")
    assert (file.features[0].kind, file.features[0].kind_as_read) == (kind, word)


def test_exclusion_zones_bring_codes_of_their_own() -> None:
    file = read_here(features({"code": "Z500116105", "name": "石蟆镇场镇", "kind": "town_seat"}), "a")
    assert file.features[0].code == "Z500116105"
    assert codes(file) == set()


@pytest.mark.parametrize(
    ("said", "km2"), [(6.5, 6.5), ("6.5", 6.5), (0, None), (-1, None), ("x", None), (None, None)]
)
def test_claimed_areas_are_positive_numbers(said: object, km2: float | None) -> None:
    file = read_here(features({"code": "500116105200", "name": "x", "area_km2": said}), "a")
    assert file.features[0].claimed_area_km2 == km2
