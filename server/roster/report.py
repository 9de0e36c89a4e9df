"""The report of a roster import as people read it, in Chinese and English."""

from collections.abc import Iterator

from server.roster.importing import Outcome
from server.roster.schemas import FaultOut, NoteOut, RosterImportOut, RowOut

MOST_ROWS = 2_000
MOST_FAULTS = 500
_STATUS = {
    "new": ("新增", "new"),
    "changed": ("变更", "changed"),
    "unchanged": ("不变", "unchanged"),
    "repeated": ("重复", "repeated"),
}


def out(outcome: Outcome) -> RosterImportOut:
    """Return the report as data; rows that change nothing are counted only."""
    table = outcome.reading.table
    telling = [row for row in outcome.plan.rows if row.status in {"new", "changed"}]
    faults = outcome.faults
    return RosterImportOut(
        import_id=outcome.import_id,
        dry_run=outcome.dry_run,
        applied=outcome.import_id is not None,
        sha256=outcome.reading.sha256.hex(),
        source=table.source,
        sheet=table.sheet,
        header_line=table.header_line,
        columns=table.columns,
        ignored_columns=table.ignored,
        counts=outcome.counts,
        new_people=len(outcome.plan.people),
        new_units=sorted(outcome.plan.units),
        rows=[RowOut.model_validate(row, from_attributes=True) for row in telling[:MOST_ROWS]],
        rows_left_out=max(0, len(telling) - MOST_ROWS),
        notes=[NoteOut.model_validate(note, from_attributes=True) for note in outcome.notes[:MOST_ROWS]],
        faults=[FaultOut.model_validate(fault, from_attributes=True) for fault in faults[:MOST_FAULTS]],
        faults_left_out=max(0, len(faults) - MOST_FAULTS),
    )


def text(report: RosterImportOut, language: str = "zh") -> str:
    """Return the report as text, in `language` zh or en."""
    return "\n".join(_chinese(report) if language == "zh" else _english(report)) + "\n"


def _chinese(report: RosterImportOut) -> Iterator[str]:
    kind = "试运行（未写入）" if report.dry_run else "已导入"
    yield f"花名册导入：{kind}"
    place = f"工作表“{report.sheet}”，" if report.sheet else ""
    yield f"文件：{report.source}，{place}表头在第 {report.header_line} 行，SHA-256 {report.sha256[:16]}"
    yield "列：" + "，".join(f"{heading} → {column}" for column, heading in report.columns.items())
    if report.ignored_columns:
        yield "未使用的列：" + "、".join(report.ignored_columns)
    yield "行：" + "，".join(f"{_STATUS[status][0]} {count}" for status, count in report.counts.items())
    yield f"新增人员 {report.new_people}，新增派出单位 {len(report.new_units)}"
    if report.new_units:
        yield "新增派出单位：" + "、".join(report.new_units)
    for row in report.rows:
        yield f"  第 {row.line} 行 [{_STATUS[row.status][0]}] {row.number} {row.name}，{row.village}（{row.village_code}）{_changes(row, '；')}"
    for note in report.notes:
        yield f"  注意{f'（第 {note.line} 行）' if note.line else ''}：{note.zh}"
    if report.faults:
        yield f"错误 {len(report.faults) + report.faults_left_out} 处，改正后再导入："
    for fault in report.faults:
        yield f"  {f'第 {fault.line} 行，' if fault.line else ''}{report.columns.get(fault.field, fault.field)}：{fault.zh}"
    if report.rows_left_out or report.faults_left_out:
        yield f"另有 {report.rows_left_out} 行、{report.faults_left_out} 处错误未列出"


def _english(report: RosterImportOut) -> Iterator[str]:
    kind = "dry run, nothing written" if report.dry_run else "imported"
    yield f"Roster import: {kind}"
    place = f"sheet {report.sheet!r}, " if report.sheet else ""
    yield f"File: {report.source}, {place}header in line {report.header_line}, SHA-256 {report.sha256[:16]}"
    yield "Columns: " + ", ".join(f"{heading} -> {column}" for column, heading in report.columns.items())
    if report.ignored_columns:
        yield "Columns not used: " + ", ".join(report.ignored_columns)
    yield "Rows: " + ", ".join(f"{_STATUS[status][1]} {count}" for status, count in report.counts.items())
    yield f"New people {report.new_people}, new units {len(report.new_units)}"
    if report.new_units:
        yield "New units: " + ", ".join(report.new_units)
    for row in report.rows:
        yield f"  line {row.line} [{_STATUS[row.status][1]}] {row.number} {row.name}, {row.village} ({row.village_code}){_changes(row, '; ')}"
    for note in report.notes:
        yield f"  note{f' (line {note.line})' if note.line else ''}: {note.en}"
    if report.faults:
        yield f"{len(report.faults) + report.faults_left_out} faults; correct them and import again:"
    for fault in report.faults:
        yield f"  {f'line {fault.line}, ' if fault.line else ''}{report.columns.get(fault.field, fault.field)}: {fault.en}"
    if report.rows_left_out or report.faults_left_out:
        yield f"Not listed: {report.rows_left_out} rows, {report.faults_left_out} faults"


def _changes(row: RowOut, mark: str) -> str:
    told = [f"{name} {old or '-'} → {new or '-'}" for name, (old, new) in row.changes.items()]
    return mark + mark.join(told) if told else ""
