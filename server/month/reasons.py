"""Why a half day is what it is: stable codes, each with a Chinese and an English sentence."""

from enum import StrEnum


class DayReason(StrEnum):
    """The state of a half day, named by the fact that decided it. Codes are for ever."""

    NOT_POSTED = "not-posted"
    CORRECTED_PRESENT = "corrected-present"
    CORRECTED_ABSENT = "corrected-absent"
    SEEN = "seen-on-site"
    FOUND_ABSENT = "found-absent"
    CHECKED_IN = "checked-in"
    UNSURE = "checked-in-unsure"
    UNFENCED = "checked-in-unfenced"
    ON_DUTY = "on-duty"
    LEAVE_NOT_DUE = "leave-not-due"
    LEAVE_DUE = "leave-due"
    ATTESTED = "attested"
    OUTAGE = "outage"
    PRESUMED = "presumed-present"
    OPEN = "open-today"
    AHEAD = "ahead"
    DISPUTED = "attestation-disputed"
    CLAIMED = "claimed"
    OUTSIDE = "outside-only"
    NO_EVIDENCE = "no-evidence"


PRESENT = (
    DayReason.CORRECTED_PRESENT,
    DayReason.SEEN,
    DayReason.CHECKED_IN,
    DayReason.UNSURE,
    DayReason.UNFENCED,
    DayReason.ATTESTED,
    DayReason.OUTAGE,
    DayReason.PRESUMED,
)
"""The states that count in the village under every policy; confirmed duty joins them by policy (ruling 5)."""

SENTENCES: dict[DayReason, tuple[str, str]] = {
    DayReason.NOT_POSTED: ("当日未派驻，不计入。", "Not posted on this day; it is left out."),
    DayReason.CORRECTED_PRESENT: ("补签已批准，计为在村。", "An approved correction counts as present."),
    DayReason.CORRECTED_ABSENT: ("更正已批准，计为不在村。", "An approved correction counts as absent."),
    DayReason.SEEN: ("抽查时在村，计为在村。", "Seen in the village by a spot check; present."),
    DayReason.FOUND_ABSENT: (
        "抽查结果经第二人复核认定当日不在村。",
        "A spot check, decided by a second reviewer, found the person absent from the village this day.",
    ),
    DayReason.CHECKED_IN: ("在村签到有效。", "A valid check-in in the village."),
    DayReason.UNSURE: (
        "签到的位置或时间不够确定，暂计为在村。",
        "The position or the time of the check-in is unsure; it counts unless a review decides otherwise.",
    ),
    DayReason.UNFENCED: (
        "本村边界尚未录入，签到暂计为在村。",
        "The village has no boundary yet; the check-in counts provisionally.",
    ),
    DayReason.ON_DUTY: ("因公外出已确认。", "Confirmed official duty."),
    DayReason.LEAVE_NOT_DUE: (
        "已批准请假，当日不计入应驻天数。",
        "Approved leave that is taken out of the days due.",
    ),
    DayReason.LEAVE_DUE: ("已批准请假，仍计入应驻天数。", "Approved leave that stays among the days due."),
    DayReason.ATTESTED: (
        "由村级证明或纸质记录确认在村。",
        "Attested by the village clerk or by a paper record.",
    ),
    DayReason.OUTAGE: ("系统故障期间，计为在村。", "The system was down; the day counts, marked as such."),
    DayReason.PRESUMED: (
        "按抽查方式推定在村。",
        "Presumed present, as the policy relies on spot checks only.",
    ),
    DayReason.OPEN: ("今天尚可签到。", "Today is still open."),
    DayReason.AHEAD: ("日期未到。", "The day is still ahead."),
    DayReason.DISPUTED: (
        "证明与当日村外定位不一致，待核实，暂不计。",
        "An attestation disagrees with a position outside the village; not counted until it is decided.",
    ),
    DayReason.CLAIMED: ("已申报，待证实，暂不计。", "Claimed and waiting for proof; not counted yet."),
    DayReason.OUTSIDE: (
        "当日仅有村外定位，不足以证明在村。",
        "Only positions outside the village this day; they do not prove a village day.",
    ),
    DayReason.NO_EVIDENCE: ("当日无在村记录。", "No record for this day."),
}
