"""Accounts for the people of a town, and their activation slips on paper."""

import html.parser
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Service
from factories_auth import DISTRICT, OTHER_TOWN, OTHER_VILLAGE, TOWN, VILLAGE
from factories_office import Office, code_of
from factories_places import make_region
from factories_roster import make_person, make_posting

from server import ids
from server.auth.models import Account, GrantRow, OneTimeCode
from server.notices.service import default
from server.roster.models import Person

PASSWORD = "春天的江边有三棵黄桷树"


@pytest.fixture(scope="module")
def office(service: Service) -> Iterator[Office]:
    with Office(service) as made:
        yield made


def people(office: Office, village: str, count: int, **changed: Any) -> list[Person]:
    with office.service.database.write() as session:
        made = [make_person(session, f"王{n}", **changed) for n in range(count)]
        for person in made:
            make_posting(session, person, village)
    return made


def test_people_of_a_town_get_accounts_once(office: Office) -> None:
    village = f"{OTHER_TOWN}202"
    with office.service.database.write() as session:
        make_region(session, village, "双槐村")
    made = people(office, village, 4)
    odd = people(office, village, 1, number=f"工号{ids.new_id().hex[:6]}")[0]
    ask = {"region": village}
    first = office.clients["district"].post("/v1/accounts/for-people", json=ask).json()
    assert {row["login"] for row in first["created"]} == {person.number.lower() for person in made}
    assert {row["person_id"] for row in first["created"]} == {str(person.id) for person in made}
    assert all(
        g["role"] == "cadre" and g["region"] == DISTRICT for r in first["created"] for g in r["grants"]
    )
    assert [fault["field"] for fault in first["unfit"]] == [f"people.{odd.id}"]
    again = office.clients["district"].post("/v1/accounts/for-people", json=ask).json()
    assert again["created"] == []
    for region in ("500117", "500117101", "999999"):
        answer = office.clients["district"].post("/v1/accounts/for-people", json={"region": region})
        assert code_of(answer) == (403, "grant-not-allowed")


def test_two_officers_at_once_make_each_account_once(office: Office) -> None:
    village = f"{OTHER_TOWN}203"
    with office.service.database.write() as session:
        make_region(session, village, "三口村")
    made = people(office, village, 20)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda _: office.clients["admin"].post("/v1/accounts/for-people", json={"region": village}),
                range(4),
            )
        )
    assert {answer.status_code for answer in answers} <= {200, 409}
    with office.service.database.read() as session:
        linked = session.scalars(
            sa.select(Account.person_id).where(Account.person_id.in_([p.id for p in made]))
        ).all()
        grants = session.scalar(
            sa.select(sa.func.count())
            .select_from(GrantRow)
            .join(Account, Account.id == GrantRow.account_id)
            .where(Account.person_id.in_([p.id for p in made]))
        )
    assert set(linked) == {p.id for p in made}
    assert grants == 20


class Page(html.parser.HTMLParser):
    """Collects the tags, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_slips_are_printed_for_a_town_and_work(office: Office) -> None:
    village = f"{TOWN}204"
    with office.service.database.write() as session:
        make_region(session, village, "四望村")
    nasty = "<script>alert(1)</script>&\"'"
    with office.service.database.write() as session:
        for n in range(9):
            person = make_person(session, nasty if n == 0 else f"周{n}")
            make_posting(session, person, village)
    office.clients["district"].post("/v1/accounts/for-people", json={"region": village})
    outside = office.cadre(OTHER_VILLAGE)
    ask = {"region": village, "server_address": "https://zaicun.example"}
    answer = office.clients["town"].post("/v1/accounts/slips", json=ask, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page(answer.text)
    assert page.tags.count("article") == 9
    assert page.tags.count("section") == 2
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert not {"src", "href", "onclick", "onload"} & page.names
    assert nasty in page.text
    assert outside.login not in page.text
    assert "https://zaicun.example" in page.text
    logins = re.findall(r"登录名(\S+?)激活码", page.text)
    printed = re.findall(r"激活码([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})", page.text)
    assert len(logins) == len(set(printed)) == 9
    body = {"login": logins[3], "code": printed[3], "password": PASSWORD, "notice": default().digest}
    assert office.service.client.post("/v1/auth/activate", json=body).status_code == 200
    rest = office.clients["town"].post("/v1/accounts/slips", json=ask).json()["slips"]
    assert {slip["login"] for slip in rest} == set(logins) - {logins[3]}
    body = {"login": logins[4], "code": printed[4], "password": PASSWORD}
    assert office.service.client.post("/v1/auth/activate", json=body).status_code == 401, "replaced"


def test_slips_for_chosen_accounts_are_all_or_none(office: Office) -> None:
    mine, theirs = office.cadre(VILLAGE), office.cadre(OTHER_VILLAGE)
    chosen = [str(mine.id), str(theirs.id)]
    answer = office.clients["town"].post("/v1/accounts/slips", json={"accounts": chosen})
    assert code_of(answer) == (404, "not-found")
    assert answer.json()["accounts"] == [str(theirs.id)]
    with office.service.database.read() as session:
        assert session.scalars(sa.select(OneTimeCode).where(OneTimeCode.account_id == mine.id)).all() == []
    answer = office.clients["town"].post("/v1/accounts/slips", json={"accounts": chosen[:1]})
    assert [slip["login"] for slip in answer.json()["slips"]] == [mine.login]
    assert answer.json()["server_address"] == office.service.url


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"region": TOWN, "accounts": ["00000000-0000-4000-8000-000000000000"]},
        {"region": "5001"},
        {"region": TOWN, "server_address": "javascript:alert(1)"},
        {"region": TOWN, "server_address": 'https://a"><b'},
        {"accounts": ["x"]},
    ],
)
def test_odd_slips_are_refused(office: Office, body: dict[str, object]) -> None:
    answer = office.clients["town"].post("/v1/accounts/slips", json=body)
    assert code_of(answer) == (422, "invalid-request")


def test_a_town_prints_no_slips_for_another_town(office: Office) -> None:
    office.cadre(OTHER_VILLAGE)
    answer = office.clients["town"].post("/v1/accounts/slips", json={"region": OTHER_TOWN})
    assert answer.json()["slips"] == []
