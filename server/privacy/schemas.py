"""What the privacy room says over the wire."""

from datetime import datetime

from pydantic import BaseModel, Field

from server.looks import What


class LookOut(BaseModel):
    """One look at one's own records by somebody else: the office, not the name (rulings 14, 15)."""

    at: datetime
    what: What
    what_zh: str
    what_en: str
    role: str = Field(
        description="职务 / in which role: town_officer, district_officer, inspector, unit_viewer, operator…"
    )
    role_zh: str
    role_en: str
    office: str | None = Field(
        description="所在镇、区或派出单位 / the town, district or sending unit of the office"
    )
    subject: str | None = Field(
        description="哪个月或哪一次签到 / which month, or the id of the check-in or request"
    )
    purpose: str | None = Field(
        description="说明的用途或其任务 / the stated purpose, or what the office was given for"
    )
