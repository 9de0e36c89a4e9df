"""Corrections (补签) through HTTP: asked for, marked, decided by somebody else, and shown above records that stay."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import World, check_in, make_world
from factories_corrections import Desk, make_officers
from factories_month import make_fact, make_policy
from factories_office import code_of
from paging import every

from server import ids
from server.auth.models import Account
from server.compliance.recomputing import different_masks
from server.corrections.rules import Claim
from server.corrections.service import open_case
from server.month.masks import Half, Month
from server.month.models import SourceKind
from server.month.rules import Sort

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MONTH = "2026-11"
DONE = 409, "already-decided"


def day(number: int) -> date:
    return date(2026, 11, number)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    with service.database.write() as session:
        make_policy(session, correction_days=19)
    return make_world(service, policy=False)


@pytest.fixture(scope="module")
def officers(service: Service, world: World) -> dict[str, Account]:
    return make_officers(service, world)


@pytest.fixture
def desk(service: Service, world: World, officers: dict[str, Account], clock: SetClock) -> Iterator[Desk]:
    clock.set(NOON)
    with Desk(service, world, officers) as made:
        yield made


def rows(service: Service, query: str, **given: object) -> list[Any]:
    with service.database.read() as session:
        return list(session.execute(sa.text(query), given))


def test_an_approved_correction_counts_and_says_who_asked_who_decided_and_why(desk: Desk) -> None:
    body = check_in(NOON - timedelta(days=1), sent=NOON, no_position="denied", position=None)
    claim = ids.new_id()
    assert desk.clients["cadre"].put(f"/v1/check-ins/{claim}", json=body).status_code == 201
    before = desk.days(MONTH)[18]
    made = desk.asked(day(19), check_ins=[str(claim)])
    assert (made["state"], made["level"], made["provenance"], made["check_ins"]) == (
        "open", "town", "own", [str(claim)],
    )  # fmt: skip
    assert made["reason"] == {"code": "no-signal", "zh": "无信号或定位失败", "en": "no signal or no position"}
    assert desk.days(MONTH)[18] == before
    answer = desk.decide(made, "town")
    assert answer.status_code == 200, answer.text
    assert [event["event"] for event in answer.json()["timeline"]] == ["entered", "approved"]
    after = desk.days(MONTH)[18]
    (fact,) = after["facts"]
    assert (before["reasons"], after["reasons"], after["village"]) == (
        ["claimed"],
        ["corrected-present"],
        1.0,
    )
    assert after["records"][0] == {
        **before["records"][0],
        "decided": False,
    }  # The record itself stays as it was.
    assert (fact["source_kind"], fact["source_id"], fact["provenance"], fact["reason"], fact["text"]) == (
        "correction", made["id"], "own", "no-signal", "山里没有信号",
    )  # fmt: skip
    assert (fact["entered_by"], fact["decided_by"]) == ("张三", "测试账号")
    town = desk.clients["town"].get(f"/v1/people/{desk.person}/months/{MONTH}").json()
    assert (town["days"][18]["facts"], town["statement"]["corrected_days"]) == ([fact], ["2026-11-19"])


def test_a_resend_is_harmless_and_other_content_under_the_same_id_is_refused(desk: Desk) -> None:
    key = str(ids.new_id())
    first, again = desk.ask(day(3), id=key), desk.ask(day(3), id=key)
    assert (first.status_code, again.status_code, again.headers["Idempotent-Replay"]) == (201, 200, "true")
    assert first.json() == again.json()
    assert first.headers["Location"] == f"/v1/corrections/{key}"
    assert code_of(desk.ask(day(3), id=key, text="别的")) == (409, "id-reused")
    assert code_of(desk.ask(day(3), "town", id=key)) == (409, "id-reused")
    assert code_of(desk.ask(day(3))) == (409, "correction-open")
    assert code_of(desk.appeal(key, id=str(ids.new_id()))) == (404, "not-found")
    desk.decide(first.json(), "town")
    assert desk.ask(day(3), id=key).json()["state"] == "approved"


def test_a_decision_is_about_what_was_read_and_is_made_once(desk: Desk) -> None:  # ruling 12
    made = desk.asked(day(4))
    assert code_of(desk.decide(made, "town", match=None)) == (428, "precondition-required")
    assert code_of(desk.decide(made, "town", match='"9"')) == (412, "precondition-failed")
    read = desk.clients["town"].get(f"/v1/corrections/{made['id']}").headers["ETag"]
    refused = desk.decide(made, "town", approve=False, match=read)
    assert (refused.json()["state"], refused.headers["ETag"]) == ("refused", '"2"')
    late = desk.decide(made, "town2", match=read)
    assert code_of(late) == DONE
    assert late.json()["decision"] == {
        "state": "refused", "decided_at": NOON.isoformat(), "reason": "村委会证实", "version": 2,
    }  # fmt: skip
    assert code_of(desk.withdraw(made)) == DONE
    assert desk.days(MONTH)[3]["reasons"] == ["no-evidence"]


def test_nobody_decides_what_concerns_them_or_what_they_entered(desk: Desk) -> None:  # S6
    desk.also_town_officer()
    own, by_town = desk.asked(day(5)), desk.asked(day(6), "town")
    assert by_town["provenance"] == "town"
    assert code_of(desk.decide(own, "cadre")) == (403, "own-request")
    assert code_of(desk.decide(by_town, "cadre")) == (403, "own-request")
    assert code_of(desk.decide(by_town, "town")) == (403, "own-request")
    assert code_of(desk.withdraw(by_town, "town2")) == (403, "not-the-author")
    assert [desk.decide(each, "town2").status_code for each in (own, by_town)] == [200, 200]
    fact = desk.days(MONTH)[5]["facts"][0]
    assert (fact["provenance"], fact["decided"]) == ("town", True)


def test_another_town_sees_nothing_and_can_do_nothing(desk: Desk) -> None:
    made = desk.asked(day(7))
    far = desk.clients["other_town"]
    for answer in (
        far.get(f"/v1/corrections/{made['id']}"),
        desk.decide(made, "other_town"),
        desk.withdraw(made, "other_town"),
        desk.ask(day(8), "other_town"),
    ):
        assert code_of(answer) == (404, "not-found")
    assert made["id"] not in {each["id"] for each in far.get("/v1/corrections?limit=200").json()["items"]}


def test_what_is_over_the_quota_or_late_is_kept_and_goes_to_the_district(
    desk: Desk, clock: SetClock
) -> None:  # edge 108
    clock.set(datetime(2026, 11, 21, 4, 0, tzinfo=UTC))
    desk.refresh()
    taken_back = desk.asked(day(20))
    desk.withdraw(taken_back)
    for number in (14, 15, 16):
        assert desk.asked(day(number))["over_quota"] is False
    fourth = desk.asked(day(17))
    assert (fourth["over_quota"], fourth["late"], fourth["level"]) == (True, False, "district")
    absent = desk.asked(day(18), claim="absent")  # Against oneself: nobody has a quota of honesty.
    assert absent["over_quota"] is False
    late = desk.asked(day(1), claim="absent")
    assert (late["late"], late["level"]) == (True, "district")
    for each in (fourth, late):
        assert code_of(desk.decide(each, "town")) == (403, "higher-approver-required")
        assert desk.decide(each, "district").json()["state"] == "approved"
    assert [desk.days(MONTH)[at]["reasons"] for at in (0, 16)] == [
        ["corrected-absent"],
        ["corrected-present"],
    ]


def test_a_day_on_leave_is_not_corrected(desk: Desk, service: Service) -> None:  # edge 107
    with service.database.write() as session:
        leave = make_fact(session, desk.person, Sort.LEAVE_COUNTING_NOTHING, day(8), day(9))
    refused = desk.ask(day(9))
    assert code_of(refused) == (409, "on-leave")
    assert refused.json()["leave"] == [str(leave)]
    assert "销假" in refused.json()["detail_zh"]
    made = desk.asked(day(10))
    with service.database.write() as session:
        make_fact(session, desk.person, Sort.LEAVE_SHRINKING, day(10))
    assert code_of(desk.decide(made, "town")) == (409, "on-leave")
    assert desk.decide(made, "town", approve=False).status_code == 200


def test_a_half_day_is_corrected_beside_the_leave_of_the_other(desk: Desk, service: Service) -> None:
    with service.database.write() as session:
        make_fact(session, desk.person, Sort.LEAVE_COUNTING_NOTHING, day(11), starts=Half.AFTERNOON)
    made = desk.asked(day(11), halves="morning")
    assert code_of(desk.ask(day(11), halves="afternoon")) == (409, "on-leave")
    desk.decide(made, "town")
    assert desk.days(MONTH)[10]["reasons"] == ["corrected-present", "leave-due"]


def test_a_day_found_absent_needs_a_second_reviewer_who_sees_both(
    desk: Desk, service: Service
) -> None:  # edge 109
    with service.database.write() as session:
        finding = make_fact(session, desk.person, Sort.FINDING_ABSENT, day(12), source=SourceKind.FINDING)
    made = desk.asked(day(12))
    first = desk.decide(made, "town")
    assert (first.json()["state"], first.json()["level"], first.headers["ETag"]) == (
        "second-review", "district", '"2"',
    )  # fmt: skip
    assert [each["source_id"] for each in first.json()["against"]] == [str(finding)]
    assert desk.days(MONTH)[11]["reasons"] == ["found-absent"]  # Nothing counts before the second has spoken.
    assert code_of(desk.decide(made, "town2", match='"1"')) == (412, "precondition-failed")
    assert code_of(desk.decide(made, "town2")) == (403, "higher-approver-required")
    assert desk.decide(made, "district").json()["state"] == "approved"
    shown = desk.days(MONTH)[11]
    assert (shown["reasons"], shown["in_conflict"]) == (["corrected-present"], True)
    assert {fact["state"]: fact["decided"] for fact in shown["facts"]} == {
        "found-absent": False, "corrected-present": True,
    }  # fmt: skip


def test_the_first_reviewer_is_not_the_second(desk: Desk, service: Service) -> None:  # edge 109
    with service.database.write() as session:
        make_fact(session, desk.person, Sort.FINDING_ABSENT, day(13), source=SourceKind.FINDING)
    made = desk.asked(day(13))
    assert desk.decide(made, "district").json()["state"] == "second-review"
    assert code_of(desk.decide(made, "district")) == (403, "own-request")
    assert desk.decide(made, "district2", approve=False).json()["state"] == "refused"
    assert desk.days(MONTH)[12]["reasons"] == ["found-absent"]


def test_a_later_correction_takes_the_place_of_the_earlier_one(desk: Desk) -> None:
    desk.decide(desk.asked(day(14)), "town")
    back = desk.asked(day(14), "town", claim="absent", reason="entered-in-error")
    assert desk.decide(back, "town2").json()["state"] == "second-review"
    assert desk.decide(back, "district").json()["state"] == "approved"
    shown = desk.days(MONTH)[13]
    assert (shown["reasons"], len(shown["facts"]), shown["in_conflict"]) == (["corrected-absent"], 1, False)


def test_half_of_a_corrected_day_is_corrected_again_and_the_other_half_stays(desk: Desk) -> None:
    first = desk.asked(day(14))
    desk.decide(first, "town")
    back = desk.asked(day(14), "town", claim="absent", reason="entered-in-error", halves="morning")
    desk.decide(back, "town2")
    desk.decide(back, "district")
    shown = desk.days(MONTH)[13]
    assert (shown["reasons"], shown["village"]) == (["corrected-absent", "corrected-present"], 0.5)
    assert {(fact["state"], fact["source_id"]) for fact in shown["facts"]} == {
        ("corrected-absent", back["id"]), ("corrected-present", first["id"]),
    }  # fmt: skip


def _policies_begin(service: Service, first: str) -> None:
    with service.database.write() as session:
        session.execute(sa.text("UPDATE policies SET valid_from = :first"), {"first": first})
        session.execute(sa.text("UPDATE state_versions SET version = version + 1 WHERE name = 'policies'"))


def test_a_month_without_a_policy_cannot_be_corrected_and_says_so(desk: Desk, service: Service) -> None:
    _policies_begin(service, "2026-12-01")
    try:
        answer = desk.ask(day(3))
        assert code_of(answer) == (409, "no-policy")
        assert (answer.json()["month"], answer.json()["region"]) == (MONTH, desk.world.village)
    finally:
        _policies_begin(service, "2020-01-01")
    assert desk.ask(day(3)).status_code == 201


def test_many_deciders_at_once_make_one_decision(desk: Desk, service: Service) -> None:  # M7, edge 101
    numbers = range(1, 9)
    made = {number: desk.asked(day(number)) for number in numbers}
    deciders = ("district", "district2") * 4

    def race(number: int) -> Counter[str]:
        def one(at: int) -> str:
            answer = desk.decide(made[number], deciders[at], approve=at % 2 == 0, match='"1"')
            return "" if answer.status_code == 200 else answer.json()["code"]

        with ThreadPoolExecutor(len(deciders)) as pool:
            return Counter(pool.map(one, range(len(deciders))))

    for number in numbers:
        assert race(number) == {"": 1, "already-decided": len(deciders) - 1}
    states = {each["id"]: each["state"] for each in _all(desk, "district") if each["id"] in _ids(made)}
    facts = rows(service, "SELECT source_id::text FROM day_facts WHERE person_id = :p", p=desk.person)
    assert sorted(row[0] for row in facts) == sorted(
        key for key, state in states.items() if state == "approved"
    )
    with service.database.read() as session:
        assert different_masks(session, Month(2026, 11), [desk.person]) == []


def _ids(made: dict[int, dict[str, Any]]) -> set[str]:
    return {each["id"] for each in made.values()}


def _all(desk: Desk, by: str, **query: object) -> list[dict[str, Any]]:
    return every(desk.clients[by], "/v1/corrections", limit=3, **query)


def test_requests_of_one_day_at_once_become_one(desk: Desk) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: desk.ask(day(15)), range(6)))
    assert Counter(code_of(each)[1] for each in answers) == {"": 1, "correction-open": 5}


def test_what_waits_for_me_comes_oldest_first_and_is_only_what_i_could_decide(
    desk: Desk, clock: SetClock
) -> None:
    made = []
    for number in range(14, 19):  # The last two are over the quota.
        clock.move(seconds=1)
        made.append(desk.asked(day(number)))
    clock.move(seconds=1)
    own = desk.asked(day(19), "town", claim="absent")
    of_person = {"waiting": "true", "person": desk.person}
    assert [each["id"] for each in _all(desk, "town", **of_person)] == [each["id"] for each in made[:3]]
    assert [each["id"] for each in _all(desk, "town2", **of_person)] == [
        each["id"] for each in (*made[:3], own)
    ]
    assert [each["id"] for each in _all(desk, "district", **of_person)] == [
        each["id"] for each in (*made, own)
    ]
    assert _all(desk, "cadre", waiting="true") == []
    assert len(_all(desk, "cadre")) == 6
    desk.decide(made[0], "town")
    assert [each["id"] for each in _all(desk, "town", **of_person)] == [each["id"] for each in made[1:3]]
    approved = _all(desk, "district", state="approved", person=desk.person)
    assert [each["id"] for each in approved] == [made[0]["id"]]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"day": "2026-11-21"}, "day"),
        ({"day": "2020-01-01"}, "day"),  # Not posted.
        ({"reason": "because"}, "reason"),
        ({"check_ins": [str(uuid4())]}, "check_ins"),
        ({"claim": "sick"}, "claim"),
        ({"text": " "}, "text"),
    ],
)
def test_what_cannot_be_asked_is_told_by_its_field(desk: Desk, changes: dict[str, Any], field: str) -> None:
    answer = (
        desk.ask(**{"day": day(2), **{k: v for k, v in changes.items() if k != "day"}})
        if "day" not in changes
        else desk.ask(date.fromisoformat(changes["day"]))
    )
    assert code_of(answer) == (422, "invalid-request")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_reasons_quota_and_deadline_are_the_policys(desk: Desk, service: Service) -> None:
    with service.database.write() as session:
        make_policy(
            session,
            region=desk.world.town,
            correction_quota=0,
            correction_days=1,
            correction_reasons={"flood": {"zh": "山洪断路", "en": "flood"}},
        )
    try:
        assert code_of(desk.ask(day(19))) == (422, "invalid-request")
        made = desk.asked(day(19), reason="flood")
        assert (made["over_quota"], made["late"], made["reason"]["zh"]) == (True, False, "山洪断路")
        assert desk.asked(day(18), reason="flood", claim="absent")["late"] is True
    finally:
        with service.database.write() as session:
            session.execute(sa.text("DELETE FROM policies WHERE region_prefix = :t"), {"t": desk.world.town})
            session.execute(
                sa.text("UPDATE state_versions SET version = version + 1 WHERE name = 'policies'")
            )


def test_the_system_opens_one_case_a_day_for_the_town(desk: Desk, service: Service) -> None:  # edge 58
    given = {
        "person_id": desk.person,
        "day": day(1),
        "claim": Claim.PRESENT,
        "reason": "late-upload",
        "text": "锁定后补传",
    }
    with service.database.write() as session:
        made, again = open_case(session, **given), open_case(session, **given)  # type: ignore[arg-type]
        nowhere = open_case(session, **{**given, "day": date(2020, 1, 1)})  # type: ignore[arg-type]
    assert (again, nowhere) == (None, None)
    shown = desk.clients["cadre"].get(f"/v1/corrections/{made}").json()
    assert (shown["provenance"], shown["entered_by"], shown["level"]) == ("system", None, "town")
    assert shown["reason"]["en"] == "a check-in arrived after the month's grace day"
    assert desk.decide(shown, "town").json()["state"] == "approved"
    assert desk.days(MONTH)[0]["facts"][0]["provenance"] == "system"
