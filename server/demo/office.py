"""The offices of the demonstration, over the API: accounts, boundaries, policy, roster, slips."""

import secrets
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from server import ids
from server.access import Role
from server.demo.district import DISTRICT, DISTRICT_NAME, District

Json = dict[str, Any]
POLICY = {"basis": "calendar", "duty_counts_in_village": True}


class Office:
    """One official's client. Raises RuntimeError with the problem's text when the server refuses."""

    def __init__(self, url: str, login: str, password: str = "") -> None:
        self.login = login
        self.password = password or secrets.token_urlsafe(9)
        self._http = httpx.Client(base_url=url, timeout=120)
        self._token = ""

    def activate(self, code: str) -> "Office":
        """Use the one-time code and be logged in."""
        body = {"login": self.login, "code": code, "password": self.password, "client": "demo"}
        self._token = self.ask("POST", "/v1/auth/activate", json=body)["access_token"]
        return self

    def log_in(self) -> None:
        """Log in anew, after the clock was moved."""
        body = {"login": self.login, "password": self.password, "client": "demo"}
        self._token = self.ask("POST", "/v1/auth/login", json=body)["access_token"]

    def ask(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401  What httpx takes, what JSON gives.
        """Send a request and return the answer's JSON."""
        answer = self._send(method, path, **request)
        return answer.json() if answer.content else {}

    def version(self, path: str) -> str:
        """Return the ETag of what lies at a path, to be given back as If-Match."""
        return self._send("GET", path).headers["ETag"]

    def picture(self, path: str) -> bytes:
        """Return a report as a picture (SVG)."""
        return self._send("GET", path, headers={"Accept": "image/svg+xml"}).content

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401  What httpx takes.
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = self._http.request(
            method, path, headers={**headers, **request.pop("headers", {})}, **request
        )
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer

    def all_of(self, path: str, **query: object) -> list[Json]:
        """Return every item of a paged list."""
        items: list[Json] = []
        cursor: str | None = None
        while True:
            params = {**query, "limit": 200, **({"cursor": cursor} if cursor else {})}
            page = self.ask("GET", path, params=params)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items


def appoint(by: Office, url: str, *, login: str, name: str, role: Role, region: str) -> Office:
    """Make an account with a grant and let it be activated by its slip."""
    account = str(ids.new_id())
    by.ask(
        "POST", "/v1/accounts", json={"id": account, "login": login, "display_name": name, "region": region}
    )
    by.ask(
        "POST",
        f"/v1/accounts/{account}/grants",
        json={"id": str(ids.new_id()), "role": role, "region": region},
    )
    slips = by.ask(
        "POST", "/v1/accounts/slips", json={"accounts": [account]}, headers={"Accept": "application/json"}
    )
    return Office(url, login).activate(slips["slips"][0]["code"])


def publish_boundaries(
    importer: Office, publisher: Office, district: District, pictures: Path, say: Callable[[str], None]
) -> None:
    """Import the register of regions and both layers, keep the reports' pictures; another person publishes them."""
    importer.ask(
        "POST", "/v1/region-imports", params={"valid_from": "2020-01-01"}, content=district.regions_csv()
    )
    # Recorded first: a wrong datum or a wrong zone shows only against the district's own outline.
    outline = district.file("district.geojson")
    path = f"/v1/region-outlines/{DISTRICT}000000"
    importer.ask("PUT", path, params={"filename": "district.geojson"}, content=outline)
    for name, kind in (("villages.geojson", "village"), ("exclusion_zones.geojson", None)):
        query: Json = {
            "id": str(ids.new_id()),
            "filename": name,
            "accuracy_m": 10,
            "valid_from": "2020-01-01T00:00:00+08:00",
            "region": DISTRICT,
            "caption": "合成示意",
        }
        if kind:
            query["kind"] = kind
        made = importer.ask("POST", "/v1/boundary-imports", params=query, content=district.file(name))
        path = f"/v1/boundary-imports/{made['id']}"
        picture = pictures / f"{Path(name).stem}.svg"
        picture.write_bytes(importer.picture(f"{path}/report"))
        tried = publisher.ask("POST", f"{path}/dry-run")
        publisher.ask("POST", f"{path}/publish", headers={"If-Match": publisher.version(path)})
        say(
            f"{name}: 新增 {len(tried['new'])} 个区域，未采用 {len(tried['refused'])} 个要素；质量报告图 {picture}"
        )


def publish_policy(maker: Office, publisher: Office, month: date) -> None:
    """Make the district's policy; another person publishes it. The choices are the demonstration's."""
    made = maker.ask(
        "POST",
        "/v1/policies",
        json={
            "id": str(ids.new_id()),
            "region_prefix": DISTRICT,
            "valid_from": month.isoformat(),
            "reason": "演示：按自然日计算，因公外出计入驻村",
            "document": POLICY,
        },
    )
    path = f"/v1/policies/{made['id']}"
    publisher.ask("POST", f"{path}/publish", json={}, headers={"If-Match": publisher.version(path)})


def enrol(office: Office, district: District) -> dict[str, str]:
    """Import the roster, make the accounts, print the slips; return staff number (as login) to one-time code."""
    office.ask("POST", "/v1/roster-imports", content=district.roster_csv())
    office.ask("POST", "/v1/accounts/for-people", json={"region": DISTRICT})
    slips = office.ask(
        "POST", "/v1/accounts/slips", json={"region": DISTRICT}, headers={"Accept": "application/json"}
    )
    return {slip["login"]: slip["code"] for slip in slips["slips"]}


def district_name() -> str:
    """Return the district's name, for texts."""
    return DISTRICT_NAME
