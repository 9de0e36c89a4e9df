"""Which route an address belongs to: to one that knows it word for word, and then to no other for its parameter.

Routes are matched in order and by method, so ``GET /v1/accounts/for-people``, which only has a POST, would be the account
with the id "for-people", and its caller be told that this is no UUID instead of which methods there are (405).
"""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

_PARAMETER = "{"


def exact_first(app: FastAPI) -> None:
    """Hide from each route with parameters the addresses that others know word for word. Once, when all are there.

    It is written into the routes' patterns, so that only those that have such neighbours take a moment longer. The
    patterns also end where the address ends: their own end lets a line break pass.
    """
    routes = list(_routes(app))
    exact = sorted({route.path for route in routes if _PARAMETER not in route.path})
    for route in routes:
        others = [re.escape(path) for path in exact if path != route.path and route.path_regex.match(path)]
        hidden = f"(?!(?:{'|'.join(others)})\\Z)" if others else ""
        route.path_regex = re.compile(f"{hidden}{route.path_regex.pattern.removesuffix('$')}\\Z")


def _routes(app: FastAPI) -> Iterator[Any]:
    """Yield what is matched: routes, and those of included routers as FastAPI keeps them with their whole path."""
    for route in app.routes:
        included = getattr(route, "effective_route_contexts", None)
        for each in (route,) if included is None else included():
            matched = getattr(each, "starlette_route", None) or each
            if hasattr(matched, "path_regex"):
                yield matched
