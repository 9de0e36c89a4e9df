"""Importing rosters over real HTTP: every row, or none and the faults with their lines."""

from collections.abc import Iterator

import pytest
from conftest import Service
from factories_places import make_region
from factories_roster import FAR, FOREIGN, HOME, NEXT, World, roster_world
from roster_files import HEADER, csv_of, faults, held, imported, number, row, send, xlsx_of


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        with service.database.write() as session:
            make_region(session, "500116102201", "双河村")
            make_region(session, "500116102202", "双河村")
            make_region(session, "500116103000", "石门镇")
            make_region(session, "500116103001", "石门社区居民委员会")
        yield made


# --- whole files
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_every_encoding_and_separator_of_real_files_is_read(world: World, encoding: str, mark: str) -> None:
    staff = number()
    report = imported(
        world, csv_of(row(staff, "欧阳娜娜", 派出单位="区水利局"), encoding=encoding, mark=mark)
    )
    assert report["counts"] == {"new": 1, "changed": 0, "unchanged": 0, "repeated": 0}
    assert held(world, staff) == [(HOME, "member", "2025-03-01", None, None)]
    assert world.district.get("/v1/people", params={"q": staff}).json()["items"][0]["name"] == "欧阳娜娜"


def test_four_byte_characters_survive_in_gb18030_and_xlsx(world: World) -> None:
    # edge 129
    one, two = number(), number()
    imported(world, csv_of(row(one, "王𬭎"), encoding="gb18030"))
    imported(world, xlsx_of(row(two, "䶮𠮷")))
    names = {
        item["number"]: item["name"]
        for staff in (one, two)
        for item in world.district.get("/v1/people", params={"q": staff}).json()["items"]
    }
    assert names == {one: "王𬭎", two: "䶮𠮷"}


def test_names_are_stored_composed_and_without_padding(world: World) -> None:
    # edge 129
    one, two = number(), number()
    imported(world, csv_of(row(one, "王　伟"), row(two, "Ren\u0065\u0301 Li")))
    found = [world.district.get("/v1/people", params={"q": n}).json()["items"][0]["name"] for n in (one, two)]
    assert found == ["王伟", "René Li"]


def test_english_headings_and_words_are_understood(world: World) -> None:
    staff = number()
    header = ("Staff No.", "Full Name", "Village Code", "Role", "Start Date", "End Date", "Reason")
    cells = (staff, "Ann Lee", HOME, "first_secretary", "2024-01-01", "2024-12-31", "retired")
    imported(world, csv_of(cells, header=header))
    assert held(world, staff) == [(HOME, "first_secretary", "2024-01-01", "2024-12-31", "retired")]


def test_a_title_above_the_header_and_empty_rows_are_skipped(world: World) -> None:
    staff = number()
    data = xlsx_of(
        [], ["序号", *HEADER], ["1", *row(staff)], [], ["", ""], header=["江津区驻村干部花名册（2025年）"]
    )
    report = imported(world, data)
    assert (report["header_line"], report["ignored_columns"]) == (3, ["序号"])
    assert report["rows"][0]["line"] == 4


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "no-header"),
        (b"\xff\xfe\x00", "encoding"),
        (b"\x80\x81\xff\xff\x00", "encoding"),
        ("工号,姓名\n1,2\n".encode(), "no-header"),
        ("工号,姓名,电话\n1,2,3\n".encode(), "missing-columns"),
        ("工号,编号,姓名,村代码,职务,任职时间\n".encode(), "repeated-column"),
        (",".join(HEADER).encode(), "empty"),
        (",".join(HEADER).encode() + b'\n"N1,a\nb,c', "csv"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"0" * 512, "old-or-protected-workbook"),
        (b"PK\x03\x04 this is no zip", "workbook-broken"),
        (b"PK\x05\x06" + b"\0" * 18, "encoding"),
        ((",".join(HEADER) + "\n").encode() + b"N1,a\n" * 20_001, "too-many-rows"),
        (",".join([*HEADER, *(f"c{i}" for i in range(60))]).encode() + b"\n1,2", "too-many-columns"),
    ],
)
def test_files_that_cannot_be_used_are_named_for_what_they_are(world: World, data: bytes, code: str) -> None:
    assert faults(world, data)[0] == (None, "file", code)


def test_a_body_over_the_limit_is_refused(world: World) -> None:
    answer = send(world, b"x" * ((8 << 20) + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


# --- rows
@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"工号": ""}, "number", "missing"),
        ({"工号": "江津01"}, "number", "staff-number"),
        ({"工号": "1.2E+11"}, "number", "scientific-notation"),
        ({"姓名": ""}, "name", "missing"),
        ({"姓名": "字" * 65}, "name", "too-long"),
        ({"姓名": "\ufffd\ufffd"}, "name", "unprintable"),
        ({"手机": "不详"}, "phone", "phone"),
        ({"村代码": "500116101"}, "village_code", "village-code"),
        ({"村代码": "5.00116E+11"}, "village_code", "scientific-notation"),
        ({"村代码": "500116101999"}, "village_code", "unknown-village"),
        ({"村代码": "500116101000"}, "village_code", "no-village"),
        ({"村代码": FOREIGN}, "village_code", "outside-region"),
        ({"村名": "银山村"}, "village", "village-name-differs"),
        ({"村代码": ""}, "village_code", "missing"),
        ({"村代码": "", "村名": "四方村"}, "town", "missing"),
        ({"村代码": "", "村名": "四方村", "镇": "百沙镇"}, "town", "unknown-town"),
        ({"村代码": "", "村名": "四万村", "镇": "白沙镇"}, "village", "unknown-village"),
        ({"村代码": "", "村名": "双河村", "镇": "朱杨镇"}, "village", "ambiguous-village"),
        ({"职务": ""}, "role", "missing"),
        ({"职务": "科长"}, "role", "unknown-role"),
        ({"任职时间": ""}, "from", "missing"),
        ({"任职时间": "去年"}, "from", "not-a-day"),
        ({"任职时间": "2025-02-29"}, "from", "no-such-day"),
        ({"任职时间": "1025-02-20"}, "from", "year-out-of-range"),
        ({"任职时间": "2021.1"}, "from", "january-or-october"),
        ({"任职时间": "9/10/2021"}, "from", "not-a-day"),
        ({"离任时间": "2025-02-28"}, "until", "before-start"),
        ({"离任原因": "退休"}, "until", "missing"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_nothing_is_imported(
    world: World, wrong: dict[str, str], field: str, code: str
) -> None:
    good, bad = row(number()), row(number(), **wrong)
    if "工号" in wrong:
        bad[0] = wrong["工号"]
    assert (3, field, code) in faults(world, csv_of(good, bad, row(number())))


def test_candidates_are_named_for_an_ambiguous_and_for_a_misspelt_name(world: World) -> None:
    data = csv_of(
        row(number(), 村代码="", 镇="朱杨镇", 村名="双河村"),
        row(number(), 村代码="", 镇="白沙镇", 村名="银山乡"),
    )
    texts = [error["zh"] for error in send(world, data).json()["errors"]]
    assert "500116102201" in texts[0]
    assert "500116102202" in texts[0]
    assert "银山村" in texts[1]


@pytest.mark.parametrize(
    ("town", "village", "code"),
    [
        ("白沙镇", "四方村", HOME),
        ("白沙", "四方", HOME),
        ("白沙镇人民政府", "四方村村民委员会", HOME),
        ("白沙镇", "四方村委会", HOME),
        ("石门镇", "石门社区", "500116103001"),
        ("石门镇", "石门社区居委会", "500116103001"),
    ],
)
def test_a_village_is_found_by_its_name_within_the_town(
    world: World, town: str, village: str, code: str
) -> None:
    staff = number()
    imported(world, csv_of(row(staff, 村代码="", 镇=town, 村名=village)))
    assert held(world, staff)[0][0] == code


def test_a_month_alone_is_taken_as_its_ends_and_the_report_says_so(world: World) -> None:
    staff = number()
    report = imported(world, csv_of(row(staff, 任职时间="2021年9月", 离任时间="2023.2", 离任原因="任期届满")))
    assert held(world, staff) == [(HOME, "member", "2021-09-01", "2023-02-28", "term_over")]
    notes = [(note["line"], note["code"]) for note in report["notes"]]
    assert notes == [(2, "month-first-day"), (2, "month-last-day")]


def test_a_person_may_have_several_rows(world: World) -> None:
    staff = number()
    report = imported(
        world,
        csv_of(
            row(staff, 任职时间="2021-09-10", 离任时间="2023-09-09", 离任原因="轮换"),
            row(staff, 任职时间="2023-09-10", 职务="第一书记兼工作队队长"),
            row(staff, 任职时间="2023-09-10", 村代码=FAR),
        ),
    )
    assert (report["counts"]["new"], report["new_people"]) == (3, 1)
    assert sorted(held(world, staff)) == sorted(
        [
            (HOME, "member", "2021-09-10", "2023-09-09", "transferred"),
            (HOME, "first_secretary", "2023-09-10", None, None),
            (FAR, "member", "2023-09-10", None, None),
        ]
    )


def test_first_secretary_and_leader_of_one_village_are_one_posting(world: World) -> None:
    # edge 79
    staff = number()
    report = imported(world, csv_of(row(staff, 职务="队长"), row(staff, 职务="第一书记")))
    assert held(world, staff) == [(HOME, "first_secretary", "2025-03-01", None, None)]
    assert report["counts"] == {"new": 1, "changed": 0, "unchanged": 0, "repeated": 1}


def test_overlaps_are_named_within_the_file_and_with_what_is_on_record(world: World) -> None:
    staff = number()
    twice = csv_of(row(staff, 任职时间="2024-01-01"), row(staff, 任职时间="2025-01-01"))
    assert faults(world, twice) == [(3, "from", "overlap")]
    imported(world, csv_of(row(staff, 任职时间="2024-01-01")))
    assert faults(world, csv_of(row(staff, 任职时间="2025-01-01"))) == [(2, "from", "overlap")]


def test_people_are_matched_by_number_and_never_by_name(world: World) -> None:
    # edge 130
    one, two = number(), number()
    imported(world, csv_of(row(one, "张伟"), row(two, "张伟")))
    assert (held(world, one), held(world, two)) == (
        [(HOME, "member", "2025-03-01", None, None)],
        [(HOME, "member", "2025-03-01", None, None)],
    )
    assert faults(world, csv_of(row(one, "张韦", 村代码=NEXT))) == [(2, "name", "name-differs")]
    assert faults(world, csv_of(row(number(), "甲"), row("X1", "乙"), row("x1", "丙", 村代码=NEXT))) == [
        (4, "name", "differs-within-file")
    ]


def test_a_number_that_lost_its_zeros_is_not_a_new_person(world: World) -> None:
    imported(world, csv_of(row("000771", "零开头")))
    assert faults(world, csv_of(row("771", "零开头", 村代码=NEXT))) == [(2, "number", "leading-zeros")]


def test_numbers_with_zeros_of_another_district_are_nobodys_to_learn(world: World) -> None:
    assert send(world, csv_of(row("000772", 村代码=FOREIGN)), client=world.other_district).status_code == 201
    imported(world, csv_of(row("772", 村代码=NEXT)))


def test_a_number_of_another_district_is_refused(world: World) -> None:
    staff = number()
    theirs = send(world, csv_of(row(staff, 村代码=FOREIGN)), client=world.other_district)
    assert theirs.status_code == 201
    assert faults(world, csv_of(row(staff, 村代码=NEXT))) == [(2, "number", "outside-region")]


def test_text_that_looks_like_a_formula_stays_text(world: World) -> None:
    # edge 128
    one = number()
    imported(world, csv_of(row(one, "=1+1", 派出单位="+cmd|' /C calc'!A0")))
    person = world.district.get("/v1/people", params={"q": one}).json()["items"][0]
    assert (person["name"], person["unit"]["name"]) == ("=1+1", "+cmd|' /C calc'!A0")
