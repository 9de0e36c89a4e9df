"""The facts on which safety.py judges: about the database, its role, the link, this process and the keys."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

import sqlalchemy as sa

from server import clock, db, durable, installation, migrate, safety_keys, schema
from server.safety_keys import KeyFacts
from server.settings import Settings

SHORTEST_PASSWORD = 12
SAMPLE_PASSWORDS = frozenset(
    {
        "123456789012",
        "1234567890abc",  # pragma: allowlist secret
        "administrator",
        "change-me-please",
        "changemechangeme",
        "correcthorsebatterystaple",
        "database-password",
        "examplepassword",
        "mysecretpassword",
        "passwordpassword",
        "postgresql-password",
        "qwertyuiop123",
        "samplepassword",
        "supersecretpassword",
        "zaicun-password",
        "zaicun_owner",
        "zaicunpassword",
        "zaicunzaicun",
    }
)
"""Those that are not refused as too short already (`postgres`, `zaicun`, `changeme`, ...)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out. Names and numbers only: no password is kept."""

    durability: Mapping[str, str]
    server: Mapping[str, str]
    role: str
    attributes: tuple[str, ...]  # superuser, BYPASSRLS, CREATEROLE, ... that the role has.
    owned: tuple[str, ...]  # Tables and views that the role owns, itself or through a role it belongs to.
    may_create: tuple[str, ...]  # "schema public", "database zaicun".
    excess: tuple[str, ...]  # "checkins: DELETE, UPDATE".
    lacking: tuple[str, ...]
    misfit: tuple[str, str] | None  # Why this version cannot use the schema, in Chinese and in English.
    skew_s: float
    encrypted: bool
    remote: bool  # The database was reached by TCP at an address that is not this machine's own.
    passwords: tuple[str, ...]  # Where a sample or short password stands; never the password.
    sslmode: str
    debug: tuple[str, ...]
    keys: KeyFacts
    purpose: installation.Kind = installation.Kind.LIVE


def read(settings: Settings, connection: sa.Connection) -> Facts:
    """Gather the facts. The connection is one of the service's own role; nothing is changed."""
    before = clock.system()
    there = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    after = clock.system()
    role = connection.execute(_ROLE).mappings().one()
    link = connection.execute(_LINK).mappings().one()
    excess, lacking = _rights(connection)
    return Facts(
        durability=dict(connection.execute(sa.text(durable.ASK)).mappings().one()),
        server={row.name: row.setting for row in connection.execute(_SERVER)},
        role=role["name"],
        attributes=tuple(sorted(role["attributes"])),
        owned=tuple(sorted(role["owned"])),
        may_create=tuple(role["may_create"]),
        excess=excess,
        lacking=lacking,
        misfit=None if role["hidden"] else _misfit(connection),
        skew_s=_apart(there, before, after),
        encrypted=bool(link["encrypted"]),
        remote=link["address"] is not None and not ip_address(link["address"]).is_loopback,
        passwords=_sample_passwords(settings),
        sslmode=str(sa.make_url(settings.database_url).query.get("sslmode", os.environ.get("PGSSLMODE", ""))),
        debug=_debugging(),
        keys=safety_keys.read(settings.keys_dir),
        purpose=installation.Kind.LIVE if role["hidden"] else installation.kind_of(connection),
    )


def _misfit(connection: sa.Connection) -> tuple[str, str] | None:
    fault = migrate.misfit(connection)
    return None if fault is None else (fault.zh, fault.en)


def _apart(there: datetime, before: datetime, after: datetime) -> float:
    """Return the seconds by which the database's clock cannot be right; a slow answer is no wrong clock."""
    return max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)


_SERVER = sa.text("""SELECT name, setting FROM pg_settings WHERE name IN ('server_version_num', 'server_encoding',
 'data_checksums', 'max_connections', 'superuser_reserved_connections', 'log_statement', 'zero_damaged_pages',
 'ignore_checksum_failure', 'ignore_system_indexes')
UNION ALL SELECT 'in_recovery', pg_is_in_recovery()::text
UNION ALL SELECT 'read_only', current_setting('default_transaction_read_only')
UNION ALL SELECT 'postgis', extversion FROM pg_extension WHERE extname = 'postgis'""")

_ROLE = sa.text("""SELECT current_user::text AS name,
 array_remove(ARRAY[CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
  CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
  CASE WHEN rolreplication THEN 'REPLICATION' END]
  || ARRAY(SELECT p.rolname::text FROM pg_roles AS p WHERE NOT r.rolsuper AND pg_has_role(r.oid, p.oid, 'MEMBER')
   AND p.oid <> r.oid AND (p.rolsuper OR p.rolbypassrls OR p.rolname IN ('pg_execute_server_program',
   'pg_write_server_files', 'pg_read_server_files', 'pg_write_all_data', 'pg_read_all_data'))), NULL) AS attributes,
 ARRAY(SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND CASE WHEN r.rolsuper THEN c.relowner = r.oid ELSE pg_has_role(r.oid, c.relowner, 'MEMBER') END) AS owned,
 array_remove(ARRAY[CASE WHEN has_schema_privilege('public', 'CREATE') THEN 'schema public' END,
  CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN 'database ' || current_database() END], NULL)
  AS may_create,
 to_regclass('public.alembic_version') IS NOT NULL
  AND NOT has_table_privilege(to_regclass('public.alembic_version'), 'SELECT') AS hidden
FROM pg_roles AS r WHERE rolname = current_user""")

_LINK = sa.text("""SELECT host(inet_server_addr()) AS address,
 coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted""")

# A right on one column is a right too, which has_any_column_privilege sees and has_table_privilege does not.
_RIGHTS = sa.text("""SELECT c.relname::text AS name, ARRAY(
 SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
  WHERE has_any_column_privilege(c.oid, p)
 UNION SELECT p FROM unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS p WHERE has_table_privilege(c.oid, p)) AS held,
 ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND has_column_privilege(c.oid, a.attnum, 'UPDATE')) AS changeable
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
 AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
  AND d.deptype = 'e')""")


def _rights(connection: sa.Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rights beyond what the models grant, and those that are lacking, table by table."""
    granted = {**db.grants(schema.METADATA), "alembic_version": db.READ}
    excess, lacking = [], []
    for row in connection.execute(_RIGHTS):
        if row.name not in granted:
            continue  # A newer version's table, or another product's: nothing is known of what is right there.
        rights = db.rights(granted[row.name])
        may, held = set(rights), set(row.held)
        beyond = set(row.changeable) - set(rights.get("UPDATE", ())) if rights.get("UPDATE") else set()
        if beyond:
            excess.append(f"{row.name}: UPDATE ({', '.join(sorted(beyond))})")
        if held - may:
            excess.append(f"{row.name}: {', '.join(sorted(held - may))}")
        if may - held:
            lacking.append(f"{row.name}: {', '.join(sorted(may - held))}")
    return tuple(sorted(excess)), tuple(sorted(lacking))


def _sample_passwords(settings: Settings) -> tuple[str, ...]:
    """Return where a password stands that anybody would guess: in an address, or in PGPASSWORD."""
    places = []
    for name in ("database_url", "owner_database_url"):
        address = getattr(settings, name)
        if address:
            url = sa.make_url(address)
            if _guessable(url.password, url.username, url.database):
                places.append(f"ZAICUN_{name.upper()}")
    if _guessable(os.environ.get("PGPASSWORD")):
        places.append("PGPASSWORD")
    return tuple(places)


def _guessable(password: str | None, *names: str | None) -> bool:
    if password is None:
        return False
    plain = password.casefold()
    return (
        len(password) < SHORTEST_PASSWORD
        or plain in SAMPLE_PASSWORDS
        or plain in {n.casefold() for n in names if n}
    )


def _debugging() -> tuple[str, ...]:
    """Return the switches of this process that show the inside to strangers or slow it down."""
    switches = {
        "PYTHONASYNCIODEBUG": bool(os.environ.get("PYTHONASYNCIODEBUG")),
        "PYTHONDEVMODE": sys.flags.dev_mode,
        "PYTHONINSPECT": bool(os.environ.get("PYTHONINSPECT")),
    }
    return tuple(name for name, on in switches.items() if on)
