"""Restoring a backup: all of it in one transaction, or nothing; then migrated to this version's schema.

What the backup brings back to life is put to rest in the same transaction: sessions that were ended after the backup
was made (a stolen phone's among them) would be valid again, and so would one-time codes that were used since. So all
sessions end and all open codes are void, unless the operator says that nothing happened after the backup
(`keep_sessions`: the service was stopped, backed up and moved). The audit log gets one entry per restore, and the chains
of receipts a new epoch (ruling 26): by it phones learn that they must send again what the backup may not hold.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg
from alembic.script import ScriptDirectory
from psycopg import sql

from server import migrate
from server.backup import making, programs
from server.backup.archive import DUMP, BackupFault, Manifest, Reader

OWN_BOOKS = frozenset({"alembic_version", "schema_revisions", "installation", "job_runs"})
"""What a database has before anybody used it: its revisions, its mark, the ledger of jobs that found nothing to do."""
_NOT_OURS = ("EXTENSION", "COMMENT - EXTENSION", "SCHEMA", "COMMENT - SCHEMA", "ACL")


@dataclass(frozen=True, slots=True)
class Present:
    """What the target holds now: rows by table, the newest entry of its audit log, and who is connected."""

    counts: Mapping[str, int]
    newest: str | None
    others: tuple[str, ...]

    @property
    def lost(self) -> dict[str, int]:
        """Return what a restore would delete: rows by table, without what every new database has."""
        return {name: rows for name, rows in self.counts.items() if rows and name not in OWN_BOOKS}


def look(owner_url: str) -> Present:
    """Look at the target."""
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        connection.read_only = True
        counts = making.counts(connection)
        newest = None
        if counts.get("audit_log"):
            deeds = "SELECT max(at), count(*) FILTER (WHERE deed NOT LIKE 'job:%') FROM public.audit_log"
            row = connection.execute(deeds).fetchone()
            newest = f"{row[0]:%Y-%m-%d %H:%M:%S}Z" if row and row[0] else None
            if row and not row[1]:  # Nothing but jobs that met nobody's records, as in the first night.
                del counts["audit_log"]
        others = connection.execute(
            # Of another role's session the kind is hidden; a session of nobody is the server's own.
            "SELECT coalesce(nullif(application_name, ''), usename::text, '?') FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"
            " AND coalesce(backend_type, 'client backend') = 'client backend'"
        ).fetchall()
        return Present(counts, newest, tuple(sorted({str(name) for (name,) in others})))


def refuse_what_does_not_fit(owner_url: str, manifest: Manifest) -> None:
    """Raise BackupFault when this version, or this database, cannot take the backup."""
    if manifest.schema is None:
        raise BackupFault(
            "This backup holds keys only. Use `zaicun keys restore`.",
            "该备份只有密钥, 请使用 `zaicun keys restore`。",
        )
    if manifest.schema not in known_revisions():
        raise BackupFault(
            f"The backup has the schema {manifest.schema} of zaicun {manifest.version}, which this version does not "
            "know. Install that version or a newer one first.",
            f"备份的数据库结构 {manifest.schema} 来自在村 {manifest.version}, 本版本不认识, 请先安装该版本或更新版本。",
        )
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        server = making.major(connection)
    if manifest.postgresql is not None and server < manifest.postgresql:
        raise BackupFault(
            f"The backup was made by PostgreSQL {manifest.postgresql} and cannot be restored into {server}.",
            f"备份来自 PostgreSQL {manifest.postgresql}, 不能恢复到 {server}。",
        )


def restore(reader: Reader, owner_url: str, *, keep_sessions: bool) -> None:
    """Replace everything in the database by the backup, as it was made; `finish` follows.

    Killed or refused at any moment before the commit, the database is as it was. Raises BackupFault.
    """
    manifest = reader.manifest
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        server = making.major(connection)
    tools = programs.folder(server)
    dsn, environment = programs.address(owner_url)
    pg_restore, psql = str(tools / "pg_restore"), str(tools / "psql")
    try:
        listed = _contents(reader, pg_restore, environment)
        with programs.started(
            [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={dsn}"],
            environment,
            stdin=subprocess.PIPE,
        ) as program:
            program.send(_BEFORE.encode())
            _pour(reader, pg_restore, environment, listed, program)
            # Only now, when all of it arrived, is the word COMMIT sent: a cut pipe rolls back.
            program.send(_after(manifest, keep_sessions=keep_sessions).encode())
    except programs.Failed as fault:
        raise BackupFault(
            f"The restore failed and the database is as it was: {fault}", f"恢复失败, 数据库保持原样: {fault}"
        ) from fault


def finish(owner_url: str, app_role: str, *, say: Callable[[str], None]) -> None:
    """Migrate what was restored to this version's schema, and grant. `zaicun migrate` does the same, when this fails."""
    say("The data is back; migrating to this version's schema.")
    migrate.upgrade(owner_url, app_role, say=say)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("ANALYZE")


def _contents(reader: Reader, program: str, environment: Mapping[str, str]) -> bytes:
    """Return the dump's table of contents without what belongs to the database's superuser."""
    with (
        reader.open(DUMP) as dump,
        programs.started(
            [program, "--list"], environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as listing,
    ):
        feeding = listing.feed(dump)
        lines = b"".join(listing.said()).splitlines(keepends=True)
        feeding.join()
    return b"".join(line for line in lines if not _left_out(line.decode("utf-8", "replace")))


def _left_out(line: str) -> bool:
    # "3; 3079 16386 EXTENSION - postgis": a number, two object ids, then the kind.
    words = line.partition(";")[2].split(maxsplit=2)
    return bool(words) and words[-1].startswith(_NOT_OURS)


def _pour(
    reader: Reader, pg_restore: str, environment: Mapping[str, str], listed: bytes, psql: programs.Program
) -> None:
    """Send the dump as SQL. The list is read from memory, so nothing of it is written to a disk."""
    memory = os.memfd_create("contents")
    try:
        os.write(memory, listed)
        command = [
            pg_restore,
            "--file=-",
            "--no-owner",
            "--no-privileges",
            f"--use-list=/proc/self/fd/{memory}",
        ]
        with (
            reader.open(DUMP) as dump,
            programs.started(
                command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(memory,)
            ) as program,
        ):
            feeding = program.feed(dump)
            for chunk in program.said():
                psql.send(chunk)
            feeding.join()
    finally:
        os.close(memory)


_BEFORE = """BEGIN;
SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;
DO $$
DECLARE found record;
BEGIN
 FOR found IN SELECT c.relname AS name FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
  AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 LOOP EXECUTE format('DROP TABLE public.%I CASCADE', found.name); END LOOP;
 FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
 LOOP EXECUTE format('DROP ROUTINE %s CASCADE', found.name); END LOOP;
 FOR found IN SELECT c.relname AS name FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
  AND c.relkind = 'S' AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'a', 'i'))
 LOOP EXECUTE format('DROP SEQUENCE public.%I CASCADE', found.name); END LOOP;
END $$;
"""
"""What was there goes in the same transaction, tables first: their triggers and views go with them."""

_COUNTED = """
DO $$ DECLARE found bigint; BEGIN
 SELECT count(*) INTO found FROM public.{table};
 IF found <> {rows} THEN RAISE EXCEPTION '% rows arrived in %, the backup has %', found, {name}, {rows}; END IF;
END $$;"""

_ENDED = """
UPDATE public.sessions SET revoked_at = now(), end_reason = 'restored' WHERE revoked_at IS NULL;
UPDATE public.one_time_codes SET void_at = now() WHERE used_at IS NULL AND void_at IS NULL;
DO $$ BEGIN IF to_regclass('public.device_codes') IS NOT NULL THEN
 UPDATE public.device_codes SET void_at = now() WHERE used_at IS NULL AND void_at IS NULL;
END IF; END $$;"""
"""A backup of before the codes of phones has no table of them yet: the migration comes after this transaction."""

_EPOCH = """
DO $$ BEGIN IF to_regclass('public.receipt_epochs') IS NOT NULL THEN
 INSERT INTO public.receipt_epochs (number, id, issuer, began_at, cause, resend_from)
 SELECT max(number) + 1, gen_random_uuid(), (array_agg(issuer ORDER BY number DESC))[1], now(), 'restored', {made_at}
 FROM public.receipt_epochs HAVING count(*) > 0;
END IF; END $$;"""
"""Of a backup from before there were receipts, or of a service that never ran, the first epoch is made by the service."""

_RECORDED = """
INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
VALUES (now(), NULL, 'backup:restore', 'backup', {id}, {details}::jsonb);
COMMIT;
"""


def _after(manifest: Manifest, *, keep_sessions: bool) -> str:
    counted = [
        sql.SQL(_COUNTED).format(table=sql.Identifier(name), rows=sql.Literal(rows), name=sql.Literal(name))
        for name, rows in manifest.counts.items()
    ]
    details = {
        "made_at": manifest.made_at,
        "version": manifest.version,
        "schema": manifest.schema,
        "sessions": "kept" if keep_sessions else "ended",
    }
    recorded = sql.SQL(_RECORDED).format(
        id=sql.Literal(manifest.id), details=sql.Literal(json.dumps(details))
    )
    epoch = sql.SQL(_EPOCH).format(made_at=sql.Literal(manifest.made_at))
    parts = [*counted, *([] if keep_sessions else [sql.SQL(_ENDED)]), epoch, recorded]
    return sql.Composed(parts).as_string(None)


def known_revisions() -> set[str]:
    """Return the revisions of the schema that this version can migrate from."""
    scripts = ScriptDirectory.from_config(migrate.configuration())
    return {script.revision for script in scripts.walk_revisions()}
