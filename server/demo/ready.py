"""Setting the district up, once: everything is done through the API and kept as a template database.

Each run plays on a copy of it, so that the second run begins where the month begins.
"""

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import psycopg.errors
from zaicun_phone import Phone, Refused

from server import clock, migrate, runtime
from server.access import Role
from server.auth import service as auth
from server.cluster import APP_ROLE, OWNER_ROLE, Cluster
from server.db import Database
from server.demo.district import DISTRICT, District
from server.demo.office import Office, appoint, enrol, publish_boundaries, publish_policy
from server.demo.stage import Stage, raised
from server.settings import Settings

BEIJING = ZoneInfo("Asia/Shanghai")
READY, DATABASE = "zaicun_demo_ready", "zaicun_demo"
NAMED = ("500116101", "500116115")  # Two towns whose officers get an account.
EDITION = 2
"""Raise it when the set-up changes, so that what an earlier version prepared is made anew."""
HANDS = 16
AT_THE_DOOR = 4
"""Phones activated at once: hashing keeps a processor busy, so more only wait, and behind one address look like guessing."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A set-up district: passwords of offices by name, and of each phone its tokens and password, by staff number."""

    offices: dict[str, list[str]]  # name -> login, password
    phones: dict[str, list[str]]  # staff number -> access token, refresh token, password


def morning_before(month: date) -> datetime:
    """Return the instant of the set-up: nine o'clock on the day before the month."""
    return datetime.combine(month - timedelta(days=1), datetime.min.time(), BEIJING).replace(hour=9)


def prepare(
    settings: Settings, running: Cluster, district: District, month: date, say: Callable[[str], None]
) -> Prepared:
    """Return the set-up district, and leave a fresh copy of its database as DATABASE."""
    marker = settings.var / "ready.json"
    key = [EDITION, migrate.newest_revision(), month.isoformat(), len(district.people)]
    prepared = _kept(marker, key)
    if prepared is None or not _copied(running):
        marker.unlink(missing_ok=True)
        running.drop_database(READY)
        running.create_database(READY)
        owner = running.dsn(OWNER_ROLE, READY)
        migrate.upgrade(owner, APP_ROLE)
        given = replace(settings, database_url=running.dsn(APP_ROLE, READY), owner_database_url=owner)
        runtime.mark(given)
        with raised(given) as stage:
            stage.set(morning_before(month))
            clock.use(
                stage.now
            )  # What this process writes itself, the first administrator, is of that time too.
            prepared = _set_up(given, stage, district, month, say)
            clock.use(clock.system)
        marker.write_text(json.dumps({"key": key, "offices": prepared.offices, "phones": prepared.phones}))
        marker.chmod(0o600)
        _copied(running)
    else:
        say("沿用已准备好的区、花名册和账号 / the district was set up by an earlier run")
    return prepared


def _kept(marker: Path, key: list[Any]) -> Prepared | None:
    if not marker.exists():
        return None
    kept = json.loads(marker.read_text())
    return Prepared(kept["offices"], kept["phones"]) if kept["key"] == key else None


def _copied(running: Cluster) -> bool:
    """Make DATABASE a fresh copy of READY; False when there is none."""
    running.drop_database(DATABASE)
    try:
        running.create_database(DATABASE, template=READY)
    except psycopg.errors.InvalidCatalogName:
        return False
    return True


def _set_up(
    settings: Settings, stage: Stage, district: District, month: date, say: Callable[[str], None]
) -> Prepared:
    offices = _offices(settings, stage)
    publish_boundaries(offices["甲"], offices["乙"], district, settings.var, say)
    publish_policy(offices["甲"], offices["乙"], month)
    codes = enrol(offices["甲"], district)
    say(f"花名册已导入，{len(codes)} 个账号已建，激活条已生成")

    notice = offices["甲"].ask("GET", "/v1/notice")["digest"]

    def activated(number: str) -> tuple[str, list[str]]:
        phone = Phone(stage.url, clock=stage.now, label="zaicun-phone/1.0 (demo)")
        password = secrets.token_urlsafe(9)
        try:
            phone.activate(number.lower(), codes[number.lower()], password, notice)
        except Refused as refused:
            if refused.problem.get("code") != "code-refused":
                raise
            # The code was spent, and the answer that said so did not come.
            phone.login(number.lower(), password)
        phone.close()
        return number, [phone.access or "", phone.refresh or "", password]

    numbers = [person.number for person in district.people if person.number.lower() in codes]
    with ThreadPoolExecutor(AT_THE_DOOR) as pool:
        phones = dict(pool.map(activated, numbers))
    say(f"{len(phones)} 部虚拟手机已激活")
    return Prepared({name: [office.login, office.password] for name, office in offices.items()}, phones)


def _offices(settings: Settings, stage: Stage) -> dict[str, Office]:
    database = Database(settings.database_url, pool_size=1)
    with database.write() as session:
        made = auth.first_administrator(session, "admin", "系统管理员")
        login, code = made.account.login, made.code
    database.close()
    admin = Office(stage.url, login).activate(code)
    found = {"管理员": admin}
    for key, login in (("甲", "district-a"), ("乙", "district-b")):
        found[key] = appoint(
            admin, stage.url, login=login, name=f"区委组织部 {key}", role=Role.DISTRICT, region=DISTRICT
        )
    for town in NAMED:
        found[f"镇 {town}"] = appoint(
            found["甲"], stage.url, login=f"town-{town}", name="镇党委专人", role=Role.TOWN, region=town
        )
    return found
