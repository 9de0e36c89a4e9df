"""One byte for each value of an enumeration in the hot table, defined here once (DECISIONS.md 43).

A letter that can be guessed, so that the table itself can be read too. Codes are for ever, as the values are: a new
value gets a code that its column never had, and a migration that lets it in (CHECK and view).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import ischema_names

from geo.verdict import Band, Reason, VerdictKind
from server.checkins.rules import Kind, NoPosition, Standing
from server.month.rules import Tier

CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "kind": {Kind.DAY: "d", Kind.ARRIVE: "a", Kind.LEAVE: "l"},
    "verdict": {
        VerdictKind.INSIDE: "i",
        VerdictKind.UNSURE: "u",
        VerdictKind.OUTSIDE: "o",
        VerdictKind.TOWN: "t",
        VerdictKind.UNUSABLE: "x",
        VerdictKind.NO_FENCE: "f",
        VerdictKind.NOT_POSTED: "n",
    },
    "reason": {
        Reason.IN_VILLAGE: "i",
        Reason.NEAR_VILLAGE_BORDER: "b",
        Reason.ACCURACY_UNKNOWN: "q",
        Reason.DATUM_UNKNOWN: "d",
        Reason.AGE_UNKNOWN: "g",
        Reason.NEAR_ZONE_BORDER: "z",
        Reason.NEAR_ZONE_FAR_FROM_VILLAGE: "y",
        Reason.OUT_OF_VILLAGE: "o",
        Reason.IN_TOWN_SEAT: "t",
        Reason.IN_URBAN_AREA: "u",
        Reason.NO_FIX: "x",
        Reason.FIX_TOO_OLD: "a",
        Reason.ACCURACY_TOO_COARSE: "c",
        Reason.NO_BOUNDARY: "f",
        Reason.NOT_POSTED: "n",
    },
    "standing": {
        Standing.COUNTED: "c",
        Standing.PROVISIONAL: "p",
        Standing.CLAIMED: "m",
        Standing.NOT_COUNTED: "n",
    },
    "band": {
        Band.INSIDE: "i",
        Band.WITHIN_100M: "1",
        Band.WITHIN_500M: "5",
        Band.WITHIN_2KM: "2",
        Band.FARTHER: "f",
    },
    "no_position": {
        NoPosition.DENIED: "d",
        NoPosition.OFF: "o",
        NoPosition.TIMEOUT: "t",
        NoPosition.UNAVAILABLE: "u",
        NoPosition.NO_PHONE_SUPPORT: "s",
        NoPosition.OTHER: "x",
    },
    "month_tier": {
        Tier.REACHED: "r",
        Tier.ON_TRACK: "o",
        Tier.NO_SLACK: "n",
        Tier.CANNOT_BE_REACHED: "c",
    },
}
"""Column of `checkin_rows` to value to code."""


class Code(sa.types.UserDefinedType[str]):
    """PostgreSQL's type of one byte, ``"char"``, holding the codes of a column; texts on the side of Python.

    A text that has no code is a KeyError.
    """

    cache_ok = True

    def __init__(self, column: str = "") -> None:
        self.column = column

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401  SQLAlchemy's own signature.
        """Return the type's name."""
        return '"char"'

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[str | None], str | None]:  # noqa: ARG002  As above.
        """Return what makes codes of texts."""
        codes = CODES[self.column]
        return lambda text: None if text is None else codes[text]

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[str | None], str | None]:  # noqa: ARG002  As above.
        """Return what makes texts of codes."""
        texts = {code: str(text) for text, code in CODES[self.column].items()}
        return lambda code: None if code is None else texts[code]


ischema_names['"char"'] = (
    Code  # Else a reflected column would be of the type text, and alembic would find a change.
)


def text_of(column: str, code: str) -> str:
    """Return the SQL expression for the text behind the code that the expression `code` gives; NULL for NULL."""
    arms = " ".join(f"WHEN '{known}' THEN '{value}'" for value, known in CODES[column].items())
    return f"CASE {code} {arms} END"


def code_of(column: str, text: str) -> str:
    """Return the SQL expression for the code of the text that the expression `text` gives; NULL for NULL."""
    arms = " ".join(f"WHEN '{value}' THEN '{known}'" for value, known in CODES[column].items())
    return f'CAST(CASE {text} {arms} END AS "char")'


def one(column: str, value: str) -> str:
    """Return the SQL literal of a value's code. Raises KeyError for a value that has none."""
    return f"CAST('{CODES[column][value]}' AS \"char\")"
