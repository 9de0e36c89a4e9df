"""What every answer has in common, whatever the operation: headers, methods, types, limits of address and header."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from conftest import Service
from factories_checkins import World, check_in, make_cadre, make_world
from factories_office import as_district

from server import clock, envelope, problems
from server.auth import routes as auth_routes

ID = "01a1a9dd-1200-7a01-81f3-c9a7d2b4f801"


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(scope="module")
def officer(service: Service) -> Iterator[httpx.Client]:
    with as_district(service) as client:
        yield client


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --- headers of every answer


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/me"),
        ("GET", "/v1/units"),
        ("GET", "/nothing"),
        ("POST", "/v1/me"),
        ("PUT", f"/v1/check-ins/{ID}"),
        ("GET", "/livez"),
        ("GET", "/v1/units?cursor=%21"),
    ],
)
def test_no_answer_may_be_stored_or_guessed_at(officer: httpx.Client, method: str, path: str) -> None:
    answer = officer.request(method, path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert str(UUID(answer.headers["X-Request-Id"])) == answer.headers["X-Request-Id"]
    assert "Server" not in answer.headers
    assert "Sandbox" not in answer.headers


def test_an_answer_that_may_be_kept_says_so_itself(officer: httpx.Client, world: World) -> None:
    answer = officer.get(f"/v1/regions/{world.village}/boundary")
    assert answer.status_code == 200, answer.text
    assert answer.headers.get_list("Cache-Control") == ["private, max-age=3600"]


@pytest.mark.parametrize(
    ("accept", "chosen", "title"),
    [
        ("", "zh", "未找到"),
        ("en", "en", "Not found"),
        ("en-GB,zh;q=0.5", "en", "Not found"),
        ("zh-CN,en;q=0.9", "zh", "未找到"),
        ("fr", "zh", "未找到"),
        ("en;q=x", "zh", "未找到"),
        ("zh-CN; q=0.1, en-US; q=0.9", "en", "Not found"),  # Blanks are allowed (RFC 9110 section 12.4.2).
        ("EN;Q=1", "en", "Not found"),
        ("fr, en;q=0", "zh", "未找到"),  # Weight 0: not this one.
    ],
)
def test_a_problem_says_in_which_language_it_is(
    service: Service, accept: str, chosen: str, title: str
) -> None:
    answer = service.client.get("/nothing", headers={"Accept-Language": accept})
    assert (answer.headers["Content-Language"], answer.json()["title"]) == (chosen, title)
    assert "Accept-Language" in answer.headers["Vary"]
    assert answer.headers["Content-Type"] == problems.MEDIA_TYPE


def test_a_request_keeps_its_own_id_and_no_other_text(service: Service) -> None:
    mine = str(uuid4())
    assert service.client.get("/livez", headers={"X-Request-Id": mine}).headers["X-Request-Id"] == mine
    for forged in ("x\tlevel=error", mine + "0", "a" * 5_000):
        got = service.client.get("/livez", headers={"X-Request-Id": forged}).headers["X-Request-Id"]
        assert str(UUID(got)) == got != mine


def test_a_401_names_its_challenge(service: Service) -> None:
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/auth/login")):
        answer = service.client.request(
            method, path, json={"login": "nobody", "password": "x" * 12, "client": "t"}
        )
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


# --- methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/me", "GET, HEAD, OPTIONS"),
        ("/v1/units", "GET, HEAD, OPTIONS, POST"),
        (f"/v1/people/{ID}", "GET, HEAD, OPTIONS, PATCH"),
        (f"/v1/check-ins/{ID}", "GET, HEAD, OPTIONS, PUT"),
        ("/v1/check-ins", "GET, HEAD, OPTIONS"),
        ("/v1/auth/login", "OPTIONS, POST"),
        ("/v1/regions/500116101201/successor", "DELETE, OPTIONS, POST"),
    ],
)
def test_a_wrong_method_names_every_right_one(service: Service, path: str, allowed: str) -> None:
    for method in ("TRACE", "PROPFIND", "OPTIONS"):
        answer = service.client.request(method, path)
        assert answer.headers["Allow"] == allowed, method
        assert answer.status_code == (204 if method == "OPTIONS" else 405)


def test_options_of_nothing_is_not_found(service: Service) -> None:
    assert code_of(service.client.request("OPTIONS", "/v1/nothing")) == (404, "not-found")


def test_head_is_get_without_its_content(officer: httpx.Client, service: Service) -> None:
    got, head = officer.get("/v1/me"), officer.head("/v1/me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.content))
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    refused = service.client.head("/v1/me")
    assert (refused.status_code, refused.content) == (401, b"")
    assert officer.head("/v1/auth/login").status_code == 405
    assert officer.get("/v1/me").json() == got.json()  # The connection is still in step.


# --- types


@pytest.mark.parametrize(
    "media", ["text/plain", "", "application/x-www-form-urlencoded", "application/xml", "text/json"]
)
def test_a_body_that_is_not_said_to_be_json_is_415(officer: httpx.Client, media: str) -> None:
    body = json.dumps({"id": str(uuid4()), "name": "局"}).encode()
    answer = officer.post("/v1/units", content=body, headers={"Content-Type": media})
    assert code_of(answer) == (415, "unsupported-media-type")
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "media", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
def test_json_is_taken_under_each_of_its_names(officer: httpx.Client, media: str) -> None:
    body = json.dumps({"id": str(uuid4()), "name": f"局{uuid4().hex[:6]}"}).encode()
    assert officer.post("/v1/units", content=body, headers={"Content-Type": media}).status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_packed_body_is_415_and_says_so(officer: httpx.Client, coding: str) -> None:
    answer = officer.post(
        "/v1/units",
        content=b"\x1f\x8b\x08",
        headers={"Content-Encoding": coding, "Content-Type": "application/json"},
    )
    assert code_of(answer) == (415, "unsupported-media-type")
    assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("body", [b"{", b"[1,", b"\xff\xfe{", '{"a": "é"'.encode("latin-1"), b"nonsense"])
def test_what_is_no_json_is_400(officer: httpx.Client, body: bytes) -> None:
    answer = officer.post("/v1/units", content=body, headers={"Content-Type": "application/json"})
    assert code_of(answer) == (400, "malformed-body")


def test_a_missing_body_is_422(officer: httpx.Client) -> None:
    assert code_of(officer.post("/v1/units")) == (422, "invalid-request")


def test_a_check_in_under_a_wrong_type_is_refused_and_kept_as_an_attempt(
    service: Service, world: World
) -> None:
    cadre = make_cadre(service, world)
    with service.as_(cadre.token) as phone:
        content = json.dumps(check_in(clock.now())).encode()
        answer = phone.put(
            f"/v1/check-ins/{uuid4()}", content=content, headers={"Content-Type": "text/plain"}
        )
        assert code_of(answer) == (415, "unsupported-media-type")
        kept = phone.get("/v1/check-ins/attempts").json()["items"]
    assert [(each["code"], each["status"]) for each in kept] == [("unsupported-media-type", 415)]


def test_whatever_is_accepted_the_answer_is_json(officer: httpx.Client) -> None:
    answer = officer.get("/v1/me", headers={"Accept": "application/xml"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


# --- limits


def test_an_address_has_an_end(officer: httpx.Client) -> None:
    path = "/v1/regions?q=" + "x" * (envelope.LONGEST_URL - len("/v1/regionsq="))
    assert (
        officer.get(path).status_code == 422
    )  # As long as may be; the text itself is too long for a search.
    answer = officer.get(path + "x")
    assert code_of(answer) == (414, "url-too-long")
    assert answer.json()["limit_bytes"] == envelope.LONGEST_URL


def test_headers_have_an_end(officer: httpx.Client) -> None:
    many = {f"x-{n}": "1" for n in range(envelope.MOST_HEADERS + 1)}
    answer = officer.get("/livez", headers=many)
    assert code_of(answer) == (431, "headers-too-large")
    assert answer.json()["limit_fields"] == envelope.MOST_HEADERS
    large = officer.get("/livez", headers={"x-large": "x" * envelope.LARGEST_HEADERS})
    assert code_of(large) == (431, "headers-too-large")
    assert (
        officer.get("/livez", headers={"x-large": "x" * (envelope.LARGEST_HEADERS - 2_000)}).status_code
        == 200
    )


# --- a crash


def test_a_crash_is_a_problem_with_its_request_id(
    service: Service, officer: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("张三 106.2071234")

    monkeypatch.setattr(service.app.state.database, "read", broken)
    mine = str(uuid4())
    answer = officer.get("/v1/me", headers={"X-Request-Id": mine})
    assert code_of(answer) == (500, "internal-error")
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == mine
    assert answer.headers["Cache-Control"] == "no-store"
    assert "106" not in answer.text


# --- what was made


def test_what_was_made_is_found_where_location_says(officer: httpx.Client) -> None:
    person_id = str(uuid4())
    given = {"id": person_id, "number": f"N{uuid4().hex[:8]}", "name": "李四"}
    first, again = officer.post("/v1/people", json=given), officer.post("/v1/people", json=given)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["Location"] == f"/v1/people/{person_id}"
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Location" not in again.headers
    assert "Idempotent-Replay" not in first.headers
    found = officer.get(first.headers["Location"])
    assert found.status_code == 200
    assert found.headers["ETag"] == first.headers["ETag"] == again.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/roster-imports", "POST"),
        ("/v1/region-imports", "POST"),
        ("/v1/region-outlines/500116000000?filename=a", "PUT"),
    ],
)
def test_a_file_is_the_body_itself(officer: httpx.Client, path: str, method: str) -> None:
    form = officer.request(method, path, files={"file": ("a.csv", b"code,name\n")})
    packed = officer.request(
        method, path, content=gzip.compress(b"code,name\n"), headers={"Content-Encoding": "gzip"}
    )
    for answer in (form, packed):
        assert code_of(answer) == (415, "unsupported-media-type")
    named = officer.request(
        method, path, content=b"x", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert named.status_code != 415  # What curl says of any file.


@pytest.mark.parametrize("path", ["/v1/auth/login", "/v1/auth/activate", "/v1/auth/refresh"])
def test_a_stranger_may_send_little(service: Service, path: str) -> None:
    content = b'{"a":1}' + b" " * auth_routes.BODY_LIMIT
    answer = service.client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, auth_routes.BODY_LIMIT)


def test_no_more_faults_are_told_than_anybody_reads(service: Service) -> None:
    answer = service.client.post("/v1/auth/refresh", json={str(n): n for n in range(1_000)})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 100)
