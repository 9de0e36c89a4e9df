"""ETag, If-Match and If-None-Match (RFC 9110 sections 8.8.3, 13.1.1 and 13.1.2)."""

from typing import Annotated

from fastapi import Header

from server import problems
from server.problems import Problem

IfMatch = Annotated[
    str | None, Header(max_length=200, description="上次读到的 ETag / the ETag that was read last")
]
IfNoneMatch = Annotated[
    str | None, Header(max_length=1000, description="已有内容的 ETag / the ETag of the copy at hand")
]


def tag(*parts: object) -> str:
    """Return a strong entity tag made of the parts, which hold no quotes."""
    return '"' + "-".join(str(part) for part in parts) + '"'


def tags(header: str) -> set[str]:
    """Return the entity tags of a header, weak ones without their mark."""
    return {part.strip().removeprefix("W/") for part in header.split(",")}


def has_copy(header: str | None, current: str) -> bool:
    """Tell whether If-None-Match says that the caller holds the current content (weak comparison)."""
    return header is not None and bool({"*", current} & tags(header))


def given(header: str | None) -> str:
    """Return If-Match, or raise precondition-required (428): a decision is made about what was read."""
    if header is None:
        raise Problem(
            problems.PRECONDITION_REQUIRED,
            zh="请先读取该项，并以 If-Match 送回其 ETag。",
            en="Read the item first and send its ETag back as If-Match.",
        )
    return header


def refuse_unless_current(header: str, current: str) -> None:
    """Raise precondition-failed (412) unless If-Match names the current content (strong comparison)."""
    if current not in {part.strip() for part in header.split(",")} and header.strip() != "*":
        raise Problem(
            problems.PRECONDITION_FAILED,
            zh="您读取之后内容已有变化，请重新读取。",
            en="It was changed after you read it; read it again.",
            headers={"ETag": current},
        )
