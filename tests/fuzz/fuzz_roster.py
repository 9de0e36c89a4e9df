"""Fuzzes the readers of rosters: CSV in any encoding, and workbooks by their parts; see fuzzing.py.

The first byte chooses: a CSV, a workbook as it is, or a workbook made of its parts. What a reading process does for a
workbook is done here in this one, so that its coverage guides.
"""

import sys
import warnings
from typing import Any

import atheris
import fuzzing
import orjson
import parts

sys.path.insert(0, str(fuzzing.ROOT))
with atheris.instrument_imports(include=["server.roster", "openpyxl"]):
    from server.problems import Problem
    from server.roster import files, importing, workbook
    from server.roster.limits import Refused

WORKBOOK = (
    "xl/workbook.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/worksheets/sheet1.xml",
    "xl/sharedStrings.xml",
    "xl/styles.xml",
)
SHARED = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument'
    b'.spreadsheetml.sharedStrings+xml"/>'
)
TYPES = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    b'<Default Extension="xml" ContentType="application/xml"/>'
    b'<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml'
    b'.sheet.main+xml"/>'
    + SHARED
    + b'<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument'
    b'.spreadsheetml.styles+xml"/></Types>'
)
MAIN = (
    b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    b'<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    b' Target="xl/workbook.xml"/></Relationships>'
)
CSV, RAW, PACKED = range(3)


def here(data: bytes) -> dict[str, Any]:
    """Read a workbook as the reading process does, with its outcome written and read as between processes."""
    try:
        outcome = workbook.read(data)
    except Refused as refused:
        outcome = {"fault": [refused.code, refused.zh, refused.en]}
    found: dict[str, Any] = orjson.loads(orjson.dumps(outcome))
    return found


def one(data: bytes) -> None:
    """Read one roster; the only exception is the problem that says why it cannot be used."""
    if not data:
        return
    kind, content = data[0] % 3, data[1:]
    if kind == PACKED:
        given = dict(zip(WORKBOOK, parts.divided(content, len(WORKBOOK)), strict=True))
        types = TYPES if given["xl/sharedStrings.xml"] else TYPES.replace(SHARED, b"")
        content = parts.zipped({"[Content_Types].xml": types, "_rels/.rels": MAIN, **given})
    try:
        reading = importing.read(content)
    except Problem as problem:
        orjson.dumps(problem.body())
        return
    orjson.dumps([fault.body() for fault in reading.faults])
    assert all(note.zh and note.en for note in reading.notes)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # As the reading process does.
    files._in_a_process = here  # noqa: SLF001  The border between the processes, which this fuzzer takes away.
    fuzzing.fuzz(one)
