"""`zaicun check`: every setting with its value and meaning, and whether this machine and its database are fit.

Everything is looked at even when something before it is wrong; nothing is changed. What makes a database unsafe is
judged by server.safety, as at the start of the service.
"""

import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import sqlalchemy as sa

from server import cluster, safety, setting_texts
from server import settings as settings_module
from server.attachments import storage
from server.attachments.storage import StorageFault
from server.cluster import ClusterError
from server.db import Database
from server.safety import Severity
from server.settings import Owner, Settings, SettingsFault

GIB = 1 << 30
WARN_FREE, LEAST_FREE = 5 * GIB, GIB // 2
MARKS = {"ok": "✓", "warn": "△", "wrong": "✗"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. `state`: ok, warn or wrong; the sentences say what to do."""

    name: str
    state: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as it is in force."""

    name: str
    value: str
    default: str
    given: bool
    zh: str
    en: str


# --- settings ------------------------------------------------------------------------------------------------------


def read(environment: Mapping[str, str]) -> tuple[Settings, list[Line]]:
    """Read the settings one by one, so that every fault is named; what is faulty counts as not given."""
    ours = {name: text for name, text in environment.items() if name.startswith("ZAICUN_")}
    lines, good = [], {}
    for name, text in ours.items():
        try:
            settings_module.load({name: text})
            good[name] = text
        except SettingsFault as fault:
            # A value may be wrong alone and right with the others (ZAICUN_HOST behind a proxy).
            if not _fits(ours, name):
                lines.append(Line(name, "wrong", f"设置有误：{fault}", str(fault)))
            else:
                good[name] = text
    try:
        return settings_module.load(good), lines
    except SettingsFault as fault:
        lines.append(Line("settings", "wrong", f"设置之间不相容：{fault}", str(fault)))
        return Settings(), lines


def _fits(ours: Mapping[str, str], name: str) -> bool:
    beside = {"ZAICUN_BEHIND_PROXY", "ZAICUN_ANSWER_WITHIN_S", "ZAICUN_STATEMENT_TIMEOUT_S", name}
    try:
        settings_module.load({key: text for key, text in ours.items() if key in beside})
    except SettingsFault:
        return False
    return True


def shown(settings: Settings, environment: Mapping[str, str]) -> list[Shown]:
    """Return every setting with its value, secrets masked."""
    plain = Settings()
    found = []
    for name, (zh, en) in setting_texts.TEXTS.items():
        key = f"ZAICUN_{name.upper()}"
        found.append(Shown(key, _value(settings, name), _value(plain, name), key in environment, zh, en))
    return found


def _value(settings: Settings, name: str) -> str:
    owner = {"owner_name": "name"}.get(name, name)
    place: object = settings.owner if owner in {field.name for field in fields(Owner)} else settings
    value = getattr(place, owner)
    if name in setting_texts.SECRET:
        return "***" if value else ""
    if name.endswith("database_url") and value:
        url = sa.make_url(value)
        # libpq takes passwords behind the question mark too, which SQLAlchemy does not hide.
        hidden = {key: "hidden" for key in url.query if "password" in key}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


# --- the machine ---------------------------------------------------------------------------------------------------


def _district(settings: Settings) -> Iterator[Line]:
    missing = [key for key in ("name", "legal_basis", "data_contact") if not getattr(settings.owner, key)]
    if missing:
        names = ", ".join(
            "ZAICUN_OWNER_NAME" if key == "name" else f"ZAICUN_{key.upper()}" for key in missing
        )
        yield Line(
            "owner",
            "warn",
            f"尚未填写由谁、依据什么运行：{names}。",
            f"Who runs this service, and on what basis, is not filled in: {names}.",
        )
    else:
        yield Line("owner", "ok", "运行单位与依据已填写。", "Who runs this service is filled in.")


def _time_zone() -> Line:
    try:
        ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        return Line(
            "time-zone",
            "wrong",
            "缺少时区数据 Asia/Shanghai，请安装 tzdata。",
            "There is no time zone data for Asia/Shanghai: install tzdata.",
        )
    return Line("time-zone", "ok", "时区数据齐全。", "Time zone data is there.")


def _clock() -> Line:
    """Judge the clock by what cannot be: before this file was written. The database's clock is compared apart."""
    if time.time() < Path(__file__).stat().st_mtime - 86_400:
        return Line(
            "clock",
            "wrong",
            "系统时间早于本程序的安装时间，请校准 (timedatectl)。",
            "The clock is earlier than this program's own files: set it (timedatectl).",
        )
    return Line("clock", "ok", "系统时间合理。", "The clock is plausible.")


def _disk(settings: Settings) -> Iterator[Line]:
    places = {
        settings.var.resolve(),
        settings.keys_dir.resolve(),
        storage.folder_of(settings).resolve(),
        Path("/var/lib/postgresql"),
        Path("/var/backups"),
    }
    seen = set()
    for place in sorted(places):
        standing = next((folder for folder in (place, *place.parents) if _exists(folder)), Path("/"))
        device = standing.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(standing).free
        state = "wrong" if free < LEAST_FREE else "warn" if free < WARN_FREE else "ok"
        todo = ("", "") if state == "ok" else ("，请腾出空间", "; free some space")
        yield Line(
            f"disk {standing}",
            state,
            f"{standing} 剩余 {free / GIB:.1f} GiB{todo[0]}。",
            f"{standing} has {free / GIB:.1f} GiB free{todo[1]}.",
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _port(settings: Settings) -> Line:
    """Tell whether the port is free, or held by this very service."""
    try:
        with urllib.request.urlopen(f"{settings.own_url}/readyz", timeout=5) as answer:  # noqa: S310  Ours, http.
            state = "ok" if answer.status == 200 else "warn"  # noqa: PLR2004  HTTP's own figure.
            return Line(
                "serve",
                state,
                f"服务在端口 {settings.port} 就绪。",
                f"The service is ready on port {settings.port}.",
            )
    except urllib.error.HTTPError as error:
        return Line(
            "serve",
            "wrong",
            f"端口 {settings.port} 的服务未就绪 (HTTP {error.code})，见服务日志。",
            f"What serves on port {settings.port} is not ready (HTTP {error.code}): see its log.",
        )
    except OSError:
        pass
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as fault:
            return Line(
                "port",
                "wrong",
                f"端口 {settings.port} 不可用（{fault.strerror}），请更换 ZAICUN_PORT 或停止占用它的程序。",
                f"Port {settings.port} cannot be had ({fault.strerror}): change ZAICUN_PORT or stop what holds it.",
            )
    return Line(
        "port",
        "ok",
        f"端口 {settings.port} 空闲，服务未运行。",
        f"Port {settings.port} is free; nothing serves.",
    )


def _keys(settings: Settings) -> Line:
    folder = settings.keys_dir
    try:
        found = list(folder.glob("*-*.jwk"))
        writable = os.access(
            folder if folder.exists() else next(p for p in folder.resolve().parents if p.exists()), os.W_OK
        )
    except OSError as fault:
        return Line(
            "keys",
            "wrong",
            f"无法进入密钥目录：{fault}。",
            f"The folder of the keys cannot be entered: {fault}.",
        )
    if not found and not writable:
        return Line(
            "keys",
            "wrong",
            f"{folder} 中没有密钥，也无法写入，请更正目录的属主。",
            f"There are no keys in {folder} and none can be made: give the folder to the service's account.",
        )
    if not found:
        return Line(
            "keys",
            "ok",
            f"{folder} 中尚无密钥，首次启动时生成。",
            f"No keys in {folder} yet; the first start makes them.",
        )
    return Line("keys", "ok", f"{folder} 中有 {len(found)} 个密钥。", f"{len(found)} keys in {folder}.")


def _attachments(settings: Settings) -> Line:
    """Write, read and delete in the store of attachments, and tell what lies there."""
    place = settings.attachments_s3 or str(storage.folder_of(settings))
    try:
        if not settings.attachments_s3 and not storage.folder_of(settings).exists():
            zh, en = "尚未建立，首次上传时生成", "is not there yet; the first upload makes it"
            return Line(
                "attachments", "ok", f"附件目录 {place} {zh}。", f"The folder of attachments {place} {en}."
            )
        store = storage.opened(settings)
        store.probe()
        found = [each.size for each in store.listed()]
    except StorageFault as fault:
        return Line(
            "attachments",
            "wrong",
            f"附件存储 {place} 不可用：{fault}。",
            f"Attachments cannot be kept in {place}: {fault}.",
        )
    size = f"{sum(found) / (1 << 20):.1f} MiB"
    return Line(
        "attachments",
        "ok",
        f"附件存储 {place} 可读写，有 {len(found)} 个内容，共 {size}。",
        f"Attachments are kept in {place}: {len(found)} contents, {size}.",
    )


# --- the database --------------------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Line]:
    """Judge the database; the embedded cluster only when it runs: to check starts nothing."""
    if not settings.database_url:
        try:
            embedded = cluster.Cluster(settings.var)
            running = embedded.status().running
        except ClusterError as fault:
            yield Line("database", "wrong", fault.zh, fault.en)
            return
        if not running:
            yield Line(
                "database",
                "ok",
                "使用自带数据库，当前未运行。",
                "The embedded database is used; it does not run now.",
            )
            return
        settings = replace(settings, database_url=embedded.app_dsn, owner_database_url=embedded.owner_dsn)
    database = Database(settings.database_url, pool_size=1)
    try:
        with database.engine.connect() as connection:
            version = connection.execute(sa.text("SHOW server_version")).scalar_one()
            yield Line(
                "database",
                "ok",
                f"数据库可连接：PostgreSQL {version}。",
                f"The database answers: PostgreSQL {version}.",
            )
            connection.rollback()
            found = safety.findings(settings, connection)
    except (sa.exc.SQLAlchemyError, OSError) as fault:
        reason = str(getattr(fault, "orig", fault)).strip()
        yield Line(
            "database",
            "wrong",
            f"数据库无法连接或查询：{reason}。请检查 ZAICUN_DATABASE_URL 与数据库服务。",
            f"The database cannot be reached or asked: {reason}. Check ZAICUN_DATABASE_URL and the database's service.",
        )
        return
    finally:
        database.close()
    for finding in found:
        state = "wrong" if finding.severity is Severity.REFUSE else "warn"
        yield Line(finding.name, state, finding.zh, finding.en)
    if not found:
        yield Line("safety", "ok", "结构最新，设置安全。", "Migrated and safe.")


def looked_at(settings: Settings) -> list[Line]:
    """Look at everything outside the settings."""
    return [
        *_district(settings),
        _time_zone(),
        _clock(),
        *_disk(settings),
        _keys(settings),
        _attachments(settings),
        _port(settings),
        *_database(settings),
    ]


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@click.option("--all", "everything", is_flag=True, help="Also the settings that stand at their defaults.")
def check(*, as_json: bool, everything: bool) -> None:
    """Explain every setting and tell what is wrong here (自检); ends with 1 when something would stop the service."""
    settings, lines = read(os.environ)
    lines += looked_at(settings)
    wrong = any(line.state == "wrong" for line in lines)
    known = shown(settings, os.environ)
    if as_json:
        found = {
            "ok": not wrong,
            "settings": [asdict(s) for s in known],
            "findings": [asdict(line) for line in lines],
        }
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for setting in known:
            if setting.given or everything:
                click.echo(
                    f"{setting.name}={setting.value or '-'}  (默认 / default: {setting.default or '-'})"
                )
                click.echo(f"    {setting.zh}\n    {setting.en}")
        for line in sorted(lines, key=lambda line: list(MARKS).index(line.state)):
            click.echo(f"{MARKS[line.state]} {line.zh}\n    {line.en}")
    raise SystemExit(int(wrong))
