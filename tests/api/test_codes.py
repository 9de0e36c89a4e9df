"""Values of enumerations lie in the table as codes: each has one, comes back as it was, and nothing unknown gets in."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from conftest import Clone, Cloned
from psycopg import sql

from geo.datum import Datum
from geo.verdict import SENTENCES, Band, Reason, VerdictKind
from server.checkins import codes, packing
from server.checkins.rules import Kind, NoPosition, Standing
from server.month.rules import Tier

OF: dict[str, type[StrEnum]] = {
    "kind": Kind, "verdict": VerdictKind, "reason": Reason, "standing": Standing, "band": Band,
    "no_position": NoPosition, "month_tier": Tier,
}  # fmt: skip
EACH = [(column, value) for column, values in OF.items() for value in values]
INSERT = """INSERT INTO checkin_rows (person_id, id, received_at, event_at, sent_at, day, utc_offset_min, kind, verdict,
    reason, standing, outside_work, content_hash) VALUES (gen_random_uuid(), gen_random_uuid(), now(), now(), now(), now(),
    480, 'd', 'i', 'i', 'c', false, '')"""


@pytest.fixture(scope="module")
def cloned(clone: Clone) -> Cloned:
    return clone()


@pytest.fixture
def owner(cloned: Cloned) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cloned.owner_url) as connection:
        connection.execute(INSERT)
        yield connection
        connection.rollback()


def put(connection: psycopg.Connection, column: str, value: Any) -> None:
    query = sql.SQL('UPDATE checkin_rows SET {} = (%s::"char"[])[1]').format(sql.Identifier(column))
    connection.execute(query, (value,))


@pytest.mark.parametrize("column", OF)
def test_every_value_has_a_code_of_its_own(column: str) -> None:
    assert set(codes.CODES) == set(OF)
    assert set(codes.CODES[column]) == set(OF[column])
    own = list(codes.CODES[column].values())
    assert len(set(own)) == len(own)
    assert all(len(code) == 1 and code.isascii() and code.isalnum() for code in own)
    assert set(SENTENCES) == set(Reason)


@pytest.mark.parametrize(("column", "value"), EACH)
def test_a_value_comes_back_as_it_was(owner: psycopg.Connection, column: str, value: StrEnum) -> None:
    put(owner, column, packing.coder(codes.CODES[column])([value]))
    shown = owner.execute(sql.SQL("SELECT {} FROM checkins").format(sql.Identifier(column))).fetchone()
    assert shown == (value.value,)
    both = f"SELECT {codes.code_of(column, '%(text)s::text')}, {codes.one(column, value)}, {codes.text_of(column, column)}"
    coded, one, text = (
        owner.execute(f"{both} FROM checkin_rows".encode(), {"text": value.value}).fetchone() or ()
    )
    assert coded == one == codes.CODES[column][value]
    assert text == value.value


@pytest.mark.parametrize("column", OF)
def test_a_code_that_nobody_knows_is_refused(owner: psycopg.Connection, column: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=f"checkin_rows_{column}_check"):
        put(owner, column, packing.coder({"new": "?"})(["new"]))


def test_a_value_without_a_code_never_reaches_the_database() -> None:
    pack = packing.coder(codes.CODES["verdict"])
    assert pack([None]) != pack(["inside"])
    for unknown in ("sideways", "", "INSIDE", "i"):
        with pytest.raises(KeyError):
            pack([unknown])


def test_a_datum_that_nobody_knows_is_refused(owner: psycopg.Connection) -> None:
    for datum in Datum:
        owner.execute("INSERT INTO checkin_phones (datum) VALUES (%s)", (datum.value,))
    with pytest.raises(psycopg.errors.CheckViolation, match="checkin_phones_datum_check"):
        owner.execute("INSERT INTO checkin_phones (datum) VALUES ('mars')")
