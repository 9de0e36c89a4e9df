"""Clients that are too old, and operations that go away: told in time, and no check-in is lost by it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from conftest import Clone, Service, running_service, serving
from factories_auth import make_account, token_for
from factories_checkins import check_in, make_cadre, make_world
from fastapi import FastAPI

from server import clock, deprecations, documented, http
from server.admission import Admission
from server.deprecations import Deprecation
from server.documented import refusals
from server.gate import who_of
from server.settings import Settings

OLD, NEW = "zaicun-phone/1.1.9 (Android 14)", "zaicun-phone/1.2.0 (Android 14)"
SINCE = datetime(2026, 11, 22, tzinfo=UTC)
ENDS = datetime(2027, 6, 30, 16, tzinfo=UTC)


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(
        clone(), tmp_path_factory.mktemp("var"), minimum_clients=("zaicun-phone/1.2",)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with service.database.write() as session:
        account = make_account(session)
    with service.as_(token_for(service, account)) as client:
        yield client


def test_a_client_that_is_too_old_is_told_what_to_do(client: httpx.Client) -> None:
    answer = client.get("/v1/me", headers={"Zaicun-Client": OLD, "Accept-Language": "en"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["minimum"]) == (400, "client-too-old", "zaicun-phone/1.2")
    assert answer.headers["Zaicun-Client-Minimum"] == "zaicun-phone/1.2"
    assert "zaicun-phone/1.2" in told["detail_zh"]
    assert "update" in told["detail"]


@pytest.mark.parametrize("said", [NEW, "another/0.1", "nonsense", "", "zaicun-phone/x", "在村/0.1"])
def test_every_other_client_is_served(client: httpx.Client, said: str) -> None:
    for _ in range(2):  # The second time from memory.
        answer = client.get("/v1/me", headers={b"Zaicun-Client": said.encode()})
        assert answer.status_code == 200
        assert "Zaicun-Client-Minimum" not in answer.headers
    assert client.get("/v1/me").status_code == 200


def test_a_check_in_is_taken_from_every_client_however_old(service: Service) -> None:
    cadre = make_cadre(service, make_world(service))
    with service.as_(cadre.token) as phone:
        phone.headers["Zaicun-Client"] = OLD
        answer = phone.put(f"/v1/check-ins/{uuid4()}", json=check_in(clock.now()))
        assert answer.status_code == 201
        assert answer.headers["Zaicun-Client-Minimum"] == "zaicun-phone/1.2"
        assert phone.get("/v1/check-ins/attempts").json()["items"] == []
        assert phone.get("/v1/me").status_code == 400


def test_what_sending_a_check_in_needs_stays_open_to_old_clients(service: Service) -> None:
    old = {"Zaicun-Client": OLD}
    refused = service.client.post("/v1/auth/refresh", json={"refresh_token": "x" * 40}, headers=old)
    assert refused.json()["code"] != "client-too-old"
    assert service.client.get("/v1/time", headers=old).status_code == 200


def test_many_names_do_not_fill_the_memory(service: Service, client: httpx.Client) -> None:
    for number in range(600):
        assert (
            service.client.get("/livez", headers={"Zaicun-Client": f"zaicun-phone/0.{number}"}).status_code
            == 400
        )
    assert client.get("/v1/me", headers={"Zaicun-Client": NEW}).status_code == 200


# --- operations that go away


@pytest.fixture
def old_and_new(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An application of the test's own, with one operation that is going away: nothing of the product is."""
    monkeypatch.setitem(deprecations.REGISTRY, "old-way", Deprecation(SINCE, ENDS))
    app = FastAPI()
    app.state.settings = Settings()
    app.state.admission = Admission(4)
    http.install(app, prove=who_of)

    @app.get("/v1/old", operation_id="old-way", responses=refusals())
    async def old_way() -> dict[str, str]:
        return {}

    @app.get("/v1/new", operation_id="new-way", responses=refusals())
    async def new_way() -> dict[str, str]:
        return {}

    documented.complete(app, open_to_all=("old-way", "new-way"))
    return app


def test_an_operation_that_goes_away_says_so_in_its_headers(
    old_and_new: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conftest.watched", lambda app: app)  # The product's document knows nothing of it.
    with serving(old_and_new) as url, httpx.Client(base_url=url) as client:
        old, new = client.get("/v1/old"), client.get("/v1/new")
        refused = client.post("/v1/old")
    assert old.headers["Deprecation"] == f"@{int(SINCE.timestamp())}"
    assert parsedate_to_datetime(old.headers["Sunset"]) == ENDS
    assert old.headers["Sunset"].endswith("GMT")
    assert old.headers["Link"] == '</docs/changes>; rel="deprecation"; type="text/plain"'
    assert refused.status_code == 405
    for name in ("Deprecation", "Sunset", "Link"):
        assert name not in new.headers


def test_the_document_follows_the_same_registry(old_and_new: FastAPI) -> None:
    paths = old_and_new.openapi()["paths"]
    assert paths["/v1/old"]["get"]["deprecated"] is True
    assert "Deprecation" in paths["/v1/old"]["get"]["responses"]["200"]["headers"]
    assert "deprecated" not in paths["/v1/new"]["get"]
    assert "Deprecation" not in paths["/v1/new"]["get"]["responses"]["200"]["headers"]


def test_the_registry_and_the_document_cannot_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="marked as deprecated"):
        deprecations.write_into({"some-way": {"deprecated": True}})
    monkeypatch.setitem(deprecations.REGISTRY, "gone-way", Deprecation(SINCE))
    with pytest.raises(ValueError, match="gone-way"):
        deprecations.write_into({"some-way": {}})


def test_a_deprecation_needs_sense() -> None:
    with pytest.raises(ValueError, match="zone"):
        Deprecation(datetime(2026, 11, 22))  # noqa: DTZ001  That is what is refused.
    with pytest.raises(ValueError, match="before"):
        Deprecation(SINCE, SINCE - timedelta(days=1))
    assert [name for name, _ in Deprecation(SINCE).headers] == [b"deprecation", b"link"]
    assert deprecations.headers_of(None) == []
    assert deprecations.headers_of(SimpleNamespace()) == []


def test_nothing_of_the_product_is_deprecated_without_an_explanation() -> None:
    assert (
        deprecations.REGISTRY == {}
    )  # When this changes, CHANGES.md must say what to use instead, and this test too.
