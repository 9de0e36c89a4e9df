"""Quotas of an account: told before they run out, kept apart, and never in the way of a check-in."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from conftest import Clone, Service, running_service
from docs import contract
from factories_checkins import check_in, make_cadre, make_world
from factories_office import as_district
from hypothesis import given
from hypothesis import strategies as st

from server import clock, quotas
from server.problems import Problem
from server.quotas import HEAVY, READ, WRITE, Quotas
from server.settings import Settings

LIMITS = {"quota_read": 4, "quota_write": 3, "quota_heavy": 2}


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(clone(), tmp_path_factory.mktemp("var"), **LIMITS) as running:
        yield running


@pytest.fixture
def officer(service: Service) -> Iterator[httpx.Client]:
    with as_district(service) as client:
        yield client


def left(answer: httpx.Response) -> tuple[str, int, int]:
    found = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert found is not None
    return found[1], int(found[2]), int(found[3])


def test_what_is_left_is_told_until_nothing_is(officer: httpx.Client) -> None:
    told = [officer.get("/v1/me") for _ in range(6)]
    assert [answer.status_code for answer in told] == [200, 200, 200, 200, 429, 429]
    assert [left(answer)[:2] for answer in told] == [("read", n) for n in (3, 2, 1, 0, 0, 0)]
    assert {answer.headers["RateLimit-Policy"] for answer in told} == {'"read";q=4;w=60'}
    refused = told[4]
    assert refused.json()["code"] == "too-many-requests"
    assert refused.json()["quota"] == "read"
    assert int(refused.headers["Retry-After"]) == refused.json()["retry_after_s"] == left(refused)[2]
    assert 1 <= left(refused)[2] <= 60


def test_the_three_quotas_do_not_touch_each_other_nor_another_account(
    service: Service, officer: httpx.Client
) -> None:
    for _ in range(3):
        officer.get("/v1/policies/consequences?year=2026")
    assert officer.get("/v1/policies/consequences?year=2026").json()["quota"] == "heavy"
    assert officer.get("/v1/me").status_code == 200
    assert officer.post("/v1/units", json={"id": str(uuid4()), "name": f"局{uuid4().hex}"}).status_code == 201
    with as_district(service) as client:
        assert client.get("/v1/policies/consequences?year=2026").status_code == 200


def test_a_refused_write_writes_nothing(officer: httpx.Client) -> None:
    sent = [
        officer.post("/v1/units", json={"id": str(uuid4()), "name": f"局{uuid4().hex}"}) for _ in range(5)
    ]
    assert [answer.status_code for answer in sent] == [201, 201, 201, 429, 429]
    found = {unit["name"] for unit in officer.get("/v1/units?limit=200").json()["items"]}
    assert [answer.json()["name"] in found for answer in sent[:3]] == [True] * 3


def test_check_ins_are_never_refused_for_their_number(service: Service) -> None:
    cadre = make_cadre(service, make_world(service))
    with service.as_(cadre.token) as phone:
        for _ in range(12):
            answer = phone.put(f"/v1/check-ins/{uuid4()}", json=check_in(clock.now()))
            assert answer.status_code == 201
            assert "RateLimit" not in answer.headers
        assert (
            phone.put(f"/v1/check-ins/{uuid4()}", content=b"{").status_code != 429
        )  # By the documented route too.
        assert (
            phone.get("/v1/me").headers["RateLimit"].startswith('"read";r=3;')
        )  # Sending has used nothing up.


def test_without_a_token_there_is_no_quota(service: Service) -> None:
    for _ in range(8):
        assert service.client.get("/v1/time").status_code == 200
        assert service.client.get("/v1/me").status_code == 401


# --- the arithmetic


class Hands:
    """A clock for quotas."""

    at = 1_000.0

    def __call__(self) -> float:
        return self.at


def test_a_window_is_whole_again_after_a_minute() -> None:
    hands, account = Hands(), uuid4()
    held = Quotas(Settings(quota_read=2), hands)
    held.take(account, READ, {})
    hands.at += 59.5
    held.take(account, READ, {})
    state: dict[str, list[tuple[bytes, bytes]]] = {}
    with pytest.raises(Problem) as refused:
        held.take(account, READ, state)
    assert refused.value.headers["Retry-After"] == "1"
    assert dict(state["quota"])[b"ratelimit"] == b'"read";r=0;t=1'
    hands.at += 0.5
    held.take(account, READ, {})


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([READ, WRITE, HEAVY]), st.floats(0, 40)), max_size=120
    )
)
def test_no_account_gets_more_than_its_quota_in_a_window(asked: list[tuple[int, str, float]]) -> None:
    hands, accounts = Hands(), [uuid4() for _ in range(3)]
    held = Quotas(Settings(**LIMITS), hands)  # type: ignore[arg-type]  # The numbers of LIMITS.
    begun: dict[tuple[int, str], float] = {}
    served: dict[tuple[int, str], int] = {}
    for who, kind, pause in asked:
        hands.at += pause
        key = (who, kind)
        if key not in begun or hands.at >= begun[key] + quotas.WINDOW_S:  # The plain way to say it.
            begun[key], served[key] = hands.at, 0
        expected = served[key] < LIMITS[f"quota_{kind}"]
        try:
            held.take(accounts[who], kind, {})
            granted = True
        except Problem:
            granted = False
        assert granted == expected
        served[key] += granted


def test_a_quota_of_zero_limits_nothing_and_says_nothing() -> None:
    held, state = Quotas(Settings(quota_read=0)), {}  # type: ignore[var-annotated]
    for _ in range(10_000):
        held.take(uuid4(), READ, state)
    assert state == {}


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_REMEMBERED", 100)
    held = Quotas(Settings())
    newest = None
    for _ in range(1_000):
        newest = uuid4()
        held.take(newest, READ, {})
    assert len(held._windows) == 100  # noqa: SLF001  What it holds is what is asked.
    assert (newest, READ) in held._windows  # noqa: SLF001


# --- the document


def test_the_document_says_which_quota_an_operation_counts_for() -> None:
    said = {each["operationId"]: each.get("x-quota") for _, _, each in contract.operations()}
    assert {name for name, quota in said.items() if quota == HEAVY} == quotas.HEAVY_OPERATIONS
    without = {name for name, quota in said.items() if quota is None}
    assert without == {
        "checkins-put",
        "checkins-batch",
        "auth-login",
        "auth-activate",
        "auth-refresh",
        "service-time",
        "receipts-keys",
        "notices-current",
        "notices-one",
        "attachments-file",
    }
    for method, _, each in contract.operations():
        assert ("429" in each["responses"]) or each["operationId"] in {
            "checkins-put",
            "checkins-batch",
            "auth-refresh",
            "service-time",
            "receipts-keys",
            "notices-current",
            "notices-one",
            "attachments-file",
        }
        if each.get("x-quota") not in {None, HEAVY}:
            assert each["x-quota"] == (READ if method == "get" else WRITE)
