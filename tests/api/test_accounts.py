"""Accounts of others: who may make, see, grant, reset and print what (rulings 12, 15, 16; security.md M8, M9)."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service
from factories_auth import (
    DISTRICT,
    OTHER_VILLAGE,
    TOWN,
    VILLAGE,
    add_grant,
    make_account,
    token_for,
)
from factories_office import Office, code_of
from factories_roster import make_person
from paging import every

from server import clock, ids
from server.access import Role
from server.audit import AuditEntry
from server.auth.models import Account
from server.notices.service import default

PASSWORD = "春天的江边有三棵黄桷树"


@pytest.fixture(scope="module")
def office(service: Service) -> Iterator[Office]:
    with Office(service) as made:
        yield made


# --- who has which operation at all
OPERATIONS = {
    ("POST", "/v1/accounts"): {"admin", "district"},
    ("GET", "/v1/accounts"): {"admin", "district", "town"},
    ("GET", "/v1/accounts/{id}"): {"admin", "district", "town"},
    ("PATCH", "/v1/accounts/{id}"): {"admin", "district"},
    ("POST", "/v1/accounts/{id}/grants"): {"admin", "district"},
    ("DELETE", "/v1/accounts/{id}/grants/{id}"): {"admin", "district"},
    ("POST", "/v1/accounts/{id}/reset"): {"admin", "district", "town"},
    ("POST", "/v1/accounts/slips"): {"admin", "district", "town"},
    ("POST", "/v1/accounts/for-people"): {"admin", "district"},
}
BODIES = {
    "/v1/accounts": {"id": "{id}", "login": "x", "display_name": "x", "region": "999"},
    "/v1/accounts/{id}": {},
    "/v1/accounts/{id}/grants": {"id": "{id}", "role": "cadre", "region": "999"},
    "/v1/accounts/slips": {"region": "999999"},
    "/v1/accounts/for-people": {"region": "999999"},
}


@pytest.mark.parametrize(("method", "path"), list(OPERATIONS))
def test_a_role_without_the_operation_is_forbidden_and_nobody_else_is(
    office: Office, method: str, path: str
) -> None:
    for name, client in office.clients.items():
        nothing = str(ids.new_id())
        body = {k: v.replace("{id}", nothing) for k, v in BODIES.get(path, {}).items()}
        json = body if method in {"POST", "PATCH"} else None
        answer = client.request(method, path.replace("{id}", nothing), json=json, headers={"If-Match": '"1"'})
        may = name in OPERATIONS[method, path]
        assert (name, code_of(answer) == (403, "forbidden")) == (name, not may)
        assert answer.status_code < 500
    assert office.service.client.request(method, path.replace("{id}", nothing)).status_code == 401


# --- making accounts
def test_the_same_account_sent_twice_is_one(office: Office) -> None:
    body = {"id": str(ids.new_id()), "login": office.login(), "display_name": "王五", "region": DISTRICT}
    first, again = (office.clients["district"].post("/v1/accounts", json=body) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotent-replay"] == "true"
    assert first.json() == again.json()
    other = office.clients["district"].post("/v1/accounts", json={**body, "display_name": "赵六"})
    assert code_of(other) == (409, "id-reused")


def test_a_login_is_taken_once_however_it_is_written(office: Office) -> None:
    name = office.login()
    assert office.create(login=name).status_code == 201
    assert code_of(office.create(login=f" {name.upper()} ")) == (409, "login-taken")
    with ThreadPoolExecutor(6) as pool:
        fresh = office.login()
        answers = sorted(pool.map(lambda _: office.create(login=fresh).status_code, range(6)))
    assert answers == [201] + [409] * 5


def test_a_person_has_one_account(office: Office) -> None:
    person = office.cadre().person_id
    assert code_of(office.create(person_id=str(person))) == (409, "person-has-account")
    assert code_of(office.create(person_id=str(ids.new_id()))) == (422, "person-unknown")


def test_a_district_links_its_own_people_alone(office: Office) -> None:
    with office.service.database.write() as session:
        own = make_person(session, kept_by="500116")
        foreign = make_person(session, kept_by="500117")
        nobodys = make_person(session, kept_by=None)
    assert office.create("district", person_id=str(own.id)).status_code == 201
    assert code_of(office.create("district", person_id=str(foreign.id))) == (422, "person-unknown")
    assert code_of(office.create("district", person_id=str(nobodys.id))) == (422, "person-unknown")
    assert office.create("admin", person_id=str(foreign.id)).status_code == 201


@pytest.mark.parametrize("region", ["", "500117", "5001", "50011"])
def test_a_district_makes_no_account_outside_its_region(office: Office, region: str) -> None:
    assert code_of(office.create("district", region=region)) == (403, "grant-not-allowed")


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "1"},
        {"login": "张三"},
        {"login": ""},
        {"login": "a b"},
        {"login": "x" * 65},
        {"login": "a\u0000"},
        {"display_name": ""},
        {"display_name": "   "},
        {"display_name": "x" * 101},
        {"display_name": "a\u0000b"},
        {"display_name": "a\nb"},
        {"region": "江津"},
        {"region": "500116' OR 1=1"},
        {"region": "5" * 13},
        {"role": "administrator"},
        {"password_hash": "x"},
        {"version": 7},
        {"grants": []},
        {"disabled_at": None},
    ],
)
def test_odd_input_makes_no_account(office: Office, changed: dict[str, Any]) -> None:
    answer = office.create(**changed)
    assert code_of(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["field"] == next(iter(changed))


# --- what is out of reach does not exist
def test_a_town_resets_its_own_cadres_alone(office: Office) -> None:
    mine, theirs = office.cadre(VILLAGE), office.cadre(OTHER_VILLAGE)
    gone, coming_back = office.cadre(VILLAGE, until=-1), office.cadre(VILLAGE, until=0)
    assert office.reset("town", mine).status_code == 200
    assert office.reset("town", coming_back).status_code == 200
    nothing = office.clients["town"].post(f"/v1/accounts/{ids.new_id()}/reset")
    others = (
        theirs,
        gone,
        *(office.accounts[n] for n in ("admin", "district", "clerk", "inspector", "unit")),
    )
    for account in others:
        answer = office.reset("town", account)
        assert code_of(answer) == (404, "not-found")
        assert stripped(answer) == stripped(nothing)
        assert office.clients["town"].get(f"/v1/accounts/{account.id}").status_code == 404


def stripped(answer: httpx.Response) -> dict[str, object]:
    return {k: v for k, v in answer.json().items() if k not in {"request_id", "instance"}}


def test_a_cadre_who_is_an_officer_too_is_out_of_the_towns_reach(office: Office) -> None:
    """Else a town could take over an administrator who was once posted to one of its villages."""
    for role, region in ((Role.ADMIN, ""), (Role.DISTRICT, DISTRICT), (Role.INSPECTOR, DISTRICT)):
        both = office.cadre(VILLAGE)
        assert office.reset("town", both).status_code == 200
        with office.service.database.write() as session:
            add_grant(session, both, role, region=region)
        assert office.reset("town", both).status_code == 404


def test_a_district_does_not_reach_a_mightier_account_of_its_region(office: Office) -> None:
    with office.service.database.write() as session:
        admin = make_account(session, role=Role.CADRE, region=DISTRICT)
        add_grant(session, admin, Role.ADMIN)
        peer = make_account(session, role=Role.DISTRICT, region=DISTRICT)
        wider = make_account(session, role=Role.CADRE, region=DISTRICT)
        add_grant(session, wider, Role.INSPECTOR, region="5001")
        later = make_account(session, role=Role.CADRE, region=DISTRICT)
        add_grant(session, later, Role.ADMIN, valid_from=clock.now() + timedelta(days=1))
        foreign = make_account(session, role=Role.CADRE, region="500117")
    for account in (admin, peer, wider, later, foreign):
        assert office.reset("district", account).status_code == 404
        assert office.grant("district", account.id, "cadre", region=TOWN).status_code == 404
        patched = office.clients["district"].patch(
            f"/v1/accounts/{account.id}", json={"disabled": True}, headers={"If-Match": "*"}
        )
        assert patched.status_code == 404
        assert office.clients["district"].get(f"/v1/accounts/{account.id}").status_code == 404
        assert office.reset("admin", account).status_code == 200


def test_a_reset_that_waits_for_a_grant_sees_it(office: Office) -> None:
    """A district officer resets an account in the moment in which it becomes an administrator's."""
    account = office.cadre()
    with office.service.database.write() as session:
        session.execute(sa.select(Account).where(Account.id == account.id).with_for_update())
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(office.reset("district", account)))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it must wait for the row"
        add_grant(session, account, Role.ADMIN)
    thread.join(10)
    assert answers[0].status_code == 404


def test_lists_hold_what_is_in_reach_and_nothing_else(office: Office) -> None:
    mine, theirs = office.cadre(VILLAGE), office.cadre(OTHER_VILLAGE)

    def listed(by: str, **params: str) -> set[str]:
        return {row["id"] for row in every(office.clients[by], "/v1/accounts", **{"limit": 7, **params})}

    town, district, everything = listed("town"), listed("district"), listed("admin")
    assert str(mine.id) in town
    assert str(theirs.id) not in town
    assert {str(mine.id), str(theirs.id)} <= district
    assert not {str(office.accounts[n].id) for n in ("admin", "district")} & (town | district)
    assert town < district < everything
    assert listed("town", q=mine.login.upper()) == {str(mine.id)}
    assert listed("town", q=theirs.login) == set()
    assert listed("admin", q="100%_'") == set()
    assert code_of(office.clients["town"].get("/v1/accounts", params={"cursor": "!"})) == (400, "bad-cursor")


def test_nothing_secret_is_shown(office: Office) -> None:
    account = office.cadre()
    with office.service.database.write() as session:
        session.execute(
            sa.update(Account).where(Account.id == account.id).values(password_hash="$argon2id$canary")
        )
    for path in (f"/v1/accounts/{account.id}", f"/v1/accounts?q={account.login}"):
        answer = office.clients["admin"].get(path)
        assert account.login in answer.text
        assert "canary" not in answer.text
        assert answer.headers["cache-control"] == "no-store"


# --- changing
def test_a_change_names_what_it_changes(office: Office) -> None:
    account = office.cadre()
    place = f"/v1/accounts/{account.id}"
    client = office.clients["district"]
    assert code_of(client.patch(place, json={"disabled": True})) == (428, "precondition-required")
    tag = client.get(place).headers["etag"]
    renamed = client.patch(place, json={"display_name": "李四（石门）"}, headers={"If-Match": tag})
    assert renamed.json()["display_name"] == "李四（石门）"
    stale = client.patch(place, json={"disabled": True}, headers={"If-Match": tag})
    assert code_of(stale) == (412, "precondition-failed")
    for body in ({"login": "x"}, {"region": ""}, {"person_id": None}, {"version": 0}, {"activated": True}):
        answer = client.patch(place, json=body, headers={"If-Match": renamed.headers["etag"]})
        assert code_of(answer) == (422, "invalid-request")


def test_two_changes_at_once_are_one(office: Office) -> None:
    account = office.cadre()
    place = f"/v1/accounts/{account.id}"
    tag = {"If-Match": office.clients["district"].get(place).headers["etag"]}
    with ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(
                lambda n: office.clients["district"].patch(
                    place, json={"display_name": f"名{n}"}, headers=tag
                ),
                range(8),
            )
        )
    assert sorted(answer.status_code for answer in done) == [200] + [412] * 7


def test_a_renaming_leaves_tokens_good(office: Office) -> None:
    account = office.cadre()
    with office.service.as_(token_for(office.service, account)) as phone:
        place = f"/v1/accounts/{account.id}"
        office.clients["district"].patch(place, json={"display_name": "新名"}, headers={"If-Match": "*"})
        assert phone.get("/v1/me").json()["account"]["display_name"] == "新名"


def test_disabling_ends_sessions_for_good(office: Office) -> None:
    account = office.cadre()
    token = token_for(office.service, account)
    place = f"/v1/accounts/{account.id}"
    for disabled in (True, False):
        answer = office.clients["district"].patch(
            place, json={"disabled": disabled}, headers={"If-Match": "*"}
        )
        assert (answer.json()["disabled_at"] is not None) == disabled
    with office.service.as_(token) as phone:
        assert phone.get("/v1/me").status_code == 401


# --- resetting
def test_a_reset_ends_the_password_and_the_sessions_and_is_seen(office: Office) -> None:
    account = office.cadre()
    hashed = office.service.app.state.hasher.hash(PASSWORD)
    with office.service.database.write() as session:
        session.execute(sa.update(Account).where(Account.id == account.id).values(password_hash=hashed))
    token = token_for(office.service, account)
    answer = office.reset("town", account)
    assert re.fullmatch(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){2}", answer.json()["code"])
    with office.service.as_(token) as phone:
        assert phone.get("/v1/me").status_code == 401
    body = {"login": account.login, "password": PASSWORD}
    assert office.service.client.post("/v1/auth/login", json=body).status_code == 401
    body |= {"code": answer.json()["code"], "notice": default().digest}
    opened = office.service.client.post("/v1/auth/activate", json=body).json()
    with office.service.as_(opened["access_token"]) as phone:
        events = phone.get("/v1/me/security-events").json()["items"]
    assert [event["deed"] for event in events] == ["auth:activate", "auth:login-failed", "auth:reset"]
    assert [event["by"] for event in events] == [None, None, "测试账号"]
    assert "code" not in str(events)


def test_a_disabled_account_is_enabled_before_it_is_reset(office: Office) -> None:
    account = office.cadre()
    place = f"/v1/accounts/{account.id}"
    office.clients["district"].patch(place, json={"disabled": True}, headers={"If-Match": "*"})
    assert code_of(office.reset("district", account)) == (409, "conflict")


# --- the record
def test_every_deed_is_in_the_audit_log_with_its_actor(office: Office) -> None:
    account = office.create("district").json()["id"]
    grant = office.grant("district", account, "cadre", region=TOWN).json()["id"]
    office.clients["district"].delete(f"/v1/accounts/{account}/grants/{grant}")
    place = f"/v1/accounts/{account}"
    for change in ({"display_name": "改"}, {"disabled": True}, {"disabled": False}):
        office.clients["district"].patch(place, json=change, headers={"If-Match": "*"})
    office.clients["district"].post(f"{place}/reset")
    with office.service.database.read() as session:
        rows = session.execute(
            sa.select(AuditEntry.deed, AuditEntry.actor_id)
            .where(AuditEntry.subject_id == account)
            .order_by(AuditEntry.id)
        ).all()
    assert [row.deed for row in rows] == [
        "account:create",
        "account:grant",
        "account:revoke",
        "account:rename",
        "account:disable",
        "account:enable",
        "auth:reset",
    ]
    assert {row.actor_id for row in rows} == {office.accounts["district"].id}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE grants SET role = 'administrator', region = ''",
        "DELETE FROM grants",
        "DELETE FROM grant_revocations",
        "UPDATE grant_revocations SET revoked_at = now()",
        "DELETE FROM accounts",
        "DELETE FROM sessions",
        "DELETE FROM one_time_codes",
        "UPDATE audit_log SET deed = 'x'",
        "DELETE FROM audit_log",
    ],
)
def test_the_application_role_cannot_rewrite_the_record(service: Service, statement: str) -> None:
    with (
        pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
        service.app.state.database.write() as session,
    ):
        session.execute(sa.text(statement))
