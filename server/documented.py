"""What the OpenAPI document says about refusals, made from the kinds of problem a route can answer with."""

from typing import Any

from server import problems
from server.problems import Kind, Problem

_ALWAYS = (problems.TOKEN_MISSING, problems.TOKEN_EXPIRED, problems.TOKEN_STALE)


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: the given kinds and those of every token, grouped by status."""
    by_status: dict[int, list[Kind]] = {}
    for kind in (*_ALWAYS, *kinds):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(found) for status, found in sorted(by_status.items())}


def _response(kinds: list[Kind]) -> dict[str, Any]:
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.zh} / {kind.en}" for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"examples": {k.code: {"value": Problem(k).body()} for k in kinds}}},
    }
