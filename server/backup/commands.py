"""The commands `zaicun backup`, `zaicun restore`, and `zaicun keys backup` and `restore`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click
import psycopg
import sqlalchemy as sa

from server import clock, cluster
from server import settings as settings_module
from server.auth.commands import keys
from server.backup import attachment_files, key_files, making, restoring
from server.backup.archive import ATTACHMENTS, BackupFault, Manifest, Reader
from server.console import plainly, say
from server.problems import Problem
from server.settings import Settings, SettingsFault

P = ParamSpec("P")
PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File whose first line seals (opens) the keys; keep it apart from the backups.",
)


def _told(command: Callable[P, None]) -> Callable[P, None]:
    """Tell what an operator can mend in one clear text instead of a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BackupFault as fault:
            raise click.ClickException(str(fault)) from fault
        except psycopg.OperationalError as fault:
            raise click.ClickException(f"The database cannot be reached: {str(fault).strip()}") from fault

    return plainly(run)


@contextmanager
def _as_owner(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the owner's address and the name of the service's role. The embedded cluster is not migrated here."""
    if not settings.database_url:
        with cluster.ensure(settings.var, say=say) as running:
            yield running.owner_dsn, cluster.APP_ROLE
        return
    role = sa.make_url(settings.database_url).username
    if not settings.owner_database_url or not role:
        raise SettingsFault(
            "ZAICUN_OWNER_DATABASE_URL must name the owner of the tables, and ZAICUN_DATABASE_URL the service's role."
        )
    yield settings.owner_database_url, role


def _passphrase(file: Path | None) -> bytes | None:
    return None if file is None else key_files.passphrase_of(file)


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--without-keys", is_flag=True, help="Leave the key set out; back it up apart (zaicun keys backup)."
)
@click.option(
    "--without-attachments",
    is_flag=True,
    help="Leave the contents of attachments out; copy their folder apart.",
)
@click.option(
    "--keep", type=click.IntRange(1, 10_000), help="Of a folder's backups, delete all but the newest so many."
)
@PASSPHRASE
@_told
def backup(
    target: Path,
    *,
    without_keys: bool,
    without_attachments: bool,
    keep: int | None,
    passphrase_file: Path | None,
) -> None:
    """Back up the database, the keys and the attachments to TARGET, a new file or a folder, while the service serves (备份)."""
    if keep is not None and not target.is_dir():
        raise click.BadParameter("needs a folder as TARGET", param_hint="--keep")
    settings = settings_module.load()
    name = making.file_name(settings.district_code, clock.now())
    file = target / name if target.is_dir() else target
    with _as_owner(settings) as (owner_url, _):
        manifest, missing = making.make(
            owner_url,
            settings,
            file,
            with_keys=not without_keys,
            passphrase=_passphrase(passphrase_file),
            with_attachments=not without_attachments,
        )
        _describe(file, manifest)
        _tell_missing(missing)
        _note(owner_url, manifest)
    if keep is not None:
        for path in making.prune(target, keep):
            click.echo(f"已删除旧备份 / deleted the old backup: {path.name}")


def _tell_missing(missing: list[str]) -> None:
    """Tell of contents that rows name and the folder does not have: those were lost before this backup."""
    if missing:
        click.echo(
            f"△ {len(missing)} 个附件的内容不在目录中 / contents of attachments are not in the folder: "
            f"{', '.join(name[:12] for name in missing[:5])}",
            err=True,
        )


def _note(owner_url: str, manifest: Manifest) -> None:
    """Tell the monitoring of a backup that was made; when that fails, the backup is none the worse."""
    try:
        making.note(owner_url, manifest)
    except (sa.exc.SQLAlchemyError, Problem) as fault:
        click.echo(
            f"△ 备份已完成，但未能登记，监控会当作没有备份 / the backup is whole, but could not be noted, so the "
            f"monitoring takes it for missing: {type(getattr(fault, 'orig', fault)).__name__}",
            err=True,
        )


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Only verify the file and say what a restore would do.")
@click.option(
    "--replace", is_flag=True, help="Delete what the database holds now; it is named and asked for first."
)
@click.option("--yes", is_flag=True, help="With --replace: do not ask.")
@click.option("--without-keys", is_flag=True, help="Leave this machine's keys as they are.")
@click.option(
    "--keep-sessions",
    is_flag=True,
    help="Leave people logged in: only when the service was stopped before the backup was made.",
)
@PASSPHRASE
@_told
def restore(
    source: Path,
    *,
    check: bool,
    replace: bool,
    yes: bool,
    without_keys: bool,
    keep_sessions: bool,
    passphrase_file: Path | None,
) -> None:
    """Restore the backup SOURCE into an empty database (恢复); all of it or nothing. Stop the service first."""
    settings = settings_module.load()
    with Reader(source) as reader, _as_owner(settings) as (owner_url, role):
        reader.verify()
        restoring.refuse_what_does_not_fit(owner_url, reader.manifest)
        # Read before anything is changed: a wrong passphrase must not be found out afterwards.
        files = {} if without_keys else key_files.read(reader, _passphrase(passphrase_file))
        _describe(source, reader.manifest)
        present = restoring.look(owner_url)
        if check:
            _show_lost(present)
            return
        _permit(present, replace=replace, yes=yes)
        restoring.restore(reader, owner_url, keep_sessions=keep_sessions)
        click.echo("✓ 数据已恢复，行数与备份一致 / restored; every table has as many rows as the backup")
        # Before the migration, which may have to be run again: data without its keys would be half a restore.
        if files:
            _put_back(settings, files)
        number = attachment_files.put_back(reader, settings)
        if number:
            click.echo(f"✓ {number} 个附件已放回 / contents of attachments are back")
        restoring.finish(owner_url, role, say=say)
    if not keep_sessions:
        click.echo("  所有登录已失效，需重新登录 / all sessions have ended; everybody logs in again")
    click.echo("  接下来 / next: zaicun check; zaicun month verify")


def _show_lost(present: restoring.Present) -> None:
    for name, rows in present.lost.items():
        click.echo(f"  会被删除 / would be deleted: {name} {rows}")
    if present.newest:
        click.echo(f"  最新的记录 / newest record: {present.newest}")
    if not present.lost:
        click.echo("  目标数据库为空 / the target database is empty")


def _permit(present: restoring.Present, *, replace: bool, yes: bool) -> None:
    """Raise BackupFault unless the restore destroys nothing, or what it destroys was named and agreed to."""
    if present.others:
        raise BackupFault(
            f"Others are connected to the database ({', '.join(present.others)}). Stop zaicun first (systemctl stop "
            "zaicun-serve zaicun-scheduler).",
            f"数据库仍有其他连接 ({', '.join(present.others)}), 请先停止服务。",
        )
    if not present.lost:
        return
    _show_lost(present)
    if not replace:
        raise BackupFault(
            "The database is not empty. To delete what was just named, back it up and say --replace.",
            "数据库不为空。如确认删除上述内容, 请先备份, 再加 --replace。",
        )
    if not yes:
        click.confirm("删除上述内容并恢复备份? / Delete this and restore the backup?", abort=True)


def _put_back(settings: Settings, files: dict[str, bytes]) -> None:
    aside = key_files.put_back(files, settings.keys_dir)
    click.echo(f"✓ {len(files)} 个密钥已放回 / keys are back in {settings.keys_dir}")
    if aside is not None:
        click.echo(f"  原有密钥移至 / the keys that were there lie in {aside}")


def _describe(file: Path, manifest: Manifest) -> None:
    rows = sum(manifest.counts.values())
    kept = {
        "plain": "含密钥，未加密，请妥善保管 / with the keys, not sealed: who has this file can sign tokens",
        "sealed": "含密钥，已加密 / with the keys, sealed",
        "left out": "不含密钥 / without the keys",
    }[manifest.keys]
    click.echo(f"{file}")
    click.echo(
        f"  {manifest.made_at}  zaicun {manifest.version}  schema {manifest.schema or '-'}  {manifest.district}"
    )
    held = sum(name.startswith(ATTACHMENTS) for name in manifest.members)
    click.echo(f"  {held} 个附件 / contents of attachments")
    click.echo(f"  {len(manifest.counts)} 张表 / tables, {rows} 行 / rows; {kept}")


@keys.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@PASSPHRASE
@_told
def keys_backup(target: Path, *, passphrase_file: Path | None) -> None:
    """Back up the key set alone to the new file TARGET (0600)."""
    settings = settings_module.load()
    _describe(target, making.make_keys(settings, target, passphrase=_passphrase(passphrase_file)))


@keys.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@PASSPHRASE
@_told
def keys_restore(source: Path, *, passphrase_file: Path | None) -> None:
    """Put the keys of a backup back; other keys in the folder are set aside, not deleted."""
    with Reader(source) as reader:
        reader.verify()
        files = key_files.read(reader, _passphrase(passphrase_file))
    if not files:
        raise BackupFault("This backup was made without keys.", "该备份不含密钥。")
    _put_back(settings_module.load(), files)
