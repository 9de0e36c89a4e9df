"""Roster files for tests, and what came of sending them."""

import io
from collections.abc import Sequence
from typing import Any

import httpx
import openpyxl
import sqlalchemy as sa
from factories_roster import HOME, World

from server.roster.models import Person, Posting, PostingVersion, RosterImport, Unit

HEADER = (
    "工号",
    "姓名",
    "手机",
    "派出单位",
    "村代码",
    "镇",
    "村名",
    "职务",
    "任职时间",
    "离任时间",
    "离任原因",
)
Row = Sequence[object]


_numbers = iter(range(10_000))


def number() -> str:
    """Return a staff number that nobody has."""
    return f"N{next(_numbers):05d}"


def row(staff: str, name: str = "赵六", **more: object) -> list[object]:
    """Return one row under HEADER; by default a member of 四方村 since 1 March 2025."""
    given = {
        "工号": staff,
        "姓名": name,
        "村代码": HOME,
        "职务": "工作队员",
        "任职时间": "2025-03-01",
        **more,
    }
    return [given.get(heading, "") for heading in HEADER]


def csv_of(*rows: Row, header: Row = HEADER, encoding: str = "utf-8", mark: str = ",") -> bytes:
    """Return a CSV with Windows line ends."""
    lines = [mark.join(str(cell) for cell in cells) for cells in (header, *rows)]
    return "\r\n".join(lines).encode(encoding)


def xlsx_of(*rows: Row, header: Row = HEADER) -> bytes:
    """Return a workbook of one sheet."""
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    for cells in (header, *rows):
        page.append(list(cells))
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    """Return a workbook's bytes."""
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def send(
    world: World, data: bytes, *, dry_run: bool = False, client: httpx.Client | None = None
) -> httpx.Response:
    return (client or world.district).post(
        "/v1/roster-imports", params={"dry_run": dry_run}, content=data, headers={"Content-Type": "text/csv"}
    )


def imported(world: World, data: bytes) -> dict[str, Any]:
    answer = send(world, data)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def faults(world: World, data: bytes) -> list[tuple[int | None, str, str]]:
    """Return line, field and code of each fault, after checking that nothing was written."""
    before = everything(world)
    answer = send(world, data)
    assert (answer.status_code, answer.json()["code"]) == (422, "roster-refused"), answer.text
    assert everything(world) == before
    for fault in answer.json()["errors"]:
        assert fault["zh"], fault
        assert fault["en"], fault
    return [(fault.get("line"), fault["field"], fault["code"]) for fault in answer.json()["errors"]]


def everything(world: World) -> tuple[int, ...]:
    with world.service.database.read() as session:
        tables = (Person, Posting, PostingVersion, Unit, RosterImport)
        return tuple(session.scalar(sa.select(sa.func.count()).select_from(t)) or 0 for t in tables)


def held(world: World, staff: str) -> list[tuple[str, str, str, str | None, str | None]]:
    """Return village, role and days of a person's postings, the earliest first."""
    found = world.district.get("/v1/people", params={"q": staff}).json()["items"]
    assert len(found) == 1
    return [
        (p["village_code"], p["role"], p["from_day"], p["until_day"], p["end_reason"])
        for p in reversed(found[0]["postings"])
    ]
