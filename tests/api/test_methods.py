"""Addresses that are known word for word: what they do not serve is 405, never somebody's id."""

import re

import pytest
from conftest import Service
from docs import contract
from docs.contract import METHODS
from factories_office import as_district, code_of

PATHS = contract.document()["paths"]
EXACT = sorted(path for path in PATHS if "{" not in path)
SIBLINGS = [
    path
    for path in EXACT
    if any(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", other), path) for other in PATHS if "{" in other)
]
UNKNOWN = [
    pytest.param(path, method.upper(), id=f"{method.upper()} {path}")
    for path in EXACT
    for method in METHODS
    if method not in PATHS[path] and not (method == "head" and "get" in PATHS[path])
]


def allowed(path: str) -> list[str]:
    methods = {method.upper() for method in METHODS if method in PATHS[path]} | {"OPTIONS"}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def test_there_are_words_where_an_id_could_stand() -> None:
    assert {"/v1/check-ins/attempts", "/v1/accounts/for-people", "/v1/boundary-imports/circle"} <= set(
        SIBLINGS
    )


@pytest.mark.parametrize(("path", "method"), UNKNOWN)
def test_what_an_exact_address_does_not_serve_is_not_allowed(
    service: Service, path: str, method: str
) -> None:
    """Known before anything else is looked at: the body, the token, the role."""
    answer = service.client.request(method, path, json={"id": 5} if method != "HEAD" else None)
    assert (answer.status_code, answer.headers.get("allow")) == (405, ", ".join(allowed(path))), answer.text
    if method != "HEAD":
        assert answer.json()["code"] == "method-not-allowed"


@pytest.mark.parametrize("path", SIBLINGS)
def test_options_of_an_exact_address_are_its_own(service: Service, path: str) -> None:
    answer = service.client.options(path)
    assert (answer.status_code, answer.headers.get("allow")) == (204, ", ".join(allowed(path)))


def test_what_only_begins_like_an_exact_address_is_still_an_id(service: Service) -> None:
    with as_district(service) as client:
        for path in (
            "/v1/boundary-imports/circles",
            "/v1/boundary-imports/circl",
            "/v1/boundary-imports/circle%0A",
        ):
            assert code_of(client.get(path)) == (422, "invalid-request"), path


@pytest.mark.parametrize(
    "path", ["/v1/zones%0A", "/v1/zones/", "/v1/accounts/slips/", "/v1/time/", "/v1/time%0A"]
)
def test_an_address_is_written_as_documented(service: Service, path: str) -> None:
    """No redirect either: it would name whatever host the request named."""
    assert code_of(service.client.get(path)) == (404, "not-found")
