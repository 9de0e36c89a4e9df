"""Every operation, as every kind of account, in every relation, answers what authz.yaml says (security.md M8)."""

import pytest

from authz import world
from authz.table import Table, load
from authz.walk import Walk


def test_every_operation_has_an_entry_and_every_entry_an_operation(walk: Walk, table: Table) -> None:
    assert set(walk.routes) == set(table.ways)


def test_the_callers_hold_the_roles_that_the_table_says(table: Table) -> None:
    none_now: dict[str, list[str]] = {"not_yet": [], "no_longer": []}
    held = {kind: [str(role) for role in roles] for kind, roles in world.ROLES.items()} | none_now
    assert {kind: list(roles) for kind, roles in table.callers.items()} == held


@pytest.mark.slow
@pytest.mark.parametrize("operation", sorted(load().ways))
def test_every_cell_answers_what_the_table_says(walk: Walk, operation: str) -> None:
    assert walk.operation(operation) == []
