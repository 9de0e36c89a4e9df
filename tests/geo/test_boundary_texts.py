"""Names and codes of a Shapefile's table, whatever its encoding is and whatever is said of it."""

import pytest
from boundary_files import (
    SQUARE,
    clockwise,
    dbf,
    geojson,
    moved,
    shapefile,
    shp_and_shx,
    shp_record,
    village,
    zipped,
)

from geo.boundaries import BoundaryFile, ColumnChoice, UnreadableFileError, read_here

RARE = "㙟𠅤村"


def codes(file: BoundaryFile, index: int | None = None) -> set[str]:
    return {each.code for each in file.faults if each.feature == index}


@pytest.mark.parametrize(
    ("encoding", "cpg", "fault"),
    [
        ("utf-8", "UTF-8", None),
        ("utf-8", None, "encoding-guessed"),
        ("utf-8", "GBK", "encoding-not-as-declared"),
        ("gbk", "GBK", None),
        ("gbk", "936", None),
        ("gbk", None, "encoding-guessed"),
        ("gbk", "UTF-8", "encoding-not-as-declared"),
        ("gbk", "nonsense", "encoding-not-as-declared"),
        ("gb18030", "UTF-8", "encoding-not-as-declared"),
    ],
)
def test_names_survive_whatever_the_cpg_says(encoding: str, cpg: str | None, fault: str | None) -> None:
    names = ["龙吟村", "联通村", RARE if encoding != "gbk" else "孔目村"]
    shapes = [[clockwise(moved(SQUARE, 0.02 * number))] for number in range(3)]
    file = read_here(shapefile(shapes, names=names, encoding=encoding, cpg=cpg), "a")
    assert [feature.name for feature in file.features] == names
    assert codes(file) == ({fault} if fault else set())
    assert file.encoding.preview == "、".join(names)


def test_a_given_encoding_is_taken_and_an_unknown_one_refused() -> None:
    data = shapefile([[clockwise(SQUARE)]], names=["龍潭村"], encoding="big5", cpg=None)
    assert read_here(data, "a", encoding="big5").features[0].name == "龍潭村"
    for name in ("klingon", "zlib", "idna", ""):
        with pytest.raises(UnreadableFileError) as refused:
            read_here(data, "a", encoding=name)
        assert refused.value.fault.code == "encoding-unknown"


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_name_cut_in_the_middle_of_a_character_is_said_and_spoils_no_other(encoding: str) -> None:
    long = "a" * (2 if encoding == "utf-8" else 1) + "五" * 30  # So 40 bytes end within a character.
    shapes = [[clockwise(moved(SQUARE, 0.02 * number))] for number in range(3)]
    file = read_here(shapefile(shapes, names=["龙吟村", long, "孔目村"], encoding=encoding, cpg=None), "a")
    assert codes(file, 1) == {"text-cut"}
    assert [file.features[0].name, file.features[2].name] == ["龙吟村", "孔目村"]
    assert long.startswith(str(file.features[1].name))


def test_names_decoded_twice_are_told_with_what_they_may_mean() -> None:
    garbled = "龙吟村委".encode().decode("gb18030")
    file = read_here(geojson(village(0, name=garbled)), "a")
    (why,) = file.faults
    assert why.code == "text-decoded-twice"
    assert why.numbers["proposal"] == "龙吟村委"


def test_chinese_columns_and_columns_cut_to_ten_bytes_are_recognised() -> None:
    shp, shx = shp_and_shx([shp_record([clockwise(SQUARE)])])
    columns = [
        ("村代码".encode("gbk"), "C", 12),
        ("行政区名称".encode("gbk"), "C", 20),
        ("乡镇名".encode("gbk"), "C", 20),
    ]
    table = dbf(columns, [[b"500116105200", "转龙村".encode("gbk"), "石蟆镇".encode("gbk")]])
    file = read_here(zipped({"a.shp": shp, "a.shx": shx, "a.dbf": table, "a.prj": b""}), "a.zip")
    columns_given = ColumnChoice(code="村代码", name="行政区名称")
    assert file.columns.code == "村代码"
    assert file.columns.town_name == "乡镇名"
    again = read_here(zipped({"a.shp": shp, "a.dbf": table}), "a.zip", columns=columns_given)
    assert again.features[0].name == "转龙村"


def test_a_code_in_a_numeric_column_keeps_its_digits() -> None:
    shp, shx = shp_and_shx([shp_record([clockwise(SQUARE)])])
    for cell in (b"500116105200", b"500116105200.000"):
        table = dbf([(b"CUNDM", "N", 18), (b"CUNMC", "C", 20)], [[cell.rjust(18), "转龙村".encode()]])
        file = read_here(zipped({"a.shp": shp, "a.shx": shx, "a.dbf": table}), "a.zip")
        assert file.features[0].code == "500116105200"
