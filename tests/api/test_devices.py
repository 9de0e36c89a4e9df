"""Phones with keys: the first, a further, a lost, a broken, a shared one, and the town's part (ruling 23, edges 70 to 72)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from conftest import Clone, Service, SetClock, running_service
from factories_auth import DISTRICT, TOWN, make_account, token_for, tokens_for
from factories_checkins import check_in, make_cadre, make_world
from factories_devices import ALGORITHMS, Keyed, PhoneKey, bound, sealed
from factories_login import PASSWORD, activate, new_code
from paging import every

from server import clock as clock_module
from server import ids
from server.access import Role
from server.auth import device_queries, rules
from server.auth.models import Account, DeviceCode
from server.auth.rules import KeyCause, KeyEvent, KeyState

OTHER_TOWN = "500116102"


@pytest.fixture(scope="module")
def password_hash(service: Service) -> str:
    found: str = service.app.state.hasher.hash(PASSWORD)
    return found


@pytest.fixture
def cadre(service: Service, password_hash: str) -> Account:
    """Somebody with a password who never had a key."""
    return new_cadre(service, password_hash)


def new_cadre(service: Service, password_hash: str, town: str = TOWN) -> Account:
    with service.database.write() as session:
        return make_account(session, role=Role.CADRE, region=town, password_hash=password_hash)


@pytest.fixture(scope="module")
def officers(service: Service) -> Iterator[dict[str, httpx.Client]]:
    with service.database.write() as session:
        made = {
            "town": make_account(session, role=Role.TOWN, region=TOWN),
            "other town": make_account(session, role=Role.TOWN, region=OTHER_TOWN),
            "district": make_account(session, role=Role.DISTRICT, region=DISTRICT),
        }
    clients = {name: service.as_(token_for(service, account)) for name, account in made.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def town(officers: dict[str, httpx.Client]) -> httpx.Client:
    return officers["town"]


@pytest.fixture
def first(service: Service, cadre: Account) -> Keyed:
    """The first phone of the cadre, trusted."""
    phone = Keyed(service, PhoneKey())
    assert phone.log_in(cadre.login, key_protection="hardware").json()["key_state"] == "trusted"
    return phone


def second(service: Service, cadre: Account, alg: str = "ES256") -> Keyed:
    """Return another phone, logged in with the password; it waits."""
    phone = Keyed(service, PhoneKey(alg))
    answer = phone.log_in(cadre.login, client="旧手机")
    assert answer.json()["key_state"] == "waiting", answer.text
    return phone


def confirm(phone: Keyed, code: str, **more: object) -> httpx.Response:
    return phone.send("POST", "/v1/me/devices/confirm", json={"code": code, **more})


def code_of(phone: Keyed) -> str:
    answer = phone.send("POST", "/v1/me/devices/code")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["code"])


def id_of(phone: Keyed) -> str:
    items = phone.send("GET", "/v1/me/devices").json()["items"]
    return str(next(item["id"] for item in items if item["current"]))


def happened(phone: Keyed) -> list[tuple[str, str]]:
    items = phone.send("GET", "/v1/me/devices/history").json()["items"]
    return [(item["kind"], item["cause"]) for item in reversed(items)]


# --- the first phone
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_first_phone_that_logs_in_is_the_person_s_own(service: Service, cadre: Account, alg: str) -> None:
    phone = Keyed(service, PhoneKey(alg))
    answer = phone.log_in(cadre.login, key_protection="hardware", client="小米 14")
    assert answer.json()["token_type"] == "DPoP"
    (item,) = phone.send("GET", "/v1/me/devices").json()["items"]
    assert item["jkt"] == phone.key.jkt
    assert (item["algorithm"], item["protection"], item["client"]) == (alg, "hardware", "小米 14")
    assert (item["state"], item["trusted_by"], item["current"], item["shared"]) == (
        "trusted",
        "first-key",
        True,
        False,
    )
    assert happened(phone) == [("enrolled", "login"), ("trusted", "first-key")]


def test_a_key_that_comes_with_the_town_s_one_time_code_is_trusted(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE)
    phone = Keyed(service, PhoneKey())
    answer = phone.activate(account.login, new_code(service, account))
    assert (answer.json()["key_state"], answer.json()["token_type"]) == ("trusted", "DPoP")
    assert happened(phone) == [("enrolled", "login"), ("trusted", "activation")]


def test_without_a_key_everything_is_as_it_was(service: Service, cadre: Account) -> None:
    body = {"login": cadre.login, "password": PASSWORD}
    told = service.client.post("/v1/auth/login", json=body).json()
    assert (told["token_type"], told["key_state"]) == ("Bearer", None)
    with service.as_(told["access_token"]) as client:
        assert client.get("/v1/me/devices").json()["items"] == []
        assert client.post("/v1/me/devices/code").json()["code"] == "device-key-required"
        answer = client.post("/v1/me/devices/confirm", json={"code": "AAAA-AAAA"})
        assert (answer.status_code, answer.json()["code"]) == (403, "device-key-required")


def test_the_same_phone_logs_in_again_as_itself(cadre: Account, first: Keyed) -> None:
    assert first.log_in(cadre.login).json()["key_state"] == "trusted"
    assert len(first.send("GET", "/v1/me/devices").json()["items"]) == 1
    assert len(happened(first)) == 2


def test_a_wrong_password_enrols_nothing_and_a_wrong_proof_is_no_attempt(
    service: Service, cadre: Account
) -> None:
    phone = Keyed(service, PhoneKey())
    assert phone.log_in(cadre.login, "秋天的山上有两棵银杏树").json()["code"] == "login-refused"
    stale = phone.key.proof("POST", f"{service.url}/v1/auth/login", None)
    for _ in range(40):  # Many more than attempts are free.
        answer = service.client.post(
            "/v1/auth/login", json={"login": cadre.login, "password": "x"}, headers={"DPoP": stale}
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "use-dpop-nonce")
    assert phone.log_in(cadre.login).json()["key_state"] == "trusted"


# --- a further phone, a new phone
def test_a_further_phone_works_at_once_and_waits_for_a_code_of_the_first(
    service: Service, cadre: Account, first: Keyed
) -> None:
    other = second(service, cadre)
    assert other.alive()
    assert other.state() == "waiting"
    code = code_of(first)
    answer = confirm(other, code.lower().replace("-", " "))
    assert (answer.status_code, answer.json()["state"], answer.json()["trusted_by"]) == (
        200,
        "trusted",
        "own-code",
    )
    assert confirm(other, code).json() == answer.json()  # The answer was lost: sent again it is the same.
    assert first.state() == "trusted"
    third = second(service, cadre)
    assert confirm(third, code).json()["code"] == "device-code-refused"  # A code is good once.


def test_every_other_session_sees_what_happened(service: Service, cadre: Account, first: Keyed) -> None:
    other = second(service, cadre)
    confirm(other, code_of(first)).raise_for_status()
    seen = first.send("GET", "/v1/me/devices/history").json()["items"]
    notices = [
        (item["kind"], item["client"], item["text_zh"]) for item in seen if not item["by_this_session"]
    ]
    assert notices == [
        ("trusted", "旧手机", "手机已确认为本人使用（本人另一部手机的确认码）。"),
        ("enrolled", "旧手机", "一部手机用密码登录并登记了密钥（登录）。"),
    ]
    own = other.send("GET", "/v1/me/devices/history?limit=2").json()
    assert [item["by_this_session"] for item in own["items"]] == [True, True]
    rest = other.send("GET", f"/v1/me/devices/history?cursor={own['next_cursor']}").json()
    assert [item["kind"] for item in rest["items"]] == ["trusted", "enrolled"]
    deeds = [event["deed"] for event in first.send("GET", "/v1/me/security-events").json()["items"]]
    assert deeds[:3] == ["device:confirm", "device:code", "auth:login"]


def test_a_new_phone_takes_the_place_of_the_old_one(service: Service, cadre: Account, first: Keyed) -> None:
    """Edge 71."""
    new = second(service, cadre)
    assert confirm(new, code_of(first), replaces=True).json()["state"] == "trusted"
    assert first.send("GET", "/v1/me").json()["code"] == "token-stale"
    assert first.renew().json()["code"] == "refresh-refused"
    items = new.send("GET", "/v1/me/devices").json()["items"]
    assert [(item["state"], item["revoked_by"]) for item in items] == [
        ("trusted", None),
        ("revoked", "replaced"),
    ]


def test_a_phone_that_waits_confirms_no_other(service: Service, cadre: Account, first: Keyed) -> None:
    """Or a stranger with the password would confirm himself."""
    assert first.alive()
    stranger = second(service, cadre)
    answer = stranger.send("POST", "/v1/me/devices/code")
    assert (answer.status_code, answer.json()["code"]) == (403, "device-waiting")


def test_ending_all_keys_does_not_make_the_next_one_the_first(
    service: Service, cadre: Account, first: Keyed
) -> None:
    """A stranger with the password could end the owner's key, log in again and be the owner."""
    stranger = second(service, cadre)
    assert stranger.send("DELETE", f"/v1/me/devices/{id_of(first)}").status_code == 204
    again = Keyed(service, PhoneKey())
    assert again.log_in(cadre.login).json()["key_state"] == "waiting"
    assert stranger.state() == "waiting"


# --- codes
def test_a_code_is_tried_five_times_however_many_try_at_once(
    service: Service, cadre: Account, first: Keyed
) -> None:
    phones = [second(service, cadre) for _ in range(4)]
    code = code_of(first)

    def guess(number: int) -> str:
        phone = Keyed(service, phones[number % 4].key, phones[number % 4].access, nonce=phones[0].nonce)
        return str(confirm(phone, f"AAAA-{number:04d}").json()["code"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(60)))
    assert answers == ["device-code-refused"] * 60
    with service.database.read() as session:
        row = session.scalars(sa.select(DeviceCode).where(DeviceCode.account_id == cadre.id)).one()
    assert row.tries == rules.DEVICE_CODE_TRIES
    assert row.void_at is not None
    assert confirm(phones[0], code).json()["code"] == "device-code-refused"  # Even the right one.
    assert rules.DEVICE_CODE_TRIES / len(rules.CODE_LETTERS) ** rules.DEVICE_CODE_LENGTH < 1e-10


def test_the_fifth_try_may_be_right(service: Service, cadre: Account, first: Keyed) -> None:
    other = second(service, cadre)
    code = code_of(first)
    for _ in range(4):
        assert confirm(other, "AAAA-AAAA").status_code == 422
    assert confirm(other, code).json()["state"] == "trusted"


@pytest.mark.parametrize(("by_town", "life"), [(False, 600), (True, 86_400)])
def test_a_code_ends(
    service: Service, cadre: Account, town: httpx.Client, clock: SetClock, *, by_town: bool, life: int
) -> None:
    clock.set(clock_module.system())
    old = bound(service, cadre)
    phone = bound(service, cadre, trusted=False)
    path = f"/v1/accounts/{cadre.id}/devices/code"
    code = town.post(path).json()["code"] if by_town else code_of(old)
    clock.move(seconds=life)
    assert phone.renew().is_success
    assert confirm(phone, code).json()["code"] == "device-code-refused"
    if not by_town:
        assert old.renew().is_success
        assert confirm(phone, code_of(old)).json()["state"] == "trusted"


def test_the_newest_code_alone_is_good_and_ends_with_the_phone_that_showed_it(
    service: Service, cadre: Account, first: Keyed
) -> None:
    other = second(service, cadre)
    void, good = code_of(first), code_of(first)
    assert confirm(other, void).json()["code"] == "device-code-refused"
    assert other.send("DELETE", f"/v1/me/devices/{id_of(first)}").status_code == 204
    assert confirm(other, good).json()["code"] == "device-code-refused"


def test_a_code_is_good_for_its_account_alone(
    service: Service, cadre: Account, first: Keyed, password_hash: str
) -> None:
    neighbour = new_cadre(service, password_hash)
    Keyed(service, PhoneKey()).log_in(neighbour.login)
    theirs = second(service, neighbour)
    assert confirm(theirs, code_of(first)).json()["code"] == "device-code-refused"
    assert cadre.id != neighbour.id


# --- a lost phone, a broken phone
def test_a_lost_phone_is_ended_from_any_other_session_and_its_tokens_with_it(
    service: Service, cadre: Account, first: Keyed
) -> None:
    lost = id_of(first)
    body = {"login": cadre.login, "password": PASSWORD}
    borrowed = service.client.post("/v1/auth/login", json=body).json()["access_token"]  # Without a key.
    with service.as_(borrowed) as client:
        assert client.delete(f"/v1/me/devices/{lost}").status_code == 204
        assert client.delete(f"/v1/me/devices/{lost}").status_code == 204
        assert client.delete(f"/v1/me/devices/{ids.new_id()}").status_code == 404
        (item,) = client.get("/v1/me/devices").json()["items"]
        assert (item["state"], item["revoked_by"]) == ("revoked", "owner")
    assert first.send("GET", "/v1/me").json()["code"] == "token-stale"
    assert first.renew().json()["code"] == "refresh-refused"
    answer = first.log_in(cadre.login)  # Nor does the key come back with the password.
    assert (answer.status_code, answer.json()["code"]) == (409, "device-key-revoked")


def test_a_key_that_ended_does_not_come_back_with_a_code_of_the_town_either(
    service: Service, cadre: Account, first: Keyed
) -> None:
    assert first.send("DELETE", f"/v1/me/devices/{id_of(first)}").status_code == 204
    code = new_code(service, cadre)
    answer = first.activate(cadre.login, code)
    assert (answer.status_code, answer.json()["code"]) == (409, "device-key-revoked")
    fresh = Keyed(service, PhoneKey())
    assert fresh.activate(cadre.login, code).json()["key_state"] == "trusted"  # The refusal did not spend it.


def test_a_waiting_key_is_trusted_once_it_comes_with_a_code_of_the_town(
    service: Service, cadre: Account, first: Keyed
) -> None:
    other = second(service, cadre)
    assert other.activate(cadre.login, new_code(service, cadre)).json()["key_state"] == "trusted"
    assert happened(other)[-1] == ("trusted", "activation")
    assert first.log_in(cadre.login).json()["key_state"] == "trusted"


def test_a_broken_phone_is_replaced_by_a_code_of_the_town(
    service: Service, cadre: Account, first: Keyed, town: httpx.Client
) -> None:
    made = town.post(f"/v1/accounts/{cadre.id}/devices/code")
    assert made.status_code == 200
    new = second(service, cadre, "EdDSA")
    answer = confirm(new, made.json()["code"], replaces=True)
    assert (answer.json()["state"], answer.json()["trusted_by"]) == ("trusted", "town-code")
    assert not first.alive()


def test_a_revoked_key_s_check_in_is_refused_at_once(service: Service) -> None:
    """The intake asks whether the session stands in the transaction that stores."""
    world = make_world(service)
    cadre = make_cadre(service, world)
    phone = bound(service, cadre.account)
    one, device = ids.new_id(), id_of(phone)
    with service.as_(cadre.token) as other:
        other.delete(f"/v1/me/devices/{device}").raise_for_status()
    headers = {"Authorization": f"Bearer {phone.access}"}
    body = sealed(phone.key, cadre.person_id, one, check_in(clock_module.now()))
    answer = service.client.put(f"/v1/check-ins/{one}", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-stale")


# --- a shared phone
def test_two_people_on_one_phone_are_both_served_and_it_shows(
    service: Service, cadre: Account, password_hash: str, town: httpx.Client
) -> None:
    """Edge 70: allowed, visible, and a fact for whoever weighs the records."""
    neighbour = new_cadre(service, password_hash)
    key = PhoneKey()
    one, other = Keyed(service, key), Keyed(service, key)
    assert one.log_in(cadre.login).json()["key_state"] == "trusted"
    assert other.log_in(neighbour.login).json()["key_state"] == "trusted"
    assert one.alive()
    assert other.alive()
    for phone in (one, other):
        (item,) = phone.send("GET", "/v1/me/devices").json()["items"]
        assert item["shared"] is True
    (seen,) = town.get(f"/v1/accounts/{cadre.id}/devices").json()["items"]
    assert seen["shared"] is True
    with service.database.read() as session:
        assert set(device_queries.accounts_of(session, key.jkt)) == {cadre.id, neighbour.id}
    # One of them gives the phone up; the other one's key is another row.
    assert one.send("DELETE", f"/v1/me/devices/{id_of(one)}").status_code == 204
    assert not one.alive()
    assert other.alive()


def test_a_shared_key_does_not_open_the_neighbour_s_token(
    service: Service, cadre: Account, password_hash: str
) -> None:
    key = PhoneKey()
    one, other = Keyed(service, key), Keyed(service, key)
    one.log_in(cadre.login)
    other.log_in(new_cadre(service, password_hash).login)
    url = f"{service.url}/v1/me"
    crossed = key.proof("GET", url, one.nonce, token=other.access)
    headers = {"Authorization": f"DPoP {one.access}", "DPoP": crossed}
    assert service.client.get(url, headers=headers).json()["code"] == "proof-refused"


# --- the town's part
def test_the_town_sees_who_waits_and_approves_or_ends(
    service: Service, cadre: Account, first: Keyed, town: httpx.Client
) -> None:
    other = second(service, cadre)
    listed = [item for item in waiting(town) if item["account_id"] == str(cadre.id)]
    assert [(item["jkt"], item["login"]) for item in listed] == [(other.key.jkt, cadre.login)]
    path = f"/v1/accounts/{cadre.id}/devices/{listed[0]['id']}/decision"
    for _ in range(2):  # The answer may be lost.
        answer = town.post(path, json={"decision": "approve", "reason": "当面核对"})
        assert (answer.status_code, answer.json()["state"], answer.json()["trusted_by"]) == (
            200,
            "trusted",
            "town",
        )
    assert other.state() == "trusted"
    event = other.send("GET", "/v1/me/devices/history").json()["items"][0]
    assert (event["kind"], event["cause"], event["by"], event["reason"]) == (
        "trusted",
        "town",
        "测试账号",
        "当面核对",
    )
    answer = town.post(path, json={"decision": "revoke", "reason": "本人报失"})
    assert answer.json()["revoked_by"] == "town"
    assert not other.alive()
    refused = town.post(path, json={"decision": "approve", "reason": "又找到了"})
    assert (refused.status_code, refused.json()["code"]) == (409, "already-decided")
    assert first.alive()


def waiting(client: httpx.Client) -> list[dict[str, object]]:
    return every(client, "/v1/devices/waiting", limit=2)


def test_another_town_s_officer_finds_nothing(
    service: Service, cadre: Account, first: Keyed, officers: dict[str, httpx.Client]
) -> None:
    other = second(service, cadre)
    client, device, missing = officers["other town"], id_of(other), ids.new_id()
    assert first.alive()
    for account in (cadre.id, missing):
        path = f"/v1/accounts/{account}/devices"
        body = {"decision": "approve", "reason": "同意"}
        answers = [
            client.get(path),
            client.post(f"{path}/code"),
            client.post(f"{path}/{device}/decision", json=body),
        ]
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "not-found")] * 3
    assert not [item for item in waiting(client) if item["account_id"] == str(cadre.id)]
    assert [item for item in waiting(officers["district"]) if item["account_id"] == str(cadre.id)]
    phone_of_cadre = other.send("GET", f"/v1/accounts/{cadre.id}/devices")
    assert phone_of_cadre.json()["code"] == "forbidden"


def test_a_device_is_decided_through_its_own_account_alone(
    service: Service, cadre: Account, first: Keyed, password_hash: str, town: httpx.Client
) -> None:
    neighbour = new_cadre(service, password_hash)
    path = f"/v1/accounts/{neighbour.id}/devices/{id_of(first)}/decision"
    assert town.post(path, json={"decision": "revoke", "reason": "x"}).status_code == 404
    assert first.alive()
    assert cadre.id != neighbour.id


def test_nobody_decides_about_oneself(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.TOWN, region=TOWN)
    with service.as_(token_for(service, account)) as client:
        path = f"/v1/accounts/{account.id}/devices"
        assert client.post(f"{path}/code").json()["code"] == "own-account"
        body = {"decision": "approve", "reason": "x"}
        assert client.post(f"{path}/{ids.new_id()}/decision", json=body).json()["code"] == "own-account"


@pytest.fixture(scope="module")
def approving(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A district that wants the town's approval for each further phone."""
    with running_service(clone(), tmp_path_factory.mktemp("approving"), device_approval=True) as service:
        yield service


def test_where_the_town_approves_a_code_of_the_own_phone_is_not_enough(
    approving: Service, password_hash: str
) -> None:
    with approving.database.write() as session:
        cadre = make_account(session, role=Role.CADRE, region=TOWN, password_hash=password_hash)
        officer = make_account(session, role=Role.TOWN, region=TOWN)
    phone = Keyed(approving, PhoneKey())
    assert phone.log_in(cadre.login).json()["key_state"] == "waiting"  # Even the first one.
    assert activate(approving, cadre.login, new_code(approving, cadre)).is_success
    old, new = bound(approving, cadre), Keyed(approving, PhoneKey())
    new.log_in(cadre.login)
    code = code_of(old)
    assert confirm(new, code, replaces=True).json()["state"] == "confirmed"
    assert confirm(new, code, replaces=True).json()["state"] == "confirmed"
    assert old.alive()  # It is replaced when the town agrees, not before.
    with approving.as_(token_for(approving, officer)) as town:
        (item,) = [each for each in waiting(town) if each["jkt"] == new.key.jkt]
        assert item["state"] == "confirmed"
        path = f"/v1/accounts/{cadre.id}/devices/{item['id']}/decision"
        town.post(path, json={"decision": "approve", "reason": "同意"}).raise_for_status()
        assert new.state() == "trusted"
        assert not old.alive()
        third = Keyed(approving, PhoneKey())
        third.log_in(cadre.login)
        assert confirm(third, code_of(new)).json()["state"] == "confirmed"
        by_town = town.post(f"/v1/accounts/{cadre.id}/devices/code").json()["code"]
        assert confirm(third, by_town).json()["state"] == "trusted"  # The town's own code is its approval.


# --- how many
def test_too_many_waiting_end_the_oldest_and_keep_nobody_out(
    service: Service, cadre: Account, first: Keyed
) -> None:
    phones = [second(service, cadre) for _ in range(rules.MOST_WAITING + 2)]
    assert [phone.alive() for phone in phones] == [False, False, *[True] * rules.MOST_WAITING]
    assert first.alive()
    assert ("revoked", "superseded") in happened(first)


def test_five_phones_are_enough_and_one_more_takes_a_decision(
    service: Service, cadre: Account, town: httpx.Client
) -> None:
    phones = [bound(service, cadre) for _ in range(rules.MOST_TRUSTED)]
    other = second(service, cadre)
    code = code_of(phones[0])
    answer = confirm(other, code)
    assert (answer.status_code, answer.json()["code"]) == (409, "too-many-devices")
    path = f"/v1/accounts/{cadre.id}/devices/{id_of(other)}/decision"
    refused = town.post(path, json={"decision": "approve", "reason": "同意"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too-many-devices")
    assert phones[0].send("DELETE", f"/v1/me/devices/{id_of(phones[1])}").status_code == 204
    assert confirm(other, code_of(phones[0])).json()["state"] == "trusted"


# --- when a district requires keys
def test_from_its_day_on_cadres_log_in_with_a_key_and_others_as_ever(
    clone: Clone, tmp_path: Path, clock: SetClock, password_hash: str
) -> None:
    clock.set("2027-02-28T15:59:59+00:00")  # Beijing's midnight is 16:00.
    with running_service(clone(), tmp_path, device_keys_from="2027-03-01") as service:
        with service.database.write() as session:
            cadre = make_account(session, role=Role.CADRE, password_hash=password_hash)
            officer = make_account(session, role=Role.TOWN, region=TOWN, password_hash=password_hash)
        old = tokens_for(service, cadre)
        keyed = bound(service, cadre)
        clock.move(seconds=1)
        refused = service.client.post("/v1/auth/refresh", json={"refresh_token": old.refresh_token})
        assert (refused.status_code, refused.json()["code"]) == (403, "device-key-required")
        body = {"login": cadre.login, "password": PASSWORD}
        assert service.client.post("/v1/auth/login", json=body).json()["code"] == "device-key-required"
        code = new_code(service, cadre)
        assert activate(service, cadre.login, code).json()["code"] == "device-key-required"
        assert keyed.renew().is_success
        phone = Keyed(service, PhoneKey())
        assert phone.activate(cadre.login, code).is_success  # The refusal did not spend the code.
        body = {"login": officer.login, "password": PASSWORD}
        assert service.client.post("/v1/auth/login", json=body).is_success
        clock.move(minutes=11)
        with service.as_(old.access_token) as client:
            assert client.get("/v1/me").json()["code"] == "token-expired"  # The last unbound ones are gone.


# --- rules
def test_a_key_s_state_follows_from_its_events_in_any_order() -> None:
    every = list(KeyEvent)
    assert rules.key_state([]) is KeyState.WAITING
    assert rules.key_state(every) is rules.key_state(reversed(every)) is KeyState.REVOKED
    assert rules.key_state([KeyEvent.TRUSTED, KeyEvent.CONFIRMED]) is KeyState.TRUSTED
    assert rules.key_state([KeyEvent.CONFIRMED, KeyEvent.ENROLLED]) is KeyState.CONFIRMED


@pytest.mark.parametrize(
    ("by_code", "first", "approves", "cause"),
    [
        (True, False, True, KeyCause.ACTIVATION),
        (True, True, False, KeyCause.ACTIVATION),
        (False, True, False, KeyCause.FIRST),
        (False, True, True, None),
        (False, False, False, None),
        (False, False, True, None),
    ],
)
def test_when_a_key_is_trusted_at_login(
    *, by_code: bool, first: bool, approves: bool, cause: KeyCause | None
) -> None:
    assert rules.trusted_at_login(by_code=by_code, first=first, town_approves=approves) is cause
