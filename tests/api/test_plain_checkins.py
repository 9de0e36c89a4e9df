"""The plain way of a check-in is the documented one made shorter: what it takes is the same, and so is every answer."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from conftest import Clone, Service
from factories_checkins import Cadre, check_in, make_cadre, make_world
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.verdict import Band, Reason, VerdictKind
from server import clock, ids
from server.checkins import packing, receipts
from server.checkins.instants import Doubt, TimeBasis
from server.checkins.plain import PlainPut
from server.checkins.record import Record, answer, answer_bytes
from server.checkins.rules import Kind, NoPosition, Standing
from server.month.holidays import month_calendar
from server.month.masks import FULL, Month
from server.month.policy import Basis, Policy
from server.month.rules import FACT_NAMES, Facts, frame
from server.month.statements import so_far, statement

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  Hypothesis adds the zone.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


RECORDS = st.builds(
    Record,
    person_id=st.uuids(), id=st.uuids(), received_at=INSTANTS, event_at=INSTANTS, captured_at=INSTANTS, sent_at=INSTANTS,
    day=st.dates(date(2000, 1, 1), date(2100, 1, 1)), utc_offset_min=st.just(480), kind=st.sampled_from(Kind),
    verdict=st.sampled_from(VerdictKind), reason=st.sampled_from(Reason), standing=st.sampled_from(Standing),
    band=maybe(st.sampled_from(Band)), datum=st.none(), provider=st.none(), mocked=st.none(), accuracy_m=st.none(),
    fix_age_s=st.none(), margin_m=st.none(), p_inside=st.none(), p_zone=st.none(),
    no_position=maybe(st.sampled_from(NoPosition)), outside_work=st.booleans(), note=maybe(TEXTS), client=st.none(),
    posting_id=st.none(), village_code=maybe(st.just("500116101201")), zone_name=maybe(TEXTS), versions=st.none(),
    commitment=st.none(), content_hash=st.just(b""), month_counted=maybe(st.integers(0, 62)),
    month_need=maybe(st.integers(0, 62)), month_due=maybe(st.integers(0, 62)), month_away=maybe(st.integers(0, 62)),
    month_tier=maybe(st.sampled_from(["reached", "on-track", "no-slack", "cannot-be-reached"])),
    time_basis=maybe(st.sampled_from(TimeBasis)), time_doubt=maybe(st.sampled_from(Doubt)), earliest_at=INSTANTS,
    latest_at=INSTANTS, claimed_at=st.none(), anchored_at=st.none(),
    issuer=st.just("500116"), epoch=st.integers(1, 9), epoch_id=st.uuids(), chain_seq=st.integers(1, 2**31 - 1),
    receipt_key=st.just(1), kid=st.just("k"), prev=maybe(st.binary(min_size=32, max_size=32)),
    signature=maybe(st.binary(min_size=64, max_size=64)), restored_at=maybe(INSTANTS), restores=st.none(),
    proof_hash=maybe(st.binary(min_size=32, max_size=32)),
)  # fmt: skip


@given(RECORDS)
def test_the_answer_written_plainly_is_the_models_bytes(record: Record) -> None:
    assert answer_bytes(record) == answer(record).model_dump_json().encode()
    assert answer_bytes(record, receipts.compact(record)) == answer_bytes(record)


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(FACT_NAMES), st.integers(0, FULL)),
    st.integers(1, FULL),
    st.integers(1, 40),
    st.sampled_from(Basis),
    st.booleans(),
)
def test_the_month_so_far_is_the_statements(
    masks: dict[str, int], posted: int, day: int, basis: Basis, duty_counts: bool
) -> None:
    month = Month(2026, 10)
    facts = Facts(**{**masks, "posted": (posted & month.mask) or 1})
    policy = Policy(basis=basis, duty_counts_in_village=duty_counts)
    calendar, today = month_calendar(month, ()), date(2026, 9, 30) + timedelta(days=day)
    whole = statement(facts, calendar, policy, today=today)
    short = so_far(facts.masks(), frame(calendar, policy, today), policy)
    assert short[:4] == (whole.due_halves, whole.counted_halves, whole.need_halves, whole.in_halves)
    assert short.projection == whole.projection


COLUMNS: list[tuple[str, list[Any]]] = [
    ("uuid", [uuid4(), None, UUID(int=0), UUID(int=2**128 - 1)]),
    ("timestamptz", [datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2100, 2, 28, 1, 2, 3, 4, UTC), None]),
    ("date", [date(1970, 1, 1), None, date(2100, 2, 28)]),
    ("smallint", [-32_768, None, 32_767]),
    ("integer", [-(2**31), 2**31 - 1, None]),
    ("bigint", [0, FULL, None, -(2**63)]),
    ("real", [0.5, None, -1e30, 1e-30]),
    ("boolean", [True, None, False]),
    ("text", ["", '𠮷村 NULL "{},\\', None, "NULL"]),
    ("bytea", [b"", b"\0\xff", None]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "column"), [*COLUMNS, *[(kind, []) for kind, _ in COLUMNS]])
def test_a_packed_column_arrives_as_it_was(clone: Clone, kind: str, column: list[Any]) -> None:
    with psycopg.connect(clone_once(clone), options="-c timezone=UTC") as connection:
        row = connection.execute(
            f"SELECT array_agg(v ORDER BY n) FROM unnest(%s::{kind}[]) WITH ORDINALITY AS u(v, n)",  # noqa: S608
            [packing.packer(kind)(column)],
        ).fetchone()
    assert row is not None
    got = row[0] or []
    assert len(got) == len(column)
    for one, other in zip(got, column, strict=True):
        assert one == (pytest.approx(other, rel=1e-6) if kind == "real" and other is not None else other)


_URL: list[str] = []


def clone_once(clone: Clone) -> str:
    if not _URL:
        _URL.append(clone().app_url)
    return _URL[0]


def test_a_column_of_another_type_is_refused_by_the_database(clone: Clone) -> None:
    with (
        psycopg.connect(clone_once(clone)) as connection,
        pytest.raises(psycopg.Error, match="instead of expected"),
    ):
        connection.execute("SELECT %s::uuid[]", [packing.packer("text")(["a"])])


class Counted:
    """Counts what the plain route passes on."""

    def __init__(self, router: Any) -> None:
        self.router, self.passed = router, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed += 1
        await self.router(scope, receive, send)


@pytest.fixture(scope="module")
def cadre(service: Service) -> Cadre:
    return make_cadre(service, make_world(service))


@pytest.fixture
def counted(service: Service, monkeypatch: pytest.MonkeyPatch) -> Counted:
    route = next(r for r in service.app.router.routes if isinstance(r, PlainPut))
    counting = Counted(service.app.router)
    monkeypatch.setattr(route, "_documented", counting)
    return counting


def body(**changes: Any) -> dict[str, Any]:
    now = clock.now()
    return check_in(now - timedelta(seconds=5), sent=now, **changes)


def test_what_is_not_unusual_goes_the_plain_way(service: Service, cadre: Cadre, counted: Counted) -> None:
    with service.as_(cadre.token) as client:
        for changes in (
            {},
            {"position": None, "no_position": "denied"},
            {"kind": "leave", "note": "外勤", "new": 1},
        ):
            assert client.put(f"/v1/check-ins/{ids.new_id()}", json=body(**changes)).status_code == 201
    assert counted.passed == 0


def test_both_ways_answer_a_resend_with_the_same_bytes(
    service: Service, cadre: Cadre, counted: Counted
) -> None:
    content = service.client.build_request("PUT", "/", json=body()).content
    unusual = {"content-type": "application/vnd.zaicun+json"}  # JSON as well, by RFC 6839.
    with service.as_(cadre.token) as client:
        for first, then in ((unusual, {}), ({}, unusual)):
            address = f"/v1/check-ins/{ids.new_id()}"
            plain = {"content-type": "application/json"}
            made = client.put(address, content=content, headers=plain | first)
            again = client.put(address, content=content, headers=plain | then)
            assert (made.status_code, again.status_code) == (201, 200)
            assert made.content == again.content
            assert made.headers["location"] == address
            assert again.headers["idempotent-replay"] == "true"
            assert made.headers["content-type"] == again.headers["content-type"]
    assert counted.passed == 2


REFUSED: list[tuple[int, dict[str, Any]]] = [
    (400, {"content": b"{"}),
    (422, {"json": {}}),
    (422, {"content": b'{"captured_at": NaN}', "headers": {"content-type": "application/json"}}),
    (415, {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    (413, {"content": b" " * 20_000}),
    (401, {"headers": {"authorization": "Bearer no"}}),
    (401, {"headers": {"authorization": "Basic eA=="}}),
]


@pytest.mark.parametrize(("status", "request_"), REFUSED)
def test_what_is_refused_is_refused_by_the_documented_route(
    service: Service, cadre: Cadre, counted: Counted, status: int, request_: dict[str, Any]
) -> None:
    given_ = {"headers": {"content-type": "application/json"}, **request_}
    if "content" not in given_ and "json" not in given_:
        given_["json"] = body()
    with service.as_(cadre.token) as client:
        answered = client.put(f"/v1/check-ins/{ids.new_id()}", **given_)
    assert answered.status_code == status
    assert answered.headers["content-type"].startswith("application/problem+json")
    assert counted.passed == 1
