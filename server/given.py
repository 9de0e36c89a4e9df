"""What callers give: bodies are JSON and mean what they say, in queries numbers are written out as text.

A number is no date and "true" is no yes, as the OpenAPI document says; and 5.0 is no count, though JSON Schema would let
it pass. Bodies are read strictly as a whole (`In`), so a field is strict unless its type says otherwise: what JSON can
only carry as text (ids, codes, dates, instants) has its type here. A field for which this was forgotten takes nothing
at all and is noticed at its first use.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_Code = TypeVar("_Code", bound=StrEnum)


class Shape:
    """Takes only text of a shape, where pydantic takes numbers and numerals for seconds since 1970 as well.

    Not a function in Python, because check-ins are read this way. Anything else is told as pydantic's error `code`,
    which ends with `en`; its Chinese is in http.py. A shape with a name (`format`) is told by it in the document.
    """

    def __init__(
        self,
        pattern: str,
        *,
        code: Literal["date_parsing", "datetime_parsing"],
        en: str,
        format: Literal["date", "date-time"] | None = None,  # noqa: A002  JSON Schema's word.
    ) -> None:
        self._pattern = f"^(?:{pattern})$"
        self._format = format
        self._text = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self._pattern, strict=True),
            custom_error_type=code,
            custom_error_context={"error": en},
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401  Pydantic's.
        """Return the schema: the shape first, then what the text means."""
        return core_schema.chain_schema([self._text, handler(source)])

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return what the document says."""
        told = handler(schema)
        if self._format is None:
            return told
        return {key: told[key] for key in told if told[key] != self._pattern} | {"format": self._format}


DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
ZONE = r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
"""May lack here, so that its lack is told as what it is."""

Id = Annotated[UUID, Strict(strict=False)]
Word = Annotated[_Code, Strict(strict=False)]
"""One of an enumeration's codes, as ``Word[Role]``."""
Day = Annotated[
    date,
    Strict(strict=False),
    Shape(DAY, code="date_parsing", en="as text", format="date"),
]


def instant(pattern: str) -> Shape:
    """Return the shape of an instant that is written so."""
    return Shape(
        pattern,
        code="datetime_parsing",
        en="written as RFC 3339 says: 2026-11-22T08:00:00+08:00",
        format="date-time",
    )


Instant = Annotated[AwareDatetime, Strict(strict=False), instant(f"{DAY}[Tt]{CLOCK}{ZONE}")]


class In(BaseModel):
    """A body: unknown fields are refused, and each value is of its type. Nothing of it is ever logged."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Span(In):
    """A body with `first_day` and `last_day`, either of which may be left out where the body lets it; in their order."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        first, last = getattr(self, "first_day", None), getattr(self, "last_day", None)
        if first is not None and last is not None and last < first:
            raise PydanticCustomError(
                "days_order", "last_day lies before first_day", {"zh": "last_day 早于 first_day"}
            )
        return self


class Trimmed(In):
    """A body whose texts mean the same with spaces around them."""

    model_config = ConfigDict(str_strip_whitespace=True)
