"""Receipts over HTTP: one's own, and what anybody needs to verify them without the server."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server import pages, problems
from server.auth.keys import KeySet, Purpose
from server.checkins import receipt_queries, receipts
from server.checkins.models import ReceiptKey
from server.db import Database
from server.documented import refusals
from server.gate import Cadre, Db
from server.pages import Cursor, Limit, Page
from server.problems import Problem

router = APIRouter(prefix="/v1", tags=["receipts"])
_OPEN = {
    status: said
    for status, said in refusals(problems.DATABASE_UNAVAILABLE).items()
    if status != HTTPStatus.UNAUTHORIZED
}


class ReceiptOut(BaseModel):
    """One receipt, and where it stands in one's chain."""

    seq: int = Field(description="本人回执的顺序号 / its number in one's own chain", examples=[31])
    epoch: int = Field(
        description="第几期，恢复备份后加一 / rises with each restore of a backup", examples=[1]
    )
    check_in_id: UUID
    receipt: str = Field(description="回执（JWS） / the receipt (JWS)")


class ReceiptKeyOut(BaseModel):
    """A public key of receipts (JWK, RFC 7517 and RFC 8037)."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: str
    kid: str
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"
    active_from: datetime
    distrusted_from: datetime | None = Field(
        description="报失窃的时刻 / when it was reported stolen; what it signed proves nothing by itself"
    )


class EpochOut(BaseModel):
    """A stretch of the chains between two restores of backups."""

    number: int
    id: UUID
    began_at: datetime
    cause: Literal["first", "restored", "other"]
    resend_from: datetime | None = Field(
        description="所恢复备份的时刻；此后收到的签到须凭回执重发 / when the backup was made: what was received since is "
        "to be sent again, with its receipt"
    )


class ReceiptKeysOut(BaseModel):
    """All that verifying receipts takes (`zaicun verify-receipt --keys`). Keys stay for ever."""

    keys: list[ReceiptKeyOut]
    epochs: list[EpochOut]


@router.get(
    "/me/receipts",
    operation_id="receipts-own",
    responses=refusals(problems.BAD_CURSOR, problems.FORBIDDEN),
)
def own(who: Cadre, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[ReceiptOut]:
    """List one's own receipts (我的回执) in the order of the chain, oldest first: to keep, print or hand on.

    What was stored before there were receipts is not among them.
    """
    if who.person_id is None:
        raise Problem(
            problems.FORBIDDEN,
            zh="此账号没有对应的驻村干部。",
            en="This account is not linked to a person.",
        )
    after = pages.decode(cursor, int) or (0,)
    with db.read() as session:
        rows = receipt_queries.own_page(session, who.person_id, after[0], limit)
    shown, following = pages.cut(rows, limit, lambda record: (record.chain_seq,))
    items = [
        ReceiptOut(
            seq=record.chain_seq or 0,
            epoch=record.epoch or 0,
            check_in_id=record.id,
            receipt=receipts.compact(record) or "",
        )
        for record in shown
    ]
    return Page(items=items, next_cursor=following)


@router.get("/receipt-keys", operation_id="receipts-keys", response_model=ReceiptKeysOut, responses=_OPEN)
async def keys(request: Request) -> JSONResponse:
    """Fetch the public keys of receipts (回执公钥) and the epochs, without a token. Keep the answer beside the receipts."""
    # Anybody may ask, and it needs a thread and a connection.
    request.app.state.admission.enter(request.scope["state"])
    told = await run_in_threadpool(published, request.app.state.database, request.app.state.doorkeeper.keys)
    return JSONResponse(told.model_dump(mode="json"), headers={"Cache-Control": "public, max-age=300"})


def published(database: Database, key_set: KeySet) -> ReceiptKeysOut:
    """Return every key that signs or ever signed receipts here, and the epochs."""
    with database.read() as session:
        registered = {row.kid: row for row in receipt_queries.registered(session)}
        epochs = [EpochOut.model_validate(vars(row)) for row in receipt_queries.epochs(session)]
    return ReceiptKeysOut(keys=shown(key_set, registered), epochs=epochs)


def shown(key_set: KeySet, registered: Mapping[str, ReceiptKey]) -> list[ReceiptKeyOut]:
    """Return the keys of the folder and those of which only the database still knows, oldest first."""
    own = [key for key in key_set.listed() if key.purpose is Purpose.RECEIPT and key.verifier is not None]
    told = [
        ReceiptKeyOut(
            x=key.verifier.jwk["x"],
            kid=key.kid,
            active_from=key.active_from,
            distrusted_from=key_set.distrusted_since(key),
        )
        for key in own
        if key.verifier is not None
    ]
    thefts = [key.active_from for key in own if key.distrusts_earlier]
    known = {key.kid for key in own}
    told += [
        # It cannot be told from a stolen one any more, once there was one.
        ReceiptKeyOut(
            x=row.x, kid=row.kid, active_from=row.since, distrusted_from=_first_after(row.since, thefts)
        )
        for row in registered.values()
        if row.kid not in known
    ]
    return sorted(told, key=lambda key: (key.active_from, key.kid))


def _first_after(at: datetime, thefts: Iterable[datetime]) -> datetime | None:
    return min((theft.astimezone(UTC) for theft in thefts if theft >= at), default=None)
