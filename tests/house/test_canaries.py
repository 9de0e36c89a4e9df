"""No value that a person sends is found again where operators look (security.md M18).

A canary is planted in every input of every operation that OpenAPI knows, by strangers and by every role, in requests
that fit and in those that do not; then they are looked for in the log at its most talkative, the metrics, the audit
entries, what PostgreSQL shows of running statements, its own log, and the refusals.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from conftest import Service
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, check_in, make_cadre, make_world, position
from processes import Processes

from server.access import Role
from server.audit import AuditEntry

pytestmark = pytest.mark.slow
WORD = "CANARYqz7Wd"
LON, LAT = 106.2071828, 28.9081415
PHONE, CITIZEN = "13987650042", "500116199003079876"
NAME = "卡纳里雀"
BIRDS = re.compile(
    r"canaryqz7wd|106\.2071828|28\.9081415|106\.2071|28\.9081|1062071828|289081415|13987650042|500116199003079876|"
    r"卡纳里雀|\\u5361\\u7eb3\\u91cc\\u96c0|%E5%8D%A1%E7%BA%B3",
    re.IGNORECASE,
)
HEADERS = {
    "User-Agent": f"{WORD}-agent",
    "X-Request-Id": f"{WORD}-request",
    "X-Forwarded-For": f"203.0.113.9, {WORD}",
    "Zaicun-Client": f"{WORD}/1.0.0",
    "Cookie": f"session={WORD}",
    "If-None-Match": f'"{WORD}"',
    "Referer": f"https://example.invalid/{WORD}?lon={LON}",
}


@dataclass
class Planter:
    """Makes bodies from the document's schemas, with a canary wherever a value is free."""

    document: dict[str, Any]
    seen: set[str] = field(default_factory=set)

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                return self.resolved(next(each for each in schema[key] if each.get("type") != "null"))
        return schema

    def value(self, schema: dict[str, Any], name: str = "") -> Any:  # noqa: PLR0911  One line a kind of value.
        schema = self.resolved(schema)
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object":
                return {key: self.value(each, key) for key, each in schema.get("properties", {}).items()}
            case "array":
                return [self.value(schema.get("items", {}), name)]
            case "integer":
                return int(schema.get("minimum", schema.get("exclusiveMinimum", 0))) + 1
            case "number":
                return LAT if name.startswith("lat") else LON
            case "boolean":
                return True
            case "string":
                return self.text(schema, name)
        return WORD

    def text(self, schema: dict[str, Any], name: str) -> str:
        by_format = {"uuid": str(uuid4()), "date": "2026-10-01", "date-time": datetime.now(UTC).isoformat()}
        by_name = {
            "phone": PHONE,
            "region": "500116101",
            "village_code": "500116101201",
            "number": f"{WORD}{name}",
        }
        if schema.get("format") in by_format:
            return by_format[schema["format"]]
        if name in by_name:
            return by_name[name]
        if "name" in name or name == "title":
            return f"{NAME}{uuid4().hex[:4]}"
        return f"{WORD}-{name}-{CITIZEN}"[: schema.get("maxLength", 60)]


@dataclass
class Sent:
    """One request and what came back."""

    operation: str
    status: int
    answer: httpx.Response


def requests_of(planter: Planter) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield operation, method, path and what is sent: as the document asks, and broken in three ways."""
    for template, operations in planter.document["paths"].items():
        for method, operation in operations.items():
            query = {p["name"]: WORD for p in operation.get("parameters", ()) if p["in"] == "query"}
            fitting = re.sub(r"\{(\w+)\}", lambda hit: _id(hit[1]), template)
            broken = re.sub(r"\{\w+\}", f"{WORD}{NAME}", template)
            match = {"If-Match": '"1"'}
            content = operation.get("requestBody", {}).get("content", {})
            name = operation["operationId"]
            if "application/json" in content:
                body = planter.value(content["application/json"]["schema"])
                yield name, method, fitting, {"json": body, "headers": match}
                wrong = {key: [WORD, LON] for key in body} | {f"{WORD}-unknown": CITIZEN}
                yield name, method, fitting, {"json": wrong, "headers": {"If-Match": f'"{WORD}"'}}
                kind = {"Content-Type": "application/json"}
                yield (
                    name,
                    method,
                    broken,
                    {"content": f'{{"{WORD}": "{NAME}", {LON}'.encode(), "headers": kind},
                )
            else:
                for media in content or {"": None}:
                    text = f"编号,姓名,{WORD}\n{CITIZEN},{NAME},{PHONE},{LON},{LAT}\n" * 3
                    given = {"content": text.encode(), "headers": {"Content-Type": media}} if media else {}
                    yield name, method, fitting, {"headers": match, **given}
                    yield name, method, fitting, {"params": query, **given}
                    yield name, method, broken, {"params": query, **given}


def _id(name: str) -> str:
    known = {"code": "500116101201", "month": "2026-10", "year": "2026"}
    return known.get(name, str(uuid4()))


def tokens(service: Service) -> dict[str, str]:
    world = make_world(service)
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        people = {
            name: make_account(session, role=role, region="500116", valid_from=LONG_AGO)
            for name, role in (("district", Role.DISTRICT), ("town", Role.TOWN))
        } | {"admin": make_account(session, role=Role.ADMIN, valid_from=LONG_AGO)}
    made = {name: token_for(service, account) for name, account in people.items()}
    return {"cadre": cadre.token, **made, "nobody": "", "forged": f"{WORD}.{WORD}.{WORD}"}


def fitting_requests() -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield requests that succeed, so that what is stored carries canaries as well: who, operation, method, path, what."""
    fix = position(lon=LON, lat=LAT)
    now = datetime.now(UTC)
    yield "cadre", "checkins-put", "put", f"/v1/check-ins/{uuid4()}", {"json": check_in(now, position=fix)}
    unit = {"id": str(uuid4()), "name": f"{NAME}{WORD}"}
    yield "district", "roster-enter-unit", "post", "/v1/units", {"json": unit}
    person = {"id": str(uuid4()), "number": "CN0001", "name": NAME, "phone": PHONE, "unit_id": unit["id"]}
    yield "district", "roster-enter-person", "post", "/v1/people", {"json": person}
    yield "district", "roster-enter-person", "post", "/v1/people", {"json": {**person, "id": str(uuid4())}}
    account = {"id": str(uuid4()), "login": f"{WORD.lower()}", "display_name": NAME, "region": "500116101"}
    yield "district", "accounts-create", "post", "/v1/accounts", {"json": account}
    yield "admin", "accounts-create", "post", "/v1/accounts", {"json": {**account, "id": str(uuid4())}}
    yield (
        "nobody",
        "auth-login",
        "post",
        "/v1/auth/login",
        {"json": {"login": WORD, "password": f"{WORD}-secret"}},
    )
    shape = {
        "type": "Polygon",
        "coordinates": [[[LON, LAT], [LON + 0.01, LAT], [LON, LAT + 0.01], [LON, LAT]]],
    }
    properties = {"name": NAME, "code": "500116101201", "note": WORD}
    layer = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": properties, "geometry": shape}],
    }
    asked = {"kind": "village", "accuracy_m": "10", "filename": f"{WORD}.geojson", "caption": f"{NAME}{WORD}"}
    sent = {
        "content": json.dumps(layer, ensure_ascii=False).encode(),
        "params": {**asked, "id": str(uuid4())},
    }
    sent["headers"] = {"Content-Type": "application/octet-stream"}
    yield "district", "places-import-boundaries", "post", "/v1/boundary-imports", sent


@pytest.fixture(scope="module")
def planted(two_workers: Processes) -> list[Sent]:
    service = two_workers.service
    given = tokens(service)
    planter = Planter(service.app.openapi())
    sent: list[Sent] = []
    with httpx.Client(base_url=two_workers.url, timeout=60) as client:

        def send(who: str, operation: str, method: str, path: str, what: dict[str, Any]) -> None:
            token = {"Authorization": f"Bearer {given[who]}"} if given[who] else {}
            headers = {**HEADERS, **token, **what.pop("headers", {})}
            answer = client.request(method.upper(), path, headers=headers, **what)
            sent.append(Sent(operation, answer.status_code, answer))

        for who, *rest in fitting_requests():
            send(who, *rest)  # type: ignore[arg-type]  # The tuple's types, in their order.
        for who in given:
            for operation, method, path, what in requests_of(planter):
                if (who, operation) != ("cadre", "auth-logout"):
                    send(who, operation, method, path, dict(what))
    return sent


def birds(text: str) -> list[str]:
    return [text[max(0, hit.start() - 80) : hit.end() + 40] for hit in BIRDS.finditer(text)][:5]


def test_every_operation_was_reached_and_some_of_them_did_their_deed(
    planted: list[Sent], two_workers: Processes
) -> None:
    document = two_workers.service.app.openapi()
    known = {op["operationId"] for path in document["paths"].values() for op in path.values()}
    assert {each.operation for each in planted} == known
    done = {each.operation for each in planted if each.status < 300}
    assert done >= {"checkins-put", "roster-enter-unit", "roster-enter-person", "accounts-create"}, done
    assert {each.status for each in planted} >= {200, 201, 400, 401, 403, 404, 422}


def test_the_log_of_the_service_holds_none(planted: list[Sent], two_workers: Processes) -> None:
    two_workers.lines()
    text = two_workers.log.read_text("utf-8")
    assert text.count('"request"') > len(planted) / 2
    assert birds(text) == []


def test_the_metrics_hold_none(planted: list[Sent], two_workers: Processes) -> None:
    assert planted
    assert birds(httpx.get(f"{two_workers.url}/metrics", timeout=30).text) == []


MEANT = {("account:create", "login"), ("auth:login", "client"), ("region:outline", "filename")}
"""What an auditor must be able to read: which login was made, how a device called itself (its owner is shown it among
the security events), which file an outline came from."""


def test_the_details_of_the_audit_log_hold_none(planted: list[Sent], two_workers: Processes) -> None:
    assert planted
    with two_workers.service.database.read() as session:
        rows = session.execute(sa.select(AuditEntry.deed, AuditEntry.subject_id, AuditEntry.details)).all()
    assert len(rows) > 5
    found = {}
    for row in rows:
        rest = {key: value for key, value in row.details.items() if (row.deed, key) not in MEANT}
        found[row.deed] = birds(json.dumps([row.subject_id, rest], ensure_ascii=False))
    assert {deed: seen for deed, seen in found.items() if seen} == {}


def test_what_the_database_shows_and_logs_holds_none(planted: list[Sent], two_workers: Processes) -> None:
    assert planted
    cluster = two_workers.cluster
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as connection:
        running = connection.execute(
            "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        ).fetchall()
    assert len(running) > 3
    assert birds(json.dumps(running)) == []
    # A statement that fails by a constraint and one that fails by its value leave neither statement nor parameters.
    with psycopg.connect(two_workers.service.cloned.owner_url, autocommit=True) as connection:
        twice = "INSERT INTO units (id, name, version) VALUES (gen_random_uuid(), %s, 1)"
        connection.execute(twice, [f"{WORD} twice"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(twice, [f"{WORD} twice"])
    time.sleep(0.3)
    text = "".join(path.read_text("utf-8", "replace") for path in cluster.log.glob("*.log"))
    assert "duplicate key" in text
    assert birds(text) == []


def test_refusals_repeat_no_value_and_tell_nothing_of_the_inside(planted: list[Sent]) -> None:
    refused = [each for each in planted if each.status >= 400]
    assert len(refused) > 200
    for each in refused:
        assert each.answer.headers["content-type"] == "application/problem+json", each.operation
        body = each.answer.json()
        assert body["type"] == f"urn:zaicun:problem:{body['code']}" or body["type"].endswith(body["code"])
        assert body["request_id"] == each.answer.headers["x-request-id"]
        for word in ("Traceback", "psycopg", "sqlalchemy", "SELECT ", "INSERT ", ".py"):
            assert word not in each.answer.text, (each.operation, word)
        assert each.status < 500, (each.operation, body)


def test_a_refusal_holds_no_secret_and_no_position_of_its_sender(planted: list[Sent]) -> None:
    """Names of fields and paths are the sender's own and may be repeated to them; values of these kinds may not."""
    for each in planted:
        if each.status >= 400:
            body = each.answer.json()
            body.pop("instance", None)
            text = json.dumps(body, ensure_ascii=False)
            assert str(LON) not in text, each.operation
            assert PHONE not in text, each.operation
            assert f"{WORD}-secret" not in text, each.operation
            assert f"{WORD}.{WORD}" not in text, each.operation
