"""Who sees whose month, and lists of months: cursors, filters, order, the command line."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from conftest import Service, SetClock
from factories_month import (
    FAR_VILLAGE,
    NEXT_VILLAGE,
    OTHER_TOWN,
    TOWN,
    VILLAGE,
    enter,
    live,
    make_check_in,
    make_person,
    make_policy,
    make_regions,
    make_unit,
    post,
    withdraw,
)

from server.access import Role
from server.cli import main

MONTH = "2026-04"
FIRST = date(2026, 4, 1)
Evidence = Mapping[str, Iterable[int]]


@dataclass(frozen=True)
class People:
    """A small district: who is posted where, and how the month went."""

    unit: UUID
    other_unit: UUID
    met: UUID  # VILLAGE, unit
    below: UUID  # VILLAGE, unit
    neighbour: UUID  # NEXT_VILLAGE, other unit; below
    far: UUID  # FAR_VILLAGE, other unit; met
    moved: UUID  # from VILLAGE to FAR_VILLAGE on the 16th; below


def settle(service: Service, name: str, village: str, unit: UUID, evidence: Evidence) -> UUID:
    with service.database.write() as session:
        person = make_person(session, name=name, unit=unit)
        post(session, person, village)
        live(session, person, FIRST, evidence)
    return person


@pytest.fixture(scope="module", autouse=True)
def _district(service: Service) -> None:
    with service.database.write() as session:
        make_regions(session)
        make_policy(session)


@pytest.fixture(scope="module")
def people(service: Service) -> People:
    with service.database.write() as session:
        unit, other = make_unit(session), make_unit(session)
        moved = make_person(session, name="周迁", unit=other)
        post(session, moved, VILLAGE, date(2026, 1, 1), date(2026, 4, 15))
        post(session, moved, FAR_VILLAGE, date(2026, 4, 16))
        live(session, moved, FIRST, {"sure": [1, 2, 20]})
    return People(
        unit=unit,
        other_unit=other,
        met=settle(service, "王达", VILLAGE, unit, {"sure": range(1, 26)}),
        below=settle(service, "安缺", VILLAGE, unit, {"sure": range(1, 11), "outside": [12, 13]}),
        neighbour=settle(service, "李邻", NEXT_VILLAGE, other, {}),
        far=settle(service, "赵远", FAR_VILLAGE, other, {"sure": range(1, 31)}),
        moved=moved,
    )


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set("2026-05-10T04:00:00")


def listed(client: httpx.Client, month: str = MONTH, **params: str | int) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/months/{month}", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def whose(rows: list[dict[str, Any]]) -> list[UUID]:
    return [UUID(row["person"]["id"]) for row in rows]


# --- who
@pytest.mark.parametrize("role", [Role.CADRE, Role.CLERK, Role.ADMIN])
def test_those_who_never_read_months_of_others_are_forbidden(
    service: Service, people: People, role: Role
) -> None:
    with service.as_(enter(service, role)) as client:
        one = client.get(f"/v1/people/{people.met}/months/{MONTH}")
        assert (one.status_code, client.get(f"/v1/months/{MONTH}").status_code) == (403, 403)


def test_team_mates_see_nothing_of_each_other(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.CADRE, region=VILLAGE, person=people.below)) as client:
        assert client.get(f"/v1/me/months/{MONTH}").json()["person"]["id"] == str(people.below)
        assert client.get(f"/v1/people/{people.met}/months/{MONTH}").status_code == 403
        assert client.get(f"/v1/people/{people.below}/months/{MONTH}").status_code == 403


@pytest.mark.usefixtures("people")
def test_an_account_without_a_person_has_no_month(service: Service) -> None:
    with service.as_(enter(service, Role.CADRE)) as client:
        assert client.get(f"/v1/me/months/{MONTH}").status_code == 404
    with service.as_(enter(service, Role.DISTRICT)) as client:
        assert client.get(f"/v1/me/months/{MONTH}").status_code == 403
    assert service.client.get(f"/v1/me/months/{MONTH}").status_code == 401


def test_another_towns_person_is_as_unknown_as_nobody(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.TOWN, region=TOWN)) as client:
        hidden = client.get(f"/v1/people/{people.far}/months/{MONTH}")
        nobody = client.get(f"/v1/people/{uuid4()}/months/{MONTH}")
        assert client.get(f"/v1/people/{people.met}/months/{MONTH}").status_code == 200
    kept = {"status", "code", "title", "detail"}
    assert {key: hidden.json()[key] for key in kept} == {key: nobody.json()[key] for key in kept}
    assert hidden.status_code == 404


def test_a_town_lists_its_own_and_the_days_it_had_of_others(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.TOWN, region=TOWN)) as client:
        rows = {UUID(row["person"]["id"]): row for row in listed(client)}
    assert set(rows) == {people.met, people.below, people.neighbour, people.moved}
    moved = rows[people.moved]
    assert (moved["owned"], moved["statement"], moved["village"]["code"]) == (False, None, VILLAGE)
    assert (moved["days_posted"], moved["counters"]["village"]) == (15, 2)
    with service.as_(enter(service, Role.TOWN, region=OTHER_TOWN)) as client:
        owned = next(row for row in listed(client) if row["person"]["id"] == str(people.moved))
    assert (owned["owned"], owned["statement"]["due"], owned["statement"]["counted"]) == (True, 30, 3)


def test_a_village_scope_shows_that_village_alone(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.TOWN, region=NEXT_VILLAGE)) as client:
        assert whose(listed(client)) == [people.neighbour]


def test_a_sending_unit_sees_counters_of_its_people_and_nothing_else(
    service: Service, people: People
) -> None:
    with service.as_(enter(service, Role.UNIT, unit=people.unit)) as client:
        rows = listed(client)
        one = client.get(f"/v1/people/{people.below}/months/{MONTH}").json()
        assert client.get(f"/v1/people/{people.far}/months/{MONTH}").status_code == 404
        filtered = [listed(client, result=result) for result in ("below", "met", "too-short")]
    assert set(whose(rows)) == {people.met, people.below}
    assert {row["statement"] for row in rows} == {None}
    assert (one["statement"], one["others"], one["days"]) == (None, [], [])
    assert one["counters"] == {"village": 10, "on_post": 10, "allowance": 10}
    assert filtered == [[], [], []]  # A filter by result would tell what the rows do not.


def test_an_inspector_sees_states_and_verdicts_but_no_notes(service: Service, people: People) -> None:
    with service.database.write() as session:
        person = make_person(session, name="孙注", unit=people.unit)
        post(session, person, FAR_VILLAGE, until_day=date(2026, 3, 31))
        make_check_in(session, person, date(2026, 3, 3), "outside", note="送老人就医", village=FAR_VILLAGE)
    path = f"/v1/people/{person}/months/2026-03"
    with (
        service.as_(enter(service, Role.INSPECTOR, region=OTHER_TOWN)) as inspector,
        service.as_(enter(service, Role.TOWN, region=OTHER_TOWN)) as town,
    ):
        seen, official = inspector.get(path).json(), town.get(path).json()
    assert [seen["days"][2]["records"][0][key] for key in ("verdict", "note")] == ["outside", None]
    assert official["days"][2]["records"][0]["note"] == "送老人就医"
    assert seen["statement"] == official["statement"]


def test_an_inspector_does_not_look_at_the_own_village(service: Service, people: People) -> None:  # edge 80
    with service.as_(
        enter(service, Role.INSPECTOR, region=TOWN, person=inspector_in_village(service))
    ) as client:
        seen = set(whose(listed(client)))
        assert client.get(f"/v1/people/{people.met}/months/{MONTH}").status_code == 404
    assert people.neighbour in seen
    assert people.met not in seen


def inspector_in_village(service: Service) -> UUID:
    with service.database.write() as session:
        person = make_person(session, name="督查")
        post(session, person, VILLAGE, date(2026, 4, 30), date(2026, 4, 30))
    return person


# --- lists
def test_nobody_is_ranked(service: Service, people: People) -> None:  # edge 136
    with service.as_(enter(service, Role.DISTRICT)) as client:
        rows = listed(client, limit=200)
        keys = [(row["village"]["code"], row["person"]["name"]) for row in rows]
        assert keys == sorted(keys)
        assert {people.met, people.below, people.neighbour, people.far, people.moved} <= set(whose(rows))
        same = client.get(f"/v1/months/{MONTH}", params={"sort": "counted", "limit": 200}).json()["items"]
    assert whose(same) == whose(rows)


def test_the_list_says_why_for_those_below(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.DISTRICT)) as client:
        below = {UUID(row["person"]["id"]): row for row in listed(client, result="below", limit=200)}
        met = whose(listed(client, result="met", limit=200))
    assert {people.below, people.neighbour, people.moved} <= set(below)
    assert {people.met, people.far} <= set(met)
    assert not set(met) & set(below)
    result = below[people.below]["statement"]["result"]
    assert result["en"] == (
        "Below: counted 10 of 20 needed: 18 days without record, 2 days outside the village only."
    )
    assert below[people.neighbour]["statement"]["no_data"] is True


def test_filters_narrow_and_never_widen(service: Service, people: People) -> None:
    with service.as_(enter(service, Role.DISTRICT)) as client:
        assert set(whose(listed(client, unit=str(people.unit), region=VILLAGE))) == {people.met, people.below}
        assert whose(listed(client, q="李邻")) == [people.neighbour]
        assert whose(listed(client, region=NEXT_VILLAGE)) == [people.neighbour]
        assert listed(client, q="%") == []
        assert listed(client, region="11") == []
    with service.as_(enter(service, Role.TOWN, region=OTHER_TOWN)) as client:
        assert listed(client, region=TOWN) == []
        assert listed(client, q="王达") == []


def test_a_person_is_found_by_the_start_of_the_staff_number(service: Service, people: People) -> None:
    with service.database.write() as session:
        person = make_person(session, name="编号", number="JJ-00042", unit=people.unit)
        post(session, person, VILLAGE, date(2026, 4, 30), date(2026, 4, 30))
    with service.as_(enter(service, Role.DISTRICT)) as client:
        assert whose(listed(client, q="jj-0004")) == [person]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "asked",
    ["result=worst", "limit=0", "limit=201", "region=5%25", "unit=1", "q=%00", "q=" + "长" * 51, "limit=x"],
)
def test_odd_filters_are_problems(service: Service, asked: str) -> None:
    with service.as_(enter(service, Role.DISTRICT)) as client:
        answer = client.get(f"/v1/months/{MONTH}?{asked}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        odd = client.get(f"/v1/months/{MONTH}", params={"cursor": "WzFd"})
        assert (odd.status_code, odd.json()["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize("result", [None, "below"])
def test_pages_hold_everybody_once_while_others_come(service: Service, result: str | None) -> None:
    month = "2025-09"
    town = TOWN if result is None else OTHER_TOWN
    village = VILLAGE if result is None else FAR_VILLAGE

    def settled(name: str) -> UUID:
        with service.database.write() as session:
            person = make_person(session, name=name)
            post(session, person, village, date(2025, 9, 1), date(2025, 9, 30))
        return person

    before = [settled(f"甲{number % 4}") for number in range(9)]  # Names repeat: the id breaks the tie.
    seen: list[UUID] = []
    cursor: str | None = None
    with service.as_(enter(service, Role.TOWN, region=town)) as client:
        while True:
            params: dict[str, str | int] = {"limit": 2, "region": village}
            if cursor:
                params["cursor"] = cursor
            if result:
                params["result"] = result
            page = client.get(f"/v1/months/{month}", params=params).json()
            seen += whose(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
            settled("丁")  # Comes before every 甲 in the order of names, so behind the cursor.
    assert [person for person in seen if person in before] == sorted(
        before, key=lambda person: (before.index(person) % 4, person)
    )
    assert len(seen) == len(set(seen))


# --- the command line
def run(service: Service, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, list(arguments), env={"ZAICUN_DATABASE_URL": service.cloned.app_url}, catch_exceptions=False
    )


@pytest.mark.usefixtures("people")
def test_the_command_prints_those_below_with_reasons_and_a_summary(service: Service) -> None:
    shown = run(service, "month", "show", MONTH, "--region", VILLAGE, "--below")
    assert shown.exit_code == 0
    assert "安缺" in shown.output
    assert "王达" not in shown.output
    assert "counted 10 of 20 needed: 18 days without record, 2 days outside the village only." in shown.output
    for line in ("派驻人数", "达到 / met: 1", "未达到 / below: 1", "全月无记录", "two-thirds v1", "自然日"):
        assert line in shown.output, line


@pytest.mark.usefixtures("people")
def test_the_command_writes_json_and_csv_that_agree(service: Service) -> None:
    whole = json.loads(run(service, "month", "show", MONTH, "--region", TOWN, "--json").output)
    sheet = run(service, "month", "show", MONTH, "--region", TOWN, "--csv").output
    rows = list(csv.reader(io.StringIO(sheet.removeprefix("\ufeff"), newline="")))
    assert [row[3] for row in rows[1:]] == [person["name"] for person in whole["people"]]
    assert sum(whole["summary"]["results"].values()) == whole["summary"]["posted"] == len(whole["people"])
    assert run(service, "month", "show", MONTH, "--json", "--csv").exit_code == 2
    assert run(service, "month", "show", "2026-13").exit_code == 2


def test_no_cell_is_a_formula(service: Service) -> None:  # edge 128
    with service.database.write() as session:
        person = make_person(session, name='=HYPERLINK("http://x")', number="+86")
        post(session, person, NEXT_VILLAGE, date(2025, 5, 1), date(2025, 5, 31))
    sheet = run(service, "month", "show", "2025-05", "--csv").output
    rows = csv.reader(io.StringIO(sheet.removeprefix("\ufeff"), newline=""))
    row = next(row for row in rows if "HYPERLINK" in row[3])
    assert (row[3], row[4]) == ('\'=HYPERLINK("http://x")', "'+86")


def test_the_command_finds_a_mask_that_the_check_ins_do_not_bear_out(service: Service) -> None:
    with service.database.write() as session:
        person = make_person(session, name="核对", number="verify-1")
        post(session, person, VILLAGE, date(2025, 6, 1), date(2025, 6, 30))
        live(session, person, date(2025, 6, 1), {"sure": [1, 2], "claimed": [3]})
        taken_back = make_check_in(session, person, date(2025, 6, 9))
        withdraw(session, person, taken_back)
    agreed = run(service, "month", "verify", "2025-06")
    assert (agreed.exit_code, "agree exactly" in agreed.output) == (0, True)
    with service.database.write() as session:
        session.execute(
            sa.text(
                "UPDATE person_months SET sure = sure | (3::bigint << 16), claimed = 0 WHERE person_id = :p"
            ),
            {"p": person},
        )
    found = run(service, "month", "verify", "2025-06", "--region", VILLAGE)
    assert found.exit_code == 1
    assert "verify-1 核对" in found.output
    assert "sure: 保存 / kept 0x3000f, 重算 / recomputed 0xf, 日 / days 9" in found.output
    assert "claimed" in found.output
    assert run(service, "month", "verify", "2025-06", "--region", OTHER_TOWN).exit_code == 0
    assert "0 people mended" in run(service, "month", "recompute", "2025-06", "--region", OTHER_TOWN).output
    mended = run(service, "month", "recompute", "2025-06")
    assert (mended.exit_code, "1 people mended" in mended.output) == (0, True)
    assert run(service, "month", "verify", "2025-06").exit_code == 0
