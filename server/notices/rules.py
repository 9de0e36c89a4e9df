"""Notices: what identifies a text, and what is asked of somebody. Pure."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date


def digest(text_zh: str, text_en: str) -> str:
    """Return the SHA-256 of the exact texts, hexadecimal: Chinese, a NUL, English, in UTF-8."""
    return hashlib.sha256(f"{text_zh}\0{text_en}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands to the notice in force. `asked`: it waits for them; `overdue`: its day has passed."""

    asked: bool
    overdue: bool


def standing(current: str, until: date | None, accepted: Collection[str], today: date) -> Standing:
    """Tell whether somebody who accepted these digests is asked for the current one, and whether its day has passed.

    Whoever began before there were notices, or accepted an earlier one, may take their time until the day, inclusive;
    without one there is no hurry.
    """
    if current in accepted:
        return Standing(asked=False, overdue=False)
    return Standing(asked=True, overdue=until is not None and today > until)


def may_begin(stands: Standing, *, posted: bool, first: bool) -> bool:
    """Tell whether an activation may go on without the acceptance of the notice in force.

    Only people whose days are recorded are asked (`posted`), before their first use (`first`) and after the day of a
    newer version has passed. Nothing else is ever refused for a notice: a check-in, a login, a renewed token and a sync
    may carry what was recorded in a valley last week.
    """
    return not posted or not stands.asked or not (first or stands.overdue)
