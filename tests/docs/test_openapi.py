"""openapi.json and problems.md: fresh, complete, in both languages, and true."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, Service
from docs import contract

from server import documents, exemplary, problems
from server.app import API_VERSION

HAN = re.compile(r"[一-鿿]")
LATIN = re.compile(r"[A-Za-z]{3}")
LOGGING_IN = {"auth-login", "auth-activate", "auth-refresh"}
OPEN = {*LOGGING_IN, "service-time", "receipts-keys", "notices-current", "notices-one", "attachments-file"}
BY_LINK = {"attachments-file"}  # Open to whoever has a link that stands; any other word leads nowhere.
ASK_FOR_MORE = {*LOGGING_IN, "notices-one"}
"""What is open and refuses a request that says nothing, or of which digest."""
EVERY = [pytest.param(*each, id=each[2]["operationId"]) for each in contract.operations()]


def test_the_documents_are_fresh() -> None:
    assert documents.stale() == [], "run zaicun openapi"


def test_operation_ids_are_unique_and_written_alike() -> None:
    counted = Counter(contract.operation_ids())
    assert [name for name, number in counted.items() if number > 1] == []
    assert [name for name in counted if not re.fullmatch(r"[a-z]+(-[a-z]+)+", name)] == []


def test_schemas_have_names_of_their_own() -> None:
    # Two models of one name would be told apart by the modules they stand in, which are nobody's business.
    assert [name for name in contract.document()["components"]["schemas"] if "__" in name] == []


@pytest.mark.parametrize(("_method", "_path", "operation"), EVERY)
def test_an_operation_is_described_in_both_languages(
    _method: str, _path: str, operation: dict[str, Any]
) -> None:
    text = f"{operation.get('summary', '')} {operation.get('description', '')}"
    assert HAN.search(text), text
    assert LATIN.search(text), text


@pytest.mark.parametrize(("_method", "_path", "operation"), EVERY)
def test_an_operation_documents_its_refusals(_method: str, _path: str, operation: dict[str, Any]) -> None:
    refused = {status: said for status, said in operation["responses"].items() if status >= "400"}
    assert ("401" in refused) == (operation["operationId"] not in OPEN - LOGGING_IN)
    for status, said in refused.items():
        content = said["content"][problems.MEDIA_TYPE]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert set(said["content"]) == {problems.MEDIA_TYPE}, status
        for code, example in content["examples"].items():
            assert problems.registry()[code].status == int(status)
            assert contract.resolved(example)["value"]["code"] == code


def test_every_tag_is_described_in_both_languages() -> None:
    described = {tag["name"]: tag["description"] for tag in contract.document()["tags"]}
    used = {tag for _, _, operation in contract.operations() for tag in operation["tags"]}
    assert used == described.keys()
    assert all(HAN.search(text) and LATIN.search(text) for text in described.values())


def _examples(node: object, place: str = "#") -> Iterator[tuple[str, dict[str, Any], object]]:
    """Yield every example with the schema it stands beside."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):  # Beside a schema's own keywords.
            for each in node["examples"]:
                yield place, {name: value for name, value in node.items() if name != "examples"}, each
        schema = node.get("schema")
        if isinstance(schema, dict):  # A media type or a parameter.
            if isinstance(node.get("examples"), dict):
                for name, each in node["examples"].items():
                    yield f"{place}/{name}", schema, contract.resolved(each)["value"]
            if "example" in node:
                yield place, schema, node["example"]
        for name, each in node.items():
            yield from _examples(each, f"{place}/{name}")
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from _examples(each, f"{place}/{number}")


def test_examples_in_the_document_fit_their_schemas() -> None:
    found = list(_examples(contract.document()))
    assert len(found) > 100
    wrong = {place: faults for place, schema, value in found if (faults := contract.faults(schema, value))}
    assert wrong == {}


def test_a_wrong_example_would_be_seen() -> None:
    broken = {
        "content": {"application/json": {"schema": {"type": "integer"}, "examples": {"a": {"value": "x"}}}}
    }
    place, schema, value = next(_examples(broken))
    assert contract.faults(schema, value), place


@pytest.mark.parametrize(("method", "path", "operation"), EVERY)
def test_who_needs_a_token_is_as_documented(
    service: Service, method: str, path: str, operation: dict[str, Any]
) -> None:
    needs = operation.get("security") == [{"bearer": []}, {"dpop": []}]
    assert needs == (operation["operationId"] not in OPEN)
    answer = service.client.request(method, re.sub(r"\{\w+\}", "x", path))
    assert (answer.json().get("code") == "token-missing") == needs, answer.text
    asked = operation["operationId"]
    told = 401 if needs else 422 if asked in ASK_FOR_MORE else 404 if asked in BY_LINK else 200
    assert answer.status_code == told


def test_the_version_is_a_date_and_heads_the_changes() -> None:
    text = (ROOT / "mobile_api_docs" / "CHANGES.md").read_text("utf-8")
    dates = re.findall(r"^## (\d{4}-\d{2}-\d{2})", text, re.MULTILINE)
    assert dates == sorted(dates, reverse=True)
    assert dates[0] == API_VERSION == contract.document()["info"]["version"]


def test_every_problem_is_in_the_table() -> None:
    text = (ROOT / "mobile_api_docs" / "problems.md").read_text("utf-8")
    for kind in problems.registry().values():
        assert f"| `{kind.code}` | {kind.status} | {kind.zh} | {kind.en} |" in text, "run zaicun openapi"


@pytest.mark.parametrize(("_method", "_path", "operation"), EVERY)
def test_an_operation_shows_a_real_exchange(_method: str, _path: str, operation: dict[str, Any]) -> None:
    contents = [
        answer.get("content", {}) for status, answer in operation["responses"].items() if status < "300"
    ]
    for content in (*contents, operation.get("requestBody", {}).get("content", {})):
        for media, described in content.items():
            if media.endswith("json") or media == "text/csv":
                assert described.get("examples") or described.get("example"), media


@pytest.mark.parametrize(("_method", "_path", "operation"), EVERY)
def test_every_parameter_is_described_in_both_languages(
    _method: str, _path: str, operation: dict[str, Any]
) -> None:
    for parameter in operation.get("parameters", []):
        text = parameter.get("description", "")
        assert HAN.search(text), parameter["name"]
        assert re.search(r"[A-Za-z]{2}", text), parameter["name"]


def test_no_example_is_left_over() -> None:
    assert set(exemplary.read()) <= set(contract.operation_ids())
