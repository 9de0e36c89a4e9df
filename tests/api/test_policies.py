"""Policies and calendars through HTTP and on the command line."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from conftest import Service, SetClock
from factories_auth import make_account
from factories_month import CHOSEN, LONG_AGO, enter, make_policy, states
from paging import every

from server.access import Role
from server.cli import main
from server.month import book
from server.month.masks import Month

NOW = "2026-11-16T04:00:00"  # Noon in Beijing.
NEXT = "2026-12-01"


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(NOW)


@pytest.fixture
def maker(service: Service) -> Iterator[httpx.Client]:
    with service.as_(enter(service, Role.DISTRICT)) as client:
        yield client


@pytest.fixture
def publisher(service: Service) -> Iterator[httpx.Client]:
    with service.as_(enter(service, Role.DISTRICT)) as client:
        yield client


def given(**changes: object) -> dict[str, Any]:
    whole = {
        "id": str(uuid4()),
        "region_prefix": "500116",
        "valid_from": NEXT,
        "reason": "区委组织部通知",
        "document": CHOSEN,
    }
    return {**whole, **changes}


def publish(
    client: httpx.Client, policy: str, *, tag: str | None = None, reason: str | None = None
) -> httpx.Response:
    etag = tag or client.get(f"/v1/policies/{policy}").headers.get("ETag", "*")
    body = {} if reason is None else {"retroactive_reason": reason}
    return client.post(f"/v1/policies/{policy}/publish", json=body, headers={"If-Match": etag})


def audited(service: Service, deed: str, subject: str) -> list[dict[str, Any]]:
    with service.database.read() as session:
        query = sa.text(
            "SELECT details FROM audit_log WHERE deed = :deed AND subject_id = :subject ORDER BY id"
        )
        return [row[0] for row in session.execute(query, {"deed": deed, "subject": subject})]


# --- making
@pytest.mark.parametrize("missing", ["basis", "duty_counts_in_village"])
def test_a_policy_without_its_choices_is_refused_with_the_table_of_consequences(
    maker: httpx.Client, missing: str
) -> None:
    document = {key: value for key, value in CHOSEN.items() if key != missing}
    answer = maker.post("/v1/policies", json=given(document=document, valid_from="2026-02-01"))
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "policy-choice-missing"
    assert [fault["field"] for fault in body["errors"]] == [f"document.{missing}"]
    february = body["consequences"]["months"][1]
    # 2026: 春节 15 to 23 February, and 14 and 28 February are working Saturdays: 16 working days, 11 of them needed.
    assert february == {
        "month": "2026-02",
        "days": 28,
        "working_days": 16,
        "provisional": False,
        "calendar_need": 19,
        "calendar_slack": -3,
        "working_need": 11,
        "working_slack": 5,
    }
    assert "因公外出" in body["consequences"]["duty_zh"]


def test_a_new_policy_is_stored_whole_and_governs_nothing_yet(service: Service, maker: httpx.Client) -> None:
    before = states(service)
    body = given(document={**CHOSEN, "code": "not-yet"})
    answer = maker.post("/v1/policies", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["code"], made["version"], made["published_at"]) == ("not-yet", 1, None)
    assert (
        made["document"]["short_month_days"] == 10
    )  # Defaults are stored, so that later ones change nothing.
    governing = maker.get("/v1/policies/governing", params={"region": "500116101201", "month": "2027-01"})
    assert body["id"] not in {policy["id"] for policy in governing.json()["policies"]}
    assert states(service) == before
    assert len(audited(service, "policy:make", body["id"])) == 1


def test_the_same_policy_sent_twice_is_stored_once(service: Service, maker: httpx.Client) -> None:
    body = given(document={**CHOSEN, "code": "sent-twice"})
    first, again = maker.post("/v1/policies", json=body), maker.post("/v1/policies", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.json() == first.json()
    other = maker.post("/v1/policies", json={**body, "reason": "另一理由"})
    assert (other.status_code, other.json()["code"]) == (409, "id-reused")
    assert len(audited(service, "policy:make", body["id"])) == 1


def test_versions_of_one_region_and_code_are_numbered_even_when_made_at_once(maker: httpx.Client) -> None:
    bodies = [given(document={**CHOSEN, "code": "numbered"}) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda body: maker.post("/v1/policies", json=body), bodies))
    assert sorted(answer.json()["version"] for answer in answers) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"valid_from": "2026-12-02"}, "valid_from"),
        ({"valid_from": "1999-12-01"}, "valid_from"),
        ({"valid_from": "2026-13-01"}, "valid_from"),
        ({"region_prefix": "50011"}, "region_prefix"),
        ({"region_prefix": ""}, "region_prefix"),
        ({"region_prefix": "５００１１６"}, "region_prefix"),
        ({"reason": "  "}, "reason"),
        ({"reason": "甲\0乙"}, "reason"),
        ({"document": [1]}, "document"),
        ({"document": {**CHOSEN, "name_zh": "长" * 70_000}}, "document"),
        ({"document": {**CHOSEN, "thresholds": {"\ud800": 1}}}, "document"),
        ({"document": {**CHOSEN, "grace_day": 10**30}}, "document"),
        ({"id": "1"}, "id"),
        ({"publish": True}, "publish"),
    ],
)
def test_odd_policies_are_refused_by_field(maker: httpx.Client, change: dict[str, Any], field: str) -> None:
    answer = maker.post(
        "/v1/policies",
        content=json.dumps(given(**change)),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert field in {fault["field"].split(".")[0] for fault in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"basic": "calendar"}, "document.basic", "unknown-field"),
        ({"ratio": {"numerator": 3, "denominator": 2}}, "document.ratio", "above-one"),
        ({"mode": "events-only"}, "document.mode", "mode-not-offered"),
        ({"time_zone": "../etc/passwd"}, "document.time_zone", "unknown-time-zone"),
        (
            {"leave_kinds": {"duty": {"treatment": "shrinks"}}},
            "document.leave_kinds.duty",
            "duty-is-not-leave",
        ),
    ],
)
def test_every_fault_of_a_document_has_its_path(
    maker: httpx.Client, change: dict[str, Any], path: str, code: str
) -> None:
    answer = maker.post("/v1/policies", json=given(document={**CHOSEN, **change}))
    assert (answer.status_code, answer.json()["code"]) == (422, "policy-refused")
    assert (path, code) in {(fault["field"], fault["code"]) for fault in answer.json()["errors"]}


# --- who
@pytest.mark.parametrize("role", [Role.CADRE, Role.CLERK, Role.TOWN, Role.INSPECTOR, Role.ADMIN])
def test_only_district_officers_make_publish_and_import(service: Service, role: Role) -> None:
    with service.as_(enter(service, role)) as client:
        asked = [
            client.post("/v1/policies", json=given()),
            client.post(f"/v1/policies/{uuid4()}/publish", json={}, headers={"If-Match": "*"}),
            client.post("/v1/calendars/2027", content="date,kind\n2027-01-01,holiday\n"),
        ]
    assert {answer.status_code for answer in asked} == {403}


def test_a_district_makes_no_policy_for_its_neighbour_nor_for_the_city(maker: httpx.Client) -> None:
    for prefix in ("500117", "5001", "50", "500117101"):
        answer = maker.post("/v1/policies", json=given(region_prefix=prefix))
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_another_districts_draft_is_as_unknown_as_one_that_does_not_exist(
    service: Service, maker: httpx.Client
) -> None:
    with service.database.write() as session:
        draft = make_policy(session, region="500117", published=False, code="theirs")
        theirs = make_policy(session, region="500117", code="theirs-published")
    unknown = maker.get(f"/v1/policies/{uuid4()}").json()
    hidden = maker.get(f"/v1/policies/{draft}").json()
    kept = {"status", "code", "title", "detail"}
    assert {key: hidden[key] for key in kept} == {key: unknown[key] for key in kept}
    assert publish(maker, str(draft), tag="*").status_code == 404
    assert str(draft) not in {policy["id"] for policy in maker.get("/v1/policies?limit=200").json()["items"]}
    assert maker.get(f"/v1/policies/{theirs}").status_code == 200  # What governs people is public.
    assert publish(maker, str(theirs), tag="*").status_code == 404


def test_a_cadre_reads_the_rule_that_applies_but_not_who_made_it(service: Service) -> None:
    with service.database.write() as session:
        published = make_policy(session, code="readable", by="li")
    with service.as_(enter(service, Role.CADRE)) as cadre, service.as_(enter(service, Role.TOWN)) as town:
        seen, official = (client.get(f"/v1/policies/{published}").json() for client in (cadre, town))
    assert (seen["created_by"], seen["published_by"]) == (None, None)
    assert (official["created_by"], official["published_by"]) == ("li", "another")


def test_policies_need_a_token(service: Service) -> None:
    assert service.client.get("/v1/policies").status_code == 401
    assert service.client.post("/v1/policies", json=given()).status_code == 401


# --- publishing
def test_a_published_policy_governs_from_its_month_and_workers_are_told(
    service: Service, maker: httpx.Client, publisher: httpx.Client
) -> None:
    body = given(region_prefix="500116103", document={**CHOSEN, "code": "two-thirds"})
    maker.post("/v1/policies", json=body)
    before = states(service).get("policies", 0)
    answer = publish(publisher, body["id"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == '"1-published"'
    assert states(service)["policies"] == before + 1
    for month, governs in (("2026-11", False), ("2026-12", True), ("2030-01", True)):
        asked = maker.get("/v1/policies/governing", params={"region": "500116103201", "month": month}).json()
        assert (asked["principal"] == body["id"]) is governs
    assert len(audited(service, "policy:publish", body["id"])) == 1


def test_the_longest_prefix_wins_and_other_codes_stand_beside_it(
    service: Service, maker: httpx.Client
) -> None:
    with service.database.write() as session:
        district = make_policy(session, region="500118", code="two-thirds")
        town = make_policy(session, region="500118101", code="two-thirds")
        twenty = make_policy(session, region="500118", code="twenty-days", fixed_days=20)  # edge 11
    params = {"region": "500118101201", "month": "2026-11"}
    found = maker.get("/v1/policies/governing", params=params).json()
    assert (found["principal"], {p["id"] for p in found["policies"]}) == (str(town), {str(town), str(twenty)})
    elsewhere = maker.get("/v1/policies/governing", params={**params, "region": "500118102201"}).json()
    assert elsewhere["principal"] == str(district)


def test_one_person_cannot_make_and_publish(maker: httpx.Client) -> None:
    body = given(document={**CHOSEN, "code": "alone"})
    maker.post("/v1/policies", json=body)
    answer = publish(maker, body["id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "second-person-required")
    assert maker.get(f"/v1/policies/{body['id']}").json()["published_at"] is None


def test_where_one_person_is_enough_the_settings_say_so(service: Service, maker: httpx.Client) -> None:
    body = given(document={**CHOSEN, "code": "alone-allowed"})
    maker.post("/v1/policies", json=body)
    strict = service.app.state.settings
    service.app.state.settings = replace(strict, two_person_publish=False)
    try:
        assert publish(maker, body["id"]).status_code == 200
    finally:
        service.app.state.settings = strict


def test_publishing_needs_the_tag_that_was_read(maker: httpx.Client, publisher: httpx.Client) -> None:
    body = given(document={**CHOSEN, "code": "tagged"})
    maker.post("/v1/policies", json=body)
    without = publisher.post(f"/v1/policies/{body['id']}/publish", json={})
    assert (without.status_code, without.json()["code"]) == (428, "precondition-required")
    wrong = publish(publisher, body["id"], tag='"9-draft"')
    assert (wrong.status_code, wrong.json()["code"]) == (412, "precondition-failed")
    assert publish(publisher, body["id"], tag='"1-draft"').status_code == 200


def test_of_two_publishers_at_once_one_wins_and_the_other_learns_who(
    service: Service, maker: httpx.Client, publisher: httpx.Client
) -> None:
    body = given(document={**CHOSEN, "code": "raced"})
    maker.post("/v1/policies", json=body)
    with service.as_(enter(service, Role.DISTRICT)) as third, ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda client: publish(client, body["id"], tag='"1-draft"'), (publisher, third))
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    lost = next(answer for answer in answers if answer.status_code == 409).json()
    won = next(answer for answer in answers if answer.status_code == 200).json()
    assert (lost["code"], lost["published_by"]) == ("already-decided", won["published_by"])
    assert len(audited(service, "policy:publish", body["id"])) == 1


def test_a_policy_for_a_month_that_is_over_needs_a_reason_that_is_kept(
    service: Service, maker: httpx.Client, publisher: httpx.Client
) -> None:  # edge 20
    body = given(valid_from="2026-10-01", document={**CHOSEN, "code": "reaching-back"})
    maker.post("/v1/policies", json=body)
    refused = publish(publisher, body["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "policy-retroactive")
    assert publish(publisher, body["id"], reason="   ").status_code == 422
    done = publish(publisher, body["id"], reason="区委常委会决定")
    assert done.json()["retroactive_reason"] == "区委常委会决定"
    assert audited(service, "policy:publish", body["id"])[0]["retroactive"] == "区委常委会决定"


def test_the_running_month_takes_a_first_policy_but_no_silent_change(
    maker: httpx.Client, publisher: httpx.Client
) -> None:  # edge 20: changed on the 16th
    first, second = (
        given(valid_from="2026-11-01", region_prefix="500116104", document={**CHOSEN, "code": "running"})
        for _ in range(2)
    )
    for body in (first, second):
        maker.post("/v1/policies", json=body)
    assert publish(publisher, first["id"], reason="不需要").json()["retroactive_reason"] is None
    refused = publish(publisher, second["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "policy-retroactive")
    assert publish(publisher, second["id"], reason="更正笔误").status_code == 200


def test_on_the_first_of_a_month_its_rule_can_still_be_replaced(clock: SetClock, service: Service) -> None:
    clock.set("2026-11-30T15:59:59")  # Still the 30th in Beijing.
    with (
        service.as_(enter(service, Role.DISTRICT)) as maker,
        service.as_(enter(service, Role.DISTRICT)) as publisher,
    ):
        bodies = [
            given(region_prefix="500116105", document={**CHOSEN, "code": "dawn"}, valid_from=day)
            for day in ("2026-11-01", "2026-12-01")
        ]
        for body in bodies:
            maker.post("/v1/policies", json=body)
        publish(publisher, bodies[0]["id"])
        clock.set("2026-11-30T16:00:00")  # The 1st in Beijing.
        assert publish(publisher, bodies[1]["id"]).status_code == 200


def test_a_published_policy_is_never_changed(maker: httpx.Client, publisher: httpx.Client) -> None:
    body = given(document={**CHOSEN, "code": "fixed-for-ever"})
    maker.post("/v1/policies", json=body)
    published = publish(publisher, body["id"]).json()
    assert publish(publisher, body["id"], tag="*").json()["code"] == "already-decided"
    changed = {**body, "document": {**body["document"], "grace_day": 9}}
    assert maker.post("/v1/policies", json=changed).status_code == 409
    assert maker.get(f"/v1/policies/{body['id']}").json() == published
    following = given(document=changed["document"])
    assert maker.post("/v1/policies", json=following).json()["version"] == 2


def test_the_list_of_policies_is_paged_without_gaps(service: Service, maker: httpx.Client) -> None:
    with service.database.write() as session:
        made = {str(make_policy(session, region="500116106", code="paged", version=n)) for n in range(1, 8)}
    listed = every(maker, "/v1/policies", region="500116106", code="paged", limit=2)
    seen = [policy["id"] for policy in listed]
    assert (set(seen), len(seen)) == (made, 7)
    assert maker.get("/v1/policies", params={"cursor": "!!"}).json()["code"] == "bad-cursor"


@pytest.mark.parametrize(
    "asked",
    [
        "consequences?year=1999",
        "consequences?year=2101",
        "consequences?year=2026&numerator=3&denominator=2",
        "consequences?year=2026&denominator=0",
        "governing?region=500116101201&month=2026-13",
        "governing?region=500116101201&month=0000-00",
        "governing?region=%25&month=2026-11",
        "governing?region=500116101201",
    ],
)
def test_odd_questions_about_policies_are_problems(maker: httpx.Client, asked: str) -> None:
    answer = maker.get(f"/v1/policies/{asked}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


# --- calendars
CALENDAR = "日期,类型,名称\n2028-01-01,放假,元旦\n2028-01-03,放假,元旦\n2028-01-08,上班,调休\n"


def working(calendar: dict[str, Any], month: str) -> int:
    return int(next(row["working_days"] for row in calendar["months"] if row["month"] == month))


def test_a_year_without_notice_is_provisional_until_a_calendar_comes(
    service: Service, maker: httpx.Client
) -> None:  # edges 12, 13
    before = maker.get("/v1/calendars/2028").json()
    assert (before["source"], before["provisional"], working(before, "2028-01")) == ("weekdays", True, 21)
    table = maker.get("/v1/policies/consequences?year=2028").json()
    assert all(row["provisional"] for row in table["months"])

    tried = maker.post("/v1/calendars/2028?dry_run=true", content=CALENDAR.encode())
    assert (tried.status_code, tried.json()["changed"]) == (200, ["2028-01-03", "2028-01-08"])
    assert maker.get("/v1/calendars/2028").json() == before
    counters = states(service)

    done = maker.post(
        "/v1/calendars/2028", params={"source": "国办发明电〔2027〕1号"}, content=CALENDAR.encode()
    )
    assert done.status_code == 201
    after = maker.get("/v1/calendars/2028").json()
    assert (after["source"], after["provisional"], working(after, "2028-01")) == ("imported", False, 21)
    assert after["imported_source"] == "国办发明电〔2027〕1号"
    assert {"day": "2028-01-08", "kind": "working", "name": "调休"} in after["exceptions"]
    assert states(service)["calendar"] == counters.get("calendar", 0) + 1
    assert states(service).get("policies") == counters.get("policies")
    assert not any(
        row["provisional"] for row in maker.get("/v1/policies/consequences?year=2028").json()["months"]
    )


def test_the_same_calendar_again_changes_nothing_and_a_newer_one_speaks(
    service: Service, maker: httpx.Client
) -> None:
    first = "date,kind\n2029-01-01,holiday\n"
    assert maker.post("/v1/calendars/2029", content=first).status_code == 201
    counters = states(service)
    again = maker.post("/v1/calendars/2029", content=first)
    assert (again.status_code, again.headers["Idempotent-Replay"], again.json()["changed"]) == (
        200,
        "true",
        [],
    )
    assert states(service) == counters
    newer = maker.post("/v1/calendars/2029", content="date,kind\n2029-01-02,holiday\n".encode("gb18030"))
    assert newer.json()["changed"] == ["2029-01-01", "2029-01-02"]
    assert maker.get("/v1/calendars/2029").json()["exceptions"] == [
        {"day": "2029-01-02", "kind": "holiday", "name": ""}
    ]


@pytest.mark.parametrize(
    ("content", "line", "code"),
    [
        (b"date,kind\n2030-02-30,holiday\n", 2, "bad-date"),
        (b"date,kind\n2030-01-01,holiday\n2031-01-01,holiday\n", 3, "other-year"),
        (b"date,kind\n2030-01-01,perhaps\n", 2, "bad-kind"),
        (b"date,kind\n2030-01-01,holiday\n2030-01-01,working\n", 3, "twice"),
        (b"when,what\n", 1, "no-heading"),
        (b"", 1, "no-heading"),
        (b"\xff\xfe\x00", None, "not-text"),
        (b"date,kind\n" + b"x,y\n" * 500, None, "too-long"),
    ],
)
def test_a_faulty_calendar_is_refused_by_line_and_nothing_is_imported(
    maker: httpx.Client, content: bytes, line: int | None, code: str
) -> None:
    answer = maker.post("/v1/calendars/2030", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "calendar-refused")
    assert (code, line) in {(fault["code"], fault.get("line")) for fault in answer.json()["errors"]}
    assert maker.get("/v1/calendars/2030").json()["source"] == "weekdays"


def test_odd_years_and_huge_bodies_are_problems(maker: httpx.Client) -> None:
    assert maker.get("/v1/calendars/1").json()["code"] == "invalid-request"
    assert maker.post("/v1/calendars/20260", content=b"").json()["code"] == "invalid-request"
    assert maker.post("/v1/calendars/2030", content=b"x" * (1 << 20 | 1)).json()["code"] == "body-too-large"


def test_the_official_calendars_of_2025_and_2026_are_there(maker: httpx.Client) -> None:
    for year in (2025, 2026):
        calendar = maker.get(f"/v1/calendars/{year}").json()
        assert (calendar["source"], calendar["provisional"]) == ("official", False)
    assert (
        working(maker.get("/v1/calendars/2025").json(), "2025-10") == 18
    )  # 1 to 8 October free, the 11th worked.


# --- the command line
def run(service: Service, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, list(arguments), env={"ZAICUN_DATABASE_URL": service.cloned.app_url}, catch_exceptions=False
    )


def officer(service: Service, login: str, role: Role = Role.DISTRICT) -> str:
    with service.database.write() as session:
        make_account(session, role=role, region="500116", login=login, valid_from=LONG_AGO)
    return login


def test_a_policy_goes_its_whole_way_on_the_command_line(service: Service, tmp_path: Path) -> None:
    li, wang = officer(service, "cli-li"), officer(service, "cli-wang")
    body = given(valid_from="2026-10-01", document={**CHOSEN, "code": "by-command"})
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    added = run(service, "policy", "add", str(file), "--by", li)
    assert (added.exit_code, body["id"] in added.output) == (0, True)
    assert "已存在" in run(service, "policy", "add", str(file), "--by", li).output
    own = run(service, "policy", "publish", body["id"], "--by", "CLI-Li", "--retroactive-reason", "试")
    assert (own.exit_code, "second-person-required" in own.output) == (1, True)
    back = run(service, "policy", "publish", body["id"], "--by", wang)
    assert (back.exit_code, "policy-retroactive" in back.output) == (1, True)
    assert (
        run(service, "policy", "publish", body["id"], "--by", wang, "--retroactive-reason", "演示").exit_code
        == 0
    )
    shown = json.loads(run(service, "policy", "show", body["id"]).output)
    assert (shown["published_by"], shown["retroactive_reason"]) == ("cli-wang", "演示")
    assert body["id"] in run(service, "policy", "show", "--region", "500116").output
    with service.database.read() as session:
        chosen = {
            v.policy.code for v in book.load(session).versions if v.in_force("500116", Month(2026, 10).first)
        }
    assert "by-command" in chosen


def test_the_command_line_shows_the_table_before_it_refuses(service: Service, tmp_path: Path) -> None:
    li = officer(service, "cli-zhao")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(given(document={"basis": "calendar"})), encoding="utf-8")
    refused = run(service, "policy", "add", str(file), "--by", li)
    assert (refused.exit_code, "policy-choice-missing" in refused.output) == (1, True)
    assert "2026-02" in refused.output
    file.write_text('{"region_prefix": 1', encoding="utf-8")
    assert "JSON" in run(service, "policy", "add", str(file), "--by", li).output
    file.write_text('{"region_prefix": "50011"}', encoding="utf-8")
    assert "region_prefix" in run(service, "policy", "add", str(file), "--by", li).output
    for nobody in (officer(service, "cli-town", Role.TOWN), "nobody-at-all"):
        file.write_text(json.dumps(given()), encoding="utf-8")
        assert "forbidden" in run(service, "policy", "add", str(file), "--by", nobody).output


def test_consequences_and_calendars_on_the_command_line(service: Service, tmp_path: Path) -> None:
    li = officer(service, "cli-qian")
    assert "暂定" in run(service, "policy", "consequences", "--year", "2032").output
    file = tmp_path / "2032.csv"
    file.write_text("date,kind,name\n2032-01-01,holiday,元旦\n", encoding="utf-8")
    tried = run(service, "calendar", "import", str(file), "--year", "2032", "--by", li, "--dry-run")
    assert (tried.exit_code, "2032-01-01" in tried.output) == (0, True)
    assert "provisional" in run(service, "calendar", "show", "--year", "2032").output
    assert run(service, "calendar", "import", str(file), "--year", "2032", "--by", li).exit_code == 0
    shown = run(service, "calendar", "show", "--year", "2032").output
    assert ("元旦" in shown, "provisional" in shown) == (True, False)
    wrong = run(service, "calendar", "import", str(file), "--year", "2033", "--by", li)
    assert (wrong.exit_code, "line 2" in wrong.output) == (1, True)


def test_ids_of_policies_are_what_results_name(service: Service) -> None:
    with service.database.write() as session:
        first = make_policy(session, region="500119", code="two-thirds", valid_from=date(2026, 1, 1))
        later = make_policy(
            session, region="500119", code="two-thirds", valid_from=date(2026, 11, 1), version=2
        )
    with service.database.read() as session:
        known = book.load(session)
    chosen = [known.governing("500119101201", Month(2026, number)) for number in (10, 11)]
    assert [by.id if by else UUID(int=0) for by in chosen] == [first, later]
