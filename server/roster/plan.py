"""What importing a roster would do: the lines held against what is known. Pure; nothing is written here.

People are matched by staff number, never by name (edge 130). A posting of a line is the one that this line made
before, otherwise the one of the same person, village and first day. Only what a file says differently than the last
file did is taken over, so that a correction made by hand outlives the next import of the old file (edge 139), and an
empty cell never wipes anything out.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal
from uuid import UUID

import orjson

from server.problems import FieldFault
from server.roster.entries import Line, Note
from server.roster.locations import Village
from server.roster.rules import EndReason, PostingRole, State, first_conflict

Status = Literal["new", "changed", "unchanged", "repeated"]


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person in the database. `in_reach`: may be written by whoever imports."""

    id: UUID
    number: str
    name: str
    phone: str | None
    unit_id: UUID | None
    in_reach: bool


@dataclass(frozen=True, slots=True)
class KnownPosting:
    """A posting in the database."""

    id: UUID
    person_id: UUID
    state: State
    version: int


@dataclass(frozen=True, slots=True)
class Said:
    """What the last file said about one posting (models.RosterRow)."""

    posting_id: UUID
    role: PostingRole
    until_day: date | None
    end_reason: EndReason | None
    person_digest: bytes


Key = tuple[UUID, str, date]
"""Person, village, first day: how a line finds what the last file said."""


@dataclass(frozen=True)
class Known:
    """What the database holds about the people, villages and units that a file names."""

    people: Mapping[str, KnownPerson]  # By staff number in lower case.
    zeros_lost: Mapping[str, str]  # Staff number without leading zeros to one that has them.
    postings: Mapping[UUID, Sequence[KnownPosting]]
    said: Mapping[Key, Said]
    units: Mapping[str, UUID]


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to be entered."""

    id: UUID
    number: str
    name: str
    phone: str | None
    unit_id: UUID | None
    kept_by: str


@dataclass(frozen=True, slots=True)
class Write:
    """One posting to be begun (`before` None) or corrected."""

    posting_id: UUID
    person_id: UUID
    before: State | None
    after: State
    version: int  # The one it gets.
    line: int
    words: str | None  # A reason of end in the file's own words.


@dataclass(slots=True)
class Row:
    """What one line does."""

    line: int
    number: str
    name: str
    village_code: str
    village: str
    status: Status = "unchanged"
    changes: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    posting_id: UUID | None = None


@dataclass
class Plan:
    """Everything an import would write, and what stands in its way."""

    units: dict[str, UUID] = field(default_factory=dict)
    people: list[NewPerson] = field(default_factory=list)
    person_changes: dict[UUID, dict[str, str | UUID]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    said: dict[Key, Said] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    faults: list[FieldFault] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


Located = tuple[Line, Village]


def plan(lines: Sequence[Located], known: Known, new_id: Callable[[], UUID]) -> Plan:
    """Hold lines with their villages against what is known. `new_id` makes the ids of what is new."""
    made = Plan()
    groups: dict[str, list[Located]] = {}
    for line, village in lines:
        groups.setdefault(line.number.lower(), []).append((line, village))
    for number, group in groups.items():
        person = known.people.get(number)
        faults = [*_identity_faults(group, person, known), *_repeat_faults(group)]
        if faults:
            made.faults += faults
        else:
            _PersonPlan(made, known, new_id, group, person).run()
    made.rows.sort(key=lambda row: row.line)
    made.faults.sort(key=lambda fault: (fault.line or 0, fault.field))
    return made


def _identity_faults(group: list[Located], person: KnownPerson | None, known: Known) -> list[FieldFault]:
    first = group[0][0]
    faults = []
    for line, _ in group[1:]:
        for column in ("name", "phone", "unit"):
            mine, theirs = (
                getattr(line, column),
                next((value for other, _ in group if (value := getattr(other, column)) is not None), None),
            )
            if mine is not None and mine != theirs:
                zh = f"工号 {line.number} 在前面写的是“{theirs}”，本行是“{mine}”"
                en = f"the staff number {line.number} has {theirs!r} above, {mine!r} here"
                faults.append(FieldFault(column, "differs-within-file", zh, en, line.line))
    if person is None:
        padded = known.zeros_lost.get(first.number.lower())
        if padded is not None:
            zh = f"工号 {first.number} 可能丢了前面的0：已有 {padded}。请把该列设为文本"
            en = f"{first.number} may have lost its leading zeros: {padded} exists. Format the column as text"
            faults.append(FieldFault("number", "leading-zeros", zh, en, first.line))
    elif not person.in_reach:
        zh, en = f"工号 {first.number} 属于其他区县", f"{first.number} belongs to another district"
        faults.append(FieldFault("number", "outside-region", zh, en, first.line))
    elif person.name != first.name:
        zh = f"工号 {first.number} 已登记为“{person.name}”，不是“{first.name}”。改名请先修改人员信息"
        en = f"{first.number} is {person.name!r}, not {first.name!r}. If the name changed, change the person first"
        faults.append(FieldFault("name", "name-differs", zh, en, first.line))
    return faults


def _repeat_faults(group: list[Located]) -> list[FieldFault]:
    seen: dict[tuple[str, date], Line] = {}
    faults = []
    for line, village in group:
        first = seen.setdefault((village.code, line.from_day), line)
        same_end = (first.until_day, first.end_reason) == (line.until_day, line.end_reason)
        if first is not line and not same_end:
            zh = f"与第 {first.line} 行是同一任职，但离任信息不同"
            en = f"the same posting as line {first.line}, with another end"
            faults.append(FieldFault("until", "differs-within-file", zh, en, line.line))
    return faults


class _PersonPlan:
    """The part of a plan that concerns one person."""

    def __init__(
        self,
        made: Plan,
        known: Known,
        new_id: Callable[[], UUID],
        group: list[Located],
        person: KnownPerson | None,
    ) -> None:
        self.made, self.known, self.new_id, self.person = made, known, new_id, person
        self.person_id = person.id if person else new_id()
        self.all_lines = group
        self.group = _joined(group)
        lines = [line for line, _ in group]
        self.name = lines[0].name
        self.phone = next((line.phone for line in lines if line.phone), None)
        self.unit = next((line.unit for line in lines if line.unit), None)
        self.digest = hashlib.sha256(orjson.dumps([self.name, self.phone, self.unit])).digest()
        self.held = {posting.id: posting for posting in (known.postings.get(person.id, ()) if person else ())}
        self.final: dict[str, State] = {str(id_): posting.state for id_, posting in self.held.items()}

    def run(self) -> None:
        rows = [self._posting(line, village) for line, village in self.group]
        self._person(rows[0])
        self.made.rows += rows
        told = {row.line for row in rows}
        for line, village in self.all_lines:
            if line.line not in told:
                row = Row(line.line, line.number, line.name, village.code, village.name, "repeated")
                self.made.rows.append(row)
        self._check_overlaps(rows)

    def _person(self, row: Row) -> None:
        unit_id = self._unit_id()
        line, village = self.group[0]
        if self.person is None:
            self.made.people.append(
                NewPerson(self.person_id, line.number, self.name, self.phone, unit_id, village.code[:6])
            )
            return
        keys = [(self.person_id, place.code, each.from_day) for each, place in self.group]
        if any((said := self.known.said.get(key)) and said.person_digest == self.digest for key in keys):
            return
        changes: dict[str, str | UUID] = {}
        if self.phone is not None and self.phone != self.person.phone:
            changes["phone"] = self.phone
            row.changes["phone"] = (self.person.phone, self.phone)
        if unit_id is not None and unit_id != self.person.unit_id:
            changes["unit_id"] = unit_id
            old = next(
                (n for n, known_id in self.known.units.items() if known_id == self.person.unit_id), None
            )
            row.changes["unit"] = (old, self.unit)
        if changes:
            self.made.person_changes[self.person_id] = changes
            row.status = "changed" if row.status == "unchanged" else row.status

    def _unit_id(self) -> UUID | None:
        if self.unit is None:
            return None
        if self.unit not in self.known.units and self.unit not in self.made.units:
            self.made.units[self.unit] = self.new_id()
        return self.known.units.get(self.unit) or self.made.units[self.unit]

    def _posting(self, line: Line, village: Village) -> Row:
        row = Row(line.line, line.number, line.name, village.code, village.name)
        key = (self.person_id, village.code, line.from_day)
        said = self.known.said.get(key)
        before = self._match(said, village.code, line.from_day)
        if before is None:
            after = State(village.code, line.role, line.from_day, line.until_day, line.end_reason)
            row.posting_id, row.status = self.new_id(), "new"
            self._write(row, None, after, line)
        else:
            row.posting_id = before.id
            after = _merged(before.state, said, line)
            if after.until_day is not None and after.until_day < after.from_day and not after.term.is_void:
                self._fault_end(line, after)
            elif after != before.state:
                row.status = "changed"
                old, new = before.state.body(), after.body()
                row.changes = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
                self._write(row, before, after, line)
            elif said is not None and _differs(before.state, line):
                self._note_kept(line)
        self.made.said[key] = Said(row.posting_id, line.role, line.until_day, line.end_reason, self.digest)
        return row

    def _match(self, said: Said | None, code: str, from_day: date) -> KnownPosting | None:
        if said is not None and said.posting_id in self.held:
            return self.held[said.posting_id]
        return next(
            (
                posting
                for posting in self.held.values()
                if (posting.state.village_code, posting.state.from_day) == (code, from_day)
                and not posting.state.term.is_void
            ),
            None,
        )

    def _write(self, row: Row, before: KnownPosting | None, after: State, line: Line) -> None:
        if row.posting_id is None:
            raise ValueError("a row is written under the id of its posting")
        self.final[str(row.posting_id)] = after
        self.made.writes.append(
            Write(
                row.posting_id,
                self.person_id,
                before.state if before else None,
                after,
                before.version + 1 if before else 1,
                line.line,
                line.end_text,
            )
        )

    def _fault_end(self, line: Line, after: State) -> None:
        zh = f"离任时间 {after.until_day} 早于更正后的任职时间 {after.from_day}"
        en = f"the end {after.until_day} lies before the start {after.from_day}, as corrected"
        self.made.faults.append(FieldFault("until", "before-start", zh, en, line.line))

    def _note_kept(self, line: Line) -> None:
        zh = "文件未变，而该任职之后已更正，保留更正后的内容"
        en = "the file says what it said before; the posting was corrected since and stays as corrected"
        self.made.notes.append(Note(line.line, "correction-kept", zh, en))

    def _check_overlaps(self, rows: list[Row]) -> None:
        lines = {str(row.posting_id): row for row in rows}
        pair = first_conflict((label, state.term) for label, state in self.final.items())
        if pair is None:
            return
        here = max(
            (lines[label] for label in pair if label in lines), key=lambda row: row.line, default=rows[0]
        )
        other = pair[0] if lines.get(pair[1]) is here else pair[1]
        state = self.final[other]
        until_zh, until_en = (state.until_day or "至今"), (state.until_day or "now")
        place = f"第 {lines[other].line} 行" if other in lines else "已登记"
        where = f"line {lines[other].line}" if other in lines else "on record"
        self.made.faults.append(
            FieldFault(
                "from",
                "overlap",
                f"与{place}的任职重叠：{here.village}（{state.village_code}）{state.from_day} 至 {until_zh}",
                f"overlaps the posting {where}: {state.village_code}, {state.from_day} to {until_en}",
                here.line,
            )
        )


def _joined(group: list[Located]) -> list[Located]:
    """Join lines of one posting: a first secretary who also leads the team is one posting (edge 79)."""
    joined: dict[tuple[str, date], Located] = {}
    for line, village in group:
        key = (village.code, line.from_day)
        first = joined.get(key)
        if first is None:
            joined[key] = line, village
        elif line.role is PostingRole.FIRST_SECRETARY:
            joined[key] = replace(first[0], role=line.role), village
    return list(joined.values())


def _merged(state: State, said: Said | None, line: Line) -> State:
    """Take over what the file says differently than the last one did; without a last one, than the posting is."""
    role, until_day, end_reason = state.role, state.until_day, state.end_reason
    if said is None or said.role != line.role:
        role = line.role
    if line.until_day is not None and (said is None or said.until_day != line.until_day):
        until_day = line.until_day
    if line.end_reason is not None and (said is None or said.end_reason != line.end_reason):
        end_reason = line.end_reason
    if state.term.is_void:
        return state  # What was entered in error stays so; a file does not bring it back.
    return State(state.village_code, role, state.from_day, until_day, end_reason)


def _differs(state: State, line: Line) -> bool:
    return (
        state.role != line.role
        or state.from_day != line.from_day
        or (line.until_day is not None and state.until_day != line.until_day)
        or (line.end_reason is not None and state.end_reason != line.end_reason)
    )
