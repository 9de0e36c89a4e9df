"""How an answer tells whether something was made now or had been made before (rulings 11; RFC 9110 section 15.3.2)."""

from http import HTTPStatus

from fastapi import Response


def made(response: Response, *, created: bool, address: str | None = None, tag: str | None = None) -> None:
    """Finish the answer to a request that creates.

    The first time it stays the route's 201, with ``Location`` when the thing has an address of its own; a resend of the
    same content is 200 with ``Idempotent-Replay: true``. `tag` is the entity tag of the thing either way.
    """
    if created and address is not None:
        response.headers["Location"] = address
    if tag is not None:
        response.headers["ETag"] = tag
    if not created:
        response.status_code = HTTPStatus.OK
        response.headers["Idempotent-Replay"] = "true"
