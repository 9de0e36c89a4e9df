"""The data map (个人信息清单): what is kept of whom, what for, how long, and who sees it. Data, held against the schema.

data_map.json names every table and every column. `about` says whose data a table holds: a ``person``'s, an
``account``'s, traces of acts of ``office``, or ``nobody``'s. A column's value is its kind, explained under ``kinds``.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data_map.json")
PERSONAL = frozenset({"person", "account"})


@cache
def read() -> Mapping[str, Any]:
    """Return the document."""
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


def tables() -> Mapping[str, Mapping[str, Any]]:
    """Return the tables by name."""
    found: Mapping[str, Mapping[str, Any]] = read()["tables"]
    return found


def personal() -> Mapping[str, Mapping[str, Any]]:
    """Return the tables that hold somebody's data."""
    return {name: table for name, table in tables().items() if table["about"] in PERSONAL}


def purged() -> Mapping[str, int]:
    """Return after how many days the rows of a table have their end, for those that have one."""
    return {
        name: table["retention"]["days"]
        for name, table in personal().items()
        if table["retention"].get("days") is not None
    }


def exported(table: str) -> list[str]:
    """Return the columns of a table that its owner gets."""
    kinds = read()["kinds"]
    return [name for name, kind in tables()[table]["columns"].items() if kinds[kind]["exported"]]
