"""A typed client is generated from openapi.json by a stock generator, compiles, and talks to the server."""

import compileall
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Service
from docs import contract
from factories_checkins import make_cadre, make_world

from server.auth import codes
from server.auth.models import Account

pytestmark = pytest.mark.slow
PASSWORD = "江边的老黄葛树1987"
CONFIG = """\
package_name_override: zaicun_client
content_type_overrides:  # Files are bytes to this generator, whatever is in them.
  text/csv: application/octet-stream
  application/vnd.openxmlformats-officedocument.spreadsheetml.sheet: application/octet-stream
  application/partial-upload: application/octet-stream
  application/pdf: application/octet-stream
  image/jpeg: application/octet-stream
  image/png: application/octet-stream
"""
MYPY = """\
[mypy]
strict = true
[mypy-zaicun_client.client]
ignore_errors = true
"""  # Of the generator's own template, which hands __exit__ untyped arguments; all that is ours is checked strictly.
SMOKE = """\
import sys
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

from zaicun_client import AuthenticatedClient, Client
from zaicun_client.api.auth import auth_activate, auth_login
from zaicun_client.api.check_ins import checkins_get, checkins_list, checkins_put
from zaicun_client.api.me import auth_me
from zaicun_client.api.months import months_list, months_own
from zaicun_client.api.places import places_regions
from zaicun_client.api.privacy import notices_current
from zaicun_client.models import (
    ActivateIn, CheckInIn, CheckInOut, Datum, LoginIn, MeOut, NoticeOut, PageOwnCheckInOut, PageRegionOut, PersonMonthOut, PositionIn,
    Problem, WelcomeOut,
)

server, login, code, password = sys.argv[1:]
with Client(base_url=server, raise_on_unexpected_status=True) as stranger:
    notice = notices_current.sync(client=stranger)
    assert isinstance(notice, NoticeOut), notice
    given = ActivateIn(login=login, code=code, password=password, notice=notice.digest)
    welcome = auth_activate.sync(client=stranger, body=given)
    assert isinstance(welcome, WelcomeOut), welcome
    spent = auth_activate.sync_detailed(client=stranger, body=given)
    assert isinstance(spent.parsed, Problem) and (spent.status_code, spent.parsed.code) == (401, "code-refused")
    again = auth_login.sync(client=stranger, body=LoginIn(login=login, password=password))
    assert isinstance(again, WelcomeOut), again

with AuthenticatedClient(base_url=server, token=again.access_token, raise_on_unexpected_status=True) as client:
    me = auth_me.sync(client=client)
    assert isinstance(me, MeOut) and me.account.login == login, me

    now = datetime.now(timezone(timedelta(hours=8)))
    fix = PositionIn(age_s=2.0, datum=Datum.WGS84, lon=106.2071234, lat=28.9081234, accuracy_m=12.0)
    made: list[UUID] = []
    for number in range(3):
        at = now - timedelta(minutes=number)
        body = CheckInIn(captured_at=at, sent_at=now, utc_offset_min=480, position=fix)
        kept = checkins_put.sync(uuid4(), client=client, body=body)
        assert isinstance(kept, CheckInOut) and kept.verdict == "inside", kept
        made.append(kept.id)
    replay = checkins_put.sync_detailed(made[-1], client=client, body=body)
    assert (replay.status_code, replay.headers["idempotent-replay"]) == (200, "true")

    listed: list[UUID] = []
    page = checkins_list.sync(client=client, limit=2)
    while True:
        assert isinstance(page, PageOwnCheckInOut), page
        listed += [item.id for item in page.items]
        if not page.next_cursor:
            break
        page = checkins_list.sync(client=client, limit=2, cursor=page.next_cursor)
    assert sorted(listed) == sorted(made)

    month = months_own.sync(f"{now:%Y-%m}", client=client)
    assert isinstance(month, PersonMonthOut), month
    regions = places_regions.sync(client=client)
    assert isinstance(regions, PageRegionOut) and regions.items, regions

    unknown = checkins_get.sync_detailed(uuid4(), client=client)
    assert isinstance(unknown.parsed, Problem) and (unknown.status_code, unknown.parsed.code) == (404, "not-found")
    assert unknown.parsed.title_zh and unknown.parsed.title_en
    refused = months_list.sync_detailed(f"{now:%Y-%m}", client=client)
    assert isinstance(refused.parsed, Problem) and refused.parsed.code == "forbidden", refused
"""


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    """Return what the generator needs: it formats with the ruff that stands beside it."""
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package zaicun_client; the generator warned of nothing."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "config.yaml").write_text(CONFIG, "utf-8")
    (folder / "mypy.ini").write_text(MYPY, "utf-8")
    (folder / "smoke.py").write_text(SMOKE, "utf-8")
    document = ROOT / "mobile_api_docs" / "openapi.json"
    program = Path(sys.executable).with_name("openapi-python-client")
    run(
        program, "generate", "--path", document, "--config", "config.yaml", "--meta", "none",
        "--output-path", "zaicun_client", "--fail-on-warning", cwd=folder,
    )  # fmt: skip
    return folder


def test_every_operation_is_generated_and_compiles(generated: Path) -> None:
    modules = {path.stem for path in generated.glob("zaicun_client/api/*/*.py")} - {"__init__"}
    assert modules == {name.replace("-", "_") for name in contract.operation_ids()}
    assert compileall.compile_dir(generated / "zaicun_client", quiet=2)


def test_its_types_hold_and_so_does_a_program_written_with_them(generated: Path) -> None:
    run(sys.executable, "-m", "mypy", "-p", "zaicun_client", cwd=generated)
    run(sys.executable, "-m", "mypy", "smoke.py", cwd=generated)


def test_a_person_lives_a_day_with_it(service: Service, generated: Path) -> None:
    cadre = make_cadre(service, make_world(service))
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        code = codes.make(session, None, account).code
    run(sys.executable, "smoke.py", service.url, account.login, code, PASSWORD, cwd=generated)
