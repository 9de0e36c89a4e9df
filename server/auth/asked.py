"""What the routes of this room ask of a request: the desk, and who visits.

All are coroutines that never wait, as in `server.gate`.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request

from server.auth import rules
from server.auth.doorkeeper import Doorkeeper
from server.auth.jws import PublicKey
from server.auth.login import Desk
from server.auth.passwords import Hasher
from server.gate import Configured, OpenDb


async def doorkeeper(request: Request) -> Doorkeeper:
    """Return the application's doorkeeper."""
    found: Doorkeeper = request.app.state.doorkeeper
    return found


async def hasher(request: Request) -> AsyncIterator[Hasher]:
    """Give the application's hasher, which bounds parallel work for the whole process, with a place for this request.

    Raises Problem (503 busy).
    """
    found: Hasher = request.app.state.hasher
    with found.place():
        yield found


Door = Annotated[Doorkeeper, Depends(doorkeeper)]
Hashing = Annotated[Hasher, Depends(hasher)]


async def desk(database: OpenDb, door: Door, hashing: Hashing) -> Desk:
    """Return what logging in works with."""
    return Desk(database, door, hashing)


async def address(request: Request, settings: Configured) -> str:
    """Return the address that an attempt counts under."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    return rules.client_address(peer, forwarded, behind_proxy=settings.behind_proxy)


async def offered_key(
    request: Request,
    door: Door,
    _proof: Annotated[
        str | None,
        Header(
            alias="DPoP",
            description="手机密钥的证明（RFC 9449）；登录时带上即登记该密钥 / the proof of the phone's key; with a login it enrols the key",
        ),
    ] = None,
) -> PublicKey | None:
    """Return the key that the request proves to hold, None where it brings no proof. Raises Problem (401)."""
    return door.key_offered(request)


OfferedKey = Annotated[PublicKey | None, Depends(offered_key)]
AtDesk = Annotated[Desk, Depends(desk)]
Address = Annotated[str, Depends(address)]
