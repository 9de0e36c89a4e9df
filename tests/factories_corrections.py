"""People who ask for corrections and those who decide them, with their clients."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self
from uuid import UUID

import httpx
from conftest import Service
from factories_auth import add_grant, make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, make_cadre

from server import ids
from server.access import Role
from server.auth.models import Account

OFFICERS = {
    "town": (Role.TOWN, True),
    "town2": (Role.TOWN, True),
    "other_town": (Role.TOWN, False),
    "district": (Role.DISTRICT, False),
    "district2": (Role.DISTRICT, False),
}
"""Who may have a say, by name: role, and whether it is the cadre's own town."""


def make_officers(service: Service, world: World) -> dict[str, Account]:
    """Make the officers, once for the tests of a module."""
    with service.database.write() as session:
        return {
            name: make_account(
                session,
                role=role,
                region=world.town if own else "500116199" if role is Role.TOWN else "500116",
                valid_from=LONG_AGO,
            )
            for name, (role, own) in OFFICERS.items()
        }


@dataclass
class Desk:
    """A cadre, and those who decide, each with a client."""

    service: Service
    world: World
    officers: dict[str, Account]
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    cadre: Cadre = field(init=False)

    def __post_init__(self) -> None:
        self.another()

    def another(self) -> None:
        """Let another cadre sit down at the desk."""
        self.cadre = make_cadre(self.service, self.world)
        self.refresh()

    def refresh(self) -> None:
        """Log everybody in at the clock's present: access tokens last ten minutes."""
        everybody = {**self.officers, "cadre": self.cadre.account}
        for name, account in everybody.items():
            token = token_for(self.service, account)
            if name in self.clients:
                self.clients[name].headers["Authorization"] = f"Bearer {token}"
            else:
                self.clients[name] = self.service.as_(token)

    def close(self) -> None:
        """Close the clients."""
        for client in self.clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def person(self) -> UUID:
        """Return who asks."""
        return self.cadre.person_id

    def also_town_officer(self) -> None:
        """Let the cadre be an officer of the own town, too."""
        with self.service.database.write() as session:
            account = session.get_one(Account, self.cadre.account.id)
            add_grant(session, account, Role.TOWN, region=self.world.town, valid_from=LONG_AGO)
            account.version += 1
        self.refresh()

    def ask(self, day: date, by: str = "cadre", **changes: object) -> httpx.Response:
        """Ask for a correction of a day."""
        body: dict[str, Any] = {
            "id": str(ids.new_id()), "day": day.isoformat(), "claim": "present", "reason": "no-signal", "text": "山里没有信号",
        }  # fmt: skip
        if by != "cadre":
            body["person_id"] = str(self.person)
        return self.clients[by].post("/v1/corrections", json={**body, **changes})

    def asked(self, day: date, by: str = "cadre", **changes: object) -> dict[str, Any]:
        """Ask for a correction that is accepted, and return it."""
        answer = self.ask(day, by, **changes)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def decide(
        self, made: dict[str, Any], by: str, *, approve: bool = True, match: str | None = "*"
    ) -> httpx.Response:
        """Decide a correction."""
        head = {} if match is None else {"If-Match": match}
        body = {"approve": approve, "reason": "村委会证实"}
        return self.clients[by].post(f"/v1/corrections/{made['id']}/decide", json=body, headers=head)

    def withdraw(self, made: dict[str, Any], by: str = "cadre") -> httpx.Response:
        """Take a correction back."""
        body, head = {"reason": "记错了"}, {"If-Match": "*"}
        return self.clients[by].post(f"/v1/corrections/{made['id']}/withdraw", json=body, headers=head)

    def appeal(self, subject: object, by: str = "cadre", **changes: object) -> httpx.Response:
        """Appeal against a refused correction."""
        body = {
            "id": str(ids.new_id()),
            "kind": "correction",
            "subject_id": str(subject),
            "text": "当日确在村",
        }
        return self.clients[by].post("/v1/appeals", json={**body, **changes})

    def answer(self, made: dict[str, Any], by: str, *, uphold: bool = True) -> httpx.Response:
        """Answer an appeal."""
        body, head = {"uphold": uphold, "answer": "已核实"}, {"If-Match": "*"}
        return self.clients[by].post(f"/v1/appeals/{made['id']}/decide", json=body, headers=head)

    def days(self, month: str) -> list[dict[str, Any]]:
        """Return the days of the cadre's month as the cadre sees them."""
        found: list[dict[str, Any]] = self.clients["cadre"].get(f"/v1/me/months/{month}").json()["days"]
        return found
