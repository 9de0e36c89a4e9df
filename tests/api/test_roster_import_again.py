"""Rosters imported again, beside corrections and beside each other; and the report."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

import pytest
from conftest import Service
from factories_roster import (
    DISTRICT,
    FAR,
    HOME,
    World,
    at_once,
    posted,
    posting_body,
    roster_world,
)
from roster_files import csv_of, everything, held, imported, number, row, send

from server.access import Role


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with roster_world(service) as made:
        yield made


# --- again
def test_the_same_file_twice_changes_nothing(world: World) -> None:
    # edge 139
    data = csv_of(row(number(), 手机="13800138000", 派出单位="区林业局"), row(number(), 村代码=FAR))
    imported(world, data)
    before = everything(world)
    report = imported(world, data)
    assert report["counts"] == {"new": 0, "changed": 0, "unchanged": 2, "repeated": 0}
    assert everything(world) == (*before[:4], before[4] + 1)  # One more import on record, nothing else.


def test_a_changed_row_changes_what_it_says_and_keeps_the_history(world: World) -> None:
    staff = number()
    imported(world, csv_of(row(staff, 手机="13800138000")))
    report = imported(
        world, csv_of(row(staff, 手机="13800138001", 离任时间="2025-12-31", 离任原因="身体原因"))
    )
    assert report["counts"]["changed"] == 1
    assert report["rows"][0]["changes"] == {
        "phone": ["13800138000", "13800138001"],
        "until_day": [None, "2025-12-31"],
        "end_reason": [None, "other"],
    }
    assert held(world, staff) == [(HOME, "member", "2025-03-01", "2025-12-31", "other")]
    person = world.district.get("/v1/people", params={"q": staff}).json()["items"][0]
    history = world.district.get(f"/v1/people/{person['id']}").json()["postings"][0]["history"]
    assert [version["version"] for version in history] == [1, 2]
    assert "身体原因" in history[1]["reason"]


def test_a_correction_by_hand_outlives_the_old_file(world: World) -> None:
    # edge 139
    staff = number()
    old = row(staff, 手机="13800138000", 离任时间="2025-06-30", 离任原因="召回")
    imported(world, csv_of(old))
    person = world.district.get("/v1/people", params={"q": staff}).json()["items"][0]
    posting, any_version = person["postings"][0]["id"], {"If-Match": "*"}
    correction = {"until_day": "2025-07-15", "from_day": "2025-03-03", "reason": "文件为准"}
    assert world.district.patch(f"/v1/postings/{posting}", json=correction, headers=any_version).is_success
    phone = {"phone": "13900139000"}
    assert world.district.patch(f"/v1/people/{person['id']}", json=phone, headers=any_version).is_success
    report = imported(world, csv_of(old))
    assert report["counts"]["unchanged"] == 1
    assert [note["code"] for note in report["notes"]] == ["correction-kept"]
    assert held(world, staff) == [(HOME, "member", "2025-03-03", "2025-07-15", "recalled")]
    assert world.district.get(f"/v1/people/{person['id']}").json()["phone"] == "13900139000"
    # What the file says anew is taken over, what it repeats is not.
    newer = row(staff, 手机="13800138000", 离任时间="2025-06-30", 离任原因="召回", 职务="第一书记")
    report = imported(world, csv_of(newer))
    assert report["rows"][0]["changes"] == {"role": ["member", "first_secretary"]}
    assert held(world, staff) == [(HOME, "first_secretary", "2025-03-03", "2025-07-15", "recalled")]


def test_an_empty_cell_wipes_nothing_out(world: World) -> None:
    staff = number()
    imported(world, csv_of(row(staff, 手机="13800138000", 离任时间="2025-06-30", 离任原因="召回")))
    report = imported(world, csv_of(row(staff)))
    assert report["counts"]["unchanged"] == 1
    assert held(world, staff) == [(HOME, "member", "2025-03-01", "2025-06-30", "recalled")]


def test_a_border_between_two_postings_can_be_moved_in_one_import(world: World) -> None:
    staff = number()
    first = {"任职时间": "2024-01-01", "离任时间": "2024-06-30", "离任原因": "调整"}
    imported(world, csv_of(row(staff, **first), row(staff, 任职时间="2024-10-01")))
    moved = {**first, "离任时间": "2024-09-30"}
    report = imported(world, csv_of(row(staff, 任职时间="2024-10-01"), row(staff, **moved)))
    assert report["counts"] == {"new": 0, "changed": 1, "unchanged": 1, "repeated": 0}


def test_a_file_may_end_a_posting_and_begin_the_next_one_in_the_same_village(world: World) -> None:
    staff = number()
    imported(world, csv_of(row(staff, 任职时间="2023-01-01")))
    ended = row(staff, 任职时间="2023-01-01", 离任时间="2025-06-30", 离任原因="任期届满")
    report = imported(world, csv_of(row(staff, 任职时间="2025-07-01", 职务="第一书记"), ended))
    assert report["counts"] == {"new": 1, "changed": 1, "unchanged": 0, "repeated": 0}
    assert held(world, staff) == [
        (HOME, "member", "2023-01-01", "2025-06-30", "term_over"),
        (HOME, "first_secretary", "2025-07-01", None, None),
    ]


def test_a_posting_entered_by_hand_in_error_does_not_stand_in_for_the_file(world: World) -> None:
    staff = number()
    imported(world, csv_of(row(staff, 村代码=FAR)))
    person = world.district.get("/v1/people", params={"q": staff}).json()["items"][0]["id"]
    wrong = posted(world, UUID(person), HOME, from_day="2025-03-01")
    void = {"end_reason": "entered_in_error", "reason": "录错"}
    assert world.district.patch(
        f"/v1/postings/{wrong['id']}", json=void, headers={"If-Match": "*"}
    ).is_success
    assert imported(world, csv_of(row(staff)))["counts"]["new"] == 1


def test_what_was_entered_in_error_is_not_brought_back_by_the_file(world: World) -> None:
    staff = number()
    imported(world, csv_of(row(staff)))
    posting = world.district.get("/v1/people", params={"q": staff}).json()["items"][0]["postings"][0]["id"]
    wrong = {"end_reason": "entered_in_error", "reason": "录错"}
    assert world.district.patch(f"/v1/postings/{posting}", json=wrong, headers={"If-Match": "*"}).is_success
    assert imported(world, csv_of(row(staff)))["counts"]["unchanged"] == 1
    assert held(world, staff) == [(HOME, "member", "2025-03-01", "2025-02-28", "entered_in_error")]


def test_two_imports_of_the_same_file_at_once_store_it_once(world: World) -> None:
    other = world.client(Role.DISTRICT, DISTRICT)
    for _ in range(3):
        staff = [number() for _ in range(40)]
        data = csv_of(*(row(each, 派出单位=f"单位{staff[0]}") for each in staff))
        before = everything(world)
        answers = at_once([partial(send, world, data), partial(send, world, data, client=other)])
        assert [answer.status_code for answer in answers] == [201, 201]
        assert sorted(answer.json()["counts"]["new"] for answer in answers) == [0, 40]
        after = everything(world)
        assert [b - a for a, b in zip(before, after, strict=True)] == [40, 40, 40, 1, 2]


def test_an_import_and_an_officer_at_once_leave_one_posting(world: World) -> None:
    for _ in range(10):
        staff = number()
        person = world.person(None, name="赵六", number=staff)
        body = posting_body(person, from_day="2025-02-01")
        data = csv_of(row(staff))
        answers = at_once(
            [
                partial(send, world, data),
                partial(world.district.post, "/v1/postings", json=body),
            ]
        )
        assert sorted(answer.status_code for answer in answers) in ([201, 409], [201, 422])
        assert len(held(world, staff)) == 1


def test_an_import_and_a_correction_at_once_wait_for_each_other(world: World) -> None:
    for _ in range(10):
        staff = number()
        imported(world, csv_of(row(staff, 任职时间="2023-01-01")))
        posting = world.district.get("/v1/people", params={"q": staff}).json()["items"][0]["postings"][0][
            "id"
        ]
        data = csv_of(
            row(staff, 任职时间="2023-01-01", 离任时间="2025-06-30", 离任原因="期满"),
            row(staff, 任职时间="2025-07-01"),
        )
        body = {"until_day": "2025-08-31", "end_reason": "recalled", "reason": "x"}
        answers = at_once(
            [
                partial(send, world, data),
                partial(
                    world.district.patch, f"/v1/postings/{posting}", json=body, headers={"If-Match": "*"}
                ),
            ]
        )
        # Whoever comes second sees the first one's end: the import then moves it, the correction overlaps.
        assert [answer.status_code for answer in answers] in ([201, 200], [201, 409])
        assert len(held(world, staff)) == 2


# --- the report
def test_a_dry_run_tells_everything_and_writes_nothing(world: World) -> None:
    before = everything(world)
    data = csv_of(row(number(), 派出单位="尚未登记的单位"), row(number(), 职务="科长"))
    answer = send(world, data, dry_run=True)
    report = answer.json()
    assert (answer.status_code, report["applied"], report["import_id"]) == (200, False, None)
    assert (report["counts"]["new"], report["new_units"]) == (1, ["尚未登记的单位"])
    assert [(fault["line"], fault["code"]) for fault in report["faults"]] == [(3, "unknown-role")]
    assert everything(world) == before


def test_the_report_is_readable_in_both_languages(world: World) -> None:
    data = csv_of(row(number(), 任职时间="2021年9月"), row(number(), 职务="科长"))
    for language, words in (
        ("zh", ("试运行", "第 2 行", "按当月1日计", "职务：不认识的职务")),
        ("en", ("dry run", "line 2", "first day", "unknown role")),
    ):
        answer = world.district.post(
            "/v1/roster-imports",
            params={"dry_run": True},
            content=data,
            headers={"Accept": "text/plain", "Accept-Language": language},
        )
        assert answer.headers["content-type"].startswith("text/plain")
        for word in words:
            assert word in answer.text, (language, word)


def test_only_a_district_officer_imports(world: World) -> None:
    data = csv_of(row(number()))
    for client in (
        world.town,
        world.admin,
        world.client(Role.CLERK, HOME),
        world.client(Role.INSPECTOR, DISTRICT),
    ):
        for dry_run in (True, False):
            answer = send(world, data, dry_run=dry_run, client=client)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
