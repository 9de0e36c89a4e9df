"""Who looked at one's records: written with the reading itself, shown to the person (rulings 14, 15; security.md S7)."""

from datetime import date
from typing import Any
from uuid import UUID

import psycopg
import pytest
from authz.table import load
from conftest import Service
from docs import contract
from factories_month import (
    NEXT_VILLAGE,
    VILLAGE,
    enter,
    live,
    make_person,
    make_policy,
    make_regions,
    make_unit,
    post,
)

from server.access import Role

MONTH = date(2026, 6, 1)
DAYS = {"sure": range(1, 5)}


@pytest.fixture(scope="module")
def world(service: Service) -> None:
    with service.database.write() as session:
        make_regions(session)
        make_policy(session)


def new_cadre(service: Service, village: str = VILLAGE, unit: UUID | None = None) -> UUID:
    with service.database.write() as session:
        person = make_person(session, unit=unit)
        post(session, person, village)
        live(session, person, MONTH, DAYS)
    return person


def looks(service: Service, person: UUID) -> list[dict[str, Any]]:
    with service.as_(enter(service, Role.CADRE, region=VILLAGE, person=person)) as phone:
        items: list[dict[str, Any]] = phone.get("/v1/me/looks").raise_for_status().json()["items"]
    return items


@pytest.mark.usefixtures("world")
class TestALookIsWrittenAndShown:
    def test_the_month_of_a_person_that_an_officer_reads(self, service: Service) -> None:
        person, bystander = new_cadre(service), new_cadre(service)
        with service.as_(enter(service, Role.TOWN, region="500116101")) as office:
            office.get(f"/v1/people/{person}/months/2026-06").raise_for_status()
        (look,) = looks(service, person)
        assert (look["what"], look["role"], look["office"], look["subject"]) == (
            "month",
            "town_officer",
            "几江街道",
            "2026-06",
        )
        assert "account" not in look  # The office is told, not the official.
        assert looks(service, bystander) == []

    def test_a_page_of_a_scope_is_a_look_at_everybody_on_it_and_at_nobody_else(
        self, service: Service
    ) -> None:
        here, there = new_cadre(service, NEXT_VILLAGE), new_cadre(service)
        with service.as_(enter(service, Role.DISTRICT)) as office:
            page = office.get("/v1/months/2026-06", params={"region": NEXT_VILLAGE}).raise_for_status().json()
        assert str(here) in {item["person"]["id"] for item in page["items"]}
        assert [look["what"] for look in looks(service, here)] == ["months"]
        assert looks(service, there) == []

    def test_an_inspectors_assignment_is_the_purpose_and_a_sending_unit_is_named(
        self, service: Service
    ) -> None:
        with service.database.write() as session:
            unit = make_unit(session)
        person = new_cadre(service, unit=unit)
        for role in (Role.INSPECTOR, Role.UNIT):
            with service.as_(enter(service, role, unit=unit if role is Role.UNIT else None)) as office:
                office.get(f"/v1/people/{person}/months/2026-06").raise_for_status()
        by_unit, by_inspector = looks(service, person)
        assert by_unit["role"] == "unit_viewer"
        assert by_unit["office"].startswith("区某局")
        assert (by_inspector["role"], by_inspector["office"]) == ("inspector", "江津区")

    def test_ones_own_month_is_nobodys_look(self, service: Service) -> None:
        person = new_cadre(service)
        with service.as_(enter(service, Role.CADRE, region=VILLAGE, person=person)) as phone:
            phone.get("/v1/me/months/2026-06").raise_for_status()
        assert looks(service, person) == []

    def test_who_is_out_of_scope_was_not_seen(self, service: Service) -> None:
        person = new_cadre(service)
        with service.as_(enter(service, Role.TOWN, region="500116102")) as office:
            assert office.get(f"/v1/people/{person}/months/2026-06").status_code == 404
        assert looks(service, person) == []

    def test_pages_follow_each_other(self, service: Service) -> None:
        person = new_cadre(service)
        with service.as_(enter(service, Role.TOWN, region="500116101")) as office:
            for month in ("2026-06", "2026-05", "2026-04"):
                office.get(f"/v1/people/{person}/months/{month}").raise_for_status()
        with service.as_(enter(service, Role.CADRE, region=VILLAGE, person=person)) as phone:
            first = phone.get("/v1/me/looks", params={"limit": 2}).json()
            rest = phone.get("/v1/me/looks", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [item["subject"] for item in first["items"] + rest["items"]] == [
            "2026-04",
            "2026-05",
            "2026-06",
        ]
        assert rest["next_cursor"] is None

    def test_what_cannot_be_recorded_is_not_shown(self, service: Service) -> None:
        person = new_cadre(service)
        token = enter(service, Role.TOWN, region="500116101")
        with (
            psycopg.connect(service.cloned.owner_url, autocommit=True) as owner,
            service.as_(token) as office,
        ):
            owner.execute("REVOKE INSERT ON looks FROM zaicun_app")
            try:
                for path in (f"/v1/people/{person}/months/2026-06", "/v1/months/2026-06"):
                    answer = office.get(path)
                    assert answer.status_code >= 500
                    assert answer.json()["code"] == "internal-error"
            finally:
                owner.execute("GRANT INSERT ON looks TO zaicun_app")
            office.get(f"/v1/people/{person}/months/2026-06").raise_for_status()


TELLING = {"verdict", "event_at", "captured_at", "counted", "records", "days", "lon", "band"}
"""Members of answers by which somebody's whereabouts or month are told."""
NOT_OF_OTHERS = {
    "checkins-put": "one's own check-in: the key is the person and the id, so another's id is a new one of one's own",
    "checkins-batch": "so is each of a queue",
    "places-import-circle": "the circle's own centre",
    "policies-consequences": "working days of a month",
    "calendars-import": "days of the calendar",
    "calendars-one": "days of the calendar",
    **dict.fromkeys(
        ("rejudgings-ask", "rejudgings-list", "rejudgings-get", "rejudgings-approve", "rejudgings-drop"),
        "sums of a dry run; whom they are about is told by rejudgings-changes alone",
    ),
}


def members(schema: Any, document: dict[str, Any], seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of all members that a schema can have, however deep."""
    found: set[str] = set()
    if isinstance(schema, dict):
        name = str(schema.get("$ref", ""))
        if name and name not in seen:
            _, _, kind, known = name.split("/")
            found |= members(document["components"][kind][known], document, seen | {name})
        found |= set(schema.get("properties", {}))
        for key, value in schema.items():
            found |= members(value, document, seen) if key not in {"example", "examples", "$ref"} else set()
    elif isinstance(schema, list):
        for value in schema:
            found |= members(value, document, seen)
    return found


def test_every_operation_that_can_tell_of_others_writes_looks() -> None:
    """S7: 100 %. Whoever adds an operation that tells of others' days finds out here."""
    document = contract.contract().document
    telling = {
        operation["operationId"]
        for _, _, operation in contract.operations()
        if TELLING & members({k: v for k, v in operation["responses"].items() if k < "300"}, document)
    } - set(NOT_OF_OTHERS)
    assert {"months-person", "months-list", "checkins-get"} <= telling
    table = load()
    to_others = {
        name
        for name in telling
        if any(set(some) - {"own"} for way in table.ways[name] for some in way.allowed.values())
    }
    assert {"months-person", "months-list"} <= to_others
    assert [
        name for name in sorted(to_others) if any("looks" not in way.writes for way in table.ways[name])
    ] == []
