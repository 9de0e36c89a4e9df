"""Single fields: which of them an answer may carry for whom, and that none that is read can be set (security.md M9)."""

import json
import re
from typing import Any

import pytest
import yaml
from docs import contract

from authz.aims import AIMS, Absent, Aim, Sent
from authz.bench import Bench
from authz.table import FOLDER, Table, Way, load
from authz.walk import Walk
from server.privacy import data_map

_COLUMN = re.compile(r"sections\[\]\.(?:columns|rows\[\])\.(\w+)")
_LET_GO = {column for name in data_map.personal() for column in data_map.exported(name)}
"""What everybody gets of himself, told once: in the data map, which tests/house/test_data_map.py holds against the schema."""
Declared = dict[str, list[dict[str, list[str]]]]
"""Operation to groups of fields, with the roles that they go to."""
_WITH_FIELDS = {
    operation["operationId"]
    for _, _, operation in contract.operations()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
}
WRITES = sorted(
    way.name
    for operation, ways in load().ways.items()
    for way in ways
    if way.kind == "one"
    and operation in _WITH_FIELDS
    and way.aim
    and way.writes
    and any({*some} - {"nowhere"} for some in way.allowed.values())
)


@pytest.mark.slow
def test_answers_carry_the_fields_that_are_declared_and_no_others(walk: Walk, table: Table) -> None:
    """Runs after the matrix in the same session, or walks it itself, and holds what was carried against fields.yaml."""
    declared: Declared = yaml.safe_load((FOLDER / "fields.yaml").read_text(encoding="utf-8"))
    for operation in table.ways:
        if operation not in walk.seen_fields:
            walk.operation(operation)
    undeclared = [
        f"{operation}: {name} for {kind}"
        for operation, fields in walk.seen_fields.items()
        for name, kinds in fields.items()
        for kind in sorted(kinds - _open_to(declared, operation, name, table))
    ]
    assert undeclared == []


def _open_to(declared: Declared, operation: str, name: str, table: Table) -> set[str]:
    """Return the kinds of accounts for which a field is declared: those that hold one of its roles."""
    if operation == "me-export" and (column := _COLUMN.fullmatch(name)) and column[1] in _LET_GO:
        return set(table.callers)
    roles = {role for each in declared.get(operation, ()) if name in each["fields"] for role in each["to"]}
    return {kind for kind, held in table.callers.items() if "anyone" in roles or set(held) & roles}


@pytest.mark.parametrize("name", WRITES)
def test_no_field_that_is_read_can_be_set(bench: Bench, walk: Walk, table: Table, name: str) -> None:
    """Every member of the answer that the request does not know is sent back changed: 422, and no row differs.

    Check-ins ignore what they do not know (ruling 11): there the stored row must not carry it.
    """
    way = next(way for ways in table.ways.values() for way in ways if way.name == name)
    caller, relation = next(
        (caller, relation)
        for caller in bench.world.callers.values()
        for relation in reversed(way.relations)
        if table.expected(way, caller.kind, relation) == "" and relation != "nowhere"
    )
    target = bench.world.target(caller, relation)
    sent = AIMS[way.aim](Aim(bench.world, target))
    assert sent.body is not None
    answer = walk.ask(way, caller, target)
    assert answer.status < 300, answer.text
    known = answer.json if isinstance(answer.json, dict) else {}
    foreign = {**_EVERYWHERE, **{key: _other(value) for key, value in known.items()}}
    for field in sorted(set(foreign) - _inputs(bench, walk, way)):
        tried = _again(
            bench, walk, way, sent, {field: foreign[field]}, caller.token, Aim(bench.world, target)
        )
        if way.commits:
            assert tried.status < 500, (field, tried.text)
            continue
        assert tried.code == "422 invalid-request", (field, tried.code)
        assert not tried.wrote or bench.rows() == bench.baseline, field


_EVERYWHERE: dict[str, Any] = {
    "created_at": "2020-01-01T00:00:00Z", "created_by": "me", "version": 99, "revision": 99, "verdict": "inside",
    "standing": "counted", "counted": True, "role_of": "administrator", "password_hash": "x", "kept_by": "",
    "published_at": "2020-01-01T00:00:00Z", "state": "published", "account_id": "x",
}  # fmt: skip
"""Members that no request has, beside those that answers carry."""


def _other(value: Any) -> Any:
    """Return a value of the same sort that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return {"changed": json.dumps(value, default=str)[:50]}


def _inputs(bench: Bench, walk: Walk, way: Way) -> set[str]:
    """Return the members that the operation's body has by its own document."""
    method, path = walk.routes[way.operation]
    schema = bench.openapi["paths"][path][method.lower()]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    named = (
        bench.openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if "$ref" in schema
        else schema
    )
    return set(named.get("properties", {}))


def _again(bench: Bench, walk: Walk, way: Way, sent: Sent, more: dict[str, Any], token: str, aim: Aim) -> Any:
    method, template = walk.routes[way.operation]
    parts = template.split("/")
    for place, part in enumerate(parts):
        if part.startswith("{"):
            name = part.strip("{}")
            try:
                parts[place] = sent.path.get(name) or getattr(aim, name.removesuffix("_id"))
            except Absent:
                pytest.skip(f"no {name}")
    return bench.send(
        method, "/".join(parts), token, json={**sent.body, **more}, params=sent.query, headers=sent.headers
    )
