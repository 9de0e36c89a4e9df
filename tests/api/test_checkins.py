"""Check-ins through HTTP, on a database that commits."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import (
    FAR,
    TOWN_POINT,
    Cadre,
    World,
    check_in,
    fade,
    make_cadre,
    make_world,
    position,
    renewed,
)
from paging import every

from server import ids
from server.access import Role
from server.checkins import rules
from server.month.masks import day_mask

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)  # 12:00 in Beijing.


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture
def cadre(service: Service, world: World, clock: SetClock) -> Cadre:
    clock.set(NOON)
    return make_cadre(service, world)


def put(
    service: Service, cadre: Cadre, body: dict[str, Any], checkin_id: UUID | str | None = None
) -> httpx.Response:
    with service.as_(cadre.token) as client:
        return client.put(f"/v1/check-ins/{checkin_id or ids.new_id()}", json=body)


def masks(service: Service, cadre: Cadre, month: date = date(2026, 11, 1)) -> dict[str, int]:
    with service.database.read() as session:
        row = (
            session.execute(
                sa.text(
                    "SELECT sure, unsure, unfenced, outside, claimed FROM person_months WHERE person_id = :p AND month = :m"
                ),
                {"p": cadre.person_id, "m": month},
            )
            .mappings()
            .one_or_none()
        )
    return dict(row) if row else {}


def test_a_check_in_in_the_village_counts_and_tells_the_month(service: Service, cadre: Cadre) -> None:
    answer = put(service, cadre, check_in(NOON))
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["verdict"], body["standing"], body["band"], body["day"]) == (
        "inside",
        "counted",
        "inside",
        "2026-11-16",
    )
    assert body["month"]["counted"] == 1
    assert body["month"]["need"] == 20
    # 30 days, 15 of them gone without a check-in: 15 days can still count, so 20 cannot be reached.
    assert body["month"]["tier"] == "cannot-be-reached"
    assert masks(service, cadre)["sure"] == day_mask(16)


def test_the_month_so_far_says_how_long_one_can_be_away(
    service: Service, cadre: Cadre, clock: SetClock
) -> None:
    for day in range(1, 16):
        clock.set(datetime(2026, 11, day, 4, 0, tzinfo=UTC))
        last = put(service, renewed(service, cadre), check_in(clock()))
    month = last.json()["month"]
    # 15 counted on the 15th; 15 days are left of which 5 are needed.
    assert (month["counted"], month["need"], month["away_at_most"], month["tier"]) == (15, 20, 10, "on-track")
    assert month["text_zh"] == "本月已驻村 15 天，需 20 天；最多还可离村 10 天。"
    assert month["text_en"] == "15 of 20 days; you can still be away at most 10 days."


def test_sent_twice_counts_once_and_answers_the_same_bytes(service: Service, cadre: Cadre) -> None:
    one = ids.new_id()
    first = put(service, cadre, check_in(NOON), one)
    again = put(service, cadre, check_in(NOON, sent=NOON + timedelta(minutes=1)), one)  # edge 63, edge 68
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.content == first.content


def test_the_same_id_with_other_content_is_refused_and_recorded(service: Service, cadre: Cadre) -> None:
    one = ids.new_id()
    put(service, cadre, check_in(NOON), one)
    for other in (
        check_in(NOON, note="别的"),
        check_in(NOON, position=position(lon=106.2071235)),
        check_in(NOON, position=position(accuracy_m=12.5)),
        check_in(NOON, position=None, no_position="off"),
    ):
        answer = put(service, cadre, other, one)  # edge 64
        assert (answer.status_code, answer.json()["code"]) == (409, "id-reused")
    with service.as_(cadre.token) as client:
        attempts = client.get("/v1/check-ins/attempts").json()["items"]
    assert [a["code"] for a in attempts] == ["id-reused"] * 4
    assert {a["checkin_id"] for a in attempts} == {str(one)}


def test_one_id_may_be_used_by_two_people(service: Service, world: World, cadre: Cadre) -> None:
    one, other = ids.new_id(), make_cadre(service, world)
    assert put(service, cadre, check_in(NOON), one).status_code == 201
    assert put(service, other, check_in(NOON, note="another"), one).status_code == 201  # edge 65


def test_sixteen_at_once_store_one(service: Service, cadre: Cadre) -> None:
    for _ in range(5):
        one, body = ids.new_id(), check_in(NOON)
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _i, one=one, body=body: put(service, cadre, body, one), range(16)))
        assert sorted(a.status_code for a in answers) == [200] * 15 + [201]  # edge 67
        assert len({a.content for a in answers}) == 1
    with service.database.read() as session:
        count = session.execute(
            sa.text("SELECT count(*) FROM checkins WHERE person_id = :p"), {"p": cadre.person_id}
        )
        assert count.scalar_one() == 5


def test_a_double_tap_is_kept_and_marked_and_the_day_counts_once(service: Service, cadre: Cadre) -> None:
    # The server's clock stands still here, so both have the same instant and the id decides which came first (edge 61).
    first, second = sorted((ids.new_id(), ids.new_id()))
    put(service, cadre, check_in(NOON), first)
    answer = put(service, cadre, check_in(NOON + timedelta(milliseconds=200)), second)
    assert answer.json()["month"]["counted"] == 1
    with service.as_(cadre.token) as client:
        items = {item["id"]: item for item in client.get("/v1/check-ins").json()["items"]}
    assert items[str(second)]["duplicate_of"] == str(first)  # edge 66
    assert items[str(first)]["duplicate_of"] is None


def test_an_account_of_no_person_has_no_check_ins_and_no_months(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE)
    with service.as_(token_for(service, account)) as client:
        refused = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(NOON))
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        for path in ("/v1/check-ins", f"/v1/check-ins/{ids.new_id()}", "/v1/check-ins/attempts"):
            assert client.get(path).status_code == 403
        assert client.get("/v1/me/months/2026-11").status_code == 404


def test_the_town_seat_is_named_and_does_not_count(service: Service, cadre: Cadre) -> None:
    body = put(service, cadre, check_in(NOON, position=position(**TOWN_POINT))).json()
    assert (body["verdict"], body["standing"], body["reason"]) == ("town", "not-counted", "in-town-seat")
    assert "试镇场镇" in body["reason_zh"]
    assert "试镇场镇" in body["reason_en"]
    assert masks(service, cadre) | {"outside": 0} == dict.fromkeys(
        ("sure", "unsure", "unfenced", "outside", "claimed"), 0
    )
    assert masks(service, cadre)["outside"] == day_mask(16)


def test_a_village_check_in_makes_the_day_beside_a_town_one(service: Service, cadre: Cadre) -> None:
    put(service, cadre, check_in(NOON - timedelta(hours=2), position=position(**TOWN_POINT)))
    body = put(service, cadre, check_in(NOON)).json()  # edge 34
    assert body["month"]["counted"] == 1


def test_the_answer_carries_a_band_and_nothing_finer(service: Service, cadre: Cadre) -> None:
    answer = put(service, cadre, check_in(NOON, position=position(**FAR)))
    body = answer.json()
    assert (body["verdict"], body["band"]) == ("outside", "farther")
    assert not {"margin_m", "p_inside", "p_zone", "p", "distance_m", "versions"} & body.keys()


@pytest.mark.parametrize(
    ("change", "verdict", "reason", "standing"),
    [
        ({"accuracy_m": 5000.0}, "unusable", "accuracy-too-coarse", "claimed"),  # edge 35
        ({"accuracy_m": 0.0}, "unsure", "accuracy-unknown", "provisional"),  # edge 36
        ({"accuracy_m": -3.0}, "unsure", "accuracy-unknown", "provisional"),  # edge 36
        ({"accuracy_m": None}, "unsure", "accuracy-unknown", "provisional"),  # edge 36
        ({"age_s": 10_800.0}, "unusable", "fix-too-old", "claimed"),  # edge 37
        ({"age_s": 120.0}, "inside", "in-village", "counted"),
        ({"age_s": 120.1}, "unusable", "fix-too-old", "claimed"),
        ({"age_s": -2.0}, "inside", "in-village", "counted"),
        (
            {"age_s": -31_536_000.0},
            "inside",
            "in-village",
            "counted",
        ),  # The clock was set back a year: stored (M24).
        ({"mocked": True}, "inside", "in-village", "counted"),  # A flag is evidence for a review, not guilt.
        ({"provider": None, "mocked": None}, "inside", "in-village", "counted"),
    ],
)
def test_poor_fixes_are_stored_with_their_reason(
    service: Service, cadre: Cadre, change: dict[str, Any], verdict: str, reason: str, standing: str
) -> None:
    body = put(service, cadre, check_in(NOON, position=position(**change))).json()
    assert (body["verdict"], body["reason"], body["standing"]) == (verdict, reason, standing)


@pytest.mark.parametrize("accuracy", [4.0, 30.0, 120.0, 250.0, 356.0, 480.0])
def test_probabilities_too_small_for_a_real_are_stored(
    service: Service, cadre: Cadre, accuracy: float
) -> None:
    answer = put(service, cadre, check_in(NOON, position=position(**FAR, accuracy_m=accuracy)))
    assert (answer.status_code, answer.json()["verdict"]) == (201, "outside")


@pytest.mark.parametrize(
    "odd", [{}, {"mocked": True}, {"provider": "gps", "mocked": True}, {"provider": "网络"}]
)
def test_what_is_odd_about_a_fix_changes_nothing_about_where_it_is(
    service: Service, cadre: Cadre, odd: dict[str, Any]
) -> None:
    bare = {key: each for key, each in position(**FAR).items() if key not in {"provider", "mocked"}}
    away = put(service, cadre, check_in(NOON, position={**bare, **odd})).json()
    assert (away["verdict"], away["reason"], away["standing"]) == ("outside", "out-of-village", "not-counted")
    # edges 35, 41: two decimals are 740 m at best, which is beyond what can be used: the digits say so, not the oddity.
    rounded = {"lon": round(FAR["lon"], 2), "lat": round(FAR["lat"], 2)}
    coarse = put(service, cadre, check_in(NOON, position={**bare, **odd, **rounded})).json()
    assert (coarse["verdict"], coarse["reason"]) == ("unusable", "accuracy-too-coarse")


def test_no_position_is_kept_as_a_claim(service: Service, cadre: Cadre) -> None:
    body = put(service, cadre, check_in(NOON, position=None, no_position="timeout")).json()
    assert (body["verdict"], body["reason"], body["standing"], body["no_position"]) == (
        "unusable",
        "no-fix",
        "claimed",
        "timeout",
    )
    assert masks(service, cadre)["claimed"] == day_mask(16)


def test_gcj02_is_converted_once_and_kept_as_it_came(service: Service, cadre: Cadre) -> None:
    from geo.datum import Datum, from_wgs84  # noqa: PLC0415  Only here.

    shifted = from_wgs84(lon=106.2071234, lat=28.9081234, datum=Datum.GCJ02)
    one = ids.new_id()
    sent = position(lon=shifted.lon, lat=shifted.lat, datum="gcj02")
    assert put(service, cadre, check_in(NOON, position=sent), one).json()["verdict"] == "inside"  # edge 39
    with service.database.read() as session:
        row = session.execute(
            sa.text(
                "SELECT lon_e7, lat_e7, wgs_lon_e7, wgs_lat_e7 FROM checkin_positions WHERE checkin_id = :i"
            ),
            {"i": one},
        ).one()
    assert (row.lon_e7, row.lat_e7) == (round(shifted.lon * 1e7), round(shifted.lat * 1e7))
    assert abs(row.wgs_lon_e7 - 1062071234) <= 1
    assert abs(row.wgs_lat_e7 - 289081234) <= 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lon": 0.0, "lat": 0.0}, "null-island"),
        ({"lat": 91.0}, "out-of-range"),
        ({"lon": 181.0}, "out-of-range"),
        ({"lon": 28.9, "lat": 106.2}, "axes-swapped"),
        ({"lon": "106,2"}, "float-type"),
        ({"datum": "wgs72"}, "enum"),
        ({"datum": None}, "missing"),  # As if it were left out (edge 140).
    ],
)
def test_impossible_positions_are_refused_and_recorded(
    service: Service, cadre: Cadre, change: dict[str, Any], code: str
) -> None:
    one = ids.new_id()
    answer = put(service, cadre, check_in(NOON, position=position(**change)), one)  # edge 38
    problem = answer.json()
    assert answer.status_code == 422
    assert code in {error["code"] for error in problem["errors"]}, problem
    assert all(error["zh"] and error["en"] and error["field"] for error in problem["errors"])
    assert masks(service, cadre) == {}
    with service.database.read() as session:
        kept = session.execute(
            sa.text("SELECT code, body FROM checkin_attempts WHERE checkin_id = :i"), {"i": str(one)}
        ).one()
    assert kept.code == "invalid-request"
    assert json.loads(kept.body)["position"] is not None


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["lon", "lat", "accuracy_m", "age_s", "altitude_m", "speed_mps"])
def test_not_a_number_is_refused_never_stored(service: Service, cadre: Cadre, name: str, text: str) -> None:
    body = json.dumps(check_in(NOON, position=position(**{name: 123456.25}))).replace("123456.25", text)
    with service.as_(cadre.token) as client:
        answer = client.put(
            f"/v1/check-ins/{ids.new_id()}", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422
    assert masks(service, cadre) == {}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"x"', 422),
        (b"{}", 422),
        (b"[" * 5000, 400),
        (b'{"a":' + b"1" * 4000 + b"}", 422),
        (b" " * 20_000, 413),
    ],
)
def test_bodies_that_are_no_check_in_are_problems(
    service: Service, cadre: Cadre, content: bytes, status: int
) -> None:
    with service.as_(cadre.token) as client:
        answer = client.put(
            f"/v1/check-ins/{ids.new_id()}", content=content, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_fields_of_a_newer_phone_are_ignored(service: Service, cadre: Cadre) -> None:
    body = check_in(NOON, battery=80, position=position(satellites=12))
    assert put(service, cadre, body).status_code == 201


def test_a_text_with_nul_is_refused(service: Service, cadre: Cadre) -> None:
    assert put(service, cadre, check_in(NOON, note="a\0b")).status_code == 422


def test_rare_characters_survive(service: Service, cadre: Cadre) -> None:
    assert (
        put(service, cadre, check_in(NOON, note="𬭎䶮 走访 👣")).json()["note"] == "𬭎䶮 走访 👣"
    )  # edge 129


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        ("2026-11-16T15:59:59+00:00", "2026-11-16"),
        ("2026-11-16T16:00:00+00:00", "2026-11-17"),
        ("2026-11-16T23:30:00+07:00", "2026-11-17"),  # edge 60
    ],
)
def test_the_day_is_the_date_in_beijing(
    service: Service, cadre: Cadre, clock: SetClock, utc: str, day: str
) -> None:
    at = datetime.fromisoformat(utc)
    clock.set(at.astimezone(UTC) + timedelta(seconds=2))
    assert put(service, renewed(service, cadre), check_in(at)).json()["day"] == day  # edge 1


def test_a_tap_just_before_midnight_stays_on_its_day(service: Service, cadre: Cadre, clock: SetClock) -> None:
    at = datetime(2026, 11, 16, 15, 59, 58, tzinfo=UTC)
    clock.set(at + timedelta(seconds=7))
    assert (
        put(service, renewed(service, cadre), check_in(at, sent=at)).json()["day"] == "2026-11-16"
    )  # edge 62


def test_a_fast_clock_is_corrected_and_the_difference_told(service: Service, cadre: Cadre) -> None:
    fast = NOON + timedelta(minutes=15)
    body = put(service, cadre, check_in(fast, sent=fast)).json()  # edge 54
    assert datetime.fromisoformat(body["event_at"]) == NOON
    assert body["clock_off_s"] == 900.0


def test_the_future_is_stored_as_now(service: Service, cadre: Cadre) -> None:
    ahead = NOON + timedelta(days=3)
    body = put(service, cadre, check_in(ahead, sent=NOON)).json()  # edge 56
    assert datetime.fromisoformat(body["event_at"]) == NOON
    assert body["day"] == "2026-11-16"


def test_three_days_offline_count_on_their_own_days(service: Service, cadre: Cadre) -> None:
    days = [NOON - timedelta(days=d) for d in (3, 2, 1)]
    bodies = [put(service, cadre, check_in(at, sent=NOON)).json() for at in days]  # edge 57
    assert [(b["day"], b["standing"], b["late"]) for b in bodies] == [
        ("2026-11-13", "counted", True),
        ("2026-11-14", "counted", True),
        ("2026-11-15", "counted", True),
    ]


def test_seventy_two_hours_is_the_last_age_that_counts(service: Service, cadre: Cadre) -> None:
    edge = put(service, cadre, check_in(NOON - timedelta(hours=72), sent=NOON)).json()
    over = put(service, cadre, check_in(NOON - timedelta(hours=72, seconds=1), sent=NOON)).json()  # edge 55
    assert (edge["standing"], over["standing"], over["verdict"]) == ("counted", "claimed", "inside")


def test_a_wrong_clock_a_week_back_counts_today(service: Service, cadre: Cadre) -> None:
    week = NOON - timedelta(days=7)
    body = put(service, cadre, check_in(week, sent=week + timedelta(seconds=2))).json()
    assert (body["day"], body["standing"]) == ("2026-11-16", "counted")


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
def test_absurd_clocks_never_crash(service: Service, cadre: Cadre, text: str) -> None:
    for body in (
        check_in(NOON) | {"captured_at": text},
        check_in(NOON) | {"captured_at": text, "sent_at": text},
        check_in(NOON) | {"sent_at": text},
    ):
        assert put(service, cadre, body).status_code in {201, 422}


def test_before_the_posting_it_is_recorded_and_not_counted(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    early = make_cadre(service, world, from_day=date(2026, 11, 20))
    body = put(service, early, check_in(NOON)).json()  # edge 76
    assert (body["verdict"], body["standing"]) == ("not_posted", "not-counted")


def test_the_last_day_of_a_posting_counts(service: Service, world: World, clock: SetClock) -> None:
    clock.set(NOON)
    leaving = make_cadre(service, world, until_day=date(2026, 11, 16))
    body = put(service, leaving, check_in(NOON)).json()  # edge 10
    assert body["verdict"] == "inside"
    assert body["month"]["due"] == 16


def test_a_village_without_boundary_counts_provisionally(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    with service.database.write() as session:
        session.execute(
            sa.text(
                "INSERT INTO regions (code, name, kind, valid_from) VALUES ('500116101299', '新村', 'village', '2020-01-01')"
            )
        )
    unfenced = make_cadre(service, World(world.town, "500116101299", world.zone_id, world.unit_id))
    body = put(service, unfenced, check_in(NOON)).json()  # edge 49
    assert (body["verdict"], body["standing"]) == ("no_fence", "provisional")


def test_a_mistaken_check_in_can_be_taken_back_and_stays_marked(
    service: Service, cadre: Cadre, clock: SetClock
) -> None:
    one = ids.new_id()
    put(service, cadre, check_in(NOON), one)
    clock.move(minutes=9)
    with service.as_(cadre.token) as client:
        answer = client.post(f"/v1/check-ins/{one}/withdraw", json={"reason": "点错了"})
        again = client.post(f"/v1/check-ins/{one}/withdraw", json={"reason": "点错了"})
    assert answer.status_code == again.status_code == 200, answer.text
    assert answer.json()["withdrawn_at"] is not None
    assert masks(service, cadre)["sure"] == 0
    assert put(service, cadre, check_in(NOON), one).status_code == 200  # A resend of it changes nothing.
    assert masks(service, cadre)["sure"] == 0


def test_withdrawing_leaves_the_other_check_in_of_the_day(service: Service, cadre: Cadre) -> None:
    one = ids.new_id()
    put(service, cadre, check_in(NOON - timedelta(hours=3), sent=NOON))
    put(service, cadre, check_in(NOON), one)
    with service.as_(cadre.token) as client:
        assert client.post(f"/v1/check-ins/{one}/withdraw", json={"reason": "点错了"}).status_code == 200
    assert masks(service, cadre)["sure"] == day_mask(16)


def test_after_the_minutes_it_cannot_be_taken_back(service: Service, cadre: Cadre, clock: SetClock) -> None:
    one = ids.new_id()
    put(service, cadre, check_in(NOON), one)
    clock.move(minutes=10, seconds=1)
    with service.as_(renewed(service, cadre).token) as client:
        answer = client.post(f"/v1/check-ins/{one}/withdraw", json={"reason": "点错了"})
    assert (answer.status_code, answer.json()["code"]) == (409, "withdrawal-too-late")


def test_a_step_back_of_the_servers_clock_loses_nothing(
    service: Service, cadre: Cadre, clock: SetClock
) -> None:
    first, second = ids.new_id(), ids.new_id()
    put(service, cadre, check_in(NOON), first)
    clock.move(seconds=-30)
    assert put(service, cadre, check_in(clock()), second).status_code == 201  # edge 61
    with service.as_(cadre.token) as client:
        shown = [item["id"] for item in client.get("/v1/check-ins").json()["items"]]
    assert sorted(shown) == sorted([str(first), str(second)])


def test_another_persons_check_in_is_unknown(service: Service, world: World, cadre: Cadre) -> None:
    one, other = ids.new_id(), make_cadre(service, world)
    put(service, cadre, check_in(NOON), one)
    with service.as_(other.token) as client:
        answers = [client.get(f"/v1/check-ins/{i}") for i in (one, uuid4())]
        refused = client.post(f"/v1/check-ins/{one}/withdraw", json={"reason": "x"})
    assert [a.status_code for a in answers] == [404, 404]
    assert refused.status_code == 404
    shown = [a.json() for a in answers]
    for each in shown:
        each.pop("instance"), each.pop("request_id")
    assert shown[0] == shown[1]


def test_own_check_ins_come_in_pages_without_gap_or_repeat(service: Service, cadre: Cadre) -> None:
    made = [ids.new_id() for _ in range(7)]
    for number, one in enumerate(made):
        put(service, cadre, check_in(NOON - timedelta(minutes=5 * number), sent=NOON), one)
    with service.as_(cadre.token) as client:
        seen = [item["id"] for item in every(client, "/v1/check-ins", limit=3)]
        assert client.get("/v1/check-ins", params={"cursor": "x"}).status_code == 400
    assert seen == sorted(map(str, made), reverse=True)


def test_the_commitment_binds_the_position_and_can_be_opened_by_the_phone(
    service: Service, cadre: Cadre
) -> None:
    one, salt = ids.new_id(), "AAECAwQFBgcICQoLDA0ODw"
    put(service, cadre, check_in(NOON, salt=salt), one)
    with service.database.read() as session:
        stored = session.execute(
            sa.text("SELECT commitment FROM checkins WHERE id = :i"), {"i": one}
        ).scalar_one()
    exact = rules.ExactPosition(1062071234, 289081234, None, None)
    assert bytes(stored) == rules.commitment(bytes(range(16)), exact)
    assert bytes(stored) != rules.commitment(bytes(16), exact)


def test_the_coordinates_can_go_and_a_resend_is_still_recognised(service: Service, cadre: Cadre) -> None:
    one, body = ids.new_id(), check_in(NOON, salt="AAECAwQFBgcICQoLDA0ODw")
    put(service, cadre, body, one)
    with service.database.write() as session:
        fade(session, one)
    assert put(service, cadre, body, one).status_code == 200
    moved = {**body, "position": position(lon=106.2071299)}
    assert put(service, cadre, moved, one).status_code == 409
