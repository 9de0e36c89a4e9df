"""The watching itself: what the document does not say is seen, whatever part of the answer it is."""

import asyncio
import json
from typing import Any

import pytest
from conftest import Service
from docs import contract
from docs.contract import OUTSIDE, Answer, Contract
from docs.witness import WITNESS, Witness, watched
from fastapi.routing import iter_route_contexts
from starlette.types import Receive, Scope, Send

from server import problems
from server.checkins.plain import PlainPut
from server.checkins.turnstile import Turnstile
from server.problems import Kind, Problem

SCHEMAS = contract.document()["components"]["schemas"]
DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Problem": SCHEMAS["Problem"],
            "FieldFault": SCHEMAS["FieldFault"],
            "Thing": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        },
        "headers": {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^"'}}},
    },
    "paths": {
        "/things/{thing_id}": {
            "get": {
                "operationId": "things-show",
                "responses": {
                    "200": {
                        "headers": {
                            "ETag": {"$ref": "#/components/headers/ETag"},
                            "Age": {"schema": {"type": "integer", "maximum": 9}},
                        },
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "304": {},
                    "409": {
                        "content": {
                            problems.MEDIA_TYPE: {
                                "schema": {"$ref": "#/components/schemas/Problem"},
                                "examples": {"conflict": {}},
                            }
                        }
                    },
                },
            }
        },
        "/things/{thing_id}/parts": {"post": {"operationId": "things-part", "responses": {"204": {}}}},
    },
}
SMALL = Contract(DOCUMENT)
THING, TAG, JSON = "/things/1", {"etag": '"1"'}, {"content-type": "application/json; charset=utf-8"}
REFUSAL = {"content-type": problems.MEDIA_TYPE}


def refusal(kind: Kind, **more: Any) -> bytes:
    return json.dumps({**Problem(kind).body(), **more}).encode()


NOT_FOUND, NOT_ALLOWED = refusal(problems.NOT_FOUND), refusal(problems.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("GET", THING, 200, {**TAG, **JSON, "age": "9", "content-length": "12"}, b'{"name":"a"}'),
        Answer("GET", THING, 304, {}, b""),
        Answer("GET", THING, 409, REFUSAL, refusal(problems.CONFLICT, decision={"by": 1})),
        Answer("POST", "/things/1/parts", 204, {}, b""),
        Answer("GET", "/nowhere", 404, REFUSAL, NOT_FOUND),
        Answer("PUT", THING, 405, {**REFUSAL, "allow": "GET, HEAD, OPTIONS"}, NOT_ALLOWED),
        Answer("HEAD", THING, 200, {**TAG, **JSON}, b""),
        Answer("OPTIONS", "/things/1/parts", 204, {"allow": "OPTIONS, POST"}, b""),
        Answer("OPTIONS", THING, 200, {}, b"OK", {"access-control-request-method": "GET"}),
        Answer("GET", "/livez", 200, JSON, b'{"status":"alive"}'),
    ],
    ids=str,
)
def test_what_the_document_says_fits(answer: Answer) -> None:
    assert SMALL.faults(answer) == []


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answer("GET", THING, 202, {**TAG, **JSON}, b'{"name":"a"}'), "the status is not documented"),
        (Answer("GET", THING, 200, {**TAG, "content-type": "text/plain"}, b"a"), "text/plain is not"),
        (Answer("GET", THING, 200, {**TAG, **JSON}, b"{}"), "name"),
        (Answer("GET", THING, 200, {**TAG, **JSON}, b'{"name":1}'), "name"),
        (Answer("GET", THING, 200, {**TAG, **JSON}, b'{"name":"a","grade":1}'), "grade"),
        (Answer("GET", THING, 200, {**TAG, **JSON}, b"{"), "no JSON"),
        (Answer("GET", THING, 200, {**TAG, **JSON}, b""), "the body is empty"),
        (Answer("GET", THING, 200, JSON, b'{"name":"a"}'), "the header etag is missing"),
        (Answer("GET", THING, 200, {**JSON, "etag": "1"}, b'{"name":"a"}'), "the header etag"),
        (Answer("GET", THING, 200, {**TAG, **JSON, "age": "10"}, b'{"name":"a"}'), "the header age"),
        (
            Answer("GET", THING, 200, {**TAG, **JSON, "x-odd": "1"}, b'{"name":"a"}'),
            "x-odd is not documented",
        ),
        (Answer("GET", THING, 409, REFUSAL, refusal(problems.ID_REUSED)), "id-reused is not documented"),
        (Answer("GET", THING, 409, REFUSAL, refusal(problems.CONFLICT, status=400)), "the problem says 400"),
        (Answer("GET", THING, 409, REFUSAL, b'{"code":"conflict","status":409}'), "title_zh"),
        (Answer("POST", "/things/1/parts", 204, JSON, b"{}"), "application/json is not documented"),
        (Answer("GET", "/hidden", 200, JSON, b"{}"), "no documented operation"),
        (Answer("GET", "/nowhere", 404, JSON, b'{"detail":"Not Found"}'), "is a required property"),
        (Answer("GET", "/nowhere", 404, REFUSAL, NOT_ALLOWED), "the code not-found was expected"),
        (Answer("PUT", THING, 405, REFUSAL, NOT_ALLOWED), "Allow is None"),
        (Answer("PUT", THING, 405, {**REFUSAL, "allow": "GET, PUT"}, NOT_ALLOWED), "Allow is 'GET, PUT'"),
        (Answer("PUT", THING, 404, REFUSAL, NOT_FOUND), "405 method-not-allowed was expected"),
        (Answer("OPTIONS", THING, 200, {}, b"OK"), "204 with Allow: GET, HEAD, OPTIONS was expected"),
        (Answer("OPTIONS", THING, 204, {"allow": "GET"}, b""), "204 with Allow: GET, HEAD, OPTIONS"),
    ],
    ids=str,
)
def test_what_the_document_does_not_say_is_seen(answer: Answer, complaint: str) -> None:
    found = SMALL.faults(answer)
    assert found
    assert complaint in " ".join(found)


def test_answers_are_heard_before_their_last_byte_leaves() -> None:
    witness, sent = Witness(), []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"ETag", b'"1"')]})
        await send({"type": "http.response.body", "body": b'{"name"', "more_body": True})
        assert not witness.seen
        await send({"type": "http.response.body", "body": b':"a"}'})

    async def send(message: Any) -> None:
        sent.append((message["type"], bool(witness.seen)))

    scope = {"type": "http", "method": "GET", "path": THING, "headers": []}
    asyncio.run(watched(app, SMALL, witness)(scope, None, send))  # type: ignore[arg-type]  # Nothing is received.
    assert [heard for _, heard in sent] == [False, False, True]
    assert list(witness.seen) == ["things-show 200"]
    assert witness.take() == [f"GET {THING} -> 200:  is not documented, only ['application/json']"]
    assert witness.take() == []


def test_the_served_application_is_watched(service: Service) -> None:
    before = WITNESS.seen["auth-me 401 token-missing"]
    service.client.get("/v1/me")
    assert WITNESS.seen["auth-me 401 token-missing"] == before + 1


def test_every_route_is_documented_or_known_to_stand_outside(service: Service) -> None:
    known = {(method.upper(), path) for method, path, _ in contract.operations()}
    served = {
        (method, route.path)
        for route in iter_route_contexts(service.app.routes)
        if not isinstance(route.original_route, PlainPut | Turnstile)  # They stand before documented routes.
        for method in route.methods or {"any"}  # What is mounted answers every method.
    }
    assert known <= served
    hidden = {path for method, path in served - known if method != "HEAD"}
    assert {path for path in hidden if not contract.is_outside(str(path))} == set(), OUTSIDE
