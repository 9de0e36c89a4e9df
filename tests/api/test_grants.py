"""Who may grant which role to whom, and what becomes of it (ruling 16)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service
from factories_auth import DISTRICT, OTHER_TOWN, TOWN
from factories_office import Office, code_of
from factories_roster import make_unit

from server import ids
from server.access import Role
from server.auth.models import Account, GrantRow


@pytest.fixture(scope="module")
def office(service: Service) -> Iterator[Office]:
    with Office(service) as made:
        yield made


def test_administrators_grant_every_role(office: Office) -> None:
    with office.service.database.write() as session:
        unit = str(make_unit(session).id)
    account = office.create().json()["id"]
    for role in Role:
        scope = {Role.ADMIN: {}, Role.UNIT: {"unit_id": unit}}.get(role, {"region": TOWN})
        assert office.grant("admin", account, role, **scope).status_code == 201
    shown = office.clients["admin"].get(f"/v1/accounts/{account}").json()
    assert {grant["role"] for grant in shown["grants"]} == set(Role)


def test_a_district_officer_cannot_grant_a_higher_or_equal_role(office: Office) -> None:
    account = office.create("district").json()["id"]
    for role, scope in (("administrator", {}), ("district_officer", {"region": DISTRICT})):
        answer = office.grant("district", account, role, **scope)
        assert code_of(answer) == (403, "grant-not-allowed")
        assert answer.json()["reason"] == "role-not-grantable"
    for region in ("500117", "5001", ""):
        assert code_of(office.grant("district", account, "town_officer", region=region)) == (
            403,
            "grant-not-allowed",
        )
    assert office.grant("district", account, "town_officer", region=TOWN).status_code == 201


def test_nobody_grants_or_takes_from_themselves(office: Office) -> None:
    for by in ("admin", "district"):
        own = office.accounts[by].id
        assert code_of(office.grant(by, own, "cadre", region=DISTRICT)) == (403, "own-account")
        with office.service.database.read() as session:
            grant = session.scalars(sa.select(GrantRow.id).where(GrantRow.account_id == own)).one()
        answer = office.clients[by].delete(f"/v1/accounts/{own}/grants/{grant}")
        assert code_of(answer) == (403, "own-account")
        assert code_of(office.reset(by, office.accounts[by])) == (403, "own-account")
        disabling = office.clients[by].patch(
            f"/v1/accounts/{own}", json={"disabled": True}, headers={"If-Match": "*"}
        )
        assert code_of(disabling) == (403, "own-account")


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        ("administrator", {"region": DISTRICT}),
        ("town_officer", {}),
        ("unit_viewer", {}),
        ("unit_viewer", {"region": DISTRICT}),
        ("cadre", {"region": TOWN, "unit_id": "00000000-0000-4000-8000-000000000000"}),
    ],
)
def test_a_scope_that_does_not_fit_the_role_is_refused(
    office: Office, role: str, scope: dict[str, str]
) -> None:
    account = office.create().json()["id"]
    assert code_of(office.grant("admin", account, role, **scope)) == (422, "grant-unfit")


def test_odd_grants_are_refused(office: Office) -> None:
    account = office.create().json()["id"]
    odd = (
        {"role": "god"},
        {"role": "cadre", "region": "x"},
        {"role": "cadre", "region": TOWN, "valid_from": "2026-01-01T00:00:00"},
        {"role": "cadre", "region": TOWN, "assignment": "x" * 41},
        {"role": "cadre", "region": TOWN, "granted_by": str(ids.new_id())},
    )
    for body in odd:
        answer = office.clients["admin"].post(
            f"/v1/accounts/{account}/grants", json={"id": str(ids.new_id()), **body}
        )
        assert code_of(answer) == (422, "invalid-request")
    ended = office.grant("admin", account, "cadre", region=TOWN, valid_until="2020-01-01T00:00:00Z")
    assert code_of(ended) == (422, "grant-unfit")
    unknown = office.grant("admin", account, "unit_viewer", unit_id=str(ids.new_id()))
    assert code_of(unknown) == (422, "unit-unknown")
    assert office.clients["admin"].get(f"/v1/accounts/{account}").json()["grants"] == []


def test_a_grant_sent_twice_is_one_and_makes_tokens_stale_once(office: Office) -> None:
    account = office.create().json()["id"]
    body = {"id": str(ids.new_id()), "role": "cadre", "region": TOWN}

    def send(**more: str) -> httpx.Response:
        return office.clients["admin"].post(f"/v1/accounts/{account}/grants", json={**body, **more})

    assert [send().status_code for _ in range(2)] == [201, 200]
    assert code_of(send(region=OTHER_TOWN)) == (409, "id-reused")
    with office.service.database.read() as session:
        assert session.get_one(Account, UUID(account)).version == 2


def test_grants_are_kept_when_they_are_taken_back(office: Office) -> None:
    account = office.create().json()["id"]
    grant = office.grant("admin", account, "inspector", region=DISTRICT, assignment="督查一组").json()
    place = f"/v1/accounts/{account}/grants/{grant['id']}"
    assert [office.clients["district"].delete(place).status_code for _ in range(2)] == [204, 204]
    shown = office.clients["admin"].get(f"/v1/accounts/{account}").json()
    assert shown["grants"] == []
    history = shown["grant_history"]
    assert [row["assignment"] for row in history] == ["督查一组"]
    assert history[0]["granted_by"] == str(office.accounts["admin"].id)
    assert history[0]["revoked_by"] == str(office.accounts["district"].id)
    other = office.create().json()["id"]
    assert office.clients["admin"].delete(f"/v1/accounts/{other}/grants/{grant['id']}").status_code == 404


def test_an_account_has_a_dozen_grants_at_most(office: Office) -> None:
    account = office.create().json()["id"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda n: office.grant("admin", account, "village_clerk", region=f"{TOWN}{n}"),
                range(201, 217),
            )
        )
    assert sorted(a.status_code for a in answers) == [201] * 12 + [409] * 4
    assert {code_of(a)[1] for a in answers if a.status_code == 409} == {"too-many-grants"}
