"""Cursor pages: a page carries an opaque cursor to the next one, so that rows that come meanwhile shift nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Query
from pydantic import BaseModel

from server import problems
from server.problems import Problem

Item = TypeVar("Item")
LARGEST = 200


Limit = Annotated[int, Query(ge=1, le=LARGEST, description="每页条数 / items on a page")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="上一页给出的 next_cursor / next_cursor of the page before")
]


class Page(BaseModel, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None


def encode(*keys: date | datetime | UUID | str | int) -> str:
    """Return the cursor that stands after a row with these sort keys."""
    return (
        base64.urlsafe_b64encode(orjson.dumps([str(k) if isinstance(k, UUID) else k for k in keys]))
        .decode()
        .rstrip("=")
    )


def decode(cursor: str | None, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Read a cursor back, one reader a key (``date.fromisoformat``, ``UUID``, ``str``, ``int``); None for the first page."""
    if cursor is None:
        return None
    try:
        keys = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(reader(key) for reader, key in zip(readers, list(keys), strict=True))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise Problem(
            problems.BAD_CURSOR, zh="请从第一页重新开始。", en="Start again from the first page."
        ) from error


def cut(
    rows: Sequence[Item], limit: int, keys: Callable[[Item], tuple[Any, ...]]
) -> tuple[Sequence[Item], str | None]:
    """Cut `limit` rows from a result that was read with ``limit + 1``, and make the cursor if there is more."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(*keys(rows[limit - 1]))
