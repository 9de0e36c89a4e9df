"""Importing a roster (导入花名册): read, hold against what is known, and write all of it or nothing.

Reading happens before a transaction is opened, because it may take a while and needs no database. Two imports at once
wait for each other, so the second one of the same file finds everything done.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import audit, clock, ids, problems
from server.access import Who
from server.problems import FieldFault, Problem
from server.roster import files, headings, hooks, known
from server.roster.entries import Line, Note, read_line
from server.roster.files import Table
from server.roster.limits import Refused
from server.roster.models import Person, Posting, PostingVersion, RosterImport, RosterRow, Unit
from server.roster.plan import Located, Plan, Write, plan
from server.roster.rules import days_changed

MOST_FAULTS = 500
"""Faults that are told one by one; a wrong column makes one for every row."""


EXAMPLE = "示例"
"""A staff number that begins so is the template's example row, left in place."""


@dataclass(frozen=True)
class Reading:
    """A file that was read: what its lines say, before the database was asked."""

    sha256: bytes
    table: Table
    lines: list[Line]
    notes: list[Note]
    faults: list[FieldFault]


@dataclass(frozen=True)
class Outcome:
    """What an import did, or a dry run would do. `import_id` is None unless it was written."""

    reading: Reading
    plan: Plan
    dry_run: bool
    import_id: UUID | None

    @property
    def counts(self) -> dict[str, int]:
        """Return how many lines are new, changed, unchanged and repeated."""
        found = Counter(row.status for row in self.plan.rows)
        return {status: found[status] for status in ("new", "changed", "unchanged", "repeated")}

    @property
    def faults(self) -> list[FieldFault]:
        """Return every fault, in the order of the lines."""
        both = [*self.reading.faults, *self.plan.faults]
        return sorted(both, key=lambda fault: (fault.line or 0, fault.field))

    @property
    def notes(self) -> list[Note]:
        """Return every note, those on the whole file first."""
        both = [*self.reading.notes, *self.plan.notes]
        return sorted(both, key=lambda note: (note.line or 0, note.code))


def read(data: bytes) -> Reading:
    """Read a roster file, CSV or xlsx. Raises roster-refused when the file as a whole cannot be used."""
    try:
        table = files.read(data)
    except Refused as refused:
        fault = FieldFault("file", refused.code, refused.zh, refused.en)
        raise _refusal([fault]) from None
    lines: list[Line] = []
    faults: list[FieldFault] = []
    notes = list(table.notes)
    for number, cells in table.lines:
        if headings.clean(cells.get("number", headings.EMPTY).text).startswith(EXAMPLE):
            notes.append(Note(number, "example", "示例行未导入", "the example row is left out"))
            continue
        line, wrong, noted = read_line(number, cells)
        if number in table.across:
            zh = "本行有跨列合并的单元格，无法判断属于哪一列"
            wrong.append(
                FieldFault(
                    "file", "merged-across", zh, "cells of this line are merged across columns", number
                )
            )
        faults += wrong
        notes += noted
        if line is not None and not wrong:
            lines.append(line)
    if not table.lines:
        zh = "表头下没有任何人员"
        raise _refusal([FieldFault("file", "empty", zh, "there is nobody below the header")])
    return Reading(hashlib.sha256(data).digest(), table, lines, notes, faults)


def take(
    session: orm.Session, who: Who | None, reading: Reading, *, reach: Sequence[str], dry_run: bool
) -> Outcome:
    """Import what was read, or tell what importing would do. `who` None is the command line.

    `reach` are the region prefixes in which postings may be written. With any fault nothing is written: a dry run
    returns the faults, an import raises roster-refused with them.
    """
    if not dry_run:
        session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('zaicun:roster-import'))"))
    located, faults = _located(session, reading.lines, reach)
    knowledge = known.known(session, reading.lines, None if who is None else reach, lock=not dry_run)
    made = plan(located, knowledge, ids.new_id)
    made.faults += faults
    outcome = Outcome(reading, made, dry_run, None if dry_run else ids.new_id())
    if outcome.faults and not dry_run:
        raise _refusal(outcome.faults)
    if outcome.import_id is not None:
        _write(session, who, outcome, outcome.import_id)
    return outcome


def _located(
    session: orm.Session, lines: Sequence[Line], reach: Sequence[str]
) -> tuple[list[Located], list[FieldFault]]:
    locations = known.locations(session, lines, reach)
    located: list[Located] = []
    faults: list[FieldFault] = []
    for line in lines:
        village = locations.village_of(line)
        if isinstance(village, FieldFault):
            faults.append(village)
        else:
            located.append((line, village))
    return located, faults


def _refusal(faults: list[FieldFault]) -> Problem:
    shown = faults[:MOST_FAULTS]
    first = shown[0]
    where_zh = f"第 {first.line} 行：" if first.line else ""
    where_en = f"line {first.line}: " if first.line else ""
    return Problem(
        problems.ROSTER_REFUSED,
        zh=f"共 {len(faults)} 处错误，未导入任何一行。{where_zh}{first.zh}。",
        en=f"{len(faults)} faults; no row was imported. {where_en}{first.en}.",
        errors=shown,
        faults=len(faults),
    )


def _write(session: orm.Session, who: Who | None, outcome: Outcome, import_id: UUID) -> None:
    made, counts = outcome.plan, outcome.counts
    account = who.account_id if who else None
    # Two postings may swap a border day; what counts is how they stand at the end.
    session.execute(sa.text("SET CONSTRAINTS postings_no_overlap_excl DEFERRED"))
    _insert(
        session,
        RosterImport,
        [
            {
                "id": import_id,
                "at": clock.now(),
                "by": account,
                "sha256": outcome.reading.sha256,
                "rows_new": counts["new"],
                "rows_changed": counts["changed"],
                "rows_unchanged": counts["unchanged"] + counts["repeated"],
            }
        ],
    )
    _insert(session, Unit, [{"id": id_, "name": name, "version": 1} for name, id_ in made.units.items()])
    _write_people(session, made)
    _write_postings(session, made, account, import_id)
    _write_said(session, made, import_id)
    session.execute(sa.text("SET CONSTRAINTS postings_no_overlap_excl IMMEDIATE"))
    audit.record(session, who, "roster:import", ("roster_import", import_id), **counts)
    newcomers = {person.id for person in made.people}
    for write in made.writes:
        if write.person_id in newcomers:
            continue  # Who was unknown until now has sent nothing that could be judged again.
        before = write.before.term if write.before else None
        hooks.tell(session, write.person_id, days_changed(before, write.after.term))


def _insert(session: orm.Session, table: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(sa.insert(table), rows)


def _write_people(session: orm.Session, made: Plan) -> None:
    _insert(
        session,
        Person,
        [
            {
                "id": person.id,
                "number": person.number,
                "name": person.name,
                "phone": person.phone,
                "unit_id": person.unit_id,
                "kept_by": person.kept_by,
                "version": 1,
            }
            for person in made.people
        ],
    )
    for person_id, changes in made.person_changes.items():
        session.execute(
            sa.update(Person).where(Person.id == person_id).values(**changes, version=Person.version + 1)
        )


def _write_postings(session: orm.Session, made: Plan, account: UUID | None, import_id: UUID) -> None:
    _insert(session, Posting, [_columns(write) for write in made.writes if write.before is None])
    for write in made.writes:
        if write.before is None:
            continue
        # The version is the one that was read: whoever changed the posting meanwhile was waited for, and wins.
        changed = session.execute(
            sa.update(Posting)
            .where(Posting.id == write.posting_id, Posting.version == write.version - 1)
            .values({name: value for name, value in _columns(write).items() if name not in _IDENTITY})
            .returning(Posting.id)
        )
        if changed.scalar_one_or_none() is None:
            raise Problem(
                problems.CONFLICT,
                zh=f"第 {write.line} 行的任职刚被他人修改，请重新导入。",
                en=f"The posting of line {write.line} was changed just now; import again.",
            )
    at = clock.now()
    _insert(
        session,
        PostingVersion,
        [
            {
                "posting_id": write.posting_id,
                "version": write.version,
                "at": at,
                "by": account,
                "before": write.before.body() if write.before else None,
                "after": write.after.body(),
                "reason": f"导入 / import {import_id}, {write.line}"
                + (f": {write.words}" if write.words else ""),
            }
            for write in made.writes
        ],
    )


_IDENTITY = frozenset({"id", "person_id"})
"""What makes a posting this one; the application may not rewrite it."""


def _columns(write: Write) -> dict[str, Any]:
    return {
        "id": write.posting_id,
        "person_id": write.person_id,
        "village_code": write.after.village_code,
        "role": write.after.role,
        "from_day": write.after.from_day,
        "until_day": write.after.until_day,
        "end_reason": write.after.end_reason,
        "version": write.version,
    }


def _write_said(session: orm.Session, made: Plan, import_id: UUID) -> None:
    rows = [
        {
            "person_id": person_id,
            "village_code": village_code,
            "from_day": from_day,
            "posting_id": said.posting_id,
            "import_id": import_id,
            "role": said.role,
            "until_day": said.until_day,
            "end_reason": said.end_reason,
            "person_digest": said.person_digest,
        }
        for (person_id, village_code, from_day), said in made.said.items()
    ]
    if not rows:
        return
    new = postgresql.insert(RosterRow)
    told = ("posting_id", "import_id", "role", "until_day", "end_reason", "person_digest")
    keep = new.on_conflict_do_update(
        index_elements=["person_id", "village_code", "from_day"],
        set_={name: new.excluded[name] for name in told},
    )
    session.execute(keep, rows)
