"""What was recorded is never rewritten: what the application's role may do, read from the catalog and tried (M14)."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from conftest import Clone, Cloned
from psycopg import sql

from server import cluster as cluster_module
from server import db, schema

APP, OWNER = cluster_module.APP_ROLE, cluster_module.OWNER_ROLE
DECLARED = {**db.grants(schema.METADATA), "alembic_version": db.READ}
RECORDS = {
    "attachment_links", "audit_log", "boundary_acceptances", "boundary_features", "boundary_reports", "calendar_years",
    "checkin_assessments", "checkin_attempts", "checkin_grounds", "checkin_judgements", "checkin_old_receipts",
    "checkin_phones", "checkin_points", "checkin_rows", "checkin_signatures", "checkin_signers",
    "checkin_times", "checkin_withdrawals", "client_customs", "clock_steps", "day_fact_withdrawals",
    "day_facts", "device_events", "device_keys", "grant_revocations", "grants", "job_runs",
    "legal_hold_lifts", "legal_holds", "looks", "notice_acceptances", "notices", "outage_withdrawals",
    "outages", "plausibility_policies", "posting_history", "receipt_epochs", "receipt_keys",
    "region_outlines", "region_versions", "rejudging_changes", "rejudging_decisions", "rejudgings",
    "request_events",
    "review_turns", "roster_imports", "units", "zone_versions",
}  # fmt: skip
"""Tables of facts. A fact is corrected by another one."""
READ_ONLY = {"alembic_version", "installation", "schema_revisions"}
VIEWS = {"checkin_positions", "checkins"}
CHANGING: dict[str, tuple[set[str], str]] = {
    "assessment_marks": ({"one", "draw_key"}, "by what is drawn which check-in is reviewed"),
    "datum_alarms": (
        {"id", "client", "shift", "people", "moved", "power", "since", "raised_at"},
        "what was found, and when",
    ),
    "review_items": (
        {"id", "subject", "person_id", "checkin_id", "month", "day", "region_code", "cause", "opened_at"},
        "what is to be looked at, and why; every step is in review_turns",
    ),
    "accounts": ({"id", "login", "person_id", "region", "created_at", "created_by"}, "whose account it is"),
    "device_codes": (
        {"id", "account_id", "cause", "code_hash", "made_at", "made_by", "expires_at"},
        "whose it is",
    ),
    "attachments": (
        {"id", "account_id", "made_at", "name", "declared_type", "size", "sha256", "keep_position"},
        "what was announced, and by whom",
    ),
    "appeals": (
        {"kind", "subject_id", "person_id", "text", "entered_by", "entered_at", "deciders"},
        "what is appealed against, by whom, and who decided it",
    ),
    "boundary_imports": (
        {"sha256", "imported_by", "imported_at", "accuracy_m"},
        "what was brought in, by whom",
    ),
    "corrections": (
        {
            "person_id",
            "day",
            "halves",
            "claim",
            "text",
            "entered_by",
            "entered_at",
            "over_quota",
            "late",
            "provenance",
        },
        "what was asked for, by whom, and what was remarked about it",
    ),
    "known_devices": ({"id", "account_id", "secret_hash"}, "which phone it is"),
    "one_time_codes": (
        {"code_hash", "account_id", "made_at", "expires_at"},
        "the code and how long it is valid",
    ),
    "people": ({"id", "kept_by"}, "who it is"),
    "person_heads": ({"person_id"}, "whose chain it is"),
    "person_months": ({"person_id", "month"}, "whose month it is"),
    "policies": (
        {"document", "valid_from", "region_prefix", "created_by", "version"},
        "what the policy says",
    ),
    "posting_places": ({"posting_id", "zone_id", "from_day"}, "which place, from when"),
    "postings": ({"id", "person_id"}, "who is posted; every version is in posting_history"),
    "regions": ({"code", "valid_from"}, "which region; every version is in region_versions"),
    "roster_rows": ({"person_id", "village_code", "from_day"}, "which row of the file"),
    "sessions": (
        {"account_id", "created_at", "expires_at", "address", "client"},
        "whose session, and its end",
    ),
    "state_versions": ({"name"}, "which counter"),
    "throttles": ({"kind", "subject"}, "whose attempts are counted"),
    "zones": ({"kind", "region_code", "reference"}, "which place it is; its shapes are in zone_versions"),
}
"""Tables with something that changes: columns that must not, and what they say."""
MADE_AND_FORGOTTEN = {"away_spans", "checkin_spots", "region_successors"}
"""Rows that are made and taken away, and never rewritten."""
DELETING = {"known_devices", "throttles", *MADE_AND_FORGOTTEN}
"""Working state that is forgotten, and links that are taken back (their making and unmaking is in the audit log)."""


@pytest.fixture(scope="module")
def cloned(clone: Clone) -> Cloned:
    return clone()


@pytest.fixture
def app(cloned: Cloned) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cloned.app_url) as connection:
        yield connection
        connection.rollback()


def rows(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query, parameters).fetchall()


OWN = """SELECT c.oid, c.relname::text AS name, c.relkind, c.relacl, c.relowner FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND NOT EXISTS
(SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""


# --- the catalog
def test_every_table_is_a_record_or_says_what_changes() -> None:
    assert set(DECLARED) == RECORDS | READ_ONLY | VIEWS | set(CHANGING) | MADE_AND_FORGOTTEN
    for table in RECORDS:
        assert set(db.rights(DECLARED[table])) == {"SELECT", "INSERT"}, table
    for table in READ_ONLY | VIEWS:
        assert set(db.rights(DECLARED[table])) == {"SELECT"}, table
    for table, grant in DECLARED.items():
        assert ("DELETE" in db.rights(grant)) == (table in DELETING), table
    for table, (fixed, why) in CHANGING.items():
        columns = set(db.rights(DECLARED[table])["UPDATE"])
        assert columns, f"{table}: all of it may be rewritten"
        assert columns.isdisjoint(fixed), f"{table}: {why}"
        assert columns | fixed <= set(schema.METADATA.tables[table].columns.keys()), table


def test_the_catalog_grants_what_the_models_declare_and_nothing_else(cloned: Cloned) -> None:
    held: dict[str, dict[str, set[str]]] = {}
    query = f"""WITH own AS ({OWN})
SELECT o.name, a.privilege_type, a.is_grantable, '' FROM own o, aclexplode(o.relacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE r.rolname = %s AND o.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL SELECT o.name, a.privilege_type, a.is_grantable, t.attname FROM own o JOIN pg_attribute t ON t.attrelid = o.oid,
aclexplode(t.attacl) a JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = %s"""  # noqa: S608  Constants.
    for table, right, grantable, column in rows(cloned.owner_url, query, APP, APP):
        assert not grantable
        held.setdefault(table, {}).setdefault(right, set()).update({column} - {""})
    declared = {
        table: {right: set(columns) for right, columns in db.rights(grant).items()}
        for table, grant in DECLARED.items()
    }
    assert held == declared


def test_nothing_of_ours_is_granted_to_everybody_or_to_anybody_else(cloned: Cloned) -> None:
    query = f"""WITH own AS ({OWN})
SELECT o.name, a.grantee::regrole::text, a.privilege_type FROM own o, aclexplode(o.relacl) a
WHERE a.grantee::regrole::text NOT IN (%s, %s)
UNION ALL SELECT o.name || '.' || t.attname, a.grantee::regrole::text, a.privilege_type
FROM own o JOIN pg_attribute t ON t.attrelid = o.oid, aclexplode(t.attacl) a WHERE a.grantee::regrole::text NOT IN (%s, %s)"""  # noqa: S608  Constants.
    assert rows(cloned.owner_url, query, APP, OWNER, APP, OWNER) == []
    assert rows(cloned.owner_url, "SELECT defaclobjtype, defaclacl::text FROM pg_default_acl") == []
    database = "SELECT a.privilege_type FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database() AND a.grantee = 0"
    assert rows(cloned.owner_url, database) == []  # No CONNECT, no TEMPORARY for everybody.


def test_the_role_owns_nothing_inherits_nothing_and_may_make_nothing(cloned: Cloned) -> None:
    role = "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication, oid FROM pg_roles WHERE rolname = current_user"
    ((mighty, oid),) = rows(cloned.app_url, role)
    assert not mighty
    assert (
        rows(cloned.app_url, "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s", oid) == []
    )
    for kind in (
        "pg_class WHERE relowner",
        "pg_proc WHERE proowner",
        "pg_namespace WHERE nspowner",
        "pg_type WHERE typowner",
    ):
        assert rows(cloned.app_url, f"SELECT oid FROM {kind} = %s", oid) == []  # noqa: S608  Constants.
    schemas = "SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')"
    assert rows(cloned.app_url, schemas) == []
    assert rows(cloned.app_url, "SELECT has_database_privilege(current_database(), 'CREATE, TEMPORARY')") == [
        (False,)
    ]
    for sequence in rows(cloned.owner_url, f"SELECT name FROM ({OWN}) o WHERE relkind = 'S'"):  # noqa: S608  Constants.
        assert rows(
            cloned.app_url, "SELECT has_sequence_privilege(%s, 'USAGE, SELECT, UPDATE')", sequence[0]
        ) == [(False,)]  # Identities need none, and a counter set back would make keys again.


def test_functions_of_ours_that_act_as_their_owner_look_nowhere_else(cloned: Cloned) -> None:
    """A function with the owner's rights that searched the caller's schemas would be the way around all of this."""
    query = """SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
AND NOT coalesce(p.proconfig::text, '') ~ 'search_path=(pg_catalog|"")' AND NOT EXISTS
(SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"""
    assert rows(cloned.owner_url, query) == []


# --- tried
DENIED = [
    "UPDATE checkin_rows SET verdict = 'i'",
    "DELETE FROM checkin_rows",
    "TRUNCATE checkin_rows",
    "UPDATE checkin_points SET lon_e7 = 0",
    "DELETE FROM checkin_points",
    "UPDATE checkin_grounds SET village_code = 'x'",
    "DELETE FROM checkin_phones",
    "UPDATE checkin_judgements SET verdict = 'inside'",
    "DELETE FROM checkin_withdrawals",
    "UPDATE checkin_times SET doubt = NULL",
    "DELETE FROM clock_steps",
    "DELETE FROM checkin_attempts",
    "UPDATE day_facts SET sort = 'duty'",
    "DELETE FROM day_fact_withdrawals",
    "UPDATE outages SET last_day = now()",
    "UPDATE corrections SET text = 'x'",
    "DELETE FROM appeals",
    "DELETE FROM attachments",
    "UPDATE attachments SET sha256 = ''",
    "UPDATE attachment_links SET owner_id = attachment_id",
    "UPDATE request_events SET event = 'approved'",
    "UPDATE audit_log SET deed = 'x'",
    "DELETE FROM audit_log",
    "UPDATE looks SET purpose = 'x'",
    "DELETE FROM looks",
    "UPDATE legal_holds SET ends_on = now()",
    "DELETE FROM legal_hold_lifts",
    "UPDATE rejudging_changes SET after = 'inside'",
    "DELETE FROM rejudging_decisions",
    "UPDATE notice_acceptances SET version = 'x'",
    "DELETE FROM notices",
    "DROP FUNCTION fade_positions",
    "CREATE OR REPLACE FUNCTION fading_open(of_day date, of_village text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "UPDATE zone_versions SET accuracy_m = 0",
    "DELETE FROM zone_versions",
    "UPDATE posting_history SET reason = 'x'",
    "UPDATE region_versions SET name = 'x'",
    "UPDATE grants SET valid_until = NULL",
    "DELETE FROM grant_revocations",
    "UPDATE calendar_years SET days = '{}'",
    "UPDATE policies SET document = '{}'",
    "DELETE FROM policies",
    "UPDATE accounts SET person_id = NULL",
    "UPDATE accounts SET login = 'x'",
    "DELETE FROM people",
    "UPDATE postings SET person_id = person_id",
    "UPDATE sessions SET account_id = account_id",
    "UPDATE one_time_codes SET expires_at = now()",
    "UPDATE schema_revisions SET works_with = '0001'",
    "UPDATE installation SET kind = 'sandbox'",
    "UPDATE alembic_version SET version_num = '0001'",
    # Ways around.
    "INSERT INTO checkin_withdrawals SELECT person_id, id, now(), 'x' FROM checkin_rows ON CONFLICT (person_id, checkin_id) DO UPDATE SET reason = 'y'",
    "MERGE INTO job_runs j USING (SELECT 'x' AS job) s ON j.job = s.job WHEN MATCHED THEN UPDATE SET done_at = now()",
    "MERGE INTO checkin_rows c USING people p ON c.person_id = p.id WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM audit_log RETURNING id) SELECT count(*) FROM gone",
    "SELECT * FROM checkin_rows FOR UPDATE",
    "SELECT * FROM audit_log FOR SHARE",
    "LOCK TABLE checkin_rows IN ACCESS EXCLUSIVE MODE",
    "COPY checkin_rows FROM PROGRAM 'cat /etc/passwd'",
    "COPY checkin_rows TO PROGRAM 'cat'",
    "COPY checkin_rows FROM '/etc/passwd'",
    "COPY checkin_rows TO '/dev/null'",
    "ALTER TABLE checkin_rows DISABLE TRIGGER ALL",
    "ALTER TABLE checkin_rows ADD COLUMN x int",
    "ALTER TABLE checkin_rows OWNER TO zaicun_app",
    "ALTER TABLE checkin_rows DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE checkin_rows DROP CONSTRAINT checkin_rows_verdict_check",
    "ALTER SEQUENCE audit_log_id_seq RESTART",
    "SELECT setval('audit_log_id_seq', 1)",
    "SELECT nextval('audit_log_id_seq')",
    "DROP TABLE checkin_rows",
    "DROP VIEW checkins",
    "CREATE OR REPLACE VIEW checkins AS SELECT 1",
    "ALTER VIEW checkins OWNER TO zaicun_app",
    "DROP SCHEMA public CASCADE",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMP TABLE checkin_rows (id int)",
    "CREATE VIEW public.v AS SELECT 1",
    "CREATE SCHEMA zaicun_app",
    "CREATE EXTENSION dblink",
    "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
    "CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
    "CREATE TRIGGER t BEFORE INSERT ON checkin_rows FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO audit_log DO INSTEAD NOTHING",
    "CREATE POLICY p ON checkin_rows USING (true)",
    "CREATE INDEX i ON checkin_rows (note)",
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
    "CREATE PUBLICATION p FOR TABLE checkin_rows",
    "CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
    "CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT",
    "GRANT zaicun_owner TO zaicun_app",
    "SET ROLE zaicun_owner",
    "SET SESSION AUTHORIZATION zaicun_owner",
    "SET session_replication_role = replica",
    "SET log_statement = 'none'",
    "ALTER SYSTEM SET fsync = off",
    "ALTER DATABASE template1 SET search_path = mine",
    "ALTER ROLE zaicun_app SUPERUSER",
    "ALTER ROLE zaicun_owner PASSWORD 'x'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE zaicun_owner GRANT ALL ON TABLES TO zaicun_app",
    "CREATE ROLE another",
    "CREATE DATABASE another",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "SELECT rolpassword FROM pg_authid",
    "UPDATE pg_class SET relowner = 0",
    "REASSIGN OWNED BY zaicun_owner TO zaicun_app",
    "DO LANGUAGE plpython3u 'pass'",
    "SECURITY LABEL ON TABLE checkin_rows IS 'x'",
    "COMMENT ON TABLE checkin_rows IS 'x'",
    "REINDEX TABLE checkin_rows",
    "CLUSTER checkin_rows USING checkin_rows_pkey",
    "REFRESH MATERIALIZED VIEW checkin_rows",
]
UNKNOWN = (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFunction, psycopg.errors.WrongObjectType)
"""What is refused because the thing does not exist here at all."""
NOT_THERE = {"DO LANGUAGE plpython3u 'pass'", "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
             "SECURITY LABEL ON TABLE checkin_rows IS 'x'", "REFRESH MATERIALIZED VIEW checkin_rows"}  # fmt: skip


@pytest.mark.parametrize("statement", DENIED)
def test_the_application_cannot_rewrite_the_record_nor_get_round_it(
    app: psycopg.Connection, statement: str
) -> None:
    refusal: tuple[type[psycopg.Error], ...] = (psycopg.errors.InsufficientPrivilege,)
    if statement in NOT_THERE:
        refusal += (*UNKNOWN, psycopg.errors.InvalidParameterValue)
    app.autocommit = statement.startswith(
        ("ALTER SYSTEM", "CREATE DATABASE")
    )  # Not allowed in a transaction.
    with pytest.raises(refusal):
        app.execute(statement)


def test_a_right_that_one_has_not_cannot_be_given_to_oneself(app: psycopg.Connection) -> None:
    app.execute("GRANT ALL ON checkin_rows TO zaicun_app")  # PostgreSQL warns, and gives nothing.
    assert app.execute(
        "SELECT has_table_privilege('checkin_rows', 'UPDATE, DELETE, TRUNCATE')"
    ).fetchone() == (False,)


def test_there_is_something_to_be_denied(cloned: Cloned) -> None:
    """The owner could do it: the statements fail for want of a right, not for a slip of the pen."""
    failing: dict[str, str] = {}
    for statement in DENIED[:30]:
        with psycopg.connect(cloned.owner_url) as connection:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                failing[statement] = str(error)
            connection.rollback()
    assert failing == {}


def test_a_schema_that_the_caller_prefers_holds_nothing_of_its_own(app: psycopg.Connection) -> None:
    """search_path may be set by anybody; it is harmless while nobody but the owner can put anything anywhere."""
    app.execute("SET search_path = pg_temp, public")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("CREATE TABLE checkins (id int)")
    app.rollback()
    app.execute("SET search_path = mine, public")
    assert app.execute("SELECT 'checkins'::regclass::oid = 'public.checkins'::regclass::oid").fetchone() == (
        True,
    )


@pytest.mark.parametrize("table", sorted(CHANGING))
def test_columns_that_say_who_and_since_when_cannot_be_rewritten(app: psycopg.Connection, table: str) -> None:
    for column in sorted(CHANGING[table][0]):
        statement = sql.SQL("UPDATE {0} SET {1} = {1}").format(sql.Identifier(table), sql.Identifier(column))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)
        app.rollback()


def test_more_than_thirty_statements_are_tried() -> None:
    assert len(set(DENIED)) == len(DENIED) >= 30
