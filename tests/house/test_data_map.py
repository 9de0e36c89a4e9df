"""The data map is held against the real schema: a new column that nobody classified fails here (security.md S9)."""

import re

import psycopg
import pytest
from conftest import Clone, Cloned

from server.privacy import data_map

_TELLING = re.compile(r"person_id|account_id|phone|address|client|lon_|lat_|_by$|^by|password|body|jkt")
"""Names of columns that a table about nobody cannot have without a word of why."""
EXPLAINED = {
    "checkin_phones.client": "what a make of phone calls itself, shared by many; told by no row whose it is",
    "client_customs.client": "the same; beside it stand counts of people",
}


_COLUMNS = """SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
AND c.relname <> 'alembic_version' AND NOT EXISTS
(SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""


@pytest.fixture(scope="module")
def cloned(clone: Clone) -> Cloned:
    return clone()


def unmapped(cloned: Cloned) -> set[str]:
    """Return what the schema has and the map has not, and the other way round."""
    with psycopg.connect(cloned.owner_url) as connection:
        there = {f"{table}.{column}" for table, column in connection.execute(_COLUMNS)}
    mapped = {f"{name}.{column}" for name, table in data_map.tables().items() for column in table["columns"]}
    return there ^ mapped


def test_every_column_of_the_schema_has_its_entry_and_every_entry_its_column(cloned: Cloned) -> None:
    assert unmapped(cloned) == set()


def test_a_personal_column_without_an_entry_is_noticed(clone: Clone) -> None:
    changed = clone()
    with psycopg.connect(changed.owner_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE people ADD COLUMN id_card text")
        connection.execute("CREATE TABLE diaries (person_id uuid)")
    assert unmapped(changed) == {"people.id_card", "diaries.person_id"}


def test_every_entry_says_what_for_how_long_and_who_sees_it_in_both_languages() -> None:
    kinds = data_map.read()["kinds"]
    for name, table in data_map.tables().items():
        assert table["about"] in data_map.PERSONAL | {"office", "nobody"}, name
        assert set(table["columns"].values()) <= set(kinds), name
        wanted = ["purpose"] if table["about"] == "nobody" else ["purpose", "seen_by"]
        for language in ("zh", "en"):
            assert all(table[f"{each}_{language}"] for each in wanted), name
            if table["about"] != "nobody":
                assert table["retention"][language], name


def test_a_table_about_nobody_has_no_column_that_tells_of_somebody() -> None:
    telling = {
        f"{name}.{column}"
        for name, table in data_map.tables().items()
        if table["about"] == "nobody"
        for column in table["columns"]
        if _TELLING.search(column)
    }
    assert telling == set(EXPLAINED)


def test_whoever_acted_in_office_is_called_so() -> None:
    for name, table in data_map.tables().items():
        by = {c for c in table["columns"] if re.search(r"_by$|^by$|^by_", c)} - {"kept_by"}
        assert {table["columns"][column] for column in by} <= {"official"}, name


def test_what_has_an_end_has_a_function_that_ends_it_and_nothing_else_has(cloned: Cloned) -> None:
    with psycopg.connect(cloned.owner_url) as connection:
        query = "SELECT proname::text FROM pg_proc WHERE proname LIKE 'purge\\_%'"
        known = {row[0].removeprefix("purge_") for row in connection.execute(query)}
    assert known == set(data_map.purged())
    assert min(data_map.purged().values()) >= 365  # The functions themselves let nothing younger go.
