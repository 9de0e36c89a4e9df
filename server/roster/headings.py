"""What the columns of a roster are called, and how cells are cleaned. Pure.

Headings are recognised in Chinese and English, without regard to case, spaces, brackets and stars. 序号 counts the
rows of a table and is never taken for a staff number.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS: dict[str, tuple[str, ...]] = {
    "number": ("工号", "编号", "人员编号", "干部编号", "职工号", "职工编号", "员工编号", "干部工号", "staffnumber", "staffno", "number", "employeenumber"),
    "name": ("姓名", "干部姓名", "人员姓名", "name", "fullname"),
    "phone": ("手机", "手机号", "手机号码", "电话", "电话号码", "联系电话", "联系方式", "phone", "mobile", "telephone"),
    "unit": ("派出单位", "选派单位", "派员单位", "派出单位名称", "原单位", "原工作单位", "工作单位", "所在单位", "单位", "unit", "sendingunit"),
    "village_code": ("村代码", "村编码", "村级代码", "村区划代码", "区划代码", "行政区划代码", "统计用区划代码", "villagecode", "regioncode"),
    "village": ("村", "村名", "村名称", "驻村", "派驻村", "所驻村", "驻村名称", "行政村", "村社区", "派驻村社区", "village", "villagename"),
    "town": ("镇", "镇名", "镇名称", "乡镇", "乡镇名", "乡镇名称", "镇街", "镇街名称", "街道", "所在镇", "所在镇街", "所属镇", "所属镇街", "派驻镇", "派驻镇街", "town", "townname"),
    "role": ("职务", "角色", "驻村职务", "担任职务", "派驻职务", "岗位", "role"),
    "from": ("任职时间", "任职日期", "任职起始", "任职开始时间", "开始时间", "开始日期", "起始时间", "起始日期", "到任时间", "到任日期", "驻村时间", "驻村开始时间", "派驻时间", "选派时间", "from", "fromday", "start", "startdate"),
    "until": ("离任时间", "离任日期", "任职结束时间", "结束时间", "结束日期", "截止时间", "截止日期", "期满时间", "驻村结束时间", "until", "untilday", "end", "enddate"),
    "end_reason": ("离任原因", "结束原因", "免职原因", "离岗原因", "endreason", "reason"),
}  # fmt: skip
"""The columns and their headings; the first one is what the template uses."""

_BY_HEADING = {heading: column for column, headings in COLUMNS.items() for heading in headings}
_BRACKETS = re.compile(r"[(\[【〔][^)\]】〕]*[)\]】〕]")
_FEWEST = 3  # Fewer known headings than this make no header row.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_HAN_GAPS = re.compile(
    r"(?<=[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])\s+(?=[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and what it was: ``text``, ``csv``, ``number``, ``day``, ``error`` or ``formula``.

    ``formula`` is a formula without a stored result; with one, the result counts and `computed` is true.
    """

    text: str
    kind: str = "text"
    computed: bool = False
    merged: bool = False  # Filled from a merged cell above it.


EMPTY = Cell("")


def column_of(heading: str) -> str | None:
    """Return the column that a heading stands for, or None."""
    plain = unicodedata.normalize("NFKC", clean(heading)).lower()
    for variant in (plain, _BRACKETS.sub("", plain)):
        key = re.sub(r"[\s*.:：_\-/、()\[\]【】〔〕]", "", variant)
        if key in _BY_HEADING:
            return _BY_HEADING[key]
    return None


def is_header(cells: Sequence[str]) -> bool:
    """Tell whether a row of texts is the header: three known headings, the name among them."""
    known = {column_of(text) for text in cells} - {None}
    return "name" in known and len(known) >= _FEWEST


def clean(text: str) -> str:
    """Return the text in NFC (edge 129), without invisible characters, its whitespace single and trimmed."""
    visible = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    return re.sub(r"\s+", " ", visible).strip()


def clean_name(text: str) -> str:
    """Return a name without the spaces that pad two-character names to three (王　伟)."""
    return _HAN_GAPS.sub("", clean(text))


def plain(text: str) -> str:
    """Return a code, number or word for matching: full-width letters and digits as half-width, no whitespace."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", clean(text)))


def unprintable(text: str) -> bool:
    """Tell whether a text holds control characters, surrogates or unassigned code points' stand-ins."""
    return any(unicodedata.category(character) in {"Cc", "Cs"} or character == "\ufffd" for character in text)
