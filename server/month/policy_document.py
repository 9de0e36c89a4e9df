"""Policies as plain documents (dicts as JSON gives them): read with every fault named at once, and written back.

Unknown fields are faults, so that a misspelt switch cannot silently keep its default.
"""

import re
from collections.abc import Mapping
from typing import cast
from zoneinfo import ZoneInfo

from server.month import leave_document
from server.month.policy import (
    LEAVE_KINDS,
    SHORTEST_MONTH_DAYS,
    Basis,
    CorrectionReason,
    LeaveKind,
    LeaveTreatment,
    Mode,
    Policy,
    Thresholds,
)
from server.month.reading import CODE, PolicyRefused, Reader

CHOICES = ("basis", "duty_counts_in_village")
"""The fields without a default (ruling 5)."""

NOON = 12 * 60

_DUTY_CODES = frozenset({"duty", "official-duty"})
_INTEGERS = {
    "unsure_review_limit": (0, 31),
    "grace_day": (1, SHORTEST_MONTH_DAYS),
    "appeal_days": (1, 60),
    "reply_hours": (1, 720),
    "claimed_max_hours": (1, 720),
    "short_month_days": (1, SHORTEST_MONTH_DAYS),
    "withdraw_minutes": (0, 1440),
    "fade_after_months": (2, 60),
    "correction_quota": (0, 31),
    "correction_days": (1, 62),
}
_OF_A_KIND = {"certificate_days": (0, 60), "yearly_days": (0, 366), "carry_over_days": (0, 366)}
_FLAGS = ("allowance_in_halves", "rural_communities_count")
_TEXTS = ("name_zh", "name_en", "clause")
_THRESHOLDS = {
    "inside_at": (0.5, 1.0),
    "outside_at": (0.0, 0.5),
    "accuracy_limit_m": (1.0, 10_000.0),
    "fix_age_limit_s": (1.0, 86_400.0),
}
_FIELDS = frozenset(
    {
        *_INTEGERS,
        *_FLAGS,
        *_TEXTS,
        *CHOICES,
        *("code", "ratio", "fixed_days", "mode", "thresholds"),
        *("time_zone", "day_starts_at", "leave_kinds", "leave", "correction_reasons"),
    }
)


def parse(document: Mapping[str, object]) -> Policy:
    """Read a policy. Raises PolicyRefused with every fault found; nothing is read by halves."""
    reader = _PolicyReader(document)
    for field in sorted(set(map(str, document)) - _FIELDS):
        reader.fault(field, "unknown-field", "没有这个字段。", "There is no such field.")
    values: dict[str, object] = {
        "basis": reader.choice("basis", Basis),
        "duty_counts_in_village": reader.flag("duty_counts_in_village", chosen=True),
    }
    for path, (low, high) in _INTEGERS.items():
        reader.into(values, path, reader.integer(path, low, high))
    for path in _FLAGS:
        reader.into(values, path, reader.flag(path))
    for path in _TEXTS:
        reader.into(values, path, reader.text(path))
    reader.into(values, "code", reader.code("code"))
    if "mode" in document:
        reader.into(values, "mode", reader.choice("mode", Mode))
    reader.into(values, "thresholds", reader.thresholds())
    reader.into(values, "time_zone", reader.time_zone("time_zone"))
    reader.into(values, "day_starts_minute", reader.minute("day_starts_at"))
    reader.into(values, "leave_kinds", reader.leave_kinds("leave_kinds"))
    reader.into(values, "correction_reasons", reader.correction_reasons("correction_reasons"))
    reader.into(values, "leave", leave_document.read(reader))
    values.update(reader.need(values["basis"]))
    if reader.faults:
        raise PolicyRefused(tuple(reader.faults))
    return Policy(**values)  # type: ignore[arg-type]  # Every value was checked above, field by field.


def to_document(policy: Policy) -> dict[str, object]:
    """Write a policy as a plain document; `parse` gives the same policy back."""
    return {
        "code": policy.code,
        "name_zh": policy.name_zh,
        "name_en": policy.name_en,
        "clause": policy.clause,
        "basis": policy.basis.value,
        "duty_counts_in_village": policy.duty_counts_in_village,
        "ratio": {"numerator": policy.ratio_numerator, "denominator": policy.ratio_denominator},
        "fixed_days": policy.fixed_days,
        "mode": policy.mode.value,
        "thresholds": {field: getattr(policy.thresholds, field) for field in _THRESHOLDS},
        "time_zone": policy.time_zone,
        "day_starts_at": f"{policy.day_starts_minute // 60:02d}:{policy.day_starts_minute % 60:02d}",
        "leave_kinds": {
            kind.code: {
                "treatment": kind.treatment.value,
                "zh": kind.zh,
                "en": kind.en,
                **{field: getattr(kind, field) for field in (*_OF_A_KIND, "working_days")},
            }
            for kind in policy.leave_kinds
        },
        "leave": leave_document.write(policy.leave),
        "correction_reasons": {
            reason.code: {"zh": reason.zh, "en": reason.en} for reason in policy.correction_reasons
        },
        **{field: getattr(policy, field) for field in (*_INTEGERS, *_FLAGS)},
    }


class _PolicyReader(Reader):
    """Reads what only the month's policy has."""

    def time_zone(self, path: str) -> str | None:
        value = self.text(path)
        if value is None:
            return None
        try:
            return ZoneInfo(value).key
        except (ValueError, KeyError, OSError):  # A path, an unknown name, a directory of the zone files.
            pass
        self.fault(path, "unknown-time-zone", "没有这个时区。", "There is no such time zone.")
        return None

    def minute(self, path: str) -> int | None:
        if path not in self.document:
            return None
        value = self.document[path]
        found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
        minute = int(found[1]) * 60 + int(found[2]) if found else NOON
        if minute < NOON:
            return minute
        self.fault(
            path, "bad-time", "应为 00:00 至 11:59 之间的时刻。", "This must be a time from 00:00 to 11:59."
        )
        return None

    def thresholds(self) -> Thresholds | None:
        inner = self.inner("thresholds")
        if inner is None:
            return None
        inner.only(frozenset(_THRESHOLDS))
        read = {field: inner.number(field, low, high) for field, (low, high) in _THRESHOLDS.items()}
        return Thresholds(**{field: value for field, value in read.items() if value is not None})

    def need(self, basis: object) -> dict[str, object]:
        values: dict[str, object] = {}
        ratio = self.inner("ratio")
        if ratio is not None:
            ratio.only(frozenset({"numerator", "denominator"}))
            for field in ("numerator", "denominator"):
                if field not in ratio.document:
                    ratio.fault(field, "missing", "缺少此字段。", "This field is missing.")
                self.into(values, f"ratio_{field}", ratio.integer(field, 1, 1000))
            above, below = (
                cast("int", values.get(f"ratio_{end}", 0)) for end in ("numerator", "denominator")
            )
            if above > below > 0:
                self.fault("ratio", "above-one", "比例不得大于 1。", "The ratio cannot lie above 1.")
        if self.document.get("fixed_days") is not None:
            self.into(values, "fixed_days", self.integer("fixed_days", 1, SHORTEST_MONTH_DAYS))
            if basis is Basis.WORKING:
                self.fault(
                    "fixed_days",
                    "needs-calendar-days",
                    "固定天数只能按自然日计算。",
                    "A fixed number counts calendar days.",
                )
        return values

    def correction_reasons(self, path: str) -> tuple[CorrectionReason, ...] | None:
        reasons = self.inner(path)
        if reasons is None:
            return None
        if not reasons.document:
            self.fault(path, "empty", "至少要有一个理由。", "There must be one reason at least.")
        read = [reasons.correction_reason(code) for code in reasons.document]
        return tuple(reason for reason in read if reason is not None)

    def correction_reason(self, code: str) -> CorrectionReason | None:
        if not CODE.fullmatch(code):
            self.fault(code, "bad-code", "应为小写英文代码。", "This must be a code such as no-signal.")
            return None
        inner = self.inner(code)
        if inner is None:
            return None
        inner.only(frozenset({"zh", "en"}))
        return CorrectionReason(code, inner.text("zh") or code, inner.text("en") or code)

    def leave_kinds(self, path: str) -> tuple[LeaveKind, ...] | None:
        kinds = self.inner(path)
        if kinds is None:
            return None
        read = [kinds.leave_kind(code) for code in kinds.document]
        return tuple(kind for kind in read if kind is not None)

    def leave_kind(self, code: str) -> LeaveKind | None:
        if not CODE.fullmatch(code):
            self.fault(code, "bad-code", "应为小写英文代码。", "This must be a code such as sick-certified.")
            return None
        if code in _DUTY_CODES:
            self.fault(
                code, "duty-is-not-leave", "因公外出不是请假类别。", "Official duty is not a kind of leave."
            )
            return None
        inner = self.inner(code)
        if inner is None:
            return None
        inner.only(frozenset({"treatment", "zh", "en", "working_days", *_OF_A_KIND}))
        usual = {kind.code: kind for kind in LEAVE_KINDS}.get(code)
        treatment = inner.choice("treatment", LeaveTreatment)
        zh = inner.text("zh") or (usual.zh if usual else code)
        en = inner.text("en") or (usual.en if usual else code)
        if treatment is None:
            return None
        # What a document does not say is as usual for this kind; null says that there is none.
        values = {field: getattr(usual, field) for field in (*_OF_A_KIND, "working_days") if usual}
        for field, (low, high) in _OF_A_KIND.items():
            if field != "carry_over_days" and field in inner.document and inner.document[field] is None:
                values[field] = None
            else:
                inner.into(values, field, inner.integer(field, low, high))
        inner.into(values, "working_days", inner.flag("working_days"))
        return LeaveKind(code, treatment, zh, en, **values)
