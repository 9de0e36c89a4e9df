"""Every operation of the API that changes something, made ready and then done, one by one.

A deed is prepared by what it needs (an open import, a posting, a session) and returned as a call that was not made
yet, so that what the call alone writes can be counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
from conftest import Service
from factories_attachments import announce, announcement, jpeg, offset, send, upload
from factories_auth import make_account, token_for, tokens_for
from factories_checkins import LONG_AGO, Cadre, check_in, make_cadre, make_world
from factories_devices import Keyed, bound
from factories_login import PASSWORD, activate, new_code
from factories_month import CHOSEN
from factories_places import bring, feature, layer, make_region, new_town, square
from factories_roster import make_person, make_place, make_posting
from roster_files import csv_of, row
from shapely import Polygon, box
from shapely.geometry import mapping

from server import clock, ids
from server.access import Role
from server.auth.models import Account
from server.notices.service import default
from server.places import rules as place_rules
from server.review import inbox
from server.review.models import ReviewItem
from server.review.rules import ReviewCause

Call = Callable[[], httpx.Response]
DISTRICT, TOWN = "500116", "500116101"
NO_AUDIT = {
    "checkins-put": "the check-in is itself a record that nobody can change: who, when, from which client",
    "checkins-batch": "so is each check-in of a queue",
    "time-anchor": "it tells the time and keeps nothing",
    "attachments-announce": "its row tells who announced what and when, and holds nothing yet",
    "attachments-link": "a look at somebody else's is written among the looks; at one's own nothing is told",
    "auth-refresh": "renewing a session is no deed; the session's row says when it was last used",
    "places-dry-run": "it shows what publishing would do and changes nothing",
}
"""Operations that leave no audit row when they succeed, and why. Everything else leaves exactly one."""


def new() -> str:
    """Return an id as a client makes it."""
    return str(ids.new_id())


class Deeds:
    """One method for each mutating operation, called by its operation id with underscores."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.world = make_world(service, town=TOWN)
        self.cadre: Cadre = make_cadre(service, self.world)
        with service.database.write() as session:
            make_region(session, f"{TOWN}202", "二村")
            accounts = [
                make_account(session, role=Role.ADMIN),
                make_account(session, role=Role.DISTRICT, region=DISTRICT),
                make_account(session, role=Role.DISTRICT, region=DISTRICT),
            ]
        self.admin, self.district, self.second = (service.as_(token_for(service, row)) for row in accounts)
        self.phone = service.as_(self.cadre.token)
        self.today = place_rules.today(clock.now())
        self.days_down = 0
        self.asked_days = 0

    def close(self) -> None:
        """Close the clients."""
        for client in (self.admin, self.district, self.second, self.phone):
            client.close()

    def prepared(self, operation: str) -> Call:
        """Make an operation ready."""
        prepare: Callable[[], Call] = getattr(self, operation.replace("-", "_"))
        return prepare()

    # --- accounts

    def _account(self, **more: Any) -> Account:
        with self.service.database.write() as session:
            person = make_person(session, "王五")
            return make_account(session, person=person, region=DISTRICT, valid_from=LONG_AGO, **more)

    def _tag(self, path: str) -> dict[str, str]:
        return {"If-Match": self.district.get(path).headers["etag"]}

    def accounts_create(self) -> Call:
        body = {"id": new(), "login": f"n-{new()[-10:]}", "display_name": "王五", "region": DISTRICT}
        return lambda: self.admin.post("/v1/accounts", json=body)

    def accounts_for_people(self) -> Call:
        with self.service.database.write() as session:
            (village,) = new_town(session, 1)
            make_posting(session, make_person(session, "赵六"), village, self.today - timedelta(days=9))
        return lambda: self.admin.post("/v1/accounts/for-people", json={"region": village})

    def accounts_slips(self) -> Call:
        account = self._account()
        return lambda: self.admin.post("/v1/accounts/slips", json={"accounts": [str(account.id)]})

    def accounts_change(self) -> Call:
        path = f"/v1/accounts/{self._account().id}"
        tag = self._tag(path)
        return lambda: self.district.patch(path, json={"disabled": True}, headers=tag)

    def accounts_grant(self) -> Call:
        account = self._account(role=None)
        body = {"id": new(), "role": "inspector", "region": DISTRICT}
        return lambda: self.admin.post(f"/v1/accounts/{account.id}/grants", json=body)

    def accounts_revoke(self) -> Call:
        account, grant = self._account(role=None), new()
        body = {"id": grant, "role": "inspector", "region": DISTRICT}
        self.admin.post(f"/v1/accounts/{account.id}/grants", json=body).raise_for_status()
        return lambda: self.admin.delete(f"/v1/accounts/{account.id}/grants/{grant}")

    def accounts_reset(self) -> Call:
        account = self._account()
        return lambda: self.admin.post(f"/v1/accounts/{account.id}/reset")

    # --- signing in

    def _active(self) -> Account:
        account = self._account()
        activate(self.service, account.login, new_code(self.service, account)).raise_for_status()
        return account

    def auth_activate(self) -> Call:
        account = self._account()
        code = new_code(self.service, account)
        return lambda: activate(self.service, account.login, code)

    def auth_login(self) -> Call:
        body = {"login": self._active().login, "password": PASSWORD}
        return lambda: self.service.client.post("/v1/auth/login", json=body)

    def auth_logout(self) -> Call:
        return self._as(self._account(), "POST", "/v1/auth/logout")

    def auth_change_password(self) -> Call:
        body = {"old_password": PASSWORD, "new_password": "冬天的山坡上有四棵柏树"}
        return self._as(self._active(), "POST", "/v1/auth/password", json=body)

    def auth_refresh(self) -> Call:
        body = {"refresh_token": tokens_for(self.service, self._account()).refresh_token}
        return lambda: self.service.client.post("/v1/auth/refresh", json=body)

    def auth_end_session(self) -> Call:
        account = self._account()
        other = tokens_for(self.service, account).session_id
        return self._as(account, "DELETE", f"/v1/auth/sessions/{other}")

    # --- keys of phones

    def _phone(self, *, trusted: bool = True) -> tuple[Account, Keyed]:
        account = self._account()
        phone = bound(self.service, account, trusted=trusted)
        phone.send("GET", "/v1/me").raise_for_status()  # It has a nonce now.
        return account, phone

    def _device(self, account: Account) -> str:
        items = self.admin.get(f"/v1/accounts/{account.id}/devices").json()["items"]
        return str(items[0]["id"])

    def devices_make_code(self) -> Call:
        _, phone = self._phone()
        return lambda: phone.send("POST", "/v1/me/devices/code")

    def devices_confirm(self) -> Call:
        account, phone = self._phone(trusted=False)
        code = self.admin.post(f"/v1/accounts/{account.id}/devices/code").json()["code"]
        return lambda: phone.send("POST", "/v1/me/devices/confirm", json={"code": code})

    def devices_end(self) -> Call:
        account, _ = self._phone()
        return self._as(account, "DELETE", f"/v1/me/devices/{self._device(account)}")

    def devices_make_town_code(self) -> Call:
        path = f"/v1/accounts/{self._account().id}/devices/code"
        return lambda: self.admin.post(path)

    def devices_decide(self) -> Call:
        account, _ = self._phone(trusted=False)
        path = f"/v1/accounts/{account.id}/devices/{self._device(account)}/decision"
        body = {"decision": "approve", "reason": "当面核对"}
        return lambda: self.admin.post(path, json=body)

    def _as(self, account: Account, method: str, path: str, **more: Any) -> Call:
        head = {"Authorization": f"Bearer {token_for(self.service, account)}"}
        return lambda: self.service.client.request(method, path, headers=head, **more)

    # --- check-ins

    def checkins_put(self) -> Call:
        path, body = f"/v1/check-ins/{new()}", check_in(clock.now())
        return lambda: self.phone.put(path, json=body)

    def checkins_batch(self) -> Call:
        item = {"id": new(), **check_in(clock.now())}
        queue = {"sent_at": item.pop("sent_at"), "items": [item]}
        return lambda: self.phone.post("/v1/check-ins/batch", json=queue)

    def time_anchor(self) -> Call:
        return lambda: self.phone.post("/v1/time/anchors", json={"boot_id": "b", "asked_ms": 1})

    def checkins_withdraw(self) -> Call:
        path = f"/v1/check-ins/{new()}"
        self.phone.put(path, json=check_in(clock.now())).raise_for_status()
        return lambda: self.phone.post(f"{path}/withdraw", json={"reason": "按错了"})

    # --- privacy

    def notices_accept(self) -> Call:
        cadre = make_cadre(self.service, self.world)

        def call() -> httpx.Response:
            with self.service.as_(cadre.token) as phone:
                return phone.put(f"/v1/me/notices/{default().digest}")

        return call

    def _hold(self) -> dict[str, Any]:
        with self.service.database.write() as session:
            person = make_person(session, "吴十").id
        return {"id": new(), "person_id": str(person), "reason": "申诉", "ends_on": "2090-01-01"}

    def privacy_place_hold(self) -> Call:
        body = self._hold()
        return lambda: self.district.post("/v1/legal-holds", json=body)

    def privacy_lift_hold(self) -> Call:
        body = self._hold()
        self.district.post("/v1/legal-holds", json=body).raise_for_status()
        path = f"/v1/legal-holds/{body['id']}/lift"
        return lambda: self.second.post(path, json={"reason": "已办结"})

    # --- evidence

    def outages_record(self) -> Call:
        self.days_down += 1
        day = (self.today - timedelta(days=self.days_down)).isoformat()
        body = {"id": new(), "region_prefix": DISTRICT, "first_day": day, "last_day": day, "reason": "停电"}
        return lambda: self.district.post("/v1/outages", json=body)

    def outages_withdraw(self) -> Call:
        path = f"/v1/outages/{self.outages_record()().raise_for_status().json()['id']}/withdraw"
        return lambda: self.district.post(path, json={"reason": "误录"})

    # --- judging again

    def _rejudging(self) -> dict[str, Any]:
        day = self.today.isoformat()
        return {"id": new(), "region": TOWN, "first_day": day, "last_day": day, "reason": "边界有误"}

    def rejudgings_ask(self) -> Call:
        body = self._rejudging()
        return lambda: self.district.post("/v1/rejudgings", json=body)

    def _dry_run(self) -> str:
        body = self._rejudging()
        self.district.post("/v1/rejudgings", json=body).raise_for_status()
        return f"/v1/rejudgings/{body['id']}"

    def rejudgings_approve(self) -> Call:
        path = self._dry_run()
        return lambda: self.second.post(f"{path}/approve", json={"reason": "已核对"})

    def rejudgings_drop(self) -> Call:
        path = self._dry_run()
        return lambda: self.district.post(f"{path}/drop", json={"reason": "不必"})

    # --- policies and calendars

    def policies_make(self) -> Call:
        body = self._policy()
        return lambda: self.district.post("/v1/policies", json=body)

    def _policy(self) -> dict[str, Any]:
        following = (self.today.replace(day=1) + timedelta(days=70)).replace(day=1)
        return {
            "id": new(),
            "region_prefix": DISTRICT,
            "valid_from": following.isoformat(),
            "reason": "通知",
            "document": CHOSEN,
        }

    def policies_publish(self) -> Call:
        body = self._policy()
        self.district.post("/v1/policies", json=body).raise_for_status()
        path = f"/v1/policies/{body['id']}"
        tag = self._tag(path)
        return lambda: self.second.post(f"{path}/publish", json={}, headers=tag)

    def calendars_import(self) -> Call:
        rows = f"date,kind,name\n{self.today.year + 3}-01-01,holiday,{new()[-6:]}\n".encode()
        return lambda: self.district.post(f"/v1/calendars/{self.today.year + 3}", content=rows)

    # --- attachments
    def _announced(self) -> str:
        self.asked_days += 1
        return announce(self.phone, jpeg(40, 30, seed=self.asked_days))

    def attachments_announce(self) -> Call:
        body = announcement(jpeg())
        return lambda: self.phone.post("/v1/attachments", json=body)

    def attachments_append(self) -> Call:
        one, content = self._announced(), jpeg(40, 30, seed=self.asked_days)

        def sent() -> httpx.Response:
            """Go on from where the service says, as a phone does."""
            at = offset(self.phone, one)
            return send(self.phone, one, content[at:], at=at)

        return sent

    def attachments_discard(self) -> Call:
        one = self._announced()
        return lambda: self.phone.delete(f"/v1/attachments/{one}/upload")

    def attachments_link(self) -> Call:
        one = upload(self.phone, jpeg())["id"]
        return lambda: self.phone.post(f"/v1/attachments/{one}/link")

    # --- corrections

    def _asking(self) -> dict[str, Any]:
        self.asked_days += 1
        day = self.today - timedelta(days=self.asked_days)
        return {
            "id": new(),
            "day": day.isoformat(),
            "claim": "absent",
            "reason": "other",
            "text": "当日不在村",
        }

    def _correction(self) -> str:
        body = self._asking()
        self.phone.post("/v1/corrections", json=body).raise_for_status()
        return f"/v1/corrections/{body['id']}"

    def corrections_ask(self) -> Call:
        body = self._asking()
        return lambda: self.phone.post("/v1/corrections", json=body)

    def corrections_withdraw(self) -> Call:
        path, tag = self._correction(), {"If-Match": '"1"'}
        return lambda: self.phone.post(f"{path}/withdraw", json={"reason": "记错了"}, headers=tag)

    def corrections_decide(self) -> Call:
        return self._decided(approve=True)

    def _decided(self, *, approve: bool) -> Call:
        path, tag = self._correction(), {"If-Match": '"1"'}
        body = {"approve": approve, "reason": "已核实"}
        return lambda: self.district.post(f"{path}/decide", json=body, headers=tag)

    def appeals_make(self) -> Call:
        refused = self._decided(approve=False)().raise_for_status().json()
        body = {"id": new(), "kind": "correction", "subject_id": refused["id"], "text": "当日确不在村"}
        return lambda: self.phone.post("/v1/appeals", json=body)

    def appeals_decide(self) -> Call:
        made = self.appeals_make()().raise_for_status().json()
        body, tag = {"uphold": True, "answer": "已核实"}, {"If-Match": '"1"'}
        return lambda: self.second.post(f"/v1/appeals/{made['id']}/decide", json=body, headers=tag)

    # --- boundaries and regions

    def _file(self, shape: Polygon | None = None) -> tuple[str, bytes]:
        with self.service.database.write() as session:
            (code,) = new_town(session, 1)
        return code, layer(feature(code, "村0", shape or square(code)))

    def _imported(self) -> dict[str, Any]:
        shown: dict[str, Any] = bring(self.district, self._file()[1]).raise_for_status().json()
        return shown

    def places_import_boundaries(self) -> Call:
        data = self._file()[1]
        return lambda: bring(self.district, data)

    def places_import_circle(self) -> Call:
        with self.service.database.write() as session:
            (code,) = new_town(session, 1)
        middle = square(code).centroid
        body = {
            "id": new(), "kind": "duty_place", "name": "村办公室", "region_code": code, "lon": middle.x,
            "lat": middle.y, "radius_m": 60, "accuracy_m": 5, "valid_from": "2026-01-01",
        }  # fmt: skip
        return lambda: self.district.post("/v1/boundary-imports/circle", json=body)

    def places_import_ending(self) -> Call:
        shown = self._imported()
        self._publish(shown)().raise_for_status()
        with self.service.database.read() as session:
            zone = session.scalar(
                sa.text("SELECT zone_id FROM zone_versions WHERE import_id = :id"), {"id": shown["id"]}
            )
        body = {"id": new(), "zones": [str(zone)], "valid_from": "2026-06-01"}
        return lambda: self.district.post("/v1/boundary-imports/ending", json=body)

    def places_accept_repairs(self) -> Call:
        code, _ = self._file()
        west, south, east, north = square(code).bounds
        bow = Polygon([(west, south), (east, north), (east, south), (west, north)])
        data = layer(feature(code, "村0", {**mapping(bow)}))
        shown = bring(self.district, data).raise_for_status().json()
        body = {"features": [{"index": 0, "codes": ["repair-needs-human"]}]}
        path = f"/v1/boundary-imports/{shown['id']}/accept-repairs"
        return lambda: self.district.post(path, json=body, headers={"If-Match": '"1"'})

    def places_dry_run(self) -> Call:
        path = f"/v1/boundary-imports/{self._imported()['id']}/dry-run"
        return lambda: self.district.post(path)

    def places_publish(self) -> Call:
        return self._publish(self._imported())

    def _publish(self, shown: dict[str, Any]) -> Call:
        path, tag = f"/v1/boundary-imports/{shown['id']}/publish", {"If-Match": f'"{shown["version"]}"'}
        return lambda: self.second.post(path, headers=tag)

    def places_reject(self) -> Call:
        shown = self._imported()
        path, tag = f"/v1/boundary-imports/{shown['id']}/reject", {"If-Match": f'"{shown["version"]}"'}
        return lambda: self.second.post(path, json={"note": "图幅不对"}, headers=tag)

    def places_import_regions(self) -> Call:
        rows = f"code,name,class\n{DISTRICT}{int(new()[-4:], 16) % 900 + 100:03d}000,新{new()[-6:]}镇,\n".encode()
        return lambda: self.district.post("/v1/region-imports", content=rows)

    def places_outline(self) -> Call:
        east = 109.5 + int(new()[-4:], 16) / 65_536  # The same outline again would be no deed.
        data = layer({"type": "Feature", "properties": {}, "geometry": mapping(box(105.5, 26, east, 30))})
        path = f"/v1/region-outlines/{DISTRICT}000000"
        return lambda: self.district.put(path, content=data, params={"filename": "区界.geojson"})

    def places_follow(self) -> Call:
        with self.service.database.write() as session:
            one, other = new_town(session, 2)
        body = {"to_code": other, "from_day": "2026-01-01"}
        return lambda: self.district.post(f"/v1/regions/{one}/successor", json=body)

    def places_unfollow(self) -> Call:
        follow = self.places_follow()()
        follow.raise_for_status()
        path = str(follow.request.url.path)
        return lambda: self.district.delete(path)

    # --- the roster

    def _posting(self) -> UUID:
        with self.service.database.write() as session:
            person = make_person(session, "钱七")
            return make_posting(session, person, f"{TOWN}202", self.today - timedelta(days=90)).id

    def roster_enter_unit(self) -> Call:
        body = {"id": new(), "name": f"区水利局{new()[-6:]}"}
        return lambda: self.district.post("/v1/units", json=body)

    def roster_enter_person(self) -> Call:
        body = {"id": new(), "number": f"P{new()[-8:]}", "name": "孙八", "region": DISTRICT}
        return lambda: self.district.post("/v1/people", json=body)

    def roster_change_person(self) -> Call:
        with self.service.database.write() as session:
            path = f"/v1/people/{make_person(session, '孙九').id}"
        tag = self._tag(path)
        return lambda: self.district.patch(path, json={"phone": "13800000000"}, headers=tag)

    def roster_post(self) -> Call:
        with self.service.database.write() as session:
            person = make_person(session, "周十").id
        body = {
            "id": new(), "person_id": str(person), "village_code": f"{TOWN}202", "role": "member",
            "from_day": (self.today - timedelta(days=3)).isoformat(),
        }  # fmt: skip
        return lambda: self.district.post("/v1/postings", json=body)

    def roster_correct_posting(self) -> Call:
        path = f"/v1/postings/{self._posting()}"
        tag = self._tag(path)
        body = {"role": "first_secretary", "reason": "任命"}
        return lambda: self.district.patch(path, json=body, headers=tag)

    def roster_end_posting(self) -> Call:
        path = f"/v1/postings/{self._posting()}"
        tag = self._tag(path)
        body = {"until_day": self.today.isoformat(), "reason": "recalled"}
        return lambda: self.district.post(f"{path}/end", json=body, headers=tag)

    def roster_add_place(self) -> Call:
        body = {"id": new(), "zone_id": str(self.world.zone_id), "from_day": self.today.isoformat()}
        path = f"/v1/postings/{self._posting()}/places"
        return lambda: self.district.post(path, json=body)

    def roster_end_place(self) -> Call:
        with self.service.database.write() as session:
            posting = make_posting(session, make_person(session), f"{TOWN}202", self.today)
            place = make_place(session, posting, self.world.zone_id, self.today).id
        path = f"/v1/postings/{posting.id}/places/{place}/end"
        return lambda: self.district.post(path, json={"until_day": self.today.isoformat()})

    def roster_import(self) -> Call:
        data = csv_of(row(f"R{new()[-8:]}", 村代码=f"{TOWN}202"))
        return lambda: self.district.post(
            "/v1/roster-imports", content=data, headers={"Content-Type": "text/csv"}
        )

    # --- reviews

    def _asked(self) -> tuple[str, dict[str, str]]:
        """Put a check-in into the review queue; return the item's address and its tag."""
        made = new()
        with self.service.as_(token_for(self.service, self.cadre.account)) as phone:
            phone.put(f"/v1/check-ins/{made}", json=check_in(clock.now())).raise_for_status()
        asked = inbox.Asked(self.cadre.person_id, UUID(made), ReviewCause.SIGNALS)
        with self.service.database.write() as session:
            inbox.open_for_check_ins(session, [asked])
            item = session.scalars(sa.select(ReviewItem).where(ReviewItem.checkin_id == UUID(made))).one()
            path = f"/v1/reviews/{item.id}"
        return path, self._tag(path)

    def reviews_take(self) -> Call:
        path, tag = self._asked()
        return lambda: self.district.post(f"{path}/take", headers=tag)

    def reviews_decide(self) -> Call:
        path, tag = self._asked()
        body = {"id": new(), "decision": "rejected", "reason": "not-there", "text": "经核实不在村。"}
        return lambda: self.district.post(f"{path}/decide", json=body, headers=tag)


@contextmanager
def deeds_of(service: Service) -> Iterator[Deeds]:
    """Fill a service's database with a small district, and close the clients at the end."""
    deeds = Deeds(service)
    try:
        yield deeds
    finally:
        deeds.close()
