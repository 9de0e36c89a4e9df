"""How requests are aimed: for each `aim` of authz.yaml, the body, query and headers that ask for a target.

Without an aim a request is made of its path parameters, named after the target's ids. A function here gives what is
needed beyond that, and may set path parameters as well.
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shapely.geometry import mapping

from authz.world import HOME, MONTH, NOW, PASSWORD, TOWN, Target, World
from geo.zones import circle
from server import ids
from server.notices.service import default


class Absent(Exception):
    """The target has nothing of the sort: an officer has no check-ins."""


@dataclass
class Sent:
    """What is sent beside method and path."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None


@dataclass(frozen=True)
class Aim:
    """Who is aimed at, and the world around."""

    world: World
    target: Target

    def __getattr__(self, name: str) -> str:
        """Return an id of the target; Absent when it has none."""
        found: str = getattr(self.target, name)
        if not found:
            raise Absent(name)
        return found

    @property
    def team(self) -> Target:
        """Return what is in the reach of every officer."""
        return self.world.targets["team"]

    @property
    def spare(self) -> str:
        """Return a village of the target's town in which nobody is posted."""
        return f"{self.target.town}299"


AIMS: dict[str, Callable[[Aim], Sent]] = {}
_ANY = {"If-Match": "*"}


def _aim(function: Callable[[Aim], Sent]) -> Callable[[Aim], Sent]:
    AIMS[function.__name__] = function
    return function


def _new() -> str:
    return str(ids.new_id())


@_aim
def plain(_: Aim) -> Sent:
    return Sent()


@_aim
def by_village(aim: Aim) -> Sent:
    return Sent({"code": aim.village})


@_aim
def with_match(_: Aim) -> Sent:
    return Sent(headers=_ANY)


@_aim
def password(_: Aim) -> Sent:
    return Sent(body={"old_password": PASSWORD, "new_password": "七棵树下的四方山"})


# --- accounts
@_aim
def account_in_region(aim: Aim) -> Sent:
    key = _new()
    return Sent(body={"id": key, "login": f"n-{key}", "display_name": "新", "region": aim.town})


@_aim
def account_of_person(aim: Aim) -> Sent:
    key = _new()
    return Sent(
        body={"id": key, "login": f"n-{key}", "display_name": "新", "region": TOWN, "person_id": aim.person}
    )


@_aim
def people_of_region(aim: Aim) -> Sent:
    return Sent(body={"region": aim.town})


@_aim
def slips_chosen(aim: Aim) -> Sent:
    return Sent(body={"accounts": [aim.account]})


@_aim
def slips_mixed(aim: Aim) -> Sent:
    return Sent(body={"accounts": [aim.team.account, aim.account]})


@_aim
def slips_region(aim: Aim) -> Sent:
    return Sent(body={"region": aim.town})


@_aim
def confirm_phone(_: Aim) -> Sent:
    return Sent(body={"code": "AAAA-AAAA"})


def _decided(decision: str) -> Sent:
    return Sent(body={"decision": decision, "reason": "当面核对"})


@_aim
def approve_phone(_: Aim) -> Sent:
    return _decided("approve")


@_aim
def revoke_phone(_: Aim) -> Sent:
    return _decided("revoke")


@_aim
def revoke_phone_through_team(aim: Aim) -> Sent:
    sent = _decided("revoke")
    sent.path = {"account_id": aim.team.account, "device_id": aim.device}
    return sent


@_aim
def rename_account(aim: Aim) -> Sent:
    return Sent({"account_id": aim.account}, headers=_ANY, body={"display_name": "新", "disabled": True})


def _grant(role: str, region: str) -> dict[str, Any]:
    return {"id": _new(), "role": role, "region": region}


@_aim
def grant_to(aim: Aim) -> Sent:
    return Sent({"account_id": aim.account}, body=_grant("village_clerk", TOWN))


@_aim
def grant_in_region(aim: Aim) -> Sent:
    return Sent({"account_id": aim.team.account}, body=_grant("village_clerk", aim.village))


@_aim
def grant_above(aim: Aim) -> Sent:
    return Sent({"account_id": aim.team.account}, body=_grant("district_officer", TOWN))


@_aim
def revoke_through_team(aim: Aim) -> Sent:
    return Sent({"account_id": aim.team.account, "grant_id": aim.grant})


# --- boundaries and regions
def _square(lon: float) -> dict[str, Any]:
    return dict(mapping(circle(lon=lon, lat=29.9, radius_m=300)))


@_aim
def boundary_file(aim: Aim) -> Sent:
    shown = {"code": aim.village, "name": "新点", "kind": "duty_place"}
    layer = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": shown, "geometry": _square(106.9)}],
    }
    told = {
        "id": _new(),
        "filename": "界.geojson",
        "accuracy_m": 10,
        "valid_from": "2026-07-01",
        "region": aim.town,
    }
    return Sent(query=told, content=json.dumps(layer).encode())


@_aim
def boundary_circle(aim: Aim) -> Sent:
    return Sent(
        body={
            "id": _new(), "kind": "duty_place", "region_code": aim.village, "name": "新点", "lon": 106.9, "lat": 29.9,
            "radius_m": 200, "accuracy_m": 10, "valid_from": "2026-07-01",
        }
    )  # fmt: skip


@_aim
def circle_again(aim: Aim) -> Sent:
    sent = boundary_circle(Aim(aim.world, aim.team))
    return Sent(body={**sent.body, "id": getattr(aim, "import")})


@_aim
def zone_ending(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "zones": [aim.zone], "valid_from": "2026-07-01"})


@_aim
def ending_in_region(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "zones": [aim.zone], "valid_from": "2026-07-01", "region": aim.town})


@_aim
def accept_nothing(_: Aim) -> Sent:
    return Sent(headers=_ANY, body={"features": [{"index": 1, "codes": ["look"]}]})


@_aim
def reject_import(_: Aim) -> Sent:
    return Sent(headers=_ANY, body={"note": "退回"})


@_aim
def region_table(aim: Aim) -> Sent:
    return Sent(content=_csv(("code", "name"), (aim.village, "新名村")))


@_aim
def outline(aim: Aim) -> Sent:
    feature = {"type": "Feature", "properties": {"name": "区"}, "geometry": _square(106.5)}
    layer = {"type": "FeatureCollection", "features": [feature]}
    return Sent(
        {"code": f"{aim.district}000000"}, {"filename": "区.geojson"}, content=json.dumps(layer).encode()
    )


@_aim
def follow_from(aim: Aim) -> Sent:
    return Sent({"code": aim.spare}, body={"to_code": HOME, "from_day": "2026-06-01"})


@_aim
def follow_to(aim: Aim) -> Sent:
    return Sent({"code": f"{TOWN}299"}, body={"to_code": aim.village, "from_day": "2026-06-01"})


# --- policies and calendars
@_aim
def calendar(_: Aim) -> Sent:
    return Sent({"year": "2026"})


@_aim
def calendar_file(_: Aim) -> Sent:
    return Sent({"year": "2026"}, content=_csv(("date", "kind", "name"), ("2026-10-01", "holiday", "国庆节")))


@_aim
def consequences(_: Aim) -> Sent:
    return Sent(query={"year": 2026})


@_aim
def governing(aim: Aim) -> Sent:
    return Sent(query={"region": aim.village, "month": MONTH})


@_aim
def policy(aim: Aim) -> Sent:
    document = {"basis": "calendar", "duty_counts_in_village": True}
    told = {"region_prefix": aim.town, "valid_from": "2026-08-01", "document": document, "reason": "试"}
    return Sent(body={"id": _new(), **told})


@_aim
def publish_policy(_: Aim) -> Sent:
    return Sent(headers=_ANY, body={})


# --- check-ins and months
def _told() -> dict[str, Any]:
    place = {
        "lon": 106.5,
        "lat": 29.5,
        "datum": "wgs84",
        "accuracy_m": 12.0,
        "age_s": 3.0,
        "provider": "gps",
        "mocked": False,
    }
    return {"kind": "day", "captured_at": NOW.isoformat(), "utc_offset_min": 480, "position": place}


@_aim
def check_in(aim: Aim) -> Sent:
    return Sent({"checkin_id": aim.other_checkin}, body={**_told(), "sent_at": NOW.isoformat()})


@_aim
def running_clock(_: Aim) -> Sent:
    return Sent(body={"boot_id": "boot-1", "asked_ms": 1000})


@_aim
def queue(aim: Aim) -> Sent:
    item = {"id": str(aim.other_checkin), **_told()}
    return Sent(body={"sent_at": NOW.isoformat(), "items": [item]})


@_aim
def withdraw(_: Aim) -> Sent:
    return Sent(body={"reason": "误签"})


@_aim
def own_month(_: Aim) -> Sent:
    return Sent({"month": MONTH})


@_aim
def month_of(aim: Aim) -> Sent:
    return Sent({"person_id": aim.person, "month": MONTH})


AIMS["month_list"] = own_month


# --- evidence
@_aim
def outage_of_village(aim: Aim) -> Sent:
    days = {"first_day": "2024-05-05", "last_day": "2024-05-06"}
    return Sent(body={"id": _new(), "region_prefix": aim.village, **days, "reason": "停电"})


@_aim
def withdraw_outage(aim: Aim) -> Sent:
    return Sent({"outage_id": aim.outage}, body={"reason": "误录"})


# --- attachments
@_aim
def attachment(_: Aim) -> Sent:
    told = {"size": 100, "sha256": "0" * 64, "media_type": "image/jpeg", "name": "照片.jpg"}
    return Sent(body={"id": _new(), **told})


@_aim
def piece(aim: Aim) -> Sent:
    """Send nothing at the beginning, so that the next to ask finds the upload as it was."""
    headers = {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0"}
    return Sent({"attachment_id": aim.attachment}, headers=headers, content=b"")


@_aim
def uploaded(aim: Aim) -> Sent:
    return Sent({"attachment_id": aim.uploaded})


# --- corrections and appeals
@_aim
def correction_for(aim: Aim) -> Sent:
    told = {"day": "2026-05-20", "claim": "present", "reason": "forgot", "text": "忘记签到"}
    return Sent(body={"id": _new(), "person_id": aim.person, **told})


@_aim
def decide_correction(aim: Aim) -> Sent:
    return Sent({"correction_id": aim.correction}, headers=_ANY, body={"approve": True, "reason": "属实"})


@_aim
def withdraw_correction(aim: Aim) -> Sent:
    return Sent({"correction_id": aim.correction}, headers=_ANY, body={"reason": "记错了"})


@_aim
def appeal_against(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "kind": "correction", "subject_id": aim.refused, "text": "当日在村"})


@_aim
def answer_appeal(aim: Aim) -> Sent:
    return Sent({"appeal_id": aim.appeal}, headers=_ANY, body={"uphold": True, "answer": "属实"})


# --- roster
@_aim
def unit(_: Aim) -> Sent:
    return Sent(body={"id": _new(), "name": f"新单位{_new()}"})


@_aim
def person_in_region(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "number": "NEW1", "name": "新人", "region": aim.district})


@_aim
def person_with_number(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "number": aim.number, "name": "新人"})


@_aim
def notice(_: Aim) -> Sent:
    return Sent({"digest": default().digest})


@_aim
def hold_person(aim: Aim) -> Sent:
    return Sent(body={"id": _new(), "person_id": aim.person, "reason": "申诉", "ends_on": "2027-01-01"})


@_aim
def lift_hold(aim: Aim) -> Sent:
    return Sent({"hold_id": aim.hold}, body={"reason": "已办结"})


@_aim
def rejudge_village(aim: Aim) -> Sent:
    days = {"first_day": "2000-01-01", "last_day": "2000-01-31"}
    return Sent(body={"id": _new(), "region": aim.village, **days, "reason": "边界有误"})


@_aim
def decide_rejudging(aim: Aim) -> Sent:
    return Sent({"rejudging_id": aim.rejudging}, body={"reason": "已核对"})


@_aim
def change_person(aim: Aim) -> Sent:
    return Sent({"person_id": aim.person}, headers=_ANY, body={"phone": "13700000000"})


def _posting(person: str, village: str) -> dict[str, Any]:
    return {
        "id": _new(),
        "person_id": person,
        "village_code": village,
        "role": "member",
        "from_day": "2026-06-01",
    }


@_aim
def post_person(aim: Aim) -> Sent:
    return Sent(body=_posting(aim.person, f"{TOWN}299"))


@_aim
def post_to_village(aim: Aim) -> Sent:
    return Sent(body=_posting(aim.team.person, aim.spare))


@_aim
def correct_posting(aim: Aim) -> Sent:
    return Sent({"posting_id": aim.posting}, headers=_ANY, body={"reason": "更正", "role": "first_secretary"})


@_aim
def end_posting(aim: Aim) -> Sent:
    return Sent(
        {"posting_id": aim.posting}, headers=_ANY, body={"until_day": "2026-06-10", "reason": "retired"}
    )


def _place(zone: str) -> dict[str, Any]:
    return {"id": _new(), "zone_id": zone, "from_day": "2025-02-01", "until_day": "2025-02-02"}


@_aim
def add_place(aim: Aim) -> Sent:
    return Sent({"posting_id": aim.posting}, body=_place(aim.team.zone))


@_aim
def add_zone(aim: Aim) -> Sent:
    return Sent({"posting_id": aim.team.posting}, body=_place(aim.zone))


@_aim
def end_place(aim: Aim) -> Sent:
    return Sent({"posting_id": aim.posting, "place_id": aim.place}, body={"until_day": "2026-06-10"})


@_aim
def end_place_through_team(aim: Aim) -> Sent:
    return Sent({"posting_id": aim.team.posting, "place_id": aim.place}, body={"until_day": "2026-06-10"})


def _roster(number: str, name: str, village: str) -> bytes:
    heads = ("工号", "姓名", "村代码", "职务", "任职日期")
    return _csv(heads, (number, name, village, "工作队员", "2026-06-01"))


@_aim
def roster_person(aim: Aim) -> Sent:
    return Sent(content=_roster(aim.number, aim.name, f"{TOWN}299"))


@_aim
def roster_village(aim: Aim) -> Sent:
    return Sent(content=_roster("NEW2", "新人", aim.spare))


TOWN_NAMES = {"500116101": "白沙镇", "500116102": "朱杨镇", "500116109": "旧塘镇", "500117101": "钱塘镇"}


@_aim
def roster_named(aim: Aim) -> Sent:
    heads = ("工号", "姓名", "镇", "村", "职务", "任职日期")
    town = TOWN_NAMES.get(aim.town, "无此镇")
    return Sent(content=_csv(heads, ("NEW3", "新人", town, "备用村", "工作队员", "2026-06-01")))


def _csv(*rows: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


# --- reviews
@_aim
def take_review(aim: Aim) -> Sent:
    return Sent({"review_id": aim.review}, headers=_ANY)


@_aim
def reject_check_in(aim: Aim) -> Sent:
    said = {"decision": "rejected", "reason": "not-there", "text": "经核实当时不在村。"}
    return Sent({"review_id": aim.review}, headers=_ANY, body={"id": _new(), **said})


@_aim
def one_review(aim: Aim) -> Sent:
    return Sent({"review_id": aim.review})
