"""Making a backup: one snapshot of the database, counted and dumped, and the key set, in one file."""

import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
from psycopg import IsolationLevel, sql

from server import clock, jobs, vitals
from server.backup import archive, attachment_files, key_files, programs
from server.backup.archive import BackupFault, Manifest
from server.db import Database
from server.settings import Settings

# Tables of the product: those of the extensions (spatial_ref_sys) come with the extensions.
TABLES: LiteralString = """SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT EXISTS (
 SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1"""


def file_name(district: str, now: datetime) -> str:
    """Return the name of a backup in a folder of backups; names sort by time."""
    return f"zaicun-{district}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.backup"


def counts(connection: psycopg.Connection) -> dict[str, int]:
    """Return the rows of each table of the product."""
    found = {}
    for (name,) in connection.execute(TABLES).fetchall():
        query = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))
        row = connection.execute(query).fetchone()
        found[str(name)] = int(row[0]) if row else 0
    return found


def revision(connection: psycopg.Connection) -> str | None:
    """Return the schema's revision; None for a database that was never migrated."""
    row = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return None
    found = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(found[0]) if found else None


def major(connection: psycopg.Connection) -> int:
    """Return the server's major version."""
    return connection.info.server_version // 10_000


def make(
    owner_url: str,
    settings: Settings,
    target: Path,
    *,
    with_keys: bool,
    passphrase: bytes | None,
    with_attachments: bool = True,
) -> tuple[Manifest, list[str]]:
    """Write a backup of the database, the keys and the attachments to the new file `target`.

    Returns what it holds, and the contents that rows name and the folder does not have.

    Reads as the owner of the tables, in one snapshot, while the service serves. Raises BackupFault; then there is no
    file.
    """
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        schema = revision(connection)
        if schema is None:
            raise BackupFault(
                "The database was never migrated; there is nothing to back up.",
                "数据库尚未建表, 没有可备份的内容。",
            )
        kind = key_files.kind(with_keys=with_keys, passphrase=passphrase)
        held = counts(connection)
        manifest = _manifest(settings, kind, schema=schema, postgresql=major(connection), counts=held)
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        with archive.written(target) as file, archive.Writer(file) as writer:
            _dump(owner_url, str(row[0]) if row else "", writer, major(connection))
            if with_keys:
                key_files.add(writer, settings.keys_dir, passphrase)
            missing = attachment_files.add(writer, connection, settings) if with_attachments else []
            return writer.finish(manifest), missing


def note(owner_url: str, manifest: Manifest) -> None:
    """Write down in the ledger of jobs that this backup was made, for the monitoring. Raises sqlalchemy.exc.SQLAlchemyError.

    Called when its file is whole, so the backup itself does not hold its own note.
    """
    database = Database(owner_url, pool_size=1)
    try:
        with database.write() as session:
            jobs.take(session, vitals.BACKUP, manifest.made_at, manifest.id)
    finally:
        database.close()


def make_keys(settings: Settings, target: Path, *, passphrase: bytes | None) -> Manifest:
    """Write a backup of the keys alone."""
    kind = key_files.kind(with_keys=True, passphrase=passphrase)
    manifest = _manifest(settings, kind, schema=None, postgresql=None, counts={})
    with archive.written(target) as file, archive.Writer(file) as writer:
        key_files.add(writer, settings.keys_dir, passphrase)
        return writer.finish(manifest)


def _manifest(
    settings: Settings, keys: str, *, schema: str | None, postgresql: int | None, counts: dict[str, int]
) -> Manifest:
    return Manifest(
        id=str(uuid4()),
        made_at=clock.now().astimezone(UTC).isoformat(timespec="seconds"),
        version=version("zaicun"),
        district=f"{settings.district_code} {settings.district_name}",
        schema=schema,
        postgresql=postgresql,
        counts=counts,
        keys=keys,
    )


def _dump(owner_url: str, snapshot: str, writer: archive.Writer, server: int) -> None:
    """Add the dump of exactly that snapshot. Owners and grants stay out: `zaicun migrate` gives them where it lands."""
    dsn, environment = programs.address(owner_url)
    command = [str(programs.folder(server) / "pg_dump"), "--format=custom", "--schema=public", "--no-owner"]
    command += ["--exclude-table-data=public.spatial_ref_sys"]  # PostGIS brings it.
    command += ["--no-privileges", f"--snapshot={snapshot}", "--lock-wait-timeout=60s", f"--dbname={dsn}"]
    try:
        with programs.started(command, environment, stdout=subprocess.PIPE) as program:
            writer.add(archive.DUMP, program.output)
    except programs.Failed as fault:
        raise BackupFault(f"pg_dump failed: {fault}", f"pg_dump 失败: {fault}") from fault


def prune(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups of the folder, and return those that went. Other files are not touched."""
    old = sorted(folder.glob("zaicun-*-*T*Z.backup"), key=lambda path: path.name.rsplit("-", 1)[-1])[:-keep]
    for path in old:
        path.unlink()
    return old
