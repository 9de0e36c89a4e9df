"""A small district with one person of each role, for the tests of accounts."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Self

import httpx
from conftest import Service
from factories_auth import DISTRICT, OTHER_TOWN, OTHER_VILLAGE, TOWN, VILLAGE, make_account, token_for
from factories_places import make_region
from factories_roster import make_person, make_posting, make_unit

from server import clock, ids
from server.access import Role
from server.auth.models import Account
from server.places import rules as place_rules


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return the status of an answer and the code of its problem."""
    return answer.status_code, answer.json().get("code", "") if answer.content else ""


@contextmanager
def as_district(service: Service) -> Iterator[httpx.Client]:
    """Yield a client of a new district officer."""
    with service.database.write() as session:
        account = make_account(session, role=Role.DISTRICT, region=DISTRICT)
    with service.as_(token_for(service, account)) as client:
        yield client


class Office:
    """A small district with one person of each role and their clients, and accounts to act on."""

    def __init__(self, service: Service) -> None:
        self.service = service
        with service.database.write() as session:
            for code, name in (
                (f"{DISTRICT}000000", "江津区"),
                (f"{TOWN}000", "石门镇"),
                (f"{OTHER_TOWN}000", "白沙镇"),
                (VILLAGE, "长岭村"),
                (OTHER_VILLAGE, "龙吟村"),
            ):
                make_region(session, code, name)
            self.accounts = {
                "admin": make_account(session, role=Role.ADMIN),
                "district": make_account(session, role=Role.DISTRICT, region=DISTRICT),
                "town": make_account(session, role=Role.TOWN, region=TOWN),
                "clerk": make_account(session, role=Role.CLERK, region=VILLAGE),
                "inspector": make_account(session, role=Role.INSPECTOR, region=DISTRICT),
                "cadre": make_account(session, role=Role.CADRE),
                "unit": make_account(session, role=Role.UNIT, unit=make_unit(session).id),
            }
        self.clients = {name: service.as_(token_for(service, row)) for name, row in self.accounts.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for client in self.clients.values():
            client.close()

    def cadre(self, village: str = VILLAGE, *, until: int | None = None, region: str = DISTRICT) -> Account:
        """Insert a cadre with an account, posted to a village until `until` days from now."""
        today = place_rules.today(clock.now())
        with self.service.database.write() as session:
            person = make_person(session, "李四")
            last = None if until is None else today + timedelta(days=until)
            make_posting(session, person, village, today - timedelta(days=400), last)
            return make_account(session, person=person, region=region)

    def login(self) -> str:
        """Return a login that nobody has."""
        return f"n-{ids.new_id().hex[-10:]}"

    def create(self, by: str = "admin", **changed: object) -> httpx.Response:
        """Create an account as the role `by`."""
        body = {"id": str(ids.new_id()), "login": self.login(), "display_name": "王五", "region": DISTRICT}
        return self.clients[by].post("/v1/accounts", json={**body, **changed})

    def grant(self, by: str, account: object, role: str, **scope: object) -> httpx.Response:
        """Grant as the role `by`."""
        body = {"id": str(ids.new_id()), "role": role, **scope}
        return self.clients[by].post(f"/v1/accounts/{account}/grants", json=body)

    def reset(self, by: str, account: Account) -> httpx.Response:
        """Reset as the role `by`."""
        return self.clients[by].post(f"/v1/accounts/{account.id}/reset")
