"""Holds requests and answers against the OpenAPI document."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from server.app import create_app
from server.settings import Settings

METHODS = ("get", "put", "post", "patch", "delete")


@cache
def document() -> dict[str, Any]:
    """Return the document as the code makes it."""
    return create_app(Settings()).openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every operation as method, path template and description."""
    for path, methods in document()["paths"].items():
        for method in METHODS:
            if method in methods:
                yield method, path, methods[method]


def operation_ids() -> list[str]:
    """Return the ids of all operations."""
    return [operation["operationId"] for _, _, operation in operations()]


def operation_of(method: str, address: str) -> dict[str, Any] | None:
    """Return the operation that serves an address; one without parameters in its path comes first."""
    path = address.partition("?")[0]
    found = []
    for known, template, operation in operations():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if known == method.lower() and re.fullmatch(pattern, path):
            found.append((template.count("{"), operation))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def faults(schema: dict[str, Any], value: object) -> list[str]:
    """Return what a schema of the document finds wrong with a value."""
    whole = {**schema, "components": document()["components"]}
    checked = Draft202012Validator(whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checked.iter_errors(value)]


def request_faults(operation: dict[str, Any], body: object) -> list[str]:
    """Return what is wrong with the body of a request."""
    described = operation.get("requestBody")
    if described is None:
        return [] if body is None else ["the operation takes no body"]
    return faults(described["content"]["application/json"]["schema"], body)


def answer_faults(operation: dict[str, Any], answer: httpx.Response) -> list[str]:
    """Return what the document did not say about an answer: its status, its type, its members."""
    status = str(answer.status_code)
    described = operation["responses"].get(status)
    if described is None:
        return [f"{operation['operationId']}: {status} is not documented"]
    content = described.get("content", {})
    if not answer.content:
        return []
    media = answer.headers["content-type"].partition(";")[0]
    if media not in content:
        return [f"{operation['operationId']}: {status} {media} is not documented, only {sorted(content)}"]
    found = faults(content[media].get("schema", {}), answer.json())
    named = set(content[media].get("examples", {}))
    if named and answer.json().get("code") not in named:
        found.append(f"{operation['operationId']}: {status} {answer.json().get('code')} is not documented")
    return found
