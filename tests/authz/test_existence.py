"""What a refusal must not tell of what lies out of reach: through ids used again, unique numbers, and near misses."""

from typing import Any
from uuid import UUID

import pytest
from factories_roster import make_person

from authz.bench import Answer, Bench
from authz.world import OTHER_DISTRICT, TOWN, World
from server.auth.models import Account, GrantRow
from server.month.models import PolicyRow
from server.roster.models import Person, PostingPlace

Body = dict[str, Any]


def _send(bench: Bench, path: str, body: Body) -> Answer:
    return bench.send("POST", path, bench.world.callers["district_officer"].token, json=body)


def _guesses(bench: Bench) -> dict[str, tuple[str, type[Any], Body, Body]]:
    """Return, by sort, the route, the table, and two bodies with a foreign row's id: a wrong and a right guess."""
    world: World = bench.world
    with bench.database.write() as session:
        there = world.targets["other_district"]
        person = session.get_one(Person, UUID(there.person))
        account = session.get_one(Account, UUID(there.account))
        policy = session.get_one(PolicyRow, UUID(there.policy))
        place = session.get_one(PostingPlace, UUID(there.place))
    near, team = {"id": str(person.id), "name": "猜"}, world.targets["team"]
    at_team = f"/v1/postings/{team.posting}/places"
    login = {"id": str(account.id), "display_name": "猜", "region": TOWN}
    drafted = {"id": str(policy.id), "region_prefix": TOWN, "reason": "猜", "document": policy.document}
    granted = {"id": there.grant, "region": TOWN}
    placed = {"id": str(place.id), "until_day": None, "from_day": place.from_day.isoformat()}
    return {
        "person": (
            "/v1/people",
            Person,
            {**near, "number": "GUESS1", "phone": "13000000000"},
            {**near, "number": person.number, "phone": person.phone},
        ),
        "account": (
            "/v1/accounts",
            Account,
            {**login, "login": "guessed"},
            {**login, "login": account.login},
        ),
        "policy": (
            "/v1/policies",
            PolicyRow,
            {**drafted, "valid_from": "2026-09-01"},
            {**drafted, "valid_from": policy.valid_from.isoformat()},
        ),
        "grant": (
            f"/v1/accounts/{team.account}/grants",
            GrantRow,
            {**granted, "role": "inspector"},
            {**granted, "role": "cadre"},
        ),
        "place": (
            at_team,
            PostingPlace,
            {**placed, "zone_id": team.zone, "from_day": "2026-02-02"},
            {**placed, "zone_id": team.zone},
        ),
    }


@pytest.mark.parametrize("sort", ["person", "account", "policy", "grant", "place"])
def test_the_id_of_a_foreign_row_answers_no_guess_about_its_content(bench: Bench, sort: str) -> None:
    path, _, wrong, right = _guesses(bench)[sort]
    answers = [_send(bench, path, body) for body in (wrong, right)]
    told = [{**answer.json, "request_id": ""} for answer in answers]
    assert [answer.code for answer in answers] == ["409 id-reused"] * 2
    assert told[0] == told[1]
    assert "fields" not in told[0]


def test_a_foreign_number_with_zeros_is_not_told_to_who_lost_them(bench: Bench) -> None:
    bench.database.undo()
    token = bench.world.callers["district_officer"].token
    lines = "工号,姓名,村代码,职务,任职日期\n{},新人,{},工作队员,2026-06-01\n"
    with bench.database.write() as session:  # Stays until the next `undo`, which a request begins with.
        make_person(session, "外人", number="00771", kept_by=OTHER_DISTRICT)
    body = lines.format("771", f"{TOWN}299").encode()
    answer = bench.client.post(
        "/v1/roster-imports",
        content=body,
        headers={"Authorization": f"Bearer {token}"},
        params={"dry_run": "true"},
    )
    assert answer.status_code == 200, answer.text
    assert "00771" not in answer.text
    bench.database.undo()


def test_a_list_of_slips_is_refused_alike_for_what_is_foreign_and_what_is_not_there(bench: Bench) -> None:
    near, far = bench.world.targets["team"].account, bench.world.targets["other_district"].account
    absent = bench.world.targets["nowhere"].account
    told = [
        _send(bench, "/v1/accounts/slips", {"accounts": [near, each]}).text.replace(each, "·")
        for each in (far, absent)
    ]
    foreign, missing = (text.partition('"request_id"')[0] for text in told)
    assert foreign == missing
