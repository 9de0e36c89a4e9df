"""What goes over the wire about policies and calendars."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError, PydanticKnownError

from server.given import Day, Id, In
from server.month.consequences import Consequences
from server.month.holidays import CalendarSource

LARGEST_DOCUMENT = 64 << 10
FIRST_YEAR, LAST_YEAR = 2000, 2100
MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"
"""A month as addresses carry it; the service knows no others than those of this century."""

PREFIX_PATTERN = r"^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})$"
"""Province, prefecture, district, town or village: a prefix in between would cut across regions."""


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError(
            "nul_character", "a text must not contain the NUL character", {"zh": "文本不能含空字符"}
        )
    return text


def _small(document: dict[str, Any]) -> dict[str, Any]:
    """Bound the document, and refuse what JSON can carry but UTF-8 cannot (lone surrogates, huge integers)."""
    try:
        size = len(orjson.dumps(document))
    except TypeError:
        size = LARGEST_DOCUMENT + 1
    if size > LARGEST_DOCUMENT:
        raise PydanticCustomError(
            "bad_document",
            "the document must be plain JSON of 64 KiB at most",
            {"zh": "政策文件应为不超过 64 KiB 的普通 JSON"},
        )
    return document


def _known(day: date) -> date:
    first, last = date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 1)
    if day < first:
        raise PydanticKnownError("greater_than_equal", {"ge": str(first)})
    if day > last:
        raise PydanticKnownError("less_than_equal", {"le": str(last)})
    return day


def _first_of_month(day: date) -> date:
    if day.day != 1:
        raise PydanticCustomError(
            "not_first_of_month",
            "a policy begins with a month: give its first day",
            {"zh": "政策自某月 1 日起施行"},
        )
    return day


Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_no_nul)]
RegionPrefix = Annotated[
    str,
    StringConstraints(pattern=PREFIX_PATTERN),
    Field(description="适用区划代码前缀 / prefix of the region codes it governs", examples=["500116"]),
]


class PolicyIn(In):
    """A new version of a policy, not yet in force."""

    id: Id = Field(description="客户端生成的编号，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    region_prefix: RegionPrefix
    valid_from: Annotated[Day, AfterValidator(_known), AfterValidator(_first_of_month)] = Field(
        description="施行月份的 1 日 / first day of the first month it governs", examples=["2026-12-01"]
    )
    reason: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="制定或修改理由 / why it is made", examples=["区委组织部 2026 年第 8 号通知"]
    )
    document: Annotated[dict[str, Any], AfterValidator(_small)] = Field(
        description="政策内容；basis 与 duty_counts_in_village 必须选择 / the policy; both choices must be made",
        examples=[{"basis": "calendar", "duty_counts_in_village": True}],
    )


class PublishIn(In):
    """Putting a policy in force."""

    retroactive_reason: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        None,
        description="适用于已开始月份时的理由，将永久记录 / why it governs months that have begun; recorded for ever",
    )


class PolicyOut(BaseModel):
    """One version of a policy (政策). The names of its makers are shown to officers only."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    region_prefix: str
    code: str
    version: int
    valid_from: date
    document: dict[str, Any]
    reason: str
    created_at: datetime
    created_by: str | None
    published_at: datetime | None
    published_by: str | None
    retroactive_reason: str | None


class GoverningOut(BaseModel):
    """The policies that govern a month in a region; results are kept for each of them (ruling 9)."""

    region: str
    month: str
    principal: UUID | None = Field(
        description="首要政策，空为没有 / the one that speaks first; null when there is none"
    )
    policies: list[PolicyOut]


class MonthConsequenceOut(BaseModel):
    """One month of the table; all figures in days."""

    month: str
    days: int
    working_days: int
    provisional: bool = Field(
        description="放假安排未公布，按周一至周五 / year not published: Monday to Friday"
    )
    calendar_need: int = Field(description="按自然日须驻村天数 / days needed on the calendar basis")
    calendar_slack: int = Field(
        description="每个工作日都在村时的余量 / days to spare for one who comes every working day"
    )
    working_need: int
    working_slack: int


class ConsequencesOut(BaseModel):
    """What the choice of basis and of counting duty means, month by month (ruling 5)."""

    year: int
    numerator: int
    denominator: int
    months: list[MonthConsequenceOut]
    duty_zh: str
    duty_en: str


def consequences_out(table: Consequences, *, numerator: int = 2, denominator: int = 3) -> ConsequencesOut:
    """Write the table as it is shown."""
    return ConsequencesOut(
        year=table.year,
        numerator=numerator,
        denominator=denominator,
        months=[
            MonthConsequenceOut(
                month=str(row.month),
                days=row.days,
                working_days=row.working_days,
                provisional=row.provisional,
                calendar_need=row.calendar_need,
                calendar_slack=row.calendar_slack,
                working_need=row.working_need,
                working_slack=row.working_slack,
            )
            for row in table.months
        ],
        duty_zh=table.duty_zh,
        duty_en=table.duty_en,
    )


class CalendarMonthOut(BaseModel):
    """One month of a calendar."""

    month: str
    days: int
    working_days: int


class CalendarDayOut(BaseModel):
    """A day that differs from Monday to Friday."""

    day: date
    kind: Literal["working", "holiday"]
    name: str = Field(description="名称，仅导入的日历有 / its name; imported calendars only")


class CalendarOut(BaseModel):
    """The working days of a year and where they come from (edges 12, 13)."""

    year: int
    source: CalendarSource
    provisional: bool = Field(description="放假安排尚未公布 / the year's notice is not published yet")
    months: list[CalendarMonthOut]
    exceptions: list[CalendarDayOut]
    imported_source: str | None = Field(
        description="导入文件的出处 / what the imported file says it comes from"
    )
    imported_at: datetime | None


class CalendarImportOut(BaseModel):
    """What importing a calendar did, or would do."""

    dry_run: bool
    changed: list[date] = Field(
        description="由工作日变休息日或相反的日期 / days that change between working and free"
    )
    calendar: CalendarOut
