"""What goes over the wire about outages."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from server.given import Day, Id, In, Instant
from server.month.schemas import PREFIX_PATTERN, Text

Reason = Annotated[Text, Field(min_length=1, max_length=500)]


class OutageIn(In):
    """An outage: of which region, on which days or between which instants, and why."""

    id: Id = Field(description="客户端生成的编号，建议 UUIDv7 / made by the client, UUIDv7 recommended")
    region_prefix: str = Field(
        pattern=PREFIX_PATTERN,
        description="区、镇或村的区划代码前缀 / prefix of a district, town or village",
        examples=["500116101"],
    )
    first_day: Day | None = Field(None, description="首日，含 / the first day, included")
    last_day: Day | None = Field(None, description="末日，含 / the last day, included")
    began_at: Instant | None = Field(None, description="故障开始 / when it went down")
    ended_at: Instant | None = Field(None, description="恢复 / when it was back")
    reason: Reason = Field(examples=["光缆被山洪冲断"])

    @model_validator(mode="after")
    def _days_or_instants(self) -> Self:
        days = (self.first_day, self.last_day)
        instants = (self.began_at, self.ended_at)
        if sum(all(part is not None for part in pair) for pair in (days, instants)) != 1 or sum(
            part is not None for part in (*days, *instants)
        ) != len(days):
            raise PydanticCustomError(
                "days_or_instants",
                "give first_day and last_day, or began_at and ended_at",
                {"zh": "须给出首日和末日，或起止时刻，二者取一"},
            )
        return self


class WithdrawOutageIn(In):
    """Why an outage is taken back."""

    reason: Reason = Field(examples=["登记错了镇"])


class OutageWithdrawalOut(BaseModel):
    """Who took an outage back, when and why."""

    at: datetime
    by: str | None
    reason: str


class OutageOut(BaseModel):
    """An outage as it was recorded, and whether it was taken back."""

    id: UUID
    region_prefix: str
    first_day: date
    last_day: date
    began_at: datetime | None
    ended_at: datetime | None
    reason: str
    recorded_at: datetime
    recorded_by: str | None = Field(
        description="命令行或系统登记的为空 / null for the command line and the system"
    )
    withdrawn: OutageWithdrawalOut | None
