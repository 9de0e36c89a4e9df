"""A whole list, page by page, as a client reads it."""

from typing import Any

import httpx


def every(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    """Return all items of a list. A refusal, a page longer than its limit or an empty one with a next is a failure."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={**params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= int(params.get("limit", 200))
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        assert page["items"], "a page without items has no next one"
        cursor = {"cursor": page["next_cursor"]}
