"""Everything about oneself in one document, and nothing of anybody else (security.md S9; PIPL art. 45)."""

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, check_in, make_cadre, make_world, position
from psycopg import sql

from server import ids
from server.access import Role
from server.privacy import data_map, own_data

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


def exported(service: Service, token: str) -> dict[str, Any]:
    with service.as_(token) as client:
        answer = client.get("/v1/me/export")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.content)
    return found


def rows(told: dict[str, Any], table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(each["rows"] for each in told["sections"] if each["name"] == table)
    return found


def lived(service: Service, world: World, clock: SetClock, lon: float, note: str) -> Cadre:
    """Let somebody leave a trace in every table that a phone and an officer reach."""
    clock.set(NOON)
    cadre = make_cadre(service, world)
    one, refused = ids.new_id(), ids.new_id()
    with service.database.write() as session:
        officer = make_account(session, role=Role.DISTRICT, region="500116", valid_from=LONG_AGO)
    with service.as_(cadre.token) as phone, service.as_(token_for(service, officer)) as office:
        made = check_in(NOON, position=position(lon=lon), note=note)
        assert phone.put(f"/v1/check-ins/{one}", json=made).status_code == 201
        assert phone.put(f"/v1/check-ins/{refused}", json=made | {"captured_at": note}).status_code == 422
        assert phone.post(f"/v1/check-ins/{one}/withdraw", json={"reason": note}).status_code == 200
        office.get(f"/v1/people/{cadre.person_id}/months/2026-11").raise_for_status()
        hold = {
            "id": str(ids.new_id()),
            "person_id": str(cadre.person_id),
            "reason": note,
            "ends_on": "2090-01-01",
        }
        assert office.post("/v1/legal-holds", json=hold).status_code == 201
        again = office.post("/v1/legal-holds", json={**hold, "reason": f"{note}，另有说法"})
        assert (again.status_code, again.json()["code"]) == (409, "id-reused")
        lift = office.post(f"/v1/legal-holds/{hold['id']}/lift", json={"reason": note})
        assert lift.status_code == 200
    return cadre


FILLED = {
    "accounts", "checkin_attempts", "checkin_points", "checkin_rows", "checkin_withdrawals", "grants", "legal_hold_lifts",
    "legal_holds", "looks", "people", "person_months", "postings", "sessions", "audit_log",
}  # fmt: skip


def test_all_of_it_is_there_with_its_meaning(service: Service, world: World, clock: SetClock) -> None:
    cadre = lived(service, world, clock, 106.2071111, "我的备注")
    told = exported(service, cadre.token)
    assert {each["name"] for each in told["sections"]} == set(data_map.personal())
    assert {each["name"] for each in told["sections"] if each["rows"]} >= FILLED
    (made,) = rows(told, "checkin_rows")
    (point,) = rows(told, "checkin_points")
    assert (made["verdict"], made["note"]) == ("inside", "我的备注")
    assert (point["lon_e7"], point["checkin_id"]) == (1062071111, made["id"])
    assert rows(told, "checkin_withdrawals")[0]["reason"] == "我的备注"
    assert rows(told, "looks")[0]["role"] == "district_officer"
    assert [month["month"] for month in told["months"]] == ["2026-11"]
    assert told["months"][0]["days"][15]["records"][0]["note"] == "我的备注"
    for each in told["sections"]:
        assert each["purpose_zh"], each["name"]
        assert each["kept_en"], each["name"]
        assert set(each["columns"].values()) <= set(told["kinds"]) | {None}


def test_nothing_of_anybody_else_is_in_it(service: Service, world: World, clock: SetClock) -> None:
    """Two people in one village with the same officers: neither document holds an id, word or place of the other."""
    one = lived(service, world, clock, 106.2072222, "甲的备注")
    other = lived(service, world, clock, 106.2073333, "乙的备注")
    for mine, theirs, foreign in (
        (one, other, ("乙的备注", "1062073333")),
        (other, one, ("甲的备注", "1062072222")),
    ):
        text = json.dumps(exported(service, mine.token), ensure_ascii=False)
        assert not [word for word in (*foreign, *_ids(service, theirs)) if word in text]
        assert str(mine.person_id) in text


def _ids(service: Service, cadre: Cadre) -> list[str]:
    """Return the ids of everything that is about somebody."""
    found = [str(cadre.person_id), str(cadre.account.id)]
    with psycopg.connect(service.cloned.owner_url) as connection:
        for table, column, owner in (
            ("checkin_rows", "id", cadre.person_id),
            ("postings", "id", cadre.person_id),
            ("legal_holds", "id", cadre.person_id),
            ("sessions", "id", cadre.account.id),
            ("grants", "id", cadre.account.id),
        ):
            whose = "account_id" if owner == cadre.account.id else "person_id"
            query = sql.SQL("SELECT {}::text FROM {} WHERE {} = %s").format(
                sql.Identifier(column), sql.Identifier(table), sql.Identifier(whose)
            )
            found += [row[0] for row in connection.execute(query, [owner])]
    return found


def test_no_secret_and_no_official_is_in_it(service: Service, world: World, clock: SetClock) -> None:
    cadre = lived(service, world, clock, 106.2074444, "丙的备注")
    told = exported(service, cadre.token)
    with psycopg.connect(service.cloned.owner_url) as connection:
        officials = {
            str(row[0])
            for row in connection.execute(
                "SELECT account_id FROM grants WHERE role = 'district_officer'"
            ).fetchall()
        }
        hashes = connection.execute("SELECT encode(token_hash, 'hex') FROM sessions").fetchall()
    text = json.dumps(told, ensure_ascii=False)
    assert not [word for word in (*officials, *(row[0] for row in hashes)) if word in text]
    assert "token_hash" in next(each["left_out"] for each in told["sections"] if each["name"] == "sessions")


def test_an_official_gets_what_is_the_own_and_not_whom_it_was_done_to(service: Service, world: World) -> None:
    cadre = make_cadre(service, world)
    with service.database.write() as session:
        officer = make_account(session, role=Role.DISTRICT, region="500116", valid_from=LONG_AGO)
    token = token_for(service, officer)
    with service.as_(token) as office:
        hold = {
            "id": str(ids.new_id()),
            "person_id": str(cadre.person_id),
            "reason": "申诉",
            "ends_on": "2090-01-01",
        }
        office.post("/v1/legal-holds", json=hold).raise_for_status()
    told = exported(service, token)
    assert "hold:place" in {row["deed"] for row in rows(told, "audit_log")}
    text = json.dumps(told, ensure_ascii=False)
    assert str(cadre.person_id) not in text
    assert hold["id"] not in text
    assert (told["person_id"], told["months"], rows(told, "checkin_rows")) == (None, [], [])


def test_asking_for_it_leaves_a_trace_that_the_person_sees(
    service: Service, world: World, clock: SetClock
) -> None:
    cadre = lived(service, world, clock, 106.2075555, "丁的备注")
    exported(service, cadre.token)
    assert "own-data:export" in {row["deed"] for row in rows(exported(service, cadre.token), "audit_log")}


def test_every_table_about_somebody_can_be_exported() -> None:
    assert set(own_data.OWN) == set(data_map.personal())


def test_ten_years_of_check_ins_are_written_in_little_memory(service: Service, world: World) -> None:
    """As many rows as ten years give: what is held at once does not grow with them."""
    cadre = make_cadre(service, world)
    _fill(service, cadre.person_id, days=3650)
    with service.database.read() as session:
        tracemalloc.start()
        whose = own_data.Whose(cadre.account.id, cadre.person_id)
        with own_data.written(session, whose, "500116", NOON) as file:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            size = file.seek(0, 2)
            file.seek(0)
            assert len(rows(json.loads(file.read()), "checkin_rows")) == 3650
    assert size > 3_000_000
    assert (
        peak < size
    )  # 2.6 MB of 4.6 when this was written, of which one is the file before it goes to the disk.


def _fill(service: Service, person: UUID, days: int) -> None:
    with psycopg.connect(service.cloned.owner_url) as connection:
        connection.execute(
            """INSERT INTO checkin_rows (received_at, event_at, sent_at, day, utc_offset_min, kind, verdict, reason, standing,
    outside_work, person_id, id, content_hash, note)
SELECT at, at, at, at::date, 480, 'd', 'i', 'i', 'c', false, %s, gen_random_uuid(), decode(repeat('ab', 32), 'hex'), repeat('备注', 20)
FROM generate_series(%s::timestamptz - interval '1 day' * %s, %s::timestamptz - interval '1 day', interval '1 day') AS at""",
            [person, NOON, days, NOON],
        )


def test_a_month_for_which_no_policy_holds_keeps_nothing_else_from_its_owner(
    service: Service, clock: SetClock
) -> None:
    clock.set(NOON)
    elsewhere = make_world(service, town="500118101", policy=False)
    cadre, one = make_cadre(service, elsewhere), ids.new_id()
    with service.as_(cadre.token) as phone:
        assert phone.put(f"/v1/check-ins/{one}", json=check_in(NOON, position=position())).status_code == 201
        assert phone.get("/v1/me/months/2026-11").json()["code"] == "no-policy"
    told = exported(service, cadre.token)
    assert told["months"] == []
    assert [row["id"] for row in rows(told, "checkin_rows")] == [str(one)]
    assert len(rows(told, "person_months")) == 1
