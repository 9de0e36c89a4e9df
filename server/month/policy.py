"""The policy: what a district has decided about the month, as one frozen value.

The notice (江津委办发〔2021〕24号, 五（二）) says "每月三分之二以上时间" and nothing about calendar or working days, leave,
meetings or how often to check in. Each of these is therefore data with a clause, never code. Two of them, the basis
and whether official duty counts in the village, decide so much that they have no default (ruling 5).

Reading and writing policies as documents: `server.month.policy_document`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from server.month.leave_policy import LeaveRules
from server.month.masks import Month

SHORTEST_MONTH_DAYS = 28
"""More than a February has can never be asked of a month."""


class Basis(StrEnum):
    """The days of which two thirds are due."""

    CALENDAR = "calendar"
    WORKING = "working"


class Mode(StrEnum):
    """How presence is shown (ruling 7). The rules do not ask: a mode decides which facts the rooms above set."""

    DAILY_TAP = "daily-tap"
    WEEKLY_ATTESTATION = "weekly-attestation"
    EVENTS_ONLY = "events-only"
    SPOT_CHECKS_ONLY = "spot-checks-only"
    PAPER = "paper"


class LeaveTreatment(StrEnum):
    """What an approved half day of leave does to the month (ruling 5, edge 105)."""

    SHRINKS = "shrinks"  # The half is not due: it leaves n.
    COUNTS_NOTHING = "counts-nothing"  # The half stays due and is not counted.


@dataclass(frozen=True, slots=True)
class LeaveKind:
    """One kind of leave (请假类别) and its treatment. Official duty (因公外出) is not a kind of leave (ruling 17).

    `certificate_days`: a paper is due until so many days after the last day; without it the days count nothing from
    then on (edge 94). `yearly_days`: how many a year one may have, None for no balance; `carry_over_days`: how many
    of them that were left come over from the year before. Both are counted in working days with `working_days`, else in
    calendar days; the month counts every date from first to last either way (ruling 5).
    """

    code: str
    treatment: LeaveTreatment
    zh: str
    en: str
    certificate_days: int | None = None
    yearly_days: int | None = None
    carry_over_days: int = 0
    working_days: bool = False


LEAVE_KINDS = (
    LeaveKind("maternity", LeaveTreatment.SHRINKS, "产假", "maternity leave"),
    LeaveKind("marriage", LeaveTreatment.SHRINKS, "婚假", "marriage leave"),
    LeaveKind("bereavement", LeaveTreatment.SHRINKS, "丧假", "bereavement leave"),
    LeaveKind(
        "sick-certified", LeaveTreatment.SHRINKS, "病假（有证明）", "certified sick leave", certificate_days=7
    ),
    LeaveKind(
        "sick-uncertified", LeaveTreatment.COUNTS_NOTHING, "病假（无证明）", "sick leave without certificate"
    ),
    LeaveKind("personal", LeaveTreatment.COUNTS_NOTHING, "事假", "personal leave"),
    LeaveKind(
        "annual", LeaveTreatment.COUNTS_NOTHING, "年休假", "annual leave", yearly_days=15, working_days=True
    ),
    LeaveKind("other", LeaveTreatment.COUNTS_NOTHING, "其他", "other leave"),
)
"""The default kinds. Sick leave lacks its certificate until the paper is there (edge 94). Fifteen working days are the
most that anybody has (职工带薪年休假条例 第三条); how many one has by the years of service is not known here."""


@dataclass(frozen=True, slots=True)
class CorrectionReason:
    """One reason that a correction (补签) can have, to be chosen from."""

    code: str
    zh: str
    en: str


CORRECTION_REASONS = (
    CorrectionReason("forgot", "忘记签到", "forgot to check in"),
    CorrectionReason("no-signal", "无信号或定位失败", "no signal or no position"),
    CorrectionReason("phone-broken", "手机故障或遗失", "the phone was broken or lost"),
    CorrectionReason("wrong-verdict", "位置认定有误", "the position was judged wrongly"),
    CorrectionReason("paper-record", "有纸质记录", "there is a record on paper"),
    CorrectionReason("entered-in-error", "原记录有误", "a record was made in error"),
    CorrectionReason("other", "其他（须写明）", "another one, to be written out"),
)
"""The default reasons of corrections."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the verdict on a position goes by (ruling 1); probabilities, metres and seconds."""

    inside_at: float = 0.80
    outside_at: float = 0.05
    accuracy_limit_m: float = 500.0
    fix_age_limit_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy. ``basis`` and ``duty_counts_in_village`` must be chosen (ruling 5).

    The need is ``ratio_numerator / ratio_denominator`` of the days that are due or, with ``fixed_days``, that many
    days of a full month (edge 11), in proportion for one who is due for a part of it. ``correction_quota`` is how many
    corrections of one person's month the town may decide, ``correction_days`` until how many days afterwards; beyond
    either the district decides (edge 108).
    """

    basis: Basis
    duty_counts_in_village: bool
    code: str = "two-thirds"
    name_zh: str = "每月三分之二以上时间驻村"
    name_en: str = "Two thirds of each month in the village"
    clause: str = "江津委办发〔2021〕24号 五（二）"
    ratio_numerator: int = 2
    ratio_denominator: int = 3
    fixed_days: int | None = None
    mode: Mode = Mode.DAILY_TAP
    thresholds: Thresholds = field(default_factory=Thresholds)
    unsure_review_limit: int = 3
    grace_day: int = 5
    appeal_days: int = 7
    reply_hours: int = 48
    claimed_max_hours: int = 72
    short_month_days: int = 10
    withdraw_minutes: int = 10
    fade_after_months: int = 6  # Whole months after a month's end; then its coordinates fade (ruling 22).
    correction_quota: int = 3
    correction_days: int = 7
    allowance_in_halves: bool = False
    rural_communities_count: bool = True
    time_zone: str = "Asia/Shanghai"
    day_starts_minute: int = 0
    leave_kinds: tuple[LeaveKind, ...] = LEAVE_KINDS
    leave: LeaveRules = field(default_factory=LeaveRules)
    correction_reasons: tuple[CorrectionReason, ...] = CORRECTION_REASONS

    def __post_init__(self) -> None:
        if not 0 < self.ratio_numerator <= self.ratio_denominator:
            raise ValueError("The ratio lies above 0 and at most at 1.")
        if self.short_month_days < 1:
            raise ValueError(
                "A month in which nothing is due cannot be judged: the short month is at least 1 day."
            )
        if self.fixed_days is not None and not (
            self.basis is Basis.CALENDAR and 1 <= self.fixed_days <= SHORTEST_MONTH_DAYS
        ):
            raise ValueError("A fixed number of days is 1 to 28, and counts calendar days.")

    @property
    def outages_count(self) -> bool:
        """Tell whether days without the service count: where people check in every day, not on paper or by the clerk (edge 132)."""
        return self.mode is Mode.DAILY_TAP

    def leave_treatment(self, kind: str) -> LeaveTreatment:
        """Tell what a kind of leave does to n. Raises KeyError for a kind that the policy does not name."""
        return self.leave_kind(kind).treatment

    def leave_kind(self, code: str) -> LeaveKind:
        """Return a kind of leave by its code. Raises KeyError for one that the policy does not name."""
        for known in self.leave_kinds:
            if known.code == code:
                return known
        raise KeyError(code)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def legal_day(instant: datetime, policy: Policy) -> date:
    """Give the day for which an instant counts: the only place that decides it (edges 1, 2, 60).

    The date in the policy's time zone, whatever zone the phone is in; instants before the policy's start of the day
    (default 00:00) belong to the day before. Raises ValueError for an instant without a time zone.
    """
    if instant.tzinfo is None:
        raise ValueError("An instant without a time zone has no legal day.")
    # Days begin with a minute. Of a group of check-ins nearly all ask for the same few, three times each.
    return _day_of(
        instant.astimezone(UTC).replace(second=0, microsecond=0), policy.time_zone, policy.day_starts_minute
    )


@lru_cache(maxsize=4096)
def _day_of(minute: datetime, time_zone: str, day_starts_minute: int) -> date:
    local = minute.astimezone(_zone(time_zone))
    return (local.replace(tzinfo=None) - timedelta(minutes=day_starts_minute)).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A published policy: for whom (a prefix of the 12-digit region code) and when (both days inclusive)."""

    region_prefix: str
    valid_from: date
    valid_until: date | None
    version: int
    policy: Policy

    def in_force(self, region_code: str, day: date) -> bool:
        """Tell whether this version speaks for the region on the day."""
        begun = self.valid_from <= day and (self.valid_until is None or day <= self.valid_until)
        return begun and region_code.startswith(self.region_prefix)


def provisional_until(month: Month, policy: Policy) -> date:
    """Return the grace day, until which late uploads may still change the month (edge 24)."""
    after = month.next()
    return date(after.year, after.number, policy.grace_day)


def governing(
    candidates: Iterable[PolicyVersion], region_code: str, month: Month
) -> tuple[PolicyVersion, ...]:
    """Choose the versions that govern a month in a region, one for each policy code, by code (ruling 9, edges 11, 20).

    In force on the 1st; the longest region prefix wins; among equals the later start, then the higher version.
    """
    chosen: dict[str, PolicyVersion] = {}
    for candidate in candidates:
        if not candidate.in_force(region_code, month.first):
            continue
        held = chosen.get(candidate.policy.code)
        if held is None or _rank(candidate) > _rank(held):
            chosen[candidate.policy.code] = candidate
    return tuple(chosen[code] for code in sorted(chosen))


def _rank(version: PolicyVersion) -> tuple[int, date, int]:
    return len(version.region_prefix), version.valid_from, version.version
