"""Policies: what must be chosen, what it means, which one governs, and to which day an instant belongs."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.month.consequences import PolicyNotChosen, consequences, create
from server.month.holidays import CalendarSource, ImportedCalendar
from server.month.masks import Month
from server.month.policy import Basis, LeaveTreatment, Mode, Policy, PolicyVersion, governing, legal_day
from server.month.policy_document import parse, to_document
from server.month.reading import Fault, PolicyRefused

CHOSEN: dict[str, object] = {"basis": "calendar", "duty_counts_in_village": True}
POLICY = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True)
NEAR_MIDNIGHT = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, day_starts_minute=4 * 60)


def faults_of(document: dict[str, object]) -> set[tuple[str, str]]:
    with pytest.raises(PolicyRefused) as refused:
        parse(document)
    assert all(fault.zh and fault.en for fault in refused.value.faults)
    return {(fault.path, fault.code) for fault in refused.value.faults}


def test_a_policy_without_the_two_choices_is_refused_with_the_table() -> None:  # ruling 5
    for document, missing in (
        ({}, ["basis", "duty_counts_in_village"]),
        ({"basis": "working"}, ["duty_counts_in_village"]),
        ({"duty_counts_in_village": False}, ["basis"]),
        ({"duty_counts_in_village": False, "basis": None}, ["basis"]),
    ):
        with pytest.raises(PolicyNotChosen) as refused:
            create(document, year=2026)
        assert [fault.path for fault in refused.value.faults if fault.code == "not-chosen"] == missing
        assert len(refused.value.consequences.months) == 12
    assert create(CHOSEN, year=2026) == POLICY


def test_other_faults_come_without_the_table() -> None:
    with pytest.raises(PolicyRefused) as refused:
        create({**CHOSEN, "grace_day": 40}, year=2026)
    assert not isinstance(refused.value, PolicyNotChosen)
    with pytest.raises(PolicyRefused) as refused:
        create({**CHOSEN, "basis": "lunar", "leave_kinds": {"personal": {}}}, year=2026)
    assert not isinstance(refused.value, PolicyNotChosen)


def test_what_the_bases_mean_in_2026() -> None:  # field.md section 1 in figures
    table = consequences(2026)
    slack = {row.month.number: row.calendar_slack for row in table.months}
    assert {number for number, days in slack.items() if days < 0} == {2, 5, 10}
    assert {number for number, days in slack.items() if days == 0} == {1, 8}
    assert {row.working_need for row in table.months} == {11, 12, 13, 14, 15, 16}
    assert (min(row.working_need for row in table.months), max(row.working_need for row in table.months)) == (
        11,
        16,
    )
    february = table.months[1]
    assert (february.days, february.working_days, february.calendar_need, february.working_need) == (
        28,
        16,
        19,
        11,
    )
    assert (february.calendar_slack, february.working_slack, february.provisional) == (-3, 5, False)


def test_the_table_says_when_the_year_is_not_published() -> None:  # edge 13
    assert all(row.provisional for row in consequences(2035).months)
    imported = ImportedCalendar(2035, {date(2035, 3, 1): (False, "示例")})
    table = consequences(2035, imported=[imported])
    assert not any(row.provisional for row in table.months)
    assert table.months[2].working_days == consequences(2035).months[2].working_days - 1


def test_the_defaults_are_those_of_the_rulings() -> None:
    assert (POLICY.ratio_numerator, POLICY.ratio_denominator, POLICY.fixed_days) == (2, 3, None)
    thresholds = POLICY.thresholds
    assert (thresholds.inside_at, thresholds.outside_at) == (0.80, 0.05)
    assert (thresholds.accuracy_limit_m, thresholds.fix_age_limit_s) == (500, 120)
    assert (POLICY.unsure_review_limit, POLICY.grace_day, POLICY.appeal_days) == (3, 5, 7)
    assert (POLICY.reply_hours, POLICY.claimed_max_hours, POLICY.short_month_days) == (48, 72, 10)
    assert (POLICY.rural_communities_count, POLICY.time_zone, POLICY.day_starts_minute) == (
        True,
        "Asia/Shanghai",
        0,
    )
    assert POLICY.mode is Mode.DAILY_TAP


def test_statutory_leave_shrinks_the_month_and_private_leave_does_not() -> None:  # edge 105, ruling 5
    shrinking = {kind.code for kind in POLICY.leave_kinds if kind.treatment is LeaveTreatment.SHRINKS}
    assert shrinking == {"maternity", "marriage", "bereavement", "sick-certified"}
    for kind in ("personal", "annual", "sick-uncertified"):  # edge 94
        assert POLICY.leave_treatment(kind) is LeaveTreatment.COUNTS_NOTHING
    with pytest.raises(KeyError):
        POLICY.leave_treatment("duty")


FULL: dict[str, object] = {
    "code": "twenty-days",
    "name_zh": "每月不少于二十天",
    "name_en": "At least twenty days a month",
    "clause": "示例〔2026〕1号",
    "basis": "calendar",
    "duty_counts_in_village": False,
    "ratio": {"numerator": 3, "denominator": 4},
    "fixed_days": 20,
    "mode": "weekly-attestation",
    "thresholds": {"inside_at": 0.9, "outside_at": 0.1, "accuracy_limit_m": 300.0, "fix_age_limit_s": 60.0},
    "time_zone": "Asia/Urumqi",
    "day_starts_at": "04:30",
    "leave_kinds": {
        "carer": {
            "treatment": "shrinks",
            "zh": "护理假",
            "en": "carer's leave",
            "certificate_days": 5,
            "yearly_days": 10,
            "carry_over_days": 2,
            "working_days": True,
        }
    },
    "leave": {
        "tiers": [
            {"up_to_days": 2, "level": "town", "approvals": 1},
            {"up_to_days": None, "level": "district", "approvals": 2},
        ],
        "joins_free_days": False,
        "silent_hours": 24,
        "confirm_days": 2,
        "minimum_present": 0,
    },
    "unsure_review_limit": 5,
    "grace_day": 6,
    "appeal_days": 10,
    "reply_hours": 24,
    "claimed_max_hours": 96,
    "short_month_days": 8,
    "withdraw_minutes": 15,
    "fade_after_months": 9,
    "correction_quota": 2,
    "correction_days": 5,
    "correction_reasons": {"flood": {"zh": "山洪断路", "en": "the road was flooded"}},
    "allowance_in_halves": True,
    "rural_communities_count": False,
}


def test_a_document_is_read_and_written_back_unchanged() -> None:
    assert to_document(parse(FULL)) == FULL
    assert parse(FULL).day_starts_minute == 270
    assert parse(to_document(POLICY)) == POLICY


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"bassis": "working"}, ("bassis", "unknown-field")),
        ({"basis": "lunar"}, ("basis", "unknown-choice")),
        ({"basis": ["calendar"]}, ("basis", "unknown-choice")),
        ({"duty_counts_in_village": "yes"}, ("duty_counts_in_village", "not-a-boolean")),
        ({"rural_communities_count": None}, ("rural_communities_count", "not-a-boolean")),
        ({"grace_day": 0}, ("grace_day", "out-of-range")),
        ({"grace_day": True}, ("grace_day", "not-an-integer")),
        ({"short_month_days": 0}, ("short_month_days", "out-of-range")),
        ({"reply_hours": "48"}, ("reply_hours", "not-an-integer")),
        ({"ratio": {"numerator": 4, "denominator": 3}}, ("ratio", "above-one")),
        ({"ratio": {"numerator": 0, "denominator": 3}}, ("ratio.numerator", "out-of-range")),
        ({"ratio": {"numerator": 2}}, ("ratio.denominator", "missing")),
        ({"ratio": 0.6667}, ("ratio", "not-an-object")),
        ({"ratio": {"numerator": 2, "denominator": 3, "of": 1}}, ("ratio.of", "unknown-field")),
        ({"fixed_days": 29}, ("fixed_days", "out-of-range")),
        ({"fixed_days": 20, "basis": "working"}, ("fixed_days", "needs-calendar-days")),
        ({"mode": "tracks"}, ("mode", "unknown-choice")),
        ({"thresholds": {"inside_at": float("nan")}}, ("thresholds.inside_at", "out-of-range")),
        ({"thresholds": {"inside_at": 0.4}}, ("thresholds.inside_at", "out-of-range")),
        ({"thresholds": {"outside_at": "0.05"}}, ("thresholds.outside_at", "not-a-number")),
        ({"thresholds": {"town_at": 0.8}}, ("thresholds.town_at", "unknown-field")),
        ({"thresholds": {"accuracy_limit_m": float("inf")}}, ("thresholds.accuracy_limit_m", "out-of-range")),
        ({"time_zone": "Asia/Jiangjin"}, ("time_zone", "unknown-time-zone")),
        ({"time_zone": "../../etc/passwd"}, ("time_zone", "unknown-time-zone")),
        ({"time_zone": "Asia"}, ("time_zone", "unknown-time-zone")),
        ({"day_starts_at": "24:00"}, ("day_starts_at", "bad-time")),
        ({"day_starts_at": "12:00"}, ("day_starts_at", "bad-time")),
        ({"day_starts_at": 4}, ("day_starts_at", "bad-time")),
        ({"name_zh": " "}, ("name_zh", "bad-text")),
        ({"clause": "长" * 201}, ("clause", "bad-text")),
        ({"name_en": "a\x00b"}, ("name_en", "bad-text")),
        ({"code": "Two Thirds"}, ("code", "bad-code")),
        ({"correction_quota": -1}, ("correction_quota", "out-of-range")),
        ({"correction_reasons": {}}, ("correction_reasons", "empty")),
        ({"correction_reasons": {"山洪": {}}}, ("correction_reasons.山洪", "bad-code")),
        ({"correction_reasons": {"flood": {"de": "Flut"}}}, ("correction_reasons.flood.de", "unknown-field")),
        ({"leave_kinds": {"duty": {"treatment": "shrinks"}}}, ("leave_kinds.duty", "duty-is-not-leave")),
        ({"leave_kinds": {"事假": {"treatment": "shrinks"}}}, ("leave_kinds.事假", "bad-code")),
        ({"leave_kinds": {"annual": {}}}, ("leave_kinds.annual.treatment", "not-chosen")),
        (
            {"leave_kinds": {"annual": {"treatment": "counts"}}},
            ("leave_kinds.annual.treatment", "unknown-choice"),
        ),
        ({"leave_kinds": {"annual": "shrinks"}}, ("leave_kinds.annual", "not-an-object")),
        ({"leave_kinds": {"annual": None}}, ("leave_kinds.annual", "not-an-object")),
        ({"leave_kinds": []}, ("leave_kinds", "not-an-object")),
    ],
)
def test_each_fault_is_named(change: dict[str, object], fault: tuple[str, str]) -> None:
    assert faults_of({**CHOSEN, **change}) == {fault}


def test_all_faults_are_named_at_once() -> None:
    found = faults_of({"basis": "working", "grace_day": 99, "mode": 1, "x": 0})
    assert found == {
        ("duty_counts_in_village", "not-chosen"),
        ("grace_day", "out-of-range"),
        ("mode", "unknown-choice"),
        ("x", "unknown-field"),
    }


def test_a_refusal_says_where_and_why() -> None:
    refused = PolicyRefused(
        (Fault("ratio", "above-one", "比例不得大于 1。", "The ratio cannot lie above 1."),)
    )
    assert str(refused) == "ratio: The ratio cannot lie above 1."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a:-05村", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("a:-05村", max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), JSON | st.sampled_from(list(FULL.values()))))
def test_any_document_is_read_or_refused_but_never_breaks(document: dict[str, object]) -> None:
    try:
        policy = parse(document)
    except PolicyRefused as refused:
        found = refused.faults
    else:
        found = ()
        assert parse(to_document(policy)) == policy
    assert found or {"basis", "duty_counts_in_village"} <= document.keys()


def test_impossible_policies_cannot_be_made_in_code_either() -> None:
    for wrong in (
        {"ratio_numerator": 4},
        {"ratio_numerator": 0},
        {"short_month_days": 0},
        {"fixed_days": 29},
    ):
        with pytest.raises(ValueError, match=r"ratio|short month|fixed number"):
            Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, **wrong)  # type: ignore[arg-type]  # Integers all.
    with pytest.raises(ValueError, match="calendar days"):
        Policy(basis=Basis.WORKING, duty_counts_in_village=True, fixed_days=10)


def test_midnight_is_in_shanghai() -> None:  # edge 1
    assert legal_day(datetime(2026, 4, 30, 15, 59, 59, tzinfo=UTC), POLICY) == date(2026, 4, 30)
    assert legal_day(datetime(2026, 4, 30, 16, 0, 0, tzinfo=UTC), POLICY) == date(2026, 5, 1)


def test_a_night_check_in_belongs_to_the_evening_before_if_policy_says_so() -> None:  # edge 2
    night = datetime(2026, 5, 1, 0, 20, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert (legal_day(night, POLICY), legal_day(night, NEAR_MIDNIGHT)) == (
        date(2026, 5, 1),
        date(2026, 4, 30),
    )
    four = datetime(2026, 5, 1, 4, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert legal_day(four, NEAR_MIDNIGHT) == date(2026, 5, 1)
    assert legal_day(four - timedelta(microseconds=1), NEAR_MIDNIGHT) == date(2026, 4, 30)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)), st.integers(-23, 23))  # noqa: DTZ001  (the zone is added below)
def test_the_zone_of_the_phone_changes_nothing(naive: datetime, hours: int) -> None:  # edge 60
    instant = naive.replace(tzinfo=UTC)
    elsewhere = instant.astimezone(timezone(timedelta(hours=hours)))
    assert legal_day(instant, POLICY) == legal_day(elsewhere, POLICY) == (naive + timedelta(hours=8)).date()


def test_an_instant_without_a_zone_has_no_day() -> None:
    with pytest.raises(ValueError, match="time zone"):
        legal_day(datetime(2026, 5, 1), POLICY)  # noqa: DTZ001  (what is refused here)


def version(
    prefix: str, since: date, number: int = 1, *, until: date | None = None, code: str = "a"
) -> PolicyVersion:
    policy = Policy(basis=Basis.CALENDAR, duty_counts_in_village=True, code=code)
    return PolicyVersion(
        region_prefix=prefix, valid_from=since, valid_until=until, version=number, policy=policy
    )


def test_the_longest_prefix_wins() -> None:  # ruling 9
    city, district, town = (version(prefix, date(2026, 1, 1)) for prefix in ("50", "500116", "500116101"))
    for order in ((city, district, town), (town, district, city)):
        assert governing(order, "500116101201", Month(2026, 4)) == (town,)
        assert governing(order, "500116102201", Month(2026, 4)) == (district,)
        assert governing(order, "500101001001", Month(2026, 4)) == (city,)
        assert governing(order, "510000000000", Month(2026, 4)) == ()


def test_the_rule_in_force_on_the_first_governs_the_month() -> None:  # edge 20, ruling 9
    old = version("500116", date(2025, 1, 1), until=date(2026, 4, 14))
    new = version("500116", date(2026, 4, 15), 2)
    assert governing((old, new), "500116101201", Month(2026, 4)) == (old,)
    assert governing((old, new), "500116101201", Month(2026, 5)) == (new,)
    assert governing((version("", date(2026, 4, 1)),), "500116101201", Month(2026, 4))
    assert not governing((version("", date(2026, 1, 1), until=date(2026, 3, 31)),), "50", Month(2026, 4))


def test_the_later_start_and_then_the_higher_version_wins() -> None:
    first, second = version("500116", date(2026, 1, 1), 9), version("500116", date(2026, 3, 1), 2)
    third = version("500116", date(2026, 3, 1), 3)
    assert governing((second, first), "500116101201", Month(2026, 4)) == (second,)
    assert governing((third, second, first), "500116101201", Month(2026, 4)) == (third,)


def test_several_policies_hold_at_once() -> None:  # edge 11, ruling 9
    thirds, twenty = version("500116", date(2026, 1, 1), code="b"), version("50", date(2026, 1, 1), code="a")
    assert governing((thirds, twenty), "500116101201", Month(2026, 4)) == (twenty, thirds)


def test_calendar_sources_have_stable_names() -> None:
    assert [str(source) for source in CalendarSource] == ["imported", "official", "weekdays"]
