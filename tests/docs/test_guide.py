"""guide.md: what it runs runs, what it names exists, what it says in numbers is so."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ROOT, Service
from docs import contract
from docs.replaying import answers_by_reason
from factories_checkins import Cadre, World, make_cadre, make_world
from pyproj import Geod
from zaicun_phone import BEIJING

from geo.datum import Datum, from_wgs84
from geo.fix import MAX_ACCURACY_M, MAX_AGE_S, PositionFault
from geo.verdict import SENTENCES, Band, Reason, VerdictKind
from server import envelope, pages, problems
from server.attachments import rules as attachment_rules
from server.auth import codes, nonces, rules
from server.auth import routes as auth_routes
from server.auth.models import Account
from server.auth.rules import PasswordFault
from server.checkins import instants, signing, storing
from server.checkins import routes as checkin_routes
from server.checkins import rules as checkin_rules
from server.checkins import schemas as checkin_schemas
from server.checkins.intake import BODY_KEPT
from server.checkins.judging import FALLBACK
from server.checkins.rules import DOUBLE_TAP
from server.checkins.schemas import CheckInIn, PositionIn
from server.checkins.writer import ANSWER_WITHIN_S
from server.corrections.rules import AppealKind, State
from server.month.reasons import SENTENCES as DAY_SENTENCES
from server.month.rules import ResultKind, Tier
from server.places.zone_routes import FINEST_M
from server.review.rules import ReviewState
from server.settings import Settings

GUIDE = (ROOT / "mobile_api_docs" / "guide.md").read_text("utf-8")
PASSWORD = "江边的老黄葛树1987"
RUN = {"bash", "python"}


@dataclass(frozen=True)
class Fence:
    """A block of code: what is said after its backticks, its text, and the line where it begins."""

    said: str
    text: str
    line: int


@cache
def fences() -> tuple[Fence, ...]:
    found = re.finditer(r"^```([^\n]+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return tuple(Fence(f[1], f[2], GUIDE[: f.start()].count("\n") + 2) for f in found)


@cache
def prose() -> str:
    return re.sub(r"^```.*?^```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL)


@cache
def spans() -> frozenset[str]:
    return frozenset(re.findall(r"`([^`\n]+)`", prose()))


# --- what runs


def test_every_block_of_code_is_run_or_checked() -> None:
    for fence in fences():
        assert fence.said in RUN or re.fullmatch(r"json example [a-z-]+ (request|\d{3})", fence.said), fence
    assert GUIDE.count("```") == 2 * len(fences())  # No block without a word after its backticks.


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def enrolled(service: Service, world: World) -> tuple[Cadre, str, str]:
    """A person with a slip: the account, its login and its code."""
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        account = session.get_one(Account, cadre.account.id)
        return cadre, account.login, codes.make(session, None, account).code


def _month() -> str:
    return datetime.now(BEIJING).strftime("%Y-%m")


def test_the_python_of_the_guide_runs(
    service: Service, enrolled: tuple[Cadre, str, str], tmp_path: Path
) -> None:
    cadre, login, code = enrolled
    known: dict[str, Any] = {
        "SERVER": service.url, "STORE": tmp_path, "LOGIN": login, "CODE": code, "PASSWORD": PASSWORD, "MONTH": _month(),
    }  # fmt: skip
    for fence in fences():
        if fence.said == "python":
            padded = "\n" * (fence.line - 1) + fence.text  # So that a traceback shows the guide's own line.
            exec(compile(padded, "guide.md", "exec"), known)  # noqa: S102  The guide's code is ours.
    known["phone"].close()
    with service.database.read() as session:
        query = sa.text("SELECT id, commitment FROM checkins WHERE person_id = :p")
        stored = {
            row.id: bytes(row.commitment or b"") for row in session.execute(query, {"p": cadre.person_id})
        }
    assert stored[known["made"]] == known["kept"]  # The guide's arithmetic is the server's.
    assert len(stored) == 6


def test_the_commands_of_the_guide_run(
    service: Service, enrolled: tuple[Cadre, str, str], tmp_path: Path
) -> None:
    cadre, login, code = enrolled
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SERVER": service.url, "LOGIN": login, "CODE": code, "PASSWORD": PASSWORD, "MONTH": _month(),
    }  # fmt: skip
    text = "set -euo pipefail\n" + "".join(fence.text for fence in fences() if fence.said == "bash")
    done = subprocess.run(
        ["bash", "-c", text],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "已激活" in done.stdout
    assert '"verdict": "inside"' in done.stdout
    assert '"verdict": "unusable"' in done.stdout
    assert re.findall(r'"basis": "([a-z-]+)"', done.stdout)[:2] == ["running-clock", "anchor"]
    assert re.findall(r"waiting: (\d)", done.stdout) == ["0", "1", "0"]
    with service.database.read() as session:
        query = sa.text("SELECT count(*) FROM checkins WHERE person_id = :p")
        assert session.execute(query, {"p": cadre.person_id}).scalar_one() == 2


@pytest.mark.parametrize(
    "fence",
    [pytest.param(f, id=f"line {f.line}") for f in fences() if f.said.startswith("json")],
)
def test_the_json_of_the_guide_fits_the_interface(fence: Fence) -> None:
    _, _, operation_id, kind = fence.said.split()
    operation = next(each for _, _, each in contract.operations() if each["operationId"] == operation_id)
    value = json.loads(fence.text)
    if kind == "request":
        assert contract.request_faults(operation, value) == []
        return
    (content,) = operation["responses"][kind]["content"].values()
    assert contract.faults(content["schema"], value) == []


# --- what is named


def _names(node: object) -> set[str]:
    """Return every property, parameter and enumerated value of the OpenAPI document."""
    found: set[str] = set()
    if isinstance(node, dict):
        found |= set(node.get("properties", {}))
        found |= {value for value in node.get("enum", []) if isinstance(value, str)}
        if "in" in node and "name" in node:
            found.add(node["name"])
        if isinstance(node.get("const"), str):
            found.add(node["const"])
        for each in node.values():
            found |= _names(each)
    elif isinstance(node, list):
        for each in node:
            found |= _names(each)
    return found


def test_every_address_exists() -> None:
    named = re.findall(r"\b(GET|PUT|POST|PATCH|DELETE) (/v1/[^\s`]+)", GUIDE)
    assert len(named) > 20
    assert [each for each in named if contract.operation_of(*each) is None] == []
    for address in re.findall(r"/v1/[A-Za-z0-9_/{}-]+", prose()):
        assert any(contract.operation_of(method, address) for method in contract.METHODS), address


def test_every_code_and_field_exists() -> None:
    codes_known = {
        str(value)
        for kind in (
            *(Reason, VerdictKind, Band, Tier, ResultKind, PositionFault, PasswordFault),
            *(instants.TimeBasis, instants.Doubt),
        )
        for value in kind
    }
    codes_known |= {
        str(value)
        for value in (
            *checkin_rules.Standing,
            *checkin_rules.NoPosition,
            *checkin_rules.Cause,
            *(*ReviewState, *AppealKind, *State),
            *DAY_SENTENCES,
        )
    }
    codes_known |= (
        set(problems.registry())
        | set(attachment_rules.REFUSALS)
        | {"no-position-required", "clock-unreadable"}
    )
    names = _names(contract.document())
    for span in spans():
        for part in span.split("."):
            if re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", part):
                assert part in codes_known, span
            elif re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", part) and "/" not in span:
                assert part in names or part in codes_known or part == "zaicun_phone", span


def test_every_verdict_and_reason_is_explained_as_the_server_says_it() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w-]+)` \| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|$", GUIDE, re.MULTILINE
    )
    rows = [row for row in rows if row[0] != "verdict"]  # The head of the table.
    found = {reason: (verdict, standing, zh, en) for verdict, reason, standing, zh, en in rows}
    assert {verdict for verdict, *_ in rows} == {str(kind) for kind in VerdictKind}
    answered = answers_by_reason()
    for reason, sentence in SENTENCES.items():
        verdict, standing, zh, en = found[str(reason)]
        assert (zh, en) == (sentence.zh, sentence.en)
        assert (verdict, standing) in answered[str(reason)]  # As the replayed examples were really answered.
    assert len(found) == len(SENTENCES)


def test_every_reason_of_a_day_is_explained_as_the_server_says_it() -> None:
    for reason, (zh, en) in DAY_SENTENCES.items():
        assert f"| `{reason}` | {zh} | {en} |" in GUIDE


def test_the_table_of_refusals_gives_their_status() -> None:
    section = _section("18")
    rows = re.findall(r"^\| `([\w-]+)` \| (\d{3}) \|", section, re.MULTILINE)
    assert len(rows) > 10
    assert {code: int(status) for code, status in rows} == {
        code: problems.registry()[code].status for code, _ in rows
    }


def test_every_field_of_a_check_in_is_explained_and_required_as_said() -> None:
    section = _section("4")
    rows = dict(re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section, re.MULTILINE))
    said = {name: need for names, need in rows.items() for name in re.findall(r"`([\w.]+)`", names)}
    for prefix, model in (("", CheckInIn), ("position.", PositionIn)):
        for name, field in model.model_fields.items():
            need = said.pop(prefix + name)
            # What outdated apps alone may leave unsaid, and for a time, is required of whoever reads the guide.
            required = field.is_required() or name in {"datum", "age_s"}
            assert need.startswith("是" if required else ("否", "无定位")), name
    assert said == {}


def test_whatever_a_cadre_can_list_is_named(service: Service, world: World) -> None:
    cadre = make_cadre(service, world)
    open_to_cadres = set()
    with service.as_(cadre.token) as client:
        for method, path, operation in contract.operations():
            asked = [each for each in operation.get("parameters", []) if each.get("required")]
            if method == "get" and not asked and client.get(path).status_code == 200:
                open_to_cadres.add(path)
    assert {path for path in open_to_cadres if f"GET {path}`" not in GUIDE} == set()


def test_every_way_to_have_no_position_is_named() -> None:
    assert {f"`{reason}`" for reason in checkin_rules.NoPosition} <= set(re.findall(r"`\w+`", _section("7")))


# --- what is said in numbers


def _section(number: str) -> str:
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, number
    return found[0]


LIMITS = {
    "body of a check-in": f"{checkin_routes.BODY_LIMITS['/v1/check-ins/']} bytes",
    "body of a queue": f"{checkin_routes.BODY_LIMITS['/v1/check-ins/batch']} bytes",
    "check-ins in a queue": f"{checkin_schemas.MOST_QUEUED}",
    "body of activating, logging in, refreshing, a new password": f"{auth_routes.BODY_LIMIT} bytes",
    "any other JSON body": f"{envelope.LARGEST_BODY} bytes",
    "body without a good token": f"{envelope.FREE_BODY} bytes",
    "items on a page": f"{pages.LARGEST}",
    "address, path and query": f"{envelope.LONGEST_URL} bytes",
    "header fields": f"{envelope.MOST_HEADERS}",
    "header fields together": f"{envelope.LARGEST_HEADERS} bytes",
    "reading": f"{Settings().quota_read} a minute",
    "writing": f"{Settings().quota_write} a minute",
    "heavy work": f"{Settings().quota_heavy} a minute",
    "a preflight is remembered": f"{envelope.PREFLIGHT_LASTS_S} seconds",
    "note": "500 characters",
    "access token": f"{rules.ACCESS_LIFE.seconds // 60} minutes",
    "refresh token, unused": f"{rules.REFRESH_IDLE.days} days",
    "a session": f"{rules.REFRESH_LIFE.days} days",
    "fetching a lost refresh again": f"{rules.REFRESH_GRACE.seconds} seconds",
    "one-time code": f"{rules.CODE_LIFE.days * 24} hours",
    "code shown by an own phone": f"{rules.DEVICE_CODE_LIFE.seconds // 60} minutes",
    "code given by the town": f"{rules.TOWN_CODE_LIFE.days * 24} hours",
    "wrong tries of such a code": f"{rules.DEVICE_CODE_TRIES}",
    "confirmed phones": f"{rules.MOST_TRUSTED}",
    "signature of a check-in (JWS)": f"{signing.LONGEST} characters",
    "a `DPoP-Nonce` stands at least": f"{nonces.LIFE.seconds // 60} minutes",
    "`device_hint`, unused": f"{rules.HINT_LIFE.days} days",
    "age of a fix": f"{MAX_AGE_S:.0f} seconds",
    "accuracy of a fix": f"{MAX_ACCURACY_M:.0f} metres",
    "tolerance of the phone's clock": f"{instants.CLOCK_TOLERANCE.seconds // 60} minutes",
    "counted as late": f"{instants.LATE_AFTER.seconds // 60} minutes",
    "age of what is claimed": f"{FALLBACK.claimed_max_hours} hours",
    "withdrawing": f"{FALLBACK.withdraw_minutes} minutes",
    "refused attempts kept": f"{storing.ATTEMPTS_A_DAY} a day",
}


def test_the_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", _section("20"), re.MULTILINE)
    assert dict(rows) | {"what": "上限 limit", "---": "---"} == LIMITS | {"what": "上限 limit", "---": "---"}


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("1", f"{rules.SHORTEST_PASSWORD} 至 {rules.LONGEST_PASSWORD} 个字符"),
        ("1", f"{rules.SHORTEST_PASSWORD} to {rules.LONGEST_PASSWORD} characters"),
        ("1", f"激活码 {rules.CODE_LIFE.days * 24} 小时内有效"),
        ("1", f"within {rules.CODE_LIFE.days * 24} hours"),
        ("3", f"访问令牌 {rules.ACCESS_LIFE.seconds // 60} 分钟有效"),
        ("3", f"lasts {rules.ACCESS_LIFE.seconds // 60} minutes"),
        ("3", f"{rules.REFRESH_GRACE.seconds} 秒内"),
        ("3", f"within {rules.REFRESH_GRACE.seconds} seconds"),
        ("3", f"after {rules.REFRESH_IDLE.days} days without"),
        ("9", f"within {ANSWER_WITHIN_S + 0.5:.0f} seconds"),
        ("10", f"up to {instants.CLOCK_TOLERANCE.seconds // 60} minutes"),
        ("10", f"before {instants.EARLIEST.year}"),
        ("10", f"older than {FALLBACK.claimed_max_hours} hours"),
        ("10", f"超过 {FALLBACK.claimed_max_hours} 小时"),
        ("12", f"超过 {MAX_AGE_S:.0f} 秒"),
        ("12", f"than {MAX_ACCURACY_M:.0f} m"),
        ("15", f"{FALLBACK.withdraw_minutes} 分钟内可撤回"),
        ("15", f"within {FALLBACK.withdraw_minutes} minutes"),
        ("15", f"first {BODY_KEPT} bytes"),
        ("15", f"`limit` 1 to {pages.LARGEST} (default 50)"),
        ("16", f"simplify_m={FINEST_M}"),
    ],
)
def test_a_number_in_the_text_is_that_of_the_code(section: str, text: str) -> None:
    assert text in re.sub(r"\s+", " ", _section(section))


def test_a_double_tap_is_two_minutes() -> None:
    assert DOUBLE_TAP.seconds == 120
    assert "两分钟内点了两次" in _section("15")


def test_the_wrong_datum_is_as_far_off_as_is_said() -> None:
    lon, lat = 106.2593, 29.2900  # The district's seat.
    shifted = from_wgs84(lon=lon, lat=lat, datum=Datum.GCJ02)
    metres = Geod(ellps="WGS84").inv(lon, lat, shifted.lon, shifted.lat)[2]
    assert metres == pytest.approx(482, abs=1)
    assert "482 m off" in _section("11")
    assert "偏 482 米" in _section("11")


def test_every_section_says_it_in_both_languages() -> None:
    for section in re.split(r"^## ", prose(), flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        assert " · " in title
        assert len(re.findall(r"[一-鿿]", section)) > 40, title
        assert len(re.findall(r"[A-Za-z]{3,}", section)) > 40, title
