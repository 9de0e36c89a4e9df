"""Walking the matrix: one real request a cell, its answer and its rows held against the table.

A finding is a sentence that says which cell is wrong and how. The tests want none; the mutator wants at least one for
every filter that it takes away.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from authz.aims import AIMS, Absent, Aim, Sent
from authz.bench import Answer, Bench
from authz.table import FORBIDDEN, Table, Way
from authz.world import SUCCESSORS, Caller, Target

TRACES = {"audit_log", "throttles", "checkin_attempts", "known_devices"}
"""What a refused request may leave behind: that it was made."""
ROLELESS = {"no_role", "not_yet", "no_longer"}
FEW = ("own", "team", "nowhere")
"""Who holds no role is asked about these alone: no relation could make a difference."""
NARROWED = ("team", "merged", "own_unit", "other_town", "other_district", "nowhere")
"""Whose values lists are filtered by."""
LENDERS = ("district_officer", "administrator", "unit_viewer", "cadre")
"""Whose cursors everybody else tries."""
_VOLATILE = ("request_id", "instance")
_FOREIGN = (
    "person",
    "posting",
    "account",
    "session",
    "device",
    "grant",
    "place",
    "import",
    "zone",
    "policy",
    "checkin",
    "fresh_person",
)
"""The ids by which a changed row tells whose it is."""


@dataclass
class Walk:
    """One walk over the table. `seen_fields` gathers what answers carried, by operation, caller and field."""

    bench: Bench
    table: Table
    seen_fields: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    cells: int = 0
    sent: str = ""
    """What the last request said itself: an answer may say it back."""

    def __post_init__(self) -> None:
        self.routes = {
            told["operationId"]: (method.upper(), path)
            for path, item in self.bench.openapi["paths"].items()
            for method, told in item.items()
            if isinstance(told, dict) and "operationId" in told
        }

    # --- requests
    def ask(self, way: Way, caller: Caller, target: Target, token: str | None = "") -> Answer:
        """Send the request of a way for a target. Raises Absent when the target has nothing of the sort."""
        aim = Aim(self.bench.world, target)
        sent = AIMS[way.aim](aim) if way.aim else Sent()
        method, template = self.routes[way.operation]
        names = re.findall(r"{(\w+)}", template)
        self.sent = f"{sent.path} {sent.query} {sent.body} {(sent.content or b'').decode()}"
        path = template.format(**{name: sent.path.get(name) or _id(aim, name) for name in names})
        self.cells += 1
        return self.bench.send(
            method,
            path,
            caller.token if token == "" else token,
            params=sent.query,
            headers=sent.headers,
            **({"json": sent.body} if sent.body is not None else {}),
            **({"content": sent.content} if sent.content is not None else {}),
        )

    # --- one operation
    def operation(self, operation: str) -> list[str]:
        """Walk every cell of an operation; return what is wrong."""
        return [one for found in self.findings(operation) for one in found]

    def findings(self, operation: str) -> Iterator[list[str]]:
        """Walk an operation caller by caller; yield what is wrong with each."""
        for way in self.table.ways[operation]:
            for kind in self.table.callers:
                yield self._way(way, self.bench.world.callers[kind])
            yield self._unproven(way)

    def _way(self, way: Way, caller: Caller) -> list[str]:
        if way.kind == "open":
            return []
        if way.kind == "list":
            return self._list(way, caller)
        if way.kind == "self":
            return self._cell(way, caller, "own", None)
        found: list[str] = []
        nothing: Answer | None = None
        asked = [each for each in way.relations if each in FEW or caller.kind not in ROLELESS]
        for relation in reversed(asked):  # "nowhere" first: it is what refusals are compared with.
            try:
                answered = self._cell(way, caller, relation, nothing)
            except Absent:
                continue
            found += answered
            if relation == "nowhere":
                nothing = self.last
        return found

    def _cell(self, way: Way, caller: Caller, relation: str, nothing: Answer | None) -> list[str]:
        target = self.bench.world.target(caller, relation)
        if way.commits:
            self.bench.keep()
        answer = self.last = self.ask(way, caller, target)
        cell = f"{way.name} by {caller.kind} on {relation}"
        expected = self.table.expected(way, caller.kind, relation)
        found = []
        if (expected or "2") != (answer.code if expected else str(answer.status)[0]):
            found.append(f"{cell}: {answer.code} instead of {expected or 'success'}: {answer.text[:400]}")
        found += self._leaks(cell, caller, answer)
        found += self._rows(cell, way, caller, answer)
        hidden = expected == way.refused and not self.table.excepted(way, caller.kind, relation)
        if nothing is not None and hidden and expected not in {"", FORBIDDEN}:
            missing = self.bench.world.targets["nowhere"]
            found += _differences(cell, _told(answer, target), _told(nothing, missing))
            if answer.statements != nothing.statements:
                extra = set(answer.statements) ^ set(nothing.statements)
                found.append(f"{cell}: other statements than for what does not exist: {sorted(extra)}")
        if not expected:
            self._note_fields(way.operation, caller.kind, answer)
        return found

    def _leaks(self, cell: str, caller: Caller, answer: Answer) -> list[str]:
        """Find the secrets of others in an answer, whatever its status."""
        text = answer.body.decode(errors="replace") + repr(answer.headers)
        found = []
        for relation in self.bench.world.targets:
            for sort, values in self.bench.world.target(caller, relation).secrets.items():
                leaked = any(value in text and value not in self.sent for value in values)
                if leaked and relation not in self.table.may_see(sort, caller.kind):
                    found.append(f"{cell}: shows the {sort} of {relation}")
        return found

    def _rows(self, cell: str, way: Way, caller: Caller, answer: Answer) -> list[str]:
        """Compare the rows of all tables with those before."""
        if not (answer.wrote or way.commits):
            return []
        changed = self.bench.changed(self.bench.rows())
        granted = answer.status < httpx.codes.BAD_REQUEST
        allowed = TRACES | set(way.writes) if granted else TRACES
        found = [f"{cell}: changed {table}" for table in changed if table not in allowed]
        if granted:
            reached = self.table.reach(way.reach or way.allowed, caller.kind) | {"own"}
            text = "\n".join(row for table, rows in changed.items() if table not in TRACES for row in rows)
            found += [
                f"{cell}: changed a row of {relation} ({name})"
                for relation, target in self.bench.world.targets.items()
                if relation not in reached and relation != "nowhere"
                for name in _FOREIGN
                if not way.commits and target.ids.get(name) and target.ids[name] in text
            ]
        return found

    # --- lists
    def _list(self, way: Way, caller: Caller) -> list[str]:
        target = self.bench.world.targets["team"]
        cell = f"{way.name} by {caller.kind}"
        if not self.table.open_to(way, caller.kind):
            answer = self.ask(way, caller, target)
            return [] if answer.code == FORBIDDEN else [f"{cell}: {answer.code} instead of {FORBIDDEN}"]
        found: list[str] = []
        whole = self._pages(cell, way, caller, {}, found)
        reached = self.table.reach(way.allowed, caller.kind, team_too=way.team_too)
        world = self.bench.world
        may = {world.target(caller, each).ids.get(way.shows, "") for each in reached}
        for relation in ("own", *world.targets):
            mark = world.target(caller, relation).ids.get(way.shows, "")
            if mark and (mark in whole) != (mark in may):
                found.append(f"{cell}: {relation} is {'shown' if mark in whole else 'missing'}")
        for name, source in way.filters.items():
            for relation in NARROWED if not source.startswith("=") else ("team",):
                value = source[1:] if source.startswith("=") else _value(world.targets[relation], source)
                if value:
                    narrowed = self._pages(
                        f"{cell} with {name} of {relation}", way, caller, {name: value}, found
                    )
                    strange = name in {"village", "region"} and self._nobody_reached(way, caller, relation)
                    if strange and narrowed & self._marks(way, caller):
                        found.append(f"{cell}: {name} of {relation}, which is out of reach, finds somebody")
                    if not narrowed <= whole:
                        found.append(f"{cell}: {name} of {relation} shows what the whole list does not")
        return found + self._foreign_cursors(cell, way, caller, whole)

    def _marks(self, way: Way, caller: Caller) -> set[str]:
        """Return the ids by which the list's rows are known."""
        found = {
            self.bench.world.target(caller, each).ids.get(way.shows, "") for each in self.bench.world.targets
        }
        return found - {""}

    def _nobody_reached(self, way: Way, caller: Caller, relation: str) -> bool:
        """Tell whether the caller reaches nothing in the village of a relation."""
        reached = self.table.reach(way.allowed, caller.kind, team_too=way.team_too)
        world = self.bench.world
        village = world.targets[relation].village
        known = {world.target(caller, each).village for each in reached}
        return village not in known | {SUCCESSORS.get(each, "") for each in known}

    def _pages(
        self, cell: str, way: Way, caller: Caller, query: dict[str, Any], found: list[str]
    ) -> set[str]:
        """Read a list page by page; return every text in it."""
        shown: set[str] = set()
        cursor: str | None = None
        while True:
            answer = self._page(way, caller, {**query, **({"cursor": cursor} if cursor else {})})
            if answer.status != httpx.codes.OK:
                found.append(f"{cell}: {answer.code} instead of a page: {answer.text[:300]}")
                return shown
            found += self._leaks(cell, caller, answer) + self._rows(cell, way, caller, answer)
            self._note_fields(way.operation, caller.kind, answer)
            told = answer.json
            shown |= set(_texts(told))
            cursor = told.get("next_cursor") if isinstance(told, dict) else None
            if cursor is None:
                return shown

    def _page(self, way: Way, caller: Caller, query: dict[str, Any]) -> Answer:
        method, path = self.routes[way.operation]
        sent = AIMS[way.aim](Aim(self.bench.world, self.bench.world.targets["team"])) if way.aim else Sent()
        paged = {} if way.single or not self._is_paged(way.operation) else {"limit": 3}
        self.sent = str(query)
        self.cells += 1
        return self.bench.send(method, path.format(**sent.path), caller.token, params={**paged, **query})

    def _is_paged(self, operation: str) -> bool:
        method, path = self.routes[operation]
        told = self.bench.openapi["paths"][path][method.lower()].get("parameters", [])
        return any(each.get("name") == "cursor" for each in told)

    def _foreign_cursors(self, cell: str, way: Way, caller: Caller, whole: set[str]) -> list[str]:
        """Use the cursors that everybody else was given: they must open no more than one's own list."""
        found: list[str] = []
        if not self._is_paged(way.operation):
            return found
        for other in (self.bench.world.callers[kind] for kind in LENDERS):
            if other.kind == caller.kind or not self.table.open_to(way, other.kind):
                continue
            told = self._page(way, other, {"limit": 1}).json
            if isinstance(told, dict) and told.get("next_cursor"):
                answer = self._page(way, caller, {"cursor": told["next_cursor"], "limit": 200})
                if answer.status == httpx.codes.OK and not set(_texts(answer.json["items"])) <= whole:
                    found.append(f"{cell}: a cursor of {other.kind} opens more than the own list")
                found += self._leaks(f"{cell} with a cursor of {other.kind}", caller, answer)
        return found

    # --- tokens
    def _unproven(self, way: Way) -> list[str]:
        """Send every token that proves nobody."""
        if way.kind == "open":
            return []
        found = []
        caller = self.bench.world.callers["district_officer"]
        for name, (token, code) in self.bench.world.refused.items():
            answer = self.ask(way, caller, self.bench.world.targets["team"], token)
            cell = f"{way.name} with a token that is {name}"
            if answer.code != f"401 {code}":
                found.append(f"{cell}: {answer.code} instead of 401 {code}")
            if answer.wrote:
                found += [
                    f"{cell}: changed {table}"
                    for table in self.bench.changed(self.bench.rows())
                    if table not in TRACES
                ]
        return found

    # --- fields
    def _note_fields(self, operation: str, kind: str, answer: Answer) -> None:
        told = self.seen_fields.setdefault(operation, {})
        for name in set(_fields(answer.json)):
            told.setdefault(name, set()).add(kind)


def _id(aim: Aim, parameter: str) -> str:
    """Return the target's id for a path parameter: ``person_id`` is its `person`."""
    found: str = getattr(aim, parameter.removesuffix("_id"))
    return found


def _value(target: Target, source: str) -> str:
    return f"{target.town}000" if source == "town12" and target.town else str(getattr(target, source))


def _told(answer: Answer, target: Target) -> dict[str, Any]:
    """Return what an answer tells beside what was asked: status, headers and body, without request and target ids."""
    text = answer.body.decode()
    codes = (
        target.village,
        f"{target.town}299",
        f"{target.town}000",
        f"{target.district}000000",
        target.town,
        target.district,
    )
    for known in (*target.ids.values(), *codes):
        text = text.replace(known, "·") if known else text
    body = json.loads(text) if answer.json is not None else text
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in _VOLATILE}
    headers = {
        name
        for name in answer.headers
        if name not in {"x-request-id", "date"} and not name.startswith("ratelimit")
    }
    return {"status": answer.status, "headers": sorted(headers), "body": body}


def _differences(cell: str, told: dict[str, Any], nothing: dict[str, Any]) -> list[str]:
    return [
        f"{cell}: {part} tells it from what does not exist: {told[part]!r} and {nothing[part]!r}"
        for part in told
        if told[part] != nothing[part]
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name != "next_cursor":
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _fields(value: Any, path: str = "") -> Iterator[str]:
    """Return the paths of every field that carries something; items of lists are ``[]``."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _fields(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each, f"{path}[]")
    elif value is not None:
        yield path
