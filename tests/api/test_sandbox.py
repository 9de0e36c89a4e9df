"""A sandbox: marked data, marked answers, tokens that are worth nothing elsewhere, and no way to mistake one for the other."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest
import sqlalchemy as sa
from conftest import Clone, Service, running_service
from factories_auth import DISTRICT, make_account, token_for
from factories_checkins import check_in, make_cadre, make_world
from factories_office import as_district

from server import clock, envelope, installation, migrate, runtime, safety, sandbox
from server.cluster import APP_ROLE, OWNER_ROLE, Cluster
from server.db import Database
from server.installation import Kind
from server.settings import Settings, SettingsFault, replaced


@pytest.fixture(scope="module")
def place(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(clone(), tmp_path_factory.mktemp("var"), sandbox=True) as running:
        yield running


@pytest.fixture(scope="module")
def officer(place: Service) -> Iterator[httpx.Client]:
    with as_district(place) as client:
        yield client


# --- answers


@pytest.mark.parametrize(
    "path", ["/v1/me", "/v1/units", "/v1/months/2026-11", "/nothing", "/v1/units?cursor=!"]
)
def test_every_answer_of_a_sandbox_is_marked(officer: httpx.Client, path: str) -> None:
    answer = officer.get(path)
    assert answer.headers["Sandbox"] == "true"
    assert answer.json()["sandbox"] is True
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_refusal_before_any_route_is_marked_as_well(place: Service) -> None:
    for path, headers, status in (
        ("/v1/units?" + "a" * envelope.LONGEST_URL, {}, 414),
        ("/v1/units", {"x-large": "a" * envelope.LARGEST_HEADERS}, 431),
    ):
        answer = place.client.get(path, headers=headers)
        assert answer.status_code == status
        assert answer.json()["sandbox"] is True
        assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_crash_is_marked_as_well(officer: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "read", None)
    answer = officer.get("/v1/units")
    assert (answer.status_code, answer.json()["code"], answer.json()["sandbox"]) == (
        500,
        "internal-error",
        True,
    )


def test_an_answer_without_content_is_marked_by_its_header(officer: httpx.Client) -> None:
    for method, path in (
        ("HEAD", "/v1/me"),
        ("OPTIONS", "/v1/me"),
        ("GET", "/livez"),
        ("GET", "/v1/me/postings"),
    ):
        answer = officer.request(method, path)
        assert answer.headers["Sandbox"] == "true", path


def test_a_check_in_says_it_in_its_answer_and_in_the_same_bytes_again(place: Service) -> None:
    cadre = make_cadre(place, make_world(place))
    content, address = check_in(clock.now()), f"/v1/check-ins/{uuid4()}"
    with place.as_(cadre.token) as phone:
        first, again = phone.put(address, json=content), phone.put(address, json=content)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["sandbox"] is True
        assert first.content == again.content  # edge 63
        month = phone.get(f"/v1/me/months/{first.json()['day'][:7]}").json()
    assert month["sandbox"] is True


def test_a_live_answer_has_no_mark(service: Service) -> None:
    answer = service.client.get("/v1/me")
    assert "Sandbox" not in answer.headers
    assert "sandbox" not in answer.json()
    assert service.client.get("/v1/time").json()["sandbox"] is False


def test_the_time_says_that_this_is_a_sandbox(place: Service) -> None:
    text = place.client.get("/v1/time").text
    assert json.loads(text)["sandbox"] is True
    assert text.count('"sandbox"') == 1


def test_a_file_that_travels_alone_carries_the_mark(place: Service, officer: httpx.Client) -> None:
    codes = officer.post(
        "/v1/accounts/slips", json={"accounts": [str(new_account(place))]}, headers={"Accept": "text/html"}
    )
    assert codes.status_code == 200, codes.text
    assert sandbox.BANNER in codes.text
    assert int(codes.headers["Content-Length"]) == len(codes.content)


def new_account(place: Service) -> UUID:
    with place.database.write() as session:
        return make_account(session, region=DISTRICT).id


@pytest.mark.parametrize(
    ("media", "content", "expected"),
    [
        ("application/json", b"{}", b'{"sandbox":true}'),
        ("application/json", b'{"a":1}', b'{"a":1,"sandbox":true}'),
        ("application/problem+json", b'{"a":{}}', b'{"a":{},"sandbox":true}'),
        ("application/geo+json", b'{"type":"Feature"}', b'{"type":"Feature","sandbox":true}'),
        ("application/json", b"[]", b"[]"),
        ("application/json", b"null", b"null"),
        ("application/octet-stream", b"\x00", b"\x00"),
        ("text/plain", b"a", f"{sandbox.BANNER}\na".encode()),
        ("text/csv", b"\xef\xbb\xbfa", b"\xef\xbb\xbf" + f"{sandbox.BANNER}\na".encode()),
        ("text/html", b"<body>a", f"<body><p><strong>{sandbox.BANNER}</strong></p>a".encode()),
        ("text/html", b"a", b"a"),
    ],
)
def test_the_mark_by_type(media: str, content: bytes, expected: bytes) -> None:
    assert sandbox.marked(content, media) == expected


def test_a_marked_picture_is_still_a_picture() -> None:
    plain = b'<svg xmlns="http://www.w3.org/2000/svg"><g><text>a</text></g></svg>\n'
    found = ET.fromstring(sandbox.marked(plain, "image/svg+xml"))  # noqa: S314  Our own picture.
    assert [each.text for each in found.iter("{http://www.w3.org/2000/svg}text")] == ["a", sandbox.BANNER]


# --- tokens


def test_a_token_of_a_sandbox_is_worth_nothing_elsewhere(clone: Clone, tmp_path: Path) -> None:
    cloned = clone()
    with running_service(cloned, tmp_path) as live:
        with live.database.write() as session:
            account = make_account(session)
        genuine = token_for(live, account)
    with running_service(cloned, tmp_path, sandbox=True) as playing:  # The same keys, the same accounts.
        invented = token_for(playing, account)
        with playing.as_(invented) as client:
            assert client.get("/v1/me").status_code == 200
        with playing.as_(genuine) as client:
            assert client.get("/v1/me").json()["code"] == "token-invalid"
    with running_service(cloned, tmp_path) as live, live.as_(invented) as client:
        assert client.get("/v1/me").json()["code"] == "token-invalid"


# --- databases


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    name = f"zt_{uuid4().hex[:12]}"
    cluster.create_database(name)
    yield cluster.dsn(OWNER_ROLE, name)
    cluster.drop_database(name)


def reasons_not_to_start(settings: Settings) -> set[str]:
    """Return those that concern the mark; the cluster of the tests is unsafe on purpose."""
    with migrate.owner_engine(settings.database_url).connect() as connection:
        names = {finding.name for finding in safety.findings(settings, connection)}
    return names & {"live-on-sandbox-data", "sandbox-on-live-data"}


@pytest.mark.parametrize("mine", [True, False])
def test_a_database_keeps_its_first_mark(clone: Clone, tmp_path: Path, mine: bool) -> None:
    cloned = clone()
    own = Settings(
        database_url=cloned.app_url, owner_database_url=cloned.owner_url, var=tmp_path, sandbox=mine
    )
    other = replaced(own, sandbox=not mine)
    runtime.mark(own)
    runtime.mark(own)
    assert reasons_not_to_start(own) == set()
    name = "live-on-sandbox-data" if mine else "sandbox-on-live-data"
    with pytest.raises(SettingsFault, match=name) as refused:
        runtime.mark(other)
    assert "数据库" in str(refused.value)
    assert reasons_not_to_start(other) == {name}
    with pytest.raises(SettingsFault, match=name), runtime.ready(other):
        pass


def test_a_database_without_a_mark_is_live(clone: Clone, tmp_path: Path) -> None:
    given = Settings(database_url=clone().app_url, var=tmp_path)
    assert reasons_not_to_start(given) == set()
    assert reasons_not_to_start(replaced(given, sandbox=True)) == {"sandbox-on-live-data"}


def test_the_service_cannot_change_the_mark(clone: Clone) -> None:
    cloned = clone()
    engine = migrate.owner_engine(cloned.app_url)
    for statement in ("INSERT INTO installation VALUES (true, 'live', now())", "DELETE FROM installation"):
        with (
            engine.connect() as connection,
            pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
        ):
            connection.execute(sa.text(statement))


def test_there_is_one_mark_and_it_is_one_of_two(clone: Clone) -> None:
    with migrate.owner_engine(clone().owner_url).connect() as connection:
        assert installation.mark(connection, Kind.SANDBOX) is Kind.SANDBOX
        assert installation.mark(connection, Kind.LIVE) is Kind.SANDBOX
        for row in ("(false, 'live', now())", "(NULL, 'live', now())"):
            with pytest.raises(sa.exc.IntegrityError):
                connection.execute(sa.text(f"INSERT INTO installation VALUES {row}"))  # noqa: S608  Literals above.
            connection.rollback()
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.text("UPDATE installation SET kind = 'test'"))


def test_what_was_in_use_before_there_were_sandboxes_is_live(empty: str) -> None:
    migrate.upgrade(empty, APP_ROLE, "0002")
    with migrate.owner_engine(empty).connect() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO accounts (id, login, display_name, region, version, revision, created_at)"
                " VALUES (gen_random_uuid(), 'a', '甲', '', 1, 1, now())"
            )
        )
        connection.commit()
    migrate.upgrade(empty, APP_ROLE)
    with pytest.raises(SettingsFault, match="sandbox-on-live-data"):
        runtime.mark(Settings(owner_database_url=empty, sandbox=True))
