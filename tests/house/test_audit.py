"""Every deed leaves exactly one audit row in its own transaction, or no trace at all (security.md M14, M1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from conftest import Service
from house.deeds import NO_AUDIT, Deeds, deeds_of
from psycopg import sql

from server import schema
from server.app import create_app
from server.settings import Settings

DOCUMENT = create_app(Settings()).openapi()
MUTATING = sorted(
    operation["operationId"]
    for path in DOCUMENT["paths"].values()
    for method, operation in path.items()
    if method in {"post", "put", "patch", "delete"}
)
AUDITED = [operation for operation in MUTATING if operation not in NO_AUDIT]
WORKING_STATE = {"throttles"}
"""How far guessing is slowed is counted before anybody knows whether the deed will succeed."""
RECORDS = {"checkins-put": "checkin_rows", "checkins-batch": "checkin_rows", "auth-refresh": "sessions"}
"""What is written by a deed that leaves no audit row."""


@pytest.fixture(scope="module")
def deeds(service: Service) -> Iterator[Deeds]:
    with deeds_of(service) as opened:
        yield opened


def audit_rows(service: Service) -> list[tuple[Any, ...]]:
    with psycopg.connect(service.cloned.owner_url) as connection:
        return connection.execute("SELECT id, deed, actor_id FROM audit_log ORDER BY id").fetchall()


def everything(service: Service) -> dict[str, Any]:
    """Return a digest of every table but what is no part of the record."""
    with psycopg.connect(service.cloned.owner_url) as connection:
        return {
            name: connection.execute(
                sql.SQL(
                    "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} AS t"
                ).format(sql.Identifier(name))
            ).fetchone()
            for name in set(schema.METADATA.tables) - WORKING_STATE
        }


def test_every_mutating_operation_is_known_here() -> None:
    assert [operation for operation in MUTATING if not hasattr(Deeds, operation.replace("-", "_"))] == []
    assert set(NO_AUDIT) <= set(MUTATING)


@pytest.mark.parametrize("operation", AUDITED)
def test_a_deed_leaves_exactly_one_audit_row(deeds: Deeds, operation: str) -> None:
    call = deeds.prepared(operation)
    before = audit_rows(deeds.service)
    answer = call()
    assert answer.status_code < 300, answer.text
    added = audit_rows(deeds.service)[len(before) :]
    assert len(added) == 1, added


@pytest.mark.parametrize("operation", sorted(NO_AUDIT))
def test_what_leaves_no_audit_row_is_only_what_is_named(deeds: Deeds, operation: str) -> None:
    call = deeds.prepared(operation)
    before = audit_rows(deeds.service)
    answer = call()
    assert answer.status_code < 300, answer.text
    assert audit_rows(deeds.service) == before


@contextmanager
def refused_at_commit(service: Service, table: str) -> Iterator[None]:
    """Let every transaction that writes to the table fail when it commits, and not before."""
    with psycopg.connect(service.cloned.owner_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'data_corrupted'; END $$"
        )
        connection.execute(
            sql.SQL(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {} DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION refuse()"
            ).format(sql.Identifier(table))
        )
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.slow
@pytest.mark.parametrize("operation", [*AUDITED, *RECORDS])
def test_what_fails_at_the_commit_leaves_nothing_and_answers_a_server_error(
    deeds: Deeds, operation: str
) -> None:
    call = deeds.prepared(operation)
    before = everything(deeds.service)
    with refused_at_commit(deeds.service, RECORDS.get(operation, "audit_log")):
        answer = call()
    assert answer.status_code >= 500, (answer.status_code, answer.text)
    assert answer.headers["content-type"].startswith("application/problem+json")
    after = everything(deeds.service)
    assert {name for name in before if before[name] != after[name]} == set()
    # The same call then succeeds: the failure was the commit's alone.
    assert call().status_code < 300
