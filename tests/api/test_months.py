"""Months through HTTP: the arithmetic at its edges, what every day rests on, and lists that rank nobody."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from conftest import Service, SetClock
from factories_month import (
    FAR_VILLAGE,
    NEXT_VILLAGE,
    VILLAGE,
    enter,
    follow,
    judge_again,
    keep_masks,
    live,
    make_calendar,
    make_check_in,
    make_person,
    make_policy,
    make_regions,
    make_village,
    post,
    withdraw,
)

from server.access import Role

AFTER = "2026-12-20T04:00:00"  # Noon in Beijing, when all the months below are over and past their grace day.
ALL = range(1, 32)


@pytest.fixture(scope="module", autouse=True)
def _district(service: Service) -> None:
    with service.database.write() as session:
        make_regions(session)
        make_policy(session)


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(AFTER)


def lived(
    service: Service,
    month: str,
    evidence: Mapping[str, Iterable[int]] | None = None,
    *,
    village: str = VILLAGE,
    from_day: str = "2021-09-01",
    until_day: str | None = None,
) -> UUID:
    """Make somebody posted, with a month of check-ins."""
    with service.database.write() as session:
        person = make_person(session)
        post(
            session,
            person,
            village,
            date.fromisoformat(from_day),
            date.fromisoformat(until_day) if until_day else None,
        )
        if evidence is not None:
            live(session, person, date.fromisoformat(f"{month}-01"), evidence)
    return person


def own(service: Service, person: UUID, month: str) -> dict[str, Any]:
    with service.as_(enter(service, Role.CADRE, person=person)) as client:
        answer = client.get(f"/v1/me/months/{month}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def figures(month: dict[str, Any]) -> tuple[float, float, float, str]:
    statement = month["statement"]
    return statement["due"], statement["need"], statement["counted"], statement["result"]["code"]


def day_of(month: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = month["days"][number - 1]
    assert found["day"].endswith(f"-{number:02d}")
    return found


# --- the arithmetic at its edges
@pytest.mark.parametrize(
    ("month", "days", "need"),
    [("2026-02", 28, 19), ("2024-02", 29, 20), ("2026-04", 30, 20), ("2026-03", 31, 21)],
)
def test_two_thirds_itself_is_enough_and_one_day_less_is_not(
    service: Service, month: str, days: int, need: int
) -> None:  # edges 3, 4, 5
    enough = own(service, lived(service, month, {"sure": range(1, need + 1)}), month)
    short = own(service, lived(service, month, {"sure": range(1, need)}), month)
    assert figures(enough) == (days, need, need, "met")
    assert figures(short) == (days, need, need - 1, "below")
    assert short["statement"]["missing"] == [
        {"reason": "no-evidence", "days": days - need + 1, "zh": "无在村记录", "en": "without record"}
    ]


def test_a_month_of_one_day_is_reported_and_not_judged(service: Service) -> None:  # edge 6
    person = lived(service, "2026-04", {"sure": [30]}, from_day="2026-04-30")
    assert figures(own(service, person, "2026-04")) == (1, 1, 1, "too-short")


@pytest.mark.parametrize(("days", "need"), [(2, 2), (3, 2), (4, 3), (5, 4)])
def test_a_few_days_need_whole_days_rounded_up(service: Service, days: int, need: int) -> None:  # edge 7
    village = f"50011640{days}201"
    with service.database.write() as session:
        make_policy(session, region=village[:9], short_month_days=1)
        make_village(session, village, "短村")
    until = f"2026-04-{days:02d}"
    for counted, result in ((need, "met"), (need - 1, "below")):
        person = lived(
            service,
            "2026-04",
            {"sure": range(1, counted + 1)},
            village=village,
            from_day="2026-04-01",
            until_day=until,
        )
        month = own(service, person, "2026-04")
        assert figures(month) == (days, need, counted, result)
        assert month["statement"]["need_text"] == str(need)


def test_nobody_posted_has_no_result(service: Service) -> None:  # edge 8
    person = lived(service, "2026-04", from_day="2026-05-01")
    month = own(service, person, "2026-04")
    assert figures(month) == (0, 0, 0, "not-posted")
    assert (month["statement"]["percent"], month["village"], month["days"]) == (None, None, [])
    with service.as_(enter(service, Role.DISTRICT)) as officer:
        assert officer.get(f"/v1/people/{person}/months/2026-04").status_code == 404


def test_days_before_the_start_are_not_posted_and_not_absent(service: Service) -> None:  # edge 9
    month = own(service, lived(service, "2026-04", {"sure": [12]}, from_day="2026-04-12"), "2026-04")
    assert figures(month) == (19, 13, 1, "below")
    assert {tuple(day["reasons"]) for day in month["days"][:11]} == {("not-posted",)}
    assert (day_of(month, 11)["due"], day_of(month, 12)["due"]) == (0, 1)


def test_the_last_day_counts(service: Service) -> None:  # edge 10
    person = lived(service, "2026-04", {"sure": range(5, 13)}, until_day="2026-04-12")
    month = own(service, person, "2026-04")
    assert figures(month) == (12, 8, 8, "met")
    assert day_of(month, 12)["reasons"] == ["checked-in"]


def test_two_policies_give_two_results(service: Service) -> None:  # edge 11
    village = "500116320201"
    with service.database.write() as session:
        make_village(session, village, "两策村")
        twenty = make_policy(session, region=village[:9], code="twenty-days", fixed_days=20)
    month = own(service, lived(service, "2026-02", {"sure": range(1, 20)}, village=village), "2026-02")
    assert figures(month) == (28, 19, 19, "met")
    (other,) = month["others"]
    assert (other["policy"]["id"], other["need"], other["result"]["code"]) == (str(twenty), 20, "below")


@pytest.fixture(scope="module")
def working_village(service: Service) -> str:
    village = "500116321201"
    with service.database.write() as session:
        make_policy(session, region=village[:9], basis="working", duty_counts_in_village=False)
        make_village(session, village, "工作日村")
        make_calendar(session, 2031, {date(2031, 6, 7): "working", date(2031, 6, 2): "holiday"})
    return village


def test_a_working_saturday_is_due_and_a_holiday_is_not(
    service: Service, working_village: str, clock: SetClock
) -> None:  # edge 12
    clock.set("2031-08-01T04:00:00")
    month = own(service, lived(service, "2031-06", {}, village=working_village), "2031-06")
    assert (day_of(month, 7)["due"], day_of(month, 2)["due"], day_of(month, 8)["due"]) == (1, 0, 0)
    assert month["statement"]["due"] == 21  # 21 weekdays, one of them free, and one Saturday.
    assert month["statement"]["calendar"] == {"source": "imported", "working_days": 21, "provisional": False}


def test_a_year_without_notice_marks_every_answer(
    service: Service, working_village: str, clock: SetClock
) -> None:  # edge 13
    clock.set("2032-08-01T04:00:00")
    person = lived(service, "2032-06", {"sure": [1]}, village=working_village)
    assert own(service, person, "2032-06")["statement"]["calendar"]["provisional"] is True
    with service.as_(enter(service, Role.DISTRICT)) as officer:
        one = officer.get(f"/v1/people/{person}/months/2032-06").json()
        rows = officer.get(f"/v1/months/2032-06?region={working_village}").json()["items"]
    assert one["statement"]["calendar"]["provisional"] is True
    assert {row["statement"]["calendar"]["provisional"] for row in rows} == {True}


def test_weekend_work_counts_up_to_what_is_due(service: Service, working_village: str) -> None:  # edge 14
    month = own(service, lived(service, "2026-04", {"sure": ALL[:30]}, village=working_village), "2026-04")
    # April 2026: 22 weekdays, Monday the 6th is free (清明), nothing is shifted.
    assert figures(month) == (21, 14, 21, "met")
    assert month["counters"]["village"] == 30


def test_the_rule_of_the_first_governs_the_whole_month(service: Service) -> None:  # edge 20
    village = "500116322201"
    with service.database.write() as session:
        make_village(session, village, "改策村")
        half = {"numerator": 1, "denominator": 2}
        make_policy(session, region=village[:9], version=1)
        later = make_policy(session, region=village[:9], version=2, valid_from=date(2026, 5, 1), ratio=half)
    person = lived(service, "2026-04", {"sure": range(1, 16)}, village=village)
    assert figures(own(service, person, "2026-04"))[1] == 20
    may = own(service, person, "2026-05")
    assert (figures(may)[1], may["statement"]["policy"]["id"]) == (16, str(later))


def test_a_month_stays_provisional_until_the_grace_day(service: Service, clock: SetClock) -> None:  # edge 24
    person = lived(service, "2026-04", {"sure": range(1, 10)})
    for now, provisional, result in (
        ("2026-04-30T15:59:59", True, "running"),
        ("2026-04-30T16:05:00", True, "below"),
        ("2026-05-05T15:59:59", True, "below"),
        ("2026-05-05T16:00:00", False, "below"),
    ):
        clock.set(now)
        statement = own(service, person, "2026-04")["statement"]
        assert (statement["provisional"], statement["result"]["code"]) == (provisional, result), now
        assert statement["provisional_until"] == "2026-05-05"


def test_no_record_at_all_is_not_the_same_as_absent(service: Service) -> None:  # edge 25
    nothing = own(service, lived(service, "2026-04"), "2026-04")
    outside = own(service, lived(service, "2026-04", {"outside": [3]}), "2026-04")
    assert (nothing["statement"]["no_data"], outside["statement"]["no_data"]) == (True, False)
    assert figures(nothing)[3] == figures(outside)[3] == "below"


def test_a_transfer_at_noon_is_one_day_for_the_person_and_a_day_for_both_towns(
    service: Service,
) -> None:  # edge 73
    with service.database.write() as session:
        person = make_person(session)
        post(session, person, VILLAGE, date(2026, 1, 1), date(2026, 4, 15))
        post(session, person, FAR_VILLAGE, date(2026, 4, 15))
        live(session, person, date(2026, 4, 1), {"sure": [1, 15, 16]})
    month = own(service, person, "2026-04")
    assert (month["statement"]["due"], month["statement"]["counted"]) == (30, 3)
    assert month["village"]["code"] == FAR_VILLAGE
    with service.as_(enter(service, Role.TOWN, region="500116101")) as left:
        seen = left.get(f"/v1/people/{person}/months/2026-04").json()
    with service.as_(enter(service, Role.TOWN, region="500116102")) as arrived:
        owned = arrived.get(f"/v1/people/{person}/months/2026-04").json()
    assert (seen["owned"], seen["statement"], seen["others"]) == (False, None, [])
    assert [day["day"][-2:] for day in seen["days"]] == [f"{day:02d}" for day in range(1, 16)]
    assert (seen["days_posted"], seen["counters"]["village"]) == (15, 2)
    assert (owned["owned"], owned["statement"]["counted"], len(owned["days"])) == (True, 3, 30)


def test_two_postings_at_once_do_not_double_what_is_due(service: Service) -> None:  # edge 74
    with service.database.write() as session:
        person = make_person(session)
        post(session, person, VILLAGE)
        post(session, person, NEXT_VILLAGE, date(2026, 4, 10), date(2026, 4, 20))
        live(session, person, date(2026, 4, 1), {"sure": range(1, 21)})
    assert figures(own(service, person, "2026-04")) == (30, 20, 20, "met")


def test_a_gap_between_postings_is_not_due(service: Service) -> None:  # edge 75
    with service.database.write() as session:
        person = make_person(session)
        post(session, person, VILLAGE, date(2026, 1, 1), date(2026, 4, 5))
        post(session, person, VILLAGE, date(2026, 4, 16))
        live(session, person, date(2026, 4, 1), {"sure": [5, 16]})
    month = own(service, person, "2026-04")
    assert (month["statement"]["due"], month["days_posted"]) == (20, 20)
    assert day_of(month, 6)["reasons"] == ["not-posted"]


def test_a_visit_before_the_posting_is_shown_and_not_counted(service: Service) -> None:  # edge 76
    with service.database.write() as session:
        person = make_person(session)
        post(session, person, VILLAGE, date(2026, 4, 10))
        made = make_check_in(session, person, date(2026, 4, 8), "not_posted")
    month = own(service, person, "2026-04")
    (record,) = day_of(month, 8)["records"]
    assert (record["id"], record["verdict"], record["decided"]) == (str(made), "not_posted", False)
    assert month["counters"]["village"] == 0


# --- what a day rests on
def test_a_day_shows_the_records_that_decided_it_and_those_that_touch_it(service: Service) -> None:  # edge 34
    with service.database.write() as session:
        person = make_person(session)
        post(session, person)
        day = date(2026, 4, 7)
        town = make_check_in(session, person, day, "outside", at="10:00", note="镇里开会")
        home = make_check_in(session, person, day, "sure", at="20:00")
        back = make_check_in(session, person, day, "sure", at="21:00")
        withdraw(session, person, back)
        keep_masks(session, person, date(2026, 4, 1), {"sure": [7], "outside": [7]})
    shown = day_of(own(service, person, "2026-04"), 7)
    assert (shown["reasons"], shown["village"]) == (["checked-in"], 1)
    assert [(record["id"], record["decided"], record["withdrawn"]) for record in shown["records"]] == [
        (str(town), False, False),
        (str(home), True, False),
        (str(back), False, True),
    ]
    assert shown["records"][0]["note"] == "镇里开会"


def test_the_newest_judgement_speaks(service: Service) -> None:  # edge 46
    with service.database.write() as session:
        person = make_person(session)
        post(session, person)
        made = make_check_in(session, person, date(2026, 4, 7), "outside")
        session.flush()
        judge_again(session, person, made, "unsure")
        judge_again(session, person, made, "sure")
        keep_masks(session, person, date(2026, 4, 1), {"sure": [7]})
    (record,) = day_of(own(service, person, "2026-04"), 7)["records"]
    assert (record["verdict"], record["judged_again"], record["decided"]) == ("inside", True, True)


def test_no_answer_carries_a_position(service: Service) -> None:
    person = lived(service, "2026-04", {"sure": [1], "outside": [2], "claimed": [3]})
    with service.as_(enter(service, Role.DISTRICT)) as officer:
        text = officer.get(f"/v1/people/{person}/months/2026-04").text
    for word in ("lon", "lat", "margin", "p_inside", "band", "accuracy", "salt"):
        assert f'"{word}' not in text


def test_those_below_are_told_why_in_words(service: Service) -> None:
    evidence = {"sure": range(1, 15), "outside": range(20, 24), "claimed": [24, 25]}
    month = own(service, lived(service, "2026-04", evidence), "2026-04")
    result = month["statement"]["result"]
    assert result["en"] == (
        "Below: counted 14 of 20 needed: 10 days without record, 4 days outside the village only, "
        "2 days claimed and waiting for proof."
    )
    assert (
        result["zh"]
        == "未达到要求：计 14 天，需 20 天：无在村记录 10 天、仅有村外定位 4 天、已申报待证实 2 天。"
    )


def test_a_running_month_says_what_one_can_still_do(
    service: Service, clock: SetClock
) -> None:  # edges 21 to 23
    clock.set("2026-04-20T04:00:00")
    expected = (
        (range(1, 20), "running", "on-track", 10),
        (range(1, 21), "met", "reached", 10),
        (range(1, 10), "running", "no-slack", 0),
        (range(1, 9), "running", "cannot-be-reached", 0),
    )
    for days, result, tier, away in expected:
        statement = own(service, lived(service, "2026-04", {"sure": days}), "2026-04")["statement"]
        assert (statement["result"]["code"], statement["tier"], statement["away_at_most"]) == (
            result,
            tier,
            away,
        )


def test_unsure_days_that_decide_the_month_go_to_review(service: Service) -> None:
    decides = own(service, lived(service, "2026-04", {"sure": range(1, 20), "unsure": [20]}), "2026-04")
    many = own(service, lived(service, "2026-04", {"sure": ALL[:30], "unsure": []}), "2026-04")
    assert (decides["statement"]["needs_review"], decides["statement"]["review"]) == (True, "unsure-decides")
    assert decides["statement"]["unsure_days"] == ["2026-04-20"]
    assert many["statement"]["needs_review"] is False


def test_where_no_policy_is_published_nothing_is_judged(service: Service) -> None:
    village = "510000101201"
    with service.database.write() as session:
        make_village(session, village, "无策村")
    person = lived(service, "2026-04", {"sure": [1]}, village=village)
    with service.as_(enter(service, Role.DISTRICT, region="510000")) as officer:
        answer = officer.get(f"/v1/people/{person}/months/2026-04")
        (row,) = officer.get("/v1/months/2026-04").json()["items"]
    assert (answer.status_code, answer.json()["code"]) == (409, "no-policy")
    assert (row["counters"], row["statement"], row["days_posted"]) == (None, None, 30)


def test_a_merged_village_keeps_its_old_name_in_old_months(service: Service) -> None:  # edge 48
    old, new = "500116101301", "500116102301"
    with service.database.write() as session:
        make_village(session, old, "旧村")
        make_village(session, new, "新村")
        follow(session, old, new, date(2026, 4, 11))
    person = lived(service, "2026-04", {"sure": [1]}, village=old)
    march, april = own(service, person, "2026-03"), own(service, person, "2026-04")
    assert (march["village"]["code"], march["village"]["name"]) == (old, "旧村")
    assert (april["village"]["code"], april["village"]["name"]) == (new, "新村")
    with service.as_(enter(service, Role.TOWN, region="500116101")) as before:
        assert before.get(f"/v1/people/{person}/months/2026-04").json()["days_posted"] == 10
        assert before.get(f"/v1/people/{person}/months/2026-05").status_code == 404
    with service.as_(enter(service, Role.TOWN, region="500116102")) as after:
        assert after.get(f"/v1/people/{person}/months/2026-04").json()["owned"] is True


# --- odd months
@pytest.mark.parametrize(
    "month", ["2026-13", "0000-00", "2026-00", "2026-1", "1999-12", "2026-04-01", "二〇二六-04", "x"]
)
def test_odd_months_are_problems(service: Service, month: str) -> None:
    with (
        service.as_(enter(service, Role.CADRE, person=lived(service, "2026-04"))) as cadre,
        service.as_(enter(service, Role.DISTRICT)) as officer,
    ):
        answers: list[httpx.Response] = [
            cadre.get(f"/v1/me/months/{month}"),
            officer.get(f"/v1/months/{month}"),
            officer.get(f"/v1/people/{uuid4()}/months/{month}"),
        ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        assert answer.json()["detail_zh"] != answer.json()["detail_en"]
