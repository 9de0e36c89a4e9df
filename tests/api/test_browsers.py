"""Pages of other addresses: only configured origins may use the API, and they can read refusals too."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from conftest import Clone, Service, running_service
from factories_office import as_district

from server import envelope

PAGE, OTHER = "https://phone.example.org", "http://localhost:5173"


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(clone(), tmp_path_factory.mktemp("var"), cors_origins=(PAGE, OTHER)) as running:
        yield running


@pytest.fixture(scope="module")
def officer(service: Service) -> Iterator[httpx.Client]:
    with as_district(service) as client:
        yield client


def preflight(service: Service, origin: str, path: str = "/v1/me") -> httpx.Response:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    return service.client.options(path, headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", [PAGE, OTHER])
@pytest.mark.parametrize("path", ["/v1/me", f"/v1/check-ins/{uuid4()}", "/nothing"])
def test_a_configured_page_may_ask(service: Service, origin: str, path: str) -> None:
    answer = preflight(service, origin, path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "if-match", "x-request-id", "zaicun-client"} <= allowed
    assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) >= {
        "GET",
        "PUT",
        "POST",
        "PATCH",
        "DELETE",
    }
    assert answer.headers["Access-Control-Max-Age"] == str(envelope.PREFLIGHT_LASTS_S)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        PAGE + ".evil.example",
        PAGE + "/",
        PAGE.upper(),
        "http://phone.example.org",
        PAGE + ":443",
        f"{PAGE}, {OTHER}",
    ],
)
def test_no_other_page_may(service: Service, origin: str) -> None:
    for answer in (preflight(service, origin), service.client.get("/v1/me", headers={"Origin": origin})):
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
        assert "Origin" in answer.headers["Vary"]  # Else a cache could hand this answer to a page that may.


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/me", {}, 401),
        ("GET", "/nothing", {}, 404),
        ("DELETE", "/v1/me", {}, 405),
        ("GET", "/v1/regions?q=" + "x" * 9_000, {}, 414),
        ("GET", "/v1/me", {"x-large": "x" * 40_000}, 431),
        ("POST", "/v1/auth/login", {"Content-Type": "text/plain"}, 415),
    ],
)
def test_a_page_can_read_refusals(
    service: Service, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = service.client.request(
        method, path, headers={"Origin": PAGE, **headers}, content=b"{}" if method == "POST" else None
    )
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert {
        "etag",
        "location",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "x-request-id",
        "idempotent-replay",
    } <= exposed


def test_a_page_can_read_a_crash_and_a_body_too_large(
    service: Service, officer: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = officer.post(
        "/v1/units",
        content=b" " * (envelope.LARGEST_BODY + 1),
        headers={"Origin": PAGE, "Content-Type": "application/json"},
    )
    assert (large.status_code, large.headers["Access-Control-Allow-Origin"]) == (413, PAGE)

    def broken(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service.app.state.database, "read", broken)
    crash = officer.get("/v1/me", headers={"Origin": PAGE})
    assert (crash.status_code, crash.headers["Access-Control-Allow-Origin"]) == (500, PAGE)


def test_what_is_exposed_is_what_is_sent() -> None:
    """Every header of ours that a client needs is readable to a page, and none is listed that does not exist."""
    documented = set(documented_headers())
    exposed = {name.strip() for name in envelope.EXPOSED.split(",")}
    safelisted = {"Cache-Control", "Content-Language"}
    of_no_use = {
        "X-Content-Type-Options",
        "Content-Security-Policy",
        "Vary",
        "Accept",
        "Accept-Encoding",
        "Allow",
    }
    assert documented - safelisted - of_no_use <= exposed
    assert exposed <= documented


def documented_headers() -> list[str]:
    from docs import contract  # noqa: PLC0415  The document is made when it is asked for.

    return list(contract.document()["components"]["headers"])


def test_without_configured_origins_nothing_of_it_is_said(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_service(clone(), tmp_path_factory.mktemp("var")) as running:
        answer = running.client.options(
            "/v1/me", headers={"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        )
        assert answer.status_code == 204
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Vary" not in answer.headers
