"""The empty roster to fill in (花名册模板), as an xlsx workbook on the standard output; started by commands.py.

Columns with codes, numbers and days are text, so that a spreadsheet neither drops leading zeros nor turns 2021.10 into
2021.1. The example row's staff number begins with 示例, and the import leaves it out.
"""

import io
import sys

import openpyxl
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from server.roster.headings import COLUMNS

ROWS = 1_000
_WIDTHS = {"unit": 30, "village_code": 16, "phone": 14, "end_reason": 12}
_NEEDED = frozenset({"number", "name", "village_code", "role", "from"})
EXAMPLE = {
    "number": "示例0001",
    "name": "张三",
    "phone": "13800000000",
    "unit": "区农业农村委",
    "village_code": "500116101200",
    "village": "",
    "town": "",
    "role": "第一书记",
    "from": "2025-05-01",
    "until": "",
    "end_reason": "",
}
_CHOICES = {
    "role": ("第一书记", "工作队员"),
    "end_reason": ("任期届满", "召回", "退休", "调动", "去世", "其他"),
}
_EXPLAINED = (
    ("填写说明", "How to fill it in"),
    (
        "每行一个任职；同一人有几段任职就写几行。",
        "One posting a line; several postings of a person are several lines.",
    ),
    ("按工号识别人员，姓名相同不会混淆。", "People are told apart by staff number, never by name."),
    (
        "村代码为12位统计用区划代码；不知道代码时写镇和村名。",
        "The village code has 12 digits; without it give the town and the village's name.",
    ),
    (
        "任职、离任时间都包含当天；只写年月时，任职按1日、离任按月末。",
        "Both days count; a month alone means its first day for the start and its last for the end.",
    ),
    ("第一书记兼任队长的只写一行“第一书记”。", "A first secretary who leads the team is one line."),
    (
        "同一文件可以重复导入，没有变化的行不受影响。",
        "The same file can be imported again; unchanged lines stay.",
    ),
)


def workbook() -> bytes:
    """Return the template as the bytes of an xlsx workbook."""
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    page.title = "花名册"
    _head(page)
    for at, column in enumerate(COLUMNS, 1):
        cell = page.cell(2, at, EXAMPLE[column])
        cell.font = Font(italic=True, color="808080")
        for row in range(2, ROWS + 2):
            page.cell(row, at).number_format = "@"
    for column, choices in _CHOICES.items():
        letter = get_column_letter(list(COLUMNS).index(column) + 1)
        rule = DataValidation("list", formula1='"' + ",".join(choices) + '"', allow_blank=True)
        rule.add(f"{letter}2:{letter}{ROWS + 1}")
        page.add_data_validation(rule)
    explained = book.create_sheet("填写说明")
    explained.column_dimensions["A"].width = explained.column_dimensions["B"].width = 70
    for texts in _EXPLAINED:
        explained.append(texts)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _head(page: Worksheet) -> None:
    for at, (column, names) in enumerate(COLUMNS.items(), 1):
        cell = page.cell(1, at, names[0])
        cell.font = Font(bold=True)
        cell.alignment = Alignment(horizontal="center")
        cell.fill = PatternFill("solid", fgColor="FFF2CC" if column in _NEEDED else "EDEDED")
        page.column_dimensions[get_column_letter(at)].width = _WIDTHS.get(column, 12)
    page.freeze_panes = "A2"


if __name__ == "__main__":
    sys.stdout.buffer.write(workbook())
