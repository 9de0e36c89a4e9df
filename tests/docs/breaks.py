"""Names what one OpenAPI document breaks for the phones that were written against an earlier one.

What phones send may be asked for less, what they read may become more. Anything else is a break: an operation, a
status of success, a problem code or a member of an answer that is gone; a member or parameter of a request that is
gone, newly required or takes fewer values; a type that changed.
"""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def breaks(old: Document, new: Document) -> list[str]:
    """Return every break, named by operation and place, each once."""
    return list(dict.fromkeys(_breaks(old, new)))


def _operations(document: Document) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        operation["operationId"]: (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _breaks(old: Document, new: Document) -> Iterator[str]:
    present = _operations(new)
    for name, (address, before) in _operations(old).items():
        if name not in present:
            yield f"{name}: gone"
            continue
        moved, after = present[name]
        if moved != address:
            yield f"{name}: {address} is now {moved}"
        yield from _of_parameters(name, (old, before), (new, after))
        yield from _of_request(name, (old, before), (new, after))
        yield from _of_answers(name, (old, before), (new, after))


Side = tuple[Document, dict[str, Any]]


def _of_parameters(name: str, old: Side, new: Side) -> Iterator[str]:
    before, after = (
        {(each["in"], each["name"].lower()): each for each in side[1].get("parameters", [])}
        for side in (old, new)
    )
    for key, parameter in before.items():
        if key not in after:
            yield f"{name}: parameter {key[1]} gone"
        else:
            yield from _of_values(
                f"{name}: parameter {key[1]}",
                (old[0], parameter["schema"]),
                (new[0], after[key]["schema"]),
                sent=True,
            )
    for key, parameter in after.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{name}: parameter {key[1]} is required"


def _of_request(name: str, old: Side, new: Side) -> Iterator[str]:
    before, after = (side[1].get("requestBody", {}) for side in (old, new))
    if after.get("required") and not before.get("required"):
        yield f"{name}: a body is required"
    for media, content in before.get("content", {}).items():
        if media not in after.get("content", {}):
            yield f"{name}: {media} is no longer taken"
        else:
            schemas = content.get("schema", {}), after["content"][media].get("schema", {})
            yield from _of_values(f"{name}: request", (old[0], schemas[0]), (new[0], schemas[1]), sent=True)


def _of_answers(name: str, old: Side, new: Side) -> Iterator[str]:
    for status, before in old[1]["responses"].items():
        after = new[1]["responses"].get(status)
        if after is None:
            if status < "400":
                yield f"{name}: {status} gone"
            continue
        for header in before.get("headers", {}).keys() - after.get("headers", {}).keys():
            yield f"{name}: {status} header {header} gone"
        for media, content in before.get("content", {}).items():
            if media not in after.get("content", {}):
                yield f"{name}: {status} {media} gone"
                continue
            schemas = content.get("schema", {}), after["content"][media].get("schema", {})
            yield from _of_values(f"{name}: {status}", (old[0], schemas[0]), (new[0], schemas[1]), sent=False)


def _resolved(document: Document, schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _of_values(place: str, old: Side, new: Side, *, sent: bool, deep: tuple[str, ...] = ()) -> Iterator[str]:
    """Compare the schemas of one value; `sent` when phones write it, else they read it."""
    references = str(old[1].get("$ref", ""))
    if references and references in deep:
        return  # A schema that holds itself was compared where it was met first.
    deep = (*deep, references)
    ways = _objects(*new)
    if sent and len(ways) > 1 and (said := _objects(*old)):
        for each in said:  # What could be said one way must still be taken in one of the ways there are now.
            found = [
                [*_of_values(place, (old[0], each), (new[0], way), sent=sent, deep=deep)] for way in ways
            ]
            yield from min(found, key=len)
        return
    before, after = _resolved(*old), _resolved(*new)
    yield from _of_kinds(place, old, new, sent=sent, deep=deep)
    properties = after.get("properties", {})
    for name, inner in before.get("properties", {}).items():
        if name not in properties:
            yield f"{place}.{name} gone"
        else:
            yield from _of_values(
                f"{place}.{name}", (old[0], inner), (new[0], properties[name]), sent=sent, deep=deep
            )
    required = [set(schema.get("required", [])) for schema in (before, after)]
    changed = required[1] - required[0] if sent else (required[0] - required[1]) & properties.keys()
    word = "is required" if sent else "may be missing"
    yield from (f"{place}.{name} {word}" for name in sorted(changed))
    if "items" in before and "items" in after:
        yield from _of_values(
            f"{place}[]", (old[0], before["items"]), (new[0], after["items"]), sent=sent, deep=deep
        )
    if sent and (gone := set(before.get("enum", [])) - set(after.get("enum", before.get("enum", [])))):
        yield f"{place} no longer takes {sorted(gone)}"


def _of_kinds(place: str, old: Side, new: Side, *, sent: bool, deep: tuple[str, ...]) -> Iterator[str]:
    before, after = (_kinds(*side) for side in (old, new))
    for kind in before.keys() & after.keys():
        if before[kind] is not _resolved(*old):  # One of several alternatives: look inside.
            yield from _of_values(place, (old[0], before[kind]), (new[0], after[kind]), sent=sent, deep=deep)
    lost = before.keys() - after.keys() if sent else after.keys() - before.keys()
    if before and after and lost:
        yield f"{place} {'is no longer' if sent else 'may now be'} {', '.join(sorted(lost))}"


def _objects(document: Document, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ways in which an object may be written."""
    schema = _resolved(document, schema)
    ways = [_resolved(document, each) for each in schema.get("anyOf", schema.get("oneOf", [schema]))]
    return [each for each in ways if each.get("type") == "object"]


def _kinds(document: Document, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the alternatives of a value by their type."""
    schema = _resolved(document, schema)
    alternatives = [_resolved(document, each) for each in schema.get("anyOf", schema.get("oneOf", [schema]))]
    return {str(each["type"]): each for each in alternatives if "type" in each}
