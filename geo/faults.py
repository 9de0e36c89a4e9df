"""Faults of boundary files: what is wrong, where, and in two languages. Never a bare exception text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from geo.fault_texts import TEXTS


class Severity(StrEnum):
    """How much a fault or finding matters: from "cannot be used" to "good to know"."""

    ERROR = "error"
    NEEDS_HUMAN = "needs-human"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One named fault of a file (feature is None) or of one feature (its index, counted from 0).

    `code` is kebab-case and for ever; `lon` and `lat` are WGS-84 degrees when the place is known;
    `numbers` carry their unit in their name.
    """

    code: str
    severity: Severity
    zh: str
    en: str
    feature: int | None = None
    lon: float | None = None
    lat: float | None = None
    numbers: Mapping[str, float | str] = field(default_factory=dict)

    def at(self, *, lon: float, lat: float) -> "Fault":
        """Give the same fault with its place."""
        return replace(self, lon=lon, lat=lat)

    def to_dict(self) -> dict[str, object]:
        """Give the fault as plain data for JSON."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "zh": self.zh,
            "en": self.en,
            "feature": self.feature,
            "lon": self.lon,
            "lat": self.lat,
            "numbers": dict(self.numbers),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, object]) -> "Fault":
        """Read what `to_dict` wrote."""
        rest = {key: value for key, value in given.items() if key != "severity"}
        return cls(severity=Severity(str(given["severity"])), **rest)  # type: ignore[arg-type]


def fault(
    code: str,
    *,
    feature: int | None = None,
    lon: float | None = None,
    lat: float | None = None,
    **numbers: float | str,
) -> Fault:
    """Make a fault from the catalogue; the numbers fill its two texts. Unknown codes raise KeyError."""
    return replace(_filled(code, numbers), feature=feature, lon=lon, lat=lat)


def _filled(code: str, numbers: Mapping[str, float | str]) -> Fault:
    severity, zh, en = TEXTS[code]
    return Fault(
        code=code,
        severity=Severity(severity),
        zh=zh.format(**numbers),
        en=en.format(**numbers),
        numbers=numbers,
    )


class UnreadableFileError(Exception):
    """The file as a whole cannot be read: unknown format, beyond a limit, hostile. Carries one fault.

    This is the only exception `geo.boundaries.read` raises for what stands in a file.
    """

    def __init__(self, why: Fault) -> None:
        super().__init__(f"{why.code}: {why.en}")
        self.fault = why


def unreadable(code: str, **numbers: float | str) -> UnreadableFileError:
    """Make the refusal of a whole file from the catalogue."""
    return UnreadableFileError(_filled(code, numbers))
