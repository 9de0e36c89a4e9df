"""What callers give is of the type that the document says, in every body, field by field."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import jsonschema_rs
import pytest
from docs import contract
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, TypeAdapter, ValidationError

from server import given
from server.app import create_app
from server.checkins.schemas import CheckInIn, PositionIn
from server.places.import_schemas import FileImportIn
from server.settings import Settings

WRONG = [0, 1, 5.5, -1e9, True, "0", "1", "0.5", "1700000000", "true", "false", "yes", "12.5", [], {}, None]
NUMERALS = ["0", "-1", "0.5", "20261122", "1700000000", "1700000000.5", "", "now"]


@cache
def bodies() -> list[type[BaseModel]]:
    """Return the bodies of all routes, and what lies in them."""
    found: list[type[BaseModel]] = []
    waiting: list[type[given.In]] = [given.In]
    create_app(Settings())  # Which imports every room.
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if model.model_fields and model is not FileImportIn:  # It comes in the query, as text.
            found.append(model)
    return found


def fields() -> Iterator[Any]:
    for model in bodies():
        for name in model.model_fields:
            yield pytest.param(model, name, id=f"{model.__name__}.{name}")


def refuses(model: type[BaseModel], field: str, value: object) -> bool:
    """Tell whether the value is refused at this field, as the framework gives it (a parsed body)."""
    try:
        model.model_validate({field: value}, from_attributes=True)
    except ValidationError as error:
        return any(fault["loc"][:1] == (field,) for fault in error.errors())
    return False


@pytest.mark.parametrize(("model", "field"), list(fields()))
def test_what_the_document_does_not_take_is_refused(model: type[BaseModel], field: str) -> None:
    told = model.model_json_schema()
    schema = {**told["properties"][field], "$defs": told.get("$defs", {})}
    fits = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid
    taken = [value for value in WRONG if not fits(value) and not refuses(model, field, value)]
    assert taken == []


def test_bodies_of_all_routes_are_looked_at() -> None:
    app = create_app(Settings())
    asked = [route.body_field for route in iter_route_contexts(app.routes) if hasattr(route, "body_field")]
    models = {field.field_info.annotation for field in asked if field is not None}
    schemas = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for _, _, operation in contract.operations()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    said = {one["$ref"].rpartition("/")[2] for schema in schemas for one in schema.get("anyOf", [schema])}
    every = {part for model in models for part in get_args(model) or (model,)}
    assert said == {model.__name__ for model in every}
    assert every <= set(bodies())


def written() -> list[Any]:
    """Return the parameters that are days or instants, of all operations."""
    read = {
        (route.operation_id, field.alias): field
        for route in iter_route_contexts(create_app(Settings()).routes)
        if hasattr(route, "dependant")
        for field in route.dependant.query_params
    }
    return [
        pytest.param(read[operation["operationId"], said["name"]], id=f"{path} {said['name']}")
        for _, path, operation in contract.operations()
        for said in operation.get("parameters", [])
        if said["schema"].get("format") in {"date", "date-time"}
    ]


def test_there_are_days_and_instants_in_queries() -> None:
    assert len(written()) >= 3


@pytest.mark.parametrize("field", written())
def test_no_parameter_takes_a_number_for_a_day(field: Any) -> None:
    taken = [text for text in NUMERALS if not field.validate(text)[1]]
    assert taken == []


@pytest.mark.parametrize("numeral", [*NUMERALS, *map(float, NUMERALS[:6])])
@pytest.mark.parametrize("kind", [given.Day, given.Instant])
def test_numbers_are_no_days_and_no_instants(kind: Any, numeral: object) -> None:
    read = TypeAdapter(kind)
    with pytest.raises(ValidationError, match="date"):
        read.validate_python(numeral)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22",
        "2026-11-22T08:00+08:00",
        "2026-11-22 08:00:00+08:00",
        "2026-11-22T08:00:00+0800",
        "2026-11-22T08:00:00",
        "2026-11-22T08:00:00Z\n",
        "2026-11-22T24:00:00Z",
        "٢٠٢٦-11-22T08:00:00Z",
    ],
)
def test_an_instant_is_written_as_rfc_3339_says(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(given.Instant).validate_python(text)


@pytest.mark.parametrize("text", ["2026-11-22T08:00:00Z", "2026-11-22t08:00:00.123456789-00:30"])
def test_what_rfc_3339_writes_is_an_instant(text: str) -> None:
    assert TypeAdapter(given.Instant).validate_python(text).tzinfo is not None


@pytest.mark.parametrize(
    "text", ["2026-11-22T08:00+08:00", "2026-11-22 08:00:00+08:00", "2026-11-22T08:00:00+0800"]
)
def test_phones_may_leave_out_seconds_that_are_zero(text: str) -> None:
    """Java's OffsetDateTime does: one check-in in sixty would be refused, and not on the developer's desk."""
    body = {
        "captured_at": text,
        "sent_at": text,
        "utc_offset_min": 480,
        "position": None,
        "no_position": "off",
    }
    taken = CheckInIn.model_validate(body)
    assert taken.captured_at.isoformat() == "2026-11-22T08:00:00+08:00"
    assert CheckInIn.model_validate_json(TypeAdapter(dict[str, Any]).dump_json(body)) == taken


def test_check_ins_pass_over_what_they_do_not_know_but_not_what_is_wrong() -> None:
    assert {CheckInIn, PositionIn} <= set(bodies())
    assert not refuses(CheckInIn, "grade", 5)  # Ruling 11.
    for name in (
        "kind",
        "captured_at",
        "sent_at",
        "utc_offset_min",
        "outside_work",
        "note",
        "client",
        "salt",
    ):
        assert refuses(CheckInIn, name, 1.0), name
