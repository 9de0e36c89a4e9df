"""The notice about personal information (告知书): read before the first use, asked for again, and never in the way."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from conftest import ROOT, Service, SetClock
from factories_auth import make_account, tokens_for
from factories_checkins import LONG_AGO, Cadre, World, check_in, make_cadre, make_world, renewed
from factories_login import PASSWORD, log_in, new_code

from server import ids
from server.access import Role
from server.audit import AuditEntry
from server.auth.models import Account
from server.checkins.judging import FALLBACK
from server.cli import main
from server.notices.models import NoticeAcceptance
from server.notices.service import default
from server.privacy import data_map

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World, clock: SetClock) -> Cadre:
    clock.set(NOON)
    return make_cadre(service, world)


def activate(service: Service, name: str, code: str, **more: object) -> httpx.Response:
    body = {"login": name, "code": code, "password": PASSWORD, "client": "小米 14", **more}
    return service.client.post("/v1/auth/activate", json=body)


def own(service: Service, account: Account, path: str = "/v1/me/notices") -> Json:
    with service.as_(tokens_for(service, account).access_token) as phone:
        found: Json = phone.get(path).raise_for_status().json()
    return found


def publish(service: Service, folder: Path, region: str, version: str, *more: str, zh: str = "新版") -> str:
    """Publish a version on the command line, as the district does; return what the command says."""
    folder.joinpath("zh.md").write_text(f"{zh} {version}", "utf-8")
    folder.joinpath("en.md").write_text(f"New: {version}", "utf-8")
    given = {"ZAICUN_DATABASE_URL": service.app.state.settings.database_url, "ZAICUN_TEST_VAR": None}
    texts = ["--zh", str(folder / "zh.md"), "--en", str(folder / "en.md")]
    asked = ["notice", "publish", "--region", region, "--version", version, *texts, *more]
    return CliRunner(env={**given, "ZAICUN_VAR": str(folder)}).invoke(main, asked).output


def test_whoever_begins_has_accepted_the_very_text_that_is_in_force(service: Service, cadre: Cadre) -> None:
    shown = service.client.get("/v1/notice").json()
    whole = f"{shown['text_zh']}\0{shown['text_en']}".encode()
    assert shown["digest"] == hashlib.sha256(whole).hexdigest()
    assert service.client.get(f"/v1/notices/{shown['digest']}").json() == shown

    login, code = cadre.account.login, new_code(service, cadre.account)
    for wrong in ({}, {"notice": None}, {"notice": "0" * 64}):
        refused = activate(service, login, code, **wrong)
        told = refused.json()
        assert (refused.status_code, told["code"], told["digest"]) == (
            409,
            "notice-not-accepted",
            shown["digest"],
        )
    # A stranger without the code learns nothing of whether somebody accepted.
    assert activate(service, login, "AAAA-BBBB-CCCC").json()["code"] == "code-refused"
    assert own(service, cadre.account)["accepted"] == []
    assert (
        activate(service, login, code, notice=shown["digest"]).status_code == 200
    )  # The code was not spent.

    told = own(service, cadre.account)
    [accepted] = told["accepted"]
    assert told["asked"] is None
    assert (accepted["version"], accepted["digest"], accepted["client"]) == (
        shown["version"], shown["digest"], "小米 14",
    )  # fmt: skip
    assert datetime.fromisoformat(accepted["at"]) == NOON
    with service.database.read() as session:
        query = sa.select(AuditEntry).where(AuditEntry.subject_id == str(cadre.account.id))
        entry = session.scalars(query.where(AuditEntry.deed == "auth:activate")).one()
    assert entry.details["notice"] == shown["digest"]


def test_officials_of_whom_no_days_are_recorded_begin_without(service: Service, world: World) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.TOWN, region=world.town, valid_from=LONG_AGO)
    assert activate(service, account.login, new_code(service, account)).status_code == 200
    assert own(service, account)["asked"]["digest"] == default().digest  # They may, at any time.


def test_whoever_began_before_there_were_notices_is_asked_and_not_stopped(
    service: Service, cadre: Cadre
) -> None:
    with service.database.write() as session:
        session.get_one(Account, cadre.account.id).password_changed_at = NOON
    assert own(service, cadre.account, "/v1/me/sync")["notice"]["overdue"] is False
    assert activate(service, cadre.account.login, new_code(service, cadre.account)).status_code == 200


def test_a_new_version_is_asked_for_and_stops_nothing(
    service: Service, clock: SetClock, tmp_path: Path
) -> None:
    """A check-in made in a valley is taken whatever was published meanwhile, long after the last day as well."""
    world = make_world(service, town="500116131")
    clock.set(NOON)
    cadre, other = make_cadre(service, world), make_cadre(service, world)
    for each in (cadre, other):
        code = new_code(service, each.account)
        activate(service, each.account.login, code, notice=default().digest).raise_for_status()
    refresh = tokens_for(service, cadre.account).refresh_token
    made = [check_in(NOON), check_in(NOON)]  # Made before, and sent after the last day.
    assert own(service, cadre.account, "/v1/me/sync")["notice"] is None

    assert "published" in publish(service, tmp_path, world.town, "2", "--until", "2026-12-10")
    asked = own(service, cadre.account, "/v1/me/sync")["notice"]
    assert (asked["version"], asked["until"], asked["overdue"]) == ("2", "2026-12-10", False)
    assert activate(service, other.account.login, new_code(service, other.account)).status_code == 200
    clock.set("2026-12-11T04:00:00+00:00")
    assert own(service, cadre.account, "/v1/me/sync")["notice"] == asked | {"overdue": True}

    # Nothing that a phone needs is refused ...
    assert log_in(service, cadre.account.login, PASSWORD).status_code == 200
    renewal = service.client.post("/v1/auth/refresh", json={"refresh_token": refresh})
    assert renewal.status_code == 200
    with service.as_(renewal.json()["access_token"]) as phone:
        one, queued = ({**each, "sent_at": clock().isoformat()} for each in made)
        assert phone.put(f"/v1/check-ins/{ids.new_id()}", json=one).status_code == 201
        queue = {"sent_at": queued.pop("sent_at"), "items": [{**queued, "id": str(ids.new_id())}]}
        [result] = phone.post("/v1/check-ins/batch", json=queue).raise_for_status().json()["items"]
        assert result["status"] == 201
    # ... only a new beginning waits for it.
    code = new_code(service, other.account)
    assert activate(service, other.account.login, code).json()["digest"] == asked["digest"]
    assert activate(service, other.account.login, code, notice=asked["digest"]).status_code == 200


def test_what_was_read_in_a_valley_is_taken_later_and_once(
    service: Service, clock: SetClock, tmp_path: Path
) -> None:
    world = make_world(service, town="500116132")
    clock.set(NOON)
    cadre = make_cadre(service, world)
    publish(service, tmp_path, world.town, "2")
    second = own(service, cadre.account)["asked"]["digest"]
    clock.move(minutes=1)
    publish(service, tmp_path, world.town, "3")
    third = own(service, cadre.account)["asked"]["digest"]
    with service.as_(renewed(service, cadre).token) as phone:
        for _ in range(2):
            told = phone.put(f"/v1/me/notices/{second}").raise_for_status().json()
            assert [each["version"] for each in told["accepted"]] == ["2"]
            assert told["asked"]["digest"] == third
        clock.move(minutes=1)
        told = phone.put(f"/v1/me/notices/{third}").raise_for_status().json()
        assert ([each["version"] for each in told["accepted"]], told["asked"]) == (["3", "2"], None)
        assert phone.put(f"/v1/me/notices/{'0' * 64}").status_code == 404
        assert phone.put("/v1/me/notices/2").status_code == 422
        exported = phone.get("/v1/me/export").json()["sections"]
    rows = next(each["rows"] for each in exported if each["name"] == "notice_acceptances")
    assert {row["digest"] for row in rows} == {second, third}
    with service.database.read() as session:
        deeds = sa.select(AuditEntry).where(AuditEntry.actor_id == cadre.account.id)
        assert len(session.scalars(deeds.where(AuditEntry.deed == "notice:accept")).all()) == 2
        kept = session.scalars(sa.select(NoticeAcceptance.account_id).where(NoticeAcceptance.digest == third))
        assert kept.all() == [cadre.account.id]
    assert (
        service.client.get(f"/v1/notices/{second}").json()["text_zh"] == "新版 2"
    )  # The text that was read stays.


def test_a_version_is_published_once_with_time_to_hear_of_it(
    service: Service, clock: SetClock, tmp_path: Path
) -> None:
    clock.set(NOON)
    region = "500116133"
    soon = publish(service, tmp_path, region, "2", "--until", "2026-11-29")
    assert "2026-11-30" in soon  # A fortnight from the 16th.
    assert "published" in publish(service, tmp_path, region, "2", "--until", "2026-11-30")
    assert "never changed" in publish(service, tmp_path, region, "2", zh="改过的")
    digest = hashlib.sha256("新版 2\0New: 2".encode()).hexdigest()
    with service.database.write() as session:
        account = make_account(session, region=region)
    assert own(service, account)["asked"]["digest"] == digest


def test_the_products_own_notice_says_what_the_data_map_and_the_policy_do() -> None:
    folder = ROOT / "server" / "notices"
    zh, en = (folder.joinpath(f"notice.{language}.md").read_text("utf-8") for language in ("zh", "en"))
    assert (default().text_zh, default().text_en) == (zh, en)
    days = data_map.purged()
    assert days["checkin_attempts"] == days["looks"] == 2 * 365
    assert days["sessions"] == 365
    for said in (
        "未被接受的签到、查看记录：两年",
        "登录记录：结束后一年",
        f"默认 {FALLBACK.fade_after_months} 个月",
    ):
        assert said in zh
    for said in (
        "Refused check-ins and looks: two years",
        "Logins: a year",
        f"({FALLBACK.fade_after_months} by default)",
    ):
        assert said in en
    heads = [re.findall(r"^##? ", text, re.MULTILINE) for text in (zh, en)]
    assert heads[0] == heads[1]
    assert len((zh + en).encode()) < 8192  # It is fetched over a bad line.
