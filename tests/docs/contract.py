"""Holds requests and answers against the OpenAPI document, as strictly as a stranger who trusts it.

An answer fits when its status is documented for its operation, its media type for that status, its body by the JSON
schema (an undocumented member does not fit), and its headers by name and schema. What no operation answers (an unknown
address, a method that an address does not have) must be the problem that says so.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from server import problems
from server.app import create_app
from server.settings import Settings

METHODS = ("get", "put", "post", "patch", "delete", "head")
OUTSIDE = ("/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/problems")
"""Addresses for machines and browsers, no part of what the document describes; with what lies below them."""
ANYWHERE = {problems.URL_TOO_LONG.status, problems.HEADERS_TOO_LARGE.status}
"""What is refused before an address is looked up."""
UNSAID = {"connection", "content-length", "content-type", "date"}
"""Headers that HTTP itself explains."""
CORS = re.compile(r"access-control-|vary$")
"""Headers of the Fetch standard, for browsers of configured origins."""


@dataclass(frozen=True)
class Answer:
    """One answer: names of headers are in lower case; `asked` are the headers of its request."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    asked: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status}"


def is_outside(path: str) -> bool:
    """Tell whether an address is one that the document leaves out on purpose."""
    return any(path == known or path.startswith(f"{known}/") for known in OUTSIDE)


def is_preflight(answer: Answer) -> bool:
    """Tell whether a browser asked for leave to send something (CORS); the middleware answers, no operation."""
    return answer.method == "OPTIONS" and "access-control-request-method" in answer.asked


class Contract:
    """A document, with its operations by their addresses and its schemas compiled."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._registered = jsonschema_rs.Registry(
            [("urn:document", {"components": _closed(document["components"])})]
        )
        self._compiled: dict[str, jsonschema_rs.Draft202012Validator] = {}
        self._addresses: list[tuple[int, re.Pattern[str], dict[str, Any]]] = sorted(
            (
                (path.count("{"), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), methods)
                for path, methods in document["paths"].items()
            ),
            # An address without parameters comes before one that would hold it too.
            key=lambda known: known[0],
        )

    def methods_of(self, path: str) -> set[str]:
        """Return the methods of an address, in capitals: the documented ones, HEAD with GET, and OPTIONS."""
        found = {method.upper() for methods in self._at(path) for method in methods.keys() & set(METHODS)}
        return found | ({"HEAD"} if "GET" in found else set()) | ({"OPTIONS"} if found else set())

    def _at(self, path: str) -> list[dict[str, Any]]:
        """Return what is documented for an address; an exact one hides those with parameters that would hold it too."""
        sharing = [(count, methods) for count, pattern, methods in self._addresses if pattern.fullmatch(path)]
        exact = [each for each in sharing if each[0] == 0]
        return [methods for _, methods in exact or sharing]

    def operation_of(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the operation that serves an address. HEAD is GET without its content."""
        wanted = "get" if method == "HEAD" else method.lower()
        return next((methods[wanted] for methods in self._at(path) if wanted in methods), None)

    def faults(self, answer: Answer) -> list[str]:
        """Return what the document did not say about an answer."""
        operation = self.operation_of(answer.method, answer.path)
        found = self._faults_of_nothing(answer) if operation is None else self._faults_of(operation, answer)
        return [f"{answer}: {fault}" for fault in found]

    def _faults_of_nothing(self, answer: Answer) -> list[str]:
        if is_outside(answer.path) or is_preflight(answer):
            return []
        allowed = self.methods_of(answer.path)
        if answer.status in ANYWHERE:
            return self._faults_of_value({"$ref": "#/components/schemas/Problem"}, answer)
        if allowed and answer.method == "OPTIONS":
            expected_allow = ", ".join(sorted(allowed))
            fits = answer.status == 204 and answer.headers.get("allow") == expected_allow
            return [] if fits else [f"204 with Allow: {expected_allow} was expected"]
        expected = problems.METHOD_NOT_ALLOWED if allowed else problems.NOT_FOUND
        if answer.status != expected.status:
            return [f"no documented operation, so {expected.status} {expected.code} was expected"]
        if answer.method == "HEAD":
            return []
        found = self._faults_of_value({"$ref": "#/components/schemas/Problem"}, answer)
        if not found and json.loads(answer.body)["code"] != expected.code:
            found.append(f"no documented operation, so the code {expected.code} was expected")
        if allowed and {name.strip() for name in answer.headers.get("allow", "").split(",")} != allowed:
            found.append(f"Allow is {answer.headers.get('allow')!r}, documented are {sorted(allowed)}")
        return found

    def _faults_of(self, operation: dict[str, Any], answer: Answer) -> list[str]:
        described = operation["responses"].get(str(answer.status))
        if described is None:
            return [f"the status is not documented, only {sorted(operation['responses'])}: {_shown(answer)}"]
        found = self._faults_of_headers(described.get("headers", {}), answer)
        content = described.get("content", {})
        if not answer.body:
            bodiless = not content or answer.method == "HEAD" or answer.status in {204, 304}
            return found if bodiless else [*found, "the body is empty"]
        media = media_type(answer)
        if media not in content:
            return [*found, f"{media} is not documented, only {sorted(content)}"]
        found += self._faults_of_value(content[media].get("schema", {}), answer)
        if media == problems.MEDIA_TYPE and not found:
            found += _faults_of_problem(set(content[media].get("examples", {})), answer)
        return found

    def _faults_of_value(self, schema: dict[str, Any], answer: Answer) -> list[str]:
        if not media_type(answer).endswith("json"):
            return []
        try:
            value = json.loads(answer.body)
        except ValueError as error:
            return [f"the body is no JSON: {error}"]
        return self.faults_of_value(schema, value)

    def faults_of_value(self, schema: dict[str, Any], value: object) -> list[str]:
        """Return what a schema of the document finds wrong with a value."""
        return [
            f"{'.'.join(map(str, error.instance_path)) or 'body'}: {error.message}"
            for error in self._validator(schema).iter_errors(value)
        ]

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._compiled:
            pointed = json.loads(key.replace('"#/components/', '"urn:document#/components/'))
            self._compiled[key] = jsonschema_rs.Draft202012Validator(
                _closed(pointed), registry=self._registered, validate_formats=True
            )
        return self._compiled[key]

    def _faults_of_headers(self, described: dict[str, Any], answer: Answer) -> list[str]:
        said = {name.lower(): self.resolved(header) for name, header in described.items()}
        found = [
            f"the header {name} is not documented"
            for name in answer.headers
            if name not in said and name not in UNSAID and not CORS.match(name)
        ]
        for name, header in said.items():
            value = answer.headers.get(name)
            if value is None:
                found += [f"the header {name} is missing"] if header.get("required") else []
                continue
            whole = header["schema"].get("type") == "integer" and re.fullmatch(r"-?\d+", value)
            found += [
                f"the header {name}: {fault}"
                for fault in self.faults_of_value(header["schema"], int(value) if whole else value)
            ]
        return found

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow references of the document until something stands there."""
        while "$ref" in node:
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


def _closed(node: Any) -> Any:
    """Return a copy of a schema in which an object has the members that are documented, and no others.

    One that says `additionalProperties` itself is left alone, as the problem does: RFC 9457 section 3.2.
    """
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    copied = {name: _closed(each) for name, each in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        copied.setdefault("additionalProperties", False)
    return copied


def _shown(answer: Answer) -> str:
    return answer.body[:300].decode("utf-8", "replace")


def _faults_of_problem(named: set[str], answer: Answer) -> list[str]:
    body = json.loads(answer.body)
    found = []
    if body["code"] not in named:
        found.append(f"{body['code']} is not documented for this status, only {sorted(named)}")
    if body["status"] != answer.status:
        found.append(f"the problem says {body['status']}")
    return found


def media_type(answer: Answer) -> str:
    """Return the media type without its parameters."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


# --- the product's own document


@cache
def document() -> dict[str, Any]:
    """Return the document as the code makes it."""
    return create_app(Settings()).openapi()


@cache
def contract() -> Contract:
    """Return the product's contract."""
    return Contract(document())


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
    """Return the operation that serves an address."""
    return contract().operation_of(method, address.partition("?")[0])


def faults(schema: dict[str, Any], value: object) -> list[str]:
    """Return what a schema of the document finds wrong with a value."""
    return contract().faults_of_value(schema, value)


def request_faults(operation: dict[str, Any], body: object) -> list[str]:
    """Return what is wrong with the body of a request."""
    described = operation.get("requestBody")
    if described is None:
        return [] if body is None else ["the operation takes no body"]
    return faults(described["content"]["application/json"]["schema"], body)


def answer_of(response: httpx.Response) -> Answer:
    """Return a client's answer as the contract reads it."""
    request = response.request
    return Answer(
        request.method,
        request.url.path,
        response.status_code,
        dict(response.headers),
        response.content,
        dict(request.headers),
    )


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference of the document leads to; anything else as it is."""
    return contract().resolved(node)
