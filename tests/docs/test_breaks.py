"""No phone is broken silently: the document of every released version is kept, and the present one holds its promises."""

import copy
import json
import re
from typing import Any

import pytest
from conftest import ROOT
from docs import contract
from docs.breaks import breaks

from server.app import API_VERSION

FOLDER = ROOT / "mobile_api_docs"
RELEASED = FOLDER / "released"
"""openapi.json as each version was released, by its date. The newest version is released when the next one begins."""
CHANGES = (FOLDER / "CHANGES.md").read_text("utf-8")


def test_the_document_of_every_earlier_version_is_kept() -> None:
    dates = set(re.findall(r"^## (\d{4}-\d{2}-\d{2})", CHANGES, re.MULTILINE))
    assert dates - {API_VERSION} == {path.stem for path in RELEASED.glob("*.json")}


def test_what_breaks_is_named_among_the_changes() -> None:
    for path in sorted(RELEASED.glob("*.json")):
        old = json.loads(path.read_text("utf-8"))
        assert [found for found in breaks(old, contract.document()) if f"`{found}`" not in CHANGES] == [], (
            path.name
        )


def test_the_present_document_breaks_nothing_of_itself() -> None:
    assert breaks(contract.document(), contract.document()) == []


def changed(**what: Any) -> dict[str, Any]:
    """Return the document with some places changed: `a/b/c` by its path."""
    made = copy.deepcopy(contract.document())
    for path, value in what.items():
        *way, last = path.split("/")
        node: Any = made
        for part in way:
            node = node[part.replace("~", "/")]
        if value is None:
            del node[last]
        elif isinstance(value, dict) and isinstance(node.get(last), dict):
            node[last] = {**node[last], **value}
        else:
            node[last] = value
    return made


PUT = "paths/~v1~check-ins~{checkin_id}/put"
IN, OUT = "components/schemas/CheckInIn", "components/schemas/CheckInOut"
WAYS = f"{PUT}/requestBody/content/application~json/schema/anyOf"
PLAIN, SIGNED = ({"$ref": f"#/components/schemas/{name}"} for name in ("CheckInIn", "SignedIn"))
OTHER = {"type": "object", "properties": {}, "required": ["more"]}


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ({PUT: None}, "checkins-put: gone"),
        ({f"{PUT}/operationId": "checkins-send"}, "checkins-put: gone"),
        ({f"{PUT}/responses/200": None}, "checkins-put: 200 gone"),
        ({f"{PUT}/responses/201/headers/Location": None}, "checkins-put: 201 header Location gone"),
        ({f"{IN}/properties/note": None}, "checkins-put: request.note gone"),
        ({WAYS: [PLAIN, OTHER]}, "checkins-put: request.signed gone"),
        (
            {f"{IN}/required": ["captured_at", "sent_at", "position", "utc_offset_min", "salt"]},
            "request.salt is required",
        ),
        ({f"{IN}/properties/utc_offset_min/type": "string"}, "request.utc_offset_min is no longer integer"),
        ({f"{OUT}/properties/verdict": None}, "checkins-put: 200.verdict gone"),
        ({f"{OUT}/required": []}, "checkins-put: 200.verdict may be missing"),
        ({f"{OUT}/properties/day": {"type": "integer"}}, "checkins-put: 200.day may now be integer"),
        ({"components/schemas/Datum/enum": ["wgs84"]}, "request.position.datum no longer takes"),
        (
            {
                "paths/~v1~regions/get/parameters": [
                    {"in": "query", "name": "x", "required": True, "schema": {}}
                ]
            },
            "places-regions: parameter x is required",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_break_is_named(what: dict[str, Any], named: str) -> None:
    found = breaks(contract.document(), changed(**what))
    assert any(named in each for each in found), found


@pytest.mark.parametrize(
    "what",
    [
        {f"{OUT}/properties/more": {"type": "string"}},
        {f"{IN}/properties/more": {"type": "string"}},
        {f"{IN}/required": ["captured_at"]},
        {WAYS: [OTHER, SIGNED, PLAIN]},
        {"paths/~v1~more": {"get": {"operationId": "more-new", "responses": {}}}},
    ],
    ids=["member of an answer", "member of a request", "less required", "another way", "operation"],
)
def test_more_is_no_break(what: dict[str, Any]) -> None:
    assert breaks(contract.document(), changed(**what)) == []
