"""What goes over the wire about units, people and postings."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from server import given
from server.given import Id, Trimmed, Word
from server.roster import dates, headings
from server.roster.entries import LONGEST_NAME, LONGEST_UNIT, NUMBER, PHONE
from server.roster.rules import EndReason, PostingRole


def _name(text: str) -> str:
    cleaned = headings.clean_name(text)
    if not cleaned or headings.unprintable(cleaned):
        raise PydanticCustomError("unprintable", "must be printable text", {"zh": "应为可显示的文字"})
    return cleaned


def _day(day: date) -> date:
    if not dates.FIRST_YEAR <= day.year <= dates.LAST_YEAR:
        zh, en = dates.WHY["year-out-of-range"]
        raise PydanticCustomError("year_out_of_range", en, {"zh": zh})
    return day


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_NAME),
    AfterValidator(_name),
    Field(description="姓名 / name", examples=["王𬭎"]),
]
UnitName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_UNIT), AfterValidator(_name)]
StaffNumber = Annotated[
    str,
    StringConstraints(pattern=f"^{NUMBER.pattern}$"),
    Field(description="工号 / staff number", examples=["JJ0012"]),
]
Phone = Annotated[
    str, StringConstraints(pattern=f"^{PHONE.pattern}$", max_length=32), Field(examples=["13800138000"])
]
VillageCode = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{12}$"),
    Field(description="村（社区）12位代码 / village code", examples=["500116101200"]),
]
Day = Annotated[
    given.Day,
    AfterValidator(_day),
    Field(
        json_schema_extra={  # Of FIRST_YEAR to LAST_YEAR; JSON Schema has no other word for it.
            "pattern": "^(199[0-9]|20[0-9]{2}|2100)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
        }
    ),
]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$"),
    Field(description="为什么更正 / why it is corrected"),
]


class Out(BaseModel):
    """What goes out: exactly the fields named here."""

    model_config = ConfigDict(from_attributes=True)


class UnitIn(Trimmed):
    """A new sending unit (派出单位)."""

    id: Id
    number: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[^\x00]*$")] | None = (
        None
    )
    name: UnitName


class UnitOut(Out):
    """A sending unit (派出单位)."""

    id: UUID
    number: str | None
    name: str


class PersonIn(Trimmed):
    """A new person (人员). `region` is the district that keeps the record; needed only with several districts."""

    id: Id
    number: StaffNumber
    name: Name
    phone: Phone | None = None
    unit_id: Id | None = None
    region: Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")] | None = None


class PersonChange(Trimmed):
    """What changes about a person; what is left out stays, null takes phone or unit away."""

    number: StaffNumber | None = None
    name: Name | None = None
    phone: Phone | None = None
    unit_id: Id | None = None

    @model_validator(mode="after")
    def _keeps_what_is_needed(self) -> Self:
        for field in ("number", "name"):
            if field in self.model_fields_set and getattr(self, field) is None:
                zh = "工号和姓名不能为空"
                raise PydanticCustomError("missing", "number and name cannot be taken away", {"zh": zh})
        return self


class PlaceOut(Out):
    """An extra place of a posting (另加的驻点); `until_day` is inclusive."""

    id: UUID
    zone_id: UUID
    zone_name: str
    from_day: date
    until_day: date | None


class VersionOut(Out):
    """One state of a posting: who set it, when, from what, and why (变更记录)."""

    version: int
    at: datetime
    by: UUID | None = Field(description="账号；空为命令行 / the account; null for the command line")
    before: dict[str, Any] | None
    after: dict[str, Any]
    reason: str


class PostingOut(Out):
    """A posting (选派); `until_day` is inclusive, null while it lasts."""

    id: UUID
    person_id: UUID
    village_code: str
    village_name: str
    role: PostingRole
    from_day: date
    until_day: date | None
    end_reason: EndReason | None
    version: int


class PostingDetailOut(PostingOut):
    """A posting with its extra places and its history."""

    places: list[PlaceOut]
    history: list[VersionOut]


class PersonOut(Out):
    """A person with the postings that the reader may see. `phone` is left out for inspectors and sending units."""

    id: UUID
    number: str
    name: str
    phone: str | None
    unit: UnitOut | None
    version: int
    postings: list[PostingOut]


class PersonDetailOut(PersonOut):
    """A person with the history of the postings in sight."""

    postings: list[PostingDetailOut]  # type: ignore[assignment]  # The same list, each item with more members.


class PostingIn(Trimmed):
    """A new posting (选派). With `until_day` its end is set beforehand; the reason of the end comes with its end."""

    id: Id
    person_id: Id
    village_code: VillageCode
    role: Word[PostingRole]
    from_day: Day
    until_day: Day | None = None


class EndIn(Trimmed):
    """How a posting ends (离任): its last day, inclusive, and the reason."""

    until_day: Day
    reason: Literal[
        EndReason.TERM_OVER,
        EndReason.RECALLED,
        EndReason.RETIRED,
        EndReason.TRANSFERRED,
        EndReason.DECEASED,
        EndReason.OTHER,
    ]
    note: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] = ""


class CorrectionIn(Trimmed):
    """A correction of a posting (更正): what is left out stays. `reason` says why and is kept.

    ``until_day: null`` takes the end back. ``end_reason: entered_in_error`` (误录) says that the posting never was.
    """

    reason: Reason
    village_code: VillageCode | None = None
    role: Word[PostingRole] | None = None
    from_day: Day | None = None
    until_day: Day | None = None
    end_reason: Word[EndReason] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        given = self.model_fields_set - {"reason"}
        if not given:
            raise PydanticCustomError("missing", "nothing is corrected", {"zh": "没有要更正的内容"})
        for field in given & {"village_code", "role", "from_day"}:
            if getattr(self, field) is None:
                raise PydanticCustomError(
                    "missing", "{field} cannot be null", {"field": field, "zh": "此项不能为空"}
                )
        return self


class PlaceIn(Trimmed):
    """An extra place for a posting: a zone (a seasonal pasture, a duty place) in which the person may stay as well."""

    id: Id
    zone_id: Id
    from_day: Day
    until_day: Day | None = None


class PlaceEndIn(Trimmed):
    """The last day of an extra place, inclusive; the day before its first takes it back."""

    until_day: Day


class NoteOut(Out):
    """Something the import did that its user should know."""

    line: int | None
    code: str
    zh: str
    en: str


class RowOut(Out):
    """What one line of the file does."""

    line: int
    number: str
    name: str
    village_code: str
    village: str
    status: Literal["new", "changed", "unchanged", "repeated"]
    changes: dict[str, tuple[str | None, str | None]]


class FaultOut(Out):
    """What is wrong with one field of one line."""

    field: str
    code: str
    zh: str
    en: str
    line: int | None


class RosterImportOut(Out):
    """The report of a roster import (花名册导入报告)."""

    import_id: UUID | None = Field(description="试运行或有错误时为空 / null for a dry run and with faults")
    dry_run: bool
    applied: bool
    sha256: str
    source: str = Field(examples=["xlsx", "utf-8", "gb18030"])
    sheet: str | None
    header_line: int
    columns: dict[str, str]
    ignored_columns: list[str]
    counts: dict[Literal["new", "changed", "unchanged", "repeated"], int]
    new_people: int
    new_units: list[str]
    rows: list[RowOut] = Field(description="新增和变更的行 / the rows that are new or changed")
    rows_left_out: int
    notes: list[NoteOut]
    faults: list[FaultOut]
    faults_left_out: int
