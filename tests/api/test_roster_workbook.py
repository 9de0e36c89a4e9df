"""Rosters as spreadsheets really are: numbers, dates, formulas, merged and hidden cells, bombs; and the commands."""

import io
import json
import re
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from click.testing import CliRunner, Result
from conftest import Service
from factories_roster import HOME, NEXT, World, roster_world
from openpyxl.worksheet.worksheet import Worksheet

from server.cli import main
from server.roster import workbook
from server.roster.headings import COLUMNS
from server.roster.limits import LARGEST_FILE, Refused

HEADER = ("工号", "姓名", "手机", "村代码", "职务", "任职时间", "离任时间", "离任原因")
_numbers = iter(range(10_000))


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


def number() -> str:
    return f"W{next(_numbers):05d}"


def row(staff: object = None, **more: object) -> list[object]:
    given = {
        "工号": staff or number(),
        "姓名": "孙七",
        "村代码": HOME,
        "职务": "队员",
        "任职时间": "2025-03-01",
        **more,
    }
    return [given.get(heading) for heading in HEADER]


def xlsx(
    *rows: list[object], change: Callable[[openpyxl.Workbook, Worksheet], object] | None = None
) -> bytes:
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    page.append(HEADER)
    for cells in rows:
        page.append(cells)
    if change is not None:
        change(book, page)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def rewritten(data: bytes, member: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a workbook with one member of its zip changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            content = old.read(item)
            new.writestr(item.filename, change(content) if item.filename == member else content)
    return stream.getvalue()


def send(world: World, data: bytes) -> httpx.Response:
    return world.district.post("/v1/roster-imports", content=data)


def imported(world: World, data: bytes) -> dict[str, Any]:
    answer = send(world, data)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def faults(world: World, data: bytes) -> list[tuple[int | None, str, str]]:
    answer = send(world, data)
    assert answer.status_code == 422, answer.text
    return [(fault.get("line"), fault["field"], fault["code"]) for fault in answer.json()["errors"]]


def first(world: World, staff: str) -> dict[str, Any]:
    items = world.district.get("/v1/people", params={"q": staff}).json()["items"]
    assert len(items) == 1
    found: dict[str, Any] = items[0]
    return found


# --- cells
def test_numbers_in_cells_are_read_as_the_digits_they_show(world: World) -> None:
    data = xlsx(
        row(4711, 手机=13800138000, 村代码=500116101200),
        row(88, 村代码=500116101200.0),
        change=lambda _, page: setattr(page["A3"], "number_format", "000000"),
    )
    imported(world, data)
    assert (first(world, "4711")["phone"], first(world, "4711")["number"]) == ("13800138000", "4711")
    assert first(world, "000088")["postings"][0]["village_code"] == HOME


FORMS = [
    (date(2021, 9, 10), "2021-09-10"),
    (datetime(2021, 9, 10, 8, 30), "2021-09-10"),  # noqa: DTZ001  Cells have no time zone.
    (44449, "2021-09-10"),
    (20210910, "2021-09-10"),
    (2021.9, "2021-09-01"),
    ("2021.1", "2021-01-01"),
    ("2021.10", "2021-10-01"),
    ("2021-09-10 00:00:00", "2021-09-10"),
    ("２０２１年９月１０日", "2021-09-10"),
]


def test_days_in_cells_are_read_in_the_forms_people_use(world: World) -> None:
    told = [(number(), value, day) for value, day in FORMS]
    imported(world, xlsx(*(row(staff, 任职时间=value) for staff, value, _ in told)))
    for staff, value, day in told:
        assert first(world, staff)["postings"][0]["from_day"] == day, value


def test_a_number_that_may_be_january_or_october_is_asked_back(world: World) -> None:
    assert faults(world, xlsx(row(任职时间=2021.1))) == [(2, "from", "january-or-october")]


def test_an_end_that_has_not_come_is_open(world: World) -> None:
    told = {number(): still for still in ("至今", "在任", "—", "无", "present")}
    imported(world, xlsx(*(row(staff, 离任时间=still) for staff, still in told.items())))
    assert {first(world, staff)["postings"][0]["until_day"] for staff in told} == {None}


def test_a_formula_counts_by_its_stored_result_and_not_without(world: World) -> None:
    staff = number()
    bare = xlsx(row(staff, 姓名='="孙"&"七"'))
    assert faults(world, bare) == [(2, "name", "formula-without-result")]
    stored = rewritten(
        bare,
        "xl/worksheets/sheet1.xml",
        lambda xml: (
            xml.replace(b'<c r="B2">', b'<c r="B2" t="str">')
            .replace(b"<v />", b"<v>\xe5\xad\x99\xe5\x85\xab</v>")
            .replace(b"<v></v>", b"<v>\xe5\xad\x99\xe5\x85\xab</v>")
        ),
    )
    report = imported(world, stored)
    assert first(world, staff)["name"] == "孙八"
    assert [note["code"] for note in report["notes"]] == ["formulas"]


def test_an_error_value_is_named(world: World) -> None:
    assert faults(world, xlsx(row(手机="#N/A"))) == [(2, "phone", "error-cell")]


def test_cells_merged_down_count_for_each_row(world: World) -> None:
    one, two = number(), number()
    data = xlsx(row(one), row(two, 村代码=None), change=lambda _, page: page.merge_cells("D2:D3"))
    report = imported(world, data)
    assert first(world, two)["postings"][0]["village_code"] == HOME
    assert [note["code"] for note in report["notes"]] == ["merged"]


def test_cells_merged_across_columns_are_refused(world: World) -> None:
    data = xlsx(row(), row(手机=None), change=lambda _, page: page.merge_cells("B3:C3"))
    assert faults(world, data) == [(3, "file", "merged-across")]


def test_hidden_rows_are_read_and_said(world: World) -> None:
    staff = number()

    def hide(_: openpyxl.Workbook, page: Worksheet) -> None:
        page.row_dimensions[2].hidden = True

    report = imported(world, xlsx(row(staff), row(), change=hide))
    assert first(world, staff)["postings"]
    assert ("hidden-rows", True) in [(note["code"], "2" in note["zh"]) for note in report["notes"]]


def test_the_sheet_with_the_header_is_taken_and_others_are_named(world: World) -> None:
    def add(book: openpyxl.Workbook, page: Worksheet) -> None:
        page.title = "人员"
        book.create_sheet("说明", 0).append(["先读我"])
        hidden = book.create_sheet("旧名单", 0)
        hidden.append(list(HEADER))
        hidden.append(row(村代码=NEXT))
        hidden.sheet_state = "hidden"

    report = imported(world, xlsx(row(), change=add))
    assert report["sheet"] == "人员"
    assert report["counts"]["new"] == 1
    assert "旧名单" in report["notes"][0]["zh"]
    assert "说明" in report["notes"][0]["zh"]


def test_formatted_but_empty_rows_far_below_are_no_rows(world: World) -> None:
    def stretch(_: openpyxl.Workbook, page: Worksheet) -> None:
        page.cell(1_048_576, 1).number_format = "@"

    assert imported(world, xlsx(row(), change=stretch))["counts"]["new"] == 1


def test_a_sheet_that_lies_about_its_size_is_read_whole(world: World) -> None:
    data = rewritten(
        xlsx(row(), row()),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b'<dimension ref="A1:H3" />', b'<dimension ref="A1" />').replace(
            b'<dimension ref="A1:H3"/>', b'<dimension ref="A1"/>'
        ),
    )
    assert imported(world, data)["counts"]["new"] == 2


# --- bombs and broken files
def test_a_zip_bomb_is_refused_before_it_is_unpacked(world: World) -> None:
    data = rewritten(xlsx(row()), "xl/worksheets/sheet1.xml", lambda _: b" " * (200 << 20))
    assert len(data) < 1 << 20
    assert faults(world, data) == [(None, "file", "workbook-too-large")]


SHARED = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{}</sst>'
PATIENCE_S = 15.0  # Of a person; on a machine that is busy with other tests.
SHARED_TYPE = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument'
    b'.spreadsheetml.sharedStrings+xml"/></Types>'
)


def sharing(strings: str, rows: int) -> bytes:
    """A workbook as spreadsheet programs write them: a table of shared strings, and every cell names its last one."""
    data = xlsx(*(row() for _ in range(rows)))
    number = str(max(strings.count("<si>") - 1, 0)).encode()
    named = rb't="s"><v>' + number + rb"</v>"
    inline = re.compile(rb't="inlineStr"><is><t>[^<]*</t></is>')
    data = rewritten(data, "xl/worksheets/sheet1.xml", lambda xml: inline.sub(named, xml))
    data = rewritten(data, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", SHARED_TYPE))
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", SHARED.format(strings))
    return stream.getvalue()


def test_shared_strings_are_read() -> None:
    rows = workbook.read(sharing("<si><t>甲</t></si><si><t>乙</t></si>", 2))["rows"]
    assert {cell[0] for _, cells in rows for cell in cells} == {"乙", ""}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("<si><t/></si>" * 3_600_000, 1, id="millions of strings"),
        pytest.param(f"<si><t>{'长' * 14_000_000}</t></si>", 1, id="one of 40 MiB"),
        pytest.param(f"<si><t>{'长' * 30_000}</t></si>", 4_000, id="one of 30,000, thirty thousand times"),
        pytest.param(f"<si>{'<r><t>长</t></r>' * 1_900_000}</si>", 1, id="one in millions of runs"),
    ],
)
def test_a_bomb_of_shared_strings_is_refused_within_its_bounds(world: World, text: str, rows: int) -> None:
    data = sharing(text, rows)
    assert len(data) < LARGEST_FILE
    held, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert faults(world, data)[0][2] in {"workbook-too-large", "no-header"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 64 << 10  # KiB, of the server itself.
    assert time.monotonic() - begun < PATIENCE_S
    assert send(world, xlsx(row())).status_code == 201  # The next one is read.


def test_a_zip_that_understates_its_members_is_broken(world: World) -> None:
    data = bytearray(rewritten(xlsx(row()), "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 100_000))
    entry = data.index(b"PK\x01\x02")
    while data[entry + 46 : entry + 46 + 24] != b"xl/worksheets/sheet1.xml":
        entry = data.index(b"PK\x01\x02", entry + 4)
    data[entry + 24 : entry + 28] = (64).to_bytes(4, "little")
    assert faults(world, bytes(data))[0][2] == "workbook-broken"


@pytest.mark.parametrize(
    "xml",
    [
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><worksheet>&b;</worksheet>',
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet>&a;</worksheet>',
        b"<worksheet><sheetData><row r='1'",
        b"<worksheet><sheetData><row r='x'><c r='A1'><v>1</v></c></row></sheetData></worksheet>",
        b"<worksheet><sheetData><row r='1'><c r='11'><v>1</v></c></row></sheetData></worksheet>",
        b"<worksheet><mergeCells><mergeCell ref='A:B'/></mergeCells></worksheet>",
        b"\xff\xfe\x00",
        b"",
    ],
)
def test_broken_and_hostile_sheets_are_one_named_fault(world: World, xml: bytes) -> None:
    data = rewritten(xlsx(row()), "xl/worksheets/sheet1.xml", lambda _: xml)
    assert faults(world, data) == [(None, "file", "workbook-broken")]


@pytest.mark.parametrize("cut", [10, 100, 1000, -30])
def test_a_cut_workbook_is_broken(world: World, cut: int) -> None:
    assert faults(world, xlsx(row())[:cut])[0][2] == "workbook-broken"


def test_too_many_rows_are_refused_while_reading() -> None:
    rows = b"".join(b"<row r='%d'><c r='A%d'><v>1</v></c></row>" % (n, n) for n in range(1, 20_002))
    data = rewritten(
        xlsx(row()),
        "xl/worksheets/sheet1.xml",
        lambda _: (
            b"<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><sheetData>"
            + rows
            + b"</sheetData></worksheet>"
        ),
    )
    with pytest.raises(Refused) as refused:
        workbook.read(data)
    assert refused.value.code == "too-many-rows"


# --- the command line
def run(world: World, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setenv("ZAICUN_DATABASE_URL", world.service.cloned.app_url)
    return CliRunner().invoke(main, ["roster", *words])


def test_the_command_imports_what_the_dry_run_promised(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "花名册.xlsx"
    staff = number()
    file.write_bytes(xlsx(row(staff)))
    dry = run(world, monkeypatch, "import", str(file), "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "试运行" in dry.output
    assert world.district.get("/v1/people", params={"q": staff}).json()["items"] == []
    done = run(world, monkeypatch, "import", str(file), "--json")
    assert json.loads(done.output)["counts"]["new"] == 1
    again = run(world, monkeypatch, "import", str(file), "--lang", "en")
    assert "new 0, changed 0, unchanged 1" in again.output
    assert first(world, staff)["postings"][0]["village_code"] == HOME


def test_the_command_ends_with_one_and_the_faults(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "roster.csv"
    file.write_text("工号,姓名,村代码,职务,任职时间\nC1,甲,500116101200,队员,2025-01-01\nC2,乙,1,队员,x\n")
    for words in (("import", str(file)), ("import", str(file), "--dry-run")):
        ended = run(world, monkeypatch, *words)
        assert ended.exit_code == 1
        assert "第 3 行" in ended.output
    outside = run(world, monkeypatch, "import", str(file), "--region", "500117", "--dry-run", "--json")
    assert [fault["code"] for fault in json.loads(outside.output)["faults"]] == [
        "outside-region",
        "not-a-day",
        "village-code",
    ]
    assert world.district.get("/v1/people", params={"q": "C1"}).json()["items"] == []


def test_the_template_is_filled_in_and_imported(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "template.xlsx"
    made = run(world, monkeypatch, "template", "--out", str(file))
    assert made.exit_code == 0, made.output
    assert list(tmp_path.iterdir()) == [file]
    book = openpyxl.load_workbook(file)
    page = book.worksheets[0]
    assert [cell.value for cell in page[1]] == [names[0] for names in COLUMNS.values()]
    assert len(page.data_validations.dataValidation) == 2
    assert page["A3"].number_format == "@"
    staff = number()
    given = {"工号": staff, "姓名": "周八", "村代码": HOME, "职务": "第一书记", "任职时间": "2025.10"}
    for at, cell in enumerate(page[1], 1):
        page.cell(3, at, given.get(str(cell.value)))
    book.save(file)
    done = run(world, monkeypatch, "import", str(file), "--json")
    report = json.loads(done.output)
    assert report["counts"]["new"] == 1
    assert "example" in [note["code"] for note in report["notes"]]
    assert first(world, staff)["postings"][0]["from_day"] == "2025-10-01"


def test_a_template_that_cannot_be_written_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = run(world, monkeypatch, "template", "--out", str(tmp_path / "missing" / "t.xlsx"))
    assert ended.exit_code == 1
    assert "No such file" in ended.output
