"""The command `zaicun month`: the table of a scope, those below two thirds with reasons, and the check of the masks."""

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import click
import orjson
from rich.cells import cell_len
from sqlalchemy import orm

from server import audit, clock, looks, terminal
from server.compliance import queries, recomputing, rules, service, showing
from server.compliance.queries import EVERYONE, Asked, PersonMonth
from server.compliance.recomputing import Difference
from server.compliance.rules import Judged
from server.compliance.service import ScopeMonth
from server.looks import Seen, What
from server.month import book as books
from server.month.book import Book
from server.month.holidays import CalendarSource
from server.month.masks import Month
from server.month.policy import provisional_until
from server.month.rules import ResultKind, Tier
from server.month.statements import shown

RESULTS = {
    ResultKind.MET: "达到 / met",
    ResultKind.BELOW: "未达到 / below",
    ResultKind.RUNNING: "进行中 / running",
    ResultKind.TOO_SHORT: "不足评定 / too short",
    ResultKind.NOT_POSTED: "未派驻 / not posted",
}
_TIERS = {
    Tier.REACHED: "已达到 / reached",
    Tier.ON_TRACK: "尚有余量 / on track",
    Tier.NO_SLACK: "已无余量 / no slack",
    Tier.CANNOT_BE_REACHED: "已无法达到 / cannot be reached",
}
_COLUMNS = (
    ("镇", "town"), ("村", "village"), ("村代码", "village_code"), ("姓名", "name"), ("工号", "number"),
    ("派出单位", "unit"), ("结果", "result"), ("已计", "counted"), ("须驻", "need"), ("应驻", "due"),
    ("在岗", "on_post"), ("补助", "allowance"), ("更正", "corrected"), ("待核", "review"), ("无记录", "no_data"), ("说明", "why_zh"),
    ("why", "why_en"),
)  # fmt: skip
_PRINTED = ("town", "village", "name", "number", "result", "counted", "need", "on_post", "allowance")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class MonthType(click.ParamType[Month]):
    """A month written yyyy-mm."""

    name = "yyyy-mm"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Month:
        """Read a month, or say how one is written."""
        try:
            return value if isinstance(value, Month) else Month.parse(str(value))
        except ValueError:
            self.fail(f"{value!r}: 月份写作 2026-11 / a month is written 2026-11.", param, ctx)


@click.group("month")
def month_group() -> None:
    """月度在岗情况: months of a scope, and whether the kept masks agree with the records."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A scope judged, with what is needed to write it. The rows are in the order of the scope's columns."""

    scope: ScopeMonth
    rows: list[PersonMonth]
    book: Book
    names: dict[str, str]
    now: datetime

    def judged(self, row: PersonMonth) -> Judged | None:
        return service.judged(self.book, row, self.scope.month, self.now)


@month_group.command("show")
@click.argument("month", type=MonthType())
@click.option("--region", default="", metavar="PREFIX", help="Prefix of region codes; default all.")
@click.option("--below", is_flag=True, help="Only those below, with the reasons.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV for spreadsheets (UTF-8 with BOM).")
def show(*, month: Month, region: str, below: bool, as_json: bool, as_csv: bool) -> None:
    """Print the month of everybody posted, by village and name, and the month on one page."""
    if as_json and as_csv:
        raise click.UsageError("--json 与 --csv 只能选一个 / choose --json or --csv.")
    with terminal.opened() as (database, _), database.write(snapshot=True) as session:
        table = _read(session, month, region)
        shown_now = [
            row
            for at, row in enumerate(table.rows)
            if not below or table.scope.result(at) is ResultKind.BELOW
        ]
        looks.record(
            session, None, What.MONTHS, (Seen(row.person_id) for row in shown_now), roles=(), subject=month
        )
    rows = list(_lines(table, below=below))
    if as_json:
        whole = {"month": str(month), "summary": summary_of(table.scope, table.book), "people": rows}
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
    elif as_csv:
        click.echo(_csv(rows), nl=False)
    else:
        click.echo(table_text(rows, below=below))
        click.echo(summary_text(table.scope, table.book))


def _read(session: orm.Session, month: Month, region: str) -> _Table:
    rows = queries.person_months(session, EVERYONE, month, Asked(region=region))
    known, now = books.load(session), clock.now()
    names = showing.place_names(session, {row.place for row in rows}, month)
    scope = service.judge_columns(known, service.columns_of(rows), month, now)
    return _Table(scope, rows, known, names, now)


def _lines(table: _Table, *, below: bool) -> Iterator[dict[str, str | bool]]:
    for at, row in enumerate(table.rows):
        result = table.scope.result(at)
        if below and result is not ResultKind.BELOW:
            continue
        judged = table.judged(row)
        place = showing.village_ref(row.place, table.names)
        line: dict[str, str | bool] = {
            "town": place.town_name,
            "village": place.name,
            "village_code": place.code,
            "name": row.name,
            "number": row.number,
            "unit": row.unit_name or "",
        }
        yield {**line, **(_figures(judged) if judged else {"result": "no-policy"})}


def _figures(judged: Judged) -> dict[str, str | bool]:
    made = judged.statement
    zh, en = rules.result_sentence(judged)
    return {
        "result": made.result.value,
        "counted": shown(made.counted_halves),
        "need": made.need_shown,
        "due": shown(made.due_halves),
        "on_post": shown(made.on_post_halves),
        "allowance": shown(made.allowance_halves),
        "corrected": " ".join(str(day.day) for day in made.corrected_days),
        "review": made.needs_review,
        "no_data": made.no_data,
        "why_zh": zh,
        "why_en": en,
    }


def _csv(rows: list[dict[str, str | bool]]) -> str:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow([f"{zh} {en}" for zh, en in _COLUMNS])
    for row in rows:
        writer.writerow([_cell(row.get(column, "")) for _, column in _COLUMNS])
    return "\ufeff" + written.getvalue()


def _cell(value: str | bool) -> str:
    """Write a cell that no spreadsheet takes for a formula (edge 128)."""
    if isinstance(value, bool):
        return "是" if value else ""
    return f"'{value}" if value.startswith(_FORMULA) else value


def table_text(rows: list[dict[str, str | bool]], *, below: bool) -> str:
    """Lay a table out for a terminal; Chinese characters are two columns wide."""
    heads = {column: f"{zh} {column}" for zh, column in _COLUMNS if column in _PRINTED}
    cells = [[str(row.get(column, "")) for column in _PRINTED] for row in rows]
    widths = [
        max([cell_len(heads[column]), *(cell_len(line[at]) for line in cells)])
        for at, column in enumerate(_PRINTED)
    ]
    lines = [_padded([heads[column] for column in _PRINTED], widths)]
    for row, line in zip(rows, cells, strict=True):
        lines.append(_padded(line, widths))
        if below:
            lines += [f"    {row['why_zh']}", f"    {row['why_en']}"]
    return "\n".join(lines)


def _padded(line: list[str], widths: list[int]) -> str:
    return "  ".join(
        text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True)
    ).rstrip()


def summary_of(scope: ScopeMonth, book: Book) -> dict[str, object]:
    """Return the month of a scope on one page, as data."""
    counted = service.summary(scope)
    calendar = book.calendar(scope.month)
    return {
        "posted": counted.posted,
        "results": {kind.value: number for kind, number in counted.results.items()},
        "tiers": counted.tiers,
        "needing_review": counted.needing_review,
        "no_data": counted.no_data,
        "without_policy": counted.without_policy,
        "calendar": {
            "source": calendar.source.value,
            "working_days": calendar.working_days,
            "provisional": calendar.provisional,
        },
        "policies": [
            {
                "id": str(by.id),
                "code": by.policy.code,
                "version": by.version.version,
                "name_zh": by.policy.name_zh,
                "name_en": by.policy.name_en,
                "clause": by.policy.clause,
                "basis": by.policy.basis.value,
                "duty_counts_in_village": by.policy.duty_counts_in_village,
                "provisional_until": provisional_until(scope.month, by.policy).isoformat(),
            }
            for by in scope.policies
        ],
    }


def summary_text(scope: ScopeMonth, book: Book) -> str:
    """Return the month of a scope on one page, as text in both languages."""
    counted = service.summary(scope)
    calendar = book.calendar(scope.month)
    lines = ["", f"{scope.month}", f"  派驻人数 / people posted: {counted.posted}"]
    lines += [f"  {RESULTS[kind]}: {number}" for kind, number in counted.results.items()]
    lines += [f"    {_TIERS[Tier(kind)]}: {number}" for kind, number in counted.tiers.items()]
    lines.append(f"  待核实 / needing review: {counted.needing_review}")
    lines.append(f"  全月无记录 / no data: {counted.no_data}")
    if counted.without_policy:
        lines.append(f"  没有已发布的政策 / without a published policy: {counted.without_policy}")
    mark = "（暂定 / provisional）" if calendar.provisional else ""
    source = {
        CalendarSource.IMPORTED: "导入 / imported",
        CalendarSource.OFFICIAL: "国务院办公厅通知 / official notice",
        CalendarSource.WEEKDAYS: "周一至周五 / Monday to Friday",
    }[calendar.source]
    lines.append(f"  日历 / calendar: {source}{mark}, {calendar.working_days} 工作日 / working days")
    for by in scope.policies:
        policy = by.policy
        duty = "计入 / counts" if policy.duty_counts_in_village else "不计入 / does not count"
        basis = "自然日 / calendar days" if policy.basis.value == "calendar" else "工作日 / working days"
        lines += [
            f"  政策 / policy: {policy.name_zh} / {policy.name_en}（{policy.code} v{by.version.version}，{policy.clause}）",
            f"    基数 / basis: {basis}；因公外出 / official duty: {duty}",
            f"    宽限至 / provisional until: {provisional_until(scope.month, policy)}",
        ]
    return "\n".join(lines)


@month_group.command("verify")
@click.argument("month", type=MonthType())
@click.option("--region", default="", metavar="PREFIX", help="Only people posted there in the month.")
def verify(month: Month, region: str) -> None:
    """Compute the masks of a month again from the records and compare; exit code 1 when any differs."""
    with terminal.opened() as (database, _), database.write(snapshot=True) as session:
        found = recomputing.different_masks(session, month, _posted_there(session, month, region))
        _looked(session, month, found)
    _print_differences(found)
    if found:
        click.echo(f"{month}: {len(found)} 人不一致 / people differ", err=True)
        sys.exit(1)
    click.echo(f"{month}: 保存的与重算的完全一致 / kept and recomputed masks agree exactly")


@month_group.command("recompute")
@click.argument("month", type=MonthType())
@click.option("--region", default="", metavar="PREFIX", help="Only people posted there in the month.")
def recompute(month: Month, region: str) -> None:
    """Compute the masks of a month again from the records and keep them where something else was kept."""
    with terminal.opened() as (database, _), database.write() as session:
        found = recomputing.mend(session, month, _posted_there(session, month, region))
        if found:
            people = [str(each.person_id) for each in found]
            audit.record(session, None, "month:recompute", ("month", month), people=people)
            _looked(session, month, found)
    _print_differences(found)
    click.echo(f"{month}: 已按记录更正 {len(found)} 人 / {len(found)} people mended by their records")


def _posted_there(session: orm.Session, month: Month, region: str) -> list[UUID] | None:
    if not region:
        return None
    listed = queries.month_columns(session, EVERYONE, month, Asked(region=region))
    return [listed.person(at) for at in range(len(listed))]


def _looked(session: orm.Session, month: Month, found: list[Difference]) -> None:
    looks.record(session, None, What.MONTH, (Seen(each.person_id) for each in found), roles=(), subject=month)


def _print_differences(found: list[Difference]) -> None:
    for each in found:
        click.echo(f"{each.number or each.person_id} {each.name or ''}")
        for name in rules.KEPT:
            kept, again = each.kept[name], each.recomputed[name]
            if kept != again:
                click.echo(
                    f"    {name}: 保存 / kept {kept:#x}, 重算 / recomputed {again:#x}, {_days(kept ^ again)}"
                )


def _days(mask: int) -> str:
    return "日 / days " + ", ".join(str(day) for day in range(1, 32) if mask >> (2 * (day - 1)) & 3)
